/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages that are not in their place, because a device has them.
 *
 * A page that goes is taken out of the page tables of the process and kept
 * elsewhere: on its way in the pool, which is memory of the library's own, then
 * in the device's memory. Its place is registered for missing pages, so that
 * whoever touches it waits until it has come home.
 *
 * A table has an entry for each such place, under a lock under which also
 * pages are moved and events are read. What the kernel tells of is thereby
 * noted before another page moves, and before that it refuses to move any:
 * moves find EAGAIN while an event waits to be read. So a page never comes to
 * where its place was. The lock is a leaf: under it no callback is called, no
 * memory of the program's is touched, and nothing is done that an event is
 * sent for, whose reader would have to wait.
 */
#ifndef LIVE_OUT_H
#define LIVE_OUT_H

#include "live.h"

#include <poll.h>

#include <linux/userfaultfd.h>

/**
 * enum out_state - what an entry says
 * @OUT_NONE: the page is in its place, or was never made
 * @OUT_MOVING: in the hands of a migration; its frame as collected
 * @OUT_DEVICE: in private memory of a device; the frame
 * @OUT_TAKEN: exclusive, and nobody may have it back yet; the frame, in the
 *	pool or, if it was OUT_COHERENT, the device's
 * @OUT_EXCLUSIVE: exclusive until touched; as that
 * @OUT_PINNED: in its place, to stay there; how many say so
 * @OUT_GONE: has lost its place; the device's frame, to be given back
 * @OUT_COHERENT: in its place, and of a device's coherent memory; the frame
 * @OUT_HOLDS: of a page of the pool, or of device memory that stands for one:
 *	the number of the page that is to hold it; 0: that is gone, or none
 */
enum out_state {
	OUT_NONE = 0,
	OUT_MOVING,
	OUT_DEVICE,
	OUT_TAKEN,
	OUT_EXCLUSIVE,
	OUT_PINNED,
	OUT_GONE,
	OUT_COHERENT,
	OUT_HOLDS
};

#define OUT_STATE 15UL
#define OUT_WRITE 16UL
#define OUT_WAITED 32UL	/* somebody is to be woken when it ends */
#define OUT_SHIFT 6

static inline unsigned long out_entry(enum out_state state, unsigned long what,
				      unsigned long write)
{
	return what << OUT_SHIFT | write | (unsigned long)state;
}

static inline enum out_state out_state(unsigned long entry)
{
	return (enum out_state)(entry & OUT_STATE);
}

static inline unsigned long out_what(unsigned long entry)
{
	return entry >> OUT_SHIFT;
}

#define POOL_PAGES 4096UL
#define POOL_WORDS (POOL_PAGES / 64)
#define FAULT_QUEUE 256U
#define OUT_RECENT 16U

struct out_leaf;

/**
 * struct out - what a live address space knows of pages that are away
 * @lock: for all of it but what is said to be the monitor's
 * @tops: the table
 * @recent: of its leaves those that were looked at last
 * @changes: counts what others wait for; slept on
 * @sleepers: how many do
 * @forking: nothing goes out
 * @off: nothing does any more, as nobody would bring it home
 * @pool: POOL_PAGES pages
 * @used: which of them are
 * @dirty: which have to be emptied before they are used
 * @carried: to which it was read that pages were carried
 * @ndirty: how many
 * @next: where to look first for free ones
 * @clear: where nothing is that has to stay
 * @device: where pages went last
 * @gone: entries are OUT_GONE
 * @queue: addresses that were touched, for the handler
 * @head: how many were queued
 * @tail: how many were taken
 * @sleeping: the handler waits, and looks at the queue when @wake says so
 * @driving: the handler may be with a driver
 * @stop: the handler is to end
 * @handler: the thread that brings pages home
 * @handled: it runs
 * @first: what it waits by, which the kernel wakes first
 * @second: what the monitor waits by then; or -1, as the others
 * @wake: an eventfd
 */
struct out {
	spinlock_t lock;
	struct out_leaf ***tops;
	struct out_leaf *recent[OUT_RECENT];
	unsigned int changes;
	unsigned int sleepers;
	bool forking;
	bool off;
	bool gone;
	char *pool;
	unsigned long used[POOL_WORDS];
	unsigned long dirty[POOL_WORDS];
	unsigned long carried[POOL_WORDS];
	unsigned long ndirty;
	unsigned long next;
	struct sync_clear clear;
	struct device_memory device;
	unsigned long queue[FAULT_QUEUE];
	unsigned int head;
	unsigned int tail;
	unsigned int sleeping;
	unsigned int driving;
	unsigned int stop;
	struct sync_thread handler;
	bool handled;
	int first;
	int second;
	int wake;
};

/* ---------------------------------------------------------------- the table
 * out.c; under the lock.
 */
struct out *out_make(void);
void out_free(struct out *out);
/* Have room for entries of [start, end). False: no memory. */
bool out_prepare(struct out *out, unsigned long start, unsigned long end);
/* Also without the lock, by who knows that it stays what it is. */
unsigned long out_get(struct out *out, unsigned long addr);
/* After out_prepare(), or where there was an entry. */
void out_set(struct out *out, unsigned long addr, unsigned long entry);
/*
 * The same for @n pages, of which each has one more than the one before, or, of
 * entry 0, none. @all: each of them had an entry, unless none had. Returns all bits
 * that were set in what was there.
 */
unsigned long out_set_run(struct out *out, unsigned long addr, unsigned long n,
			  unsigned long entry, bool all);
/* How many of @n pages have such entries, beginning with the one at @addr. */
unsigned long out_run(struct out *out, unsigned long addr, unsigned long n);
/* The first address from @addr on that has an entry; @end: none. */
unsigned long out_next(struct out *out, unsigned long addr, unsigned long end);
/* Which pages are registered for missing ones. */
bool out_all_missing(struct out *out, unsigned long start, unsigned long end);
bool out_any_missing(struct out *out, unsigned long start, unsigned long end);
void out_set_missing(struct out *out, unsigned long start, unsigned long end,
		     bool missing);
/* Those around the page @addr, no further than 2 MiB. False: it is not. */
bool out_missing_around(struct out *out, unsigned long addr,
			unsigned long *ret_start, unsigned long *ret_end);
/* Somebody may have waited for what is different now. */
void out_changed(struct out *out);
/* Without the lock: until something has changed since @seen. */
void out_wait(struct out *out, unsigned int seen);

/* --------------------------------------------------------------- the events
 * out_events.c
 */
/* Under the lock, as soon as it is read. */
void out_event(struct live *live, const struct uffd_msg *m);
/* Without the lock: give back what has gone. */
void out_give_back(struct live *live);
/*
 * Register [start, end) so that changes are told of; without the lock. Places
 * of pages that are away stay registered for missing ones. 0; -errno; -ESTALE:
 * not all of it is.
 */
int out_register(struct live *live, unsigned long start, unsigned long end);
/* Is the kernel's own word needed for what happens here? Then let it tell. */
bool out_needs_events(struct live *live, unsigned long start,
		      unsigned long end);

/* ---------------------------------------------------------------- the moves
 * move.c; under the lock, which some give back for a while.
 */
int pool_init(struct live *live);
/* Up to *@n pages in a row; 0: none. */
unsigned long pool_get(struct live *live, unsigned long *n);
void pool_put(struct live *live, unsigned long addr);
bool pool_has(const struct out *out, unsigned long addr);
/* Of @n pages at @addr: the kernel has said that ours went there, or not yet. */
void pool_note_carried(struct out *out, unsigned long addr, unsigned long n,
		       bool carried);
bool pool_was_carried(const struct out *out, unsigned long addr);
/* It has been moved out of: it need not be emptied. */
void pool_clean(struct out *out, unsigned long addr);
/*
 * Move up to @length bytes, as they are, from registered memory or to it.
 * Returns how many were, or an error: -EAGAIN, -EBUSY, -ENOENT a hole, -EINVAL.
 */
long move_pages(struct live *live, unsigned long to, unsigned long from,
		unsigned long length);
/*
 * The bytes at @from become the page at @addr. 0; -EAGAIN: an event is to be
 * read first; -EEXIST, -ENOENT: there is no place for it.
 */
int move_home(struct live *live, unsigned long addr, unsigned long from);
/* There is a page of zeroes at @addr. As move_home(). */
int move_zeroes(struct live *live, unsigned long addr);
void move_wake(struct live *live, unsigned long start, unsigned long end);
/* Register for missing pages. 0; -EAGAIN: an event is to be read first. */
int move_register(struct live *live, unsigned long start, unsigned long end);
/* Memory of a device, that pages can be moved to. */
int move_register_device(struct live *live, unsigned long start,
			 unsigned long end);
/* Let the monitor read what it has to; without the lock. */
void move_settle(struct live *live);

/* ----------------------------------------------------------------- entries
 * away.c; under the lock.
 */
/* Where the page is to be that is held by this frame; 0: nowhere any more. */
unsigned long away_place(struct out *out, unsigned long pfn);
/*
 * The page at @addr is in a device's memory, or the device's page is there. 1; 0:
 * it is not; -EAGAIN: an event has to be read first.
 */
int away_to_device(struct live *live, unsigned long addr, unsigned long pfn,
		   unsigned long write);
/* It is at @from, and comes home; 0; -EAGAIN: an event has to be read first. */
int away_home(struct live *live, unsigned long addr, unsigned long from);
/* Whether the process has a page there. */
bool away_present(struct live *live, unsigned long addr);

/* -------------------------------------------------------- coherent memory
 * coherent.c; the first two under the lock, which the first may give back for a
 * while.
 */
/*
 * The page at @addr, which is @pfn and of which the caller has a reference, is
 * moved to its device's memory, and its entry is OUT_MOVING. 0; or it stays:
 * -EBUSY, -EAGAIN, -ENOMEM.
 */
int coherent_take(struct live *live, unsigned long addr, unsigned long pfn);
/*
 * The other way: its entry, which has a reference, is OUT_COHERENT. 0; -EAGAIN:
 * an event has to be read first; -ENOENT: there is no place, and no entry.
 */
int coherent_put(struct live *live, unsigned long addr, unsigned long pfn,
		 unsigned long write);
/*
 * Without the lock: all pages are the process's own from now on. When nobody is
 * told any more; and with telling them.
 */
void coherent_end(struct live *live);
void coherent_home(struct live *live);

/* ----------------------------------------------------------------- touches
 * home.c
 */
int home_start(struct live *live);
void home_stop(struct live *live);
/* When the monitor does not run either. */
void home_close(struct live *live);
/* In a forked child, where the handler does not run. */
void home_forget(struct live *live);
/*
 * The monitor was woken by an event. Where the handler is on its way to read it, it
 * sleeps on for a while, or until it is woken by @wake, and looks behind that: the
 * handler may not have come to it, for a driver, and nobody wakes it once more.
 */
void home_leave(struct live *live, struct pollfd *wake);
/* It was read that @addr was touched. */
void home_fault(struct live *live, unsigned long addr);
/*
 * What a touch of @addr has to wait for is done, or was found to be under way:
 * then, with HOME_WAIT, that is waited for. 0; -EFAULT: the page is lost;
 * -ENOMEM; -EAGAIN: under way; -ENXIO: it is not ours to say what is there.
 */
#define HOME_WAIT (1U << 0)
#define HOME_LOCKED (1U << 1)		/* mmap_lock is held */
int home_touch(struct live *live, unsigned long addr, unsigned int how);
/* Give the page at @addr back to the CPUs, if it is exclusive; no lock held. */
void exclusive_revoke(struct live *live, unsigned long addr);
/* This thread is in a driver, which is to bring a page home. */
extern __thread bool home_calls;
/* All of them, and none goes out until home_fork_end(). */
void home_fork(struct live *live);
void home_fork_end(struct live *live);
/* All of them. */
void home_all(struct live *live);

#endif
