/* SPDX-License-Identifier: 0BSD */
/*
 * Under the live address space as it is explored, in the place of Linux and of the rest
 * of the library: see linux.h. System calls have another name here, see meson.build.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "linux.h"

enum { UFFD = 900, WAKE };

struct live live;
pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t kernel = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t kernel_changed = PTHREAD_COND_INITIALIZER;
static bool registered, event, poked;	/* under kernel */
static atomic_uint changing;			/* begun, and not read of yet */
static atomic_uint pte = 1;
static atomic_bool freed[3];

/* ----------------------------------------------------------------- the kernel */

void linux_remap(unsigned int page)
{
	unsigned int old;
	bool tell;

	pthread_mutex_lock(&kernel);
	tell = registered;
	if (tell)
		atomic_fetch_add_explicit(&changing, 1, memory_order_relaxed);
	old = atomic_exchange_explicit(&pte, page, memory_order_relaxed);
	atomic_store_explicit(&freed[old], true, memory_order_release);
	registered = false;
	event = tell;
	pthread_cond_broadcast(&kernel_changed);
	while (event)
		pthread_cond_wait(&kernel_changed, &kernel);
	/* It has slept: what was done before it was woken is seen before this. */
	if (tell)
		atomic_fetch_sub_explicit(&changing, 1, memory_order_release);
	pthread_mutex_unlock(&kernel);
}

unsigned int linux_register(void)
{
	unsigned int page;

	pthread_mutex_lock(&kernel);
	registered = true;
	page = atomic_load_explicit(&pte, memory_order_relaxed);
	pthread_mutex_unlock(&kernel);
	return page;
}

bool linux_is_gone(unsigned int page)
{
	return atomic_load_explicit(&freed[page], memory_order_acquire);
}

/* UFFDIO_COPY of nothing. */
int ioctl(int fd, unsigned long request, ...)
{
	errno = atomic_load_explicit(&changing, memory_order_relaxed) ? EAGAIN :
									EINVAL;
	return -1;
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *patience,
	  const sigset_t *unused)
{
	bool both[2];

	/* Who refused is done; sooner he would refuse again. */
	if (!patience->tv_sec) {
		pthread_mutex_lock(&driver_lock);
		pthread_mutex_unlock(&driver_lock);
	}
	pthread_mutex_lock(&kernel);
	while (patience->tv_sec && !event && !poked)
		pthread_cond_wait(&kernel_changed, &kernel);
	both[0] = event;
	both[1] = poked;
	pthread_mutex_unlock(&kernel);
	fds[0].revents = both[0] ? POLLIN : 0;
	fds[n - 1].revents = both[1] ? POLLIN : 0;
	return both[0] + both[1];
}

/* Awake or not: it is told all the same. */
int monitor_wait(struct live *unused, struct pollfd *fds, nfds_t n,
		 const struct timespec *patience, struct pace *pace)
{
	return ppoll(fds, n, patience, NULL);
}

ssize_t read(int fd, void *unused, size_t n)
{
	pthread_mutex_lock(&kernel);
	poked = false;
	pthread_mutex_unlock(&kernel);
	return (ssize_t)n;
}

ssize_t write(int fd, const void *unused, size_t n)
{
	pthread_mutex_lock(&kernel);
	poked = true;
	pthread_cond_broadcast(&kernel_changed);
	pthread_mutex_unlock(&kernel);
	return (ssize_t)n;
}

int eventfd(unsigned int value, int flags)
{
	return WAKE;
}

long syscall(long nr, ...)
{
	return 1;
}

int close(int fd)
{
	return 0;
}

/* ------------------------------------------------------ the rest of the library */

ssize_t shard_read(struct live *unused, struct shard *shard,
		   struct uffd_msg *messages, size_t most)
{
	ssize_t ret = -1;

	pthread_mutex_lock(&kernel);
	if (event) {
		messages[0].event = UFFD_EVENT_UNMAP;
		messages[0].arg.remove.start = HERE;
		messages[0].arg.remove.end = HERE + PAGE;
		ret = sizeof(messages[0]);
		event = false;
		pthread_cond_broadcast(&kernel_changed);
	}
	pthread_mutex_unlock(&kernel);
	return ret;
}

void watch_end(struct live *unused, unsigned long start, unsigned long end)
{
	pthread_mutex_lock(&kernel);
	registered = false;
	pthread_mutex_unlock(&kernel);
}

void watch_end_all(struct live *unused)
{
	watch_end(unused, 0, 0);
}

bool watch_clear(struct leaf **unused, unsigned long start, unsigned long end)
{
	return true;
}

int watch_only(struct live *unused, unsigned long start, unsigned long end)
{
	return -1;
}

unsigned int watch_owners(const struct live *unused, unsigned long start,
			  unsigned long last)
{
	return 1;
}

struct live *live_of(struct mm_struct *unused)
{
	return &live;
}

static void *run_thread(void *arg)
{
	struct sync_thread *thread = arg;

	thread->fn(thread->arg);
	return NULL;
}

int sync_thread_start(struct sync_thread *thread, void (*fn)(void *arg), void *arg)
{
	thread->fn = fn;
	thread->arg = arg;
	return pthread_create(&thread->thread, NULL, run_thread, thread);
}

void sync_thread_join(struct sync_thread *thread)
{
	pthread_join(thread->thread, NULL);
}

int live_fd_high(int fd)
{
	return fd;
}

int shard_open(struct live *unused)
{
	return UFFD;
}

/* No page is away, and none is dropped. */
#define NOTHING(...) { }
void live_why(struct live *unused, unsigned int reason) NOTHING()
void shard_keep_spare(struct live *unused) NOTHING()
void sync_thread_forget(struct sync_thread *thread) NOTHING()
void removal_find(struct live *unused, struct victims *victims) NOTHING()
void removal_look(struct live *unused) NOTHING()
void removal_wait(struct live *unused) NOTHING()
void home_forget(struct live *unused) NOTHING()
void out_give_back(struct live *unused) NOTHING()
void home_fault(struct live *unused, unsigned long addr) NOTHING()
void home_leave(struct live *unused, struct pollfd *wake) NOTHING()
void out_event(struct live *unused, const struct uffd_msg *m) NOTHING()
void removal_add(struct live *unused, unsigned long start, unsigned long end,
		 const struct victims *victims) NOTHING()
bool pool_has(const struct out *out, unsigned long addr) { return false; }
bool out_needs_events(struct live *unused, unsigned long start,
		      unsigned long end) { return false; }
