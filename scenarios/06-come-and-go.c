/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "adds and removes are
 * queued until the final inv_end". A driver comes to an address space in which
 * a page is being unmapped, faults and uses it, and goes again.
 *
 * Bad: the device reads a page that is freed, or is called after it went
 * Result: Never *_uhmm, *_classic, going_*
 * Result: Sometimes *
 */
#include "device.h"

static atomic_bool gone;

static bool zap_unless_gone(struct design_sub *s, unsigned long from,
			    unsigned long to, bool blockable,
			    enum mmu_notifier_event event, void *owner,
			    unsigned long cur_seq)
{
	if (gone)
		uhmm_defect(UHMM_DEFECT_USE_AFTER_FREE, "called after remove");
	return zap(s, from, to, blockable, event, owner, cur_seq);
}

static void *device_comes(void *unused)
{
	begin(design);
	return device(NULL);
}

static void coming(const struct uhmm_design *of)
{
	design = of;
	design->mm_create(&mm);
	TOGETHER(device_comes, unmap);
}

static void *device_goes(void *unused)
{
	uhmm_thread_name("device");
	design->remove(&sub);
	gone = true;
	return NULL;
}

static void going(const struct uhmm_design *of)
{
	begin(of);
	client.invalidate = zap_unless_gone;
	TOGETHER(device_goes, unmap);
}

#define FROM "mail, 7 November 2019", "a freed page is read, or a call after remove"
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, coming, coming, FROM);
SCENARIOS(NEVER, NEVER, NEVER, NEVER, NEVER, going, going, FROM);
