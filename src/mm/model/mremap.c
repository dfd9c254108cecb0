/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* mremap: areas that grow, shrink and move, with what is in them. */
#include "internal.h"

#include <sys/mman.h>

#define DONTUNMAP 4	/* MREMAP_DONTUNMAP; the C library may lack it */

static void move_ptes(struct space *space, struct vma *vma, unsigned long from,
		      unsigned long to, unsigned long len)
{
	struct leaf *leaf = leaf_get(space, from), *new = leaf_make(space, to);
	unsigned long addr = from, end = from + len;

	if (leaf->huge && len == LEAF_SIZE && !(to & ~LEAF_MASK)) {
		new->huge = leaf->huge;
		leaf->huge = 0;
		leaf_drop(space, from);
		return;
	}
	if (leaf->huge) {
		huge_split_mapping(space, vma, from);
		leaf = leaf_get(space, from);
	}
	for (; leaf_next_pte(leaf, &addr, end); addr += PAGE_SIZE) {
		uint64_t pte = leaf_pte(leaf, addr);

		leaf_set(space, leaf, addr, 0);
		if (pte_present(pte) || pte_type(pte) == PTE_SWAP)
			pte |= PTE_SOFT;
		leaf_set(space, new, addr - from + to, pte);
	}
}

static void move_tables(struct space *space, struct vma *vma,
			unsigned long from, unsigned long to, unsigned long len)
{
	unsigned long end = from + len, addr = from, first = from, last = end;
	struct mmu_notifier_range range;

	hugetlb_widen(vma, &first, &last);
	event_start(space, &range, vma->flags & VM_HUGETLB ?
		    MMU_NOTIFY_CLEAR : MMU_NOTIFY_UNMAP, first, last, NULL);
	while (leaf_next(space, &addr, end)) {
		unsigned long at = to + (addr - from);
		unsigned long n = min_ul(leaf_end(addr, end) - addr,
					 leaf_end(at, ~0UL) - at);

		move_ptes(space, vma, addr, at, n);
		addr += n;
	}
	event_end(space, &range);
}

/* The area at the new place; what was never touched counts as new there. */
static struct vma *copy_area(struct space *space, struct vma **vma,
			     unsigned long addr, unsigned long to,
			     unsigned long len)
{
	unsigned long pgoff = vma_index(*vma, addr);
	struct vma *new, *next = vma_find(space, to);
	bool untouched = vma_anonymous(*vma) && !(*vma)->anon;

	if (untouched)
		pgoff = to >> PAGE_SHIFT;
	new = vma_merge(space, vma_prev(space, next), to, to + len,
			(*vma)->flags, (*vma)->anon, (*vma)->file, pgoff);
	if (new) {
		/* It may have become a part of the old one itself. */
		*vma = vma_at(space, addr);
		return new;
	}
	new = vma_new(space, to, to + len, pgoff, (*vma)->flags, (*vma)->file);
	if (!new)
		return NULL;
	new->anon = (*vma)->anon;
	new->prot_write = (*vma)->prot_write;
	vma_link(space, new);
	vma_moved(space, new);
	return new;
}

/* All of the old area is unlocked, of which perhaps a part was moved. */
static void left_behind(struct vma *vma, unsigned long addr, unsigned long len)
{
	vma->flags &= ~(VM_LOCKED | VM_LOCKONFAULT);
	if (vma->start == addr && vma->end == addr + len)
		vma->anon = 0;
}

static long move_area(struct space *space, struct vma *vma, unsigned long addr,
		      unsigned long old_len, unsigned long len,
		      unsigned long to, int flags)
{
	bool charged = vma->flags & VM_ACCOUNT, locked = vma->flags & VM_LOCKED;
	unsigned long below = vma->start, above = vma->end;
	struct vma *new;

	new = copy_area(space, &vma, addr, to, len);
	if (!new)
		return -ENOMEM;
	/* Without a length it is a second mapping of what is shared. */
	if (old_len)
		move_tables(space, vma, addr, to, old_len);
	if (new->flags & VM_UFFD) {
		new->flags &= ~VM_UFFD;
		vma_set_prot(new);
	}
	if (flags & DONTUNMAP) {
		left_behind(vma, addr, old_len);
		return to;
	}
	if (old_len && unmap(space, addr, old_len))
		return -ENOMEM;
	if (charged && below < addr && vma_at(space, below))
		vma_at(space, below)->flags |= VM_ACCOUNT;
	if (charged && above > addr + old_len && vma_at(space, above - 1))
		vma_at(space, above - 1)->flags |= VM_ACCOUNT;
	if (locked)
		populate_locked(space, to + old_len, to + len);
	return to;
}

/* The area that can be resized so, or NULL with *@ret_err. */
static struct vma *to_resize(struct space *space, unsigned long addr,
			     unsigned long old_len, unsigned long len,
			     int flags, int *ret_err)
{
	struct vma *vma = vma_at(space, addr);

	*ret_err = -EFAULT;
	if (!vma)
		return NULL;
	*ret_err = -EINVAL;
	if ((!old_len && !(vma->flags & VM_SHARED)) ||
	    (flags & DONTUNMAP && vma->flags & VM_SPECIAL))
		return NULL;
	*ret_err = -EFAULT;
	if (old_len > vma->end - addr ||
	    (len != old_len && vma->flags & VM_SPECIAL))
		return NULL;
	*ret_err = 0;
	return vma;
}

static long remap_to(struct space *space, unsigned long addr,
		     unsigned long old_len, unsigned long len,
		     unsigned long to, int flags)
{
	struct vma *vma;
	long place;
	int ret;

	/* Newer kernels unmap nothing for what fails. */
	if (newest(space) &&
	    !to_resize(space, addr, min_ul(old_len, len), len, flags, &ret))
		return ret;
	if (flags & MREMAP_FIXED) {
		ret = unmap(space, to, len);
		if (ret)
			return ret;
	}
	if (old_len > len) {
		ret = unmap(space, addr + len, old_len - len);
		if (ret)
			return ret;
		old_len = len;
	}
	vma = to_resize(space, addr, old_len, len, flags, &ret);
	if (!vma)
		return ret;
	place = to;
	if (!(flags & MREMAP_FIXED))
		place = map_find(space, to, len, PAGE_SIZE);
	if (place < 0)
		return place;
	return move_area(space, vma, addr, old_len, len, place, flags);
}

/* All areas of the range, and the gaps between them: since Linux 6.17. */
static long remap_areas(struct space *space, unsigned long addr,
			unsigned long len, unsigned long to, int flags)
{
	struct vma *vma = vma_at(space, addr);
	unsigned long at = addr, end = addr + len;

	if (vma->flags & VM_UFFD && vma->end < end)
		return -EFAULT;
	while (at < end && (vma = vma_find(space, at)) && vma->start < end) {
		unsigned long next = min_ul(vma->end, end);
		long ret;

		if (at > addr && vma->flags & VM_UFFD)
			return -EFAULT;
		at = max_ul(at, vma->start);
		ret = remap_to(space, at, next - at, next - at, to + (at - addr),
			       flags);
		if (ret < 0)
			return ret;
		at = next;
	}
	return (long)to;
}

static long grow(struct space *space, struct vma *vma, unsigned long addr,
		 unsigned long old_len, unsigned long len, int flags)
{
	unsigned long end = addr + old_len, more = len - old_len;
	struct vma *merged;
	long to;

	if (vma->end == end &&
	    (!vma->next || vma->next->start >= end + more)) {
		bool locked = vma->flags & VM_LOCKED;

		merged = vma_merge(space, vma, end, end + more, vma->flags,
				   vma->anon, vma->file, vma_index(vma, end));
		if (!merged) {
			vma->end = end + more;
			vma_moved(space, vma);
		}
		if (locked)
			populate_locked(space, end, end + more);
		return addr;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	to = map_find(space, 0, len, PAGE_SIZE);
	if (to < 0)
		return to;
	return move_area(space, vma, addr, old_len, len, to, flags);
}

static bool bad_place(unsigned long addr, unsigned long old_len,
		      unsigned long len, int flags, unsigned long to)
{
	return flags & (MREMAP_FIXED | DONTUNMAP) &&
	       (to & ~PAGE_MASK || len > TASK_END || to > TASK_END - len ||
		(addr + old_len > to && to + len > addr));
}

static long remap(struct space *space, unsigned long addr,
		  unsigned long old_len, unsigned long len, int flags,
		  unsigned long to)
{
	struct vma *vma = vma_at(space, addr);
	int ret;

	/* 6.1 has looked for the area first. */
	if (newest(space) && bad_place(addr, old_len, len, flags, to))
		return -EINVAL;
	if (!vma)
		return -EFAULT;
	if (vma->flags & VM_HUGETLB) {
		old_len = (old_len + LEAF_SIZE - 1) & LEAF_MASK;
		len = (len + LEAF_SIZE - 1) & LEAF_MASK;
		if (addr & ~LEAF_MASK ||
		    (flags & MREMAP_FIXED && to & ~LEAF_MASK) || len > old_len)
			return -EINVAL;
	}
	if (bad_place(addr, old_len, len, flags, to))
		return -EINVAL;
	if (flags & (MREMAP_FIXED | DONTUNMAP)) {
		if (newest(space) && flags & MREMAP_FIXED && old_len == len)
			return remap_areas(space, addr, len, to, flags);
		return remap_to(space, addr, old_len, len, to, flags);
	}
	if (old_len >= len) {
		ret = old_len == len ? 0 :
			unmap(space, addr + len, old_len - len);
		return ret ? ret : (long)addr;
	}
	vma = to_resize(space, addr, old_len, len, flags, &ret);
	if (!vma)
		return ret;
	return grow(space, vma, addr, old_len, len, flags);
}

long uhmm_model_mremap(struct mm_struct *mm, unsigned long addr,
		       unsigned long old_len, unsigned long new_len, int flags,
		       unsigned long new_addr)
{
	struct space *space = space_of(mm);
	long ret;

	if (flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE | DONTUNMAP) ||
	    (flags & (MREMAP_FIXED | DONTUNMAP) &&
	     !(flags & MREMAP_MAYMOVE)) ||
	    addr & ~PAGE_MASK)
		return -EINVAL;
	/* 6.1 compares what it was told. */
	if (!newest(space) && flags & DONTUNMAP && old_len != new_len)
		return -EINVAL;
	old_len = (old_len + PAGE_SIZE - 1) & PAGE_MASK;
	new_len = (new_len + PAGE_SIZE - 1) & PAGE_MASK;
	if (!new_len || (flags & DONTUNMAP && old_len != new_len) ||
	    (newest(space) && new_len > TASK_END))
		return -EINVAL;
	mmap_write_lock(mm);
	model_lock(space);
	ret = remap(space, addr, old_len, new_len, flags, new_addr);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}
