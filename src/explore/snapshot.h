/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program between two steps, kept and put back.
 */
#ifndef EXPLORE_SNAPSHOT_H
#define EXPLORE_SNAPSHOT_H

#include "internal.h"

#pragma GCC visibility push(hidden)

struct snapshot {
	char *copy;
	size_t room;
	unsigned int depth, nthreads;
	unsigned int moved;	/* threads, since the earlier one */
	const char *thread[MAX_THREADS];	/* in the copy, or an earlier one */
};

char *snapshot_take(struct snapshot *s, const struct snapshot *earlier,
		    size_t extra);
const char *snapshot_put(const struct snapshot *s, unsigned int moved);
void snapshot_free(struct snapshot *s);
unsigned int moved_since(unsigned int depth);

/* Threads, of actors. */
static inline unsigned int actors_of(unsigned int actors)
{
	return (actors | actors >> MAX_THREADS) & ((1U << MAX_THREADS) - 1);
}

#pragma GCC visibility pop

#endif
