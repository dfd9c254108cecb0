/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The least that a page can cost which comes home when it is touched: the
 * kernel's fault, its way to tell of it, and one UFFDIO_MOVE. And that a munmap()
 * can cost which the kernel tells of: somebody reads it; or which it does not tell
 * of any more: that ends first. No table, no lock, no device. Who waits does that in
 * read() itself, which costs less than to poll() before it, and reads for nobody else.
 * What is built on userfaultfd cannot be faster.
 *
 * A thread that has the least priority saves its way back into read(): whom it wakes
 * runs before it. No library can do that to its users, as on a busy core it is late.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

static int move(int fd, char *to, char *from, unsigned long length,
		unsigned long mode)
{
	struct uffdio_move arg = {
		.dst = (unsigned long)to,
		.src = (unsigned long)from,
		.len = length,
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_MOVE, &arg);
}

static int copy(int fd, char *to, char *from, unsigned long mode)
{
	struct uffdio_copy arg = {
		.dst = (unsigned long)to,
		.src = (unsigned long)from,
		.len = PAGE,
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_COPY, &arg);
}

static int come_home(struct bare *bare)
{
	const bool wake = bare->by != BARE_SIGNAL;

	if (bare->copies)
		return copy(bare->fd, bare->home, bare->away,
			    wake ? 0 : UFFDIO_COPY_MODE_DONTWAKE);
	return move(bare->fd, bare->home, bare->away, PAGE,
		    wake ? 0 : UFFDIO_MOVE_MODE_DONTWAKE);
}

static int go_away(struct bare *bare)
{
	if (bare->copies)
		return madvise(bare->home, PAGE, MADV_DONTNEED);
	return move(bare->fd, bare->away, bare->home, PAGE,
		    UFFDIO_MOVE_MODE_DONTWAKE);
}

/* ------------------------------------------------------------ who is told */

static int open_fd(uint64_t features, int flags)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = (int)syscall(SYS_userfaultfd,
			      O_CLOEXEC | UFFD_USER_MODE_ONLY | flags);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void *reader(void *arg)
{
	const struct sched_param none = { 0 };
	struct bare *bare = arg;
	struct uffd_msg message;

	if (bare->by == BARE_YIELDING)
		sched_setscheduler(0, SCHED_IDLE, &none);
	for (;;)
		if (read(bare->fd, &message, sizeof(message)) ==
			    sizeof(message) &&
		    bare->home)
			come_home(bare);
	return NULL;
}

static bool has_thread(const struct bare *bare)
{
	return bare->by >= BARE_THREAD && bare->by <= BARE_SPINNING;
}

static bool begin(struct bare *bare, uint64_t features)
{
	bare->fd = open_fd(features,
			   bare->by == BARE_SPINNING ? O_NONBLOCK : 0);
	if (bare->fd < 0)
		return false;
	if (!has_thread(bare) ||
	    !pthread_create(&bare->thread, NULL, reader, bare))
		return true;
	close(bare->fd);
	return false;
}

static void end(struct bare *bare)
{
	if (has_thread(bare)) {
		pthread_cancel(bare->thread);
		pthread_join(bare->thread, NULL);
	}
	close(bare->fd);
}

/* ------------------------------------------------------------ a page home */

static struct bare *in_handler;

static void on_signal(int sig)
{
	come_home(in_handler);
}

/* Twice as much, the first half of which is there; NULL: it cannot be. */
static char *two_halves(unsigned long length)
{
	char *p = mmap(NULL, 2 * length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, 2 * length, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < length; i += PAGE)
		p[i] = 1;
	return p;
}

static int tell_missing(int fd, char *p, unsigned long length)
{
	struct uffdio_register reg = {
		.range = { (unsigned long)p, length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg);
}

bool bare_home_begin(struct bare *bare)
{
	bare->home = two_halves(PAGE);
	if (!bare->home)
		return false;
	bare->away = bare->home + PAGE;
	if (bare->copies)
		bare->away[0] = 1;
	if (begin(bare, bare->by == BARE_SIGNAL ? UFFD_FEATURE_SIGBUS : 0)) {
		if (!tell_missing(bare->fd, bare->home, 2 * PAGE) &&
		    bare_home(bare) > 0)
			return true;
		end(bare);
	}
	munmap(bare->home, 2 * PAGE);
	return false;
}

double bare_home(struct bare *bare)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	int64_t t;

	if (go_away(bare))
		return -1;
	if (bare->by == BARE_SIGNAL) {
		in_handler = bare;
		sigaction(SIGBUS, &action, &old);
	}
	t = bench_now();
	(void)*(volatile char *)bare->home;
	t = bench_now() - t;
	if (bare->by == BARE_SIGNAL)
		sigaction(SIGBUS, &old, NULL);
	return (double)t;
}

void bare_home_end(struct bare *bare)
{
	end(bare);
	munmap(bare->home, 2 * PAGE);
}

/* ---------------------------------------------------------------- munmap() */

bool bare_watch_begin(struct bare *bare)
{
	return begin(bare, UFFD_FEATURE_EVENT_UNMAP |
				   UFFD_FEATURE_PAGEFAULT_FLAG_WP);
}

/* It is registered as the library does it. */
double bare_munmap(struct bare *bare, char *p)
{
	struct uffdio_register reg = {
		.range = { (unsigned long)p, PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	int64_t t;

	if (ioctl(bare->fd, UFFDIO_REGISTER, &reg))
		return -1;
	t = bench_now();
	if (bare->by == BARE_NOBODY)
		arch_syscall3(SYS_ioctl, bare->fd, UFFDIO_UNREGISTER,
			      (long)&reg.range);
	arch_syscall3(SYS_munmap, (long)p, PAGE, 0);
	return (double)(bench_now() - t);
}

void bare_watch_end(struct bare *bare)
{
	end(bare);
}

/* ----------------------------------------------------------------- a range */

static bool move_all(int fd, char *to, char *from, unsigned long length,
		     unsigned long most)
{
	for (unsigned long at = 0; at < length; at += most)
		if (move(fd, to + at, from + at, most,
			 UFFDIO_MOVE_MODE_DONTWAKE))
			return false;
	return true;
}

bool bare_moves_begin(struct bare *bare, unsigned long npages)
{
	const unsigned long length = npages * PAGE;

	bare->fd = open_fd(0, 0);
	bare->home = two_halves(length);
	bare->away = bare->home + length;
	return bare->fd >= 0 && bare->home &&
	       !tell_missing(bare->fd, bare->home, 2 * length);
}

double bare_moves(struct bare *bare, unsigned long npages, unsigned long most)
{
	const unsigned long length = npages * PAGE;
	int64_t t = bench_now();

	if (!move_all(bare->fd, bare->away, bare->home, length, most * PAGE))
		return -1;
	t = bench_now() - t;
	if (!move_all(bare->fd, bare->home, bare->away, length, most * PAGE))
		return -1;
	return (double)t;
}

void bare_moves_end(struct bare *bare, unsigned long npages)
{
	if (bare->home)
		munmap(bare->home, 2 * npages * PAGE);
	if (bare->fd >= 0)
		close(bare->fd);
}
