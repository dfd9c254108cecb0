/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Two threads, one of which is stopped before each of its instructions in
 * turn, while the other one does all that it can: whatever falls into a gap of
 * a few instructions is met here, by counting and not by luck.
 *
 * The processor's trap flag stops it, so this is for x86-64 alone.
 */
#ifndef TESTS_UNIT_DUEL_H
#define TESTS_UNIT_DUEL_H

#include "util.h"

/*
 * @stepped is stopped once, and then @other runs, until it is done or waits.
 * What it waits for ends with @stepped, or else with @finish: then @may_wait.
 * The last two say what is wrong: @both_done, if it may not wait, when both
 * are done, @ended after @finish. @instructions: so many are enough; 0: all.
 */
struct duel {
	void (*setup)(void);
	void (*stepped)(void);
	void (*other)(void);
	bool may_wait;
	const char *(*both_done)(void);
	void (*finish)(void);
	const char *(*ended)(void);
	int instructions;
};

void fight(const struct duel *which);

/* -------------------------------------------------------------- what fights */

extern struct mirror one;
extern struct mmu_notifier_range range;
extern int page, seen, gone, late;

/* Hook: counts a call that comes when it is @gone as @late. */
void call_late(struct mirror *m, const struct mmu_notifier_range *r);
void add_one(void);
void begin_10(void);
void end_10(void);
void change_10(void);
void begin_and_end_10(void);
void remove_one(void);
const char *nothing_late(void);
const char *gone_once(void);

#endif
