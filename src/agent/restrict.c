/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The two functions by which a program restricts its own system calls. The patches
 * see them as well; without these, at G0, nobody else does. What they are given goes
 * on to libc as it came, without a frame of ours, so that who called is who it was.
 */
/* Not <unistd.h> and <sys/prctl.h>: there they take any number of arguments. */
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "../mm/live/patch.h"
#include "alone.h"

#define EXPORT __attribute__((visibility("default")))

typedef long (*syscall_fn)(long nr, unsigned long a, unsigned long b,
			   unsigned long c, unsigned long d, unsigned long e,
			   unsigned long f);
typedef int (*prctl_fn)(int what, unsigned long a, unsigned long b,
			unsigned long c, unsigned long d);

static long no_syscall(long nr, unsigned long a, unsigned long b,
		       unsigned long c, unsigned long d, unsigned long e,
		       unsigned long f)
{
	errno = ENOSYS;
	return -1;
}

static int no_prctl(int what, unsigned long a, unsigned long b, unsigned long c,
		    unsigned long d)
{
	errno = ENOSYS;
	return -1;
}

static syscall_fn next_syscall;
static prctl_fn next_prctl;

/* Whoever is first: a constructor of the program's may come before ours. */
static __attribute__((constructor(101), noinline)) void find_next(void)
{
	syscall_fn call = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
	prctl_fn control = (prctl_fn)dlsym(RTLD_NEXT, "prctl");

	next_syscall = call ? call : no_syscall;
	next_prctl = control ? control : no_prctl;
}

static __attribute__((noinline)) void look(long nr, unsigned long a,
					   unsigned long b, unsigned long c)
{
	const unsigned long args[6] = { a, b, c };

	alone_look(nr, a, b);
	live_is_restricted(nr, args);
}

EXPORT long syscall(long nr, unsigned long a, unsigned long b, unsigned long c,
		    unsigned long d, unsigned long e, unsigned long f);
EXPORT int prctl(int what, unsigned long a, unsigned long b, unsigned long c,
		 unsigned long d);

long syscall(long nr, unsigned long a, unsigned long b, unsigned long c,
	     unsigned long d, unsigned long e, unsigned long f)
{
	if (!next_syscall)
		find_next();
	switch (nr) {
	case SYS_seccomp:
	case SYS_prctl:
	case SYS_capset:
	case SYS_setns:
	case SYS_unshare:
		look(nr, a, b, c);
	}
	return next_syscall(nr, a, b, c, d, e, f);
}

int prctl(int what, unsigned long a, unsigned long b, unsigned long c,
	  unsigned long d)
{
	if (!next_prctl)
		find_next();
	look(SYS_prctl, (unsigned long)what, a, b);
	return next_prctl(what, a, b, c, d);
}
