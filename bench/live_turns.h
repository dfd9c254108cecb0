/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How the costs of a live process are taken: who is compared takes turns, on cores
 * that are chosen; beside it what a hand-off from one thread to another costs.
 */
#ifndef BENCH_LIVE_TURNS_H
#define BENCH_LIVE_TURNS_H

#include <stdbool.h>

struct bench;

#define SLICE 100U		/* operations: then it is another's turn */
#define SLICES 100U
#define KINDS_MAX 8

/* In ns, or what it is made into before it is shown. */
extern double samples[KINDS_MAX][SLICE * SLICES];

/* The core of the caller, and another one, or -1. */
extern int here, elsewhere;
void stay_here(void);
/* And whom it makes from now on. */
void stay_on(int cpu);

/*
 * Each kind of operation has all that it needs in the caches. @slices: of each, SLICES
 * at most. Returns how many operations.
 */
unsigned int in_turns(struct bench *b, unsigned int kinds, unsigned int slices,
		      double (*once)(unsigned int kind));

/* Of neighbouring slices, before they are shown; -1 of none. */
double over_first(unsigned int kind, unsigned int n);

/* Return the median, -1 of none. */
double show(struct bench *b, const char *section, const char *test,
	    unsigned long n, const char *unit, double *values,
	    unsigned int count);
double show_one(struct bench *b, const char *section, const char *test,
		double value, const char *unit);

/* @limit: what the kernel alone takes; 0 and less: unknown. */
void target_within(struct bench *b, const char *id, const char *what,
		   double value, double wanted, const char *unit, double limit);
void target(struct bench *b, const char *id, const char *what, double value,
	    double wanted, const char *unit);

/* The lower one of those that there are, the others being < 0. */
double lower(double a, double b);

/* From one thread to another that sleeps; the other one is where the caller was. */
extern const char hand_off_name[];
void hand_off_begin(void);
double hand_off(void);
void hand_off_end(void);

#endif
