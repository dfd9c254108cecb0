/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Interleavings made by hand. The library is built with pause points put into
 * its text (see pauses.py): a thread that is to stand still at one does, until
 * it is let go. What must hold then is looked at.
 */
#ifndef TESTS_MUTANTS_INTERLEAVE_H
#define TESTS_MUTANTS_INTERLEAVE_H

#include <stdbool.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "sync/sync.h"

#define PG(n) (0x100000UL + ((unsigned long)(n) << 12))
#define CROWD 2000

struct interleaving {
	const char *name;
	void (*fn)(void);
};

/* Ended by an empty one. */
extern const struct interleaving index_cases[];
extern const struct interleaving call_cases[];
extern const struct interleaving reserve_cases[];

/* ---------------------------------------------------------------- threads */

void pause_here(const char *point);
void forbidden(const char *what) __attribute__((noreturn));
void nap(void);
/* What else goes on must be over within a second, or two. */
void await(const bool *word, const char *otherwise);

struct job {
	pthread_t thread;
	void (*fn)(void);
	bool victim;
	bool done;
};

void begin(struct job *job, void (*fn)(void));
/* @fn in a thread that comes to stand at @point, after passing it @times. */
void begin_victim(struct job *job, void (*fn)(void), const char *point,
		  unsigned int times);
void finish(struct job *job);
/* Only that. */
void let_go_of_victim(void);
void let_victim_go(struct job *job);

/* -------------------------------------------------------------- the stage */

extern struct mm_struct *mm;
extern __thread struct mmu_notifier_range range;
extern struct mmu_interval_notifier subs[CROWD];
extern unsigned int calls;
extern bool gone[CROWD];
extern struct job job, other;

/* Counts, and looks whether it may be called. */
bool count_call(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *r, unsigned long seq);
extern const struct mmu_interval_notifier_ops counting;
void insert_with(unsigned int i, unsigned int page,
		 const struct mmu_interval_notifier_ops *ops);
void insert(unsigned int i, unsigned int page);
void remove_sub(unsigned int i);
void start_range(unsigned int first, unsigned int n);
void end_range(void);
/* Pages 10 to 40. */
void start_ten(void);
/* Page i is the i-th one's, and all are called. */
void insert_all(void);
void start_all(void);
/* How many of them before the start searches on. */
unsigned int called_before_resume(void);

#endif
