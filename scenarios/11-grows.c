/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between a search and
 * insertions that put new leaves into the place of old ones, which are used again.
 * Removals, which pass a fence of their own, have no part in it.
 *
 * Bad: memory that was given back is used
 * Result: Never
 */
#include <sched.h>

#include "bare.h"

#define LEAF 14
#define FAR(n) (1UL << (42 + 2 * (n)))	/* out of the scale of all before it */

static atomic_bool grown;

/* Of these one takes memory of the first leaf, if no search is left in it. */
static void *inserts(void *unused)
{
	uhmm_thread_name("insert");
	view_at(FAR(1), &ops);
	atomic_store_explicit(&grown, true, memory_order_relaxed);
	for (unsigned int n = 2; n <= 6; n++)
		view_at(FAR(n), &ops);
	return NULL;
}

static void few(void)
{
	begin();
	view_at(HERE, &ops);
}

static void *unmaps(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, PAGE);
	return NULL;
}

/* The first one called, between two searches: meanwhile leaves are replaced. */
static bool waits(struct mmu_interval_notifier *sub,
		  const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	while (!atomic_load_explicit(&grown, memory_order_relaxed))
		sched_yield();
	return called(sub, range, cur_seq);
}

static const struct mmu_interval_notifier_ops slow = { .invalidate = waits };

/* Two in a leaf, and one in the next, for which the index is searched on. */
static void two_leaves(void)
{
	struct view *view[LEAF];

	begin();
	for (unsigned int i = 0; i < LEAF; i++)
		view[i] = view_at(HERE + i * PAGE, i ? &ops : &slow);
	view_at(FAR(9), &ops);
	for (unsigned int i = 2; i < LEAF; i++)
		view_gone(view[i]);
}

static void *unmaps_all(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, FAR(9));
	return NULL;
}

#define USED "memory that was given back is used"
ORDERED_RUN(grows, USED, few(), inserts, unmaps);
ORDERED_RUN(grows_on, USED, two_leaves(), inserts, unmaps_all);
