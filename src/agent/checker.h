/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The checker: a device that mirrors a live process and doubts all it sees. */
#ifndef AGENT_CHECKER_H
#define AGENT_CHECKER_H

#include <uhmm/mm.h>

#include "board.h"

/*
 * Mirror @mm, whose entries have the kernel's frames, and count in @process.
 * @deaf: drop one in so many invalidations that kill something. 0; -ENOMEM.
 */
int checker_start(struct mm_struct *mm, struct board_process *process,
		  unsigned int deaf);
/* One look over all, by the calling thread; @wait: for one under way. */
void checker_look(bool wait);
/* A thread that looks again and again. 0, or an error of pthread_create(). */
int checker_run(void);
/* It looks no more, and its thread ends. */
void checker_end(void);
/* In a forked child: what was mirrored was the parent's. */
void checker_forget(void);

#endif
