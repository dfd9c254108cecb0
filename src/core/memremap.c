/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Device memory: which frames there are, who has references to them, and what
 * happens when a CPU needs what is in them.
 *
 * One lock for all of it. It is held for some instructions at a time, never
 * while a driver is called, and always by whoever is to be seen by a waiter.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uhmm/list_notifier.h>
#include <uhmm/memremap.h>

#include "check.h"
#include "memremap.h"

/* Frame numbers end here: an entry of hmm_pfns has flags above. */
#define DEVICE_PFN_END (1UL << 53)
#define PLACE_PAGES (1UL << UHMM_PMD_ORDER)

spinlock_t device_lock;
struct dev_pagemap *device_maps __guarded_by(&device_lock);
/* How often that was another; who has looked before need not again. */
static unsigned long map_changes __hot_data = 1;
static unsigned long next_place __guarded_by(&device_lock) =
	UHMM_DEVICE_PFN_BASE;

/* Slept on until something is unlocked or given back. */
static unsigned int changes;
static unsigned int sleepers __guarded_by(&device_lock);

void device_fork_prepare(void) __no_context_analysis
{
	spin_lock(&device_lock);
}

void device_fork_parent(void) __no_context_analysis
{
	spin_unlock(&device_lock);
}

void device_fork_child(void) __no_context_analysis
{
	spin_lock_init(&device_lock);
	sleepers = 0;
}

/* --------------------------------------------------------------- who waits */

/* Gives the lock back, sleeps until there is a change, and takes it again. */
static int wait_for_change(int64_t timeout_ns) __must_hold(&device_lock)
{
	unsigned int seen = READ_ONCE(changes);
	int ret;

	sleepers++;
	spin_unlock(&device_lock);
	ret = wait_word(&changes, seen, timeout_ns);
	spin_lock(&device_lock);
	sleepers--;
	return ret;
}

__warm void device_unlock_changed(void)
{
	bool wake = sleepers > 0;

	if (wake)
		WRITE_ONCE(changes, changes + 1);
	spin_unlock(&device_lock);
	if (wake)
		wake_word(&changes);
}

/* -------------------------------------------------------------- what exists */

static bool complete(const struct dev_pagemap *map)
{
	if (!map || !map->ops || map->nr_range != 1 || !map->owner ||
	    !map->ops->folio_free)
		return false;
	if (map->type == MEMORY_DEVICE_PRIVATE)
		return map->ops->migrate_to_ram != NULL;
	return map->type == MEMORY_DEVICE_COHERENT;
}

/* In @range: a place for it, if it has none. */
static int place(struct range *range) __must_hold(&device_lock)
{
	const struct dev_pagemap *map;
	unsigned long start = next_place, pages;

	if (!range->start) {
		pages = (range->end + UHMM_PAGE_SIZE) >> UHMM_PAGE_SHIFT;
		if (pages > DEVICE_PFN_END - start - PLACE_PAGES)
			return -ENXIO;
		range->start = start << UHMM_PAGE_SHIFT;
		range->end += range->start;
	}
	if (range->start >> UHMM_PAGE_SHIFT < UHMM_DEVICE_PFN_BASE ||
	    range->end >> UHMM_PAGE_SHIFT >= DEVICE_PFN_END)
		return -ENXIO;
	for (map = device_maps; map; map = map->next)
		if (map->range.start <= range->end &&
		    range->start <= map->range.end)
			return -ENOMEM;
	/* Not used again: a number that is kept too long leads to nothing. */
	start = (range->end >> UHMM_PAGE_SHIFT) + 1;
	if (start > next_place)
		next_place = (start + PLACE_PAGES - 1) & ~(PLACE_PAGES - 1);
	return 0;
}

/* Needed to bring a page home: not to be sent away itself. */
static void keep(const struct dev_pagemap *pgmap,
		 void (*fn)(const void *p, size_t size))
{
	size_t size = pgmap->range.end + 1 - pgmap->range.start;

	fn(pgmap, sizeof(*pgmap));
	fn(pgmap->frames, (size >> UHMM_PAGE_SHIFT) * sizeof(*pgmap->frames));
	if (pgmap->memory)
		fn(pgmap->memory, size);
}

void *memremap_pages(struct dev_pagemap *pgmap, int nid)
{
	struct uhmm_device_frame *frames;
	struct range range;
	int ret;

	if (!complete(pgmap))
		return uhmm_err_ptr(-EINVAL);
	range = pgmap->range;
	if (range.start > range.end || range.start & (UHMM_PAGE_SIZE - 1) ||
	    (range.end + 1) & (UHMM_PAGE_SIZE - 1) || range.end + 1 == 0)
		return uhmm_err_ptr(-EINVAL);
	frames = calloc((range.end + 1 - range.start) >> UHMM_PAGE_SHIFT,
			sizeof(*frames));
	if (!frames)
		return uhmm_err_ptr(-ENOMEM);
	spin_lock(&device_lock);
	ret = place(&range);
	if (!ret) {
		pgmap->range = range;
		pgmap->frames = frames;
		pgmap->refs = 0;
		pgmap->dying = 0;
		pgmap->next = device_maps;
		device_maps = pgmap;
		WRITE_ONCE(map_changes, map_changes + 1);
	}
	spin_unlock(&device_lock);
	if (!ret) {
		keep(pgmap, sync_keep);
		return pgmap->memory;
	}
	free(frames);
	return uhmm_err_ptr(ret);
}

static bool known(const struct dev_pagemap *pgmap) __must_hold(&device_lock)
{
	const struct dev_pagemap *map = device_maps;

	while (map && map != pgmap)
		map = map->next;
	return map != NULL;
}

static int drain(struct dev_pagemap *pgmap, int64_t timeout_ns)
	__must_hold(&device_lock)
{
	struct patience p = patience(timeout_ns);
	int64_t left = -1;
	int ret;

	while (pgmap->refs) {
		if (p.deadline >= 0) {
			left = p.deadline - ktime_get_ns();
			if (left <= 0)
				return -ETIMEDOUT;
		}
		ret = wait_for_change(left);
		if (ret == -EINTR)
			return ret;
	}
	return 0;
}

static int unmap_pages(struct dev_pagemap *pgmap, int64_t timeout_ns,
		       bool interruptible)
{
	struct dev_pagemap **link = &device_maps;
	int ret;

	spin_lock(&device_lock);
	if (!known(pgmap)) {
		spin_unlock(&device_lock);
		return -EINVAL;
	}
	pgmap->dying = 1;
	do
		ret = drain(pgmap, timeout_ns);
	while (ret == -EINTR && !interruptible);
	if (!ret) {
		while (*link != pgmap)
			link = &(*link)->next;
		*link = pgmap->next;
		WRITE_ONCE(map_changes, map_changes + 1);
	}
	spin_unlock(&device_lock);
	if (ret)
		return ret;
	keep(pgmap, sync_unkeep);
	free(pgmap->frames);
	pgmap->frames = NULL;
	return 0;
}

void memunmap_pages(struct dev_pagemap *pgmap)
{
	check_might_sleep("memunmap_pages", CHECK_FROM);
	unmap_pages(pgmap, -1, false);
}

int uhmm_memunmap_pages_timeout(struct dev_pagemap *pgmap, int64_t timeout_ns)
{
	check_might_sleep("uhmm_memunmap_pages_timeout", CHECK_FROM);
	return unmap_pages(pgmap, timeout_ns, true);
}

struct dev_pagemap *get_dev_pagemap(unsigned long pfn)
{
	struct dev_pagemap *map;

	spin_lock(&device_lock);
	map = map_of(pfn);
	if (map && map->dying)
		map = NULL;
	if (map)
		map->refs++;
	spin_unlock(&device_lock);
	return map;
}

static void put_map(struct dev_pagemap *map)
{
	spin_lock(&device_lock);
	map->refs--;
	device_unlock_changed();
}

void put_dev_pagemap(struct dev_pagemap *pgmap)
{
	if (pgmap)
		put_map(pgmap);
}

/* ------------------------------------------------------------------- frames */

static int init_page(struct dev_pagemap *map, unsigned long pfn,
		     unsigned int order) __must_hold(&device_lock)
{
	struct uhmm_device_frame *frames;
	unsigned long i, n = 1UL << order;

	if (!map || map->dying || pfn - first_of(map) + n > frames_of(map))
		return -ENXIO;
	frames = map->frames + (pfn - first_of(map));
	for (i = 0; i < n; i++)
		if (frames[i].count || frames[i].order)
			return -EBUSY;
	for (i = 0; i < n && order; i++)
		frames[i].order = (unsigned char)order;
	frames->count = 1;
	frames->locked = true;
	map->refs++;
	return 0;
}

int zone_device_page_init(unsigned long pfn, unsigned int order)
{
	int ret;

	if (order > UHMM_PMD_ORDER || pfn & ((1UL << order) - 1))
		return -EINVAL;
	spin_lock(&device_lock);
	ret = init_page(map_of(pfn), pfn, order);
	spin_unlock(&device_lock);
	return ret;
}

bool uhmm_device_page_get(unsigned long pfn)
{
	struct uhmm_device_frame *frame;
	bool in_use;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	in_use = frame && frame->count;
	if (in_use)
		frame->count++;
	spin_unlock(&device_lock);
	return in_use;
}

static void put_page(unsigned long pfn, bool unlock)
{
	struct uhmm_device_frame *frame;
	struct dev_pagemap *map = NULL;
	struct mm_struct *mm = NULL;
	unsigned int order = 0;
	unsigned long i;
	bool last;

	spin_lock(&device_lock);
	frame = head_of(&pfn, &map);
	last = frame && frame->count && --frame->count == 0;
	if (frame && unlock)
		frame->locked = false;
	if (last) {
		mm = frame_goes(frame->mm) ? frame->mm : NULL;
		order = frame->order;
		for (i = 0; i < 1UL << order; i++)
			frame[i] = (struct uhmm_device_frame){ 0 };
	}
	if (unlock)
		device_unlock_changed();
	else
		spin_unlock(&device_lock);
	if (!last)
		return;
	map->ops->folio_free(map, pfn, order);
	put_map(map);
	if (mm)
		mmdrop(mm);
}

void uhmm_device_page_put(unsigned long pfn)
{
	put_page(pfn, false);
}

/* At once: a reference left behind would be in the way of whoever waited. */
void device_page_unlock_put(unsigned long pfn)
{
	put_page(pfn, true);
}

/* A look at the frame that counts for @pfn. */
static struct uhmm_device_frame look(unsigned long pfn, void **ret_owner)
{
	struct uhmm_device_frame copy = { 0 }, *frame;
	struct dev_pagemap *map;

	spin_lock(&device_lock);
	frame = head_of(&pfn, &map);
	if (frame)
		copy = *frame;
	if (ret_owner)
		*ret_owner = frame ? map->owner : NULL;
	spin_unlock(&device_lock);
	return copy;
}

unsigned long uhmm_device_page_count(unsigned long pfn)
{
	return look(pfn, NULL).count;
}

unsigned int uhmm_device_page_order(unsigned long pfn)
{
	return look(pfn, NULL).order;
}

struct mm_struct *uhmm_device_page_mm(unsigned long pfn)
{
	return look(pfn, NULL).mm;
}

void *uhmm_device_page_owner(unsigned long pfn)
{
	void *owner;

	look(pfn, &owner);
	return owner;
}

bool device_page_is(unsigned long pfn, enum memory_type type)
{
	const struct dev_pagemap *map;
	bool is;

	spin_lock(&device_lock);
	map = map_of(pfn);
	is = map && map->type == type;
	spin_unlock(&device_lock);
	return is;
}

/* In the device's memory. NULL: @map is, or has none. */
static void *bytes_in(const struct dev_pagemap *map, unsigned long pfn)
{
	return map && map->memory ?
		       (char *)map->memory +
			       ((pfn - first_of(map)) << UHMM_PAGE_SHIFT) :
		       NULL;
}

void *device_page_ptr(unsigned long pfn)
{
	void *ptr;

	spin_lock(&device_lock);
	ptr = bytes_in(map_of(pfn), pfn);
	spin_unlock(&device_lock);
	return ptr;
}

void *device_page_bytes(unsigned long pfn)
{
	const struct uhmm_device_frame *frame;
	unsigned long head = pfn;
	struct dev_pagemap *map;
	void *ptr = NULL;

	spin_lock(&device_lock);
	frame = head_of(&head, &map);
	if (frame && !(frame->there && frame->where))
		ptr = bytes_in(map, pfn);
	spin_unlock(&device_lock);
	return ptr;
}

static void memory_find(struct device_memory *recent, unsigned long pfn)
{
	const struct dev_pagemap *map;

	spin_lock(&device_lock);
	map = map_of(pfn);
	recent->as = map_changes;
	recent->n = map && map->memory ? frames_of(map) : 0;
	if (recent->n) {
		recent->first = first_of(map);
		recent->start = (unsigned long)map->memory;
	}
	spin_unlock(&device_lock);
}

__warm void *device_page_memory_near(struct device_memory *recent, unsigned long pfn,
				     unsigned long *ret_end)
{
	if (unlikely(recent->as != READ_ONCE(map_changes) ||
		     pfn - recent->first >= recent->n))
		memory_find(recent, pfn);
	if (!recent->n)
		return NULL;
	*ret_end = recent->start + (recent->n << UHMM_PAGE_SHIFT);
	return (void *)(recent->start + ((pfn - recent->first) << UHMM_PAGE_SHIFT));
}

void *device_page_memory(unsigned long pfn, unsigned long *ret_start,
			 unsigned long *ret_end)
{
	struct device_memory memory = { 0 };
	void *bytes = device_page_memory_near(&memory, pfn, ret_end);

	if (bytes)
		*ret_start = memory.start;
	return bytes;
}

void device_page_set_where(unsigned long pfn, unsigned long addr)
{
	struct uhmm_device_frame *frame;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	if (frame)
		frame->where = addr;
	spin_unlock(&device_lock);
}

void device_page_set_there(unsigned long pfn, bool there)
{
	struct uhmm_device_frame *frame;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	if (frame)
		frame->there = there;
	spin_unlock(&device_lock);
}

unsigned long device_page_there(unsigned long pfn)
{
	struct uhmm_device_frame frame = look(pfn, NULL);

	return frame.there ? frame.where : 0;
}

unsigned long device_page_where(unsigned long pfn)
{
	return look(pfn, NULL).where;
}

bool uhmm_device_page_trylock(unsigned long pfn)
{
	struct uhmm_device_frame *frame;
	bool got;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	got = frame && !frame->locked;
	if (got)
		frame->locked = true;
	spin_unlock(&device_lock);
	return got;
}

void uhmm_device_page_unlock(unsigned long pfn)
{
	struct uhmm_device_frame *frame;

	spin_lock(&device_lock);
	frame = head_of(&pfn, NULL);
	if (frame)
		frame->locked = false;
	device_unlock_changed();
}

void uhmm_device_page_split(unsigned long pfn, unsigned long refs)
{
	struct uhmm_device_frame *frame;
	unsigned long i, n = 1;
	struct dev_pagemap *map;

	spin_lock(&device_lock);
	frame = head_of(&pfn, &map);
	if (frame)
		n = 1UL << frame->order;
	for (i = 1; i < n; i++) {
		frame[i] = *frame;
		frame[i].order = 0;
		frame[i].count = refs;
		if (frame->mm)
			frames_come(frame->mm, 1);
	}
	if (frame) {
		frame->order = 0;
		map->refs += n - 1;
	}
	spin_unlock(&device_lock);
	for (i = 1; i < n && map->ops->folio_split; i++)
		map->ops->folio_split(map, pfn, pfn + i);
}

/* ------------------------------------------------------------- a CPU's touch */

/*
 * 0: locked and referenced, of *@ret_map; 1: it is not what it was; -EAGAIN: it would
 * wait.
 */
static int lock_touched(unsigned long pfn, bool may_wait,
			struct dev_pagemap **ret_map)
{
	struct uhmm_device_frame *frame;
	int ret;

	spin_lock(&device_lock);
	frame = head_of(&pfn, ret_map);
	if (!frame || !frame->count) {
		ret = 1;
	} else if (!frame->locked) {
		frame->count++;
		frame->locked = true;
		ret = 0;
	} else if (may_wait) {
		wait_for_change(-1);
		ret = 1;
	} else {
		ret = -EAGAIN;
	}
	spin_unlock(&device_lock);
	return ret;
}

int uhmm_migrate_to_ram(const struct uhmm_vma *vma, unsigned long addr,
			unsigned long pfn, unsigned int flags)
{
	struct vm_fault vmf = {
		.vma = vma,
		.address = addr & ~(UHMM_PAGE_SIZE - 1),
		.flags = flags,
		.page = pfn,
	};
	struct dev_pagemap *map = NULL;
	vm_fault_t fault;
	int ret;

	ret = lock_touched(pfn, !(flags & UHMM_FAULT_NOWAIT), &map);
	if (ret)
		return ret < 0 ? ret : 0;
	fault = map->ops->migrate_to_ram ? map->ops->migrate_to_ram(&vmf) :
					   VM_FAULT_SIGBUS;
	device_page_unlock_put(vmf.page);
	if (fault & VM_FAULT_OOM)
		return -ENOMEM;
	return fault & VM_FAULT_SIGBUS ? -EFAULT : 0;
}
