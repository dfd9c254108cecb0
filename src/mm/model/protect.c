/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a process may do with its pages: mprotect, mlock. */
#include "internal.h"

#include <sys/mman.h>

/* Would a write only find out that it is allowed? */
static bool may_map_writable(struct space *space, const struct vma *vma,
			     uint64_t pte)
{
	struct frame *frame;

	if (pte & PTE_HINT || !(pte & PTE_DIRTY) ||
	    (vma_soft_dirty_tracked(vma) && !(pte & PTE_SOFT)) ||
	    (vma->flags & VM_UFFD_WP && pte & PTE_UFFD))
		return false;
	if (vma->flags & VM_SHARED)
		return true;
	if (pte_zero(pte))
		return false;
	frame = frame_get(space, pte_payload(pte));
	return (frame->flags & (FRAME_ANON | FRAME_EXCLUSIVE)) ==
	       (FRAME_ANON | FRAME_EXCLUSIVE);
}

static uint64_t change_present(struct space *space, struct vma *vma,
			       uint64_t pte, unsigned int how)
{
	if (how & CHANGE_HINT) {
		struct frame *frame;

		if (pte_zero(pte))
			return pte;
		frame = frame_get(space, pte_payload(pte));
		if (frame->flags & FRAME_KSM || frame_pfn_device(
			    pte_payload(pte)) ||
		    (vma_cow(vma) && frame->refs != 1))
			return pte;
		return pte | PTE_HINT;
	}
	pte &= ~PTE_W;
	if (vma->prot_write && !(how & CHANGE_UFFD_WP))
		pte |= PTE_W;
	if (how & CHANGE_UFFD_WP)
		pte |= PTE_UFFD;
	else if (how & CHANGE_UFFD_RESOLVE)
		pte &= ~PTE_UFFD;
	if (how & CHANGE_MAY_WRITE && !(pte & PTE_W) &&
	    may_map_writable(space, vma, pte))
		pte |= PTE_W;
	return pte;
}

static uint64_t change_pte(struct space *space, struct vma *vma, uint64_t pte,
			   unsigned int how)
{
	switch (pte_type(pte)) {
	case PTE_PRESENT:
		return change_present(space, vma, pte, how);
	case PTE_NONE:
		return how & CHANGE_UFFD_WP && vma_marks(vma) ?
			       pte_make(PTE_MARKER, 0, PTE_UFFD) : pte;
	case PTE_MARKER:
		return how & CHANGE_UFFD_RESOLVE ? PTE_NONE : pte;
	case PTE_MIGRATION:
		if (pte & PTE_W)
			pte |= PTE_ANON_EX;
		break;
	case PTE_GUARD:
	case PTE_POISON:
		return pte;
	default:
		break;
	}
	if (how & CHANGE_HINT)
		return pte;
	if (pte_type(pte) != PTE_SWAP)
		pte &= ~PTE_W;
	if (how & CHANGE_UFFD_WP)
		pte |= PTE_UFFD;
	else if (how & CHANGE_UFFD_RESOLVE)
		pte &= ~PTE_UFFD;
	return pte;
}

static void change_leaf(struct space *space, struct vma *vma,
			unsigned long addr, unsigned long end, unsigned int how)
{
	struct leaf *leaf = leaf_get(space, addr);
	bool all = how & CHANGE_UFFD_WP && vma_marks(vma);

	if (leaf->huge && end - addr == LEAF_SIZE) {
		if (huge_leads_to_frames(leaf))
			leaf->huge = change_pte(space, vma, leaf->huge, how);
		return;
	}
	if (leaf->huge) {
		huge_split_mapping(space, vma, addr);
		leaf = leaf_get(space, addr);
	}
	for (; all ? addr < end : leaf_next_pte(leaf, &addr, end);
	     addr += PAGE_SIZE)
		leaf_set(space, leaf, addr,
			 change_pte(space, vma, leaf_pte(leaf, addr), how));
}

/* One step of the walk says so once, from the first table that is there on. */
static void change_step(struct space *space, struct vma *vma,
			unsigned long start, unsigned long end,
			unsigned int how)
{
	unsigned long addr = start, first, last = end;
	struct mmu_notifier_range range;

	if (how & CHANGE_UFFD_WP && vma_marks(vma))
		for (; addr < end; addr = leaf_end(addr, end))
			leaf_make(space, addr);
	addr = start;
	/* Of hugetlb's pages it is said whether there are any or not. */
	if (!leaf_next(space, &addr, end) && !(vma->flags & VM_HUGETLB))
		return;
	first = newest(space) ? max_ul(start, addr & ~(PUD_SIZE - 1)) : addr;
	if (vma->flags & VM_HUGETLB)
		first = start;
	hugetlb_widen(vma, &first, &last);
	event_start(space, &range, MMU_NOTIFY_PROTECTION_VMA, first, last,
		    NULL);
	addr = start;
	while (leaf_next(space, &addr, end)) {
		unsigned long next = leaf_end(addr, end);

		change_leaf(space, vma, addr, next, how);
		addr = next;
	}
	event_end(space, &range);
}

void change_protection(struct space *space, struct vma *vma,
		       unsigned long start, unsigned long end,
		       unsigned int how)
{
	unsigned long step = newest(space) ? 1UL << 39 : PUD_SIZE, next;

	if (vma->flags & VM_HUGETLB)
		step = 1UL << 47;

	for (; start < end; start = next) {
		next = min_ul((start & ~(step - 1)) + step, end);
		change_step(space, vma, start, next, how);
	}
}

/* ---------------------------------------------------------------- mprotect */

static int protect_area(struct space *space, struct vma **vma,
			struct vma **prev, unsigned long start,
			unsigned long end, uint32_t flags)
{
	uint32_t old = (*vma)->flags, charged = VM_ACCOUNT | VM_WRITE |
					       VM_HUGETLB | VM_SHARED |
					       VM_NORESERVE;
	bool may_write;

	if (flags == old) {
		*prev = *vma;
		return 0;
	}
	if (flags & VM_WRITE && !(old & charged))
		flags |= VM_ACCOUNT;
	/* Newer kernels take back what is charged for nothing. */
	if (newest(space) && !(flags & VM_WRITE) && vma_anonymous(*vma) &&
	    !(*vma)->anon)
		flags &= ~VM_ACCOUNT;
	if (!hugetlb_fits(*vma, start) || !hugetlb_fits(*vma, end))
		return -EINVAL;
	*vma = vma_isolate(space, *vma, prev, start, end, flags);
	if (!*vma)
		return -ENOMEM;
	vma_set_flags(*vma, flags);
	vma_set_prot(*vma);
	may_write = flags & VM_WRITE &&
		    (!(flags & VM_SHARED) || !(*vma)->prot_write);
	change_protection(space, *vma, start, end,
			  may_write ? CHANGE_MAY_WRITE : 0);
	/* Of what is locked copies are made ahead. */
	if (!(old & VM_WRITE) &&
	    (flags & (VM_LOCKED | VM_WRITE | VM_SHARED)) ==
		    (VM_LOCKED | VM_WRITE))
		populate_locked(space, start, end);
	return 0;
}

static int protect(struct space *space, unsigned long start, unsigned long end,
		   uint32_t prot)
{
	struct vma *vma = vma_at(space, start), *prev;
	int ret;

	if (!vma)
		return -ENOMEM;
	prev = start > vma->start ? vma : vma_prev(space, vma);
	for (;;) {
		unsigned long next = min_ul(vma->end, end);

		ret = protect_area(space, &vma, &prev, start, next,
				   (vma->flags & ~VM_ACCESS) | prot);
		if (ret)
			return ret;
		start = next;
		if (start >= end)
			return 0;
		vma = vma_find(space, prev->end > start ? start : prev->end);
		if (!vma || vma->start > start)
			return -ENOMEM;
		if (start > vma->start)
			prev = vma;
	}
}

int uhmm_model_mprotect(struct mm_struct *mm, unsigned long addr,
			unsigned long len, int prot)
{
	struct space *space = space_of(mm);
	int ret;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (!len)
		return 0;
	len = (len + PAGE_SIZE - 1) & PAGE_MASK;
	if (addr + len <= addr)
		return -ENOMEM;
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		return -EINVAL;
	mmap_write_lock(mm);
	model_lock(space);
	ret = protect(space, addr, addr + len,
		      (prot & PROT_READ ? VM_READ : 0) |
		      (prot & PROT_WRITE ? VM_WRITE : 0) |
		      (prot & PROT_EXEC ? VM_EXEC : 0));
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}

/* ------------------------------------------------------------------- mlock */

static int lock_area(struct space *space, unsigned long start,
		     unsigned long end, bool lock)
{
	struct vma *vma = vma_at(space, start), *prev;

	if (!vma)
		return -ENOMEM;
	prev = start > vma->start ? vma : vma_prev(space, vma);
	for (;;) {
		unsigned long next = min_ul(vma->end, end);
		uint32_t flags = vma->flags & ~(VM_LOCKED | VM_LOCKONFAULT);

		if (lock)
			flags |= VM_LOCKED;
		if (flags == vma->flags ||
		    vma->flags & (VM_SPECIAL | VM_HUGETLB)) {
			prev = vma;
		} else {
			vma = vma_isolate(space, vma, &prev, start, next,
					  flags);
			if (!vma)
				return -ENOMEM;
			vma_set_flags(vma, flags);
		}
		start = next;
		if (start >= end)
			return 0;
		vma = vma_find(space, start);
		if (!vma || vma->start > start)
			return -ENOMEM;
		if (start > vma->start)
			prev = vma;
	}
}

/* What mlock() and munlock() are about: -EINVAL: it wraps. */
static int whole_pages(unsigned long *addr, unsigned long *len)
{
	*len = (*len + (*addr & ~PAGE_MASK) + PAGE_SIZE - 1) & PAGE_MASK;
	*addr &= PAGE_MASK;
	return *addr + *len < *addr ? -EINVAL : 0;
}

int uhmm_model_mlock(struct mm_struct *mm, unsigned long addr,
		     unsigned long len)
{
	struct space *space = space_of(mm);
	int ret;

	ret = whole_pages(&addr, &len);
	if (ret || !len)
		return ret;
	mmap_write_lock(mm);
	model_lock(space);
	ret = lock_area(space, addr, addr + len, true);
	model_unlock(space);
	mmap_write_downgrade(mm);
	if (!ret) {
		model_lock(space);
		ret = populate_locked(space, addr, addr + len);
		model_unlock(space);
		if (ret == -EFAULT)
			ret = -ENOMEM;
		else if (ret == -ENOMEM)
			ret = -EAGAIN;
	}
	mmap_read_unlock(mm);
	return ret;
}

int uhmm_model_munlock(struct mm_struct *mm, unsigned long addr,
		       unsigned long len)
{
	struct space *space = space_of(mm);
	int ret;

	ret = whole_pages(&addr, &len);
	if (ret || !len)
		return ret;
	mmap_write_lock(mm);
	model_lock(space);
	ret = lock_area(space, addr, addr + len, false);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}
