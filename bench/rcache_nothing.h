/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A device that has nothing to do when memory is registered. */
#ifndef BENCH_RCACHE_NOTHING_H
#define BENCH_RCACHE_NOTHING_H

#include <uhmm/rcache.h>

static inline int nothing_reg(void *device, unsigned long start, size_t length,
			      unsigned int access, uint64_t *ret_key)
{
	*ret_key = start;
	return 0;
}

static inline int nothing_dereg(void *device, unsigned long start,
				size_t length, uint64_t key)
{
	return 0;
}

static const struct uhmm_rcache_ops nothing = {
	.name = "nothing", .reg = nothing_reg, .dereg = nothing_dereg,
};

#endif
