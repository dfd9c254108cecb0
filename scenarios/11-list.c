/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between the callbacks of
 * list notifiers and who unregisters one.
 *
 * Bad: memory that was given back is used
 * Result: Never
 */
#include "lists.h"

static void *unregisters(struct list_view *v)
{
	uhmm_thread_name("unregister");
	mmu_notifier_unregister(&v->list, mm);
	free(v);
	return NULL;
}

static void *unregisters_old(void *unused)
{
	return unregisters(view[0]);
}

static void *unregisters_new(void *unused)
{
	return unregisters(view[1]);
}

static void *unmap_twice(void *unused)
{
	unmap(NULL);
	return unmap(NULL);
}

#define USED "memory that was given back is used"
ORDERED_RUN(unregister, USED, list_views(1), unregisters_old, unmap);
ORDERED_RUN(unregister_new, USED, list_views(2), unregisters_new, unmap);
ORDERED_RUN(unregister_twice, USED, list_views(1), unregisters_old, unmap_twice);
ORDERED_RUN(unregister_both, USED, list_views(2), unregisters_old,
	    unregisters_new, unmap);
