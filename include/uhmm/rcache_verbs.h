/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory regions of libibverbs (RDMA) as the device of a registration cache.
 *
 *	uhmm_rcache_verbs_create(pd, NULL, &verbs);
 *	uhmm_rcache_create(mm, uhmm_rcache_verbs_ops(), verbs, &options, &cache);
 *	...
 *	uhmm_rcache_get(cache, buffer, length, UHMM_RCACHE_WRITE, &reg);
 *	mr = (struct ibv_mr *)(uintptr_t)reg.key;
 *	 ... post with mr->lkey, wait for the completion ...
 *	uhmm_rcache_put(&reg);
 *
 * The library is opened at run time, so that none is needed to build or to load
 * this one. A key that a peer was told is valid until the region is
 * deregistered: hold the registration for as long as the peer may use it. The
 * library frees memory of its own with a region, so that in a live process its
 * caches are lazy: UHMM_RCACHE_FREES.
 */
#ifndef UHMM_RCACHE_VERBS_H
#define UHMM_RCACHE_VERBS_H

#include <uhmm/rcache.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uhmm_rcache_verbs;

/* Access, besides UHMM_RCACHE_READ and UHMM_RCACHE_WRITE, which are local. */
#define UHMM_RCACHE_REMOTE_READ		(1U << 2)
#define UHMM_RCACHE_REMOTE_WRITE	(1U << 3)	/* implies local writes */
#define UHMM_RCACHE_REMOTE_ATOMIC	(1U << 4)	/* implies local writes */

/**
 * uhmm_rcache_verbs_create() - open libibverbs for a protection domain
 * @pd: the struct ibv_pd that regions belong to; stays the caller's
 * @library: name of the library; NULL: libibverbs.so.1
 * @ret_verbs: returns the device
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a NULL pointer; -ENOENT: there is no such library, or it
 * lacks ibv_reg_mr() or ibv_dereg_mr(); -ENOMEM. On error *@ret_verbs is left
 * alone.
 */
int uhmm_rcache_verbs_create(void *pd, const char *library,
			     struct uhmm_rcache_verbs **ret_verbs);

/**
 * uhmm_rcache_verbs_destroy() - give the device up
 * @verbs: the device; its cache is destroyed
 *
 * Context: may sleep.
 */
void uhmm_rcache_verbs_destroy(struct uhmm_rcache_verbs *verbs);

/**
 * uhmm_rcache_verbs_ops() - the operations, for uhmm_rcache_create()
 *
 * Context: any.
 * Return: the operations. &uhmm_registration.key is the struct ibv_mr.
 */
const struct uhmm_rcache_ops *uhmm_rcache_verbs_ops(void);

#ifdef __cplusplus
}
#endif

#endif
