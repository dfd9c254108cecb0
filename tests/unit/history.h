/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A random history of one thread on one address space, and what was called in
 * it, a line for each step and each call. The same seed makes the same history
 * on each design, as long as the designs answer alike.
 */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "designs/design.h"

/*
 * CALM: insert, remove, register and read only while nothing is open, list
 * notifiers never refuse, nothing after RELEASE: here the kernel's scheme has
 * none of its holes. WILD: all that a driver is allowed to do.
 */
enum history_kind {
	CALM,
	WILD
};

#define HISTORY_LOG (1 << 16)

/* Fills @log, NUL-terminated. */
void run_history(const struct uhmm_design *design, enum history_kind kind,
		 unsigned long seed, char log[HISTORY_LOG]);

#endif
