/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The writing side of the interval index. All of it under index->lock; a
 * search may look at any time.
 */
#include "index_memory.h"
#include "index_write.h"

#include <errno.h>
#include <string.h>

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

static struct index_inner *new_inner(struct interval_index *ix,
				     unsigned int level)
	__must_hold(&ix->lock)
{
	struct index_inner *inner = inner_of(index_take(&ix->inners));

	inner->node.tag = level;
	inner->count = 0;
	return inner;
}

/* All that an inner node has, and one more. */
struct children {
	struct index_bounds exact[INDEX_FANOUT + 1];
	void *at[INDEX_FANOUT + 1];
};

/* @n of @from, from its @first on, to @at. */
static void children_copy(struct children *c, unsigned int at,
			  const struct index_inner *from, unsigned int first,
			  unsigned int n)
{
	memcpy(&c->exact[at], &from->exact[first], n * sizeof(c->exact[0]));
	memcpy(&c->at[at], &from->node.at[first], n * sizeof(c->at[0]));
}

static inline void set_bound(struct index_inner *inner, unsigned int i,
			     unsigned long hi)
{
	inner->exact[i].hi = hi;
	WRITE_ONCE(inner->node.hi[i], scaled(inner->node.scale, hi));
}

/*
 * An inner node with @n of @c, from @first on. The first child takes every key that
 * is less than the second one's.
 */
static struct index_node *inner_make(struct interval_index *ix,
				     unsigned int level,
				     const struct children *c,
				     unsigned int first, unsigned int n)
	__must_hold(&ix->lock)
{
	struct index_inner *inner = new_inner(ix, level);
	struct index_node *node = &inner->node;
	struct index_bounds *exact = inner->exact;
	unsigned int i;

	inner->count = n;
	memcpy(exact, &c->exact[first], n * sizeof(exact[0]));
	memcpy(node->at, &c->at[first], n * sizeof(node->at[0]));
	exact[0].lo = 0;
	exact[0].order = 0;
	node->scale = scale_for(exact[n > 1].lo, exact[n - 1].lo);
	for (i = 0; i < n; i++) {
		node->lo[i] = scaled(node->scale, exact[i].lo);
		node->hi[i] = scaled(node->scale, exact[i].hi);
	}
	for (; i < INDEX_FANOUT; i++) {
		node->lo[i] = UINT_MAX;
		node->hi[i] = 0;
	}
	node->perm = (1UL << n) - 1;
	return node;
}

/* ---------------------------------------------------------- bounds, version */

static void bump(struct interval_index *ix) __must_hold(&ix->lock)
{
	/*
	 * Ordering: (IX-VERSION) pairs with (IX-FINGER) in search_first(): a
	 * finger that is still good was made after the bounds rose and the nodes
	 * were replaced, or belongs to a search that we will wait for.
	 */
	smp_store_release(&ix->version, ix->version + 1);
}

/* Before the entry appears. Above a bound none is lower. */
static inline __attribute__((always_inline)) void
raise_bounds(struct interval_index *ix, const struct index_path *p,
	     unsigned long last) __must_hold(&ix->lock)
{
	unsigned int d;

	for (d = p->depth; d; d--) {
		struct index_inner *inner = p->step[d - 1].node;
		unsigned int i = p->step[d - 1].i;

		if (inner->exact[i].hi >= last)
			break;
		set_bound(inner, i, last);
	}
	if (d < p->depth)
		bump(ix);
}

static inline bool leaf_rough(const struct index_node *leaf)
{
	return leaf->tag & INDEX_ROUGH;
}

static const struct uhmm_interval_node *
leaf_entry(const struct index_node *leaf, unsigned int pos)
{
	return leaf->at[perm_slot(leaf->perm, pos)];
}

/* Of the intervals themselves, where the leaf does not tell. */
static __attribute__((noinline)) unsigned long
leaf_max_exact(const struct index_node *leaf, unsigned int units)
{
	unsigned int pos, count = perm_count(leaf->perm);
	unsigned long max = 0;

	for (pos = 0; pos < count; pos++)
		if (leaf->hi[perm_slot(leaf->perm, pos)] == units &&
		    leaf_entry(leaf, pos)->last > max)
			max = leaf_entry(leaf, pos)->last;
	return max;
}

static unsigned long leaf_max(const struct index_node *leaf)
{
	unsigned int units = 0, pos, count = perm_count(leaf->perm);

	for (pos = 0; pos < count; pos++)
		if (leaf->hi[perm_slot(leaf->perm, pos)] > units)
			units = leaf->hi[perm_slot(leaf->perm, pos)];
	if (leaf_rough(leaf) || !count)
		return leaf_max_exact(leaf, units);
	return scale_last(leaf->scale, units);
}

static unsigned long inner_max(const struct index_inner *inner)
{
	unsigned long max = 0;

	for (unsigned int i = 0; i < inner->count; i++)
		if (inner->exact[i].hi > max)
			max = inner->exact[i].hi;
	return max;
}

/* After the entry is gone: the child of the first @depth steps ends at @max. */
static void lower_bounds(const struct index_path *p, unsigned int depth,
			 unsigned long max)
{
	while (depth--) {
		struct index_inner *inner = p->step[depth].node;
		unsigned int i = p->step[depth].i;

		if (inner->exact[i].hi == max)
			return;
		set_bound(inner, i, max);
		max = inner_max(inner);
	}
}

/* Put @node where the first @depth steps lead. */
static void replace(struct interval_index *ix, struct index_path *p,
		    unsigned int depth, struct index_node *node)
	__must_hold(&ix->lock)
{
	/*
	 * Ordering: (IX-REPLACE) pairs with (IX-ROOT) in root() and (IX-CHILD)
	 * in below(): a node that is seen is seen as it was made.
	 */
	if (!depth)
		smp_store_release(&ix->root, node);
	else
		smp_store_release(
			&p->step[depth - 1].node->node.at[p->step[depth - 1].i],
			(void *)node);
	bump(ix);
	p->leaf = NULL;
	p->room = 0;
}

/* ----------------------------------------------------------------- the path */

/* Does it lead to where @key belongs? The first comparison is finger_covers()'s. */
static inline bool path_leads(const struct index_path *p, struct key key)
{
	return p->leaf && key.start - p->lo <= p->hi - p->lo &&
	       !key_less(key.start, key.order, p->lo, p->lo_order) &&
	       key_less(key.start, key.order, p->hi, p->hi_order);
}

/* Does it lead to where @start belongs, where it fits, whatever its order is? */
static inline bool path_holds(const struct index_path *p, unsigned long start)
{
	return start - p->inside < p->room;
}

/* path_holds() then? */
static __attribute__((noinline)) bool
path_find(struct interval_index *ix, unsigned long start, unsigned long order)
	__must_hold(&ix->lock)
{
	if (!path_leads(&ix->path, (struct key){ start, order })) {
		ix->search->descend(ix->root, start, order, &ix->path);
		recent_forget(ix);
	}
	return path_holds(&ix->path, start);
}

/* ------------------------------------------------------------------- insert */

/*
 * Is @pos where something that starts at @at, scaled, goes: behind its equals? Not
 * if it lies among the slots that are not live: they are above all.
 */
static inline bool leaf_pos_is(const struct index_node *leaf,
			       unsigned long perm, unsigned int pos,
			       unsigned int at)
{
	unsigned int before = perm_slot(perm << 4, pos);

	return !leaf_rough(leaf) && leaf->lo[perm_slot(perm, pos)] > at &&
	       (int)!pos | (int)(leaf->lo[before] <= at);
}

/*
 * Where in its leaf something that starts at @start, scaled @at, goes: behind
 * its equals, as nothing that is alive has a greater order.
 */
static unsigned int leaf_pos(const struct interval_index *ix,
			     const struct index_node *leaf, unsigned long start,
			     unsigned int at) __must_hold(&ix->lock)
{
	unsigned long perm = leaf->perm;
	unsigned int n = perm_count(perm), pos;

	/* The unused count too if it starts at the very top. */
	pos = ix->search->rank(leaf, at);
	if (pos > n)
		pos = n;
	/* Of those in its unit some may start behind it. */
	while (leaf_rough(leaf) && pos && leaf->lo[perm_slot(perm, pos - 1)] == at &&
	       leaf_entry(leaf, pos - 1)->start > start)
		pos--;
	return pos;
}

/* Does a leaf tell where [@start, @last] is, whose @last is @units? */
static inline bool leaf_can_tell(const struct index_node *leaf,
				 unsigned long start, unsigned long last,
				 unsigned long units)
{
	return scale_whole(leaf->scale, start, last) && units < UINT_MAX;
}

/* Whatever its leaf can tell of it; @pos is known. */
static void leaf_put(struct index_node *leaf, struct uhmm_interval_node *x,
		     unsigned int pos)
{
	unsigned int lo = scale_units(leaf->scale, x->start);
	unsigned int hi = scaled_above(leaf->scale, x->last);

	leaf_add(leaf, leaf->perm, x, node_order(x), lo, hi,
		 !leaf_can_tell(leaf, x->start, x->last, hi), pos);
}

/* Where something begins, unless the leaf is rough. */
static inline unsigned long slot_start(const struct index_node *leaf,
				       unsigned int slot)
{
	return scale_first(leaf->scale, leaf->lo[slot]);
}

/* What takes the place of one node: @a, and @b with the keys from @key on. */
struct halves {
	struct index_node *a, *b;	/* @b: NULL if one is enough */
	unsigned long a_max, b_max;
	struct key key;
};

static struct index_node *leaf_of(struct interval_index *ix,
				  struct uhmm_interval_node *const *all,
				  unsigned int n) __must_hold(&ix->lock)
{
	struct index_node *leaf =
		index_new_leaf(ix, scale_for(all[0]->start, all[n - 1]->start));

	for (unsigned int i = 0; i < n; i++)
		leaf_put(leaf, all[i], i);
	return leaf;
}

/*
 * A leaf anew, with @x at @at: in @cut and before it the first half. Each is told
 * its slot, and is missed for that. Of equals the order decides where the second half
 * begins; else it is less than any.
 */
static void renew_slots(struct interval_index *ix, const struct index_node *leaf,
			struct uhmm_interval_node *x, unsigned int at,
			unsigned int cut, struct halves *h)
	__must_hold(&ix->lock)
{
	struct uhmm_interval_node *all[INDEX_FANOUT + 1];
	unsigned int i, n = perm_count(leaf->perm);

	for (i = 0; i < n; i++) {
		all[i + (i >= at)] = leaf->at[perm_slot(leaf->perm, i)];
		/* All together. */
		__builtin_prefetch(all[i + (i >= at)], 1);
	}
	all[at] = x;
	h->a = leaf_of(ix, all, cut);
	h->b = cut > n ? NULL : leaf_of(ix, all + cut, n + 1 - cut);
	if (!h->b)
		return;
	h->key.start = all[cut]->start;
	h->key.order = all[cut - 1]->start < all[cut]->start ?
			       0 : node_order(all[cut]);
}

/*
 * A leaf with @n of the entries of @leaf, from position @from on, where they are,
 * so that none has to be looked at. It is full, and not rough.
 */
static struct index_node *leaf_part(struct interval_index *ix,
				    const struct index_node *leaf,
				    unsigned int from, unsigned int n)
	__must_hold(&ix->lock)
{
	struct index_node *part = index_take(&ix->leaves);
	unsigned long slots = leaf->perm & PERM_SLOTS;
	unsigned int i;

	slots = slots >> 4 * from | slots << 4 * (INDEX_FANOUT - from);
	part->perm = (slots & PERM_SLOTS) | (unsigned long)n << PERM_COUNT_SHIFT;
	memcpy(part->hi, leaf->hi, sizeof(part->hi));
	memcpy(part->at, leaf->at, sizeof(part->at));
	memset(part->lo, -1, sizeof(part->lo));
	for (i = 0; i < n; i++, slots >>= 4)
		part->lo[slots & 15] = leaf->lo[slots & 15];
	part->scale = leaf->scale;
	WRITE_ONCE(part->tag, 2 * INDEX_FILLING);
	return part;
}

/* The same for a full leaf that tells all of what is in it, and has room for @x. */
static void split_leaf(struct interval_index *ix, const struct index_node *leaf,
		       struct uhmm_interval_node *x, unsigned int at,
		       unsigned int cut, struct halves *h)
	__must_hold(&ix->lock)
{
	unsigned int lo = scale_units(leaf->scale, x->start);
	unsigned int na = cut - (at < cut), slot = perm_slot(leaf->perm, na);

	h->a = leaf_part(ix, leaf, 0, na);
	h->b = leaf_part(ix, leaf, na, INDEX_FANOUT - na);
	if (at == cut) {
		h->key.start = x->start;
		h->key.order = node_order(x);
	} else {
		/* As in renew_slots(). */
		h->key.start = slot_start(leaf, slot);
		h->key.order = (cut - 1 == at ? lo :
				leaf->lo[perm_slot(leaf->perm, na - 1)]) <
			       leaf->lo[slot] ? 0 : node_order(leaf->at[slot]);
	}
	if (at < cut)
		leaf_put(h->a, x, at);
	else
		leaf_put(h->b, x, at - cut);
}

/* Two leaves with @x if it was full, one if @x does not fit its scale. */
static void renew_leaf(struct interval_index *ix, const struct index_path *p,
		       struct uhmm_interval_node *x, struct halves *h)
	__must_hold(&ix->lock)
{
	const struct index_node *leaf = p->leaf;
	unsigned int n = perm_count(leaf->perm), at = n, cut = n + 1;
	bool full = n == INDEX_FANOUT;

	if (full && scale_fits(leaf->scale, x->start))
		at = leaf_pos(ix, leaf, x->start,
			      scale_units(leaf->scale, x->start));
	else
		while (at && leaf_entry(leaf, at - 1)->start > x->start)
			at--;
	/* Whoever inserts in order, up or down, leaves full leaves behind. */
	if (full)
		cut = at == n ? at : at == 0 ? 1 : (n + 1) / 2;
	if (full && scale_fits(leaf->scale, x->start) && !leaf_rough(leaf))
		split_leaf(ix, leaf, x, at, cut, h);
	else
		renew_slots(ix, leaf, x, at, cut, h);
	h->a_max = leaf_max(h->a);
	if (h->b)
		h->b_max = leaf_max(h->b);
}

/* What takes the place of a child that begins where @lo says. */
static void children_halves(struct children *c, unsigned int at,
			    const struct halves *h)
{
	c->exact[at].hi = h->a_max;
	c->at[at] = h->a;
	c->exact[at + 1].lo = h->key.start;
	c->exact[at + 1].order = h->key.order;
	c->exact[at + 1].hi = h->b_max;
	c->at[at + 1] = h->b;
}

/* A copy of @old with @h in place of child @i, or two that share it; into @h. */
static void split_inner(struct interval_index *ix, const struct index_inner *old,
			unsigned int i, struct halves *h)
	__must_hold(&ix->lock)
{
	unsigned int level = node_level(&old->node), n = (unsigned int)old->count;
	unsigned int total = n + 1, cut = total;
	struct children c;

	children_copy(&c, 0, old, 0, i + 1);
	children_halves(&c, i, h);
	children_copy(&c, i + 2, old, i + 1, n - i - 1);
	if (total > INDEX_FANOUT)
		cut = i == total - 2 ? total - 1 : total / 2;
	h->a = inner_make(ix, level, &c, 0, cut);
	h->a_max = inner_max(inner_of(h->a));
	h->b = NULL;
	if (cut == total)
		return;
	h->b = inner_make(ix, level, &c, cut, total - cut);
	h->b_max = inner_max(inner_of(h->b));
	h->key.start = c.exact[cut].lo;
	h->key.order = c.exact[cut].order;
}

/* Put two leaves where the path ends. */
static void grow(struct interval_index *ix, struct index_path *p,
		 struct halves *h) __must_hold(&ix->lock)
{
	unsigned int d = p->depth, top;
	struct children c;

	while (d && h->b) {
		d--;
		split_inner(ix, p->step[d].node, p->step[d].i, h);
	}
	top = d;
	if (h->b) {
		children_halves(&c, 0, h);
		h->a = inner_make(ix, node_level(h->a) + 1, &c, 0, 2);
	}
	replace(ix, p, top, h->a);
	for (; d < p->depth; d++)
		index_retire(ix, &p->step[d].node->node);
}

/* @x into a leaf that has no room for it, if there is memory for that. As insert(). */
static __attribute__((noinline)) int insert_anew(struct interval_index *ix,
						 struct index_path *p,
						 struct uhmm_interval_node *x)
	__must_hold(&ix->lock)
{
	struct index_node *leaf = p->leaf;
	struct halves halves;

	if (unlikely(ix->count >= ix->filter_at))
		return -EAGAIN;
	if (!index_room(ix))
		return -ENOMEM;
	renew_leaf(ix, p, x, &halves);
	if (halves.b)
		grow(ix, p, &halves);
	else
		replace(ix, p, p->depth, halves.a);
	index_retire(ix, leaf);
	return 0;
}

/* -ENOMEM; -EAGAIN: a filter is due; with @alone -EEXIST: something may overlap. */
static inline __attribute__((always_inline)) int
insert(struct interval_index *ix, struct uhmm_interval_node *x, bool alone)
	__must_hold(&ix->lock)
{
	struct index_path *p = &ix->path;
	struct index_node *leaf;
	unsigned int lo;

	path_find(ix, x->start, x->order);
	if (alone && !ix->search->alone(p, x->start, x->last))
		return -EEXIST;
	recent_forget(ix);
	raise_bounds(ix, p, x->last);
	leaf = p->leaf;
	if (unlikely(perm_count(leaf->perm) == INDEX_FANOUT ||
		     !scale_fits(leaf->scale, x->start)))
		return insert_anew(ix, p, x);
	lo = scale_units(leaf->scale, x->start);
	if (!leaf_pos_is(leaf, leaf->perm, p->pos, lo))
		p->pos = leaf_pos(ix, leaf, x->start, lo);
	leaf_put(leaf, x, p->pos);
	return 0;
}

/* Counted first: the line of the filter is waited for beside the nodes. */
static inline __attribute__((always_inline)) int
insert_counted(struct interval_index *ix, struct uhmm_interval_node *x, bool alone)
	__must_hold(&ix->lock)
{
	int err;

	if (!filter_counts(ix))
		return insert(ix, x, alone);
	if (alone && index_filtered(ix))
		alone = !index_nothing(ix, x->start, x->last);
	filter_came(ix, x->start, x->last);
	err = insert(ix, x, alone);
	if (unlikely(err))
		filter_went(ix, x->start, x->last);
	return err;
}

/* In any case. */
static inline __attribute__((always_inline)) int
insert_any(struct interval_index *ix, struct uhmm_interval_node *x,
	   unsigned long order, bool alone) __must_hold(&ix->lock)
{
	int err;

	x->order = order;
	while (unlikely(err = insert_counted(ix, x, alone))) {
		if (err == -EAGAIN)
			index_filter_renew(ix);
		else if (err != -ENOMEM ||
			 index_add_chunk(ix, index_short_of(ix)))
			return err;
		/* The lock was dropped. */
		x->order = ix->next_order++ * ORDER_STEP;
	}
	ix->count++;
	return 0;
}

int index_insert_alone(struct interval_index *ix, struct uhmm_interval_node *x)
{
	return insert_any(ix, x, ix->next_order++ * ORDER_STEP, true);
}

/*
 * If @x belongs where the path leads, its leaf tells all, and no bound rises. Then
 * it is known where the next one goes that is the same; nor will a bound fall when
 * it goes: another one is there that ends as late, or @recent is forgotten.
 */
static inline bool insert_here(struct interval_index *ix,
			       struct uhmm_interval_node *x)
	__must_hold(&ix->lock)
{
	struct index_path *p = &ix->path;
	struct index_node *leaf = p->leaf;
	unsigned long perm = leaf->perm;
	struct index_recent recent = { .start = x->start, .last = x->last, .x = x };

	recent.lo = scale_units(leaf->scale, x->start);
	recent.hi = scaled_above(leaf->scale, x->last);
	if (unlikely(perm_count(perm) == INDEX_FANOUT || leaf_rough(leaf) ||
		     x->last > p->bound->hi ||
		     !leaf_can_tell(leaf, x->start, x->last, recent.hi)))
		return false;
	if (!leaf_pos_is(leaf, perm, p->pos, recent.lo))
		p->pos = leaf_pos(ix, leaf, x->start, recent.lo);
	recent.tag = leaf_add(leaf, perm, x, ix->next_order++ * ORDER_STEP,
			     recent.lo, recent.hi, false, p->pos) | RECENT_THERE;
	recent_forget(ix);
	p->recent = recent;
	if (filter_counts(ix))
		filter_came(ix, x->start, x->last);
	ix->count++;
	return true;
}

int index_insert(struct interval_index *ix, struct uhmm_interval_node *x)
{
	if ((path_holds(&ix->path, x->start) ||
	     path_find(ix, x->start, ix->next_order * ORDER_STEP)) &&
	    likely(insert_here(ix, x)))
		return 0;
	return insert_any(ix, x, ix->next_order++ * ORDER_STEP, false);
}

/* ------------------------------------------------------------------- remove */

/* Take the empty leaf at the end of the path out, if there is memory for it. */
static __attribute__((noinline)) void shrink(struct interval_index *ix,
					     struct index_path *p)
	__must_hold(&ix->lock)
{
	struct index_node *leaf = p->leaf;
	struct index_node *copy;
	struct index_inner *old;
	unsigned int i, k, d = p->depth;
	struct children c;

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
		k = (unsigned int)old->count - 1;
		children_copy(&c, 0, old, 0, i);
		children_copy(&c, i, old, i + 1, k - i);
		copy = inner_make(ix, node_level(&old->node), &c, 0, k);
		replace(ix, p, d - 1, copy);
		lower_bounds(p, d - 1, inner_max(inner_of(copy)));
	}
	for (k = d ? d - 1 : 0; k < p->depth; k++)
		index_retire(ix, &p->step[k].node->node);
	if (d)
		index_retire(ix, leaf);
}

/* What is left to do in the nodes above; @x was the last of @count. */
static __attribute__((noinline)) void
remove_above(struct interval_index *ix, unsigned int count)
	__must_hold(&ix->lock)
{
	struct index_path *p = &ix->path;

	if (p->depth && count == 1)
		shrink(ix, p);
	else if (p->depth)
		lower_bounds(p, p->depth, leaf_max(p->leaf));
}

void index_remove(struct interval_index *ix, struct uhmm_interval_node *x)
{
	unsigned int slot = x->order & ORDER_SLOT;
	struct index_path *p = &ix->path;
	unsigned long perm;

	if (unlikely(!path_holds(p, x->start)))
		path_find(ix, x->start, node_order(x));
	perm = p->leaf->perm;
	p->pos = perm_position(perm, slot);
	recent_forget(ix);
	leaf_drop(p->leaf, perm, p->pos, slot);
	if (filter_counts(ix))
		filter_went(ix, x->start, x->last);
	ix->count--;
	if (unlikely(perm_count(perm) == 1 || p->bound->hi == x->last))
		remove_above(ix, perm_count(perm));
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
