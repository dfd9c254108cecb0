/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: Jerome Glisse to Mark Hairgrove, "Re: [PATCH 02/15] mmu_notifier: keep
 * track of active invalidation ranges v4", Tue Sep 01 2015 10:58:25 EST. The
 * archive that it is known from has no message-id.
 *
 * The review draws it: who faults holds the lock that the callback takes too,
 * finds that the range is not valid, and goes back to wait for the callback,
 * with the lock. The answer: drop the lock before trying again. Where callbacks
 * set a sequence under the lock it takes a second invalidation.
 *
 * Bad: deadlock
 * Result: Sometimes kept_*
 * Result: Never dropped_*
 */
#include "device.h"

/* The sequence that the review warns of. */
static void *fault_keeping_the_lock(void *unused)
{
	unsigned long seq = design->read_begin(&sub);

	uhmm_thread_name("fault");
	pthread_mutex_lock(&lock);
	while (design->read_retry(&sub, seq))
		seq = design->read_begin(&sub);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *fault_dropping_it(void *unused)
{
	uhmm_thread_name("fault");
	fault();
	return NULL;
}

static void kept(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(fault_keeping_the_lock, unmap, unmap);
}

static void dropped(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(fault_dropping_it, unmap);
}

SCENARIOS(SOMETIMES, SOMETIMES, SOMETIMES, SOMETIMES, SOMETIMES, kept, kept,
	  "mail, 1 September 2015", "deadlock");
SCENARIOS(NEVER, NEVER, NEVER, NEVER, NEVER, dropped, dropped,
	  "mail, 1 September 2015", "deadlock");
