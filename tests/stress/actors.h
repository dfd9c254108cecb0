/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who acts on the model: what each thread of the stress does.
 */
#ifndef TESTS_STRESS_ACTORS_H
#define TESTS_STRESS_ACTORS_H

#include "model.h"

/**
 * struct worker - a thread
 * @thread: its handle
 * @actor: what it does
 * @number: of its kind, from 0
 * @random: where its random numbers begin
 * @beat: what it is at
 * @rounds: how often it did it
 * @joinable: it runs
 */
struct worker {
	pthread_t thread;
	enum actor actor;
	unsigned int number;
	uint64_t random;
	struct beat beat;
	unsigned long rounds;
	bool joinable;
	bool done;
};

extern struct worker workers[MAX_THREADS];
extern unsigned int n_workers;

void *work(void *worker);
/* End what was started by threads that left the end to others. */
void end_what_is_left(void);
/* One start of everything and its end. */
void invalidate_everything(void);

#endif
