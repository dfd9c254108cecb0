/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program's heap. Memory that is freed is not handed out again in the same
 * execution, so that each use of it is seen. All is zero when it is new, as it was
 * when the execution began.
 */
#include "internal.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

/* In front of each piece. */
struct piece {
	size_t size;
	unsigned int number;
	unsigned int freed;
};

#define MAX_CHANGES 32768

static char *base;
static struct heap heap;
uint64_t heap_freed[HEAP_BYTES / 512];
/* What was there before, in the order in which it changed. */
static struct {
	size_t at;
	uint64_t was;
} changes[MAX_CHANGES];

/* Where the pieces are; so it was when changed was @as_of. */
static struct {
	uint64_t as_of;
	unsigned int n;
	uint32_t at[HEAP_BYTES / (2 * sizeof(struct piece))];
} pieces;
static uint64_t changed = 1;

void heap_init(char *at)
{
	base = at;
	heap_reset();
}

void heap_reset(void)
{
	changed++;
	heap = (struct heap){ 0 };
	memset(heap_freed, 0, sizeof(heap_freed));
}

struct heap *heap_state(void)
{
	return &heap;
}

/* As it was when heap_state() was that. */
void heap_put_back(const struct heap *was)
{
	while (heap.nchanges > was->nchanges) {
		heap.nchanges--;
		heap_freed[changes[heap.nchanges].at] = changes[heap.nchanges].was;
	}
	changed++;
	heap = *was;
}

static void change(size_t at, uint64_t value)
{
	if (heap_freed[at] == value)
		return;
	if (heap.nchanges == MAX_CHANGES)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, NULL,
			      "too much memory is freed");
	changes[heap.nchanges].at = at;
	changes[heap.nchanges++].was = heap_freed[at];
	heap.freed_hash += mix(at ^ value) - mix(at ^ heap_freed[at]);
	heap_freed[at] = value;
}

void heap_mark(const void *addr, size_t size, bool is_freed)
{
	size_t from = ((size_t)((const char *)addr - base) + 7) / 8;
	size_t to = ((size_t)((const char *)addr - base) + size) / 8;

	while (from < to) {
		size_t at = from / 64, n = 64 - from % 64;
		uint64_t bits = ~0ULL << from % 64;

		if (n > to - from)
			bits &= ~0ULL >> (n - (to - from));
		change(at, is_freed ? heap_freed[at] | bits : heap_freed[at] & ~bits);
		from += n;
	}
}

size_t heap_size_of(const void *memory)
{
	size_t offset = (size_t)((const char *)memory - base);

	if (offset >= HEAP_BYTES || offset < sizeof(struct piece))
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
	if (size > HEAP_BYTES || at + size + 16 > HEAP_BYTES)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, NULL,
			      "more than %lu bytes of heap are used",
			      HEAP_BYTES);
	world_touched_at(base + at - sizeof(*piece), sizeof(*piece));
	heap_mark(base + at, size, false);
	piece = (struct piece *)(void *)(base + at) - 1;
	piece->size = size ? size : 1;
	piece->number = ++heap.pieces;
	piece->freed = 0;
	changed++;
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

/* They lie one behind the other, each behind its head. */
static void find_pieces(void)
{
	const struct piece *piece;
	size_t at = 0;

	pieces.n = 0;
	pieces.as_of = changed;
	for (; pieces.n < heap.pieces && at < heap.used; at += 16) {
		piece = (const struct piece *)(const void *)(base + at);
		if (piece->number != pieces.n + 1 || !piece->size ||
		    at + sizeof(*piece) + piece->size > heap.used)
			continue;
		pieces.at[pieces.n++] = (uint32_t)at;
		at += sizeof(*piece) + piece->size - 1;
		at &= ~(size_t)15;
	}
}

/* NULL: in none. */
static const struct piece *piece_of(const void *addr)
{
	size_t offset = (size_t)((const char *)addr - base), low = 0, high;
	const struct piece *piece;

	if (offset >= heap.used)
		return NULL;
	if (pieces.as_of != changed)
		find_pieces();
	for (high = pieces.n; low < high;) {
		size_t middle = (low + high) / 2;

		if (pieces.at[middle] + sizeof(*piece) <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	piece = (const struct piece *)(const void *)(base + pieces.at[low - 1]);
	return offset - pieces.at[low - 1] - sizeof(*piece) < piece->size ?
		       piece : NULL;
}

const void *heap_piece(const void *addr, size_t *ret_size)
{
	const struct piece *piece = piece_of(addr);

	*ret_size = piece ? piece->size : 0;
	return piece ? piece + 1 : NULL;
}

/* "heap[3]+8", for one that has no name. */
const char *heap_describe(const void *addr, char *buf, size_t size)
{
	size_t offset = (size_t)((const char *)addr - base);
	const struct piece *piece;

	if (offset >= heap.used)
		return NULL;
	piece = piece_of(addr);
	if (!piece)
		snprintf(buf, size, "heap+0x%zx", offset);
	else if (addr == piece + 1)
		snprintf(buf, size, "heap[%u]", piece->number);
	else
		snprintf(buf, size, "heap[%u]+%zu", piece->number,
			 (size_t)((const char *)addr -
				  (const char *)(piece + 1)));
	return buf;
}
