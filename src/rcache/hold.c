// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Holds: which thread has which region, without a count that all write. */
#include "internal.h"

__thread struct hold_cache hold_cache;

static struct hold_block *block_make(struct uhmm_rcache *c, unsigned long me)
{
	struct hold_block *b = sync_alloc_pages(HOLD_BLOCK_SIZE);

	_Static_assert(sizeof(*b) <= HOLD_BLOCK_SIZE, "of a page");
	if (!b)
		return NULL;
	sync_populate_pages(b, HOLD_BLOCK_SIZE);
	b->owner = me;
	b->cache = c;
	/* The first get may find, with the first hold. */
	b->top = 1;
	b->hold[BLOCK_HOLDS] = ~0UL;
	b->hits_then = ~0UL;
	b->next = READ_ONCE(c->blocks);
	/*
	 * Ordering: (RC-HOLDERS-PUSH) pairs with (RC-HOLDERS-SEEN) in
	 * hold_block_first(): see there.
	 */
	while (!try_cmpxchg(&c->blocks, &b->next, b))
		;
	return b;
}

static unsigned long holds_free(const struct hold_block *b)
{
	unsigned long i, n = 0;

	for (i = 0; i < BLOCK_HOLDS; i++)
		n += !READ_ONCE(b->hold[i]);
	return n;
}

/* One with room that is ours, or whose owner has ended. */
static struct hold_block *block_take(struct uhmm_rcache *c, unsigned long me)
{
	struct hold_block *b;
	unsigned long owner;

	for_each_hold_block(b, c) {
		owner = READ_ONCE(b->owner);
		if (owner != me && sync_thread_alive(owner))
			continue;
		if (holds_free(b) < BLOCK_HOLDS / 2)
			continue;
		if (owner == me || try_cmpxchg(&b->owner, &owner, me))
			return b;
	}
	return block_make(c, me);
}

static __attribute__((noinline)) struct hold_block *
block_find_slow(struct uhmm_rcache *c)
{
	struct hold_block *b = block_take(c, sync_thread_number());

	if (b) {
		hold_cache.id[c->place] = c->id;
		hold_cache.hold[c->place] = b->hold;
	}
	return b;
}

struct hold_block *block_find(struct uhmm_rcache *c)
{
	unsigned long *hold = hold_cached(c);

	return likely(hold) ? hold_block_of(hold) : block_find_slow(c);
}

/* The last one used is not free: from the first on. */
unsigned long *hold_find(struct uhmm_rcache *c, struct hold_block **b)
{
	unsigned long i;

	for (;;) {
		for (i = 0; i < BLOCK_HOLDS; i++) {
			/*
			 * Ordering: (RC-HOLD-FREE) pairs with
			 * (RC-HOLD-END) in uhmm_rcache_put(): as
			 * (RC-HOLD-REUSE).
			 */
			if (smp_load_acquire(&(*b)->hold[i]))
				continue;
			hold_next(c, *b, i);
			if (i >= (*b)->top)
				WRITE_ONCE((*b)->top, i + 1);
			return &(*b)->hold[i];
		}
		*b = block_find_slow(c);
		if (!*b)
			return NULL;
	}
}

/* Lives were ended: who holds what was live shows it from here on. */
void holds_fence(void)
{
	/*
	 * Ordering: (RC-HOLDS-FENCE) pairs with (RC-HOLD-FENCE) in hold_fence():
	 * see there; where one fence does for all, that is none for the
	 * processor, nor is there one once that has been lost.
	 */
	smp_mb_others();
}

/* What a hold says once it is no longer on its way, whoever's it will be. */
static struct region *hold_settled(const unsigned long *hold)
{
	unsigned long v;

	/*
	 * Ordering: (RC-HOLD-SEEN) pairs with (RC-HOLD-END) in
	 * uhmm_rcache_put() and (RC-HOLD-HELD) in hold_end() and (RC-HOLD-BORN)
	 * in bring_to_life(): the device is done with what is deregistered
	 * because of this.
	 */
	while ((v = smp_load_acquire(hold)) & HOLD_TRIES)
		sync_yield();
	return life_region(v);
}

bool holds_have(struct uhmm_rcache *c, const struct region *r)
{
	struct hold_block *b;
	unsigned long i;

	for_each_hold_block(b, c)
		for (i = 0; i < READ_ONCE(b->top); i++)
			if (hold_settled(&b->hold[i]) == r)
				return true;
	return false;
}

void holds_mark(struct uhmm_rcache *c)
{
	struct hold_block *b;
	struct region *r;
	unsigned long i;

	for_each_hold_block(b, c) {
		for (i = 0; i < READ_ONCE(b->top); i++) {
			r = hold_settled(&b->hold[i]);
			if (r && READ_ONCE(r->state) & REGION_RETIRED)
				r->busy = c->reaper;
		}
	}
}
