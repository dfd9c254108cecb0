/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between a search that asks the filter of
 * the index first, and who makes that.
 *
 * Bad: an invalidation is lost, or the device reads a page that is freed
 * Result: Never
 */
#include "faults.h"

#define LEAF 14
/* With the one HERE all leaves are full: of a filter, and of another in its place. */
#define FULL (3 * LEAF - 1)
#define FULL_AGAIN (13 * LEAF - 1)
#define ABOVE(n) (0x100000UL + (n) * PAGE)

static struct mmu_interval_notifier full[FULL_AGAIN], more;

static void begin_full(unsigned int n)
{
	begin();
	insert();
	for (unsigned int i = 0; i < n; i++)
		insert_at(&full[i], ABOVE(i), PAGE);
}

static void *makes_it(void *unused)
{
	uhmm_thread_name("insert");
	insert_at(&more, ABOVE(FULL_AGAIN), PAGE);
	return NULL;
}

/* Who has found nothing asks the filter next, if there is one. */
static void *unmap_last(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(BELOW, PAGE);
	atomic_store_explicit(&hit, false, memory_order_relaxed);
	invalidate(HERE, PAGE);
	if (!atomic_load_explicit(&hit, memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_LOST, "what is inserted is not called");
	return NULL;
}

/* There is one. */
static void begin_filtered(void)
{
	begin_full(FULL);
	makes_it(NULL);
	mmu_interval_notifier_remove(&sub);
}

/* There will be one, of whoever comes first, and what else comes meanwhile. */
static void begin_nearly(void)
{
	begin_full(FULL);
	mmu_interval_notifier_remove(&sub);
	insert_at(&full[FULL], BELOW / 2, PAGE);
}

static void *unmap_second(void *unused)
{
	invalidate(BELOW, PAGE);
	return unmap(NULL);
}
#define LOST "an invalidation is lost"
#define READ "a freed page is read"
ORDERED_RUN(filter, LOST, begin_full(FULL), makes_it, unmap_last);
ORDERED_RUN(filter_again, LOST, begin_full(FULL_AGAIN), makes_it, unmap_last);
ORDERED_RUN(filter_there, READ, begin_filtered(), comes, unmap_second);
ORDERED_RUN(filter_meanwhile, READ, begin_nearly(), makes_it, comes, unmap_second);
