/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The list of notifiers, for those who walk it, wait for walkers, or take
 * something off it.
 */
#ifndef CORE_NOTIFIER_LIST_H
#define CORE_NOTIFIER_LIST_H

#include "internal.h"

/* &mmu_notifier.state */
#define MN_MEMBER 1U		/* registered, and not unregistered to the end */
#define MN_LISTED 2U
#define MN_RELEASED 4U		/* release has been called, or is being */
#define MN_SETTLED 8U		/* invalidations that did not know it are over */

/* Nobody is newer. */
#define LISTED_ALL (~0UL)

/* A way along the list, by those not newer than @newest. */
struct list_walk {
	struct mm_struct *mm;
	struct slot *slot;
	struct mmu_notifier *at;
	unsigned long newest;
};

struct mmu_notifier *list_walk_begin(struct list_walk *w, struct mm_struct *mm,
				     struct slot *slot, unsigned long newest);
struct mmu_notifier *list_walk_next(struct list_walk *w);
void list_walk_end(struct list_walk *w);

#define for_each_listed(subscription, w, mm, slot, newest) \
	for ((subscription) = list_walk_begin(w, mm, slot, newest); \
	     (subscription); (subscription) = list_walk_next(w))

/* For walks that are no part of an invalidation; ended by slot_end(). */
struct slot *list_walk_slot(struct mm_struct *mm, unsigned long *ret_id);

/* Walkers that began before @version and have not passed @subscription. */
bool list_has_walkers(struct mm_struct *mm,
		      const struct mmu_notifier *subscription,
		      unsigned long version);

/* Walks that begin after this do not find it. Returns their version. */
unsigned long list_cut(struct mm_struct *mm, struct mmu_notifier *subscription)
	__must_hold(&mm->list_lock);
/* Itself, or one that has @ops; NULL: neither. */
struct mmu_notifier *list_find(struct mm_struct *mm,
			       const struct mmu_notifier *subscription,
			       const struct mmu_notifier_ops *ops)
	__must_hold(&mm->list_lock);

#endif
