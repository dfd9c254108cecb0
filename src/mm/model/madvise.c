/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* madvise, one area after another. */
#include "internal.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Whatever the C library knows. */
enum advice {
	ADV_NORMAL = 0,
	ADV_RANDOM = 1,
	ADV_SEQUENTIAL = 2,
	ADV_WILLNEED = 3,
	ADV_DONTNEED = 4,
	ADV_FREE = 8,
	ADV_REMOVE = 9,
	ADV_DONTFORK = 10,
	ADV_DOFORK = 11,
	ADV_MERGEABLE = 12,
	ADV_UNMERGEABLE = 13,
	ADV_HUGEPAGE = 14,
	ADV_NOHUGEPAGE = 15,
	ADV_DONTDUMP = 16,
	ADV_DODUMP = 17,
	ADV_WIPEONFORK = 18,
	ADV_KEEPONFORK = 19,
	ADV_COLD = 20,
	ADV_PAGEOUT = 21,
	ADV_POPULATE_READ = 22,
	ADV_POPULATE_WRITE = 23,
	ADV_DONTNEED_LOCKED = 24,
	ADV_COLLAPSE = 25,
	ADV_HWPOISON = 100,
	ADV_GUARD_INSTALL = 102,
	ADV_GUARD_REMOVE = 103
};

/* -------------------------------------------------------- what pages are for */

/* Each small page of [start, end) that is present and not the zero page. */
typedef void (*each_fn)(struct space *space, struct vma *vma, struct leaf *leaf,
			unsigned long addr, uint64_t pte, void *arg);

static void each_page(struct space *space, struct vma *vma,
		      unsigned long start, unsigned long end, bool split,
		      each_fn each, void *arg)
{
	struct leaf *leaf;

	while ((leaf = leaf_next(space, &start, end))) {
		unsigned long next = leaf_end(start, end);

		if (huge_leads_to_frames(leaf) && split &&
		    pte_present(leaf->huge)) {
			huge_split_page(space, vma, start);
			leaf = leaf_get(space, start);
		}
		for (; leaf_next_pte(leaf, &start, next) && !leaf->huge;
		     start += PAGE_SIZE)
			each(space, vma, leaf, start, leaf_pte(leaf, start),
			     arg);
		start = next;
	}
}

static void free_one(struct space *space, struct vma *vma, struct leaf *leaf,
		     unsigned long addr, uint64_t pte, void *unused)
{
	struct frame *frame;

	if (pte_type(pte) == PTE_SWAP) {
		swap_unref(space, pte_payload(pte));
		leaf_set(space, leaf, addr, 0);
		return;
	}
	if (!pte_present(pte) || pte_zero(pte))
		return;
	frame = frame_get(space, pte_payload(pte));
	if (frame->flags & (FRAME_CACHED | FRAME_DIRTY)) {
		if (frame->maps != 1 || frame->flags & FRAME_LOCKED)
			return;
		if (frame->flags & FRAME_CACHED)
			swap_uncache(space, pte_payload(pte));
		frame->flags &= ~FRAME_DIRTY;
	}
	frame->flags |= FRAME_LAZY;
	leaf_set(space, leaf, addr, pte & ~(PTE_YOUNG | PTE_DIRTY));
}

static int advise_free(struct space *space, struct vma *vma,
		       unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	if (!vma_anonymous(vma))
		return -EINVAL;
	event_start(space, &range, MMU_NOTIFY_CLEAR, start, end, NULL);
	each_page(space, vma, start, end, true, free_one, NULL);
	event_end(space, &range);
	return 0;
}

struct found {
	unsigned long *pfns;
	size_t n;
};

static void cold_one(struct space *space, struct vma *vma, struct leaf *leaf,
		     unsigned long addr, uint64_t pte, void *arg)
{
	unsigned long pfn = pte_payload(pte);
	struct found *found = arg;

	if (!pte_present(pte) || pte_zero(pte) || frame_pfn_device(pfn) ||
	    frame_get(space, pfn)->maps != 1 ||
	    frame_get(space, pfn)->flags & (FRAME_HEAD | FRAME_TAIL))
		return;
	leaf_set(space, leaf, addr, pte & ~PTE_YOUNG);
	if (found)
		found->pfns[found->n++] = pfn;
}

static int advise_cold(struct space *space, struct vma *vma,
		       unsigned long start, unsigned long end, bool out)
{
	struct found found = { 0 };

	if (vma->flags & (VM_LOCKED | VM_IO | VM_HUGETLB))
		return -EINVAL;
	if (!out) {
		each_page(space, vma, start, end, false, cold_one, NULL);
		return 0;
	}
	found.pfns = malloc(((end - start) >> PAGE_SHIFT) *
			    sizeof(*found.pfns));
	if (!found.pfns)
		return -ENOMEM;
	each_page(space, vma, start, end, true, cold_one, &found);
	reclaim(space, found.pfns, found.n);
	free(found.pfns);
	return 0;
}

static int advise_dontneed(struct space *space, struct vma *vma,
			   unsigned long start, unsigned long end, bool locked)
{
	if (vma->flags & ((locked ? 0 : VM_LOCKED) | VM_IO))
		return -EINVAL;
	if (vma->flags & VM_HUGETLB) {
		if (start & ~LEAF_MASK)
			return -EINVAL;
		end &= LEAF_MASK;
	}
	if (start < end)
		zap_clear(space, vma, start, end, ZAP_COWS);
	return 0;
}

static int advise_remove(struct space *space, struct vma *vma,
			 unsigned long start, unsigned long end)
{
	/* Newest: who may be allowed to write some day may; 6.1: who is now. */
	uint32_t shared = newest(space) ? VM_SHARED : VM_SHARED | VM_WRITE;

	if (vma->flags & VM_LOCKED || !vma->file)
		return -EINVAL;
	if ((vma->flags & shared) != shared)
		return -EACCES;
	return file_punch(space, vma->file, vma_index(vma, start),
			  vma_index(vma, end));
}

static int advise_collapse(struct space *space, struct vma *vma,
			   unsigned long start, unsigned long end)
{
	int ret = -EINVAL;

	for (start = (start + LEAF_SIZE - 1) & LEAF_MASK;
	     start + LEAF_SIZE <= end; start += LEAF_SIZE) {
		ret = huge_collapse(space, vma, start);
		if (ret)
			return ret;
	}
	return ret;
}

static bool only_guards(struct space *space, unsigned long start,
			unsigned long end)
{
	for (; start < end; start += PAGE_SIZE) {
		enum pte_type type = pte_type(pte_at(space, start));

		if (type != PTE_NONE && type != PTE_GUARD)
			return false;
	}
	return true;
}

/* Only where something goes it is said. A fork takes guards along. */
static int advise_guard(struct space *space, struct vma *vma,
			unsigned long start, unsigned long end, bool install)
{
	if (!newest(space) || vma->flags & (VM_SPECIAL | VM_HUGETLB) ||
	    (install && vma->flags & VM_LOCKED))
		return -EINVAL;
	if (install && vma_anonymous(vma) && vma_prepare_anon(space, vma))
		return -ENOMEM;
	if (install)
		vma->flags |= VM_GUARDED;
	if (install && !only_guards(space, start, end))
		zap_clear(space, vma, start, end, ZAP_COWS | ZAP_MARKERS);
	for (; start < end; start += PAGE_SIZE) {
		uint64_t pte = pte_at(space, start);

		if (install && pte_put(space, start,
				       pte_make(PTE_GUARD, 0, 0)))
			return -ENOMEM;
		if (!install && pte_type(pte) == PTE_GUARD)
			pte_put(space, start, PTE_NONE);
	}
	return 0;
}

static int advise_poison(struct space *space, struct vma *vma,
			 unsigned long start, unsigned long end)
{
	for (; start < end; start += PAGE_SIZE) {
		int ret = memory_failure(space, vma, start);

		if (ret)
			return ret;
	}
	return 0;
}

/* -------------------------------------------------------------- area's flags */

static int advised_flags(const struct vma *vma, int advice, uint32_t *flags)
{
	*flags = vma->flags;
	switch (advice) {
	case ADV_NORMAL:
		*flags &= ~(VM_RAND | VM_SEQ);
		break;
	case ADV_RANDOM:
		*flags = (*flags & ~VM_SEQ) | VM_RAND;
		break;
	case ADV_SEQUENTIAL:
		*flags = (*flags & ~VM_RAND) | VM_SEQ;
		break;
	case ADV_DONTFORK:
		*flags |= VM_DONTCOPY;
		break;
	case ADV_DOFORK:
		*flags &= ~VM_DONTCOPY;
		break;
	case ADV_WIPEONFORK:
		if (vma->file || vma->flags & VM_SHARED)
			return -EINVAL;
		*flags |= VM_WIPEONFORK;
		break;
	case ADV_KEEPONFORK:
		*flags &= ~VM_WIPEONFORK;
		break;
	case ADV_HUGEPAGE:
		*flags = (*flags & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
		break;
	case ADV_NOHUGEPAGE:
		*flags = (*flags & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
		break;
	case ADV_DONTDUMP:
		*flags |= VM_DONTDUMP;
		break;
	case ADV_DODUMP:
		if (*flags & VM_SPECIAL)
			return -EINVAL;
		*flags &= ~VM_DONTDUMP;
		break;
	case ADV_MERGEABLE:
		*flags |= VM_MERGEABLE;
		break;
	case ADV_UNMERGEABLE:
		*flags &= ~VM_MERGEABLE;
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

static int advise_flags(struct space *space, struct vma **vma,
			struct vma **prev, unsigned long start,
			unsigned long end, int advice)
{
	uint32_t flags;
	int ret = advised_flags(*vma, advice, &flags);

	if (ret || flags == (*vma)->flags)
		return ret;
	if (!hugetlb_fits(*vma, start) || !hugetlb_fits(*vma, end))
		return -EINVAL;
	*vma = vma_isolate(space, *vma, prev, start, end, flags);
	if (!*vma)
		return -ENOMEM;
	vma_set_flags(*vma, flags);
	return 0;
}

static int advise_area(struct space *space, struct vma **vma,
		       struct vma **prev, unsigned long start,
		       unsigned long end, int advice)
{
	switch (advice) {
	case ADV_WILLNEED:
		return 0;
	case ADV_DONTNEED:
	case ADV_DONTNEED_LOCKED:
		return advise_dontneed(space, *vma, start, end,
				       advice == ADV_DONTNEED_LOCKED);
	case ADV_FREE:
		if ((*vma)->flags & (VM_LOCKED | VM_IO))
			return -EINVAL;
		return advise_free(space, *vma, start, end);
	case ADV_REMOVE:
		return advise_remove(space, *vma, start, end);
	case ADV_COLD:
	case ADV_PAGEOUT:
		return advise_cold(space, *vma, start, end,
				   advice == ADV_PAGEOUT);
	case ADV_COLLAPSE:
		return advise_collapse(space, *vma, start, end);
	case ADV_HWPOISON:
		return advise_poison(space, *vma, start, end);
	case ADV_GUARD_INSTALL:
	case ADV_GUARD_REMOVE:
		return advise_guard(space, *vma, start, end,
				    advice == ADV_GUARD_INSTALL);
	default:
		return advise_flags(space, vma, prev, start, end, advice);
	}
}

static int advise(struct space *space, unsigned long start, unsigned long end,
		  int advice)
{
	struct vma *vma = vma_find(space, start), *prev;
	int hole = 0, ret;

	prev = vma_prev(space, vma);
	if (vma && start > vma->start)
		prev = vma;
	while (vma) {
		unsigned long to;

		if (start < vma->start) {
			hole = -ENOMEM;
			start = vma->start;
			if (start >= end)
				return hole;
			prev = vma_prev(space, vma);
		}
		to = min_ul(vma->end, end);
		ret = advise_area(space, &vma, &prev, start, to, advice);
		if (ret)
			return ret;
		start = to;
		if (start >= end)
			return hole;
		vma = vma_find(space, start);
		prev = vma && vma->start < start ? vma :
						   vma_prev(space, vma);
	}
	return -ENOMEM;
}

static bool known(struct space *space, int advice)
{
	switch (advice) {
	case ADV_NORMAL ... ADV_DONTNEED:
	case ADV_FREE ... ADV_DONTNEED_LOCKED:
	case ADV_COLLAPSE:
	case ADV_HWPOISON:
		return true;
	case ADV_GUARD_INSTALL:
	case ADV_GUARD_REMOVE:
		return newest(space);
	default:
		return false;
	}
}

int uhmm_model_madvise(struct mm_struct *mm, unsigned long addr,
		       unsigned long len, int advice)
{
	struct space *space = space_of(mm);
	bool any = len;
	int ret;

	len = (len + PAGE_SIZE - 1) & PAGE_MASK;
	if (!known(space, advice) || addr & ~PAGE_MASK || (any && !len) ||
	    addr + len < addr)
		return -EINVAL;
	if (!len)
		return 0;
	mmap_write_lock(mm);
	if (advice == ADV_POPULATE_READ || advice == ADV_POPULATE_WRITE)
		mmap_write_downgrade(mm);
	model_lock(space);
	if (advice == ADV_POPULATE_READ || advice == ADV_POPULATE_WRITE)
		ret = populate_advised(space, addr, addr + len,
				       advice == ADV_POPULATE_WRITE);
	else
		ret = advise(space, addr, addr + len, advice);
	model_unlock(space);
	if (advice == ADV_POPULATE_READ || advice == ADV_POPULATE_WRITE)
		mmap_read_unlock(mm);
	else
		mmap_write_unlock(mm);
	return ret;
}
