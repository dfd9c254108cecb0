/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Huge pages that go to a device and come back as a whole, as newer kernels do. */
#include "internal.h"

uint64_t huge_to_migration(struct space *space, uint64_t pte)
{
	uint64_t entry = pte_to_migration(space, pte);

	for (unsigned long i = 1; entry && i < LEAF_PAGES; i++)
		pte_to_migration(space, pte + (i << PTE_PAYLOAD_SHIFT));
	return entry ? entry | PTE_HUGE : 0;
}

static unsigned long take(struct space *space, struct leaf *leaf,
			  unsigned long fault_page)
{
	unsigned long pfn = pte_payload(leaf->huge), flags;
	bool waited = fault_page && frame_head(space, fault_page) == pfn;
	uint64_t entry;

	if (!waited && !page_trylock(space, pfn))
		return 0;
	entry = huge_to_migration(space, leaf->huge);
	if (!entry) {
		if (!waited)
			page_unlock(space, pfn);
		return 0;
	}
	flags = leaf->huge & PTE_W ? MIGRATE_PFN_WRITE : 0;
	frame_ref(space, pfn);
	leaf->huge = entry;
	huge_unmap(space, pfn);
	return migrate_pfn(pfn) | MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND |
	       flags;
}

bool huge_collect(struct space *space, struct vma *vma, unsigned long addr,
		  struct migrate_vma *args)
{
	unsigned long *src = args->src + ((addr - args->start) >> PAGE_SHIFT);
	bool compound = args->flags & MIGRATE_VMA_SELECT_COMPOUND &&
			args->end - addr >= LEAF_SIZE && !(addr & ~LEAF_MASK);
	struct leaf *leaf = leaf_get(space, addr);

	if (!newest(space) || (leaf && !leaf->huge))
		return false;
	if (!leaf || !huge_leads_to_frames(leaf)) {
		if (!compound)
			return false;
		if (vma_anonymous(vma) &&
		    (!leaf || args->flags & MIGRATE_VMA_SELECT_SYSTEM))
			*src = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;
		return true;
	}
	if (!pte_maps_frame(leaf->huge) || !migrate_selects(args, leaf->huge))
		return true;
	if (!compound)
		return false;
	*src = take(space, leaf, args->fault_page);
	return true;
}

/* ------------------------------------------------------------------ commit */

static bool put_where_nothing_was(struct space *space, unsigned long addr,
				  unsigned long pfn)
{
	struct vma *vma = vma_at(space, addr);
	struct leaf *leaf = leaf_make(space, addr);
	uint64_t flags = PTE_HUGE;
	unsigned long at = addr;

	if (!vma || !vma_anonymous(vma) || vma->flags & VM_UFFD_MISSING ||
	    space->reaped || !leaf || huge_leads_to_frames(leaf) ||
	    (!leaf->huge && leaf_next_pte(leaf, &at, addr + LEAF_SIZE)) ||
	    vma_prepare_anon(space, vma) ||
	    frame_begin(space, pfn, UHMM_PMD_ORDER))
		return false;
	if (vma->flags & VM_WRITE)
		flags |= PTE_W;
	if (!frame_private(pfn) && flags & PTE_W)
		flags |= PTE_DIRTY | PTE_SOFT;
	huge_become_anon(space, vma, pfn, addr);
	huge_map(space, pfn);
	leaf->huge = pte_make(frame_private(pfn) ? PTE_DEVICE : PTE_PRESENT,
			      pfn, flags);
	return true;
}

static bool move(struct space *space, unsigned long from, unsigned long to)
{
	if (frame_begin(space, to, UHMM_PMD_ORDER))
		return false;
	for (unsigned long i = 0; i < LEAF_PAGES; i++)
		frame_become(frame_get(space, to + i),
			     frame_get(space, from + i));
	frame_get(space, to)->flags |=
		frame_get(space, from)->flags & FRAME_SMALL;
	return true;
}

/* What has a place to go to goes there page by page. */
static void go_on_small(struct migrate_vma *args, unsigned long i,
			unsigned long from)
{
	unsigned long flags = args->src[i] & MIGRATE_PFN_WRITE;

	for (unsigned long k = 0; k < LEAF_PAGES; k++) {
		args->src[i + k] = from ? migrate_pfn(from + k) | flags : 0;
		if (uhmm_migrate_pfn_of(args->dst[i + k]))
			args->src[i + k] |= MIGRATE_PFN_MIGRATE;
	}
}

void huge_commit(struct space *space, struct migrate_vma *args, unsigned long i)
{
	unsigned long addr = args->start + (i << PAGE_SHIFT);
	unsigned long from = uhmm_migrate_pfn_of(args->src[i]);
	unsigned long to = uhmm_migrate_pfn_of(args->dst[i]);
	bool whole = args->dst[i] & MIGRATE_PFN_COMPOUND, good;

	if (whole) {
		good = from ? move(space, from, to) :
			      put_where_nothing_was(space, addr, to);
	} else {
		good = args->npages - i >= LEAF_PAGES &&
		       (!from || huge_split_moving(space, from,
						   args->fault_page));
		if (good)
			go_on_small(args, i, from);
	}
	if (!good)
		args->src[i] &= ~MIGRATE_PFN_MIGRATE;
}
