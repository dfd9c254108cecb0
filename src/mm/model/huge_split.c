/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Huge pages that become small ones: first the entries, then the page itself. */
#include "internal.h"

static void split_entry(struct space *space, struct leaf *leaf,
			unsigned long addr)
{
	unsigned long pfn = pte_payload(leaf->huge);
	uint64_t pte = leaf->huge & ~PTE_HUGE;
	bool zero = pfn == ZERO_PFN;

	leaf->huge = 0;
	for (unsigned long i = 0; i < LEAF_PAGES; i++) {
		leaf_set(space, leaf, addr + (i << PAGE_SHIFT), pte);
		if (i && pte_maps_frame(pte))
			frame_ref(space, pfn);
		if (!zero)
			pte += 1UL << PTE_PAYLOAD_SHIFT;
	}
	if (!zero)
		frame_get(space, pfn)->flags |= FRAME_SMALL;
}

static void split_whatever(struct space *space, unsigned long addr)
{
	struct mmu_notifier_range range;
	struct leaf *leaf;

	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + LEAF_SIZE,
		    NULL);
	leaf = leaf_get(space, addr);
	if (leaf && leaf->huge)
		split_entry(space, leaf, addr);
	event_end(space, &range);
}

void huge_split_mapping(struct space *space, struct vma *vma,
			unsigned long addr)
{
	struct leaf *leaf = leaf_get(space, addr);

	if (leaf && leaf->huge && !(vma->flags & VM_HUGETLB))
		split_whatever(space, addr & LEAF_MASK);
}

/* Linux does not look first: it may be there is nothing to split. */
void huge_cut(struct space *space, struct vma *vma, unsigned long addr)
{
	unsigned long start = addr & LEAF_MASK;

	if (vma->flags & VM_HUGETLB)
		hugetlb_unshare(space, vma, addr);
	if (addr != start && start >= vma->start &&
	    start + LEAF_SIZE <= vma->end && !(vma->flags & VM_HUGETLB) &&
	    table_above(space, addr))
		split_whatever(space, start);
}

/* ------------------------------------------------------------- a whole page */

/* Whoever maps it does so by small entries, and is told of more: so does Linux. */
static void split_mappings(struct space *space, unsigned long head)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	size_t n;

	list = mappings(space, head, &n);
	for (size_t i = 0; i < n; i++) {
		struct space *at = list[i].space;
		unsigned long addr = list[i].addr;
		struct vma *vma = vma_at(at, addr);

		if (!pte_at(at, addr))
			continue;
		huge_split_mapping(at, vma, addr);
		event_start(at, &range, MMU_NOTIFY_CLEAR, addr,
			    min_ul(addr + LEAF_SIZE, vma->end), NULL);
		event_end(at, &range);
	}
	mappings_free(list, n);
}

static void forget_huge(struct frame *frame)
{
	frame->flags &= ~(FRAME_HEAD | FRAME_TAIL | FRAME_SMALL);
	frame->head = 0;
}

/* Each page counts for itself; on its way, by who has taken them all. */
static void split_frames(struct space *space, unsigned long head, bool moving)
{
	for (unsigned long i = 0; i < LEAF_PAGES; i++) {
		struct frame *frame = frame_get(space, head + i);

		forget_huge(frame);
		frame->refs = moving ? 1 : frame->maps;
		if (moving)
			frame->flags |= FRAME_LOCKED;
	}
	for (unsigned long i = LEAF_PAGES; i--; )
		if (!frame_get(space, head + i)->refs) {
			frame_get(space, head + i)->refs = 1;
			frame_unref(space, head + i);
		}
}

/* The same of a device's, which @fault_page has one more reference to. */
static void split_device(struct space *space, unsigned long head,
			 unsigned long fault_page, bool moving)
{
	unsigned long refs = uhmm_device_page_count(head);

	uhmm_device_page_split(head, 1);
	for (unsigned long pfn = head; pfn < head + LEAF_PAGES; pfn++) {
		struct frame *frame = frame_get(space, pfn);
		unsigned long want = (moving ? 1 : frame->maps) +
				     (pfn == fault_page);

		forget_huge(frame);
		if (!moving && pfn != fault_page)
			uhmm_device_page_unlock(pfn);
		for (; refs < want; refs++)
			uhmm_device_page_get(pfn);
		for (; refs > want; refs--)
			uhmm_device_page_put(pfn);
		refs = 1;
	}
}

static bool is_of(struct space *space, unsigned long pfn, unsigned long head)
{
	return pfn && frame_head(space, pfn) == head;
}

bool huge_split_small(struct space *space, unsigned long pfn,
		      unsigned long fault_page)
{
	unsigned long head = frame_head(space, pfn);
	bool waited = is_of(space, fault_page, head);

	if (frame_get(space, head)->flags & FRAME_HUGETLB ||
	    (!waited && !page_trylock(space, head)))
		return false;
	split_mappings(space, head);
	if (frame_refs(space, head) != frame_maps(space, head) + waited) {
		if (!waited)
			page_unlock(space, head);
		return false;
	}
	if (frame_pfn_device(head)) {
		split_device(space, head, fault_page, false);
		model_wake(space);
	} else {
		page_unlock(space, head);
		split_frames(space, head, false);
	}
	return true;
}

int huge_split_page(struct space *space, struct vma *vma, unsigned long addr)
{
	unsigned long pfn = pte_payload(leaf_get(space, addr)->huge);
	struct frame *head = frame_get(space, pfn);

	if (frame_pfn_device(pfn) || head->refs != head->maps)
		return -EBUSY;
	return huge_split_small(space, pfn, 0) ? 0 : -EBUSY;
}

bool huge_split_moving(struct space *space, unsigned long pfn,
		       unsigned long fault_page)
{
	struct mapping *list;
	size_t n;

	if (frame_refs(space, pfn) != 1U + is_of(space, fault_page, pfn))
		return false;
	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		struct leaf *leaf = leaf_get(list[i].space, list[i].addr);

		if (leaf && huge_leads_to_frames(leaf) &&
		    pte_payload(leaf->huge) == pfn)
			split_whatever(list[i].space, list[i].addr);
	}
	mappings_free(list, n);
	if (frame_pfn_device(pfn))
		split_device(space, pfn, fault_page, true);
	else
		split_frames(space, pfn, true);
	return true;
}
