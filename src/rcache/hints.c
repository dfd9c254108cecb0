// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Hints: a hash of pages. Where a region begins its hint knows all that a hit
 * needs, and ends with it. Of other pages that were asked for a hint only leads
 * to the region: it may be wrong, and is never repaired in a hurry. Without one
 * the index is searched.
 *
 * They are written under the cache's lock, and read without: whoever reads one
 * holds the region that it leads to, and finds it leading there before and after
 * he has read the rest. A region that is held does not end and begin anew.
 */
#include <errno.h>
#include <limits.h>

#include "internal.h"

#define HINTS_FIRST SYNC_SIZE(512UL, 8UL)

/* Which counts the strays of the line that the page's hint belongs into. */
static struct hint *hint_home(struct hints *hints, unsigned long addr)
{
	return hint_in(hints, hint_at(hints, page_of(addr)) & ~(CACHE_LINE - 1UL));
}

/* One of the places of a page's hint, the most likely ones first. */
static struct hint *hint_way(struct hints *hints, unsigned long at,
			     unsigned long way)
{
	return hint_in(hints, at ^ way * sizeof(struct hint));
}

static bool is_stray(const struct hint *h, const struct hint *home)
{
	return h - home >= (long)HINT_LINE || h < home;
}

struct hint *hint_further(struct hints *hints, unsigned long addr)
{
	unsigned long page = page_of(addr), at = hint_at(hints, page);
	struct hint *h;

	for (unsigned long way = 0; way < HINT_WAYS; way++) {
		if (way == HINT_LINE &&
		    !READ_ONCE(hint_home(hints, addr)->strays))
			break;
		h = hint_way(hints, at, way);
		if (READ_ONCE(h->start) == page && READ_ONCE(h->life))
			return h;
	}
	return NULL;
}

/* One that leads nowhere, or to what has ended. */
static bool is_free(const struct hint *h)
{
	unsigned long life = READ_ONCE(h->life);

	return !life || (life & LIFE_LEADS &&
			 !READ_ONCE(life_region(life)->life));
}

/*
 * Where a hint for the page may go; NULL: all are of use. Most often it takes the
 * line that was looked at for it.
 */
static struct hint *hint_place(struct hints *hints, unsigned long addr)
{
	unsigned long page = page_of(addr), at = hint_at(hints, page);
	struct hint *h, *place = NULL;

	for (unsigned long way = 0; way < HINT_WAYS; way++) {
		if (way == HINT_LINE && place &&
		    !READ_ONCE(hint_home(hints, addr)->strays))
			break;
		h = hint_way(hints, at, way);
		if (READ_ONCE(h->start) == page)
			return h;
		if (!place && is_free(h))
			place = h;
	}
	return place;
}

bool hint_room(struct hints *hints, unsigned long addr)
{
	struct hint *h = hint_place(hints, addr);

	return h && is_free(h);
}

/* It leads nowhere. Not read, as it is long since it was, and others wait. */
static void hint_end(struct hints *hints, struct hint *h, unsigned long addr)
{
	struct hint *home = hint_home(hints, addr);

	if (is_stray(h, home))
		WRITE_ONCE(home->strays, home->strays - 1);
	WRITE_ONCE(h->life, 0);
	/* That is no page's, whenever it is seen. */
	WRITE_ONCE(h->start, HINT_NONE);
}

/* None is made any more while it lives. */
static void region_unhint(struct region *r)
{
	r->hint = NULL;
	r->unhinted = true;
}

void hint_drop(struct uhmm_rcache *c, struct region *r)
{
	if (!r->hint)
		return;
	hint_end(c->hints, r->hint, r->start);
	region_unhint(r);
}

static void hint_clear(struct hints *hints, struct hint *h)
{
	unsigned long life = h->life;

	if (!life)
		return;
	if (!(life & LIFE_LEADS))
		region_unhint(life_region(life));
	hint_end(hints, h, h->start);
}

/* Can a hint know all of it? */
static bool fits(const struct region *r)
{
	return !(r->start % HINT_PAGE) &&
	       !(region_bytes(r) % HINT_PAGE) &&
	       region_bytes(r) / HINT_PAGE <= UINT_MAX;
}

static void hint_set(struct hints *hints, struct hint *h, unsigned long addr,
		     struct region *r)
{
	struct hint *home = hint_home(hints, addr);
	bool all = addr == r->start && fits(r) && !r->unhinted;
	unsigned long life = all ? r->life : (unsigned long)r | LIFE_LEADS;

	if (all && r->hint == h)
		return;
	hint_clear(hints, h);
	if (is_stray(h, home))
		WRITE_ONCE(home->strays, home->strays + 1);
	if (all) {
		r->hint = h;
		/*
		 * Ordering: (RC-HINT-PAGES) pairs with (RC-HINT-SAME) in hold_hint():
		 * who reads that sees that the hint led elsewhere.
		 */
		smp_store_release(&h->pages, region_bytes(r) / HINT_PAGE);
		/*
		 * Ordering: (RC-HINT-KEY) pairs with (RC-HINT-SAME) in hold_hint():
		 * as (RC-HINT-PAGES).
		 */
		smp_store_release(&h->key, r->key);
		WRITE_ONCE(h->used, 0);
	}
	/*
	 * Ordering: (RC-HINT-START) pairs with (RC-HINT-SAME) in hold_hint():
	 * as (RC-HINT-PAGES).
	 */
	smp_store_release(&h->start, page_of(addr));
	/*
	 * Ordering: (RC-HINT-SET) pairs with (RC-HINT-LIVES) in hold_hint() and
	 * (RC-HINT-FOLLOW) in find_further(): what it says, and the region, are
	 * seen as they were made.
	 */
	smp_store_release(&h->life, life);
}

static void hint_put(struct hints *hints, unsigned long addr, struct region *r)
{
	struct hint *h = hint_place(hints, addr);

	hint_set(hints, h ?: hint_in(hints, hint_at(hints, page_of(addr))),
		 addr, r);
}

/* Of the golden ratio: neighbours, and what is evenly apart, go far from each other. */
#define HINT_FACTOR 0x9e3779b97f4a7c15UL

static struct hints *hints_make(unsigned long places)
{
	size_t size = sizeof(struct hints) + places * sizeof(struct hint);
	struct hints *hints = sync_alloc_pages(size);

	if (!hints)
		return NULL;
	sync_want_huge_pages(hints, size);
	sync_populate_pages(hints, size);
	hints->mask = (places - 1) * sizeof(struct hint);
	/* The top bits of the hash are the best; of those above @mask none is left. */
	hints->factor = HINT_FACTOR /
			((1UL << (64 - HINT_BITS_MAX)) / places);
	hints->size = size;
	return hints;
}

int hints_init(struct uhmm_rcache *c)
{
	c->hints = hints_make(HINTS_FIRST);
	c->no_hints = hints_make(8);
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

/*
 * Without memory they stay as they are, and more is found by the index. Returns
 * those that were too few, for hints_outgrown(), or NULL.
 */
struct hints *hints_grow(struct uhmm_rcache *c)
{
	struct hints *hints = NULL, *old = c->hints;
	unsigned long i, places = hint_places(old);

	if (places < 1UL << HINT_BITS_MAX)
		hints = hints_make(2 * places);
	if (!hints)
		return NULL;
	/* What is found in the old ones meanwhile lives: the lock is ours. */
	for (i = 0; i < places; i++) {
		struct hint *h = &old->hint[i];
		struct region *r = life_region(h->life);

		if (is_free(h))
			continue;
		hint_put(hints, h->start, r);
		WRITE_ONCE(h->life, 0);
	}
	hints->older = old;
	/*
	 * Ordering: (RC-HINTS-SET) pairs with (RC-HINTS-READ) in find_live(),
	 * (RC-HINTS-FURTHER) in find_further(), (RC-HINTS-LINE) in hint_line() and
	 * (RC-HINTS-READ-AGAIN) in hint_missing(): they are filled.
	 */
	smp_store_release(&c->hints, hints);
	return old;
}

/*
 * Who still looks there, behind the first page, finds nothing. In a live process
 * this may wait for the monitor, and that for the cache's lock.
 */
void hints_outgrown(struct hints *hints)
{
	if (hints && hints->size > HINT_PAGE)
		sync_drop_pages((char *)hints + HINT_PAGE,
				hints->size - HINT_PAGE);
}

void hint_add(struct uhmm_rcache *c, unsigned long addr, struct region *r)
{
	hint_put(c->hints, addr, r);
}
