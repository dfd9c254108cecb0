/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Collision-retry: how a second view of an address space stays coherent.
 *
 * Who changes page tables brackets the change:
 *
 *	mmu_notifier_range_init(&range, event, 0, mm, start, end);
 *	mmu_notifier_invalidate_range_start(&range);
 *	  ... change the page tables, free the pages ...
 *	mmu_notifier_invalidate_range_end(&range);
 *
 * and start calls every subscription that overlaps. Who reads page tables
 * into a view of its own (a device's, say) does
 *
 *	again:
 *		seq = mmu_interval_read_begin(&sub);
 *		  ... read the page tables, without any lock of yours ...
 *		take user_lock
 *		if (mmu_interval_read_retry(&sub, seq))
 *			drop user_lock, goto again
 *		  ... install ...
 *		drop user_lock
 *
 * while its invalidate callback takes user_lock, calls mmu_interval_set_seq(),
 * and takes out of the view what the range covers. Neither side ever holds
 * the other up with a lock: a read that collides with an invalidation throws
 * its result away.
 *
 * What always holds:
 *  - Every subscription that overlaps is called exactly once by each start,
 *    before start returns, in ascending order of first byte and, for equal
 *    ones, in order of insertion. No lock of the library is held then, and two
 *    starts may call one subscription at the same time.
 *  - A read that saw read_retry() false under user_lock may install: each
 *    invalidation that it has not seen calls back later, under user_lock.
 *  - Insert is in force when it returns, remove when it returns. Nobody waits
 *    for an invalidation of a range that does not overlap his.
 *  - A blockable invalidation cannot fail; a non-blockable one that is refused
 *    with -EAGAIN leaves nothing open.
 *
 * Names, arguments and errors are those of Linux where Linux has them; what
 * it does not have is called uhmm_. On error a call has changed nothing, unless
 * its comment says so.
 */
#ifndef UHMM_MMU_NOTIFIER_H
#define UHMM_MMU_NOTIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/interval.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;
struct mmu_notifier;
struct mmu_interval_notifier;

/**
 * enum mmu_notifier_event - why a range is invalidated
 * @MMU_NOTIFY_UNMAP: the area goes away, or moves elsewhere
 * @MMU_NOTIFY_CLEAR: entries are cleared or replaced, the area stays
 * @MMU_NOTIFY_PROTECTION_VMA: the protection of the area changes
 * @MMU_NOTIFY_PROTECTION_PAGE: the protection of pages changes (fork, write-back)
 * @MMU_NOTIFY_SOFT_DIRTY: writes are to be noticed again
 * @MMU_NOTIFY_RELEASE: the address space ends; the last event of all
 * @MMU_NOTIFY_MIGRATE: pages move to or from a device, @owner says whose
 * @MMU_NOTIFY_EXCLUSIVE: a device takes pages for itself, @owner says which
 */
enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP = 0,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
	MMU_NOTIFY_RELEASE,
	MMU_NOTIFY_MIGRATE,
	MMU_NOTIFY_EXCLUSIVE
};

#define MMU_NOTIFIER_RANGE_BLOCKABLE (1U << 0)

/**
 * struct mmu_notifier_range - one invalidation
 * @mm: whose
 * @start: first byte
 * @end: first byte behind
 * @flags: MMU_NOTIFIER_RANGE_BLOCKABLE, written by start itself
 * @event: why
 * @owner: for MIGRATE and EXCLUSIVE: who, so that he can leave his own alone
 *
 * Callbacks get the range as it was announced, not cut to their subscription.
 * It must stay where it is from start to end, which may be called by another
 * thread; brackets may nest and overlap as they like.
 */
struct mmu_notifier_range {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned int flags;
	enum mmu_notifier_event event;
	void *owner;
	/* private: from start to end */
	void *slot;
	unsigned long id;
	unsigned long listed;
};

/**
 * mmu_notifier_range_init() - describe an invalidation
 * @range: what to fill
 * @event: why
 * @flags: 0; kept, but start decides about MMU_NOTIFIER_RANGE_BLOCKABLE
 * @mm: the address space
 * @start: first byte
 * @end: first byte behind
 *
 * Context: any.
 */
static inline void mmu_notifier_range_init(struct mmu_notifier_range *range,
					   enum mmu_notifier_event event,
					   unsigned int flags,
					   struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	range->mm = mm;
	range->start = start;
	range->end = end;
	range->flags = flags;
	range->event = event;
	range->owner = NULL;
	range->slot = NULL;
}

/**
 * mmu_notifier_range_init_owner() - describe an invalidation, with an owner
 * @range: what to fill
 * @event: MMU_NOTIFY_MIGRATE or MMU_NOTIFY_EXCLUSIVE
 * @flags: as for mmu_notifier_range_init()
 * @mm: the address space
 * @start: first byte
 * @end: first byte behind
 * @owner: whoever invalidates
 *
 * Context: any.
 */
static inline void
mmu_notifier_range_init_owner(struct mmu_notifier_range *range,
			      enum mmu_notifier_event event, unsigned int flags,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long end, void *owner)
{
	mmu_notifier_range_init(range, event, flags, mm, start, end);
	range->owner = owner;
}

/**
 * mmu_notifier_range_blockable() - may callbacks sleep?
 * @range: the range that a callback got
 *
 * Context: a callback.
 * Return: true if they may.
 */
static inline bool
mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return (range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE) != 0;
}

/* ------------------------------------------------------ the changing side */

/**
 * mmu_notifier_invalidate_range_start() - about to change page tables
 * @range: what; filled by mmu_notifier_range_init()
 *
 * Interval notifiers are called first, then list notifiers. When it returns
 * no view holds anything of the range, and a read that began meanwhile will
 * retry. Subscriptions with a reservation are waited for, see
 * uhmm_interval_reserve().
 *
 * Context: may sleep. No lock held that a callback takes; mmap_lock may be. The
 * address space is in use, see mmget(), until the matching end has returned.
 * Return: 0; -EINVAL: @range is empty, wraps, or has no mm: then nothing was
 * announced, and the matching end does nothing. (Linux returns nothing here.)
 */
int mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range);

/**
 * mmu_notifier_invalidate_range_start_nonblock() - start without sleeping
 * @range: what
 *
 * Waits for nobody, and takes no lock, not even in a thread's first call; but
 * for a short one while an asynchronous removal or a put is pending.
 *
 * Context: any in which callbacks of a non-blockable range may run.
 * Return: 0; -EAGAIN: a callback would have had to sleep, or memory for the
 * announcement could not be had: the page tables must not be changed, and end
 * must not be called; -EINVAL as above.
 */
int mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range);

/**
 * mmu_notifier_invalidate_range_end() - the page tables are changed
 * @range: what start got
 *
 * Context: may sleep if the range is blockable.
 */
void mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range);

/**
 * mm_has_notifiers() - does anybody watch this address space?
 * @mm: the address space
 *
 * Context: any.
 * Return: true if a list or an interval notifier is registered.
 */
bool mm_has_notifiers(struct mm_struct *mm);

/* ----------------------------------------------------- interval notifiers */

/**
 * struct mmu_interval_notifier_finish - what a first pass leaves to a second
 * @notifier: the subscription; written by the library, as in Linux
 *
 * Embedded in an object of the driver's. One is needed for each call that is
 * between its two passes; a driver that has run out does all in one pass.
 */
struct mmu_interval_notifier_finish {
	/* private: */
	struct mmu_interval_notifier_finish *next;
	/* public: */
	struct mmu_interval_notifier *notifier;
};

/**
 * struct mmu_interval_notifier_ops - how a driver is called
 * @invalidate: take out of the view what @range covers of @interval_sub, and
 *	stop the device from using it, before returning. Under user_lock, call
 *	mmu_interval_set_seq() with @cur_seq, always. May sleep if
 *	mmu_notifier_range_blockable(). Return true; or false if it would have
 *	had to sleep and may not.
 * @invalidate_start: the first of two passes, instead of @invalidate: as that,
 *	but the wait for the device may be left to @invalidate_finish by
 *	returning a &struct mmu_interval_notifier_finish in @finish.
 * @invalidate_finish: the second pass, after the first passes of all; it runs
 *	also when a later first pass refused.
 * @uhmm_invalidate_batch: instead of @invalidate: neighbours in order that
 *	share these ops are passed in one call, so that one lock does for all.
 *	set_seq for each of them. What it refuses, it refuses for all. @n is
 *	as many as one search found, 128 at most.
 * @uhmm_removed: a subscription that uhmm_interval_notifier_remove_async()
 *	took out is not used any more: it may be freed. Must not sleep.
 *
 * Of @invalidate, @invalidate_start and @uhmm_invalidate_batch exactly one is
 * set; @invalidate_finish comes with @invalidate_start.
 */
struct mmu_interval_notifier_ops {
	bool (*invalidate)(struct mmu_interval_notifier *interval_sub,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq);
	bool (*invalidate_start)(struct mmu_interval_notifier *interval_sub,
				 const struct mmu_notifier_range *range,
				 unsigned long cur_seq,
				 struct mmu_interval_notifier_finish **finish);
	void (*invalidate_finish)(struct mmu_interval_notifier_finish *finish);
	bool (*uhmm_invalidate_batch)(struct mmu_interval_notifier *const *subs,
				      size_t n,
				      const struct mmu_notifier_range *range,
				      unsigned long cur_seq);
	void (*uhmm_removed)(struct mmu_interval_notifier *interval_sub);
};

/**
 * struct mmu_interval_notifier - a subscription to an interval of addresses
 * @invalidate_seq: number of the last invalidation that hit it; odd, and
 *	never the same again. Read it with the functions below.
 * @verified: equal to @invalidate_seq while a read may go on at once
 * @interval_tree: the interval, with @start and @last as in Linux
 * @ops: how it is called
 * @mm: whose addresses
 *
 * A driver embeds it; 64 bytes, and one line of cache if it is placed on a
 * multiple of 64, which is worth doing but not needed. It may hold anything
 * before the first insert, which is quicker if @removing is NULL; not to be
 * touched from insert to remove.
 */
struct mmu_interval_notifier {
	/* private: */
	unsigned long invalidate_seq;
	unsigned long verified;
	/* public: */
	struct uhmm_interval_node interval_tree;
	const struct mmu_interval_notifier_ops *ops;
	struct mm_struct *mm;
	/* private: */
	struct mmu_interval_notifier *removing;
};

/**
 * mmu_interval_notifier_insert() - subscribe to an interval
 * @interval_sub: the subscription
 * @mm: the address space
 * @start: first byte; no alignment is asked for
 * @length: bytes
 * @ops: how to call back
 *
 * In force when it returns, whatever is being invalidated: an invalidation
 * that starts later calls back, one that is under way makes the first read
 * wait. Callbacks may run before it returns. May be called in a callback.
 *
 * Context: may sleep; mmap_lock may be held or not.
 * Return: 0; -EOVERFLOW: @length is 0, or the interval wraps; -EINVAL: a
 * pointer is NULL, @ops is incomplete or ambiguous, or @mm has ended; -EBUSY:
 * it is inserted already, wherever, or its removal is not over; -ENOMEM.
 */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops);

/**
 * mmu_interval_notifier_insert_locked() - subscribe under mmap_lock
 * @interval_sub: the subscription
 * @mm: the address space, with mmap_lock held for writing
 * @start: first byte
 * @length: bytes
 * @ops: how to call back
 *
 * Context: may sleep.
 * Return: as mmu_interval_notifier_insert().
 */
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm,
					unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops);

/**
 * mmu_interval_notifier_remove() - end a subscription
 * @interval_sub: the subscription
 *
 * Waits for callbacks of this subscription that run or must still run, and
 * for nothing else. After it returned none will, and the memory is the
 * caller's again. Allowed after the address space has ended.
 *
 * An invalidation that begins later and finds nobody takes no lock, and is not
 * ordered behind this by C11's letter. If what was done before the removal has
 * to be over for who invalidates, the caller orders the two, by a lock of its own
 * or the like.
 *
 * Context: may sleep. Not in a callback (see
 * uhmm_interval_notifier_remove_async()), no lock held that a callback takes.
 */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub);

/**
 * uhmm_interval_notifier_remove_timeout() - remove, with an end to patience
 * @interval_sub: the subscription
 * @timeout_ns: how long to wait for callbacks, in nanoseconds; < 0: for ever
 *
 * After an error the subscription is no longer called by new invalidations,
 * but callbacks may still run: call it again, before the memory is reused.
 *
 * Context: as mmu_interval_notifier_remove().
 * Return: 0: removed; -ETIMEDOUT; -EINTR: a signal handler ran; -EBUSY:
 * uhmm_interval_notifier_remove_async() has begun to remove it; -EINVAL,
 * -EDEADLK: the contract checker found it removed, or waiting for its caller.
 */
int uhmm_interval_notifier_remove_timeout(struct mmu_interval_notifier *interval_sub,
					  int64_t timeout_ns);

/**
 * uhmm_interval_notifier_remove_async() - end a subscription from a callback
 * @interval_sub: the subscription, its ops have uhmm_removed
 *
 * No invalidation that starts later calls it. Once none of the earlier ones
 * can any more, uhmm_removed is called, once: by this call, by the thread
 * whose invalidation was the last, or by the last mmdrop(). Driver pattern:
 * an object that finds itself empty in its own callback.
 *
 * Once for each subscription: callbacks that may run in parallel have to agree
 * on who calls.
 *
 * Context: any, callbacks included.
 * Return: 0; -EINVAL: ops have no uhmm_removed, or it is not inserted.
 */
int uhmm_interval_notifier_remove_async(struct mmu_interval_notifier *interval_sub);

/* private: the ways that are not taken as a rule */
unsigned long uhmm_interval_read_begin_slow(struct mmu_interval_notifier *interval_sub,
					    unsigned long seq);
bool uhmm_interval_read_retry_slow(struct mmu_interval_notifier *interval_sub,
				   unsigned long seq);
bool uhmm_interval_check_retry_slow(struct mmu_interval_notifier *interval_sub,
				    unsigned long seq);

/**
 * mmu_interval_read_begin() - begin to read page tables
 * @interval_sub: the subscription that covers what is read
 *
 * Waits for invalidations under way that overlap the subscription, and for no
 * other. Two loads of one line when nothing hit the
 * subscription since the last read.
 *
 * Context: may sleep. user_lock not held, nor any lock a callback takes.
 * Return: the odd number to give to mmu_interval_read_retry().
 */
static inline unsigned long
mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub)
{
	unsigned long seq;

	/* What it is the number of is waited for behind a fence, or was. */
	seq = __atomic_load_n(&interval_sub->invalidate_seq, __ATOMIC_RELAXED);
	/*
	 * Ordering: (READ-VERIFIED) pairs with (VERIFY) in verify(): who looked
	 * at the slots for this number saw those invalidations end, and so
	 * must we.
	 */
	if (__builtin_expect(__atomic_load_n(&interval_sub->verified,
					     __ATOMIC_ACQUIRE) == seq, 1))
		return seq;
	return uhmm_interval_read_begin_slow(interval_sub, seq);
}

/**
 * mmu_interval_read_retry() - end a read: may its result be used?
 * @interval_sub: the subscription
 * @seq: what mmu_interval_read_begin() returned
 *
 * Context: user_lock held, and kept until the result is installed.
 * Return: true if the read collided and is to be done again.
 */
static inline bool
mmu_interval_read_retry(struct mmu_interval_notifier *interval_sub,
			unsigned long seq)
{
	if (__builtin_expect(__atomic_load_n(&interval_sub->invalidate_seq,
					     __ATOMIC_RELAXED) == seq, 1))
		return false;
	return uhmm_interval_read_retry_slow(interval_sub, seq);
}

/**
 * mmu_interval_check_retry() - has a read collided already?
 * @interval_sub: the subscription
 * @seq: what mmu_interval_read_begin() returned
 *
 * Context: any, user_lock not needed.
 * Return: true if mmu_interval_read_retry() is certain to return true; false
 * says nothing.
 */
static inline bool
mmu_interval_check_retry(struct mmu_interval_notifier *interval_sub,
			 unsigned long seq)
{
	if (__builtin_expect(__atomic_load_n(&interval_sub->invalidate_seq,
					     __ATOMIC_RELAXED) == seq, 1))
		return false;
	return uhmm_interval_check_retry_slow(interval_sub, seq);
}

/**
 * mmu_interval_set_seq() - tell readers that they collided
 * @interval_sub: the subscription that is called
 * @cur_seq: what the callback got
 *
 * Context: in the callback, user_lock held; unconditionally.
 */
static inline void
mmu_interval_set_seq(struct mmu_interval_notifier *interval_sub,
		     unsigned long cur_seq)
{
	__atomic_store_n(&interval_sub->invalidate_seq, cur_seq,
			 __ATOMIC_RELAXED);
}

/**
 * uhmm_interval_read_begin_timeout() - begin to read, with an end to patience
 * @interval_sub: the subscription
 * @timeout_ns: how long to wait, in nanoseconds; < 0: for ever
 * @ret_seq: returns the number for mmu_interval_read_retry(); on error untouched
 *
 * Context: as mmu_interval_read_begin().
 * Return: 0; -ETIMEDOUT; -EINTR: a signal handler ran; -EINVAL: a NULL
 * pointer; -EDEADLK: the contract checker, see <uhmm/check.h>, found that it
 * would wait for its caller, or that @interval_sub is not inserted.
 */
int uhmm_interval_read_begin_timeout(struct mmu_interval_notifier *interval_sub,
				     int64_t timeout_ns,
				     unsigned long *ret_seq);

/* ------------------------------------------------------- forward progress */

/**
 * uhmm_interval_reserve() - let invalidations wait for this thread's read
 * @interval_sub: the subscription that is read
 *
 * Blockable invalidations that start later and hit the subscription wait
 * before they call back, until a read that this thread begins afterwards ends
 * with mmu_interval_read_retry() false, or uhmm_interval_unreserve(), or the
 * limit is over (&uhmm_mm_options.reserve_limit_us): then they go on, and the
 * reservation is lost and counted. Non-blockable ones and those of a thread
 * that has another invalidation open or a reservation itself do not wait.
 * A thread that collided &uhmm_mm_options.reserve_after times in a row gets one
 * by itself. Take it before user_lock and after mmap_lock.
 * Idea: the lock inside the API that the review of 1 September 2015 asked for,
 * without its deadlock.
 *
 * Context: any; user_lock not held.
 * Return: 0, also if it was reserved already; -EBUSY: 65535 threads have it;
 * -ENOMEM; in a checked address space also -EINVAL and -EDEADLK, see
 * <uhmm/check.h>.
 */
int uhmm_interval_reserve(struct mmu_interval_notifier *interval_sub);

/**
 * uhmm_interval_unreserve() - give up a reservation
 * @interval_sub: the subscription; one that is not reserved is left alone
 *
 * For a read that ends without a successful retry, by an error say.
 *
 * Context: any.
 */
void uhmm_interval_unreserve(struct mmu_interval_notifier *interval_sub);

/* ----------------------------------------------------- tagged subscriptions
 * For a view that checks each entry before each use anyway, as a software TLB
 * does: entries carry the number they were made under, an invalidation stamps
 * the subscription with a new one (one store, no callback, no user_lock), and
 * an entry is good while the two are equal (one compare):
 *
 *	seq = mmu_interval_read_begin(&sub);
 *	entry = { translate(address), seq };		no retry needed
 *	...
 *	if (uhmm_interval_tag_valid(&sub, entry.seq))	at each use
 *
 * When start has returned every check that begins after it fails for entries
 * made before. A use that passed its check before may still be under way:
 * whoever frees memory must keep such uses out by other means, as a VMM does
 * that stops its virtual CPUs, or use callbacks.
 */

/**
 * uhmm_interval_notifier_insert_tagged() - subscribe without a callback
 * @interval_sub: the subscription
 * @mm: the address space
 * @start: first byte
 * @length: bytes
 *
 * Removed like any other.
 *
 * Context: may sleep.
 * Return: as mmu_interval_notifier_insert().
 */
int uhmm_interval_notifier_insert_tagged(struct mmu_interval_notifier *interval_sub,
					 struct mm_struct *mm,
					 unsigned long start,
					 unsigned long length);

/**
 * uhmm_interval_tag_valid() - is an entry made under @tag still good?
 * @interval_sub: the tagged subscription
 * @tag: what mmu_interval_read_begin() returned before the entry was made
 *
 * Context: any.
 * Return: true if nothing has hit the subscription since.
 */
static inline bool
uhmm_interval_tag_valid(const struct mmu_interval_notifier *interval_sub,
			unsigned long tag)
{
	/*
	 * Ordering: (TAG-CHECK) pairs with (ANNOUNCE-FENCE) in slot_announce()
	 * and (TAG-STAMP) in call_other(): a check that sees the new number sees
	 * what led to it. The top bit of what read_begin returns is for
	 * read_retry alone.
	 */
	return __atomic_load_n(&interval_sub->invalidate_seq,
			       __ATOMIC_ACQUIRE) == (tag & ~(1UL << 63));
}

#ifdef __cplusplus
}
#endif

#include <uhmm/list_notifier.h>

#endif
