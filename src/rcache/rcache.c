// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* The registration cache: its life, and gets that find. */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../lib/options.h"
#include "internal.h"

static struct mutex caches_lock = MUTEX_INITIALIZER;
static struct uhmm_rcache *caches;
static unsigned long next_id = 1;

/* --------------------------------------------------------------------- gets */

static __always_inline void fill(struct uhmm_registration *reg,
				 unsigned long *hold, unsigned long *life,
				 unsigned int access)
{
	reg->access = access;
	/* One by one: as a vector they take longer than they are apart. */
	WRITE_ONCE(reg->hold, hold);
	reg->life = life;
}

/* Does an entry with @life give the access? None is not given. */
static __always_inline bool gives(unsigned long life, unsigned int access)
{
	return likely(access) &&
	       likely(!(~(life >> LIFE_ACCESS_SHIFT) & access));
}

/* Hold whatever turns out to live where is looked next; @plain: others have the fence. */
static __always_inline void hold_try(unsigned long *hold, bool plain)
{
	/* Nobody goes by that: who looks waits for what comes behind it. */
	WRITE_ONCE(*hold, HOLD_TRIES);
	if (plain)
		barrier();
	else
		hold_fence();
}

/* It has @life; 0: none. */
static __always_inline void hold_end(unsigned long *hold, unsigned long life)
{
	/*
	 * Ordering: (RC-HOLD-HELD) pairs with (RC-HOLD-SEEN) in
	 * hold_settled(): what was done under the hold before is over.
	 */
	smp_store_release(hold, life);
}

/* What a put compares its hold with, where it needs a fence: no life. */
static unsigned long no_life;

static __always_inline unsigned long *put_asks(unsigned long *life, bool plain)
{
	return plain || likely(READ_ONCE(sync_asymmetric)) ? life : &no_life;
}

/* How a get is to find. */
struct how {
	bool plain;			/* without a fence */
	bool ask;			/* see must_ask() */
};

/*
 * Hold the region of @h, if it lives, and serves the request, of @more bytes behind
 * the first. What else @h says it says of that region if it leads there before and
 * after.
 */
static __always_inline bool
hold_hint(struct uhmm_rcache *c, struct hint *h, unsigned long first,
	  unsigned long more, unsigned int access, struct how how,
	  unsigned long *hold, struct uhmm_registration *ret_reg)
{
	unsigned long page = page_of(first), life, bytes, left;
	uint64_t key;

	hold_try(hold, how.plain);
	if (how.ask && uhmm_live_pending(c->mm, first, more + 1))
		goto not;
	/*
	 * Ordering: (RC-HINT-LIVES) pairs with (RC-HINT-SET) in hint_set(): the
	 * region lives, and what follows is read behind that.
	 */
	life = smp_load_acquire(&h->life);
	if (unlikely(!word_is(&h->start, page)))
		goto not;
	if (unlikely(!gives(life, access)))
		goto not;
	/* Nothing, and what wraps, is in no region. */
	bytes = READ_ONCE(h->pages) * HINT_PAGE;
	left = bytes - (first - page);
	if (unlikely(more >= left))
		goto not;
	key = READ_ONCE(h->key);
	/*
	 * Ordering: (RC-HINT-SAME) pairs with (RC-HINT-PAGES) in hint_set() and
	 * (RC-HINT-KEY) in hint_set() and (RC-HINT-START) in hint_set(): none of
	 * it was of another region.
	 */
	smp_rmb();
	if (unlikely(!word_is(&h->life, life)))
		goto not;
	hold_end(hold, life);
	if (unlikely(!word_is(&h->used, 1)))
		WRITE_ONCE(h->used, 1);
	/* What is kept in registers longer than it must be has others saved. */
	forget_value(life);
	forget_value(first);
	ret_reg->start = page_of(first);
	ret_reg->length = bytes;
	ret_reg->key = key;
	fill(ret_reg, hold, put_asks(&h->life, how.plain),
	     (unsigned int)(life >> LIFE_ACCESS_SHIFT));
	return true;
not:
	hold_end(hold, 0);
	return false;
}

/* A get that did not find at once. */
struct getting {
	struct uhmm_rcache *cache;
	unsigned long first;
	unsigned long last;
	unsigned int access;
	bool ask;			/* see must_ask() */
	unsigned long *hold;
	struct uhmm_registration *ret_reg;
};

/*
 * Hold @r if it lives and serves the request. Its fields are those of another
 * life until the hold is seen, but then they stand.
 */
static bool hold_region(const struct getting *g, struct region *r)
{
	unsigned long life, start, last;
	bool pending;

	hold_try(g->hold, false);
	pending = g->ask && uhmm_live_pending(g->cache->mm, g->first,
					      g->last - g->first + 1);
	/*
	 * Ordering: (RC-LIVE-SEEN) pairs with (RC-LIFE) in bring_to_life(): see there.
	 */
	life = smp_load_acquire(&r->life);
	start = READ_ONCE(r->start);
	last = READ_ONCE(r->last);
	if (pending || !gives(life, g->access) || start > g->first ||
	    last < g->last) {
		hold_end(g->hold, 0);
		return false;
	}
	hold_end(g->hold, life);
	if (!READ_ONCE(r->used))
		WRITE_ONCE(r->used, 1);
	g->ret_reg->key = r->key;
	g->ret_reg->start = start;
	g->ret_reg->length = last - start + 1;
	fill(g->ret_reg, g->hold, put_asks(&r->life, false),
	     (unsigned int)(life >> LIFE_ACCESS_SHIFT));
	return true;
}

/*
 * Without a hint: by the subscriptions, which change meanwhile. What is found is
 * held; if nothing is, @w knows whether anything lives in it.
 */
static struct region *search(const struct getting *g, struct request *w)
{
	struct uhmm_rcache *c = g->cache;
	struct mmu_interval_notifier *out[INDEX_BATCH];
	struct index_walk walk = {};
	unsigned int i, n;

	w->overlaps = false;
	/*
	 * Ordering: (RC-BORN-SEEN) pairs with (RC-BORN) in bring_to_life(): what had
	 * come to life by then is found.
	 */
	w->born = smp_load_acquire(&c->counters.registrations);
	do {
		n = interval_find(c->mm, &c->sub_ops, w->start, w->last, &walk,
				  out);
		for (i = 0; i < n; i++) {
			if (hold_region(g, region_of(out[i])))
				return region_of(out[i]);
			w->overlaps |= READ_ONCE(region_of(out[i])->life) != 0;
		}
	} while (!walk.done);
	return NULL;
}

/* Lead there faster the next time. */
static void hint_missing(struct uhmm_rcache *c, struct region *r,
			 unsigned long start)
{
	/*
	 * Ordering: (RC-HINTS-READ-AGAIN) pairs with (RC-HINTS-SET) in hints_grow():
	 * they are filled.
	 */
	if (!hint_room(smp_load_acquire(&c->hints), start))
		return;
	spin_lock(&c->lock);
	if (r->life)
		hint_add(c, start, r);
	spin_unlock(&c->lock);
}

static void count_hit(struct hold_block *b)
{
	count_one(&b->hits);
}

/* Behind two without a hit between them the next one most likely misses, too. */
static void count_miss(const struct uhmm_rcache *c, struct hold_block *b)
{
	WRITE_ONCE(b->misses, READ_ONCE(b->misses) + 1);
	if (READ_ONCE(b->hits) == READ_ONCE(b->hits_then))
		hold_next(c, b, BLOCK_HOLDS);
	WRITE_ONCE(b->hits_then, READ_ONCE(b->hits));
}

/* After one that was not alone though nothing served it so many are not tried. */
#define CROWDED 32

static bool crowded(struct hold_block *b)
{
	unsigned long left = READ_ONCE(b->crowded);

	if (left)
		WRITE_ONCE(b->crowded, left - 1);
	return left;
}

/* By a hint that only leads to a region, or one that was not looked at. */
static bool find_further(const struct getting *g)
{
	struct hint *h;
	unsigned long life;

	/*
	 * Ordering: (RC-HINTS-FURTHER) pairs with (RC-HINTS-SET) in
	 * hints_grow(): they are filled.
	 */
	h = hint_further(smp_load_acquire(&g->cache->hints), g->first);
	if (!h)
		return false;
	/*
	 * Ordering: (RC-HINT-FOLLOW) pairs with (RC-HINT-SET) in hint_set(): the
	 * region is seen as it was made.
	 */
	life = smp_load_acquire(&h->life);
	if (life & LIFE_LEADS)
		return hold_region(g, life_region(life));
	return hold_hint(g->cache, h, g->first, g->last - g->first, g->access,
			 (struct how){ .ask = g->ask }, g->hold, g->ret_reg);
}

static int miss(const struct getting *g, struct request *w, bool alone,
		struct region **ret_region)
{
	int err;

	hold_end(g->hold, HOLD_TAKEN);
	err = rcache_miss(g->cache, w, alone, g->hold, ret_region);
	if (err)
		hold_end(g->hold, 0);
	return err;
}

/* It was searched for, and is held. */
static bool found_by_index(const struct getting *g, struct request *w,
			   struct hold_block *b, bool hint)
{
	struct region *r = search(g, w);

	if (!r)
		return false;
	if (hint)
		hint_missing(g->cache, r, g->first);
	count_hit(b);
	return true;
}

/* The device still has some of it. 0: *@ret_region, or, if that is NULL, found. */
static int miss_again(const struct getting *g, struct request *w,
		      struct region **ret_region)
{
	int err;

	do {
		*ret_region = NULL;
		if (search(g, w))
			return 0;
		if (!rcache_make_way(g->cache, w))
			return -EEXIST;
		err = miss(g, w, false, ret_region);
	} while (err == -EEXIST);
	return err;
}

/*
 * No hint leads there. @again: the last gets missed, so it is most likely alone.
 * Returns as miss_again().
 */
static int search_or_miss(const struct getting *g, struct request *w,
			  struct hold_block *b, bool again, bool alone,
			  struct region **ret_region)
{
	int err = alone ? miss(g, w, true, ret_region) : -EADDRINUSE;

	if (err == -EADDRINUSE) {
		*ret_region = NULL;
		if (found_by_index(g, w, b, !again))
			return 0;
		WRITE_ONCE(b->crowded, alone ? CROWDED : b->crowded);
		err = miss(g, w, false, ret_region);
	}
	count_miss(g->cache, b);
	return err == -EEXIST ? miss_again(g, w, ret_region) : err;
}

static void fill_registered(struct uhmm_registration *reg, struct region *r,
			    unsigned long *hold)
{
	/* As they were just written: two at once would wait for the cache's line. */
	reg->key = READ_ONCE(r->key);
	reg->start = READ_ONCE(r->start);
	reg->length = READ_ONCE(r->last) - reg->start + 1;
	fill(reg, hold, put_asks(&r->life, false),
	     READ_ONCE(r->state) & UHMM_RCACHE_ACCESS);
}

static __attribute__((noinline)) int
get_slow(struct uhmm_rcache *c, unsigned long first, unsigned long more,
	 unsigned int access, struct uhmm_registration *ret_reg)
{
	unsigned long last = first + more;
	struct getting g = {
		.cache = c, .first = first, .last = last, .access = access,
		.ret_reg = ret_reg,
	};
	unsigned long mask = c->options.granule - 1;
	struct request w = {
		.start = first & ~mask, .last = last | mask, .access = access,
	};
	struct hold_block *b;
	struct region *r;
	bool again, alone;
	int err;

	if (!ret_reg || more == ~0UL || last < first || !access ||
	    access & ~UHMM_RCACHE_ACCESS || w.last - w.start == ~0UL)
		return -EINVAL;
	if (c->ended)
		return -ESRCH;
	b = block_find(c);
	again = b && hold_cached(c) == &b->hold[BLOCK_HOLDS];
	alone = again && !crowded(b);
	g.hold = b ? hold_find(c, &b) : NULL;
	if (!g.hold)
		return -ENOMEM;
	/* No hint is waited for before there is one to write. */
	if (again)
		__builtin_prefetch(hint_line(c, first), 1);
	/* What a change is on its way for may be good afterwards. */
	while (must_ask(c) && uhmm_live_pending(c->mm, first, more + 1))
		sync_yield();
	g.ask = must_ask(c);
	if (!again && find_further(&g)) {
		count_hit(b);
		return 0;
	}
	err = search_or_miss(&g, &w, b, again, alone, &r);
	if (!err && r)
		fill_registered(ret_reg, r, g.hold);
	return err;
}

/*
 * A hit: no call, so that nothing is saved and restored. @id: of the cache, or of
 * none, and then nothing is found. If not, the cache is in @ret_cache, out of its
 * register meanwhile.
 */
static __always_inline bool
find_live(struct uhmm_rcache *c, unsigned long id, unsigned long first,
	  unsigned long more, unsigned int access, struct how how,
	  struct uhmm_registration *ret_reg, struct uhmm_rcache **ret_cache)
{
	unsigned long *hold;
	struct hint *h;

	/* No entry serves what else is wrong with a request. */
	if (unlikely(hold_cache.id[c->place] != id) || unlikely(!ret_reg))
		return false;
	hold = hold_cache.hold[c->place];
	/*
	 * Ordering: (RC-HOLD-REUSE) pairs with (RC-HOLD-END) in uhmm_rcache_put(): who
	 * sees our use of the hold sees what came before that.
	 */
	if (unlikely(smp_load_acquire(hold)))
		return false;
	/* Ordering: (RC-HINTS-READ) pairs with (RC-HINTS-SET) in hints_grow(): they are filled. */
	h = hint_near(smp_load_acquire(&c->hints), page_of(first));
	if (unlikely(!hold_hint(c, h, first, more, access, how, hold,
				ret_reg))) {
		*ret_cache = hold_block_of(hold)->cache;
		return false;
	}
	count_hit(hold_block_of(hold));
	return true;
}

/*
 * Without membarrier there is a fence. In a live process the guarantee is looked at,
 * and at G0 the kernel asked; but not of nothing, and of what wraps.
 */
static __attribute__((noinline)) int
get_more(struct uhmm_rcache *c, unsigned long first, unsigned long more,
	 unsigned int access, struct uhmm_registration *ret_reg)
{
	struct how how = { .ask = must_ask(c) };

	if (c->plain != c->id && likely(first + more + 1 > first) &&
	    find_live(c, c->id, first, more, access, how, ret_reg, &c))
		return 0;
	return get_slow(c, first, more, access, ret_reg);
}

int uhmm_rcache_get(struct uhmm_rcache *cache, unsigned long addr,
		    size_t length, unsigned int access,
		    struct uhmm_registration *ret_reg)
{
	if (unlikely(!cache))
		return -EINVAL;
	if (likely(find_live(cache, cache->plain, addr, length - 1, access,
			     (struct how){ .plain = true }, ret_reg, &cache)))
		return 0;
	return get_more(cache, addr, length - 1, access, ret_reg);
}

static __attribute__((noinline)) void put_last(struct uhmm_rcache *c,
					       const struct region *r)
{
	hold_fence();
	if (READ_ONCE(r->state) & REGION_RETIRED && !c->ended)
		rcache_reap(c);
}

void uhmm_rcache_put(struct uhmm_registration *reg)
{
	unsigned long held = READ_ONCE(*reg->hold);

	/*
	 * Ordering: (RC-HOLD-END) pairs with (RC-HOLD-SEEN) in hold_settled() and
	 * (RC-HOLD-REUSE) in find_live() and (RC-HOLD-FREE) in hold_find(): the
	 * device is done.
	 */
	smp_store_release(reg->hold, 0);
	/* Who needs a fence here has it in put_last(): see put_asks(). */
	barrier();
	if (unlikely(!word_is(reg->life, held)))
		put_last(hold_block_of(reg->hold)->cache, life_region(held));
}

/* --------------------------------------------------------------------- fork */

/*
 * Nothing is half done in a child. Lock order: as here; in a live process an
 * invalidation of everything starts between the two.
 */
static void fork_prepare_reaping(void) __no_context_analysis
{
	mutex_lock(&caches_lock);
	for (struct uhmm_rcache *c = caches; c; c = c->next_cache)
		mutex_lock(&c->reaping);
}

static void fork_prepare(void) __no_context_analysis
{
	for (struct uhmm_rcache *c = caches; c; c = c->next_cache)
		spin_lock(&c->lock);
}

static void fork_parent(void) __no_context_analysis
{
	for (struct uhmm_rcache *c = caches; c; c = c->next_cache)
		spin_unlock(&c->lock);
}

static void fork_parent_reaping(void) __no_context_analysis
{
	for (struct uhmm_rcache *c = caches; c; c = c->next_cache)
		mutex_unlock(&c->reaping);
	mutex_unlock(&caches_lock);
}

/* The device knows the parent's memory. */
static void fork_child(void) __no_context_analysis
{
	for (struct uhmm_rcache *c = caches; c; c = c->next_cache) {
		c->ended = true;
		hints_end(c);
		spin_lock_init(&c->lock);
		mutex_unlock(&c->reaping);
	}
	mutex_unlock(&caches_lock);
}

static __at_load(AT_FORK_IN_CALLBACKS) void see_to_forks(void)
{
	sync_at_fork(fork_prepare, fork_parent, fork_child);
}

static __at_load(AT_FORK_AROUND) void see_to_forks_around(void)
{
	sync_at_fork(fork_prepare_reaping, fork_parent_reaping, NULL);
}

/* --------------------------------------------------------------------- life */

static void caches_add(struct uhmm_rcache *c)
{
	mutex_lock(&caches_lock);
	c->id = next_id++;
	c->plain = c->probe || !READ_ONCE(sync_asymmetric) ? ~0UL : c->id;
	c->place = c->id % BLOCK_CACHE;
	c->next_cache = caches;
	if (caches)
		caches->prev_cache = c;
	caches = c;
	mutex_unlock(&caches_lock);
}

static void caches_del(struct uhmm_rcache *c)
{
	mutex_lock(&caches_lock);
	if (c->prev_cache)
		c->prev_cache->next_cache = c->next_cache;
	else
		caches = c->next_cache;
	if (c->next_cache)
		c->next_cache->prev_cache = c->prev_cache;
	mutex_unlock(&caches_lock);
}

static int take_options(struct uhmm_rcache *c,
			const struct uhmm_rcache_options *options)
{
	const unsigned int flags = UHMM_RCACHE_LAZY | UHMM_RCACHE_MEMLOCK;
	struct uhmm_rcache_options *o = &c->options;
	struct rlimit limit;
	int err;

	if (options) {
		err = options_check(options, sizeof(*options));
		if (err)
			return err;
		if (options->flags & ~flags)
			return -EINVAL;
		*o = *options;
	}
	if (!o->granule)
		o->granule = 4096;
	if (o->granule & (o->granule - 1))
		return -EINVAL;
	if (o->flags & UHMM_RCACHE_MEMLOCK &&
	    !getrlimit(RLIMIT_MEMLOCK, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY &&
	    (!o->max_bytes || limit.rlim_cur < o->max_bytes))
		o->max_bytes = limit.rlim_cur;
	return 0;
}

static size_t queue_size(const struct uhmm_rcache *c)
{
	return c->options.queue * sizeof(struct uhmm_rcache_event);
}

static void free_cache(struct uhmm_rcache *c)
{
	struct hold_block *b, *next;

	for (b = c->blocks; b; b = next) {
		next = b->next;
		sync_free_pages(b, HOLD_BLOCK_SIZE);
	}
	if (c->eventfd >= 0)
		close(c->eventfd);
	if (c->events)
		sync_free_pages(c->events, queue_size(c));
	hints_destroy(c);
	pool_destroy(c);
	sync_free_pages(c, sizeof(*c));
}

/* What has memory; all of it may be freed by free_cache(). */
static int build(struct uhmm_rcache *c)
{
	int err = hints_init(c);

	if (!err)
		err = pool_grow(c, 0);
	if (err || !c->options.queue)
		return err;
	c->events = sync_alloc_pages(queue_size(c));
	if (!c->events)
		return -ENOMEM;
	c->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return c->eventfd < 0 ? -errno : 0;
}

int uhmm_rcache_create(struct mm_struct *mm, const struct uhmm_rcache_ops *ops,
		       void *device, const struct uhmm_rcache_options *options,
		       struct uhmm_rcache **ret_cache)
{
	struct uhmm_live_info info = { .size = sizeof(info) };
	struct uhmm_rcache *c;
	int err;

	if (!mm || !ops || !ops->reg || !ops->dereg || !ret_cache ||
	    ops->flags & ~UHMM_RCACHE_FREES)
		return -EINVAL;
	c = sync_alloc_pages(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->mm = mm;
	c->ops = ops;
	c->device = device;
	c->eventfd = -1;
	c->sub_ops = rcache_sub_ops;
	spin_lock_init(&c->lock);
	mutex_init(&c->reaping);
	err = take_options(c, options);
	if (err) {
		sync_free_pages(c, sizeof(*c));
		return err;
	}
	err = build(c);
	if (err) {
		free_cache(c);
		return err;
	}
	c->live_mm = c->probe = !uhmm_live_get_info(mm, &info);
	if (c->live_mm && ops->flags & UHMM_RCACHE_FREES)
		c->options.flags |= UHMM_RCACHE_LAZY;
	mmgrab(mm);
	sync_register_membarrier();
	caches_add(c);
	*ret_cache = c;
	return 0;
}

/*
 * A child takes the subscriptions out, and no more. False: some were on their
 * way in when it was forked, so that their memory must stay.
 */
static bool unwatch_all(struct uhmm_rcache *c)
{
	bool all = true;

	for (unsigned long i = 0; i < c->pooled; i++) {
		struct region *r = region_at(c, i);
		unsigned int state = READ_ONCE(r->state);

		if (state & REGION_WATCHED)
			mmu_interval_notifier_remove(&r->sub);
		else if (state && !(state & REGION_GONE))
			all = false;
	}
	return all;
}

int uhmm_rcache_destroy(struct uhmm_rcache *cache)
{
	struct mm_struct *mm = cache->mm;
	struct hold_block *b;

	if (cache->ended) {
		if (!unwatch_all(cache))
			return 0;
	} else if (uhmm_rcache_flush(cache, 0, 0)) {
		for_each_hold_block(b, cache)
			for (unsigned long i = 0; i < b->top; i++)
				if (READ_ONCE(b->hold[i]))
					return -EBUSY;
		return -EIO;
	}
	caches_del(cache);
	free_cache(cache);
	mmdrop(mm);
	return 0;
}
