/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What differs from one machine to the next: how to spin politely.
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

#endif
