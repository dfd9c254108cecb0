/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios of the tags of io_uring's buffers share: a ring, as the kernel's
 * in what it does with buffers that are taken out of their slots while a request has
 * them, and a program with a cache of such buffers.
 */
#ifndef SCENARIOS_RING_H
#define SCENARIOS_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/uio.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache_uring.h>

#include "threads.h"

enum { SLOTS = 2 };

/* A buffer of the ring: in a slot, with a request, or both. */
struct buffer {
	unsigned long at;
	uint64_t tag;
	unsigned int uses;
};

static struct mm_struct *mm;
static struct uhmm_rcache *cache;
static struct uhmm_rcache_uring *device;
static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buffer buffer[8];			/* all there ever were */
static unsigned int nbuffers, in_slot[SLOTS];	/* from 1 on; 0: none */
static unsigned int in_flight;			/* the request's */
static atomic_bool writing;			/* that request, at HERE */
static uint64_t completion[8];
static unsigned int ncompletions;

/* ------------------------------------------------------ the ring. Lock held. */

static inline void drop(unsigned int b)
{
	if (b && !--buffer[b - 1].uses && buffer[b - 1].tag)
		completion[ncompletions++] = buffer[b - 1].tag;
}

static inline int ring_call(void *unused, int fd, unsigned int opcode, void *arg,
		     unsigned int n)
{
	const struct io_uring_rsrc_update2 *update = arg;
	const struct iovec *what;

	if (opcode != IORING_REGISTER_BUFFERS_UPDATE)
		return 0;
	what = (const struct iovec *)(uintptr_t)update->data;
	pthread_mutex_lock(&ring_lock);
	drop(in_slot[update->offset]);
	in_slot[update->offset] = 0;
	if (what->iov_base) {
		buffer[nbuffers++] = (struct buffer){
			.at = (unsigned long)what->iov_base, .uses = 1,
			.tag = *(const uint64_t *)(uintptr_t)update->tags,
		};
		in_slot[update->offset] = nbuffers;
	}
	pthread_mutex_unlock(&ring_lock);
	return 1;
}

/* A request begins; nothing, if its slot is not of that memory any more. */
static inline void submit(const struct uhmm_registration *reg)
{
	unsigned int b;

	pthread_mutex_lock(&ring_lock);
	b = in_slot[reg->key];
	if (b && buffer[b - 1].at == HERE) {
		buffer[b - 1].uses++;
		in_flight = b;
		atomic_store(&writing, true);
	}
	pthread_mutex_unlock(&ring_lock);
}

static inline void request_ends(void)
{
	pthread_mutex_lock(&ring_lock);
	atomic_store(&writing, false);
	drop(in_flight);
	in_flight = 0;
	pthread_mutex_unlock(&ring_lock);
}

/* All completions that are there. */
static inline void hand_over(void)
{
	uint64_t tag;

	for (;;) {
		pthread_mutex_lock(&ring_lock);
		tag = ncompletions ? completion[--ncompletions] : 0;
		pthread_mutex_unlock(&ring_lock);
		if (!tag)
			return;
		uhmm_assert(uhmm_rcache_uring_tag(device, tag));
	}
}

/* --------------------------------------------------------------- the program */

static inline void begin(void)
{
	struct uhmm_rcache_uring_options options = {
		.size = sizeof(options), .call = ring_call,
	};

	if (uhmm_mm_create(&mm) ||
	    uhmm_rcache_uring_create_tagged(0, SLOTS, &options, &device) ||
	    uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), device, NULL,
			       &cache))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no cache");
}

static inline void get(unsigned long at, struct uhmm_registration *ret_reg)
{
	uhmm_assert(!uhmm_rcache_get(cache, at, PAGE, UHMM_RCACHE_WRITE,
				     ret_reg));
}

/* A request is begun, and its registration put. */
static inline void begin_request(void)
{
	struct uhmm_registration reg;

	get(HERE, &reg);
	submit(&reg);
	uhmm_rcache_put(&reg);
}

static inline void use_anew(void)
{
	if (atomic_load(&writing))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "a request writes memory that was released");
}

/* Nothing is held once all completions are handed over, and each was of something. */
static inline void finish(void)
{
	struct uhmm_rcache_uring_info info = { .size = sizeof(info) };

	uhmm_assert(!uhmm_rcache_destroy(cache));
	hand_over();
	uhmm_assert(!uhmm_rcache_uring_get_info(device, &info));
	uhmm_assert(!info.held && !info.held_bytes && !info.buffers);
	uhmm_assert(info.released == nbuffers && !info.strays);
	uhmm_rcache_uring_destroy(device);
}

static inline void invalidate(void)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, HERE,
				HERE + PAGE);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

/* The request ends, and whoever reaps completions hands all of them over. */
static inline void *ring(void *unused)
{
	uhmm_thread_name("ring");
	request_ends();
	hand_over();
	return NULL;
}

#endif
