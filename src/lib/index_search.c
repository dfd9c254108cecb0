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

/* What stands in @slot. */
static inline struct uhmm_interval_node *entry(const struct index_node *leaf,
					       unsigned int slot)
{
	/*
	 * Ordering: (IX-TAKE) pairs with (IX-FILL) in leaf_fill(): the slot may
	 * have been filled anew, and then the interval must be seen filled.
	 * IX-SAME-TAG would do, but ThreadSanitizer knows no fences.
	 */
	struct uhmm_interval_node *x = smp_load_acquire(&leaf->at[slot]);

	/* Its owner most likely goes on there, in the callback. */
	__builtin_prefetch((const char *)x + CACHE_LINE);
	return x;
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

/* Of what looked like hits, from @first on, those that are. */
static __attribute__((noinline)) unsigned int
leaf_confirm(unsigned long start, unsigned long last,
	     const struct index_walk *from, struct uhmm_interval_node **out,
	     unsigned int first, unsigned int n)
{
	unsigned int i, kept = first;

	for (i = first; i < n; i++) {
		struct uhmm_interval_node *x = out[i];

		if (x->start > last || x->last < start)
			continue;
		if (from && key_less(x->start, node_order(x), from->start,
				     from->order))
			continue;
		out[kept++] = x;
	}
	sort_by_key(out + first, kept - first);
	return kept;
}

/* The live ones of the slots in @mask, in key order. */
static inline unsigned int leaf_many(const struct index_node *leaf,
				     unsigned long perm, unsigned int mask,
				     struct uhmm_interval_node **out,
				     unsigned int n)
{
	unsigned int i, count = perm_count(perm);

	for (i = 0; i < count; i++, perm >>= 4)
		if (mask >> (perm & 15) & 1)
			out[n++] = entry(leaf, perm & 15);
	return n;
}

/*
 * A leaf is taken at its word, the lines of the intervals are not waited for:
 * unless it is rough, or the range begins before its base, it tells exactly
 * what overlaps. That holds for the entries that were there all the time; if
 * one was added meanwhile, its slot may have been another's, who is gone: then
 * the intervals themselves are asked.
 */
static inline __attribute__((always_inline)) unsigned int
leaf_hits(const struct index_node *leaf, const struct scaled_range *range,
	  unsigned long start, unsigned long last,
	  const struct index_walk *from, struct uhmm_interval_node **out,
	  unsigned int first)
{
	/*
	 * Ordering: (IX-WHOLE) pairs with (IX-REFILL) in leaf_add() and
	 * (IX-ADDED) in leaf_add(): a slot that was filled before this, or is
	 * being filled, is not taken for what it was before.
	 */
	unsigned long tag = smp_load_acquire(&leaf->tag);
	/*
	 * Ordering: (IX-LEAF) pairs with (IX-PUBLISH) in leaf_add() and
	 * (IX-UNPUBLISH) in index_remove(): the slots that the word calls live
	 * are seen as they were filled.
	 */
	unsigned long perm = smp_load_acquire(&leaf->perm);
	unsigned int mask = index_match(leaf, range->start, range->last);
	unsigned int i, n = first;

	if (!mask)
		return n;
	if (mask & (mask - 1)) {
		n = leaf_many(leaf, perm, mask, out, n);
	} else {
		i = (unsigned int)__builtin_ctz(mask);
		if (perm_position(perm, i) >= perm_count(perm))
			return n;
		out[n++] = entry(leaf, i);
	}
	/*
	 * Ordering: (IX-SAME-TAG) pairs with (IX-REFILL-FENCE) in leaf_add():
	 * who has read anything of what a slot was filled with finds the tag
	 * raised.
	 */
	smp_rmb();
	if (likely(READ_ONCE(leaf->tag) == tag && !(tag & INDEX_ROUGH) &&
		   start >= scale_base(range->scale) && !from))
		return n;
	return leaf_confirm(start, last, from, out, first, n);
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

static inline const struct index_node *root(const struct interval_index *ix)
{
	/*
	 * Ordering: (IX-ROOT) pairs with (IX-REPLACE) in replace(): a node is
	 * seen as it was made.
	 */
	return smp_load_acquire(&ix->root);
}

/* The other lines are read at once. */
static inline const struct index_node *below(const struct index_node *node,
					     unsigned int i)
{
	/*
	 * Ordering: (IX-CHILD) pairs with (IX-REPLACE) in replace(): as
	 * (IX-ROOT).
	 */
	node = smp_load_acquire(&node->at[i]);
	__builtin_prefetch(&node->at[0]);
	__builtin_prefetch(&node->at[8]);
	return node;
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

/* All that is below @node; all at once if it is not to @resume. */
static inline __attribute__((always_inline)) unsigned int
walk_tree(const struct index_node *node, unsigned long start,
	  unsigned long last, struct index_walk *walk, bool resume,
	  struct uhmm_interval_node **out)
{
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
			node = below(node, i);
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
		node = below(node, i);
	}
	walk->done = true;
	walk->leaf = leaf;
	return n;
}

static __attribute__((noinline)) unsigned int
walk_first(const struct index_node *node, unsigned long start,
	   unsigned long last, struct index_walk *walk,
	   struct uhmm_interval_node **out)
{
	return walk_tree(node, start, last, walk, false, out);
}

static unsigned int search_leaf(const struct index_node *leaf,
				unsigned long start, unsigned long last,
				struct uhmm_interval_node **out)
{
	struct scaled_range range = { .scale = SCALE_NONE };

	rescale(&range, leaf, start, last);
	return leaf_hits(leaf, &range, start, last, NULL, out, 0);
}

/*
 * Straight down, as long as one child at most can hold a hit and the scale is
 * that of the root. Who covers all units matches what is unused too, but not
 * alone.
 */
static unsigned int search_first(const struct interval_index *ix,
				 unsigned long start, unsigned long last,
				 struct index_walk *walk,
				 struct uhmm_interval_node **out)
{
	struct scaled_range range = { .scale = SCALE_NONE };
	const struct index_node *node = root(ix);
	unsigned int mask, level = node_level(node);

	rescale(&range, node, start, last);
	for (; level; level--) {
		mask = index_match(node, range.start, range.last);
		if (unlikely(mask & (mask - 1)))
			return walk_first(node, start, last, walk, out);
		if (!mask) {
			node = NULL;
			break;
		}
		node = below(node, (unsigned int)__builtin_ctz(mask));
		if (unlikely(READ_ONCE(node->scale) != range.scale))
			return walk_first(node, start, last, walk, out);
	}
	walk->done = true;
	walk->single = true;
	walk->leaf = node;
	return node ? leaf_hits(node, &range, start, last, NULL, out, 0) : 0;
}

static unsigned int search_resume(const struct interval_index *ix,
				  unsigned long start, unsigned long last,
				  struct index_walk *walk,
				  struct uhmm_interval_node **out)
{
	return walk_tree(root(ix), start, last, walk, true, out);
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
