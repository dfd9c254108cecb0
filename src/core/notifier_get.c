/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * List notifiers that are shared and counted: get, put, and the freeing that
 * may have to wait for whoever is still calling.
 */
#include "notifier_list.h"

#include <errno.h>
#include <limits.h>

#include "check.h"

static struct mmu_notifier *get_existing(const struct mmu_notifier_ops *ops,
					 struct mm_struct *mm)
{
	struct mmu_notifier *subscription;

	spin_lock(&mm->list_lock);
	subscription = list_find(mm, NULL, ops);
	if (subscription && subscription->users == UINT_MAX)
		subscription = uhmm_err_ptr(-EOVERFLOW);
	else if (subscription)
		subscription->users++;
	spin_unlock(&mm->list_lock);
	return subscription;
}

struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm)
{
	struct mmu_notifier *subscription;
	int ret;

	if (!ops || !mm || !ops->alloc_notifier || !ops->free_notifier)
		return uhmm_err_ptr(-EINVAL);
	subscription = get_existing(ops, mm);
	if (subscription)
		return subscription;
	subscription = ops->alloc_notifier(mm);
	if (!subscription)
		return uhmm_err_ptr(-ENOMEM);
	if (uhmm_ptr_err(subscription))
		return subscription;
	subscription->ops = ops;
	ret = __mmu_notifier_register(subscription, mm);
	if (ret) {
		ops->free_notifier(subscription);
		return uhmm_err_ptr(ret);
	}
	return subscription;
}

struct mmu_notifier *mmu_notifier_get(const struct mmu_notifier_ops *ops,
				      struct mm_struct *mm)
{
	struct mmu_notifier *subscription;

	if (!mm)
		return uhmm_err_ptr(-EINVAL);
	if (!check_may_wait(mm, "mmu_notifier_get", CHECK_FROM))
		return uhmm_err_ptr(-EDEADLK);
	mmap_write_lock(mm);
	subscription = mmu_notifier_get_locked(ops, mm);
	mmap_write_unlock(mm);
	return subscription;
}

void mmu_notifier_put(struct mmu_notifier *subscription)
{
	struct mm_struct *mm = subscription->mm;
	bool last;

	/* The reference of the subscription is dropped by whoever frees it. */
	mmgrab(mm);
	spin_lock(&mm->list_lock);
	last = subscription->users && !--subscription->users;
	if (last) {
		subscription->pending = mm->putting;
		WRITE_ONCE(mm->putting, subscription);
		if (subscription->state & MN_LISTED) {
			subscription->version = list_cut(mm, subscription);
		} else {
			subscription->version = mm->list_version;
			/*
			 * Ordering: (PUT-FENCE) pairs with (SLOT-STATE) in
			 * slot_set(): a walk that ends behind this sees what is
			 * to be freed. list_cut() has one too.
			 */
			smp_mb_others();
		}
	}
	spin_unlock(&mm->list_lock);
	if (last)
		list_reap(mm);
	mmdrop(mm);
}

/* Free those that were put and that nobody calls any more. */
void list_reap(struct mm_struct *mm)
{
	struct mmu_notifier **at, *subscription, *gone = NULL;
	unsigned long me = sync_thread_number();
	unsigned int n = 0;

	spin_lock(&mm->list_lock);
	at = &mm->putting;
	while ((subscription = *at)) {
		if (list_has_walkers(mm, subscription, subscription->version)) {
			at = &subscription->pending;
			continue;
		}
		WRITE_ONCE(*at, subscription->pending);
		subscription->pending = gone;
		gone = subscription;
		n++;
	}
	mm->reaping += n;
	spin_unlock(&mm->list_lock);
	while ((subscription = gone)) {
		gone = subscription->pending;
		subscription->ops->free_notifier(subscription);
	}
	if (!n)
		return;
	spin_lock(&mm->list_lock);
	/* Not in a child that free_notifier has forked. */
	if (me == sync_thread_number())
		mm->reaping -= n;
	spin_unlock(&mm->list_lock);
	fetch_add(&mm->freed, 1);
	wake_word(&mm->freed);
	while (n--)
		mmdrop(mm);
}

/* -------------------------------------------------------------- synchronize */

static bool all_freed(struct mm_struct *mm, unsigned long version)
{
	struct mmu_notifier *subscription;
	bool freed;

	spin_lock(&mm->list_lock);
	freed = !mm->reaping;
	for (subscription = mm->putting; subscription && freed;
	     subscription = subscription->pending)
		freed = subscription->version > version;
	spin_unlock(&mm->list_lock);
	return freed;
}

static int synchronize_mm(struct mm_struct *mm, struct patience patience)
{
	unsigned long version = READ_ONCE(mm->list_version);
	unsigned int freed;
	int64_t left = -1;
	int ret;

	for (;;) {
		freed = READ_ONCE(mm->freed);
		list_reap(mm);
		if (all_freed(mm, version))
			return 0;
		if (patience.deadline >= 0) {
			left = patience.deadline - ktime_get_ns();
			if (left <= 0)
				return -ETIMEDOUT;
		}
		ret = wait_word(&mm->freed, freed, left);
		if (ret == -EINTR && patience.interruptible)
			return ret;
	}
}

static int synchronize(struct patience patience, const void *from)
{
	unsigned long id = 0;
	struct mm_struct *mm;
	int ret = 0;

	if (!check_may_wait(NULL, "mmu_notifier_synchronize", from))
		return -EDEADLK;
	while (!ret && (mm = mm_next(id))) {
		id = mm->id;
		ret = synchronize_mm(mm, patience);
		mmdrop(mm);
	}
	return ret;
}

void mmu_notifier_synchronize(void)
{
	synchronize(PATIENCE_ENDLESS, CHECK_FROM);
}

int uhmm_notifier_synchronize_timeout(int64_t timeout_ns)
{
	return synchronize(patience(timeout_ns), CHECK_FROM);
}
