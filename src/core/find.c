/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "find.h"

#include "internal.h"

/* Those with @ops of @found, in place; they cannot go meanwhile. */
static unsigned int with_ops(struct uhmm_interval_node *const *found,
			     unsigned int n,
			     const struct mmu_interval_notifier_ops *ops,
			     struct mmu_interval_notifier **out)
{
	unsigned int i, k = 0;

	for (i = 0; i < n; i++)
		if (sub_of(found[i])->ops == ops)
			out[k++] = sub_of(found[i]);
	return k;
}

unsigned int interval_find(struct mm_struct *mm,
			   const struct mmu_interval_notifier_ops *ops,
			   unsigned long start, unsigned long last,
			   struct index_walk *walk,
			   struct mmu_interval_notifier **out)
{
	struct uhmm_interval_node *found[INDEX_BATCH];
	const struct index_search *search = mm->index.search;
	bool begun = walk->start || walk->order;
	struct thread_block *block;
	unsigned long id;
	struct slot *slot;
	unsigned int n;

	slot = slot_get(mm, true, &block, &id);
	slot_announce_walk(mm, slot, block, id, start, last);
	n = begun ? search->resume(&mm->index, start, last, walk, found) :
		    search->first(&mm->index, &block->finger, start, last, walk,
				  found);
	n = with_ops(found, n, ops, out);
	slot_end(slot, id);
	return n;
}

void interval_find_ready(struct mm_struct *mm)
{
	struct thread_block *block;
	unsigned long id;

	slot_get(mm, true, &block, &id);
}
