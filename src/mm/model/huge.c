/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages of 2 MiB: transparent ones, and those of hugetlb's pool. */
#include "internal.h"

bool huge_wanted(struct space *space, const struct vma *vma, unsigned long addr)
{
	unsigned long start = addr & LEAF_MASK;
	enum uhmm_model_thp thp = space->model->options.thp;

	return vma_anonymous(vma) && start >= vma->start &&
	       start + LEAF_SIZE <= vma->end &&
	       !(vma->flags & VM_NOHUGEPAGE) &&
	       (thp == UHMM_THP_ALWAYS ||
		(thp == UHMM_THP_MADVISE && vma->flags & VM_HUGEPAGE));
}

void huge_unmap(struct space *space, unsigned long pfn)
{
	for (unsigned long i = 0; i < LEAF_PAGES; i++)
		frame_get(space, pfn + i)->maps--;
	frame_unref(space, pfn);
}

void huge_map(struct space *space, unsigned long pfn)
{
	for (unsigned long i = 0; i < LEAF_PAGES; i++)
		frame_get(space, pfn + i)->maps++;
	frame_ref(space, pfn);
}

void huge_become_anon(struct space *space, struct vma *vma, unsigned long pfn,
		      unsigned long addr)
{
	for (unsigned long i = 0; i < LEAF_PAGES; i++) {
		struct frame *frame = frame_get(space, pfn + i);

		frame->flags |= FRAME_ANON | FRAME_EXCLUSIVE;
		frame->index = vma_index(vma, addr) + i;
		frame->family = vma->anon;
	}
}

#define HUGE_WRITTEN (PTE_YOUNG | PTE_DIRTY | PTE_SOFT | PTE_W | PTE_HUGE)

int huge_fault(struct space *space, struct vma *vma, unsigned long addr,
	       bool write)
{
	unsigned long pfn = ZERO_PFN;
	uint64_t flags = PTE_HUGE | PTE_YOUNG;
	struct leaf *leaf;

	if (vma_prepare_anon(space, vma))
		return FAULT_OOM;
	if (vma->flags & VM_UFFD_MISSING)
		return FAULT_SIGBUS;
	if (write)
		pfn = frame_new_huge(space);
	leaf = leaf_make(space, addr);
	if (!leaf)
		return FAULT_OOM;
	/* None to be had: a small page will do; there is a table now. */
	if (!pfn)
		return fault_page(space, vma, addr, write);
	if (write) {
		huge_become_anon(space, vma, pfn, addr & LEAF_MASK);
		huge_map(space, pfn);
		frame_unref(space, pfn);
		flags = HUGE_WRITTEN;
	}
	leaf->huge = pte_make(PTE_PRESENT, pfn, flags);
	return 0;
}

/* Huge zeroes become a huge page at once. false: there is none to be had. */
static bool write_zeroes(struct space *space, struct vma *vma,
			 unsigned long addr)
{
	struct mmu_notifier_range range;
	unsigned long pfn;
	struct leaf *leaf;

	pfn = vma_prepare_anon(space, vma) ? 0 : frame_new_huge(space);
	if (!pfn)
		return false;
	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + LEAF_SIZE,
		    NULL);
	leaf = leaf_get(space, addr);
	if (leaf && leaf->huge && pte_zero(leaf->huge)) {
		huge_become_anon(space, vma, pfn, addr);
		huge_map(space, pfn);
		leaf->huge = pte_make(PTE_PRESENT, pfn, HUGE_WRITTEN);
	}
	event_end(space, &range);
	frame_unref(space, pfn);
	return true;
}

void huge_write(struct space *space, struct vma *vma, unsigned long addr)
{
	struct leaf *leaf = leaf_get(space, addr);
	unsigned long pfn = pte_payload(leaf->huge);
	struct frame *frame;

	if (pfn == ZERO_PFN && newest(space) && !(vma->flags & VM_UFFD_WP) &&
	    write_zeroes(space, vma, addr & LEAF_MASK))
		return;
	if (pfn != ZERO_PFN && !(vma->flags & VM_UFFD_WP)) {
		frame = frame_get(space, pfn);
		if (frame->flags & FRAME_EXCLUSIVE ||
		    frame_refs(space, pfn) == 1) {
			huge_become_anon(space, vma, pfn, addr & LEAF_MASK);
			leaf->huge |= HUGE_WRITTEN;
			return;
		}
	}
	huge_split_mapping(space, vma, addr);
}

/* Only where each page is present, and this process's alone. */
static bool can_collapse(struct space *space, const struct leaf *leaf,
			 unsigned long addr)
{
	unsigned long end = addr + LEAF_SIZE;

	if (!leaf || leaf->huge)
		return false;
	for (; addr < end; addr += PAGE_SIZE) {
		uint64_t pte = leaf_pte(leaf, addr);
		struct frame *frame;

		if (!pte || pte_zero(pte))
			continue;
		if (!pte_present(pte))
			return false;
		frame = frame_get(space, frame_head(space, pte_payload(pte)));
		if (frame->flags & (FRAME_LOCKED | FRAME_KSM | FRAME_HEAD) ||
		    frame->refs != 1 || frame_pfn_device(pte_payload(pte)))
			return false;
	}
	return true;
}

static void gather_pages(struct space *space, struct leaf *leaf,
			 unsigned long addr, unsigned long pfn)
{
	for (unsigned long i = 0; i < LEAF_PAGES; i++, addr += PAGE_SIZE) {
		uint64_t pte = leaf_pte(leaf, addr);

		if (pte && !pte_zero(pte)) {
			frame_copy(space, frame_get(space, pfn + i),
				   frame_get(space, pte_payload(pte)));
			frame_unmap(space, pte_payload(pte));
		}
		leaf_set(space, leaf, addr, 0);
	}
}

int huge_collapse(struct space *space, struct vma *vma, unsigned long addr)
{
	struct leaf *leaf = leaf_get(space, addr);
	struct mmu_notifier_range range;
	unsigned long pfn;

	if (leaf && leaf->huge)
		return pte_present(leaf->huge) ? 0 : -EINVAL;
	if (!vma_anonymous(vma) || vma->start > addr ||
	    vma->end < addr + LEAF_SIZE || vma->flags & VM_UFFD)
		return -EINVAL;
	if (!can_collapse(space, leaf, addr))
		return leaf ? -EAGAIN : -EINVAL;
	if (vma_prepare_anon(space, vma))
		return -ENOMEM;
	pfn = frame_new_huge(space);
	if (!pfn)
		return -ENOMEM;
	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + LEAF_SIZE,
		    NULL);
	leaf = leaf_get(space, addr);
	if (can_collapse(space, leaf, addr)) {
		gather_pages(space, leaf, addr, pfn);
		huge_become_anon(space, vma, pfn, addr);
		huge_map(space, pfn);
		leaf->huge = pte_make(PTE_PRESENT, pfn,
				      vma->flags & VM_WRITE ? HUGE_WRITTEN :
				      HUGE_WRITTEN & ~PTE_W);
	}
	event_end(space, &range);
	frame_unref(space, pfn);
	return 0;
}

/* ----------------------------------------------------------------- hugetlb */

/*
 * Tables of a whole 1 GiB of a file of huge pages are shared by who maps it, so
 * that a change of a part is announced as one of all of it. Here each has its
 * own; what is heard is the same.
 */
void hugetlb_widen(const struct vma *vma, unsigned long *start,
		   unsigned long *end)
{
	unsigned long first = (vma->start + PUD_SIZE - 1) & ~(PUD_SIZE - 1);
	unsigned long last = vma->end & ~(PUD_SIZE - 1);

	if ((vma->flags & (VM_HUGETLB | VM_SHARED)) !=
		    (VM_HUGETLB | VM_SHARED) ||
	    last <= first || *end <= first || *start >= last)
		return;
	if (*start > first)
		*start &= ~(PUD_SIZE - 1);
	if (*end < last)
		*end = (*end + PUD_SIZE - 1) & ~(PUD_SIZE - 1);
}

/* An area is cut in the middle of such: they are shared no more. */
void hugetlb_unshare(struct space *space, struct vma *vma, unsigned long addr)
{
	unsigned long start = addr & ~(PUD_SIZE - 1);
	struct mmu_notifier_range range;

	if (!(vma->flags & VM_SHARED) || start == addr || start < vma->start ||
	    start + PUD_SIZE > vma->end)
		return;
	event_start(space, &range, MMU_NOTIFY_CLEAR, start, start + PUD_SIZE,
		    NULL);
	event_end(space, &range);
}

static unsigned long pool_page(struct space *space, struct vma *vma,
			       unsigned long addr)
{
	unsigned long index = vma_index(vma, addr), pfn;
	struct machine *m = machine_of(space);

	pfn = vma->flags & VM_SHARED ? sparse_get(&vma->file->pages, index) >> 1
				     : 0;
	if (pfn) {
		frame_ref(space, pfn);
		return pfn;
	}
	if (!m->huge_free)
		return 0;
	pfn = frame_new_huge(space);
	if (!pfn)
		return 0;
	m->huge_free--;
	frame_get(space, pfn)->flags |= FRAME_HUGETLB;
	if (vma->flags & VM_SHARED) {
		frame_get(space, pfn)->file = vma->file;
		sparse_set(arena_of(space), &vma->file->pages, index,
			   (uint64_t)pfn << 1);
		frame_ref(space, pfn);
	} else {
		huge_become_anon(space, vma, pfn, addr);
	}
	return pfn;
}

/* A page of the pool that is as @old; 0: there is none. */
static unsigned long pool_copy(struct space *space, struct vma *vma,
			       unsigned long addr, unsigned long old)
{
	unsigned long pfn = pool_page(space, vma, addr);

	for (unsigned long i = 0; pfn && i < LEAF_PAGES; i++)
		frame_copy(space, frame_get(space, pfn + i),
			   frame_get(space, old + i));
	return pfn;
}

int hugetlb_copy(struct space *child, struct vma *to, unsigned long addr,
		 unsigned long old)
{
	struct leaf *leaf = leaf_make(child, addr);
	unsigned long pfn = leaf ? pool_copy(child, to, addr, old) : 0;

	if (!pfn)
		return -ENOMEM;
	leaf->huge = pte_make(PTE_PRESENT, pfn, to->flags & VM_WRITE ?
				      HUGE_WRITTEN : HUGE_WRITTEN & ~PTE_W);
	huge_map(child, pfn);
	frame_unref(child, pfn);
	return 0;
}

static int pool_write(struct space *space, struct vma *vma, struct leaf *leaf,
		      unsigned long addr)
{
	unsigned long old = pte_payload(leaf->huge), pfn;
	struct mmu_notifier_range range;

	if (vma->flags & VM_SHARED ||
	    frame_get(space, old)->flags & FRAME_EXCLUSIVE ||
	    frame_get(space, old)->refs == 1) {
		leaf->huge |= HUGE_WRITTEN;
		return 0;
	}
	pfn = pool_copy(space, vma, addr, old);
	if (!pfn)
		return FAULT_SIGBUS;
	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + LEAF_SIZE,
		    NULL);
	huge_map(space, pfn);
	leaf = leaf_get(space, addr);
	leaf->huge = pte_make(PTE_PRESENT, pfn, HUGE_WRITTEN);
	huge_unmap(space, old);
	event_end(space, &range);
	frame_unref(space, pfn);
	return 0;
}

int hugetlb_fault(struct space *space, struct vma *vma, unsigned long addr,
		  bool write)
{
	struct leaf *leaf = leaf_get(space, addr);
	uint64_t flags = PTE_HUGE | PTE_YOUNG;
	unsigned long pfn;

	addr &= LEAF_MASK;
	if (!leaf) {
		if (vma_prepare_anon(space, vma))
			return FAULT_OOM;
		pfn = pool_page(space, vma, addr);
		if (!pfn)
			return FAULT_SIGBUS;
		leaf = leaf_make(space, addr);
		if (!leaf)
			return FAULT_OOM;
		if (vma->prot_write)
			flags |= PTE_W;
		leaf->huge = pte_make(PTE_PRESENT, pfn, flags);
		huge_map(space, pfn);
		frame_unref(space, pfn);
	}
	if (write && !(leaf->huge & PTE_W))
		return pool_write(space, vma, leaf, addr);
	return 0;
}
