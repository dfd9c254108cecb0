/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The end of a migration: each page is where it is to be, or comes back. What goes
 * to places in a row is done with at once.
 */
#include "out.h"

#include <errno.h>

#include <uhmm/memremap.h>

#include "../../core/migrate_internal.h"

/* ------------------------------------------------------------------ one by one */

/* -EAGAIN: an event has to be read first. */
static int finish_one(struct live *live, unsigned long src, unsigned long to,
		      unsigned long *ret_addr, bool *ret_waited)
{
	unsigned long from = uhmm_migrate_pfn_of(src);
	unsigned long addr = away_place(live->out, from);
	unsigned long write = src & MIGRATE_PFN_WRITE ? OUT_WRITE : 0;

	*ret_addr = addr;
	*ret_waited = addr && out_get(live->out, addr) & OUT_WAITED;
	if (!(src & MIGRATE_PFN_MIGRATE) || !to)
		to = from;
	if (!addr)
		return 0;
	if (!uhmm_is_device_pfn(to))
		return away_home(live, addr, to << LIVE_PAGE_SHIFT);
	if (to != from)
		return away_to_device(live, addr, to, write);
	if (device_page_is(to, MEMORY_DEVICE_COHERENT))
		return coherent_put(live, addr, to, write);
	out_set(live->out, addr, out_entry(OUT_DEVICE, to, write));
	return 0;
}

/* The source is given back. @moved: an entry no longer leads to it. */
static void finish_source(struct live *live, unsigned long src,
			  unsigned long fault_page, bool moved)
	__must_hold(&live->out->lock)
{
	unsigned long pfn = uhmm_migrate_pfn_of(src), entry;

	if (!uhmm_is_device_pfn(pfn)) {
		entry = pfn << LIVE_PAGE_SHIFT;
		if (pool_has(live->out, entry))
			pool_put(live, entry);
		else
			out_set(live->out, entry, 0);
		return;
	}
	moved = moved || !device_page_where(pfn);
	spin_unlock(&live->out->lock);
	if (pfn == fault_page)
		uhmm_device_page_put(pfn);
	else
		device_page_unlock_put(pfn);
	if (moved)
		uhmm_device_page_put(pfn);
	spin_lock(&live->out->lock);
}

static void finish(struct live *live, struct migrate_vma *args,
		   unsigned long i)
	__must_hold(&live->out->lock)
{
	unsigned long addr, to = uhmm_migrate_pfn_of(args->dst[i]);
	unsigned long src = args->src[i];
	bool moved = src & MIGRATE_PFN_MIGRATE && to, waited;

	while (finish_one(live, src, to, &addr, &waited) == -EAGAIN) {
		spin_unlock(&live->out->lock);
		move_settle(live);
		spin_lock(&live->out->lock);
	}
	if (moved && uhmm_is_device_pfn(to))
		live_count_held(live, to_device, 1);
	if (uhmm_is_device_pfn(uhmm_migrate_pfn_of(src)) && moved)
		live_count(live, home);
	if (waited)
		move_wake(live, addr, addr + LIVE_PAGE);
	finish_source(live, src, args->fault_page, moved);
}

/* -------------------------------------------------------------------- in a row */

/*
 * How many from the @i-th on go home, to frames in a row and places in a row, the
 * first at *@ret_addr.
 */
static unsigned long run_home(struct live *live, const struct migrate_vma *args,
			      unsigned long i, unsigned long *ret_addr)
{
	unsigned long to = uhmm_migrate_pfn_of(args->dst[i]), n, addr;

	*ret_addr = 0;
	if (!to || uhmm_is_device_pfn(to) || args->npages - i < 2)
		return 0;
	for (n = 0; i + n < args->npages; n++) {
		if (!migrate_goes(args->src[i + n]) ||
		    uhmm_migrate_pfn_of(args->dst[i + n]) != to + n)
			break;
		addr = away_place(live->out,
				  uhmm_migrate_pfn_of(args->src[i + n]));
		if (!n)
			*ret_addr = addr;
		if (!addr || addr != *ret_addr + n * LIVE_PAGE)
			break;
	}
	return n;
}

/* The same, from memory that is no device's to frames of one, and all as writable. */
static __warm unsigned long run_away(struct live *live, const struct migrate_vma *args,
				     unsigned long i, unsigned long *ret_addr)
{
	unsigned long from = uhmm_migrate_pfn_of(args->src[i]), n;

	if (!migrate_goes(args->src[i]) || uhmm_is_device_pfn(from) ||
	    !uhmm_is_device_pfn(uhmm_migrate_pfn_of(args->dst[i])))
		return 0;
	n = migrate_run(args->dst + i, args->npages - i);
	n = migrate_run(args->src + i, n);
	*ret_addr = away_place(live->out, from);
	return *ret_addr ? out_run(live->out, from << LIVE_PAGE_SHIFT, n) : 0;
}

/* From the @i-th on, in one call. How many; 0: one by one, or the first fails. */
static unsigned long finish_home(struct live *live, struct migrate_vma *args,
				 unsigned long i)
	__must_hold(&live->out->lock)
{
	unsigned long from = uhmm_migrate_pfn_of(args->dst[i])
			     << LIVE_PAGE_SHIFT;
	unsigned long addr, n = run_home(live, args, i, &addr);
	unsigned long waited = 0, k;
	long moved = n > 1 ? move_pages(live, addr, from, n * LIVE_PAGE) : 0;

	n = moved > 0 ? (unsigned long)moved / LIVE_PAGE : 0;
	for (k = 0; k < n; k++) {
		waited |= out_get(live->out, addr + k * LIVE_PAGE) & OUT_WAITED;
		out_set(live->out, addr + k * LIVE_PAGE, 0);
		pool_clean(live->out, from + k * LIVE_PAGE);
		if (uhmm_is_device_pfn(uhmm_migrate_pfn_of(args->src[i + k])))
			live_count(live, home);
	}
	if (waited)
		move_wake(live, addr, addr + n * LIVE_PAGE);
	for (k = 0; k < n; k++)
		finish_source(live, args->src[i + k], args->fault_page, true);
	return n;
}

/* Memory in a row that is no device's, or stands for one's. */
static __warm void finish_sources(struct live *live, const struct migrate_vma *args,
				  unsigned long i, unsigned long n)
	__must_hold(&live->out->lock)
{
	unsigned long at = uhmm_migrate_pfn_of(args->src[i]) << LIVE_PAGE_SHIFT;

	if (!pool_has(live->out, at) &&
	    !pool_has(live->out, at + (n - 1) * LIVE_PAGE)) {
		out_set_run(live->out, at, n, 0, true);
		return;
	}
	for (; n; n--, i++)
		finish_source(live, args->src[i], args->fault_page, true);
}

/* From the @i-th on, to private memory. How many; 0: one by one. Noted, if not all. */
static __warm unsigned long finish_away(struct live *live, struct migrate_vma *args,
					unsigned long i)
	__must_hold(&live->out->lock)
{
	unsigned long to = uhmm_migrate_pfn_of(args->dst[i]), entry;
	unsigned long addr, n = run_away(live, args, i, &addr);

	n = n ? device_pages_settle(live->mm, to, n, addr) : 0;
	if (!n)
		return 0;
	for (unsigned long k = i; k < i + n && n < args->npages; k++)
		args->src[k] |= MIGRATE_PFN_SETTLED;
	live_count_held(live, to_device, n);
	entry = out_entry(OUT_DEVICE, to,
			  args->src[i] & MIGRATE_PFN_WRITE ? OUT_WRITE : 0);
	if (out_set_run(live->out, addr, n, entry, true) & OUT_WAITED)
		move_wake(live, addr, addr + n * LIVE_PAGE);
	finish_sources(live, args, i, n);
	return n;
}

__warm unsigned long live_migrate_finish(struct mm_struct *mm,
					 struct migrate_vma *args)
{
	struct live *live = live_of(mm);
	unsigned long i, n, settled;

	spin_lock(&live->out->lock);
	for (i = 0, settled = 0; i < args->npages; i += n) {
		n = finish_away(live, args, i);
		if (n == args->npages)
			settled = n;
		if (!n)
			n = finish_home(live, args, i);
		if (n)
			continue;
		n = 1;
		if (args->src[i] & MIGRATE_PFN_VALID)
			finish(live, args, i);
	}
	out_changed(live->out);
	spin_unlock(&live->out->lock);
	return settled;
}
