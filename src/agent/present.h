/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the kernel says of the process's resident memory as a whole. */
#ifndef AGENT_PRESENT_H
#define AGENT_PRESENT_H

#include "board.h"

/* Once, and again in a forked child. */
void present_open(void);
/* Where in [start, end) the first page is that may be present; @end: nowhere. */
unsigned long present_next(unsigned long start, unsigned long end);
/* So many pages are mirrored of those in memory, if these can be counted. */
void present_count(struct board_counts *counts, unsigned long mirrored);

#endif
