/* SPDX-License-Identifier: 0BSD */
/* What all scenarios share that have an address space: pages and threads. */
#ifndef SCENARIOS_THREADS_H
#define SCENARIOS_THREADS_H

#include <pthread.h>

#include <uhmm/explore.h>

enum { PAGE = 4096, BELOW = 0x8000, HERE = 0x10000, ELSEWHERE = 0x20000 };

/* Run @n functions at once, to their end. */
static inline void together(unsigned int n, void *(*const fn[])(void *))
{
	pthread_t thread[UHMM_EXPLORE_THREADS];
	unsigned long i;

	for (i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, fn[i], (void *)(i + 2));
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

#define TOGETHER(...) \
	together(sizeof((void *(*[])(void *)){ __VA_ARGS__ }) / sizeof(void *), \
		 (void *(*const[])(void *)){ __VA_ARGS__ })

#endif
