/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is watched: pieces of the address space that a userfaultfd is
 * registered for, in write-protect mode and never armed, so that it costs no
 * fault and tells of what was unmapped, moved and dropped.
 *
 * A piece is taken under watch before its entries are read, by the walk itself,
 * so nothing that appears later, or in the place of another, is forgotten.
 * Two bits a page note it:
 *
 *	claimed		somebody is about to register it
 *	watched		it is registered
 *
 * Whoever makes a change clears both, with one operation that needs no lock:
 * a bracket, before the change, the monitor, after it. Who registers sets
 * "watched" only where his claim still stands, so a change in between leaves
 * no bit behind; what it left registered without a bit is found by the next
 * to register, and does no harm.
 *
 * The kernel tells of no change to what is not registered yet, and registers
 * around holes without a word. So before the bits are set it is asked whether
 * the whole piece is one registered area. If so each page has been, at a
 * moment behind the claim, and a change since then is told of.
 */
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "out.h"
#include "uapi.h"

#define TOP_BITS 48
#define LEAF_SHIFT 30
#define NOWNERS ((1UL << TOP_BITS) / SHARD_BYTES)
#define NLEAVES (1UL << (TOP_BITS - LEAF_SHIFT))
#define WORD_PAGES 32UL			/* two bits each */
#define WORD_BYTES (WORD_PAGES * LIVE_PAGE)
#define LEAF_WORDS ((1UL << LEAF_SHIFT) / WORD_BYTES)
#define CLAIMED 0x5555555555555555UL
#define WATCHED (CLAIMED << 1)
#define SETTLE_NS 100000000		/* for what others hold to be let go */
#define WHOLE_BYTES (4UL << 30)		/* of an area that is registered whole */
#define ASK_BYTES (64UL << 20)		/* at once, see is_registered() */
#define ASK_TRIES 1000

struct leaf {
	unsigned long words[LEAF_WORDS];
};

int watch_init(struct live *live)
{
	live->leaves = sync_alloc_pages(NLEAVES * sizeof(live->leaves[0]));
	live->owners = sync_alloc_pages(NOWNERS * sizeof(live->owners[0]));
	live->removals = sync_alloc_pages(MAX_REMOVALS * sizeof(struct removal));
	mutex_init(&live->watch_lock);
	live->nowhere = mmap(NULL, LIVE_PAGE, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (live->nowhere == MAP_FAILED)
		live->nowhere = NULL;
	return live->leaves && live->owners && live->removals && live->nowhere ?
		       0 : -ENOMEM;
}

void watch_destroy(struct live *live)
{
	if (live->removals)
		sync_free_pages(live->removals,
				MAX_REMOVALS * sizeof(struct removal));
	live->removals = NULL;
	if (live->owners)
		sync_free_pages(live->owners,
				NOWNERS * sizeof(live->owners[0]));
	live->owners = NULL;
	if (live->nowhere)
		munmap(live->nowhere, LIVE_PAGE);
	live->nowhere = NULL;
	if (!live->leaves)
		return;
	for (unsigned long i = 0; i < NLEAVES && live->nleaves; i++) {
		if (!live->leaves[i])
			continue;
		sync_free_pages(live->leaves[i], sizeof(struct leaf));
		live->nleaves--;
	}
	sync_free_pages(live->leaves, NLEAVES * sizeof(live->leaves[0]));
	live->leaves = NULL;
}

/* ---------------------------------------------------------------------- bits */

static struct leaf *leaf_of(struct leaf **leaves, unsigned long addr)
{
	if (addr >> TOP_BITS)
		return NULL;
	/*
	 * Ordering: (LEAF-SEEN) pairs with (LEAF-MADE) in leaf_get(): it is
	 * seen as it was made, all zeroes.
	 */
	return smp_load_acquire(&leaves[addr >> LEAF_SHIFT]);
}

/* The leaf of @addr, made if need be. Under watch_lock. */
static struct leaf *leaf_get(struct live *live, unsigned long addr)
{
	struct leaf *leaf = leaf_of(live->leaves, addr);

	if (leaf || addr >> TOP_BITS)
		return leaf;
	leaf = sync_alloc_pages(sizeof(*leaf));
	if (!leaf)
		return NULL;
	live->nleaves++;
	/* Ordering: (LEAF-MADE) pairs with (LEAF-SEEN) in leaf_of(): see there. */
	smp_store_release(&live->leaves[addr >> LEAF_SHIFT], leaf);
	return leaf;
}

static unsigned long *word_of(struct leaf *leaf, unsigned long addr)
{
	return &leaf->words[(addr & ((1UL << LEAF_SHIFT) - 1)) / WORD_BYTES];
}

/* Both bits of the pages of [addr, end) that are in the word of @addr. */
static unsigned long word_mask(unsigned long addr, unsigned long end)
{
	unsigned long first = addr / LIVE_PAGE % WORD_PAGES;
	unsigned long n = (end - addr + LIVE_PAGE - 1) / LIVE_PAGE;

	if (n >= WORD_PAGES - first)
		return ~0UL << 2 * first;
	return ((1UL << 2 * n) - 1) << 2 * first;
}

static unsigned long next_word(unsigned long addr)
{
	return (addr | (WORD_BYTES - 1)) + 1;
}

static bool all_watched(struct live *live, unsigned long start,
			unsigned long end)
{
	unsigned long mask;
	struct leaf *leaf;

	for (; start < end; start = next_word(start)) {
		leaf = leaf_of(live->leaves, start);
		if (!leaf)
			return false;
		mask = word_mask(start, end) & WATCHED;
		/*
		 * Ordering: (WATCHED-SEEN) pairs with (WATCHED) in confirm():
		 * who finds it watched asks whom that was noted of.
		 */
		if ((smp_load_acquire(word_of(leaf, start)) & mask) != mask)
			return false;
	}
	return true;
}

__hot bool watch_clear(struct leaf **leaves, unsigned long start, unsigned long end)
{
	unsigned long mask, *word;
	bool any = false;
	struct leaf *leaf;

	if (end > 1UL << TOP_BITS)
		end = 1UL << TOP_BITS;
	while (start < end) {
		leaf = leaf_of(leaves, start);
		if (!leaf) {
			start = (start | ((1UL << LEAF_SHIFT) - 1)) + 1;
			continue;
		}
		mask = word_mask(start, end);
		word = word_of(leaf, start);
		if (READ_ONCE(*word) & mask)
			any |= !!(fetch_and(word, ~mask) & mask);
		start = next_word(start);
	}
	return any;
}

/* False: no memory. */
static bool claim(struct live *live, unsigned long start, unsigned long end)
{
	struct leaf *leaf;

	for (; start < end; start = next_word(start)) {
		leaf = leaf_get(live, start);
		if (!leaf)
			return false;
		fetch_or(word_of(leaf, start), word_mask(start, end) & CLAIMED);
	}
	return true;
}

/* Where the claim stands. False: it does not stand everywhere. */
static bool confirm(struct live *live, unsigned long start, unsigned long end)
{
	unsigned long claimed, old, *word;
	bool all = true;

	for (; start < end; start = next_word(start)) {
		claimed = word_mask(start, end) & CLAIMED;
		word = word_of(leaf_of(live->leaves, start), start);
		old = READ_ONCE(*word);
		/*
		 * Ordering: (WATCHED) pairs with (WATCHED-SEEN) in all_watched():
		 * try_cmpxchg() is a full barrier: who has it was noted before.
		 */
		while (!try_cmpxchg(word, &old, old | (old & claimed) << 1))
			;
		all &= (old & claimed) == claimed;
	}
	return all;
}

/* How many pieces there are: runs of watched pages. Under watch_lock. */
static unsigned long count_pieces(struct live *live)
{
	unsigned long i, k, word, runs = 0;
	bool before = false;

	for (i = 0; i < NLEAVES; i++) {
		if (!live->leaves[i])
			continue;
		for (k = 0; k < LEAF_WORDS; k++) {
			word = READ_ONCE(live->leaves[i]->words[k]) & WATCHED;
			runs += (unsigned long)__builtin_popcountl(
				word & ~(word << 2 | (before ? 2UL : 0)));
			before = word >> 63;
		}
	}
	return runs;
}

/* -------------------------------------------------------------------- owners */

unsigned int watch_owners(const struct live *live, unsigned long start,
			  unsigned long last)
{
	unsigned long at = start / SHARD_BYTES, end = last / SHARD_BYTES;
	unsigned int nshards = READ_ONCE(live->nshards), owners = 0;

	if (nshards <= 1 || end - at >= MAX_SHARDS)
		return ~0U;
	if (BROKEN(live_broken, BROKEN_OWNER))
		return 1U << at % nshards;
	for (; at <= end && at < NOWNERS; at++)
		owners |= READ_ONCE(live->owners[at]);
	return owners;
}

static void note_owner(struct live *live, unsigned int owner,
		       unsigned long start, unsigned long end)
{
	unsigned long at = start / SHARD_BYTES;
	struct shard *shard = &live->shards[owner];

	WRITE_ONCE(shard->watches, shard->watches + 1);
	for (; at <= (end - 1) / SHARD_BYTES && at < NOWNERS; at++)
		if (!(READ_ONCE(live->owners[at]) & 1U << owner))
			fetch_or(&live->owners[at], 1U << owner);
}

/* ------------------------------------------------------------- registering */

static int uffd_register(struct live *live, struct shard *shard,
			 unsigned long start, unsigned long end)
{
	struct uffdio_register reg = {
		.range = { start, end - start },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	/* Of two kinds there: it asks whether they are, too. */
	if (live->out)
		return out_register(live, start, end);
	return ioctl(shard->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/*
 * Is [start, end) one area, and registered? It is asked to be filled from where
 * nothing can be read: the kernel looks for the area first, and changes nothing.
 * It wants the length in numbers at the source too, where there is less room.
 */
bool watch_is_registered(struct live *live, struct shard *shard,
			 unsigned long start, unsigned long end)
{
	struct uffdio_copy copy = {
		.src = (uintptr_t)live->nowhere,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};
	unsigned int generation, tries = 0;
	int err;

	for (; start < end; start += copy.len) {
		copy.dst = start;
		copy.len = end - start < ASK_BYTES ? end - start : ASK_BYTES;
		do {
			generation = READ_ONCE(live->generation);
			err = ioctl(shard->fd, UFFDIO_COPY, &copy) ? errno : 0;
			/* A change is on its way, and the answer behind it. */
			if (err == EAGAIN)
				monitor_sleep(live, generation);
		} while (err == EAGAIN && tries++ < ASK_TRIES);
		if (err == ENOENT || err == EAGAIN)
			return false;
	}
	return true;
}

static void unregister_by(struct live *live, unsigned int owners,
			  unsigned long start, unsigned long end)
{
	struct uffdio_range range = { start, end - start };

	/* Where nothing is registered this does nothing, or fails. */
	for (unsigned int i = 0; i < READ_ONCE(live->nshards); i++)
		if (owners & 1U << i && READ_ONCE(live->shards[i].watches))
			ioctl(live->shards[i].fd, UFFDIO_UNREGISTER, &range);
}

/* Newer kernels refuse if any of it is another's. */
static void unregister_each(struct live *live, unsigned int owners,
			    unsigned long start, unsigned long end)
{
	struct live_area area;

	for (; start < end && !live_area(live, start, &area) &&
	       area.vma.start < end; start = area.vma.end)
		unregister_by(live, owners,
			      start > area.vma.start ? start : area.vma.start,
			      end < area.vma.end ? end : area.vma.end);
}

static void unregister(struct live *live, unsigned long start,
		       unsigned long end)
{
	unsigned int owners;
	unsigned long next;

	if (end > 1UL << TOP_BITS)
		end = 1UL << TOP_BITS;
	if (READ_ONCE(live->nshards) == 1) {
		unregister_by(live, 1, start, end);
		return;
	}
	/* At once what has the same ones. */
	for (; start < end; start = next) {
		owners = watch_owners(live, start, start);
		next = start;
		do
			next = (next | (SHARD_BYTES - 1)) + 1;
		while (next < end && watch_owners(live, next, next) == owners);
		if (next > end)
			next = end;
		if (owners & (owners - 1))
			unregister_each(live, owners, start, next);
		else if (owners)
			unregister_by(live, owners, start, next);
	}
}

/* Who registers it in between is not to find it noted as watched. */
void watch_end(struct live *live, unsigned long start, unsigned long end)
{
	unregister(live, start, end);
	watch_clear(live->leaves, start, end);
}

void watch_end_all(struct live *live)
{
	struct live_area area;

	for (unsigned long at = 0; !live_area(live, at, &area); at = area.vma.end)
		watch_end(live, area.vma.start, area.vma.end);
}

__hot int watch_only(struct live *live, unsigned long start, unsigned long end)
{
	unsigned int owners = READ_ONCE(live->nshards) == 1 ?
				      1 : watch_owners(live, start, end - 1);

	if (end > 1UL << TOP_BITS ||
	    start / SHARD_BYTES != (end - 1) / SHARD_BYTES ||
	    !owners || owners & (owners - 1))
		return -1;
	return live->shards[__builtin_ctz(owners)].fd;
}

/*
 * Which of @candidates has the area beside ours, that ends or starts at @at? Who has
 * it is not refused; had nobody, he has it now.
 */
static bool beside(struct live *live, const struct live_area *area,
		   unsigned long at, unsigned int candidates,
		   unsigned int *ret_owner)
{
	bool below = at == area->vma.start;
	struct live_area other;
	unsigned int i;

	if (live_area(live, below ? at - 1 : at, &other) ||
	    (below ? other.vma.end : other.vma.start) != at ||
	    other.vma.flags != area->vma.flags)
		return false;
	for (i = 0; i < READ_ONCE(live->nshards); i++) {
		if (candidates & 1U << i &&
		    !uffd_register(live, &live->shards[i], other.vma.start,
				   other.vma.end)) {
			*ret_owner = i;
			return true;
		}
	}
	return false;
}

/*
 * Who is to have it. What lies beside it and is alike would be one area with it, if
 * nobody watched: it has the same one.
 */
static unsigned int choose_owner(struct live *live,
				 const struct live_area *area)
{
	unsigned long start = area->vma.start, end = area->vma.end;
	unsigned int own = (unsigned int)(start / SHARD_BYTES % READ_ONCE(live->nshards));
	unsigned int below = watch_owners(live, start - 1, start - 1);
	unsigned int above = watch_owners(live, end, end);
	unsigned int owner = own;

	if (READ_ONCE(live->nshards) > 1 &&
	    (area->vma.flags & (UHMM_VM_ANON | UHMM_VM_SHARED)) ==
		    UHMM_VM_ANON &&
	    (below & ~(1U << own) || above & ~(1U << own)) &&
	    !beside(live, area, start, below, &owner))
		beside(live, area, end, above, &owner);
	return owner;
}

/* By @owner, or by another of ours that has it already. */
static int register_by_any(struct live *live, unsigned int *owner,
			   unsigned long start, unsigned long end)
{
	int ret = uffd_register(live, &live->shards[*owner], start, end);

	if (ret == -EBUSY) {
		/* It may have been moved here, and its event be on its way. */
		monitor_settle(live, SETTLE_NS);
		ret = uffd_register(live, &live->shards[*owner], start, end);
	}
	/* Or have grown to here. */
	for (unsigned int i = 0; ret == -EBUSY && i < READ_ONCE(live->nshards); i++) {
		ret = uffd_register(live, &live->shards[i], start, end);
		if (!ret)
			*owner = i;
	}
	return ret;
}

/* One piece of @area. 0, -EAGAIN, -ESTALE, or the errno of registering. */
static int register_piece(struct live *live, const struct live_area *area,
			  unsigned long start, unsigned long end)
{
	unsigned int first = choose_owner(live, area), owner = first;
	int ret;

	/* Counted up only; what has gone meanwhile is seen by counting anew. */
	if (live->nwatches >= live->max_watches)
		live->nwatches = count_pieces(live);
	if (live->nwatches >= live->max_watches)
		return -ENOMEM;
	if (!claim(live, start, end))
		return -ENOBUFS;
	note_owner(live, first, start, end);
	ret = register_by_any(live, &owner, start, end);
	if (owner != first)
		note_owner(live, owner, start, end);
	if (!ret && !live->out &&
	    !watch_is_registered(live, &live->shards[owner], start, end))
		ret = -ESTALE;
	if (ret) {
		watch_clear(live->leaves, start, end);
		return ret;
	}
	live->nwatches++;
	live_count(live, watches);
	return confirm(live, start, end) ? 0 : -EAGAIN;
}

/* What is refused may have gone meanwhile. */
static bool is_still(struct live *live, const struct live_area *area)
{
	struct live_area now;

	return !live_area(live, area->vma.start, &now) &&
	       now.vma.start == area->vma.start &&
	       now.vma.end == area->vma.end &&
	       now.vma.flags == area->vma.flags;
}

/* What a refusal means, and whether it may be lived with. */
static int refused(struct live *live, int ret)
{
	unsigned int why = UHMM_LIVE_WHY_UNWATCHED;

	if (ret == -EBUSY) {
		live_count(live, foreign);
		live_why(live, UHMM_LIVE_WHY_FOREIGN);
	} else if (ret == -ENOMEM) {
		live_why(live, UHMM_LIVE_WHY_MAPS);
		ret = -ENOSPC;
	} else if (ret == -ENOBUFS) {
		why = UHMM_LIVE_WHY_MEMORY;
		ret = -ENOSPC;
	} else {
		live_count(live, unwatched);
		ret = -EOPNOTSUPP;
	}
	if (!(live->flags & UHMM_LIVE_UNWATCHED_TOO))
		return ret;
	live_why(live, why);
	return 0;
}

/* Of System V shared memory shmdt() is told to no userfaultfd. */
static bool goes_unseen(const struct live *live, const struct live_area *area)
{
	return READ_ONCE(live->bracketed) < (int)UHMM_G1 &&
	       !strncmp(area->name, "/SYSV", 5);
}

/*
 * All of the area, but for the largest: the kernel splits it where a
 * registered piece ends. Parts that are written before they are joined again never
 * are, and then mremap() of both fails.
 */
static void widen(const struct live_area *area, unsigned long *start,
		  unsigned long *end)
{
	if (area->vma.end - area->vma.start <= WHOLE_BYTES) {
		*start = area->vma.start;
		*end = area->vma.end;
		return;
	}
	*start &= ~(WHOLE_BYTES - 1);
	if (*start < area->vma.start)
		*start = area->vma.start;
	if (__builtin_add_overflow(*end, WHOLE_BYTES - 1, end))
		*end = area->vma.end;
	*end &= ~(WHOLE_BYTES - 1);
	if (*end > area->vma.end)
		*end = area->vma.end;
}

int watch(struct live *live, const struct live_area *area, unsigned long start,
	  unsigned long end)
{
	int ret;

	if (area->vma.flags & UHMM_VM_SPECIAL || !READ_ONCE(live->nshards) ||
	    READ_ONCE(live->lost) || goes_unseen(live, area))
		return refused(live, -EINVAL);
	if (BROKEN(live_broken, BROKEN_REGISTER) ||
	    all_watched(live, start, end))
		return 0;
	widen(area, &start, &end);
	mutex_lock(&live->watch_lock);
	ret = all_watched(live, start, end) ?
		      0 : register_piece(live, area, start, end);
	mutex_unlock(&live->watch_lock);
	if (!ret || ret == -EAGAIN || ret == -ESTALE)
		return ret;
	return is_still(live, area) ? refused(live, ret) : -ESTALE;
}

int uhmm_live_watch(struct mm_struct *mm, unsigned long start,
		    unsigned long length)
{
	struct live *live = live_of(mm);
	struct live_area area;
	unsigned long end;
	int ret = 0;

	if (!live || __builtin_add_overflow(start, length, &end))
		return -EINVAL;
	if (live_ended(live))
		return -ESRCH;
	start &= ~(LIVE_PAGE - 1);
	while (start < end && !ret) {
		ret = live_area(live, start, &area);
		if (ret == -ENOENT || (!ret && area.vma.start > start))
			return -EFAULT;
		if (!ret)
			ret = watch(live, &area, start,
				    end < area.vma.end ? end : area.vma.end);
		if (ret == -ESTALE)
			ret = 0;
		else
			start = area.vma.end;
	}
	return ret;
}
