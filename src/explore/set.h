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

static inline bool set_grow(struct set *set)
{
	size_t room = set->room ? set->room * 4 : 1 << 12;
	uint64_t *slots = calloc(room, sizeof(*slots));

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
