/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "ladder.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

static struct {
	struct board_ladder now;
	unsigned long start, end;	/* of what it may collide with */
	unsigned int forks;
} fault;

static uint32_t tid(void)
{
	static __thread uint32_t own __attribute__((tls_model("initial-exec")));
	static __thread unsigned int forks
		__attribute__((tls_model("initial-exec")));

	if (!own || forks != fault.forks) {
		own = (uint32_t)syscall(SYS_gettid);
		forks = fault.forks;
	}
	return own;
}

static void add(enum board_step step, unsigned int event, unsigned long start,
		unsigned long end, unsigned long seq)
{
	struct board_record *record;

	if (fault.now.n == BOARD_LADDER) {
		fault.now.lost++;
		return;
	}
	record = &fault.now.records[fault.now.n++];
	record->at_ns = clock_ns(CLOCK_MONOTONIC) - fault.now.began_ns;
	record->start = start;
	record->end = end;
	record->seq = seq;
	record->tid = tid();
	record->step = (uint16_t)step;
	record->event = (uint16_t)event;
}

void ladder_begin(unsigned long start, unsigned long end)
{
	fault.now.n = 0;
	fault.now.lost = 0;
	fault.now.retries = 0;
	fault.now.began_ns = clock_ns(CLOCK_MONOTONIC);
	fault.start = start;
	fault.end = end;
}

void ladder_invalidate(unsigned long start, unsigned long end,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	if (start < fault.end && end > fault.start)
		add(BOARD_INVALIDATE, range->event, range->start, range->end,
		    seq);
}

void ladder_add(enum board_step step, unsigned long start, unsigned long end,
		unsigned long seq)
{
	if (step == BOARD_RETRY)
		fault.now.retries++;
	add(step, 0, start, end, seq);
}

void ladder_end(struct board_ladder *best)
{
	fault.end = 0;
	fault.now.ns = clock_ns(CLOCK_MONOTONIC) - fault.now.began_ns;
	if (fault.now.retries > best->retries || !best->n)
		*best = fault.now;
}

void ladder_forget(void)
{
	fault.end = 0;
	fault.forks++;
}
