/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The least that a page can cost which comes home when it is touched: the
 * kernel's fault, its way to tell of it, and one UFFDIO_MOVE. And that a munmap()
 * can cost which the kernel tells of: somebody reads it; or which it does not tell
 * of any more: that ends first. No table, no lock, no device. Who waits does that in
 * read() itself, which costs less than to poll() before it, and reads for nobody else.
 * What is built on userfaultfd cannot be faster.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uhmm/mm.h>

#include "bench.h"
#include "live_bare.h"
#include "mm/live/uapi.h"
#include "sync/arch.h"

#include <linux/userfaultfd.h>

#define PAGE UHMM_PAGE_SIZE

static int fd;
static char *home, *away;

static int move(char *to, char *from, unsigned long length, unsigned long mode)
{
	struct uffdio_move arg = {
		.dst = (unsigned long)to,
		.src = (unsigned long)from,
		.len = length,
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_MOVE, &arg);
}

static void on_signal(int sig)
{
	move(home, away, PAGE, UFFDIO_MOVE_MODE_DONTWAKE);
}

static void *reader(void *unused)
{
	struct uffd_msg message;

	while (read(fd, &message, sizeof(message)) == sizeof(message))
		move(home, away, PAGE, 0);
	return NULL;
}

static int open_fd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	return fd < 0 ? -1 : ioctl(fd, UFFDIO_API, &api);
}

static int begin(bool by_signal, unsigned long length)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (open_fd(by_signal ? UFFD_FEATURE_SIGBUS : 0))
		return -1;
	home = mmap(NULL, 2 * length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (home == MAP_FAILED)
		return -1;
	madvise(home, 2 * length, MADV_NOHUGEPAGE);
	away = home + length;
	for (unsigned long i = 0; i < length; i += PAGE)
		home[i] = 1;
	reg.range.start = (unsigned long)home;
	reg.range.len = 2 * length;
	return ioctl(fd, UFFDIO_REGISTER, &reg);
}

static unsigned int touches(struct bench *b, double *values, unsigned int most)
{
	unsigned int n;
	int64_t t;

	for (n = 0; n < most && !bench_over(b); n++) {
		if (move(away, home, PAGE, UFFDIO_MOVE_MODE_DONTWAKE))
			break;
		t = bench_now();
		(void)*(volatile char *)home;
		values[n] = (double)(bench_now() - t);
	}
	return n;
}

unsigned int bare_home(struct bench *b, bool by_signal, double *values,
		       unsigned int most)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	pthread_t thread;
	unsigned int n;

	if (begin(by_signal, PAGE))
		return 0;
	if (by_signal)
		sigaction(SIGBUS, &action, &old);
	else if (pthread_create(&thread, NULL, reader, NULL))
		return 0;
	n = touches(b, values, most);
	if (by_signal) {
		sigaction(SIGBUS, &old, NULL);
	} else {
		pthread_cancel(thread);
		pthread_join(thread, NULL);
	}
	munmap(home, 2 * PAGE);
	close(fd);
	return n;
}

static void *event_reader(void *unused)
{
	struct uffd_msg message;

	while (read(fd, &message, sizeof(message)) == sizeof(message))
		;
	return NULL;
}

/* A page that is registered as the library does it; NULL: it cannot be. */
static char *watched_page(void)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p[0] = 1;
	reg.range.start = (unsigned long)p;
	reg.range.len = PAGE;
	return ioctl(fd, UFFDIO_REGISTER, &reg) ? NULL : p;
}

static int watch_begin(void)
{
	return open_fd(UFFD_FEATURE_EVENT_UNMAP |
		       UFFD_FEATURE_PAGEFAULT_FLAG_WP);
}

bool bare_watch_begin(void)
{
	return !watch_begin();
}

double bare_unwatch(char *p)
{
	struct uffdio_register reg = {
		.range = { (unsigned long)p, PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int64_t t;

	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		return -1;
	t = bench_now();
	arch_syscall3(SYS_ioctl, fd, UFFDIO_UNREGISTER, (long)&reg.range);
	arch_syscall3(SYS_munmap, (long)p, PAGE, 0);
	return (double)(bench_now() - t);
}

void bare_watch_end(void)
{
	close(fd);
}

unsigned int bare_unmaps(struct bench *b, double *values, unsigned int most)
{
	pthread_t thread;
	unsigned int n;
	char *p;
	int64_t t;

	if (watch_begin() || pthread_create(&thread, NULL, event_reader, NULL))
		return 0;
	for (n = 0; n < most && !bench_over(b); n++) {
		p = watched_page();
		if (!p)
			break;
		t = bench_now();
		munmap(p, PAGE);
		values[n] = (double)(bench_now() - t);
	}
	pthread_cancel(thread);
	pthread_join(thread, NULL);
	close(fd);
	return n;
}

static bool move_all(char *to, char *from, unsigned long length,
		     unsigned long most)
{
	for (unsigned long at = 0; at < length; at += most)
		if (move(to + at, from + at, most, UFFDIO_MOVE_MODE_DONTWAKE))
			return false;
	return true;
}

unsigned int bare_moves(struct bench *b, unsigned long npages,
			unsigned long most, double *values, unsigned int count)
{
	const unsigned long length = npages * PAGE;
	unsigned int n;
	int64_t t;

	if (begin(false, length))
		return 0;
	for (n = 0; n < count && !bench_over(b); n++) {
		t = bench_now();
		if (!move_all(away, home, length, most * PAGE))
			break;
		values[n] = (double)(bench_now() - t);
		if (!move_all(home, away, length, most * PAGE))
			break;
	}
	munmap(home, 2 * length);
	close(fd);
	return n;
}
