/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own, on io_uring with tags, the ring being the
 * scenario's: a buffer that is taken out of its slot stays with the request that
 * has it, and its tag comes when that is over. Who puts before then asks when
 * his memory is his again.
 *
 * Bad: memory is said to be released while a request writes there, or never is
 * Result: Sometimes rcache_tag_early
 * Result: Never *
 */
#include "ring.h"

/* A switch of the device's for tests: what is taken out is said to be released. */
extern unsigned int rcache_broken;

static void *flush_and_ask(void *unused)
{
	uhmm_thread_name("user");
	uhmm_rcache_flush(cache, HERE, PAGE);
	if (!uhmm_rcache_uring_held(device, HERE, PAGE))
		use_anew();
	return NULL;
}

static void tag_ask(void)
{
	begin();
	begin_request();
	TOGETHER(flush_and_ask, ring);
	finish();
}

static void tag_early(void)
{
	rcache_broken = 2;
	begin();
	begin_request();
	TOGETHER(flush_and_ask, ring);
}

/* The slot is another buffer's meanwhile. */
static void *user_elsewhere(void *unused)
{
	struct uhmm_registration reg;

	uhmm_thread_name("elsewhere");
	invalidate();
	get(ELSEWHERE, &reg);
	uhmm_rcache_put(&reg);
	uhmm_rcache_flush(cache, ELSEWHERE, PAGE);
	if (!uhmm_rcache_uring_held(device, HERE, PAGE))
		use_anew();
	return NULL;
}

static void tag_again(void)
{
	begin();
	begin_request();
	TOGETHER(user_elsewhere, ring);
	finish();
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "memory is released that a request writes"
UHMM_SCENARIO(rcache_tag_ask, FROM, .run = tag_ask, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_tag_early, FROM, .run = tag_early,
	      .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(rcache_tag_again, FROM, .run = tag_again,
	      .result = UHMM_RESULT_NEVER);
