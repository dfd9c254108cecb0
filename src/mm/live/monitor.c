/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The monitor: a thread that reads what the kernel tells of watched pieces and
 * passes it on as invalidations; and the question whether something is on its
 * way, which makes reads exact although the kernel tells afterwards.
 *
 * Whoever unmaps a watched piece sleeps until the event is read. So the
 * monitor allocates nothing, waits for no lock of anybody (callbacks are called
 * as for a range that must not block, and who refuses is asked again later),
 * and unmaps nothing.
 *
 * The kernel counts, for each descriptor, changes that have begun and whose
 * event is not read yet, and refuses UFFDIO_COPY with EAGAIN while there are
 * any. The count goes up before the change is made. So, with user_lock held:
 *
 *	reader				monitor
 *	 1 ask the kernel		 1 busy = 1
 *	 2 ask for busy			 2 read the event: the count goes down
 *	 3 compare the sequence		 3 invalidate: sets the sequence
 *					 4 busy = 0
 *
 * A change that began before 1 is seen in one of the three: the reader looks
 * for it in the order in which it wanders.
 *
 * Where pages can be away, who brings them home reads too, see home.c. The two
 * take turns: what one has read he has passed on before the other reads.
 */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "uapi.h"

#define MESSAGES 16
#define IDLE_S 1
#define LOOK_NS 50000
#define RETRY_NS 1000000
#define REMOVES_LATELY 64
#define WAIT_NS 1000000

/* -------------------------------------------------------------- the question */

/* The program has closed it: all that is mirrored is held up until it is dropped. */
static void note_lost(struct live *live)
{
	unsigned int not = LOST_NOT;

	live_why(live, UHMM_LIVE_WHY_LOST);
	if (try_cmpxchg(&live->lost, &not, LOST_SEEN))
		poke(live->monitor_wake);
}

static bool kernel_pending(struct live *live, struct shard *shard)
{
	struct uffdio_copy nothing = { 0 };

	if (BROKEN(live_broken, BROKEN_PROBE))
		return false;
	if (!ioctl(shard->fd, UFFDIO_COPY, &nothing) || errno == EINVAL)
		return false;
	if (errno == EAGAIN)
		return true;
	note_lost(live);
	/*
	 * Ordering: (LOST) pairs with (LOST-TOLD) in tell_lost(): who goes on
	 * without an answer sees that all was invalidated.
	 */
	return smp_load_acquire(&live->lost) != LOST_TOLD;
}

void monitor_look_lost(struct live *live)
{
	for (unsigned int i = 0; i < READ_ONCE(live->nshards); i++)
		kernel_pending(live, &live->shards[i]);
}

bool monitor_unread(struct live *live)
{
	return kernel_pending(live, &live->shards[0]);
}

static bool shard_busy(struct shard *shard)
{
	/*
	 * Ordering: (MONITOR-IDLE-SEEN) pairs with (MONITOR-IDLE) in
	 * shard_idle(): what it has read it has passed on.
	 */
	return smp_load_acquire(&shard->busy) &&
	       !BROKEN(live_broken, BROKEN_BUSY);
}

static bool shard_pending(struct live *live, struct shard *shard)
{
	if (!READ_ONCE(shard->watches))
		return false;
	if (kernel_pending(live, shard))
		return true;
	/*
	 * Ordering: (KERNEL-ASKED) pairs with (MONITOR-BUSY) in serve(): where
	 * the count is down because the event was read, busy is seen, or what
	 * came after it.
	 */
	smp_rmb();
	return shard_busy(shard);
}

static bool range_pending(struct live *live, unsigned long start,
			  unsigned long last)
{
	unsigned int owners = watch_owners(live, start, last);

	for (unsigned int i = 0; i < READ_ONCE(live->nshards); i++)
		if (owners & 1U << i && shard_pending(live, &live->shards[i]))
			return true;
	/*
	 * Ordering: (HANDED-SEEN) pairs with (HANDED) in hand_on_again(): who
	 * finds none left sees what they did.
	 */
	return (READ_ONCE(live->refused_removals) ||
		smp_load_acquire(&live->handed)) &&
	       !BROKEN(live_broken, BROKEN_HANDED);
}

void monitor_sleep(struct live *live, unsigned int generation)
{
	fetch_add(&live->sleepers, 1);
	/*
	 * Ordering: (MONITOR-SLEEP) pairs with (MONITOR-WAKE) in shard_idle(): we
	 * see the generation raised, or are seen.
	 */
	smp_mb__after_atomic();
	wait_word(&live->generation, generation, WAIT_NS);
	fetch_sub(&live->sleepers, 1);
}

bool live_pending(struct mm_struct *mm, unsigned long start,
		  unsigned long last, bool wait)
{
	struct live *live = live_of(mm);
	unsigned int generation = READ_ONCE(live->generation);

	if (live_ended(live) || !READ_ONCE(live->nshards) ||
	    !range_pending(live, start, last))
		return false;
	if (wait)
		monitor_sleep(live, generation);
	else
		live_count(live, pending);
	return true;
}

bool uhmm_live_pending(struct mm_struct *mm, unsigned long start,
		       unsigned long length)
{
	return length && live_of(mm) &&
	       live_pending(mm, start, start + length - 1, false);
}

void monitor_settle(struct live *live, int64_t timeout_ns)
{
	int64_t deadline = ktime_get_ns() + timeout_ns;
	unsigned int generation;

	do {
		generation = READ_ONCE(live->generation);
		if (!range_pending(live, 0, ~0UL))
			return;
		monitor_sleep(live, generation);
	} while (ktime_get_ns() < deadline);
}

static bool any_busy(struct live *live)
{
	for (unsigned int i = 0; i < READ_ONCE(live->nshards); i++)
		if (shard_busy(&live->shards[i]))
			return true;
	return false;
}

/*
 * The monitor serves one descriptor at a time: of what was read before, it is at
 * the last at most, and then the generation changes.
 */
void monitor_passed_on(struct live *live, int64_t timeout_ns)
{
	unsigned int generation = READ_ONCE(live->generation);
	int64_t deadline;

	if (!any_busy(live))
		return;
	deadline = ktime_get_ns() + timeout_ns;
	while (READ_ONCE(live->generation) == generation && any_busy(live) &&
	       ktime_get_ns() < deadline)
		monitor_sleep(live, generation);
}

/* ------------------------------------------------------------------- passing on */

/* A range that somebody has announced: is it bracketed? */
static bool is_bracketed(struct live *live, unsigned long start,
			 unsigned long end)
{
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, live->mm)
		if (slot_covers(slot, start, end - 1) &&
		    READ_ONCE(slot->start) <= start &&
		    READ_ONCE(slot->last) >= end - 1)
			return true;
	return false;
}

void hand_on(struct live *live, unsigned long start, unsigned long end,
	     enum mmu_notifier_event event)
{
	struct handed_on *h;

	live_count(live, handed_on);
	if (live->handed == MAX_HANDED_ON) {
		/* One that covers both: too much is not too little. */
		h = &live->handed_on[MAX_HANDED_ON - 1];
		h->start = start < h->start ? start : h->start;
		h->end = end > h->end ? end : h->end;
		return;
	}
	live->handed_on[live->handed] =
		(struct handed_on){ start, end, event };
	WRITE_ONCE(live->handed, live->handed + 1);
}

static bool invalidate(struct live *live, struct mmu_notifier_range *range,
		       enum mmu_notifier_event event, unsigned long start,
		       unsigned long end)
{
	mmu_notifier_range_init(range, event, 0, live->mm, start, end);
	return !mmu_notifier_invalidate_range_start_nonblock(range);
}

static void changed(struct live *live, enum mmu_notifier_event event,
		    unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	/* Who announced it has called back, and holds reads up. */
	if (start >= end || is_bracketed(live, start, end))
		return;
	if (READ_ONCE(live->bracketed) >= UHMM_G1)
		live_count(live, missed);
	if (invalidate(live, &range, event, start, end))
		mmu_notifier_invalidate_range_end(&range);
	else
		hand_on(live, start, end, event);
}

/* Ask those again who refused. */
static void hand_on_again(struct live *live)
{
	unsigned int i, n = 0, had = live->handed;
	struct mmu_notifier_range range;
	struct handed_on h;

	for (i = 0; i < had; i++) {
		h = live->handed_on[i];
		if (invalidate(live, &range, h.event, h.start, h.end))
			mmu_notifier_invalidate_range_end(&range);
		else
			live->handed_on[n++] = h;
	}
	/*
	 * Ordering: (HANDED) pairs with (HANDED-SEEN) in range_pending(): the
	 * sequences are set before the count goes down.
	 */
	smp_store_release(&live->handed, n);
}

/*
 * What changes from now on is told to nobody: so all goes now, and nothing is given
 * out any more, see watch().
 */
static void tell_lost(struct live *live)
{
	struct mmu_notifier_range range;

	if (live->out)
		WRITE_ONCE(live->out->off, true);
	if (invalidate(live, &range, MMU_NOTIFY_CLEAR, 0, ~0UL))
		mmu_notifier_invalidate_range_end(&range);
	else
		hand_on(live, 0, ~0UL, MMU_NOTIFY_CLEAR);
	/*
	 * Ordering: (LOST-TOLD) pairs with (LOST) in kernel_pending(): the sequences
	 * are set, or it is known that they are to be.
	 */
	smp_store_release(&live->lost, LOST_TOLD);
}

/* ---------------------------------------------------------------------- events */

static void on_remove(struct live *live, unsigned long start,
		      unsigned long end, const struct victims *victims)
{
	live_count(live, removes);
	if (READ_ONCE(live->bracketed) >= UHMM_G1 &&
	    !is_bracketed(live, start, end))
		live_count(live, missed);
	removal_add(live, start, end, victims);
	live->removes_lately = REMOVES_LATELY;
}

static void on_remap(struct live *live, struct shard *shard,
		     const struct uffd_msg *m)
{
	unsigned long from = m->arg.remap.from, to = m->arg.remap.to;
	unsigned long length = m->arg.remap.len;
	struct uffdio_range range = { to, length };

	/* By ourselves, in a bracket: see carry() in migrate.c. */
	if (live->out && pool_has(live->out, to))
		return;
	live_count(live, remaps);
	watch_clear(live->leaves, from, from + length);
	/*
	 * What is there now may be for another descriptor to watch. Noted behind
	 * it, or who takes it under watch in between would think that it is.
	 */
	if (!live->out)
		ioctl(shard->fd, UFFDIO_UNREGISTER, &range);
	watch_clear(live->leaves, to, to + length);
	changed(live, MMU_NOTIFY_UNMAP, from, from + length);
	changed(live, MMU_NOTIFY_UNMAP, to, to + length);
}

static void on_message(struct live *live, struct shard *shard,
		       const struct uffd_msg *m, const struct victims *victims)
{
	unsigned long start = m->arg.remove.start, end = m->arg.remove.end;
	struct uffdio_range page;

	switch (m->event) {
	case UFFD_EVENT_UNMAP:
		live_count(live, unmaps);
		watch_clear(live->leaves, start, end);
		changed(live, MMU_NOTIFY_UNMAP, start, end);
		break;
	case UFFD_EVENT_REMOVE:
		on_remove(live, start, end, victims);
		break;
	case UFFD_EVENT_REMAP:
		on_remap(live, shard, m);
		break;
	case UFFD_EVENT_FORK:
		live_count(live, forks);
		close((int)m->arg.fork.ufd);
		shard_keep_spare(live);
		changed(live, MMU_NOTIFY_PROTECTION_PAGE, 0, ~0UL);
		break;
	case UFFD_EVENT_PAGEFAULT:
		if (live->out) {
			home_fault(live, m->arg.pagefault.address);
			break;
		}
		/* Nothing is armed; let nobody sleep for it. */
		page.start = m->arg.pagefault.address & ~(LIVE_PAGE - 1);
		page.len = LIVE_PAGE;
		ioctl(shard->fd, UFFDIO_WAKE, &page);
		break;
	}
}

static void shard_idle(struct live *live, struct shard *shard)
{
	/*
	 * Ordering: (MONITOR-IDLE) pairs with (MONITOR-IDLE-SEEN) in
	 * shard_busy(): all that was read has been passed on.
	 */
	smp_store_release(&shard->busy, 0);
	fetch_add(&live->generation, 1);
	/*
	 * Ordering: (MONITOR-WAKE) pairs with (MONITOR-SLEEP) in monitor_sleep():
	 * whoever is not seen sees it raised.
	 */
	smp_mb__after_atomic();
	if (READ_ONCE(live->sleepers))
		wake_word(&live->generation);
}

/* What becomes of pages that are away is noted before another one moves. */
static ssize_t read_events(struct live *live, struct shard *shard,
			   struct uffd_msg *messages, size_t most)
{
	ssize_t n;

	if (!live->out)
		return shard_read(live, shard, messages, most);
	spin_lock(&live->out->lock);
	n = shard_read(live, shard, messages, most);
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++)
		out_event(live, &messages[i]);
	spin_unlock(&live->out->lock);
	return n;
}

static void turn_begin(struct live *live)
	__acquires(&live->turn) __no_context_analysis
{
	if (!BROKEN(live_broken, BROKEN_TURNS))
		mutex_lock(&live->turn);
}

static void turn_end(struct live *live)
	__releases(&live->turn) __no_context_analysis
{
	if (!BROKEN(live_broken, BROKEN_TURNS))
		mutex_unlock(&live->turn);
}

static void serve(struct live *live, struct shard *shard)
	__must_hold(&live->turn)
{
	bool expect = live->removes_lately;
	struct uffd_msg messages[MESSAGES];
	struct victims victims = { .n = 0 };
	ssize_t n;

	/*
	 * Ordering: (MONITOR-BUSY) pairs with (KERNEL-ASKED) in
	 * shard_pending(): before the count goes down.
	 */
	(void)xchg(&shard->busy, 1);
	/* One by one: of the first it is known that he sleeps. */
	if (expect) {
		live->removes_lately--;
		removal_find(live, &victims);
	}
	n = read_events(live, shard, messages, expect ? 1 : MESSAGES);
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(messages[0]); i++)
		on_message(live, shard, &messages[i], &victims);
	if (live->out && READ_ONCE(live->out->gone) &&
	    !READ_ONCE(live->out->forking))
		out_give_back(live);
	if (live->nremovals)
		removal_wait(live);
	shard_idle(live, shard);
}

void monitor_turn(struct live *live)
{
	bool look;

	turn_begin(live);
	serve(live, &live->shards[0]);
	look = live->nremovals || live->handed;
	turn_end(live);
	/* It may sleep for longer than these can wait. */
	if (look)
		poke(live->monitor_wake);
}

/* ---------------------------------------------------------------------- the thread */

unsigned int live_own_threads;

/* In a thread of its own, as what is called may unmap, and wait for the monitor. */
static void leave(void *unused)
{
	exit(0);
}

/*
 * A program ends with its last thread, and libc counts us among them: where
 * nobody else is left, do what libc would have done.
 */
static void leave_if_alone(struct live *live)
{
	static struct sync_thread last;
	char path[32], text[256], *state;
	struct stat st;
	ssize_t n;
	int fd;

	/* Ourselves and the first thread, which stays as a zombie. */
	if (fstat(live->task_dir, &st) ||
	    st.st_nlink != (READ_ONCE(live->handler_tid) ? 5U : 4U) +
				   READ_ONCE(live_own_threads))
		return;
	snprintf(path, sizeof(path), "%d/stat", getpid());
	fd = openat(live->task_dir, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	state = strrchr(text, ')');
	if (state && state[1] && state[2] == 'Z')
		sync_thread_start(&last, leave, NULL);
}

/* So that nothing has to be made when somebody waits for us. */
void monitor_warm_up(struct live *live)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, live->mm,
				-2 * LIVE_PAGE, -LIVE_PAGE);
	if (!mmu_notifier_invalidate_range_start(&range))
		mmu_notifier_invalidate_range_end(&range);
}

static struct timespec patience_of(const struct live *live)
{
	if (live->nremovals)
		return (struct timespec){ .tv_nsec = LOOK_NS };
	if (live->handed)
		return (struct timespec){ .tv_nsec = RETRY_NS };
	return (struct timespec){ .tv_sec = IDLE_S };
}

/* Whoever waits for an event to be read is let go. */
static void close_shards(struct live *live)
{
	for (unsigned int i = 0; i < live->nshards; i++)
		close(live->shards[i].fd);
	WRITE_ONCE(live->nshards, 0);
}

/* Who keeps a descriptor open, a child of _Fork() say, is not to be waited for. */
static void end_watch(struct live *live)
{
	watch_end_all(live);
	for (unsigned int i = 0; i < live->nshards; i++) {
		while (!READ_ONCE(live->lost) &&
		       kernel_pending(live, &live->shards[i])) {
			turn_begin(live);
			serve(live, &live->shards[i]);
			turn_end(live);
		}
	}
}

/* What came, and what has waited. Returns how long the rest can. */
static struct timespec monitor_once(struct live *live, struct pollfd *fds, int n)
{
	struct timespec patience;
	unsigned int i;

	turn_begin(live);
	for (i = 0; n > 0 && i < live->nshards; i++) {
		if (fds[i].revents & POLLIN)
			serve(live, &live->shards[i]);
		if (fds[i].revents & (POLLERR | POLLNVAL)) {
			fds[i].fd = -1;
			note_lost(live);
		}
	}
	/* What others wait by says nothing of it. */
	if (!n)
		monitor_look_lost(live);
	if (READ_ONCE(live->lost) == LOST_SEEN)
		tell_lost(live);
	if (live->nremovals)
		removal_look(live);
	if (live->handed)
		hand_on_again(live);
	patience = patience_of(live);
	turn_end(live);
	if (!n && patience.tv_sec)
		leave_if_alone(live);
	return patience;
}

static void monitor(void *arg)
{
	struct timespec ts = { .tv_sec = IDLE_S };
	struct pollfd fds[MAX_SHARDS + 1];
	struct live *live = arg;
	struct pace pace = { 0 };
	uint64_t pokes;
	unsigned int i;
	int n, second;

	WRITE_ONCE(live->monitor_tid, (int)syscall(SYS_gettid));
	monitor_warm_up(live);
	for (i = 0; i < live->nshards; i++)
		fds[i] = (struct pollfd){ live->shards[i].fd, POLLIN, 0 };
	fds[i] = (struct pollfd){ live->monitor_wake, POLLIN, 0 };
	/*
	 * Ordering: (MONITOR-STOPS) pairs with (MONITOR-STOP) in monitor_stop(): what
	 * the handler read, which has ended, it read before this is closed.
	 */
	while (!smp_load_acquire(&live->stop)) {
		second = live->out ? READ_ONCE(live->out->second) : -1;
		if (second >= 0 && fds[0].fd >= 0)
			fds[0].fd = second;
		n = monitor_wait(live, fds, live->nshards + 1, &ts, &pace);
		/* Who was looked at with less patience is looked at again. */
		if (n == 1 && fds[0].revents & POLLIN && ts.tv_sec && live->out)
			home_leave(live, &fds[live->nshards]);
		if (n > 0 && fds[live->nshards].revents & POLLIN &&
		    read(live->monitor_wake, &pokes, sizeof(pokes)) < 0)
			continue;
		if (n > 0 && fds[live->nshards].revents & POLLNVAL)
			fds[live->nshards].fd = -1;
		ts = monitor_once(live, fds, n);
	}
	/* Here: libc drops our stack when we return, and it may be watched. */
	end_watch(live);
	close_shards(live);
}

static void close_all(struct live *live)
{
	close_shards(live);
	if (live->monitor_wake >= 0)
		close(live->monitor_wake);
	if (live->spare >= 0)
		close(live->spare);
	live->monitor_wake = live->spare = -1;
}

int monitor_start(struct live *live, unsigned int descriptors)
{
	int fd = -EPERM, ret;

	live->monitor_wake = live->spare = -1;
	mutex_init(&live->turn);
	if (!live_has(live, UHMM_LIVE_UFFD)) {
		live_why(live, UHMM_LIVE_WHY_UFFD);
		return -EPERM;
	}
	/* First: without it the others are of no use. */
	live->monitor_wake = live_fd_high(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (live_has(live, UHMM_LIVE_EVENT_FORK))
		shard_keep_spare(live);
	if (live->spare < 0)
		live->features &= ~UHMM_LIVE_EVENT_FORK;
	while (live->nshards < descriptors) {
		fd = shard_open(live);
		if (fd < 0)
			break;
		live->shards[live->nshards++].fd = fd;
	}
	if (fd < 0)
		live_why(live, fd == -EMFILE || fd == -ENFILE ?
				       UHMM_LIVE_WHY_DESCRIPTORS :
				       UHMM_LIVE_WHY_UFFD);
	if (!live->nshards || live->monitor_wake < 0) {
		live_why(live, live->nshards ? UHMM_LIVE_WHY_DESCRIPTORS :
					       UHMM_LIVE_WHY_UFFD);
		close_all(live);
		return -EMFILE;
	}
	ret = sync_thread_start(&live->monitor, monitor, live);
	if (ret) {
		live_why(live, UHMM_LIVE_WHY_THREAD);
		close_all(live);
	}
	return ret;
}

void monitor_stop(struct live *live)
{
	if (!READ_ONCE(live->nshards))
		return;
	/*
	 * Ordering: (MONITOR-STOP) pairs with (MONITOR-STOPS) in monitor(): who sees
	 * it sees the handler at its end.
	 */
	smp_store_release(&live->stop, 1);
	if (!poke(live->monitor_wake))
		live_why(live, UHMM_LIVE_WHY_LOST);
	sync_thread_join(&live->monitor);
	close_all(live);
}

void monitor_forget(struct live *live)
{
	if (live->nshards)
		sync_thread_forget(&live->monitor);
	if (live->out)
		home_forget(live);
	close_all(live);
}
