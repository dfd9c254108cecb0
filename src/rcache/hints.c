// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Hints: a hash of pages that leads to regions. A hint may be wrong, or missing:
 * whoever follows one looks at the region, and without one the index is
 * searched. So none is ever repaired in a hurry. They are written under the
 * cache's lock and read without; a bucket is a line.
 */
#include <errno.h>

#include "internal.h"

#define HINT_PAGE_SHIFT 12
#define HINT_POINTER ((1UL << 48) - 1)
/* Was one: a search goes on behind it. It leads to no region. */
#define HINT_HOLE (1UL << 48)
#define HINT_FIRST_BITS 6
/* So many places for each live region. */
#define HINT_ROOM 4

struct hash {
	unsigned long bucket;
	unsigned long tag;
	unsigned int way;
};

static inline struct hash hash_of(const struct hints *hints, unsigned long addr)
{
	unsigned long h = (addr >> HINT_PAGE_SHIFT) * 0x9e3779b97f4a7c15UL;

	return (struct hash){
		.bucket = h >> hints->shift,
		.tag = h << 24 & ~HINT_POINTER,
		.way = h >> 16 & (HINT_WAYS - 1),
	};
}

static inline bool tagged(unsigned long entry, unsigned long tag)
{
	return (entry & ~HINT_POINTER) == tag;
}

struct region *hint_find(const struct hints *hints, unsigned long addr)
{
	struct hash h = hash_of(hints, addr);
	const unsigned long *bucket = &hints->entry[h.bucket * HINT_WAYS];
	unsigned long entry;

	for (unsigned int i = 0; i < HINT_WAYS; i++) {
		/*
		 * Ordering: (RC-HINT-READ) pairs with (RC-HINT-SET) in
		 * hint_put(): the region is seen as it was made.
		 */
		entry = smp_load_acquire(&bucket[(h.way + i) % HINT_WAYS]);
		if (!entry)
			return NULL;
		if (tagged(entry, h.tag) && entry & HINT_POINTER)
			return (struct region *)(entry & HINT_POINTER);
	}
	return NULL;
}

/* Where a hint for @addr may go: NULL: all there lead to live regions. */
static unsigned long *hint_place(struct hints *hints, struct hash h)
{
	unsigned long *bucket = &hints->entry[h.bucket * HINT_WAYS];
	unsigned long *place, entry;
	struct region *old;

	for (unsigned int i = 0; i < HINT_WAYS; i++) {
		place = &bucket[(h.way + i) % HINT_WAYS];
		entry = READ_ONCE(*place);
		old = (struct region *)(entry & HINT_POINTER);
		if (!old || tagged(entry, h.tag) ||
		    !(READ_ONCE(old->state) & REGION_LIVE))
			return place;
	}
	return NULL;
}

bool hint_room(struct hints *hints, unsigned long addr)
{
	return hint_place(hints, hash_of(hints, addr)) != NULL;
}

static void hint_put(struct hints *hints, unsigned long addr, struct region *r)
{
	struct hash h = hash_of(hints, addr);
	unsigned long *place = hint_place(hints, h);

	if (!place)
		place = &hints->entry[h.bucket * HINT_WAYS + h.way];
	/* Ordering: (RC-HINT-SET) pairs with (RC-HINT-READ) in hint_find(): see there. */
	smp_store_release(place, (unsigned long)r | h.tag);
}

static struct hints *hints_make(unsigned int bits)
{
	size_t size = sizeof(struct hints) +
		      (sizeof(unsigned long) * HINT_WAYS << bits);
	struct hints *hints = sync_alloc_pages(size);

	if (!hints)
		return NULL;
	sync_want_huge_pages(hints, size);
	hints->shift = 64 - bits;
	hints->size = size;
	return hints;
}

int hints_init(struct uhmm_rcache *c)
{
	c->hints = hints_make(HINT_FIRST_BITS);
	c->no_hints = hints_make(1);
	return c->hints && c->no_hints ? 0 : -ENOMEM;
}

void hints_destroy(struct uhmm_rcache *c)
{
	struct hints *older;

	struct hints *hints;

	for (hints = c->hints; hints; hints = older) {
		older = hints->older;
		sync_free_pages(hints, hints->size);
	}
	if (c->no_hints && !c->ended)
		sync_free_pages(c->no_hints, c->no_hints->size);
}

/* In a child: nothing is found any more. */
void hints_end(struct uhmm_rcache *c)
{
	c->no_hints->older = c->hints;
	WRITE_ONCE(c->hints, c->no_hints);
}

/* Without memory they stay as they are, and more is found by the index. */
void hints_grow(struct uhmm_rcache *c)
{
	unsigned int bits = 64 - c->hints->shift;
	struct hints *hints;
	unsigned long i;

	if (likely(c->hinted * HINT_ROOM <= (unsigned long)HINT_WAYS << bits))
		return;
	hints = hints_make(bits + 2);
	if (!hints)
		return;
	for (i = 0; i < c->pooled; i++) {
		struct region *r = region_at(c, i);

		if (READ_ONCE(r->state) & REGION_LIVE)
			hint_put(hints, r->start, r);
	}
	hints->older = c->hints;
	/*
	 * Ordering: (RC-HINTS-SET) pairs with (RC-HINTS-READ) in
	 * uhmm_rcache_get() and (RC-HINTS-READ-AGAIN) in hint_missing(): they
	 * are filled.
	 */
	smp_store_release(&c->hints, hints);
}

void hint_add(struct uhmm_rcache *c, unsigned long addr, struct region *r)
{
	hint_put(c->hints, addr, r);
}

void hint_drop(struct uhmm_rcache *c, struct region *r)
{
	struct hash h = hash_of(c->hints, r->start);
	unsigned long *bucket = &c->hints->entry[h.bucket * HINT_WAYS];

	for (unsigned int i = 0; i < HINT_WAYS; i++)
		if ((struct region *)(bucket[i] & HINT_POINTER) == r)
			WRITE_ONCE(bucket[i], HINT_HOLE);
}
