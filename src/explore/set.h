/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A set of hashes.
 */
#ifndef EXPLORE_SET_H
#define EXPLORE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct set {
	uint64_t *slots;
	size_t room;
	size_t n;
	bool full;		/* no memory: nothing more goes in */
};

static inline void set_clear(struct set *set)
{
	free(set->slots);
	*set = (struct set){ 0 };
}

static inline bool set_put(uint64_t *slots, size_t room, uint64_t hash)
{
	size_t at = (size_t)(hash * 0x9e3779b97f4a7c15ULL >> 16) & (room - 1);

	for (; slots[at]; at = (at + 1) & (room - 1))
		if (slots[at] == hash)
			return false;
	slots[at] = hash;
	return true;
}

/* Looking up is a miss of the caches; of the TLB it need not be one. */
static inline uint64_t *set_alloc(size_t room)
{
	const size_t huge = 2 << 20;
	size_t size = room * sizeof(uint64_t);
	void *slots;

	if (size < huge)
		return calloc(1, size);
	slots = aligned_alloc(huge, size);
	if (!slots)
		return NULL;
	madvise(slots, size, MADV_HUGEPAGE);
	return memset(slots, 0, size);
}

static inline bool set_grow(struct set *set)
{
	size_t room = set->room ? set->room * 4 : 1 << 12;
	uint64_t *slots = set_alloc(room);

	if (!slots) {
		set->full = true;
		return false;
	}
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i])
			set_put(slots, room, set->slots[i]);
	free(set->slots);
	set->slots = slots;
	set->room = room;
	return true;
}

/* Was it new? */
static inline bool set_add(struct set *set, uint64_t hash)
{
	hash |= !hash;
	if (set->n * 2 >= set->room && !set_grow(set))
		return true;
	if (!set_put(set->slots, set->room, hash))
		return false;
	set->n++;
	return true;
}

#endif
