/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The table of places whose pages are away: three levels, which only grow, of
 * memory straight from the kernel. Which leaves were looked at lately is remembered
 * beside the lock: what moves pages finds little else in the TLB.
 */
#include "out.h"

#include <string.h>

#include "../../lib/words.h"

#define TOP_BITS 48
#define TOP_SHIFT 30
#define LEAF_SHIFT 21
#define NTOPS (1UL << (TOP_BITS - TOP_SHIFT))
#define NMIDS (1UL << (TOP_SHIFT - LEAF_SHIFT))
#define LEAF_PAGES (1UL << (LEAF_SHIFT - LIVE_PAGE_SHIFT))
#define LEAF_BYTES (1UL << LEAF_SHIFT)
#define OUT_STEP (1UL << OUT_SHIFT)	/* from one entry to the next of a run */

/**
 * struct out_leaf - 2 MiB of addresses
 * @start: the first
 * @n: how many of @entries are not 0
 * @missing: a bit for each page: it is registered for missing ones
 * @entries: one for each
 */
struct out_leaf {
	unsigned long start;
	unsigned long n;
	unsigned long missing[LEAF_PAGES / 64];
	unsigned long entries[LEAF_PAGES];
};

struct out *out_make(void)
{
	struct out *out = sync_alloc_pages(sizeof(*out));

	if (!out)
		return NULL;
	out->tops = sync_alloc_pages(NTOPS * sizeof(out->tops[0]));
	if (!out->tops) {
		sync_free_pages(out, sizeof(*out));
		return NULL;
	}
	spin_lock_init(&out->lock);
	out->first = out->second = out->wake = -1;
	return out;
}

void out_free(struct out *out)
{
	struct out_leaf **mids;

	for (unsigned long i = 0; i < NTOPS; i++) {
		mids = out->tops[i];
		for (unsigned long k = 0; mids && k < NMIDS; k++)
			if (mids[k])
				sync_free_pages(mids[k], sizeof(*mids[k]));
		if (mids)
			sync_free_pages(mids, NMIDS * sizeof(mids[0]));
	}
	sync_free_pages(out->tops, NTOPS * sizeof(out->tops[0]));
	if (out->pool)
		sync_free_pages(out->pool, POOL_PAGES * LIVE_PAGE);
	sync_free_pages(out, sizeof(*out));
}

static struct out_leaf *leaf_walk(struct out *out, unsigned long addr)
{
	struct out_leaf **mids;

	if (addr >> TOP_BITS)
		return NULL;
	/*
	 * Ordering: (OUT-MIDS) pairs with (OUT-MIDS-MADE) in out_prepare(): who
	 * looks without the lock sees them as the kernel has made them.
	 */
	mids = smp_load_acquire(&out->tops[addr >> TOP_SHIFT]);
	if (!mids)
		return NULL;
	/*
	 * Ordering: (OUT-LEAF) pairs with (OUT-LEAF-MADE) in out_prepare(): as
	 * above.
	 */
	return smp_load_acquire(&mids[addr >> LEAF_SHIFT & (NMIDS - 1)]);
}

static __warm struct out_leaf *leaf_of(struct out *out, unsigned long addr)
{
	struct out_leaf *leaf, **recent;

	recent = &out->recent[addr >> LEAF_SHIFT & (OUT_RECENT - 1)];
	/*
	 * Ordering: (OUT-RECENT) pairs with (OUT-REMEMBER) in leaf_of(): who
	 * looks without the lock sees it as it was made.
	 */
	leaf = smp_load_acquire(recent);
	if (likely(leaf && leaf->start == (addr & ~(LEAF_BYTES - 1))))
		return leaf;
	leaf = leaf_walk(out, addr);
	/*
	 * Ordering: (OUT-REMEMBER) pairs with (OUT-RECENT) in leaf_of(): see
	 * there.
	 */
	if (leaf)
		smp_store_release(recent, leaf);
	return leaf;
}

static struct out_leaf *leaf_make(unsigned long addr)
{
	struct out_leaf *leaf = sync_alloc_pages(sizeof(*leaf));

	if (leaf)
		leaf->start = addr & ~(LEAF_BYTES - 1);
	return leaf;
}

__warm bool out_prepare(struct out *out, unsigned long start, unsigned long end)
{
	struct out_leaf ***top, **mids, **mid, *leaf;

	if (end > 1UL << TOP_BITS)
		return false;
	for (; start < end; start = (start | (LEAF_BYTES - 1)) + 1) {
		if (likely(leaf_of(out, start)))
			continue;
		top = &out->tops[start >> TOP_SHIFT];
		mids = *top ? *top : sync_alloc_pages(NMIDS * sizeof(**top));
		if (!mids)
			return false;
		/*
		 * Ordering: (OUT-MIDS-MADE) pairs with (OUT-MIDS) in leaf_walk():
		 * see there.
		 */
		smp_store_release(top, mids);
		mid = &mids[start >> LEAF_SHIFT & (NMIDS - 1)];
		leaf = *mid ? *mid : leaf_make(start);
		if (!leaf)
			return false;
		/*
		 * Ordering: (OUT-LEAF-MADE) pairs with (OUT-LEAF) in leaf_walk():
		 * see there.
		 */
		smp_store_release(mid, leaf);
	}
	return true;
}

static unsigned long page_in_leaf(unsigned long addr)
{
	return addr >> LIVE_PAGE_SHIFT & (LEAF_PAGES - 1);
}

__warm unsigned long out_get(struct out *out, unsigned long addr)
{
	struct out_leaf *leaf = leaf_of(out, addr);

	return leaf ? READ_ONCE(leaf->entries[page_in_leaf(addr)]) : 0;
}

__warm void out_set(struct out *out, unsigned long addr, unsigned long entry)
{
	struct out_leaf *leaf = leaf_of(out, addr);
	unsigned long *at;

	if (!leaf)
		return;
	at = &leaf->entries[page_in_leaf(addr)];
	leaf->n += (unsigned long)!!entry - (unsigned long)!!*at;
	WRITE_ONCE(*at, entry);
}

/* How many of @n pages from @addr on are in its leaf. */
static __warm unsigned long in_leaf(unsigned long addr, unsigned long n)
{
	unsigned long left = LEAF_PAGES - page_in_leaf(addr);

	return n < left ? n : left;
}

/* Some of them were none, or are none now: how many there are is counted. */
static void leaf_count(struct out_leaf *leaf)
{
	leaf->n = 0;
	for (unsigned long i = 0; i < LEAF_PAGES; i++)
		leaf->n += !!leaf->entries[i];
}

__warm unsigned long out_set_run(struct out *out, unsigned long addr, unsigned long n,
				 unsigned long entry, bool all)
{
	const unsigned long step = entry ? OUT_STEP : 0;
	unsigned long was = 0, some, old;
	struct out_leaf *leaf;

	for (; n; n -= some, addr += some << LIVE_PAGE_SHIFT, entry += some * step) {
		leaf = leaf_of(out, addr);
		some = in_leaf(addr, n);
		if (!leaf)
			continue;
		old = words_count_up(&leaf->entries[page_in_leaf(addr)], some, entry, step);
		was |= old;
		if (!old)
			leaf->n += entry ? some : 0;
		else if (!all)
			leaf_count(leaf);
		else if (!entry)
			leaf->n -= some;
	}
	return was;
}

__warm unsigned long out_run(struct out *out, unsigned long addr, unsigned long n)
{
	unsigned long entry = out_get(out, addr), done = 0, same, some;
	struct out_leaf *leaf;

	for (; done < n; done += some, addr += some << LIVE_PAGE_SHIFT) {
		leaf = leaf_of(out, addr);
		if (!leaf)
			break;
		some = in_leaf(addr, n - done);
		same = words_run(&leaf->entries[page_in_leaf(addr)], some, entry, OUT_STEP);
		if (same < some)
			return done + same;
		entry += some * OUT_STEP;
	}
	return done;
}

/* Where the leaf of @addr ends, or all that a missing level covers. */
static __warm unsigned long leaf_end(struct out *out, unsigned long addr)
{
	unsigned long size = LEAF_BYTES;

	if (addr >> TOP_BITS)
		return ~0UL;
	if (!out->tops[addr >> TOP_SHIFT])
		size = 1UL << TOP_SHIFT;
	return (addr | (size - 1)) + 1;
}

__warm unsigned long out_next(struct out *out, unsigned long addr, unsigned long end)
{
	const unsigned long *entries;
	struct out_leaf *leaf;
	unsigned long next, n, i;

	for (; addr < end; addr = next) {
		leaf = leaf_of(out, addr);
		next = leaf_end(out, addr);
		if (!leaf || !leaf->n)
			continue;
		n = in_leaf(addr, ((end - 1) >> LIVE_PAGE_SHIFT) -
					  (addr >> LIVE_PAGE_SHIFT) + 1);
		entries = leaf->entries + page_in_leaf(addr);
		for (i = words_run(entries, n, 0, 0); i < n; i++)
			if (entries[i])
				return addr + (i << LIVE_PAGE_SHIFT);
	}
	return end;
}

/* ------------------------------------------------------------ missing pages */

static bool is_missing(const struct out_leaf *leaf, unsigned long addr)
{
	unsigned long i = page_in_leaf(addr);

	return leaf && leaf->missing[i / 64] & 1UL << i % 64;
}

/* From the @i-th on, and up to it: how far bits are set. */
static __warm unsigned long set_up_to(const unsigned long *bits, unsigned long i)
{
	unsigned long clear;

	for (; i < LEAF_PAGES; i = (i | 63) + 1) {
		clear = ~bits[i / 64] >> i % 64;
		if (clear)
			return i + (unsigned long)__builtin_ctzl(clear);
	}
	return LEAF_PAGES;
}

static unsigned long set_down_to(const unsigned long *bits, unsigned long i)
{
	unsigned long clear;

	for (; i; i = (i - 1) & ~63UL) {
		clear = ~bits[(i - 1) / 64] << (63 - (i - 1) % 64);
		if (clear)
			return i - (unsigned long)__builtin_clzl(clear);
	}
	return 0;
}

__warm bool out_all_missing(struct out *out, unsigned long start, unsigned long end)
{
	unsigned long n = (end - start + LIVE_PAGE - 1) >> LIVE_PAGE_SHIFT;
	unsigned long i, some;
	struct out_leaf *leaf;

	for (; n; n -= some, start += some << LIVE_PAGE_SHIFT) {
		leaf = leaf_of(out, start);
		some = in_leaf(start, n);
		i = page_in_leaf(start);
		if (!leaf || set_up_to(leaf->missing, i) < i + some)
			return false;
	}
	return true;
}

bool out_any_missing(struct out *out, unsigned long start, unsigned long end)
{
	struct out_leaf *leaf;
	unsigned long next;

	for (; start < end; start = next) {
		leaf = leaf_of(out, start);
		next = leaf_end(out, start);
		for (; leaf && start < next && start < end; start += LIVE_PAGE)
			if (is_missing(leaf, start))
				return true;
	}
	return false;
}

bool out_missing_around(struct out *out, unsigned long addr,
			unsigned long *ret_start, unsigned long *ret_end)
{
	const unsigned long base = addr & ~(LEAF_BYTES - 1);
	const struct out_leaf *leaf = leaf_of(out, addr);
	unsigned long i = page_in_leaf(addr);

	if (!is_missing(leaf, addr))
		return false;
	*ret_start = base + (set_down_to(leaf->missing, i) << LIVE_PAGE_SHIFT);
	*ret_end = base + (set_up_to(leaf->missing, i) << LIVE_PAGE_SHIFT);
	return true;
}

void out_set_missing(struct out *out, unsigned long start, unsigned long end,
		     bool missing)
{
	struct out_leaf *leaf;
	unsigned long next, i;

	for (; start < end; start = next) {
		leaf = leaf_of(out, start);
		next = leaf_end(out, start);
		for (; leaf && start < next && start < end;
		     start += LIVE_PAGE) {
			i = page_in_leaf(start);
			leaf->missing[i / 64] &= ~(1UL << i % 64);
			if (missing)
				leaf->missing[i / 64] |= 1UL << i % 64;
		}
	}
}

/* ------------------------------------------------------------------ waiting */

__warm void out_changed(struct out *out)
{
	WRITE_ONCE(out->changes, out->changes + 1);
	if (likely(READ_ONCE(sync_asymmetric))) {
		barrier();
	} else {
		/*
		 * Ordering: (OUT-WAKE) pairs with (OUT-SLEEP) in out_wait():
		 * whoever is not seen sees that something has changed.
		 */
		smp_mb();
	}
	if (READ_ONCE(out->sleepers))
		wake_word(&out->changes);
}

void out_wait(struct out *out, unsigned int seen)
{
	fetch_add(&out->sleepers, 1);
	/*
	 * Ordering: (OUT-SLEEP) pairs with (OUT-WAKE) in out_changed(): we see
	 * that something has changed, or are seen.
	 */
	smp_mb_others();
	/* With an end: a wakeup makes it short, and is not what makes it right. */
	wait_word(&out->changes, seen, INT64_C(1000000));
	fetch_sub(&out->sleepers, 1);
}
