/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between callbacks and who
 * removes a subscription without waiting for them, or while a start is half way.
 *
 * Bad: memory that was given back is used, or is never given back
 * Result: Never
 */
#include "views.h"

static atomic_bool released;
static atomic_uint given_back;

static void removed(struct mmu_interval_notifier *sub)
{
	free(sub);
	given_back++;
}

static const struct mmu_interval_notifier_ops lazy = {
	.invalidate = called, .uhmm_removed = removed };

static void *removes_lazily(void *unused)
{
	uhmm_thread_name("remove");
	uhmm_interval_notifier_remove_async(&view[MANY - 4]->sub);
	return NULL;
}

static void *removes_last(void *unused)
{
	return removes(view[MANY - 1]);
}

/* Two of one leaf, after which the index is searched on, and two of the next. */
static void *unmaps_late(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE + (MANY - 4) * PAGE, 4 * PAGE);
	return NULL;
}

static void async(void)
{
	views(MANY, PAGE, &lazy);
	TOGETHER(removes_lazily, unmaps_late);
	if (!given_back)
		uhmm_defect(UHMM_DEFECT_ASSERTION, "it is never given back");
}
ORDERED(async, "memory is used that was given back, or it never is");

static bool not_behind_release(struct mmu_interval_notifier *sub,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	if (released)
		uhmm_defect(UHMM_DEFECT_STALE, "called behind RELEASE");
	released = range->event == MMU_NOTIFY_RELEASE;
	return called(sub, range, cur_seq);
}

static const struct mmu_interval_notifier_ops until_release = {
	.invalidate = not_behind_release };

static void *exits(void *unused)
{
	uhmm_thread_name("exit");
	mmput(mm);
	return NULL;
}

#define USED "memory that was given back is used"
ORDERED_RUN(two_searches, USED, views(MANY, PAGE, &ops), removes_last,
	    unmaps_late);
ORDERED_RUN(release, "called behind RELEASE", views(1, PAGE, &until_release), exits,
	    unmaps);
