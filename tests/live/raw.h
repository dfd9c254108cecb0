/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* System calls as programs make them that have no libc, or go around it. */
#ifndef TESTS_LIVE_RAW_H
#define TESTS_LIVE_RAW_H

#include <sys/syscall.h>

#if defined(__x86_64__)
static inline long raw_call(long nr, long a, long b, long c, long d, long e,
			    long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static inline long raw_call(long nr, long a, long b, long c, long d, long e,
			    long f)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#endif

/* With fewer arguments: the rest is 0. */
#define RAW5(nr, a, b, c, d, e)                                            \
	raw_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define RAW2(nr, a, b) RAW5(nr, a, b, 0, 0, 0)
#define RAW3(nr, a, b, c) RAW5(nr, a, b, c, 0, 0)

#endif
