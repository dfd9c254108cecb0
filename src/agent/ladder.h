/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What happens during a fault of the checker, as lines of a ladder, and the most
 * contended fault so far. All are called with the checker's lock.
 */
#ifndef AGENT_LADDER_H
#define AGENT_LADDER_H

#include <uhmm/mmu_notifier.h>

#include "board.h"

/* A fault begins, that changes of @start to @end may collide with. */
void ladder_begin(unsigned long start, unsigned long end);
/* If one is under way, and what is changed is among what it may collide with. */
void ladder_invalidate(unsigned long start, unsigned long end,
		       const struct mmu_notifier_range *range,
		       unsigned long seq);
/* What the fault does itself; a BOARD_RETRY is counted. */
void ladder_add(enum board_step step, unsigned long start, unsigned long end,
		unsigned long seq);
/* It is over: if none was as contended, it is in @best. */
void ladder_end(struct board_ladder *best);
/* In a forked child: there is none. */
void ladder_forget(void);

#endif
