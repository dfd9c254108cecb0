/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What differs from one machine to the next: how to spin politely, what a store
 * with a full fence behind it is, and how to call the kernel without a function.
 */
#ifndef SYNC_ARCH_H
#define SYNC_ARCH_H

#include <errno.h>
#include <unistd.h>

/* ThreadSanitizer sees no assembler: gcc says so by a name, clang by a feature. */
#if defined(__SANITIZE_THREAD__)
#define ARCH_SEEN_BY_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ARCH_SEEN_BY_TSAN 1
#endif
#endif

/* See words.h: it is to see words, not vectors of them. */
#ifdef ARCH_SEEN_BY_TSAN
#define ARCH_SINGLE_WORDS true
#else
#define ARCH_SINGLE_WORDS false
#endif

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
 * compilers make of a fence, holds up what is read from there next. An exchange
 * acquires, too, which others do not: ThreadSanitizer is to look at what they do.
 */
#if defined(__x86_64__) && !defined(ARCH_SEEN_BY_TSAN)
#define arch_store_before_mb(p, v) ((void)0)
#define arch_mb_after_store(p, v) \
	((void)__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))
#else
#define arch_store_before_mb(p, v) \
	__atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define arch_mb_after_store(p, v) __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* See smp_mb__after_atomic(). */
#if defined(__x86_64__)
#define arch_mb_after_atomic() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define arch_mb_after_atomic() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/*
 * See word_is(), word_choose() and count_one(). Of an atomic read or write compilers make an
 * instruction of its own, and of two conditions in a row one, by more of them;
 * ThreadSanitizer is to see all reads and writes.
 */
#if defined(__x86_64__) && !defined(ARCH_SEEN_BY_TSAN)
#define arch_word_is(p, v) \
	({ \
		__label__ not; \
		_Bool is = 1; \
\
		if (sizeof(*(p)) == 1) \
			__asm__ goto("cmpb %b1, %0\n\tjne %l[not]" \
				     : \
				     : "m"(*(p)), "qi"(v) \
				     : "cc" \
				     : not); \
		else \
			__asm__ goto("cmpq %1, %0\n\tjne %l[not]" \
				     : \
				     : "m"(*(p)), "re"(v) \
				     : "cc" \
				     : not); \
		if (0) \
not: \
			is = 0; \
		is; \
	})

static inline __attribute__((always_inline)) void *
arch_word_choose(const unsigned long *p, unsigned long v, void *same,
		 void *other)
{
	__asm__("cmpq %2, %1\n\tcmovne %3, %0"
		: "+r"(same)
		: "m"(*p), "re"(v), "r"(other)
		: "cc");
	return same;
}

static inline __attribute__((always_inline)) void arch_count_one(unsigned long *p)
{
	__asm__ volatile("addq $1, %0" : "+m"(*p) : : "cc");
}
#else
#define arch_word_is(p, v) (__atomic_load_n((p), __ATOMIC_RELAXED) == (v))
#define arch_word_choose(p, v, same, other) \
	(__builtin_expect_with_probability(arch_word_is(p, v), 1, 0.5) ? \
		 (void *)(same) : (void *)(other))
#define arch_count_one(p) \
	__atomic_store_n((p), __atomic_load_n((p), __ATOMIC_RELAXED) + 1, \
			 __ATOMIC_RELAXED)
#endif

/*
 * A system call where it stands; what it returns, or -errno. The first return behind
 * one, from a function that was called before it, can take as long as another: what
 * returns are foretold by is full of the kernel's.
 */
static inline __attribute__((always_inline)) long
arch_syscall3(long nr, long a, long b, long c)
{
	long ret;

#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
#else
	ret = syscall(nr, a, b, c);
	ret = ret == -1 ? -errno : ret;
#endif
	return ret;
}

#endif
