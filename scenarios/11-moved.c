/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those by which a search takes a leaf of
 * the index at its word, though a slot of it is filled with something else.
 *
 * Bad: a view is called for what it does not look at
 * Result: Never
 */
#include "views.h"

enum { THERE = HERE + 16 * PAGE };

static bool called_for_its_own(struct mmu_interval_notifier *sub,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	if (range->start > sub->interval_tree.last ||
	    range->end <= sub->interval_tree.start)
		uhmm_defect(UHMM_DEFECT_STALE, "called for another's page");
	return called(sub, range, cur_seq);
}

static const struct mmu_interval_notifier_ops own = {
	.invalidate = called_for_its_own };

static void *inserts_there(void *unused)
{
	uhmm_thread_name("insert");
	view_at(THERE, &own);
	return NULL;
}

/* Its slot is the next to be filled, with what is elsewhere. */
static void *moves(void *unused)
{
	uhmm_thread_name("move");
	view_gone(view[0]);
	view_at(THERE, &own);
	return NULL;
}

static void *unmaps_here(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, PAGE);
	return NULL;
}

static void *unmaps_there(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(THERE, PAGE);
	return NULL;
}

#define OTHERS_PAGE "a view is called for what it does not look at"
ORDERED_RUN(moved, OTHERS_PAGE, views(1, PAGE, &own), removes_first,
	    inserts_there, unmaps_here);
ORDERED_RUN(moved_there, OTHERS_PAGE, views(1, PAGE, &own), moves, unmaps_there);
