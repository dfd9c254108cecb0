/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Frames of devices, for who has the lock: memremap.c, memremap_batch.c. */
#ifndef CORE_MEMREMAP_H
#define CORE_MEMREMAP_H

#include "internal.h"

#include <uhmm/memremap.h>

/**
 * struct uhmm_device_frame - a frame of device memory
 * @count: references; of a larger page in its first frame, as all but @order
 * @mm: where it went last; see &mm_struct.device_frames
 * @where: address that its entry is at, for address spaces that ask; or 0
 * @there: so are its bytes, and not in the device's memory
 * @order: of the page that it is of
 * @locked: a migration has it
 */
struct uhmm_device_frame {
	unsigned long count;
	struct mm_struct *mm;
	unsigned long where;
	unsigned char order;
	bool locked;
	bool there;
};

extern spinlock_t device_lock;
extern struct dev_pagemap *device_maps __guarded_by(&device_lock);

/* @n frames more are in @mm. */
static inline void frames_come(struct mm_struct *mm, unsigned long n)
	__must_hold(&device_lock)
{
	if (unlikely(n && !mm->device_frames))
		mmgrab(mm);
	mm->device_frames += n;
}

/* One less. True: it was the last; mmdrop() without the lock. */
static inline bool frame_goes(struct mm_struct *mm) __must_hold(&device_lock)
{
	return mm && !--mm->device_frames;
}

/* Whoever waits for a frame looks again. */
void device_unlock_changed(void) __releases(&device_lock);

static inline unsigned long first_of(const struct dev_pagemap *map)
{
	return map->range.start >> UHMM_PAGE_SHIFT;
}

static inline unsigned long frames_of(const struct dev_pagemap *map)
{
	return (map->range.end + 1 - map->range.start) >> UHMM_PAGE_SHIFT;
}

static inline struct dev_pagemap *map_of(unsigned long pfn)
	__must_hold(&device_lock)
{
	struct dev_pagemap *map;

	for (map = device_maps; map; map = map->next)
		if (pfn - first_of(map) < frames_of(map))
			return map;
	return NULL;
}

/* The frame that counts for @pfn, which becomes its number; NULL: none. */
static inline struct uhmm_device_frame *
head_of(unsigned long *pfn, struct dev_pagemap **ret_map)
	__must_hold(&device_lock)
{
	struct dev_pagemap *map = map_of(*pfn);
	struct uhmm_device_frame *frame;

	if (!map)
		return NULL;
	frame = map->frames + (*pfn - first_of(map));
	*pfn &= ~0UL << frame->order;
	if (ret_map)
		*ret_map = map;
	return map->frames + (*pfn - first_of(map));
}

/* Where the last frame was, as the next one mostly is too; all 0 at first. */
struct near {
	struct dev_pagemap *map;
	struct uhmm_device_frame *frames;
	unsigned long first;
	unsigned long n;
};

/* As head_of(). Of what is no device's: NULL. */
static inline struct uhmm_device_frame *
head_near(struct near *near, unsigned long *pfn)
	__must_hold(&device_lock)
{
	struct uhmm_device_frame *frame;

	if (unlikely(*pfn - near->first >= near->n)) {
		near->map = map_of(*pfn);
		if (!near->map)
			return NULL;
		near->frames = near->map->frames;
		near->first = first_of(near->map);
		near->n = frames_of(near->map);
	}
	frame = near->frames + (*pfn - near->first);
	if (likely(!frame->order))
		return frame;
	*pfn &= ~0UL << frame->order;
	return near->frames + (*pfn - near->first);
}

#endif
