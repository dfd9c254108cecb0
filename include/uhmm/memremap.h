/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Device memory: frames that have numbers, references and an owner.
 *
 * memremap_pages() gives a device's memory frame numbers, from
 * UHMM_DEVICE_PFN_BASE on and never the same for two at a time. Private memory
 * is what the CPU cannot touch: an entry that leads to it is not present, and a
 * CPU that needs the page has it brought home by
 * &dev_pagemap_ops.migrate_to_ram. Coherent memory is mapped like any other.
 *
 * A frame that is in use has references: one of whoever took it from the
 * driver's free list by zone_device_page_init(), one for each entry that leads
 * to it. With the last, &dev_pagemap_ops.folio_free gives it back to the driver.
 * A locked frame is in the hands of one migration; nobody else takes it.
 *
 * The end is "disable, invalidate, drain": memunmap_pages() refuses new frames
 * and references to the pagemap at once, and returns when the last frame was
 * given back. To get them back is the driver's: migrate_device_range() before.
 */
#ifndef UHMM_MEMREMAP_H
#define UHMM_MEMREMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/mm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dev_pagemap;

/**
 * enum memory_type - who can touch it
 * @MEMORY_DEVICE_PRIVATE: only the device
 * @MEMORY_DEVICE_COHERENT: CPUs too
 */
enum memory_type {
	MEMORY_DEVICE_PRIVATE = 1,
	MEMORY_DEVICE_COHERENT
};

typedef unsigned int vm_fault_t;

#define VM_FAULT_OOM		0x1U
#define VM_FAULT_SIGBUS		0x2U

/**
 * struct vm_fault - a CPU has touched device-private memory
 * @vma: the area, or of it the part around @address that pages may be away from;
 *	@vma->mm is the address space
 * @address: the page's
 * @flags: UHMM_FAULT_*
 * @page: its frame: locked and referenced for the call, and to be passed on as
 *	&migrate_vma.fault_page
 */
struct vm_fault {
	const struct uhmm_vma *vma;
	unsigned long address;
	unsigned int flags;
	unsigned long page;
};

/**
 * struct dev_pagemap_ops - what a driver does for its memory
 * @folio_free: the last reference to 2^@order frames is gone: they may be used
 *	again. Must not sleep, nor call the library.
 * @migrate_to_ram: bring the page home with migrate_vma_setup() and its like.
 *	0, also if it could not be had now: the CPU tries again; VM_FAULT_SIGBUS;
 *	VM_FAULT_OOM. mmap_lock is held for reading. Private memory only.
 * @folio_split: 2^order frames at @head become single ones; called for each
 *	but the first. Optional.
 */
struct dev_pagemap_ops {
	void (*folio_free)(struct dev_pagemap *pgmap, unsigned long pfn,
			   unsigned int order);
	vm_fault_t (*migrate_to_ram)(struct vm_fault *vmf);
	void (*folio_split)(struct dev_pagemap *pgmap, unsigned long head,
			    unsigned long pfn);
};

/**
 * struct range - bytes of device memory, as Linux counts them: end included
 * @start: first byte: the first frame's number, shifted by UHMM_PAGE_SHIFT
 * @end: last byte
 */
struct range {
	uint64_t start;
	uint64_t end;
};

/**
 * struct dev_pagemap - a piece of device memory
 * @type: who can touch it
 * @owner: whose it is; what &migrate_vma.pgmap_owner and
 *	&hmm_range.dev_private_owner are compared with
 * @ops: the driver's
 * @nr_range: 1
 * @range: its bytes. @range.start 0: memremap_pages() picks a place for
 *	@range.end + 1 bytes and writes it here, the start a multiple of the
 *	size of a huge page.
 * @memory: the bytes, if this process can reach them; NULL: it cannot
 *
 * All but the private part is the caller's, and stays as it is from
 * memremap_pages() until memunmap_pages() has returned.
 */
struct dev_pagemap {
	enum memory_type type;
	void *owner;
	const struct dev_pagemap_ops *ops;
	int nr_range;
	struct range range;
	void *memory;
	/* private: */
	struct dev_pagemap *next;
	struct uhmm_device_frame *frames;
	unsigned long refs;
	unsigned int gone;
	unsigned int dying;
};

/**
 * memremap_pages() - give device memory frame numbers
 * @pgmap: which memory, and whose
 * @nid: the node it is on; not used
 *
 * Context: may sleep.
 * Return: &dev_pagemap.memory, NULL or not; or an error pointer, see
 * uhmm_ptr_err(): -EINVAL: @pgmap or @pgmap->ops is NULL, @nr_range is not 1,
 * @type is unknown, there is no owner, no folio_free, or private memory has no
 * migrate_to_ram, or @range is not whole pages; -ENOMEM: it overlaps another
 * one, or there is no memory to keep track of it; -ENXIO: it lies below
 * UHMM_DEVICE_PFN_BASE, where memory is, or too high.
 */
void *memremap_pages(struct dev_pagemap *pgmap, int nid);

/**
 * memunmap_pages() - take device memory away
 * @pgmap: which
 *
 * Refuses zone_device_page_init() and get_dev_pagemap() from now on, waits
 * until all references are given back, and forgets the frames.
 *
 * Context: may sleep; no lock held that folio_free takes, nor mmap_lock.
 */
void memunmap_pages(struct dev_pagemap *pgmap);

/**
 * uhmm_memunmap_pages_timeout() - take it away, with an end to patience
 * @pgmap: which
 * @timeout_ns: how long to wait for references, in nanoseconds; < 0: for ever
 *
 * After an error new references stay refused: call it again.
 *
 * Context: as memunmap_pages().
 * Return: 0; -ETIMEDOUT; -EINTR: a signal handler ran; -EINVAL: @pgmap is NULL
 * or not mapped.
 */
int uhmm_memunmap_pages_timeout(struct dev_pagemap *pgmap, int64_t timeout_ns);

/**
 * get_dev_pagemap() - which device memory is this frame of?
 * @pfn: the frame
 *
 * Context: any.
 * Return: it, kept until put_dev_pagemap(); NULL: it is none, or it is about
 * to go.
 */
struct dev_pagemap *get_dev_pagemap(unsigned long pfn);

/**
 * put_dev_pagemap() - give a get_dev_pagemap() back
 * @pgmap: what that returned; NULL is left alone
 *
 * Context: any.
 */
void put_dev_pagemap(struct dev_pagemap *pgmap);

/**
 * zone_device_page_init() - take a free frame into use
 * @pfn: the frame, or the first of 2^@order
 * @order: 0; UHMM_PMD_ORDER
 *
 * It has one reference and is locked, as migrate_vma_finalize() expects what
 * is in &migrate_vma.dst, and gives both back.
 *
 * Context: any.
 * Return: 0; -ENXIO: no such frames, or their memory is about to go; -EBUSY:
 * one of them is in use; -EINVAL: not aligned to @order.
 */
int zone_device_page_init(unsigned long pfn, unsigned int order);

/**
 * uhmm_device_pages_init() - take many free frames into use
 * @mpfns: single frames, as entries of &migrate_vma.dst
 * @n: how many
 *
 * As zone_device_page_init() of each; of frames in a row it is a fraction of that.
 *
 * Context: any.
 * Return: how many were free, beginning with the first: the one behind them was not,
 * and those behind that were not looked at.
 */
unsigned long uhmm_device_pages_init(const unsigned long *mpfns,
				     unsigned long n);

/* ------------------------------------------- for those who have page tables
 * Each entry that leads to a device frame has a reference of its own.
 */

/**
 * uhmm_is_device_pfn() - is it a frame of device memory?
 * @pfn: frame number
 *
 * Context: any.
 * Return: true if it is.
 */
static inline bool uhmm_is_device_pfn(unsigned long pfn)
{
	return pfn >= UHMM_DEVICE_PFN_BASE;
}

/**
 * uhmm_device_page_get() - take another reference to a frame in use
 * @pfn: the frame; of a larger page any
 *
 * Context: any.
 * Return: true; false: it is not in use.
 */
bool uhmm_device_page_get(unsigned long pfn);

/**
 * uhmm_device_page_put() - give a reference back; the last one frees the page
 * @pfn: the frame; of a larger page any
 *
 * Context: any that folio_free may run in.
 */
void uhmm_device_page_put(unsigned long pfn);

/**
 * uhmm_device_page_count() - how many references
 * @pfn: the frame; of a larger page any
 *
 * Context: any.
 * Return: their number.
 */
unsigned long uhmm_device_page_count(unsigned long pfn);

/**
 * uhmm_device_page_trylock() - lock a frame, unless it is locked
 * @pfn: the frame; of a larger page any
 *
 * Context: any; the caller has a reference.
 * Return: true if it was locked.
 */
bool uhmm_device_page_trylock(unsigned long pfn);

/**
 * uhmm_device_page_unlock() - unlock it, and wake who waits for that
 * @pfn: the frame; of a larger page any
 *
 * Context: any.
 */
void uhmm_device_page_unlock(unsigned long pfn);

/**
 * uhmm_device_page_order() - how large is the page that a frame is of?
 * @pfn: the frame
 *
 * Context: any; the caller has a reference.
 * Return: 0, or what zone_device_page_init() got.
 */
unsigned int uhmm_device_page_order(unsigned long pfn);

/**
 * uhmm_device_page_split() - make single frames of a larger page
 * @pfn: any of its frames
 * @refs: how many references each but the first gets; the first keeps all
 *
 * All become locked if it was.
 *
 * Context: any; the caller has a reference, and the page locked.
 */
void uhmm_device_page_split(unsigned long pfn, unsigned long refs);

/**
 * uhmm_device_page_owner() - whose memory is it?
 * @pfn: the frame
 *
 * Context: any; the caller has a reference.
 * Return: &dev_pagemap.owner.
 */
void *uhmm_device_page_owner(unsigned long pfn);

/**
 * uhmm_device_page_mm() - where is a frame mapped?
 * @pfn: the frame
 *
 * Context: any; the caller has a reference.
 * Return: the address space it last went to, by a migration that is over; it may
 * have ended, and the page be in what was forked from it. NULL: it was in none yet.
 */
struct mm_struct *uhmm_device_page_mm(unsigned long pfn);

/**
 * uhmm_migrate_to_ram() - a CPU needs what is in device-private memory
 * @vma: the area, with @vma->mm
 * @addr: the page that was touched
 * @pfn: the frame that its entry leads to
 * @flags: UHMM_FAULT_*
 *
 * For &uhmm_mm_ops.fault. If the frame is locked it waits until it is not.
 *
 * Context: may sleep; mmap_lock held for reading, no other lock.
 * Return: 0: look at the entry again; -EFAULT: the driver has lost it;
 * -ENOMEM; -EAGAIN: UHMM_FAULT_NOWAIT, and it would wait.
 */
int uhmm_migrate_to_ram(const struct uhmm_vma *vma, unsigned long addr,
			unsigned long pfn, unsigned int flags);

#ifdef __cplusplus
}
#endif
#endif
