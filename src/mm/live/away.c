/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Entries of pages that are away, and the frames that hold them: a frame of the
 * process is the number of a page, of the pool or of a device's memory.
 */
#include "out.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <uhmm/memremap.h>
#include <uhmm/migrate.h>

#include "uapi.h"

__warm unsigned long away_place(struct out *out, unsigned long pfn)
{
	unsigned long entry;

	if (uhmm_is_device_pfn(pfn))
		return device_page_where(pfn);
	entry = out_get(out, pfn << LIVE_PAGE_SHIFT);
	return out_state(entry) == OUT_HOLDS ?
		       out_what(entry) << LIVE_PAGE_SHIFT : 0;
}

int away_to_device(struct live *live, unsigned long addr, unsigned long pfn,
		   unsigned long write)
{
	int ret = 0;

	if (!uhmm_device_page_get(pfn))
		return 0;
	if (device_page_is(pfn, MEMORY_DEVICE_COHERENT)) {
		ret = coherent_put(live, addr, pfn, write);
		/* Of the entry; it is not the last one. */
		if (ret)
			uhmm_device_page_put(pfn);
		return ret == -EAGAIN ? ret : !ret;
	}
	device_page_set_where(pfn, addr);
	out_set(live->out, addr, out_entry(OUT_DEVICE, pfn, write));
	return 1;
}

int away_home(struct live *live, unsigned long addr, unsigned long from)
{
	int ret = move_home(live, addr, from);

	if (ret == -EAGAIN)
		return ret;
	/* Otherwise it has come, or there is no place for it any more. */
	out_set(live->out, addr, 0);
	return 0;
}

bool away_present(struct live *live, unsigned long addr)
{
	uint64_t entry = 0;

	return pread(live->pagemap, &entry, sizeof(entry),
		     (off_t)(addr / LIVE_PAGE * sizeof(entry))) ==
		       sizeof(entry) &&
	       entry & (PM_PRESENT | PM_SWAP);
}

/* ------------------------------------------------------------------- frames */

/* Bytes that stay where they are; NULL: those of the process do not. */
void *live_page_ptr(struct mm_struct *mm, unsigned long pfn)
{
	unsigned long addr = pfn << LIVE_PAGE_SHIFT, entry;
	struct live *live = live_of(mm);
	void *ptr = NULL;

	/* Without the lock: the caller has the page, and so has its entry. */
	entry = out_get(live->out, addr);
	if (out_state(entry) == OUT_HOLDS || pool_has(live->out, addr))
		ptr = (void *)addr;
	else if ((out_state(entry) == OUT_TAKEN ||
		  out_state(entry) == OUT_EXCLUSIVE) &&
		 !uhmm_is_device_pfn(out_what(entry)))
		ptr = (void *)(out_what(entry) << LIVE_PAGE_SHIFT);
	return ptr;
}

int live_page_access(struct mm_struct *mm, unsigned long pfn, size_t offset,
		     void *buf, size_t len, bool write)
{
	char *page = live_page_ptr(mm, pfn);

	if (!page)
		return live_access(mm, pfn, offset, buf, len, write);
	if (write)
		memcpy(page + offset, buf, len);
	else
		memcpy(buf, page + offset, len);
	return 0;
}

int live_page_alloc(struct mm_struct *mm, unsigned int order,
		    unsigned long *ret_pfn)
{
	struct live *live = live_of(mm);
	unsigned long n = 1, addr;

	if (order || live_ended(live))
		return -ENOMEM;
	spin_lock(&live->out->lock);
	addr = pool_get(live, &n);
	spin_unlock(&live->out->lock);
	if (!addr)
		return -ENOMEM;
	*ret_pfn = addr >> LIVE_PAGE_SHIFT;
	return 0;
}

int live_page_stand_in(struct mm_struct *mm, unsigned long device_pfn,
		       unsigned long *ret_pfn)
{
	unsigned long start, end, addr;
	struct live *live = live_of(mm);
	int ret = -EOPNOTSUPP;

	addr = (unsigned long)device_page_memory(device_pfn, &start, &end);
	if (!addr || addr % LIVE_PAGE || !live_has(live, UHMM_LIVE_MOVE))
		return live_page_alloc(mm, 0, ret_pfn);
	spin_lock(&live->out->lock);
	if (out_prepare(live->out, addr, addr + LIVE_PAGE)) {
		out_set(live->out, addr, out_entry(OUT_HOLDS, 0, 0));
		*ret_pfn = addr >> LIVE_PAGE_SHIFT;
		ret = 0;
	}
	spin_unlock(&live->out->lock);
	return ret;
}

/* A pin that may last brings it home, and then there is another page. */
static int coherent_get(unsigned long pfn, unsigned int flags)
{
	if (!(flags & UHMM_PAGE_LONGTERM))
		return 0;
	return migrate_device_coherent_page(pfn) ? -EBUSY : -EAGAIN;
}

int live_page_get(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		  unsigned long *ret_pfn)
{
	struct live *live = live_of(mm);
	struct out *out = live->out;
	unsigned long entry, n;
	int ret;

	addr &= ~(LIVE_PAGE - 1);
	for (;;) {
		ret = live_fault(mm, addr, flags & UHMM_FAULT_WRITE);
		if (ret)
			return ret;
		spin_lock(&out->lock);
		entry = out_get(out, addr);
		if (out_state(entry) == OUT_COHERENT &&
		    uhmm_device_page_get(out_what(entry))) {
			spin_unlock(&out->lock);
			ret = coherent_get(out_what(entry), flags);
			if (ret == -EAGAIN)
				continue;
			*ret_pfn = out_what(entry);
			return ret;
		}
		n = out_state(entry) == OUT_PINNED ? out_what(entry) : 0;
		if ((n || !entry) && out_prepare(out, addr, addr + 1)) {
			out_set(out, addr, out_entry(OUT_PINNED, n + 1, 0));
			break;
		}
		spin_unlock(&out->lock);
		if (!entry)
			return -ENOMEM;
	}
	spin_unlock(&out->lock);
	*ret_pfn = addr >> LIVE_PAGE_SHIFT;
	return 0;
}

void live_page_put(struct mm_struct *mm, unsigned long pfn, unsigned int flags)
{
	unsigned long addr = pfn << LIVE_PAGE_SHIFT, entry, n;
	struct live *live = live_of(mm);
	struct out *out = live->out;

	spin_lock(&out->lock);
	entry = out_get(out, addr);
	n = out_what(entry);
	if (pool_has(out, addr))
		pool_put(live, addr);
	else if (out_state(entry) == OUT_HOLDS)
		out_set(out, addr, 0);
	else if (out_state(entry) == OUT_PINNED)
		out_set(out, addr,
			n > 1 ? out_entry(OUT_PINNED, n - 1, 0) : 0);
	spin_unlock(&out->lock);
}
