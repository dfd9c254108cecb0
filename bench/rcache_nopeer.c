/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* No cache whose header is installed. */
#include "rcache_peer.h"

const char *peer_open(const char **ret_why)
{
	*ret_why = "ucs/memory/rcache.h (libucx-dev) was not there at build time";
	return NULL;
}

void *peer_create(void)
{
	return NULL;
}

bool peer_hears(void)
{
	return false;
}

void peer_event(unsigned long addr, size_t length)
{
	(void)addr;
	(void)length;
}

void *peer_create_for(const struct uhmm_rcache_ops *ops, void *device,
		      size_t granule)
{
	(void)ops;
	(void)device;
	(void)granule;
	return NULL;
}

void peer_destroy(void *cache)
{
	(void)cache;
}

bool peer_get_put(void *cache, unsigned long addr, size_t length)
{
	(void)cache;
	(void)addr;
	(void)length;
	return false;
}

bool peer_get(void *cache, unsigned long addr, size_t length, void **ret_region,
	      uint64_t *ret_key)
{
	(void)ret_region;
	(void)ret_key;
	return peer_get_put(cache, addr, length);
}

void peer_put(void *cache, void *region)
{
	(void)cache;
	(void)region;
}
