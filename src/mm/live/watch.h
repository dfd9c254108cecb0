/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Between those who take pieces under watch, the monitor that is told of them,
 * and the brackets that make telling needless.
 */
#ifndef LIVE_WATCH_H
#define LIVE_WATCH_H

#include "live.h"

#include <poll.h>
#include <unistd.h>

/*
 * An area has one descriptor, or it would be two to the kernel: the one that the
 * piece of this size has in which it starts, so that changes far away do not hold
 * reads up. Which ones have watched anything in a piece is noted for it, and those
 * are asked.
 */
#define SHARD_BYTES (256UL << 20)

/* Whoever waits for this eventfd goes on. False: there is none. */
static inline bool poke(int fd)
{
	const uint64_t one = 1;

	return write(fd, &one, sizeof(one)) == sizeof(one);
}

/* watch.c */
int watch_init(struct live *live);
void watch_destroy(struct live *live);
/*
 * Take [start, end) of @area under watch. 0; -EAGAIN: it changed meanwhile, and
 * that is told of; -ESTALE: it is not the area any more, so ask for that again;
 * -EOPNOTSUPP, -EBUSY, -ENOSPC as uhmm_live_watch(). May sleep.
 */
int watch(struct live *live, const struct live_area *area, unsigned long start,
	  unsigned long end);
/* The descriptors that may know of a change there, as bits. Takes no lock. */
unsigned int watch_owners(const struct live *live, unsigned long start,
			  unsigned long last);
/* Note that it is watched no more. True: some of it was. Takes no lock. */
bool watch_clear(struct leaf **leaves, unsigned long start, unsigned long end);
/* Is [start, end) one area, and registered? May sleep for the monitor. */
bool watch_is_registered(struct live *live, struct shard *shard,
			 unsigned long start, unsigned long end);
/* Have the kernel tell no more of it, and note that. Takes no lock. */
void watch_end(struct live *live, unsigned long start, unsigned long end);
/* The same of all there is. */
void watch_end_all(struct live *live);
/* The descriptor that alone would be asked to; -1: that is not so simple. */
int watch_only(struct live *live, unsigned long start, unsigned long end);

/* shard.c */
struct uffd_msg;
/* A new one, or -errno. */
int shard_open(struct live *live);
/*
 * As read(). Of a fork the kernel tells with a descriptor, and who forks sleeps until
 * then. Where the program has all that it may have, the spare one makes room; where
 * another thread is faster to take that, the limit is raised for it.
 */
ssize_t shard_read(struct live *live, struct shard *shard,
		   struct uffd_msg *messages, size_t most);
/* There is a spare one, if there can be; else forks are told of by libc alone. In a turn. */
void shard_keep_spare(struct live *live);

/* monitor.c
 * A turn is that of who reads events and passes them on. He calls nobody who may
 * wait, as others wait for him.
 */
int monitor_start(struct live *live, unsigned int descriptors);
void monitor_stop(struct live *live);
/* Has the program closed a descriptor? Then the guarantee falls. */
void monitor_look_lost(struct live *live);
/* In a forked child, where it does not run. */
void monitor_forget(struct live *live);
/*
 * Another thread that may wait for events: a turn, with the only descriptor. Before
 * its first one it warms up.
 */
void monitor_turn(struct live *live);
void monitor_warm_up(struct live *live);
/* Who refused is to be asked again. In a turn. */
void hand_on(struct live *live, unsigned long start, unsigned long end,
	     enum mmu_notifier_event event);
/* Until @generation is over, or for a while. */
void monitor_sleep(struct live *live, unsigned int generation);
/* Until nothing is on its way, or the time is over. */
void monitor_settle(struct live *live, int64_t timeout_ns);
/* Until what has been read by now is passed on, or the time is over. */
void monitor_passed_on(struct live *live, int64_t timeout_ns);
/* Has the only descriptor an event that is not read? */
bool monitor_unread(struct live *live);
/* &uhmm_mm_ops.pending */
bool live_pending(struct mm_struct *mm, unsigned long start,
		  unsigned long last, bool wait);

/* monitor_wait.c */
/**
 * struct pace - how often the monitor is told
 * @told: when it was, ktime_get_ns()
 * @awake: and not long before that, too, so that it waits awake
 */
struct pace {
	int64_t told;
	bool awake;
};

/* As ppoll(). */
int monitor_wait(struct live *live, struct pollfd *fds, nfds_t n,
		 const struct timespec *patience, struct pace *pace);

/* removal.c */
#define MAX_VICTIMS 64

/**
 * struct victims - threads that are dropping pages
 * @n: how many
 * @unseen: there may be more, that could not be looked at
 * @tids: which
 * @tickets: what the answer of each will be; 0: he was sent no signal
 */
struct victims {
	unsigned int n;
	bool unseen;
	int tids[MAX_VICTIMS];
	unsigned int tickets[MAX_VICTIMS];
};

/**
 * struct removal - pages that are being dropped
 * @used: this one is in use
 * @open: @range has been started; else it was refused, and is to be handed on
 * @quarantined: its end had to be looked for
 * @since: when the event was read
 * @range: what is dropped
 * @victims: who may be at it still
 */
struct removal {
	bool used;
	bool open;
	bool quarantined;
	int64_t since;
	struct mmu_notifier_range range;
	struct victims victims;
};

int removal_init(struct live *live, int signal);
void removal_exit(struct live *live);
/*
 * Before the events are read: who sleeps in a madvise? They are sent a signal,
 * whose handler can only run when that is over.
 */
void removal_find(struct live *live, struct victims *victims);
/* The event is read: open a removal by @victims. */
void removal_add(struct live *live, unsigned long start, unsigned long end,
		 const struct victims *victims);
/* End those that are over. */
void removal_look(struct live *live);
/* The same, with some patience. */
void removal_wait(struct live *live);

#endif
