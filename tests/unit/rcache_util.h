/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the tests of the registration cache share: a device, and a cache of it. */
#ifndef TESTS_RCACHE_UTIL_H
#define TESTS_RCACHE_UTIL_H

#include <uhmm/rcache.h>

#include "util.h"

#define RW (UHMM_RCACHE_READ | UHMM_RCACHE_WRITE)

/* A device that writes down what it has. */
extern struct device {
	int regs, deregs, refuse, stuck;
	unsigned int refuse_access;
	unsigned long refuse_above;
	uint64_t next_key;
	void (*hook)(void);		/* in its next registration */
} device;
extern const struct uhmm_rcache_ops dev_ops;
extern struct uhmm_rcache *cache;

void make_with(const struct uhmm_rcache_options *options);
void make(unsigned int flags, unsigned long max_entries,
	  unsigned long max_bytes, unsigned int queue);
/* What was registered is not any more. */
void unmake(void);
struct uhmm_registration get(unsigned long start, unsigned long length,
			     unsigned int access);
/* Got, and put: the key. */
uint64_t touch(unsigned long start, unsigned long length, unsigned int access);
struct uhmm_rcache_stats cache_stats(void);

#endif
