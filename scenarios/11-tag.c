/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those of subscriptions that are
 * stamped and not called.
 *
 * Bad: who sees the stamp does not see what led to it
 * Result: Never
 */
#include "faults.h"

static atomic_bool led_to_it;
static unsigned long stamp;

static void begin_tagged(void)
{
	begin();
	uhmm_interval_notifier_insert_tagged(&sub, mm, HERE, PAGE);
	stamp = mmu_interval_read_begin(&sub);
}

static void *decides(void *unused)
{
	uhmm_thread_name("unmap");
	atomic_store_explicit(&led_to_it, true, memory_order_relaxed);
	invalidate(HERE, PAGE);
	return NULL;
}

static void *checks(void *unused)
{
	uhmm_thread_name("device");
	if (!uhmm_interval_tag_valid(&sub, stamp) &&
	    !atomic_load_explicit(&led_to_it, memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_STALE, "stamped, and nothing led to it");
	return NULL;
}

ORDERED_RUN(tag, "stamped, and nothing led to it", begin_tagged(), checks,
	    decides);
