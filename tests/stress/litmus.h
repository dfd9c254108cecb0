/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Litmus tests on the real code: two threads, or three, meet at one point over
 * and over, a little earlier or later each time, and what must never come out
 * of it is looked for.
 *
 * A round: before(), then a() in the first thread beside b() and c() in others,
 * then after() alone. Whoever does not get on is found out by the clock.
 */
#ifndef TESTS_STRESS_LITMUS_H
#define TESTS_STRESS_LITMUS_H

#include <stdbool.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "sync/sync.h"

#define PG(n) (0x100000UL + ((unsigned long)(n) << 12))

/**
 * struct litmus - a test
 * @name: what holds
 * @begin: once, before the rounds
 * @before: before each
 * @a: in the first thread
 * @b: in the second
 * @c: in the third, or NULL
 * @after: after each
 * @end: once
 * @slow: a round is thousands of others: no delays
 * @forks: not for ThreadSanitizer
 */
struct litmus {
	const char *name;
	void (*begin)(void);
	void (*before)(void);
	void (*a)(void);
	void (*b)(void);
	void (*c)(void);
	void (*after)(void);
	void (*end)(void);
	bool slow;
	bool forks;
};

/* Ended by an empty one. */
extern const struct litmus meeting_litmus[];
extern const struct litmus waiting_litmus[];
extern const struct litmus ending_litmus[];

void forbidden(const char *what) __attribute__((noreturn));

unsigned int litmus_random(unsigned int n);
void litmus_spin(unsigned int n);

extern struct mm_struct *litmus_mm;
void litmus_make_mm(void);
void litmus_end_mm(void);

/* Words between the threads of a test, which must not order anything. */
static inline int seen(const int *word)
{
	return READ_ONCE(*word);
}

static inline void say(int *word, int value)
{
	WRITE_ONCE(*word, value);
}

/* Until @word is 1, for two seconds at most: was it? */
bool litmus_await(const int *word);

void litmus_start(struct mmu_notifier_range *range, unsigned int first,
		  unsigned int n);

#endif
