/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the benchmarks with several threads share.
 */
#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H

#include <pthread.h>
#include <stdbool.h>

#include "bench.h"
#include "world.h"

#define SUBS 4096UL
#define MS INT64_C(1000000)

/* The library first. */
#define SCHEMES 2
extern const struct ops *const schemes[SCHEMES];

/* One world of a scheme, and a device for each of two threads. */
struct arena {
	const struct ops *ops;
	struct world *world;
	struct device *device[2];
};

void arena_make(struct arena *a, const struct ops *ops, const struct bench *b,
		bool never_reserve);
void arena_drop(struct arena *a);

/*
 * To the @i-th CPU of those that the process has, to all of them if @i < 0;
 * false: there is none such.
 */
bool arena_pin(int i);
/* Nothing else gets this thread's CPU, if that may be had. */
void arena_realtime(bool on);
extern bool arena_realtime_refused;

/*
 * Runs @fn(beside) on the second CPU, beside what the caller does between
 * beside_begin() and beside_end(); @stop is for @fn to look at.
 */
struct beside {
	void (*fn)(struct beside *beside);
	void *arg;
	unsigned int running, stop;
	pthread_t thread;
};

void beside_begin(struct beside *beside);
void beside_end(struct beside *beside);

/* preempted.c: a thread that may hold a lock is stopped. */
void bench_preempted(struct bench *b);

/* crowd.c: more threads than CPUs. */
void bench_crowds(struct bench *b);

#endif
