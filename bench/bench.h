/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The runner of the benchmarks, for a machine that others use too.
 *
 * Two contenders take turns in slices of about a millisecond, so that what
 * disturbs one disturbs the other; a slice that lost its CPU is thrown away,
 * with its partner; what counts is the median of the ratios of neighbours. A
 * second thread is alive throughout: without one glibc's locks are cheaper
 * than any program with a device has them.
 *
 * Output is a table, or with --json one object a line with "schema": 1.
 * Nothing measured here ever fails a build: targets hold or are missed.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/index.h"

#define BENCH_USAGE 129

struct bench {
	const char *name;
	bool json;
	bool longer;
	bool small_pages;	/* for large worlds, too: see world.h */
	const struct index_search *search;	/* what the library is to use */
	int64_t begun;		/* in bench_now() */
	int64_t deadline;
	double left;		/* weight of the cells to come */
	const char *section;	/* printed last, as text */
	unsigned int held, missed, unmeasured;
	unsigned int beyond;	/* of those missed */
};

/* Of a sample; all 0 where there is none. */
struct quartiles {
	double min, q1, median, q3, p99, max;
	unsigned int count;
};

struct contender {
	const char *name;
	void (*slice)(void *arg, unsigned long n);
	void *arg;
	struct quartiles ns;	/* per operation */
};

/**
 * struct cell - one comparison
 * @section: heading of the table that it stands in
 * @test: what is done
 * @shape: how the subscriptions lie; NULL: of no importance
 * @n: how many there are; 0: of no importance
 * @slice_us: length of a slice
 * @first: ratios are @second over @first; the library where both are there
 * @second: name NULL: @first runs alone
 * @ratio: returns how often @second's time is @first's
 * @dropped: returns how many pairs were thrown away
 */
struct cell {
	const char *section;
	const char *test;
	const char *shape;
	unsigned long n;
	unsigned int slice_us;
	struct contender first;
	struct contender second;
	struct quartiles ratio;
	unsigned int dropped;
};

/* A figure, or percentiles of one. */
struct figure {
	const char *section;
	const char *test;
	const char *who;	/* NULL: the machine */
	const char *shape;
	unsigned long n;
	const char *unit;
	struct quartiles value;
};

/* Parse, start the second thread, print what is measured. Exits on bad usage. */
void bench_init(struct bench *b, const char *name, int argc, char **argv);
/* Returns the exit status. */
int bench_finish(struct bench *b);
/* Ctrl-C, or no time left. */
bool bench_over(const struct bench *b);
int64_t bench_now(void);
/* Or @what failed, and nothing measured would be true. */
void must(bool ok, const char *what);
/* What a clock read before and after adds to what is measured, in ns. */
double bench_clock_cost(void);
/* Involuntary context switches of this thread so far. */
long bench_switches(void);

/* Announce weight before bench_run() takes it: time left is shared by weight. */
void bench_plan(struct bench *b, double weight);
void bench_run(struct bench *b, struct cell *cell, double weight);
/*
 * The same for @n cells of two contenders each that do not fit into the caches
 * side by side: they take turns in rounds. In a round a contender first has
 * @warm called, as users have the caches to one scheme only, and then a slice
 * of each cell. Takes @weight for each cell.
 */
void bench_run_rounds(struct bench *b, struct cell *cells, unsigned int n,
		      void (*warm)(void *arg), double weight);
/* Time that a cell of @weight may take now, in ns; takes it off the plan. */
int64_t bench_share(struct bench *b, double weight);

/* Sorts @values. */
struct quartiles bench_quartiles(double *values, unsigned int count);
struct quartiles bench_one(double value);
void bench_figure(struct bench *b, const struct figure *figure);
void bench_missing(struct bench *b, const char *what, const char *reason);
void bench_note(struct bench *b, const char *key, const char *value);

/*
 * Says whether @value >= @wanted, or <= if @at_most. A @value < 0 was not
 * measured.
 */
struct target {
	const char *id;		/* T1 ... */
	const char *what;
	unsigned long n;
	double value;
	double wanted;
	bool at_most;
	const char *unit;	/* "x": a ratio */
};

/* The same in what a peer takes: here, and where the target was set. */
struct in_peers {
	const char *peer;	/* NULL: none that runs here */
	double value;
	double wanted;
};

void bench_target(struct bench *b, const struct target *target);
/* @limit: as measured, no scheme can do better; 0: not known. */
void bench_target_within(struct bench *b, const struct target *target,
			 double limit);
void bench_target_beside(struct bench *b, const struct target *target,
			 double limit, const struct in_peers *in);

#endif
