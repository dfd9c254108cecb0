/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The calls by which a program reaches a device: what is not a device's goes on
 * to libc. They stand between the program and libc; libc's own calls do not
 * come here.
 */
#include "dmirror.h"

/* Not <fcntl.h> and its like: they may give one function another's name. */
#include <dlfcn.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int open(const char *path, int flags, ...);
EXPORT int open64(const char *path, int flags, ...);
EXPORT int openat(int dir, const char *path, int flags, ...);
EXPORT int openat64(int dir, const char *path, int flags, ...);
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags);
EXPORT int close(int fd);
EXPORT int ioctl(int fd, unsigned long request, ...);
EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd,
		  off_t offset);
EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset);

int madvise(void *addr, size_t length, int advice);
#define MAP_FAILED ((void *)-1)

typedef int (*openat_fn)(int dir, const char *path, int flags, ...);
typedef int (*close_fn)(int fd);
typedef int (*ioctl_fn)(int fd, unsigned long request, ...);
typedef void *(*mmap_fn)(void *addr, size_t length, int prot, int flags,
			 int fd, off_t offset);

static openat_fn next_openat;
static close_fn next_close;
static ioctl_fn next_ioctl;
static mmap_fn next_mmap;

/* Before what the constructor of the agent does, where it can be had. */
static __attribute__((constructor(101))) void find_next(void)
{
	next_openat = (openat_fn)dlsym(RTLD_NEXT, "openat");
	next_close = (close_fn)dlsym(RTLD_NEXT, "close");
	next_ioctl = (ioctl_fn)dlsym(RTLD_NEXT, "ioctl");
	next_mmap = (mmap_fn)dlsym(RTLD_NEXT, "mmap");
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
	int number = path ? dmirror_number(path) : -1;

	if (number >= 0)
		return dmirror_open(number, flags);
	if (!next_openat)
		return (int)syscall(SYS_openat, dir, path, flags, mode);
	return next_openat(dir, path, flags, mode);
}

/* There may be none: nobody looks at it then. */
static mode_t mode_of(va_list args)
{
	return (mode_t)va_arg(args, unsigned int);
}

int openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(args);
	va_end(args);
	return open_any(dir, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = mode_of(args);
	va_end(args);
	return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
	__attribute__((alias("open")));
int openat64(int dir, const char *path, int flags, ...)
	__attribute__((alias("openat")));

int __open_2(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
	__attribute__((alias("__open_2")));

int close(int fd)
{
	ino_t file = dmirror_file(fd);
	int ret = next_close ? next_close(fd) : (int)syscall(SYS_close, fd);
	int saved = errno;

	if (file && !ret)
		dmirror_closed(file);
	errno = saved;
	return ret;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	/* Of any other the library itself makes many, with locks held. */
	if ((request >> 8 & 0xff) == 'H' && dmirror_is_file(fd))
		return dmirror_ioctl(fd, request, arg);
	ret = next_ioctl ? next_ioctl(fd, request, arg) :
			   (int)syscall(SYS_ioctl, fd, request, arg);
	/* What lies behind the device has none; Linux's knows no other. */
	if (ret < 0 && errno == ENOTTY && dmirror_is_file(fd))
		errno = EINVAL;
	return ret;
}

static void *map(void *addr, size_t length, int prot, int flags, int fd,
		 off_t offset)
{
	if (!next_mmap)
		return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd,
				       offset);
	return next_mmap(addr, length, prot, flags, fd, offset);
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
	void *p = map(addr, length, prot, flags, fd, offset);

	/* The device's pages are there when it is mapped. */
	if (p != MAP_FAILED && fd >= 0 && dmirror_is_file(fd))
		madvise(p, length, MADV_POPULATE_READ);
	return p;
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
	     off_t offset) __attribute__((alias("mmap")));
