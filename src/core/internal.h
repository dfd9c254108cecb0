/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of the core, and the address spaces, share.
 *
 * An invalidation lives in a slot of the thread that starts it; a thread has
 * its slots in a block of its own for each address space. All that others
 * need to know of it is in the slot, and all who need to know look at all
 * slots: that is rare, and what is frequent writes no line that two threads
 * share.
 */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include <uhmm/memremap.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "../lib/index.h"
#include "../sync/sync.h"

_Static_assert(sizeof(unsigned long) == 8, "addresses of 64 bits");
_Static_assert(sizeof(struct mmu_interval_notifier) == CACHE_LINE,
	       "a subscription is one line");

/* ------------------------------------------------------------------- slots */

/*
 * &slot.word: the invalidation's number, and in the low bits how far it is.
 * 0 in those: the slot is free, and the word is less than the next number.
 */
#define SLOT_ACTIVE 1UL
#define SLOT_STALLED 2UL	/* waits for reservations */
#define SLOT_CALLED 4UL		/* has called all interval notifiers */
#define SLOT_LISTED 8UL		/* is among the list notifiers */
#define SLOT_WALK 16UL		/* invalidates nothing, only walks the list */
#define SLOT_SEARCH 32UL	/* looks at the index */
#define SLOT_STEP 64UL
#define SLOT_ID(word) (((word) & ~(SLOT_STEP - 1)) | SLOT_ACTIVE)
#define SLOT_NEXT(word) ((word) + SLOT_ACTIVE)	/* of one that is free */

/* Numbers are handed to slots by so many; a free slot with the first has none. */
#define SLOT_IDS (1UL << 32)
#define SLOT_HAS_IDS(word) ((unsigned int)(word) != 0)

/*
 * How many of the numbers that it has now a slot has used. With those before and
 * without those of walks it is how often start was called: nobody else counts.
 */
static inline unsigned long slot_numbers(unsigned long word)
{
	return word ? (unsigned int)(word - 1) / SLOT_STEP : 0;
}

/* The top bit of what read_begin returns: look closer at the retry. */
#define SEQ_SLOW (1UL << 63)

/**
 * struct slot - an invalidation under way
 * @word: number and state
 * @version: of the index as the last search began
 * @start: first byte
 * @last: last byte
 * @cursor: with @cursor_order: all subscriptions with a lesser key were called
 * @cursor_order: see @cursor
 * @waiters: how many sleep on @phase, or are about to
 * @phase: changed to wake them
 * @listed: &mmu_notifier.seq of the one being called, and of those before it
 * @list_version: &mm_struct.list_version when it began to walk the list
 * @stalls: odd: it waits for reservations
 * @finishing: second passes are still to come
 *
 * Written by whoever owns the invalidation, all but @waiters.
 */
struct slot {
	unsigned long word;
	unsigned long version;
	unsigned long start;
	unsigned long last;
	unsigned long cursor;
	unsigned long cursor_order;
	unsigned int waiters;
	unsigned int phase;
	unsigned long listed;
	unsigned long list_version;
	unsigned int stalls;
	unsigned int finishing;
} __attribute__((aligned(2 * CACHE_LINE)));

#define BLOCK_SLOTS 4

/* See slot_numbers() for the starts. */
struct counters {
	unsigned long earlier;
	unsigned long walks;
	unsigned long hits;
	unsigned long refusals;
	unsigned long retries;
	unsigned long waits;
	unsigned long wait_longest_ns;
};

/**
 * struct thread_block - what a thread needs in one address space
 * @slots: for invalidations that are open at the same time
 * @nslots: how many others must look at: the first, and those ever used
 * @holds: see slot_hold()
 * @finger: where the last search ended
 * @counters: written by the owner only
 * @owner: sync_thread_number() of the thread; 0: free to take
 * @next: the block made before it
 *
 * Never freed before the address space. A thread with more than BLOCK_SLOTS
 * invalidations open has more than one.
 */
struct thread_block {
	struct slot slots[BLOCK_SLOTS];
	struct index_finger finger;
	struct counters counters;
	unsigned long owner;
	unsigned long nslots;
	unsigned long holds;
	struct thread_block *next;
} __attribute__((aligned(2 * CACHE_LINE)));

_Static_assert(sizeof(struct thread_block) == 640, "as uhmm_mmu_notifier(7) says");

/* ------------------------------------------------------------ address space */

/* &mm_struct.flags */
#define MM_LIST 1U		/* list notifiers are, or were, registered */
#define MM_CHECK 2U		/* the contract checker runs */
#define MM_RELEASED 4U		/* RELEASE is being delivered, or has been */
#define MM_REMOVING 8U		/* asynchronous removals are pending */

/**
 * struct mm_struct - an address space
 * @id: never given twice
 * @flags: MM_*
 * @blocks: of all threads that ever were here; only grows
 * @chunks: pages that the blocks are in
 * @ops: its operations
 * @private_data: for @ops
 * @check: the contract checker's, with MM_CHECK
 * @reserve_limit_ns: how long an invalidation waits for reservations
 * @reserve_after: how many collisions in a row make one
 * @index: the interval notifiers
 * @users: mm_users
 * @count: mm_count
 * @device_frames: frames of devices that are in it, under the lock of these; of all
 *	of them together it has one reference
 * @next_ids: the first number not handed to a slot yet
 * @reserves: reservations taken
 * @reserves_lost: reservations that outlived the limit
 * @nblocks: how many @blocks
 * @mmap_lock: see <uhmm/mm.h>
 * @list_lock: for all below
 * @list: list notifiers, the newest first; read without the lock
 * @list_seq: number of the newest
 * @list_version: grows when one is taken off
 * @putting: off the list by mmu_notifier_put(), not freed yet
 * @freed: how many were freed; slept on
 * @reaping: threads that have taken some out of @putting to free them
 * @removing: subscriptions being removed asynchronously, up to SUB_NO_NEXT
 * @next_mm: in the list of all address spaces
 * @prev_mm: in the list of all address spaces
 */
struct mm_struct {
	unsigned long id;
	unsigned int flags;
	struct thread_block *blocks;
	struct block_chunk *chunks;
	const struct uhmm_mm_ops *ops;
	void *private_data;
	struct mm_check *check;
	int64_t reserve_limit_ns;
	unsigned int reserve_after;
	struct interval_index index __cacheline_aligned;
	long users __cacheline_aligned;
	long count;
	unsigned long device_frames;
	unsigned long next_ids;
	unsigned long reserves;
	unsigned long reserves_lost;
	unsigned long nblocks;
	struct rw_semaphore mmap_lock;
	spinlock_t list_lock;
	struct mmu_notifier *list;
	unsigned long list_seq;
	unsigned long list_version;
	struct mmu_notifier *putting __guarded_by(&list_lock);
	unsigned int freed;
	unsigned int reaping;
	struct mmu_interval_notifier *removing __guarded_by(&list_lock);
	struct mm_struct *next_mm, *prev_mm;
};

/*
 * In one page lies what an invalidation looks at where subscriptions are few, also
 * the blocks of the threads that come first.
 */
#define MM_BYTES 4096UL
#define MM_SIZE \
	((sizeof(struct mm_struct) + 2 * CACHE_LINE - 1) & ~(2 * CACHE_LINE - 1UL))

_Static_assert(MM_SIZE + sizeof(struct thread_block) < MM_BYTES - 2 * CACHE_LINE, "one");

/*
 * &mmu_interval_notifier.removing: NULL, or how far it is; of one that is
 * removed asynchronously: the next of them.
 */
#define SUB_INSERTED ((struct mmu_interval_notifier *)1)
#define SUB_UNLINKED ((struct mmu_interval_notifier *)2)
#define SUB_HOLDS ((struct mmu_interval_notifier *)3)	/* with a reference */
#define SUB_NO_NEXT ((struct mmu_interval_notifier *)4)	/* and all above: async */

/* The first &invalidate_seq of a subscription; no invalidation has it. */
#define SEQ_BORN(order) ((order) * SLOT_STEP | 3)

static inline struct mmu_interval_notifier *
sub_of(struct uhmm_interval_node *node)
{
	return container_of(node, struct mmu_interval_notifier, interval_tree);
}

/* mm.c */
int mm_create(const struct uhmm_mm_options *options,
	      const struct uhmm_mm_ops *ops, struct mm_struct **ret_mm);
void mm_for_each(void (*fn)(struct mm_struct *mm, void *arg), void *arg);
/* Is it inserted somewhere, or its removal not over? */
bool mm_has_sub(const struct mmu_interval_notifier *sub);
/* The address space with the least id above @id, grabbed; NULL: none. */
struct mm_struct *mm_next(unsigned long id);

static inline bool mm_alive(const struct mm_struct *mm)
{
	return READ_ONCE(mm->users) > 0;
}

/* How long to wait, and whether a signal handler ends it. */
struct patience {
	int64_t deadline;	/* in ktime_get_ns(); < 0: none */
	bool interruptible;
};

static const struct patience PATIENCE_ENDLESS = { -1, false };

/* slot.c */
/* Is what is waited for over, in a slot that has @word? */
typedef bool (*slot_over_fn)(const struct slot *slot, unsigned long word,
			     const void *arg);
struct patience patience(int64_t timeout_ns);
/* 0: over; -ETIMEDOUT; -EINTR. */
int slot_wait(struct slot *slot, slot_over_fn over, const void *arg,
	      struct patience patience);
void slot_wake(struct slot *slot);
/* Until the search that is under way in @slot, which has @word, is over. */
void slot_wait_search(const struct slot *slot, unsigned long word);
struct slot *slot_get_slow(struct mm_struct *mm, bool may_sleep,
			   struct thread_block **ret_block);
bool slot_thread_busy(struct mm_struct *mm, const struct slot *except);
struct counters *slot_counters(struct mm_struct *mm);
void slot_wait_holders(struct mm_struct *mm);
struct thread_block *slot_hold_slow(struct mm_struct *mm);
unsigned long slot_oldest_reader(void *mm);
/* @room: for the blocks of the first threads; it stays. */
void slot_mm_init(struct mm_struct *mm, void *room, size_t size);
void slot_mm_destroy(struct mm_struct *mm);
void slot_fork_child(struct mm_struct *mm, unsigned long old_number);

static inline struct thread_block *block_first(const struct mm_struct *mm)
{
	/*
	 * Ordering: (BLOCKS-SEEN) pairs with (BLOCKS-PUSH) in block_make(): a
	 * block is seen as it was made.
	 */
	return smp_load_acquire(&mm->blocks);
}

#define for_each_block(block, mm) \
	for ((block) = block_first(mm); (block); (block) = (block)->next)
#define for_each_slot(slot, block, mm) \
	for_each_block(block, mm) \
		for ((slot) = (block)->slots; \
		     (slot) < (block)->slots + READ_ONCE((block)->nslots); \
		     (slot)++)

/*
 * This thread's block of the address space that it used last: at a place that is
 * known at once. Those of some others are a call away.
 */
struct block_cache {
	unsigned long mm_id;
	struct thread_block *block;
};
extern __thread struct block_cache block_recent
	__attribute__((tls_model("initial-exec")));

/* The calling thread's, if it is at hand; NULL: it is not. */
static inline struct thread_block *block_at_hand(const struct mm_struct *mm)
{
	return likely(block_recent.mm_id == mm->id) ? block_recent.block : NULL;
}

/*
 * Is the first slot of the calling thread at hand, and free? Then invalidations
 * in it get @ret_id next.
 */
static inline bool slot_at_hand(struct mm_struct *mm,
				struct thread_block **ret_block,
				unsigned long *ret_id)
{
	struct thread_block *block = block_recent.block;
	unsigned long word;

	if (unlikely(block_recent.mm_id != mm->id))
		return false;
	/*
	 * Ordering: (SLOT-REUSE) pairs with (SLOT-STATE) in slot_set(): another
	 * thread may have ended what was in it.
	 */
	word = smp_load_acquire(&block->slots[0].word);
	if (unlikely(word & SLOT_ACTIVE || !SLOT_HAS_IDS(word)))
		return false;
	*ret_block = block;
	*ret_id = SLOT_NEXT(word);
	return true;
}

/* One in any case; NULL: no memory, and not @may_sleep. */
static inline struct slot *slot_get(struct mm_struct *mm, bool may_sleep,
				    struct thread_block **ret_block,
				    unsigned long *ret_id)
{
	struct slot *slot;

	if (likely(slot_at_hand(mm, ret_block, ret_id)))
		return &(*ret_block)->slots[0];
	slot = slot_get_slow(mm, may_sleep, ret_block);
	*ret_id = slot ? SLOT_NEXT(READ_ONCE(slot->word)) : 0;
	return slot;
}

static inline void block_hold(struct thread_block *block)
{
	WRITE_ONCE(block->holds, block->holds + 1);
}

static inline void block_unhold(struct thread_block *block)
{
	/*
	 * Ordering: (HOLD-END) pairs with (HOLD-SEEN) in slot_wait_holders():
	 * nothing of the address space is used any more.
	 */
	smp_store_release(&block->holds, block->holds - 1);
}

/*
 * Keep @mm for a moment, behind the last use of it that keeps it: mm_free()
 * waits. No word is written that all threads share. Before a lock is taken and
 * given back that whoever drops the last reference takes later.
 */
static inline struct thread_block *slot_hold(struct mm_struct *mm)
{
	struct thread_block *block = block_at_hand(mm);

	if (unlikely(!block))
		block = slot_hold_slow(mm);
	if (likely(block))
		block_hold(block);
	return block;
}

/* @block is what slot_hold() returned. */
static inline void slot_unhold(struct mm_struct *mm, struct thread_block *block)
{
	if (likely(block))
		block_unhold(block);
	else
		mmdrop(mm);
}

/*
 * Announce [start, last] with number @id, as slot_get() returned it, and be ready
 * to search. What was published before a fence by somebody who then does not see
 * the announcement is found by the search; who publishes later sees it.
 */
static inline void slot_announce(struct mm_struct *mm, struct slot *slot,
				 unsigned long id, unsigned long start,
				 unsigned long last, unsigned long state)
{
	unsigned long version = READ_ONCE(mm->index.version);

	/*
	 * Ordering: (SLOT-START) pairs with (SLOT-RECHECK) in slot_covers():
	 * who reads the new range with the old word finds the word changed.
	 */
	smp_store_release(&slot->start, start);
	/* Ordering: (SLOT-LAST) pairs with (SLOT-RECHECK) in slot_covers(): as (SLOT-START). */
	smp_store_release(&slot->last, last);
	if (unlikely(READ_ONCE(slot->version) != version))
		WRITE_ONCE(slot->version, version);
	/*
	 * Ordering: (SLOT-ANNOUNCE) pairs with (SLOT-SEEN) in slot_look():
	 * the range is in place before the word says so.
	 */
	smp_store_before_mb(&slot->word, id + (state | SLOT_SEARCH));
	/*
	 * Ordering: (ANNOUNCE-FENCE) pairs with (REMOVE-FENCE) in unlock_unlinked()
	 * and (READ-FENCE) in read_begin_wait() and (OLDEST-FENCE) in
	 * slot_oldest_reader() and (LIST-ADD-FENCE) in list_add() and
	 * (FIRST-FENCE) in interval_read_first() and
	 * (RELEASE-FENCE) in wait_called() and (RESERVE-FENCE) in
	 * known_to_all() and (TAG-CHECK) in uhmm_interval_tag_valid(): of an
	 * announcement and a publication one side at least sees the other's.
	 * Whoever sees our number behind a fence sees the announcement.
	 */
	smp_mb_after_store(&slot->word, id + (state | SLOT_SEARCH));
}

/* For what invalidates nothing. */
static inline void slot_announce_walk(struct mm_struct *mm, struct slot *slot,
				      struct thread_block *block,
				      unsigned long id, unsigned long start,
				      unsigned long last)
{
	WRITE_ONCE(block->counters.walks, block->counters.walks + 1);
	slot_announce(mm, slot, id, start, last, SLOT_WALK | SLOT_CALLED);
}

/* The search is over: nodes of the index are not looked at any more. */
static inline void slot_leave_index(struct slot *slot, unsigned long word)
{
	/*
	 * Ordering: (SEARCH-LEAVE) pairs with (SEARCH-OLD) in
	 * slot_oldest_reader() and (SLOT-SEEN) in slot_look(): our loads are
	 * done before the nodes, or the subscription, are reused.
	 */
	smp_store_release(&slot->word, word);
}

/* See slot_wait_search(). Most slots are free. slot_covers() behind it orders. */
static inline void slot_settle(const struct slot *slot)
{
	unsigned long word = READ_ONCE(slot->word);

	if (unlikely(word & SLOT_SEARCH))
		slot_wait_search(slot, word);
}

/*
 * Something in the slot has changed: wake whoever sleeps until it does. A fence,
 * not an exchange of what changed, which on aarch64 lets the load go ahead.
 */
static inline void slot_changed(struct slot *slot)
{
	if (likely(READ_ONCE(sync_asymmetric))) {
		barrier();
	} else {
		/*
		 * Ordering: (SLOT-CHANGED) pairs with (SLOT-WAITER) in
		 * slot_sleep(): either side sees the other.
		 */
		smp_mb();
	}
	if (unlikely(READ_ONCE(slot->waiters)))
		slot_wake(slot);
}

/* Change the word, and wake whoever sleeps until it changes. */
static inline void slot_set(struct slot *slot, unsigned long word)
{
	/*
	 * Ordering: (SLOT-STATE) pairs with (SLOT-SEEN) in slot_look() and
	 * (SLOT-WAITED) in is_over() and (SLOT-REUSE) in slot_at_hand() and
	 * (SLOT-AGAIN) in block_free_slot() and (WALKER-TRY) in
	 * list_has_walkers() and (SLOT-WAITER) in slot_sleep() and
	 * (REAP-FENCE) in uhmm_interval_notifier_remove_async() and
	 * (PUT-FENCE) in mmu_notifier_put() and (SLOT-OVER) in slot_covers():
	 * who sees the new state sees what the invalidation did before: at the
	 * end, the page tables that it changed; and whoever sleeps is woken.
	 */
	smp_store_release(&slot->word, word);
	slot_changed(slot);
}

static inline void slot_end(struct slot *slot, unsigned long id)
{
	slot_set(slot, id + (SLOT_STEP - SLOT_ACTIVE));
}

static inline unsigned long slot_look(const struct slot *slot)
{
	/*
	 * Ordering: (SLOT-SEEN) pairs with (SLOT-ANNOUNCE) in slot_announce()
	 * and (SLOT-STATE) in slot_set() and (SEARCH-LEAVE) in
	 * slot_leave_index(): see there.
	 */
	return smp_load_acquire(&slot->word);
}

/* Is any invalidation under way? */
static inline bool anything_open(const struct mm_struct *mm)
{
	const struct thread_block *block;
	const struct slot *slot, *end;

	for_each_block(block, mm) {
		slot = block->slots;
		end = slot + READ_ONCE(block->nslots);
		do {
			if (slot_look(slot) & SLOT_ACTIVE)
				return true;
		} while (++slot < end);
	}
	return false;
}

/*
 * Is an invalidation under way in @slot that overlaps [start, last]? Returns
 * its word, 0: none; one that has come meanwhile does not count.
 */
static inline unsigned long slot_covers(const struct slot *slot,
					unsigned long start,
					unsigned long last)
{
	unsigned long word = slot_look(slot);
	bool overlaps;

	if (!(word & SLOT_ACTIVE) || (word & SLOT_WALK))
		return 0;
	overlaps = READ_ONCE(slot->start) <= last &&
		   READ_ONCE(slot->last) >= start;
	/*
	 * Ordering: (SLOT-RECHECK) pairs with (SLOT-START) in slot_announce()
	 * and (SLOT-LAST) in slot_announce(): see there.
	 */
	smp_rmb();
	/*
	 * Ordering: (SLOT-OVER) pairs with (SLOT-STATE) in slot_set(): it may
	 * have ended since, and then that is what we go on after.
	 */
	if (SLOT_ID(smp_load_acquire(&slot->word)) != SLOT_ID(word) ||
	    !overlaps)
		return 0;
	return word;
}

/* memremap.c */
struct migrate_vma;
void device_fork_prepare(void);
void device_fork_parent(void);
void device_fork_child(void);
bool device_page_is(unsigned long pfn, enum memory_type type);
/* uhmm_device_page_unlock() and uhmm_device_page_put() in one step. */
void device_page_unlock_put(unsigned long pfn);
void *device_page_ptr(unsigned long pfn);
/* The same, but NULL if its bytes are not in the device's memory. */
void *device_page_bytes(unsigned long pfn);
/*
 * For many at once, in the form of migrate_vma: the lock is taken once for some.
 * All that migrate and are a device's are in @mm now, or in what is forked from it.
 */
void device_pages_went(struct mm_struct *mm, const unsigned long *src,
		       const unsigned long *dst, unsigned long n);
/* As long as they are a device's, device_page_unlock_put(); how many that was. */
unsigned long device_pages_unlock_put(const unsigned long *mpfns,
				      unsigned long n);
/*
 * Of @n frames in a row those in private memory that are in use, and nobody else's: they
 * are in @mm now; the reference and the lock of the migration are given up, the one to
 * the entry, which is at @addr for the first, and a page further for each. How many, up
 * to any other; whose src says MIGRATE_PFN_SETTLED then.
 */
unsigned long device_pages_settle(struct mm_struct *mm, unsigned long pfn,
				  unsigned long n, unsigned long addr);
/* Its bytes, and all of its device's, where there are any; NULL: there are none. */
void *device_page_memory(unsigned long pfn, unsigned long *ret_start,
			 unsigned long *ret_end);
/*
 * The same: if nothing was mapped or unmapped since, by @recent, what was found last; 0
 * at first, and under a lock of the caller's.
 */
struct device_memory {
	unsigned long as;
	unsigned long first;
	unsigned long n;
	unsigned long start;
};
void *device_page_memory_near(struct device_memory *recent, unsigned long pfn,
			      unsigned long *ret_end);
/* At which address its entry is: kept for address spaces without page tables. */
void device_page_set_where(unsigned long pfn, unsigned long addr);
unsigned long device_page_where(unsigned long pfn);
/* Its bytes are there too; where that is; 0: they are the device's memory's. */
void device_page_set_there(unsigned long pfn, bool there);
unsigned long device_page_there(unsigned long pfn);

/* notifier_list.c */
int list_start(struct slot *slot, struct mmu_notifier_range *range);
void list_end(struct slot *slot, struct mmu_notifier_range *range);
void list_release(struct mm_struct *mm);
void list_reap(struct mm_struct *mm);

/* mmu_notifier.c */
void interval_release(struct mm_struct *mm);
/* Of those that are stamped, not called. */
extern const struct mmu_interval_notifier_ops tagged_ops;

/* subscription.c */
void interval_reap(struct mm_struct *mm, bool all);

/* reserve.c */
bool reserve_held(const struct mmu_interval_notifier *sub);
void reserve_wait(struct mm_struct *mm, struct slot *slot,
		  struct uhmm_interval_node *const *hits, unsigned int n,
		  int64_t *deadline);

#endif
