/* SPDX-License-Identifier: 0BSD */
/*
 * Source: Linux's __mmu_notifier_invalidate_range_start(), since the patch under
 * review in <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: interval
 * notifiers are called first. If then a list notifier refuses a range that may
 * not block, nobody takes back that the range is open: no end will come, and
 * the next read waits for it.
 *
 * Bad: a read waits for an invalidation that was refused
 * Result: Never refused_uhmm
 * Result: Always refused_classic
 */
#include "device.h"

static struct design_list list;
static struct design_list_client refuser;

static int refuse(struct design_list *l, unsigned long from, unsigned long to,
		  bool blockable, enum mmu_notifier_event event)
{
	return blockable ? 0 : -EAGAIN;
}

static void *reap(void *unused)
{
	struct design_range range;

	uhmm_thread_name("reaper");
	if (!design->start(&range, mm, HERE, HERE + PAGE, false,
			   MMU_NOTIFY_CLEAR, NULL))
		uhmm_defect(UHMM_DEFECT_LOST, "nobody refused");
	return NULL;
}

static void *fault_later(void *unused)
{
	uhmm_thread_name("fault");
	fault();
	return NULL;
}

static void refused(const struct uhmm_design *of)
{
	begin(of);
	refuser.start = refuse;
	design->prepare_list(&refuser);
	design->list_register(&list, mm, &refuser);
	TOGETHER(reap);
	TOGETHER(fault_later);
}

#define FROM "Linux, and mail, 7 November 2019", "a read waits for ever"
SCENARIO_OF(uhmm, NEVER, refused, refused, FROM);
SCENARIO_OF(classic, ALWAYS, refused, refused, FROM);
