/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Taking entries out of page tables. */
#include "internal.h"

/* A private copy of a file's page, which a change of the file leaves alone? */
static bool is_cow(struct space *space, uint64_t pte)
{
	if (pte_type(pte) == PTE_SWAP)
		return true;
	return pte_has_frame(pte) &&
	       frame_get(space, pte_payload(pte))->flags & FRAME_ANON;
}

static void zap_pte(struct space *space, struct vma *vma, struct leaf *leaf,
		    unsigned long addr, uint64_t pte, unsigned int how)
{
	unsigned long pfn = pte_payload(pte);
	uint64_t left = PTE_NONE;

	if (!(how & ZAP_COWS) && is_cow(space, pte))
		return;
	if (!(how & ZAP_MARKERS) && !vma_anonymous(vma) &&
	    vma->flags & VM_UFFD_WP && pte & PTE_UFFD)
		left = pte_make(PTE_MARKER, 0, PTE_UFFD);
	switch (pte_type(pte)) {
	case PTE_PRESENT:
	case PTE_DEVICE:
	case PTE_EXCLUSIVE:
		if (!pte_maps_frame(pte))
			break;
		if (pte & PTE_DIRTY)
			frame_get(space, pfn)->flags |= FRAME_DIRTY;
		frame_unmap(space, pfn);
		break;
	case PTE_SWAP:
		swap_unref(space, pfn);
		break;
	case PTE_MARKER:
		if (!(how & ZAP_MARKERS) && !vma_anonymous(vma))
			return;
		break;
	case PTE_GUARD:
		if (!(how & ZAP_MARKERS))
			return;
		break;
	default:
		break;
	}
	leaf_set(space, leaf, addr, left);
}

static void zap_huge(struct space *space, struct leaf *leaf, unsigned long addr)
{
	if (pte_maps_frame(leaf->huge))
		huge_unmap(space, pte_payload(leaf->huge));
	leaf->huge = 0;
	leaf_drop(space, addr);
}

void zap_range(struct space *space, struct vma *vma, unsigned long start,
	       unsigned long end, unsigned int how)
{
	unsigned long addr = start;
	struct leaf *leaf;

	while ((leaf = leaf_next(space, &addr, end))) {
		unsigned long next = leaf_end(addr, end);

		if (leaf->huge && next - addr == LEAF_SIZE) {
			zap_huge(space, leaf, addr);
			addr = next;
			continue;
		}
		if (leaf->huge) {
			huge_split_mapping(space, vma, addr);
			leaf = leaf_get(space, addr);
		}
		for (; leaf && leaf_next_pte(leaf, &addr, next);
		     addr += PAGE_SIZE)
			zap_pte(space, vma, leaf, addr, leaf_pte(leaf, addr),
				how);
		addr = next;
	}
}

/* Linux 6.1 says of hugetlb's pages once more that they go. */
static void zap_area(struct space *space, struct vma *vma, unsigned long start,
		     unsigned long end, unsigned int how)
{
	bool nested = vma->flags & VM_HUGETLB && !newest(space);
	unsigned long first = start, last = end;
	struct mmu_notifier_range range;

	hugetlb_widen(vma, &first, &last);
	if (nested)
		event_start(space, &range, MMU_NOTIFY_UNMAP, first, last, NULL);
	zap_range(space, vma, start, end, how);
	if (nested)
		event_end(space, &range);
}

void zap_clear(struct space *space, struct vma *vma, unsigned long start,
	       unsigned long end, unsigned int how)
{
	unsigned long first = start, last = end;
	struct mmu_notifier_range range;

	hugetlb_widen(vma, &first, &last);
	event_start(space, &range, MMU_NOTIFY_CLEAR, first, last, NULL);
	zap_area(space, vma, start, end, how);
	event_end(space, &range);
}

/* All of an area that goes for good. */
void unmap_area(struct space *space, struct vma *vma)
{
	zap_area(space, vma, vma->start, vma->end, ZAP_COWS | ZAP_MARKERS);
}
