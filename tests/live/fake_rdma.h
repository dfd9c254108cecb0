/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An RDMA device for the real libfabric, where there is none: as much of libibverbs
 * and of librdmacm as its verbs provider calls before it registers memory. Who
 * defines these functions in a program that exports them has them called instead of
 * the libraries', which must not be linked to it.
 */
#ifndef TESTS_LIVE_FAKE_RDMA_H
#define TESTS_LIVE_FAKE_RDMA_H

#include <uhmm/rcache.h>

/* What memory is registered with; the region's keys are what it says. */
void fake_rdma_set_device(const struct uhmm_rcache_ops *ops, void *device);

#endif
