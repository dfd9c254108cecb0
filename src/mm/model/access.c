/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a CPU does: reads and writes, with the faults they take. */
#include "internal.h"

#include <signal.h>

static int signal_of(int fault)
{
	switch (fault) {
	case FAULT_SIGBUS:
	case FAULT_POISON:
		return SIGBUS;
	case FAULT_OOM:
		return SIGKILL;
	default:
		return SIGSEGV;
	}
}

static bool allowed(const struct vma *vma, bool write)
{
	return vma && vma->flags & (write ? VM_WRITE : VM_ACCESS) &&
	       !(vma->flags & VM_IO);
}

/* 0, or the signal that the access gets. */
static int touch(struct space *space, unsigned long addr, bool write,
		 unsigned long *ret_pfn)
{
	for (;;) {
		struct vma *vma = vma_at(space, addr);
		uint64_t pte = pte_at(space, addr);
		int ret;

		if (!allowed(vma, write))
			return SIGSEGV;
		if (pte_present(pte) && !(pte & PTE_HINT) &&
		    (!write || pte & PTE_W)) {
			struct leaf *leaf = leaf_get(space, addr);
			uint64_t used = PTE_YOUNG |
				(write ? PTE_DIRTY | PTE_SOFT : 0);

			if (leaf->huge)
				leaf->huge |= used;
			else
				leaf_set(space, leaf, addr, pte | used);
			*ret_pfn = pte_payload(pte);
			return 0;
		}
		ret = fault_page(space, vma, addr, write);
		if (ret)
			return signal_of(ret);
	}
}

static int copy_page(struct space *space, unsigned long pfn,
		     unsigned long offset, char *buf, size_t len, bool write)
{
	struct frame *frame;

	if (pfn == ZERO_PFN) {
		memset(buf, 0, len);
		return 0;
	}
	if (frame_pfn_device(pfn))
		return write ? uhmm_page_write(space->mm, pfn, offset, buf, len)
			     : uhmm_page_read(space->mm, pfn, offset, buf, len);
	frame = frame_get(space, pfn);
	if (write)
		return frame_write(space, frame, offset, buf, len);
	frame_read(frame, offset, buf, len);
	return 0;
}

static int cpu_access(struct mm_struct *mm, unsigned long addr, void *buf,
		      size_t len, bool write, size_t *ret_done)
{
	struct space *space = space_of(mm);
	size_t done = 0;
	int ret = 0;

	mmap_read_lock(mm);
	model_lock(space);
	while (done < len && !ret) {
		unsigned long at = addr + done, offset = at & ~PAGE_MASK, pfn;
		size_t n = min_ul(PAGE_SIZE - offset, len - done);

		ret = touch(space, at & PAGE_MASK, write, &pfn);
		if (!ret && copy_page(space, pfn, offset, (char *)buf + done,
				      n, write))
			ret = SIGKILL;
		if (!ret)
			done += n;
	}
	model_unlock(space);
	mmap_read_unlock(mm);
	if (ret_done)
		*ret_done = done;
	return ret;
}

int uhmm_model_read(struct mm_struct *mm, unsigned long addr, void *buf,
		    size_t len, size_t *ret_done)
{
	return cpu_access(mm, addr, buf, len, false, ret_done);
}

int uhmm_model_write(struct mm_struct *mm, unsigned long addr, const void *buf,
		     size_t len, size_t *ret_done)
{
	return cpu_access(mm, addr, (void *)buf, len, true, ret_done);
}
