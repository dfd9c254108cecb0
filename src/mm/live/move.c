/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Moving pages, and the pool that they are in while they are on their way.
 *
 * With UFFDIO_MOVE (6.8) a page changes its place without a copy, and the
 * kernel refuses that while an event is unread. Its old place must be writable,
 * and the page nobody else's.
 */
#include "out.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "patch.h"
#include "uapi.h"
#include "watch.h"

/* So many pages of the pool are emptied at once. */
#define MUCH_DIRT (POOL_PAGES / 4)
#define SETTLE_NS 1000000
#define MODE (UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP)

static int fd_of(const struct live *live)
{
	return live->shards[0].fd;
}

static int uffd_register(struct live *live, unsigned long start,
			 unsigned long end, unsigned long mode)
{
	struct uffdio_register reg = { { start, end - start }, mode, 0 };

	return ioctl(fd_of(live), UFFDIO_REGISTER, &reg) ? -errno : 0;
}

/* ------------------------------------------------------------------ the pool */

/* With UFFDIO_MOVE it is registered, as where a page moves to has to be. */
static int pool_register(struct live *live, unsigned long addr,
			 unsigned long length)
{
	if (!live_has(live, UHMM_LIVE_MOVE))
		return 0;
	return uffd_register(live, addr, addr + length,
			     UFFDIO_REGISTER_MODE_WP);
}

int pool_init(struct live *live)
{
	struct out *out = live->out;
	unsigned long start;

	out->pool = sync_alloc_pages(POOL_PAGES * LIVE_PAGE);
	if (!out->pool)
		return -ENOMEM;
	start = (unsigned long)out->pool;
	if (!out_prepare(out, start, start + POOL_PAGES * LIVE_PAGE))
		return -ENOMEM;
	return pool_register(live, start, POOL_PAGES * LIVE_PAGE);
}

static bool bit_test(const unsigned long *bits, unsigned long i)
{
	return bits[i / 64] & 1UL << i % 64;
}

static void bit_set(unsigned long *bits, unsigned long i, bool on)
{
	bits[i / 64] &= ~(1UL << i % 64);
	if (on)
		bits[i / 64] |= 1UL << i % 64;
}

/* Whatever is there goes; nobody is told, as nothing is registered. */
static void pool_empty(struct live *live, unsigned long first, unsigned long n)
{
	unsigned long addr = (unsigned long)live->out->pool + first * LIVE_PAGE;
	unsigned long args[6] = { addr, n * LIVE_PAGE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
					  MAP_NORESERVE,
				  ~0UL, 0 };
	struct uffdio_range range = { addr, n * LIVE_PAGE };

	ioctl(fd_of(live), UFFDIO_UNREGISTER, &range);
	if ((unsigned long)live_raw_syscall(SYS_mmap, args) != addr ||
	    pool_register(live, addr, n * LIVE_PAGE))
		return;		/* still dirty: not used again */
	for (; n; n--, first++, live->out->ndirty--)
		bit_set(live->out->dirty, first, false);
}

static void pool_empty_all(struct live *live)
{
	struct out *out = live->out;
	unsigned long i, n;

	for (i = 0; i < POOL_PAGES; i += n ? n : 1) {
		for (n = 0; i + n < POOL_PAGES && bit_test(out->dirty, i + n) &&
			    !bit_test(out->used, i + n); n++)
			;
		if (n)
			pool_empty(live, i, n);
	}
}

static bool pool_free(const struct out *out, unsigned long i)
{
	return !bit_test(out->used, i) && !bit_test(out->dirty, i);
}

/* From @at on, a first run of free ones; @n is at most how many, then is. */
static unsigned long pool_find(const struct out *out, unsigned long at,
			       unsigned long *n)
{
	unsigned long i;

	while (at < POOL_PAGES && !pool_free(out, at))
		at++;
	for (i = 0; i < *n && at + i < POOL_PAGES; i++)
		if (!pool_free(out, at + i))
			break;
	*n = i;
	return at;
}

unsigned long pool_get(struct live *live, unsigned long *n)
{
	struct out *out = live->out;
	unsigned long at, wanted = *n, i;

	if (out->ndirty >= MUCH_DIRT)
		pool_empty_all(live);
	at = pool_find(out, out->next, n);
	if (!*n) {
		*n = wanted;
		at = pool_find(out, 0, n);
	}
	if (!*n)
		return 0;
	out->next = (at + *n) % POOL_PAGES;
	for (i = at; i < at + *n; i++) {
		bit_set(out->used, i, true);
		bit_set(out->dirty, i, true);
	}
	out->ndirty += *n;
	return (unsigned long)out->pool + at * LIVE_PAGE;
}

static unsigned long pool_index(const struct out *out, unsigned long addr)
{
	return (addr - (unsigned long)out->pool) / LIVE_PAGE;
}

__warm bool pool_has(const struct out *out, unsigned long addr)
{
	return pool_index(out, addr) < POOL_PAGES;
}

void pool_clean(struct out *out, unsigned long addr)
{
	unsigned long i = pool_index(out, addr);

	if (i >= POOL_PAGES || !bit_test(out->dirty, i))
		return;
	bit_set(out->dirty, i, false);
	out->ndirty--;
}

void pool_put(struct live *live, unsigned long addr)
{
	bit_set(live->out->used, pool_index(live->out, addr), false);
	out_set(live->out, addr, 0);
}

void pool_note_carried(struct out *out, unsigned long addr, unsigned long n,
		       bool carried)
{
	unsigned long i = pool_index(out, addr);

	for (; n && i < POOL_PAGES; n--, i++)
		bit_set(out->carried, i, carried);
}

bool pool_was_carried(const struct out *out, unsigned long addr)
{
	return bit_test(out->carried, pool_index(out, addr));
}

/* ----------------------------------------------------------------- the moves */

/*
 * Why a page could not be put somewhere, of that error. Newer kernels (6.9) look for
 * the place before they look whether an event is unread: then it may have moved.
 */
static int why_not(struct live *live, int error)
{
	if ((error == ENOENT || error == EEXIST) && monitor_unread(live))
		return -EAGAIN;
	return -error;
}

__warm long move_pages(struct live *live, unsigned long to, unsigned long from,
		       unsigned long length)
{
	struct uffdio_move move = {
		.dst = to,
		.src = from,
		.len = length,
		.mode = UFFDIO_MOVE_MODE_DONTWAKE,
	};
	long ret;

	if (!live_has(live, UHMM_LIVE_MOVE))
		return -EINVAL;
	ret = arch_syscall3(SYS_ioctl, fd_of(live), UFFDIO_MOVE, (long)&move);
	if (likely(!ret))
		return (long)length;
	return move.move > 0 ? (long)move.move : why_not(live, (int)-ret);
}

static int copy_home(struct live *live, unsigned long addr, unsigned long from)
{
	struct uffdio_copy copy = {
		.dst = addr,
		.src = from,
		.len = LIVE_PAGE,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};

	return ioctl(fd_of(live), UFFDIO_COPY, &copy) ? why_not(live, errno) : 0;
}

int move_home(struct live *live, unsigned long addr, unsigned long from)
{
	long ret = move_pages(live, addr, from, LIVE_PAGE);

	if (ret > 0) {
		pool_clean(live->out, from);
		return 0;
	}
	/* Nothing was ever written there. */
	if (ret == -ENOENT)
		return move_zeroes(live, addr);
	if (ret == -EINVAL || ret == -EBUSY)
		return copy_home(live, addr, from);
	return (int)ret;
}

int move_zeroes(struct live *live, unsigned long addr)
{
	struct uffdio_zeropage zero = {
		.range = { addr, LIVE_PAGE },
		.mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE,
	};

	return ioctl(fd_of(live), UFFDIO_ZEROPAGE, &zero) ? why_not(live, errno) : 0;
}

void move_wake(struct live *live, unsigned long start, unsigned long end)
{
	struct uffdio_range range = { start, end - start };

	ioctl(fd_of(live), UFFDIO_WAKE, &range);
}

/*
 * Is all of it registered, as one area? See watch_is_registered(). Under the
 * lock, so an event that says otherwise is read later.
 */
static int ask_registered(struct live *live, unsigned long start,
			  unsigned long end)
{
	struct uffdio_copy copy = {
		.dst = start,
		.src = (unsigned long)live->nowhere,
		.len = end - start,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
	};

	if (!ioctl(fd_of(live), UFFDIO_COPY, &copy) || errno == EFAULT ||
	    errno == EEXIST)
		return 0;
	return errno == EAGAIN ? -EAGAIN : -EINVAL;
}

/* No more than that: what is beside it may be the library's own. */
__warm int move_register(struct live *live, unsigned long start, unsigned long end)
{
	struct out *out = live->out;
	unsigned long next;
	int ret;

	if (out_all_missing(out, start, end))
		return 0;
	if (!out_prepare(out, start, end))
		return -ENOMEM;
	WRITE_ONCE(live->shards[0].watches, live->shards[0].watches + 1);
	for (; start < end; start = next) {
		next = start + LIVE_PAGE;
		if (out_all_missing(out, start, next))
			continue;
		while (next < end && !out_all_missing(out, next,
						      next + LIVE_PAGE))
			next += LIVE_PAGE;
		ret = uffd_register(live, start, next, MODE);
		if (!ret)
			ret = ask_registered(live, start, next);
		if (ret)
			return ret;
		out_set_missing(out, start, next, true);
	}
	return 0;
}

int move_register_device(struct live *live, unsigned long start,
			 unsigned long end)
{
	if (!out_prepare(live->out, start, end))
		return -ENOMEM;
	return uffd_register(live, start, end, UFFDIO_REGISTER_MODE_WP);
}

void move_settle(struct live *live)
{
	monitor_settle(live, SETTLE_NS);
}
