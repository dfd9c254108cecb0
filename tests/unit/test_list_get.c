/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* List notifiers found by their ops, and what is asked of all of them. */
#include "util.h"

/* Records "a<n>" when allocated, "f<n>" when freed, "s", "e", "r". */
struct shared {
	struct mmu_notifier mn;
	int id;
};

static int allocated;
static long alloc_error;
static struct gate *start_gate;
static bool put_in_release;

static struct mmu_notifier *shared_alloc(struct mm_struct *it)
{
	struct shared *s;

	if (alloc_error)
		return uhmm_err_ptr(alloc_error);
	s = calloc(1, sizeof(*s));
	s->id = ++allocated;
	record("a", s->id);
	return &s->mn;
}

static void shared_free(struct mmu_notifier *mn)
{
	struct shared *s = container_of(mn, struct shared, mn);

	record("f", s->id);
	free(s);
}

static int shared_start(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	record("s", container_of(mn, struct shared, mn)->id);
	if (start_gate)
		gate_pass(start_gate);
	return 0;
}

static void shared_end(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	record("e", container_of(mn, struct shared, mn)->id);
}

static void shared_release(struct mmu_notifier *mn, struct mm_struct *it)
{
	record("r", container_of(mn, struct shared, mn)->id);
	if (put_in_release)
		mmu_notifier_put(mn);
}

static const struct mmu_notifier_ops shared_ops = {
	.alloc_notifier = shared_alloc,
	.free_notifier = shared_free,
	.invalidate_range_start = shared_start,
	.invalidate_range_end = shared_end,
	.release = shared_release,
};

static const struct mmu_notifier_ops other_ops = {
	.alloc_notifier = shared_alloc,
	.free_notifier = shared_free,
};

static int begin_shared(void **state)
{
	allocated = 0;
	alloc_error = 0;
	start_gate = NULL;
	put_in_release = false;
	return case_begin(state);
}

#define SHARED_CASE(fn)                                                      \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = begin_shared,    \
		.teardown_func = case_end, .initial_state = (void *)#fn      \
	}

/* --------------------------------------------------------------------- errors */

static void pointers_and_errors_are_told_apart(void **state)
{
	int object;

	assert_int_equal(uhmm_ptr_err(&object), 0);
	assert_int_equal(uhmm_ptr_err(NULL), 0);
	for (int e = 1; e <= 4095; e++)
		assert_int_equal(uhmm_ptr_err(uhmm_err_ptr(-e)), -e);
	assert_int_equal(uhmm_ptr_err(uhmm_err_ptr(-4096)), 0);
}

static void get_refuses_null_pointers_and_incomplete_ops(void **state)
{
	struct mmu_notifier_ops no_alloc = shared_ops, no_free = shared_ops;

	no_alloc.alloc_notifier = NULL;
	no_free.free_notifier = NULL;
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(NULL, mm)), -EINVAL);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&shared_ops, NULL)),
			 -EINVAL);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get_locked(&shared_ops,
							      NULL)), -EINVAL);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&no_alloc, mm)),
			 -EINVAL);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&no_free, mm)),
			 -EINVAL);
	assert_recorded("");
}

static void get_passes_on_the_error_of_alloc(void **state)
{
	alloc_error = -EPROTO;
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&shared_ops, mm)),
			 -EPROTO);
	alloc_error = -1;
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&shared_ops, mm)), -1);
	assert_recorded("");
	assert_false(mm_has_notifiers(mm));
	assert_true(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
}

static void get_frees_what_it_cannot_register(void **state)
{
	mmgrab(mm);
	end_mm();
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&shared_ops, mm)),
			 -EINVAL);
	assert_recorded("a1 f1");
	mmdrop(mm);
}

static void never_called(struct mmu_notifier *mn, struct mm_struct *it,
			 unsigned long start, unsigned long end)
{
}

static void get_frees_what_has_ops_that_are_refused(void **state)
{
	struct mmu_notifier_ops ops = shared_ops;

	ops.arch_invalidate_secondary_tlbs = never_called;
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&ops, mm)), -EINVAL);
	assert_recorded("a1 f1");
	assert_false(mm_has_notifiers(mm));
}

static void get_refuses_too_many_users(void **state)
{
	struct mmu_notifier *mn = mmu_notifier_get(&shared_ops, mm);

	mn->users = UINT_MAX - 1;
	assert_ptr_equal(mmu_notifier_get(&shared_ops, mm), mn);
	assert_int_equal(mn->users, UINT_MAX);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&shared_ops, mm)),
			 -EOVERFLOW);
	assert_int_equal(mn->users, UINT_MAX);
	mn->users = 1;
	mmu_notifier_put(mn);
	assert_recorded("a1 f1");
}

/* ---------------------------------------------------------------- get and put */

static void the_same_ops_share_one(void **state)
{
	struct mmu_notifier *one, *two, *other;

	one = mmu_notifier_get(&shared_ops, mm);
	assert_int_equal(uhmm_ptr_err(one), 0);
	assert_ptr_equal(one->mm, mm);
	assert_ptr_equal(one->ops, &shared_ops);
	assert_int_equal(one->users, 1);
	two = mmu_notifier_get(&shared_ops, mm);
	assert_ptr_equal(two, one);
	assert_int_equal(one->users, 2);
	other = mmu_notifier_get(&other_ops, mm);
	assert_ptr_not_equal(other, one);
	assert_recorded("a1 a2");
	invalidate(PG(1), PG(2));
	assert_recorded("s1 e1");
	mmu_notifier_put(other);
	mmu_notifier_put(one);
	assert_recorded("f2");
	invalidate(PG(1), PG(2));
	assert_recorded("s1 e1");
	mmu_notifier_put(two);
	/* release is not called, see there. */
	assert_recorded("f1");
	assert_false(mm_has_notifiers(mm));
	invalidate(PG(1), PG(2));
	assert_recorded("");
}

static void each_space_has_its_own(void **state)
{
	struct mmu_notifier *here, *there;
	struct mm_struct *other;

	assert_int_equal(uhmm_mm_create(&other), 0);
	here = mmu_notifier_get(&shared_ops, mm);
	there = mmu_notifier_get(&shared_ops, other);
	assert_ptr_not_equal(here, there);
	assert_ptr_equal(there->mm, other);
	mmu_notifier_put(here);
	mmu_notifier_put(there);
	assert_recorded("a1 a2 f1 f2");
	mmput(other);
}

static void after_the_last_put_get_makes_another(void **state)
{
	struct mmu_notifier *mn;

	for (int i = 0; i < 3; i++) {
		mn = mmu_notifier_get(&shared_ops, mm);
		mmu_notifier_put(mn);
	}
	assert_recorded("a1 f1 a2 f2 a3 f3");
}

static void get_works_under_mmap_lock(void **state)
{
	struct mmu_notifier *one, *two;

	mmap_write_lock(mm);
	one = mmu_notifier_get_locked(&shared_ops, mm);
	two = mmu_notifier_get_locked(&shared_ops, mm);
	mmap_write_unlock(mm);
	assert_ptr_equal(one, two);
	assert_int_equal(one->users, 2);
	mmu_notifier_put(one);
	mmu_notifier_put(two);
	assert_recorded("a1 f1");
}

static void release_may_put(void **state)
{
	mmu_notifier_get(&shared_ops, mm);
	put_in_release = true;
	end_mm();
	assert_recorded("a1 r1 f1");
}

static void release_may_put_one_of_two_uses(void **state)
{
	struct mmu_notifier *mn = mmu_notifier_get(&shared_ops, mm);

	assert_ptr_equal(mmu_notifier_get(&shared_ops, mm), mn);
	put_in_release = true;
	end_mm();
	assert_recorded("a1 r1");
	mmu_notifier_put(mn);
	assert_recorded("f1");
}

static void put_works_after_the_end(void **state)
{
	struct mmu_notifier *mn = mmu_notifier_get(&shared_ops, mm);

	end_mm();
	assert_recorded("a1 r1");
	mmu_notifier_put(mn);
	assert_recorded("f1");
}

static void it_is_freed_when_the_last_callback_has_left(void **state)
{
	struct mmu_notifier *mn = mmu_notifier_get(&shared_ops, mm);
	struct task starter;
	struct gate gate;

	gate_init(&gate);
	start_gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	mmu_notifier_put(mn);
	/* Nothing else that happens frees it. */
	start_gate = NULL;
	invalidate(PG(1), PG(2));
	assert_recorded("a1 s1");
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("f1");
}

static void synchronize_task(void *unused)
{
	mmu_notifier_synchronize();
	record("sync", 0);
}

static void synchronize_waits_until_it_is_freed(void **state)
{
	struct mmu_notifier *mn = mmu_notifier_get(&shared_ops, mm);
	struct task starter, waiter;
	struct gate gate;

	gate_init(&gate);
	assert_no_wait(synchronize_task, NULL);
	start_gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	/* Not for callbacks as such. */
	assert_no_wait(synchronize_task, NULL);
	mmu_notifier_put(mn);
	task_start(&waiter, synchronize_task, NULL);
	assert_true(task_waits(&waiter));
	gate_open(&gate);
	task_join(&waiter);
	task_join(&starter);
	assert_recorded("a1 sync0 s1 sync0 f1 sync0");
}

/* --------------------------------------------------------------------- young */

struct young {
	struct mmu_notifier mn;
	int id;
	bool used;
	unsigned long start, end;
};

static bool young_asked(const char *what, struct mmu_notifier *mn,
			unsigned long start, unsigned long end)
{
	struct young *y = container_of(mn, struct young, mn);

	record(what, y->id);
	y->start = start;
	y->end = end;
	return y->used;
}

static bool clear_flush_young(struct mmu_notifier *mn, struct mm_struct *it,
			      unsigned long start, unsigned long end)
{
	return young_asked("flush", mn, start, end);
}

static bool clear_young(struct mmu_notifier *mn, struct mm_struct *it,
			unsigned long start, unsigned long end)
{
	return young_asked("clear", mn, start, end);
}

static bool test_young(struct mmu_notifier *mn, struct mm_struct *it,
		       unsigned long address)
{
	return young_asked("test", mn, address, address);
}

static void secondary_tlbs(struct mmu_notifier *mn, struct mm_struct *it,
			   unsigned long start, unsigned long end)
{
	young_asked("arch", mn, start, end);
}

static const struct mmu_notifier_ops young_ops = {
	.clear_flush_young = clear_flush_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.arch_invalidate_secondary_tlbs = secondary_tlbs,
};

static struct young young[3];

static void add_young(void)
{
	memset(young, 0, sizeof(young));
	for (int i = 0; i < 3; i++) {
		young[i].id = i;
		young[i].mn.ops = &young_ops;
		assert_int_equal(mmu_notifier_register(&young[i].mn, mm), 0);
	}
}

static void drop_young(void)
{
	for (int i = 0; i < 3; i++)
		mmu_notifier_unregister(&young[i].mn, mm);
}

static void nobody_there_means_not_young(void **state)
{
	struct listener list;

	assert_false(mmu_notifier_clear_flush_young(mm, PG(1), PG(2)));
	assert_false(mmu_notifier_clear_young(mm, PG(1), PG(2)));
	assert_false(mmu_notifier_test_young(mm, PG(1)));
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, PG(1), PG(2));
	/* Nor one who does not answer. */
	listener_add(&list, 1);
	assert_false(mmu_notifier_clear_flush_young(mm, PG(1), PG(2)));
	assert_false(mmu_notifier_clear_young(mm, PG(1), PG(2)));
	assert_false(mmu_notifier_test_young(mm, PG(1)));
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, PG(1), PG(2));
	assert_recorded("");
	listener_drop(&list);
}

static void clearing_asks_all_and_takes_any(void **state)
{
	add_young();
	assert_false(mmu_notifier_clear_flush_young(mm, PG(1), PG(2)));
	assert_recorded("flush2 flush1 flush0");
	assert_false(mmu_notifier_clear_young(mm, PG(1), PG(2)));
	assert_recorded("clear2 clear1 clear0");
	for (int i = 0; i < 3; i++) {
		young[i].used = true;
		assert_true(mmu_notifier_clear_flush_young(mm, PG(1), PG(2)));
		assert_recorded("flush2 flush1 flush0");
		assert_true(mmu_notifier_clear_young(mm, PG(3), PG(4)));
		assert_recorded("clear2 clear1 clear0");
		young[i].used = false;
	}
	assert_int_equal(young[0].start, PG(3));
	assert_int_equal(young[0].end, PG(4));
	drop_young();
}

static void testing_stops_at_the_first_that_says_yes(void **state)
{
	add_young();
	assert_false(mmu_notifier_test_young(mm, PG(1) + 5));
	assert_recorded("test2 test1 test0");
	assert_int_equal(young[0].start, PG(1) + 5);
	young[0].used = true;
	assert_true(mmu_notifier_test_young(mm, PG(1)));
	assert_recorded("test2 test1 test0");
	young[1].used = true;
	assert_true(mmu_notifier_test_young(mm, PG(1)));
	assert_recorded("test2 test1");
	young[2].used = true;
	assert_true(mmu_notifier_test_young(mm, PG(1)));
	assert_recorded("test2");
	drop_young();
}

static void secondary_tlbs_are_called_apart_from_ranges(void **state)
{
	add_young();
	invalidate(PG(1), PG(2));
	assert_recorded("");
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, PG(5), PG(7));
	assert_recorded("arch2 arch1 arch0");
	assert_int_equal(young[1].start, PG(5));
	assert_int_equal(young[1].end, PG(7));
	drop_young();
}

/* They announce nothing that a read would have to wait for. */
static struct mirror reader;

static bool look_at_reader(struct mmu_notifier *mn, struct mm_struct *it,
			   unsigned long address)
{
	record("held_up", mirror_held_up(&reader));
	return false;
}

static void asking_disturbs_no_read(void **state)
{
	static const struct mmu_notifier_ops ops = {
		.test_young = look_at_reader,
	};
	struct mmu_notifier mn = { .ops = &ops };
	unsigned long seq;

	mirror_add(&reader, 1, 0, PG(10));
	assert_int_equal(mmu_notifier_register(&mn, mm), 0);
	seq = mirror_begin(&reader);
	assert_false(mmu_notifier_test_young(mm, PG(1)));
	assert_recorded("held_up0");
	assert_false(mirror_retry(&reader, seq));
	assert_int_equal(stats().starts, 0);
	mmu_notifier_unregister(&mn, mm);
	mirror_drop(&reader);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		SHARED_CASE(pointers_and_errors_are_told_apart),
		SHARED_CASE(get_refuses_null_pointers_and_incomplete_ops),
		SHARED_CASE(get_passes_on_the_error_of_alloc),
		SHARED_CASE(get_frees_what_it_cannot_register),
		SHARED_CASE(get_frees_what_has_ops_that_are_refused),
		SHARED_CASE(get_refuses_too_many_users),
		SHARED_CASE(the_same_ops_share_one),
		SHARED_CASE(each_space_has_its_own),
		SHARED_CASE(after_the_last_put_get_makes_another),
		SHARED_CASE(get_works_under_mmap_lock),
		SHARED_CASE(release_may_put),
		SHARED_CASE(release_may_put_one_of_two_uses),
		SHARED_CASE(put_works_after_the_end),
		SHARED_CASE(it_is_freed_when_the_last_callback_has_left),
		SHARED_CASE(synchronize_waits_until_it_is_freed),
		SHARED_CASE(nobody_there_means_not_young),
		SHARED_CASE(clearing_asks_all_and_takes_any),
		SHARED_CASE(testing_stops_at_the_first_that_says_yes),
		SHARED_CASE(secondary_tlbs_are_called_apart_from_ranges),
		SHARED_CASE(asking_disturbs_no_read),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
