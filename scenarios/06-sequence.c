/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: why does the sequence of
 * a new subscription start at the current one minus 1? "The algorithm would
 * actually work correctly if this was = 1, but occasionally things would block
 * when they don't need to block." Here the sequence has wrapped and comes to 1:
 * a first read while something else is invalidated waits, or does not.
 *
 * Bad: the device reads a page that is freed; measured: needless waits
 * Result: Never
 */
#include "device.h"

static struct design_sub other;

/* Nothing of HERE is open: who waits now does so for nothing. */
static void *first_read(void *unused)
{
	struct classic_mm *classic = (struct classic_mm *)mm;
	unsigned long now = __atomic_load_n(&classic->seq, __ATOMIC_ACQUIRE);

	uhmm_thread_name("device");
	uhmm_measure("needless waits", now & 1 && now == sub.as.classic.seq);
	fault();
	return NULL;
}

static void *invalidate_elsewhere(void *unused)
{
	struct design_range range;

	uhmm_thread_name("elsewhere");
	start(&range, ELSEWHERE);
	design->end(&range);
	return NULL;
}

static void sequence(unsigned long starts_at)
{
	design = &uhmm_as_classic;
	design->mm_create(&mm);
	((struct classic_mm *)mm)->seq = 0;
	begin(design);
	design->insert(&other, mm, ELSEWHERE, PAGE, &client);
	if (starts_at)
		sub.as.classic.seq = starts_at;
	TOGETHER(first_read, invalidate_elsewhere);
}

static void minus_one(void)
{
	sequence(0);
}

static void one(void)
{
	sequence(1);
}

/* The next but one number is 0 again. */
static void wrapping(void)
{
	design = &uhmm_as_classic;
	design->mm_create(&mm);
	((struct classic_mm *)mm)->seq = -2UL;
	begin(design);
	TOGETHER(device, unmap, unmap);
}

#define FROM .source = "mail, 7 November 2019", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(sequence_minus_1, .run = minus_one, FROM, .bad = "stale access");
UHMM_SCENARIO(sequence_1, .run = one, FROM, .bad = "stale access");
UHMM_SCENARIO(sequence_wraps, .run = wrapping, FROM, .bad = "stale access");
