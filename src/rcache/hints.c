// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Hints: a hash of pages that leads to regions. A hint may be wrong, or missing:
 * whoever follows one looks at the region, and without one the index is
 * searched. So none is ever repaired in a hurry. They are written under the
 * cache's lock and read without; a page's hints lie in one line.
 */
#include <errno.h>

#include "internal.h"

#define HINT_FIRST_BITS 9
/* So many places for each live region, and up to twice as many. */
#define HINT_ROOM 4

/* The first two ways were tried. */
struct region *hint_further(const struct hints *hints, unsigned long addr)
{
	struct hint_key key = hint_key(hints, addr);
	unsigned long entry;

	for (unsigned int way = 2; way < HINT_WAYS; way++) {
		/*
		 * Ordering: (RC-HINT-READ-ON) pairs with (RC-HINT-SET) in
		 * hint_put(): as (RC-HINT-READ).
		 */
		entry = smp_load_acquire(&hints->entry[key.place ^ way]);
		if (hint_is(entry ^ key.tag))
			return (struct region *)(entry ^ key.tag);
	}
	return NULL;
}

/* Where a hint for the page may go: NULL: all there lead to live regions. */
static unsigned long *hint_place(struct hints *hints, struct hint_key key)
{
	unsigned long *place, entry;
	struct region *old;

	for (unsigned int way = 0; way < HINT_WAYS; way++) {
		place = &hints->entry[key.place ^ way];
		entry = READ_ONCE(*place);
		old = (struct region *)(entry & HINT_POINTER);
		if (!old || hint_is(entry ^ key.tag) ||
		    !(READ_ONCE(old->state) & REGION_LIVE))
			return place;
	}
	return NULL;
}

bool hint_room(struct hints *hints, unsigned long addr)
{
	return hint_place(hints, hint_key(hints, addr)) != NULL;
}

static void hint_put(struct hints *hints, unsigned long addr, struct region *r)
{
	struct hint_key key = hint_key(hints, addr);
	unsigned long *place = hint_place(hints, key);

	if (!place)
		place = &hints->entry[key.place];
	/*
	 * Ordering: (RC-HINT-SET) pairs with (RC-HINT-READ) in hint_find() and
	 * (RC-HINT-READ-ON) in hint_further(): the region is seen as it was made.
	 */
	smp_store_release(place, (unsigned long)r ^ key.tag);
}

static struct hints *hints_make(unsigned int bits)
{
	size_t size = sizeof(struct hints) +
		      (sizeof(unsigned long) << bits);
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
	c->no_hints = hints_make(3);
	return c->hints && c->no_hints ? 0 : -ENOMEM;
}

void hints_destroy(struct uhmm_rcache *c)
{
	struct hints *hints, *older;

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

	if (likely(c->hinted * HINT_ROOM <= 1UL << bits))
		return;
	hints = hints_make(bits + 1);
	if (!hints)
		return;
	for (i = 0; i < c->pooled; i++) {
		struct region *r = region_at(c, i);

		if (READ_ONCE(r->state) & REGION_LIVE)
			hint_put(hints, r->start, r);
	}
	hints->older = c->hints;
	/*
	 * Ordering: (RC-HINTS-SET) pairs with (RC-HINTS-READ) in find_live(),
	 * (RC-HINTS-FURTHER) in get_slow() and (RC-HINTS-READ-AGAIN) in
	 * hint_missing(): they are filled.
	 */
	smp_store_release(&c->hints, hints);
}

void hint_add(struct uhmm_rcache *c, unsigned long addr, struct region *r)
{
	hint_put(c->hints, addr, r);
}

void hint_drop(struct uhmm_rcache *c, struct region *r)
{
	struct hint_key key = hint_key(c->hints, r->start);
	unsigned long *place;

	for (unsigned int way = 0; way < HINT_WAYS; way++) {
		place = &c->hints->entry[key.place ^ way];
		if ((struct region *)(*place & HINT_POINTER) == r)
			WRITE_ONCE(*place, 0);
	}
}
