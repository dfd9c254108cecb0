/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Host memory registered with CUDA as the device of a registration cache.
 *
 *	uhmm_rcache_cuda_create(context, NULL, &cuda);
 *	uhmm_rcache_create(mm, uhmm_rcache_cuda_ops(), cuda, &options, &cache);
 *	...
 *	uhmm_rcache_get(cache, buffer, length, UHMM_RCACHE_WRITE, &reg);
 *	pointer = reg.key + (addr - reg.start);
 *	 ... launch kernels with pointer, wait for them ...
 *	uhmm_rcache_put(&reg);
 *
 * The driver's library is opened at run time, so that none is needed to build or
 * to load this one. CUDA registers no byte twice: a request that overlaps an
 * entry, and does not lie in it, has to wait until that is put, and the program
 * must not register the same memory by itself: a get fails with -EEXIST then.
 * Where the context, or the driver, has ended it fails with -ENODEV; CUDA's other
 * errors are -EPERM, -EOPNOTSUPP and -EIO. The driver has locks and memory of its own,
 * so that in a live process caches of it are lazy: UHMM_RCACHE_FREES.
 */
#ifndef UHMM_RCACHE_CUDA_H
#define UHMM_RCACHE_CUDA_H

#include <uhmm/rcache.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uhmm_rcache_cuda;

/**
 * uhmm_rcache_cuda_create() - open CUDA's driver for a context
 * @context: the CUcontext that registrations are made in, current or not; stays
 *	the caller's, and alive until the cache is destroyed
 * @library: name of the library; NULL: libcuda.so.1
 * @ret_cuda: returns the device
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a NULL pointer; -ENOENT: there is no such library, or it
 * lacks one of the calls that register host memory; -ENOMEM. On error
 * *@ret_cuda is left alone.
 */
int uhmm_rcache_cuda_create(void *context, const char *library,
			    struct uhmm_rcache_cuda **ret_cuda);

/**
 * uhmm_rcache_cuda_destroy() - give the device up
 * @cuda: the device; its cache is destroyed
 *
 * Context: may sleep.
 */
void uhmm_rcache_cuda_destroy(struct uhmm_rcache_cuda *cuda);

/**
 * uhmm_rcache_cuda_ops() - the operations, for uhmm_rcache_create()
 *
 * Context: any.
 * Return: the operations. &uhmm_registration.key is the device's pointer to
 * &uhmm_registration.start.
 */
const struct uhmm_rcache_ops *uhmm_rcache_cuda_ops(void);

#ifdef __cplusplus
}
#endif

#endif
