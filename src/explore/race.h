/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef EXPLORE_RACE_H
#define EXPLORE_RACE_H

#include "clock.h"
#include "world.h"

/*
 * The last accesses to a piece of memory, by the time of their thread; of the
 * piece that begins at a byte, if it is a border. All zero: none.
 */
struct cell {
	uint64_t epoch;
	int16_t write_time;
	uint8_t writer;
	union times read, atomic_read, atomic_write;
};

/*
 * How a word was ever accessed while there were threads, in &region.kinds. Of one
 * that is only read, or only accessed as an atomic, nothing is kept.
 */
enum { KIND_ATOMIC = 1, KIND_READ = 2, KIND_PLAIN = KIND_READ | 4 };

#pragma GCC visibility push(hidden)

void race_with_plain(const struct op *op, bool write);
void use_after_free(const void *addr, bool write, const void *pc)
	__attribute__((noreturn));

/*
 * An atomic access, or of a lock. Nothing is kept of words that are only ever
 * accessed so, in all executions: most are.
 */
static inline void race_atomic(const struct op *op, unsigned int size, bool write)
{
	const uint8_t *kinds = &op->region->kinds[op->offset / 4];

	if (unlikely(heap_is_freed(op->region, op->offset)))
		use_after_free(op->addr, write, op->pc);
	if (write)
		world_touched_word(op->region, op->offset);
	if (unlikely(kinds[0] != KIND_ATOMIC ||
		     (size == 8 && kinds[1] != KIND_ATOMIC)))
		race_with_plain(op, write);
}

#pragma GCC visibility pop

#endif
