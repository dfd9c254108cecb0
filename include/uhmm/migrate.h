/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Moving pages to a device's memory and back.
 *
 *	args = { .vma, .start, .end, .src, .dst, .pgmap_owner, .flags };
 *	migrate_vma_setup(&args);	src: what may go; nobody can touch it now
 *	  for each src[i] with MIGRATE_PFN_MIGRATE:
 *		take a page, copy into it, dst[i] = migrate_pfn(its frame)
 *	migrate_vma_pages(&args);	src: MIGRATE_PFN_MIGRATE where it went
 *	  device page tables may be changed here
 *	migrate_vma_finalize(&args);	all can touch it again
 *
 * Best effort: nothing is waited for, and what is busy stays where it is.
 * Views of the range are told by MMU_NOTIFY_MIGRATE with the owner; whoever
 * migrates leaves his own alone, since he changes his view himself.
 */
#ifndef UHMM_MIGRATE_H
#define UHMM_MIGRATE_H

#include <stddef.h>

#include <uhmm/mm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MIGRATE_PFN_VALID	(1UL << 0)	/* there is a page */
#define MIGRATE_PFN_MIGRATE	(1UL << 1)	/* it goes */
#define MIGRATE_PFN_WRITE	(1UL << 3)	/* its entry may be written */
#define MIGRATE_PFN_COMPOUND	(1UL << 4)	/* UHMM_PMD_ORDER of them */
#define UHMM_MIGRATE_PFN_THERE	(1UL << 5)	/* its bytes are at dst already */
#define MIGRATE_PFN_SHIFT	6

#define MIGRATE_VMA_SELECT_SYSTEM		(1UL << 0)
#define MIGRATE_VMA_SELECT_DEVICE_PRIVATE	(1UL << 1)
#define MIGRATE_VMA_SELECT_DEVICE_COHERENT	(1UL << 2)
#define MIGRATE_VMA_SELECT_COMPOUND		(1UL << 3)
#define UHMM_MIGRATE_DST_GIVEN			(1UL << 16)

/**
 * struct migrate_vma - a migration
 * @vma: the area, as uhmm_mm_find_vma() returned it
 * @dst: where each page goes: migrate_pfn() of a frame that the caller took,
 *	or 0: it stays
 * @src: what is there, see migrate_vma_setup()
 * @cpages: returns how many may go
 * @npages: returns how many were looked at
 * @start: first byte
 * @end: first byte behind; both are cut to whole pages
 * @pgmap_owner: whoever migrates; also, which device memory is selected
 * @flags: MIGRATE_VMA_SELECT_*: pages of memory, of private or of coherent
 *	device memory; COMPOUND: huge pages need not be split;
 *	UHMM_MIGRATE_DST_GIVEN: @dst is filled before migrate_vma_setup(), which
 *	may put the contents there at once: then UHMM_MIGRATE_PFN_THERE says that
 *	there is nothing to copy, and a copy does nothing
 * @fault_page: the page that a CPU waits for, from &vm_fault.page; 0: none
 *
 * Of a huge page that is not split the first entry has MIGRATE_PFN_COMPOUND,
 * and the others are 0; so in @dst. If @dst has single pages for it, it is split
 * in migrate_vma_pages().
 */
struct migrate_vma {
	const struct uhmm_vma *vma;
	unsigned long *dst;
	unsigned long *src;
	unsigned long cpages;
	unsigned long npages;
	unsigned long start;
	unsigned long end;
	void *pgmap_owner;
	unsigned long flags;
	unsigned long fault_page;
};

/**
 * migrate_pfn() - a frame as an entry of &migrate_vma.dst
 * @pfn: its number
 *
 * Context: any.
 * Return: the entry.
 */
static inline unsigned long migrate_pfn(unsigned long pfn)
{
	return (pfn << MIGRATE_PFN_SHIFT) | MIGRATE_PFN_VALID;
}

/**
 * uhmm_migrate_pfn_of() - the frame in an entry of &migrate_vma.src or dst
 * @mpfn: the entry
 *
 * Context: any.
 * Return: its number; 0: there is none.
 */
static inline unsigned long uhmm_migrate_pfn_of(unsigned long mpfn)
{
	return mpfn & MIGRATE_PFN_VALID ? mpfn >> MIGRATE_PFN_SHIFT : 0;
}

/**
 * migrate_vma_setup() - take pages out of the page tables
 * @args: what; @src and @dst have room for all of the range
 *
 * @src returns what may go, with MIGRATE_PFN_MIGRATE; without
 * MIGRATE_PFN_VALID there is no page, as in an area never touched, and a page of
 * zeroes, or any, may be put there. The pages are locked and their contents do
 * not change until migrate_vma_finalize(), which must be called, even when
 * @cpages is 0.
 *
 * Context: may sleep; mmap_lock held.
 * Return: 0, also if nothing may go; -EINVAL: @args, @vma, @src or @dst is
 * NULL, the range is empty or not in @vma, the area is special or of huge
 * pages of a pool, @flags has no kind of memory or an unknown bit, @fault_page
 * is no page of private memory; -EOPNOTSUPP: the address space has no
 * migration.
 */
int migrate_vma_setup(struct migrate_vma *args);

/**
 * migrate_vma_pages() - make the copies the pages
 * @args: from migrate_vma_setup(), with @dst filled
 *
 * What does not go has no MIGRATE_PFN_MIGRATE in @src any more. The pages are
 * still locked.
 *
 * Context: may sleep; mmap_lock held as in migrate_vma_setup().
 */
void migrate_vma_pages(struct migrate_vma *args);

/**
 * migrate_vma_finalize() - put pages back into the page tables
 * @args: from migrate_vma_setup()
 *
 * What went is at its new place, what did not is where it was. Gives the locks
 * and references to @src back, and those to @dst, whether they are used or not.
 *
 * Context: may sleep; mmap_lock held as in migrate_vma_setup().
 */
void migrate_vma_finalize(struct migrate_vma *args);

/* ------------------------------------------------ by frame, not by address
 * To empty a device: no address space, no mmap_lock.
 */

/**
 * migrate_device_range() - take frames of a device out of all page tables
 * @src_pfns: returns what may go, as &migrate_vma.src; 0: free or locked
 * @start: first frame
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL: @src_pfns is NULL.
 */
int migrate_device_range(unsigned long *src_pfns, unsigned long start,
			 unsigned long npages);

/**
 * migrate_device_pfns() - take any frames of devices out of all page tables
 * @src_pfns: in: frame numbers; out: as of migrate_device_range()
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 * Return: 0; -EINVAL: @src_pfns is NULL.
 */
int migrate_device_pfns(unsigned long *src_pfns, unsigned long npages);

/**
 * migrate_device_pages() - make the copies the pages
 * @src_pfns: from migrate_device_range()
 * @dst_pfns: where to, as &migrate_vma.dst; see uhmm_device_page_mm()
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 */
void migrate_device_pages(unsigned long *src_pfns, unsigned long *dst_pfns,
			  unsigned long npages);

/**
 * migrate_device_finalize() - put pages back into the page tables
 * @src_pfns: from migrate_device_range()
 * @dst_pfns: as for migrate_device_pages()
 * @npages: how many
 *
 * Context: may sleep; mmap_lock not held.
 */
void migrate_device_finalize(unsigned long *src_pfns, unsigned long *dst_pfns,
			     unsigned long npages);

/**
 * migrate_device_coherent_page() - bring a page of coherent memory home
 * @pfn: the frame; the caller has a reference, which is given back
 *
 * Context: may sleep; mmap_lock may be held for reading.
 * Return: 0; -EBUSY: it is locked, or somebody else has a reference; -ENOMEM;
 * -EINVAL: it is no coherent memory.
 */
int migrate_device_coherent_page(unsigned long pfn);

/* -------------------------------------------------------- exclusive access */

/**
 * make_device_exclusive() - take a page away from the CPUs
 * @mm: the address space
 * @addr: the page
 * @owner: who takes it: &mmu_notifier_range.owner of the MMU_NOTIFY_EXCLUSIVE
 *	that is sent, to be left alone by his own callback
 * @ret_pfn: returns the frame
 *
 * It is made present and writable first. CPUs that touch it wait until
 * uhmm_device_exclusive_put(), and then take it back; that is a
 * MMU_NOTIFY_CLEAR (MMU_NOTIFY_EXCLUSIVE at kernel level 6.1) before. To be sure
 * that nothing is lost in between, begin a read of a subscription before, and
 * install only if its retry is false.
 *
 * Context: may sleep; mmap_lock held for reading.
 * Return: 0; -EFAULT; -ENOMEM; -EHWPOISON; -EINTR; -EBUSY: somebody holds the page;
 * -EOPNOTSUPP: not anonymous memory, or the address space has no such access;
 * -EINVAL: @ret_pfn is NULL.
 */
int make_device_exclusive(struct mm_struct *mm, unsigned long addr, void *owner,
			  unsigned long *ret_pfn);

/**
 * make_device_exclusive_range() - take many pages, as Linux 6.1 had it
 * @mm: the address space
 * @start: first page
 * @end: first byte behind
 * @pfns: returns the frames; 0 for pages that could not be had
 * @owner: as for make_device_exclusive()
 *
 * All are made present before the first is taken.
 *
 * Context: may sleep; mmap_lock held for reading.
 * Return: how many of @pfns were filled, with 0 or not: less than all if a page
 * could not be made present; -EFAULT and its like if that was the first;
 * -EINVAL: no pages, or @pfns is NULL; -EOPNOTSUPP.
 */
int make_device_exclusive_range(struct mm_struct *mm, unsigned long start,
				unsigned long end, unsigned long *pfns,
				void *owner);

/**
 * uhmm_device_exclusive_put() - let CPUs have the page again when they touch it
 * @mm: the address space
 * @pfn: what make_device_exclusive() returned
 *
 * Linux's unlock_page() and put_page(). The device may use the page until it
 * is invalidated.
 *
 * Context: may sleep.
 */
void uhmm_device_exclusive_put(struct mm_struct *mm, unsigned long pfn);

#ifdef __cplusplus
}
#endif
#endif
