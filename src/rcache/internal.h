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

#include "../lib/index.h"
#include "../sync/sync.h"

/* &region.state: the access, and */
#define REGION_LIVE (1U << 16)		/* may be returned */
#define REGION_RETIRED (1U << 17)	/* was live, or failed to become so */
#define REGION_CLAIMED (1U << 18)	/* somebody deregisters it */
#define REGION_GONE (1U << 19)		/* deregistered */
#define REGION_FOUND (1U << 20)		/* stands in the index */
#define REGION_WATCHED (1U << 21)	/* the notifier is inserted */

/**
 * struct region - an entry
 * @sub: for the registered range
 * @start: first byte
 * @last: last byte
 * @state: written under the lock; read by all
 * @used: since the eviction came by
 * @busy: somebody holds it; the reaper's
 * @key: the device's
 * @node: in the index
 * @next: among the retired or the free
 */
struct region {
	struct mmu_interval_notifier sub;
	unsigned long start;
	unsigned long last;
	unsigned int state;
	unsigned char used;
	unsigned char busy;
	uint64_t key;
	struct uhmm_interval_node node;
	struct region *next;
} __cacheline_aligned;

_Static_assert(sizeof(struct region) == 2 * CACHE_LINE,
	       "one line for invalidations, one for gets");

/* A hold on its way: its region was not seen live yet. */
#define HOLD_TRIES 1UL
#define HOLD_BLOCK_SIZE 4096
#define BLOCK_HOLDS ((HOLD_BLOCK_SIZE - CACHE_LINE) / sizeof(unsigned long))

/**
 * struct hold_block - the holds of a thread
 * @owner: sync_thread_number(); of one that has ended: free to take
 * @version: of the index as a search began; ULONG_MAX: none is under way
 * @hits: counted by the owner
 * @top: holds ever used
 * @cursor: the last one used
 * @next: the block made before it
 * @hold: &struct region, with HOLD_TRIES; 0: free
 *
 * Of a page each, so that a hold leads to it. A thread that has many holds has
 * more than one.
 */
struct hold_block {
	unsigned long owner;
	unsigned long version;
	unsigned long hits;
	unsigned long top;
	unsigned long cursor;
	struct hold_block *next;
	unsigned long hold[BLOCK_HOLDS] __cacheline_aligned;
};

/* This thread's blocks, the one of a cache at its id's place. */
#define BLOCK_CACHE 4
struct hold_block_cache {
	unsigned long id;
	struct hold_block *block;
};
extern __thread struct hold_block_cache hold_block_cache[BLOCK_CACHE]
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

#define HINT_PAGE_SHIFT 12
#define HINT_WAYS 8UL
#define HINT_POINTER ((1UL << 48) - 1)

/**
 * struct hints - where the region of a page may be
 * @shift: 64 less the bits of a place's number
 * @size: bytes
 * @older: what it replaced; may be looked at still
 * @entry: a &struct region, with 16 bits of the page's hash in front; 0: none
 */
struct hints {
	unsigned int shift;
	size_t size;
	struct hints *older;
	unsigned long entry[] __cacheline_aligned;
};

/* Regions are cut from chunks, each as large as all before it. */
#define POOL_FIRST 64UL
#define POOL_CHUNKS 32

struct rcache_counters {
	unsigned long misses;
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
 * @sub_ops: of the regions' notifiers, which so lead to the cache
 * @index: of all regions not yet reaped, and the lock of all below
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
 * @in_use: retired ones that the last reaper had to leave
 * @next_cache: in the list of all
 * @prev_cache: in the list of all
 */
struct uhmm_rcache {
	struct hints *hints;
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
	struct interval_index index __cacheline_aligned;
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
	unsigned long in_use;
	struct uhmm_rcache *next_cache, *prev_cache;
};

static inline struct region *region_of(struct uhmm_interval_node *node)
{
	return container_of(node, struct region, node);
}

static inline unsigned long region_bytes(const struct region *r)
{
	return r->last - r->start + 1;
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

/* Where a page's hints are, at @place ^ 0 to HINT_WAYS - 1, and what is in front. */
struct hint_key {
	unsigned long place;
	unsigned long tag;
};

static __always_inline struct hint_key hint_key(const struct hints *hints,
				       unsigned long addr)
{
	unsigned long h = (addr >> HINT_PAGE_SHIFT) * 0x9e3779b97f4a7c15UL;

	return (struct hint_key){ h >> hints->shift, h << 48 | 1UL << 63 };
}

/* An entry less the tag, which is never 0: does it lead to a region? */
static __always_inline bool hint_is(unsigned long entry)
{
	return !(entry >> 48);
}

/*
 * The first two ways are read at once, so that which of them it is need not be
 * guessed: a wrong guess would wait for memory before all that comes after.
 */
static __always_inline struct region *hint_find(const struct hints *hints,
				       unsigned long addr)
{
	struct hint_key key = hint_key(hints, addr);
	unsigned long first, second;

	/*
	 * Ordering: (RC-HINT-READ) pairs with (RC-HINT-SET) in hint_put(): the
	 * region is seen as it was made.
	 */
	first = smp_load_acquire(&hints->entry[key.place]) ^ key.tag;
	/*
	 * Ordering: (RC-HINT-READ) pairs with (RC-HINT-SET) in hint_put(): the
	 * same, for the second way.
	 */
	second = smp_load_acquire(&hints->entry[key.place ^ 1]) ^ key.tag;
	first = __builtin_expect_with_probability(hint_is(first), 1, 0.5) ?
		first : second;
	return hint_is(first) ? (struct region *)first : NULL;
}

static __always_inline const struct hold_block_cache *
block_cached(const struct uhmm_rcache *c)
{
	return &hold_block_cache[c->id % BLOCK_CACHE];
}

/* hold.c */
struct hold_block *block_find(struct uhmm_rcache *c);
unsigned long *hold_find(struct uhmm_rcache *c, struct hold_block **b);
void holds_fence(void);
void holds_wait_searches(struct uhmm_rcache *c, unsigned long stamp);
unsigned long holds_oldest_search(void *cache);
/* Is the region held? Waits for holds that are on their way. */
bool holds_have(struct uhmm_rcache *c, const struct region *r);
/* Sets &region.busy of all retired ones that are held. */
void holds_mark(struct uhmm_rcache *c);

/*
 * Ordering: (RC-HOLDERS-SEEN) pairs with (RC-HOLDERS-PUSH) in block_make(): a block
 * is seen as it was made.
 */
#define for_each_hold_block(b, c) \
	for ((b) = smp_load_acquire(&(c)->blocks); (b); (b) = (b)->next)

/* hints.c; the lock held but for the first two */
struct region *hint_further(const struct hints *hints, unsigned long addr);
/* May a hint for @addr be added without loss of another? */
bool hint_room(struct hints *hints, unsigned long addr);
int hints_init(struct uhmm_rcache *c);
void hints_destroy(struct uhmm_rcache *c);
void hint_add(struct uhmm_rcache *c, unsigned long addr, struct region *r);
void hint_drop(struct uhmm_rcache *c, struct region *r);
void hints_grow(struct uhmm_rcache *c);
void hints_end(struct uhmm_rcache *c);

/* region.c */
struct region *region_at(const struct uhmm_rcache *c, unsigned long i);
struct region *region_alloc(struct uhmm_rcache *c);
void region_free(struct uhmm_rcache *c, struct region *r);
void pool_destroy(struct uhmm_rcache *c);
/* Lock held: never returned again; @counter counts it. */
void region_retire(struct uhmm_rcache *c, struct region *r,
		   unsigned long *counter);
/* Call @fn, with the lock held, for what stands in the index. */
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

/*
 * For tests, which have to see what each of these is good for: what is left
 * out. 0 but there.
 */
extern unsigned int rcache_broken;
#define BROKEN_CHECK (1U << 0)		/* what collided lives all the same */

/* miss.c */
int rcache_miss(struct uhmm_rcache *c, unsigned long start,
		unsigned long last, unsigned int access, unsigned long *hold,
		struct region **ret_region);

/* report.c; the lock held. Returns whether the eventfd is to be written. */
bool queue_event(struct uhmm_rcache *c, const struct region *r);
void queue_signal(struct uhmm_rcache *c);

/* The guarantee may fall at any time; below G1 nobody is told beforehand. */
static inline bool must_ask(const struct uhmm_rcache *c)
{
	return unlikely(c->probe) && uhmm_live_guarantee(c->mm) < UHMM_G1;
}

#endif
