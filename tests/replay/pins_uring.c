/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pinned pages of the live process: each range the one fixed buffer of a ring
 * of its own. What goes through it comes from a file, or gets there.
 */
#include "replay.h"

#include <liburing.h>
#include <sys/mman.h>
#include <unistd.h>

const bool pins_can_be = true;

static struct pinned {
	struct io_uring ring;
	bool used;
	char *start;
} pins[NR_SLOTS + 1];

int pins_add(struct mm_struct *mm, unsigned long addr, size_t npages,
	     bool write)
{
	struct iovec range = { (void *)addr, npages * PAGE };
	int id = 0, ret;

	while (pins[id].used)
		if (++id > NR_SLOTS)
			return -ENOSPC;
	ret = io_uring_queue_init(2, &pins[id].ring, 0);
	if (ret)
		return ret;
	ret = io_uring_register_buffers(&pins[id].ring, &range, 1);
	if (ret) {
		io_uring_queue_exit(&pins[id].ring);
		return ret;
	}
	pins[id].used = true;
	pins[id].start = range.iov_base;
	return id + 1;
}

int pins_drop(struct mm_struct *mm, int id)
{
	struct pinned *pin = &pins[id - 1];

	io_uring_unregister_buffers(&pin->ring);
	io_uring_queue_exit(&pin->ring);
	pin->used = false;
	return 0;
}

static int through(struct pinned *pin, int file, size_t page, bool write)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&pin->ring);
	struct io_uring_cqe *cqe;
	char *at = pin->start + page * PAGE;
	int ret;

	if (write)
		io_uring_prep_read_fixed(sqe, file, at, PAGE, 0, 0);
	else
		io_uring_prep_write_fixed(sqe, file, at, PAGE, 0, 0);
	ret = io_uring_submit_and_wait(&pin->ring, 1);
	if (ret < 0)
		return ret;
	ret = io_uring_wait_cqe(&pin->ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&pin->ring, cqe);
	return ret == (int)PAGE ? 0 : ret < 0 ? ret : -EIO;
}

int pins_access(struct mm_struct *mm, int id, size_t page, void *buf,
		bool write)
{
	int file = memfd_create("pinned", 0);
	int ret;

	if (file < 0)
		return -errno;
	if (write && pwrite(file, buf, PAGE, 0) != (ssize_t)PAGE)
		ret = -EIO;
	else
		ret = through(&pins[id - 1], file, page, write);
	if (!ret && !write && pread(file, buf, PAGE, 0) != (ssize_t)PAGE)
		ret = -EIO;
	close(file);
	return ret;
}
