/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What loads read, where that is what memory holds: under sc. See memory.c for
 * what it may be else.
 */
#ifndef EXPLORE_MEMORY_H
#define EXPLORE_MEMORY_H

#include <string.h>

#include "internal.h"

#pragma GCC visibility push(hidden)

/* By memory model. */
uint64_t memory_load_late(const struct op *op);
void memory_store_late(const struct op *op);
/* The old value; *@stored: did @update, of value and operand, store? */
uint64_t memory_rmw(const struct op *op, update_fn update, uint64_t arg,
		    bool *stored);
void memory_join_view(const struct object *object);
void memory_leave_view(const struct object *object);

static inline bool is_one_of(unsigned int orders, unsigned int order)
{
	return orders >> order & 1;
}

static inline bool acquires(unsigned int order)
{
	return is_one_of(1U << __ATOMIC_ACQUIRE | 1U << __ATOMIC_CONSUME |
			 1U << __ATOMIC_ACQ_REL | 1U << __ATOMIC_SEQ_CST, order);
}

static inline bool releases(unsigned int order)
{
	return is_one_of(1U << __ATOMIC_RELEASE | 1U << __ATOMIC_ACQ_REL |
			 1U << __ATOMIC_SEQ_CST, order);
}

static inline uint64_t read_bytes(const void *addr, unsigned int size)
{
	switch (size) {
	case 1:
		return *(const volatile uint8_t *)addr;
	case 2:
		return *(const volatile uint16_t *)addr;
	case 4:
		return *(const volatile uint32_t *)addr;
	default:
		return *(const volatile uint64_t *)addr;
	}
}

static inline void write_bytes(void *addr, unsigned int size, uint64_t value)
{
	memcpy(addr, &value, size);
}

static inline void change(void *addr, unsigned int size, uint64_t value,
			  uint16_t object)
{
	if (unlikely(x.yields) && read_bytes(addr, size) != value)
		object_changed(object);
	write_bytes(addr, size, value);
}

static inline const union times *released_by(const struct thread *t,
					     unsigned int order)
{
	return releases(order) ? &t->hb : &t->hb_release;
}

static inline void get_released(const struct object *object, unsigned int order)
{
	struct thread *t = self();

	times_join(acquires(order) ? &t->hb : &t->hb_acquire, &object->hb);
}

static inline uint64_t memory_load(const struct op *op, unsigned int size)
{
	if (unlikely(x.model != UHMM_MODEL_SC))
		return memory_load_late(op);
	get_released(object_touched(op), op->order);
	return read_bytes(op->addr, size);
}

static inline void store_at_once(const struct op *op, unsigned int size)
{
	object_touched(op)->hb = *released_by(self(), op->order);
	change(op->addr, size, op->value, op->touch->object);
}

static inline void memory_store(const struct op *op, unsigned int size)
{
	if (unlikely(x.model != UHMM_MODEL_SC))
		memory_store_late(op);
	else
		store_at_once(op, size);
}

/* As of a lock or a queue. */
static inline void memory_acquire_object(const struct object *object)
{
	times_join(&self()->hb, &object->hb);
	if (unlikely(x.model == UHMM_MODEL_C11))
		memory_join_view(object);
}

static inline void memory_release_object(struct object *object)
{
	times_join(&object->hb, &self()->hb);
	if (unlikely(x.model == UHMM_MODEL_C11))
		memory_leave_view(object);
}

#pragma GCC visibility pop

#endif
