/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The end of a removal. The kernel tells of it before it drops the pages, and
 * not when it has: who asked for it goes on as soon as the event is read. A
 * device that faults the pages in again in between would keep what is about
 * to be dropped.
 *
 *	monitor				victim
 *					madvise: event, sleeps
 *	sees an event
 *	finds who sleeps in madvise
 *	sends him a signal
 *	reads the event			goes on, drops the pages
 *					back in user mode: handler
 *	has the handler's answer
 *	ends the invalidation
 *
 * Since the signal is sent while he sleeps where only a fatal signal wakes him,
 * it can neither come too early nor interrupt another call of his. Who cannot be
 * told so (he blocks the signal, he was not seen asleep, it is a worker of the
 * kernel's) is quarantined: his removal stays open until he is seen elsewhere.
 * Meanwhile events are read on: he may be waiting for that in his next call.
 */
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TICKETS 256U
#define YIELDS 50
#define PATIENCE_NS 2000000	/* before who runs is sent a signal */
#define LOOK_NS 100000		/* before it is looked for otherwise */
#define DIR_BYTES 1024

/* What the handlers answer. */
static unsigned int acks[TICKETS];

static void on_signal(int sig, siginfo_t *info, void *context)
{
	unsigned int ticket = (unsigned int)info->si_value.sival_int;

	(void)sig;
	(void)context;
	if (info->si_code != SI_QUEUE || info->si_pid != getpid())
		return;
	/*
	 * Ordering: (REMOVED) pairs with (REMOVED-SEEN) in is_acked(): the
	 * system call that was under way is over.
	 */
	smp_store_release(&acks[ticket % TICKETS], ticket);
}

static bool is_acked(unsigned int ticket)
{
	/* Ordering: (REMOVED-SEEN) pairs with (REMOVED) in on_signal(): see there. */
	return smp_load_acquire(&acks[ticket % TICKETS]) == ticket;
}

/* A real-time signal that nobody uses, from the top. */
static int free_signal(void)
{
	struct sigaction old;

	for (int sig = SIGRTMAX; sig >= SIGRTMIN; sig--)
		if (!sigaction(sig, NULL, &old) &&
		    (old.sa_handler == SIG_DFL ||
		     old.sa_sigaction == on_signal))
			return sig;
	return -1;
}

int removal_init(struct live *live, int sig)
{
	struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK,
	};

	live->task_dir = live_fd_high(
		open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (live->task_dir < 0)
		return -errno;
	live->signal = sig ? sig : free_signal();
	sigfillset(&action.sa_mask);
	if (live->signal > 0 && sigaction(live->signal, &action, NULL))
		live->signal = -1;
	return 0;
}

/* The handler stays: one that is on its way must not end the process. */
void removal_exit(struct live *live)
{
	if (live->task_dir >= 0)
		close(live->task_dir);
	live->task_dir = -1;
}

/* ------------------------------------------------------------------ threads */

struct dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short length;
	unsigned char type;
	char name[];
};

typedef void (*thread_fn)(struct live *live, int tid, void *arg);

/* Each thread of the process, but for the library's own. */
static void for_each_thread(struct live *live, thread_fn fn, void *arg)
{
	union {
		char bytes[DIR_BYTES];
		struct dirent64 first;
	} dir;
	long n, at;
	int tid;

	if (lseek(live->task_dir, 0, SEEK_SET))
		return;
	while ((n = syscall(SYS_getdents64, live->task_dir, &dir,
			    sizeof(dir))) > 0) {
		for (at = 0; at < n;) {
			struct dirent64 *entry = (void *)(dir.bytes + at);

			at += entry->length;
			tid = atoi(entry->name);
			if (tid > 0 && tid != READ_ONCE(live->monitor_tid) &&
			    tid != live->handler_tid)
				fn(live, tid, arg);
		}
	}
}

enum where { GONE, ELSEWHERE, REMOVING, UNKNOWN };

/* What is @tid doing? */
static enum where thread_where(struct live *live, int tid)
{
	char path[32], text[64];
	ssize_t n;
	long nr;
	int fd;

	snprintf(path, sizeof(path), "%d/syscall", tid);
	fd = openat(live->task_dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? GONE : UNKNOWN;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return errno == ESRCH ? GONE : UNKNOWN;
	text[n] = '\0';
	if (text[0] == 'r')
		return UNKNOWN;
	nr = strtol(text, NULL, 10);
	if (nr == SYS_madvise || nr == SYS_process_madvise)
		return REMOVING;
	/* A worker of io_uring is in no system call when it works. */
	return nr < 0 ? UNKNOWN : ELSEWHERE;
}

/* Returns the ticket; 0: it could not be sent. */
static unsigned int send_ticket(struct live *live, int tid)
{
	siginfo_t info;

	if (live->signal < 0)
		return 0;
	if (!++live->last_ticket)
		live->last_ticket = 1;
	memset(&info, 0, sizeof(info));
	info.si_signo = live->signal;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = (int)live->last_ticket;
	return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, live->signal,
		       &info) ? 0 : live->last_ticket;
}

static void add_victim(struct victims *victims, int tid, unsigned int ticket)
{
	if (victims->n == MAX_VICTIMS) {
		victims->unseen = true;
		return;
	}
	victims->tids[victims->n] = tid;
	victims->tickets[victims->n++] = ticket;
}

static void find_sleeper(struct live *live, int tid, void *arg)
{
	if (thread_where(live, tid) == REMOVING)
		add_victim(arg, tid, send_ticket(live, tid));
}

void removal_find(struct live *live, struct victims *victims)
{
	victims->n = 0;
	victims->unseen = false;
	for_each_thread(live, find_sleeper, victims);
}

static void find_suspect(struct live *live, int tid, void *arg)
{
	enum where where = thread_where(live, tid);

	if (where == REMOVING || where == UNKNOWN)
		add_victim(arg, tid, 0);
}

/* Those who have answered are through. */
static void sift(struct victims *victims)
{
	unsigned int i, n = 0;

	for (i = 0; i < victims->n; i++) {
		if (victims->tickets[i] && is_acked(victims->tickets[i]))
			continue;
		victims->tids[n] = victims->tids[i];
		victims->tickets[n++] = victims->tickets[i];
	}
	victims->n = n;
}

/* And those who are seen elsewhere; of the others some are asked. */
static void look_for(struct live *live, struct victims *victims, bool ask)
{
	unsigned int i, n = 0;
	enum where where;

	for (i = 0; i < victims->n; i++) {
		where = thread_where(live, victims->tids[i]);
		if (where == GONE || where == ELSEWHERE)
			continue;
		if (ask && !victims->tickets[i])
			victims->tickets[i] =
				send_ticket(live, victims->tids[i]);
		victims->tids[n] = victims->tids[i];
		victims->tickets[n++] = victims->tickets[i];
	}
	victims->n = n;
}

/* --------------------------------------------------------------- open removals */

static void removal_over(struct live *live, struct removal *r)
{
	r->used = false;
	live->nremovals--;
	if (r->quarantined)
		live_count(live, quarantined);
	else
		live_count(live, signalled);
	if (r->open) {
		mmu_notifier_invalidate_range_end(&r->range);
		return;
	}
	hand_on(live, r->range.start, r->range.end, MMU_NOTIFY_CLEAR);
	WRITE_ONCE(live->refused_removals, live->refused_removals - 1);
}

/* A free one; where all are in use, the first is over whatever becomes of it. */
static struct removal *removal_get(struct live *live)
{
	struct removal *r = live->removals;

	while (r < live->removals + MAX_REMOVALS && r->used)
		r++;
	if (r == live->removals + MAX_REMOVALS) {
		r = live->removals;
		live_count(live, ends_lost);
		live_why(live, UHMM_LIVE_WHY_REMOVE);
		removal_over(live, r);
	}
	r->used = true;
	live->nremovals++;
	return r;
}

void removal_add(struct live *live, unsigned long start, unsigned long end,
		 const struct victims *victims)
{
	struct removal *r = removal_get(live);

	mmu_notifier_range_init(&r->range, MMU_NOTIFY_CLEAR, 0, live->mm,
				start, end);
	r->open = !mmu_notifier_invalidate_range_start_nonblock(&r->range);
	if (!r->open)
		WRITE_ONCE(live->refused_removals, live->refused_removals + 1);
	r->victims = *victims;
	r->since = ktime_get_ns();
	r->quarantined = false;
	if (!victims->unseen && victims->n)
		return;
	/* Too late to see him asleep: whoever is not seen elsewhere. */
	r->victims.n = 0;
	r->victims.unseen = false;
	for_each_thread(live, find_suspect, &r->victims);
	if (r->victims.unseen)
		live_why(live, UHMM_LIVE_WHY_REMOVE);
}

/* True: it is over, or is given up. */
static bool removal_ended(struct live *live, struct removal *r)
{
	int64_t waited = ktime_get_ns() - r->since;

	sift(&r->victims);
	if (r->victims.n && waited > LOOK_NS) {
		r->quarantined = true;
		look_for(live, &r->victims, waited > PATIENCE_NS);
	}
	if (!r->victims.n || BROKEN(live_broken, BROKEN_REMOVE_END))
		return true;
	if (waited < live->remove_limit_ns)
		return false;
	live_count(live, ends_lost);
	live_why(live, UHMM_LIVE_WHY_REMOVE);
	return true;
}

void removal_look(struct live *live)
{
	struct removal *r;

	for (r = live->removals; r < live->removals + MAX_REMOVALS; r++)
		if (r->used && removal_ended(live, r))
			removal_over(live, r);
}

/*
 * Who was signalled answers soon if he has a processor. Where yields take long he has
 * none, or he sleeps until another event is read: what has come is read first.
 */
void removal_wait(struct live *live)
{
	int64_t until = ktime_get_ns() + LOOK_NS;

	for (int i = 0; i < YIELDS && live->nremovals; i++) {
		sync_yield();
		removal_look(live);
		if (ktime_get_ns() > until &&
		    !BROKEN(live_broken, BROKEN_YIELDS))
			break;
	}
}
