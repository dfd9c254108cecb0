/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The scheme of Linux (v5.5 on, Documentation/mm/hmm.rst): one lock, one
 * sequence and one wait queue for an address space, a red-black interval
 * tree, and a list of deferred changes to it. The baseline to beat, written
 * anew from its semantics, with its holes.
 *
 * Idea: the sequence is odd from the first invalidation that hits anything
 * until none at all is active. All that happens in this window is one
 * collision: who is hit gets the sequence's value, who would read waits for
 * the window to close, and the tree stands still, so it is walked without
 * the lock.
 *
 * State, all under the lock:
 *
 *	active	seq	tree	means
 *	0	even	free	nothing is being invalidated
 *	> 0	even	free	only ranges that nobody subscribed to
 *	> 0	odd	frozen	a window: changes of the tree are deferred
 *
 * What it fails: see docs/designs.md. In words: reads, removes and inserts
 * wait for invalidations of ranges that are not theirs, and for ever if these
 * overlap one another; a list notifier that refuses leaves an invalidation
 * open for good (A in classic_invalidate_range_start_nonblock()); RELEASE is
 * not the last event and misses the last byte; empty ranges are accepted and
 * hit who has a byte on both sides.
 *
 * Two things differ from Linux, neither can be seen in a benchmark: the tree
 * is watched from creation on (there: from the first insert on), and
 * registering a list notifier waits until nothing is being invalidated (there:
 * for all locks under which that is done).
 */
#ifndef DESIGNS_CLASSIC_H
#define DESIGNS_CLASSIC_H

#include <uhmm/mmu_notifier.h>

#include "designs/rbtree.h"
#include "sync/sync.h"

struct classic_mm;
struct classic_interval_notifier;
struct classic_notifier;

/* Fields as in struct mmu_notifier_range. */
struct classic_range {
	struct classic_mm *mm;
	unsigned long start;
	unsigned long end;
	unsigned int flags;
	enum mmu_notifier_event event;
	void *owner;
};

/* What a first pass leaves to a second. */
struct classic_finish {
	struct classic_finish *next;
	struct classic_interval_notifier *sub;
};

/* Either @invalidate, or @invalidate_start with @invalidate_finish. */
struct classic_interval_ops {
	bool (*invalidate)(struct classic_interval_notifier *sub,
			   const struct classic_range *range,
			   unsigned long cur_seq);
	bool (*invalidate_start)(struct classic_interval_notifier *sub,
				 const struct classic_range *range,
				 unsigned long cur_seq,
				 struct classic_finish **finish);
	void (*invalidate_finish)(struct classic_finish *finish);
};

struct classic_interval_notifier {
	struct rbnode node;
	const struct classic_interval_ops *ops;
	struct classic_mm *mm;
	struct classic_interval_notifier *next_deferred;
	struct classic_interval_notifier **link_deferred;
	unsigned long seq;
};

struct classic_ops {
	void (*release)(struct classic_notifier *sub, struct classic_mm *mm);
	int (*invalidate_range_start)(struct classic_notifier *sub,
				      const struct classic_range *range);
	void (*invalidate_range_end)(struct classic_notifier *sub,
				     const struct classic_range *range);
};

struct classic_notifier {
	struct classic_notifier *next;
	const struct classic_ops *ops;
	bool listed;		/* on the list */
	bool released;		/* ops->release has been or is being called */
};

#define CLASSIC_ASLEEP 1U	/* in @wake: somebody sleeps on it, or is about to */

/* The first line is all that an invalidation without a hit touches. */
struct classic_mm {
	unsigned int lock;
	unsigned int wake;	/* what waiters sleep on, see CLASSIC_ASLEEP */
	unsigned long seq;
	unsigned long active;	/* starts without an end */
	struct rbtree tree;
	struct classic_notifier *list;	/* read without the lock */
	struct classic_interval_notifier *deferred;
	unsigned int leaked;	/* of @active: those that no end will come for */

	int users __cacheline_aligned;
	int count;
	unsigned int warnings;	/* broken contracts, see classic.c */
};

/* --------------------------------------------------- the address space */
int classic_mm_create(struct classic_mm **ret_mm);
/* What the last mmput() does: RELEASE, then the list's release. */
void classic_mm_release(struct classic_mm *mm);
/* Gives the creator's reference back; the last one frees. */
void classic_mm_drop(struct classic_mm *mm);

/* ------------------------------------------------- the changing side */
static inline void classic_range_init(struct classic_range *range,
				      enum mmu_notifier_event event,
				      unsigned int flags, struct classic_mm *mm,
				      unsigned long start, unsigned long end)
{
	range->mm = mm;
	range->start = start;
	range->end = end;
	range->flags = flags;
	range->event = event;
	range->owner = NULL;
}

void classic_invalidate_range_start(struct classic_range *range);
/* 0, or -EAGAIN: then the end must not be called. */
int classic_invalidate_range_start_nonblock(struct classic_range *range);
void classic_invalidate_range_end(struct classic_range *range);

/* -------------------------------------------------- interval notifiers */
/* 0, -EOVERFLOW: empty or wraps, -EINVAL: the address space has ended. */
int classic_interval_notifier_insert(struct classic_interval_notifier *sub,
				     struct classic_mm *mm,
				     unsigned long start, unsigned long length,
				     const struct classic_interval_ops *ops);
void classic_interval_notifier_remove(struct classic_interval_notifier *sub);
unsigned long classic_interval_read_begin(struct classic_interval_notifier *sub);

static inline bool
classic_interval_read_retry(struct classic_interval_notifier *sub,
			    unsigned long seq)
{
	return READ_ONCE(sub->seq) != seq;
}

static inline bool
classic_interval_check_retry(struct classic_interval_notifier *sub,
			     unsigned long seq)
{
	return READ_ONCE(sub->seq) != seq;
}

static inline void
classic_interval_set_seq(struct classic_interval_notifier *sub,
			 unsigned long cur_seq)
{
	WRITE_ONCE(sub->seq, cur_seq);
}

/* ------------------------------------------------------ list notifiers */
/* 0, -EINVAL: the address space has ended. */
int classic_notifier_register(struct classic_notifier *sub,
			      struct classic_mm *mm);
void classic_notifier_unregister(struct classic_notifier *sub,
				 struct classic_mm *mm);

#endif
