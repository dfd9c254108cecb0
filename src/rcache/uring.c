// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* io_uring's fixed buffers: slots of a sparse table, handed out from a stack. */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../lib/options.h"
#include "uring.h"

int uring_call(void *unused, int fd, unsigned int opcode, void *arg,
	       unsigned int nr_args)
{
	long n = syscall(SYS_io_uring_register, fd, opcode, arg, nr_args);

	return n < 0 ? -errno : (int)n;
}

/* That it is another thread's ring is nothing about overlaps. */
static int ring_register(const struct uhmm_rcache_uring *u, unsigned int opcode,
			 void *arg, unsigned int nr_args)
{
	int n = u->options.call(u->options.call_arg, u->fd, opcode, arg,
				nr_args);

	return n == -EEXIST ? -EPERM : n;
}

/* --------------------------------------------------------------------- life */

static spinlock_t urings_lock;
static struct uhmm_rcache_uring *urings __guarded_by(&urings_lock);

static void urings_add(struct uhmm_rcache_uring *u)
{
	spin_lock(&urings_lock);
	u->next = urings;
	urings = u;
	spin_unlock(&urings_lock);
}

static void urings_del(const struct uhmm_rcache_uring *u)
{
	struct uhmm_rcache_uring **at = &urings;

	spin_lock(&urings_lock);
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	spin_unlock(&urings_lock);
}

static void fork_prepare(void) __no_context_analysis
{
	spin_lock(&urings_lock);
	for (struct uhmm_rcache_uring *u = urings; u; u = u->next)
		spin_lock(&u->lock);
}

static void fork_parent(void) __no_context_analysis
{
	for (struct uhmm_rcache_uring *u = urings; u; u = u->next)
		spin_unlock(&u->lock);
	spin_unlock(&urings_lock);
}

/* The ring is the parent's, and so is what is pinned. */
static void fork_child(void) __no_context_analysis
{
	for (struct uhmm_rcache_uring *u = urings; u; u = u->next) {
		u->ended = true;
		u->nfree = u->nslots;
		pins_forget(&u->pins);
		spin_lock_init(&u->lock);
	}
	spin_lock_init(&urings_lock);
}

static __at_load(AT_FORK_IN_CALLBACKS) void see_to_forks(void)
{
	sync_at_fork(fork_prepare, fork_parent, fork_child);
}

static int create(int ring_fd, unsigned int slots,
		  const struct uhmm_rcache_uring_options *options,
		  struct uhmm_rcache_uring **ret_uring)
{
	struct io_uring_rsrc_register table = {
		.nr = slots, .flags = IORING_RSRC_REGISTER_SPARSE,
	};
	struct uhmm_rcache_uring *u;
	size_t size = sizeof(*u) + slots * sizeof(u->slot[0]);
	int err;

	if (!slots || !ret_uring)
		return -EINVAL;
	u = sync_alloc_pages(size);
	if (!u)
		return -ENOMEM;
	u->fd = ring_fd;
	u->options = *options;
	u->size = size;
	u->nslots = slots;
	spin_lock_init(&u->lock);
	err = ring_register(u, IORING_REGISTER_BUFFERS2, &table, sizeof(table));
	if (err) {
		sync_free_pages(u, size);
		return err;
	}
	/* Not before: there may be more than the kernel takes, or memory for. */
	for (; u->nfree < slots; u->nfree++)
		u->slot[u->nfree].free = slots - 1 - u->nfree;
	urings_add(u);
	*ret_uring = u;
	return 0;
}

int uhmm_rcache_uring_create(int ring_fd, unsigned int slots,
			     struct uhmm_rcache_uring **ret_uring)
{
	struct uhmm_rcache_uring_options options = { .call = uring_call };

	return create(ring_fd, slots, &options, ret_uring);
}

int uhmm_rcache_uring_create_tagged(int ring_fd, unsigned int slots,
				    const struct uhmm_rcache_uring_options *options,
				    struct uhmm_rcache_uring **ret_uring)
{
	struct uhmm_rcache_uring_options o = { .size = sizeof(o) };
	int err;

	if (options) {
		err = options_check(options, sizeof(o));
		if (err)
			return err;
		if (options->tags & ((1UL << TAG_BITS) - 1))
			return -EINVAL;
		o = *options;
	}
	if (!o.tags)
		o.tags = UHMM_RCACHE_URING_TAGS;
	if (!o.call)
		o.call = uring_call;
	err = create(ring_fd, slots, &o, ret_uring);
	/* What makes the calls may be no kernel. */
	if (!err && o.call == uring_call)
		(*ret_uring)->features = uhmm_rcache_uring_features();
	return err;
}

void uhmm_rcache_uring_destroy(struct uhmm_rcache_uring *uring)
{
	urings_del(uring);
	pins_destroy(uring);
	sync_free_pages(uring, uring->size);
}

/* --------------------------------------------------------------- as a device */

/* What was in the slot stays with the requests that have it. */
static int slot_update(const struct uhmm_rcache_uring *u, unsigned int slot,
		       struct iovec *buffer, uint64_t tag)
{
	struct io_uring_rsrc_update2 update = {
		.offset = slot, .data = (uintptr_t)buffer, .nr = 1,
		.tags = tag ? (uintptr_t)&tag : 0,
	};
	int n = ring_register(u, IORING_REGISTER_BUFFERS_UPDATE, &update,
			      sizeof(update));

	return n < 0 ? n : 0;
}

/* False: there is none. */
static bool slot_take(struct uhmm_rcache_uring *u, unsigned int *ret_slot)
{
	bool any;

	spin_lock(&u->lock);
	any = u->nfree > 0;
	*ret_slot = any ? u->slot[--u->nfree].free : 0;
	spin_unlock(&u->lock);
	return any;
}

static void slot_free(struct uhmm_rcache_uring *u, unsigned int slot)
{
	spin_lock(&u->lock);
	u->slot[u->nfree++].free = slot;
	spin_unlock(&u->lock);
}

static int uring_reg(void *device, unsigned long start, size_t length,
		     unsigned int access, uint64_t *ret_key)
{
	struct iovec buffer = { .iov_base = (void *)start, .iov_len = length };
	struct uhmm_rcache_uring *u = device;
	uint64_t tag = 0;
	unsigned int slot;
	int err;

	if (u->ended)
		return -ESRCH;
	if (!slot_take(u, &slot))
		return -ENOMEM;
	if (uring_tagged(u))
		tag = pin_begin(u, slot, start, length);
	if (uring_tagged(u) && !tag) {
		slot_free(u, slot);
		return -ENOMEM;
	}
	err = slot_update(u, slot, &buffer, tag);
	if (!err) {
		*ret_key = slot;
		return 0;
	}
	if (tag)
		pin_cancel(u, slot);
	slot_free(u, slot);
	return err;
}

/* The slot is another buffer's then, whether or not this one's tag has come. */
static int uring_dereg(void *device, unsigned long start, size_t length,
		       uint64_t key)
{
	struct iovec nothing = { .iov_base = NULL };
	struct uhmm_rcache_uring *u = device;
	unsigned int slot = (unsigned int)key;
	uint64_t tag = uring_tagged(u) ? pin_hold(u, slot) : 0;
	int err = slot_update(u, slot, &nothing, 0);

	if (!err)
		slot_free(u, slot);
	else if (tag)
		pin_unhold(u, tag);
	return err;
}

static unsigned long uring_held(void *device)
{
	const struct uhmm_rcache_uring *u = device;

	return READ_ONCE(u->pins.held_bytes);
}

const struct uhmm_rcache_ops *uhmm_rcache_uring_ops(void)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "io_uring", .reg = uring_reg, .dereg = uring_dereg,
		.held = uring_held,
	};

	return &ops;
}

int uhmm_rcache_uring_get_info(struct uhmm_rcache_uring *uring,
			       struct uhmm_rcache_uring_info *ret_info)
{
	struct pins *p;

	if (!uring || !ret_info || ret_info->size < sizeof(*ret_info))
		return -EINVAL;
	p = &uring->pins;
	spin_lock(&uring->lock);
	ret_info->features = uring->features;
	ret_info->slots = uring->nslots;
	ret_info->buffers = uring->nslots - uring->nfree;
	ret_info->bytes = p->bytes;
	ret_info->held = p->held;
	ret_info->held_bytes = p->held_bytes;
	ret_info->released = p->released;
	ret_info->strays = p->strays;
	spin_unlock(&uring->lock);
	return 0;
}
