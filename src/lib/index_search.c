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

/*
 * &node->at[@i], said so that GCC makes one operand of it. A CPU looks ahead over
 * so many instructions: the fewer there are from one miss to the next, the more
 * misses overlap.
 */
static inline void *const *at_slot(const struct index_node *node,
				   unsigned int i)
{
	return (void *const *)((const char *)node->at + i * sizeof(void *));
}

static inline unsigned int lowest(unsigned int mask)
{
	return (unsigned int)__builtin_ctz(mask);
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
	struct uhmm_interval_node *x = smp_load_acquire(at_slot(leaf, slot));

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
	unsigned int last;
	struct index_range range;	/* for index_match() */
};

static inline void scale_range(struct scaled_range *range, unsigned long scale,
			       unsigned long start, unsigned long last)
{
	range->scale = scale;
	range->last = scaled(scale, last);
	range->range = index_range(scaled(scale, start), range->last);
}

/* Most often that of the node before. */
static inline void rescale(struct scaled_range *range,
			   const struct index_node *node, unsigned long start,
			   unsigned long last)
{
	unsigned long scale = READ_ONCE(node->scale);

	if (unlikely(scale != range->scale))
		scale_range(range, scale, start, last);
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

	/*
	 * Of a long range in most leaves all. Slots that @perm does not call live
	 * are in @mask if they were filled since, and then the leaf does not tell.
	 */
	if ((unsigned int)__builtin_popcount(mask) == count) {
		for (i = 0; i < count; i++, perm >>= 4)
			out[n + i] = entry(leaf, perm & 15);
		return n + count;
	}
	for (i = 0; i < count; i++, perm >>= 4)
		if (mask >> (perm & 15) & 1)
			out[n++] = entry(leaf, perm & 15);
	return n;
}

static inline unsigned long leaf_tag(const struct index_node *leaf)
{
	/*
	 * Ordering: (IX-WHOLE) pairs with (IX-ADDED) in leaf_add(): a slot that
	 * was filled before is seen filled.
	 */
	return smp_load_acquire(&leaf->tag);
}

/*
 * May what @leaf tells be believed, the lines of the intervals not waited for?
 * It tells exactly what overlaps of the entries that were there all the time. If
 * one was added since it had @tag, its slot may have been another's, who is gone.
 * The unit that is above all is also that of slots that are not live.
 */
static inline bool leaf_tells(const struct index_node *leaf, unsigned long tag,
			      const struct scaled_range *range,
			      unsigned long start)
{
	/*
	 * Ordering: (IX-SAME-TAG) pairs with (IX-REFILL-FENCE) in leaf_add():
	 * who has read anything of what a slot was filled with finds the tag
	 * raised.
	 */
	smp_rmb();
	return READ_ONCE(leaf->tag) == tag &&
	       !(tag & (INDEX_ROUGH | INDEX_FILLING)) &&
	       start >= scale_base(range->scale) && range->last != UINT_MAX;
}

static inline __attribute__((always_inline)) unsigned int
leaf_hits(const struct index_node *leaf, const struct scaled_range *range,
	  unsigned long start, unsigned long last,
	  const struct index_walk *from, struct uhmm_interval_node **out,
	  unsigned int first)
{
	unsigned long tag = leaf_tag(leaf);
	/*
	 * Ordering: (IX-LEAF) pairs with (IX-PUBLISH) in leaf_add() and
	 * (IX-UNPUBLISH) in leaf_drop(): the slots that the word calls live
	 * are seen as they were filled.
	 */
	unsigned long perm = smp_load_acquire(&leaf->perm);
	unsigned int mask = index_match(leaf, &range->range);
	unsigned int n;

	if (!mask)
		return first;
	n = leaf_many(leaf, perm, mask, out, first);
	if (likely(leaf_tells(leaf, tag, range, start) && !from))
		return n;
	return leaf_confirm(start, last, from, out, first, n);
}

static __attribute__((noinline)) unsigned int
leaf_all(const struct index_node *leaf, unsigned long start,
	 unsigned long last, struct uhmm_interval_node **out)
{
	struct scaled_range range;

	scale_range(&range, READ_ONCE(leaf->scale), start, last);
	return leaf_hits(leaf, &range, start, last, NULL, out, 0);
}

/* Most often it is one, or none. */
static inline __attribute__((always_inline)) unsigned int
leaf_one(const struct index_node *leaf, const struct scaled_range *range,
	 unsigned long start, unsigned long last,
	 struct uhmm_interval_node **out)
{
	unsigned long tag = leaf_tag(leaf);
	unsigned int mask = index_match(leaf, &range->range);

	if (!mask)
		return 0;
	if (unlikely(mask & (mask - 1)))
		return leaf_all(leaf, start, last, out);
	out[0] = entry(leaf, lowest(mask));
	if (unlikely(!leaf_tells(leaf, tag, range, start)))
		return leaf_all(leaf, start, last, out);
	return 1;
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

static inline const struct index_node *below(const struct index_node *node,
					     unsigned int i)
{
	/*
	 * Ordering: (IX-CHILD) pairs with (IX-REPLACE) in replace(): as
	 * (IX-ROOT).
	 */
	node = smp_load_acquire(at_slot(node, i));
	index_prefetch(node);
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

	for (;;) {
		while (level) {
			rescale(&range, node, start, last);
			mask = index_match(node, &range.range) &
			       (unsigned int)node->perm;
			if (resume)
				mask &= ~0U << child_of(node, &from);
			if (!mask)
				goto up;
			i = (unsigned int)__builtin_ctz(mask);
			mask &= mask - 1;
			level--;
			if (mask) {
				stack[depth].node = node;
				stack[depth].level = level;
				stack[depth++].mask = mask;
			}
			node = below(node, i);
		}
		rescale(&range, node, start, last);
		n = leaf_hits(node, &range, start, last,
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
	return n;
}

static __attribute__((noinline)) unsigned int
walk_first(const struct index_node *node, unsigned long start,
	   unsigned long last, struct index_walk *walk,
	   struct uhmm_interval_node **out)
{
	return walk_tree(node, start, last, walk, false, out);
}

static unsigned int search_again(struct index_finger *finger,
				 unsigned long start, unsigned long last,
				 struct uhmm_interval_node **out)
{
	const struct index_node *leaf = finger->leaf;
	/*
	 * IX-WHOLE reads it again: what was added before is found, what is
	 * added later shows. An old tag read behind our fence means that what
	 * was added since is not in force yet.
	 */
	unsigned long tag = READ_ONCE(leaf->tag);
	struct scaled_range range;
	unsigned int n;

	scale_range(&range, READ_ONCE(leaf->scale), start, last);
	n = leaf_one(leaf, &range, start, last, out);
	if (!n) {
		finger->start = start;
		finger->room = last - start;
		finger->tag = tag;
	}
	return n;
}

/*
 * Straight down, as long as one child at most can hold a hit. Who covers all
 * units matches what is unused too, but not alone.
 */
static __warm unsigned int search_first(const struct interval_index *ix,
					struct index_finger *finger,
					unsigned long start, unsigned long last,
					struct index_walk *walk,
					struct uhmm_interval_node **out)
{
	/*
	 * Ordering: (IX-FINGER) pairs with (IX-VERSION) in bump(): an old
	 * version read behind our fence means that what came with the new one
	 * is not in force yet, and that @finger->leaf is not reused.
	 */
	unsigned long version = smp_load_acquire(&ix->version);
	const struct index_node *node = root(ix);
	unsigned int mask, level = node_level(node);
	struct scaled_range range;
	unsigned long scale;

	walk->done = true;
	finger->version = version;
	finger->start = start;
	finger->room = last - start;
	finger->tag = 0;
	scale = READ_ONCE(node->scale);
	for (;;) {
		scale_range(&range, scale, start, last);
		do {
			if (!level--) {
				finger->leaf = node;
				return leaf_one(node, &range, start, last, out);
			}
			mask = index_match(node, &range.range);
			if (!mask) {
				finger->leaf = NULL;
				return 0;
			}
			if (unlikely(mask & (mask - 1))) {
				finger->version = 0;
				return walk_first(node, start, last, walk, out);
			}
			node = below(node, lowest(mask));
			scale = READ_ONCE(node->scale);
		} while (likely(scale == range.scale));
	}
}

static unsigned int search_resume(const struct interval_index *ix,
				  unsigned long start, unsigned long last,
				  struct index_walk *walk,
				  struct uhmm_interval_node **out)
{
	return walk_tree(root(ix), start, last, walk, true, out);
}

static unsigned int search_rank(const struct index_node *leaf,
				unsigned int key)
{
	return index_rank(leaf, key);
}

/* The last child that may hold the key; @at: its start, scaled. */
static inline unsigned int child_at(const struct index_inner *inner,
				    unsigned long start, unsigned long order,
				    unsigned int at)
{
	const struct index_node *node = &inner->node;
	unsigned int i = index_rank(node, at) - 1;

	/* What is unused counts too at the very top. */
	if (unlikely(!(node->perm >> i & 1)))
		i = (unsigned int)inner->count - 1;
	for (; unlikely(at == node->lo[i]) && i; i--)
		if (!key_less(start, order, inner->exact[i].lo,
			      inner->exact[i].order))
			break;
	return i;
}

static inline void path_inside(struct index_path *p)
{
	unsigned long base = scale_base(p->leaf->scale);
	unsigned long top = scale_top(p->leaf->scale);
	unsigned long end = p->hi <= top ? p->hi : top;

	p->inside = p->lo < base ? base : p->lo + 1;
	/* Behind the last address is none. */
	p->room = p->lo < end && p->inside < end ? end - p->inside : 0;
}

/* The bounds stand in lines of their own: only the last ones are looked at. */
static void search_descend(struct index_node *node, unsigned long start,
			   unsigned long order, struct index_path *p)
{
	static const struct index_bounds all = { 0, 0, ~0UL };
	static const struct index_bounds behind = { ~0UL, ~0UL, 0 };
	const struct index_bounds *lo = &all, *hi = &behind, *bound = &all;
	unsigned long scale = SCALE_NONE;
	unsigned int at = 0, depth = 0;

	for (unsigned int level = node_level(node); level; level--) {
		struct index_inner *inner = container_of(node, struct index_inner,
							 node);
		unsigned int i;

		if (unlikely(node->scale != scale)) {
			scale = node->scale;
			at = scaled(scale, start);
		}
		i = child_at(inner, start, order, at);
		bound = &inner->exact[i];
		lo = i ? bound : lo;
		hi = node->perm >> (i + 1) & 1 ? bound + 1 : hi;
		p->step[depth].node = inner;
		p->step[depth++].i = i;
		node = node->at[i];
		index_prefetch(node);
	}
	p->lo = lo->lo;
	p->lo_order = lo->order;
	p->hi = hi->lo;
	p->hi_order = hi->order;
	p->bound = bound;
	p->depth = depth;
	p->leaf = node;
	p->pos = index_rank(node, scale_units(node->scale, start));
	path_inside(p);
}

/* All nodes are at hand, and the answer is one for all of them. */
static bool search_alone(const struct index_path *p, unsigned long start,
			 unsigned long last)
{
	struct scaled_range range = { .scale = SCALE_NONE };
	unsigned int others = 0;

	for (unsigned int d = 0; d < p->depth; d++) {
		const struct index_node *node = &p->step[d].node->node;

		rescale(&range, node, start, last);
		others |= index_match(node, &range.range) &
			  (unsigned int)node->perm & ~(1U << p->step[d].i);
	}
	rescale(&range, p->leaf, start, last);
	return !(others | index_match(p->leaf, &range.range));
}

const struct index_search INDEX_SEARCH_OPS = {
	.name = INDEX_SEARCH_NAME,
	.again = search_again,
	.first = search_first,
	.resume = search_resume,
	.rank = search_rank,
	.descend = search_descend,
	.alone = search_alone,
};
