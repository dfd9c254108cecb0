/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own: what is found at once, and changes or is used
 * again meanwhile.
 *
 * Bad: who gets memory after it has changed gets what was there before
 * Result: Never
 */
#include "cache.h"

static void hit_remap(void)
{
	begin(0);
	get_and_use(HERE);
	together(user, remap);
}

/* Entries come and go in the place where one is being found. */
static void *remaps(void *unused)
{
	uhmm_thread_name("remaps");
	bracket(HERE, HERE + PAGE, MMU_NOTIFY_UNMAP, FIRST + 1);
	get_and_use(HERE);
	bracket(HERE, HERE + PAGE, MMU_NOTIFY_UNMAP, FIRST + 2);
	return NULL;
}

static void hit_reused(void)
{
	begin(0);
	get_and_use(HERE);
	together(user, remaps);
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "a stale page is got", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(rcache_hit_remap, FROM, .run = hit_remap);
UHMM_SCENARIO(rcache_hit_reused, FROM, .run = hit_reused);
