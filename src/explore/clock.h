/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Vector clocks, and views of memory, which are joined in the same way.
 */
#ifndef EXPLORE_CLOCK_H
#define EXPLORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include <uhmm/explore.h>

/* Threads, and behind them one for what each has stored and others do not see. */
#define MAX_THREADS UHMM_EXPLORE_THREADS
#define MAX_ACTORS (2 * MAX_THREADS)

typedef int16_t words8 __attribute__((vector_size(16)));
typedef uint16_t uwords8 __attribute__((vector_size(16)));

static inline words8 words8_max(words8 a, words8 b)
{
	/* Compilers know one instruction for it if it is written so. */
	for (unsigned int i = 0; i < 8; i++)
		a[i] = a[i] > b[i] ? a[i] : b[i];
	return a;
}

typedef int16_t any8 __attribute__((vector_size(16), aligned(1), may_alias));

/* So many bytes, 16 at a time, from anywhere: in registers, without a call. */
static inline __attribute__((always_inline)) void
words_copy(void *to, const void *from, size_t bytes)
{
	any8 *at = to;
	const any8 *as = from;

#pragma GCC unroll 16
	for (size_t i = 0; i < bytes / sizeof(any8); i++)
		at[i] = as[i];
}

/* How many steps of each actor come before: of threads, and of their buffers. */
union clock {
	words8 v[MAX_ACTORS / 8];
	int16_t at[MAX_ACTORS];
};

static inline void clock_join(union clock *to, const union clock *from)
{
	to->v[0] = words8_max(to->v[0], from->v[0]);
	to->v[1] = words8_max(to->v[1], from->v[1]);
}

static const words8 one_of_8[8] = {
	{ 1 }, { 0, 1 }, { 0, 0, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 0, 1 },
	{ 0, 0, 0, 0, 0, 1 }, { 0, 0, 0, 0, 0, 0, 1 }, { 0, 0, 0, 0, 0, 0, 0, 1 },
};

/*
 * One more step of @actor. Not by its one word: who reads all of the clock right
 * behind that waits until the word is in the cache. In a search of states clocks
 * go on for ever, and are nothing to anybody: they may wrap.
 */
static inline words8 words8_tick(words8 words, unsigned int actor)
{
	return (words8)((uwords8)words + (uwords8)one_of_8[actor]);
}

static inline void clock_tick(union clock *clock, unsigned int actor)
{
	clock->v[actor / 8] = words8_tick(clock->v[actor / 8], actor % 8);
}

/* The same of threads alone: who synchronizes with whom, and who was where when. */
union times {
	words8 v;
	int16_t at[MAX_THREADS];
};

static inline void times_join(union times *to, const union times *from)
{
	to->v = words8_max(to->v, from->v);
}

/* See clock_tick(). */
static inline void times_tick(union times *times, unsigned int thread)
{
	times->v = words8_tick(times->v, thread);
}

/* The newest store of each location that may not be missed. */
#define MAX_LOCATIONS 256

union view {
	words8 v[MAX_LOCATIONS / 8];
	int16_t at[MAX_LOCATIONS];
};

/* So many of these words there ever were; what is behind them is zero. */
extern unsigned int view_words;

static inline void view_join(union view *to, const union view *from)
{
	for (unsigned int i = 0; i < view_words; i++)
		to->v[i] = words8_max(to->v[i], from->v[i]);
}

static inline void view_copy(union view *to, const union view *from)
{
	for (unsigned int i = 0; i < view_words; i++)
		to->v[i] = from->v[i];
}

static inline void view_clear(union view *view)
{
	for (unsigned int i = 0; i < view_words; i++)
		view->v[i] = (words8){ 0 };
}

#endif
