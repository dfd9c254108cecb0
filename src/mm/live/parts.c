/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * mremap() of an area that is several to the kernel, because parts of it were
 * watched in different ways when they were first written, or had been so when a
 * fork copied them: it would fail. The parts are moved one after the other, to a
 * place that is kept for all of them. In between others see less than there is, and
 * a fault where the kernel would have had them wait; what is mapped meanwhile comes
 * neither here nor there. If a part cannot go, all are where they were.
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

/* Where nothing is, so that nobody else comes there. */
static bool hold(unsigned long addr, unsigned long length)
{
	return raw_call(SYS_mmap, addr, length, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				MAP_FIXED_NOREPLACE, -1UL) == (long)addr;
}

static void drop(unsigned long addr, unsigned long length)
{
	if (length)
		raw_call(SYS_munmap, addr, length, 0, 0, 0);
}

/*
 * A move under way. What has left its place leaves that held, so that it can come
 * back: another thread may map something there in between, and then what it has is
 * left alone, and ours does not come back. The last part goes first, as it may
 * grow; the others need no more memory than they have.
 */
struct moving {
	unsigned long from, end;	/* what moves */
	unsigned long to, more;		/* where to, and what it grows by */
	unsigned long last;		/* where the last part begins */
	bool last_done, last_held;
	unsigned long done, held;	/* of the others, from the first on */
};

static long move_last(struct moving *m)
{
	unsigned int tries = 0;
	struct maps_area area;
	unsigned long n;
	long ret;

	do {
		if (!maps_find_area(m->end - 1, &area))
			return -EFAULT;
		m->last = area.start > m->from ? area.start : m->from;
		n = m->end - m->last;
		ret = raw_call(SYS_mremap, m->last, n, n + m->more, MOVES,
			       m->to + (m->last - m->from));
		/* It is watched anew just now, and differently. */
	} while (ret == -EFAULT && tries++ < PART_TRIES);
	m->last_done = ret >= 0;
	m->last_held = m->last_done && hold(m->last, n);
	return ret < 0 ? ret : 0;
}

/* The part that holds @at. How long it is, or -errno. */
static long move_part(unsigned long at, unsigned long end, unsigned long to)
{
	unsigned int tries = 0;
	struct maps_area area;
	unsigned long n;
	long ret;

	do {
		if (!maps_find_area(at, &area))
			return -EFAULT;
		n = (area.end < end ? area.end : end) - at;
		ret = raw_call(SYS_mremap, at, n, n, MOVES, to);
	} while (ret == -EFAULT && tries++ < PART_TRIES);
	return ret < 0 ? ret : (long)n;
}

static long move_others(struct moving *m)
{
	unsigned long length = m->last - m->from;
	long ret;

	while (m->done < length) {
		ret = move_part(m->from + m->done, m->last, m->to + m->done);
		if (ret < 0)
			return ret;
		if (m->held == m->done &&
		    hold(m->from + m->done, (unsigned long)ret))
			m->held += (unsigned long)ret;
		m->done += (unsigned long)ret;
	}
	return 0;
}

/* Who has nothing to come to gives it up: that may be what there was too much of. */
static void move_back(const struct moving *m)
{
	unsigned long n = m->end - m->last, at = 0, done = m->done;
	long ret = 0;

	drop(m->to + done, (m->last_done ? m->last : m->end + m->more) -
				   m->from - done);
	if (m->last_done && (m->last_held || hold(m->last, n)))
		raw_call(SYS_mremap, m->to + (m->last - m->from), n + m->more,
			 n, MOVES, m->last);
	if (m->held < done && !hold(m->from + m->held, done - m->held))
		done = m->held;
	for (; at < done && ret >= 0; at += (unsigned long)ret)
		ret = move_part(m->to + at, m->to + done, m->from + at);
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
	unsigned long fixed = args[3] & MREMAP_FIXED;
	struct moving m = {
		.from = args[0],
		.end = args[0] + length,
		.more = size - length,
	};
	long to, error;

	to = raw_call(SYS_mmap, fixed ? args[4] : 0, size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			      (fixed ? MAP_FIXED : 0), -1UL);
	if (to < 0)
		return to;
	m.to = (unsigned long)to;
	error = move_last(&m);
	if (!error)
		error = move_others(&m);
	if (error) {
		move_back(&m);
		return error;
	}
	drop(m.from, m.held);
	if (m.last_held)
		drop(m.last, m.end - m.last);
	return to;
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
