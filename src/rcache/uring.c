// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* io_uring's fixed buffers: slots of a sparse table, handed out from a stack. */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <uhmm/rcache_uring.h>

#include "../sync/sync.h"

/**
 * struct uhmm_rcache_uring - a ring's table of buffers
 * @fd: the ring
 * @size: bytes of all this
 * @lock: for the slots
 * @nfree: how many slots are free
 * @free: those
 */
struct uhmm_rcache_uring {
	int fd;
	size_t size;
	spinlock_t lock;
	unsigned int nfree;
	unsigned int free[];
};

static int ring_register(const struct uhmm_rcache_uring *u, unsigned int what,
			 void *arg, unsigned int size)
{
	long n = syscall(SYS_io_uring_register, u->fd, what, arg, size);

	return n < 0 ? -errno : (int)n;
}

int uhmm_rcache_uring_create(int ring_fd, unsigned int slots,
			     struct uhmm_rcache_uring **ret_uring)
{
	struct io_uring_rsrc_register table = {
		.nr = slots, .flags = IORING_RSRC_REGISTER_SPARSE,
	};
	struct uhmm_rcache_uring *u;
	size_t size = sizeof(*u) + slots * sizeof(u->free[0]);
	int err;

	if (!slots || !ret_uring)
		return -EINVAL;
	u = sync_alloc_pages(size);
	if (!u)
		return -ENOMEM;
	u->fd = ring_fd;
	u->size = size;
	spin_lock_init(&u->lock);
	for (; u->nfree < slots; u->nfree++)
		u->free[u->nfree] = slots - 1 - u->nfree;
	err = ring_register(u, IORING_REGISTER_BUFFERS2, &table, sizeof(table));
	if (err) {
		sync_free_pages(u, size);
		return err;
	}
	*ret_uring = u;
	return 0;
}

void uhmm_rcache_uring_destroy(struct uhmm_rcache_uring *uring)
{
	sync_free_pages(uring, uring->size);
}

/* What was in the slot stays with the requests that have it. */
static int slot_update(const struct uhmm_rcache_uring *u, unsigned int slot,
		       struct iovec *buffer)
{
	struct io_uring_rsrc_update2 update = {
		.offset = slot, .data = (uintptr_t)buffer, .nr = 1,
	};
	int n = ring_register(u, IORING_REGISTER_BUFFERS_UPDATE, &update,
			      sizeof(update));

	return n < 0 ? n : 0;
}

static void slot_free(struct uhmm_rcache_uring *u, unsigned int slot)
{
	spin_lock(&u->lock);
	u->free[u->nfree++] = slot;
	spin_unlock(&u->lock);
}

static int uring_reg(void *device, unsigned long start, size_t length,
		     unsigned int access, uint64_t *ret_key)
{
	struct iovec buffer = { .iov_base = (void *)start, .iov_len = length };
	struct uhmm_rcache_uring *u = device;
	unsigned int slot;
	bool any;
	int err;

	spin_lock(&u->lock);
	any = u->nfree > 0;
	slot = any ? u->free[--u->nfree] : 0;
	spin_unlock(&u->lock);
	if (!any)
		return -ENOMEM;
	err = slot_update(u, slot, &buffer);
	if (err)
		slot_free(u, slot);
	else
		*ret_key = slot;
	return err;
}

static int uring_dereg(void *device, unsigned long start, size_t length,
		       uint64_t key)
{
	struct iovec nothing = { .iov_base = NULL };
	struct uhmm_rcache_uring *u = device;
	int err = slot_update(u, (unsigned int)key, &nothing);

	if (!err)
		slot_free(u, (unsigned int)key);
	return err;
}

const struct uhmm_rcache_ops *uhmm_rcache_uring_ops(void)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "io_uring", .reg = uring_reg, .dereg = uring_dereg,
	};

	return &ops;
}
