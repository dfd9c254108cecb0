/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Page tables of four levels. A node keeps only what is there, but begins and
 * ends where a real one would: that is what an observer can tell.
 */
#include "internal.h"

static const unsigned int level_shift[] = { 39, 30, LEAF_SHIFT };
#define LEVELS ARRAY_SIZE(level_shift)

/* The table that leaves stand in, or NULL. */
static const struct dir *table_of_leaves(const struct space *space,
					 unsigned long addr)
{
	const struct dir *dir = &space->root;

	for (unsigned int i = 0; dir && i < LEVELS - 1; i++)
		dir = dir_get(dir, addr >> level_shift[i]);
	return dir;
}

bool table_above(const struct space *space, unsigned long addr)
{
	return table_of_leaves(space, addr);
}

struct leaf *leaf_get(const struct space *space, unsigned long addr)
{
	const struct dir *dir = table_of_leaves(space, addr);

	return dir ? dir_get(dir, addr >> LEAF_SHIFT) : NULL;
}

/* One with an empty table, if there is none yet. */
struct leaf *leaf_make(struct space *space, unsigned long addr)
{
	struct arena *arena = arena_of(space);
	struct dir *dir = &space->root;
	struct leaf *leaf;

	for (unsigned int i = 0; i < LEVELS - 1; i++) {
		struct dir *next = dir_get(dir, addr >> level_shift[i]);

		if (!next) {
			next = arena_alloc(arena, sizeof(*next));
			if (!next || dir_put(arena, dir,
					     addr >> level_shift[i], next))
				return NULL;
		}
		dir = next;
	}
	leaf = dir_get(dir, addr >> LEAF_SHIFT);
	if (leaf)
		return leaf;
	leaf = arena_alloc(arena, sizeof(*leaf));
	if (leaf && dir_put(arena, dir, addr >> LEAF_SHIFT, leaf)) {
		arena_free(arena, leaf, sizeof(*leaf));
		leaf = NULL;
	}
	return leaf;
}

static struct leaf *next_below(const struct dir *dir, unsigned int level,
			       unsigned long *addr)
{
	struct dir_entry *entry = dir_from(dir, *addr >> level_shift[level]);
	struct dir_entry *end = dir->entries + dir->n;

	for (; entry && entry < end; entry++) {
		struct leaf *leaf = entry->object;

		*addr = max_ul(*addr, entry->key << level_shift[level]);
		if (level < LEVELS - 1)
			leaf = next_below(entry->object, level + 1, addr);
		if (leaf)
			return leaf;
	}
	return NULL;
}

struct leaf *leaf_next(const struct space *space, unsigned long *addr,
		       unsigned long end)
{
	struct leaf *leaf;

	if (*addr >= end)
		return NULL;
	leaf = next_below(&space->root, 0, addr);
	return *addr < end ? leaf : NULL;
}

/* With the nodes above it that get empty. */
void leaf_drop(struct space *space, unsigned long addr)
{
	struct arena *arena = arena_of(space);
	struct dir *dirs[LEVELS] = { &space->root };
	struct leaf *leaf;
	unsigned int i;

	for (i = 0; i < LEVELS - 1; i++)
		dirs[i + 1] = dir_get(dirs[i], addr >> level_shift[i]);
	leaf = dir_get(dirs[i], addr >> LEAF_SHIFT);
	for (unsigned int b = 0; b < LEAF_BLOCKS; b++)
		arena_free(arena, leaf->blocks[b],
			   LEAF_BLOCK * sizeof(uint64_t));
	arena_free(arena, leaf, sizeof(*leaf));
	dir_take(dirs[i], addr >> LEAF_SHIFT);
	while (i && !dirs[i]->n) {
		dir_free(arena, dirs[i]);
		arena_free(arena, dirs[i], sizeof(*dirs[i]));
		i--;
		dir_take(dirs[i], addr >> level_shift[i]);
	}
	if (!space->root.n)
		dir_free(arena, &space->root);
}

static unsigned int slot_in(unsigned long addr)
{
	return (addr >> PAGE_SHIFT) % LEAF_PAGES;
}

uint64_t leaf_pte(const struct leaf *leaf, unsigned long addr)
{
	unsigned int i = slot_in(addr);
	uint64_t *block = leaf->blocks[i / LEAF_BLOCK];

	if (leaf->huge)
		return pte_payload(leaf->huge) == ZERO_PFN ? leaf->huge :
			leaf->huge + ((uint64_t)i << PTE_PAYLOAD_SHIFT);
	return block ? block[i % LEAF_BLOCK] : 0;
}

int leaf_set(struct space *space, struct leaf *leaf, unsigned long addr,
	     uint64_t pte)
{
	unsigned int i = slot_in(addr), b = i / LEAF_BLOCK;
	uint64_t **block = &leaf->blocks[b];

	if (!*block) {
		if (!pte)
			return 0;
		*block = arena_alloc(arena_of(space),
				     LEAF_BLOCK * sizeof(**block));
		if (!*block)
			return -ENOMEM;
	}
	leaf->used[b] += !!pte - !!(*block)[i % LEAF_BLOCK];
	(*block)[i % LEAF_BLOCK] = pte;
	if (!leaf->used[b]) {
		arena_free(arena_of(space), *block,
			   LEAF_BLOCK * sizeof(**block));
		*block = NULL;
	}
	return 0;
}

/* The first entry of [*addr, end), in this leaf, that is not empty. */
bool leaf_next_pte(const struct leaf *leaf, unsigned long *addr,
		   unsigned long end)
{
	while (*addr < end) {
		unsigned int i = slot_in(*addr);

		if (leaf->huge)
			return true;
		if (!leaf->blocks[i / LEAF_BLOCK]) {
			*addr = (*addr | (LEAF_BLOCK * PAGE_SIZE - 1)) + 1;
			continue;
		}
		if (leaf->blocks[i / LEAF_BLOCK][i % LEAF_BLOCK])
			return true;
		*addr += PAGE_SIZE;
	}
	return false;
}

uint64_t pte_at(const struct space *space, unsigned long addr)
{
	const struct leaf *leaf = leaf_get(space, addr);

	return leaf ? leaf_pte(leaf, addr) : 0;
}

int pte_put(struct space *space, unsigned long addr, uint64_t pte)
{
	struct leaf *leaf = leaf_make(space, addr);

	return leaf ? leaf_set(space, leaf, addr, pte) : -ENOMEM;
}

/* Tables under [start, end) that nothing else in [floor, ceiling) needs. */
void tables_free(struct space *space, unsigned long start, unsigned long end,
		 unsigned long floor, unsigned long ceiling)
{
	unsigned long addr = start & LEAF_MASK, next;

	while (leaf_next(space, &addr, end)) {
		addr &= LEAF_MASK;
		next = addr + LEAF_SIZE;
		if (addr >= floor && next <= ceiling)
			leaf_drop(space, addr);
		addr = next;
	}
}
