/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Memory, time and the end of the program, as posix.c; and what is unknown.
 */
#include "posix.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"
#include "tsan.h"
#include "world.h"

#define PC __builtin_return_address(0)
#define NSEC_PER_SEC 1000000000LL

/* --------------------------------------------------------------------- memory */

void *W(malloc)(size_t size)
{
	return x.inside ? explore_alloc(size, 16) : malloc(size);
}

void *W(calloc)(size_t n, size_t size)
{
	size_t bytes;

	if (!x.inside)
		return calloc(n, size);
	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return explore_alloc(bytes, 16);
}

void *W(realloc)(void *memory, size_t size)
{
	size_t old = x.inside && memory ? heap_size_of(memory) : 0;
	void *new;

	if (!x.inside)
		return realloc(memory, size);
	new = explore_alloc(size, 16);
	if (memory) {
		memcpy(new, memory, old < size ? old : size);
		explore_free(memory);
	}
	return new;
}

void W(free)(void *memory)
{
	if (!x.inside)
		free(memory);
	else
		explore_free(memory);
}

void *W(aligned_alloc)(size_t align, size_t size)
{
	return x.inside ? explore_alloc(size, align) :
			  aligned_alloc(align, size);
}

int W(posix_memalign)(void **ret, size_t align, size_t size)
{
	if (!x.inside)
		return posix_memalign(ret, align, size);
	*ret = explore_alloc(size, align);
	return 0;
}

char *W(strdup)(const char *text)
{
	size_t size = strlen(text) + 1;

	if (!x.inside)
		return strdup(text);
	return memcpy(explore_alloc(size, 16), text, size);
}

void *W(memcpy)(void *to, const void *from, size_t size)
{
	return __tsan_memcpy(to, from, size);
}

void *W(memmove)(void *to, const void *from, size_t size)
{
	return __tsan_memmove(to, from, size);
}

void *W(memset)(void *to, int byte, size_t size)
{
	return __tsan_memset(to, byte, size);
}

/* Memory of one's own is a piece of the heap. */
static void *map_at(size_t size, int flags, const void *pc)
{
	if (!(flags & MAP_ANONYMOUS) || flags & (MAP_SHARED | MAP_FIXED))
		execution_bad(UHMM_DEFECT_UNSUPPORTED, pc,
			      "mmap() of other than private anonymous memory "
			      "cannot be explored");
	return explore_alloc(size, 4096);
}

void *W(mmap)(void *addr, size_t size, int prot, int flags, int fd, off_t at)
{
	return x.inside ? map_at(size, flags, PC) :
			  mmap(addr, size, prot, flags, fd, at);
}

void *W(mmap64)(void *addr, size_t size, int prot, int flags, int fd, off_t at)
{
	return x.inside ? map_at(size, flags, PC) :
			  mmap(addr, size, prot, flags, fd, at);
}

int W(munmap)(void *addr, size_t size)
{
	if (!x.inside)
		return munmap(addr, size);
	if (heap_size_of(addr) != size)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, PC,
			      "munmap() of other than all that was mapped "
			      "cannot be explored");
	explore_free(addr);
	return 0;
}

/* ----------------------------------------------------------------------- time */

unsigned int W(sleep)(unsigned int seconds)
{
	if (!x.inside)
		return sleep(seconds);
	explore_sleep(seconds * NSEC_PER_SEC, PC);
	return 0;
}

int W(usleep)(useconds_t us)
{
	if (!x.inside)
		return usleep(us);
	explore_sleep(us * 1000LL, PC);
	return 0;
}

int W(nanosleep)(const struct timespec *t, struct timespec *left)
{
	if (!x.inside)
		return nanosleep(t, left);
	explore_sleep(t->tv_sec * NSEC_PER_SEC + t->tv_nsec, PC);
	return 0;
}

int W(sched_yield)(void)
{
	if (!x.inside)
		return sched_yield();
	explore_yield(PC);
	return 0;
}

int W(clock_gettime)(clockid_t clock, struct timespec *ret)
{
	if (!x.inside)
		return clock_gettime(clock, ret);
	ret->tv_sec = x.now / NSEC_PER_SEC;
	ret->tv_nsec = x.now % NSEC_PER_SEC;
	return 0;
}

int W(gettimeofday)(struct timeval *ret, void *zone)
{
	if (!x.inside)
		return gettimeofday(ret, zone);
	ret->tv_sec = x.now / NSEC_PER_SEC;
	ret->tv_usec = x.now % NSEC_PER_SEC / 1000;
	return 0;
}

time_t W(time)(time_t *ret)
{
	time_t now = x.inside ? (time_t)(x.now / NSEC_PER_SEC) : time(NULL);

	if (ret)
		*ret = now;
	return now;
}

/* -------------------------------------------------------------------- the end */

void W(__assert_fail)(const char *what, const char *file, unsigned int line,
		      const char *function)
{
	if (!x.inside)
		__assert_fail(what, file, line, function);
	execution_bad(UHMM_DEFECT_ASSERTION, PC, "%s", what);
}

void W(abort)(void)
{
	if (!x.inside)
		abort();
	execution_bad(UHMM_DEFECT_ASSERTION, PC, "abort()");
}

void W(exit)(int status)
{
	if (!x.inside)
		exit(status);
	execution_bad(UHMM_DEFECT_UNSUPPORTED, PC, "exit() in a scenario");
}

typedef long (*any_fn)(long, long, long, long, long, long);

#define DEFINE_UNKNOWN(name) \
	long W(name)(long a, long b, long c, long d, long e, long f) \
	{ \
		if (!x.inside) \
			return ((any_fn)dlsym(RTLD_DEFAULT, #name))(a, b, c, \
								    d, e, f); \
		execution_bad(UHMM_DEFECT_UNSUPPORTED, PC, \
			      "%s() cannot be explored", #name); \
	}
UNKNOWN_CALLS(DEFINE_UNKNOWN)
