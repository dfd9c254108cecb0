// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * CUDA: host memory that is pinned and mapped for the GPU. One registration a
 * byte, so what is in the way is let go of first: see -EEXIST in miss.c.
 */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/rcache_cuda.h>

#include "../sync/sync.h"

/* Of the driver's interface: CUresult, and flags of cuMemHostRegister(). */
enum {
	SUCCESS = 0,
	INVALID_VALUE = 1,
	OUT_OF_MEMORY = 2,
	NOT_INITIALIZED = 3,
	DEINITIALIZED = 4,
	INVALID_CONTEXT = 201,
	CONTEXT_IS_DESTROYED = 709,
	ALREADY_REGISTERED = 712,
	NOT_REGISTERED = 713,
	NOT_PERMITTED = 800,
	NOT_SUPPORTED = 801,
};

#define PORTABLE 1U	/* pinned for all contexts */
#define DEVICEMAP 2U	/* with a pointer for the device */

struct uhmm_rcache_cuda {
	void *context;
	void *library;
	int (*push)(void *context);
	int (*pop)(void **ret_context);
	int (*reg)(void *addr, size_t length, unsigned int flags);
	int (*unreg)(void *addr);
	int (*pointer)(uint64_t *ret_pointer, void *addr, unsigned int flags);
};

static bool find_calls(struct uhmm_rcache_cuda *c)
{
	c->push = dlsym(c->library, "cuCtxPushCurrent_v2");
	c->pop = dlsym(c->library, "cuCtxPopCurrent_v2");
	c->reg = dlsym(c->library, "cuMemHostRegister_v2");
	c->unreg = dlsym(c->library, "cuMemHostUnregister");
	c->pointer = dlsym(c->library, "cuMemHostGetDevicePointer_v2");
	return c->push && c->pop && c->reg && c->unreg && c->pointer;
}

int uhmm_rcache_cuda_create(void *context, const char *library,
			    struct uhmm_rcache_cuda **ret_cuda)
{
	struct uhmm_rcache_cuda *c;

	if (!context || !ret_cuda)
		return -EINVAL;
	c = sync_alloc_pages(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->context = context;
	c->library = dlopen(library ?: "libcuda.so.1", RTLD_NOW);
	if (!c->library || !find_calls(c)) {
		uhmm_rcache_cuda_destroy(c);
		return -ENOENT;
	}
	*ret_cuda = c;
	return 0;
}

void uhmm_rcache_cuda_destroy(struct uhmm_rcache_cuda *cuda)
{
	if (cuda->library)
		dlclose(cuda->library);
	sync_free_pages(cuda, sizeof(*cuda));
}

static int to_errno(int result)
{
	switch (result) {
	case SUCCESS:
		return 0;
	case INVALID_VALUE:
		return -EINVAL;
	case OUT_OF_MEMORY:
		return -ENOMEM;
	case NOT_INITIALIZED:
	case DEINITIALIZED:
	case INVALID_CONTEXT:
	case CONTEXT_IS_DESTROYED:
		return -ENODEV;
	case ALREADY_REGISTERED:
		return -EEXIST;
	case NOT_PERMITTED:
		return -EPERM;
	case NOT_SUPPORTED:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

static int cuda_reg(void *device, unsigned long start, size_t length,
		    unsigned int access, uint64_t *ret_key)
{
	struct uhmm_rcache_cuda *c = device;
	void *addr = (void *)start, *ours;
	int err;

	if (access & ~(UHMM_RCACHE_READ | UHMM_RCACHE_WRITE))
		return -EINVAL;
	err = c->push(c->context);
	if (err)
		return to_errno(err);
	err = c->reg(addr, length, PORTABLE | DEVICEMAP);
	if (!err) {
		err = c->pointer(ret_key, addr, 0);
		if (err)
			c->unreg(addr);
	}
	c->pop(&ours);
	return to_errno(err);
}

/* With the context, or the driver, the registration has ended. */
static bool is_over(int result)
{
	return result == NOT_REGISTERED || to_errno(result) == -ENODEV;
}

static int cuda_dereg(void *device, unsigned long start, size_t length,
		      uint64_t key)
{
	struct uhmm_rcache_cuda *c = device;
	int err = c->push(c->context);
	void *ours;

	if (!err) {
		err = c->unreg((void *)start);
		c->pop(&ours);
	}
	return is_over(err) ? 0 : to_errno(err);
}

const struct uhmm_rcache_ops *uhmm_rcache_cuda_ops(void)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "cuda", .reg = cuda_reg, .dereg = cuda_dereg,
		.flags = UHMM_RCACHE_FREES,
	};

	return &ops;
}
