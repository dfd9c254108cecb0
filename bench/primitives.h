/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What this machine's parts cost: the limits that no scheme can beat.
 */
#ifndef BENCH_PRIMITIVES_H
#define BENCH_PRIMITIVES_H

#include "bench.h"

#define PRIMITIVES_WEIGHT 2.5

struct primitives {
	double rmw;	/* locked read-modify-write, ns */
};

void bench_primitives(struct bench *b, struct primitives *ret);

#endif
