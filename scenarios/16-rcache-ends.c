/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id. Entries of the library's
 * registration cache end: by eviction, by a fork, and before they live, by a
 * device that refuses; memory changes meanwhile.
 *
 * Bad: what is used is freed, or is given back twice or never
 * Result: Never
 */
#include "cache.h"

/* Room for one entry. */
static void get_evict(void)
{
	begin(1);
	get_and_use(ELSEWHERE);
	together(user_elsewhere, user);
}

static void evict_remap(void)
{
	begin(1);
	get_and_use(HERE);
	together(user_elsewhere, remap);
}

static void refused_remap(void)
{
	begin(0);
	failing = 1;
	together(user, remap);
}

/* Page tables are copied, and what was writable is not. */
static void *forks(void *unused)
{
	uhmm_thread_name("fork");
	bracket(0, ~0UL, MMU_NOTIFY_PROTECTION_PAGE, FIRST + 1);
	return NULL;
}

static void get_fork(void)
{
	begin(0);
	get_and_use(ELSEWHERE);
	together(user, forks);
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "a freed page is used", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(rcache_get_evict, FROM, .run = get_evict);
UHMM_SCENARIO(rcache_evict_remap, FROM, .run = evict_remap);
UHMM_SCENARIO(rcache_refused, FROM, .run = refused_remap);
UHMM_SCENARIO(rcache_fork, FROM, .run = get_fork);
