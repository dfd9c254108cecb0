/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those of a leaf of the index, whose
 * slots are filled again.
 *
 * Bad: memory that was given back is used
 * Result: Never
 */
#include "views.h"

/* The slot of what was removed, and freed, is the next to be filled. */
static void slot_of_freed(void)
{
	views(2, 16 * PAGE, &ops);
	view_gone(view[0]);
}

static void *inserts(void *unused)
{
	uhmm_thread_name("insert");
	view_at(HERE, &ops);
	return NULL;
}

static void *inserts_and_removes(void *unused)
{
	inserts(NULL);
	view_gone(view[1]);
	return NULL;
}

static void *replaces(void *unused)
{
	uhmm_thread_name("replace");
	view_gone(view[0]);
	view_at(HERE, &ops);
	return NULL;
}

/* Beside two that stay. */
static void slot_of_freed_of_three(void)
{
	views(3, PAGE, &ops);
	view_gone(view[0]);
}

static void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, PAGE);
	return NULL;
}

#define USED "memory that was given back is used"
ORDERED_RUN(leaf, USED, slot_of_freed(), inserts, unmap);
ORDERED_RUN(leaf_many, USED, slot_of_freed_of_three(), inserts, unmaps);
ORDERED_RUN(leaf_twice, USED, slot_of_freed(), inserts_and_removes, unmap);
ORDERED_RUN(leaf_replaced, USED, views(1, PAGE, &ops), replaces, unmap);
