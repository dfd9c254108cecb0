/* SPDX-License-Identifier: 0BSD */
/*
 * Source: Linux's mm/memory.c, copy_page_range(), around which fork brackets all
 * of the address space; and the mail of 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>, where a bracket in a bracket
 * is counted. Here a page is unmapped while a fork is under way, or by the thread
 * that forks, and a device faults: its page is shared now, or gone.
 *
 * Bad: the device reads a page that is freed, or writes one that is shared
 * Result: Never *_uhmm, *_classic
 * Result: Sometimes *
 */
#include "device.h"

static atomic_bool shared;	/* by a child, since the fork has ended */

static void fork_range(bool and_unmap)
{
	struct design_range range;

	design->start(&range, mm, 0, 2 * ELSEWHERE, true,
		      MMU_NOTIFY_PROTECTION_PAGE, NULL);
	if (and_unmap)
		remap(2);
	shared = true;
	design->end(&range);
}

static void *forks(void *unused)
{
	uhmm_thread_name("fork");
	fork_range(false);
	return NULL;
}

static void *forks_and_unmaps(void *unused)
{
	uhmm_thread_name("fork");
	fork_range(true);
	return NULL;
}

/* Takes the page over as writable, if it may write it. */
static void *device_writes(void *unused)
{
	unsigned long seq;
	bool writable;

	uhmm_thread_name("device");
	for (;;) {
		seq = design->read_begin(&sub);
		writable = !shared;
		pthread_mutex_lock(&lock);
		if (!design->read_retry(&sub, seq))
			break;
		pthread_mutex_unlock(&lock);
	}
	if (writable && shared)
		uhmm_defect(UHMM_DEFECT_STALE, "a shared page is written");
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void fork_alone(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device_writes, forks);
}

static void fork_unmap(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, forks_and_unmaps);
}

#define FROM "Linux, and mail, 7 November 2019", "a shared page is written"
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, fork_write, fork_alone,
	  FROM);
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, fork_unmap, fork_unmap,
	  FROM);
