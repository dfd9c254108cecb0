/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The interval index beside a sorted array that nobody could get wrong. A
 * string of bytes is a history: inserts, removes, searches of every kind,
 * readers that stay while the tree changes under them, memory that runs out.
 * Whatever the bytes are, both have to say the same.
 *
 * What links this wraps sync_alloc_pages (-Wl,--wrap=sync_alloc_pages).
 */
#ifndef TESTS_FUZZ_INDEX_HISTORY_H
#define TESTS_FUZZ_INDEX_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "lib/index_write.h"

/* How two bytes become an interval; the first byte of a history. */
enum index_shape {
	SHAPE_DENSE,		/* short ones side by side, whole pages */
	SHAPE_WIDE,		/* long ones that overlap many */
	SHAPE_EQUAL,		/* four different starts */
	SHAPE_EDGES,		/* 0, ULONG_MAX and the middle, all around */
	SHAPE_NESTED,		/* powers of two, up to all there is */
	SHAPE_BYTES,		/* many in a page */
	SHAPE_FAR,		/* few pages each, all over the address space */
	SHAPES
};

/* Operations: the low three bits of a byte; two more bytes follow. */
enum index_op {
	OP_INSERT,
	OP_INSERT_TOO,
	OP_REMOVE,
	OP_REMOVE_TOO,
	OP_FIND,
	OP_FIND_ALL,		/* [0, ULONG_MAX] */
	OP_MANY,		/* inserts or removes in a row */
	OP_CIRCUMSTANCE,	/* readers come and go, memory runs out */
};

#define HISTORY_READERS 3

/* Those that this build has and this machine can do, NULL behind them. */
#define HISTORY_SEARCHES 3
extern const struct index_search *history_searches[HISTORY_SEARCHES + 1];
void history_find_searches(void);

struct entry {
	struct uhmm_interval_node node;
	unsigned long since;	/* a time, of the insert */
	unsigned long until;	/* of the remove, 0: still there */
	struct entry *next;	/* among the removed */
};

/* Somebody who began to search at some time and is not done yet. */
struct history_reader {
	bool open;
	unsigned long time;
	unsigned long version;
	struct index_node *root;
};

struct history {
	struct interval_index ix;
	const struct index_search *search[HISTORY_SEARCHES];
	unsigned int n_searches;
	struct index_finger finger;
	struct history_reader readers[HISTORY_READERS];
	struct entry **sorted;	/* by (start, order) */
	size_t n, room;
	struct entry *removed;	/* readers may still look at them */
	unsigned long time;
	enum index_shape shape;
	bool refused;		/* an insert, for want of memory */
	unsigned long recents;	/* inserts of what was inserted last */
	unsigned long asked;	/* the filter, where nothing is */
	unsigned long told;	/* and it says so */
	char problem[200];	/* empty: none */
};

/* 0, or -ENOMEM. */
int history_begin(struct history *h, enum index_shape shape);
void history_end(struct history *h);

/* The interval that two bytes stand for. */
void history_interval(enum index_shape shape, unsigned int a, unsigned int b,
		      unsigned long *start, unsigned long *last);

/* The index answers -ENOMEM, or both have it. */
int history_insert(struct history *h, unsigned long start, unsigned long last);
/* The @i-th in key order. */
void history_remove(struct history *h, size_t i);
/* All ways of searching find what the array has. */
void history_find(struct history *h, unsigned long start, unsigned long last);
/* The tree is what a tree has to be. */
void history_check_tree(struct history *h);

void history_reader_begin(struct history *h, unsigned int i);
/* He looks at last, through what he began with. */
void history_reader_end(struct history *h, unsigned int i);

/* How many allocations succeed from now on; < 0: all. */
extern long history_allocations_left;
/* Called by the next one: what another thread does while the lock is dropped. */
extern void (*history_at_allocation)(void);

/* All of it, from bytes. NULL, or what is wrong; to be read before the next. */
const char *history_run(const uint8_t *data, size_t size);

#endif
