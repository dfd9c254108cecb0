/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Programs that are legal, and that caches lose data in. One thread has memory
 * unmapped and mapped again at its address, and has a device write into it,
 * io_uring's, which pins; another may use the page beside it, which a cache that
 * registers 16 KiB at once registers together with it. A write that is not there
 * afterwards went to pages that the program no longer has.
 */
#ifndef TESTS_LIVE_ADVERSARY_H
#define TESTS_LIVE_ADVERSARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/rcache_uring.h>

#define ADVERSARY_PAGE 4096UL
#define ADVERSARY_GRANULE (4 * ADVERSARY_PAGE)

/* A use of an entry: what the device calls it, and what the cache needs. */
struct adversary_use {
	uint64_t key;
	union {
		struct uhmm_registration reg;
		void *other;
	};
};

/* The cache that it is tried with; get: 0, or -errno. */
struct adversary_cache {
	int (*get)(unsigned long addr, size_t length, struct adversary_use *ret);
	void (*put)(struct adversary_use *use);
};

struct adversary_counts {
	unsigned long writes, lost, gets;
	int err;			/* what the program failed with */
};

/* This library's, once there is @adversary_rcache. */
extern struct uhmm_rcache *adversary_rcache;
extern const struct adversary_cache adversary_ours;
/* That, of the device that adversary_begin() returned: as uhmm_rcache_create(). */
int adversary_rcache_make(struct mm_struct *mm);

/* The device; NULL: io_uring is refused here. */
struct uhmm_rcache_uring *adversary_begin(void);
void adversary_end(void);
/* One write, without a change of memory. 0; 1: it is lost; -errno. */
int adversary_write(const struct adversary_cache *cache);
/*
 * Writes into memory that was mapped anew, beside a thread that uses the next page
 * if @neighbour: for so many seconds, and until that thread has got something; or,
 * if @until_lost, in rounds, some hundred at most, until one is lost.
 */
struct adversary_counts adversary_run(const struct adversary_cache *cache,
				      bool neighbour, long seconds,
				      bool until_lost);

#endif
