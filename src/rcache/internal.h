/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of the registration cache share.
 *
 * A region is an entry of the cache. Its memory is a region for as long as the
 * cache lives, so whoever finds a pointer to one, however old, may look at it:
 * what it finds there it believes only after it has written the pointer into
 * a hold of its own thread and has seen the region live behind that. Who ends a
 * region takes the life out, passes a fence, and then looks at all holds.
 */
#ifndef RCACHE_INTERNAL_H
#define RCACHE_INTERNAL_H

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

#include "../core/find.h"
#include "../lib/broken.h"
#include "../sync/sync.h"

/* &region.state: the access, and */
#define REGION_RETIRED (1U << 17)	/* was live, or failed to become so */
#define REGION_CLAIMED (1U << 18)	/* somebody deregisters it */
#define REGION_GONE (1U << 19)		/* deregistered */
#define REGION_WATCHED (1U << 20)	/* the notifier is inserted, and finds it */

/* A word that is 0, or leads to a region that lives, with its access in front. */
#define LIFE_ACCESS_SHIFT 48
#define LIFE_POINTER ((1UL << LIFE_ACCESS_SHIFT) - 2)
/* Of a hint: whether it lives the region says. There is no access. */
#define LIFE_LEADS 1UL

/**
 * struct region - an entry
 * @sub: for the registered range; what overlaps a request is found by it too
 * @start: first byte
 * @last: last byte
 * @life: see LIFE_POINTER
 * @key: the device's
 * @hint: that knows all of it
 * @next: among the retired or the free
 * @state: written under the lock
 * @used: since the eviction came by; or its hint was
 * @busy: which reaper found that somebody holds it
 * @unhinted: a hint that knew all of it was taken while it lived, and whoever
 *	reads that still would take the next for it: none is made any more
 */
struct region {
	struct mmu_interval_notifier sub;
	unsigned long start;
	unsigned long last;
	unsigned long life;
	uint64_t key;
	struct hint *hint;
	struct region *next;
	unsigned int state;
	unsigned int busy;
	unsigned char used;
	unsigned char unhinted;
} __cacheline_aligned;

_Static_assert(sizeof(struct region) == 2 * CACHE_LINE,
	       "one line for invalidations, one for gets");

/* A hold on its way: of which region it will be is not known yet. */
#define HOLD_TRIES 1UL
/* One that a miss will have: the device may get from the cache meanwhile. */
#define HOLD_TAKEN (1UL << LIFE_ACCESS_SHIFT)
#define HOLD_BLOCK_SIZE 4096
#define BLOCK_HOLDS \
	((HOLD_BLOCK_SIZE - CACHE_LINE) / sizeof(unsigned long) - 1)

/**
 * struct hold_block - the holds of a thread
 * @owner: sync_thread_number(); of one that has ended: free to take
 * @cache: which they are of
 * @misses: counted by the owner
 * @hits_then: @hits at the last miss
 * @crowded: so many more gets are not alone, most likely
 * @top: holds ever used
 * @next: the block made before it
 * @hits: counted by the owner
 * @hold: the life of a region; HOLD_TRIES; HOLD_TAKEN: of none yet; 0: free; the
 *	last one never is
 *
 * Of a page each, so that a hold leads to it. A thread that has many holds has
 * more than one. What a hit writes lies elsewhere in its page than what it reads in
 * those of the cache and of the hints: a processor that compares only so much of two
 * addresses takes the one for the other.
 */
struct hold_block {
	unsigned long owner;
	struct uhmm_rcache *cache;
	unsigned long misses;
	unsigned long hits_then;
	unsigned long crowded;
	unsigned long top;
	struct hold_block *next;
	unsigned long hits;
	unsigned long hold[BLOCK_HOLDS + 1] __cacheline_aligned;
};

#define BLOCK_CACHE 4

/**
 * struct hold_cache - of a thread, at the place of a cache
 * @id: which cache
 * @hold: of this thread's block there, the last one used; at BLOCK_HOLDS: the last
 *	gets, two or more, missed
 */
struct hold_cache {
	unsigned long id[BLOCK_CACHE];
	unsigned long *hold[BLOCK_CACHE];
};
extern __thread struct hold_cache hold_cache
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

#define HINT_PAGE 4096UL
#define HINT_WAYS 8UL
#define HINT_LINE 2UL

/**
 * struct hint - what is known of a page
 * @life: of the region that begins there; or it leads to the one that the page
 *	is in, which may have ended, and nothing else is known
 * @start: its first byte; HINT_NONE: of no page
 * @pages: that are registered from there on
 * @used: since the eviction came by
 * @strays: of the first of a line: how many hints belong into that line, and are
 *	in others
 * @key: the device's
 *
 * Two are a line, and that is all that a hit has to fetch.
 */
struct hint {
	unsigned long life;
	unsigned long start;
	unsigned int pages;
	unsigned char used;
	unsigned short strays;
	uint64_t key;
};

#define HINT_NONE 1UL
/* So many places for each live region, and up to twice as many. */
#define HINT_ROOM 2

_Static_assert(HINT_LINE * sizeof(struct hint) == CACHE_LINE, "two are a line");

/* Of a page's hash its place, in bytes, begins here. */
#define HINT_SHIFT 33
#define HINT_BITS_MAX 26

_Static_assert(sizeof(struct hint) << HINT_BITS_MAX == 1UL << (64 - HINT_SHIFT),
	       "so many bits of it there are");

/**
 * struct hints - those of all pages
 * @mask: of places, in bytes
 * @factor: of the hash, which is as good in all of its bits
 * @size: bytes
 * @older: what it replaced; may be looked at still
 * @hint: by a hash of the page
 */
struct hints {
	unsigned long mask;
	unsigned long factor;
	size_t size;
	struct hints *older;
	struct hint hint[] __cacheline_aligned;
};

/* Regions are cut from chunks, each as large as all before it. */
#define POOL_FIRST SYNC_SIZE(256UL, 64UL)
/* So many are made ready at once. */
#define POOL_READY 512UL
#define POOL_CHUNKS 32

struct rcache_counters {
	unsigned long registrations;
	unsigned long failures;
	unsigned long deregistrations;
	unsigned long dereg_failures;
	unsigned long collisions;
	unsigned long invalidated;
	unsigned long merged;
	unsigned long evicted;
	unsigned long flushed;
	unsigned long overflows;
};

/**
 * struct uhmm_rcache - a cache
 * @hints: of the live regions
 * @plain: @id, if a get that finds has nothing to ask, and needs no fence; else no
 *	cache's
 * @place: in &hold_cache
 * @id: never given twice
 * @probe: ask whether a change is on its way; see must_ask()
 * @live_mm: ranges are to be watched
 * @ended: in a child
 * @no_hints: for then
 * @blocks: of all threads that ever were here; only grows
 * @mm: grabbed
 * @ops: the device's
 * @device: for @ops
 * @options: as given, with defaults
 * @sub_ops: of the regions' notifiers, which so lead to the cache, and tell whose
 *	they are
 * @lock: of all below
 * @pool: memory for regions
 * @pooled: regions cut so far
 * @free: regions
 * @hand: where the eviction goes on
 * @hinted: live regions
 * @entries: not free
 * @bytes: of these
 * @retired: to be reaped
 * @nretired: how many
 * @counters: written under the lock
 * @events: the queue, &uhmm_rcache_options.queue of them
 * @first_event: in @events
 * @nevents: how many
 * @eventfd: -1: none
 * @reaping: who reaps; before the lock
 * @reaper: how many have; @reaping
 * @in_use: retired ones that the last reaper had to leave
 * @next_cache: in the list of all
 * @prev_cache: in the list of all
 */
struct uhmm_rcache {
	struct hints *hints;
	unsigned long plain;
	unsigned long place;
	unsigned long id;
	bool probe;
	bool live_mm;
	bool ended;
	struct hints *no_hints;
	struct hold_block *blocks;
	struct mm_struct *mm;
	const struct uhmm_rcache_ops *ops;
	void *device;
	struct uhmm_rcache_options options;
	struct mmu_interval_notifier_ops sub_ops;
	spinlock_t lock __cacheline_aligned;
	struct region *pool[POOL_CHUNKS];
	unsigned long pooled;
	struct region *free;
	unsigned long hand;
	unsigned long hinted;
	unsigned long entries;
	unsigned long bytes;
	struct region *retired;
	unsigned long nretired;
	struct rcache_counters counters;
	struct uhmm_rcache_event *events;
	unsigned int first_event;
	unsigned int nevents;
	int eventfd;
	struct mutex reaping;
	unsigned int reaper;
	unsigned long in_use;
	struct uhmm_rcache *next_cache, *prev_cache;
};

static inline struct region *region_of(struct mmu_interval_notifier *sub)
{
	return container_of(sub, struct region, sub);
}

static inline unsigned long region_bytes(const struct region *r)
{
	return r->last - r->start + 1;
}

/* The next one, if any, is written soon, and it is long since it was. */
static inline void region_fetch(const struct region *r)
{
	if (!r)
		return;
	__builtin_prefetch(&r->sub, 1);
	__builtin_prefetch(&r->start, 1);
}

/* The frequent side of the fence between holds and who looks at them. */
static __always_inline void hold_fence(void)
{
	if (likely(READ_ONCE(sync_asymmetric))) {
		barrier();
	} else {
		/*
		 * Ordering: (RC-HOLD-FENCE) pairs with (RC-HOLDS-FENCE) in
		 * holds_fence(): of a hold and the end of a region's life one
		 * side at least sees the other's.
		 */
		smp_mb();
	}
}

static inline unsigned long life_of(const struct region *r,
				    unsigned int access)
{
	return (unsigned long)r | (unsigned long)access << LIFE_ACCESS_SHIFT;
}

static inline struct region *life_region(unsigned long life)
{
	return (struct region *)(life & LIFE_POINTER);
}

static inline unsigned long page_of(unsigned long addr)
{
	return addr & ~(HINT_PAGE - 1);
}

static inline unsigned long hint_places(const struct hints *hints)
{
	return hints->mask / sizeof(struct hint) + 1;
}

static __always_inline struct hint *hint_in(struct hints *hints,
					    unsigned long at)
{
	return (struct hint *)((char *)hints->hint + at);
}

/* Where a page's hints are, in bytes: there ^ 0 to HINT_WAYS - 1 of them. */
static __always_inline unsigned long hint_at(const struct hints *hints,
					     unsigned long page)
{
	return (page * hints->factor >> HINT_SHIFT) & hints->mask;
}

/*
 * The first two ways are compared without a branch: a wrong guess of which it is
 * would wait for memory before all that comes after.
 */
static __always_inline struct hint *hint_near(struct hints *hints,
					      unsigned long page)
{
	struct hint *h = hint_in(hints, hint_at(hints, page));
	struct hint *other = (struct hint *)((uintptr_t)h ^ sizeof(*h));

	return word_choose(&h->start, page, h, other);
}

/* Where a hint for @addr most likely is. */
static inline const struct hint *hint_line(const struct uhmm_rcache *c,
					   unsigned long addr)
{
	/*
	 * Ordering: (RC-HINTS-LINE) pairs with (RC-HINTS-SET) in hints_grow(): how
	 * many there are is there.
	 */
	struct hints *hints = smp_load_acquire(&c->hints);

	return hint_in(hints, hint_at(hints, page_of(addr)));
}

/* This thread's hold there, if no other cache has the place. */
static inline unsigned long *hold_cached(const struct uhmm_rcache *c)
{
	return likely(hold_cache.id[c->place] == c->id) ?
		       hold_cache.hold[c->place] : NULL;
}

/* A block is a page. */
static __always_inline struct hold_block *hold_block_of(unsigned long *hold)
{
	return (struct hold_block *)((uintptr_t)hold &
				     ~(HOLD_BLOCK_SIZE - 1UL));
}

/* This thread's next get begins with that one, unless another cache has the place. */
static inline void hold_next(const struct uhmm_rcache *c, struct hold_block *b,
			     unsigned long i)
{
	if (hold_cached(c))
		hold_cache.hold[c->place] = &b->hold[i];
}

/* hold.c */
struct hold_block *block_find(struct uhmm_rcache *c);
unsigned long *hold_find(struct uhmm_rcache *c, struct hold_block **b);
void holds_fence(void);
/* Is the region held? Waits for holds that are on their way. */
bool holds_have(struct uhmm_rcache *c, const struct region *r);
/* Sets &region.busy of all retired ones that are held. */
void holds_mark(struct uhmm_rcache *c);

static inline struct hold_block *hold_block_first(struct uhmm_rcache *c)
{
	/*
	 * Ordering: (RC-HOLDERS-SEEN) pairs with (RC-HOLDERS-PUSH) in block_make():
	 * a block is seen as it was made.
	 */
	return smp_load_acquire(&c->blocks);
}

#define for_each_hold_block(b, c) \
	for ((b) = hold_block_first(c); (b); (b) = (b)->next)

/* hints.c; the lock held but for the first two */
struct hint *hint_further(struct hints *hints, unsigned long addr);
/* May a hint for @addr be added without loss of another? */
bool hint_room(struct hints *hints, unsigned long addr);
int hints_init(struct uhmm_rcache *c);
void hints_destroy(struct uhmm_rcache *c);
void hint_add(struct uhmm_rcache *c, unsigned long addr, struct region *r);
void hint_drop(struct uhmm_rcache *c, struct region *r);
/* Are there too few? Then hints_grow(). */
static inline bool hints_few(const struct uhmm_rcache *c)
{
	return c->hinted * HINT_ROOM > hint_places(c->hints);
}
struct hints *hints_grow(struct uhmm_rcache *c);
/* What it has returned; the lock is not held. */
void hints_outgrown(struct hints *hints);
void hints_end(struct uhmm_rcache *c);

/* region.c */
struct region *region_at(const struct uhmm_rcache *c, unsigned long i);
/* Have chunk @k. 0; -ENOMEM. */
int pool_grow(struct uhmm_rcache *c, unsigned int k);
struct region *region_alloc(struct uhmm_rcache *c);
void region_free(struct uhmm_rcache *c, struct region *r);
void pool_destroy(struct uhmm_rcache *c);
/* Lock held: never returned again; @counter counts it. */
void region_retire(struct uhmm_rcache *c, struct region *r,
		   unsigned long *counter);
/*
 * Call @fn, with the lock held, for what is watched there. A thread that never
 * did that has called interval_find_ready() before it took the lock.
 */
void for_each_overlap(struct uhmm_rcache *c, unsigned long start,
		      unsigned long last,
		      void (*fn)(struct uhmm_rcache *c, struct region *r,
				 void *arg),
		      void *arg);

/* reap.c */
extern const struct mmu_interval_notifier_ops rcache_sub_ops;
unsigned long rcache_reap(struct uhmm_rcache *c);
bool rcache_evict(struct uhmm_rcache *c, unsigned long entries,
		  unsigned long bytes);

/* What tests leave out, see BROKEN(); in no other objects. */
extern unsigned int rcache_broken;
#define BROKEN_CHECK (1U << 0)		/* what collided lives all the same */
#define BROKEN_FENCE (1U << 1)		/* what is held is said to be released */
#define BROKEN_CLAIM (1U << 2)		/* what others have claimed is left to them */

/**
 * struct request - what is to be registered
 * @start: first byte
 * @last: last byte
 * @access: see <uhmm/rcache.h>
 * @overlaps: something lived in it
 * @born: what had ever come to life when that was looked at
 * @ways: how often it was made way for by what had ended before
 */
struct request {
	unsigned long start;
	unsigned long last;
	unsigned int access;
	bool overlaps;
	unsigned int ways;
	unsigned long born;
};

/*
 * miss.c; @alone: nothing was searched for, and nothing is expected to be there;
 * -EADDRINUSE: it is.
 */
int rcache_miss(struct uhmm_rcache *c, struct request *w, bool alone,
		unsigned long *hold, struct region **ret_region);
/*
 * The device registers no byte twice: retire what overlaps, and ask for the union.
 * False: there was nothing, not even what had ended, and nothing is about to come to
 * life.
 */
bool rcache_make_way(struct uhmm_rcache *c, struct request *w);

/* report.c; the lock held. Returns whether the eventfd is to be written. */
bool queue_event(struct uhmm_rcache *c, const struct region *r);
void queue_signal(struct uhmm_rcache *c);

/* The guarantee may fall at any time; below G1 nobody is told beforehand. */
static inline bool must_ask(const struct uhmm_rcache *c)
{
	return unlikely(c->probe) && uhmm_live_guarantee(c->mm) < UHMM_G1;
}

#endif
