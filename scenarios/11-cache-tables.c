/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the registration cache those of what leads to
 * registrations: tables that grow, regions that are used again, who deregisters.
 *
 * Bad: a registration is used that has ended, or memory that is not the process's
 * Result: Never
 */
#include "pins.h"

/* One more, and the hints are too few. */
static void four(void)
{
	here();
	for (unsigned long at = ELSEWHERE; at < 4 * ELSEWHERE; at += ELSEWHERE)
		get_and_use(at, PAGE);
}

static void *fifth(void *unused)
{
	uhmm_thread_name("fifth");
	get_and_use(4 * ELSEWHERE, PAGE);
	return NULL;
}

static void unmap(void)
{
	unmaps(NULL);
}

/* No hint leads there, and the index does. */
static void in_second_page(void)
{
	get_and_use(HERE + PAGE, PAGE);
}

static void *ends_and_begins(void *unused)
{
	uhmm_thread_name("again");
	uhmm_rcache_flush(cache, HERE, PAGE);
	two_pages();
	return NULL;
}

/* In vain, so that who invalidates always finds it. */
static void flush(void)
{
	refusing = true;
	uhmm_rcache_flush(cache, HERE, PAGE);
}

/* The device, which has looked at it, must be done. */
static void *changes(void *unused)
{
	struct mmu_notifier_range range;

	uhmm_thread_name("unmap");
	range_start(&range, HERE, PAGE);
	memory = 2;
	mmu_notifier_invalidate_range_end(&range);
	return NULL;
}

#define USED "a registration is used that has ended"
ORDERED_RUN(hints_grow, USED, twice(four), here, fifth);
ORDERED_RUN(hints_grow_line, USED, twice(four), unmap, fifth);
ORDERED_RUN(region_again, USED, two_pages(), in_second_page, ends_and_begins);
ORDERED_RUN(claimed, "the device uses memory that is gone", here(), flush,
	    changes);
