/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What gcc and clang call under -fsanitize=thread: each access to memory, and
 * all atomics. Tried with gcc 12 and clang 14 and 19; nobody promises that it
 * stays so, and a name that is missing here is missing when a scenario is
 * loaded.
 */
#include "internal.h"

#include <string.h>

#include "memory.h"
#include "race.h"
#include "step.h"
#include "tsan.h"
#include "world.h"

#define PC __builtin_return_address(0)

/* --------------------------------------------------------- plain accesses */

static inline void plain(void *addr, size_t size, bool write, const void *pc)
{
	if (likely(x.inside && x.concurrent)) {
		if (size == 4)
			race_plain4(addr, write, pc);
		else if (size == 8)
			race_plain8(addr, write, pc);
		else
			race_plain(addr, size, write, pc);
	} else if (x.inside && write) {
		world_touched_at(addr, size);
	}
}

#define PLAIN(prefix, size) \
	void __tsan_##prefix##read##size(void *addr) \
	{ \
		plain(addr, size, false, PC); \
	} \
	void __tsan_##prefix##write##size(void *addr) \
	{ \
		plain(addr, size, true, PC); \
	} \
	void __tsan_##prefix##read_write##size(void *addr) \
	{ \
		plain(addr, size, false, PC); \
		plain(addr, size, true, PC); \
	}

PLAIN(, 1)
PLAIN(, 2)
PLAIN(, 4)
PLAIN(, 8)
PLAIN(, 16)
PLAIN(unaligned_, 2)
PLAIN(unaligned_, 4)
PLAIN(unaligned_, 8)
PLAIN(unaligned_, 16)
PLAIN(volatile_, 1)
PLAIN(volatile_, 2)
PLAIN(volatile_, 4)
PLAIN(volatile_, 8)
PLAIN(volatile_, 16)
PLAIN(unaligned_volatile_, 2)
PLAIN(unaligned_volatile_, 4)
PLAIN(unaligned_volatile_, 8)
PLAIN(unaligned_volatile_, 16)

void __tsan_read_range(void *addr, size_t size)
{
	if (size)
		plain(addr, size, false, PC);
}

void __tsan_write_range(void *addr, size_t size)
{
	if (size)
		plain(addr, size, true, PC);
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
	if (size) {
		plain((void *)from, size, false, PC);
		plain(to, size, true, PC);
	}
	return memcpy(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size)
{
	if (size) {
		plain((void *)from, size, false, PC);
		plain(to, size, true, PC);
	}
	return memmove(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
	if (size)
		plain(to, size, true, PC);
	return memset(to, byte, size);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc)
{
	if (unlikely(x.record))
		record_enter(pc);
}

void __tsan_func_exit(void)
{
	if (unlikely(x.record))
		record_leave();
}

/* ---------------------------------------------------------------- atomics */

static inline bool alone(void)
{
	return !x.inside || x.solo;
}

static inline bool alone_at(volatile void *addr, size_t size)
{
	if (x.inside && x.solo)
		world_touched_at((void *)addr, size);
	return alone();
}

/* As --weaken says. */
static inline unsigned int order_at(unsigned int order, const void *pc)
{
	return unlikely(x.weaken) && weaken_at(pc) ? __ATOMIC_RELAXED : order;
}

#define ORDERS_OF_LOADS (1U << __ATOMIC_RELAXED | 1U << __ATOMIC_CONSUME | \
			 1U << __ATOMIC_ACQUIRE | 1U << __ATOMIC_SEQ_CST)
#define ORDERS_OF_STORES (1U << __ATOMIC_RELAXED | 1U << __ATOMIC_RELEASE | \
			  1U << __ATOMIC_SEQ_CST)
#define ORDERS_OF_ALL ((2U << __ATOMIC_SEQ_CST) - 1)

/* What C does not define, and what compilers add to it, is not made less of. */
static inline void check_order(unsigned int orders, unsigned int order,
			       const void *pc)
{
	if (unlikely(order > __ATOMIC_SEQ_CST || !(orders >> order & 1)))
		execution_bad(UHMM_DEFECT_UNSUPPORTED, pc,
			      "an access of memory order %u", order);
}

static inline __attribute__((always_inline)) struct op *
begin(enum op_kind kind, void *addr, unsigned int size, unsigned int order,
      const void *pc)
{
	struct op *op = op_begin(kind, addr, pc);

	op->size = (uint8_t)size;
	op->order = (uint8_t)order_at(order, pc);
	op_about(op, op_place(op, addr, size), kind != OP_LOAD);
	if (unlikely(x.model == UHMM_MODEL_C11) && op->order == __ATOMIC_SEQ_CST)
		op_touch(op, OBJECT_SC, false);
	return op;
}

static inline struct trace_event *row_of(const struct op *op, enum trace_kind kind,
				  unsigned int order)
{
	struct trace_event *row;

	if (likely(!x.record))
		return &record_nowhere;
	row = record_row(kind, op->addr, op->pc);
	row->size = op->size;
	row->order = op->order;
	if (op->order != order)
		row->flags |= TRACE_WEAKENED;
	return row;
}

static inline __attribute__((always_inline)) uint64_t
load(void *addr, unsigned int size, unsigned int order, const void *pc)
{
	struct trace_event *row;
	struct op *op;
	uint64_t value;

	check_order(ORDERS_OF_LOADS, order, pc);
	op = begin(OP_LOAD, addr, size, order, pc);
	op_point();
	race_atomic(op, size, false);
	row = row_of(op, TRACE_LOAD, order);
	value = memory_load(op, size);
	row->value = value;
	op_watch(op->touch->object);
	return value;
}

uint64_t tsan_load(void *addr, unsigned int size, unsigned int order,
		   const void *pc)
{
	return load(addr, size, order, pc);
}

/* Into the buffer, of which the thread says nothing to anybody. */
static void store_late(void *addr, unsigned int size, uint64_t value,
		       unsigned int order, const void *pc)
{
	struct op *op;

	if (self()->nbuffered == MAX_BUFFERED) {
		op_begin(OP_ROOM, NULL, pc);
		op_point();
	}
	memory_step(x.self);
	op = op_begin(OP_STORE, addr, pc);
	op->size = (uint8_t)size;
	op->order = (uint8_t)order_at(order, pc);
	op->value = value;
	op->store_object = op_place(op, addr, size);
	race_atomic(op, size, true);
	row_of(op, TRACE_STORE, order)->value = value;
	memory_store_late(op);
}

static inline __attribute__((always_inline)) void
store(void *addr, unsigned int size, uint64_t value, unsigned int order,
      const void *pc)
{
	struct op *op;

	check_order(ORDERS_OF_STORES, order, pc);
	if (unlikely(x.model == UHMM_MODEL_TSO) &&
	    order_at(order, pc) != __ATOMIC_SEQ_CST) {
		store_late(addr, size, value, order, pc);
		return;
	}
	op = begin(OP_STORE, addr, size, order, pc);
	op->value = value;
	op_point();
	race_atomic(op, size, true);
	row_of(op, TRACE_STORE, order)->value = value;
	memory_store(op, size);
}

void tsan_store(void *addr, unsigned int size, uint64_t value,
		unsigned int order, const void *pc)
{
	store(addr, size, value, order, pc);
}

uint64_t tsan_rmw(void *addr, unsigned int size, update_fn update,
		  uint64_t value, uint64_t arg, unsigned int order,
		  unsigned int failure, const void *pc)
{
	struct trace_event *row;
	struct op *op;
	uint64_t old;
	bool stored;

	check_order(ORDERS_OF_ALL, order, pc);
	check_order(ORDERS_OF_LOADS, failure, pc);
	op = begin(OP_RMW, addr, size, order, pc);
	op->failure_order = (uint8_t)(op->order == order ? failure :
							   __ATOMIC_RELAXED);
	op->value = value;
	op_point();
	race_atomic(op, size, true);
	row = row_of(op, TRACE_RMW, order);
	old = memory_rmw(op, update, arg, &stored);
	op_watch(op->touch->object);
	if (likely(!x.record))
		return old;
	row->old = row->value = old;
	if (stored)
		update(&row->value, op, arg);
	else
		row->flags |= TRACE_FAILED;
	return old;
}

static uint64_t cut(uint64_t value, unsigned int size)
{
	return size == 8 ? value : value & ((1ULL << 8 * size) - 1);
}

static bool do_exchange(uint64_t *value, const struct op *op, uint64_t arg)
{
	*value = op->value;
	return true;
}

#define UPDATE(name, expression) \
	static bool do_##name(uint64_t *value, const struct op *op, \
			      uint64_t arg) \
	{ \
		*value = cut(expression, op->size); \
		return true; \
	}
UPDATE(fetch_add, *value + op->value)
UPDATE(fetch_sub, *value - op->value)
UPDATE(fetch_and, *value & op->value)
UPDATE(fetch_or, *value | op->value)
UPDATE(fetch_xor, *value ^ op->value)
UPDATE(fetch_nand, ~(*value & op->value))

static bool do_compare(uint64_t *value, const struct op *op, uint64_t arg)
{
	if (*value != arg)
		return false;
	*value = op->value;
	return true;
}

#define RMW(bits, name, alone_do) \
	uint##bits##_t __tsan_atomic##bits##_##name( \
		volatile uint##bits##_t *a, uint##bits##_t v, int order) \
	{ \
		if (alone_at(a, sizeof(*a))) \
			return alone_do(a, v, __ATOMIC_SEQ_CST); \
		return (uint##bits##_t)tsan_rmw((void *)a, bits / 8, \
			do_##name, v, 0, (unsigned int)order, \
			__ATOMIC_RELAXED, PC); \
	}

/*
 * Steps are functions of their own: the frame of one that may have none has holes,
 * and what is left over there makes states differ that do not.
 */
#define ATOMICS(bits) \
	static __attribute__((noinline)) uint64_t load##bits(void *addr, \
		unsigned int order, const void *pc) \
	{ \
		return load(addr, bits / 8, order, pc); \
	} \
	uint##bits##_t __tsan_atomic##bits##_load( \
		const volatile uint##bits##_t *a, int order) \
	{ \
		if (alone()) \
			return *a; \
		return (uint##bits##_t)load##bits((void *)(uintptr_t)a, \
			(unsigned int)order, PC); \
	} \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *a, \
					 uint##bits##_t v, int order) \
	{ \
		if (alone_at(a, sizeof(*a))) \
			*a = v; \
		else \
			store((void *)a, bits / 8, v, (unsigned int)order, PC); \
	} \
	RMW(bits, exchange, __atomic_exchange_n) \
	RMW(bits, fetch_add, __atomic_fetch_add) \
	RMW(bits, fetch_sub, __atomic_fetch_sub) \
	RMW(bits, fetch_and, __atomic_fetch_and) \
	RMW(bits, fetch_or, __atomic_fetch_or) \
	RMW(bits, fetch_xor, __atomic_fetch_xor) \
	RMW(bits, fetch_nand, __atomic_fetch_nand) \
	static inline uint##bits##_t compare##bits( \
		volatile uint##bits##_t *a, uint##bits##_t expected, \
		uint##bits##_t v, int order, int failure, const void *pc) \
	{ \
		if (alone_at(a, sizeof(*a))) { \
			__atomic_compare_exchange_n(a, &expected, v, false, \
				__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
			return expected; \
		} \
		return (uint##bits##_t)tsan_rmw((void *)a, bits / 8, \
			do_compare, v, expected, (unsigned int)order, \
			(unsigned int)failure, pc); \
	} \
	int __tsan_atomic##bits##_compare_exchange_strong( \
		volatile uint##bits##_t *a, uint##bits##_t *expected, \
		uint##bits##_t v, int order, int failure) \
	{ \
		uint##bits##_t old = compare##bits(a, *expected, v, order, \
						   failure, PC); \
		bool equal = old == *expected; \
		if (!equal) \
			*expected = old; \
		return equal; \
	} \
	int __tsan_atomic##bits##_compare_exchange_weak( \
		volatile uint##bits##_t *a, uint##bits##_t *expected, \
		uint##bits##_t v, int order, int failure) \
	{ \
		uint##bits##_t old = compare##bits(a, *expected, v, order, \
						   failure, PC); \
		bool equal = old == *expected; \
		if (!equal) \
			*expected = old; \
		return equal; \
	} \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val( \
		volatile uint##bits##_t *a, uint##bits##_t expected, \
		uint##bits##_t v, int order, int failure) \
	{ \
		return compare##bits(a, expected, v, order, failure, PC); \
	}

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)

void __tsan_atomic_thread_fence(int order)
{
	struct op *op;

	if (!alone())
		check_order(ORDERS_OF_ALL, (unsigned int)order, PC);
	if (alone() || x.model == UHMM_MODEL_SC)
		/* For data races it orders, what else is in order anyway. */
		return alone() ? (void)0 : memory_fence((unsigned int)order);
	order = (int)order_at((unsigned int)order, PC);
	if (order != __ATOMIC_SEQ_CST) {
		memory_fence((unsigned int)order);
		return;
	}
	op = op_begin(OP_FENCE, NULL, PC);
	op->order = (uint8_t)order;
	if (x.model == UHMM_MODEL_C11)
		op_touch(op, OBJECT_SC, true);
	op_point();
	record_row(TRACE_FENCE, NULL, PC)->order = (unsigned char)order;
	memory_fence((unsigned int)order);
}

/* It binds the compiler only. */
void __tsan_atomic_signal_fence(int order)
{
}
