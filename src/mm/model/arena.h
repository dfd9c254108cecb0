/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Where a machine's state lies, and how it is found there by number. */
#ifndef MM_MODEL_ARENA_H
#define MM_MODEL_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_CLASSES 24

/**
 * struct arena_state - what of the arena a snapshot covers
 * @free: objects given back, by class of size
 * @nchunks: chunks in use
 * @used: bytes used of the last of them
 * @live: bytes handed out and not given back
 * @root: the machine
 */
struct arena_state {
	void *free[ARENA_CLASSES];
	size_t nchunks;
	size_t used;
	size_t live;
	void *root;
};

struct arena {
	struct arena_state state;
	struct arena_chunk *chunks;
	size_t nchunks;
};

struct arena_image;

/* Zeroed; NULL: no memory. */
void *arena_alloc(struct arena *arena, size_t size);
void arena_free(struct arena *arena, void *object, size_t size);
void arena_destroy(struct arena *arena);
struct arena_image *arena_save(const struct arena *arena);
void arena_load(struct arena *arena, const struct arena_image *image);
void arena_image_free(struct arena_image *image);

/* --------------------------------------------------- directories, by key */

struct dir_entry {
	unsigned long key;
	void *object;
};

/* Sorted by key. */
struct dir {
	unsigned int n;
	unsigned int room;
	struct dir_entry *entries;
};

void *dir_get(const struct dir *dir, unsigned long key);
/* The first with a key of at least @key. */
struct dir_entry *dir_from(const struct dir *dir, unsigned long key);
int dir_put(struct arena *arena, struct dir *dir, unsigned long key,
	    void *object);
void dir_take(struct dir *dir, unsigned long key);
void dir_free(struct arena *arena, struct dir *dir);

/* Words by index, most of them 0. */
struct sparse {
	struct dir blocks;
};

uint64_t sparse_get(const struct sparse *sparse, unsigned long index);
int sparse_set(struct arena *arena, struct sparse *sparse, unsigned long index,
	       uint64_t word);
/* The first index of at least @index whose word is not 0; false: none. */
bool sparse_next(const struct sparse *sparse, unsigned long *index);
void sparse_free(struct arena *arena, struct sparse *sparse);

#endif
