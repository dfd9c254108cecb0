/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Breakpoints that the kernel puts into a program's code: the page is replaced
 * by a copy that has one, and by the file's when the last is gone.
 */
#include "internal.h"

#define BREAKPOINT 0xcc

/* Code of a private mapping of a file, which is not written otherwise. */
static bool fits(const struct vma *vma, bool install)
{
	return vma && vma->file && vma->file->kind != FILE_DEVICE &&
	       !(vma->flags & (VM_HUGETLB | VM_SHARED |
			       (install ? VM_WRITE : 0)));
}

/* Of @new, or the file's page, which a touch brings: nothing. */
static bool replace(struct space *space, struct vma *vma, unsigned long addr,
		    unsigned long old, unsigned long new)
{
	struct mmu_notifier_range range;
	bool there;

	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + PAGE_SIZE,
		    NULL);
	there = pte_present(pte_at(space, addr)) &&
		pte_payload(pte_at(space, addr)) == old;
	if (there && new) {
		map_anon(space, vma, addr, new, PTE_YOUNG | PTE_SOFT);
		event_change_pte(space, addr);
	} else if (there) {
		pte_put(space, addr, PTE_NONE);
	}
	if (there)
		frame_unmap(space, old);
	event_end(space, &range);
	return there;
}

/* 0; 1: once more; or -errno. */
static int put_byte(struct space *space, unsigned long addr, unsigned char byte,
		    bool install)
{
	unsigned long page = addr & PAGE_MASK, offset = addr & ~PAGE_MASK;
	struct vma *vma = vma_at(space, addr);
	unsigned long old, new, original;
	unsigned char is;
	int ret;

	if (!fits(vma, install))
		return -EINVAL;
	ret = make_present(space, vma, page, false);
	old = pte_payload(pte_at(space, page));
	if (ret || (!install && !(frame_get(space, old)->flags & FRAME_ANON)))
		return ret;
	new = vma_prepare_anon(space, vma) ? 0 : frame_new(space);
	if (!new)
		return -ENOMEM;
	page_copy(space, new, old);
	frame_read(frame_get(space, new), offset, &is, 1);
	if (is != byte)
		ret = frame_write(space, frame_get(space, new), offset, &byte,
				  1);
	original = file_cached(space, vma->file, vma_index(vma, page));
	if (!ret && is != byte)
		ret = !replace(space, vma, page, old, !install && original &&
			       frame_equal(frame_get(space, new),
					   frame_get(space, original)) ?
			       0 : new);
	frame_unref(space, new);
	return ret;
}

/* What the file has there. */
static int original_byte(struct space *space, unsigned long addr,
			 unsigned char *ret_byte)
{
	struct vma *vma = vma_at(space, addr);
	unsigned long pfn;
	bool oom = false;

	if (!fits(vma, false))
		return -EINVAL;
	pfn = file_page(space, vma->file, vma_index(vma, addr & PAGE_MASK),
			&oom);
	if (!pfn)
		return oom ? -ENOMEM : -EFAULT;
	frame_read(frame_get(space, pfn), addr & ~PAGE_MASK, ret_byte, 1);
	return 0;
}

int uhmm_model_uprobe(struct mm_struct *mm, unsigned long addr, bool install)
{
	struct space *space = space_of(mm);
	unsigned char byte = BREAKPOINT;
	int ret = 0;

	mmap_write_lock(mm);
	model_lock(space);
	if (!install)
		ret = original_byte(space, addr, &byte);
	if (!ret)
		do
			ret = put_byte(space, addr, byte, install);
		while (ret > 0);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}
