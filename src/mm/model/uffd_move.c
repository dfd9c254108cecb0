/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* UFFDIO_MOVE: anonymous pages go to another address, as they are. */
#include "internal.h"

struct move {
	struct space *space;
	struct vma *from;
	struct vma *to;
	bool holes;
};

static bool movable(const struct vma *vma)
{
	return vma_anonymous(vma) && !(vma->flags & (VM_SPECIAL | VM_HUGETLB |
						     VM_SHARED));
}

static int look_up(struct move *move, unsigned long to, unsigned long from,
		   unsigned long len)
{
	uint32_t alike = VM_ACCESS | VM_LOCKED;

	move->to = vma_at(move->space, to);
	move->from = vma_at(move->space, from);
	if (!move->to)
		return -ENOENT;
	if (!(move->to->flags & VM_SHARED) &&
	    vma_prepare_anon(move->space, move->to))
		return -ENOMEM;
	if (!move->from)
		return -ENOENT;
	if (from + len > move->from->end || to + len > move->to->end ||
	    !movable(move->from) || !movable(move->to) ||
	    (move->from->flags ^ move->to->flags) & alike ||
	    !(move->from->flags & VM_WRITE) || !(move->to->flags & VM_UFFD))
		return -EINVAL;
	return 0;
}

/* What the page at @from will look like at @to; the frame is there then. */
static uint64_t arrives(struct move *move, unsigned long to, uint64_t pte)
{
	struct frame *frame = frame_get(move->space, pte_payload(pte));

	frame->index = vma_index(move->to, to);
	frame->family = move->to->anon;
	return pte_make(PTE_PRESENT, pte_payload(pte),
			(pte & PTE_DIRTY) | PTE_W | PTE_SOFT | PTE_YOUNG);
}

/* 1: it is to be looked at again; 0: it may go. */
static int may_go(struct move *move, uint64_t pte)
{
	unsigned long pfn = pte_payload(pte);
	const struct frame *frame = frame_get(move->space, pfn);
	const struct frame *head;

	if (!(frame->flags & FRAME_EXCLUSIVE) || frame_pfn_device(pfn))
		return -EBUSY;
	head = frame_get(move->space, frame_head(move->space, pfn));
	if (head->flags & FRAME_LOCKED) {
		model_wait(move->space);
		return 1;
	}
	if (frame->flags & (FRAME_HEAD | FRAME_TAIL))
		return huge_split_small(move->space, pfn, 0) ? 1 : -EBUSY;
	return frame->pins ? -EBUSY : 0;
}

/* A slot that others have too is not moved; where it is cached, that is told. */
static int move_swapped(struct move *move, unsigned long to, uint64_t pte)
{
	unsigned long pfn = slot_of(move->space, pte_payload(pte))->cache;

	if (!(pte & PTE_ANON_EX))
		return -EBUSY;
	if (pfn) {
		frame_get(move->space, pfn)->index = vma_index(move->to, to);
		frame_get(move->space, pfn)->family = move->to->anon;
	}
	return pte_put(move->space, to, pte | PTE_SOFT);
}

static int move_present(struct move *move, unsigned long to, uint64_t pte)
{
	if (pte_zero(pte))
		return pte_put(move->space, to,
			       pte_make(PTE_PRESENT, ZERO_PFN, 0));
	return pte_put(move->space, to, arrives(move, to, pte));
}

/* 0: done; 1: once more; or -errno. */
static int move_one(struct move *move, unsigned long to, unsigned long from)
{
	struct space *space = move->space;
	uint64_t pte = pte_at(space, from);
	int ret;

	if (pte_at(space, to))
		return -EEXIST;
	switch (pte_type(pte)) {
	case PTE_NONE:
		return move->holes ? 0 : -ENOENT;
	case PTE_MIGRATION:
		model_wait(space);
		return 1;
	case PTE_SWAP:
		ret = move_swapped(move, to, pte);
		break;
	case PTE_PRESENT:
		ret = pte_zero(pte) ? 0 : may_go(move, pte);
		if (!ret)
			ret = move_present(move, to, pte);
		break;
	default:
		return -EFAULT;
	}
	if (!ret)
		pte_put(space, from, PTE_NONE);
	return ret;
}

static bool plain(struct move *move, unsigned long addr)
{
	uint64_t pte = pte_at(move->space, addr);

	return pte_present(pte) && !pte_zero(pte);
}

/*
 * Of a table the pages that are present go together. All that is left to move
 * is announced, each time.
 */
static long move_some(struct move *move, unsigned long to, unsigned long from,
		      unsigned long end)
{
	unsigned long last = min_ul(leaf_end(from, end), from +
				    (leaf_end(to, ~0UL) - to)), at = from;
	struct mmu_notifier_range range;
	int ret;

	event_start(move->space, &range, MMU_NOTIFY_CLEAR, from, end, NULL);
	do {
		bool more = plain(move, at);

		do
			ret = move_one(move, to + (at - from), at);
		while (ret > 0);
		if (ret)
			break;
		at += PAGE_SIZE;
		if (!more)
			break;
	} while (at < last && plain(move, at));
	event_end(move->space, &range);
	return at > from ? (long)(at - from) : ret;
}

/* As a whole. 0; 1: it has been split; or -errno. */
static int move_huge(struct move *move, unsigned long to, unsigned long from,
		     unsigned long end)
{
	struct space *space = move->space;
	struct mmu_notifier_range range;
	uint64_t huge = leaf_get(space, from)->huge;
	bool zero = pte_payload(huge) == ZERO_PFN;
	struct leaf *leaf;
	int ret = 0;

	if (!zero && !(frame_get(space, pte_payload(huge))->flags &
		       FRAME_EXCLUSIVE))
		return -EBUSY;
	if ((to | from) & ~LEAF_MASK || end - from < LEAF_SIZE ||
	    leaf_get(space, to)) {
		huge_split_mapping(space, move->from, from);
		return 1;
	}
	event_start(space, &range, MMU_NOTIFY_CLEAR, from, from + LEAF_SIZE,
		    NULL);
	leaf = leaf_get(space, from);
	if (!leaf || leaf->huge != huge)
		ret = 1;
	else if (!zero && frame_get(space, pte_payload(huge))->pins)
		ret = -EBUSY;
	else if (!leaf_make(space, to))
		ret = -ENOMEM;
	if (!ret) {
		if (!zero) {
			huge_become_anon(space, move->to, pte_payload(huge), to);
			huge |= PTE_W | PTE_DIRTY | PTE_SOFT;
		}
		leaf_get(space, to)->huge = huge & ~PTE_UFFD;
		leaf_get(space, from)->huge = 0;
	}
	event_end(space, &range);
	return ret;
}

static long move_step(struct move *move, unsigned long to, unsigned long from,
		      unsigned long end)
{
	const struct leaf *at = leaf_get(move->space, to);
	const struct leaf *leaf = leaf_get(move->space, from);
	int ret;

	if (at && at->huge)
		return -EEXIST;
	if (leaf && leaf->huge && pte_present(leaf->huge)) {
		ret = move_huge(move, to, from, end);
		return ret ? ret : (long)LEAF_SIZE;
	}
	if (!leaf && !move->holes)
		return -ENOENT;
	if (!leaf_make(move->space, from) || !leaf_make(move->space, to))
		return -ENOMEM;
	return move_some(move, to, from, end);
}

static long move_all(struct move *move, unsigned long to, unsigned long from,
		     unsigned long len)
{
	unsigned long at = 0;
	long ret = look_up(move, to, from, len);

	while (!ret && at < len) {
		ret = move_step(move, to + at, from + at, from + len);
		if (ret <= 0)
			break;
		at += ret == 1 ? 0 : (unsigned long)ret;
		ret = 0;
	}
	return at ? (long)(at >> PAGE_SHIFT) : ret;
}

long uhmm_model_uffd_move(struct mm_struct *mm, unsigned long to,
			  unsigned long from, size_t npages, bool holes)
{
	struct move move = { .space = space_of(mm), .holes = holes };
	unsigned long len = npages << PAGE_SHIFT;
	long ret;

	if (!newest(move.space))
		return -ENOTTY;
	if ((to | from) & ~PAGE_MASK || !len || len > TASK_END ||
	    to > TASK_END - len || from > TASK_END - len)
		return -EINVAL;
	mmap_read_lock(mm);
	model_lock(move.space);
	ret = move_all(&move, to, from, len);
	model_unlock(move.space);
	mmap_read_unlock(mm);
	return ret;
}
