/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* mmap, munmap and brk. */
#include "internal.h"

#include <limits.h>
#include <sys/mman.h>

#define MAP_TYPE_BITS 0xf
/* Flags that MAP_SHARED_VALIDATE knows; no file here has MAP_SYNC. */
#define MAP_KNOWN (MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE |  \
		   MAP_HUGETLB | MAP_LOCKED | MAP_NONBLOCK | MAP_STACK |       \
		   MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE)

static unsigned long page_align(unsigned long len)
{
	return (len + PAGE_SIZE - 1) & PAGE_MASK;
}

/* The highest gap, as Linux takes it. */
long map_find(struct space *space, unsigned long hint, unsigned long len,
	      unsigned long align)
{
	unsigned long top = TASK_END - (1UL << 30), low = 1UL << 16, at;
	struct vma *vma;
	long best = -ENOMEM;

	if (len > top)
		return -ENOMEM;
	hint &= PAGE_MASK;
	vma = vma_find(space, hint);
	if (hint >= low && hint <= TASK_END - len && !(hint & (align - 1)) &&
	    (!vma || vma->start >= hint + len))
		return hint;
	for (vma = space->vmas; low < top; vma = vma->next) {
		at = min_ul(vma ? vma->start : top, top);
		at = at >= len ? (at - len) & ~(align - 1) : 0;
		if (at >= low)
			best = at;
		if (!vma)
			break;
		low = vma->end;
	}
	return best;
}

/* The areas, unlinked; their tables and pages stay until unmap_pages(). */
static struct vma *detach(struct space *space, struct vma *first,
			  unsigned long end, struct vma **ret_next)
{
	struct vma **at = &space->vmas, *last = first;

	while (*at != first)
		at = &(*at)->next;
	while (last->next && last->next->start < end)
		last = last->next;
	*ret_next = last->next;
	*at = last->next;
	last->next = NULL;
	return first;
}

int unmap(struct space *space, unsigned long start, unsigned long len)
{
	unsigned long end = start + page_align(len), floor = 0;
	struct vma *vma = vma_find(space, start), *prev, *next, *gone;
	struct mmu_notifier_range range;

	if (start & ~PAGE_MASK || start > TASK_END ||
	    len > TASK_END - start || start == end)
		return -EINVAL;
	if (!vma || vma->start >= end)
		return 0;
	next = vma_find(space, end);
	if ((start > vma->start && !hugetlb_fits(vma, start)) ||
	    (next && next->start < end && !hugetlb_fits(next, end)))
		return -EINVAL;
	if (start > vma->start) {
		vma = vma_split(space, vma, start, vma->end);
		if (!vma)
			return -ENOMEM;
	}
	next = vma_find(space, end);
	if (next && next->start < end)
		vma_split(space, next, next->start, end);
	prev = vma_prev(space, vma);
	if (prev)
		floor = prev->end;
	gone = detach(space, vma, end, &next);
	event_start(space, &range, MMU_NOTIFY_UNMAP, start, end, NULL);
	for (vma = gone; vma; vma = vma->next)
		unmap_area(space, vma);
	event_end(space, &range);
	while ((vma = gone)) {
		gone = vma->next;
		tables_free(space, vma->start, vma->end, floor,
			    next ? next->start : ~0UL);
		if (vma->file)
			file_unref(space, vma->file);
		arena_free(arena_of(space), vma, sizeof(*vma));
	}
	return 0;
}

static uint32_t prot_flags(int prot)
{
	return (prot & PROT_READ ? VM_READ : 0) |
	       (prot & PROT_WRITE ? VM_WRITE : 0) |
	       (prot & PROT_EXEC ? VM_EXEC : 0);
}

/* What is mapped where nobody gave a file; NULL: nothing needs to be. */
static int map_object(struct space *space, unsigned long len, int flags,
		      struct file **ret_file)
{
	if (flags & MAP_HUGETLB)
		*ret_file = file_make(space, FILE_HUGE, len);
	else if (flags & MAP_SHARED)
		*ret_file = file_make(space, FILE_SHMEM, len);
	else
		return 0;
	return *ret_file ? 0 : -ENOMEM;
}

static int check_type(int flags)
{
	switch (flags & MAP_TYPE_BITS) {
	case MAP_SHARED:
	case MAP_PRIVATE:
		return 0;
	case MAP_SHARED_VALIDATE:
		if (flags & MAP_ANONYMOUS)
			return -EINVAL;
		return flags & ~(MAP_KNOWN | MAP_TYPE_BITS) ? -EOPNOTSUPP : 0;
	default:
		return -EINVAL;
	}
}

static int map_area(struct space *space, unsigned long addr, unsigned long len,
		    uint32_t flags, struct file *file, unsigned long pgoff,
		    bool mergeable)
{
	struct vma *next = vma_find(space, addr), *vma = NULL;
	struct vma *prev = vma_prev(space, next);

	if ((flags & (VM_NORESERVE | VM_SHARED | VM_WRITE)) == VM_WRITE)
		flags |= VM_ACCOUNT;
	if (mergeable)
		vma = vma_expand(space, prev, addr, addr + len, flags, file,
				 pgoff);
	if (!vma) {
		vma = vma_new(space, addr, addr + len, pgoff, flags, file);
		if (!vma)
			return -ENOMEM;
		vma_link(space, vma);
		vma_moved(space, vma);
	}
	vma->flags |= VM_SOFTDIRTY;
	vma_set_prot(vma);
	if (file && file->kind == FILE_DEVICE)
		return device_map(space, vma);
	return 0;
}

static long map_place(struct space *space, unsigned long addr,
		      unsigned long len, int flags)
{
	struct vma *vma;

	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		return map_find(space, addr, len,
				flags & MAP_HUGETLB ? LEAF_SIZE : PAGE_SIZE);
	if (addr > TASK_END || len > TASK_END - addr)
		return -ENOMEM;
	if (addr & ~PAGE_MASK || (flags & MAP_HUGETLB && addr & ~LEAF_MASK))
		return -EINVAL;
	vma = vma_find(space, addr);
	if (flags & MAP_FIXED_NOREPLACE && vma && vma->start < addr + len)
		return -EEXIST;
	return (long)addr;
}

/* At @addr, where what was there goes. */
static int map_over(struct space *space, unsigned long addr, unsigned long len,
		    int prot, int flags, struct file *file,
		    unsigned long offset)
{
	uint32_t vm = prot_flags(prot) |
		      (flags & MAP_SHARED ? VM_SHARED : 0) |
		      (flags & MAP_NORESERVE ? VM_NORESERVE : 0) |
		      (flags & MAP_HUGETLB ? VM_HUGETLB : 0) |
		      (file && file->kind == FILE_DEVICE ? VM_MIXEDMAP : 0);
	int ret = unmap(space, addr, len);

	if (flags & MAP_LOCKED && !(vm & (VM_HUGETLB | VM_SPECIAL)))
		vm |= VM_LOCKED;
	return ret ? ret : map_area(space, addr, len, vm, file,
				    (file ? offset : addr) >> PAGE_SHIFT,
				    !(flags & MAP_ANONYMOUS && file));
}

static long map(struct space *space, unsigned long addr, unsigned long len,
		int prot, int flags, int handle, unsigned long offset)
{
	struct file *file = NULL;
	long at;
	int ret;

	if (!(flags & MAP_ANONYMOUS)) {
		file = file_by_handle(space, handle);
		if (!file)
			return -EBADF;
	}
	if (!len)
		return -EINVAL;
	len = flags & MAP_HUGETLB ? (len + LEAF_SIZE - 1) & LEAF_MASK :
				    page_align(len);
	if (!len)
		return -ENOMEM;
	at = map_place(space, addr, len, flags);
	if (at < 0)
		return at;
	if (file && offset > LONG_MAX - len)
		return -EOVERFLOW;
	ret = check_type(flags);
	if (ret)
		return ret;
	if (file)
		file->refs++;
	else
		ret = map_object(space, len, flags, &file);
	if (!ret)
		ret = map_over(space, at, len, prot, flags, file, offset);
	if (file)
		file_unref(space, file);
	if (!ret && (flags & MAP_LOCKED ||
		     (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE))
		populate_locked(space, at, at + len);
	return ret ? ret : at;
}

long uhmm_model_mmap(struct mm_struct *mm, unsigned long addr,
		     unsigned long len, int prot, int flags, int file,
		     unsigned long offset)
{
	struct space *space = space_of(mm);
	long ret;

	if (offset & ~PAGE_MASK)
		return -EINVAL;
	mmap_write_lock(mm);
	model_lock(space);
	ret = map(space, addr, len, prot, flags, file, offset);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}

int uhmm_model_munmap(struct mm_struct *mm, unsigned long addr,
		      unsigned long len)
{
	struct space *space = space_of(mm);
	int ret;

	mmap_write_lock(mm);
	model_lock(space);
	ret = unmap(space, addr, len);
	model_unlock(space);
	mmap_write_unlock(mm);
	return ret;
}

static unsigned long set_brk(struct space *space, unsigned long brk)
{
	unsigned long old = page_align(space->brk), new = page_align(brk);
	struct vma *vma;

	if (brk < space->brk_start || brk > space->brk_start + (1UL << 40))
		return space->brk;
	if (new < old && unmap(space, new, old - new))
		return space->brk;
	if (new > old) {
		vma = vma_find(space, old);
		if ((vma && vma->start < new) ||
		    map_area(space, old, new - old, VM_READ | VM_WRITE, NULL,
			     old >> PAGE_SHIFT, true))
			return space->brk;
	}
	space->brk = brk;
	return brk;
}

unsigned long uhmm_model_brk(struct mm_struct *mm, unsigned long brk)
{
	struct space *space = space_of(mm);

	mmap_write_lock(mm);
	model_lock(space);
	brk = set_brk(space, brk);
	model_unlock(space);
	mmap_write_unlock(mm);
	return brk;
}

/* The end of a process: everything goes, in one bracket. */
void space_teardown(struct space *space)
{
	struct mmu_notifier_range range;
	struct vma *vma;

	if (!space->vmas)
		return;
	event_start(space, &range, MMU_NOTIFY_UNMAP, 0, ~0UL, NULL);
	for (vma = space->vmas; vma; vma = vma->next)
		unmap_area(space, vma);
	event_end(space, &range);
	tables_free(space, 0, ~0UL, 0, ~0UL);
	while (space->vmas)
		vma_delete(space, space->vmas);
}
