/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Every wrong argument has its errno, and changes nothing: neither what the
 * counters count, nor what is inserted, nor what a caller passed to be filled.
 */
#include "util.h"

#include <stdio.h>

static struct mm_struct *ended;		/* an address space that is over */
static struct mmu_interval_notifier there, fresh, async_there;
static struct mmu_notifier listed, unlisted, broken;
static unsigned int calls;

static bool call(struct mmu_interval_notifier *sub,
		 const struct mmu_notifier_range *range, unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
	calls++;
	return true;
}

static bool call_first(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long seq,
		       struct mmu_interval_notifier_finish **finish)
{
	return call(sub, range, seq);
}

static void call_second(struct mmu_interval_notifier_finish *finish)
{
}

static bool call_batch(struct mmu_interval_notifier *const *subs, size_t n,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	return true;
}

static void told(struct mmu_interval_notifier *sub)
{
	calls++;
}

static const struct mmu_interval_notifier_ops good = { .invalidate = call };
static const struct mmu_interval_notifier_ops good_async = {
	.invalidate = call, .uhmm_removed = told,
};
static const struct mmu_interval_notifier_ops empty;
static const struct mmu_interval_notifier_ops two_ways = {
	.invalidate = call, .uhmm_invalidate_batch = call_batch,
};
static const struct mmu_interval_notifier_ops no_second = {
	.invalidate_start = call_first,
};
static const struct mmu_interval_notifier_ops no_first = {
	.invalidate_finish = call_second,
};
static const struct mmu_interval_notifier_ops lone_second = {
	.invalidate = call, .invalidate_finish = call_second,
};
static const struct mmu_interval_notifier_ops three_ways = {
	.invalidate = call, .invalidate_start = call_first,
	.invalidate_finish = call_second,
};

/* ------------------------------------------------------------------ the calls
 * Each is a function that makes one wrong call.
 */
static const struct uhmm_mm_ops nameless;
static struct mm_struct *out;

static int create_null(void)
{
	return uhmm_mm_create(NULL);
}

static int create_with(size_t size, unsigned int flags,
		       const struct uhmm_mm_ops *ops)
{
	struct uhmm_mm_options options = { .size = size, .flags = flags,
					   .ops = ops };

	return uhmm_mm_create_with(&options, &out);
}

static int create_with_null(void)
{
	return uhmm_mm_create_with(NULL, NULL);
}

static int create_too_small(void)
{
	return create_with(sizeof(struct uhmm_mm_options) - 1, 0, NULL);
}

static int create_unsized(void)
{
	return create_with(0, 0, NULL);
}

static int create_unknown_flag(void)
{
	return create_with(sizeof(struct uhmm_mm_options), 1U << 31, NULL);
}

static int create_nameless(void)
{
	return create_with(sizeof(struct uhmm_mm_options), 0, &nameless);
}

#define INSERT(name, sub, space, start, length, ops)                         \
	static int insert_##name(void)                                       \
	{                                                                    \
		return mmu_interval_notifier_insert(sub, space, start,       \
						    length, ops);            \
	}                                                                    \
	static int locked_##name(void)                                       \
	{                                                                    \
		int ret;                                                     \
									     \
		mmap_write_lock(mm);                                         \
		ret = mmu_interval_notifier_insert_locked(sub, space, start, \
							  length, ops);      \
		mmap_write_unlock(mm);                                       \
		return ret;                                                  \
	}

INSERT(no_sub, NULL, mm, PG(0), 4096, &good)
INSERT(no_mm, &fresh, NULL, PG(0), 4096, &good)
INSERT(ended, &fresh, ended, PG(0), 4096, &good)
INSERT(no_ops, &fresh, mm, PG(0), 4096, NULL)
INSERT(empty_ops, &fresh, mm, PG(0), 4096, &empty)
INSERT(two_ways, &fresh, mm, PG(0), 4096, &two_ways)
INSERT(three_ways, &fresh, mm, PG(0), 4096, &three_ways)
INSERT(no_second, &fresh, mm, PG(0), 4096, &no_second)
INSERT(no_first, &fresh, mm, PG(0), 4096, &no_first)
INSERT(lone_second, &fresh, mm, PG(0), 4096, &lone_second)
INSERT(empty, &fresh, mm, PG(0), 0, &good)
INSERT(wraps, &fresh, mm, PG(0), ULONG_MAX, &good)
INSERT(wraps_by_one, &fresh, mm, ULONG_MAX, 2, &good)
INSERT(twice, &there, mm, PG(5), 4096, &good)

static int tagged_no_sub(void)
{
	return uhmm_interval_notifier_insert_tagged(NULL, mm, PG(0), 4096);
}

static int tagged_no_mm(void)
{
	return uhmm_interval_notifier_insert_tagged(&fresh, NULL, PG(0), 4096);
}

static int tagged_ended(void)
{
	return uhmm_interval_notifier_insert_tagged(&fresh, ended, PG(0), 4096);
}

static int tagged_empty(void)
{
	return uhmm_interval_notifier_insert_tagged(&fresh, mm, PG(0), 0);
}

static int tagged_wraps(void)
{
	return uhmm_interval_notifier_insert_tagged(&fresh, mm, PG(0),
						    ULONG_MAX);
}

static int tagged_twice(void)
{
	return uhmm_interval_notifier_insert_tagged(&there, mm, PG(0), 4096);
}

static int async_null(void)
{
	return uhmm_interval_notifier_remove_async(NULL);
}

static int async_without_word(void)
{
	return uhmm_interval_notifier_remove_async(&there);
}

static int async_not_inserted(void)
{
	return uhmm_interval_notifier_remove_async(&fresh);
}

static unsigned long seq;

static int read_no_sub(void)
{
	return uhmm_interval_read_begin_timeout(NULL, 0, &seq);
}

static int read_no_seq(void)
{
	return uhmm_interval_read_begin_timeout(&there, 0, NULL);
}

/* An end that nobody started is let be. */
static int start_range(struct mm_struct *space, unsigned long start,
		       unsigned long end, bool blockable)
{
	struct mmu_notifier_range range;
	int ret;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, space, start, end);
	ret = blockable ? mmu_notifier_invalidate_range_start(&range) :
			  mmu_notifier_invalidate_range_start_nonblock(&range);
	if (ret)
		mmu_notifier_invalidate_range_end(&range);
	return ret;
}

static int start_no_mm(void)
{
	return start_range(NULL, PG(0), PG(1), true);
}

static int start_empty(void)
{
	return start_range(mm, PG(0), PG(0), true);
}

static int start_reversed(void)
{
	return start_range(mm, PG(1), PG(0), true);
}

static int nonblock_no_mm(void)
{
	return start_range(NULL, PG(0), PG(1), false);
}

static int nonblock_empty(void)
{
	return start_range(mm, 0, 0, false);
}

static int nonblock_reversed(void)
{
	return start_range(mm, ULONG_MAX, 0, false);
}

/* ------------------------------------------------------------- list notifiers */

static int list_start(struct mmu_notifier *list,
		      const struct mmu_notifier_range *range)
{
	calls++;
	return 0;
}

static void list_end(struct mmu_notifier *list,
		     const struct mmu_notifier_range *range)
{
	calls++;
}

static void secondary(struct mmu_notifier *list, struct mm_struct *space,
		      unsigned long start, unsigned long end)
{
}

static struct mmu_notifier *make(struct mm_struct *space)
{
	fail_msg("made without need");
	return NULL;
}

static void unmake(struct mmu_notifier *list)
{
	fail_msg("freed without need");
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = list_start,
};
static const struct mmu_notifier_ops both_kinds = {
	.invalidate_range_start = list_start,
	.arch_invalidate_secondary_tlbs = secondary,
};
static const struct mmu_notifier_ops both_ends = {
	.invalidate_range_end = list_end,
	.arch_invalidate_secondary_tlbs = secondary,
};
static const struct mmu_notifier_ops get_ops = {
	.alloc_notifier = make, .free_notifier = unmake,
};
static const struct mmu_notifier_ops no_alloc = { .free_notifier = unmake };
static const struct mmu_notifier_ops no_free = { .alloc_notifier = make };

#define REGISTER(name, list, space, list_ops)                                \
	static int register_##name(void)                                     \
	{                                                                    \
		broken.ops = list_ops;                                       \
		return mmu_notifier_register(list, space);                   \
	}                                                                    \
	static int register_locked_##name(void)                              \
	{                                                                    \
		int ret;                                                     \
									     \
		broken.ops = list_ops;                                       \
		mmap_write_lock(mm);                                         \
		ret = __mmu_notifier_register(list, space);                  \
		mmap_write_unlock(mm);                                       \
		return ret;                                                  \
	}                                                                    \
	static int register_timeout_##name(void)                             \
	{                                                                    \
		broken.ops = list_ops;                                       \
		return uhmm_notifier_register_timeout(list, space, 0);       \
	}

REGISTER(null, NULL, mm, NULL)
REGISTER(no_mm, &unlisted, NULL, NULL)
REGISTER(no_ops, &broken, mm, NULL)
REGISTER(both_kinds, &broken, mm, &both_kinds)
REGISTER(both_ends, &broken, mm, &both_ends)
REGISTER(ended, &unlisted, ended, NULL)
REGISTER(twice, &listed, mm, NULL)

static int unregister_null(void)
{
	return uhmm_notifier_unregister_timeout(NULL, mm, 0);
}

static int unregister_no_mm(void)
{
	return uhmm_notifier_unregister_timeout(&listed, NULL, 0);
}

static int unregister_not_there(void)
{
	return uhmm_notifier_unregister_timeout(&unlisted, mm, 0);
}

static int unregister_elsewhere(void)
{
	return uhmm_notifier_unregister_timeout(&listed, ended, 0);
}

static int get(const struct mmu_notifier_ops *ops, struct mm_struct *space)
{
	return uhmm_ptr_err(mmu_notifier_get(ops, space));
}

static int get_no_ops(void)
{
	return get(NULL, mm);
}

static int get_no_mm(void)
{
	return get(&get_ops, NULL);
}

static int get_no_alloc(void)
{
	return get(&no_alloc, mm);
}

static int get_no_free(void)
{
	return get(&no_free, mm);
}

static struct mmu_notifier crowded = { .ops = &get_ops };

static int get_too_often(void)
{
	int ret, too_often;

	ret = mmu_notifier_register(&crowded, mm);
	crowded.users = UINT_MAX;
	too_often = get(&get_ops, mm);
	crowded.users = 1;
	mmu_notifier_unregister(&crowded, mm);
	return ret ? ret : too_often;
}

/* ------------------------------------------------------- the rest of an mm */

static struct uhmm_vma vma;
static struct uhmm_pte pte;
static size_t one = 1, none;
static struct uhmm_mm_stats some_stats;

static int find_null(void)
{
	return uhmm_mm_find_vma(mm, PG(0), NULL);
}

static int find_not_there(void)
{
	return uhmm_mm_find_vma(mm, PG(0), &vma);
}

static int walk_no_count(void)
{
	return uhmm_mm_walk(mm, PG(0), NULL, &pte);
}

static int walk_none(void)
{
	return uhmm_mm_walk(mm, PG(0), &none, &pte);
}

static int walk_no_ptes(void)
{
	return uhmm_mm_walk(mm, PG(0), &one, NULL);
}

static int walk_not_there(void)
{
	return uhmm_mm_walk(mm, PG(0), &one, &pte);
}

static int fault_unknown_flag(void)
{
	return uhmm_mm_fault(mm, PG(0), 8);
}

static int fault_not_there(void)
{
	return uhmm_mm_fault(mm, PG(0), 0);
}

static int fork_null(void)
{
	return uhmm_mm_fork(mm, NULL);
}

static int fork_not_there(void)
{
	return uhmm_mm_fork(mm, &out);
}

static int stats_no_mm(void)
{
	return uhmm_mm_get_stats(NULL, &some_stats);
}

static int stats_null(void)
{
	return uhmm_mm_get_stats(mm, NULL);
}

static int print_no_mm(void)
{
	char text[16];

	return uhmm_mm_print_stats(NULL, text, sizeof(text));
}

static int print_null(void)
{
	return uhmm_mm_print_stats(mm, NULL, 1);
}

/* ------------------------------------------------------------------- the table */

#define BOTH(name, errno) { insert_##name, -errno }, { locked_##name, -errno }
#define ALL(name, errno)                                                     \
	{ register_##name, -errno }, { register_locked_##name, -errno },     \
		{ register_timeout_##name, -errno }

struct wrong_call {
	int (*call)(void);
	int ret;
};

static const struct wrong_call of_address_spaces[] = {
	{ create_null, -EINVAL },	  { create_with_null, -EINVAL },
	{ create_too_small, -EINVAL },	  { create_unsized, -EINVAL },
	{ create_unknown_flag, -EINVAL }, { create_nameless, -EINVAL },
	{ find_null, -EINVAL },		  { find_not_there, -EOPNOTSUPP },
	{ walk_no_count, -EINVAL },	  { walk_none, -EINVAL },
	{ walk_no_ptes, -EINVAL },	  { walk_not_there, -EOPNOTSUPP },
	{ fault_unknown_flag, -EINVAL },  { fault_not_there, -EOPNOTSUPP },
	{ fork_null, -EINVAL },		  { fork_not_there, -EOPNOTSUPP },
	{ stats_no_mm, -EINVAL },	  { stats_null, -EINVAL },
	{ print_no_mm, -EINVAL },	  { print_null, -EINVAL },
	{ NULL, 0 },
};

static const struct wrong_call of_subscriptions[] = {
	BOTH(no_sub, EINVAL),	      BOTH(no_mm, EINVAL),
	BOTH(ended, EINVAL),	      BOTH(no_ops, EINVAL),
	BOTH(empty_ops, EINVAL),      BOTH(two_ways, EINVAL),
	BOTH(three_ways, EINVAL),     BOTH(no_second, EINVAL),
	BOTH(no_first, EINVAL),	      BOTH(lone_second, EINVAL),
	BOTH(empty, EOVERFLOW),	      BOTH(wraps, EOVERFLOW),
	BOTH(wraps_by_one, EOVERFLOW), BOTH(twice, EBUSY),
	{ tagged_no_sub, -EINVAL },   { tagged_no_mm, -EINVAL },
	{ tagged_ended, -EINVAL },    { tagged_empty, -EOVERFLOW },
	{ tagged_wraps, -EOVERFLOW }, { tagged_twice, -EBUSY },
	{ async_null, -EINVAL },      { async_without_word, -EINVAL },
	{ async_not_inserted, -EINVAL },
	{ read_no_sub, -EINVAL },     { read_no_seq, -EINVAL },
	{ NULL, 0 },
};

static const struct wrong_call of_invalidations[] = {
	{ start_no_mm, -EINVAL },    { start_empty, -EINVAL },
	{ start_reversed, -EINVAL }, { nonblock_no_mm, -EINVAL },
	{ nonblock_empty, -EINVAL }, { nonblock_reversed, -EINVAL },
	{ NULL, 0 },
};

static const struct wrong_call of_list_notifiers[] = {
	ALL(null, EINVAL),	 ALL(no_mm, EINVAL),
	ALL(no_ops, EINVAL),	 ALL(both_kinds, EINVAL),
	ALL(both_ends, EINVAL),	 ALL(ended, EINVAL),
	ALL(twice, EBUSY),	 { unregister_null, -EINVAL },
	{ unregister_no_mm, -EINVAL },
	{ unregister_not_there, -EINVAL },
	{ unregister_elsewhere, -EINVAL },
	{ get_no_ops, -EINVAL }, { get_no_mm, -EINVAL },
	{ get_no_alloc, -EINVAL }, { get_no_free, -EINVAL },
	{ get_too_often, -EOVERFLOW },
	{ NULL, 0 },
};

/* ---------------------------------------------------------------- what is left */

/* All that a wrong call could have touched. */
struct state {
	struct uhmm_mm_stats stats;
	struct mmu_interval_notifier there, fresh;
	struct mmu_notifier unlisted;
	struct uhmm_mm_stats some_stats;
	struct uhmm_vma vma;
	struct uhmm_pte pte;
	struct mm_struct *out;
	unsigned long seq;
	size_t one, none;
	unsigned int calls;
};

static void look_at(struct state *state)
{
	memset(state, 0, sizeof(*state));
	state->stats = stats();
	state->there = there;
	state->fresh = fresh;
	state->unlisted = unlisted;
	state->some_stats = some_stats;
	state->vma = vma;
	state->pte = pte;
	state->out = out;
	state->seq = seq;
	state->one = one;
	state->none = none;
	state->calls = calls;
}

static void try_all(const struct wrong_call *wrong)
{
	struct mmu_notifier_range range;
	const struct wrong_call *first = wrong;
	struct state before, after;
	int ret;

	for (; wrong->call; wrong++) {
		look_at(&before);
		ret = wrong->call();
		if (ret != wrong->ret)
			fail_msg("wrong call %zu: %d instead of %d",
				 (size_t)(wrong - first), ret, wrong->ret);
		look_at(&after);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	/* Everybody who was there is called, and nobody else. */
	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, 0, ULONG_MAX);
	calls = 0;
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	assert_int_equal(calls, 3);
	mmu_notifier_invalidate_range_end(&range);
	assert_true(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
}

static int begin(void **state)
{
	case_begin(state);
	assert_int_equal(uhmm_mm_create(&ended), 0);
	mmgrab(ended);
	mmput(ended);
	out = ended;
	calls = 0;
	memset(&fresh, 0, sizeof(fresh));
	assert_int_equal(mmu_interval_notifier_insert(&there, mm, PG(0), 4096,
						      &good), 0);
	assert_int_equal(mmu_interval_notifier_insert(&async_there, mm, PG(0),
						      4096, &good_async), 0);
	listed.ops = unlisted.ops = &list_ops;
	return mmu_notifier_register(&listed, mm);
}

static int end(void **state)
{
	mmu_notifier_unregister(&listed, mm);
	mmu_interval_notifier_remove(&there);
	mmu_interval_notifier_remove(&async_there);
	mmdrop(ended);
	return case_end(state);
}

static void wrong_calls_of_address_spaces(void **state)
{
	try_all(of_address_spaces);
}

static void wrong_calls_of_subscriptions(void **state)
{
	try_all(of_subscriptions);
}

static void wrong_calls_of_invalidations(void **state)
{
	try_all(of_invalidations);
}

static void wrong_calls_of_list_notifiers(void **state)
{
	try_all(of_list_notifiers);
}

#define WRONG(fn)                                                            \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = begin,           \
		.teardown_func = end, .initial_state = (void *)#fn           \
	}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		WRONG(wrong_calls_of_address_spaces),
		WRONG(wrong_calls_of_subscriptions),
		WRONG(wrong_calls_of_invalidations),
		WRONG(wrong_calls_of_list_notifiers),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
