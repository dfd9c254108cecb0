// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * A get that does not find: the region is watched first, then registered outside
 * all locks, and it lives only if nothing hit it in between.
 */
#include <errno.h>

#include "internal.h"

/* So many collisions with nothing gained are enough. */
#define MISS_TRIES 10000
/* And so many that the device did not let go of. */
#define MISS_STUCK 8

static void widen_one(struct uhmm_rcache *c, struct region *r, void *arg)
{
	struct request *w = arg;

	if (!r->life)
		return;
	w->overlaps = true;
	if (r->start < w->start)
		w->start = r->start;
	if (r->last > w->last)
		w->last = r->last;
	w->access |= READ_ONCE(r->state) & UHMM_RCACHE_ACCESS;
}

/* The union with all it overlaps, and with what that overlaps. Lock held. */
static struct request widened(struct uhmm_rcache *c, const struct request *w)
{
	struct request wide = *w, before;

	do {
		before = wide;
		for_each_overlap(c, wide.start, wide.last, widen_one, &wide);
	} while (wide.start != before.start || wide.last != before.last);
	return wide;
}

/* Those that @arg, which has just come to life, makes superfluous. */
static void replace_one(struct uhmm_rcache *c, struct region *r, void *arg)
{
	const struct region *by = arg;
	unsigned int state = READ_ONCE(r->state);

	if (r != by && r->life && r->start >= by->start &&
	    r->last <= by->last &&
	    !(state & ~READ_ONCE(by->state) & UHMM_RCACHE_ACCESS))
		region_retire(c, r, &c->counters.merged);
}

/* Is there room for it beside @held bytes that are no entry's? Lock held. */
static bool has_room(const struct uhmm_rcache *c, const struct request *w,
		     unsigned long held)
{
	unsigned long bytes = w->last - w->start + 1, used = c->bytes + held;
	unsigned long max_bytes = c->options.max_bytes;
	unsigned long max_entries = c->options.max_entries;

	return (!max_entries || c->entries < max_entries) &&
	       (!max_bytes ||
		(used <= max_bytes && bytes <= max_bytes - used));
}

/* A region for @w. Lock held. */
static int region_make(struct uhmm_rcache *c, const struct request *w,
		       struct region **ret_region)
{
	struct region *r = region_alloc(c);

	if (!r)
		return -ENOMEM;
	WRITE_ONCE(r->start, w->start);
	WRITE_ONCE(r->last, w->last);
	WRITE_ONCE(r->state, w->access);
	WRITE_ONCE(r->used, 0);
	r->key = 0;
	r->busy = 0;
	r->unhinted = false;
	c->bytes += region_bytes(r);
	*ret_region = r;
	return 0;
}

/* How to look for what overlaps. */
enum look {
	LOOK_MERGE,		/* and register all of it */
	LOOK_NOT,		/* @w as it is */
	LOOK_ALONE,		/* as it is watched; nothing was searched for yet */
};

/*
 * A region for @w, or for more, that nobody finds live yet. -ENOSPC: no room;
 * -EBUSY: there will be, without that anything goes. Lock not held.
 */
static int begin(struct uhmm_rcache *c, struct request *w, bool merge,
		 struct region **ret_region, bool *ret_merged)
{
	struct request wide = *w;
	unsigned long held = 0;
	int err = -ENOSPC;
	bool room;

	spin_lock(&c->lock);
	if (c->options.max_bytes && c->ops->held)
		held = c->ops->held(c->device);
	if (w->born != c->counters.registrations)
		w->overlaps = true;
	w->born = c->counters.registrations;
	if (merge && w->overlaps) {
		w->overlaps = false;
		wide = widened(c, w);
		w->overlaps = wide.overlaps;
	}
	room = has_room(c, &wide, held);
	if (!room) {
		wide = *w;
		room = has_room(c, &wide, held);
	}
	*ret_merged = wide.start != w->start || wide.last != w->last ||
		      wide.access != w->access;
	if (room)
		err = region_make(c, &wide, ret_region);
	else if (held && has_room(c, &wide, 0))
		err = -EBUSY;
	spin_unlock(&c->lock);
	return err;
}

/*
 * It did not come to life; @gone: nothing is registered. What is not watched
 * nobody has seen.
 */
static void give_up(struct uhmm_rcache *c, struct region *r, bool gone)
{
	unsigned int state = READ_ONCE(r->state);

	spin_lock(&c->lock);
	if (!(state & REGION_WATCHED)) {
		c->bytes -= region_bytes(r);
		region_free(c, r);
		goto out_unlock;
	}
	if (gone)
		WRITE_ONCE(r->state, state | REGION_GONE);
	region_retire(c, r, NULL);
out_unlock:
	spin_unlock(&c->lock);
}

/* -EADDRINUSE: it is not alone. */
static int watch(struct uhmm_rcache *c, struct region *r, bool alone)
{
	unsigned long length = region_bytes(r);
	int err;

	__builtin_memset(&r->sub, 0, sizeof(r->sub));
	if (alone)
		err = interval_insert_alone(&r->sub, c->mm, r->start, length,
					    &c->sub_ops);
	else
		err = mmu_interval_notifier_insert(&r->sub, c->mm, r->start,
						   length, &c->sub_ops);
	if (err)
		return err == -EINVAL ? -ESRCH :
		       err == -EEXIST ? -EADDRINUSE : err;
	/* Nobody else writes it before it is retired. */
	WRITE_ONCE(r->state, READ_ONCE(r->state) | REGION_WATCHED);
	return 0;
}

/* Lock held, and nothing hit it. Returns what hints_grow() does. */
static struct hints *bring_to_life(struct uhmm_rcache *c, struct region *r,
				   const struct request *w, unsigned long *hold)
{
	unsigned long life = life_of(r, READ_ONCE(r->state) &
					UHMM_RCACHE_ACCESS);
	struct hints *outgrown = NULL;

	/*
	 * Ordering: (RC-HOLD-BORN) pairs with (RC-HOLD-SEEN) in hold_settled():
	 * as (RC-HOLD-HELD).
	 */
	smp_store_release(hold, life);
	/*
	 * Ordering: (RC-LIFE) pairs with (RC-LIVE-SEEN) in hold_region(): the region is
	 * seen as it was made.
	 */
	smp_store_release(&r->life, life);
	c->hinted++;
	if (unlikely(hints_few(c)))
		outgrown = hints_grow(c);
	hint_add(c, r->start, r);
	if (w->start / HINT_PAGE != r->start / HINT_PAGE)
		hint_add(c, w->start, r);
	/* There were none, and nothing else has come to life since. */
	if (w->overlaps || w->born != c->counters.registrations)
		for_each_overlap(c, r->start, r->last, replace_one,
				 r);
	/*
	 * Ordering: (RC-BORN) pairs with (RC-BORN-SEEN) in search(): it is watched
	 * and lives.
	 */
	smp_store_release(&c->counters.registrations,
			  c->counters.registrations + 1);
	return outgrown;
}

/*
 * Register behind the read that returned @seq, and look whether that was in time.
 * 0; 1: it was not, and nothing is registered; -errno; -EXDEV: it was not, and the
 * device does not let go.
 */
static int attempt(struct uhmm_rcache *c, struct region *r,
		   const struct request *w, unsigned long *hold,
		   unsigned long seq)
{
	unsigned int access = READ_ONCE(r->state) & UHMM_RCACHE_ACCESS;
	struct hints *outgrown = NULL;
	bool collided;
	int err = 0;

	if (c->live_mm)
		err = uhmm_live_watch(c->mm, r->start, region_bytes(r));
	if (!err)
		err = c->ops->reg(c->device, r->start, region_bytes(r), access,
				  &r->key);
	spin_lock(&c->lock);
	collided = mmu_interval_read_retry(&r->sub, seq) &&
		   !BROKEN(rcache_broken, BROKEN_CHECK);
	if (err)
		c->counters.failures += err != -EAGAIN;
	else if (!collided)
		outgrown = bring_to_life(c, r, w, hold);
	c->counters.collisions += collided;
	spin_unlock(&c->lock);
	hints_outgrown(outgrown);
	if (!collided)
		return err == -EAGAIN ? 1 : err;
	if (err || !c->ops->dereg(c->device, r->start, region_bytes(r), r->key))
		return 1;
	return -EXDEV;
}

static int register_region(struct uhmm_rcache *c, struct region *r,
			   const struct request *w, unsigned long *hold)
{
	int err = attempt(c, r, w, hold, interval_read_first(&r->sub));

	for (unsigned int i = 1; err == 1 && i < MISS_TRIES; i++) {
		sync_yield();
		err = attempt(c, r, w, hold, mmu_interval_read_begin(&r->sub));
	}
	if (err)
		uhmm_interval_unreserve(&r->sub);
	return err == 1 ? -EAGAIN : err;
}

/*
 * Retire so much that @w has room, if not all of it is in use. What has ended, and
 * waits for that, goes before what lives.
 */
static void make_room(struct uhmm_rcache *c, const struct request *w)
{
	unsigned long max_entries = c->options.max_entries ?: ~0UL / 2;
	unsigned long max_bytes = c->options.max_bytes ?: ~0UL / 2;
	unsigned long entries, used, bytes = w->last - w->start + 1;

	if (READ_ONCE(c->nretired) > READ_ONCE(c->in_use))
		rcache_reap(c);
	spin_lock(&c->lock);
	entries = c->entries + 1;
	used = c->bytes + bytes;
	spin_unlock(&c->lock);
	/* Some more, so that the next ones find room. */
	rcache_evict(c, entries <= max_entries ? 0 :
		     entries - max_entries + max_entries / 64,
		     used <= max_bytes ? 0 : used - max_bytes + max_bytes / 64);
}

static int miss_once(struct uhmm_rcache *c, struct request *w, enum look look,
		     unsigned long *hold, struct region **ret_region,
		     bool *ret_merged)
{
	struct region *r;
	int err;

	*ret_merged = false;
	if (READ_ONCE(c->nretired) > READ_ONCE(c->in_use) + UHMM_RCACHE_BACKLOG)
		rcache_reap(c);
	if (look == LOOK_ALONE)
		w->overlaps = true;
	err = begin(c, w, look == LOOK_MERGE, &r, ret_merged);
	for (int i = 0; err == -ENOSPC && i < 3; i++) {
		make_room(c, w);
		err = begin(c, w, look == LOOK_MERGE, &r, ret_merged);
	}
	if (err)
		return err;
	err = watch(c, r, look == LOOK_ALONE);
	/* What comes to life later is counted since begin(). */
	if (!err && look == LOOK_ALONE)
		w->overlaps = false;
	if (!err)
		err = register_region(c, r, w, hold);
	if (err) {
		give_up(c, r, err != -EXDEV);
		return err;
	}
	*ret_region = r;
	return 0;
}

static void clear_one(struct uhmm_rcache *c, struct region *r, void *arg)
{
	bool *any = arg;

	if (r->life)
		region_retire(c, r, &c->counters.merged);
	else if (READ_ONCE(r->state) & REGION_RETIRED)
		return;
	*any = true;
}

bool rcache_make_way(struct uhmm_rcache *c, struct request *w)
{
	bool any = false, went;
	unsigned long before;

	spin_lock(&c->lock);
	before = c->counters.deregistrations;
	*w = widened(c, w);
	for_each_overlap(c, w->start, w->last, clear_one, &any);
	spin_unlock(&c->lock);
	rcache_reap(c);
	spin_lock(&c->lock);
	/* That the device had still; or another has let go of it, before the first. */
	went = !w->ways || c->counters.deregistrations != before;
	spin_unlock(&c->lock);
	return any || (went && w->ways++ < MISS_STUCK);
}

int rcache_miss(struct uhmm_rcache *c, struct request *w, bool alone,
		unsigned long *hold, struct region **ret_region)
{
	enum look look = alone ? LOOK_ALONE : LOOK_MERGE;
	int err, stuck = 0;
	unsigned long n;
	bool merged;

	do
		err = miss_once(c, w, look, hold, ret_region, &merged);
	while (err == -EXDEV && ++stuck < MISS_STUCK);
	/* What it was merged with may be what the device refuses. */
	if (err && err != -EEXIST && merged)
		err = miss_once(c, w, LOOK_NOT, hold, ret_region, &merged);
	/* A limit of the device's own. */
	for (n = 1; err == -ENOMEM && rcache_evict(c, n, 0); n *= 2)
		err = miss_once(c, w, alone ? look : LOOK_NOT, hold, ret_region,
				&merged);
	return err == -EXDEV ? -EAGAIN : err;
}
