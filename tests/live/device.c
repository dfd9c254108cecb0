/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uhmm/mmu_notifier.h>

#include "lib/words.h"

#define PAGE UHMM_PAGE_SIZE

/* -------------------------------------------------------------------- memory */

static unsigned long first_pfn(const struct device *device)
{
	return device->pgmap.range.start >> UHMM_PAGE_SHIFT;
}

/*
 * So many as entries for @dst; 0: there are no more. The lowest are taken first,
 * so that those of a batch follow each other.
 */
static void pages_take(struct device *device, unsigned long *dst,
		       unsigned long n)
{
	unsigned long entry = migrate_pfn(first_pfn(device)), at, i;

	pthread_mutex_lock(&device->lock);
	if (n > device->nfree) {
		memset(dst + device->nfree, 0,
		       (n - device->nfree) * sizeof(*dst));
		n = device->nfree;
	}
	device->nfree -= n;
	for (i = 0, at = device->lowest; i < n; at++) {
		if (device->taken[at])
			continue;
		device->taken[at] = true;
		dst[i++] = entry + (at << MIGRATE_PFN_SHIFT);
	}
	device->lowest = at;
	pthread_mutex_unlock(&device->lock);
	if (uhmm_device_pages_init(dst, n) != n)
		abort();
}

unsigned long device_nfree(struct device *device)
{
	unsigned long n;

	pthread_mutex_lock(&device->lock);
	n = device->nfree;
	pthread_mutex_unlock(&device->lock);
	return n;
}

static void page_free(struct dev_pagemap *pgmap, unsigned long pfn,
		      unsigned int order)
{
	struct device *device = (struct device *)pgmap;
	unsigned long at = pfn - first_pfn(device);

	pthread_mutex_lock(&device->lock);
	device->taken[at] = false;
	device->nfree++;
	if (at < device->lowest)
		device->lowest = at;
	pthread_mutex_unlock(&device->lock);
	if (device->freed)
		device->freed(device);
}

/* ---------------------------------------------------------------------- home */

static unsigned long home_for(struct device *device, struct mm_struct *mm,
			      unsigned long from)
{
	unsigned long to;
	int ret = device->no_copy ? uhmm_page_stand_in(mm, from, &to) :
				    uhmm_page_alloc(mm, 0, &to);

	return ret ? 0 : to;
}

static long bring_home(struct device *device, struct migrate_vma *args)
{
	struct mm_struct *mm = args->vma->mm;
	unsigned long i, from, to;
	long n = 0;
	int ret = migrate_vma_setup(args);

	if (ret)
		return ret;
	for (i = 0; i < args->npages; i++) {
		from = uhmm_migrate_pfn_of(args->src[i]);
		if (!from || !(args->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		to = home_for(device, mm, from);
		if (!to)
			continue;
		uhmm_page_copy(mm, to, from);
		args->dst[i] = migrate_pfn(to);
	}
	if (device->between)
		device->between(device);
	migrate_vma_pages(args);
	for (i = 0; i < args->npages; i++)
		n += args->src[i] & MIGRATE_PFN_MIGRATE && args->dst[i];
	migrate_vma_finalize(args);
	return n;
}

static vm_fault_t to_ram(struct vm_fault *vmf)
{
	struct device *device = uhmm_device_page_owner(vmf->page);
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.vma = vmf->vma,
		.src = &src,
		.dst = &dst,
		.start = vmf->address,
		.end = vmf->address + PAGE,
		.pgmap_owner = device,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
		.fault_page = vmf->page,
	};

	device->touched = *vmf->vma;
	if (device->lost)
		return VM_FAULT_SIGBUS;
	bring_home(device, &args);
	return 0;
}

static const struct dev_pagemap_ops device_ops = {
	.folio_free = page_free,
	.migrate_to_ram = to_ram,
};

static int make(struct device *device, unsigned long npages, bool no_copy,
		enum memory_type type)
{
	void *memory;
	int ret;

	memset(device, 0, sizeof(*device));
	pthread_mutex_init(&device->lock, NULL);
	memory = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Shared, so that it is not sent away itself. */
	device->taken = mmap(NULL, npages * sizeof(*device->taken),
			     PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			     -1, 0);
	if (memory == MAP_FAILED || device->taken == MAP_FAILED)
		return -ENOMEM;
	madvise(memory, npages * PAGE, MADV_NOHUGEPAGE);
	device->npages = npages;
	device->no_copy = no_copy;
	device->pgmap = (struct dev_pagemap){
		.type = type,
		.owner = device,
		.ops = &device_ops,
		.nr_range = 1,
		.range.end = npages * PAGE - 1,
		.memory = memory,
	};
	ret = uhmm_ptr_err(memremap_pages(&device->pgmap, 0));
	if (ret)
		return ret;
	device->nfree = npages;
	return 0;
}

int device_make(struct device *device, unsigned long npages, bool no_copy)
{
	return make(device, npages, no_copy, MEMORY_DEVICE_PRIVATE);
}

int device_make_coherent(struct device *device, unsigned long npages,
			 bool no_copy)
{
	return make(device, npages, no_copy, MEMORY_DEVICE_COHERENT);
}

void device_destroy(struct device *device)
{
	memunmap_pages(&device->pgmap);
	munmap(device->pgmap.memory, device->npages * PAGE);
	munmap(device->taken, device->npages * sizeof(*device->taken));
	pthread_mutex_destroy(&device->lock);
}

/* ------------------------------------------------------------------- batches */

/* Some batches, everything in one area; and the one that it is the turn of. */
struct batch {
	struct migrate_vma args;
	struct uhmm_vma vma;
	unsigned long src[DEVICE_BATCH];
	unsigned long dst[DEVICE_BATCH];
};

/* The area around @start. */
static int batch_begin(struct batch *batch, struct mm_struct *mm,
		       const void *start)
{
	unsigned long addr = (unsigned long)start;
	int ret = uhmm_mm_find_vma(mm, addr, &batch->vma);

	return ret || batch->vma.start <= addr ? ret : -EFAULT;
}

/* Where they go to, where that is to be known first: of all of them at once. */
static void batches_set(struct device *device, struct batch *batch,
			const char *start, unsigned long npages, bool takes)
{
	unsigned long left = (batch->vma.end - (unsigned long)start) / PAGE;

	memset(batch->dst, 0, npages * sizeof(batch->dst[0]));
	if (takes && device->no_copy)
		pages_take(device, batch->dst, npages < left ? npages : left);
}

/* The @at-th page, which is at @start, and as many as there are of the batch. */
static void batch_set(struct device *device, struct batch *batch, unsigned long at,
		      const void *start, unsigned long npages)
{
	unsigned long addr = (unsigned long)start;

	batch->args = (struct migrate_vma){
		.vma = &batch->vma,
		.src = batch->src + at,
		.dst = batch->dst + at,
		.start = addr,
		.end = addr + npages * PAGE,
		.pgmap_owner = device,
	};
	if (batch->args.end > batch->vma.end)
		batch->args.end = batch->vma.end;
}

static void fill_one(struct device *device, struct batch *batch,
		     unsigned long i)
{
	struct mm_struct *mm = batch->vma.mm;
	unsigned long from = uhmm_migrate_pfn_of(batch->src[i]), to;

	if (!(batch->src[i] & MIGRATE_PFN_MIGRATE))
		return;
	to = uhmm_migrate_pfn_of(batch->dst[i]);
	if (!to) {
		pages_take(device, &batch->dst[i], 1);
		to = uhmm_migrate_pfn_of(batch->dst[i]);
	}
	if (!to)
		return;
	if (from)
		uhmm_page_copy(mm, to, from);
	else
		memset(uhmm_page_ptr(mm, to), 0, PAGE);
}

static long count_going(const struct migrate_vma *args)
{
	const unsigned long n = args->npages;
	long going = 0;

	if (words_and(args->src, n) & MIGRATE_PFN_MIGRATE &&
	    words_and(args->dst, n) & MIGRATE_PFN_VALID)
		return (long)n;
	for (unsigned long i = 0; i < n; i++)
		going += args->src[i] & MIGRATE_PFN_MIGRATE && args->dst[i];
	return going;
}

static long take(struct device *device, struct batch *batch)
{
	struct migrate_vma *args = &batch->args;
	unsigned long i;
	bool there;
	long went;
	int ret;

	args->flags = MIGRATE_VMA_SELECT_SYSTEM;
	if (device->no_copy)
		args->flags |= UHMM_MIGRATE_DST_GIVEN;
	ret = migrate_vma_setup(args);
	if (ret)
		return ret;
	there = words_and(args->src, args->npages) & UHMM_MIGRATE_PFN_THERE;
	for (i = 0; i < args->npages && !there; i++)
		if (!(args->src[i] & UHMM_MIGRATE_PFN_THERE))
			fill_one(device, batch, i);
	if (device->between)
		device->between(device);
	migrate_vma_pages(args);
	went = count_going(args);
	migrate_vma_finalize(args);
	return went;
}

static unsigned long pages_up_to(const char *start, const char *end, unsigned long most)
{
	unsigned long n = (unsigned long)(end - start) / PAGE;

	return n < most ? n : most;
}

/* @npages, @most at a time, by @fn. */
static long with_batch(struct device *device, struct mm_struct *mm, char *start,
		       unsigned long npages, unsigned long most,
		       long (*fn)(struct device *device, struct batch *batch))
{
	unsigned long at, n;
	struct batch batch;
	long sum = 0, ret;
	char *end = start + npages * PAGE;

	mmap_read_lock(mm);
	ret = batch_begin(&batch, mm, start);
	for (at = DEVICE_BATCH; start < end && ret >= 0; start += n * PAGE) {
		if (at == DEVICE_BATCH) {
			at = 0;
			n = pages_up_to(start, end, DEVICE_BATCH);
			batches_set(device, &batch, start, n, fn == take);
		}
		n = pages_up_to(start, end,
				most < DEVICE_BATCH - at ? most : DEVICE_BATCH - at);
		batch_set(device, &batch, at, start, n);
		ret = fn(device, &batch);
		at += n;
		sum += ret;
	}
	mmap_read_unlock(mm);
	return ret < 0 ? ret : sum;
}

long device_take(struct device *device, struct mm_struct *mm, void *start,
		 unsigned long npages)
{
	return with_batch(device, mm, start, npages, DEVICE_BATCH, take);
}

long device_take_by(struct device *device, struct mm_struct *mm, void *start,
		    unsigned long npages, unsigned long most)
{
	return with_batch(device, mm, start, npages, most, take);
}

static long give(struct device *device, struct batch *batch)
{
	batch->args.flags = device->pgmap.type == MEMORY_DEVICE_PRIVATE ?
				    MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
				    MIGRATE_VMA_SELECT_DEVICE_COHERENT;
	return bring_home(device, &batch->args);
}

long device_return(struct device *device, struct mm_struct *mm, void *start,
		   unsigned long npages)
{
	return with_batch(device, mm, start, npages, DEVICE_BATCH, give);
}

char *device_bytes(struct mm_struct *mm, const void *addr)
{
	struct uhmm_pte pte;
	size_t one = 1;
	int ret;

	mmap_read_lock(mm);
	ret = uhmm_mm_walk(mm, (unsigned long)addr, &one, &pte);
	mmap_read_unlock(mm);
	if (ret || pte.state != UHMM_PTE_DEVICE_PRIVATE)
		return NULL;
	return uhmm_page_ptr(mm, pte.pfn);
}
