/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between invalidations and
 * who registers a list notifier.
 *
 * Bad: a freed page is read, or an end is seen without its start
 * Result: Never
 */
#include "lists.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list_view *young;

static int locked_start(struct mmu_notifier *list,
			const struct mmu_notifier_range *range)
{
	pthread_mutex_lock(&lock);
	list_starts(list, range);
	pthread_mutex_unlock(&lock);
	return 0;
}

static const struct mmu_notifier_ops locked_ops = {
	.invalidate_range_start = locked_start,
	.invalidate_range_end = list_ends,
};

/* In force when register returns: what is under way by then is over, or known. */
static void *device(void *unused)
{
	unsigned int page;
	bool open;

	uhmm_thread_name("device");
	young = list_view_new(&locked_ops);
	registers(young);
	pthread_mutex_lock(&lock);
	open = young->open;
	page = atomic_load_explicit(&pte, memory_order_relaxed);
	if (!open && atomic_load_explicit(&freed[page], memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "the device reads page %u, which is freed", page);
	pthread_mutex_unlock(&lock);
	return NULL;
}

#define BAD "a freed page is read, or an end is seen without its start"
ORDERED_RUN(registration, BAD, list_views(0), device, unmap);
ORDERED_RUN(registration_again, BAD, list_views(1), device, unmap);
