/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the tests of the live address space share: one for each case, made as
 * the case wants it, and memory to try things on.
 */
#ifndef TESTS_LIVE_LIVE_UTIL_H
#define TESTS_LIVE_LIVE_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "../cases.h"
#include "mm/live/live.h"
#include "mm/live/uapi.h"

#define PAGE 4096UL

#define CASE(fn) { .name = #fn, .test_func = fn, .setup_func = live_begin,   \
		   .teardown_func = live_end, .initial_state = (void *)#fn }
/* Without a live address space at first. */
#define CASE_BARE(fn) { .name = #fn, .test_func = fn,                        \
			.setup_func = live_begin_bare,                       \
			.teardown_func = live_end,                           \
			.initial_state = (void *)#fn }

int live_begin(void **state);
int live_begin_bare(void **state);
int live_end(void **state);

/* The address space of the case; NULL: none. */
extern struct mm_struct *mm;
/* Make it (again). */
void make_live(enum uhmm_guarantee guarantee, unsigned int without,
	       unsigned int flags);
void drop_live(void);
bool kernel_has(unsigned int feature);
struct uhmm_live_info info(void);
struct uhmm_live_stats live_stats(void);
/* Until what the monitor has read is passed on, and counted. */
void settle(void);

/* Pages of private anonymous memory, each 4 KiB page on its own, written. */
char *some_pages(size_t npages);
char *map_at(void *where, size_t npages, int prot, int flags);
struct uhmm_pte pte_at(const void *addr);

/*
 * For what cannot be undone: a process of its own for the rest of a case, in
 * which there is no cmocka. _exit(CANNOT): it cannot be tried here.
 */
#define CANNOT 77
#define OK(condition)                                                        \
	do {                                                                 \
		if (!(condition))                                            \
			fail_here(__FILE__, __LINE__, #condition);           \
	} while (0)
#define ALONE(name)                                                          \
	static void name##_alone(void);                                      \
	static void name(void **state)                                       \
	{                                                                    \
		run_alone(name##_alone);                                     \
	}                                                                    \
	static void name##_alone(void)

void run_alone(void (*body)(void));
void __attribute__((noreturn)) fail_here(const char *file, int line,
					 const char *what);
/* From now on system call @nr has this action: SECCOMP_RET_... */
bool live_filter(unsigned int nr, unsigned int action);

/* Stamps itself with what calls it; the seq side of a mirror. */
struct view {
	struct mmu_interval_notifier sub;
	pthread_mutex_t lock;
	unsigned long called;
	enum mmu_notifier_event event;
	unsigned long start, end;	/* of the last call */
	void (*hook)(struct view *view);
};

void view_add(struct view *view, const void *start, size_t length);
void view_drop(struct view *view);
unsigned long view_begin(struct view *view);
/* What holds until a change comes, as no other is on its way any more. */
unsigned long view_look(struct view *view, const void *page);
/* Nothing that came, or is on its way, concerns it. */
void assert_holds(struct view *view, unsigned long seq);
bool view_retry(struct view *view, unsigned long seq);
unsigned long view_called(struct view *view);

#endif
