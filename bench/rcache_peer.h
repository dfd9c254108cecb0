/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Another registration cache that is there. */
#ifndef BENCH_RCACHE_PEER_H
#define BENCH_RCACHE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/rcache.h>

/* Who it is; NULL: it is not there, and *@ret_why says why. */
const char *peer_open(const char **ret_why);
/*
 * Make an empty one, of a device that does nothing, told by peer_event() alone.
 * NULL: it cannot.
 */
void *peer_create(void);
/* Can it be told of changes that do not happen? */
bool peer_hears(void);
/* [addr, addr + length) is about to go, as far as the peer knows. */
void peer_event(unsigned long addr, size_t length);
/* Of this one, told of all changes of memory by the peer's own means. There is one. */
void *peer_create_for(const struct uhmm_rcache_ops *ops, void *device,
		      size_t granule);
void peer_destroy(void *cache);
/* A registration of [addr, addr + length) is had, and given back. */
bool peer_get_put(void *cache, unsigned long addr, size_t length);
/* Of a cache for a device: had, with its key; and given back. */
bool peer_get(void *cache, unsigned long addr, size_t length, void **ret_region,
	      uint64_t *ret_key);
void peer_put(void *cache, void *region);

#endif
