/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own: gets against changes of memory; first the ways
 * in which others go wrong.
 *
 * Bad: who gets memory after it has changed gets what was there before
 * Result: Sometimes rcache_early, rcache_late
 * Result: Never *
 */
#include "cache.h"

/* A switch of the cache's for its tests. */
extern unsigned int rcache_broken;

/* Pinned first and found from then on: whether that was in time, nobody asks. */
static void early(void)
{
	rcache_broken = 1;
	begin(0);
	together(user_twice, remap);
}

static void *remap_and_tell(void *unused)
{
	uhmm_thread_name("remap");
	change(FIRST + 1);
	atomic_store(&newest, FIRST + 1);
	bracket(HERE, HERE + PAGE, MMU_NOTIFY_UNMAP, FIRST + 2);
	return NULL;
}

/* Told of when the address has been used again. */
static void late(void)
{
	begin(0);
	get_and_use(HERE);
	together(user, remap_and_tell);
}

static void get_unmap(void)
{
	begin(0);
	together(user, unmap);
}

static void get_remap(void)
{
	begin(0);
	together(user_twice, remap);
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "a stale page is got"
UHMM_SCENARIO(rcache_early, FROM, .run = early,
	      .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(rcache_late, FROM, .run = late, .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(rcache_get_unmap, FROM, .run = get_unmap,
	      .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_get_remap, FROM, .run = get_remap,
	      .result = UHMM_RESULT_NEVER);
