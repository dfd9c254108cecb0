/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a migration does to many frames of a device, under one lock for some. */
#include "memremap.h"
#include "migrate_internal.h"

/* So many under the lock before others have a turn. */
#define AT_ONCE 64UL

static unsigned long some_of(unsigned long n, unsigned long i)
{
	return n - i < AT_ONCE ? n : i + AT_ONCE;
}

static bool is_device(unsigned long mpfn)
{
	return uhmm_is_device_pfn(uhmm_migrate_pfn_of(mpfn));
}

/* One, which may have been elsewhere. */
static void page_went(unsigned long pfn, struct mm_struct *mm)
{
	struct uhmm_device_frame *frame;
	struct mm_struct *old = NULL;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	if (frame && frame->mm != mm) {
		old = frame_goes(frame->mm) ? frame->mm : NULL;
		frames_come(mm, 1);
		frame->mm = mm;
	}
	spin_unlock(&device_lock);
	if (old)
		mmdrop(old);
}

/*
 * Of the frame of @pfn, at *@ret_frame, and those behind it: how many of @n there
 * are, up to a larger page (is_same()). Of one 1; of what is no device's 0.
 */
static __warm unsigned long frames_at(struct near *near, unsigned long pfn, unsigned long n,
				      struct uhmm_device_frame **ret_frame)
	__must_hold(&device_lock)
{
	struct uhmm_device_frame *frame = head_near(near, &pfn);
	unsigned long left;

	*ret_frame = frame;
	if (!frame)
		return 0;
	left = near->n - (pfn - near->first);
	return frame->order ? 1 : n < left ? n : left;
}

static inline bool is_same(const struct uhmm_device_frame *frames, unsigned long k)
{
	return frames[k].order == frames[0].order;
}

/* The same for @n entries, as far as they are in a row. */
static unsigned long frames_of_run(struct near *near, const unsigned long *mpfns,
				   unsigned long n,
				   struct uhmm_device_frame **ret_frame)
	__must_hold(&device_lock)
{
	return frames_at(near, uhmm_migrate_pfn_of(mpfns[0]),
			 migrate_run(mpfns, n), ret_frame);
}

/* From the @i-th on; returns the first that is in use, or none, or @end. */
static __warm unsigned long init_some(const unsigned long *mpfns, unsigned long i,
				      unsigned long end)
{
	struct uhmm_device_frame *frames;
	struct near near = { 0 };
	unsigned long n, k;

	spin_lock(&device_lock);
	for (; i < end; i += k) {
		n = frames_of_run(&near, mpfns + i, end - i, &frames);
		if (n && (near.map->dying || frames->order))
			break;
		for (k = 0; k < n && is_same(frames, k) && !frames[k].count; k++) {
			frames[k].count = 1;
			frames[k].locked = true;
		}
		if (!k)
			break;
		near.map->refs += k;
	}
	spin_unlock(&device_lock);
	return i;
}

__warm unsigned long uhmm_device_pages_init(const unsigned long *mpfns, unsigned long n)
{
	unsigned long i = 0, end;

	do {
		end = some_of(n, i);
		i = init_some(mpfns, i, end);
	} while (i == end && i < n);
	return i;
}

/* From the @i-th on; returns the first that is elsewhere, or @end. */
static unsigned long pages_went(struct mm_struct *mm,
				const unsigned long *src,
				const unsigned long *dst,
				unsigned long i, unsigned long end)
{
	struct uhmm_device_frame *frames;
	struct near near = { 0 };
	unsigned long n, k;
	unsigned long came = 0;

	spin_lock(&device_lock);
	for (; i < end; i += n ? k : 1) {
		n = frames_of_run(&near, dst + i, end - i, &frames);
		for (k = 0; k < n && is_same(frames, k); k++) {
			if (!(src[i + k] & MIGRATE_PFN_MIGRATE) ||
			    frames[k].mm == mm)
				continue;
			if (frames[k].mm)
				break;
			frames[k].mm = mm;
			came++;
		}
		if (n && !k)
			break;
	}
	frames_come(mm, came);
	spin_unlock(&device_lock);
	return i;
}

void device_pages_went(struct mm_struct *mm, const unsigned long *src,
		       const unsigned long *dst, unsigned long n)
{
	unsigned long i = 0, end;

	while (i < n) {
		if (!is_device(dst[i])) {
			i++;
			continue;
		}
		end = some_of(n, i);
		i = pages_went(mm, src, dst, i, end);
		if (i < end)
			page_went(uhmm_migrate_pfn_of(dst[i++]), mm);
	}
}

/* From the @i-th on; returns the first that is another's or free then, or @end. */
static __warm unsigned long unlock_put_some(const unsigned long *mpfns,
					    unsigned long i, unsigned long end)
{
	struct uhmm_device_frame *frames;
	struct near near = { 0 };
	unsigned long n, k;

	spin_lock(&device_lock);
	for (; i < end; i += k) {
		n = frames_of_run(&near, mpfns + i, end - i, &frames);
		for (k = 0; k < n && is_same(frames, k) && frames[k].count > 1;
		     k++) {
			frames[k].count--;
			frames[k].locked = false;
		}
		if (!k)
			break;
	}
	device_unlock_changed();
	return i;
}

__warm unsigned long device_pages_unlock_put(const unsigned long *mpfns,
					     unsigned long n)
{
	unsigned long i = 0, end;

	while (i < n && is_device(mpfns[i])) {
		end = some_of(n, i);
		i = unlock_put_some(mpfns, i, end);
		if (i < end && is_device(mpfns[i]))
			device_page_unlock_put(uhmm_migrate_pfn_of(mpfns[i++]));
	}
	return i;
}

/* What is another's is not settled, nor what is behind it. */
static inline bool can_settle(const struct uhmm_device_frame *frame,
			      const struct mm_struct *mm)
{
	return !frame->order && frame->count && (!frame->mm || frame->mm == mm);
}

__warm unsigned long device_pages_settle(struct mm_struct *mm, unsigned long pfn,
					 unsigned long n, unsigned long addr)
{
	struct uhmm_device_frame *frames, *frame;
	struct near near = { 0 };
	unsigned long k;
	unsigned long came = 0;

	spin_lock(&device_lock);
	n = frames_at(&near, pfn, n, &frames);
	if (n && (near.map->type != MEMORY_DEVICE_PRIVATE || frames->order))
		n = 0;
	for (k = 0; k < n && can_settle(frames + k, mm); k++) {
		frame = &frames[k];
		came += !frame->mm;
		frame->mm = mm;
		frame->where = addr + (k << UHMM_PAGE_SHIFT);
		frame->locked = false;
	}
	frames_come(mm, came);
	device_unlock_changed();
	return k;
}
