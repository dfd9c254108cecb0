/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Data races and the use of freed memory: each access is held against the last
 * one of each other thread, by the clocks of synchronization.
 * Idea: FastTrack, Flanagan and Freund 2009; accesses of different sizes meet
 * in pieces that no access straddles.
 */
#include "race.h"

#include "internal.h"
#include "world.h"

/*
 * A plain access belongs to the thread's next step: what it released before, be
 * it in the step just made, says nothing of it.
 */
static int16_t now_of(const struct thread *t, bool atomic)
{
	return (int16_t)(t->hb.at[x.self] + !atomic);
}

static bool ordered(unsigned int thread, int16_t time)
{
	return thread == x.self || time <= self()->hb.at[thread];
}

/* Someone whose accesses in @times are not ordered before us; -1: nobody. */
static int unordered(const union times *times)
{
	union {
		words8 v;
		uint64_t half[2];
	} later = { times->v > self()->hb.v };

	if (likely(!(later.half[0] | later.half[1])))
		return -1;
	for (unsigned int i = 0; i < x.nthreads; i++)
		if (!ordered(i, times->at[i]))
			return (int)i;
	return -1;
}

static __attribute__((noinline, cold)) void
report(int other, bool write, bool theirs, void *addr, const void *pc)
{
	char name[64];

	execution_bad(UHMM_DEFECT_RACE, pc,
		      "data race: CPU%u %s %s, CPU%d %s it, nothing orders them",
		      x.self, write ? "writes" : "reads",
		      name_of(addr, name, sizeof(name)), other,
		      theirs ? "writes" : "reads");
}

static struct cell *cell_now(struct cell *cell)
{
	if (likely(cell->epoch == x.epoch))
		return cell;
	if (x.kept)
		undo_cell(cell);
	if (cell->epoch < x.began)
		*cell = (struct cell){ 0 };
	cell->epoch = x.epoch;
	return cell;
}

static inline __attribute__((always_inline)) void
check_cell(struct cell *cell, bool write, bool atomic, bool mixed, void *addr,
	   const void *pc)
{
	int16_t now = now_of(self(), atomic);
	int other;

	cell = cell_now(cell);
	/* The usual case: nobody else was here since we were. */
	if (!atomic && ((cell->writer == x.self && cell->write_time == now) ||
			(!write && cell->read.at[x.self] == now)))
		return;
	if (unlikely(!ordered(cell->writer, cell->write_time)))
		report(cell->writer, write, true, addr, pc);
	if (mixed && !atomic) {
		other = unordered(&cell->atomic_write);
		if (unlikely(other >= 0))
			report(other, write, true, addr, pc);
	}
	if (write) {
		other = unordered(&cell->read);
		if (unlikely(other >= 0))
			report(other, write, false, addr, pc);
	}
	if (mixed && write && !atomic) {
		other = unordered(&cell->atomic_read);
		if (unlikely(other >= 0))
			report(other, write, false, addr, pc);
	}
	if (write && !atomic) {
		cell->writer = (uint8_t)x.self;
		cell->write_time = now;
	} else if (atomic) {
		(write ? &cell->atomic_write : &cell->atomic_read)->at[x.self] =
			now;
	} else {
		cell->read.at[x.self] = now;
	}
}

/* A border at @offset: what is known of the piece holds for both halves. */
static void split_piece(struct region *region, size_t offset)
{
	size_t from = offset;

	do {
		from--;
	} while (from % 8 && !(region->borders[from / 8] >> from % 8 & 1));
	checkpoints_drop();
	region->cells[offset] = region->cells[from];
	region->borders[offset / 8] |= (uint8_t)(1U << offset % 8);
}

static inline void split(struct region *region, size_t offset)
{
	unsigned int bit = offset % 8;

	if (unlikely(bit && !(region->borders[offset / 8] >> bit & 1)))
		split_piece(region, offset);
}

static bool nothing_is_kept(unsigned int kinds)
{
	return kinds == KIND_ATOMIC || kinds == KIND_READ;
}

/*
 * In all executions. The first one that accesses a word in another way is run
 * again, where nothing was kept so far.
 */
static unsigned int kinds_of(struct region *region, size_t offset, size_t size,
			     unsigned int kind)
{
	unsigned int all = 0;

	for (size_t i = offset / 4; i <= (offset + size - 1) / 4; i++) {
		if (unlikely(kind & ~(unsigned int)region->kinds[i])) {
			x.again |= nothing_is_kept(region->kinds[i]);
			region->kinds[i] |= (uint8_t)kind;
		}
		all |= region->kinds[i];
	}
	return all;
}

#define BORDER_IN_MIDDLE (1U << 4)

/* Nobody writes there. */
static inline bool is_only_read(const struct region *region, size_t offset,
				size_t size)
{
	const uint8_t *kinds = &region->kinds[offset / 4];

	if (size == 4)
		return !(offset % 4) && kinds[0] == KIND_READ;
	return size == 8 && !(offset % 8) && kinds[0] == KIND_READ &&
	       kinds[1] == KIND_READ;
}

/* What most others are: one cell's, that only plain ones have been to. */
static inline bool is_piece(const struct region *region, size_t offset,
			    size_t size)
{
	const uint8_t *kinds = &region->kinds[offset / 4];
	unsigned int borders = region->borders[offset / 8];

	/* There is one in front of each eight bytes, of which no bit is kept. */
	if (size == 4)
		return !(offset % 4) && borders == BORDER_IN_MIDDLE &&
		       kinds[0] == KIND_PLAIN;
	return size == 8 && !(offset % 8) && !borders &&
	       kinds[0] == KIND_PLAIN && kinds[1] == KIND_PLAIN;
}

static void check(struct region *region, size_t offset, size_t size, bool write,
		  bool atomic, const void *pc)
{
	unsigned int all = kinds_of(region, offset, size, atomic ? KIND_ATOMIC :
				    write ? KIND_PLAIN : KIND_READ);
	bool mixed = all & KIND_ATOMIC && all != KIND_ATOMIC;
	size_t end = offset + size, at = offset;

	if (nothing_is_kept(all))
		return;
	split(region, offset);
	split(region, end);
	while (at < end) {
		unsigned int borders = region->borders[at / 8] >> at % 8 >> 1;

		check_cell(&region->cells[at], write, atomic, mixed,
			   region->base + at, pc);
		/* Up to the next border, or the next eight bytes. */
		at += borders ? (size_t)__builtin_ctz(borders) + 1 : 8 - at % 8;
	}
}

void use_after_free(const void *addr, bool write, const void *pc)
{
	char name[64];

	execution_bad(UHMM_DEFECT_USE_AFTER_FREE, pc, "%s is %s, and was freed",
		      name_of(addr, name, sizeof(name)),
		      write ? "written" : "read");
}

static void elsewhere(void *addr, bool write, const void *pc)
{
	if (!write)
		return;
	tls_touched(addr);
	if (!world_is_tls(addr) && !world_is_errno(addr))
		execution_bad(UHMM_DEFECT_UNSUPPORTED, pc,
			      "%p is written, which is not memory of the "
			      "scenario", addr);
}

/* Of a read there is nothing to say where nobody ever writes. */
static inline bool says_nothing(const void *addr, size_t size)
{
	size_t offset;
	const struct region *region = region_of(addr, &offset);

	return likely(region) && is_only_read(region, offset, size) &&
	       !heap_is_freed(region, offset) && !x.record;
}

static inline __attribute__((always_inline)) void
plain(void *addr, size_t size, bool write, const void *pc)
{
	size_t offset;
	struct region *region = region_of(addr, &offset);

	if (unlikely(!region)) {
		elsewhere(addr, write, pc);
		return;
	}
	if (unlikely(heap_is_freed(region, offset)))
		use_after_free(addr, write, pc);
	if (write)
		world_touched(region, offset, size);
	if (unlikely(x.record && x.options->plain))
		record_row(write ? TRACE_WRITE : TRACE_READ, addr, pc);
	if (write && x.model == UHMM_MODEL_C11)
		memory_plain_write(region, offset, size);
	if (!x.races)
		return;
	if (likely(is_piece(region, offset, size)))
		check_cell(&region->cells[offset], write, false, false, addr, pc);
	else
		check(region, offset, size, write, false, pc);
}

void race_plain(void *addr, size_t size, bool write, const void *pc)
{
	plain(addr, size, write, pc);
}

static __attribute__((noinline)) void plain4(void *addr, bool write, const void *pc)
{
	plain(addr, 4, write, pc);
}

static __attribute__((noinline)) void plain8(void *addr, bool write, const void *pc)
{
	plain(addr, 8, write, pc);
}

void race_plain4(void *addr, bool write, const void *pc)
{
	if (write || !says_nothing(addr, 4))
		plain4(addr, write, pc);
}

void race_plain8(void *addr, bool write, const void *pc)
{
	if (write || !says_nothing(addr, 8))
		plain8(addr, write, pc);
}

void race_with_plain(const struct op *op, bool write)
{
	if (x.races && x.concurrent)
		check(op->region, op->offset, op->size, write, true, op->pc);
}

/* Of words that nobody ever accessed there is nothing to know. */
void race_freed(void *addr, size_t size, const void *pc)
{
	size_t offset, end, next;
	struct region *region = region_of(addr, &offset);

	if (!region || !x.races || !x.concurrent)
		return;
	for (end = offset + size; offset < end; offset = next) {
		next = (offset & ~(size_t)7) + 8;
		if (next > end)
			next = end;
		if (region->kinds[offset / 4] | region->kinds[(next - 1) / 4])
			check(region, offset, next - offset, true, false, pc);
	}
}
