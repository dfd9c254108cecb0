/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between callbacks and who
 * removes a subscription.
 *
 * Bad: memory that was given back is used
 * Result: Never
 */
#include "views.h"

static struct mmu_interval_notifier_finish finishes[2];

static bool first_pass(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq,
		       struct mmu_interval_notifier_finish **finish)
{
	mmu_interval_set_seq(sub, cur_seq);
	*finish = &finishes[sub != &view[0]->sub];
	return true;
}

static void second_pass(struct mmu_interval_notifier_finish *finish)
{
	((struct view *)finish->notifier)->calls++;
}

static const struct mmu_interval_notifier_ops two_passes = {
	.invalidate_start = first_pass, .invalidate_finish = second_pass };

/* The last one that goes frees the address space. */
static void no_more_users(void)
{
	views(2, PAGE, &ops);
	mmput(mm);
}

#define USED "memory that was given back is used"
ORDERED_RUN(removal, USED, views(1, PAGE, &ops), removes_first, unmaps);
ORDERED_RUN(removal_of_two, USED, views(2, PAGE, &ops), removes_first, unmaps);
ORDERED_RUN(removal_of_equals, USED, views(3, 0, &ops), removes_second, unmaps);
ORDERED_RUN(removal_of_passes, USED, views(2, PAGE, &two_passes), removes_first,
	    unmaps);
ORDERED_RUN(removal_of_last, USED, no_more_users(), removes_first,
	    removes_second);
