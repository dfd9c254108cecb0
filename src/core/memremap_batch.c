/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a migration does to many frames of a device, under one lock for some. */
#include "memremap.h"
#include "migrate.h"

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

/*
 * How many of @n entries, beginning with the first, are of frames in a row that are
 * pages by themselves; the first one's at *@ret_frame. Of a larger page 1; of what is
 * no device's 0.
 */
static unsigned long frames_in_row(struct near *near, const unsigned long *mpfns,
				   unsigned long n,
				   struct uhmm_device_frame **ret_frame)
	__must_hold(&device_lock)
{
	unsigned long pfn = uhmm_migrate_pfn_of(mpfns[0]), next = mpfns[0], k;
	struct uhmm_device_frame *frame = head_near(near, &pfn);

	*ret_frame = frame;
	if (!frame)
		return 0;
	if (n > near->n - (pfn - near->first))
		n = near->n - (pfn - near->first);
	for (k = 1; k < n && !frame[k].order; k++) {
		next += 1UL << MIGRATE_PFN_SHIFT;
		if (mpfns[k] != next)
			break;
	}
	return k;
}

/* All @n that go; returns the first that is elsewhere, or @n. */
static unsigned long run_went(struct mm_struct *mm, const unsigned long *src,
			      struct uhmm_device_frame *frame, unsigned long n,
			      long *came) __must_hold(&device_lock)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		if (!(src[i] & MIGRATE_PFN_MIGRATE) || frame[i].mm == mm)
			continue;
		if (frame[i].mm)
			break;
		frame[i].mm = mm;
		++*came;
	}
	return i;
}

/* From the @i-th on; returns the first that is elsewhere, or @end. */
static unsigned long pages_went(struct mm_struct *mm,
				const struct migrate_vma *args,
				unsigned long i, unsigned long end)
{
	struct uhmm_device_frame *frame;
	struct near near = { 0 };
	unsigned long n, done;
	long came = 0;

	spin_lock(&device_lock);
	for (; i < end; i += n ? n : 1) {
		n = frames_in_row(&near, args->dst + i, end - i, &frame);
		done = run_went(mm, args->src + i, frame, n, &came);
		if (done < n) {
			i += done;
			break;
		}
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
	struct uhmm_device_frame *frame, *stop;
	struct near near = { 0 };
	unsigned long n;

	spin_lock(&device_lock);
	for (; i < end; i += n) {
		n = frames_in_row(&near, mpfns + i, end - i, &frame);
		for (stop = frame + n; frame < stop && frame->count > 1; frame++) {
			frame->count--;
			frame->locked = false;
		}
		if (!n || frame < stop) {
			i += n - (unsigned long)(stop - frame);
			break;
		}
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

/* The same of those in private memory that are in use. */
static unsigned long enter_some(const unsigned long *mpfns, unsigned long i,
				unsigned long end, unsigned long addr)
{
	struct uhmm_device_frame *frame, *stop;
	struct near near = { 0 };
	unsigned long n;

	spin_lock(&device_lock);
	for (; i < end; i += n) {
		n = frames_in_row(&near, mpfns + i, end - i, &frame);
		if (!n || near.map->type != MEMORY_DEVICE_PRIVATE)
			break;
		for (stop = frame + n; frame < stop && frame->count; frame++) {
			frame->count++;
			frame->where = addr;
			addr += UHMM_PAGE_SIZE;
		}
		if (frame < stop) {
			i += n - (unsigned long)(stop - frame);
			break;
		}
	}
	spin_unlock(&device_lock);
	return i;
}

unsigned long device_pages_enter(const unsigned long *mpfns, unsigned long n,
				 unsigned long addr)
{
	unsigned long i = 0, end;

	do {
		end = some_of(n, i);
		i = enter_some(mpfns, i, end, addr + (i << UHMM_PAGE_SHIFT));
	} while (i == end && i < n);
	return i;
}
