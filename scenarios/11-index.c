/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between who inserts and a
 * thread that remembers where its last search ended.
 *
 * Bad: the device reads a page that is freed
 * Result: Never
 */
#include "faults.h"

/* All end below what is unmapped: the new one raises a bound, if there is one. */
static void some(unsigned int n)
{
	begin();
	others(0, n, PAGE, PAGE / 4, PAGE);
}

static void *comes(void *unused)
{
	insert();
	return device(NULL);
}

static void *unmap_second(void *unused)
{
	invalidate(HERE, PAGE);
	return unmap(NULL);
}

static void *unmap_third(void *unused)
{
	invalidate(HERE, PAGE);
	return unmap_second(NULL);
}

ORDERED_RUN(finger, "a freed page is read", some(OTHERS), comes, unmap_second);
ORDERED_RUN(finger_leaf, "a freed page is read", some(1), comes, unmap_second);
ORDERED_RUN(finger_tag, "a freed page is read", some(1), comes, unmap_third);
