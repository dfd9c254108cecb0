/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * List notifiers: questions about pages, and hardware that shares the table.
 */
#include "notifier_list.h"

bool mmu_notifier_clear_flush_young(struct mm_struct *mm, unsigned long start,
				    unsigned long end)
{
	struct mmu_notifier *subscription;
	struct list_walk walk;
	bool young = false;
	struct slot *slot;
	unsigned long id;

	if (!(READ_ONCE(mm->flags) & MM_LIST))
		return false;
	slot = list_walk_slot(mm, &id);
	for_each_listed(subscription, &walk, mm, slot, LISTED_ALL)
		if (subscription->ops->clear_flush_young)
			young |= subscription->ops->clear_flush_young(
				subscription, mm, start, end);
	list_walk_end(&walk);
	slot_end(slot, id);
	return young;
}

bool mmu_notifier_clear_young(struct mm_struct *mm, unsigned long start,
			      unsigned long end)
{
	struct mmu_notifier *subscription;
	struct list_walk walk;
	bool young = false;
	struct slot *slot;
	unsigned long id;

	if (!(READ_ONCE(mm->flags) & MM_LIST))
		return false;
	slot = list_walk_slot(mm, &id);
	for_each_listed(subscription, &walk, mm, slot, LISTED_ALL)
		if (subscription->ops->clear_young)
			young |= subscription->ops->clear_young(
				subscription, mm, start, end);
	list_walk_end(&walk);
	slot_end(slot, id);
	return young;
}

bool mmu_notifier_test_young(struct mm_struct *mm, unsigned long address)
{
	struct mmu_notifier *subscription;
	struct list_walk walk;
	bool young = false;
	struct slot *slot;
	unsigned long id;

	if (!(READ_ONCE(mm->flags) & MM_LIST))
		return false;
	slot = list_walk_slot(mm, &id);
	for_each_listed(subscription, &walk, mm, slot, LISTED_ALL) {
		if (subscription->ops->test_young)
			young = subscription->ops->test_young(subscription, mm,
							      address);
		if (young)
			break;
	}
	list_walk_end(&walk);
	slot_end(slot, id);
	return young;
}

void mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	struct mmu_notifier *subscription;
	struct list_walk walk;
	struct slot *slot;
	unsigned long id;

	if (!(READ_ONCE(mm->flags) & MM_LIST))
		return;
	slot = list_walk_slot(mm, &id);
	for_each_listed(subscription, &walk, mm, slot, LISTED_ALL)
		if (subscription->ops->arch_invalidate_secondary_tlbs)
			subscription->ops->arch_invalidate_secondary_tlbs(
				subscription, mm, start, end);
	list_walk_end(&walk);
	slot_end(slot, id);
}
