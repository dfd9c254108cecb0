/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a program can do as long as it has one thread, and could not any more with
 * those of the device beside it. A user namespace is refused to who has several, and
 * so are some that are entered. Privileges are each thread's own: libc changes the
 * user in all threads, and ends the process where one may and another may not, as is
 * so when one has kept privileges, or given some up, by itself.
 */
/* Not <sched.h>: there the functions are others'. */
#include "alone.h"

#include <errno.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int unshare(int flags);
EXPORT int setns(int fd, int kind);
EXPORT int capset(void *header, const void *data);

void (*alone_before)(const char *what);

void alone_look(long nr, unsigned long a, unsigned long b)
{
	int saved = errno;

	if (!alone_before)
		return;
	if (nr == SYS_setns || (nr == SYS_unshare && a & CLONE_NEWUSER))
		alone_before("entered another namespace");
	else if (nr == SYS_capset || (nr == SYS_prctl && a == PR_SET_KEEPCAPS && b))
		alone_before("changed privileges of one thread");
	errno = saved;
}

/* In libc they are the system calls and nothing else. */
int unshare(int flags)
{
	return (int)syscall(SYS_unshare, flags);
}

int setns(int fd, int kind)
{
	return (int)syscall(SYS_setns, fd, kind);
}

int capset(void *header, const void *data)
{
	return (int)syscall(SYS_capset, header, data);
}
