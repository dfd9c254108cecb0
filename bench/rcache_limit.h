/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef BENCH_RCACHE_LIMIT_H
#define BENCH_RCACHE_LIMIT_H

#include "bench.h"

struct rcache_limits {
	struct quartiles hit, event_none, event_one, miss;
};

/* What no cache of @n entries can be faster than here and now, in ns. */
void rcache_limits(unsigned long n, struct rcache_limits *ret);

#endif
