/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How an entry comes into a leaf of the interval index and leaves it, and the
 * writer's finger: what was inserted last is taken out again, and inserted again,
 * as most often in a hot spot. That is inline, and without a call, so that the
 * caller has nothing to save. Where it is something else that is inserted or
 * removed they do nothing, and return false; all that is in index.c.
 */
#ifndef LIB_INDEX_WRITE_H
#define LIB_INDEX_WRITE_H

#include "index_filter.h"

static inline void leaf_fill(struct index_node *leaf, unsigned int slot,
			     struct uhmm_interval_node *x, unsigned long order,
			     unsigned int lo, unsigned int hi)
{
	WRITE_ONCE(x->order, order | slot);
	WRITE_ONCE(leaf->lo[slot], lo);
	WRITE_ONCE(leaf->hi[slot], hi);
	/*
	 * Ordering: (IX-FILL) pairs with (IX-TAKE) in entry(): who finds @x by
	 * an old word of the leaf must still see what it is.
	 */
	smp_store_release(&leaf->at[slot], (void *)x);
}

/* @lo, @hi: of @x, scaled; @rough: do they not tell? Returns the tag it has then. */
static inline __attribute__((always_inline)) unsigned long
leaf_add(struct index_node *leaf, unsigned long perm,
	 struct uhmm_interval_node *x, unsigned long order, unsigned int lo,
	 unsigned int hi, bool rough, unsigned int pos)
{
	unsigned long tag = leaf->tag + INDEX_FILLING;

	if (rough)
		tag |= INDEX_ROUGH;
	WRITE_ONCE(leaf->tag, tag);
	/*
	 * Ordering: (IX-REFILL-FENCE) pairs with (IX-SAME-TAG) in leaf_tells():
	 * the tag is raised before the slot is filled.
	 */
	smp_wmb();
	leaf_fill(leaf, perm_slot(perm, perm_count(perm)), x, order, lo,
		  hi);
	/*
	 * Ordering: (IX-PUBLISH) pairs with (IX-LEAF) in leaf_hits(): the slot
	 * is filled before it counts as live.
	 */
	smp_store_release(&leaf->perm, perm_insert(perm, pos));
	/*
	 * Ordering: (IX-ADDED) pairs with (IX-WHOLE) in leaf_tag(): who reads
	 * the new tag finds the entry.
	 */
	smp_store_release(&leaf->tag, tag + INDEX_FILLING);
	return tag + INDEX_FILLING;
}

static inline void leaf_drop(struct index_node *leaf, unsigned long perm,
			     unsigned int pos, unsigned int slot)
{
	WRITE_ONCE(leaf->lo[slot], UINT_MAX);
	/*
	 * Ordering: (IX-UNPUBLISH) pairs with (IX-LEAF) in leaf_hits(): who sees
	 * that the slot is not live any more finds nothing there, unless it has
	 * been filled with something else, which comes later still.
	 */
	smp_store_release(&leaf->perm, perm_remove(perm, pos, slot));
}

/*
 * Nothing is known of it: nothing ends before it starts. As long as it comes and goes
 * the filter has it.
 */
static inline void recent_forget(struct interval_index *ix) __must_hold(&ix->lock)
{
	struct index_recent *recent = &ix->path.recent;

	if (filter_counts(ix) && recent->start <= recent->last &&
	    !(recent->tag & RECENT_THERE))
		filter_went(ix, recent->start, recent->last);
	recent->start = ~0UL;
	recent->last = 0;
	recent->x = NULL;
}

/*
 * index_insert(), of what was inserted last, and is gone; @order: the next. Others
 * are there, and room, as nothing came or went since.
 */
static inline __attribute__((always_inline)) bool
index_insert_recent(struct interval_index *ix, struct uhmm_interval_node *x,
		   unsigned long order) __must_hold(&ix->lock)
{
	struct index_recent *recent = &ix->path.recent;
	struct index_node *leaf;

	if (x->start != recent->start || x->last != recent->last)
		return false;
	leaf = ix->path.leaf;
	if (unlikely(leaf->tag != recent->tag))
		return false;
	recent->tag = leaf_add(leaf, leaf->perm, x, order * ORDER_STEP,
			       recent->lo, recent->hi, false, ix->path.pos) |
		      RECENT_THERE;
	recent->x = x;
	ix->next_order = order + 1;
	ix->count++;
	return true;
}

/* index_remove(), of what was inserted last, if others are there. */
static inline __attribute__((always_inline)) bool
index_remove_recent(struct interval_index *ix,
		   const struct uhmm_interval_node *x) __must_hold(&ix->lock)
{
	struct index_recent *recent = &ix->path.recent;
	struct index_node *leaf = ix->path.leaf;
	unsigned long perm;

	if (x != recent->x)
		return false;
	perm = leaf->perm;
	if (unlikely(perm_count(perm) == 1))
		return false;
	leaf_drop(leaf, perm, ix->path.pos, x->order & ORDER_SLOT);
	recent->tag &= ~RECENT_THERE;
	recent->x = NULL;
	ix->count--;
	return true;
}

#endif
