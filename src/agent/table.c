/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define HASH_BITS 16
#define HASH_SIZE (1UL << HASH_BITS)
#define CHUNK (64 * sizeof(struct leaf))

/* Pages that are backed when they are touched; not from the program's malloc. */
static void *get_pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	/* A forked child begins with nothing. */
	madvise(p, size, MADV_WIPEONFORK);
	return p;
}

int table_init(struct table *table)
{
	memset(table, 0, sizeof(*table));
	table->hash = get_pages(HASH_SIZE * sizeof(*table->hash));
	return table->hash ? 0 : -ENOMEM;
}

static unsigned long hash_of(unsigned long base)
{
	return (base / LEAF_SIZE * 0x9e3779b97f4a7c15UL) >> (64 - HASH_BITS);
}

static struct leaf **place_of(const struct table *table, unsigned long base)
{
	unsigned long at = hash_of(base);

	while (table->hash[at] && table->hash[at]->base != base)
		at = (at + 1) % HASH_SIZE;
	return &table->hash[at];
}

struct leaf *table_make(struct table *table, unsigned long base)
{
	struct leaf **place = place_of(table, base), *leaf;

	if (*place)
		return *place;
	/* Half full, the searches stay short. */
	if (table->nleaves == HASH_SIZE / 2)
		return NULL;
	if (table->left < sizeof(*leaf)) {
		table->room = get_pages(CHUNK);
		table->left = table->room ? CHUNK : 0;
	}
	if (!table->left)
		return NULL;
	leaf = (struct leaf *)(void *)table->room;
	table->room += sizeof(*leaf);
	table->left -= sizeof(*leaf);
	leaf->base = base;
	leaf->next = table->leaves;
	table->leaves = leaf;
	table->nleaves++;
	*place = leaf;
	return leaf;
}

void table_drop(struct table *table, struct leaf *leaf, size_t i)
{
	leaf->entry[i] = 0;
	leaf->valid--;
	table->valid--;
}

/* ------------------------------------------------------------------- events */

static bool leaf_any(const struct leaf *leaf, unsigned long from,
		     unsigned long to)
{
	for (; leaf->valid && from < to; from++)
		if (leaf->entry[from] & ENTRY_VALID)
			return true;
	return false;
}

static void leaf_event(struct table *table, struct leaf *leaf,
		       unsigned long from, unsigned long to, bool deaf)
{
	if (leaf->valid)
		table->hit = leaf;
	for (; from < to; from++) {
		leaf->events[from]++;
		if (!deaf && leaf->entry[from] & ENTRY_VALID)
			table_drop(table, leaf, from);
	}
}

/* Which pages of the leaf at @base are in [start, end). */
static void cut(unsigned long base, unsigned long start, unsigned long end,
		unsigned long *from, unsigned long *to)
{
	*from = start > base ? (start - base) / TABLE_PAGE : 0;
	*to = end - base < LEAF_SIZE ?
		      (end - base + TABLE_PAGE - 1) / TABLE_PAGE : LEAF_PAGES;
}

static bool is_wide(const struct table *table, unsigned long start,
		    unsigned long end)
{
	return (end - start) / LEAF_SIZE >= table->nleaves;
}

/* The first leaf that [start, end) touches, or the next one behind @leaf. */
static struct leaf *next_touched(const struct table *table,
				 const struct leaf *leaf, unsigned long start,
				 unsigned long end)
{
	struct leaf *at = NULL;
	unsigned long base;

	if (is_wide(table, start, end)) {
		at = leaf ? leaf->next : table->leaves;
		while (at && (at->base + LEAF_SIZE <= start || at->base >= end))
			at = at->next;
		return at;
	}
	base = leaf ? leaf->base + LEAF_SIZE : LEAF_BASE(start);
	for (; !at && base < end; base += LEAF_SIZE)
		at = *place_of(table, base);
	return at;
}

bool table_any(const struct table *table, unsigned long start,
	       unsigned long end)
{
	unsigned long from, to;
	struct leaf *leaf = NULL;

	while ((leaf = next_touched(table, leaf, start, end))) {
		cut(leaf->base, start, end, &from, &to);
		if (leaf_any(leaf, from, to))
			return true;
	}
	return false;
}

void table_event(struct table *table, unsigned long start, unsigned long end,
		 bool deaf)
{
	unsigned long from, to;
	struct leaf *leaf = NULL;

	while ((leaf = next_touched(table, leaf, start, end))) {
		cut(leaf->base, start, end, &from, &to);
		leaf_event(table, leaf, from, to, deaf);
	}
}
