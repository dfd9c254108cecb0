/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program's heap. Memory that is freed is not handed out again in the same
 * execution, so that each use of it is seen. All is zero when it is new, as it was
 * when the execution began.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

/* In front of each piece. */
struct piece {
	size_t size;
	unsigned int number;
	unsigned int freed;
};

#define HEAP_MAX (1UL << 20)

static char *base;
static size_t room;
static struct heap heap;
/* A bit for each 8 bytes. */
static uint8_t freed[HEAP_MAX / 64];

void heap_init(char *at, size_t size)
{
	base = at;
	room = size;
	heap_reset();
}

void heap_reset(void)
{
	heap.used = 0;
	heap.pieces = 0;
	memset(freed, 0, sizeof(freed));
}

struct heap *heap_state(void)
{
	return &heap;
}

uint8_t *heap_freed_map(size_t *ret_size)
{
	*ret_size = sizeof(freed);
	return freed;
}

void heap_mark(const void *addr, size_t size, bool is_freed)
{
	size_t from = ((size_t)((const char *)addr - base) + 7) / 8;
	size_t to = ((size_t)((const char *)addr - base) + size) / 8;

	for (; from < to; from++) {
		if (is_freed)
			freed[from / 8] |= (uint8_t)(1U << from % 8);
		else
			freed[from / 8] &= (uint8_t)~(1U << from % 8);
	}
}

bool heap_is_freed(const void *addr, size_t size)
{
	size_t offset = (size_t)((const char *)addr - base);

	return offset < room && freed[offset / 64] >> offset / 8 % 8 & 1;
}

size_t heap_size_of(const void *memory)
{
	size_t offset = (size_t)((const char *)memory - base);

	if (offset >= room || offset < sizeof(struct piece))
		return 0;
	return ((const struct piece *)memory)[-1].size;
}

void *explore_alloc(size_t size, size_t align)
{
	size_t at = heap.used + sizeof(struct piece);
	struct piece *piece;

	if (align < 16)
		align = 16;
	at = (at + align - 1) & ~(align - 1);
	if (size > room || at + size + 16 > room)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, NULL,
			      "more than %zu bytes of heap are used", room);
	world_touched_at(base + at - sizeof(*piece), sizeof(*piece));
	heap_mark(base + at, size, false);
	piece = (struct piece *)(void *)(base + at) - 1;
	piece->size = size ? size : 1;
	piece->number = ++heap.pieces;
	piece->freed = 0;
	heap.used = (at + (size ? size : 1) + 15) & ~(size_t)15;
	return base + at;
}

void explore_free(void *memory)
{
	const void *pc = __builtin_return_address(0);
	struct piece *piece = memory;

	if (!memory)
		return;
	if (!heap_size_of(memory))
		execution_bad(UHMM_DEFECT_USE_AFTER_FREE, pc,
			      "%p is freed, and was not allocated", memory);
	piece--;
	if (piece->freed)
		execution_bad(UHMM_DEFECT_USE_AFTER_FREE, pc,
			      "memory is freed twice");
	race_freed(memory, piece->size, pc);
	world_touched_at(piece, sizeof(*piece));
	piece->freed = 1;
	heap_mark(memory, piece->size + 7, true);
	record_row(TRACE_FREE, memory, pc);
}

/* "heap[3]+8", for one that has no name. */
const char *heap_describe(const void *addr, char *buf, size_t size)
{
	size_t offset = (size_t)((const char *)addr - base), at = 0;
	const struct piece *piece;

	if (offset >= heap.used)
		return NULL;
	snprintf(buf, size, "heap+0x%zx", offset);
	/* Pieces lie one behind the other, each behind its head. */
	for (unsigned int n = 1; n <= heap.pieces && at < heap.used; at += 16) {
		piece = (const struct piece *)(const void *)(base + at);
		if (piece->number != n || !piece->size ||
		    at + sizeof(*piece) + piece->size > heap.used)
			continue;
		at += sizeof(*piece);
		if (offset >= at && offset < at + piece->size) {
			snprintf(buf, size, offset == at ? "heap[%u]" :
				 "heap[%u]+%zu", n, offset - at);
			break;
		}
		at = (at + piece->size + 15) & ~(size_t)15;
		at -= 16;
		n++;
	}
	return buf;
}
