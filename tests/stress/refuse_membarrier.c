/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "refuse_membarrier.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

bool refuse_membarrier;

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	long arg[6];
	va_list args;

	if (number == SYS_membarrier && refuse_membarrier) {
		errno = ENOSYS;
		return -1;
	}
	va_start(args, number);
	for (unsigned int i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4],
			      arg[5]);
}
