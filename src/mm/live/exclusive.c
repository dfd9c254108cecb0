/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages that a device has to itself: they are moved to the pool, so that a CPU
 * that touches the place waits, and are given back to who does.
 */
#include "out.h"

#include <errno.h>

#include <uhmm/memremap.h>

#include "watch.h"

#define TRIES 64

static int take_coherent(struct live *live, unsigned long addr,
			 unsigned long pfn)
{
	unsigned long place;
	int ret;

	if (out_what(out_get(live->out, addr)) != pfn)
		return -EAGAIN;
	ret = coherent_take(live, addr, pfn);
	if (ret)
		return ret;
	place = device_page_where(pfn);
	if (place)
		out_set(live->out, place,
			out_entry(place == addr ? OUT_TAKEN : OUT_EXCLUSIVE,
				  pfn, 0));
	else
		/* The entry's; it is not the last one. */
		uhmm_device_page_put(pfn);
	return place == addr ? 0 : -EAGAIN;
}

/* The page at @addr, which one reference pins. 0, or why it could not go. */
static int take(struct live *live, unsigned long addr, unsigned long pfn)
{
	struct out *out = live->out;
	unsigned long n = 1, to, kept_end;
	long ret;

	if (out_state(out_get(out, addr)) == OUT_COHERENT)
		return out->forking ? -EBUSY : take_coherent(live, addr, pfn);
	if (out_get(out, addr) != out_entry(OUT_PINNED, 1, 0))
		return out_state(out_get(out, addr)) == OUT_PINNED ? -EBUSY :
								     -EAGAIN;
	if (out->forking || READ_ONCE(out->off))
		return -EBUSY;
	if (sync_next_kept(&out->clear, addr, addr + LIVE_PAGE, &kept_end) ==
	    addr)
		return -EOPNOTSUPP;
	ret = move_register(live, addr, addr + LIVE_PAGE);
	if (ret)
		return ret == -EAGAIN ? -EAGAIN : -EOPNOTSUPP;
	to = pool_get(live, &n);
	if (!to)
		return -ENOMEM;
	ret = move_pages(live, to, addr, LIVE_PAGE);
	if (ret != (long)LIVE_PAGE) {
		pool_clean(out, to);
		pool_put(live, to);
		return (int)ret;
	}
	out_set(out, to, out_entry(OUT_HOLDS, addr >> LIVE_PAGE_SHIFT, 0));
	out_set(out, addr, out_entry(OUT_TAKEN, to >> LIVE_PAGE_SHIFT, 0));
	return 0;
}

int live_make_exclusive(struct mm_struct *mm, unsigned long addr,
			unsigned long pfn, void *owner)
{
	struct live *live = live_of(mm);
	struct mmu_notifier_range range;
	struct uhmm_vma vma;
	unsigned long kept;
	int ret, tries = 0;

	ret = uhmm_mm_find_vma(mm, addr, &vma);
	if (ret || vma.start > addr)
		return -EAGAIN;
	if (!(vma.flags & UHMM_VM_ANON) || vma.flags & UHMM_VM_SHARED)
		return -EOPNOTSUPP;
	mmu_notifier_range_init_owner(&range, MMU_NOTIFY_EXCLUSIVE, 0, mm, addr,
				      addr + LIVE_PAGE, owner);
	mmu_notifier_invalidate_range_start(&range);
	kept = sync_keep_caller(__builtin_frame_address(0), NULL, 0);
	for (;;) {
		spin_lock(&live->out->lock);
		ret = take(live, addr, pfn);
		spin_unlock(&live->out->lock);
		if (ret != -EAGAIN || ++tries == TRIES)
			break;
		move_settle(live);
	}
	sync_unkeep_caller(kept, __builtin_frame_address(0), NULL, 0);
	mmu_notifier_invalidate_range_end(&range);
	if (ret == -EINVAL || ret == -ENOMEM)
		return -EOPNOTSUPP;
	/* A page that was shared, or has gone: it is to be looked for again. */
	return ret == -ENOENT ? -EAGAIN : ret;
}

void live_page_unlock(struct mm_struct *mm, unsigned long pfn)
{
	struct live *live = live_of(mm);
	unsigned long addr = uhmm_is_device_pfn(pfn) ?
				     device_page_where(pfn) :
				     pfn << LIVE_PAGE_SHIFT, entry;

	spin_lock(&live->out->lock);
	entry = out_get(live->out, addr);
	if (out_state(entry) == OUT_TAKEN) {
		out_set(live->out, addr,
			out_entry(OUT_EXCLUSIVE, out_what(entry), 0));
		if (entry & OUT_WAITED)
			move_wake(live, addr, addr + LIVE_PAGE);
		out_changed(live->out);
	}
	spin_unlock(&live->out->lock);
}

/* True: look again, when the monitor has read what it has to. */
static bool give_back(struct live *live, unsigned long addr)
{
	unsigned long entry, what;
	int ret = 0;

	spin_lock(&live->out->lock);
	entry = out_get(live->out, addr);
	what = out_what(entry);
	if (out_state(entry) != OUT_EXCLUSIVE) {
		/* It has been. */
	} else if (uhmm_is_device_pfn(what)) {
		ret = coherent_put(live, addr, what, OUT_WRITE);
	} else {
		ret = away_home(live, addr, what << LIVE_PAGE_SHIFT);
		if (!ret)
			pool_put(live, what << LIVE_PAGE_SHIFT);
	}
	spin_unlock(&live->out->lock);
	if (ret == -ENOENT)
		uhmm_device_page_put(what);
	return ret == -EAGAIN;
}

void exclusive_revoke(struct live *live, unsigned long addr)
{
	struct mmu_notifier_range range;
	bool again;

	do {
		mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, live->mm,
					addr, addr + LIVE_PAGE);
		mmu_notifier_invalidate_range_start(&range);
		again = give_back(live, addr);
		mmu_notifier_invalidate_range_end(&range);
		if (again)
			move_settle(live);
	} while (again);
}
