/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id. The last put of an entry of
 * the library's registration cache meets the invalidation that ends it: either the
 * one or the other deregisters it.
 *
 * Bad: what is used is freed, or is given back twice, late or never
 * Result: Sometimes rcache_put_left
 * Result: Never *
 */
#include "cache.h"

/* A switch of the cache's for its tests. */
extern unsigned int rcache_broken;

static struct uhmm_registration held;

static void *put(void *unused)
{
	uhmm_thread_name("put");
	use(&held);
	uhmm_rcache_put(&held);
	return NULL;
}

static void put_remap(void)
{
	begin(0);
	uhmm_assert(!uhmm_rcache_get(cache, HERE, 1, UHMM_RCACHE_WRITE, &held));
	run_together(put, remap);
	uhmm_assert(!refs[FIRST]);
	finish();
}

/*
 * What an invalidation has claimed is left to it, which found it in use. Nobody
 * deregisters it then before the cache goes.
 */
static void put_left(void)
{
	rcache_broken = 4;
	put_remap();
}

#define FROM .source = "mail, 15 August 2019 (models)"
UHMM_SCENARIO(rcache_put_remap, FROM, .bad = "a freed page is used, or kept",
	      .run = put_remap, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_put_left, FROM, .bad = "a page that has gone is kept",
	      .run = put_left, .result = UHMM_RESULT_SOMETIMES);
