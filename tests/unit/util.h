/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the unit tests share: an address space for each case, subscribers that
 * write down how they are called, and threads of which it can be told whether
 * they wait.
 *
 * Only the main thread asserts. What else runs records what it sees.
 */
#ifndef TESTS_UNIT_UTIL_H
#define TESTS_UNIT_UTIL_H

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "../cases.h"
#include "sync/sync.h"

#define PAGES(n) ((unsigned long)(n) << 12)
#define PG(n) (0x100000UL + PAGES(n))
#define MSEC INT64_C(1000000)

/* ------------------------------------------------------------------- cases
 * Each has CASE_SECONDS, and an address space that it may not leave anything
 * in: what it inserted it removes, what it took it gives back.
 */

#define CASE(fn)                                                             \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = case_begin,      \
		.teardown_func = case_end, .initial_state = (void *)#fn      \
	}

int case_begin(void **state);
int case_end(void **state);

extern struct mm_struct *mm;
/* Make another one to order; its ops stay the tests' own. */
void remake_mm(const struct uhmm_mm_options *options);
/* The last mmput(), which case_end() then leaves out. */
void end_mm(void);
bool mm_destroyed(void);
struct uhmm_mm_stats stats(void);
/* The child of a fork may go on in the middle of a case. */
int in_child(int (*fn)(void *arg), void *arg);

/* ----------------------------------------------------------------- record
 * What was called, in order: " i1 f2 s7". From any thread.
 */
void record(const char *what, int id);
/* The record is @calls, without the first blank, and begins anew. */
#define assert_recorded(calls) check_recorded(calls, __FILE__, __LINE__)
void check_recorded(const char *calls, const char *file, int line);

/* ----------------------------------------------------------------- threads */

/* A word between threads, on its way from 0 to 1, or counting. */
static inline int look(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static inline void set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static inline int count(int *word)
{
	return __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
}

struct task {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
	int tid;
	int done;
};

void task_start(struct task *task, void (*fn)(void *arg), void *arg);
/*
 * Does it sleep, until somebody else does something? True once the kernel has
 * seen it asleep at each of many looks in a row, false once it is done.
 */
bool task_waits(struct task *task);
void task_join(struct task *task);
/* Start, and join what does not wait. */
#define assert_no_wait(fn, arg)                                              \
	assert_false(task_would_wait(fn, arg))
bool task_would_wait(void (*fn)(void *arg), void *arg);

/* A callback that goes in stays inside until the gate is opened. */
struct gate {
	sem_t entered;
	sem_t open;
};

void gate_init(struct gate *gate);
void gate_pass(struct gate *gate);
void gate_await(struct gate *gate);
void gate_open(struct gate *gate);

/* ------------------------------------------------------------- subscribers */

/*
 * Records "i<id>", RELEASE "R<id>", refusals "n<id>". @hook runs first, with
 * no lock held.
 */
struct mirror {
	struct mmu_interval_notifier sub;
	pthread_mutex_t lock;
	int id;
	bool quiet;			/* records nothing */
	bool refuse;			/* what is not blockable */
	bool refuse_all;
	void (*hook)(struct mirror *mirror,
		     const struct mmu_notifier_range *range);
	void *data;			/* for @hook */
	int called;
	struct mmu_notifier_range range;	/* of the last call */
	unsigned long cur_seq;
};

extern const struct mmu_interval_notifier_ops mirror_ops;

void mirror_init(struct mirror *mirror, int id);
/* Init and insert. */
void mirror_add(struct mirror *mirror, int id, unsigned long start,
		unsigned long length);
void mirror_drop(struct mirror *mirror);
unsigned long mirror_begin(struct mirror *mirror);
/* Under its lock. */
bool mirror_retry(struct mirror *mirror, unsigned long seq);
/* Would a read have to wait now? */
bool mirror_held_up(struct mirror *mirror);
/* Hook: stays at the gate that @data is. */
void mirror_at_gate(struct mirror *mirror,
		    const struct mmu_notifier_range *range);
/* For task_start(): @arg is a mirror. */
void mirror_begin_task(void *arg);
void mirror_drop_task(void *arg);

/* Records "s<id>", "S<id>" when it refuses, "e<id>", "r<id>" for release. */
struct listener {
	struct mmu_notifier mn;
	int id;
	bool quiet;			/* records nothing */
	bool refuse;			/* what is not blockable */
	void (*hook)(struct listener *listener, char what);
	void *data;
	struct mmu_notifier_range range;	/* of the last start */
};

extern const struct mmu_notifier_ops listener_ops;
/* Has no end, as who refuses must not have. */
extern const struct mmu_notifier_ops refuser_ops;

void listener_init(struct listener *listener, int id,
		   const struct mmu_notifier_ops *ops);
void listener_add(struct listener *listener, int id);
void listener_drop(struct listener *listener);

/* ------------------------------------------------------------------ ranges */

/* CLEAR, and it cannot fail. */
void begin_range(struct mmu_notifier_range *range, unsigned long start,
		 unsigned long end);
int begin_nonblock(struct mmu_notifier_range *range, unsigned long start,
		   unsigned long end);
void end_range(struct mmu_notifier_range *range);
/* Both. */
void invalidate(unsigned long start, unsigned long end);
/* For task_start(): PG(10) to PG(11). */
void invalidate_task(void *unused);

#endif
