/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The real libfabric's registration cache, of its verbs provider, with a device that
 * stands in for the one that it has not got (fake_rdma.h).
 */
#ifndef TESTS_LIVE_FABRIC_CACHE_H
#define TESTS_LIVE_FABRIC_CACHE_H

#include "adversary.h"

/*
 * Open it with a monitor of its own, or with the one that was imported (NULL). NULL:
 * it is there, else why not.
 */
const char *fabric_cache_open(const char *monitor,
			      const struct uhmm_rcache_ops *ops, void *device);
void fabric_cache_close(void);

extern const struct adversary_cache fabric_cache;

#endif
