/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * io_uring's fixed buffers as the device of a registration cache: ordinary
 * memory for IORING_OP_READ_FIXED and IORING_OP_WRITE_FIXED, pinned by the ring
 * as long as the cache says, and never the pages that used to be there.
 *
 *	uhmm_rcache_uring_create(ring.ring_fd, 1024, &buffers);
 *	uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers, &options, &cache);
 *	...
 *	uhmm_rcache_get(cache, buffer, length, UHMM_RCACHE_WRITE, &reg);
 *	io_uring_prep_read_fixed(sqe, fd, buffer, length, offset, (int)reg.key);
 *	 ... until its completion is seen ...
 *	uhmm_rcache_put(&reg);
 *
 * The ring takes a slot's old pages away from requests that come later, at once
 * and without waiting; those under way keep them until they end. The kernel's
 * own unregistering of all buffers, which waits on older kernels, is never used
 * while the ring runs.
 */
#ifndef UHMM_RCACHE_URING_H
#define UHMM_RCACHE_URING_H

#include <uhmm/rcache.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uhmm_rcache_uring;

/**
 * uhmm_rcache_uring_create() - take a ring's table of buffers
 * @ring_fd: the ring, without buffers yet; stays the caller's
 * @slots: how many buffers at most, up to 16384
 * @ret_uring: returns the device
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: no slots, or the kernel is older than 5.19; -EBUSY: the
 * ring has buffers; -ENOMEM; another error of io_uring_register(2). On error
 * *@ret_uring is left alone.
 */
int uhmm_rcache_uring_create(int ring_fd, unsigned int slots,
			     struct uhmm_rcache_uring **ret_uring);

/**
 * uhmm_rcache_uring_destroy() - give the device up
 * @uring: the device; its cache is destroyed
 *
 * The table stays with the ring, empty, and ends with it.
 *
 * Context: any.
 */
void uhmm_rcache_uring_destroy(struct uhmm_rcache_uring *uring);

/**
 * uhmm_rcache_uring_ops() - the operations, for uhmm_rcache_create()
 *
 * Context: any.
 * Return: the operations. &uhmm_registration.key is the index of the buffer.
 */
const struct uhmm_rcache_ops *uhmm_rcache_uring_ops(void);

#ifdef __cplusplus
}
#endif

#endif
