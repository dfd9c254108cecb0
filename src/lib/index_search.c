/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Searching the index: no lock, no retry, each node looked at once at most
 * and only if its bounds say that it can hold a hit. Compiled once for each
 * form of index_match().
 */
#include "index_match.h"

/* Of equal keys none is less. */
static inline bool key_less(unsigned long a, unsigned long a_order,
			    unsigned long b, unsigned long b_order)
{
	return a < b || (a == b && a_order < b_order);
}

/* Append what stands in @slot, if it is what it looked like. */
static inline unsigned int take(const struct index_node *leaf,
				unsigned int slot, unsigned long start,
				unsigned long last,
				const struct index_walk *from,
				struct uhmm_interval_node **out,
				unsigned int n)
{
	/*
	 * Ordering: (IX-TAKE) pairs with (IX-FILL) in leaf_fill(): the slot may
	 * have been filled anew, and then the interval must be seen filled.
	 */
	struct uhmm_interval_node *x = smp_load_acquire(&leaf->at[slot]);

	/* Its owner most likely goes on there, in the callback. */
	__builtin_prefetch((const char *)x + CACHE_LINE);
	if (unlikely(x->start > last || x->last < start))
		return n;
	if (from && key_less(x->start, node_order(x), from->start, from->order))
		return n;
	out[n] = x;
	return n + 1;
}

static void sort_by_key(struct uhmm_interval_node **hits, unsigned int n)
{
	for (unsigned int i = 1, k; i < n; i++) {
		struct uhmm_interval_node *x = hits[i];

		for (k = i; k && key_less(x->start, node_order(x),
					  hits[k - 1]->start,
					  node_order(hits[k - 1])); k--)
			hits[k] = hits[k - 1];
		hits[k] = x;
	}
}

/* What is searched for, as the nodes of one scale have it. */
struct scaled_range {
	unsigned long scale;
	unsigned int start, last;
};

/* Most often that of the node before. */
static inline void rescale(struct scaled_range *range,
			   const struct index_node *node, unsigned long start,
			   unsigned long last)
{
	unsigned long scale = READ_ONCE(node->scale);

	if (likely(scale == range->scale))
		return;
	range->scale = scale;
	range->start = scaled(scale, start);
	range->last = scaled(scale, last);
}

/* The slots in @mask, as @perm has them, in key order. */
static unsigned int leaf_many(const struct index_node *leaf,
			      const struct scaled_range *range,
			      unsigned long perm, unsigned int mask,
			      unsigned long start, unsigned long last,
			      const struct index_walk *from,
			      struct uhmm_interval_node **out, unsigned int n)
{
	/*
	 * Ordering: (IX-AGAIN) pairs with (IX-ADDED) in leaf_add(): what is
	 * added from here on shows when it is read again.
	 */
	unsigned long tag = smp_load_acquire(&leaf->tag);
	/*
	 * Ordering: (IX-LEAVES) pairs with (IX-PUBLISH) in leaf_add() and
	 * (IX-UNPUBLISH) in index_remove(): as (IX-LEAF).
	 */
	unsigned long now = smp_load_acquire(&leaf->perm), left = now;
	unsigned int i, first = n, count = perm_count(now);

	if (unlikely(now != perm))
		mask = index_match(leaf, range->start, range->last);
	for (i = 0; i < count; i++, left >>= 4)
		if (mask >> (left & 15) & 1)
			n = take(leaf, left & 15, start, last, from, out, n);
	/*
	 * A slot that was filled anew meanwhile may hold what belongs elsewhere.
	 * It was taken out of the word first; a word that is the same again has
	 * it in its place if nothing else was added.
	 *
	 * Ordering: (IX-SAME) pairs with (IX-PUBLISH) in leaf_add(): who reads a
	 * word that is the same again reads the tag as it was raised before.
	 */
	if (unlikely(smp_load_acquire(&leaf->perm) != now ||
		     READ_ONCE(leaf->tag) != tag))
		sort_by_key(out + first, n - first);
	return n;
}

static inline __attribute__((always_inline)) unsigned int
leaf_hits(const struct index_node *leaf, const struct scaled_range *range,
	  unsigned long start, unsigned long last,
	  const struct index_walk *from, struct uhmm_interval_node **out,
	  unsigned int n)
{
	/*
	 * Ordering: (IX-LEAF) pairs with (IX-PUBLISH) in leaf_add() and
	 * (IX-UNPUBLISH) in index_remove(): the slots that the word calls live
	 * are seen as they were filled.
	 */
	unsigned long perm = smp_load_acquire(&leaf->perm);
	unsigned int mask = index_match(leaf, range->start, range->last);
	unsigned int i;

	if (!mask)
		return n;
	if (mask & (mask - 1))
		return leaf_many(leaf, range, perm, mask, start, last, from,
				 out, n);
	i = (unsigned int)__builtin_ctz(mask);
	if (perm_position(perm, i) >= perm_count(perm))
		return n;
	return take(leaf, i, start, last, from, out, n);
}

/* The last child that may hold keys from the cursor on, or less. */
static inline unsigned int child_of(const struct index_node *node,
				    const struct index_walk *from)
{
	const struct index_inner *inner = container_of(node, struct index_inner,
						       node);
	unsigned int i = (unsigned int)inner->count - 1;

	while (i && key_less(from->start, from->order, inner->exact[i].lo,
			     inner->exact[i].order))
		i--;
	return i;
}

/* What is left of a node to look at, with the level of what is below it. */
struct pending {
	const struct index_node *node;
	unsigned int mask;
	unsigned int level;
};

/* Stop before child @i of @node, where there may be no more room. */
static void walk_pause(struct index_walk *walk, const struct index_node *node,
		       unsigned int i)
{
	const struct index_inner *inner = container_of(node, struct index_inner,
						       node);

	walk->start = inner->exact[i].lo;
	walk->order = inner->exact[i].order;
	walk->done = false;
	walk->single = false;
}

static inline __attribute__((always_inline)) unsigned int
walk_tree(const struct interval_index *ix, unsigned long start,
	  unsigned long last, struct index_walk *walk, bool resume,
	  struct uhmm_interval_node **out)
{
	/*
	 * Ordering: (IX-ROOT) pairs with (IX-REPLACE) in replace(): a node is
	 * seen as it was made.
	 */
	const struct index_node *node = smp_load_acquire(&ix->root);
	const struct index_walk from = *walk;
	struct scaled_range range = { .scale = SCALE_NONE };
	struct pending stack[INDEX_MAX_HEIGHT];
	unsigned int i, mask, depth = 0, n = 0;
	unsigned int level = node_level(node);
	const struct index_node *leaf = NULL;

	walk->single = true;
	for (;;) {
		while (level) {
			rescale(&range, node, start, last);
			mask = index_match(node, range.start, range.last) &
			       (unsigned int)node->perm;
			if (resume)
				mask &= ~0U << child_of(node, &from);
			if (!mask)
				goto up;
			i = (unsigned int)__builtin_ctz(mask);
			mask &= mask - 1;
			level--;
			if (mask) {
				walk->single = false;
				stack[depth].node = node;
				stack[depth].level = level;
				stack[depth++].mask = mask;
			}
			/*
			 * Ordering: (IX-CHILD) pairs with (IX-REPLACE) in
			 * replace(): as (IX-ROOT).
			 */
			node = smp_load_acquire(&node->at[i]);
			index_prefetch(node);
		}
		leaf = node;
		rescale(&range, leaf, start, last);
		n = leaf_hits(leaf, &range, start, last,
			      resume ? &from : NULL, out, n);
up:
		if (!depth)
			break;
		node = stack[depth - 1].node;
		mask = stack[depth - 1].mask;
		level = stack[depth - 1].level;
		i = (unsigned int)__builtin_ctz(mask);
		if (unlikely(n > INDEX_BATCH - INDEX_FANOUT)) {
			walk_pause(walk, node, i);
			return n;
		}
		stack[depth - 1].mask = mask & (mask - 1);
		depth -= !stack[depth - 1].mask;
		/* Ordering: (IX-NEXT) pairs with (IX-REPLACE) in replace(): as (IX-ROOT). */
		node = smp_load_acquire(&node->at[i]);
		index_prefetch(node);
	}
	walk->done = true;
	walk->leaf = leaf;
	return n;
}

static unsigned int search_leaf(const struct index_node *leaf,
				unsigned long start, unsigned long last,
				struct uhmm_interval_node **out)
{
	struct scaled_range range = { .scale = SCALE_NONE };

	rescale(&range, leaf, start, last);
	return leaf_hits(leaf, &range, start, last, NULL, out, 0);
}

static unsigned int search_first(const struct interval_index *ix,
				 unsigned long start, unsigned long last,
				 struct index_walk *walk,
				 struct uhmm_interval_node **out)
{
	return walk_tree(ix, start, last, walk, false, out);
}

static unsigned int search_resume(const struct interval_index *ix,
				  unsigned long start, unsigned long last,
				  struct index_walk *walk,
				  struct uhmm_interval_node **out)
{
	return walk_tree(ix, start, last, walk, true, out);
}

static unsigned int search_rank(const struct index_node *node,
				unsigned int key)
{
	return index_rank(node, key);
}

const struct index_search INDEX_SEARCH_OPS = {
	.name = INDEX_SEARCH_NAME,
	.leaf = search_leaf,
	.first = search_first,
	.resume = search_resume,
	.rank = search_rank,
};
