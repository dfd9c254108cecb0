/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Brackets around a system call, by its number. See calls.c. */
#ifndef LIVE_CALLS_H
#define LIVE_CALLS_H

#include "live.h"

#define LIVE_CALL_BRACKETS 2

/* Newer than the headers may be; the same for all machines. */
#define NR_PROCESS_MADVISE 440

/* The brackets open around a call. */
struct live_call {
	unsigned int n;
	struct live_bracket brackets[LIVE_CALL_BRACKETS];
};

/* Both keep errno. @ret is what the system call returned. */
void live_call_before(struct live_call *call, long nr,
		      const unsigned long *args);
void live_call_after(struct live_call *call, long nr, long ret);

/* parts.c: mremap() of what is an area in parts. What that returns, or -errno. */
long live_move_parts(const unsigned long *args);

/* Advice under which pages go, or are exchanged for others. */
bool live_advice_clears(unsigned long advice);

#endif
