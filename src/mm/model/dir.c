/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Sorted directories, and sparse arrays made of them. */
#include "internal.h"

#define BLOCK 16

static unsigned int place(const struct dir *dir, unsigned long key)
{
	unsigned int low = 0, high = dir->n;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (dir->entries[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct dir_entry *dir_from(const struct dir *dir, unsigned long key)
{
	unsigned int at = place(dir, key);

	return at < dir->n ? &dir->entries[at] : NULL;
}

void *dir_get(const struct dir *dir, unsigned long key)
{
	struct dir_entry *entry = dir_from(dir, key);

	return entry && entry->key == key ? entry->object : NULL;
}

int dir_put(struct arena *arena, struct dir *dir, unsigned long key,
	    void *object)
{
	unsigned int at = place(dir, key), room = dir->room;
	struct dir_entry *entries = dir->entries;

	if (dir->n == room) {
		room = room ? room * 2 : 2;
		entries = arena_alloc(arena, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		if (dir->n)
			memcpy(entries, dir->entries,
			       dir->n * sizeof(*entries));
		arena_free(arena, dir->entries, dir->room * sizeof(*entries));
		dir->entries = entries;
		dir->room = room;
	}
	memmove(entries + at + 1, entries + at,
		(dir->n - at) * sizeof(*entries));
	entries[at] = (struct dir_entry){ key, object };
	dir->n++;
	return 0;
}

void dir_take(struct dir *dir, unsigned long key)
{
	unsigned int at = place(dir, key);

	dir->n--;
	memmove(dir->entries + at, dir->entries + at + 1,
		(dir->n - at) * sizeof(*dir->entries));
}

void dir_free(struct arena *arena, struct dir *dir)
{
	arena_free(arena, dir->entries, dir->room * sizeof(*dir->entries));
	*dir = (struct dir){ 0 };
}

uint64_t sparse_get(const struct sparse *sparse, unsigned long index)
{
	uint64_t *block = dir_get(&sparse->blocks, index / BLOCK);

	return block ? block[index % BLOCK] : 0;
}

int sparse_set(struct arena *arena, struct sparse *sparse, unsigned long index,
	       uint64_t word)
{
	uint64_t *block = dir_get(&sparse->blocks, index / BLOCK);

	if (!block) {
		if (!word)
			return 0;
		block = arena_alloc(arena, BLOCK * sizeof(*block));
		if (!block || dir_put(arena, &sparse->blocks, index / BLOCK,
				      block))
			return -ENOMEM;
	}
	block[index % BLOCK] = word;
	return 0;
}

bool sparse_next(const struct sparse *sparse, unsigned long *index)
{
	struct dir_entry *entry = dir_from(&sparse->blocks, *index / BLOCK);
	struct dir_entry *end = sparse->blocks.entries + sparse->blocks.n;

	for (; entry && entry < end; entry++) {
		uint64_t *block = entry->object;
		unsigned long first = entry->key * BLOCK;

		for (unsigned long i = max_ul(first, *index);
		     i < first + BLOCK; i++)
			if (block[i % BLOCK]) {
				*index = i;
				return true;
			}
	}
	return false;
}

void sparse_free(struct arena *arena, struct sparse *sparse)
{
	for (unsigned int i = 0; i < sparse->blocks.n; i++)
		arena_free(arena, sparse->blocks.entries[i].object,
			   BLOCK * sizeof(uint64_t));
	dir_free(arena, &sparse->blocks);
}
