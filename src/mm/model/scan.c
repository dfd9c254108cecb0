/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * PAGEMAP_SCAN for what was written: what userfaultfd does not write-protect
 * was, and is protected with it if that is asked for.
 */
#include "internal.h"

struct scan {
	struct space *space;
	unsigned long start;
	bool protect;
	char *letters;
	long found;
};

static void found(struct scan *scan, unsigned long addr, unsigned long end)
{
	for (; addr < end; addr += PAGE_SIZE, scan->found++)
		if (scan->letters)
			scan->letters[(addr - scan->start) >> PAGE_SHIFT] = 'w';
}

static uint64_t protected(uint64_t pte)
{
	switch (pte_type(pte)) {
	case PTE_NONE:
		return pte_make(PTE_MARKER, 0, PTE_UFFD);
	case PTE_PRESENT:
		return (pte & ~PTE_W) | PTE_UFFD;
	case PTE_POISON:
	case PTE_GUARD:
		return pte;
	default:
		return pte | PTE_UFFD;
	}
}

/* What no table is for counts where writes are watched. */
static void scan_hole(struct scan *scan, struct vma *vma, unsigned long addr,
		      unsigned long end)
{
	if (!(vma->flags & VM_UFFD_WP))
		return;
	found(scan, addr, end);
	if (scan->protect)
		change_protection(scan->space, vma, addr, end, CHANGE_UFFD_WP);
}

static void scan_table(struct scan *scan, struct leaf *leaf, unsigned long addr,
		       unsigned long end)
{
	for (; addr < end; addr += PAGE_SIZE) {
		uint64_t pte = leaf_pte(leaf, addr);

		if (pte & PTE_UFFD)
			continue;
		found(scan, addr, addr + PAGE_SIZE);
		if (scan->protect)
			leaf_set(scan->space, leaf, addr, protected(pte));
	}
}

static void scan_leaf(struct scan *scan, struct vma *vma, unsigned long addr,
		      unsigned long end)
{
	struct leaf *leaf = leaf_get(scan->space, addr);

	if (!leaf) {
		scan_hole(scan, vma, addr, end);
		return;
	}
	if (leaf->huge && leaf->huge & PTE_UFFD)
		return;
	if (leaf->huge && (!scan->protect || end - addr == LEAF_SIZE)) {
		found(scan, addr, end);
		if (scan->protect)
			leaf->huge = protected(leaf->huge);
		return;
	}
	if (leaf->huge) {
		huge_split_mapping(scan->space, vma, addr);
		leaf = leaf_get(scan->space, addr);
	}
	scan_table(scan, leaf, addr, end);
}

static void scan_areas(struct scan *scan, unsigned long end)
{
	struct vma *vma = vma_find(scan->space, scan->start);
	unsigned long addr, next;

	for (; vma && vma->start < end; vma = vma->next) {
		if (vma->flags & (VM_IO | VM_HUGETLB) ||
		    (scan->protect && !(vma->flags & VM_UFFD_ASYNC)))
			continue;
		addr = max_ul(vma->start, scan->start);
		for (; addr < min_ul(vma->end, end); addr = next) {
			next = leaf_end(addr, min_ul(vma->end, end));
			scan_leaf(scan, vma, addr, next);
		}
	}
}

long uhmm_model_pagemap_scan(struct mm_struct *mm, unsigned long addr,
			     size_t npages, bool protect, char *letters)
{
	struct scan scan = { .space = space_of(mm), .start = addr,
			     .protect = protect, .letters = letters };
	unsigned long end = addr + (npages << PAGE_SHIFT);
	struct mmu_notifier_range range;

	if (!newest(scan.space))
		return -ENOTTY;
	if (addr & ~PAGE_MASK || npages > TASK_END >> PAGE_SHIFT ||
	    addr > TASK_END - (end - addr))
		return -EINVAL;
	if (letters)
		memset(letters, '.', npages);
	mmap_read_lock(mm);
	model_lock(scan.space);
	if (protect && npages)
		event_start(scan.space, &range, MMU_NOTIFY_PROTECTION_VMA, addr,
			    end, NULL);
	scan_areas(&scan, end);
	if (protect && npages)
		event_end(scan.space, &range);
	model_unlock(scan.space);
	mmap_read_unlock(mm);
	return scan.found;
}
