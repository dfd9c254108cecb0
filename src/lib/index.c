/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The writing side of the interval index. All of it under index->lock; a
 * search may look at any time.
 */
#include "index.h"

#include <errno.h>
#include <stdlib.h>

#define CHUNK_MIN 4096UL
#define CHUNK_MAX (1UL << 21)
#define CHUNK_POPULATED 16384UL
#define RETIRE_BATCH SYNC_SIZE(32, 2)

struct key {
	unsigned long start, order;
};

static inline bool key_less(unsigned long a, unsigned long a_order,
			    unsigned long b, unsigned long b_order)
{
	return a < b || (a == b && a_order < b_order);
}

static struct index_inner *inner_of(struct index_node *node)
{
	return container_of(node, struct index_inner, node);
}

/* ------------------------------------------------------------------- nodes */

static void pool_give(struct index_pool *pool, struct index_node *node)
{
	node->next = pool->free;
	pool->free = node;
	pool->avail++;
}

static struct index_node *pool_take(struct index_pool *pool)
{
	struct index_node *node = pool->free;

	pool->avail--;
	if (node) {
		pool->free = node->next;
		return node;
	}
	node = (void *)pool->fresh;
	pool->fresh += pool->size;
	return node;
}

/* What is left of the last chunk goes to the free ones. */
static void pool_add(struct index_pool *pool, char *chunk, size_t size)
{
	while (pool->fresh && pool->fresh + pool->size <= pool->end) {
		struct index_node *node = (void *)pool->fresh;

		node->next = pool->free;
		pool->free = node;
		pool->fresh += pool->size;
	}
	pool->fresh = chunk + CACHE_LINE;
	pool->end = chunk + size;
	pool->avail += (size - CACHE_LINE) / pool->size;
	if (pool->chunk < CHUNK_MAX)
		pool->chunk *= 2;
}

static bool room(const struct interval_index *ix) __must_hold(&ix->lock)
{
	return ix->leaves.avail >= 2 &&
	       ix->inners.avail >= 2 * node_level(ix->root) + 2;
}

static struct index_pool *short_of(struct interval_index *ix)
	__must_hold(&ix->lock)
{
	return ix->leaves.avail < 2 ? &ix->leaves : &ix->inners;
}

static int add_chunk(struct interval_index *ix, struct index_pool *pool)
	__must_hold(&ix->lock) __no_context_analysis
{
	size_t size = pool->chunk;
	struct index_chunk *chunk;

	spin_unlock(&ix->lock);
	chunk = aligned_alloc(size, size);
	if (chunk && size == CHUNK_MAX)
		sync_want_huge_pages(chunk, size);
	if (chunk && size >= CHUNK_POPULATED)
		sync_populate_pages(chunk, size);
	spin_lock(&ix->lock);
	if (!chunk)
		return -ENOMEM;
	chunk->next = ix->chunks;
	ix->chunks = chunk;
	ix->bytes += size;
	pool_add(pool, (char *)chunk, size);
	return 0;
}

static void free_list(struct interval_index *ix, struct index_node *node)
	__must_hold(&ix->lock)
{
	while (node) {
		struct index_node *next = node->next;

		pool_give(node_level(node) ? &ix->inners : &ix->leaves, node);
		node = next;
	}
}

/*
 * Retired nodes wait in two generations: one is filled, the other is freed
 * once no search is left that began before its version.
 */
static void reclaim(struct interval_index *ix) __must_hold(&ix->lock)
{
	if (ix->waiting) {
		if (ix->oldest_reader(ix->arg) < ix->waiting_version)
			return;
		free_list(ix, ix->waiting);
	}
	ix->waiting = ix->retired;
	ix->waiting_version = ix->version;
	ix->retired = NULL;
	ix->nretired = 0;
}

static void retire(struct interval_index *ix, struct index_node *node)
	__must_hold(&ix->lock)
{
	node->next = ix->retired;
	ix->retired = node;
	if (++ix->nretired >= RETIRE_BATCH &&
	    !(ix->nretired % (RETIRE_BATCH / 2)))
		reclaim(ix);
}

static struct index_node *new_leaf(struct interval_index *ix)
	__must_hold(&ix->lock)
{
	struct index_node *leaf = pool_take(&ix->leaves);

	for (unsigned int i = 0; i < INDEX_FANOUT; i++) {
		leaf->lo[i] = ~0UL;
		leaf->hi[i] = 0;
		leaf->at[i] = NULL;
	}
	leaf->perm = PERM_EMPTY;
	WRITE_ONCE(leaf->tag, INDEX_ADDED);
	return leaf;
}

static struct index_inner *new_inner(struct interval_index *ix,
				     unsigned int level)
	__must_hold(&ix->lock)
{
	struct index_inner *inner = inner_of(pool_take(&ix->inners));

	for (unsigned int i = 0; i < INDEX_FANOUT; i++) {
		inner->node.lo[i] = ~0UL;
		inner->node.hi[i] = 0;
		inner->node.at[i] = NULL;
	}
	inner->node.perm = 0;
	inner->node.tag = level;
	inner->count = 0;
	return inner;
}

/* The first child takes every key that is less than the second one's. */
static void inner_add(struct index_inner *inner, struct key lo,
		      unsigned long hi, void *child)
{
	unsigned long i = inner->count++;

	inner->node.lo[i] = i ? lo.start : 0;
	inner->order[i] = i ? lo.order : 0;
	inner->node.hi[i] = hi;
	inner->node.at[i] = child;
	inner->node.perm |= 1UL << i;
}

static void inner_add_from(struct index_inner *inner,
			   const struct index_inner *from, unsigned int i)
{
	struct key lo = { from->node.lo[i], from->order[i] };

	inner_add(inner, lo, from->node.hi[i], from->node.at[i]);
}

/* ---------------------------------------------------------- bounds, version */

static void bump(struct interval_index *ix) __must_hold(&ix->lock)
{
	/*
	 * Ordering: (IX-VERSION) pairs with (IX-FINGER) in index_find(): a
	 * finger that is still good was made after the bounds rose and the nodes
	 * were replaced, or belongs to a search that we will wait for.
	 */
	smp_store_release(&ix->version, ix->version + 1);
}

/* Before the entry appears. Above a bound none is lower. */
static void raise_bounds(struct interval_index *ix, const struct index_path *p,
			 unsigned long last) __must_hold(&ix->lock)
{
	unsigned int d;

	for (d = p->depth; d; d--) {
		unsigned long *hi = &p->step[d - 1].node->node.hi[p->step[d - 1].i];

		if (*hi >= last)
			break;
		WRITE_ONCE(*hi, last);
	}
	if (d < p->depth)
		bump(ix);
}

static unsigned long leaf_max(const struct index_node *leaf)
{
	unsigned long perm = leaf->perm, max = 0;

	for (unsigned int i = 0; i < perm_count(perm); i++)
		if (leaf->hi[perm_slot(perm, i)] > max)
			max = leaf->hi[perm_slot(perm, i)];
	return max;
}

static unsigned long inner_max(const struct index_inner *inner)
{
	unsigned long max = 0;

	for (unsigned int i = 0; i < inner->count; i++)
		if (inner->node.hi[i] > max)
			max = inner->node.hi[i];
	return max;
}

/* After the entry is gone: the child of the first @depth steps ends at @max. */
static void lower_bounds(const struct index_path *p, unsigned int depth,
			 unsigned long max)
{
	while (depth--) {
		struct index_inner *inner = p->step[depth].node;
		unsigned long *hi = &inner->node.hi[p->step[depth].i];

		if (*hi == max)
			return;
		WRITE_ONCE(*hi, max);
		max = inner_max(inner);
	}
}

/* Put @node where the first @depth steps lead. */
static void replace(struct interval_index *ix, struct index_path *p,
		    unsigned int depth, struct index_node *node)
	__must_hold(&ix->lock)
{
	/*
	 * Ordering: (IX-REPLACE) pairs with (IX-ROOT) in walk_tree() and
	 * (IX-CHILD) in walk_tree() and (IX-NEXT) in walk_tree(): a node that
	 * is seen is seen as it was made.
	 */
	if (!depth)
		smp_store_release(&ix->root, node);
	else
		smp_store_release(
			&p->step[depth - 1].node->node.at[p->step[depth - 1].i],
			(void *)node);
	bump(ix);
	p->leaf = NULL;
}

/* ----------------------------------------------------------------- the path */

static unsigned int child_at(const struct interval_index *ix,
			     const struct index_inner *inner, struct key key)
{
	unsigned int i = ix->search->rank(&inner->node, key.start);

	if (unlikely(i > inner->count))
		i = (unsigned int)inner->count;
	for (i--; i && unlikely(key.start == inner->node.lo[i]); i--)
		if (key.order >= inner->order[i])
			break;
	return i;
}

/* Does it lead to where @key belongs? The first comparison is finger_covers()'s. */
static inline bool path_leads(const struct index_path *p, struct key key)
{
	return p->leaf && key.start - p->lo <= p->hi - p->lo &&
	       !key_less(key.start, key.order, p->lo, p->lo_order) &&
	       key_less(key.start, key.order, p->hi, p->hi_order);
}

static __attribute__((noinline)) void descend(struct interval_index *ix,
					      struct key key)
	__must_hold(&ix->lock)
{
	struct index_path *p = &ix->path;
	struct index_node *node = ix->root;
	unsigned int depth = 0;

	p->pos = ~0U;
	p->lo = p->lo_order = 0;
	p->hi = p->hi_order = ~0UL;
	while (node_level(node)) {
		struct index_inner *inner = inner_of(node);
		unsigned int i = child_at(ix, inner, key);

		if (i) {
			p->lo = node->lo[i];
			p->lo_order = inner->order[i];
		}
		if (i + 1 < inner->count) {
			p->hi = node->lo[i + 1];
			p->hi_order = inner->order[i + 1];
		}
		p->step[depth].node = inner;
		p->step[depth++].i = i;
		node = node->at[i];
		index_prefetch(node);
	}
	p->depth = depth;
	p->leaf = node;
}

static struct index_path *path_to(struct interval_index *ix, struct key key)
	__must_hold(&ix->lock)
{
	if (unlikely(!path_leads(&ix->path, key)))
		descend(ix, key);
	return &ix->path;
}

/* ------------------------------------------------------------------- insert */

static void leaf_fill(struct index_node *leaf, unsigned int slot,
		      struct uhmm_interval_node *x)
{
	WRITE_ONCE(x->order, node_order(x) | slot);
	WRITE_ONCE(leaf->lo[slot], x->start);
	WRITE_ONCE(leaf->hi[slot], x->last);
	/*
	 * Ordering: (IX-FILL) pairs with (IX-TAKE) in take(): who finds @x by
	 * an old word of the leaf must still see what it is.
	 */
	smp_store_release(&leaf->at[slot], (void *)x);
}

/*
 * Where in its leaf something that starts at @start goes: behind its equals,
 * as nothing that is alive has a greater order.
 */
static unsigned int leaf_pos(const struct interval_index *ix,
			     const struct index_path *p, unsigned long start)
	__must_hold(&ix->lock)
{
	const struct index_node *leaf = p->leaf;
	unsigned int n = perm_count(leaf->perm), pos = p->pos;

	/* Where the last one went, most likely, if the path is the last one. */
	if (pos <= n &&
	    (!pos || leaf->lo[perm_slot(leaf->perm, pos - 1)] <= start) &&
	    (pos == n || leaf->lo[perm_slot(leaf->perm, pos)] > start))
		return pos;
	/* The unused count too if it starts at the very top. */
	pos = ix->search->rank(leaf, start);
	return pos < n ? pos : n;
}

static inline void leaf_add(struct index_node *leaf,
			    struct uhmm_interval_node *x, unsigned int pos)
{
	unsigned long perm = leaf->perm;

	leaf_fill(leaf, perm_slot(perm, perm_count(perm)), x);
	/*
	 * Ordering: (IX-PUBLISH) pairs with (IX-LEAF) in leaf_hits(): the slot
	 * is filled before it counts as live.
	 */
	smp_store_release(&leaf->perm, perm_insert(perm, pos));
	/*
	 * Ordering: (IX-ADDED) pairs with (IX-BEFORE) in leaf_hits(): who reads
	 * the new tag finds the entry.
	 */
	smp_store_release(&leaf->tag, leaf->tag + INDEX_ADDED);
}

/* What takes the place of one node: @a, and @b with the keys from @key on. */
struct halves {
	struct index_node *a, *b;	/* @b: NULL if one is enough */
	unsigned long a_max, b_max;
	struct key key;
};

/* Two leaves for a full one and @x. */
static void split_leaf(struct interval_index *ix, const struct index_node *leaf,
		       struct uhmm_interval_node *x, struct halves *h)
	__must_hold(&ix->lock)
{
	struct uhmm_interval_node *all[INDEX_FANOUT + 1];
	unsigned int i, at, cut;

	h->a = new_leaf(ix);
	h->b = new_leaf(ix);
	for (i = 0; i < INDEX_FANOUT; i++)
		all[i] = leaf->at[perm_slot(leaf->perm, i)];
	for (at = INDEX_FANOUT; at && all[at - 1]->start > x->start; at--)
		all[at] = all[at - 1];
	all[at] = x;
	/* Whoever inserts in order, up or down, leaves full leaves behind. */
	cut = at == INDEX_FANOUT ? at : at == 0 ? 1 : (INDEX_FANOUT + 1) / 2;
	for (i = 0; i <= INDEX_FANOUT; i++)
		leaf_add(i < cut ? h->a : h->b, all[i], i < cut ? i : i - cut);
	h->a_max = leaf_max(h->a);
	h->b_max = leaf_max(h->b);
	h->key.start = all[cut]->start;
	h->key.order = node_order(all[cut]);
}

/* A copy of @old with @h in place of child @i, or two that share it; into @h. */
static void split_inner(struct interval_index *ix, const struct index_inner *old,
			unsigned int i, struct halves *h)
	__must_hold(&ix->lock)
{
	struct index_inner *x = new_inner(ix, node_level(&old->node)), *y = x;
	unsigned int k, total = (unsigned int)old->count + 1, cut = total;
	struct key lo = { old->node.lo[i], old->order[i] };
	struct key cut_key = h->key;

	if (total > INDEX_FANOUT) {
		cut = i == total - 2 ? total - 1 : total / 2;
		y = new_inner(ix, node_level(&old->node));
	}
	for (k = 0; k < total; k++) {
		struct index_inner *to = k < cut ? x : y;
		unsigned int from = k <= i ? k : k - 1;

		if (k == cut && k != i + 1) {
			cut_key.start = old->node.lo[from];
			cut_key.order = old->order[from];
		}
		if (k == i)
			inner_add(to, lo, h->a_max, h->a);
		else if (k == i + 1)
			inner_add(to, h->key, h->b_max, h->b);
		else
			inner_add_from(to, old, from);
	}
	h->a = &x->node;
	h->a_max = inner_max(x);
	h->b = y == x ? NULL : &y->node;
	h->b_max = inner_max(y);
	h->key = cut_key;
}

/* Put two leaves where the path ends. */
static void grow(struct interval_index *ix, struct index_path *p,
		 struct halves *h) __must_hold(&ix->lock)
{
	unsigned int d = p->depth, top;
	struct index_inner *root;
	struct key zero = { 0, 0 };

	while (d && h->b) {
		d--;
		split_inner(ix, p->step[d].node, p->step[d].i, h);
	}
	top = d;
	if (h->b) {
		root = new_inner(ix, node_level(h->a) + 1);
		inner_add(root, zero, h->a_max, h->a);
		inner_add(root, h->key, h->b_max, h->b);
		h->a = &root->node;
	}
	replace(ix, p, top, h->a);
	for (; d < p->depth; d++)
		retire(ix, &p->step[d].node->node);
}

/* Split the full leaf at the end of the path, if there is memory for that. */
static __attribute__((noinline)) int insert_split(struct interval_index *ix,
						  struct index_path *p,
						  struct uhmm_interval_node *x)
	__must_hold(&ix->lock)
{
	struct index_node *leaf = p->leaf;
	struct halves halves;

	if (!room(ix))
		return -ENOMEM;
	split_leaf(ix, leaf, x, &halves);
	grow(ix, p, &halves);
	retire(ix, leaf);
	return 0;
}

static int insert(struct interval_index *ix, struct uhmm_interval_node *x)
	__must_hold(&ix->lock)
{
	struct key key = { x->start, x->order };
	struct index_path *p = path_to(ix, key);

	raise_bounds(ix, p, x->last);
	if (unlikely(perm_count(p->leaf->perm) == INDEX_FANOUT))
		return insert_split(ix, p, x);
	p->pos = leaf_pos(ix, p, x->start);
	leaf_add(p->leaf, x, p->pos);
	return 0;
}

int index_insert(struct interval_index *ix, struct uhmm_interval_node *x)
{
	x->order = ix->next_order++ * ORDER_STEP;
	while (unlikely(insert(ix, x))) {
		if (add_chunk(ix, short_of(ix)))
			return -ENOMEM;
		/* The lock was dropped. */
		x->order = ix->next_order++ * ORDER_STEP;
	}
	ix->count++;
	return 0;
}

/* ------------------------------------------------------------------- remove */

/* Take the empty leaf at the end of the path out, if there is memory for it. */
static __attribute__((noinline)) void shrink(struct interval_index *ix,
					     struct index_path *p)
	__must_hold(&ix->lock)
{
	struct index_node *leaf = p->leaf;
	struct index_inner *old, *copy;
	unsigned int i, k, d = p->depth;

	if (!ix->inners.avail) {
		lower_bounds(p, d, 0);
		return;
	}
	/* Parents whose only child it is go with it. */
	while (d && p->step[d - 1].node->count == 1)
		d--;
	if (!d) {
		replace(ix, p, 0, leaf);
	} else if (d == 1 && p->step[0].node->count == 2) {
		old = p->step[0].node;
		replace(ix, p, 0, old->node.at[!p->step[0].i]);
	} else {
		old = p->step[d - 1].node;
		i = p->step[d - 1].i;
		copy = new_inner(ix, node_level(&old->node));
		for (k = 0; k < old->count; k++)
			if (k != i)
				inner_add_from(copy, old, k);
		replace(ix, p, d - 1, &copy->node);
		lower_bounds(p, d - 1, inner_max(copy));
	}
	for (k = d ? d - 1 : 0; k < p->depth; k++)
		retire(ix, &p->step[k].node->node);
	if (d)
		retire(ix, leaf);
}

void index_remove(struct interval_index *ix, struct uhmm_interval_node *x)
{
	struct key key = { x->start, node_order(x) };
	struct index_path *p = path_to(ix, key);
	unsigned int slot = x->order & ORDER_SLOT;
	struct index_node *leaf = p->leaf;
	unsigned long perm = leaf->perm;
	unsigned int pos = perm_position(perm, slot);

	ix->count--;
	/*
	 * Ordering: (IX-UNPUBLISH) pairs with (IX-LEAF) in leaf_hits(): the
	 * slot is not live any more before it is filled with anything else.
	 */
	smp_store_release(&leaf->perm, perm_remove(perm, pos));
	WRITE_ONCE(leaf->lo[slot], ~0UL);
	if (!p->depth)
		return;
	if (perm_count(perm) == 1)
		shrink(ix, p);
	else if (p->step[p->depth - 1].node->node.hi[p->step[p->depth - 1].i] ==
		 x->last)
		lower_bounds(p, p->depth, leaf_max(leaf));
}

/* --------------------------------------------------------------- life, memory */

static void pool_init(struct index_pool *pool, size_t size)
{
	pool->size = size;
	pool->chunk = CHUNK_MIN;
}

int index_init(struct interval_index *ix,
	       unsigned long (*oldest_reader)(void *arg), void *arg)
	__no_context_analysis
{
	int ret;

	spin_lock_init(&ix->lock);
	pool_init(&ix->leaves, sizeof(struct index_node));
	pool_init(&ix->inners, sizeof(struct index_inner));
	ix->oldest_reader = oldest_reader;
	ix->arg = arg;
	ix->search = index_search_vector();
	if (!ix->search)
		ix->search = &index_search_portable;
	ix->version = 1;
	spin_lock(&ix->lock);
	ret = add_chunk(ix, &ix->leaves);
	if (!ret)
		ix->root = new_leaf(ix);
	spin_unlock(&ix->lock);
	return ret;
}

void index_destroy(struct interval_index *ix) __no_context_analysis
{
	while (ix->chunks) {
		struct index_chunk *next = ix->chunks->next;

		free(ix->chunks);
		ix->chunks = next;
	}
}

unsigned long index_stamp(struct interval_index *ix)
{
	unsigned long version;

	spin_lock(&ix->lock);
	bump(ix);
	version = ix->version;
	spin_unlock(&ix->lock);
	return version;
}

size_t index_bytes(struct interval_index *ix)
{
	size_t bytes;

	spin_lock(&ix->lock);
	bytes = ix->bytes;
	spin_unlock(&ix->lock);
	return bytes;
}
