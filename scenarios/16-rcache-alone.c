/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own: who has missed twice expects to miss again,
 * and does not search before something is registered; against changes of memory,
 * and another who registers the same.
 *
 * Bad: who gets memory after it has changed gets what was there before, or two
 *      registrations of the same live
 * Result: Never
 */
#include "cache.h"

static void missed_twice(void)
{
	begin(0);
	get_and_use(ELSEWHERE);
	get_and_use(ELSEWHERE + PAGE);
}

static void beside(void *(*other)(void *))
{
	pthread_t thread;

	missed_twice();
	pthread_create(&thread, NULL, other, NULL);
	user(NULL);
	pthread_join(thread, NULL);
}

static void alone_remap(void)
{
	beside(remap);
	finish();
}

static void *other_user(void *unused)
{
	uhmm_thread_name("other user");
	get_and_use(HERE);
	return NULL;
}

static void alone_two(void)
{
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };

	beside(other_user);
	uhmm_assert(!uhmm_rcache_get_stats(cache, &stats));
	uhmm_assert(stats.registrations - stats.merged == 3);
	finish();
}

/* Two pages that end in the one that the other asks for: they overlap. */
static void *user_of_two(void *unused)
{
	struct uhmm_registration reg;

	uhmm_thread_name("other user");
	if (!uhmm_rcache_get(cache, HERE - PAGE, 2 * PAGE, UHMM_RCACHE_WRITE,
			     &reg))
		uhmm_rcache_put(&reg);
	return NULL;
}

static void alone_overlap(void)
{
	beside(user_of_two);
	finish();
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "a stale page is got", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(rcache_alone_remap, FROM, .run = alone_remap);
UHMM_SCENARIO(rcache_alone_two, FROM, .run = alone_two);
UHMM_SCENARIO(rcache_alone_overlap, FROM, .run = alone_overlap);
