/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the kernel alone costs, in nanoseconds; < 0, or 0 values: it cannot be had. */
#ifndef BENCH_LIVE_BARE_H
#define BENCH_LIVE_BARE_H

#include <pthread.h>
#include <stdbool.h>

/* Who does what the kernel tells of. */
enum bare_by {
	BARE_NOBODY,	/* it is told not to tell any more before */
	BARE_THREAD,	/* it blocks in read() */
	BARE_YIELDING,	/* so, too; whom it wakes runs at once */
	BARE_SPINNING,	/* it never sleeps, and needs a core of its own */
	BARE_SIGNAL,	/* who touches a page, in a handler of SIGBUS */
};

/**
 * struct bare - a userfaultfd, and at most one who reads it
 * @fd: the descriptor
 * @by: who
 * @copies: a page that comes home is copied, not moved
 * @home: a page that comes home when it is touched; NULL: only changes are told of
 * @away: where it comes from
 * @thread: that reads
 */
struct bare {
	int fd;
	enum bare_by by;
	bool copies;
	char *home, *away;
	pthread_t thread;
};

/* @by and @copies are set. A thread that is made runs where the caller may now. */
bool bare_home_begin(struct bare *bare);
/* The page goes, and comes home when it is touched. */
double bare_home(struct bare *bare);
void bare_home_end(struct bare *bare);

bool bare_watch_begin(struct bare *bare);
/* Of the page @p. */
double bare_munmap(struct bare *bare, char *p);
void bare_watch_end(struct bare *bare);

/* @npages that move elsewhere, @most of them in one call, and back; the way there. */
bool bare_moves_begin(struct bare *bare, unsigned long npages);
double bare_moves(struct bare *bare, unsigned long npages, unsigned long most);
void bare_moves_end(struct bare *bare, unsigned long npages);

#endif
