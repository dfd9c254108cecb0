/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * userfaultfd in the mode that gives SIGBUS: nobody has to answer, a touch of
 * what is missing or write-protected fails, and the owner fills pages.
 */
#include "internal.h"

static bool can_have(const struct vma *vma)
{
	return !vma->file || vma->file->kind == FILE_SHMEM;
}

static int set_modes(struct space *space, unsigned long start,
		     unsigned long end, uint32_t modes, bool on)
{
	struct vma *vma = vma_find(space, start), *prev;

	if (!vma || vma->start >= end)
		return -EINVAL;
	prev = start > vma->start ? vma : vma_prev(space, vma);
	while (start < end && vma && vma->start < end) {
		unsigned long from = max_ul(vma->start, start);
		unsigned long to = min_ul(vma->end, end);
		uint32_t flags = (vma->flags & ~VM_UFFD) | modes;
		bool change = on ? (vma->flags & modes) != modes :
				   vma->flags & VM_UFFD;

		if (change) {
			if (!on && vma->flags & VM_UFFD_WP)
				change_protection(space, vma, from, to,
						  CHANGE_UFFD_RESOLVE);
			vma = vma_isolate(space, vma, &prev, from, to, flags);
			if (!vma)
				return -ENOMEM;
			vma_set_flags(vma, flags);
			vma_set_prot(vma);
		} else {
			prev = vma;
		}
		start = to;
		vma = vma_find(space, start);
		prev = vma && vma->start < start ? vma :
						   vma_prev(space, vma);
	}
	return 0;
}

static int check_areas(struct space *space, unsigned long start,
		       unsigned long end)
{
	struct vma *vma = vma_find(space, start);

	if (!vma || vma->start >= end)
		return -EINVAL;
	for (; vma && vma->start < end; vma = vma->next)
		if (!can_have(vma))
			return -EINVAL;
	return 0;
}

static int enter(struct mm_struct *mm, unsigned long addr, unsigned long len)
{
	if (addr & ~PAGE_MASK || len & ~PAGE_MASK || !len ||
	    addr + len < addr || addr + len > TASK_END)
		return -EINVAL;
	return 0;
}

/* false: there are no such modes. */
static bool uffd_flags(struct space *space, unsigned int modes,
		       uint32_t *ret_flags)
{
	*ret_flags = (modes & UHMM_UFFD_MISSING ? VM_UFFD_MISSING : 0) |
		     (modes & UHMM_UFFD_WRITE_PROTECT ? VM_UFFD_WP : 0) |
		     (modes & UHMM_UFFD_ASYNC ? VM_UFFD_ASYNC : 0);
	if (modes & UHMM_UFFD_ASYNC &&
	    (!newest(space) || !(modes & UHMM_UFFD_WRITE_PROTECT)))
		return false;
	return modes && !(modes & ~(UHMM_UFFD_MISSING |
				    UHMM_UFFD_WRITE_PROTECT | UHMM_UFFD_ASYNC));
}

int uhmm_model_uffd_register(struct mm_struct *mm, unsigned long addr,
			     unsigned long len, unsigned int modes)
{
	struct space *space = space_of(mm);
	int ret = enter(mm, addr, len);
	uint32_t flags;

	if (ret || !uffd_flags(space, modes, &flags))
		return -EINVAL;
	mmap_write_lock(mm);
	model_lock(space);
	ret = check_areas(space, addr, addr + len);
	if (!ret)
		ret = set_modes(space, addr, addr + len, flags, true);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}

int uhmm_model_uffd_unregister(struct mm_struct *mm, unsigned long addr,
			       unsigned long len)
{
	struct space *space = space_of(mm);
	int ret = enter(mm, addr, len);

	if (ret)
		return ret;
	mmap_write_lock(mm);
	model_lock(space);
	ret = check_areas(space, addr, addr + len);
	if (!ret)
		ret = set_modes(space, addr, addr + len, 0, false);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}

/* In 6.1 all of it is one area; newer kernels go up to one that is not watched. */
static int protect(struct space *space, unsigned long addr, unsigned long end,
		   bool on)
{
	struct vma *vma = newest(space) ? vma_find(space, addr) :
					  vma_at(space, addr);
	int ret = -ENOENT;

	if (!newest(space) && vma && vma->end < end)
		return -ENOENT;
	for (; vma && vma->start < end; vma = vma->next, ret = 0) {
		if (!(vma->flags & VM_UFFD_WP))
			return -ENOENT;
		change_protection(space, vma, max_ul(addr, vma->start),
				  min_ul(end, vma->end),
				  on ? CHANGE_UFFD_WP : CHANGE_UFFD_RESOLVE);
	}
	return ret;
}

int uhmm_model_uffd_write_protect(struct mm_struct *mm, unsigned long addr,
				  unsigned long len, bool on)
{
	struct space *space = space_of(mm);
	int ret = enter(mm, addr, len);

	if (ret)
		return ret;
	mmap_read_lock(mm);
	model_lock(space);
	ret = protect(space, addr, addr + len, on);
	model_unlock(space);
	mmap_read_unlock(mm);
	return ret;
}

/* ------------------------------------------------------------- filling pages */

static int fill_anon(struct space *space, struct vma *vma, unsigned long addr,
		     const void *bytes)
{
	uint64_t flags = PTE_DIRTY | PTE_SOFT;
	unsigned long pfn;
	int ret;

	if (!bytes)
		return pte_put(space, addr, pte_make(PTE_PRESENT, ZERO_PFN, 0));
	pfn = frame_new(space);
	if (!pfn)
		return -ENOMEM;
	ret = frame_write(space, frame_get(space, pfn), 0, bytes, PAGE_SIZE);
	if (vma->flags & VM_WRITE)
		flags |= PTE_W;
	if (!ret)
		ret = map_anon(space, vma, addr, pfn, flags);
	frame_unref(space, pfn);
	return ret;
}

static int fill_shared(struct space *space, struct vma *vma, unsigned long addr,
		       const void *bytes)
{
	unsigned long index = vma_index(vma, addr), pfn;
	bool oom = false;

	if (index << PAGE_SHIFT >= vma->file->size)
		return -EFAULT;
	if (file_has(space, vma->file, index))
		return -EEXIST;
	pfn = file_page(space, vma->file, index, &oom);
	if (!pfn)
		return -ENOMEM;
	if (bytes)
		frame_write(space, frame_get(space, pfn), 0, bytes, PAGE_SIZE);
	frame_get(space, pfn)->flags |= FRAME_DIRTY;
	frame_map(space, pfn);
	return pte_put(space, addr,
		       pte_make(PTE_PRESENT, pfn, PTE_DIRTY | PTE_SOFT |
				(vma->flags & VM_WRITE ? PTE_W : 0)));
}

static int fill_one(struct space *space, struct vma *vma, unsigned long addr,
		    const void *bytes)
{
	bool private = !(vma->flags & VM_SHARED);
	enum pte_type type;

	if (!leaf_make(space, addr))
		return -ENOMEM;
	if (private && vma->file &&
	    vma_index(vma, addr) << PAGE_SHIFT >= vma->file->size)
		return -EFAULT;
	type = pte_type(pte_at(space, addr));
	/* Zeroes of one's own do not replace a marker, or a guard. */
	if (type != PTE_NONE && ((type != PTE_MARKER && type != PTE_GUARD) ||
				 (private && !bytes)))
		return -EEXIST;
	return vma->flags & VM_SHARED ?
		       fill_shared(space, vma, addr, bytes) :
		       fill_anon(space, vma, addr, bytes);
}

/*
 * The area at @addr, if it reaches to @end and is watched, ready for pages of its
 * own. Since 6.9 Linux makes it so before it looks whether it is one of these.
 */
static int look_up(struct space *space, unsigned long addr, unsigned long end,
		   struct vma **ret_vma)
{
	struct vma *vma = vma_at(space, addr);
	bool fits = vma && vma->end >= end && vma->flags & VM_UFFD;

	*ret_vma = vma;
	if (vma && (fits || newest(space)) && !(vma->flags & VM_SHARED) &&
	    vma_prepare_anon(space, vma))
		return -ENOMEM;
	return fits ? 0 : -ENOENT;
}

static long fill(struct space *space, unsigned long addr, const char *bytes,
		 size_t npages)
{
	struct vma *vma;
	int ret = look_up(space, addr, addr + (npages << PAGE_SHIFT), &vma);
	size_t n;

	if (ret)
		return ret;
	for (n = 0; n < npages; n++, addr += PAGE_SIZE) {
		ret = fill_one(space, vma, addr,
			       bytes ? bytes + (n << PAGE_SHIFT) : NULL);
		if (ret)
			return n ? (long)n : ret;
	}
	return n;
}

long uhmm_model_uffd_copy(struct mm_struct *mm, unsigned long addr,
			  const void *bytes, size_t npages)
{
	struct space *space = space_of(mm);
	long ret = enter(mm, addr, npages << PAGE_SHIFT);

	if (ret)
		return ret;
	mmap_read_lock(mm);
	model_lock(space);
	ret = fill(space, addr, bytes, npages);
	model_unlock(space);
	mmap_read_unlock(mm);
	return ret;
}
