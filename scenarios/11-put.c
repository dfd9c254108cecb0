/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between the callbacks of
 * list notifiers and who drops the last use of one.
 *
 * Bad: memory that was given back is used, or is never given back
 * Result: Never
 */
#include "lists.h"

static atomic_uint given_back;

static const struct mmu_notifier_ops shared;

static struct mmu_notifier *alloc_notifier(struct mm_struct *of)
{
	return &list_view_new(&shared)->list;
}

static void free_notifier(struct mmu_notifier *list)
{
	free(list);
	given_back++;
}

static const struct mmu_notifier_ops shared = {
	.invalidate_range_start = list_starts,
	.invalidate_range_end = list_ends,
	.alloc_notifier = alloc_notifier,
	.free_notifier = free_notifier,
};

static void *puts_it(void *unused)
{
	uhmm_thread_name("put");
	mmu_notifier_put(&view[0]->list);
	return NULL;
}

static void *exits_and_puts(void *unused)
{
	uhmm_thread_name("exit");
	mmput(mm);
	mmu_notifier_put(&view[0]->list);
	return NULL;
}

static void begin_with_one(void)
{
	begin();
	mmgrab(mm);
	view[0] = (struct list_view *)mmu_notifier_get(&shared, mm);
}

static void end(void)
{
	if (!given_back)
		uhmm_defect(UHMM_DEFECT_ASSERTION, "it is never given back");
}

static void put(void)
{
	begin_with_one();
	TOGETHER(puts_it, unmap);
	end();
}

/* When it is put it is off the list already, but still called. */
static void put_late(void)
{
	begin_with_one();
	TOGETHER(exits_and_puts, unmap);
	end();
}

#define BAD "memory is used that was given back, or it never is"
ORDERED(put, BAD);
ORDERED(put_late, BAD);
