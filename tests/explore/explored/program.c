/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Carries out a program of random steps. What each step got stays in got[],
 * so that executions which differ end in states which differ.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <uhmm/explore.h>

#include "program.h"

/* The test writes the first, before it explores, and nobody reads the other. */
extern struct program program;
extern int got[PROGRAM_THREADS][PROGRAM_STEPS];
struct program program;
int got[PROGRAM_THREADS][PROGRAM_STEPS];

static atomic_int words[PROGRAM_WORDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue = PTHREAD_COND_INITIALIZER;
static int sum;			/* under lock */

static int locked(const struct program_step *s)
{
	int value;

	if (s->kind != PROGRAM_TRYLOCK)
		pthread_mutex_lock(&lock);
	else if (pthread_mutex_trylock(&lock))
		return -1;
	if (s->kind == PROGRAM_SLEEP)
		pthread_cond_wait(&queue, &lock);
	value = sum;
	sum = 2 * sum + s->value;
	pthread_mutex_unlock(&lock);
	return value;
}

static int step(const struct program_step *s)
{
	atomic_int *word = &words[s->word];
	int zero = 0;

	switch (s->kind) {
	case PROGRAM_LOAD:
		return s->strong ?
			atomic_load_explicit(word, memory_order_acquire) :
			atomic_load_explicit(word, memory_order_relaxed);
	case PROGRAM_STORE:
		if (s->strong)
			atomic_store_explicit(word, s->value,
					      memory_order_release);
		else
			atomic_store_explicit(word, s->value,
					      memory_order_relaxed);
		return 0;
	case PROGRAM_ADD:
		return s->strong ?
			atomic_fetch_add(word, s->value) :
			atomic_fetch_add_explicit(word, s->value,
						  memory_order_relaxed);
	case PROGRAM_SWAP_IF_ZERO:
		return atomic_compare_exchange_strong_explicit(word, &zero,
			s->value, memory_order_acq_rel, memory_order_relaxed);
	case PROGRAM_FENCE:
		if (s->strong)
			atomic_thread_fence(memory_order_seq_cst);
		else
			atomic_thread_fence(memory_order_acq_rel);
		return 0;
	case PROGRAM_CHOOSE:
		return (int)uhmm_choose(2);
	case PROGRAM_WAKE:
		pthread_cond_signal(&queue);
		return 0;
	default:
		return locked(s);
	}
}

static void *thread(void *arg)
{
	unsigned int t = (unsigned int)(size_t)arg;

	for (unsigned int i = 0; i < program.nsteps[t]; i++)
		got[t][i] = step(&program.steps[t][i]);
	return NULL;
}

static void run(void)
{
	pthread_t t[PROGRAM_THREADS];

	for (unsigned int i = 0; i < program.nthreads; i++)
		pthread_create(&t[i], NULL, thread, (void *)(size_t)i);
	for (unsigned int i = 0; i < program.nthreads; i++)
		pthread_join(t[i], NULL);
}

UHMM_SCENARIO(program, .run = run);
