/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between who inserts and a
 * thread that remembers where its last search ended.
 *
 * Bad: the device reads a page that is freed, or is not told of an invalidation
 * Result: Never
 */
#include "faults.h"

/* All end below what is unmapped: the new one raises a bound, if there is one. */
static void some(unsigned int n)
{
	begin();
	others(0, n, PAGE, PAGE / 4, PAGE);
}

static void *unmap_second(void *unused)
{
	invalidate(HERE, PAGE);
	return unmap(NULL);
}

static atomic_bool inserted;

static void *comes_and_says_so(void *unused)
{
	uhmm_thread_name("insert");
	insert();
	atomic_store_explicit(&inserted, true, memory_order_release);
	return NULL;
}

/* The first two make what a thread remembers: of a leaf, and that it is empty. */
static void *unmap_third(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, PAGE);
	invalidate(HERE, PAGE);
	if (!atomic_load_explicit(&inserted, memory_order_acquire))
		return NULL;
	atomic_store_explicit(&hit, false, memory_order_relaxed);
	invalidate(HERE, PAGE);
	if (!atomic_load_explicit(&hit, memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_LOST, "what was inserted is not called");
	return NULL;
}

ORDERED_RUN(finger, "a freed page is read", some(OTHERS), comes, unmap_second);
ORDERED_RUN(finger_leaf, "an invalidation is lost", some(1), comes_and_says_so,
	    unmap_third);
