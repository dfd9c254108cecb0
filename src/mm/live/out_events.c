/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What becomes of pages that are away when their place goes, moves or is
 * copied.
 */
#include "out.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uhmm/memremap.h>

#include "uapi.h"
#include "watch.h"

#define GIVE_BATCH 32

/* Where the page that @entry has is held; 0: in a device. */
static unsigned long held_at(unsigned long entry)
{
	unsigned long pfn = out_what(entry);

	return uhmm_is_device_pfn(pfn) ? 0 : pfn << LIVE_PAGE_SHIFT;
}

/* Who holds it is to know that it belongs to @addr now; 0: nowhere. */
static void tell_holder(struct out *out, unsigned long entry,
			unsigned long addr)
{
	unsigned long at = held_at(entry);

	if (at)
		out_set(out, at, out_entry(OUT_HOLDS, addr >> LIVE_PAGE_SHIFT,
					   0));
	else
		device_page_set_where(out_what(entry), addr);
}

/* The place at @addr is no more. */
static void place_gone(struct live *live, unsigned long addr)
{
	struct out *out = live->out;
	unsigned long entry = out_get(out, addr);

	if (entry & OUT_WAITED)
		move_wake(live, addr, addr + LIVE_PAGE);
	switch (out_state(entry)) {
	case OUT_MOVING:
		tell_holder(out, entry, 0);
		out_set(out, addr, 0);
		break;
	case OUT_TAKEN:
	case OUT_EXCLUSIVE:
		if (held_at(entry)) {
			pool_put(live, held_at(entry));
			out_set(out, addr, 0);
			break;
		}
		/* fallthrough */
	case OUT_DEVICE:
	case OUT_COHERENT:
		device_page_set_where(out_what(entry), 0);
		out_set(out, addr, out_entry(OUT_GONE, out_what(entry), 0));
		WRITE_ONCE(out->gone, true);
		break;
	case OUT_HOLDS:
		/* Over the pool others are mapped by mremap(), see carry(). */
		if (!pool_has(out, addr))
			out_set(out, addr, 0);
		break;
	case OUT_PINNED:
		out_set(out, addr, 0);
		break;
	case OUT_NONE:
	case OUT_GONE:
		break;
	}
}

static void places_gone(struct live *live, unsigned long start,
			unsigned long end)
{
	struct out *out = live->out;
	unsigned long addr;

	for (addr = out_next(out, start, end); addr < end;
	     addr = out_next(out, addr + LIVE_PAGE, end))
		place_gone(live, addr);
	out_changed(out);
}

static void place_moved(struct live *live, unsigned long from,
			unsigned long to)
{
	struct out *out = live->out;
	unsigned long entry = out_get(out, from), gone;

	if (entry & OUT_WAITED)
		move_wake(live, from, from + LIVE_PAGE);
	entry &= ~OUT_WAITED;
	switch (out_state(entry)) {
	case OUT_TAKEN:
		/* Who took it knows it by its old place: it is not kept. */
		entry = out_entry(OUT_EXCLUSIVE, out_what(entry), 0);
		break;
	case OUT_MOVING:
	case OUT_DEVICE:
	case OUT_COHERENT:
	case OUT_EXCLUSIVE:
		break;
	default:
		return;
	}
	place_gone(live, to);
	/* What is yet to be given back is kept where nothing is now. */
	gone = out_get(out, to);
	out_set(out, from, out_state(gone) == OUT_GONE ? gone : 0);
	out_set(out, to, entry);
	tell_holder(out, entry, to);
}

static void places_moved(struct live *live, unsigned long from,
			 unsigned long to, unsigned long length)
{
	struct out *out = live->out;
	unsigned long addr, end = from + length;

	/* Taken away by ourselves, see carry() in migrate.c; or what came there. */
	if (pool_has(out, to)) {
		pool_note_carried(out, to, length >> LIVE_PAGE_SHIFT,
				  out_all_missing(out, from, end));
		return;
	}
	if (BROKEN(live_broken, BROKEN_REMAP))
		return;
	if (!out_prepare(out, to, to + length))
		live_why(live, UHMM_LIVE_WHY_MEMORY);
	for (addr = out_next(out, from, end); addr < end;
	     addr = out_next(out, addr + LIVE_PAGE, end))
		place_moved(live, addr, to + (addr - from));
	out_changed(out);
	/* The kernel registers the new place as the old one was. */
	out_set_missing(out, to, to + length, false);
	if (!out_any_missing(out, from, end))
		return;
	for (addr = from; addr < end; addr += LIVE_PAGE)
		if (out_all_missing(out, addr, addr + LIVE_PAGE))
			out_set_missing(out, to + (addr - from),
					to + (addr - from) + LIVE_PAGE, true);
}

/* A child whose memory has holes where pages are away. */
static void child_copy(struct live *live, int child)
{
	struct out *out = live->out;
	unsigned long addr, entry, pfn;
	struct uffdio_copy copy;

	for (addr = out_next(out, 0, ~0UL); addr < ~0UL;
	     addr = out_next(out, addr + LIVE_PAGE, ~0UL)) {
		entry = out_get(out, addr);
		if (out_state(entry) < OUT_MOVING ||
		    out_state(entry) > OUT_EXCLUSIVE)
			continue;
		pfn = out_what(entry);
		copy = (struct uffdio_copy){
			.dst = addr,
			.src = uhmm_is_device_pfn(pfn) ?
				       (unsigned long)device_page_ptr(pfn) :
				       pfn << LIVE_PAGE_SHIFT,
			.len = LIVE_PAGE,
		};
		if (copy.src)
			ioctl(child, UFFDIO_COPY, &copy);
	}
}

void out_event(struct live *live, const struct uffd_msg *m)
{
	unsigned long start = m->arg.remove.start, end = m->arg.remove.end;

	switch (m->event) {
	case UFFD_EVENT_UNMAP:
		places_gone(live, start, end);
		out_set_missing(live->out, start, end, false);
		break;
	case UFFD_EVENT_REMOVE:
		if (BROKEN(live_broken, BROKEN_PROTECT))
			break;
		places_gone(live, start, end);
		break;
	case UFFD_EVENT_REMAP:
		places_moved(live, m->arg.remap.from, m->arg.remap.to,
			     m->arg.remap.len);
		break;
	case UFFD_EVENT_FORK:
		child_copy(live, (int)m->arg.fork.ufd);
		break;
	}
}

void out_give_back(struct live *live)
{
	unsigned long pfns[GIVE_BATCH], addr, entry;
	struct out *out = live->out;
	unsigned int n;

	/*
	 * From the beginning each time: without the lock others may have gone
	 * that lie before. There are none only if all were looked at under it.
	 */
	do {
		spin_lock(&out->lock);
		n = 0;
		addr = out->gone ? 0 : ~0UL;
		for (; n < GIVE_BATCH; addr += LIVE_PAGE) {
			addr = out_next(out, addr, ~0UL);
			if (addr == ~0UL)
				break;
			entry = out_get(out, addr);
			if (out_state(entry) != OUT_GONE)
				continue;
			out_set(out, addr, 0);
			pfns[n++] = out_what(entry);
		}
		if (addr == ~0UL)
			WRITE_ONCE(out->gone, false);
		spin_unlock(&out->lock);
		for (unsigned int i = 0; i < n; i++)
			uhmm_device_page_put(pfns[i]);
	} while (n == GIVE_BATCH);
}

/* Up to where what holds of @start does so too: registered for missing ones? */
static unsigned long run_end(struct out *out, unsigned long start,
			     unsigned long end, bool *ret_missing)
{
	unsigned long at = start + LIVE_PAGE;

	*ret_missing = out_all_missing(out, start, at);
	if (!*ret_missing && !out_any_missing(out, start, end))
		return end;
	while (at < end &&
	       out_all_missing(out, at, at + LIVE_PAGE) == *ret_missing)
		at += LIVE_PAGE;
	return at;
}

/* The first run from @start on; 0: done, or where nothing is to be done. */
static int register_run(struct live *live, unsigned long start,
			unsigned long end, unsigned long *ret_end)
{
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_WP };
	struct out *out = live->out;
	bool missing;
	int ret = 0;

	spin_lock(&out->lock);
	*ret_end = run_end(out, start, end, &missing);
	reg.range.start = start;
	reg.range.len = *ret_end - start;
	if (!missing && ioctl(live->shards[0].fd, UFFDIO_REGISTER, &reg))
		ret = -errno;
	spin_unlock(&out->lock);
	if (!ret && !missing &&
	    !watch_is_registered(live, &live->shards[0], start, *ret_end))
		ret = -ESTALE;
	return ret;
}

int out_register(struct live *live, unsigned long start, unsigned long end)
{
	unsigned long next;
	int ret = 0;

	for (; start < end && !ret; start = next)
		ret = register_run(live, start, end, &next);
	return ret;
}

bool out_needs_events(struct live *live, unsigned long start,
		      unsigned long end)
{
	struct out *out = live->out;
	bool needs;

	spin_lock(&out->lock);
	needs = out_next(out, start, end) != end ||
		out_any_missing(out, start, end);
	spin_unlock(&out->lock);
	return needs;
}
