/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How a step is announced: which it is, and which objects it touches.
 */
#ifndef EXPLORE_STEP_H
#define EXPLORE_STEP_H

#include "world.h"

#pragma GCC visibility push(hidden)

/*
 * Where the step is, which is looked up once; and the object there. Words of four
 * bytes are objects of their own, unless somebody accesses eight at once. That is
 * learnt once, and the search begins anew.
 */
static inline __attribute__((always_inline)) uint16_t
op_place(struct op *op, const void *addr, unsigned int size)
{
	struct region *region = region_of(addr, &op->offset);
	uint16_t number = 0;

	op->region = region;
	if (likely(region && !(op->offset & (size - 1)) &&
		   (size < 8 || region->wide[op->offset / 8])))
		number = region->objects[op->offset / 4];
	return likely(number) ? number : object_of_new(addr, size);
}

/* The first that it touches. */
static inline void op_about(struct op *op, uint16_t object, bool write)
{
	op->touch[0].object = object;
	op->touch[0].write = write;
	op->ntouch = 1;
}

static inline void op_touch(struct op *op, uint16_t object, bool write)
{
	op->touch[op->ntouch].object = object;
	op->touch[op->ntouch++].write = write;
}

/* All others are always possible. */
#define WAITING_KINDS (1U << OP_LOCK | 1U << OP_READ_LOCK | 1U << OP_SLEEP | \
		       1U << OP_JOIN | 1U << OP_MEMBARRIER | 1U << OP_ROOM | \
		       1U << OP_YIELD)

/*
 * The next step of this thread, of which objects and more are said yet: the one
 * that it is about comes first.
 */
static inline __attribute__((always_inline)) struct op *
op_begin(enum op_kind kind, void *addr, const void *pc)
{
	struct thread *t = self();
	struct op *op = &t->op;
	unsigned int me = 1U << x.self;

	if (WAITING_KINDS >> kind & 1 || (t->twin && t->nsteps < 2))
		x.waits |= me;
	else
		x.waits &= ~me;
	op->kind = (uint8_t)kind;
	op->ntouch = 0;
	op->order = 0;
	op->size = 0;
	op->addr = addr;
	op->value = 0;
	op->pc = pc;
	return op;
}

#pragma GCC visibility pop

#endif
