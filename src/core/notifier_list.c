/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * List notifiers: every invalidation of the address space, the newest first.
 *
 * The list is walked without a lock by threads that say in a slot how far
 * they are: &slot.listed is the number of the notifier being called, and
 * numbers fall along the list. Who is taken off waits for walkers that began
 * before and have not passed it, of this address space and no other.
 *
 * Start notes the number of the newest notifier, and both it and end leave
 * newer ones out: an end is never seen without its start.
 */
#include "notifier_list.h"

#include <errno.h>

#include "check.h"

/* ------------------------------------------------------------- a walk */

static struct mmu_notifier *walk_to(struct list_walk *w,
				    struct mmu_notifier *subscription)
{
	struct slot *slot = w->slot;

	while (subscription && subscription->seq > w->newest)
		subscription = READ_ONCE(subscription->next);
	/*
	 * Ordering: (LIST-PASS) pairs with (LIST-PASSED) in walk_over(): those
	 * before it are looked at no more.
	 */
	if (subscription) {
		smp_store_release(&slot->listed, subscription->seq);
		slot_changed(slot);
	}
	w->at = subscription;
	return subscription;
}

struct mmu_notifier *list_walk_begin(struct list_walk *w,
				       struct mm_struct *mm, struct slot *slot,
				       unsigned long newest)
{
	w->mm = mm;
	w->slot = slot;
	w->newest = newest;
	/*
	 * Ordering: (LIST-AGAIN) pairs with (LIST-AGAIN-SEEN) in walk_over():
	 * the walk before this one is over.
	 */
	smp_store_release(&slot->list_version, READ_ONCE(mm->list_version));
	WRITE_ONCE(slot->listed, LISTED_ALL);
	slot_set(slot, slot->word | SLOT_LISTED);
	/*
	 * Ordering: (WALK-FENCE) pairs with (LIST-CUT-FENCE) in list_cut() and
	 * (LIST-VERSION) in list_cut() and (LIST-SEQ) in list_add(): who is cut
	 * off without seeing us is not found by us, whose number we know is.
	 */
	smp_mb();
	/* Ordering: (LIST-HEAD) pairs with (LIST-ADD) in list_add(): it is seen as it was made. */
	return walk_to(w, smp_load_acquire(&mm->list));
}

struct mmu_notifier *list_walk_next(struct list_walk *w)
{
	/* What comes next was made before what we stand on, and is seen with it. */
	return walk_to(w, READ_ONCE(w->at->next));
}

void list_walk_end(struct list_walk *w)
{
	slot_set(w->slot, w->slot->word & ~SLOT_LISTED);
	/*
	 * Ordering: (LIST-LEFT) pairs with (LIST-PASSED) in walk_over(): as
	 * (LIST-PASS).
	 */
	smp_store_release(&w->slot->listed, 0);
	/* Seen, thanks to slot_set() and the membarrier in list_cut(). */
	if (unlikely(READ_ONCE(w->mm->putting)))
		list_reap(w->mm);
}

struct slot *list_walk_slot(struct mm_struct *mm, unsigned long *ret_id)
{
	struct thread_block *block;
	struct slot *slot = slot_get(mm, true, &block, ret_id);

	slot_announce_walk(mm, slot, block, *ret_id, 0, 0);
	slot_leave_index(slot, *ret_id | SLOT_WALK | SLOT_CALLED);
	return slot;
}

/* ----------------------------------------------------- waiting for walkers */

struct walker {
	const struct mmu_notifier *subscription;	/* NULL: any */
	unsigned long version;	/* walks that began with it do not count */
};

static bool walk_over(const struct slot *slot, unsigned long word,
		      const void *arg)
{
	const struct walker *walker = arg;

	if (!(word & SLOT_LISTED))
		return true;
	/*
	 * Ordering: (LIST-AGAIN-SEEN) pairs with (LIST-AGAIN) in
	 * list_walk_begin(): see there.
	 */
	if (smp_load_acquire(&slot->list_version) >= walker->version)
		return true;
	/*
	 * Ordering: (LIST-PASSED) pairs with (LIST-PASS) in walk_to() and
	 * (LIST-LEFT) in list_walk_end(): its callback is over.
	 */
	return walker->subscription &&
	       smp_load_acquire(&slot->listed) < walker->subscription->seq;
}

static int wait_walkers(struct mm_struct *mm,
			const struct mmu_notifier *subscription,
			unsigned long version, struct patience patience)
{
	struct walker walker = { subscription, version };
	struct thread_block *block;
	struct slot *slot;
	int ret;

	for_each_slot(slot, block, mm) {
		ret = slot_wait(slot, walk_over, &walker, patience);
		if (ret)
			return ret;
	}
	return 0;
}

bool list_has_walkers(struct mm_struct *mm,
			const struct mmu_notifier *subscription,
			unsigned long version)
{
	struct walker walker = { subscription, version };
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, mm)
		/* Ordering: (WALKER-TRY) pairs with (SLOT-STATE) in slot_set(): as (SLOT-SEEN). */
		if (!walk_over(slot, smp_load_acquire(&slot->word), &walker))
			return true;
	return false;
}

/* -------------------------------------------------------- the list itself */

static void list_add(struct mm_struct *mm, struct mmu_notifier *subscription)
	__must_hold(&mm->list_lock)
{
	subscription->next = mm->list;
	subscription->seq = mm->list_seq + 1;
	subscription->state = MN_MEMBER | MN_LISTED;
	/* Ordering: (LIST-ADD) pairs with (LIST-HEAD) in list_walk_begin(): see there. */
	smp_store_release(&mm->list, subscription);
	/*
	 * Ordering: (LIST-SEQ) pairs with (WALK-FENCE) in list_walk_begin(): who
	 * knows its number finds it.
	 */
	smp_store_release(&mm->list_seq, subscription->seq);
	fetch_or(&mm->flags, MM_LIST);
	/*
	 * Ordering: (LIST-ADD-FENCE) pairs with (ANNOUNCE-FENCE) in
	 * slot_announce(): a start that does not know the number is seen by
	 * settle().
	 */
	smp_mb();
}

unsigned long list_cut(struct mm_struct *mm,
			      struct mmu_notifier *subscription)
	__must_hold(&mm->list_lock)
{
	struct mmu_notifier **at = &mm->list;

	while (*at != subscription)
		at = &(*at)->next;
	WRITE_ONCE(*at, subscription->next);
	subscription->state &= ~MN_LISTED;
	/*
	 * Ordering: (LIST-VERSION) pairs with (WALK-FENCE) in
	 * list_walk_begin(): a walk that begins with the new one does not find
	 * what was cut.
	 */
	smp_store_release(&mm->list_version, mm->list_version + 1);
	/*
	 * Ordering: (LIST-CUT-FENCE) pairs with (WALK-FENCE) in list_walk_begin():
	 * see there. Walkers that then leave see what is written after this.
	 */
	smp_mb_others();
	return mm->list_version;
}

struct mmu_notifier *list_find(struct mm_struct *mm,
				      const struct mmu_notifier *subscription,
				      const struct mmu_notifier_ops *ops)
	__must_hold(&mm->list_lock)
{
	struct mmu_notifier *at;

	for (at = mm->list; at; at = at->next)
		if (at == subscription || at->ops == ops)
			return at;
	return NULL;
}

/* -------------------------------------------------- invalidations, in passing */

static void call_end(struct mmu_notifier *subscription,
		     const struct mmu_notifier_range *range)
{
	void (*fn)(struct mmu_notifier *, const struct mmu_notifier_range *) =
		subscription->ops->invalidate_range_end;
	bool checked = mm_checked(range->mm);
	struct check_call call;

	if (!fn)
		return;
	if (checked)
		check_list_begin(&call, range, subscription,
				 (const void *)fn);
	fn(subscription, range);
	if (checked)
		check_list_end(&call, 0);
}

/* Is -EAGAIN, with every end called that must be, if one refused. */
static int list_refused(struct list_walk *w, struct mmu_notifier_range *range,
			int ret)
{
	struct mmu_notifier *subscription;

	if (!ret)
		return 0;
	for_each_listed(subscription, w, w->mm, w->slot, range->listed)
		call_end(subscription, range);
	list_walk_end(w);
	range->listed = 0;
	return -EAGAIN;
}

static int call_start(struct mmu_notifier *subscription,
		      const struct mmu_notifier_range *range)
{
	int (*fn)(struct mmu_notifier *, const struct mmu_notifier_range *) =
		subscription->ops->invalidate_range_start;
	bool checked = mm_checked(range->mm);
	struct check_call call;
	int ret;

	if (checked)
		check_list_begin(&call, range, subscription,
				 (const void *)fn);
	ret = fn(subscription, range);
	if (checked)
		check_list_end(&call, ret);
	return ret;
}

int list_start(struct slot *slot, struct mmu_notifier_range *range)
{
	struct mm_struct *mm = range->mm;
	struct mmu_notifier *subscription;
	struct list_walk walk;
	int ret = 0;

	range->listed = READ_ONCE(mm->list_seq);
	for_each_listed(subscription, &walk, mm, slot, range->listed) {
		if (subscription->ops->invalidate_range_start &&
		    call_start(subscription, range) &&
		    !mmu_notifier_range_blockable(range))
			ret = -EAGAIN;
	}
	list_walk_end(&walk);
	return list_refused(&walk, range, ret);
}

void list_end(struct slot *slot, struct mmu_notifier_range *range)
{
	struct mmu_notifier *subscription;
	struct list_walk walk;

	for_each_listed(subscription, &walk, range->mm, slot, range->listed)
		call_end(subscription, range);
	list_walk_end(&walk);
}

/* ------------------------------------------------------------------ register */

static bool settled(const struct slot *slot, unsigned long word,
		    const void *arg)
{
	return SLOT_ID(word) != *(const unsigned long *)arg;
}

/* Wait for invalidations that do not know of the newest notifier. */
static int settle(struct mm_struct *mm, struct patience patience)
{
	unsigned long word, id, me = sync_thread_number();
	struct thread_block *block;
	struct slot *slot;
	int ret;

	for_each_slot(slot, block, mm) {
		word = slot_covers(slot, 0, ~0UL);
		if (!word || READ_ONCE(block->owner) == me)
			continue;
		id = SLOT_ID(word);
		ret = slot_wait(slot, settled, &id, patience);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_list_ops(const struct mmu_notifier_ops *ops)
{
	if (!ops)
		return -EINVAL;
	if (ops->arch_invalidate_secondary_tlbs &&
	    (ops->invalidate_range_start || ops->invalidate_range_end))
		return -EINVAL;
	return 0;
}

/* With mm->list_lock: is it on the list, and what is left to do? */
static int listed_already(struct mm_struct *mm,
			  const struct mmu_notifier *subscription)
	__must_hold(&mm->list_lock)
{
	if (!list_find(mm, subscription, NULL))
		return 0;
	return subscription->state & MN_SETTLED ? -EBUSY : 1;
}

static int add_to_list(struct mmu_notifier *subscription, struct mm_struct *mm)
{
	int ret;

	if (!subscription || !mm || check_list_ops(subscription->ops) ||
	    !mm_alive(mm))
		return -EINVAL;
	spin_lock(&mm->list_lock);
	ret = listed_already(mm, subscription);
	if (!ret) {
		mmgrab(mm);
		subscription->mm = mm;
		subscription->users = 1;
		subscription->pending = NULL;
		list_add(mm, subscription);
	}
	spin_unlock(&mm->list_lock);
	return ret < 0 ? ret : 0;
}

static int do_register(struct mmu_notifier *subscription, struct mm_struct *mm,
		       struct patience patience)
{
	int ret = add_to_list(subscription, mm);

	if (ret)
		return ret;
	ret = settle(mm, patience);
	if (ret)
		return ret;
	spin_lock(&mm->list_lock);
	subscription->state |= MN_SETTLED;
	spin_unlock(&mm->list_lock);
	return 0;
}

int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm)
{
	if (mm)
		check_write_locked(mm, CHECK_FROM);
	if (!check_may_wait(mm, "__mmu_notifier_register", CHECK_FROM))
		return -EDEADLK;
	return do_register(subscription, mm, PATIENCE_ENDLESS);
}

int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm)
{
	int ret;

	if (!mm)
		return -EINVAL;
	if (!check_may_wait(mm, "mmu_notifier_register", CHECK_FROM))
		return -EDEADLK;
	mmap_write_lock(mm);
	ret = __mmu_notifier_register(subscription, mm);
	mmap_write_unlock(mm);
	return ret;
}

int uhmm_notifier_register_timeout(struct mmu_notifier *subscription,
				   struct mm_struct *mm, int64_t timeout_ns)
{
	if (!check_may_wait(mm, "uhmm_notifier_register_timeout", CHECK_FROM))
		return -EDEADLK;
	return do_register(subscription, mm, patience(timeout_ns));
}

/* --------------------------------------------------------------- unregister */

static bool is_member(struct mm_struct *mm,
		      const struct mmu_notifier *subscription)
{
	bool member;

	spin_lock(&mm->list_lock);
	member = subscription->state & MN_MEMBER;
	spin_unlock(&mm->list_lock);
	return member;
}

/* True, once, for whoever is to call release. */
static bool take_release(struct mm_struct *mm,
			 struct mmu_notifier *subscription)
{
	bool mine;

	spin_lock(&mm->list_lock);
	mine = (subscription->state & (MN_LISTED | MN_RELEASED)) == MN_LISTED;
	if (mine)
		subscription->state |= MN_RELEASED;
	spin_unlock(&mm->list_lock);
	return mine;
}

/* As a walker, so that the end of the address space waits for it. */
static void call_release(struct mm_struct *mm,
			 struct mmu_notifier *subscription)
{
	struct list_walk walk;
	unsigned long id;
	struct slot *slot;

	if (!subscription->ops->release)
		return;
	slot = list_walk_slot(mm, &id);
	list_walk_begin(&walk, mm, slot, 0);
	subscription->ops->release(subscription, mm);
	list_walk_end(&walk);
	slot_end(slot, id);
}

static int do_unregister(struct mmu_notifier *subscription,
			 struct mm_struct *mm, struct patience patience,
			 const void *from)
{
	unsigned long version;
	int ret;

	if (!subscription || !mm || subscription->mm != mm ||
	    !is_member(mm, subscription))
		return -EINVAL;
	if (!check_may_wait(mm, "mmu_notifier_unregister", from))
		return -EDEADLK;
	if (take_release(mm, subscription))
		call_release(mm, subscription);
	spin_lock(&mm->list_lock);
	version = subscription->state & MN_LISTED ?
			  list_cut(mm, subscription) : mm->list_version;
	spin_unlock(&mm->list_lock);
	ret = wait_walkers(mm, subscription, version, patience);
	if (ret)
		return ret;
	subscription->state = 0;
	mmdrop(mm);
	return 0;
}

void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm)
{
	do_unregister(subscription, mm, PATIENCE_ENDLESS, CHECK_FROM);
}

int uhmm_notifier_unregister_timeout(struct mmu_notifier *subscription,
				     struct mm_struct *mm, int64_t timeout_ns)
{
	return do_unregister(subscription, mm, patience(timeout_ns),
			     CHECK_FROM);
}

/* The address space ends: release to all, then nobody is on the list. */
void list_release(struct mm_struct *mm)
{
	struct mmu_notifier *subscription;
	unsigned long id, version;
	struct list_walk walk;
	struct slot *slot;

	if (!(READ_ONCE(mm->flags) & MM_LIST))
		return;
	slot = list_walk_slot(mm, &id);
	for_each_listed(subscription, &walk, mm, slot, LISTED_ALL)
		if (take_release(mm, subscription) && subscription->ops->release)
			subscription->ops->release(subscription, mm);
	list_walk_end(&walk);
	spin_lock(&mm->list_lock);
	while (mm->list)
		list_cut(mm, mm->list);
	version = mm->list_version + 1;
	WRITE_ONCE(mm->list_version, version);
	spin_unlock(&mm->list_lock);
	slot_end(slot, id);
	wait_walkers(mm, NULL, version, PATIENCE_ENDLESS);
}
