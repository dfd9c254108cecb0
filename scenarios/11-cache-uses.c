/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the registration cache those between who uses a
 * registration and who ends it.
 *
 * Bad: a registration is used that has ended
 * Result: Never
 */
#include "pins.h"

/* Of src/sync: is there a membarrier? */
extern bool sync_asymmetric __attribute__((visibility("hidden")));

static struct uhmm_registration handed;

static void elsewhere(void)
{
	get_and_use(ELSEWHERE, PAGE);
}

static void both(void)
{
	elsewhere();
	here();
}

static void here_and_elsewhere(void)
{
	here();
	elsewhere();
}

/* A cache that is made then knows of it. */
static void here_symmetric(void)
{
	sync_asymmetric = false;
	uhmm_rcache_destroy(cache);
	mmput(mm);
	begin();
	twice(here);
}

/* Got by one thread, and put by another. */
static void hand(void)
{
	twice(here);
	get(HERE, PAGE, &handed);
}

/* A page that only leads to its region. */
static void inside(void)
{
	get_and_use(ELSEWHERE + PAGE, PAGE);
}

static void inside_and_hand(void)
{
	get_and_use(ELSEWHERE, 2 * PAGE);
	twice(inside);
	hand();
}

static void *puts_it(void *unused)
{
	uhmm_thread_name("put");
	use(&handed);
	uhmm_rcache_put(&handed);
	return NULL;
}

#define USED "a registration is used that has ended"
ORDERED_RUN(cache_unmap, USED, twice(here), here, unmaps);
ORDERED_RUN(cache_flush, USED, twice(here), here, flushes);
ORDERED_RUN(cache_next, USED, twice(both), here_and_elsewhere, unmaps);
ORDERED_RUN(cache_new, USED, twice(here), here_and_elsewhere, unmaps);
ORDERED_RUN(cache_symmetric, USED, here_symmetric(), here, unmaps);
ORDERED_RUN(cache_handed, USED, inside_and_hand(), inside, puts_it, unmaps);
ORDERED_RUN(cache_handed_new, USED, hand(), elsewhere, puts_it, unmaps);
