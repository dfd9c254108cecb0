/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "find.h"

#include "../lib/index_filter.h"
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
	struct interval_index *ix = &mm->index;
	struct thread_block *block;
	unsigned long id;
	struct slot *slot;
	unsigned int n = 0;

	slot = slot_get(mm, true, &block, &id);
	slot_announce_walk(mm, slot, block, id, start, last);
	/* Who searches for it knows no better, so most likely there is nothing. */
	if (walk->start || walk->order)
		n = ix->search->resume(ix, start, last, walk, found);
	else if (index_filtered(ix) && index_nothing(ix, start, last))
		walk->done = true;
	else
		n = ix->search->first(ix, &block->finger, start, last, walk,
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
