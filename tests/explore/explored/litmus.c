/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The small programs by which memory models are told apart. The bad outcome is
 * the one that a sequentially consistent machine never shows.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <uhmm/explore.h>

#include "explore/hooks.h"

#define RLX memory_order_relaxed
#define ACQ memory_order_acquire
#define REL memory_order_release
#define SC memory_order_seq_cst

static atomic_int a, b;
static int r[4];

static void run(void *(*const fn[])(void *), unsigned int n)
{
	pthread_t t[4];

	for (unsigned int i = 0; i < n; i++)
		pthread_create(&t[i], NULL, fn[i], NULL);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

#define LITMUS(ident, bad_when, ...) \
	static void run_##ident(void) \
	{ \
		static void *(*const fn[])(void *) = { __VA_ARGS__ }; \
		run(fn, sizeof(fn) / sizeof(fn[0])); \
		uhmm_assert(!(bad_when)); \
	} \
	UHMM_SCENARIO(ident, .run = run_##ident, .bad = #bad_when)

#define THREAD(name, ...) \
	static void *name(void *arg) \
	{ \
		__VA_ARGS__; \
		return NULL; \
	}

#define ST(x, v, order) atomic_store_explicit(&x, v, order)
#define LD(x, order) atomic_load_explicit(&x, order)

/* SB: each stores, then looks for the other's store. */
#define SB(name, between, st, ld) \
	THREAD(name##_0, ST(a, 1, st); between; r[0] = LD(b, ld)) \
	THREAD(name##_1, ST(b, 1, st); between; r[1] = LD(a, ld)) \
	LITMUS(name, !r[0] && !r[1], name##_0, name##_1)

SB(sb_relaxed, , RLX, RLX);
SB(sb_acqrel, , REL, ACQ);
SB(sb_fence, atomic_thread_fence(SC), RLX, RLX);
SB(sb_acqrel_fence, atomic_thread_fence(memory_order_acq_rel), RLX, RLX);
SB(sb_sc, , SC, SC);

/* Two seq_cst exchanges keep nothing behind them: aarch64 shows it. */
THREAD(sb_rmw_0, atomic_exchange(&a, 1); r[0] = LD(b, ACQ))
THREAD(sb_rmw_1, atomic_exchange(&b, 1); r[1] = LD(a, ACQ))
LITMUS(sb_rmw, !r[0] && !r[1], sb_rmw_0, sb_rmw_1);

/* One side pays for both. */
THREAD(sb_mb_0, ST(a, 1, RLX); atomic_signal_fence(SC); r[0] = LD(b, RLX))
THREAD(sb_mb_1, ST(b, 1, RLX); explore_membarrier(NULL); r[1] = LD(a, RLX))
LITMUS(sb_membarrier, !r[0] && !r[1], sb_mb_0, sb_mb_1);

/* MP: a message, and a flag that says it is there. */
#define MP(name, st, ld) \
	THREAD(name##_0, ST(a, 1, RLX); ST(b, 1, st)) \
	THREAD(name##_1, r[0] = LD(b, ld); r[1] = LD(a, RLX)) \
	LITMUS(name, r[0] && !r[1], name##_0, name##_1)

MP(mp_relaxed, RLX, RLX);
MP(mp_release, REL, RLX);
MP(mp_acquire, RLX, ACQ);
MP(mp_acqrel, REL, ACQ);
THREAD(mp_fence_0, ST(a, 1, RLX); atomic_thread_fence(REL); ST(b, 1, RLX))
THREAD(mp_fence_1, r[0] = LD(b, RLX); atomic_thread_fence(ACQ);
       r[1] = LD(a, RLX))
LITMUS(mp_fence, r[0] && !r[1], mp_fence_0, mp_fence_1);
/* A read-modify-write between carries the release on. */
THREAD(mp_rmw_2, atomic_fetch_add_explicit(&b, 1, RLX))
THREAD(mp_rmw_1, r[0] = LD(b, ACQ) == 2; r[1] = LD(a, RLX))
LITMUS(mp_rmw, r[0] && !r[1], mp_acqrel_0, mp_rmw_1, mp_rmw_2);

/* IRIW: do two readers agree on the order of two stores? */
#define IRIW(name, st, ld) \
	THREAD(name##_0, ST(a, 1, st)) \
	THREAD(name##_1, ST(b, 1, st)) \
	THREAD(name##_2, r[0] = LD(a, ld); r[1] = LD(b, ld)) \
	THREAD(name##_3, r[2] = LD(b, ld); r[3] = LD(a, ld)) \
	LITMUS(name, r[0] && !r[1] && r[2] && !r[3], name##_0, name##_1, \
	       name##_2, name##_3)

IRIW(iriw_acqrel, REL, ACQ);
IRIW(iriw_sc, SC, SC);

/* 2+2W: who was last, at both? */
#define TWO_WRITES(name, order) \
	THREAD(name##_0, ST(a, 1, RLX); ST(b, 2, order)) \
	THREAD(name##_1, ST(b, 1, RLX); ST(a, 2, order)) \
	LITMUS(name, LD(a, RLX) == 1 && LD(b, RLX) == 1, name##_0, name##_1)

TWO_WRITES(two_writes_relaxed, RLX);
TWO_WRITES(two_writes_release, REL);
THREAD(two_writes_fence_0, ST(a, 1, RLX); atomic_thread_fence(SC);
       ST(b, 2, RLX))
THREAD(two_writes_fence_1, ST(b, 1, RLX); atomic_thread_fence(SC);
       ST(a, 2, RLX))
LITMUS(two_writes_fence, LD(a, RLX) == 1 && LD(b, RLX) == 1,
       two_writes_fence_0, two_writes_fence_1);

/* CoRR: one word does not go back. */
THREAD(corr_0, ST(a, 1, RLX); ST(a, 2, RLX))
THREAD(corr_1, r[0] = LD(a, RLX); r[1] = LD(a, RLX))
LITMUS(corr, r[0] > r[1], corr_0, corr_1);

/* No increment is lost. */
THREAD(rmw_0, atomic_fetch_add_explicit(&a, 1, RLX))
LITMUS(rmw, LD(a, RLX) != 3, rmw_0, rmw_0, rmw_0);
