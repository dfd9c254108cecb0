/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program's memory: what is known of each byte, and what is its heap.
 */
#ifndef EXPLORE_WORLD_H
#define EXPLORE_WORLD_H

#include "internal.h"

#pragma GCC visibility push(hidden)

/* ------------------------------------------------------------------- world.c */

/* A piece of the program's memory, with what is known of each byte of it. */
struct region {
	char *base;
	size_t size;
	size_t tracked;		/* so much of it, see world_touched() */
	char *kept;
	uint8_t *written;	/* lines */
	struct cell *cells;	/* race.c */
	uint8_t *borders;	/* race.c */
	uint8_t *kinds;		/* race.c; one for each 4 bytes */
	uint16_t *objects;	/* one for each 4 bytes; race.c knows the bytes */
	uint8_t *wide;		/* 8 bytes are accessed as one, which is one object */
};

/* The object's variables; heap and stacks. */
enum { REGION_DATA, REGION_HEAP, REGIONS };
extern struct region regions[REGIONS];

static inline struct region *region_of(const void *addr, size_t *ret_offset)
{
	for (struct region *r = regions; r < regions + REGIONS; r++) {
		size_t offset = (size_t)((const char *)addr - r->base);

		if (likely(offset < r->size)) {
			*ret_offset = offset;
			return once(r);
		}
	}
	return NULL;
}

#define LINE_BYTES 64

void world_written(struct region *region, size_t line);
bool world_verify(void);
void tls_touched(const void *addr);

/* Somebody writes here. */
static inline void world_touched(struct region *region, size_t offset,
				 size_t size)
{
	size_t line = offset / LINE_BYTES;

	if (offset >= region->tracked) {
		line = (offset - region->tracked) / STACK_SPACING;
		if (line != x.self)
			x.foreign_stacks |= 1U << line;
		return;
	}
	do {
		if (unlikely(!region->written[line]))
			world_written(region, line);
	} while (++line <= (offset + size - 1) / LINE_BYTES);
}

/* The same of an aligned word, which is in one line. */
static inline void world_touched_word(struct region *region, size_t offset)
{
	if (unlikely(offset >= region->tracked ||
		     !region->written[offset / LINE_BYTES]))
		world_touched(region, offset, 1);
}

static inline void world_touched_at(const void *addr, size_t size)
{
	size_t offset;
	struct region *region = region_of(addr, &offset);

	if (region)
		world_touched(region, offset, size);
	else
		tls_touched(addr);
}

int world_open(struct uhmm_scenario *scenario);
void world_close(void);
void world_keep(void);			/* this is where executions begin */
void world_restore(void);
uint64_t world_hash(void);
uint64_t world_hash_all(void);
bool world_is_stack(const void *addr);
bool world_is_tls(const void *addr);
bool world_is_errno(const void *addr);
void tls_switch(unsigned int from, unsigned int to);
void tls_fresh(unsigned int thread);
char *tls_of(unsigned int thread, size_t *ret_size);
void tls_keep(void);
void tls_put_back(void);
/* Copies, one behind the other: where the next one is. */
char *bytes_put(char *to, const void *from, size_t size);
const char *bytes_get(void *to, const char *from, size_t size);
/* Of states.c: all memory but stacks. */
size_t world_save(char *to);
const char *world_load(const char *from);
size_t world_save_bytes(void);

/* -------------------------------------------------------------------- heap.c */

#define HEAP_BYTES (4UL << 20)

/* Behind the heap; its lowest byte. */
static inline char *stack_of(unsigned int thread)
{
	return regions[REGION_HEAP].base + HEAP_BYTES +
	       thread * STACK_SPACING + GUARD_BYTES;
}

struct heap {
	size_t used;
	unsigned int pieces;
	unsigned int nchanges;	/* of what is freed */
	uint64_t freed_hash;	/* of what is */
};

void heap_init(char *base);
void heap_reset(void);
struct heap *heap_state(void);
void heap_put_back(const struct heap *was);
/* A bit for each 8 bytes. */
extern uint64_t heap_freed[HEAP_BYTES / 512];

static inline bool heap_is_freed(const struct region *region, size_t offset)
{
	return region == &regions[REGION_HEAP] && offset < HEAP_BYTES &&
	       heap_freed[offset / 512] >> offset / 8 % 64 & 1;
}

void heap_mark(const void *addr, size_t size, bool freed);
/* 0: not of the heap */
size_t heap_size_of(const void *memory);
const void *heap_piece(const void *addr, size_t *ret_size);
const char *heap_describe(const void *addr, char *buf, size_t size);

#pragma GCC visibility pop

#endif
