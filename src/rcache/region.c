// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Regions: their memory, and the end of their lives. */
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

/* NULL: no memory. Lock held. */
struct region *region_alloc(struct uhmm_rcache *c)
{
	struct region *r = c->free;
	unsigned long first;
	unsigned int k;

	if (r) {
		c->free = r->next;
	} else {
		k = chunk_of(c->pooled, &first);
		if (k >= POOL_CHUNKS)
			return NULL;
		if (!c->pool[k]) {
			c->pool[k] = sync_alloc_pages(chunk_size(k));
			if (!c->pool[k])
				return NULL;
			sync_want_huge_pages(c->pool[k], chunk_size(k));
		}
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

	if (state & REGION_LIVE)
		c->hinted--;
	WRITE_ONCE(r->state, (state & ~REGION_LIVE) | REGION_RETIRED);
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
	struct uhmm_interval_node *out[INDEX_BATCH];
	struct index_walk walk = {};
	unsigned int i, n;

	n = c->index.search->first(&c->index, start, last, &walk, out);
	for (;;) {
		for (i = 0; i < n; i++)
			fn(c, region_of(out[i]), arg);
		if (walk.done)
			return;
		n = c->index.search->resume(&c->index, start, last, &walk, out);
	}
}
