/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the kernel does to pages by itself, when somebody asks for it. */
#include "internal.h"

/* --------------------------------------------------------------- clear_refs */

static void clean_leaf(struct space *space, struct leaf *leaf,
		       unsigned long addr, unsigned long end, bool soft)
{
	uint64_t gone = soft ? PTE_W | PTE_SOFT : PTE_YOUNG;

	if (leaf->huge) {
		if (pte_present(leaf->huge))
			leaf->huge &= ~gone;
		else if (soft && pte_type(leaf->huge) != PTE_DEVICE)
			leaf->huge &= ~PTE_SOFT;
		return;
	}
	for (; leaf_next_pte(leaf, &addr, end); addr += PAGE_SIZE) {
		uint64_t pte = leaf_pte(leaf, addr);

		if (soft && pte & PTE_W && pte_has_frame(pte) &&
		    pte_present(pte) &&
		    frame_pinned(space, pte_payload(pte)) &&
		    frame_get(space, pte_payload(pte))->flags & FRAME_ANON)
			continue;
		if (pte_present(pte))
			leaf_set(space, leaf, addr, pte & ~gone);
		else if (soft && pte_type(pte) != PTE_DEVICE)
			leaf_set(space, leaf, addr, pte & ~PTE_SOFT);
	}
}

static void clean_all(struct space *space, bool soft)
{
	unsigned long addr = 0;
	struct leaf *leaf;

	while ((leaf = leaf_next(space, &addr, ~0UL))) {
		unsigned long next = leaf_end(addr, ~0UL);

		clean_leaf(space, leaf, addr, next, soft);
		addr = next;
	}
}

void uhmm_model_clear_soft_dirty(struct mm_struct *mm)
{
	struct space *space = space_of(mm);
	struct mmu_notifier_range range;
	struct vma *vma;

	mmap_write_lock(mm);
	model_lock(space);
	for (vma = space->vmas; vma; vma = vma->next)
		if (vma->flags & VM_SOFTDIRTY) {
			vma->flags &= ~VM_SOFTDIRTY;
			vma_set_prot(vma);
		}
	event_start(space, &range, MMU_NOTIFY_SOFT_DIRTY, 0, ~0UL, NULL);
	clean_all(space, true);
	event_end(space, &range);
	model_unlock(space);
	mmap_write_unlock(mm);
}

void uhmm_model_clear_references(struct mm_struct *mm)
{
	struct space *space = space_of(mm);

	mmap_read_lock(mm);
	model_lock(space);
	clean_all(space, false);
	model_unlock(space);
	mmap_read_unlock(mm);
}

/* ------------------------------------------------------------ NUMA hinting */

int uhmm_model_numa_hint(struct mm_struct *mm, unsigned long addr,
			 unsigned long len)
{
	struct space *space = space_of(mm);
	unsigned long end = addr + len;
	struct vma *vma;

	if ((addr | len) & ~PAGE_MASK || end < addr)
		return -EINVAL;
	mmap_read_lock(mm);
	model_lock(space);
	for (vma = vma_find(space, addr); vma && vma->start < end;
	     vma = vma->next)
		if (vma->flags & VM_ACCESS &&
		    !(vma->flags & (VM_SPECIAL | VM_HUGETLB)))
			change_protection(space, vma, max_ul(addr, vma->start),
					  min_ul(end, vma->end), CHANGE_HINT);
	model_unlock(space);
	mmap_read_unlock(mm);
	return 0;
}

/* -------------------------------------------------------------- compaction */

/* To another frame, as compaction and NUMA balancing do it. */
static int move_one(struct space *space, unsigned long addr)
{
	uint64_t pte = pte_at(space, addr);
	unsigned long from = pte_payload(pte), to;
	struct frame *frame;
	int ret = -EBUSY;

	if (!pte_present(pte) || pte_zero(pte) || frame_pfn_device(from))
		return -ENOENT;
	frame = frame_get(space, from);
	if (frame->flags & (FRAME_HEAD | FRAME_TAIL | FRAME_LOCKED |
			    FRAME_KSM) || frame->pins ||
	    (frame->flags & FRAME_CACHED && !frame->file) ||
	    (!(frame->flags & FRAME_ANON) && !frame->file))
		return -EBUSY;
	to = frame_new(space);
	if (!to)
		return -ENOMEM;
	frame_ref(space, from);
	frame->flags |= FRAME_LOCKED;
	rmap_migrate(space, from);
	frame = frame_get(space, from);
	if (!frame->maps && frame->refs == 1U + !!(frame->flags & FRAME_CACHED)) {
		frame_copy(space, frame_get(space, to), frame);
		frame_become(frame_get(space, to), frame);
		ret = 0;
	}
	rmap_restore(space, from, ret ? from : to);
	if (!ret && frame->flags & FRAME_CACHED)
		file_move_page(space, from, to);
	frame->flags &= ~FRAME_LOCKED;
	frame_unref(space, from);
	frame_unref(space, to);
	model_wake(space);
	return ret;
}

long uhmm_model_compact(struct mm_struct *mm, unsigned long addr,
			size_t npages)
{
	struct space *space = space_of(mm);
	long moved = 0;

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	mmap_read_lock(mm);
	model_lock(space);
	for (size_t i = 0; i < npages; i++)
		moved += !move_one(space, addr + (i << PAGE_SHIFT));
	model_unlock(space);
	mmap_read_unlock(mm);
	return moved;
}

/* ------------------------------------------------------------------- KSM */

static bool mergeable(struct space *space, unsigned long addr)
{
	struct vma *vma = vma_at(space, addr);
	uint64_t pte = pte_at(space, addr);
	struct frame *frame;

	if (!vma || !(vma->flags & VM_MERGEABLE) || !vma_anonymous(vma) ||
	    !pte_present(pte) || pte_zero(pte) ||
	    frame_pfn_device(pte_payload(pte)))
		return false;
	frame = frame_get(space, pte_payload(pte));
	return frame->flags & FRAME_KSM ||
	       (frame->refs == 1 && !(frame->flags & (FRAME_HEAD | FRAME_TAIL |
						      FRAME_LOCKED)));
}

/* Nobody may write it any more; then it is stable. */
static void ksm_protect(struct space *space, unsigned long addr)
{
	struct mmu_notifier_range range;
	uint64_t pte;

	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + PAGE_SIZE,
		    NULL);
	pte = pte_at(space, addr);
	if (pte_present(pte) && !pte_zero(pte)) {
		pte_put(space, addr, pte & ~(PTE_W | PTE_DIRTY));
		frame_get(space, pte_payload(pte))->flags &= ~FRAME_EXCLUSIVE;
		event_change_pte(space, addr);
	}
	event_end(space, &range);
}

int uhmm_model_ksm_merge(struct mm_struct *mm, unsigned long addr,
			 unsigned long with)
{
	struct space *space = space_of(mm);
	struct mmu_notifier_range range;
	unsigned long old, kept;
	int ret = -EINVAL;

	mmap_read_lock(mm);
	model_lock(space);
	if (addr == with || (addr | with) & ~PAGE_MASK ||
	    !mergeable(space, addr) || !mergeable(space, with))
		goto out;
	ret = -EAGAIN;
	ksm_protect(space, addr);
	if (!(frame_get(space, pte_payload(pte_at(space, with)))->flags &
	      FRAME_KSM))
		ksm_protect(space, with);
	if (!mergeable(space, addr) || !mergeable(space, with))
		goto out;
	old = pte_payload(pte_at(space, addr));
	kept = pte_payload(pte_at(space, with));
	if (old == kept || !frame_equal(frame_get(space, old),
					 frame_get(space, kept)))
		goto out;
	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + PAGE_SIZE,
		    NULL);
	if (pte_present(pte_at(space, addr)) &&
	    pte_payload(pte_at(space, addr)) == old) {
		frame_get(space, kept)->flags |= FRAME_KSM;
		frame_map(space, kept);
		pte_put(space, addr, pte_make(PTE_PRESENT, kept, 0));
		frame_unmap(space, old);
		event_change_pte(space, addr);
		ret = 0;
	}
	event_end(space, &range);
out:
	model_unlock(space);
	mmap_read_unlock(mm);
	return ret;
}

/* ---------------------------------------------------------- broken memory */

static void poison_at(struct space *space, unsigned long pfn)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	size_t n;

	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		struct space *at = list[i].space;
		uint64_t pte;

		event_start(at, &range, MMU_NOTIFY_CLEAR, list[i].addr,
			    list[i].addr + PAGE_SIZE, NULL);
		pte = pte_at(at, list[i].addr);
		if (pte_maps_frame(pte) && pte_payload(pte) == pfn) {
			pte_put(at, list[i].addr,
				pte_make(PTE_POISON, pfn, 0));
			frame_unmap(at, pfn);
		}
		event_end(at, &range);
	}
	mappings_free(list, n);
}

int memory_failure(struct space *space, struct vma *vma, unsigned long addr)
{
	unsigned long pfn;
	int ret;

	ret = gup_page(space, addr, false, false, &pfn);
	if (ret)
		return ret;
	if (pfn == ZERO_PFN)
		return -EBUSY;
	if (frame_get(space, pfn)->flags & (FRAME_HEAD | FRAME_TAIL) ||
	    frame_pfn_device(pfn)) {
		frame_unref(space, pfn);
		return -EBUSY;
	}
	/* Its reference is never given back: the frame is not used again. */
	frame_get(space, pfn)->flags |= FRAME_POISON;
	poison_at(space, pfn);
	return 0;
}

/* -------------------------------------------------------------- OOM reaper */

int uhmm_model_oom_reap(struct mm_struct *mm)
{
	struct space *space = space_of(mm);
	struct mmu_notifier_range range;
	struct vma *vma;
	int ret = 0;

	if (!mmap_read_trylock(mm))
		return -EAGAIN;
	model_lock(space);
	space->reaped = true;
	for (vma = space->vmas; vma; vma = vma->next) {
		if (vma->flags & (VM_HUGETLB | VM_SPECIAL) ||
		    (!vma_anonymous(vma) && vma->flags & VM_SHARED))
			continue;
		if (event_start_nonblock(space, &range, newest(space) ?
						 MMU_NOTIFY_CLEAR :
						 MMU_NOTIFY_UNMAP,
					 vma->start, vma->end)) {
			ret = -EAGAIN;
			continue;
		}
		zap_range(space, vma, vma->start, vma->end, ZAP_COWS);
		event_end(space, &range);
	}
	model_unlock(space);
	mmap_read_unlock(mm);
	return ret;
}
