/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those of a slot: what one thread has
 * started is ended by another, and then the first one uses its slot again.
 *
 * Bad: the device reads a page that is freed
 * Result: Never
 */
#include "faults.h"

static struct mmu_notifier_range opened, before;

static void *ends_it(void *unused)
{
	uhmm_thread_name("end");
	change(2);
	mmu_notifier_invalidate_range_end(&opened);
	return NULL;
}

static void *starts_again(void *nested)
{
	uhmm_thread_name("start");
	invalidate(ELSEWHERE, PAGE);
	return NULL;
}

static void hand_over(bool nested)
{
	pthread_t thread[2];

	begin();
	insert();
	if (nested)
		range_start(&before, ELSEWHERE, PAGE);
	range_start(&opened, HERE, PAGE);
	pthread_create(&thread[0], NULL, device, NULL);
	pthread_create(&thread[1], NULL, ends_it, NULL);
	starts_again(NULL);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

static void handed(void)
{
	hand_over(false);
}

/* What is open besides has the slot that is the fastest to find. */
static void handed_nested(void)
{
	hand_over(true);
}

ORDERED(handed, "a freed page is read");
ORDERED(handed_nested, "a freed page is read");
