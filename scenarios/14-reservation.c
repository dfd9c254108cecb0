/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 01-lock-held-across-wait.c, 1 September 2015, no message-id: "is it
 * out of the question to build a lock into the mmu notifier API directly?" That
 * is the reservation. It meets nested invalidations, another reservation, one
 * that may not block; and if it is never ended, its limit.
 *
 * Bad: deadlock, or the device reads a page that is freed
 * Result: Never
 */
#include "device.h"

static void *reserving_device(void *unused)
{
	uhmm_thread_name("device");
	uhmm_interval_reserve(&sub.as.uhmm);
	return device(NULL);
}

static void *nested_unmap(void *unused)
{
	struct design_range range;

	uhmm_thread_name("nested");
	design->start(&range, mm, 0, ELSEWHERE, true, MMU_NOTIFY_CLEAR, NULL);
	remap(2);
	design->end(&range);
	return NULL;
}

static void nested(void)
{
	begin(&uhmm_as_uhmm);
	TOGETHER(reserving_device, nested_unmap);
}

static void both(void)
{
	begin(&uhmm_as_uhmm);
	TOGETHER(reserving_device, reserving_device, unmap);
}

static void *forgetful(void *unused)
{
	uhmm_thread_name("forgets");
	uhmm_interval_reserve(&sub.as.uhmm);
	pthread_mutex_lock(&lock);
	spte = 0;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void limit(void)
{
	begin(&uhmm_as_uhmm);
	TOGETHER(forgetful, unmap);
}

static void *reap(void *unused)
{
	struct design_range range;

	uhmm_thread_name("reaper");
	if (!design->start(&range, mm, HERE, HERE + PAGE, false,
			   MMU_NOTIFY_CLEAR, NULL))
		design->end(&range);
	return NULL;
}

static void nonblock(void)
{
	begin(&uhmm_as_uhmm);
	TOGETHER(reserving_device, reap);
}

#define FROM .source = "mail, 1 September 2015", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(reserved_nested, FROM, .run = nested, .bad = "deadlock");
UHMM_SCENARIO(reserved_twice, FROM, .run = both, .bad = "stale access");
UHMM_SCENARIO(reserved_limit, FROM, .run = limit, .bad = "deadlock");
UHMM_SCENARIO(reserved_nonblock, FROM, .run = nonblock, .bad = "deadlock");
