/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages to the device's memory, and home: many at a time, see dmirror_move.c. */
#include "dmirror.h"

/* A migration of one batch, and how many pages have gone in all. */
struct batch {
	struct migrate_vma args;
	struct uhmm_vma vma;
	unsigned long moved;
	unsigned long src[TABLE_PAGES];
	unsigned long dst[TABLE_PAGES];
};

/* Where there is nothing a page may go to the device, but none comes home. */
static bool goes(unsigned long src, dmirror_alloc_fn alloc)
{
	return src & MIGRATE_PFN_MIGRATE &&
	       (alloc == dmirror_device_page || uhmm_migrate_pfn_of(src));
}

static void move_all(struct uhmm_dmirror_device *device, struct batch *batch,
		     dmirror_alloc_fn alloc)
{
	const struct migrate_vma *args = &batch->args;
	bool writable = args->vma->flags & UHMM_VM_WRITE;

	for (unsigned long i = 0; i < args->npages; i++)
		if (goes(args->src[i], alloc))
			dmirror_move(device, args->vma->mm, args->src + i,
				     args->dst + i, writable, alloc);
}

static void count(struct batch *batch)
{
	for (unsigned long i = 0; i < batch->args.npages; i++)
		if (batch->src[i] & MIGRATE_PFN_MIGRATE)
			batch->moved += 1UL << dmirror_order(batch->src[i]);
}

/* ----------------------------------------------------------------- batches */

static unsigned long device_flag(const struct uhmm_dmirror_device *device)
{
	return device->how.type == MEMORY_DEVICE_PRIVATE ?
		       MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
		       MIGRATE_VMA_SELECT_DEVICE_COHERENT;
}

/* Select what goes from @start on, up to @end; batch->args.end says how far. */
static int begin(struct uhmm_dmirror_device *device, struct batch *batch,
		 unsigned long start, unsigned long end, unsigned long flags)
{
	unsigned long most = device->how.newest ? TABLE_PAGES : 64;

	memset(batch->dst, 0, sizeof(batch->dst));
	batch->args = (struct migrate_vma){
		.vma = &batch->vma,
		.src = batch->src,
		.dst = batch->dst,
		.start = start,
		.end = lesser(lesser(end, batch->vma.end),
			      start + (most << UHMM_PAGE_SHIFT)),
		.pgmap_owner = device,
		.flags = flags | (device->how.newest ?
				  MIGRATE_VMA_SELECT_COMPOUND : 0),
	};
	return migrate_vma_setup(&batch->args);
}

typedef int (*batch_fn)(struct uhmm_dmirror *dmirror, struct batch *batch,
			unsigned long start, unsigned long end);

/* One batch after the other, areas apart. */
static int run(struct uhmm_dmirror *dmirror, unsigned long start,
	       unsigned long end, batch_fn step, uint64_t *ret_pages)
{
	struct mm_struct *mm = dmirror->mm;
	struct batch *batch;
	int ret;

	if (!mmget_not_zero(mm))
		return -EINVAL;
	batch = calloc(1, sizeof(*batch));
	ret = batch ? dmirror_prepare(dmirror, start, end) : -ENOMEM;
	if (ret)
		goto out;
	dmirror_run(dmirror, start, end, true);
	mmap_read_lock(mm);
	for (; start < end && !ret; start = batch->args.end) {
		ret = -EINVAL;
		if (uhmm_mm_find_vma(mm, start, &batch->vma) ||
		    batch->vma.start > start ||
		    !(batch->vma.flags & UHMM_VM_READ))
			break;
		ret = step(dmirror, batch, start, end);
	}
	mmap_read_unlock(mm);
	dmirror_run_end(dmirror);
	*ret_pages = batch->moved;
out:
	free(batch);
	mmput(mm);
	return ret;
}

static void map(struct uhmm_dmirror *dmirror, const struct batch *batch)
{
	const struct migrate_vma *args = &batch->args;
	enum uhmm_dmirror_right right;
	unsigned long i, k, n, to;

	pthread_mutex_lock(&dmirror->lock);
	for (i = 0; i < args->npages; i += n) {
		n = 1UL << dmirror_order(args->dst[i]);
		to = uhmm_migrate_pfn_of(args->dst[i]);
		right = args->dst[i] & MIGRATE_PFN_WRITE ? UHMM_DMIRROR_PT_WRITE :
							   UHMM_DMIRROR_PT_READ;
		if (!(args->src[i] & MIGRATE_PFN_MIGRATE) || !to)
			continue;
		for (k = 0; k < n; k++)
			dmirror_install(dmirror, args->start +
					((i + k) << UHMM_PAGE_SHIFT),
					entry_of(to + k, right));
	}
	pthread_mutex_unlock(&dmirror->lock);
}

static int to_dev(struct uhmm_dmirror *dmirror, struct batch *batch,
		  unsigned long start, unsigned long end)
{
	struct uhmm_dmirror_device *device = dmirror->device;
	int ret = begin(device, batch, start, end, MIGRATE_VMA_SELECT_SYSTEM);

	if (ret)
		return ret;
	move_all(device, batch, dmirror_device_page);
	migrate_vma_pages(&batch->args);
	count(batch);
	map(dmirror, batch);
	migrate_vma_finalize(&batch->args);
	return 0;
}

int dmirror_to_dev(struct uhmm_dmirror *dmirror, unsigned long start,
		   unsigned long end)
{
	uint64_t pages;

	return run(dmirror, start, end, to_dev, &pages);
}

/* What goes is not to be written by the device any more. */
static void unmap(struct uhmm_dmirror *dmirror, const struct batch *batch)
{
	const struct migrate_vma *args = &batch->args;
	unsigned long i, k, addr = args->start;

	pthread_mutex_lock(&dmirror->lock);
	for (i = 0; i < args->npages; i++, addr += UHMM_PAGE_SIZE) {
		if (!(args->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		for (k = 0; k < 1UL << dmirror_order(args->src[i]); k++)
			dmirror_set(dmirror, addr + (k << UHMM_PAGE_SHIFT), 0);
	}
	pthread_mutex_unlock(&dmirror->lock);
}

static int to_sys(struct uhmm_dmirror *dmirror, struct batch *batch,
		  unsigned long start, unsigned long end)
{
	struct uhmm_dmirror_device *device = dmirror->device;
	int ret = begin(device, batch, start, end, device_flag(device));

	if (ret)
		return ret;
	unmap(dmirror, batch);
	move_all(device, batch, dmirror_system_page);
	migrate_vma_pages(&batch->args);
	count(batch);
	migrate_vma_finalize(&batch->args);
	return 0;
}

int dmirror_to_sys(struct uhmm_dmirror *dmirror, unsigned long start,
		   unsigned long end, uint64_t *ret_pages)
{
	return run(dmirror, start, end, to_sys, ret_pages);
}

/* ------------------------------------------------------------------ by force */

/* Nothing that could go has a place to go to. */
static bool starved(const struct batch *batch)
{
	bool any = false;

	for (unsigned long i = 0; i < batch->args.npages; i++) {
		if (batch->dst[i])
			return false;
		any |= (batch->src[i] & MIGRATE_PFN_MIGRATE) != 0;
	}
	return any;
}

/* A CPU waits for @vmf->page; of a huge page for all of it in the area. */
vm_fault_t dmirror_fault_home(struct vm_fault *vmf)
{
	struct uhmm_dmirror_device *device =
		uhmm_device_page_owner(vmf->page);
	unsigned long size = UHMM_PAGE_SIZE
			     << uhmm_device_page_order(vmf->page);
	unsigned long start = vmf->address & ~(size - 1), end = start + size;
	struct batch *batch = malloc(sizeof(*batch));
	vm_fault_t ret = VM_FAULT_SIGBUS;

	if (!batch)
		return VM_FAULT_OOM;
	batch->vma = *vmf->vma;
	if (start < batch->vma.start)
		start = batch->vma.start;
	memset(batch->dst, 0, sizeof(batch->dst));
	batch->args = (struct migrate_vma){
		.vma = &batch->vma,
		.src = batch->src,
		.dst = batch->dst,
		.start = start,
		.end = lesser(end, batch->vma.end),
		.pgmap_owner = device,
		.flags = device_flag(device) |
			 (size > UHMM_PAGE_SIZE ? MIGRATE_VMA_SELECT_COMPOUND :
						  0),
		.fault_page = vmf->page,
	};
	if (!migrate_vma_setup(&batch->args)) {
		move_all(device, batch, dmirror_system_page);
		ret = starved(batch) ? VM_FAULT_OOM : 0;
		migrate_vma_pages(&batch->args);
		migrate_vma_finalize(&batch->args);
	}
	free(batch);
	return ret;
}

bool dmirror_evict(struct uhmm_dmirror_device *device, unsigned long first,
		   unsigned long npages)
{
	unsigned long src[TABLE_PAGES], dst[TABLE_PAGES] = { 0 }, i;
	bool all = true;

	migrate_device_range(src, first, npages);
	for (i = 0; i < npages; i++)
		if (src[i] & MIGRATE_PFN_MIGRATE)
			all &= dmirror_move(device, uhmm_device_page_mm(
						uhmm_migrate_pfn_of(src[i])),
					    src + i, dst + i, false,
					    dmirror_system_page);
	migrate_device_pages(src, dst, npages);
	migrate_device_finalize(src, dst, npages);
	return all;
}
