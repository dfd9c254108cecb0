// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * What the kernel promises of tags it does not say, so it is tried, on a ring that
 * nobody else has: two buffers, and a request that has one of them until a pipe
 * is closed. What has not come when the call is over that it was asked for in was
 * left for later.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "uring.h"

enum { LENGTH = 4096, SQES_LENGTH = 4096 };

struct probe {
	int fd;
	int pipe[2];
	struct io_uring_params params;
	size_t size;
	char *rings;
	struct io_uring_sqe *sqes;
	char *memory;
	unsigned int seen;		/* completions */
};

static unsigned int *word(const struct probe *p, unsigned int offset)
{
	return (unsigned int *)(p->rings + offset);
}

/* Did it bring a completion with this tag? The kernel has written it in a call. */
static bool has_come(struct probe *p, uint64_t tag)
{
	const struct io_uring_cqe *cqes = (const struct io_uring_cqe *)
		(p->rings + p->params.cq_off.cqes);
	unsigned int tail = READ_ONCE(*word(p, p->params.cq_off.tail));

	for (; p->seen != tail; p->seen++)
		if (cqes[p->seen % p->params.cq_entries].user_data == tag)
			return true;
	return false;
}

/* @tag 0: nothing is in it any more. */
static bool update(struct probe *p, unsigned int slot, uint64_t tag)
{
	struct iovec buffer = {
		.iov_base = tag ? p->memory + slot * LENGTH : NULL,
		.iov_len = tag ? LENGTH : 0,
	};
	struct io_uring_rsrc_update2 update = {
		.offset = slot, .data = (uintptr_t)&buffer,
		.tags = (uintptr_t)&tag, .nr = 1,
	};

	return uring_call(NULL, p->fd, IORING_REGISTER_BUFFERS_UPDATE, &update,
			  sizeof(update)) == 1;
}

/* A request that has slot 0, and is not over before the pipe is. */
static bool read_pipe(const struct probe *p)
{
	p->sqes[0] = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED, .fd = p->pipe[0],
		.addr = (uintptr_t)p->memory, .len = LENGTH,
	};
	*word(p, p->params.sq_off.array) = 0;
	WRITE_ONCE(*word(p, p->params.sq_off.tail), 1);
	return syscall(SYS_io_uring_enter, p->fd, 1, 0, 0, NULL, 0) == 1;
}

static unsigned int try_all(struct probe *p)
{
	struct io_uring_rsrc_register table = {
		.nr = 2, .flags = IORING_RSRC_REGISTER_SPARSE,
	};
	unsigned int found = 0;

	if (uring_call(NULL, p->fd, IORING_REGISTER_BUFFERS2, &table,
		       sizeof(table)) || !update(p, 0, 1) || !update(p, 0, 0))
		return 0;
	found |= UHMM_RCACHE_URING_TABLE;
	if (has_come(p, 1))
		found |= UHMM_RCACHE_URING_PROMPT;
	if (update(p, 0, 2) && read_pipe(p) && update(p, 1, 3) &&
	    update(p, 0, 0) && update(p, 1, 0) && has_come(p, 3))
		found |= UHMM_RCACHE_URING_APART;
	return found;
}

static bool probe_map(struct probe *p)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED;
	size_t submit = p->params.sq_off.array +
			p->params.sq_entries * sizeof(unsigned int);

	p->size = p->params.cq_off.cqes +
		  p->params.cq_entries * sizeof(struct io_uring_cqe);
	if (p->size < submit)
		p->size = submit;
	p->rings = mmap(NULL, p->size, prot, flags, p->fd, IORING_OFF_SQ_RING);
	if (p->rings == MAP_FAILED)
		return false;
	p->sqes = mmap(NULL, SQES_LENGTH, prot, flags, p->fd, IORING_OFF_SQES);
	if (p->sqes != MAP_FAILED)
		return true;
	munmap(p->rings, p->size);
	return false;
}

unsigned int uhmm_rcache_uring_features(void)
{
	struct probe p = { 0 };
	unsigned int found = 0;

	p.fd = (int)syscall(SYS_io_uring_setup, 4, &p.params);
	if (p.fd < 0)
		return 0;
	p.memory = sync_alloc_pages(2 * LENGTH);
	if (!p.memory)
		goto out_ring;
	if (pipe2(p.pipe, O_CLOEXEC))
		goto out_memory;
	if (probe_map(&p)) {
		found = try_all(&p);
		munmap(p.sqes, SQES_LENGTH);
		munmap(p.rings, p.size);
	}
	/* Its request ends with the pipe, before the ring and the memory do. */
	close(p.pipe[1]);
	close(p.pipe[0]);
out_memory:
	/* On 6.1 the ring ends later than this, and lets go of its pages then. */
	sync_free_pages(p.memory, 2 * LENGTH);
out_ring:
	close(p.fd);
	return found;
}
