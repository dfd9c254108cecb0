/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What an address space supplies: areas, page table entries, faults, and, if
 * pages are to go to a device, pages. Part of <uhmm/mm.h>, which includes it.
 *
 * &struct uhmm_mm_ops is the one place where an address space meets the rest;
 * a VMM's guest memory is a table like this, filled in an afternoon. What is
 * left NULL answers -EOPNOTSUPP, and only what needs it is then missing:
 *
 *	find_vma, walk, fault	a device mirrors pages: hmm_range_fault()
 *	page_ptr		a device that is a program reaches their bytes
 *	page_alloc, page_put	pages come home from a device
 *	migrate_*		pages go to a device and back: migrate_vma_setup()
 *	page_get, make_exclusive, page_unlock	atomic access for a device
 *
 * Each change of a page table is the address space's to bracket with
 * mmu_notifier_invalidate_range_start() and _end(), in these operations as in
 * its own system calls, but for MMU_NOTIFY_MIGRATE, which the library sends.
 * No lock of the address space but mmap_lock may be held while it does that,
 * or calls uhmm_migrate_to_ram(): both call drivers, which call it again.
 *
 * Pages have frame numbers. Those of an address space's own memory are its
 * own affair, below UHMM_DEVICE_PFN_BASE and not 0; UHMM_ZERO_PFN is the page of
 * zeroes of all. Device memory has the others, see <uhmm/memremap.h>, where its
 * references and locks are kept.
 */
#ifndef UHMM_MM_OPS_H
#define UHMM_MM_OPS_H

#include <uhmm/mm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct migrate_vma;

#define UHMM_PAGE_SHIFT		12
#define UHMM_PAGE_SIZE		(1UL << UHMM_PAGE_SHIFT)
#define UHMM_PMD_ORDER		9	/* a table, or a huge page: 2 MiB */
#define UHMM_ZERO_PFN		1UL
#define UHMM_DEVICE_PFN_BASE	(1UL << 46)

/**
 * struct uhmm_vma - an area of an address space
 * @start: first byte
 * @end: first byte behind it
 * @flags: UHMM_VM_READ and its like
 * @mm: whose it is; written by uhmm_mm_find_vma(), not by the operation
 *
 * A copy: it is true while mmap_lock is held.
 */
struct uhmm_vma {
	unsigned long start;
	unsigned long end;
	unsigned long flags;
	struct mm_struct *mm;
};

#define UHMM_VM_READ	(1UL << 0)
#define UHMM_VM_WRITE	(1UL << 1)
#define UHMM_VM_EXEC	(1UL << 2)
#define UHMM_VM_SHARED	(1UL << 3)
#define UHMM_VM_ANON	(1UL << 4)	/* not backed by a file */
#define UHMM_VM_SPECIAL	(1UL << 5)	/* I/O or raw frames: no pages behind */
#define UHMM_VM_HUGETLB	(1UL << 6)
#define UHMM_VM_MIXEDMAP (1UL << 7)	/* a device's, with pages behind */

/**
 * enum uhmm_pte_state - what stands in a page table entry
 * @UHMM_PTE_NONE: nothing yet, or a marker that counts as nothing
 * @UHMM_PTE_PRESENT: a page of memory, or of coherent device memory
 * @UHMM_PTE_ZERO: the shared page of zeroes, or a huge one
 * @UHMM_PTE_SPECIAL: a frame that has no page, other than the zero page
 * @UHMM_PTE_SWAP: written out; a fault brings it back
 * @UHMM_PTE_PROTNONE: present, but a touch is to be noticed first
 * @UHMM_PTE_DEVICE_PRIVATE: the page is in memory that only a device reaches
 * @UHMM_PTE_DEVICE_EXCLUSIVE: a device has it to itself for now
 * @UHMM_PTE_MIGRATION: on its way elsewhere; a fault waits for that
 * @UHMM_PTE_POISON: the memory is broken, or a guard that refuses every touch
 */
enum uhmm_pte_state {
	UHMM_PTE_NONE = 0,
	UHMM_PTE_PRESENT,
	UHMM_PTE_ZERO,
	UHMM_PTE_SPECIAL,
	UHMM_PTE_SWAP,
	UHMM_PTE_PROTNONE,
	UHMM_PTE_DEVICE_PRIVATE,
	UHMM_PTE_DEVICE_EXCLUSIVE,
	UHMM_PTE_MIGRATION,
	UHMM_PTE_POISON
};

/**
 * struct uhmm_pte - one page as a walk sees it
 * @state: which of the fields below mean something
 * @order: what holds of this page holds of the 2^order aligned ones around
 *	it, by one entry: a larger mapping, a larger migration entry, or, of
 *	UHMM_PTE_NONE, no table below. 0 is one page.
 * @write: the page may be written without a fault; of device memory and of
 *	exclusive pages: could be, were it here
 * @pfn: frame number, of the page itself also inside of a larger mapping; of
 *	UHMM_PTE_ZERO UHMM_ZERO_PFN (or 0), unless a write that replaces the
 *	page is not announced: then a number that leads to whatever is there
 * @owner: device memory: &dev_pagemap.owner; exclusive: who asked for it
 */
struct uhmm_pte {
	enum uhmm_pte_state state;
	unsigned int order;
	bool write;
	unsigned long pfn;
	void *owner;
};

/**
 * struct uhmm_run - pages that follow each other and are of one kind
 * @pte: of the first; the frames of the others follow its @pfn
 * @npages: how many
 */
struct uhmm_run {
	struct uhmm_pte pte;
	size_t npages;
};

#define UHMM_FAULT_WRITE	(1U << 0)	/* the page is to be written */
#define UHMM_FAULT_NOWAIT	(1U << 1)	/* -EAGAIN rather than sleep */
#define UHMM_FAULT_UNLOCK	(1U << 2)	/* may give mmap_lock back */
#define UHMM_PAGE_LONGTERM	(1U << 3)	/* a pin that may last */

/**
 * struct uhmm_mm_ops - what an address space can do
 * @name: short, for reports: "bare", "live", "model"
 * @exit: mm_users reached 0; RELEASE has been delivered and no callback runs
 *	any more. Drop the page tables. May sleep. Optional.
 * @destroy: mm_count reached 0: free @private_data. Must not sleep. Optional.
 * @find_vma: the area that holds @addr, or the first one above it. 0, or
 *	-ENOENT. mmap_lock is held.
 * @walk: fill @ptes with the state of @npages pages from @addr on (page
 *	aligned), without changing anything. 0, or -EFAULT where there is no
 *	area: then *@npages says how many were filled. mmap_lock is held.
 * @walk_runs: the same for [@addr, @end), which lies in the area @vma, as runs:
 *	*@nruns says how many there is room for, and returns how many there are;
 *	if the room ends first, they are the first ones. Optional, and may
 *	answer -EOPNOTSUPP: @walk is used then.
 * @fault: make the page at @addr present as a CPU's touch would. @flags are
 *	UHMM_FAULT_*. 0; -EFAULT no area, or its protection forbids it; -ENOMEM;
 *	-EHWPOISON; -EINTR; -EAGAIN with UHMM_FAULT_NOWAIT: it would sleep; or
 *	with UHMM_FAULT_UNLOCK: it had to wait and gave mmap_lock back for
 *	that. mmap_lock is held for reading. A migration entry is waited for,
 *	and that is all then: 0 means, look again. Device-private memory is
 *	brought home by uhmm_migrate_to_ram(), exclusive access revoked.
 * @populate: the same for all pages from @start to @end, which lie in one
 *	area, the first ones present also when a later one fails. Optional: what
 *	is faster than one @fault a page.
 * @pending: may a change of [@start, @last] be on its way that has not been
 *	announced yet? For an address space that learns of changes after they
 *	were made: every read asks, when it begins with @wait, to sleep for a
 *	while or until that is over, and asks again; and when it ends, under
 *	user_lock, without. True if it was so. A change that was made before the
 *	call and is not announced when it returns must not be answered with
 *	false. Optional.
 * @fork: a copy of the address space as fork(2) makes it; the child has no
 *	open invalidation and no subscriptions. 0; -ENOMEM; -EAGAIN.
 * @page_ptr: the bytes of a frame of its own; NULL: they cannot be reached
 *	without a copy. They stay where they are while an entry, a reference or
 *	a caller's invalidation callback that has not run yet keeps the page.
 * @page_access: read (@write false) or write @len bytes of a frame from or to
 *	@buf, for address spaces where a pointer will not do. 0; -EFAULT: it is
 *	gone. Optional: @page_ptr is used instead.
 * @page_alloc: a page of 2^@order frames, zeroed, mapped nowhere, with one
 *	reference: where pages go when they come home. 0; -ENOMEM.
 * @page_stand_in: a frame whose bytes are those of a device's frame
 *	@device_pfn, so that it can be where that page goes without a copy. As
 *	@page_alloc. Optional.
 * @page_get: make the page at @addr present as @fault does (@flags may have
 *	UHMM_FAULT_WRITE and UHMM_PAGE_LONGTERM) and take a reference, for which
 *	the page stays where it is: migration finds it busy. 0; what @fault
 *	returns. mmap_lock is held for reading.
 * @page_put: give back what @page_alloc or @page_get returned; @flags are
 *	those of @page_get, or 0. Any context but under mmap_lock for writing.
 * @migrate_collect: look at each page from @args->start to @args->end, and
 *	fill @args->src: 0, or MIGRATE_PFN_MIGRATE if it may go, with
 *	MIGRATE_PFN_VALID and the frame if there is one (of private anonymous
 *	areas "no page" and the zero page may go too), with MIGRATE_PFN_WRITE if
 *	the entry has that. @args->flags and @args->pgmap_owner select. What may
 *	go is locked and referenced, without waiting for a lock: what is locked
 *	stays, but for @args->fault_page, which the caller has locked. Entries
 *	are replaced by migration entries. mmap_lock is held; the library has
 *	MIGRATE open for the range, and has filled @args->src with 0.
 * @migrate_unmap: MIGRATE is closed again: take the pages out of all other
 *	page tables too. What has references that no entry explains stays: its
 *	entries are restored, its lock and reference given back, and
 *	MIGRATE_PFN_MIGRATE cleared in @args->src (all of it, if nothing is held
 *	any more). Also called for frames of a device: @args->vma NULL,
 *	@args->npages 1, @args->src[0] the frame, locked and referenced; @mm may
 *	have ended, and the frame is in it or in what was forked from it.
 *	Optional: NULL if a page is never anywhere else, nor referenced.
 * @migrate_commit: contents are copied: for each page with
 *	MIGRATE_PFN_MIGRATE in @args->src and a frame in @args->dst make that
 *	the page, or clear MIGRATE_PFN_MIGRATE if it cannot be. Where there was
 *	no page the entry is set now, if there is still none: the library has
 *	MIGRATE open from the first such page on. Entries take references of
 *	their own: uhmm_device_page_get().
 * @migrate_finish: replace each migration entry by one to @args->dst, or, if
 *	MIGRATE_PFN_MIGRATE was cleared or @args->dst is 0, to @args->src;
 *	unlock the sources (not @args->fault_page) and give the collector's
 *	reference to them back. @args->dst is given back by the library, but for
 *	as many from the first on as are returned.
 * @migrate_settles: all that @migrate_commit does is to put pages where there were
 *	none, so that it is called for nothing else; and @migrate_finish may settle
 *	frames of a device itself, of many at once.
 * @make_exclusive: replace all entries of @pfn, which page_get found at
 *	@addr, by ones that only @owner may use until a CPU touches them, in a
 *	bracket of MMU_NOTIFY_EXCLUSIVE with @owner. On success the page is
 *	locked: CPUs that touch it wait for page_unlock. 0; -EBUSY: somebody
 *	else has it locked; -EAGAIN: it is not there any more; -EOPNOTSUPP: it
 *	is not anonymous memory.
 * @page_unlock: the end of that.
 *
 * @mm of the page_ and migrate_ operations is the address space that the
 * frames are in, or one that it was forked from. What migrate_ operations do
 * with frames of a device, they do with uhmm_device_page_trylock() and its
 * like.
 */
struct uhmm_mm_ops {
	const char *name;
	void (*exit)(struct mm_struct *mm, void *private_data);
	void (*destroy)(void *private_data);
	int (*find_vma)(struct mm_struct *mm, unsigned long addr,
			struct uhmm_vma *ret_vma);
	int (*walk)(struct mm_struct *mm, unsigned long addr, size_t *npages,
		    struct uhmm_pte *ptes);
	int (*walk_runs)(struct mm_struct *mm, unsigned long addr,
			 unsigned long end, const struct uhmm_vma *vma,
			 size_t *nruns, struct uhmm_run *runs);
	int (*fault)(struct mm_struct *mm, unsigned long addr,
		     unsigned int flags);
	int (*populate)(struct mm_struct *mm, unsigned long start,
			unsigned long end, unsigned int flags);
	bool (*pending)(struct mm_struct *mm, unsigned long start,
			unsigned long last, bool wait);
	int (*fork)(struct mm_struct *mm, struct mm_struct **ret_child);

	void *(*page_ptr)(struct mm_struct *mm, unsigned long pfn);
	int (*page_access)(struct mm_struct *mm, unsigned long pfn,
			   size_t offset, void *buf, size_t len, bool write);
	int (*page_alloc)(struct mm_struct *mm, unsigned int order,
			  unsigned long *ret_pfn);
	int (*page_stand_in)(struct mm_struct *mm, unsigned long device_pfn,
			     unsigned long *ret_pfn);
	int (*page_get)(struct mm_struct *mm, unsigned long addr,
			unsigned int flags, unsigned long *ret_pfn);
	void (*page_put)(struct mm_struct *mm, unsigned long pfn,
			 unsigned int flags);

	void (*migrate_collect)(struct mm_struct *mm, struct migrate_vma *args);
	void (*migrate_unmap)(struct mm_struct *mm, struct migrate_vma *args);
	void (*migrate_commit)(struct mm_struct *mm, struct migrate_vma *args);
	unsigned long (*migrate_finish)(struct mm_struct *mm,
					struct migrate_vma *args);
	bool migrate_settles;

	int (*make_exclusive)(struct mm_struct *mm, unsigned long addr,
			      unsigned long pfn, void *owner);
	void (*page_unlock)(struct mm_struct *mm, unsigned long pfn);
};

/* -------------------------------------------- the operations, as functions */

/**
 * uhmm_mm_find_vma() - the area at or above an address
 * @mm: the address space
 * @addr: the address
 * @ret_vma: returns the area
 *
 * Context: may sleep; mmap_lock held.
 * Return: 0; -ENOENT: none; -EINVAL: @ret_vma is NULL; -EOPNOTSUPP.
 */
int uhmm_mm_find_vma(struct mm_struct *mm, unsigned long addr,
		     struct uhmm_vma *ret_vma);

/**
 * uhmm_mm_walk() - look at page table entries
 * @mm: the address space
 * @addr: first page
 * @npages: in: how many pages; out: how many entries of @ptes were filled
 * @ptes: returns the entries
 *
 * Context: may sleep; mmap_lock held.
 * Return: 0; -EFAULT: the walk met a hole; -EINVAL: a NULL pointer or no
 * pages; -EOPNOTSUPP.
 */
int uhmm_mm_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
		 struct uhmm_pte *ptes);

/**
 * uhmm_mm_fault() - make a page present as a CPU's touch would
 * @mm: the address space
 * @addr: the page
 * @flags: UHMM_FAULT_WRITE; one of UHMM_FAULT_NOWAIT, UHMM_FAULT_UNLOCK
 *
 * Context: may sleep unless UHMM_FAULT_NOWAIT; mmap_lock held for reading.
 * Return: 0; -EFAULT; -ENOMEM; -EHWPOISON; -EINTR; -EAGAIN: it would have had
 * to sleep, or, with UHMM_FAULT_UNLOCK, it has and mmap_lock is not held any
 * more; -EINVAL: unknown flag, or both; -EOPNOTSUPP.
 */
int uhmm_mm_fault(struct mm_struct *mm, unsigned long addr, unsigned int flags);

/**
 * uhmm_mm_fork() - copy an address space as fork(2) does
 * @mm: the address space
 * @ret_child: returns the copy
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EAGAIN; -EINVAL: @ret_child is NULL; -EOPNOTSUPP.
 */
int uhmm_mm_fork(struct mm_struct *mm, struct mm_struct **ret_child);

/* ------------------------------------------------------------------- pages */

/**
 * uhmm_page_ptr() - the bytes of a page
 * @mm: the address space that the frame was found in
 * @pfn: its number, of device memory too
 *
 * Context: any; the page is kept by a reference, or by user_lock of a
 * subscription whose retry was false.
 * Return: the first byte, UHMM_PAGE_SIZE of them; NULL: there is no pointer to
 * them, use uhmm_page_read().
 */
void *uhmm_page_ptr(struct mm_struct *mm, unsigned long pfn);

/**
 * uhmm_page_read() - copy bytes out of a page
 * @mm: the address space that the frame was found in
 * @pfn: its number
 * @offset: first byte in the page
 * @buf: where to
 * @len: how many; they do not leave the page
 *
 * Context: as uhmm_page_ptr().
 * Return: 0; -EFAULT: the page is gone; -EINVAL: @buf is NULL or the bytes
 * leave the page; -EOPNOTSUPP.
 */
int uhmm_page_read(struct mm_struct *mm, unsigned long pfn, size_t offset,
		   void *buf, size_t len);

/**
 * uhmm_page_write() - copy bytes into a page
 * @mm: the address space that the frame was found in
 * @pfn: its number
 * @offset: first byte in the page
 * @buf: where from
 * @len: how many; they do not leave the page
 *
 * Context: as uhmm_page_ptr().
 * Return: as uhmm_page_read(); -EFAULT also: it is the page of zeroes.
 */
int uhmm_page_write(struct mm_struct *mm, unsigned long pfn, size_t offset,
		    const void *buf, size_t len);

/**
 * uhmm_page_copy() - copy a whole page
 * @mm: the address space that the frames are in, or were found in
 * @to: frame to write
 * @from: frame to read
 *
 * Context: as uhmm_page_ptr().
 * Return: as uhmm_page_write().
 */
int uhmm_page_copy(struct mm_struct *mm, unsigned long to, unsigned long from);

/**
 * uhmm_page_alloc() - memory for a page that comes home from a device
 * @mm: the address space that it is for
 * @order: 2^order frames, aligned
 * @ret_pfn: returns the first; one reference is the caller's, for
 *	&migrate_vma.dst or uhmm_page_put()
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EINVAL: @ret_pfn is NULL; -EOPNOTSUPP.
 */
int uhmm_page_alloc(struct mm_struct *mm, unsigned int order,
		    unsigned long *ret_pfn);

/**
 * uhmm_page_stand_in() - memory for a page that comes home, without a copy
 * @mm: the address space
 * @device_pfn: the frame that it comes from
 * @ret_pfn: returns a frame, as uhmm_page_alloc() does
 *
 * Where the bytes of device and process are the same kind of memory, it has
 * those of @device_pfn already, and uhmm_page_copy() has nothing to do.
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EINVAL: @ret_pfn is NULL or @device_pfn is no device's;
 * -EOPNOTSUPP.
 */
int uhmm_page_stand_in(struct mm_struct *mm, unsigned long device_pfn,
		       unsigned long *ret_pfn);

/**
 * uhmm_page_get() - keep the page at an address, as the kernel's GUP does
 * @mm: the address space
 * @addr: the address
 * @flags: UHMM_FAULT_WRITE; UHMM_PAGE_LONGTERM for a pin
 * @ret_pfn: returns the frame
 *
 * The page is made present first; what is on a device comes home.
 *
 * Context: may sleep; mmap_lock held for reading.
 * Return: 0; -EINVAL: unknown flag, or @ret_pfn is NULL; -EFAULT; -ENOMEM;
 * -EHWPOISON; -EINTR; -EOPNOTSUPP.
 */
int uhmm_page_get(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		  unsigned long *ret_pfn);

/**
 * uhmm_page_put() - give a page back
 * @mm: the address space it was got in
 * @pfn: the frame, from uhmm_page_get(), uhmm_page_alloc() or
 *	zone_device_page_init()
 * @flags: as for uhmm_page_get(); 0
 *
 * Context: may sleep; mmap_lock not held for writing.
 */
void uhmm_page_put(struct mm_struct *mm, unsigned long pfn, unsigned int flags);

#ifdef __cplusplus
}
#endif
#endif
