/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages of a device that CPUs reach as any others: memory_type
 * MEMORY_DEVICE_COHERENT.
 *
 * Such a page is in its place, and is the device's page itself: it was moved
 * there out of the device's memory, and is moved back there when it migrates
 * or is to be exclusive. So a touch is no fault, and there is one copy, which
 * the device reaches by the address of its place. What happens to the place
 * happens to the page: where that is unmapped the page is the device's again,
 * and empty. When the address space ends, and before a fork, which the device
 * could not follow, they stay where they are as ordinary memory: the device gets
 * its frame back, with nothing in it.
 */
#include "out.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <uhmm/memremap.h>

#include "patch.h"
#include "uapi.h"

#define TRIES 64

/* Its entry, and whoever asked: nobody else has it. */
static bool unused_else(unsigned long pfn)
{
	return uhmm_device_page_count(pfn) == 2;
}

static int register_memory(struct live *live, unsigned long pfn)
{
	unsigned long start, end;

	if (!device_page_memory(pfn, &start, &end))
		return -EINVAL;
	return move_register_device(live, start, end);
}

/* It was about to go, and whoever has touched it meanwhile waits. */
static void stays(struct live *live, unsigned long pfn)
{
	unsigned long place = device_page_where(pfn), entry;

	if (!place)
		return;
	entry = out_get(live->out, place);
	out_set(live->out, place, out_entry(OUT_COHERENT, pfn,
					    entry & OUT_WRITE));
	if (entry & OUT_WAITED)
		move_wake(live, place, place + LIVE_PAGE);
	out_changed(live->out);
}

/* Without a move: the page tables are taken away, and what is there copied. */
static int take_copy(struct live *live, unsigned long addr, unsigned long pfn)
	__must_hold(&live->out->lock)
{
	char *bytes = device_page_ptr(pfn);
	unsigned long n = 1, to = pool_get(live, &n);
	unsigned long args[6] = { addr, LIVE_PAGE, LIVE_PAGE,
				  MREMAP_MAYMOVE | MREMAP_FIXED |
					  LIVE_MREMAP_DONTUNMAP,
				  to, 0 };
	bool ok;

	if (!to)
		return -ENOMEM;
	out_set(live->out, addr, out_entry(OUT_MOVING, pfn, out_get(live->out,
					   addr) & OUT_WRITE));
	spin_unlock(&live->out->lock);
	ok = (unsigned long)live_raw_syscall(SYS_mremap, args) == to;
	spin_lock(&live->out->lock);
	if (!ok)
		stays(live, pfn);
	else if (away_present(live, to))
		memcpy(bytes, (void *)to, LIVE_PAGE);
	else
		memset(bytes, 0, LIVE_PAGE);
	pool_put(live, to);
	return ok ? 0 : -EBUSY;
}

static int take_once(struct live *live, unsigned long addr, unsigned long pfn)
	__must_hold(&live->out->lock)
{
	unsigned long to = (unsigned long)device_page_ptr(pfn);
	long moved = move_pages(live, to, addr, LIVE_PAGE);

	if (moved == -EINVAL && live_has(live, UHMM_LIVE_MOVE) &&
	    !register_memory(live, pfn))
		moved = move_pages(live, to, addr, LIVE_PAGE);
	/* A copy was put there, and what it was made of is here still. */
	if (moved == -EINVAL || moved == -EEXIST)
		return take_copy(live, addr, pfn);
	/* Somebody has dropped it. */
	if (moved == -ENOENT)
		memset((void *)to, 0, LIVE_PAGE);
	else if (moved < 0)
		return (int)moved;
	out_set(live->out, addr, out_entry(OUT_MOVING, pfn, out_get(live->out,
					   addr) & OUT_WRITE));
	return 0;
}

int coherent_take(struct live *live, unsigned long addr, unsigned long pfn)
	__must_hold(&live->out->lock)
{
	unsigned long entry = out_get(live->out, addr);
	int ret, tries = 0;

	if (!unused_else(pfn))
		return -EBUSY;
	/* With what is kept of it, as a number of a page never is. */
	while ((ret = take_once(live, addr, pfn)) == -EAGAIN || ret == -EBUSY) {
		if (++tries == TRIES)
			return ret;
		spin_unlock(&live->out->lock);
		/* What a fork has left shared gets to be one's own. */
		if (ret == -EBUSY)
			madvise((void *)addr, LIVE_PAGE, MADV_POPULATE_WRITE);
		else
			move_settle(live);
		spin_lock(&live->out->lock);
		if (out_get(live->out, addr) != entry || !unused_else(pfn))
			return -EBUSY;
	}
	if (!ret)
		device_page_set_there(pfn, false);
	return ret;
}

int coherent_put(struct live *live, unsigned long addr, unsigned long pfn,
		 unsigned long write)
{
	int ret = move_home(live, addr, (unsigned long)device_page_ptr(pfn));

	if (ret == -EAGAIN)
		return ret;
	if (ret) {
		/* There is no place for it any more. */
		device_page_set_where(pfn, 0);
		out_set(live->out, addr, 0);
		return -ENOENT;
	}
	device_page_set_where(pfn, addr);
	device_page_set_there(pfn, true);
	out_set(live->out, addr, out_entry(OUT_COHERENT, pfn, write));
	return 0;
}

static unsigned long next_coherent(struct out *out, unsigned long addr)
	__must_hold(&out->lock)
{
	addr = out_next(out, addr, ~0UL);
	while (addr < ~0UL && out_state(out_get(out, addr)) != OUT_COHERENT)
		addr = out_next(out, addr + LIVE_PAGE, ~0UL);
	return addr;
}

void coherent_end(struct live *live)
{
	struct out *out = live->out;
	unsigned long addr, pfn;

	spin_lock(&out->lock);
	for (addr = next_coherent(out, 0); addr < ~0UL;
	     addr = next_coherent(out, addr + LIVE_PAGE)) {
		pfn = out_what(out_get(out, addr));
		device_page_set_where(pfn, 0);
		out_set(out, addr, out_entry(OUT_GONE, pfn, 0));
		WRITE_ONCE(out->gone, true);
	}
	spin_unlock(&out->lock);
	out_give_back(live);
}

void coherent_home(struct live *live)
{
	struct mmu_notifier_range range;
	bool any;

	spin_lock(&live->out->lock);
	any = next_coherent(live->out, 0) < ~0UL;
	spin_unlock(&live->out->lock);
	if (!any)
		return;
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, live->mm, 0, ~0UL);
	mmu_notifier_invalidate_range_start(&range);
	coherent_end(live);
	mmu_notifier_invalidate_range_end(&range);
}
