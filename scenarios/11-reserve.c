/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those between reservations and
 * invalidations that stand still for them.
 *
 * Bad: the device reads a page that is freed
 * Result: Never
 */
#include <sched.h>
#include "faults.h"

static void *unmap_more(void *unused)
{
	struct mmu_notifier_range range;

	uhmm_thread_name("unmap");
	range_start(&range, HERE + 1, PAGE - 1);
	change(2);
	mmu_notifier_invalidate_range_end(&range);
	return NULL;
}

static void *device_late(void *unused)
{
	while (!atomic_load_explicit(&hit, memory_order_relaxed))
		sched_yield();
	return device(NULL);
}

static void *comes_reserved(void *unused)
{
	insert();
	uhmm_interval_reserve(&sub);
	return device(NULL);
}

/* The thread that makes the others has reserved @held, and lets go. */
static void between(struct mmu_interval_notifier *held, void *(*fault)(void *))
{
	pthread_t thread[2];

	uhmm_interval_reserve(held);
	pthread_create(&thread[0], NULL, fault, NULL);
	pthread_create(&thread[1], NULL, unmap_more, NULL);
	uhmm_interval_unreserve(held);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

static void reserve(void)
{
	begin();
	insert();
	mmu_interval_read_begin(&sub);
	between(&sub, device);
}

/* It stands still when it has called, as more is found than at once. */
static void reserve_later(void)
{
	begin();
	others(0, 12, HERE, 0, 1);
	insert();
	others(12, OTHERS, HERE, 0, PAGE);
	mmu_interval_read_begin(&sub);
	between(&other[13], device_late);
}

static void reserve_new(void)
{
	begin();
	others(0, 1, HERE, 0, PAGE);
	between(&other[0], comes_reserved);
}

ORDERED(reserve, "a freed page is read");
ORDERED(reserve_later, "a freed page is read");
ORDERED(reserve_new, "a freed page is read");
