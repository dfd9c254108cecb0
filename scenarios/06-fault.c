/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: John Hubbard to Jason Gunthorpe, "Re: [PATCH v2 02/15] mm/mmu_notifier:
 * add an interval tree notifier", Thu, 7 Nov 2019 12:53:56 -0800, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>.
 *
 * A fault against two and three invalidations of its page (against one: see
 * came_and_went in 03-valid.c), and against nested ones.
 *
 * Bad: the device reads a page that is freed
 * Result: Never *_uhmm, *_classic
 * Result: Sometimes *
 */
#include "device.h"

static void fault2(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, unmap, unmap);
}

static void fault3(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, unmap, unmap, unmap);
}

/* A larger range is open around the unmapping, as in fork or exit. */
static void *unmap_nested(void *unused)
{
	struct design_range range;

	uhmm_thread_name("nested");
	design->start(&range, mm, 0, ELSEWHERE, true, MMU_NOTIFY_CLEAR, NULL);
	remap(2);
	design->end(&range);
	return NULL;
}

static void nested(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, unmap_nested);
}

#define FROM "mail, 7 November 2019", "the device reads a freed page"
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, fault2, fault2, FROM);
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, fault3, fault3, FROM);
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, nested, nested, FROM);
