/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The writing side of the filter. It is made when there are many intervals, and
 * anew when there are some times as many. That takes long, so it is done in pieces,
 * in key order: others insert and remove meanwhile, and count what begins where the
 * new one has been filled already.
 */
#include "index_filter.h"

#include "index_memory.h"
#include "index_write.h"

/* So many counters for each interval, or half as many, as it is made. */
#define FILTER_ROOM 32UL
/* And so many times as many intervals until the next one is. */
#define FILTER_GROWTH 4UL
/* So many leaves, a microsecond or two, before others have the lock. */
#define FILTER_PIECE 4

static void change(struct index_filter *f, unsigned int level, unsigned long unit,
		   bool more)
{
	struct filter_counter c = filter_counter(f, level, unit);
	unsigned long one = 1UL << c.shift;

	/* What has been at the top nobody knows the number of. */
	if ((*c.word >> c.shift & FILTER_TOP) != FILTER_TOP)
		WRITE_ONCE(*c.word, more ? *c.word + one : *c.word - one);
}

static void add(struct index_filter *f, unsigned long start, unsigned long last)
{
	unsigned int level = filter_level(start, last);
	unsigned long unit = start >> filter_shift(level);

	if (!f->count[level]++)
		WRITE_ONCE(f->levels, f->levels | 1UL << level);
	for (; unit <= last >> filter_shift(level); unit++)
		change(f, level, unit, true);
}

static void take(struct index_filter *f, unsigned long start, unsigned long last)
{
	unsigned int level = filter_level(start, last);
	unsigned long unit = start >> filter_shift(level);

	for (; unit <= last >> filter_shift(level); unit++)
		change(f, level, unit, false);
	if (!--f->count[level])
		WRITE_ONCE(f->levels, f->levels & ~(1UL << level));
}

/* Is what begins at @start in the one that is being filled? */
static inline bool is_filled(const struct interval_index *ix, unsigned long start)
	__must_hold(&ix->lock)
{
	return ix->filling && start < ix->filled;
}

void filter_came(struct interval_index *ix, unsigned long start, unsigned long last)
{
	if (ix->filter)
		add(ix->filter, start, last);
	if (is_filled(ix, start))
		add(ix->filling, start, last);
}

void filter_went(struct interval_index *ix, unsigned long start, unsigned long last)
{
	if (ix->filter)
		take(ix->filter, start, last);
	if (is_filled(ix, start))
		take(ix->filling, start, last);
}

/* What begins before @from is counted already. */
static void add_leaf(struct index_filter *f, const struct index_node *leaf,
		     unsigned long from)
{
	unsigned int pos, slot, count = perm_count(leaf->perm);
	const struct uhmm_interval_node *x;
	unsigned long start, last;

	for (pos = 0; pos < count; pos++) {
		slot = perm_slot(leaf->perm, pos);
		start = scale_first(leaf->scale, leaf->lo[slot]);
		last = scale_last(leaf->scale, leaf->hi[slot]);
		/* Intervals are in no cache; so they are looked at if they must. */
		if (leaf->tag & INDEX_ROUGH) {
			x = leaf->at[slot];
			start = x->start;
			last = x->last;
		}
		if (start >= from)
			add(f, start, last);
	}
}

/* The next leaves, to where a leaf and a start both begin. False: that was all. */
static bool fill_some(struct interval_index *ix) __must_hold(&ix->lock)
{
	unsigned long start = ix->filled, order = 0;
	struct index_path path;

	/* It would be counted, and is in no leaf. */
	recent_forget(ix);
	for (int i = 0; i < FILTER_PIECE || order; i++) {
		ix->search->descend(ix->root, start, order, &path);
		add_leaf(ix->filling, path.leaf, ix->filled);
		start = path.hi;
		order = path.hi_order;
		if (start == ~0UL && order == ~0UL)
			return false;
	}
	ix->filled = start;
	return true;
}

/* With nothing in it; NULL: no memory. */
static struct index_filter *filter_make(unsigned long counters)
{
	unsigned long line = 1UL << FILTER_LINE_BITS;
	unsigned int bits = 1;
	struct index_filter *f;
	size_t size;

	while (line << (bits + 1) <= counters)
		bits++;
	size = sizeof(*f) + (CACHE_LINE << bits);
	f = sync_alloc_pages(size);
	if (!f)
		return NULL;
	sync_want_huge_pages(f, size);
	sync_populate_pages(f, size);
	f->shift = 64 - bits;
	f->size = size;
	return f;
}

/* Not more often than anybody waits: others may keep the core for long. */
static void give_way(struct interval_index *ix) __no_context_analysis
{
	bool waiters = spin_has_waiters(&ix->lock);

	spin_unlock(&ix->lock);
	if (waiters)
		sync_yield();
	spin_lock(&ix->lock);
}

/* It is filled; for how many there is room in it its size says. */
static void publish(struct interval_index *ix) __must_hold(&ix->lock)
{
	struct index_filter *f = ix->filling;

	f->older = ix->filter;
	ix->bytes += f->size;
	ix->filling = NULL;
	/*
	 * Ordering: (IX-FILTER) pairs with (IX-FILTER-SEEN) in index_nothing(): all
	 * that is there has been counted.
	 */
	smp_store_release(&ix->filter, f);
}

void index_filter_renew(struct interval_index *ix) __no_context_analysis
{
	unsigned long enough = (ix->count + 1) * FILTER_GROWTH;
	unsigned long counters = ix->count * FILTER_ROOM;
	struct index_filter *f;

	/* Nobody else makes one. */
	ix->filter_at = ~0UL;
	spin_unlock(&ix->lock);
	f = filter_make(counters);
	spin_lock(&ix->lock);
	ix->filling = f;
	ix->filled = 0;
	if (f) {
		while (fill_some(ix))
			give_way(ix);
		publish(ix);
	}
	ix->filter_at = enough;
}

void index_filter_destroy(struct interval_index *ix) __no_context_analysis
{
	struct index_filter *f, *older;

	for (f = ix->filter; f; f = older) {
		older = f->older;
		sync_free_pages(f, f->size);
	}
	/* In a child of whoever was filling it. */
	if (ix->filling)
		sync_free_pages(ix->filling, ix->filling->size);
	ix->filter = ix->filling = NULL;
}
