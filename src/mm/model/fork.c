/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* fork: areas are copied, pages shared until somebody writes. */
#include "internal.h"

/* A page that is pinned stays the parent's; the child gets its copy now. 0: no. */
static uint64_t copy_pinned(struct space *child, struct vma *to,
			    unsigned long addr, unsigned long pfn)
{
	unsigned long copy = frame_new(child);
	struct frame *frame;

	if (!copy)
		return 0;
	page_copy(child, copy, pfn);
	frame_map(child, copy);
	frame_unref(child, copy);
	frame = frame_get(child, copy);
	frame->flags |= FRAME_ANON | FRAME_EXCLUSIVE;
	frame->index = vma_index(to, addr);
	frame->family = to->anon;
	return pte_make(PTE_PRESENT, copy, PTE_YOUNG | PTE_DIRTY | PTE_SOFT |
			(to->flags & VM_WRITE ? PTE_W : 0));
}

static int copy_pte(struct space *space, struct vma *from, struct space *child,
		    struct vma *to, struct leaf *leaf, unsigned long addr)
{
	uint64_t pte = leaf_pte(leaf, addr), copy;
	struct frame *frame;

	if (pte_type(pte) == PTE_EXCLUSIVE) {
		exclusive_put_back(space, from, addr, pte);
		pte = leaf_pte(leaf, addr);
	}
	if (pte_type(pte) == PTE_MARKER)
		return 0;
	if (pte_type(pte) == PTE_SWAP) {
		slot_of(space, pte_payload(pte))->count++;
		pte &= ~PTE_ANON_EX;
	}
	copy = pte;
	if (pte_maps_frame(pte)) {
		frame = frame_get(space, pte_payload(pte));
		if (frame->flags & FRAME_EXCLUSIVE &&
		    frame_pinned(space, pte_payload(pte)) &&
		    vma_cow(from)) {
			copy = copy_pinned(child, to, addr, pte_payload(pte));
			if (copy)
				pte_put(child, addr, copy);
			return copy ? 0 : -ENOMEM;
		}
		frame->flags &= ~FRAME_EXCLUSIVE;
		frame_map(child, pte_payload(pte));
	}
	if (pte_type(pte) == PTE_MIGRATION && pte & (PTE_W | PTE_ANON_EX))
		pte &= ~(PTE_W | PTE_ANON_EX);
	if (vma_cow(from) && pte_type(pte) != PTE_SWAP)
		pte &= ~PTE_W;
	copy = pte & ~PTE_UFFD;
	if (pte_present(copy))
		copy &= ~PTE_YOUNG;
	if (from->flags & VM_SHARED)
		copy &= ~PTE_DIRTY;
	leaf_set(space, leaf, addr, pte);
	pte_put(child, addr, copy);
	return 0;
}

/* 1: it is to be copied page by page. */
static int copy_huge(struct space *space, struct vma *from, struct space *child,
		     struct vma *to, struct leaf *leaf, unsigned long addr)
{
	unsigned long pfn = pte_payload(leaf->huge);
	struct leaf *copy;

	if (pte_maps_frame(leaf->huge)) {
		if (frame_pinned(space, pfn) && vma_cow(from))
			return from->flags & VM_HUGETLB ?
				hugetlb_copy(child, to, addr, pfn) : 1;
		huge_map(space, pfn);
		for (unsigned long i = 0; i < LEAF_PAGES; i++)
			frame_get(space, pfn + i)->flags &= ~FRAME_EXCLUSIVE;
	}
	if (huge_leads_to_frames(leaf) && vma_cow(from))
		leaf->huge &= ~PTE_W;
	if (pte_type(leaf->huge) == PTE_MIGRATION)
		leaf->huge &= ~PTE_ANON_EX;
	copy = leaf_make(child, addr);
	if (copy)
		copy->huge = leaf->huge;
	return 0;
}

static int copy_tables(struct space *space, struct vma *from,
		       struct space *child, struct vma *to)
{
	struct mmu_notifier_range range;
	unsigned long addr = from->start;
	struct leaf *leaf;
	int ret = 0;

	if (!from->anon && !(from->flags & (VM_SPECIAL | VM_GUARDED)))
		return 0;
	if (vma_cow(from))
		event_start(space, &range, from->flags & VM_HUGETLB ?
			    MMU_NOTIFY_CLEAR : MMU_NOTIFY_PROTECTION_PAGE,
			    from->start, from->end, NULL);
	while (!ret && (leaf = leaf_next(space, &addr, from->end))) {
		unsigned long next = leaf_end(addr, from->end);

		if (leaf->huge)
			ret = copy_huge(space, from, child, to, leaf, addr);
		if (ret > 0) {
			huge_split_mapping(space, from, addr);
			leaf = leaf_get(space, addr);
			ret = 0;
		}
		if (!leaf->huge)
			leaf_make(child, addr);
		for (; !ret && !leaf->huge && leaf_next_pte(leaf, &addr, next);
		     addr += PAGE_SIZE)
			ret = copy_pte(space, from, child, to, leaf, addr);
		addr = next;
	}
	if (vma_cow(from))
		event_end(space, &range);
	return ret;
}

static int copy_area(struct space *space, struct vma *from, struct space *child)
{
	struct vma *to;

	to = vma_new(child, from->start, from->end, from->pgoff,
		     from->flags & ~(VM_LOCKED | VM_LOCKONFAULT | VM_UFFD),
		     from->file);
	if (!to)
		return -ENOMEM;
	if (!(from->flags & VM_UFFD))
		to->prot_write = from->prot_write;
	vma_link(child, to);
	if (from->flags & VM_WIPEONFORK) {
		vma_copied(child, to, from);
		return 0;
	}
	if (from->anon) {
		to->anon = family_new(child, from->anon);
		if (!to->anon)
			return -ENOMEM;
	}
	vma_copied(child, to, from);
	return copy_tables(space, from, child, to);
}

int model_fork(struct mm_struct *mm, struct mm_struct **ret_child)
{
	struct space *space = space_of(mm), *child;
	struct vma *vma;
	int ret;

	ret = space_create(space->model, &child, NULL);
	if (ret)
		return ret;
	mmap_write_lock(mm);
	model_lock(space);
	child->brk_start = space->brk_start;
	child->brk = space->brk;
	child->has_pins = space->has_pins;
	for (vma = space->vmas; vma && !ret; vma = vma->next)
		if (!(vma->flags & VM_DONTCOPY))
			ret = copy_area(space, vma, child);
	model_unlock(space);
	mmap_write_unlock(mm);
	if (ret)
		mmput(child->mm);
	else
		*ret_child = child->mm;
	return ret;
}
