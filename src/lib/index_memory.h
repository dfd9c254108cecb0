/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory for the nodes of the interval index, for its writers.
 */
#ifndef LIB_INDEX_MEMORY_H
#define LIB_INDEX_MEMORY_H

#include "index.h"

void index_pool_init(struct index_pool *pool, size_t size);
/* Enough for any one insert? Else index_add_chunk() what it is short of. */
bool index_room(const struct interval_index *ix) __must_hold(&ix->lock);
struct index_pool *index_short_of(struct interval_index *ix)
	__must_hold(&ix->lock);
/* 0; -ENOMEM. The lock is dropped and taken again. */
int index_add_chunk(struct interval_index *ix, struct index_pool *pool)
	__must_hold(&ix->lock);
/* A node of a pool that has one. */
struct index_node *index_take(struct index_pool *pool);
/* @node was replaced: to be used again when no search can look at it. */
void index_retire(struct interval_index *ix, struct index_node *node)
	__must_hold(&ix->lock);

/* With nothing in it. */
struct index_node *index_new_leaf(struct interval_index *ix,
				  unsigned long scale) __must_hold(&ix->lock);

#endif
