/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory of a machine's state: chunks that never move, so that pointers in
 * them stay good when a snapshot is copied back over them.
 */
#include "internal.h"

#include <stdlib.h>

#define CHUNK_FIRST ((size_t)4096)
#define CHUNK_LARGEST ((size_t)1 << 20)

/**
 * struct arena_chunk - bytes handed out from the start on
 * @bytes: the memory
 * @size: how many
 * @used: how many are handed out
 */
struct arena_chunk {
	unsigned char *bytes;
	size_t size;
	size_t used;
};

/* Classes: 16, 32, 48 ... 128, then powers of two. */
static unsigned int class_of(size_t size, size_t *ret_size)
{
	unsigned int class = 7;

	if (size <= 128) {
		*ret_size = (size + 15) & ~(size_t)15;
		return *ret_size / 16 - 1;
	}
	*ret_size = 128;
	while (*ret_size < size) {
		*ret_size *= 2;
		class++;
	}
	return class;
}

static bool chunk_new(struct arena *arena, size_t at_least)
{
	size_t n = arena->state.nchunks, size = CHUNK_FIRST;
	struct arena_chunk *chunks;

	/* One that a restored state does not use any more. */
	while (n < arena->nchunks) {
		if (arena->chunks[n].size >= at_least)
			goto out;
		n++;
	}
	while (size < CHUNK_LARGEST && size < CHUNK_FIRST << (n / 4))
		size *= 2;
	if (size < at_least)
		size = at_least;
	chunks = realloc(arena->chunks, (n + 1) * sizeof(*chunks));
	if (!chunks)
		return false;
	arena->chunks = chunks;
	chunks[n].bytes = aligned_alloc(16, size);
	if (!chunks[n].bytes)
		return false;
	chunks[n].size = size;
	arena->nchunks = n + 1;
out:
	while (arena->state.nchunks < n)
		arena->chunks[arena->state.nchunks++].used = 0;
	arena->chunks[n].used = 0;
	arena->state.nchunks = n + 1;
	return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk;
	unsigned int class = class_of(size, &size);
	void *object = arena->state.free[class];

	if (object) {
		memcpy(&arena->state.free[class], object, sizeof(void *));
		goto out;
	}
	chunk = arena->state.nchunks ?
			&arena->chunks[arena->state.nchunks - 1] : NULL;
	if (!chunk || chunk->size - chunk->used < size) {
		if (!chunk_new(arena, size))
			return NULL;
		chunk = &arena->chunks[arena->state.nchunks - 1];
	}
	object = chunk->bytes + chunk->used;
	chunk->used += size;
out:
	arena->state.live += size;
	return memset(object, 0, size);
}

void arena_free(struct arena *arena, void *object, size_t size)
{
	unsigned int class = class_of(size, &size);

	if (!object)
		return;
	memcpy(object, &arena->state.free[class], sizeof(void *));
	arena->state.free[class] = object;
	arena->state.live -= size;
}

void arena_destroy(struct arena *arena)
{
	for (size_t i = 0; i < arena->nchunks; i++)
		free(arena->chunks[i].bytes);
	free(arena->chunks);
}

/* --------------------------------------------------------------- snapshots */

struct arena_image {
	struct arena_state state;
	size_t size;
	size_t *used;		/* of each chunk */
	unsigned char bytes[];
};

struct arena_image *arena_save(const struct arena *arena)
{
	struct arena_image *image;
	size_t size = 0, at = 0;

	for (size_t i = 0; i < arena->state.nchunks; i++)
		size += arena->chunks[i].used;
	image = malloc(sizeof(*image) + size);
	if (!image)
		return NULL;
	image->used = calloc(arena->state.nchunks + 1, sizeof(*image->used));
	if (!image->used) {
		free(image);
		return NULL;
	}
	image->state = arena->state;
	image->size = size;
	for (size_t i = 0; i < arena->state.nchunks; i++) {
		const struct arena_chunk *chunk = &arena->chunks[i];

		memcpy(image->bytes + at, chunk->bytes, chunk->used);
		image->used[i] = chunk->used;
		at += chunk->used;
	}
	return image;
}

void arena_load(struct arena *arena, const struct arena_image *image)
{
	size_t at = 0;

	arena->state = image->state;
	for (size_t i = 0; i < arena->state.nchunks; i++) {
		struct arena_chunk *chunk = &arena->chunks[i];

		chunk->used = image->used[i];
		memcpy(chunk->bytes, image->bytes + at, chunk->used);
		at += chunk->used;
	}
}

void arena_image_free(struct arena_image *image)
{
	free(image->used);
	free(image);
}
