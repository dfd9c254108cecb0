/* SPDX-License-Identifier: 0BSD */
/*
 * Source: Linux's fs/userfaultfd.c, which tells a process of what it has changed when
 * that is done, and refuses UFFDIO_COPY while it has not been read of. Who has looked at
 * page tables asks for that, and whether what was read has been passed on; the library's
 * own monitor, and the thread that brings pages home, which reads in turns with it.
 *
 * Bad: a page is used that was gone before it was asked for
 * Result: Never live_told, live_told_in_turns
 * Result: Sometimes
 */
#include "linux.h"

static void *fault(void *unused)
{
	uhmm_thread_name("device");
	while (!look_up(mmu_interval_read_begin(&sub)))
		;
	return NULL;
}

/* Somebody has touched what is away: see handler() in src/mm/live/home.c. */
static void *handler(void *unused)
{
	uhmm_thread_name("handler");
	monitor_turn(&live);
	return NULL;
}

#define TOLD(NAME, BROKEN, ...) \
	static void NAME(void) \
	{ \
		begin_live(BROKEN); \
		TOGETHER(fault, unmap_unannounced, ##__VA_ARGS__); \
		use_kept(true); \
		end_live(); \
	}

TOLD(told, 0)
TOLD(in_turns, 0, handler)
TOLD(no_turns, BROKEN_TURNS, handler)
TOLD(kernel_unasked, BROKEN_PROBE)
TOLD(monitor_unasked, BROKEN_BUSY)
TOLD(forgotten, BROKEN_HANDED)

#define FROM .source = "Linux's userfaultfd", .bad = "a page is used that was gone"
#define BAD FROM, .result = UHMM_RESULT_SOMETIMES
#define GOOD FROM, .result = UHMM_RESULT_NEVER

UHMM_SCENARIO(live_told, GOOD, .run = told);
UHMM_SCENARIO(live_told_in_turns, GOOD, .run = in_turns);
UHMM_SCENARIO(live_no_turns, BAD, .run = no_turns);
UHMM_SCENARIO(live_kernel_unasked, BAD, .run = kernel_unasked);
UHMM_SCENARIO(live_monitor_unasked, BAD, .run = monitor_unasked);
UHMM_SCENARIO(live_refusal_forgotten, BAD, .run = forgotten);
