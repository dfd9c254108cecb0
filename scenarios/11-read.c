/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between an invalidation
 * and who faults. tests/scenarios/weakened.txt says which fails without which.
 *
 * Bad: the device reads a page that is freed, or sleeps for ever
 * Result: Never
 */
#include "faults.h"

/* Of src/sync: is there a membarrier? */
extern bool sync_asymmetric __attribute__((visibility("hidden")));

/* The slot of what has ended is used again, for what does not matter. */
static void *unmap_then_above(void *unused)
{
	unmap(NULL);
	invalidate(ELSEWHERE, PAGE);
	return NULL;
}

static void *unmap_then_below(void *unused)
{
	unmap(NULL);
	invalidate(BELOW, PAGE);
	return NULL;
}

static void *device_timed(void *unused)
{
	fault(timed);
	return NULL;
}

static void begin_with(bool membarrier)
{
	sync_asymmetric = membarrier;
	begin();
	insert();
}

#define READ "a freed page is read"
ORDERED_RUN(slot_above, READ, begin_with(true), device, unmap_then_above);
ORDERED_RUN(slot_below, READ, begin_with(true), device, unmap_then_below);
ORDERED_RUN(two_readers, READ, begin_with(true), device, device, unmap);
ORDERED_RUN(two_timed, READ, begin_with(true), device_timed, device_timed,
	    unmap);
ORDERED_RUN(symmetric, READ, begin_with(false), device, unmap);
ORDERED_RUN(insert_and_read, READ, begin(), comes, unmap);
