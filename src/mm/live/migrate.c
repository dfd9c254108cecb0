/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages that go to a device and come home: the live half of core's migrate.c.
 *
 * What is collected is moved into the pool at once, or, if the caller has said
 * where it goes and that is memory of this process, to there. So its contents
 * stand still, and its frame is the number of the page where it is now. Its
 * place is empty, and who touches it waits. In the end the entry says where
 * the page is, or the page is moved back.
 *
 * What cannot be moved (the kernel is older than 6.8, or the area is not
 * writable) is taken away with its page tables by mremap(), which leaves the
 * area empty and registered as it was.
 */
#include "out.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <uhmm/memremap.h>

#include "../../core/migrate_internal.h"
#include "../../lib/words.h"
#include "patch.h"
#include "uapi.h"
#include "watch.h"

#define TRIES 64

/* Pages that are being collected; up to @alone they are carried one by one. */
struct collect {
	struct live *live;
	struct out *out;
	struct migrate_vma *args;
	unsigned long alone;
	unsigned int tries;
	bool registered;
	bool gave_back;			/* the lock, for a while */
};

static unsigned long index_of(const struct migrate_vma *args,
			      unsigned long addr)
{
	return (addr - args->start) >> LIVE_PAGE_SHIFT;
}

static unsigned long writable(const struct uhmm_vma *vma)
{
	return vma->flags & UHMM_VM_WRITE ? OUT_WRITE : 0;
}

/*
 * The @n pages at @addr are at @to now. Where the caller wants them, unless that is
 * the pool.
 */
static __warm void went(struct collect *c, unsigned long addr, unsigned long to,
			unsigned long n)
{
	unsigned long pfn = to >> LIVE_PAGE_SHIFT;
	unsigned long write = writable(c->args->vma);
	unsigned long *src = c->args->src + index_of(c->args, addr);
	unsigned long how = MIGRATE_PFN_MIGRATE |
			    (write ? MIGRATE_PFN_WRITE : 0);

	if (!pool_has(c->out, to) || BROKEN(live_broken, BROKEN_THERE))
		how |= UHMM_MIGRATE_PFN_THERE;

	out_set_run(c->out, addr, n, out_entry(OUT_MOVING, pfn, write), false);
	out_set_run(c->out, to, n,
		    out_entry(OUT_HOLDS, addr >> LIVE_PAGE_SHIFT, 0), false);
	words_count_up(src, n, migrate_pfn(pfn) | how, MIGRATE_PFN_STEP);
}

/* ---------------------------------------------------------- where they go to */

/* The device frame that the caller wants the page at @addr to have; or 0. */
static unsigned long given(const struct collect *c, unsigned long addr)
{
	const struct migrate_vma *args = c->args;
	unsigned long pfn;

	if (!(args->flags & UHMM_MIGRATE_DST_GIVEN) ||
	    !live_has(c->live, UHMM_LIVE_MOVE))
		return 0;
	pfn = uhmm_migrate_pfn_of(args->dst[index_of(args, addr)]);
	return uhmm_is_device_pfn(pfn) ? pfn : 0;
}

/* For pages from @addr on, of which *@n becomes how many. 0: nowhere. */
static __warm unsigned long target(struct collect *c, unsigned long addr,
				   unsigned long *n)
{
	unsigned long pfn = given(c, addr), end, left, to = 0;

	if (pfn)
		to = (unsigned long)device_page_memory_near(&c->out->device, pfn, &end);
	if (!to)
		return pool_get(c->live, n);
	left = (end - to) >> LIVE_PAGE_SHIFT;
	*n = migrate_run(c->args->dst + index_of(c->args, addr),
			 *n < left ? *n : left);
	return out_prepare(c->out, to, to + *n * LIVE_PAGE) ? to : 0;
}

static void untarget(struct collect *c, unsigned long to, unsigned long n,
		     bool clean)
{
	for (; n && pool_has(c->out, to); n--, to += LIVE_PAGE) {
		if (clean)
			pool_clean(c->out, to);
		pool_put(c->live, to);
	}
}

/* How many pages from @addr on are in their places. */
static unsigned long in_place(struct collect *c, unsigned long addr,
			      unsigned long end)
{
	return (out_next(c->out, addr, end) - addr) >> LIVE_PAGE_SHIFT;
}

/* ----------------------------------------------------------------- by mremap */

/* Known to lose what is written between the two. */
static bool broken_carry(struct live *live, unsigned long addr,
			 unsigned long to, unsigned long n)
{
	unsigned long args[6] = { addr, n * LIVE_PAGE, MADV_DONTNEED };

	for (unsigned long at = 0; at < n * LIVE_PAGE; at += LIVE_PAGE)
		if (away_present(live, addr + at))
			memcpy((void *)(to + at), (void *)(addr + at),
			       LIVE_PAGE);
	return !live_raw_syscall(SYS_madvise, args);
}

/* The page at @to is none. Its entry is where its place has moved to meanwhile. */
static void carried_none(struct collect *c, unsigned long to)
{
	unsigned long place = away_place(c->out, to >> LIVE_PAGE_SHIFT);

	if (out_get(c->out, place) & OUT_WAITED)
		move_wake(c->live, place, place + LIVE_PAGE);
	out_set(c->out, place, 0);
	pool_put(c->live, to);
}

/*
 * What is at @to was mapped by the program at @addr, in place of what was to go: it
 * is put back, if nothing has been touched there since. Up to @end is registered at
 * once, so that it stays one area.
 */
static void put_back(struct collect *c, unsigned long addr, unsigned long end,
		     unsigned long to)
	__must_hold(&c->out->lock)
{
	int ret;

	for (;;) {
		ret = move_register(c->live, addr, end);
		if (ret && ret != -EAGAIN)
			ret = move_register(c->live, addr, addr + LIVE_PAGE);
		if (!ret && !out_get(c->out, addr))
			ret = move_home(c->live, addr, to);
		if (ret != -EAGAIN)
			break;
		spin_unlock(&c->out->lock);
		move_settle(c->live);
		spin_lock(&c->out->lock);
	}
}

/*
 * With the page tables. The lock is given back meanwhile, as there is an event
 * to be read; so the entries are made before, and what is known of others is
 * not known any more after. Without an event, or after one that said that the place
 * was gone, it was something else that went. Returns whether they went.
 */
static bool carry(struct collect *c, unsigned long addr, unsigned long to,
		  unsigned long n)
	__must_hold(&c->out->lock)
{
	unsigned long args[6] = { addr, n * LIVE_PAGE, n * LIVE_PAGE,
				  MREMAP_MAYMOVE | MREMAP_FIXED |
					  LIVE_MREMAP_DONTUNMAP,
				  to, 0 };
	unsigned long end = addr + n * LIVE_PAGE;
	bool ok, other;

	went(c, addr, to, n);
	pool_note_carried(c->out, to, n, false);
	c->gave_back = true;
	spin_unlock(&c->out->lock);
	if (BROKEN(live_broken, BROKEN_PROTECT))
		ok = broken_carry(c->live, addr, to, n);
	else
		ok = (unsigned long)live_raw_syscall(SYS_mremap, args) == to;
	spin_lock(&c->out->lock);
	for (; addr < end; addr += LIVE_PAGE, to += LIVE_PAGE) {
		other = ok && !pool_was_carried(c->out, to) &&
			!BROKEN(live_broken, BROKEN_PROTECT | BROKEN_ALONE);
		if (ok && !other && away_present(c->live, to))
			continue;
		if (other && away_present(c->live, to))
			put_back(c, addr, end, to);
		/* There was none, or it has not gone. */
		c->args->src[index_of(c->args, addr)] =
			ok && !other ? MIGRATE_PFN_MIGRATE : 0;
		carried_none(c, to);
	}
	out_changed(c->out);
	return ok;
}

/* -------------------------------------------------------------- system pages */

/* Something is in the way of the page at @addr: true: it may be gone now. */
static bool get_ready(struct collect *c, unsigned long addr, long why)
	__must_hold(&c->out->lock)
{
	if (++c->tries > TRIES)
		return false;
	c->gave_back = true;
	spin_unlock(&c->out->lock);
	/* A page that a fork has left shared gets to be one's own. */
	if (why == -EBUSY)
		madvise((void *)addr, LIVE_PAGE, MADV_POPULATE_WRITE);
	else
		move_settle(c->live);
	spin_lock(&c->out->lock);
	return true;
}

/* Memory of a device that pages were not moved to before. */
static bool register_target(struct collect *c, unsigned long to)
{
	unsigned long start, end, pfn;

	if (c->registered || pool_has(c->out, to))
		return false;
	c->registered = true;
	pfn = uhmm_migrate_pfn_of(c->args->dst[0]);
	return device_page_memory(pfn, &start, &end) && start <= to &&
	       to < end && !move_register_device(c->live, start, end);
}

static __warm long move_some(struct collect *c, unsigned long *to, unsigned long addr,
			     unsigned long *n)
{
	long moved;

	if (BROKEN(live_broken, BROKEN_PROTECT))
		return -EINVAL;
	moved = move_pages(c->live, *to, addr, *n * LIVE_PAGE);
	if (moved != -EEXIST || pool_has(c->out, *to))
		return moved;
	/* In the device's frame is what was left there: that is copied over. */
	*to = pool_get(c->live, n);
	return *to ? move_pages(c->live, *to, addr, *n * LIVE_PAGE) : moved;
}

/* Some of the @n pages at @addr; returns how many are done with. */
static __warm unsigned long collect_some(struct collect *c, unsigned long addr,
					 unsigned long n)
	__must_hold(&c->out->lock)
{
	unsigned long to, done;
	long moved;

	/*
	 * Also where the lock was given back in between. The core's locks are
	 * held then by who waits for the monitor, which waits for ours.
	 */
	if (c->out->forking)
		return n;
	if (addr < c->alone)
		n = 1;
	to = target(c, addr, &n);
	if (!to)
		return n;
	moved = move_some(c, &to, addr, &n);
	if (!to)
		return 1;
	done = moved > 0 ? (unsigned long)moved / LIVE_PAGE : 0;
	went(c, addr, to, done);
	if (moved == -EINVAL) {
		if (register_target(c, to))
			return 0;
		if (!pool_has(c->out, to))
			to = pool_get(c->live, &n);
		/* The kernel carries what is of one area only. */
		if (to && !carry(c, addr, to, n) && n > 1) {
			c->alone = addr + n * LIVE_PAGE;
			return BROKEN(live_broken, BROKEN_ALONE) ?
				       collect_some(c, addr, 1) : 0;
		}
		return n ? n : 1;
	}
	untarget(c, to + done * LIVE_PAGE, n - done, true);
	if (moved == -ENOENT) {
		c->args->src[index_of(c->args, addr)] = MIGRATE_PFN_MIGRATE;
		return 1;
	}
	if (moved < 0 && !get_ready(c, addr, moved))
		return 1;
	return done;
}

static __warm void collect_system(struct collect *c)
	__must_hold(&c->out->lock)
{
	struct migrate_vma *args = c->args;
	unsigned long addr, next, n, kept, kept_end;
	int ret;

	for (addr = args->start; addr < args->end; addr = next) {
		next = (addr | ((UHMM_PAGE_SIZE << UHMM_PMD_ORDER) - 1)) + 1;
		if (next > args->end)
			next = args->end;
		kept = sync_next_kept(&c->out->clear, addr, next, &kept_end);
		if (kept == addr) {
			next = kept_end;
			continue;
		}
		next = kept;
		ret = move_register(c->live, addr, next);
		/* What is there now may be the library's own. */
		if (ret == -EAGAIN && get_ready(c, addr, ret))
			next = addr;
		if (ret)
			continue;
		while (addr < next) {
			n = in_place(c, addr, next);
			/* Nothing else, that came while the lock was given back. */
			if (n && c->gave_back &&
			    !BROKEN(live_broken, BROKEN_ALONE) &&
			    !out_all_missing(c->out, addr,
					     addr + n * LIVE_PAGE))
				n = out_all_missing(c->out, addr,
						    addr + LIVE_PAGE);
			addr += n ? collect_some(c, addr, n) * LIVE_PAGE :
				    LIVE_PAGE;
		}
	}
}

/* -------------------------------------------------------------- device pages */

/* The kind of device memory that an entry leads to; 0: of none. */
static unsigned long kind_of(unsigned long entry)
{
	switch (out_state(entry)) {
	case OUT_DEVICE:
		return MIGRATE_VMA_SELECT_DEVICE_PRIVATE;
	case OUT_COHERENT:
		return MIGRATE_VMA_SELECT_DEVICE_COHERENT;
	default:
		return 0;
	}
}

/*
 * Its entry is of who moves it now; false: it stays. The lock of @live->out held,
 * which callers have by other names.
 */
static bool take_device(struct live *live, unsigned long addr,
			unsigned long entry) __no_context_analysis
{
	unsigned long pfn = out_what(entry);

	if (out_state(entry) == OUT_COHERENT)
		return !live->out->forking && !coherent_take(live, addr, pfn);
	out_set(live->out, addr, out_entry(OUT_MOVING, pfn,
					   entry & OUT_WRITE));
	return true;
}

static void collect_device(struct collect *c)
	__must_hold(&c->out->lock)
{
	struct migrate_vma *args = c->args;
	unsigned long addr, entry, pfn;

	for (addr = out_next(c->out, args->start, args->end); addr < args->end;
	     addr = out_next(c->out, addr + LIVE_PAGE, args->end)) {
		entry = out_get(c->out, addr);
		pfn = out_what(entry);
		if (!(args->flags & kind_of(entry)) ||
		    uhmm_device_page_owner(pfn) != args->pgmap_owner)
			continue;
		if (pfn != args->fault_page && !uhmm_device_page_trylock(pfn))
			continue;
		uhmm_device_page_get(pfn);
		if (!take_device(c->live, addr, entry)) {
			if (pfn != args->fault_page)
				uhmm_device_page_unlock(pfn);
			/* The entry's is not the last one, but if it has gone. */
			spin_unlock(&c->out->lock);
			uhmm_device_page_put(pfn);
			spin_lock(&c->out->lock);
			continue;
		}
		args->src[index_of(args, addr)] =
			migrate_pfn(pfn) | MIGRATE_PFN_MIGRATE |
			(entry & OUT_WRITE ? MIGRATE_PFN_WRITE : 0);
	}
}

static __warm void collect(struct collect *c) __no_context_analysis
{
	const unsigned long flags = c->args->flags;

	spin_lock(&c->out->lock);
	/* What was here before is not to be in the way. */
	while (unlikely(c->out->gone) && !c->out->forking) {
		spin_unlock(&c->out->lock);
		out_give_back(c->live);
		spin_lock(&c->out->lock);
	}
	if (flags & (MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
		     MIGRATE_VMA_SELECT_DEVICE_COHERENT))
		collect_device(c);
	if (flags & MIGRATE_VMA_SELECT_SYSTEM && !c->out->forking &&
	    !READ_ONCE(c->out->off))
		collect_system(c);
	spin_unlock(&c->out->lock);
}

__warm void live_migrate_collect(struct mm_struct *mm, struct migrate_vma *args)
{
	const size_t size = args->npages * sizeof(*args->src);
	/* Under the lock it is needed, and stays. */
	const struct sync_part parts[] = {
		{ args, sizeof(*args) },
		{ args->vma, sizeof(*args->vma) },
		{ args->src, size },
		{ args->dst, size },
	};
	const void *frame = __builtin_frame_address(0);
	struct live *live = live_of(mm);
	struct collect c = { .live = live, .out = live->out, .args = args };
	unsigned long kept;

	if (live_ended(live) || !(args->vma->flags & UHMM_VM_ANON) ||
	    args->vma->flags & UHMM_VM_SHARED)
		return;
	/* Only what leaves the process can be among these. */
	if (!(args->flags & MIGRATE_VMA_SELECT_SYSTEM)) {
		collect(&c);
		return;
	}
	kept = sync_keep_caller(frame, parts, ARRAY_SIZE(parts));
	collect(&c);
	sync_unkeep_caller(kept, frame, parts, ARRAY_SIZE(parts));
}

/* ------------------------------------------------------- by frame, not address */

/* The entry for @pfn at @addr, if it is there still, is of who moves it now. */
static bool take_from(struct live *live, unsigned long addr, unsigned long pfn)
{
	unsigned long entry;
	bool taken;

	spin_lock(&live->out->lock);
	entry = addr == device_page_where(pfn) ? out_get(live->out, addr) : 0;
	taken = kind_of(entry) && out_what(entry) == pfn &&
		take_device(live, addr, entry);
	spin_unlock(&live->out->lock);
	return taken;
}

__warm void live_migrate_unmap(struct mm_struct *mm, struct migrate_vma *args)
{
	struct mmu_notifier_range range;
	unsigned long pfn, addr;
	bool taken;

	/* By address all is done: nobody else has entries, or references. */
	if (args->vma)
		return;
	pfn = uhmm_migrate_pfn_of(args->src[0]);
	addr = device_page_where(pfn);
	if (addr) {
		mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, addr,
					addr + LIVE_PAGE);
		mmu_notifier_invalidate_range_start(&range);
		taken = take_from(live_of(mm), addr, pfn);
		mmu_notifier_invalidate_range_end(&range);
		if (taken)
			return;
	}
	args->src[0] = 0;
	uhmm_device_page_unlock(pfn);
	uhmm_device_page_put(pfn);
}

/* -------------------------------------------------------------------- commit */

/* Is there still nothing at @addr, where a page is to be put? */
static bool still_none(struct live *live, unsigned long addr)
{
	return !out_get(live->out, addr) &&
	       out_all_missing(live->out, addr, addr + LIVE_PAGE) &&
	       !away_present(live, addr) &&
	       !monitor_unread(live);
}

__warm void live_migrate_commit(struct mm_struct *mm, struct migrate_vma *args)
{
	struct live *live = live_of(mm);
	unsigned long i, addr, to;

	/* What was there has gone already. */
	for (i = 0; i < args->npages; i++) {
		if (!migrate_inserts(args->src[i]))
			continue;
		to = uhmm_migrate_pfn_of(args->dst[i]);
		addr = args->start + (i << LIVE_PAGE_SHIFT);
		spin_lock(&live->out->lock);
		if (live->out->forking || !uhmm_is_device_pfn(to) ||
		    !still_none(live, addr) ||
		    away_to_device(live, addr, to, writable(args->vma)) <= 0)
			args->src[i] &= ~MIGRATE_PFN_MIGRATE;
		spin_unlock(&live->out->lock);
	}
}
