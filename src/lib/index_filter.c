/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The writing side of the filter. It is made when there are many intervals, and
 * anew when there are some times as many, of what is in the index then.
 */
#include "index_filter.h"

#include "index_memory.h"
#include "index_write.h"

/* So many counters for each interval, as it is made. */
#define FILTER_ROOM 32UL
/* And so many times as many intervals until the next one is. */
#define FILTER_GROWTH 4UL

static void change(struct index_filter *f, unsigned int level, unsigned long unit,
		   bool more)
{
	struct filter_counter c = filter_counter(f, level, unit);
	unsigned long one = 1UL << c.shift;

	/* What has been at the top nobody knows the number of. */
	if ((*c.word >> c.shift & FILTER_TOP) != FILTER_TOP)
		WRITE_ONCE(*c.word, more ? *c.word + one : *c.word - one);
}

void filter_add(struct index_filter *f, unsigned long start, unsigned long last)
{
	unsigned int level = filter_level(start, last);
	unsigned long unit = start >> filter_shift(level);

	if (!f->count[level]++)
		WRITE_ONCE(f->levels, f->levels | 1UL << level);
	for (; unit <= last >> filter_shift(level); unit++)
		change(f, level, unit, true);
}

void filter_sub(struct index_filter *f, unsigned long start, unsigned long last)
{
	unsigned int level = filter_level(start, last);
	unsigned long unit = start >> filter_shift(level);

	for (; unit <= last >> filter_shift(level); unit++)
		change(f, level, unit, false);
	if (!--f->count[level])
		WRITE_ONCE(f->levels, f->levels & ~(1UL << level));
}

static void add_leaf(struct index_filter *f, const struct index_node *leaf)
{
	const struct uhmm_interval_node *x;
	unsigned int slot;

	for (unsigned int pos = 0; pos < perm_count(leaf->perm); pos++) {
		slot = perm_slot(leaf->perm, pos);
		x = leaf->at[slot];
		/* Intervals are missed; what tells where they are is not. */
		if (leaf->tag & INDEX_ROUGH)
			filter_add(f, x->start, x->last);
		else
			filter_add(f, scale_first(leaf->scale, leaf->lo[slot]),
				   scale_last(leaf->scale, leaf->hi[slot]));
	}
}

static void add_all(struct index_filter *f, const struct index_node *node)
{
	const struct index_inner *inner =
		container_of(node, struct index_inner, node);

	if (!node_level(node)) {
		add_leaf(f, node);
		return;
	}
	for (unsigned int i = 0; i < inner->count; i++)
		add_all(f, node->at[i]);
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

void index_filter_grow(struct interval_index *ix) __no_context_analysis
{
	unsigned long counters = ix->count * FILTER_ROOM;
	struct index_filter *f;

	ix->filter_at = ix->count * FILTER_GROWTH;
	spin_unlock(&ix->lock);
	f = filter_make(counters);
	spin_lock(&ix->lock);
	if (!f)
		return;
	/* Another thread may have made a larger one. */
	if (ix->filter && ix->filter->shift <= f->shift) {
		sync_free_pages(f, f->size);
		return;
	}
	recent_forget(ix);
	add_all(f, ix->root);
	f->older = ix->filter;
	ix->bytes += f->size;
	/*
	 * Ordering: (IX-FILTER) pairs with (IX-FILTER-SEEN) in index_nothing(): all
	 * that is there has been counted.
	 */
	smp_store_release(&ix->filter, f);
}

void index_filter_destroy(struct interval_index *ix) __no_context_analysis
{
	struct index_filter *f, *older;

	for (f = ix->filter; f; f = older) {
		older = f->older;
		sync_free_pages(f, f->size);
	}
	ix->filter = NULL;
}
