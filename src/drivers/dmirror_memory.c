/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The device's memory: it comes in chunks, and is given out in pages, and in
 * blocks of as many pages as a huge page has.
 */
#include "dmirror.h"

#include <time.h>

#define BLOCK_PAGES (1UL << UHMM_PMD_ORDER)
#define WORD_BITS 64
#define DRAIN_NS 1000000
#define MOST_TRIES 20

struct block {
	unsigned int used;
	uint64_t taken[BLOCK_PAGES / WORD_BITS];
};

/**
 * struct chunk - a piece of device memory
 * @pgmap: as the library knows it; the first member
 * @device: whose it is
 * @next: the one made before; not in the list any more when it is to go
 * @nblocks: how many @blocks
 * @blocks: what is in use
 */
struct chunk {
	struct dev_pagemap pgmap;
	struct uhmm_dmirror_device *device;
	struct chunk *next;
	unsigned long nblocks;
	struct block blocks[];
};

static unsigned long first_pfn(const struct chunk *chunk)
{
	return chunk->pgmap.range.start >> UHMM_PAGE_SHIFT;
}

static size_t chunk_bytes(const struct chunk *chunk)
{
	return (chunk->nblocks * BLOCK_PAGES) << UHMM_PAGE_SHIFT;
}

/* ------------------------------------------------------------- pages of it */

static void page_free(struct dev_pagemap *pgmap, unsigned long pfn,
		      unsigned int order)
{
	struct chunk *chunk = (struct chunk *)pgmap;
	unsigned long at = pfn - first_pfn(chunk), i;
	struct block *block = &chunk->blocks[at / BLOCK_PAGES];

	pthread_mutex_lock(&chunk->device->lock);
	for (i = at % BLOCK_PAGES; i < at % BLOCK_PAGES + (1UL << order); i++)
		block->taken[i / WORD_BITS] &= ~(1ULL << i % WORD_BITS);
	block->used -= 1U << order;
	chunk->device->used -= 1UL << order;
	pthread_mutex_unlock(&chunk->device->lock);
}

/* Which page of a block is free now taken; the block has room. */
static unsigned long take(struct block *block, unsigned int order)
{
	uint64_t *word = block->taken;
	unsigned int bit;

	block->used += 1U << order;
	if (order) {
		memset(block->taken, 0xff, sizeof(block->taken));
		return 0;
	}
	while (!~*word)
		word++;
	bit = (unsigned int)__builtin_ctzll(~*word);
	*word |= 1ULL << bit;
	return (unsigned long)(word - block->taken) * WORD_BITS + bit;
}

/* The lowest that is free; 0: none. */
static unsigned long take_from(struct chunk *chunk, unsigned int order)
{
	for (unsigned long i = 0; i < chunk->nblocks; i++)
		if (chunk->blocks[i].used + (1U << order) <= BLOCK_PAGES)
			return first_pfn(chunk) + i * BLOCK_PAGES +
			       take(&chunk->blocks[i], order);
	return 0;
}

/* ------------------------------------------------------------------ chunks */

static const struct dev_pagemap_ops private_ops = {
	.folio_free = page_free,
	.migrate_to_ram = dmirror_fault_home,
};

static const struct dev_pagemap_ops coherent_ops = {
	.folio_free = page_free,
};

static void chunk_free(struct chunk *chunk)
{
	munmap(chunk->pgmap.memory, chunk_bytes(chunk));
	free(chunk);
}

static struct chunk *chunk_make(struct uhmm_dmirror_device *device)
{
	unsigned long n = device->how.chunk_pages / BLOCK_PAGES;
	struct chunk *chunk = calloc(1, sizeof(*chunk) +
					n * sizeof(chunk->blocks[0]));

	if (!chunk)
		return NULL;
	chunk->device = device;
	chunk->nblocks = n;
	chunk->pgmap = (struct dev_pagemap){
		.type = device->how.type,
		.owner = device,
		.ops = device->how.type == MEMORY_DEVICE_PRIVATE ?
			       &private_ops : &coherent_ops,
		.nr_range = 1,
		.range.end = chunk_bytes(chunk) - 1,
		.memory = mmap(NULL, chunk_bytes(chunk), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       -1, 0),
	};
	if (chunk->pgmap.memory == MAP_FAILED) {
		free(chunk);
		return NULL;
	}
	if (uhmm_ptr_err(memremap_pages(&chunk->pgmap, 0))) {
		chunk_free(chunk);
		return NULL;
	}
	return chunk;
}

/* 0: there is none, and @ret_full says whether there may be another chunk. */
static unsigned long take_any(struct uhmm_dmirror_device *device,
			      unsigned int order, bool *ret_full)
{
	unsigned long pfn = 0;
	struct chunk *chunk;

	*ret_full = device->how.max_pages &&
		    device->used + (1UL << order) > device->how.max_pages;
	if (*ret_full)
		return 0;
	for (chunk = device->chunks; chunk && !pfn; chunk = chunk->next)
		pfn = take_from(chunk, order);
	if (pfn)
		device->used += 1UL << order;
	return pfn;
}

bool dmirror_fails(struct uhmm_dmirror_device *device)
{
	bool fails;

	pthread_mutex_lock(&device->lock);
	fails = device->fail_alloc;
	device->fail_alloc = false;
	pthread_mutex_unlock(&device->lock);
	return fails;
}

unsigned long dmirror_alloc(struct uhmm_dmirror_device *device,
			    unsigned int order)
{
	struct chunk *chunk;
	unsigned long pfn;
	bool full;

	if (dmirror_fails(device))
		return 0;
	pthread_mutex_lock(&device->lock);
	pfn = take_any(device, order, &full);
	pthread_mutex_unlock(&device->lock);
	if (!pfn && !full) {
		chunk = chunk_make(device);
		if (!chunk)
			return 0;
		pthread_mutex_lock(&device->lock);
		chunk->next = device->chunks;
		device->chunks = chunk;
		pfn = take_any(device, order, &full);
		pthread_mutex_unlock(&device->lock);
	}
	/* Its chunk may have gone since, and the page with it. */
	return pfn && !zone_device_page_init(pfn, order) ? pfn : 0;
}

static unsigned long block_used(struct chunk *chunk, unsigned long i)
{
	unsigned long used;

	pthread_mutex_lock(&chunk->device->lock);
	used = chunk->blocks[i].used;
	pthread_mutex_unlock(&chunk->device->lock);
	return used;
}

static unsigned long chunk_used(struct chunk *chunk)
{
	unsigned long used = 0;

	for (unsigned long i = 0; i < chunk->nblocks; i++)
		used += block_used(chunk, i);
	return used;
}

/* Once all that is in use. False: for some of it there was no memory. */
static bool evict_all(struct chunk *chunk)
{
	bool all = true;

	for (unsigned long i = 0; i < chunk->nblocks; i++)
		if (block_used(chunk, i))
			all &= dmirror_evict(chunk->device, first_pfn(chunk) +
					     i * BLOCK_PAGES, BLOCK_PAGES);
	return all;
}

/*
 * No page of it is given out any more. What is busy is tried again, what is
 * pinned is waited for; if there is no memory, and none gets free for a while,
 * the rest stays where it is: -ENOMEM.
 */
static int chunk_empty(struct chunk *chunk)
{
	const struct timespec pause = { .tv_nsec = DRAIN_NS };
	unsigned long used = chunk_used(chunk), left;
	unsigned int tries = 0;

	while (used) {
		if (evict_all(chunk))
			tries = 0;
		else if (++tries == MOST_TRIES)
			return -ENOMEM;
		left = chunk_used(chunk);
		if (left < used)
			tries = 0;
		else
			nanosleep(&pause, NULL);
		used = left;
	}
	return 0;
}

int dmirror_remove_memory(struct uhmm_dmirror_device *device)
{
	struct chunk *chunk, *next;
	int ret = 0;

	pthread_mutex_lock(&device->lock);
	chunk = device->chunks;
	device->chunks = NULL;
	pthread_mutex_unlock(&device->lock);
	for (; chunk; chunk = next) {
		next = chunk->next;
		if (!chunk_empty(chunk)) {
			memunmap_pages(&chunk->pgmap);
			chunk_free(chunk);
			continue;
		}
		ret = -ENOMEM;
		pthread_mutex_lock(&device->lock);
		chunk->next = device->chunks;
		device->chunks = chunk;
		pthread_mutex_unlock(&device->lock);
	}
	return ret;
}
