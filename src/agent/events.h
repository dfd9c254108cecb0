/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* How many invalidations there were, by event. */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include <uhmm/mm.h>

#include "board.h"

/* Count those of @mm in @process; again in a forked child. 0; -ENOMEM. */
int events_start(struct mm_struct *mm, struct board_process *process);
void events_end(void);

#endif
