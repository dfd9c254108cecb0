// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* libibverbs: a memory region for each entry. Regions may overlap. */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/rcache_verbs.h>

#include "../sync/sync.h"

/* enum ibv_access_flags; the tests compare them with the header. */
#define ACCESS_LOCAL_WRITE	(1 << 0)
#define ACCESS_REMOTE_WRITE	(1 << 1)
#define ACCESS_REMOTE_READ	(1 << 2)
#define ACCESS_REMOTE_ATOMIC	(1 << 3)

struct uhmm_rcache_verbs {
	void *pd;
	void *library;
	void *(*reg_mr)(void *pd, void *addr, size_t length,
			int access);
	int (*dereg_mr)(void *mr);
};

int uhmm_rcache_verbs_create(void *pd, const char *library,
			     struct uhmm_rcache_verbs **ret_verbs)
{
	struct uhmm_rcache_verbs *v;

	if (!pd || !ret_verbs)
		return -EINVAL;
	v = sync_alloc_pages(sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->pd = pd;
	v->library = dlopen(library ?: "libibverbs.so.1", RTLD_NOW);
	if (v->library) {
		v->reg_mr = dlsym(v->library, "ibv_reg_mr");
		v->dereg_mr = dlsym(v->library, "ibv_dereg_mr");
	}
	if (!v->reg_mr || !v->dereg_mr) {
		uhmm_rcache_verbs_destroy(v);
		return -ENOENT;
	}
	*ret_verbs = v;
	return 0;
}

void uhmm_rcache_verbs_destroy(struct uhmm_rcache_verbs *verbs)
{
	if (verbs->library)
		dlclose(verbs->library);
	sync_free_pages(verbs, sizeof(*verbs));
}

static int verbs_access(unsigned int access)
{
	int flags = 0;

	if (access & ~(unsigned int)(UHMM_RCACHE_READ |
				     UHMM_RCACHE_REMOTE_READ))
		flags |= ACCESS_LOCAL_WRITE;
	if (access & UHMM_RCACHE_REMOTE_READ)
		flags |= ACCESS_REMOTE_READ;
	if (access & UHMM_RCACHE_REMOTE_WRITE)
		flags |= ACCESS_REMOTE_WRITE;
	if (access & UHMM_RCACHE_REMOTE_ATOMIC)
		flags |= ACCESS_REMOTE_ATOMIC;
	return flags;
}

static int verbs_reg(void *device, unsigned long start, size_t length,
		     unsigned int access, uint64_t *ret_key)
{
	const unsigned int known = UHMM_RCACHE_READ | UHMM_RCACHE_WRITE |
				   UHMM_RCACHE_REMOTE_READ |
				   UHMM_RCACHE_REMOTE_WRITE |
				   UHMM_RCACHE_REMOTE_ATOMIC;
	struct uhmm_rcache_verbs *v = device;
	void *mr;

	if (access & ~known)
		return -EINVAL;
	errno = 0;
	mr = v->reg_mr(v->pd, (void *)start, length, verbs_access(access));
	if (!mr)
		return errno ? -errno : -EIO;
	*ret_key = (uintptr_t)mr;
	return 0;
}

static int verbs_dereg(void *device, unsigned long start, size_t length,
		       uint64_t key)
{
	struct uhmm_rcache_verbs *v = device;

	/* It returns errno. */
	return -v->dereg_mr((void *)(uintptr_t)key);
}

const struct uhmm_rcache_ops *uhmm_rcache_verbs_ops(void)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "verbs", .reg = verbs_reg, .dereg = verbs_dereg,
		.flags = UHMM_RCACHE_FREES,
	};

	return &ops;
}
