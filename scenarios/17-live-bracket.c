/* SPDX-License-Identifier: 0BSD */
/*
 * Source: Linux's mm/mmap.c and fs/userfaultfd.c: what is registered is told of when it
 * is unmapped, and who unmaps sleeps until that is read. The library's own brackets: libc
 * unmaps what is registered, which is announced, and its watch ends, but where a device
 * has taken it under watch meanwhile; and the address space ends beside it.
 *
 * Bad: a page is used after it is gone, or the address space is
 * Result: Sometimes live_bracket_early
 * Result: Never
 */
#include "linux.h"

static void *fault(void *unused)
{
	unsigned long seq;
	unsigned int page;

	uhmm_thread_name("device");
	for (;;) {
		seq = mmu_interval_read_begin(&sub);
		page = linux_register();
		pthread_mutex_lock(&driver_lock);
		if (!mmu_interval_read_retry(&sub, seq))
			break;
		pthread_mutex_unlock(&driver_lock);
	}
	keep(page, seq);
	/* It is stopped before that is gone. */
	if (linux_is_gone(page))
		uhmm_defect(UHMM_DEFECT_STALE, "page %u is gone", page);
	pthread_mutex_unlock(&driver_lock);
	return NULL;
}

static void *unmap(void *unused)
{
	struct live_bracket bracket;

	uhmm_thread_name("unmap");
	live_bracket_start(&bracket, HERE, PAGE, MMU_NOTIFY_UNMAP, 0);
	linux_remap(2);
	live_bracket_end(&bracket);
	return NULL;
}

static void *ends(void *unused)
{
	uhmm_thread_name("ends");
	end_live();
	return NULL;
}

#define BRACKET(NAME, BROKEN) \
	static void NAME(void) \
	{ \
		begin_live(BROKEN); \
		TOGETHER(fault, unmap); \
		use_kept(false); \
		end_live(); \
	}

BRACKET(right, 0)
BRACKET(early, BROKEN_END)

static void beside_its_end(void)
{
	begin_live(0);
	TOGETHER(ends, unmap);
}

#define FROM .source = "Linux's userfaultfd", .bad = "what is gone is used"

UHMM_SCENARIO(live_bracket, FROM, .run = right, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(live_bracket_early, FROM, .run = early,
	      .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(live_bracket_last, FROM, .run = beside_its_end,
	      .model = UHMM_MODEL_C11, .result = UHMM_RESULT_NEVER);
