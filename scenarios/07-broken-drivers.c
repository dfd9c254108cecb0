/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: set_seq "must be called
 * unconditionally"; read_retry is for under the lock. Drivers that do not.
 *
 * Bad: the device reads a page that is freed
 * Result: Sometimes
 */
#include "device.h"

static bool zap_without_set_seq(struct design_sub *s, unsigned long from,
				unsigned long to, bool blockable,
				enum mmu_notifier_event event, void *owner,
				unsigned long cur_seq)
{
	pthread_mutex_lock(&lock);
	spte = 0;
	pthread_mutex_unlock(&lock);
	return true;
}

static void no_set_seq(const struct uhmm_design *of)
{
	begin(of);
	client.invalidate = zap_without_set_seq;
	TOGETHER(device, unmap);
}

static void *device_retries_too_early(void *unused)
{
	unsigned int page;
	unsigned long seq;

	uhmm_thread_name("device");
	do {
		seq = design->read_begin(&sub);
		page = atomic_load_explicit(&pte, memory_order_relaxed);
	} while (design->read_retry(&sub, seq));
	pthread_mutex_lock(&lock);
	spte = page;
	pthread_mutex_unlock(&lock);
	use();
	return NULL;
}

static void retry_unlocked(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device_retries_too_early, unmap);
}

#define FROM "mail, 7 November 2019", "the device reads a freed page"
SCENARIO_OF(uhmm, SOMETIMES, no_set_seq, no_set_seq, FROM);
SCENARIO_OF(classic, SOMETIMES, no_set_seq, no_set_seq, FROM);
SCENARIOS(SOMETIMES, SOMETIMES, SOMETIMES, SOMETIMES, SOMETIMES, retry_unlocked,
	  retry_unlocked, FROM);
