/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Subscriptions to an interval: insert and remove, both at once, whatever is
 * being invalidated. O1 in mmu_notifier.c is what they rely on.
 */
#include "internal.h"

#include <errno.h>

#include "check.h"
#include "../lib/index_write.h"
#include "find.h"
#include "reserve.h"

/* ------------------------------------------------------------------- insert */

static int check_ops(const struct mmu_interval_notifier_ops *ops)
{
	int ways;

	if (!ops)
		return -EINVAL;
	ways = !!ops->invalidate + !!ops->invalidate_start +
	       !!ops->uhmm_invalidate_batch;
	if (ways != 1 || !ops->invalidate_start != !ops->invalidate_finish)
		return -EINVAL;
	return 0;
}

static inline bool is_in_use(const struct mmu_interval_notifier *sub)
{
	return unlikely(sub->removing) && mm_has_sub(sub);
}

/* What is in the subscription before it is in the index. */
static inline void sub_fill(struct mmu_interval_notifier *sub,
			    struct mm_struct *mm, unsigned long start,
			    unsigned long last,
			    const struct mmu_interval_notifier_ops *ops)
{
	WRITE_ONCE(sub->verified, VERIFIED_NEW);
	sub->interval_tree.start = start;
	sub->interval_tree.last = last;
	sub->ops = ops;
	sub->mm = mm;
	sub->removing = SUB_INSERTED;
}

/* @order: the next of the index. */
static inline void sub_born(struct mmu_interval_notifier *sub,
			    unsigned long order)
{
	WRITE_ONCE(sub->invalidate_seq, SEQ_BORN(order));
}

/* Into the index, wherever it belongs. */
static __attribute__((noinline)) int
sub_enter(struct mmu_interval_notifier *sub, struct mm_struct *mm, bool alone)
	__releases(&mm->index.lock)
{
	int ret;

	sub_born(sub, mm->index.next_order);
	ret = alone ? index_insert_alone(&mm->index, &sub->interval_tree) :
		      index_insert(&mm->index, &sub->interval_tree);
	if (unlikely(ret))
		*sub = (struct mmu_interval_notifier){ 0 };
	else if (unlikely(mm->index.count == 1))
		mmgrab(mm);
	spin_unlock(&mm->index.lock);
	return ret;
}

static __attribute__((noinline)) int
sub_lock_enter(struct mmu_interval_notifier *sub, struct mm_struct *mm,
	       bool alone)
{
	spin_lock(&mm->index.lock);
	return sub_enter(sub, mm, alone);
}

static inline int sub_link(struct mmu_interval_notifier *sub,
			   struct mm_struct *mm, unsigned long start,
			   unsigned long last,
			   const struct mmu_interval_notifier_ops *ops,
			   bool alone)
{
	sub_fill(sub, mm, start, last, ops);
	return sub_lock_enter(sub, mm, alone);
}

static __attribute__((noinline)) int
sub_link_checked(struct mmu_interval_notifier *sub, struct mm_struct *mm,
		 unsigned long start, unsigned long last,
		 const struct mmu_interval_notifier_ops *ops, bool alone,
		 const void *from)
{
	int ret = check_insert(sub, mm, start, last, from);

	if (ret)
		return ret;
	ret = is_in_use(sub) ? -EBUSY :
			       sub_link(sub, mm, start, last, ops, alone);
	if (ret)
		check_removed(sub, 0);
	return ret;
}

static inline __attribute__((always_inline)) int
sub_insert(struct mmu_interval_notifier *sub, struct mm_struct *mm,
	   unsigned long start, unsigned long length,
	   const struct mmu_interval_notifier_ops *ops, bool alone,
	   const void *from)
{
	unsigned long last;

	if (!sub || !mm)
		return -EINVAL;
	if (!length || __builtin_add_overflow(start, length - 1, &last))
		return -EOVERFLOW;
	if (!mm_alive(mm))
		return -EINVAL;
	if (unlikely(mm_checked(mm)))
		return sub_link_checked(sub, mm, start, last, ops, alone, from);
	if (is_in_use(sub))
		return -EBUSY;
	return sub_link(sub, mm, start, last, ops, alone);
}

/* Anything of the arguments, or of @mm, needs a closer look, or is wrong. */
static __attribute__((noinline)) int
insert_odd(struct mmu_interval_notifier *sub, struct mm_struct *mm,
	   unsigned long start, unsigned long length,
	   const struct mmu_interval_notifier_ops *ops, const void *from)
{
	int ret = check_ops(ops);

	return ret ? ret : sub_insert(sub, mm, start, length, ops, false, from);
}

/* What insert_odd() finds in order, at a glance. */
static inline bool plain_insert(const struct mmu_interval_notifier *sub,
				const struct mm_struct *mm,
				const struct mmu_interval_notifier_ops *ops)
{
	return ops && ops->invalidate &&
	       !((uintptr_t)ops->invalidate_start |
		 (uintptr_t)ops->invalidate_finish |
		 (uintptr_t)ops->uhmm_invalidate_batch) &&
	       sub && !sub->removing && mm && mm_alive(mm) && !mm_checked(mm);
}

/* Without a call where nothing comes in between, so that nothing is saved. */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops)
{
	unsigned long last, order;

	if (unlikely(!plain_insert(interval_sub, mm, ops) || !length ||
		     __builtin_add_overflow(start, length - 1, &last)))
		return insert_odd(interval_sub, mm, start, length, ops,
				  CHECK_FROM);
	sub_fill(interval_sub, mm, start, last, ops);
	if (unlikely(!spin_lock_at_once(&mm->index.lock)))
		return sub_lock_enter(interval_sub, mm, false);
	order = mm->index.next_order;
	sub_born(interval_sub, order);
	if (unlikely(!index_insert_recent(&mm->index,
					 &interval_sub->interval_tree, order)))
		return sub_enter(interval_sub, mm, false);
	spin_unlock(&mm->index.lock);
	return 0;
}

int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm,
					unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops)
{
	int ret = check_ops(ops);

	if (mm)
		check_write_locked(mm, CHECK_FROM);
	return ret ? ret : sub_insert(interval_sub, mm, start, length, ops,
				      false, CHECK_FROM);
}

int uhmm_interval_notifier_insert_tagged(struct mmu_interval_notifier *interval_sub,
					 struct mm_struct *mm,
					 unsigned long start,
					 unsigned long length)
{
	return sub_insert(interval_sub, mm, start, length, &tagged_ops,
			  false, CHECK_FROM);
}

int interval_insert_alone(struct mmu_interval_notifier *sub,
			  struct mm_struct *mm, unsigned long start,
			  unsigned long length,
			  const struct mmu_interval_notifier_ops *ops)
{
	return sub_insert(sub, mm, start, length, ops, true, CHECK_FROM);
}

/* ------------------------------------------------------------------- remove */

/* Out of the index. */
static inline void unlock_unlinked(struct mm_struct *mm)
	__releases(&mm->index.lock)
{
	spin_unlock_begin(&mm->index.lock);
	/*
	 * Ordering: (REMOVE-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce() and (RESUME-FENCE) in call_resume(): a start that
	 * found us is seen in its slot.
	 */
	smp_mb();
}

/* True: it was the last one there. */
static inline bool sub_unlink_locked(struct mmu_interval_notifier *sub,
				     struct mm_struct *mm)
	__releases(&mm->index.lock)
{
	bool last;

	index_remove(&mm->index, &sub->interval_tree);
	last = !mm->index.count;
	unlock_unlinked(mm);
	if (unlikely(spin_has_waiters(&mm->index.lock)))
		spin_unlock_wake(&mm->index.lock);
	return last;
}

static inline bool sub_unlink(struct mmu_interval_notifier *sub)
{
	struct mm_struct *mm = sub->mm;

	spin_lock(&mm->index.lock);
	return sub_unlink_locked(sub, mm);
}

/* Will the invalidation in @slot, which overlaps, call @sub no more? */
static bool sub_passed(const struct slot *slot, unsigned long word,
		       const struct mmu_interval_notifier *sub)
{
	unsigned long start, order;

	if (!(word & SLOT_ACTIVE) || word & SLOT_CALLED)
		return true;
	/*
	 * Ordering: (CURSOR-SEEN) pairs with (CURSOR) in cursor_to(): the
	 * callbacks are over.
	 */
	start = smp_load_acquire(&slot->cursor);
	/*
	 * Ordering: (ORDER-SEEN) pairs with (CURSOR-ORDER) in cursor_to(): this
	 * may be that of a later cursor; then the callbacks are over up to
	 * there, and whether second passes are due is known.
	 */
	order = smp_load_acquire(&slot->cursor_order);
	/*
	 * Ordering: (FINISHED-SEEN) pairs with (FINISHED) in call_all(): the
	 * second passes are over. Looked at last: a first pass may have been
	 * made before the cursor moved.
	 */
	if (smp_load_acquire(&slot->finishing))
		return false;
	return start > sub->interval_tree.start ||
	       (start == sub->interval_tree.start &&
		order > node_order(&sub->interval_tree));
}

struct removal {
	const struct mmu_interval_notifier *sub;
	unsigned long id;
};

static bool removal_over(const struct slot *slot, unsigned long word,
			 const void *arg)
{
	const struct removal *removal = arg;

	return SLOT_ID(word) != removal->id ||
	       sub_passed(slot, word, removal->sub);
}

/* The invalidation in @slot, which has @word, may call @sub: until it has. */
static __attribute__((noinline)) int
wait_for_callback(struct slot *slot, unsigned long word,
		  struct mmu_interval_notifier *sub, struct patience patience)
{
	struct removal removal = { sub, SLOT_ID(word) };

	/*
	 * A search that began behind the last look does not find it, and wakes
	 * nobody if it finds nobody.
	 */
	if (word & SLOT_SEARCH && !READ_ONCE(slot->finishing))
		return 0;
	return slot_wait(slot, removal_over, &removal, patience);
}

static __attribute__((noinline)) int
wait_for_callbacks(struct mmu_interval_notifier *sub, struct patience patience)
{
	struct mm_struct *mm = sub->mm;
	struct thread_block *block;
	unsigned long word;
	struct slot *slot;
	int ret;

	for_each_slot(slot, block, mm) {
		/* A search may look at any subscription before it knows better. */
		slot_settle(slot);
		word = slot_covers(slot, sub->interval_tree.start,
				   sub->interval_tree.last);
		if (!word || sub_passed(slot, word, sub))
			continue;
		ret = wait_for_callback(slot, word, sub, patience);
		if (ret)
			return ret;
	}
	return 0;
}

/* Unlink, if that is not done yet, and wait. @mm is held by the caller. */
static int sub_leave(struct mmu_interval_notifier *sub, struct mm_struct *mm,
		     struct patience patience)
{
	bool last, retried = patience.interruptible;
	int ret;

	if (sub->removing == SUB_INSERTED) {
		reserve_forget(sub);
		/* While it is in the index: later nobody else may be left. */
		if (retried)
			mmgrab(mm);
		last = sub_unlink(sub);
		if (retried && last)
			mmdrop(mm);
		sub->removing = last || retried ? SUB_HOLDS : SUB_UNLINKED;
	}
	ret = wait_for_callbacks(sub, patience);
	if (mm_checked(mm))
		check_removed(sub, ret);
	return ret;
}

static __attribute__((noinline)) int
sub_remove(struct mmu_interval_notifier *sub, struct patience patience,
	   const void *from)
{
	struct mm_struct *mm = sub->mm;
	bool checked = mm && mm_checked(mm);
	struct thread_block *hold;
	int ret;

	if (unlikely(!mm))
		check_remove_unknown(sub, from);
	ret = checked ? check_remove(sub, from) : 0;
	if (ret)
		return ret;
	if (!sub->removing)
		return 0;
	if (sub->removing >= SUB_NO_NEXT)
		return -EBUSY;
	hold = slot_hold(mm);
	ret = sub_leave(sub, mm, patience);
	slot_unhold(mm, hold);
	if (ret)
		return ret;
	if (sub->removing == SUB_HOLDS)
		mmdrop(mm);
	sub->removing = NULL;
	return 0;
}

/* It is unlinked, and the lock given back. */
static __attribute__((noinline)) void
remove_end(struct mmu_interval_notifier *sub, struct thread_block *hold,
	   bool last)
{
	struct mm_struct *mm = sub->mm;

	if (spin_has_waiters(&mm->index.lock))
		spin_unlock_wake(&mm->index.lock);
	wait_for_callbacks(sub, PATIENCE_ENDLESS);
	block_unhold(hold);
	if (last)
		mmdrop(mm);
	sub->removing = NULL;
}

static __attribute__((noinline)) void
remove_locked(struct mmu_interval_notifier *sub, struct mm_struct *mm,
	      struct thread_block *hold) __releases(&mm->index.lock)
{
	bool last = sub_unlink_locked(sub, mm);

	remove_end(sub, hold, last);
}

static __attribute__((noinline)) void
remove_lock(struct mmu_interval_notifier *sub, struct thread_block *hold)
{
	struct mm_struct *mm = sub->mm;

	spin_lock(&mm->index.lock);
	remove_locked(sub, mm, hold);
}

/* What sub_remove() does if nothing comes in between: without a call, as insert. */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub)
{
	struct mm_struct *mm = interval_sub->mm;
	struct thread_block *hold;

	if (unlikely(interval_sub->removing != SUB_INSERTED || mm_checked(mm) ||
		     reserve_knows(interval_sub) || !(hold = block_at_hand(mm)))) {
		sub_remove(interval_sub, PATIENCE_ENDLESS, CHECK_FROM);
		return;
	}
	block_hold(hold);
	interval_sub->removing = SUB_UNLINKED;
	if (unlikely(!spin_lock_at_once(&mm->index.lock))) {
		remove_lock(interval_sub, hold);
		return;
	}
	if (unlikely(!index_remove_recent(&mm->index,
					 &interval_sub->interval_tree))) {
		remove_locked(interval_sub, mm, hold);
		return;
	}
	unlock_unlinked(mm);
	if (unlikely(spin_has_waiters(&mm->index.lock) || anything_open(mm))) {
		remove_end(interval_sub, hold, false);
		return;
	}
	block_unhold(hold);
	interval_sub->removing = NULL;
}

int uhmm_interval_notifier_remove_timeout(struct mmu_interval_notifier *interval_sub,
					  int64_t timeout_ns)
{
	return sub_remove(interval_sub, patience(timeout_ns), CHECK_FROM);
}

/*
 * Asynchronous: the subscription waits in mm->removing, with the version of
 * the index behind which no start finds it in place of &verified.
 *
 * Searches that could find it were waited for. So one that is under way finds
 * others, and what its invalidation called before it is through with, but for
 * second passes. This is not only to be exact: a start that finds nobody does
 * not look whether there is anything to reap.
 */
static bool may_be_called(struct mm_struct *mm,
			  const struct mmu_interval_notifier *sub)
{
	unsigned long word, version = sub->verified >> 1;
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, mm) {
		word = slot_covers(slot, sub->interval_tree.start,
				   sub->interval_tree.last);
		if (!word || sub_passed(slot, word, sub))
			continue;
		if (READ_ONCE(slot->finishing))
			return true;
		/*
		 * Ordering: (VERSION-SEEN) pairs with (RESUME-VERSION) in
		 * call_resume(): see there.
		 */
		if (!(word & SLOT_SEARCH) &&
		    smp_load_acquire(&slot->version) < version)
			return true;
	}
	return false;
}

/* Let go of the removed that nobody calls any more; at the very end, of all. */
void interval_reap(struct mm_struct *mm, bool all)
{
	struct mmu_interval_notifier **at, *sub, *gone = NULL;

	spin_lock(&mm->list_lock);
	at = &mm->removing;
	while ((sub = *at) != SUB_NO_NEXT) {
		if (!all && may_be_called(mm, sub)) {
			at = &sub->removing;
			continue;
		}
		*at = sub->removing;
		sub->removing = gone;
		gone = sub;
	}
	if (mm->removing == SUB_NO_NEXT)
		fetch_and(&mm->flags, ~MM_REMOVING);
	spin_unlock(&mm->list_lock);
	while ((sub = gone)) {
		gone = sub->removing;
		sub->removing = NULL;
		if (mm_checked(mm))
			check_removed(sub, 0);
		sub->ops->uhmm_removed(sub);
	}
}

int uhmm_interval_notifier_remove_async(struct mmu_interval_notifier *interval_sub)
{
	struct thread_block *block;
	struct mm_struct *mm;
	struct slot *slot;
	bool last;

	if (!interval_sub || interval_sub->removing != SUB_INSERTED ||
	    !interval_sub->ops->uhmm_removed)
		return -EINVAL;
	mm = interval_sub->mm;
	if (mm_checked(mm))
		check_remove_async(interval_sub, CHECK_FROM);
	reserve_forget(interval_sub);
	/* Unless it is the last one, it keeps @mm no longer than it is linked. */
	mmgrab(mm);
	last = sub_unlink(interval_sub);
	for_each_slot(slot, block, mm)
		slot_settle(slot);
	WRITE_ONCE(interval_sub->verified, index_stamp(&mm->index) << 1 | 1);
	spin_lock(&mm->list_lock);
	interval_sub->removing = mm->removing;
	mm->removing = interval_sub;
	fetch_or(&mm->flags, MM_REMOVING);
	spin_unlock(&mm->list_lock);
	/*
	 * Ordering: (REAP-FENCE) pairs with (SLOT-STATE) in slot_set(): whoever
	 * is done calling from here on sees the flag, and reaps.
	 */
	smp_mb_others();
	interval_reap(mm, false);
	if (last)
		mmdrop(mm);
	mmdrop(mm);
	return 0;
}
