/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The collision-retry scheme, without anything that all threads share.
 *
 * The kernel keeps one lock, one sequence and one count of open invalidations
 * for the whole address space, so each invalidation meets every other, a read
 * waits for ranges that have nothing to do with it, and inserts wait until
 * nothing is open at all. Here an invalidation is a slot of its own thread:
 *
 *	start	announce number and range in the slot, full fence, search the
 *		index, of very many its filter first, call what overlaps
 *	end	one store to the slot
 *	set_seq	the subscription remembers the number
 *	read	unless something hit the subscription since the last read: two
 *		loads. Else full fence, look at all slots, once, and wait for
 *		those that overlap
 *	insert	publish: a start that does not find us has announced itself
 *		before the fence of our first read, which looks at all slots
 *	remove	unpublish, full fence: a start that may still call us has
 *		announced itself, and we wait until it has
 *
 * State of a subscription, by (invalidate_seq, verified):
 *	equal			a read may go on at once
 *	verified even		new, or reserved: look at the slots
 *	different		hit since: look at the slots
 *
 * What is guaranteed, and by what:
 *  O1 A start and a remove, or the first read behind an insert, meet:
 *     ANNOUNCE-FENCE and its partners. Either the start finds the subscription,
 *     or the other side finds the slot.
 *  O2 A read that returns number W has waited for every invalidation that
 *     called the subscription before W was stored: between what it announces
 *     and W it passed ANNOUNCE-FENCE, and the read passes READ-FENCE between W
 *     and the slots.
 *  O3 What such an invalidation did to the page tables is seen: SLOT-STATE,
 *     SLOT-WAITED, VERIFY, READ-VERIFIED.
 *  O4 An invalidation that called nobody yet when the read looked calls later,
 *     and the retry, under user_lock, sees its number: user_lock is all it
 *     needs.
 * Progress: a start takes no lock and waits for callbacks and reservations
 * only; end waits for nothing; a read waits for overlapping invalidations, one
 * look at each slot; insert for a lock held for some hundred instructions, or
 * some thousand while a filter is filled; remove for callbacks that may still call it.
 *
 *	CPU0 fault		CPU1 munmap
 *	read_begin = 41
 *	reads the page table
 *				start: slot = 43
 *				invalidate: lock
 *				  set_seq(43), zap
 *				  unlock
 *	lock
 *	read_retry(41): yes
 *	unlock
 *	read_begin: 43 is open
 *	  waits for the slot
 *				page table changes
 *				end: slot free
 *	= 43, reads the new one
 */
#include "internal.h"

#include <errno.h>

#include "check.h"
#include "../lib/index_filter.h"
#include "reserve.h"
#include UHMM_PROBES_H

/* ----------------------------------------------------------- calling back */

/* One start on its way through the subscriptions. */
struct caller {
	struct mm_struct *mm;
	struct slot *slot;
	struct thread_block *block;
	const struct mmu_notifier_range *range;
	struct mmu_interval_notifier_finish *finish;
	struct mmu_interval_notifier_finish **finish_tail;
	unsigned long id;
	int64_t deadline;		/* of waits for reservations; 0: not set */
	const void *from;		/* who called the library */
};

const struct mmu_interval_notifier_ops tagged_ops = { .invalidate = NULL };

static bool call_two_pass(struct caller *c, struct mmu_interval_notifier *sub)
{
	struct mmu_interval_notifier_finish *finish = NULL;
	bool ok;

	/* Before it: remove must not miss that there will be a second pass. */
	WRITE_ONCE(c->slot->finishing, 1);
	ok = sub->ops->invalidate_start(sub, c->range, c->id, &finish);
	if (finish) {
		finish->next = NULL;
		finish->notifier = sub;
		*c->finish_tail = finish;
		c->finish_tail = &finish->next;
	}
	return ok;
}

/*
 * As long as they have @ops: into @subs, and what their &verified have in common
 * into @odd. How many.
 */
static inline unsigned int
gather(struct uhmm_interval_node *const *hits, unsigned int n,
       const struct mmu_interval_notifier_ops *ops,
       struct mmu_interval_notifier **subs, unsigned long *odd)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct mmu_interval_notifier *sub = sub_of(hits[i]);

		if (sub->ops != ops)
			break;
		*odd &= READ_ONCE(sub->verified);
		subs[i] = sub;
	}
	return i;
}

/* Call @hits[0] in its own way, or as many from there on as go in one call. */
static bool call_other(struct caller *c,
		       struct uhmm_interval_node *const *hits, unsigned int n,
		       unsigned int *ret_called)
{
	struct mmu_interval_notifier *subs[INDEX_BATCH];
	struct mmu_interval_notifier *sub = sub_of(hits[0]);
	const struct mmu_interval_notifier_ops *ops = sub->ops;
	unsigned long odd = 0;

	*ret_called = 1;
	if (ops == &tagged_ops) {
		/*
		 * Ordering: (TAG-STAMP) pairs with (TAG-CHECK) in
		 * uhmm_interval_tag_valid(): see there. ANNOUNCE-FENCE would do,
		 * but ThreadSanitizer knows no fences.
		 */
		smp_store_release(&sub->invalidate_seq, c->id);
		return true;
	}
	if (ops->invalidate_start)
		return call_two_pass(c, sub);
	n = gather(hits, n, ops, subs, &odd);
	*ret_called = n;
	return ops->uhmm_invalidate_batch(subs, n, c->range, c->id);
}

static inline bool call_sub(struct caller *c,
			    struct uhmm_interval_node *const *hits,
			    unsigned int n, unsigned int *ret_called)
{
	struct mmu_interval_notifier *sub = sub_of(hits[0]);

	if (unlikely(!sub->ops->invalidate))
		return call_other(c, hits, n, ret_called);
	*ret_called = 1;
	return sub->ops->invalidate(sub, c->range, c->id);
}

static bool call_checked(struct caller *c,
			 struct uhmm_interval_node *const *hits,
			 unsigned int n, unsigned int *ret_called)
{
	struct check_call call;
	bool ok;

	check_call_begin(&call, c->mm, c->range, c->id, hits, n);
	ok = call_sub(c, hits, n, ret_called);
	check_call_end(&call, ok);
	return ok;
}

/* All up to here are called; whoever waits for that may go. */
static inline void cursor_to(struct slot *slot, unsigned long start,
			     unsigned long order)
{
	/*
	 * Ordering: (CURSOR-ORDER) pairs with (ORDER-SEEN) in sub_passed(): as
	 * (CURSOR); of equal starts it alone tells how far it is.
	 */
	smp_store_release(&slot->cursor_order, order);
	/*
	 * Ordering: (CURSOR) pairs with (CURSOR-SEEN) in sub_passed() and
	 * (SEARCH-MOVED) in slot_wait_search(): what is behind the cursor has
	 * been called, and the search that found it is over.
	 */
	smp_store_release(&slot->cursor, start);
	slot_changed(slot);
}

/* @odd: what &verified of @hits have in common. Nobody has an odd one reserved. */
static inline void wait_reserved(struct caller *c,
				 struct uhmm_interval_node *const *hits,
				 unsigned int n, unsigned long odd)
{
	if (unlikely(!odd) && mmu_notifier_range_blockable(c->range))
		reserve_wait(c->mm, c->slot, hits, n, &c->deadline);
}

/* If all have the @ops that take them at once; false: not all have. */
static __attribute__((noinline)) bool
call_together(struct caller *c, struct uhmm_interval_node *const *hits,
	      unsigned int n, const struct mmu_interval_notifier_ops *ops,
	      int *ret)
{
	struct mmu_interval_notifier *subs[INDEX_BATCH];
	unsigned long odd = 1;

	if (gather(hits, n, ops, subs, &odd) < n)
		return false;
	wait_reserved(c, hits, n, odd);
	UHMM_PROBE3(invalidate, subs[0], c->range, c->id);
	WRITE_ONCE(c->block->counters.hits, c->block->counters.hits + n);
	if (unlikely(!ops->uhmm_invalidate_batch(subs, n, c->range, c->id)) &&
	    !mmu_notifier_range_blockable(c->range))
		*ret = -EAGAIN;
	return true;
}

static int call_batch(struct caller *c, struct uhmm_interval_node *const *hits,
		      unsigned int n)
{
	const struct mmu_interval_notifier_ops *ops = sub_of(hits[0])->ops;
	bool checked = mm_checked(c->mm);
	unsigned int i, called;
	unsigned long odd = 1;
	int ret = 0;
	bool ok;

	if (ops->uhmm_invalidate_batch && likely(!checked) &&
	    call_together(c, hits, n, ops, &ret))
		return ret;
	/* This also fetches the lines of all. */
	for (i = 0; i < n; i++)
		odd &= READ_ONCE(sub_of(hits[i])->verified);
	wait_reserved(c, hits, n, odd);
	for (i = 0; i < n && !ret; i += called) {
		if (i)
			cursor_to(c->slot, hits[i]->start,
				  node_order(hits[i]));
		UHMM_PROBE3(invalidate, sub_of(hits[i]), c->range, c->id);
		ok = unlikely(checked) ?
			     call_checked(c, hits + i, n - i, &called) :
			     call_sub(c, hits + i, n - i, &called);
		if (unlikely(!ok) && !mmu_notifier_range_blockable(c->range))
			ret = -EAGAIN;
	}
	WRITE_ONCE(c->block->counters.hits, c->block->counters.hits + i);
	return ret;
}

/* Search on from where @walk stands; the slot has left the index meanwhile. */
static unsigned int call_resume(struct caller *c, struct index_walk *walk,
				struct uhmm_interval_node **hits)
{
	struct slot *slot = c->slot;
	unsigned int n;

	cursor_to(slot, walk->start, walk->order);
	/*
	 * Ordering: (RESUME-VERSION) pairs with (VERSION-SEEN) in
	 * may_be_called() and (VERSION-OLD) in slot_oldest_reader(): what was
	 * found before has been called, and what was read before is read no more.
	 */
	smp_store_release(&slot->version, READ_ONCE(c->mm->index.version));
	WRITE_ONCE(slot->word, c->id | SLOT_SEARCH);
	/*
	 * Ordering: (RESUME-FENCE) pairs with (REMOVE-FENCE) in unlock_unlinked()
	 * and (OLDEST-FENCE) in slot_oldest_reader(): as (ANNOUNCE-FENCE).
	 */
	smp_mb();
	n = c->mm->index.search->resume(&c->mm->index, slot->start, slot->last,
					walk, hits);
	slot_leave_index(slot, c->id);
	return n;
}

static void call_finish(struct caller *c,
			struct mmu_interval_notifier_finish *finish)
{
	void (*fn)(struct mmu_interval_notifier_finish *) =
		finish->notifier->ops->invalidate_finish;
	bool checked = mm_checked(c->mm);
	struct check_call call;

	if (checked)
		check_finish_begin(&call, c->mm, c->range, c->id,
				   (const void *)fn);
	fn(finish);
	if (checked)
		check_finish_end(&call);
}

static int call_all(struct caller *c, struct index_walk *walk,
		    struct uhmm_interval_node **hits, unsigned int n)
{
	struct mmu_interval_notifier_finish *finish, *next;
	int ret;

	c->finish = NULL;
	c->finish_tail = &c->finish;
	c->deadline = 0;
	for (;;) {
		ret = n ? call_batch(c, hits, n) : 0;
		if (ret || walk->done)
			break;
		n = call_resume(c, walk, hits);
	}
	for (finish = c->finish; finish; finish = next) {
		next = finish->next;
		call_finish(c, finish);
	}
	/*
	 * Ordering: (FINISHED) pairs with (FINISHED-SEEN) in sub_passed(): see
	 * there.
	 */
	smp_store_release(&c->slot->finishing, 0);
	WRITE_ONCE(c->slot->cursor_order, 0);
	/*
	 * Ordering: (CURSOR-RESET) pairs with (SEARCH-MOVED) in
	 * slot_wait_search(): the searches are over.
	 */
	smp_store_release(&c->slot->cursor, 0);
	return ret;
}

/* ------------------------------------------------------------- start and end */

/*
 * In &mmu_notifier_range.id, whose low bits are free: others want to see the
 * end, the list notifiers or the checker; and in .listed: the checker.
 */
#define ID_WATCHED SLOT_LISTED
#define LISTED_CHECKED (1UL << 63)

/* Everything but the case that nobody is hit and nobody wants more. */
static int start_slow(struct caller *c, struct mmu_notifier_range *range,
		      struct index_walk *walk, struct uhmm_interval_node **hits,
		      unsigned int n)
{
	unsigned int flags = READ_ONCE(c->mm->flags);
	struct slot *slot = c->slot;
	int ret = 0;

	range->listed = 0;
	if (flags & MM_CHECK)
		check_start(range, c->id, c->from);
	if (!(flags & MM_RELEASED))
		ret = call_all(c, walk, hits, n);
	slot_set(slot, c->id | SLOT_CALLED);
	if (!ret && flags & MM_LIST)
		ret = list_start(slot, range);
	if (unlikely(ret)) {
		WRITE_ONCE(c->block->counters.refusals,
			   c->block->counters.refusals + 1);
		slot_end(slot, c->id);
		range->slot = NULL;
		if (flags & MM_CHECK)
			check_end(range, c->id, NULL);
	} else if (flags & MM_CHECK) {
		range->listed |= LISTED_CHECKED;
	}
	if (range->listed)
		range->id |= ID_WATCHED;
	if (unlikely(READ_ONCE(c->mm->flags) & MM_REMOVING))
		interval_reap(c->mm, false);
	return ret;
}

/* What one search found, and how far it came. */
struct found {
	struct index_walk walk;
	struct uhmm_interval_node *hits[INDEX_BATCH];
};

/* @n are found, or the first of them, or somebody wants more than calls. */
static __attribute__((noinline)) int
start_found(struct mmu_notifier_range *range, struct thread_block *block,
	    const void *from, struct found *found, unsigned int n)
{
	struct caller c = {
		.mm = range->mm,
		.slot = range->slot,
		.block = block,
		.range = range,
		.id = range->id,
		.from = from,
	};

	return start_slow(&c, range, &found->walk, found->hits, n);
}

typedef bool (*invalidate_fn)(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq);

static bool call_one_of_batch(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	return sub->ops->uhmm_invalidate_batch(&sub, 1, range, cur_seq);
}

/*
 * How the only one that is hit may be called as it is, nobody wanting more than
 * the call; NULL: start_found() does all.
 */
static inline invalidate_fn plain_call(const struct mmu_notifier_range *range,
				       const struct mmu_interval_notifier *sub)
{
	const struct mmu_interval_notifier_ops *ops = sub->ops;
	bool plain = READ_ONCE(sub->verified) & 1 &&
		     mmu_notifier_range_blockable(range) &&
		     !READ_ONCE(range->mm->flags);

	if (unlikely(!plain))
		return NULL;
	if (likely(ops->invalidate))
		return ops->invalidate;
	return ops->uhmm_invalidate_batch ? call_one_of_batch : NULL;
}

/*
 * Announced; look who is hit. What is needed behind the search and the callback
 * is read from @range again, not kept.
 */
static inline __attribute__((always_inline)) int
look(struct mmu_notifier_range *range, struct thread_block *block, bool leads,
     const void *from)
{
	struct mmu_interval_notifier *sub;
	struct found found;
	invalidate_fn call;
	unsigned int n;

	n = index_find(&range->mm->index, &block->finger, leads, range->start,
		       range->end - 1, &found.walk, found.hits);
	if (likely(!n && found.walk.done && !READ_ONCE(range->mm->flags))) {
		if (!leads)
			filter_next(&range->mm->index, &block->finger);
		slot_leave_index(range->slot, range->id | SLOT_CALLED);
		return 0;
	}
	slot_leave_index(range->slot, range->id);
	call = n == 1 && found.walk.done ?
		       plain_call(range, sub_of(found.hits[0])) : NULL;
	if (unlikely(!call))
		return start_found(range, block, from, &found, n);
	sub = sub_of(found.hits[0]);
	UHMM_PROBE3(invalidate, sub, range, range->id);
	WRITE_ONCE(block->counters.hits, block->counters.hits + 1);
	call(sub, range, range->id);
	slot_set(range->slot, range->id | SLOT_CALLED);
	if (unlikely(READ_ONCE(range->mm->flags) & MM_REMOVING))
		interval_reap(range->mm, false);
	return 0;
}

static __warm __attribute__((noinline)) int
look_first(struct mmu_notifier_range *range, struct thread_block *block,
	   const void *from)
{
	return look(range, block, false, from);
}

static __warm __attribute__((noinline)) int
look_again(struct mmu_notifier_range *range, struct thread_block *block,
	   const void *from)
{
	return look(range, block, true, from);
}

/* Nobody is there, but somebody wants to know. */
static __attribute__((noinline)) int
look_nowhere(struct mmu_notifier_range *range, struct thread_block *block,
	     const void *from)
{
	struct found found;

	found.walk.done = true;
	slot_leave_index(range->slot, range->id);
	return start_found(range, block, from, &found, 0);
}

/* Most likely there is nothing, and who searches would wait for memory. */
static __attribute__((noinline)) int
look_filtered(struct mmu_notifier_range *range, struct thread_block *block,
	      const void *from)
{
	struct mm_struct *mm = range->mm;

	if (!index_nothing(&mm->index, range->start, range->end - 1))
		return look_first(range, block, from);
	if (unlikely(READ_ONCE(mm->flags)))
		return look_nowhere(range, block, from);
	slot_leave_index(range->slot, range->id + SLOT_CALLED);
	return 0;
}

/*
 * What most starts do, nobody being there: without a call, so that nothing has
 * to be saved. What the end reads is written before the fence, which waits for
 * it once.
 */
static inline __attribute__((always_inline)) int
start_at(struct mmu_notifier_range *range, struct slot *slot,
	 struct thread_block *block, unsigned long id, bool blockable,
	 const void *from)
{
	unsigned long start = range->start, last = range->end - 1;
	struct mm_struct *mm = range->mm;

	range->slot = slot;
	range->id = id;
	slot_announce(mm, slot, id, start, last, 0);
	UHMM_PROBE4(start, range, range->id, range->event, blockable);
	if (!finger_leads(&mm->index, &block->finger, start, last))
		return unlikely(filter_first(&mm->index, &block->finger)) ?
			       look_filtered(range, block, from) :
			       look_first(range, block, from);
	if (!finger_nothing(&block->finger))
		return look_again(range, block, from);
	if (unlikely(READ_ONCE(mm->flags)))
		return look_nowhere(range, block, from);
	slot_leave_index(slot, id + SLOT_CALLED);
	return 0;
}

/* No slot is at hand, or the range is not one. */
static __attribute__((noinline)) int
start_odd(struct mmu_notifier_range *range, const void *from)
{
	bool blockable = mmu_notifier_range_blockable(range);
	struct thread_block *block;
	struct slot *slot;
	unsigned long id;

	range->slot = NULL;
	if (!range->mm || range->start >= range->end)
		return -EINVAL;
	slot = slot_get(range->mm, blockable, &block, &id);
	return slot ? start_at(range, slot, block, id, blockable, from) :
		      -EAGAIN;
}

static inline __attribute__((always_inline)) int
start(struct mmu_notifier_range *range, bool blockable, const void *from)
{
	struct thread_block *block;
	unsigned long id;

	if (unlikely(!range->mm || !slot_at_hand(range->mm, &block, &id) ||
		     range->start >= range->end))
		return start_odd(range, from);
	return start_at(range, &block->slots[0], block, id, blockable, from);
}

__hot int mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	range->flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
	return start(range, true, CHECK_FROM);
}

int mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range)
{
	range->flags &= ~MMU_NOTIFIER_RANGE_BLOCKABLE;
	return start(range, false, CHECK_FROM);
}

static __attribute__((noinline)) void
end_slow(struct mmu_notifier_range *range, const void *from)
{
	struct slot *slot = range->slot;
	bool checked;

	if (!slot || SLOT_ID(READ_ONCE(slot->word)) != SLOT_ID(range->id)) {
		check_end_without_start(range, from);
		return;
	}
	if (range->id & ID_WATCHED) {
		range->id &= ~ID_WATCHED;
		checked = range->listed & LISTED_CHECKED;
		range->listed &= ~LISTED_CHECKED;
		if (range->listed)
			list_end(slot, range);
		if (checked)
			check_end(range, range->id, from);
	}
	slot_end(slot, range->id);
}

__hot void mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	struct slot *slot = range->slot;

	UHMM_PROBE2(end, range, range->id);
	/* Started, not ended, and nobody watches. */
	if (unlikely(!slot ||
		     READ_ONCE(slot->word) != range->id + SLOT_CALLED))
		end_slow(range, CHECK_FROM);
	else
		slot_end(slot, range->id);
}

bool mm_has_notifiers(struct mm_struct *mm)
{
	return READ_ONCE(mm->list) || READ_ONCE(mm->index.count);
}

/* ------------------------------------------------------------------ release */

static bool calling_over(const struct slot *slot, unsigned long word,
			 const void *arg)
{
	const unsigned long *id = arg;

	return SLOT_ID(word) != *id || word & SLOT_CALLED;
}

/* Starts that did not see MM_RELEASED have made all their calls. */
static void wait_called(struct mm_struct *mm)
{
	struct thread_block *block;
	unsigned long word, id;
	struct slot *slot;

	/*
	 * Ordering: (RELEASE-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce(): a start that we do not see sees MM_RELEASED.
	 */
	smp_mb();
	for_each_slot(slot, block, mm) {
		/* Who finds nobody wakes nobody. */
		slot_settle(slot);
		word = slot_covers(slot, 0, ~0UL);
		if (!word || word & SLOT_CALLED)
			continue;
		id = SLOT_ID(word);
		slot_wait(slot, calling_over, &id, PATIENCE_ENDLESS);
	}
}

/* RELEASE for the whole address space, the last byte too; nothing after it. */
void interval_release(struct mm_struct *mm)
{
	struct uhmm_interval_node *hits[INDEX_BATCH];
	struct mmu_notifier_range range;
	struct index_walk walk;
	struct caller c;
	unsigned int n;

	fetch_or(&mm->flags, MM_RELEASED);
	wait_called(mm);
	mmu_notifier_range_init(&range, MMU_NOTIFY_RELEASE,
				MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0, ~0UL);
	c.mm = mm;
	c.range = &range;
	c.slot = slot_get(mm, true, &c.block, &c.id);
	/* It is not a start of anybody's. */
	WRITE_ONCE(c.block->counters.walks, c.block->counters.walks + 1);
	slot_announce(mm, c.slot, c.id, 0, ~0UL, 0);
	n = mm->index.search->first(&mm->index, &c.block->finger, 0, ~0UL,
				    &walk, hits);
	slot_leave_index(c.slot, c.id);
	call_all(&c, &walk, hits, n);
	slot_set(c.slot, c.id | SLOT_CALLED);
	slot_end(c.slot, c.id);
	if (READ_ONCE(mm->flags) & MM_REMOVING)
		interval_reap(mm, false);
}
