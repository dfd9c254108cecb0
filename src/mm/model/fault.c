/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A touch of a page that its entry does not allow. */
#include "internal.h"

/* A new mapping of an anonymous page, without the rights. */
int map_anon(struct space *space, struct vma *vma, unsigned long addr,
	     unsigned long pfn, uint64_t flags)
{
	struct frame *frame;

	if (pte_put(space, addr, pte_make(PTE_PRESENT, pfn, flags)) ||
	    frame_map(space, pfn))
		return -ENOMEM;
	frame = frame_get(space, pfn);
	frame->flags |= FRAME_ANON | FRAME_EXCLUSIVE;
	frame->index = vma_index(vma, addr);
	frame->family = vma->anon;
	return 0;
}

/* What an entry gets that was made by a write. */
static uint64_t written(const struct vma *vma)
{
	return PTE_YOUNG | PTE_DIRTY | PTE_SOFT |
	       (vma->flags & VM_WRITE ? PTE_W : 0);
}

static int fault_anon(struct space *space, struct vma *vma, unsigned long addr,
		      bool write, bool marked)
{
	struct leaf *leaf = leaf_make(space, addr);
	bool missing = vma->flags & VM_UFFD_MISSING;
	uint64_t mark = marked ? PTE_UFFD : 0;
	unsigned long pfn;
	int ret;

	if (!leaf)
		return FAULT_OOM;
	if (!write) {
		if (missing)
			return FAULT_SIGBUS;
		return leaf_set(space, leaf, addr,
				pte_make(PTE_PRESENT, ZERO_PFN,
					 PTE_YOUNG | mark)) ? FAULT_OOM : 0;
	}
	if (vma_prepare_anon(space, vma))
		return FAULT_OOM;
	if (missing)
		return FAULT_SIGBUS;
	pfn = frame_new(space);
	if (!pfn)
		return FAULT_OOM;
	ret = map_anon(space, vma, addr, pfn, marked ?
		       (written(vma) & ~PTE_W) | mark : written(vma));
	frame_unref(space, pfn);
	return ret ? FAULT_OOM : 0;
}

/* ------------------------------------------------------------ pages of files */

static int map_file_page(struct space *space, struct vma *vma,
			 unsigned long addr, unsigned long pfn, bool write,
			 bool marked)
{
	uint64_t flags = vma->prot_write ? PTE_W : 0;

	if (write)
		flags |= written(vma);
	if (marked)
		flags = (flags & ~PTE_W) | PTE_UFFD;
	if (pte_put(space, addr, pte_make(PTE_PRESENT, pfn,
					  flags | PTE_YOUNG)) ||
	    frame_map(space, pfn))
		return FAULT_OOM;
	if (write)
		frame_get(space, pfn)->flags |= FRAME_DIRTY;
	return 0;
}

/* Pages of the cache around one that is read come along. */
static void fault_around(struct space *space, struct vma *vma,
			 unsigned long addr)
{
	unsigned long bytes = (unsigned long)space->model->options.fault_around
			      << PAGE_SHIFT;
	unsigned long from, to, at;

	if (bytes <= PAGE_SIZE || vma->flags & VM_UFFD_WP)
		return;
	from = max_ul(max_ul(addr & ~(bytes - 1), vma->start),
		      addr & LEAF_MASK);
	to = min_ul(from + bytes, leaf_end(addr, vma->end));
	to = min_ul(to, (addr & ~(bytes - 1)) + bytes);
	for (at = from; at < to; at += PAGE_SIZE) {
		unsigned long pfn = file_cached(space, vma->file,
						vma_index(vma, at));

		if (pfn && !pte_at(space, at) &&
		    !(frame_get(space, pfn)->flags & FRAME_AHEAD))
			map_file_page(space, vma, at, pfn, false, false);
	}
}

#define AHEAD_PAGES 32UL

/*
 * A page that is read from a disk comes with others, of which one is marked:
 * who needs that one has more read. It is seen by nobody but fault_around().
 */
static void read_ahead(struct space *space, struct file *file,
		       unsigned long index)
{
	unsigned long first = index - min_ul(index, AHEAD_PAGES / 2);
	unsigned long end = min_ul(first + AHEAD_PAGES,
				   (file->size + PAGE_SIZE - 1) >> PAGE_SHIFT);
	unsigned long marked = end - min_ul(AHEAD_PAGES / 4, end), pfn;
	bool oom;

	for (unsigned long i = first; i < end; i++) {
		if (file_has(space, file, i))
			continue;
		pfn = file_page(space, file, i, &oom);
		if (pfn && i == marked)
			frame_get(space, pfn)->flags |= FRAME_AHEAD;
	}
}

static int copy_file_page(struct space *space, struct vma *vma,
			  unsigned long addr, unsigned long from, bool marked)
{
	unsigned long pfn = frame_new(space);
	uint64_t flags = written(vma);
	int ret;

	if (!pfn)
		return FAULT_OOM;
	frame_copy(space, frame_get(space, pfn), frame_get(space, from));
	if (marked)
		flags = (flags & ~PTE_W) | PTE_UFFD;
	ret = map_anon(space, vma, addr, pfn, flags);
	frame_unref(space, pfn);
	return ret ? FAULT_OOM : 0;
}

static int fault_file(struct space *space, struct vma *vma, unsigned long addr,
	       bool write, bool marked)
{
	unsigned long index = vma_index(vma, addr), pfn;
	bool oom = false, cow = write && vma_cow(vma);

	if (vma->file->kind == FILE_DEVICE)
		return FAULT_SIGBUS;
	if (!write) {
		fault_around(space, vma, addr);
		if (pte_present(pte_at(space, addr)))
			return 0;
	}
	if (cow && vma_prepare_anon(space, vma))
		return FAULT_OOM;
	if (vma->flags & VM_UFFD_MISSING &&
	    !file_has(space, vma->file, index) &&
	    index << PAGE_SHIFT < vma->file->size)
		return FAULT_SIGBUS;
	if (space->model->options.fault_around > 1 &&
	    vma->file->kind == FILE_DISK && !file_has(space, vma->file, index))
		read_ahead(space, vma->file, index);
	pfn = file_page(space, vma->file, index, &oom);
	if (!pfn)
		return oom ? FAULT_OOM : FAULT_SIGBUS;
	frame_get(space, pfn)->flags &= ~FRAME_AHEAD;
	if (cow)
		return copy_file_page(space, vma, addr, pfn, marked);
	return map_file_page(space, vma, addr, pfn, write, marked);
}

/* ---------------------------------------------------------- write protection */

int copy_on_write(struct space *space, struct vma *vma, unsigned long addr,
		  uint64_t pte, bool unshare)
{
	unsigned long pfn, old = pte_payload(pte);
	struct mmu_notifier_range range;
	uint64_t flags = written(vma);

	if (vma_prepare_anon(space, vma))
		return FAULT_OOM;
	pfn = frame_new(space);
	if (!pfn)
		return FAULT_OOM;
	if (!pte_zero(pte))
		page_copy(space, pfn, old);
	if (unshare)
		flags = PTE_YOUNG | (pte & (PTE_SOFT | PTE_UFFD));
	event_start(space, &range, MMU_NOTIFY_CLEAR, addr, addr + PAGE_SIZE,
		    NULL);
	if (pte_at(space, addr) == pte) {
		map_anon(space, vma, addr, pfn, flags);
		if (!pte_zero(pte))
			frame_unmap(space, old);
		event_change_pte(space, addr);
	}
	event_end(space, &range);
	frame_unref(space, pfn);
	return 0;
}

/* Is nobody else looking at an anonymous page? Then it need not be copied. */
static bool can_reuse(struct space *space, struct vma *vma, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);

	if (frame->flags & FRAME_EXCLUSIVE)
		return true;
	if (frame->flags & FRAME_KSM || frame_pfn_device(pfn) ||
	    frame->flags & (FRAME_HEAD | FRAME_TAIL) ||
	    frame->refs > 1U + !!(frame->flags & FRAME_CACHED))
		return false;
	if (frame->flags & FRAME_CACHED)
		swap_uncache(space, pfn);
	if (frame->refs != 1)
		return false;
	frame->flags |= FRAME_EXCLUSIVE;
	frame->family = vma->anon;
	return true;
}

static int fault_write_protected(struct space *space, struct vma *vma,
			  unsigned long addr, uint64_t pte)
{
	unsigned long pfn = pte_payload(pte);
	struct frame *frame;

	if (vma->flags & VM_UFFD_WP && pte & PTE_UFFD) {
		if (!(vma->flags & VM_UFFD_ASYNC))
			return FAULT_SIGBUS;
		pte &= ~PTE_UFFD;
		pte_put(space, addr, pte);
	}
	if (pte_zero(pte))
		return copy_on_write(space, vma, addr, pte, false);
	frame = frame_get(space, pfn);
	if (vma->flags & VM_SHARED)
		frame->flags |= FRAME_DIRTY;
	else if (!(frame->flags & FRAME_ANON) || !can_reuse(space, vma, pfn))
		return copy_on_write(space, vma, addr, pte, false);
	pte_put(space, addr, pte | written(vma));
	return 0;
}

/* -------------------------------------------------------------------- swap */

static unsigned long swap_in(struct space *space, unsigned long id,
			     bool *ret_fresh)
{
	struct swap_slot *slot = slot_of(space, id);
	unsigned long pfn = slot->cache;

	*ret_fresh = false;
	if (pfn) {
		frame_ref(space, pfn);
		return pfn;
	}
	pfn = frame_new(space);
	if (!pfn)
		return 0;
	swap_read(space, id, frame_get(space, pfn));
	/* One that others have entries for too is kept where they find it. */
	*ret_fresh = slot->count == 1;
	if (!*ret_fresh)
		swap_cache(space, id, pfn);
	return pfn;
}

static int fault_swapped(struct space *space, struct vma *vma, unsigned long addr,
		  uint64_t pte, bool write)
{
	unsigned long id = pte_payload(pte), pfn;
	uint64_t flags = PTE_YOUNG | (pte & PTE_SOFT), new;
	struct frame *frame;
	bool exclusive;

	pfn = swap_in(space, id, &exclusive);
	if (!pfn)
		return FAULT_OOM;
	frame = frame_get(space, pfn);
	exclusive = exclusive || pte & PTE_ANON_EX;
	frame_map(space, pfn);
	swap_unref(space, id);
	frame_unref(space, pfn);
	if (frame->flags & FRAME_CACHED && frame->refs == 2 &&
	    (write || vma->flags & VM_LOCKED))
		swap_uncache(space, pfn);
	exclusive = exclusive || frame->refs == 1;
	/* Who else has it may be found by what they have in common only. */
	if (exclusive || !(frame->flags & FRAME_ANON))
		frame->family = exclusive ? vma->anon :
					    family_root(space, vma->anon);
	frame->flags |= FRAME_ANON;
	frame->index = vma_index(vma, addr);
	if (exclusive)
		frame->flags |= FRAME_EXCLUSIVE;
	if (exclusive && write)
		flags |= written(vma);
	if (pte & PTE_UFFD)
		flags = (flags & ~PTE_W) | PTE_UFFD;
	new = pte_make(PTE_PRESENT, pfn, flags);
	pte_put(space, addr, new);
	if (write && !exclusive)
		return fault_write_protected(space, vma, addr, new);
	return 0;
}

static int fault_missing(struct space *space, struct vma *vma,
			 unsigned long addr, bool write, bool marked)
{
	return vma_anonymous(vma) ?
		       fault_anon(space, vma, addr, write, marked) :
		       fault_file(space, vma, addr, write, marked);
}

static int fault_not_present(struct space *space, struct vma *vma,
			     unsigned long addr, uint64_t pte, bool write)
{
	switch (pte_type(pte)) {
	case PTE_MIGRATION:
		model_wait(space);
		return 0;
	case PTE_DEVICE:
		return device_fault(space, vma, addr, pte, write);
	case PTE_EXCLUSIVE:
		return exclusive_restore(space, vma, addr, pte);
	case PTE_SWAP:
		return fault_swapped(space, vma, addr, pte, write);
	case PTE_MARKER:
		if (vma->flags & VM_UFFD_WP)
			return fault_missing(space, vma, addr, write, true);
		pte_put(space, addr, PTE_NONE);
		return 0;
	case PTE_POISON:
		return FAULT_POISON;
	default:
		return FAULT_SIGSEGV;
	}
}

int fault_page(struct space *space, struct vma *vma, unsigned long addr,
	       bool write)
{
	struct leaf *leaf = leaf_get(space, addr);
	uint64_t pte;

	if (vma->flags & VM_HUGETLB)
		return hugetlb_fault(space, vma, addr, write);
	if (!leaf && huge_wanted(space, vma, addr))
		return huge_fault(space, vma, addr, write);
	if (leaf && leaf->huge && pte_present(leaf->huge)) {
		leaf->huge &= ~PTE_HINT;
		if (!write || leaf->huge & PTE_W) {
			leaf->huge |= PTE_YOUNG | (write ? PTE_DIRTY | PTE_SOFT
							 : 0);
			return 0;
		}
		huge_write(space, vma, addr);
		return 0;
	}
	pte = leaf ? leaf_pte(leaf, addr) : 0;
	if (!pte)
		return fault_missing(space, vma, addr, write, false);
	if (!pte_present(pte))
		return fault_not_present(space, vma, addr, pte, write);
	if (pte & PTE_HINT) {
		pte &= ~PTE_HINT;
		leaf_set(space, leaf, addr, pte);
	}
	if (write && !(pte & PTE_W))
		return fault_write_protected(space, vma, addr, pte);
	leaf_set(space, leaf, addr,
		 pte | PTE_YOUNG | (write ? PTE_DIRTY | PTE_SOFT : 0));
	return 0;
}
