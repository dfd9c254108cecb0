/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Another registration cache that is there, with a device that does nothing. */
#ifndef BENCH_RCACHE_PEER_H
#define BENCH_RCACHE_PEER_H

#include <stdbool.h>
#include <stddef.h>

/* Who it is; NULL: it is not there, and *@ret_why says why. */
const char *peer_open(const char **ret_why);
/* Make an empty one. NULL: it cannot. */
void *peer_create(void);
void peer_destroy(void *cache);
/* A registration of [addr, addr + length) is had, and given back. */
bool peer_get_put(void *cache, unsigned long addr, size_t length);

#endif
