/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What all tests with cases share, whatever address space these are about.
 */
#ifndef TESTS_CASES_H
#define TESTS_CASES_H

#include <stdbool.h>

#define CASE_SECONDS 50

/* First in main(). An argument is the case, or the pattern of some, to run. */
void cases_begin(int argc, char **argv);
/* A case begins, and has CASE_SECONDS; alarm(0) ends that. */
void case_clock(const char *name);
extern const char *case_name;

/* A sanitizer's runtime brings malloc(), and the program has none of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THEIR_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define THEIR_MALLOC 1
#endif
#endif

/* Of this process, by its kernel number. */
bool thread_is_asleep(int tid);
/* How often it has gone to sleep so far. */
unsigned long thread_sleeps(int tid);
int threads_of_this_process(void);
/* One that was joined is counted for a moment yet. */
void thread_wait_gone(int tid);

#endif
