/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages that go because their file gets shorter, or has a hole. */
#include "coverage.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw.h"

#define RW (PROT_READ | PROT_WRITE)

/* Younger than the headers may be. */
enum {
	CALL_OPENAT2 = 437,
	RING_FTRUNCATE = 55,
};

int do_truncate_fd(char *page)
{
	return result(ftruncate(file, 0));
}

/* Of @file, in @path. False: it is not written that short. */
static bool name_file(char path[32])
{
	const char proc[32] = "/proc/self/fd/";
	int n = file;

	memcpy(path, proc, sizeof(proc));
	if (n >= 100)
		return false;
	path[14] = (char)('0' + n / 10);
	path[15] = (char)('0' + n % 10);
	if (n < 10) {
		path[14] = path[15];
		path[15] = 0;
	}
	return true;
}

int do_truncate_path(char *page)
{
	char path[32];

	return name_file(path) ? result(truncate(path, 0)) : -ENOTSUP;
}

int do_truncate_open(char *page)
{
	char path[32];
	int fd;

	if (!name_file(path))
		return -ENOTSUP;
	fd = open(path, O_RDWR | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int do_punch(char *page)
{
	return result(fallocate(file, FALLOC_FL_PUNCH_HOLE |
				      FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

static char names[2][64];

/* On a disk, if there is one: a file of two names, which are gone at once. */
char *linked(void)
{
	strcpy(names[0], "/tmp/coverage-XXXXXX");
	file = mkstemp(names[0]);
	if (file < 0)
		return NULL;
	strcpy(names[1], names[0]);
	strcat(names[1], "-2");
	if (ftruncate(file, 2 * PAGE) || link(names[0], names[1])) {
		unlink(names[0]);
		return NULL;
	}
	return marked(mmap(NULL, 2 * PAGE, RW, MAP_SHARED, file, 0));
}

static int gone(int ret)
{
	unlink(names[0]);
	unlink(names[1]);
	return ret;
}

int do_truncate_link(char *page)
{
	return gone(result(truncate(names[1], 0)));
}

/* What a file system may not have. */
int do_collapse_range(char *page)
{
	int fd = open(names[1], O_RDWR | O_CLOEXEC);
	int ret = fd < 0 ? -errno :
			   result(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0,
					    PAGE));

	close(fd);
	return gone(ret);
}

static int closed(long fd)
{
	if (fd < 0)
		return -EIO;
	close((int)fd);
	return 0;
}

int do_truncate_own(char *page)
{
	char path[32];

	return name_file(path) ? closed(RAW5(SYS_openat, AT_FDCWD, path,
					     O_RDWR | O_TRUNC | O_CLOEXEC, 0,
					     0)) : -ENOTSUP;
}

/* The flags alone say so, not how it is used. */
int do_truncate_openat(char *page)
{
	char path[32];

	return name_file(path) ?
		       closed(openat(AT_FDCWD, path,
				     O_RDONLY | O_TRUNC | O_CLOEXEC)) :
		       -ENOTSUP;
}

int do_truncate_openat2(char *page)
{
	uint64_t how[3] = { O_WRONLY | O_TRUNC | O_CLOEXEC };
	char path[32];

	return name_file(path) ? closed(syscall(CALL_OPENAT2, AT_FDCWD, path,
						how, sizeof(how))) : -ENOTSUP;
}

int do_truncate_creat(char *page)
{
	char path[32];

	return name_file(path) ? closed(creat(path, 0600)) : -ENOTSUP;
}

static int with_mode(const char *mode)
{
	char path[32];
	FILE *f = name_file(path) ? fopen(path, mode) : NULL;

	return f ? fclose(f) : -ENOTSUP;
}

int do_truncate_fopen(char *page)
{
	return with_mode("w");
}

/* By another function of libc, where no thread is cancelled. */
int do_truncate_fopen_c(char *page)
{
	return with_mode("wc");
}

/* By what the kernel calls the file, and no name. */
int do_truncate_handle(char *page)
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} it = { .handle.handle_bytes = MAX_HANDLE_SZ };
	int mount;

	if (name_to_handle_at(file, "", &it.handle, &mount, AT_EMPTY_PATH))
		return -errno;
	return closed(open_by_handle_at(file, &it.handle,
					O_RDWR | O_TRUNC | O_CLOEXEC));
}

int do_truncate_ring_open(char *page)
{
	char path[32];
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_OPENAT,
		.fd = AT_FDCWD,
		.addr = (uintptr_t)path,
		.open_flags = O_RDWR | O_TRUNC | O_CLOEXEC,
	};

	return name_file(path) ? ring_do(&sqe) : -ENOTSUP;
}

int do_truncate_ring(char *page)
{
	struct io_uring_sqe sqe = {
		.opcode = RING_FTRUNCATE,
		.fd = file,
		.off = 0,
	};

	return ring_do(&sqe);
}

int do_punch_ring(char *page)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_FALLOCATE,
		.fd = file,
		.len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		.addr = PAGE,
	};

	return ring_do(&sqe);
}

/* The same page of the file, but another one of the process. */
int do_remove_other(char *page)
{
	char *other = mmap(NULL, PAGE, RW, MAP_SHARED, file, 0);

	return other == MAP_FAILED ? -errno :
				     result(madvise(other, PAGE, MADV_REMOVE));
}
