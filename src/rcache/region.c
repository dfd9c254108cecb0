// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Regions: their memory, and the end of their lives. */
#include <errno.h>

#include "internal.h"

/* The chunk that region @i lies in begins with this number. */
static unsigned int chunk_of(unsigned long i, unsigned long *ret_first)
{
	unsigned int k = i < POOL_FIRST ? 0 :
		(unsigned int)(64 - __builtin_clzl(i / POOL_FIRST));

	*ret_first = k ? POOL_FIRST << (k - 1) : 0;
	return k;
}

struct region *region_at(const struct uhmm_rcache *c, unsigned long i)
{
	unsigned long first;
	unsigned int k = chunk_of(i, &first);

	return &c->pool[k][i - first];
}

static size_t chunk_size(unsigned int k)
{
	return sizeof(struct region) * (k ? POOL_FIRST << (k - 1) : POOL_FIRST);
}

/* The regions at @i of chunk @k and behind are there before they are touched. */
static void pool_ready(struct uhmm_rcache *c, unsigned int k, unsigned long i)
{
	size_t size = chunk_size(k) - i * sizeof(struct region);

	if (size > POOL_READY * sizeof(struct region))
		size = POOL_READY * sizeof(struct region);
	sync_populate_pages(&c->pool[k][i], size);
}

int pool_grow(struct uhmm_rcache *c, unsigned int k)
{
	if (k >= POOL_CHUNKS)
		return -ENOMEM;
	if (c->pool[k])
		return 0;
	c->pool[k] = sync_alloc_pages(chunk_size(k));
	if (!c->pool[k])
		return -ENOMEM;
	sync_want_huge_pages(c->pool[k], chunk_size(k));
	pool_ready(c, k, 0);
	return 0;
}

/* NULL: no memory. Lock held. */
struct region *region_alloc(struct uhmm_rcache *c)
{
	struct region *r = c->free;
	unsigned long first;
	unsigned int k;

	if (r) {
		c->free = r->next;
		region_fetch(c->free);
	} else {
		k = chunk_of(c->pooled, &first);
		if (pool_grow(c, k))
			return NULL;
		if (c->pooled > first && !((c->pooled - first) % POOL_READY))
			pool_ready(c, k, c->pooled - first);
		r = region_at(c, c->pooled++);
	}
	c->entries++;
	return r;
}

void region_free(struct uhmm_rcache *c, struct region *r)
{
	WRITE_ONCE(r->state, 0);
	c->entries--;
	r->next = c->free;
	c->free = r;
}

void pool_destroy(struct uhmm_rcache *c)
{
	for (unsigned int k = 0; k < POOL_CHUNKS && c->pool[k]; k++)
		sync_free_pages(c->pool[k], chunk_size(k));
}

void region_retire(struct uhmm_rcache *c, struct region *r,
		   unsigned long *counter)
{
	unsigned int state = READ_ONCE(r->state);

	if (r->life) {
		c->hinted--;
		WRITE_ONCE(r->life, 0);
		hint_drop(c, r);
	}
	/* What was retired before may be waited for, and unclaim() ends that. */
	if (!(state & REGION_RETIRED))
		WRITE_ONCE(r->state, state | REGION_RETIRED);
	r->next = c->retired;
	c->retired = r;
	WRITE_ONCE(c->nretired, c->nretired + 1);
	if (counter)
		(*counter)++;
}

void for_each_overlap(struct uhmm_rcache *c, unsigned long start,
		      unsigned long last,
		      void (*fn)(struct uhmm_rcache *c, struct region *r,
				 void *arg),
		      void *arg)
{
	struct mmu_interval_notifier *out[INDEX_BATCH];
	struct index_walk walk = {};
	unsigned int i, n;

	do {
		n = interval_find(c->mm, &c->sub_ops, start, last, &walk, out);
		for (i = 0; i < n; i++)
			fn(c, region_of(out[i]), arg);
	} while (!walk.done);
}
