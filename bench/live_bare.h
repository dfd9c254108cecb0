/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the kernel alone costs, in nanoseconds; 0 values: it cannot be had. */
#ifndef BENCH_LIVE_BARE_H
#define BENCH_LIVE_BARE_H

#include <stdbool.h>

struct bench;

/* A page that comes home when it is touched. */
unsigned int bare_home(struct bench *b, bool by_signal, double *values,
		       unsigned int most);
/* As many munmap()s of a page, each told of to a thread that reads it. */
unsigned int bare_unmaps(struct bench *b, double *values, unsigned int most);
/* A munmap() of the page @p, of which the kernel is to tell no more before. */
bool bare_watch_begin(void);
double bare_unwatch(char *p);
void bare_watch_end(void);
/* @npages that move elsewhere, @most of them in one call. */
unsigned int bare_moves(struct bench *b, unsigned long npages,
			unsigned long most, double *values, unsigned int count);

#endif
