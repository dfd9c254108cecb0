/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the registration cache those of hints, which are
 * written while they are read.
 *
 * Bad: a registration is used that has ended, or is another one
 * Result: Never
 */
#include "pins.h"

/* What is got at HERE from now on is one of two pages; until that ends. */
static void *merges(void *unused)
{
	uhmm_thread_name("merge");
	two_pages();
	invalidate(HERE, PAGE);
	return NULL;
}

/* Its region is the next to be used again, and so is its hint. */
static void *ends_and_begins(void *unused)
{
	uhmm_thread_name("again");
	uhmm_rcache_flush(cache, HERE, PAGE);
	here();
	return NULL;
}

/* All places for hints are taken, HERE's next; NEAR finds LARGE's, and needs none. */
enum { BESIDE = 0x2a * PAGE, LARGE = 0x40 * PAGE, LARGE_PAGES = 8, NEAR = 5 };

static void here_beside_large(void)
{
	here();
	get_and_use(LARGE, LARGE_PAGES * PAGE);
	for (unsigned int i = 1; i < LARGE_PAGES; i++)
		if (i != NEAR)
			get_and_use(LARGE + i * PAGE, PAGE);
}

static void beside_here(void)
{
	get_and_use(BESIDE, PAGE);
}

static void *beside_too(void *unused)
{
	uhmm_thread_name("beside");
	beside_here();
	return NULL;
}

/* The first page of all. */
static void first_page(void)
{
	get_and_use(0, PAGE);
}

static void in_first_page(void)
{
	get_and_use(1, 1);
}

static void *unmaps_first(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(0, PAGE);
	return NULL;
}

#define USED "a registration is used that has ended, or is another one"
ORDERED_RUN(hint_merged, USED, twice(here), here, merges);
ORDERED_RUN(hint_longer, USED, twice(here), two_pages, merges);
ORDERED_RUN(hint_again, USED, twice(here), here, ends_and_begins);
ORDERED_RUN(hint_moved, USED, twice(here_beside_large), beside_here,
	    beside_too);
ORDERED_RUN(hint_of_first, USED, twice(first_page), in_first_page,
	    unmaps_first);
