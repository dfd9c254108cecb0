/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a migration does to many frames of a device, under one lock for some. */
#include "memremap.h"

#include <uhmm/migrate.h>

/* So many under the lock before others have a turn. */
#define AT_ONCE 64UL

static unsigned long some_of(unsigned long n, unsigned long i)
{
	return n - i < AT_ONCE ? n : i + AT_ONCE;
}

/* One, which may have been elsewhere. */
static void page_went(unsigned long pfn, struct mm_struct *mm)
{
	struct uhmm_device_frame *frame;
	struct mm_struct *old = mm;

	mmgrab(mm);
	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	if (frame) {
		old = frame->mm;
		frame->mm = mm;
	}
	spin_unlock(&device_lock);
	if (old)
		mmdrop(old);
}

/* From the @i-th on; returns the first that is elsewhere, or @end. */
static unsigned long pages_went(struct mm_struct *mm,
				const struct migrate_vma *args,
				unsigned long i, unsigned long end)
{
	struct uhmm_device_frame *frame;
	struct near near = { 0 };
	unsigned long pfn;
	long came = 0;

	spin_lock(&device_lock);
	for (; i < end; i++) {
		if (!(args->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		pfn = uhmm_migrate_pfn_of(args->dst[i]);
		frame = head_near(&near, &pfn);
		if (!frame || frame->mm == mm)
			continue;
		if (frame->mm)
			break;
		frame->mm = mm;
		came++;
	}
	if (came)
		fetch_add(&mm->count, came);
	spin_unlock(&device_lock);
	return i;
}

void device_pages_went(struct mm_struct *mm, const struct migrate_vma *args)
{
	unsigned long i = 0, end;

	while (i < args->npages) {
		end = some_of(args->npages, i);
		i = pages_went(mm, args, i, end);
		if (i < end)
			page_went(uhmm_migrate_pfn_of(args->dst[i++]), mm);
	}
}

/* From the @i-th on; returns the first that is another's or free then, or @end. */
static unsigned long unlock_put_some(const unsigned long *mpfns,
				     unsigned long i, unsigned long end)
{
	struct uhmm_device_frame *frame;
	struct near near = { 0 };
	unsigned long pfn;

	spin_lock(&device_lock);
	for (; i < end; i++) {
		pfn = uhmm_migrate_pfn_of(mpfns[i]);
		frame = head_near(&near, &pfn);
		if (!frame || frame->count < 2)
			break;
		frame->count--;
		frame->locked = false;
	}
	device_unlock_changed();
	return i;
}

unsigned long device_pages_unlock_put(const unsigned long *mpfns,
				      unsigned long n)
{
	unsigned long i = 0, end, pfn;

	while (i < n) {
		end = some_of(n, i);
		i = unlock_put_some(mpfns, i, end);
		if (i == end)
			continue;
		pfn = uhmm_migrate_pfn_of(mpfns[i]);
		if (!uhmm_is_device_pfn(pfn))
			break;
		device_page_unlock_put(pfn);
		i++;
	}
	return i;
}

static bool enter(struct near *near, unsigned long pfn, unsigned long addr)
	__must_hold(&device_lock)
{
	struct uhmm_device_frame *frame = head_near(near, &pfn);

	if (!frame || !frame->count || near->map->type != MEMORY_DEVICE_PRIVATE)
		return false;
	frame->count++;
	frame->where = addr;
	return true;
}

unsigned long device_pages_enter(const unsigned long *mpfns, unsigned long n,
				 unsigned long addr)
{
	unsigned long i = 0, end;
	struct near near;

	do {
		end = some_of(n, i);
		near = (struct near){ 0 };
		spin_lock(&device_lock);
		while (i < end && enter(&near, uhmm_migrate_pfn_of(mpfns[i]),
					addr + (i << UHMM_PAGE_SHIFT)))
			i++;
		spin_unlock(&device_lock);
	} while (i == end && i < n);
	return i;
}
