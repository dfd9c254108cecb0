/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, 15 August 2019, no message-id: a registration cache is one
 * of the models. The library's own, on io_uring with tags, as 16-rcache-tags.c:
 * what is put while its request runs is held until that is over, and who needs the
 * memory can sleep until then.
 *
 * Bad: memory is said to be released while a request writes there, or never is
 * Result: Never *
 */
#include "ring.h"

static struct uhmm_registration got;

static void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate();
	return NULL;
}

static void *put(void *unused)
{
	uhmm_thread_name("put");
	uhmm_rcache_put(&got);
	return NULL;
}

/* What an invalidation takes out of its slot, or a put, is found in neither. */
static void tag_put(void)
{
	begin();
	get(HERE, &got);
	submit(&got);
	TOGETHER(put, unmap);
	uhmm_rcache_flush(cache, HERE, PAGE);
	uhmm_assert(uhmm_rcache_uring_held(device, HERE, PAGE) == PAGE);
	ring(NULL);
	uhmm_assert(!uhmm_rcache_uring_held(device, HERE, PAGE));
	finish();
}

/* Sleeps until another hands it over, whichever is first. */
static void tag_wait(void)
{
	pthread_t thread;

	begin();
	begin_request();
	uhmm_rcache_flush(cache, HERE, PAGE);
	pthread_create(&thread, NULL, ring, NULL);
	uhmm_assert(!uhmm_rcache_uring_wait(device, HERE, PAGE, -1));
	use_anew();
	pthread_join(thread, NULL);
	finish();
}

#define FROM .source = "mail, 15 August 2019 (models)", \
	     .bad = "memory is released that a request writes"
UHMM_SCENARIO(rcache_tag_put, FROM, .run = tag_put, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(rcache_tag_wait, FROM, .run = tag_wait,
	      .result = UHMM_RESULT_NEVER);
