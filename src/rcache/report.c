// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What a user sees of a cache: the queue of invalidations, and counters. */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "internal.h"

bool queue_event(struct uhmm_rcache *c, const struct region *r)
{
	unsigned int n = c->nevents, size = c->options.queue;
	struct uhmm_rcache_event *e;
	unsigned long last;

	if (!size)
		return false;
	if (n == size) {
		e = &c->events[(c->first_event + n - 1) % size];
		last = e->start + e->length - 1;
		if (r->start < e->start)
			e->start = r->start;
		e->length = (r->last > last ? r->last : last) -
			    e->start + 1;
		e->key = r->key;
		e->merged = 1;
		c->counters.overflows++;
		return false;
	}
	e = &c->events[(c->first_event + n) % size];
	e->start = r->start;
	e->length = region_bytes(r);
	e->key = r->key;
	e->merged = 0;
	c->nevents++;
	return !n;
}

void queue_signal(struct uhmm_rcache *c)
{
	/* It counts; what it says is that there is something. */
	(void)!eventfd_write(c->eventfd, 1);
}

int uhmm_rcache_fd(struct uhmm_rcache *cache)
{
	return cache && cache->options.queue ? cache->eventfd : -EINVAL;
}

unsigned int uhmm_rcache_read(struct uhmm_rcache *cache,
			      struct uhmm_rcache_event *events, unsigned int n)
{
	unsigned int i = 0, size = cache->options.queue;
	eventfd_t value;

	if (!size || cache->ended)
		return 0;
	/* First, so that what comes after it is announced anew. */
	(void)!eventfd_read(cache->eventfd, &value);
	spin_lock(&cache->lock);
	for (; i < n && cache->nevents; i++) {
		events[i] = cache->events[cache->first_event];
		cache->first_event = (cache->first_event + 1) % size;
		cache->nevents--;
	}
	n = cache->nevents;
	spin_unlock(&cache->lock);
	if (n)
		queue_signal(cache);
	return i;
}

int uhmm_rcache_get_stats(struct uhmm_rcache *cache,
			  struct uhmm_rcache_stats *ret_stats)
{
	struct hold_block *b;
	struct rcache_counters n;

	if (!cache || !ret_stats || ret_stats->size < sizeof(*ret_stats))
		return -EINVAL;
	spin_lock(&cache->lock);
	n = cache->counters;
	ret_stats->entries = cache->entries;
	ret_stats->bytes = cache->bytes;
	ret_stats->retired = cache->nretired;
	spin_unlock(&cache->lock);
	ret_stats->hits = ret_stats->misses = 0;
	for_each_hold_block(b, cache) {
		ret_stats->hits += READ_ONCE(b->hits);
		ret_stats->misses += READ_ONCE(b->misses);
	}
	ret_stats->registrations = n.registrations;
	ret_stats->failures = n.failures;
	ret_stats->deregistrations = n.deregistrations;
	ret_stats->dereg_failures = n.dereg_failures;
	ret_stats->collisions = n.collisions;
	ret_stats->invalidated = n.invalidated;
	ret_stats->merged = n.merged;
	ret_stats->evicted = n.evicted;
	ret_stats->flushed = n.flushed;
	ret_stats->overflows = n.overflows;
	return 0;
}

int uhmm_rcache_print_stats(struct uhmm_rcache *cache, char *buf, size_t size)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };

	if (!cache || (!buf && size) || uhmm_rcache_get_stats(cache, &s))
		return -EINVAL;
	return snprintf(buf, size,
			"{\"schema\": 1, \"type\": \"rcache\", "
			"\"device\": \"%s\", \"hits\": %lu, \"misses\": %lu, "
			"\"registrations\": %lu, \"failures\": %lu, "
			"\"deregistrations\": %lu, \"dereg_failures\": %lu, "
			"\"collisions\": %lu, \"invalidated\": %lu, "
			"\"merged\": %lu, \"evicted\": %lu, \"flushed\": %lu, "
			"\"overflows\": %lu, \"entries\": %lu, \"bytes\": %lu, "
			"\"retired\": %lu}",
			cache->ops->name ? cache->ops->name : "",
			s.hits, s.misses, s.registrations, s.failures,
			s.deregistrations, s.dereg_failures, s.collisions,
			s.invalidated, s.merged, s.evicted, s.flushed,
			s.overflows, s.entries, s.bytes, s.retired);
}
