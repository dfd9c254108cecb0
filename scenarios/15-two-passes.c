/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-fence.c, 15 August 2019, no message-id: waiting for a fence in a
 * callback is unavoidable. With two passes all devices are told to stop before
 * the first is waited for; when start has returned, all have stopped.
 *
 * Bad: a device reads a page that is freed
 * Result: Never
 */
#include "device.h"

static struct design_sub second;
static atomic_bool running[2] = { true, true };

static bool stop(struct design_sub *s, unsigned long from, unsigned long to,
		 bool blockable, enum mmu_notifier_event event, void *owner,
		 unsigned long cur_seq)
{
	design->set_seq(s, cur_seq);
	return true;
}

static void wait_stopped(struct design_sub *s)
{
	while (running[s == &second])
		sched_yield();
}

static void *work(void *which)
{
	uhmm_thread_name("device");
	if (freed[1])
		uhmm_defect(UHMM_DEFECT_STALE, "the device reads a freed page");
	running[(unsigned long)which - 2] = false;
	return NULL;
}

static void two_passes(const struct uhmm_design *of)
{
	client.finish = wait_stopped;
	begin(of);
	client.invalidate = stop;
	design->insert(&second, mm, HERE, PAGE, &client);
	TOGETHER(work, work, unmap);
}

#define FROM "mail, 15 August 2019 (models)", "a device reads a freed page"
SCENARIO_OF(uhmm, NEVER, two_passes, two_passes, FROM);
SCENARIO_OF(classic, NEVER, two_passes, two_passes, FROM);
