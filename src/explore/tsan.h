/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The compiler knows these, no header does.
 */
#ifndef EXPLORE_TSAN_H
#define EXPLORE_TSAN_H

#include <stddef.h>
#include <stdint.h>

#define TSAN_PLAIN(prefix, size) \
	void __tsan_##prefix##read##size(void *addr); \
	void __tsan_##prefix##write##size(void *addr); \
	void __tsan_##prefix##read_write##size(void *addr);

TSAN_PLAIN(, 1)
TSAN_PLAIN(, 2)
TSAN_PLAIN(, 4)
TSAN_PLAIN(, 8)
TSAN_PLAIN(, 16)
TSAN_PLAIN(unaligned_, 2)
TSAN_PLAIN(unaligned_, 4)
TSAN_PLAIN(unaligned_, 8)
TSAN_PLAIN(unaligned_, 16)
TSAN_PLAIN(volatile_, 1)
TSAN_PLAIN(volatile_, 2)
TSAN_PLAIN(volatile_, 4)
TSAN_PLAIN(volatile_, 8)
TSAN_PLAIN(volatile_, 16)
TSAN_PLAIN(unaligned_volatile_, 2)
TSAN_PLAIN(unaligned_volatile_, 4)
TSAN_PLAIN(unaligned_volatile_, 8)
TSAN_PLAIN(unaligned_volatile_, 16)
#undef TSAN_PLAIN

void __tsan_read_range(void *addr, size_t size);
void __tsan_write_range(void *addr, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int byte, size_t size);
void __tsan_init(void);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);

#define TSAN_RMW(bits, name) \
	uint##bits##_t __tsan_atomic##bits##_##name( \
		volatile uint##bits##_t *a, uint##bits##_t v, int order);
#define TSAN_ATOMICS(bits) \
	uint##bits##_t __tsan_atomic##bits##_load( \
		const volatile uint##bits##_t *a, int order); \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *a, \
					 uint##bits##_t v, int order); \
	TSAN_RMW(bits, exchange) \
	TSAN_RMW(bits, fetch_add) \
	TSAN_RMW(bits, fetch_sub) \
	TSAN_RMW(bits, fetch_and) \
	TSAN_RMW(bits, fetch_or) \
	TSAN_RMW(bits, fetch_xor) \
	TSAN_RMW(bits, fetch_nand) \
	int __tsan_atomic##bits##_compare_exchange_strong( \
		volatile uint##bits##_t *a, uint##bits##_t *expected, \
		uint##bits##_t v, int order, int failure); \
	int __tsan_atomic##bits##_compare_exchange_weak( \
		volatile uint##bits##_t *a, uint##bits##_t *expected, \
		uint##bits##_t v, int order, int failure); \
	uint##bits##_t __tsan_atomic##bits##_compare_exchange_val( \
		volatile uint##bits##_t *a, uint##bits##_t expected, \
		uint##bits##_t v, int order, int failure);

TSAN_ATOMICS(8)
TSAN_ATOMICS(16)
TSAN_ATOMICS(32)
TSAN_ATOMICS(64)
#undef TSAN_RMW
#undef TSAN_ATOMICS

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_signal_fence(int order);

#endif
