/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * mremap() of an area that is several to the kernel, because parts of it were
 * watched in different ways when they were first written, or had been so when a
 * fork copied them: it would fail. The parts are moved one after the other.
 * May run anywhere, see live.h: nothing is allocated.
 */
#include "calls.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "maps.h"
#include "patch.h"

#define PART_TRIES 8
#define MOVES (MREMAP_MAYMOVE | MREMAP_FIXED)

static long raw_call(long nr, unsigned long a, unsigned long b, unsigned long c,
		     unsigned long d, unsigned long e)
{
	const unsigned long args[6] = { a, b, c, d, e, 0 };

	return live_raw_syscall(nr, args);
}

/* Private memory without a file that may be accessed alike, and no hole in it? */
static bool is_alike(unsigned long start, unsigned long end)
{
	struct maps_area area;
	char perms[sizeof(area.perms)];

	for (unsigned long at = start; at < end; at = area.end) {
		if (!maps_find_area(at, &area) || !area.anonymous ||
		    area.perms[3] != 'p')
			return false;
		if (at == start)
			memcpy(perms, area.perms, sizeof(perms));
		else if (memcmp(perms, area.perms, sizeof(perms)))
			return false;
	}
	return true;
}

/* The last one grows by @more. Returns how much was moved, and why not all. */
static unsigned long move_each(unsigned long from, unsigned long length,
			       unsigned long to, unsigned long more,
			       long *ret_error)
{
	unsigned long done = 0, n;
	unsigned int tries = 0;
	struct maps_area area;
	long ret;

	*ret_error = 0;
	while (done < length) {
		*ret_error = -EFAULT;
		if (!maps_find_area(from + done, &area))
			break;
		n = area.end - (from + done);
		if (n > length - done)
			n = length - done;
		ret = raw_call(SYS_mremap, from + done, n,
			       n + (done + n == length ? more : 0), MOVES,
			       to + done);
		/* It is watched anew just now, and differently. */
		if (ret == -EFAULT && tries++ < PART_TRIES)
			continue;
		*ret_error = ret < 0 ? ret : 0;
		if (ret < 0)
			break;
		done += n;
	}
	return done;
}

/* Where it is: the last one alone. */
static long grow(unsigned long start, unsigned long length, unsigned long more)
{
	unsigned long end = start + length;
	struct maps_area area;
	long ret;

	if (!maps_find_area(end - 1, &area))
		return -EFAULT;
	if (area.start > start)
		start = area.start;
	ret = raw_call(SYS_mremap, start, end - start, end - start + more, 0, 0);
	return ret < 0 ? ret : (long)(end - length);
}

static long move(const unsigned long *args, unsigned long length,
		 unsigned long size)
{
	unsigned long fixed = args[3] & MREMAP_FIXED, done;
	long to, error, ignored;

	to = raw_call(SYS_mmap, fixed ? args[4] : 0, size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			      (fixed ? MAP_FIXED : 0), -1UL);
	if (to < 0)
		return to;
	done = move_each(args[0], length, (unsigned long)to, size - length,
			 &error);
	if (done == length)
		return to;
	move_each((unsigned long)to, done, args[0], 0, &ignored);
	raw_call(SYS_munmap, (unsigned long)to, size, 0, 0, 0);
	return error;
}

long live_move_parts(const unsigned long *args)
{
	unsigned long length = (args[1] + LIVE_PAGE - 1) & -LIVE_PAGE;
	unsigned long size = (args[2] + LIVE_PAGE - 1) & -LIVE_PAGE;
	long ret = -ENOMEM;

	if (args[3] & ~(unsigned long)MOVES || !length || !size ||
	    args[0] + length < args[0] || !is_alike(args[0], args[0] + length))
		return -EFAULT;
	/* What shrinks has lost its tail by now, or does. */
	if (size < length) {
		raw_call(SYS_munmap, args[0] + size, length - size, 0, 0, 0);
		length = size;
	}
	if (!(args[3] & MREMAP_FIXED))
		ret = grow(args[0], length, size - length);
	if (ret < 0 && args[3] & MREMAP_MAYMOVE)
		ret = move(args, length, size);
	return ret;
}
