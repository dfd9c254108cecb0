/* SPDX-License-Identifier: 0BSD */
/*
 * Report: amdxdna, 2025: a notifier that was inserted once is removed twice,
 * since after fork a second process closes the same file. And, as 06-fault.c
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com> ("this function can sleep"):
 * remove in the subscription's own callback, which waits for itself. The
 * contract checker sees both, carries neither out, and says so.
 *
 * Bad: a rule of the contract is broken
 * Result: Always
 */
#include "device.h"

#include <uhmm/check.h>
#include <uhmm/mm.h>

static void report(const struct uhmm_check_report *found, void *unused)
{
	uhmm_defect(UHMM_DEFECT_CONTRACT, "%s: %s", found->name, found->what);
}

static void begin_checked(void)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options), .flags = UHMM_MM_CHECK };

	uhmm_check_set_handler(report, NULL);
	uhmm_mm_create_with(&options, (struct mm_struct **)&mm);
	begin(&uhmm_as_uhmm);
}

static void *close_file(void *unused)
{
	uhmm_thread_name("close");
	design->remove(&sub);
	return NULL;
}

static void twice(void)
{
	begin_checked();
	TOGETHER(close_file, close_file);
}

static bool zap_and_go(struct design_sub *s, unsigned long from,
		       unsigned long to, bool blockable,
		       enum mmu_notifier_event event, void *owner,
		       unsigned long cur_seq)
{
	zap(s, from, to, blockable, event, owner, cur_seq);
	design->remove(s);
	return true;
}

static void in_callback(void)
{
	begin_checked();
	client.invalidate = zap_and_go;
	TOGETHER(unmap);
}

#define FROM .result = UHMM_RESULT_ALWAYS, .bad = "a rule is broken"
UHMM_SCENARIO(removed_twice, FROM, .run = twice, .source = "amdxdna, 2025");
UHMM_SCENARIO(removed_in_callback, FROM, .run = in_callback,
	      .source = "mail, 7 November 2019");
