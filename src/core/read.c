/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The read side, where it does not end after two loads.
 *
 * &mmu_interval_notifier.verified is odd, and then the number of the last
 * invalidation whose predecessors are all known to be over; or it is even,
 * and then says who has the subscription reserved (see reserve.c) and whether
 * it was ever verified: before that an open invalidation may not know of it.
 */
#include "internal.h"

#include <errno.h>

#include "check.h"
#include "find.h"
#include "reserve.h"
#include UHMM_PROBES_H

/* What a read waits for in one slot. */
struct reading {
	const struct mmu_interval_notifier *sub;
	unsigned long id;
	bool known;		/* to every invalidation that is open */
};

/* The invalidation stands still for reservations, and will call us later. */
static bool not_called_yet(const struct slot *slot, unsigned long word,
			   const struct reading *r)
{
	const struct uhmm_interval_node *key = &r->sub->interval_tree;
	unsigned long start, order;
	unsigned int stalls;

	if (!r->known || !(word & SLOT_STALLED))
		return false;
	/*
	 * If we were called, READ-FENCE shows us that the standstill before that
	 * is over, and the word of a later one comes with its cursor.
	 */
	stalls = READ_ONCE(slot->stalls);
	start = READ_ONCE(slot->cursor);
	order = READ_ONCE(slot->cursor_order);
	/*
	 * Ordering: (STALL-RECHECK) pairs with (STALL-OVER) in unstall(): a
	 * cursor of later is not taken for it.
	 */
	smp_rmb();
	if (!(stalls & 1) || READ_ONCE(slot->stalls) != stalls)
		return false;
	return start < key->start ||
	       (start == key->start && order <= node_order(key));
}

static bool reading_over(const struct slot *slot, unsigned long word,
			 const void *arg)
{
	const struct reading *r = arg;

	return SLOT_ID(word) != r->id || not_called_yet(slot, word, r);
}

static void count_wait(struct mm_struct *mm, int64_t ns)
{
	struct counters *counters = slot_counters(mm);

	if (!counters)
		return;
	WRITE_ONCE(counters->waits, counters->waits + 1);
	if ((unsigned long)ns > counters->wait_longest_ns)
		WRITE_ONCE(counters->wait_longest_ns, (unsigned long)ns);
}

static int wait_for_open(struct mmu_interval_notifier *sub, bool known,
			 struct patience patience)
{
	struct reading reading = { .sub = sub, .known = known };
	struct mm_struct *mm = sub->mm;
	struct thread_block *block;
	int64_t since = 0;
	unsigned long word;
	struct slot *slot;
	int ret = 0;

	for_each_slot(slot, block, mm) {
		word = slot_covers(slot, sub->interval_tree.start,
				   sub->interval_tree.last);
		reading.id = SLOT_ID(word);
		if (!word || not_called_yet(slot, word, &reading))
			continue;
		if (!since) {
			since = ktime_get_ns();
			UHMM_PROBE2(wait, sub, reading.id);
		}
		ret = slot_wait(slot, reading_over, &reading, patience);
		if (ret)
			goto out_count;
	}
out_count:
	if (since)
		count_wait(mm, ktime_get_ns() - since);
	return ret;
}

/*
 * May a change be on its way that no invalidation was announced for? Asked
 * before the sequence is looked at: what was passed on meanwhile is in there.
 */
static bool change_pending(const struct mmu_interval_notifier *sub, bool wait)
{
	struct mm_struct *mm = sub->mm;

	return mm->ops->pending(mm, sub->interval_tree.start,
				sub->interval_tree.last, wait);
}

/* Until none is. 0; -ETIMEDOUT. */
static int wait_for_pending(struct mmu_interval_notifier *sub,
			    struct patience patience, unsigned long *seq)
{
	bool was = false, over = false;

	for (;; was = true) {
		if (patience.deadline >= 0)
			over = ktime_get_ns() >= patience.deadline;
		if (!change_pending(sub, !over))
			break;
		if (over)
			return -ETIMEDOUT;
	}
	if (was)
		*seq = READ_ONCE(sub->invalidate_seq);
	return 0;
}

/* No invalidation older than @seq is open, as far as @sub is concerned. */
static void verify(struct mmu_interval_notifier *sub, unsigned long verified,
		   unsigned long seq)
{
	/* Where reads are checked, or have to ask, none goes on at once. */
	bool even = VERIFIED_RESERVERS(verified) || mm_checked(sub->mm) ||
		    sub->mm->ops->pending;
	unsigned long new = even ? verified | VERIFIED_KNOWN : seq;

	/*
	 * Ordering: (VERIFY) pairs with (READ-VERIFIED) in
	 * mmu_interval_read_begin() and (READ-VERIFIED-TIMED) in
	 * uhmm_interval_read_begin_timeout(): who finds it equal has waited with us.
	 * Where somebody was faster, he has done it or has it reserved.
	 */
	if (new != verified)
		try_cmpxchg(&sub->verified, &verified, new);
}

static int read_begin_wait(struct mmu_interval_notifier *sub,
			   struct patience patience, unsigned long *seq)
{
	unsigned long verified = READ_ONCE(sub->verified);
	bool asks = sub->mm->ops->pending;
	int ret = asks ? wait_for_pending(sub, patience, seq) : 0;

	if (ret)
		return ret;
	/*
	 * Ordering: (READ-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce() and (STALL-OVER) in unstall(): a start that did not
	 * find the subscription, new as it was, is seen in its slot, by
	 * whichever thread reads it first; so is one whose number we have read.
	 */
	smp_mb();
	ret = wait_for_open(sub, verified_known(verified), patience);
	if (ret)
		return ret;
	verify(sub, verified, *seq);
	if (reserve_colliding(sub) || asks)
		*seq |= SEQ_SLOW;
	return 0;
}

unsigned long uhmm_interval_read_begin_slow(struct mmu_interval_notifier *interval_sub,
					    unsigned long seq)
{
	bool checked = mm_checked(interval_sub->mm);

	if (checked && !check_read_begin(interval_sub, true, CHECK_FROM))
		return CHECK_SEQ_NONE;
	check_might_sleep("mmu_interval_read_begin", CHECK_FROM);
	read_begin_wait(interval_sub, PATIENCE_ENDLESS, &seq);
	return checked ? check_reading(interval_sub, seq, CHECK_FROM) : seq;
}

unsigned long interval_read_first(struct mmu_interval_notifier *sub)
{
	unsigned long seq = READ_ONCE(sub->invalidate_seq);
	const struct mm_struct *mm = sub->mm;

	if (mm_checked(mm) || mm->ops->pending)
		return mmu_interval_read_begin(sub);
	check_might_sleep("mmu_interval_read_begin", CHECK_FROM);
	/*
	 * Ordering: (FIRST-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce(): as (READ-FENCE).
	 */
	smp_mb();
	return anything_open(mm) ? mmu_interval_read_begin(sub) : seq;
}

int uhmm_interval_read_begin_timeout(struct mmu_interval_notifier *interval_sub,
				     int64_t timeout_ns,
				     unsigned long *ret_seq)
{
	unsigned long seq;
	bool checked;
	int ret;

	if (!interval_sub || !ret_seq)
		return -EINVAL;
	checked = mm_checked(interval_sub->mm);
	seq = READ_ONCE(interval_sub->invalidate_seq);
	if (checked &&
	    !check_read_begin(interval_sub, timeout_ns < 0, CHECK_FROM))
		return -EDEADLK;
	check_might_sleep("uhmm_interval_read_begin_timeout", CHECK_FROM);
	/* Ordering: (READ-VERIFIED-TIMED) pairs with (VERIFY) in verify(): likewise. */
	if (smp_load_acquire(&interval_sub->verified) != seq) {
		ret = read_begin_wait(interval_sub, patience(timeout_ns), &seq);
		if (ret)
			return ret;
	}
	if (checked)
		seq = check_reading(interval_sub, seq, CHECK_FROM);
	*ret_seq = seq;
	return 0;
}

static void count_retry(struct mmu_interval_notifier *sub)
{
	struct counters *counters = slot_counters(sub->mm);

	if (counters)
		WRITE_ONCE(counters->retries, counters->retries + 1);
	UHMM_PROBE1(retry, sub);
}

bool uhmm_interval_read_retry_slow(struct mmu_interval_notifier *interval_sub,
				   unsigned long seq)
{
	bool collided = false;

	if (mm_checked(interval_sub->mm) &&
	    !check_read_retry(interval_sub, &seq, CHECK_FROM))
		return true;
	if (interval_sub->mm->ops->pending)
		collided = change_pending(interval_sub, false);
	collided |= READ_ONCE(interval_sub->invalidate_seq) !=
		    (seq & ~SEQ_SLOW);
	if (collided)
		count_retry(interval_sub);
	reserve_result(interval_sub, collided);
	return collided;
}

bool uhmm_interval_check_retry_slow(struct mmu_interval_notifier *interval_sub,
				    unsigned long seq)
{
	if (mm_checked(interval_sub->mm) &&
	    !check_check_retry(interval_sub, &seq, CHECK_FROM))
		return true;
	return READ_ONCE(interval_sub->invalidate_seq) != (seq & ~SEQ_SLOW);
}
