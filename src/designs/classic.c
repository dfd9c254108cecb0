/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * See classic.h for the idea. Order of things here: lock and wait queue, the
 * window, interval callbacks, list callbacks, start and end, the read side,
 * insert and remove, list notifiers, the address space.
 *
 * @warnings counts what Linux would print a warning about and then go on: a
 * blockable range refused, an error other than -EAGAIN from a list notifier.
 */
#include "designs/classic.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define SPINS_BEFORE_YIELD (10 * (SYNC_SPINS - 1))
#define POLL_NS 1000000

/*
 * Test and set, as small as it gets, and unfair: the fastest lock that the
 * baseline can have. Nobody sleeps while he holds it.
 */
static inline void lock_mm(struct classic_mm *mm)
{
	/*
	 * Ordering: (CLASSIC-LOCK) pairs with (CLASSIC-UNLOCK) in unlock_mm():
	 * else half of what the last holder wrote is seen.
	 */
	while (unlikely(xchg(&mm->lock, 1))) {
		for (int i = 0; READ_ONCE(mm->lock); i++) {
			if (i < SPINS_BEFORE_YIELD)
				cpu_relax();
			else
				sync_yield();
		}
	}
}

static inline void unlock_mm(struct classic_mm *mm)
{
	/*
	 * Ordering: (CLASSIC-UNLOCK) pairs with (CLASSIC-LOCK) in lock_mm():
	 * see there.
	 */
	smp_store_release(&mm->lock, 0);
}

static inline bool is_odd(unsigned long seq)
{
	return seq & 1;
}

/* Sleep while the window with number @seq is open. */
static void wait_window(struct classic_mm *mm, unsigned long seq)
{
	for (;;) {
		/*
		 * Ordering: (CLASSIC-ASLEEP) pairs with (CLASSIC-WAKE) in
		 * wake_waiters(): both change one word, so one of them is first,
		 * and who says too late that he sleeps sees that the window
		 * has closed. With two words each could miss the other.
		 */
		unsigned int wake = fetch_or(&mm->wake, CLASSIC_ASLEEP);

		/*
		 * Ordering: (CLASSIC-WAIT) pairs with (CLASSIC-CLOSE) in
		 * end_active(): else page tables from before the change could
		 * be read, and no retry would notice.
		 */
		if (smp_load_acquire(&mm->seq) != seq)
			return;
		wait_word(&mm->wake, wake | CLASSIC_ASLEEP, -1);
	}
}

/* ------------------------------------------------------------ the window */

static inline void tree_add(struct classic_mm *mm,
			    struct classic_interval_notifier *sub)
{
	rbtree_insert(&mm->tree, &sub->node);
}

static void defer(struct classic_mm *mm, struct classic_interval_notifier *sub)
{
	sub->next_deferred = mm->deferred;
	sub->link_deferred = &mm->deferred;
	if (mm->deferred)
		mm->deferred->link_deferred = &sub->next_deferred;
	mm->deferred = sub;
}

static void undefer(struct classic_interval_notifier *sub)
{
	*sub->link_deferred = sub->next_deferred;
	if (sub->next_deferred)
		sub->next_deferred->link_deferred = sub->link_deferred;
}

/* The last deferred first. */
static void apply_deferred(struct classic_mm *mm)
{
	struct classic_interval_notifier *sub;

	while ((sub = mm->deferred)) {
		undefer(sub);
		if (rbnode_linked(&sub->node))
			rbtree_erase(&mm->tree, &sub->node);
		else
			tree_add(mm, sub);
	}
}

/* One more active; who overlaps first, if anyone, and the window's number. */
static inline struct rbnode *start_active(struct classic_mm *mm,
					  const struct classic_range *range,
					  unsigned long *ret_seq)
{
	struct rbnode *node;

	lock_mm(mm);
	mm->active++;
	node = rbtree_first(&mm->tree, range->start, range->end - 1);
	if (node)
		WRITE_ONCE(mm->seq, mm->seq | 1);
	*ret_seq = mm->seq;
	unlock_mm(mm);
	return node;
}

/* The word is another one for each window that closed, and nobody sleeps on it. */
static inline void wake_waiters(struct classic_mm *mm)
{
	unsigned int wake = READ_ONCE(mm->wake);

	/*
	 * Ordering: (CLASSIC-WAKE) pairs with (CLASSIC-ASLEEP) in
	 * wait_window(): see there.
	 */
	while (!try_cmpxchg(&mm->wake, &wake,
			    (wake | CLASSIC_ASLEEP) + CLASSIC_ASLEEP))
		;
	if (unlikely(wake & CLASSIC_ASLEEP))
		wake_word(&mm->wake);
}

static inline void end_active(struct classic_mm *mm)
{
	lock_mm(mm);
	mm->active--;
	if (mm->active || !is_odd(mm->seq)) {
		unlock_mm(mm);
		return;
	}
	/*
	 * Ordering: (CLASSIC-CLOSE) pairs with (CLASSIC-WAIT) in
	 * wait_window(): see there.
	 */
	smp_store_release(&mm->seq, mm->seq + 1);
	if (unlikely(mm->deferred))
		apply_deferred(mm);
	unlock_mm(mm);
	wake_waiters(mm);
}

/* ---------------------------------------------------- interval callbacks */

static inline bool blockable(const struct classic_range *range)
{
	return range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE;
}

static bool call_sub(struct classic_interval_notifier *sub,
		     const struct classic_range *range, unsigned long seq,
		     struct classic_finish ***tail)
{
	struct classic_finish *finish = NULL;

	if (!sub->ops->invalidate_start)
		return sub->ops->invalidate(sub, range, seq);
	if (!sub->ops->invalidate_start(sub, range, seq, &finish))
		return false;
	if (finish) {
		finish->next = NULL;
		**tail = finish;
		*tail = &finish->next;
	}
	return true;
}

static void run_finishes(struct classic_finish *finish)
{
	while (finish) {
		struct classic_finish *next = finish->next;

		finish->sub->ops->invalidate_finish(finish);
		finish = next;
	}
}

/* No lock: while the sequence is odd the tree stands still. */
static int call_subs(struct classic_mm *mm, struct rbnode *node,
		     const struct classic_range *range, unsigned long seq)
{
	struct classic_finish *finishes = NULL, **tail = &finishes;
	int ret = 0;

	for (; node; node = rbtree_next(node, range->start, range->end - 1)) {
		if (call_sub(container_of(node, struct classic_interval_notifier,
					  node), range, seq, &tail))
			continue;
		if (!blockable(range)) {
			ret = -EAGAIN;
			break;
		}
		fetch_add(&mm->warnings, 1);
	}
	run_finishes(finishes);
	return ret;
}

/* -------------------------------------------------------- list callbacks
 * Walkers of the lists of all address spaces are counted together, in one of
 * two counters, so that a walk in one address space holds up an unregister in
 * another, as in Linux. Nobody else waits for them.
 */
static unsigned int walkers[2];
static unsigned int walkers_index;
static unsigned int walkers_awaited;

static unsigned int walk_begin(void)
{
	unsigned int index = READ_ONCE(walkers_index);

	fetch_add(&walkers[index], 1);
	return index;
}

static void walk_end(unsigned int index)
{
	/*
	 * Ordering: (CLASSIC-WALKED) pairs with (CLASSIC-SYNC) in
	 * wait_walkers(): else a callback could still use what is freed.
	 */
	if (fetch_sub(&walkers[index], 1) == 1 && READ_ONCE(walkers_awaited))
		wake_word(&walkers[index]);
}

/* Until every walk has ended that may stand on what has been unlinked. */
static void wait_walkers(void)
{
	unsigned int index, n;

	fetch_add(&walkers_awaited, 1);
	for (index = 0; index < 2; index++) {
		xchg(&walkers_index, !index);
		/*
		 * Ordering: (CLASSIC-SYNC) pairs with (CLASSIC-WALKED) in
		 * walk_end(): see there.
		 */
		while ((n = smp_load_acquire(&walkers[index])))
			wait_word(&walkers[index], n, -1);
	}
	fetch_sub(&walkers_awaited, 1);
}

static struct classic_notifier *list_first(struct classic_mm *mm)
{
	/*
	 * Ordering: (CLASSIC-FIRST) pairs with (CLASSIC-LIST) in
	 * classic_notifier_register(): else its ops could be unset.
	 */
	return smp_load_acquire(&mm->list);
}

static void call_list_ends(struct classic_mm *mm,
			   const struct classic_range *range)
{
	struct classic_notifier *sub;

	for (sub = list_first(mm); sub; sub = READ_ONCE(sub->next))
		if (sub->ops->invalidate_range_end)
			sub->ops->invalidate_range_end(sub, range);
}

/* All are called, also behind one that refuses; then all see an end. */
static int call_list_starts(struct classic_mm *mm,
			    const struct classic_range *range)
{
	unsigned int index = walk_begin();
	struct classic_notifier *sub;
	int err, ret = 0;

	for (sub = list_first(mm); sub; sub = READ_ONCE(sub->next)) {
		if (!sub->ops->invalidate_range_start)
			continue;
		err = sub->ops->invalidate_range_start(sub, range);
		if (!err)
			continue;
		if (blockable(range) || err != -EAGAIN)
			fetch_add(&mm->warnings, 1);
		ret = err;
	}
	if (ret)
		call_list_ends(mm, range);
	walk_end(index);
	return ret;
}

/* --------------------------------------------------------- start and end */

static inline int start_range(struct classic_range *range)
{
	struct classic_mm *mm = range->mm;
	struct rbnode *node;
	unsigned long seq;
	int ret;

	node = start_active(mm, range, &seq);
	if (node) {
		ret = call_subs(mm, node, range, seq);
		if (unlikely(ret)) {
			end_active(mm);
			return ret;
		}
	}
	if (likely(!READ_ONCE(mm->list)))
		return 0;
	/*
	 * The hole: when the list refuses a non-blockable range, the caller
	 * gets -EAGAIN, must not call the end, and nobody undoes what
	 * start_active() did: this address space is never idle again.
	 */
	ret = call_list_starts(mm, range);
	if (ret && !blockable(range))
		fetch_add(&mm->leaked, 1);
	return ret;
}

void classic_invalidate_range_start(struct classic_range *range)
{
	range->flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
	start_range(range);
}

int classic_invalidate_range_start_nonblock(struct classic_range *range)
{
	range->flags &= ~MMU_NOTIFIER_RANGE_BLOCKABLE;
	return start_range(range);
}

void classic_invalidate_range_end(struct classic_range *range)
{
	struct classic_mm *mm = range->mm;
	unsigned int index;

	end_active(mm);
	if (unlikely(READ_ONCE(mm->list))) {
		index = walk_begin();
		call_list_ends(mm, range);
		walk_end(index);
	}
}

/* --------------------------------------------------------- the read side */

unsigned long classic_interval_read_begin(struct classic_interval_notifier *sub)
{
	struct classic_mm *mm = sub->mm;
	unsigned long seq;
	bool hit;

	lock_mm(mm);
	seq = READ_ONCE(sub->seq);
	hit = seq == mm->seq;
	unlock_mm(mm);
	if (unlikely(hit))
		wait_window(mm, seq);
	return seq;
}

/* ----------------------------------------------------- insert and remove */

static inline void grab(struct classic_mm *mm)
{
	fetch_add(&mm->count, 1);
}

void classic_mm_drop(struct classic_mm *mm)
{
	if (fetch_sub(&mm->count, 1) == 1)
		free(mm);
}

/*
 * What is inserted while anything is being invalidated counts as hit, so its
 * first read waits for the end of the window: nobody knows whether one of the
 * ranges overlaps. Hence a window is opened if there is none. On error fields
 * of @sub have been written, as in Linux.
 */
int classic_interval_notifier_insert(struct classic_interval_notifier *sub,
				     struct classic_mm *mm,
				     unsigned long start, unsigned long length,
				     const struct classic_interval_ops *ops)
{
	unsigned long last = start + length - 1;

	sub->mm = mm;
	sub->ops = ops;
	sub->node.start = start;
	if (unlikely(!length || last < start))
		return -EOVERFLOW;
	if (unlikely(READ_ONCE(mm->users) <= 0))
		return -EINVAL;
	sub->node.last = last;
	rbnode_clear(&sub->node);
	grab(mm);

	lock_mm(mm);
	if (likely(!mm->active)) {
		WRITE_ONCE(sub->seq, mm->seq - 1);
		tree_add(mm, sub);
	} else if (!is_odd(mm->seq)) {
		WRITE_ONCE(mm->seq, mm->seq | 1);
		WRITE_ONCE(sub->seq, mm->seq);
		tree_add(mm, sub);
	} else {
		WRITE_ONCE(sub->seq, mm->seq);
		defer(mm, sub);
	}
	unlock_mm(mm);
	return 0;
}

void classic_interval_notifier_remove(struct classic_interval_notifier *sub)
{
	struct classic_mm *mm = sub->mm;
	unsigned long wait_for = 0;

	lock_mm(mm);
	if (likely(!is_odd(mm->seq))) {
		rbtree_erase(&mm->tree, &sub->node);
	} else if (!rbnode_linked(&sub->node)) {
		undefer(sub);
	} else {
		defer(mm, sub);
		wait_for = mm->seq;
	}
	unlock_mm(mm);
	if (unlikely(wait_for)) {
		wait_window(mm, wait_for);
		/* Who closed the window may still be taking us out. */
		lock_mm(mm);
		unlock_mm(mm);
	}
	classic_mm_drop(mm);
}

/* -------------------------------------------------------- list notifiers */

/* Rare enough to look again from time to time. */
static void sleep_a_little(void)
{
	static unsigned int never;

	wait_word(&never, 0, POLL_NS);
}

int classic_notifier_register(struct classic_notifier *sub,
			      struct classic_mm *mm)
{
	if (READ_ONCE(mm->users) <= 0)
		return -EINVAL;
	grab(mm);
	lock_mm(mm);
	while (mm->active > READ_ONCE(mm->leaked)) {
		unlock_mm(mm);
		sleep_a_little();
		lock_mm(mm);
	}
	sub->listed = true;
	sub->released = false;
	sub->next = mm->list;
	/*
	 * Ordering: (CLASSIC-LIST) pairs with (CLASSIC-FIRST) in
	 * list_first(): see there.
	 */
	smp_store_release(&mm->list, sub);
	unlock_mm(mm);
	return 0;
}

/* Is it this call's to call release? */
static bool claim_release(struct classic_mm *mm, struct classic_notifier *sub)
{
	bool mine;

	lock_mm(mm);
	mine = !sub->released;
	sub->released = true;
	unlock_mm(mm);
	return mine && sub->ops->release;
}

/* Walkers that stand on it still find the way on. */
static void unlist(struct classic_mm *mm, struct classic_notifier *sub)
{
	struct classic_notifier **link = &mm->list;

	lock_mm(mm);
	if (sub->listed) {
		while (*link != sub)
			link = &(*link)->next;
		WRITE_ONCE(*link, sub->next);
		sub->listed = false;
	}
	unlock_mm(mm);
}

void classic_notifier_unregister(struct classic_notifier *sub,
				 struct classic_mm *mm)
{
	unsigned int index;

	if (claim_release(mm, sub)) {
		index = walk_begin();
		sub->ops->release(sub, mm);
		walk_end(index);
	}
	unlist(mm, sub);
	wait_walkers();
	classic_mm_drop(mm);
}

/* ----------------------------------------------------- the address space */

int classic_mm_create(struct classic_mm **ret_mm)
{
	struct classic_mm *mm = aligned_alloc(CACHE_LINE, sizeof(*mm));

	if (!mm)
		return -ENOMEM;
	*mm = (struct classic_mm){ .seq = 2, .users = 1, .count = 1 };
	*ret_mm = mm;
	return 0;
}

static void release_subs(struct classic_mm *mm)
{
	struct classic_range range;
	struct rbnode *node;
	unsigned long seq;

	classic_range_init(&range, MMU_NOTIFY_RELEASE,
			   MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0, ULONG_MAX);
	node = start_active(mm, &range, &seq);
	call_subs(mm, node, &range, seq);
	end_active(mm);
}

static void release_list(struct classic_mm *mm)
{
	unsigned int index = walk_begin();
	struct classic_notifier *sub;

	for (sub = list_first(mm); sub; sub = READ_ONCE(sub->next))
		if (claim_release(mm, sub))
			sub->ops->release(sub, mm);
	while ((sub = list_first(mm)))
		unlist(mm, sub);
	walk_end(index);
	wait_walkers();
}

void classic_mm_release(struct classic_mm *mm)
{
	if (fetch_sub(&mm->users, 1) != 1)
		return;
	release_subs(mm);
	if (READ_ONCE(mm->list))
		release_list(mm);
}
