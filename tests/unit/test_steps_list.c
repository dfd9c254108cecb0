/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* List notifiers, step by step. See duel.h. */
#include "duel.h"

static struct listener list;
static int starts, ends;

static void count_list(struct listener *l, char what)
{
	if (look(&gone))
		count(&late);
	if (what == 's')
		count(&starts);
	if (what == 'e')
		count(&ends);
}

static void no_list(void)
{
	listener_init(&list, 1, &listener_ops);
	list.quiet = true;
	list.hook = count_list;
	gone = late = starts = ends = 0;
}

static void add_list(void)
{
	no_list();
	assert_int_equal(mmu_notifier_register(&list.mn, mm), 0);
}

static void register_list(void)
{
	if (mmu_notifier_register(&list.mn, mm))
		abort();
}

static void unregister_list(void)
{
	listener_drop(&list);
	set(&gone, 1);
}

static const char *as_many_ends(void)
{
	listener_drop(&list);
	return look(&starts) == look(&ends) ? NULL :
	       "an end without its start, or a start without its end";
}

static const char *no_list_late(void)
{
	return look(&late) ? "it was called after it was unregistered" : NULL;
}

static void a_start_meets_a_register(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = begin_10,
		.other = register_list,
		.may_wait = true,
		.finish = end_10,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void an_end_meets_a_register(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = begin_and_end_10,
		.other = register_list,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void a_register_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = register_list,
		.other = begin_and_end_10,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void an_invalidation_meets_an_unregister(void **state)
{
	static const struct duel duel = {
		.setup = add_list,
		.stepped = begin_and_end_10,
		.other = unregister_list,
		.ended = no_list_late,
	};

	fight(&duel);
}

static void an_unregister_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = add_list,
		.stepped = unregister_list,
		.other = begin_and_end_10,
		.ended = no_list_late,
	};

	fight(&duel);
}

static struct mmu_notifier shared;
static struct mmu_notifier_ops shared_ops;

static struct mmu_notifier *alloc_shared(struct mm_struct *it)
{
	memset(&shared, 0, sizeof(shared));
	return &shared;
}

static void free_shared(struct mmu_notifier *mn)
{
	count(&gone);
}

static int start_shared(struct mmu_notifier *mn,
			const struct mmu_notifier_range *r)
{
	if (look(&gone))
		count(&late);
	return 0;
}

static void get_shared(void)
{
	gone = late = 0;
	shared_ops.alloc_notifier = alloc_shared;
	shared_ops.free_notifier = free_shared;
	shared_ops.invalidate_range_start = start_shared;
	assert_ptr_equal(mmu_notifier_get(&shared_ops, mm), &shared);
}

static void put_shared(void)
{
	mmu_notifier_put(&shared);
}

static void put_and_synchronize(void)
{
	mmu_notifier_put(&shared);
	mmu_notifier_synchronize();
	if (look(&gone) != 1)
		count(&late);
}

static void an_invalidation_meets_a_put(void **state)
{
	static const struct duel duel = {
		.setup = get_shared,
		.stepped = begin_10,
		.other = put_and_synchronize,
		.both_done = gone_once,
		.finish = end_10,
		.ended = no_list_late,
	};

	fight(&duel);
}

static void a_put_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = get_shared,
		.stepped = put_shared,
		.other = begin_and_end_10,
		.both_done = gone_once,
		.ended = no_list_late,
	};

	fight(&duel);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_start_meets_a_register),
		CASE(an_end_meets_a_register),
		CASE(a_register_meets_an_invalidation),
		CASE(an_invalidation_meets_an_unregister),
		CASE(an_unregister_meets_an_invalidation),
		CASE(an_invalidation_meets_a_put),
		CASE(a_put_meets_an_invalidation),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
