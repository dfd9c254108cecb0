/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A CPU touches a page that is away.
 *
 * Who touched it sleeps in the kernel, until a thread that may call drivers,
 * which the monitor may not, has read that and brought the page home. Or, if the
 * user wants it so, he gets a SIGBUS, and brings the page home himself, in the
 * handler. That is faster, but the kernel's own accesses then fail.
 *
 * The thread reads by itself, so a touch costs one hand-off to it and one back. The
 * one back comes when the driver is done: who touched the page finds its frame given
 * back, as in Linux, so the move itself wakes nobody.
 * Whatever else is there to be read it reads and passes on too. While it is with
 * a driver the monitor reads, as somebody may wait for that whom the driver waits
 * for; touches it then leaves in a queue. The kernel knows which of the two to
 * wake: both wait by an epoll of their own, and want to be the only one that is
 * woken. It tries them in the order in which they came, and goes on to the
 * second where nobody waits at the first. That may be because the first is on his
 * way back there: whom he has woken runs before him, and touches the next page. He
 * will read it, so the monitor is not woken for some time, and then looks once.
 */
#include "out.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uhmm/memremap.h>

#include "uapi.h"
#include "watch.h"

#define FORK_NS 100000000
#define LEAVE_NS 1000000
#define IDLE_MS 1000

static bool is_away(unsigned long entry)
{
	return out_state(entry) >= OUT_MOVING &&
	       out_state(entry) <= OUT_EXCLUSIVE;
}

/* ----------------------------------------------------------------- one page */

__thread bool home_calls __attribute__((tls_model("initial-exec")));

/*
 * The area around @addr, as far as pages of it may be away: the table has that
 * from before. @vma->end 0: it has not. Neither the kernel's own word would still be
 * true when it is used. Under the lock.
 */
static void area_around(struct live *live, unsigned long addr,
			unsigned long entry, struct uhmm_vma *vma)
{
	vma->mm = live->mm;
	vma->flags = UHMM_VM_READ | UHMM_VM_ANON |
		     (entry & OUT_WRITE ? UHMM_VM_WRITE : 0);
	if (!out_missing_around(live->out, addr, &vma->start, &vma->end))
		vma->end = 0;
}

/* It is at @pfn of a device. 0: look at the entry again. */
static int bring(struct live *live, struct uhmm_vma *vma, unsigned long addr,
		 unsigned long pfn, unsigned int how)
{
	int ret = live_ended(live) ? -ESRCH : 0;
	bool inside = home_calls;

	if (!(how & HOME_LOCKED))
		mmap_read_lock(live->mm);
	if (!ret && !vma->end)
		ret = uhmm_mm_find_vma(live->mm, addr, vma);
	if (!ret && vma->start > addr)
		ret = -ENXIO;
	home_calls = true;
	if (!ret)
		ret = uhmm_migrate_to_ram(vma, addr, pfn, 0);
	home_calls = inside;
	if (!(how & HOME_LOCKED))
		mmap_read_unlock(live->mm);
	if (!ret)
		live_count(live, home_touched);
	return ret;
}

/*
 * Zeroes are what a page of private anonymous memory begins with, and of no
 * other. The table knows where missing pages are told of, but not that what an
 * area grows by is registered as the rest of it: no event says so.
 */
static bool begins_with_zeroes(struct live *live, unsigned long addr)
{
	struct live_area area;

	if (out_all_missing(live->out, addr, addr + LIVE_PAGE))
		return true;
	return !live_area(live, addr, &area) && area.vma.start <= addr &&
	       area.vma.flags & UHMM_VM_ANON &&
	       !(area.vma.flags & UHMM_VM_SHARED);
}

/* There is no entry for it. 1: look again, when events are read. */
static int never_made(struct live *live, unsigned long addr)
{
	int ret = begins_with_zeroes(live, addr) ? move_zeroes(live, addr) :
						   -ENXIO;

	if (ret == -EAGAIN)
		return 1;
	return ret && ret != -EEXIST ? -ENXIO : 0;
}

int home_touch(struct live *live, unsigned long addr, unsigned int how)
{
	struct out *out = live->out;
	struct uhmm_vma vma;
	unsigned long entry;
	unsigned int seen;
	bool came = false;
	int ret;

	do {
		spin_lock(&out->lock);
		entry = out_get(out, addr);
		seen = READ_ONCE(out->changes);
		switch (out_state(entry)) {
		case OUT_MOVING:
		case OUT_TAKEN:
			if (!(how & HOME_WAIT))
				out_set(out, addr, entry | OUT_WAITED);
			spin_unlock(&out->lock);
			if (!(how & HOME_WAIT))
				return -EAGAIN;
			out_wait(out, seen);
			came = true;
			break;
		case OUT_DEVICE:
			area_around(live, addr, entry, &vma);
			spin_unlock(&out->lock);
			ret = bring(live, &vma, addr, out_what(entry), how);
			if (ret)
				return ret;
			came = true;
			break;
		case OUT_EXCLUSIVE:
			spin_unlock(&out->lock);
			exclusive_revoke(live, addr);
			came = true;
			break;
		default:
			ret = came ? 0 : never_made(live, addr);
			spin_unlock(&out->lock);
			if (ret <= 0)
				return ret;
			move_settle(live);
			break;
		}
	} while (!came || out_get(out, addr));
	return 0;
}

/* The driver has lost it: who touches it is to get a SIGBUS. */
static void lose(struct live *live, unsigned long addr)
{
	struct uffdio_poison poison = { .range = { addr, LIVE_PAGE } };

	if (ioctl(live->shards[0].fd, UFFDIO_POISON, &poison))
		kill(getpid(), SIGBUS);
}

/* ------------------------------------------------------------- in a thread */

void home_fault(struct live *live, unsigned long addr)
{
	struct out *out = live->out;
	bool full, wake;

	addr &= ~(LIVE_PAGE - 1);
	spin_lock(&out->lock);
	full = out->head - out->tail == FAULT_QUEUE || !out->handled;
	if (!full)
		out->queue[out->head++ % FAULT_QUEUE] = addr;
	wake = READ_ONCE(out->sleeping);
	spin_unlock(&out->lock);
	if (full)
		/* Let him touch it again. */
		move_wake(live, addr, addr + LIVE_PAGE);
	else if (wake)
		poke(out->wake);
}

/* The next one; false: there is none, and who puts one there pokes. */
static bool next_fault(struct out *out, unsigned long *ret_addr)
{
	bool any;

	spin_lock(&out->lock);
	any = out->head != out->tail;
	if (any)
		*ret_addr = out->queue[out->tail++ % FAULT_QUEUE];
	WRITE_ONCE(out->sleeping, !any);
	spin_unlock(&out->lock);
	return any;
}

static void bring_home(struct live *live, unsigned long addr)
{
	int ret;

	WRITE_ONCE(live->out->driving, 1);
	ret = home_touch(live, addr, 0);
	/* Before others are woken: they may run before us. */
	WRITE_ONCE(live->out->driving, 0);
	if (ret == -EAGAIN)
		return;
	if (ret == -EFAULT)
		lose(live, addr);
	move_wake(live, addr, addr + LIVE_PAGE);
}

/* Known to wait for who waits for an event that nobody can read. */
static void broken_bring_home(struct live *live, unsigned long addr)
{
	mutex_lock(&live->turn);
	bring_home(live, addr);
	mutex_unlock(&live->turn);
}

static void handler(void *arg)
{
	struct epoll_event event;
	struct live *live = arg;
	struct out *out = live->out;
	unsigned long addr;
	int n;

	WRITE_ONCE(live->handler_tid, (int)syscall(SYS_gettid));
	monitor_warm_up(live);
	while (!READ_ONCE(out->stop)) {
		if (next_fault(out, &addr)) {
			if (BROKEN(live_broken, BROKEN_KEEP))
				broken_bring_home(live, addr);
			else
				bring_home(live, addr);
			continue;
		}
		n = epoll_wait(out->first, &event, 1, IDLE_MS);
		WRITE_ONCE(out->sleeping, 0);
		/*
		 * Also where he was poked, and need not: who poked him looks
		 * again himself, as what he has read came to him. Reading is
		 * what is cheapest to be right about.
		 */
		if (n > 0)
			monitor_turn(live);
		/* The program has closed it. */
		if (n < 0 && errno != EINTR)
			wait_word(&out->stop, 0, IDLE_MS * INT64_C(1000000));
	}
}

void home_leave(struct live *live, struct pollfd *wake)
{
	const struct timespec some = { .tv_nsec = LEAVE_NS };
	const bool for_good = BROKEN(live_broken, BROKEN_LEAVE);

	if (READ_ONCE(live->out->second) >= 0 && !READ_ONCE(live->out->driving))
		ppoll(wake, 1, for_good ? NULL : &some, NULL);
}

/* ------------------------------------------------------------ by a signal */

static struct live *of_signals;
static struct sigaction old_action;

static void chain(int sig, siginfo_t *info, void *context)
{
	if (old_action.sa_flags & SA_SIGINFO) {
		old_action.sa_sigaction(sig, info, context);
	} else if (old_action.sa_handler == SIG_DFL ||
		   old_action.sa_handler == SIG_IGN) {
		/* As if there were no handler: it comes again. */
		sigaction(sig, &old_action, NULL);
	} else {
		old_action.sa_handler(sig);
	}
}

bool uhmm_live_sigbus(const void *addr)
{
	struct live *live = READ_ONCE(of_signals);
	int saved = errno, ret;

	if (!live || READ_ONCE(live->ended))
		return false;
	/* In a child, which the monitor of its parent gives a copy. */
	if (!READ_ONCE(*live->alive)) {
		sync_yield();
		return is_away(out_get(live->out, (unsigned long)addr));
	}
	ret = home_touch(live, (unsigned long)addr & ~(LIVE_PAGE - 1),
			 HOME_WAIT);
	errno = saved;
	return !ret;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (info->si_code != BUS_ADRERR || !uhmm_live_sigbus(info->si_addr))
		chain(sig, info, context);
}

/* ------------------------------------------------------------- life of it */

static int add_to(int epoll, int fd, uint32_t how)
{
	struct epoll_event event = { .events = how, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static int epoll_high(void)
{
	return live_fd_high(epoll_create1(EPOLL_CLOEXEC));
}

void home_close(struct live *live)
{
	struct out *out = live->out;
	int *const fds[] = { &out->first, &out->second, &out->wake };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		WRITE_ONCE(*fds[i], -1);
	}
}

/* How the handler and the monitor are to wait. */
static int handler_start(struct live *live)
{
	const uint32_t alone = EPOLLIN | EPOLLEXCLUSIVE;
	const int fd = live->shards[0].fd;
	struct out *out = live->out;
	int ret, second = epoll_high();

	out->first = epoll_high();
	out->wake = live_fd_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	ret = add_to(out->first, fd, alone) || add_to(second, fd, alone) ||
			      add_to(out->first, out->wake,
				     EPOLLIN | EPOLLET) ?
		      -errno : sync_thread_start(&out->handler, handler, live);
	if (ret)
		close(second);
	else
		WRITE_ONCE(out->second, second);
	return ret;
}

int home_start(struct live *live)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
	};
	struct out *out = live->out;
	int ret;

	if (live->flags & UHMM_LIVE_SIGBUS) {
		of_signals = live;
		sigaction(SIGBUS, &action, &old_action);
		if (old_action.sa_sigaction == on_sigbus)
			old_action = (struct sigaction){
				.sa_handler = SIG_DFL };
		return 0;
	}
	ret = handler_start(live);
	if (ret) {
		live_why(live, UHMM_LIVE_WHY_DESCRIPTORS);
		home_close(live);
	}
	spin_lock(&out->lock);
	out->handled = !ret;
	spin_unlock(&out->lock);
	return ret;
}

void home_stop(struct live *live)
{
	struct out *out = live->out;
	struct sigaction now;

	if (of_signals == live) {
		of_signals = NULL;
		if (!sigaction(SIGBUS, NULL, &now) &&
		    now.sa_sigaction == on_sigbus)
			sigaction(SIGBUS, &old_action, NULL);
	}
	if (!out->handled)
		return;
	spin_lock(&out->lock);
	out->handled = false;
	spin_unlock(&out->lock);
	WRITE_ONCE(out->stop, 1);
	poke(out->wake);
	wake_word(&out->stop);
	sync_thread_join(&out->handler);
}

void home_forget(struct live *live)
{
	if (live->out->handled)
		sync_thread_forget(&live->out->handler);
	home_close(live);
}

/* ------------------------------------------------------------- all of them */

void home_all(struct live *live)
{
	struct out *out = live->out;
	unsigned long addr, entry;

	for (addr = 0; addr < ~0UL;) {
		spin_lock(&out->lock);
		addr = out_next(out, addr, ~0UL);
		entry = out_get(out, addr);
		spin_unlock(&out->lock);
		if (addr == ~0UL || !is_away(entry) ||
		    home_touch(live, addr, HOME_WAIT))
			addr += addr < ~0UL ? LIVE_PAGE : 0;
	}
}

/*
 * The kernel waits for the monitor to read that there is a child, and core's
 * locks are held for the child meanwhile. So the monitor is not to want them:
 * what it would give back is given back later.
 */
void home_fork(struct live *live)
{
	spin_lock(&live->out->lock);
	WRITE_ONCE(live->out->forking, true);
	spin_unlock(&live->out->lock);
	home_all(live);
	coherent_home(live);
	monitor_settle(live, FORK_NS);
}

void home_fork_end(struct live *live)
{
	spin_lock(&live->out->lock);
	WRITE_ONCE(live->out->forking, false);
	spin_unlock(&live->out->lock);
	out_give_back(live);
}
