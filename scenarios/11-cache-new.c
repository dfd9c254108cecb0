/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the registration cache those that threads need which
 * come to it, or to a page, for the first time.
 *
 * Bad: a registration is used that has ended, or two of the same live
 * Result: Never
 */
#include "pins.h"

/* A thread that has used no cache before. */
static void *here_too(void *unused)
{
	uhmm_thread_name("first get");
	here();
	return NULL;
}

static void flush(void)
{
	flushes(NULL);
}

/* Of two that miss at once one is found by the other, and makes way. */
static void born(void)
{
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };

	begin();
	beside(1, (void *(*const[])(void *)){ here_too }, here);
	uhmm_assert(!uhmm_rcache_get_stats(cache, &stats));
	uhmm_assert(stats.registrations - stats.merged == 1);
}
ORDERED(born, "two registrations of the same live");
ORDERED_RUN(cache_first, "a registration is used that has ended", here(), flush,
	    here_too);
