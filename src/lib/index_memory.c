/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory for the nodes of the interval index: the first leaf is in it, the others are
 * cut from chunks, never given back before the index goes, used again once no search
 * can look at it. Chunks are pages of its own, so that an insert may come from inside
 * of malloc().
 */
#include "index_memory.h"
#include "index_filter.h"
#include "index_write.h"

#include <errno.h>

#define CHUNK_MIN 4096UL
#define CHUNK_MAX (1UL << 21)
#define CHUNK_POPULATED 16384UL
/*
 * The first two of leaves and of inner nodes lie in one room. Pages that are not
 * touched cost nothing; and nothing new is mapped where a program has just
 * unmapped a page, for a few subscriptions.
 */
#define ROOM SYNC_SIZE(6 * CHUNK_MIN, CHUNK_MIN)
#define RETIRE_BATCH SYNC_SIZE(32, 2)

void index_pool_init(struct index_pool *pool, size_t size)
{
	pool->size = size;
	pool->chunk = CHUNK_MIN;
}

static void pool_give(struct index_pool *pool, struct index_node *node)
{
	node->next = pool->free;
	pool->free = node;
	pool->avail++;
}

/* The next one is written soon, and it is long since it was. */
static void fetch(const void *node, size_t size)
{
	for (size_t i = 0; node && i < size; i += CACHE_LINE)
		__builtin_prefetch((const char *)node + i, 1);
}

struct index_node *index_take(struct index_pool *pool)
{
	struct index_node *node = pool->free;

	pool->avail--;
	if (node) {
		pool->free = node->next;
		fetch(node->next, pool->size);
		return node;
	}
	node = (void *)pool->fresh;
	pool->fresh += pool->size;
	fetch(pool->fresh, pool->size);
	return node;
}

/* What is left of the last chunk goes to the free ones. */
static void pool_add(struct index_pool *pool, char *chunk, size_t size)
{
	while (pool->fresh && pool->fresh + pool->size <= pool->end) {
		struct index_node *node = (void *)pool->fresh;

		node->next = pool->free;
		pool->free = node;
		pool->fresh += pool->size;
	}
	pool->fresh = chunk + CACHE_LINE;
	pool->end = chunk + size;
	pool->avail += (size - CACHE_LINE) / pool->size;
	if (pool->chunk < CHUNK_MAX)
		pool->chunk *= 2;
}

bool index_room(const struct interval_index *ix)
{
	return ix->leaves.avail >= 2 &&
	       ix->inners.avail >= 2 * node_level(ix->root) + 2;
}

struct index_pool *index_short_of(struct interval_index *ix)
{
	return ix->leaves.avail < 2 ? &ix->leaves : &ix->inners;
}

/* Where the first ones are; NULL: they are all taken, or those that follow. */
static char *room_take(struct interval_index *ix, size_t size)
	__must_hold(&ix->lock)
{
	char *chunk = ix->room;

	if (!chunk || size > ROOM - ix->room_taken)
		return NULL;
	chunk += ix->room_taken;
	ix->room_taken += size;
	return chunk;
}

static struct index_chunk *chunk_make(size_t size)
{
	struct index_chunk *chunk = sync_alloc_pages(size);

	if (!chunk)
		return NULL;
	/* Before it is touched: a page that is there is in no huge one. */
	if (size == CHUNK_MAX)
		sync_want_huge_pages(chunk, size);
	if (size >= CHUNK_POPULATED)
		sync_populate_pages(chunk, size);
	chunk->size = size;
	return chunk;
}

int index_add_chunk(struct interval_index *ix, struct index_pool *pool)
	__no_context_analysis
{
	size_t size = pool->chunk;
	char *at = room_take(ix, size);
	struct index_chunk *chunk;

	if (!at) {
		spin_unlock(&ix->lock);
		chunk = chunk_make(size);
		spin_lock(&ix->lock);
		if (!chunk)
			return -ENOMEM;
		chunk->next = ix->chunks;
		ix->chunks = chunk;
		at = (char *)chunk;
	}
	ix->bytes += size;
	pool_add(pool, at, size);
	return 0;
}

static void free_list(struct interval_index *ix, struct index_node *node)
	__must_hold(&ix->lock)
{
	while (node) {
		struct index_node *next = node->next;

		pool_give(node_level(node) ? &ix->inners : &ix->leaves, node);
		node = next;
	}
}

/*
 * Retired nodes wait in two generations: one is filled, the other is freed
 * once no search is left that began before its version.
 */
static void reclaim(struct interval_index *ix) __must_hold(&ix->lock)
{
	if (ix->waiting) {
		if (ix->oldest_reader(ix->arg) < ix->waiting_version)
			return;
		free_list(ix, ix->waiting);
	}
	ix->waiting = ix->retired;
	ix->waiting_version = ix->version;
	ix->retired = NULL;
	ix->nretired = 0;
}

void index_retire(struct interval_index *ix, struct index_node *node)
{
	node->next = ix->retired;
	ix->retired = node;
	if (++ix->nretired >= RETIRE_BATCH &&
	    !(ix->nretired % (RETIRE_BATCH / 2)))
		reclaim(ix);
}

static struct index_node *leaf_init(struct index_node *leaf, unsigned long scale)
{
	for (unsigned int i = 0; i < INDEX_FANOUT; i++) {
		leaf->lo[i] = UINT_MAX;
		leaf->hi[i] = 0;
		leaf->at[i] = NULL;
	}
	leaf->perm = PERM_EMPTY;
	leaf->scale = scale;
	WRITE_ONCE(leaf->tag, 2 * INDEX_FILLING);
	return leaf;
}

struct index_node *index_new_leaf(struct interval_index *ix,
				  unsigned long scale)
{
	return leaf_init(index_take(&ix->leaves), scale);
}

/* -------------------------------------------------------------------- life */

int index_init(struct interval_index *ix,
	       unsigned long (*oldest_reader)(void *arg), void *arg)
	__no_context_analysis
{
	spin_lock_init(&ix->lock);
	index_pool_init(&ix->leaves, sizeof(struct index_node));
	index_pool_init(&ix->inners, sizeof(struct index_inner));
	ix->oldest_reader = oldest_reader;
	ix->arg = arg;
	ix->search = index_search_vector();
	if (!ix->search)
		ix->search = &index_search_portable;
	ix->version = 1;
	ix->filter_at = FILTER_FROM;
	recent_forget(ix);
	ix->room = sync_alloc_pages(ROOM);
	if (!ix->room)
		return -ENOMEM;
	ix->root = leaf_init(&ix->first, scale_for(0, 0));
	return 0;
}

void index_destroy(struct interval_index *ix) __no_context_analysis
{
	index_filter_destroy(ix);
	while (ix->chunks) {
		struct index_chunk *next = ix->chunks->next;

		sync_free_pages(ix->chunks, ix->chunks->size);
		ix->chunks = next;
	}
	if (ix->room)
		sync_free_pages(ix->room, ROOM);
	ix->room = NULL;
}

size_t index_bytes(struct interval_index *ix)
{
	size_t bytes;

	spin_lock(&ix->lock);
	bytes = ix->bytes;
	spin_unlock(&ix->lock);
	return bytes;
}
