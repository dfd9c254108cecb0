// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The ends of regions: an invalidation, the eviction and the flush retire them;
 * who deregisters one claims it first, so that it happens once, and so that an
 * invalidation which meets it half way waits for that.
 */
#include <errno.h>

#include "internal.h"

/* Lock held. */
static bool claim(struct region *r)
{
	unsigned int state = READ_ONCE(r->state);

	if (state & (REGION_CLAIMED | REGION_GONE))
		return false;
	WRITE_ONCE(r->state, state | REGION_CLAIMED);
	return true;
}

/* It is claimed, and not any more. Lock held. */
static void unclaim(struct region *r, unsigned int gone)
{
	unsigned int state = (READ_ONCE(r->state) & ~REGION_CLAIMED) | gone;

	/* Ordering: (RC-CLAIM-END) pairs with (RC-CLAIM-SEEN) in wait_claimed(): see there. */
	smp_store_release(&r->state, state);
}

/* It is claimed. Returns whether it is deregistered. */
static bool deregister(struct uhmm_rcache *c, struct region *r)
{
	int err = c->ended ? 0 : c->ops->dereg(c->device, r->start,
					       region_bytes(r), r->key);

	spin_lock(&c->lock);
	if (err)
		c->counters.dereg_failures++;
	else
		c->counters.deregistrations++;
	unclaim(r, err ? 0 : REGION_GONE);
	spin_unlock(&c->lock);
	return !err;
}

/* -------------------------------------------------------------- invalidation */

/* Which cache the calling thread's last invalidation met. */
static __thread struct uhmm_rcache *met_last
	__attribute__((tls_model("initial-exec")));

/*
 * Each cache has ops of its own, so that they lead to it. Most often it is the one
 * that was met last: a processor that goes on with that one is at its hints before
 * the index has led to @sub. So the compiler is not to know that they are equal.
 */
static struct uhmm_rcache *cache_of(const struct mmu_interval_notifier *sub)
{
	struct uhmm_rcache *c = container_of(sub->ops, struct uhmm_rcache,
					     sub_ops);
	uintptr_t differs = (uintptr_t)c ^ (uintptr_t)met_last;

	forget_value(differs);
	if (likely(!differs))
		return met_last;
	met_last = c;
	return c;
}

/*
 * Is the device to be first? In a live process what may not sleep comes from
 * who was told afterwards.
 */
static bool device_first(const struct uhmm_rcache *c,
			 const struct mmu_notifier_range *range)
{
	return !(c->options.flags & UHMM_RCACHE_LAZY) &&
	       (!c->live_mm || (!must_ask(c) &&
				mmu_notifier_range_blockable(range)));
}

/* In @mine what of @subs is to be deregistered; returns how many. */
static size_t end_lives(struct uhmm_rcache *c,
			struct mmu_interval_notifier *const *subs, size_t n,
			unsigned long cur_seq, bool eager, struct region **mine,
			bool *ret_signal)
{
	size_t i, nmine = 0;
	struct region *r;

	*ret_signal = false;
	spin_lock(&c->lock);
	for (i = 0; i < n; i++) {
		r = container_of(subs[i], struct region, sub);
		mmu_interval_set_seq(subs[i], cur_seq);
		if (r->life) {
			region_retire(c, r, &c->counters.invalidated);
			*ret_signal |= queue_event(c, r);
		}
		if (eager && READ_ONCE(r->state) & REGION_RETIRED && claim(r))
			mine[nmine++] = r;
	}
	spin_unlock(&c->lock);
	return nmine;
}

/* Until nobody is deregistering it. */
static void wait_claimed(const struct region *r)
{
	/*
	 * Ordering: (RC-CLAIM-SEEN) pairs with (RC-CLAIM-END) in unclaim(): the device
	 * is done with it.
	 */
	while (smp_load_acquire(&r->state) & REGION_CLAIMED)
		sync_yield();
}

/* The memory goes on when this returns: the device first. */
static bool invalidate_batch(struct mmu_interval_notifier *const *subs,
			     size_t n, const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	struct uhmm_rcache *c = cache_of(subs[0]);
	bool eager = device_first(c, range);
	struct region *mine[INDEX_BATCH];
	size_t i, nmine;
	bool signal;

	if (unlikely(c->ended)) {
		for (i = 0; i < n; i++)
			mmu_interval_set_seq(subs[i], cur_seq);
		return true;
	}
	/* It ends with its region, and is missed. */
	__builtin_prefetch(hint_line(c, range->start), 1);
	if (eager && !mmu_notifier_range_blockable(range))
		return false;
	nmine = end_lives(c, subs, n, cur_seq, eager, mine, &signal);
	if (nmine)
		holds_fence();
	for (i = 0; i < nmine; i++) {
		if (!holds_have(c, mine[i])) {
			deregister(c, mine[i]);
			continue;
		}
		spin_lock(&c->lock);
		unclaim(mine[i], 0);
		spin_unlock(&c->lock);
	}
	for (i = 0; eager && i < n; i++)
		wait_claimed(container_of(subs[i], struct region, sub));
	if (signal)
		queue_signal(c);
	return true;
}

const struct mmu_interval_notifier_ops rcache_sub_ops = {
	.uhmm_invalidate_batch = invalidate_batch,
};

/* -------------------------------------------------------------------- reaping */

static bool claim_unlocked(struct uhmm_rcache *c, struct region *r)
{
	bool mine;

	spin_lock(&c->lock);
	mine = claim(r);
	spin_unlock(&c->lock);
	return mine;
}

/*
 * False: it is in use, or the device refused, be it in a callback. An invalidation
 * that has it claimed may have found it in use, by who has put it since and is
 * here to end it, and will let go of it as it is.
 */
static bool finish(struct uhmm_rcache *c, struct region *r)
{
	bool mine;

	if (r->busy == c->reaper)
		return false;
	while (!(mine = claim_unlocked(c, r)) &&
	       !(READ_ONCE(r->state) & REGION_GONE) &&
	       !BROKEN(rcache_broken, BROKEN_CLAIM))
		wait_claimed(r);
	if (mine && !deregister(c, r))
		return false;
	if (READ_ONCE(r->state) & REGION_WATCHED)
		mmu_interval_notifier_remove(&r->sub);
	return true;
}

/* Lock held; returns whether it is gone. */
static bool finished(struct uhmm_rcache *c, struct region *r, bool done)
{
	unsigned int state = READ_ONCE(r->state);

	if (done)
		WRITE_ONCE(r->state, state & ~REGION_WATCHED);
	if (!done || !(state & REGION_GONE)) {
		region_retire(c, r, NULL);
		return false;
	}
	c->bytes -= region_bytes(r);
	region_free(c, r);
	return true;
}

/*
 * Deregister what is retired and not in use. Returns how many are left; those
 * are looked at again when they are put.
 */
unsigned long rcache_reap(struct uhmm_rcache *c)
{
	struct region *r, *next, *list;
	unsigned long left = 0;
	bool done;

	mutex_lock(&c->reaping);
	c->reaper++;
	spin_lock(&c->lock);
	list = c->retired;
	c->retired = NULL;
	WRITE_ONCE(c->nretired, 0);
	spin_unlock(&c->lock);
	if (list) {
		holds_fence();
		holds_mark(c);
	}
	for (r = list; r; r = next) {
		next = r->next;
		region_fetch(next);
		done = finish(c, r);
		spin_lock(&c->lock);
		left += !finished(c, r, done);
		spin_unlock(&c->lock);
	}
	WRITE_ONCE(c->in_use, left);
	mutex_unlock(&c->reaping);
	return left;
}

/* Was it returned since? Not any more. */
static bool second_chance(struct region *r)
{
	bool used = READ_ONCE(r->used);

	WRITE_ONCE(r->used, 0);
	if (r->hint && READ_ONCE(r->hint->used)) {
		WRITE_ONCE(r->hint->used, 0);
		used = true;
	}
	return used;
}

/*
 * Second chance: what was returned since the hand came by last is passed over
 * once. Retire so many, and reap; false: the device has as much as before.
 */
bool rcache_evict(struct uhmm_rcache *c, unsigned long entries,
		  unsigned long bytes)
{
	unsigned long i, n, before, chosen = 0, freed = 0;
	struct region *r;

	spin_lock(&c->lock);
	n = 2 * c->pooled;
	before = c->counters.deregistrations;
	for (i = 0; i < n && (chosen < entries || freed < bytes); i++) {
		r = region_at(c, c->hand++ % c->pooled);
		if (!r->life || second_chance(r))
			continue;
		region_retire(c, r, &c->counters.evicted);
		chosen++;
		freed += region_bytes(r);
	}
	spin_unlock(&c->lock);
	rcache_reap(c);
	spin_lock(&c->lock);
	n = c->counters.deregistrations - before;
	spin_unlock(&c->lock);
	return n;
}

static void flush_one(struct uhmm_rcache *c, struct region *r, void *unused)
{
	if (r->life)
		region_retire(c, r, &c->counters.flushed);
}

unsigned long uhmm_rcache_flush(struct uhmm_rcache *cache, unsigned long addr,
				size_t length)
{
	unsigned long last = addr + length - 1;

	if (!length || last < addr)
		last = ~0UL;
	if (cache->ended)
		return 0;
	interval_find_ready(cache->mm);
	spin_lock(&cache->lock);
	for_each_overlap(cache, addr, last, flush_one, NULL);
	spin_unlock(&cache->lock);
	return rcache_reap(cache);
}
