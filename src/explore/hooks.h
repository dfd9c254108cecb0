/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the explorer supplies to the code that it explores, beside the hooks of
 * the compiler and the functions of libc: the words of concurrency, each with
 * the place in the code that uses it.
 *
 * Outside of an execution one thread runs, and each does the obvious thing.
 */
#ifndef EXPLORE_HOOKS_H
#define EXPLORE_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A lock is one word of the program's memory, 0: free. Of several holders, if
 * readers, all are in it: bit n is thread n; a writer has the top bit, too.
 */
void explore_lock(unsigned int *lock, const void *pc);
bool explore_trylock(unsigned int *lock, const void *pc);
void explore_unlock(unsigned int *lock, const void *pc);
void explore_read_lock(unsigned int *lock, const void *pc);
bool explore_read_trylock(unsigned int *lock, const void *pc);
void explore_read_unlock(unsigned int *lock, const void *pc);
void explore_downgrade(unsigned int *lock, const void *pc);
bool explore_lock_mine(const unsigned int *lock);
/* How many readers, or -1: a writer. */
int explore_lock_holders(const unsigned int *lock);

/* Sleep while *word == value, as wait_word(); 0, or -ETIMEDOUT. */
int explore_wait(unsigned int *word, unsigned int value, int64_t timeout_ns,
		 const void *pc);
void explore_wake(unsigned int *word, const void *pc);

/* Wait for a signal, and let go of a lock meanwhile. 0, or -ETIMEDOUT. */
int explore_cond_wait(void *cond, unsigned int *lock, int64_t timeout_ns,
		      const void *pc);
void explore_cond_wake(void *cond, bool all, const void *pc);

/* All other threads pass a full fence, one after the other. */
void explore_membarrier(const void *pc);
void explore_fence(const void *pc);
void explore_yield(const void *pc);
void explore_sleep(int64_t ns, const void *pc);
int64_t explore_now(void);
/* This thread's number, 0 to UHMM_EXPLORE_THREADS - 1. */
unsigned int explore_self(void);
bool explore_thread_ended(unsigned int thread);
/* Have @fn called when this thread ends; one function at most. */
void explore_at_exit(void (*fn)(void));
/* How often this thread has slept. */
unsigned long explore_sleeps(void);

void *explore_alloc(size_t size, size_t align);
void explore_free(void *memory);

/* The contract checker's report: what the execution ends with, if there is one. */
void explore_broken_rule(const char *rule, const char *what);

/* One that can be weakened. @last: last line of its statement. */
struct explore_label {
	const char *label;
	const char *file;
	int first;
	int last;
};

/* Ends with a NULL label. */
void explore_register_labels(const struct explore_label *labels);

#endif
