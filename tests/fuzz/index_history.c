/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "index_history.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIVE 8192
/* So few have a filter here. */
#define FILTERED 24

long history_allocations_left = -1;
void (*history_at_allocation)(void);

void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);

void *__wrap_sync_alloc_pages(size_t size)
{
	void (*meanwhile)(void) = history_at_allocation;

	history_at_allocation = NULL;
	if (meanwhile)
		meanwhile();
	if (!history_allocations_left)
		return NULL;
	if (history_allocations_left > 0)
		history_allocations_left--;
	return __real_sync_alloc_pages(size);
}

static __attribute__((format(printf, 2, 3))) void
wrong(struct history *h, const char *format, ...)
{
	va_list args;

	if (*h->problem)
		return;
	va_start(args, format);
	vsnprintf(h->problem, sizeof(h->problem), format, args);
	va_end(args);
}

/* ----------------------------------------------------------------- shapes */

static const unsigned long edges[] = {
	0, 1, 2, LONG_MAX - 1, LONG_MAX, (unsigned long)LONG_MAX + 1,
	(unsigned long)LONG_MAX + 2, ULONG_MAX - 2, ULONG_MAX - 1, ULONG_MAX,
};

static void order_edges(unsigned long a, unsigned long b, unsigned long *start,
			unsigned long *last)
{
	*start = a < b ? a : b;
	*last = a < b ? b : a;
}

void history_interval(enum index_shape shape, unsigned int a, unsigned int b,
		      unsigned long *start, unsigned long *last)
{
	unsigned long size;

	switch (shape) {
	case SHAPE_DENSE:
		*start = (a * 16UL + b % 16) << 12;
		*last = *start + ((b / 16 * 3 + 1UL) << 12) - 1;
		return;
	case SHAPE_BYTES:
		*start = a * 16UL + b % 16;
		*last = *start + b / 16 * 3;
		return;
	case SHAPE_FAR:
		*start = ((unsigned long)a << 56 >> b % 32) + (b << 12);
		*last = *start + ((b / 32 + 1UL) << 12) - 1;
		return;
	case SHAPE_WIDE:
		*start = ((unsigned long)a << 20) + b;
		*last = *start + ((unsigned long)b << 18);
		return;
	case SHAPE_EQUAL:
		*start = (a % 4UL) << 12;
		*last = *start + b * 64UL;
		return;
	case SHAPE_EDGES:
		order_edges(edges[a % ARRAY_SIZE(edges)],
			    edges[b % ARRAY_SIZE(edges)], start, last);
		return;
	case SHAPE_NESTED:
	default:
		size = 4UL << 2 * (b % 8);
		*start = a * 256UL / size * size;
		*last = b % 64 == 63 ? ULONG_MAX : *start + size - 1;
		return;
	}
}

/* ----------------------------------------------------------- the one to try */

extern const struct index_search index_search_avx2 __attribute__((weak));

const struct index_search *history_searches[HISTORY_SEARCHES + 1];

/* Who can do the wider vectors can do the others. */
void history_find_searches(void)
{
	const struct index_search *vector = index_search_vector();

	history_searches[0] = &index_search_portable;
	history_searches[1] = vector;
	if (vector && vector != &index_search_avx2)
		history_searches[2] = &index_search_avx2;
}

static unsigned long oldest_reader(void *arg)
{
	const struct history *h = arg;
	unsigned long oldest = ULONG_MAX;

	for (unsigned int i = 0; i < HISTORY_READERS; i++)
		if (h->readers[i].open && h->readers[i].version < oldest)
			oldest = h->readers[i].version;
	return oldest;
}

int history_begin(struct history *h, enum index_shape shape)
{
	int ret;

	memset(h, 0, sizeof(*h));
	h->shape = shape;
	h->time = 1;
	history_find_searches();
	while (history_searches[h->n_searches]) {
		h->search[h->n_searches] = history_searches[h->n_searches];
		h->n_searches++;
	}
	ret = index_init(&h->ix, oldest_reader, h);
	if (ret)
		return ret;
	h->ix.filter_at = FILTERED;
	h->room = MAX_LIVE;
	h->sorted = calloc(h->room, sizeof(*h->sorted));
	if (h->sorted)
		return 0;
	index_destroy(&h->ix);
	return -ENOMEM;
}

/* Nobody looks at it any more: whoever does is to notice. */
static void let_go(struct history *h)
{
	struct entry *entry;

	for (unsigned int i = 0; i < HISTORY_READERS; i++)
		if (h->readers[i].open)
			return;
	while ((entry = h->removed)) {
		h->removed = entry->next;
		memset(entry, 0xa5, sizeof(*entry));
		free(entry);
	}
}

void history_end(struct history *h)
{
	memset(h->readers, 0, sizeof(h->readers));
	let_go(h);
	while (h->n)
		free(h->sorted[--h->n]);
	free(h->sorted);
	index_destroy(&h->ix);
}

static bool overlapped(const struct history *h, unsigned long start,
		       unsigned long last)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->sorted[i]->node.start <= last &&
		    h->sorted[i]->node.last >= start)
			return true;
	return false;
}

/* As subscriptions do it. */
static int insert(struct history *h, struct uhmm_interval_node *node)
{
	if (!index_insert_recent(&h->ix, node, h->ix.next_order))
		return index_insert(&h->ix, node);
	h->recents++;
	return 0;
}

/* Every third time only if it is alone, as far as the index can tell. */
static int insert_some_way(struct history *h, struct entry *entry)
{
	unsigned long start = entry->node.start, last = entry->node.last;
	int ret;

	if (h->time / 3 % 3)
		return insert(h, &entry->node);
	ret = index_insert_alone(&h->ix, &entry->node);
	if (!ret && overlapped(h, start, last))
		wrong(h, "[%lx, %lx] is not alone", start, last);
	return ret == -EEXIST ? insert(h, &entry->node) : ret;
}

int history_insert(struct history *h, unsigned long start, unsigned long last)
{
	struct entry *entry;
	size_t at;
	int ret;

	if (h->n == h->room)
		return 0;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		abort();
	entry->node.start = start;
	entry->node.last = last;
	entry->since = ++h->time;
	spin_lock(&h->ix.lock);
	ret = insert_some_way(h, entry);
	spin_unlock(&h->ix.lock);
	if (ret) {
		if (ret != -ENOMEM || history_allocations_left)
			wrong(h, "index_insert() says %d", ret);
		h->refused = true;
		free(entry);
		return ret;
	}
	for (at = h->n; at && h->sorted[at - 1]->node.start > start; at--)
		h->sorted[at] = h->sorted[at - 1];
	h->sorted[at] = entry;
	h->n++;
	return 0;
}

void history_remove(struct history *h, size_t i)
{
	struct entry *entry = h->sorted[i];

	spin_lock(&h->ix.lock);
	if (!index_remove_recent(&h->ix, &entry->node))
		index_remove(&h->ix, &entry->node);
	spin_unlock(&h->ix.lock);
	memmove(&h->sorted[i], &h->sorted[i + 1],
		(--h->n - i) * sizeof(*h->sorted));
	entry->until = ++h->time;
	entry->next = h->removed;
	h->removed = entry;
	let_go(h);
}

/* ------------------------------------------------------------------ searches */

struct answers {
	struct uhmm_interval_node *found[MAX_LIVE + INDEX_BATCH];
	size_t n;
};

static struct answers answers;

/* On from where @walk stands, to the end. */
static void find_rest(struct history *h, const struct interval_index *ix,
		      const struct index_search *search, unsigned long start,
		      unsigned long last, struct index_walk *walk)
{
	unsigned long order = walk->order, from = walk->start;

	while (!walk->done) {
		if (answers.n > MAX_LIVE) {
			wrong(h, "a search does not end");
			return;
		}
		answers.n += search->resume(ix, start, last, walk,
					    answers.found + answers.n);
		if (!walk->done && (walk->start < from ||
				    (walk->start == from &&
				     walk->order <= order)))
			wrong(h, "a search goes back");
		from = walk->start;
		order = walk->order;
	}
}

static void compare(struct history *h, const char *how, unsigned long start,
		    unsigned long last)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		struct uhmm_interval_node *node = &h->sorted[i]->node;

		if (node->start > last || node->last < start)
			continue;
		if (n >= answers.n || answers.found[n] != node) {
			wrong(h, "%s [%lx, %lx]: answer %zu of %zu is not [%lx, %lx]",
			      how, start, last, n, answers.n, node->start,
			      node->last);
			return;
		}
		n++;
	}
	if (n != answers.n)
		wrong(h, "%s [%lx, %lx]: %zu answers instead of %zu", how, start,
		      last, answers.n, n);
}

/* What the filter says is so. */
static void ask_filter(struct history *h, unsigned long start, unsigned long last)
{
	if (!index_filtered(&h->ix))
		return;
	h->asked += !overlapped(h, start, last);
	if (!index_nothing(&h->ix, start, last))
		return;
	h->told++;
	if (overlapped(h, start, last))
		wrong(h, "[%lx, %lx] is not empty, as the filter says", start,
		      last);
}

void history_find(struct history *h, unsigned long start, unsigned long last)
{
	struct index_finger none;
	struct index_path path;
	struct index_walk walk;
	unsigned int i;
	bool leads;

	ask_filter(h, start, last);
	for (i = 0; i < h->n_searches; i++) {
		answers.n = h->search[i]->first(&h->ix, &none, start, last,
						&walk, answers.found);
		find_rest(h, &h->ix, h->search[i], start, last, &walk);
		compare(h, h->search[i]->name, start, last);
		h->search[i]->descend(h->ix.root, start, ~0UL, &path);
		if (answers.n && h->search[i]->alone(&path, start, last))
			wrong(h, "%s: [%lx, %lx] is not alone",
			      h->search[i]->name, start, last);
	}
	/* Twice: the second time the finger is there. */
	for (i = 0; i < 2; i++) {
		h->ix.search = h->search[h->time++ % h->n_searches];
		answers.n = 0;
		leads = finger_leads(&h->ix, &h->finger, start, last);
		walk.done = leads && finger_nothing(&h->finger);
		if (!walk.done)
			answers.n = index_find(&h->ix, &h->finger, leads, start,
					       last, &walk, answers.found);
		find_rest(h, &h->ix, h->ix.search, start, last, &walk);
		compare(h, i ? "by finger" : "first", start, last);
	}
}

/* ------------------------------------------------------------------- readers */

void history_reader_begin(struct history *h, unsigned int i)
{
	struct history_reader *reader = &h->readers[i];

	if (reader->open)
		return;
	reader->open = true;
	reader->time = h->time++;
	reader->version = h->ix.version;
	reader->root = h->ix.root;
}

/* He missed nothing that was there all the time, and made nothing up. */
static void judge_reader(struct history *h, const struct history_reader *reader)
{
	size_t expected = 0, old = 0;

	for (size_t i = 0; i < h->n; i++)
		expected += h->sorted[i]->since <= reader->time;
	for (size_t i = 0; i < answers.n; i++) {
		struct entry *entry = container_of(answers.found[i],
						   struct entry, node);

		if (entry->until && entry->until < reader->time)
			wrong(h, "a reader found what was gone before him");
		old += !entry->until && entry->since <= reader->time;
	}
	if (old != expected)
		wrong(h, "a reader found %zu of %zu", old, expected);
}

void history_reader_end(struct history *h, unsigned int i)
{
	struct history_reader *reader = &h->readers[i];
	struct interval_index then = { .root = reader->root };
	struct index_finger none;
	struct index_walk walk;

	if (!reader->open)
		return;
	answers.n = h->search[0]->first(&then, &none, 0, ULONG_MAX, &walk,
					answers.found);
	find_rest(h, &then, h->search[0], 0, ULONG_MAX, &walk);
	judge_reader(h, reader);
	reader->open = false;
	let_go(h);
}

/* ------------------------------------------------------------------ the tree */

struct checked {
	unsigned long min, min_order, max;	/* bounds of the subtree */
	size_t n;				/* of entries seen so far */
};

static void check_leaf(struct history *h, const struct index_node *leaf,
		       struct checked *c)
{
	unsigned int seen = 0, count = perm_count(leaf->perm);

	c->max = 0;
	for (unsigned int pos = 0; pos < INDEX_FANOUT; pos++) {
		unsigned int slot = perm_slot(leaf->perm, pos);
		const struct uhmm_interval_node *node = leaf->at[slot];

		seen |= 1U << slot;
		if (pos >= count)
			continue;
		if (c->n >= h->n || node != &h->sorted[c->n]->node) {
			wrong(h, "entry %zu is not in its place", c->n);
			return;
		}
		if (leaf->lo[slot] != scaled(leaf->scale, node->start) ||
		    leaf->hi[slot] != scaled(leaf->scale, node->last) ||
		    !scale_fits(leaf->scale, node->start))
			wrong(h, "entry %zu is not what its leaf says", c->n);
		if (!pos) {
			c->min = node->start;
			c->min_order = node->order;
		}
		if (node->last > c->max)
			c->max = node->last;
		c->n++;
	}
	if (seen != (1U << INDEX_FANOUT) - 1)
		wrong(h, "the slots of a leaf are no permutation");
}

static bool key_above(unsigned long a, unsigned long a_order, unsigned long b,
		      unsigned long b_order)
{
	return a > b || (a == b && a_order > b_order);
}

/* @c: what is below child @i. */
static void check_child(struct history *h, const struct index_inner *inner,
			unsigned int i, const struct checked *c, bool any)
{
	const struct index_node *node = &inner->node;
	const struct index_bounds *exact = &inner->exact[i];

	if (i && any &&
	    key_above(exact->lo, exact->order, c->min, c->min_order))
		wrong(h, "a key is below the bound of its node");
	/* What was refused may have raised it already. */
	if (exact->hi < c->max || (exact->hi > c->max && !h->refused))
		wrong(h, "a bound is %lx instead of %lx", exact->hi, c->max);
	if (node->lo[i] != scaled(node->scale, exact->lo) ||
	    node->hi[i] != scaled(node->scale, exact->hi))
		wrong(h, "a bound is not scaled");
}

static void check_node(struct history *h, const struct index_node *node,
		       unsigned int level, struct checked *c)
{
	const struct index_inner *inner = container_of(node, struct index_inner,
						       node);
	unsigned long max = 0;

	if (*h->problem)
		return;
	if (node_level(node) != level) {
		wrong(h, "a node of level %u where %u is due", node_level(node),
		      level);
		return;
	}
	if (!level) {
		check_leaf(h, node, c);
		return;
	}
	if (!inner->count || inner->count > INDEX_FANOUT)
		wrong(h, "a node with %lu children", inner->count);
	for (unsigned int i = 0; i < inner->count; i++) {
		size_t before = c->n;

		c->max = 0;
		check_node(h, node->at[i], level - 1, c);
		if (*h->problem)
			return;
		check_child(h, inner, i, c, before != c->n);
		if (c->max > max)
			max = c->max;
	}
	c->max = max;
}

/* Take what [start, last] has been counted as out of @f, a copy. */
static void uncount(struct history *h, struct index_filter *f,
		    unsigned long start, unsigned long last)
{
	unsigned int level = filter_level(start, last);
	unsigned long unit = start >> filter_shift(level);
	struct filter_counter c;

	if (!f->count[level]--)
		wrong(h, "too few of level %u are counted", level);
	for (; unit <= last >> filter_shift(level); unit++) {
		c = filter_counter(f, level, unit);
		if (!(*c.word >> c.shift & FILTER_TOP))
			wrong(h, "unit %lx of level %u is not counted", unit,
			      level);
		else if ((*c.word >> c.shift & FILTER_TOP) != FILTER_TOP)
			*c.word -= 1UL << c.shift;
	}
}

/* Nothing is left in @f but counters that were at the top. */
static void check_uncounted(struct history *h, const struct index_filter *f)
{
	const unsigned long *word = f->line[0];
	const unsigned long *end = (const void *)((const char *)f + f->size);

	for (unsigned int level = 0; level < FILTER_LEVELS; level++)
		if (f->count[level])
			wrong(h, "%lu too many of level %u are counted",
			      f->count[level], level);
	for (; word < end; word++)
		for (unsigned int shift = 0; shift < 64; shift += 4)
			if ((*word >> shift & FILTER_TOP) % FILTER_TOP)
				wrong(h, "something is counted that is gone");
}

static void check_filter(struct history *h)
{
	const struct index_recent *recent = &h->ix.path.recent;
	struct index_filter *f = h->ix.filter, *copy;

	if (!f)
		return;
	for (unsigned int level = 0; level < FILTER_LEVELS; level++)
		if (!f->count[level] != !(f->levels >> level & 1))
			wrong(h, "of level %u are %lu", level, f->count[level]);
	copy = aligned_alloc(CACHE_LINE, f->size);
	if (!copy)
		abort();
	memcpy(copy, f, f->size);
	for (size_t i = 0; i < h->n; i++)
		uncount(h, copy, h->sorted[i]->node.start,
			h->sorted[i]->node.last);
	if (recent->start <= recent->last && !(recent->tag & RECENT_THERE))
		uncount(h, copy, recent->start, recent->last);
	check_uncounted(h, copy);
	free(copy);
}

void history_check_tree(struct history *h)
{
	struct checked c = { 0 };

	check_filter(h);

	check_node(h, h->ix.root, node_level(h->ix.root), &c);
	if (c.n != h->n || h->ix.count != h->n)
		wrong(h, "%zu entries, %lu counted, of %zu", c.n, h->ix.count,
		      h->n);
}

/* --------------------------------------------------------------- from bytes */

static void insert_bytes(struct history *h, unsigned int a, unsigned int b)
{
	unsigned long start, last;

	history_interval(h->shape, a, b, &start, &last);
	history_insert(h, start, last);
}

/* A handful, up, down or all over the place. */
static void do_many(struct history *h, unsigned int a, unsigned int b)
{
	unsigned int n = a % 64 + 1, x = b;

	for (unsigned int i = 0; i < n; i++) {
		if (a & 64 && h->n)
			history_remove(h, a & 128 ? 0 : (x * 7919) % h->n);
		else if (!(a & 64))
			insert_bytes(h, a & 128 ? x % 256 : (b + i) % 256,
				     x >> 8 & 255);
		x = x * 1103515245U + 12345U;
	}
}

static void circumstance(struct history *h, unsigned int a, unsigned int b)
{
	unsigned int i = b % HISTORY_READERS;

	if (a < 32)
		history_allocations_left = b % 4;
	else if (a < 64)
		history_allocations_left = -1;
	else if (h->readers[i].open)
		history_reader_end(h, i);
	else
		history_reader_begin(h, i);
}

static void step(struct history *h, enum index_op op, unsigned int a,
		 unsigned int b)
{
	unsigned long start, last;

	switch (op) {
	case OP_INSERT:
	case OP_INSERT_TOO:
		insert_bytes(h, a, b);
		return;
	case OP_REMOVE:
	case OP_REMOVE_TOO:
		if (h->n)
			history_remove(h, (a << 8 | b) % h->n);
		return;
	case OP_FIND:
		history_interval(h->shape, a, b, &start, &last);
		history_find(h, start, last);
		return;
	case OP_FIND_ALL:
		history_find(h, 0, ULONG_MAX);
		history_check_tree(h);
		return;
	case OP_MANY:
		do_many(h, a, b);
		return;
	case OP_CIRCUMSTANCE:
		circumstance(h, a, b);
		return;
	}
}

const char *history_run(const uint8_t *data, size_t size)
{
	static struct history h;
	unsigned int i;

	if (!size)
		return NULL;
	history_allocations_left = -1;
	if (history_begin(&h, data[0] % SHAPES))
		return NULL;
	for (size_t at = 1; at + 3 <= size && !*h.problem; at += 3)
		step(&h, data[at] % 8, data[at + 1], data[at + 2]);
	for (i = 0; i < HISTORY_READERS && !*h.problem; i++)
		history_reader_end(&h, i);
	if (!*h.problem) {
		history_check_tree(&h);
		history_find(&h, 0, ULONG_MAX);
	}
	history_allocations_left = -1;
	history_end(&h);
	return *h.problem ? h.problem : NULL;
}
