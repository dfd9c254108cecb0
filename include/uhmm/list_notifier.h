/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * List notifiers: called for every invalidation of an address space, after
 * the interval notifiers, the one registered last first. Part of
 * <uhmm/mmu_notifier.h>, which includes it.
 */
#ifndef UHMM_LIST_NOTIFIER_H
#define UHMM_LIST_NOTIFIER_H

#include <uhmm/mmu_notifier.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct mmu_notifier_ops - how a list notifier is called
 * @release: the address space ends, or the notifier is unregistered: called
 *	once at most. No device access afterwards.
 * @clear_flush_young: forget and return whether pages were used; TLBs flushed
 * @clear_young: the same, TLBs may stay
 * @test_young: was the page used?
 * @arch_invalidate_secondary_tlbs: for hardware that walks the CPU's page
 *	table: called when that has changed; must not sleep. Not together with
 *	the two below.
 * @invalidate_range_start: as &mmu_interval_notifier_ops.invalidate, for any
 *	range. 0; -EAGAIN if it would have had to sleep and may not. An op that
 *	can refuse has no @invalidate_range_end.
 * @invalidate_range_end: the page tables are changed
 * @alloc_notifier: for mmu_notifier_get(): a new one, or an error pointer
 * @free_notifier: for mmu_notifier_put(): nobody uses it any more. Must not
 *	sleep.
 */
struct mmu_notifier_ops {
	void (*release)(struct mmu_notifier *subscription,
			struct mm_struct *mm);
	bool (*clear_flush_young)(struct mmu_notifier *subscription,
				  struct mm_struct *mm, unsigned long start,
				  unsigned long end);
	bool (*clear_young)(struct mmu_notifier *subscription,
			    struct mm_struct *mm, unsigned long start,
			    unsigned long end);
	bool (*test_young)(struct mmu_notifier *subscription,
			   struct mm_struct *mm, unsigned long address);
	void (*arch_invalidate_secondary_tlbs)(struct mmu_notifier *subscription,
					       struct mm_struct *mm,
					       unsigned long start,
					       unsigned long end);
	int (*invalidate_range_start)(struct mmu_notifier *subscription,
				      const struct mmu_notifier_range *range);
	void (*invalidate_range_end)(struct mmu_notifier *subscription,
				     const struct mmu_notifier_range *range);
	struct mmu_notifier *(*alloc_notifier)(struct mm_struct *mm);
	void (*free_notifier)(struct mmu_notifier *subscription);
};

/**
 * struct mmu_notifier - a subscription to a whole address space
 * @ops: how it is called
 * @mm: the address space
 * @users: mmu_notifier_get() less mmu_notifier_put()
 *
 * The one registered last is called first, at start, end and release alike.
 */
struct mmu_notifier {
	/* private: */
	struct mmu_notifier *next;
	/* public: */
	const struct mmu_notifier_ops *ops;
	struct mm_struct *mm;
	unsigned int users;
	/* private: */
	unsigned int state;
	unsigned long seq;
	unsigned long version;
	struct mmu_notifier *pending;
};

/**
 * mmu_notifier_register() - subscribe to a whole address space
 * @subscription: with ops set
 * @mm: the address space; the caller has a use of it
 *
 * Returns when every invalidation that does not know of it has ended, those
 * that the calling thread itself has open excepted: so it never sees an end
 * without a start, and nothing changes unseen afterwards.
 *
 * Context: may sleep; takes mmap_lock for writing.
 * Return: 0; -EINVAL: a pointer is NULL, @mm has ended, or ops have
 * arch_invalidate_secondary_tlbs together with range callbacks; -EBUSY: it is
 * registered already; -EDEADLK: the contract checker, see <uhmm/check.h>, found
 * that it would wait for its caller.
 */
int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm);

/**
 * __mmu_notifier_register() - subscribe with mmap_lock held for writing
 * @subscription: with ops set
 * @mm: the address space
 *
 * Context: may sleep.
 * Return: as mmu_notifier_register().
 */
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm);

/**
 * uhmm_notifier_register_timeout() - register, with an end to patience
 * @subscription: with ops set
 * @mm: the address space
 * @timeout_ns: how long to wait for invalidations under way; < 0: for ever
 *
 * After -ETIMEDOUT or -EINTR it *is* registered, but older invalidations that
 * do not know of it are still under way: call it again to go on waiting, or
 * unregister.
 *
 * Context: may sleep; does not take mmap_lock.
 * Return: as mmu_notifier_register(), and -ETIMEDOUT; -EINTR.
 */
int uhmm_notifier_register_timeout(struct mmu_notifier *subscription,
				   struct mm_struct *mm, int64_t timeout_ns);

/**
 * mmu_notifier_unregister() - end a subscription
 * @subscription: the subscription
 * @mm: its address space
 *
 * Calls ops->release unless that has been done. After it returned no callback
 * runs. Waits for callbacks of this address space only.
 *
 * Context: may sleep; not in a callback, no lock held that a callback takes.
 */
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm);

/**
 * uhmm_notifier_unregister_timeout() - unregister, with an end to patience
 * @subscription: the subscription
 * @mm: its address space
 * @timeout_ns: how long to wait for callbacks; < 0: for ever
 *
 * After an error it is off the list, but callbacks may still run: call it
 * again, before the memory is reused.
 *
 * Context: as mmu_notifier_unregister().
 * Return: 0; -ETIMEDOUT; -EINTR: a signal handler ran; -EINVAL: a NULL
 * pointer, or it is not registered there; -EDEADLK: as mmu_notifier_register().
 */
int uhmm_notifier_unregister_timeout(struct mmu_notifier *subscription,
				     struct mm_struct *mm, int64_t timeout_ns);

/**
 * uhmm_err_ptr() - an error as a pointer
 * @error: -errno
 *
 * As Linux has it: the top 4095 addresses are no objects.
 *
 * Context: any.
 * Return: the pointer.
 */
static inline void *uhmm_err_ptr(long error)
{
	return (void *)(intptr_t)error;
}

/**
 * uhmm_ptr_err() - the error in a pointer
 * @ptr: what mmu_notifier_get() returned
 *
 * Context: any.
 * Return: -errno, or 0 if @ptr is a pointer.
 */
static inline int uhmm_ptr_err(const void *ptr)
{
	return (uintptr_t)ptr >= (uintptr_t)-4095 ? (int)(intptr_t)ptr : 0;
}

/**
 * mmu_notifier_get() - find or make the notifier of these ops
 * @ops: with alloc_notifier and free_notifier
 * @mm: the address space
 *
 * Context: may sleep; takes mmap_lock for writing.
 * Return: the notifier, with one more user; or an error pointer, see
 * uhmm_ptr_err(): -EOVERFLOW: too many users; -EINVAL, -EDEADLK: as
 * mmu_notifier_register(), or ops are incomplete; what alloc_notifier returned.
 */
struct mmu_notifier *mmu_notifier_get(const struct mmu_notifier_ops *ops,
				      struct mm_struct *mm);

/**
 * mmu_notifier_get_locked() - find or make with mmap_lock held for writing
 * @ops: with alloc_notifier and free_notifier
 * @mm: the address space
 *
 * Context: may sleep.
 * Return: as mmu_notifier_get().
 */
struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm);

/**
 * mmu_notifier_put() - give a notifier back
 * @subscription: from mmu_notifier_get()
 *
 * The last one takes it off the list; free_notifier is called once no
 * callback can run, by this call or by the thread whose callback was last.
 * release is not called.
 *
 * Context: any, also from release.
 */
void mmu_notifier_put(struct mmu_notifier *subscription);

/**
 * mmu_notifier_synchronize() - wait until every free_notifier has run
 *
 * Description: Waits for those that were put before this call, in any address
 * space. To be called before the code of a free_notifier is unloaded.
 *
 * Context: may sleep; not in a callback.
 */
void mmu_notifier_synchronize(void);

/**
 * uhmm_notifier_synchronize_timeout() - synchronize, with an end to patience
 * @timeout_ns: how long to wait; < 0: for ever
 *
 * Context: may sleep; not in a callback.
 * Return: 0; -ETIMEDOUT; -EINTR: a signal handler ran; -EDEADLK: as
 * mmu_notifier_register().
 */
int uhmm_notifier_synchronize_timeout(int64_t timeout_ns);

/**
 * mmu_notifier_clear_flush_young() - ask all whether pages were used, and forget
 * @mm: the address space
 * @start: first byte
 * @end: first byte behind
 *
 * Context: may sleep if callbacks do.
 * Return: true if anyone used them.
 */
bool mmu_notifier_clear_flush_young(struct mm_struct *mm, unsigned long start,
				    unsigned long end);

/**
 * mmu_notifier_clear_young() - ask and forget, without flushing TLBs
 * @mm: the address space
 * @start: first byte
 * @end: first byte behind
 *
 * Context: may sleep if callbacks do.
 * Return: true if anyone used them.
 */
bool mmu_notifier_clear_young(struct mm_struct *mm, unsigned long start,
			      unsigned long end);

/**
 * mmu_notifier_test_young() - ask until one says that a page was used
 * @mm: the address space
 * @address: in the page
 *
 * Context: may sleep if callbacks do.
 * Return: true if anyone used it.
 */
bool mmu_notifier_test_young(struct mm_struct *mm, unsigned long address);

/**
 * mmu_notifier_arch_invalidate_secondary_tlbs() - the page table has changed
 * @mm: the address space
 * @start: first byte
 * @end: first byte behind
 *
 * Context: must not sleep.
 */
void mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end);

#ifdef __cplusplus
}
#endif
#endif
