/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Searches of the index that stand still while it is written. */
#include "interleave.h"

#include <stdlib.h>
#include <sys/mman.h>

/* -------------------------------------------------- nodes that are looked at
 * A search stands before a node of the index, while that is split, and split
 * again. It still finds its one, and nothing else.
 */
static void start_for_resident(void)
{
	start_range(500, 1);
	end_range();
}

static void nodes_are_kept_for_searches(void)
{
	unsigned int i;

	for (i = 1; i < 400; i++)
		insert(i, i < 200 ? 300 + i : 310 + i);
	insert(0, 500);
	begin_victim(&job, start_for_resident, "before a node", 0);
	/* Removes would wait for the search; inserts split nodes as well. */
	for (; i < CROWD; i++)
		insert(i, i % 2 ? 300 + i % 200 : 510 + i % 200);
	let_victim_go(&job);
	if (calls != 1)
		forbidden("one that is there is not called once");
}

/* --------------------------------------------- a slot of a leaf, filled again */

static struct mmu_interval_notifier *lent;	/* on a page that can go away */

static void remove_second(void)
{
	remove_sub(1);
}

/* Three, and a search for them at @point, when the second goes. */
static void remove_second_beside_search(const struct mmu_interval_notifier_ops *ops,
					const char *point, unsigned int times)
{
	for (unsigned int i = 0; i < 3; i++)
		insert_with(i, 10 + 10 * i, ops);
	begin_victim(&job, start_ten, point, times);
	/* Unlinks, and then waits for the search. */
	begin(&other, remove_second);
	nap();
}

/*
 * Between the word of a leaf and its lanes the second one goes, and another
 * that belongs behind the third takes its slot. While that one is called the
 * third is removed.
 */
static bool fourth_is_called;

static bool wait_for_third(struct mmu_interval_notifier *sub,
			   const struct mmu_notifier_range *r,
			   unsigned long seq)
{
	smp_store_release(&fourth_is_called, true);
	for (unsigned int i = 0; i < 10 && !READ_ONCE(gone[2]); i++)
		nap();
	return count_call(sub, r, seq);
}

static const struct mmu_interval_notifier_ops waiting = {
	.invalidate = wait_for_third,
};

static void remove_third(void)
{
	remove_sub(2);
}

static void a_batch_stays_in_order(void)
{
	static struct job third;

	remove_second_beside_search(&counting, "before the lanes", 0);
	insert_with(3, 39, &waiting);
	let_go_of_victim();
	await(&fourth_is_called, "one that is there is not called");
	begin(&third, remove_third);
	finish(&third);
	finish(&job);
	finish(&other);
}

static bool check_order(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *r, unsigned long seq)
{
	static unsigned long last;

	if (sub->interval_tree.start < last)
		forbidden("called out of order");
	last = sub->interval_tree.start;
	return count_call(sub, r, seq);
}

static const struct mmu_interval_notifier_ops ordered = {
	.invalidate = check_order,
};

static void a_batch_ascends(void)
{
	remove_second_beside_search(&ordered, "before the lanes", 0);
	insert_with(3, 39, &ordered);
	let_victim_go(&job);
	finish(&other);
}

/* Between the lanes and the interval: another may be in its place. */
static void what_is_found_is_looked_at(void)
{
	remove_second_beside_search(&counting, "before the interval", 1);
	insert(3, 500);
	let_victim_go(&job);
	finish(&other);
}

/*
 * The same, and that other one goes again, with its memory: it was not for the
 * range, but the search looks at it.
 */
static void remove_lent(void)
{
	mmu_interval_notifier_remove(lent);
	munmap(lent, 4096);
}

static void what_is_looked_at_stays(void)
{
	static struct job third;

	lent = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	remove_second_beside_search(&counting, "before the interval", 1);
	if (mmu_interval_notifier_insert(lent, mm, PG(500), 4096, &ordered))
		abort();
	begin(&third, remove_lent);
	nap();
	let_victim_go(&job);
	finish(&third);
	finish(&other);
}

/* ------------------------------------------------- an insert beside a search
 * A search in the leaf of the one before has looked at the lanes when one is
 * inserted. It may miss that; the thread's next one may not.
 */
static void start_ten_again(void)
{
	start_ten();
	start_ten();
	calls = 0;
	start_ten();
}

static void the_next_search_finds_it(void)
{
	begin_victim(&job, start_ten_again, "after the lanes", 0);
	insert(0, 10);
	let_victim_go(&job);
	if (calls != 1)
		forbidden("one that is there is not called once");
}

/* The same, and the insert stands still in the middle. */
static void insert_first(void)
{
	insert(0, 10);
}

static void an_insert_in_two_parts(void)
{
	begin_victim(&job, insert_first, "in an insert", 0);
	start_ten();
	start_ten();
	let_victim_go(&job);
	calls = 0;
	start_ten();
	if (calls != 1)
		forbidden("one that is there is not called once");
}

/*
 * A remove stands still in the middle: its slot is taken for no other's, so that
 * who is not in the range is not called.
 */
static bool never_called(struct mmu_interval_notifier *sub,
			 const struct mmu_notifier_range *r, unsigned long seq)
{
	forbidden("called for what it does not look at");
	return count_call(sub, r, seq);
}

static const struct mmu_interval_notifier_ops outside = {
	.invalidate = never_called,
};

static void a_remove_in_two_parts(void)
{
	insert_with(0, 5, &outside);
	insert(1, 20);
	insert(2, 30);
	begin_victim(&job, remove_third, "in a remove", 0);
	start_range(10, 30);
	end_range();
	if (!calls)
		forbidden("one that is there is not called");
	let_victim_go(&job);
}

/* --------------------------------------------- a search that comes in batches
 * Where it is to go on nobody is left, and so it comes to a leaf that it has
 * been to.
 */
#define BATCH_END 126		/* nine full leaves */
#define LEAF 14

static unsigned int called[2 * BATCH_END];

static bool clear_the_next_leaf(struct mmu_interval_notifier *sub,
				const struct mmu_notifier_range *r,
				unsigned long seq)
{
	if (called[sub - subs]++)
		forbidden("called twice");
	if (sub == subs)
		for (unsigned int i = 0; i < LEAF; i++)
			uhmm_interval_notifier_remove_async(
				&subs[BATCH_END + i]);
	return count_call(sub, r, seq);
}

static void is_gone(struct mmu_interval_notifier *sub)
{
}

static const struct mmu_interval_notifier_ops clearing = {
	.invalidate = clear_the_next_leaf,
	.uhmm_removed = is_gone,
};

static void nobody_is_found_again(void)
{
	for (unsigned int i = 0; i < 2 * BATCH_END; i++)
		insert_with(i, i, &clearing);
	start_range(0, 2 * BATCH_END);
	end_range();
}

const struct interleaving index_cases[] = {
	{ "nodes-are-kept", nodes_are_kept_for_searches },
	{ "order", a_batch_stays_in_order },
	{ "ascending", a_batch_ascends },
	{ "looked-at", what_is_found_is_looked_at },
	{ "stays", what_is_looked_at_stays },
	{ "tag", the_next_search_finds_it },
	{ "insert-in-two", an_insert_in_two_parts },
	{ "remove-in-two", a_remove_in_two_parts },
	{ "again", nobody_is_found_again },
	{ 0 },
};
