/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The devices of `uhmm run --device dmirror`: the driver of the library on the
 * live address space of the program.
 *
 * A file is a memfd of its own: that may be duplicated, polled and inherited
 * as any, and is told from others by its inode. It mirrors the memory of who
 * opened it; in a forked child it does so no more, and says ENODEV, as another
 * process's memory is out of reach.
 */
#include "dmirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <uhmm/dmirror.h>
#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#define DEVICES 4
#define FIRST_COHERENT 2
#define FILE_BYTES (1UL << 30)

struct file {
	struct file *next;
	ino_t inode;
	struct uhmm_dmirror *dmirror;	/* NULL: it was the parent's */
	unsigned int users;		/* commands under way */
	bool closed;
};

static struct mm_struct *mm;
static struct board_counts *counts;
static bool newest;
/* Recursive: to open a file the library may close one of its own. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
/* Under @lock. */
static struct uhmm_dmirror_device *devices[DEVICES];
static struct file *files;
static dev_t memfds;

static int fail(int error)
{
	errno = error;
	return -1;
}

/* Between two buffers, either of which may not be there. */
static int copy(void *to, const void *from, size_t len)
{
	struct iovec here = { to, len }, there = { (void *)from, len };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) ==
		       (ssize_t)len ? 0 : -EFAULT;
}

int dmirror_start(struct mm_struct *of, struct board_process *process,
		  bool newest_level)
{
	counts = &process->counts;
	newest = newest_level;
	mm = of;
	return 0;
}

void dmirror_end(void)
{
	pthread_mutex_lock(&lock);
	mm = NULL;
	pthread_mutex_unlock(&lock);
}

void dmirror_forget(void)
{
	struct file *file;

	lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	memset(devices, 0, sizeof(devices));
	for (file = files; file; file = file->next)
		file->dmirror = NULL;
	mm = NULL;
}

/* ------------------------------------------------------------------------ files */

int dmirror_number(const char *path)
{
	static const char prefix[] = "/dev/hmm_dmirror";
	const size_t n = sizeof(prefix) - 1;

	if (!mm || strncmp(path, prefix, n) || path[n] < '0' ||
	    path[n] >= '0' + DEVICES || path[n + 1])
		return -1;
	return path[n] - '0';
}

/* Under @lock. */
static int get_device(int number, struct uhmm_dmirror_device **ret_device)
{
	struct uhmm_dmirror_options options = {
		.size = sizeof(options),
		.type = number < FIRST_COHERENT ? MEMORY_DEVICE_PRIVATE :
						  MEMORY_DEVICE_COHERENT,
		.newest = newest,
		.copy = copy,
	};
	int ret = 0;

	if (!devices[number])
		ret = uhmm_dmirror_create(&options, &devices[number]);
	*ret_device = devices[number];
	return ret;
}

static int make_fd(int number, int flags, struct stat *st)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "hmm_dmirror%d", number);
	fd = memfd_create(name, flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
	if (fd < 0)
		return -1;
	/* Whoever maps it finds pages. */
	if (ftruncate(fd, FILE_BYTES) || fstat(fd, st)) {
		close(fd);
		return -1;
	}
	return fd;
}

int dmirror_open(int number, int flags)
{
	struct uhmm_dmirror_device *device;
	struct file *file = calloc(1, sizeof(*file));
	struct stat st;
	int fd, ret;

	if (!file)
		return fail(ENOMEM);
	fd = make_fd(number, flags, &st);
	if (fd < 0) {
		free(file);
		return -1;
	}
	pthread_mutex_lock(&lock);
	ret = mm ? get_device(number, &device) : -ENODEV;
	if (!ret)
		ret = uhmm_dmirror_open(device, mm, &file->dmirror);
	if (!ret) {
		memfds = st.st_dev;
		file->inode = st.st_ino;
		file->next = files;
		files = file;
		counts->opens++;
	}
	pthread_mutex_unlock(&lock);
	if (!ret)
		return fd;
	free(file);
	close(fd);
	return fail(-ret);
}

ino_t dmirror_file(int fd)
{
	struct stat st;
	struct file *file;
	int saved = errno;
	ino_t found = 0;

	if (!__atomic_load_n(&files, __ATOMIC_RELAXED) || fstat(fd, &st)) {
		errno = saved;
		return 0;
	}
	pthread_mutex_lock(&lock);
	for (file = files; file && !found; file = file->next)
		if (file->inode == st.st_ino && memfds == st.st_dev)
			found = file->inode;
	pthread_mutex_unlock(&lock);
	return found;
}

bool dmirror_is_file(int fd)
{
	return dmirror_file(fd);
}

/* Has the process another descriptor of it? */
static bool is_open(ino_t inode)
{
	DIR *dir = opendir("/proc/self/fd");
	bool found = false;
	struct dirent *e;
	struct stat st;

	while (dir && !found && (e = readdir(dir)))
		found = e->d_name[0] != '.' &&
			!fstatat(dirfd(dir), e->d_name, &st, 0) &&
			st.st_ino == inode && st.st_dev == memfds;
	if (dir)
		closedir(dir);
	return found;
}

/* Under @lock: it is in nobody's hands. */
static struct file *take_out(struct file *file)
{
	struct file **at = &files;

	if (!file->closed || file->users)
		return NULL;
	while (*at != file)
		at = &(*at)->next;
	*at = file->next;
	return file;
}

static void end(struct file *file)
{
	if (file && file->dmirror)
		uhmm_dmirror_close(file->dmirror);
	free(file);
}

void dmirror_closed(ino_t inode)
{
	struct file *file, *last = NULL;

	if (is_open(inode))
		return;
	pthread_mutex_lock(&lock);
	for (file = files; file && file->inode != inode; file = file->next)
		;
	if (file) {
		file->closed = true;
		last = take_out(file);
	}
	pthread_mutex_unlock(&lock);
	end(last);
}

/* --------------------------------------------------------------------- commands */

static struct file *file_get(int fd)
{
	ino_t inode = dmirror_file(fd);
	struct file *file;

	pthread_mutex_lock(&lock);
	for (file = files; file && (!inode || file->inode != inode);
	     file = file->next)
		;
	if (file)
		file->users++;
	pthread_mutex_unlock(&lock);
	return file;
}

static void file_put(struct file *file)
{
	struct file *last;

	pthread_mutex_lock(&lock);
	file->users--;
	last = take_out(file);
	pthread_mutex_unlock(&lock);
	end(last);
}

/*
 * At G0 a change that the program has made is told of soon, not before it goes on:
 * what the device has of the range may be of before, and it does not ask.
 */
static void settle(struct mm_struct *of, const struct hmm_dmirror_cmd *cmd)
{
	while (uhmm_live_pending(of, cmd->addr, cmd->npages << UHMM_PAGE_SHIFT))
		sched_yield();
}

/* @of stays for as long as this takes. */
static int run_command(struct file *file, struct mm_struct *of,
		       unsigned long request, void *arg)
{
	unsigned int number = request & 0xff;
	struct hmm_dmirror_cmd cmd;
	int ret;

	if (copy(&cmd, arg, sizeof(cmd)))
		return -EFAULT;
	settle(of, &cmd);
	ret = uhmm_dmirror_ioctl(file->dmirror, request, &cmd);
	if (!ret && copy(arg, &cmd, sizeof(cmd)))
		ret = -EFAULT;
	if (number < BOARD_COMMANDS)
		__atomic_fetch_add(&counts->commands[number], 1,
				   __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts->failed, !!ret, __ATOMIC_RELAXED);
	__atomic_fetch_add(&counts->faults, ret ? 0 : cmd.faults,
			   __ATOMIC_RELAXED);
	return ret;
}

static int run(struct file *file, unsigned long request, void *arg)
{
	struct mm_struct *of = __atomic_load_n(&mm, __ATOMIC_RELAXED);
	int ret;

	/* It was the parent's, or the mirror has ended. */
	if (!file->dmirror || !of || !mmget_not_zero(of))
		return -ENODEV;
	ret = run_command(file, of, request, arg);
	mmput(of);
	return ret;
}

/*
 * No handler of the program's runs meanwhile, as none runs in a system call:
 * it might change memory, and wait for the locks that are held.
 */
int dmirror_ioctl(int fd, unsigned long request, void *arg)
{
	struct file *file = file_get(fd);
	sigset_t all, old;
	int ret;

	if (!file)
		return fail(EBADF);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = run(file, request, arg);
	file_put(file);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret ? fail(-ret) : 0;
}
