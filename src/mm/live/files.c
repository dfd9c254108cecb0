/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Calls that take pages from a file, whoever has them mapped: which file it is.
 * May run anywhere, see live.h: nothing is allocated, and no call is made in
 * which a thread may be cancelled.
 *
 * A file that would not get shorter loses nothing. That is looked at before: who
 * makes it longer at the same moment, in another thread, is not seen.
 */
#include "calls.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "patch.h"
#include "uapi.h"

/* As <linux/openat2.h> of newer kernels has it. */
struct how {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};

static bool is_longer(const struct stat *st, off_t than,
		      struct maps_file *ret_file)
{
	if (!S_ISREG(st->st_mode) || st->st_size <= than)
		return false;
	ret_file->dev = st->st_dev;
	ret_file->ino = st->st_ino;
	return true;
}

static bool fd_longer(int fd, off_t than, struct maps_file *ret_file)
{
	struct stat st;

	return !fstat(fd, &st) && is_longer(&st, than, ret_file);
}

static bool path_longer(int dir, unsigned long path, unsigned long flags,
			off_t than, struct maps_file *ret_file)
{
	int how = flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat st;

	return !fstatat(dir, (const char *)path, &st, how) &&
	       is_longer(&st, than, ret_file);
}

/* Opened so that its pages go; O_PATH opens nothing. */
static bool cuts(unsigned long flags)
{
	return flags & O_TRUNC && !(flags & O_PATH);
}

/* The path means what openat2() itself makes of it. */
static bool how_longer(const unsigned long *args, struct maps_file *ret_file)
{
	struct how how;
	struct iovec here = { &how, sizeof(how) };
	struct iovec there = { (void *)args[2], sizeof(how) };
	unsigned long look[6] = { args[0], args[1], (unsigned long)&how,
				  sizeof(how) };
	bool ret;
	long fd;

	if (args[3] < sizeof(how) ||
	    process_vm_readv(getpid(), &here, 1, &there, 1, 0) !=
		    sizeof(how) ||
	    !cuts(how.flags))
		return false;
	how.flags = O_PATH | O_CLOEXEC | (how.flags & O_NOFOLLOW);
	how.mode = 0;
	fd = live_raw_syscall(NR_OPENAT2, look);
	if (fd < 0)
		return false;
	ret = fd_longer((int)fd, 0, ret_file);
	look[0] = (unsigned long)fd;
	live_raw_syscall(SYS_close, look);
	return ret;
}

bool live_call_cuts(long nr, const unsigned long *args,
		    struct maps_file *ret_file)
{
	ret_file->ino = 0;
	switch (nr) {
	case SYS_ftruncate:
		return fd_longer((int)args[0], (off_t)args[1], ret_file);
	case SYS_truncate:
		return path_longer(AT_FDCWD, args[0], 0, (off_t)args[1],
				   ret_file);
	case SYS_fallocate:
		return args[1] & ~(unsigned long)FALLOC_FL_KEEP_SIZE &&
		       fd_longer((int)args[0], 0, ret_file);
	case SYS_openat:
		return cuts(args[2]) && path_longer((int)args[0], args[1],
						    args[2], 0, ret_file);
	case NR_OPENAT2:
		return how_longer(args, ret_file);
	case NR_OPEN:
		return cuts(args[1]) &&
		       path_longer(AT_FDCWD, args[0], args[1], 0, ret_file);
	case NR_CREAT:
		return path_longer(AT_FDCWD, args[0], 0, 0, ret_file);
	}
	return false;
}

void live_call_has_cut(long nr, const unsigned long *args, long ret,
		       struct maps_file *ret_file)
{
	switch (nr) {
	case SYS_truncate:
		/* Its length says nothing any more. */
		path_longer(AT_FDCWD, args[0], 0, -1, ret_file);
		break;
	case SYS_openat:
	case NR_OPENAT2:
	case NR_OPEN:
	case NR_CREAT:
		fd_longer((int)ret, -1, ret_file);
		break;
	}
}
