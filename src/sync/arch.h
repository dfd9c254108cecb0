/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What differs from one machine to the next: how to spin politely, and what a
 * store with a full fence behind it is.
 */
#ifndef SYNC_ARCH_H
#define SYNC_ARCH_H

static inline void arch_cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/*
 * See smp_store_before_mb(). A locked instruction is a full fence, and the
 * exchange needs no line but that of the word: "lock or" on the stack, which
 * compilers make of a fence, holds up what is read from there next.
 */
#if defined(__x86_64__)
#define arch_store_before_mb(p, v) ((void)0)
#define arch_mb_after_store(p, v) \
	((void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#else
#define arch_store_before_mb(p, v) \
	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define arch_mb_after_store(p, v) __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

#endif
