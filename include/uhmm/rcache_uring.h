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
 *
 * Who puts when the completion was seen, as above, need not know when that is.
 * Who puts as soon as a request has begun does, before he uses its memory for
 * something else; so does who counts what is pinned. For them the kernel tells
 * when it has really let go of a buffer: by a completion in the ring, whose
 * user_data is a tag. A program that is ready for such completions asks for them:
 *
 *	uhmm_rcache_uring_create_tagged(ring.ring_fd, 1024, NULL, &buffers);
 *	...
 *	io_uring_wait_cqe(&ring, &cqe);
 *	if (!uhmm_rcache_uring_tag(buffers, cqe->user_data))
 *		 ... it is the program's own ...
 *	...
 *	uhmm_rcache_put(&reg);			the request still runs
 *	uhmm_rcache_flush(cache, buffer, length);
 *	uhmm_rcache_uring_held(buffers, buffer, length);	0: it is over
 *
 * A full queue of completions keeps what does not fit, tags too, until the kernel is
 * asked (IORING_SQ_CQ_OVERFLOW; io_uring_enter(2) with IORING_ENTER_GETEVENTS, as
 * liburing does where a program waits or peeks). Only where the kernel is out of
 * memory it drops some, and says so with EBADR: a tag among them never comes, and
 * its buffer counts as held for as long as there is the device.
 *
 * Rings pin to write, whatever access is asked for: of memory that must not be
 * written a get fails with EFAULT. Who asks for the same access each time, both say,
 * has nothing registered again for more.
 *
 * After fork(2) the ring is the parent's: in a child the device has no buffers, holds
 * nothing and registers nothing (-ESRCH), and is there to be destroyed.
 *
 * A request that has not begun when its slot is emptied fails with EFAULT: one
 * that is linked behind another, drained, left to a kernel thread, or not taken
 * off the queue yet. Those are not to be put before they complete.
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
 * Return: 0; -EINVAL: no slots, more than the kernel has, or it is older than 5.19;
 * -EBUSY: the ring has buffers; -ENOMEM; another error of io_uring_register(2). On
 * error *@ret_uring is left alone.
 */
int uhmm_rcache_uring_create(int ring_fd, unsigned int slots,
			     struct uhmm_rcache_uring **ret_uring);

/*
 * Of a completion that is the device's, where nothing else is asked for: no
 * pointer has such a value. The lower 48 bits are what they are.
 */
#define UHMM_RCACHE_URING_TAGS	0x7568000000000000UL

/* What the kernel does, found out by a ring of the library's own. */
#define UHMM_RCACHE_URING_TABLE	(1U << 0)	/* sparse tables and tags (5.19) */
/* A buffer that no request has is let go of, and told of, before put returns. */
#define UHMM_RCACHE_URING_PROMPT	(1U << 1)
/* What requests have does not keep others', which came later, from being told. */
#define UHMM_RCACHE_URING_APART	(1U << 2)

/**
 * struct uhmm_rcache_uring_options - how a device with tags is to be
 * @size: sizeof(struct uhmm_rcache_uring_options), so that it can grow
 * @tags: the first of 2^48 values of user_data that are the device's, a multiple of
 *	2^48; 0: UHMM_RCACHE_URING_TAGS
 * @call: makes the call io_uring_register(2), and returns what it did or -errno;
 *	NULL: this thread does. For rings of IORING_SETUP_SINGLE_ISSUER, which
 *	take that call from one thread only, and for tests. As &uhmm_rcache_ops.dereg
 *	it is called in callbacks.
 * @call_arg: for it
 */
struct uhmm_rcache_uring_options {
	size_t size;
	uint64_t tags;
	int (*call)(void *call_arg, int ring_fd, unsigned int opcode, void *arg,
		    unsigned int nr_args);
	void *call_arg;
};

/**
 * struct uhmm_rcache_uring_info - what a device has
 * @size: sizeof(struct uhmm_rcache_uring_info), set by the caller
 * @features: UHMM_RCACHE_URING_PROMPT and its like; 0 without tags
 * @slots: how many buffers there may be
 * @buffers: in slots now
 * @bytes: of these
 * @held: buffers that are in no slot any more and that the kernel has not let go of
 * @held_bytes: of these; pinned, and counted against RLIMIT_MEMLOCK, as @bytes are
 * @released: buffers that the kernel has let go of
 * @strays: completions with a tag of no such buffer: handed over twice, or of
 *	a table that somebody else has changed
 */
struct uhmm_rcache_uring_info {
	size_t size;
	unsigned int features;
	unsigned int slots;
	unsigned long buffers;
	unsigned long bytes;
	unsigned long held;
	unsigned long held_bytes;
	unsigned long released;
	unsigned long strays;
};

/**
 * uhmm_rcache_uring_features() - what this kernel does with buffers and tags
 *
 * Context: may sleep: makes a ring, and tries.
 * Return: UHMM_RCACHE_URING_TABLE and its like; 0: there are no rings, or too old
 * ones. 6.18 has all; 6.1 has the first, and tells a second later, and of nothing
 * before it has of what was let go of earlier.
 */
unsigned int uhmm_rcache_uring_features(void);

/**
 * uhmm_rcache_uring_create_tagged() - take a table of buffers that have tags
 * @ring_fd: the ring, without buffers yet; stays the caller's
 * @slots: how many buffers at most, up to 16384
 * @options: what is to differ from the default; NULL: nothing
 * @ret_uring: returns the device
 *
 * From now on completions come that the program has not asked for, one for each
 * buffer that is let go of; they are to be given to uhmm_rcache_uring_tag(). What
 * the kernel still holds counts against &uhmm_rcache_options.max_bytes until then:
 * uhmm_rcache_get() fails with -EBUSY where that alone is too much, and succeeds
 * once completions are handed over.
 *
 * Context: may sleep.
 * Return: as uhmm_rcache_uring_create(); -EINVAL also: @options->size is smaller
 * than this version's struct, or a wrong @options->tags; -E2BIG: see
 * uhmm_mm_create_with().
 */
int uhmm_rcache_uring_create_tagged(int ring_fd, unsigned int slots,
				    const struct uhmm_rcache_uring_options *options,
				    struct uhmm_rcache_uring **ret_uring);

/**
 * uhmm_rcache_uring_tag() - hand over a completion
 * @uring: the device
 * @user_data: of any completion of the ring, once; in any order
 *
 * Context: any; takes a lock of the device's own if it is a tag.
 * Return: whether it was a tag, which the program has nothing to do with.
 */
bool uhmm_rcache_uring_tag(struct uhmm_rcache_uring *uring, uint64_t user_data);

/**
 * uhmm_rcache_uring_held() - does the kernel still hold memory that was let go of?
 * @uring: the device
 * @addr: first byte
 * @length: bytes; 0: all from @addr on
 *
 * Of what is in a slot this says nothing: uhmm_rcache_flush() empties those of what
 * nobody has got. Nor of memory that is in no buffer, but was before its address
 * was mapped again: it counts under its address.
 *
 * Context: any; takes the device's lock.
 * Return: how many bytes of buffers overlap it, or LONG_MAX; -EOPNOTSUPP: there are
 * no tags.
 */
long uhmm_rcache_uring_held(struct uhmm_rcache_uring *uring, unsigned long addr,
			    size_t length);

/**
 * uhmm_rcache_uring_wait() - until the kernel has let go of memory
 * @uring: the device
 * @addr: first byte
 * @length: bytes; 0: all from @addr on
 * @timeout_ns: at most so long; < 0: for ever, where a tag was dropped too
 *
 * Waits for what is held as it is called, not for what is let go of later. Another
 * thread hands the completions over: who takes them off the ring himself asks
 * uhmm_rcache_uring_held() after each.
 *
 * Context: may sleep. Not in a callback.
 * Return: 0; -ETIMEDOUT; -EINTR: a signal handler ran; -EOPNOTSUPP: there are no
 * tags.
 */
int uhmm_rcache_uring_wait(struct uhmm_rcache_uring *uring, unsigned long addr,
			   size_t length, int64_t timeout_ns);

/**
 * uhmm_rcache_uring_get_info() - read what a device has
 * @uring: the device
 * @ret_info: returns it; its size is set
 *
 * Context: any; takes the device's lock.
 * Return: 0; -EINVAL: a NULL pointer, or a size smaller than this version's struct.
 */
int uhmm_rcache_uring_get_info(struct uhmm_rcache_uring *uring,
			       struct uhmm_rcache_uring_info *ret_info);

/**
 * uhmm_rcache_uring_destroy() - give the device up
 * @uring: the device; its cache is destroyed
 *
 * The table stays with the ring, empty, and ends with it. Tags that have not come by
 * then do later, and mean nothing any more.
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
