/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the registration cache those between a miss and a
 * change that is on its way.
 *
 * Bad: who gets memory after it has changed gets what was there before
 * Result: Never
 */
#include <stdatomic.h>

#include "pins.h"

/* A page is a number, and so is its registration. */
static atomic_uint page = 1, newest = 1;

static int pin_page(void *unused, unsigned long start, size_t length,
		    unsigned int access, uint64_t *ret_key)
{
	*ret_key = atomic_load_explicit(&page, memory_order_relaxed);
	return 0;
}

static int unpin_page(void *unused, unsigned long start, size_t length,
		      uint64_t key)
{
	return 0;
}

static void *remaps(void *unused)
{
	struct mmu_notifier_range range;

	uhmm_thread_name("remap");
	range_start(&range, HERE, PAGE);
	atomic_store_explicit(&page, 2, memory_order_relaxed);
	mmu_notifier_invalidate_range_end(&range);
	atomic_store_explicit(&newest, 2, memory_order_release);
	return NULL;
}

static void get_page(void)
{
	unsigned int at_least = atomic_load_explicit(&newest,
						     memory_order_acquire);
	struct uhmm_registration reg;

	get(HERE, PAGE, &reg);
	if (reg.key < at_least)
		uhmm_defect(UHMM_DEFECT_STALE, "page %u is got, which is gone",
			    (unsigned int)reg.key);
	uhmm_rcache_put(&reg);
}

static void get_twice(void)
{
	twice(get_page);
}

static void cache_miss(void)
{
	static const struct uhmm_rcache_ops ops = { .reg = pin_page,
						    .dereg = unpin_page };

	if (uhmm_mm_create(&mm) ||
	    uhmm_rcache_create(mm, &ops, NULL, NULL, &cache))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no cache");
	beside(1, (void *(*const[])(void *)){ remaps }, get_twice);
}
ORDERED(cache_miss, "what has gone is got");
