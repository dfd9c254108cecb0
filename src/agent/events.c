/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "events.h"

#include <string.h>

#include <uhmm/mmu_notifier.h>

static struct mmu_interval_notifier observer;
static struct board_counts *counts;

static bool observe(struct mmu_interval_notifier *sub,
		    const struct mmu_notifier_range *range,
		    unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	if (range->event < BOARD_EVENTS)
		__atomic_fetch_add(&counts->events[range->event], 1,
				   __ATOMIC_RELAXED);
	return true;
}

static const struct mmu_interval_notifier_ops observer_ops = {
	.invalidate = observe,
};

int events_start(struct mm_struct *mm, struct board_process *process)
{
	memset(&observer, 0, sizeof(observer));
	counts = &process->counts;
	return mmu_interval_notifier_insert(&observer, mm, 0, 1UL << 47,
					    &observer_ops);
}

void events_end(void)
{
	mmu_interval_notifier_remove(&observer);
}
