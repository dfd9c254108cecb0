/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages wanted by somebody other than a CPU's touch: made present, or kept. */
#include "internal.h"

static int fault_errno(int fault)
{
	switch (fault) {
	case FAULT_OOM:
		return -ENOMEM;
	case FAULT_POISON:
		return -EHWPOISON;
	default:
		return fault ? -EFAULT : 0;
	}
}

/* Present, with the right to write if that is asked for? */
static bool there(struct space *space, unsigned long addr, bool write)
{
	uint64_t pte = pte_at(space, addr);

	return pte_present(pte) && !(pte & PTE_HINT) &&
	       (!write || pte & PTE_W);
}

int make_present(struct space *space, struct vma *vma, unsigned long addr,
		 bool write)
{
	int ret;

	while (!there(space, addr, write)) {
		ret = fault_page(space, vma, addr, write);
		if (ret)
			return fault_errno(ret);
		vma = vma_at(space, addr);
		if (!vma)
			return -EFAULT;
	}
	return 0;
}

/* A disk's pages are written back when they are dirty: who pins does not say. */
static bool untold(const struct space *space, const struct vma *vma)
{
	return newest(space) && vma->flags & VM_SHARED &&
	       vma->file->kind == FILE_DISK;
}

int gup_page(struct space *space, unsigned long addr, bool write, bool longterm,
	     unsigned long *ret_pfn)
{
	struct vma *vma = vma_at(space, addr);
	struct frame *frame;
	uint64_t pte;
	int ret;

	if (!vma || vma->flags & VM_IO ||
	    !(vma->flags & (write ? VM_WRITE : VM_READ)) ||
	    (longterm && write && untold(space, vma)))
		return -EFAULT;
	ret = make_present(space, vma, addr, write);
	if (ret)
		return ret;
	pte = pte_at(space, addr);
	*ret_pfn = pte_payload(pte);
	if (pte_zero(pte)) {
		if (!longterm)
			return 0;
		copy_on_write(space, vma, addr, pte, true);
		return gup_page(space, addr, write, longterm, ret_pfn);
	}
	frame = frame_get(space, *ret_pfn);
	if (longterm && !write && frame->flags & FRAME_ANON &&
	    !(frame->flags & FRAME_EXCLUSIVE)) {
		copy_on_write(space, vma, addr, pte, true);
		return gup_page(space, addr, write, longterm, ret_pfn);
	}
	frame_ref(space, *ret_pfn);
	if (longterm && frame_pfn_device(*ret_pfn)) {
		model_drop(space);
		ret = migrate_device_coherent_page(*ret_pfn);
		model_retake(space);
		return ret ? ret : gup_page(space, addr, write, longterm,
					    ret_pfn);
	}
	if (longterm) {
		frame_get(space, frame_head(space, *ret_pfn))->pins++;
		space->has_pins = true;
	}
	return 0;
}

void gup_put(struct space *space, unsigned long pfn, bool longterm)
{
	if (pfn == ZERO_PFN)
		return;
	if (longterm)
		frame_get(space, frame_head(space, pfn))->pins--;
	frame_unref(space, pfn);
}

/* As mlock(2) and MAP_POPULATE do: copies are made ahead of the writes. */
int populate_locked(struct space *space, unsigned long start, unsigned long end)
{
	unsigned long addr = start;
	int ret;

	while (addr < end) {
		struct vma *vma = vma_find(space, addr);
		bool write;

		if (!vma || vma->start >= end)
			return 0;
		addr = max_ul(addr, vma->start);
		write = (vma->flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
		if (vma->flags & VM_SPECIAL) {
			addr = vma->end;
			continue;
		}
		if (!(vma->flags & VM_ACCESS))
			return -EFAULT;
		ret = make_present(space, vma, addr, write);
		if (ret)
			return ret;
		addr += PAGE_SIZE;
	}
	return 0;
}

/*
 * As madvise(MADV_POPULATE_READ or _WRITE): holes are told of at the end, or
 * where they are by newer kernels.
 */
int populate_advised(struct space *space, unsigned long start,
		     unsigned long end, bool write)
{
	int ret, holes = 0;

	for (unsigned long addr = start; addr < end; addr += PAGE_SIZE) {
		struct vma *vma = vma_at(space, addr);

		if (!vma) {
			holes = -ENOMEM;
			if (newest(space))
				break;
			continue;
		}
		if (!(vma->flags & (write ? VM_WRITE : VM_READ)) ||
		    vma->flags & VM_SPECIAL)
			return -EINVAL;
		ret = make_present(space, vma, addr, write);
		if (ret)
			return ret;
	}
	return holes;
}

/* ------------------------------------------------------------- long-term pins */

static struct pin **pin_at(struct space *space, int id)
{
	struct pin **at = &machine_of(space)->pins;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void pin_drop(struct space *space, struct pin *pin)
{
	while (pin->n)
		gup_put(space, pin->pfns[--pin->n], true);
	arena_free(arena_of(space), pin->pfns,
		   pin->room * sizeof(*pin->pfns));
	arena_free(arena_of(space), pin, sizeof(*pin));
}

int uhmm_model_pin(struct mm_struct *mm, unsigned long addr, size_t npages,
		   bool write)
{
	struct space *space = space_of(mm);
	struct pin *pin;
	int ret = -ENOMEM;

	if (addr & ~PAGE_MASK || !npages || npages > 1U << 20)
		return -EINVAL;
	mmap_read_lock(mm);
	model_lock(space);
	pin = arena_alloc(arena_of(space), sizeof(*pin));
	if (!pin)
		goto out;
	pin->room = npages;
	pin->pfns = arena_alloc(arena_of(space), npages * sizeof(*pin->pfns));
	if (!pin->pfns) {
		pin->room = 0;
		goto out_drop;
	}
	for (size_t i = 0; i < npages; i++) {
		ret = gup_page(space, addr + (i << PAGE_SHIFT), write, true,
			       &pin->pfns[i]);
		if (ret)
			goto out_drop;
		pin->n++;
	}
	ret = pin->id = ++machine_of(space)->last_pin;
	pin->next = machine_of(space)->pins;
	machine_of(space)->pins = pin;
	goto out;
out_drop:
	pin_drop(space, pin);
out:
	model_unlock(space);
	mmap_read_unlock(mm);
	return ret;
}

int uhmm_model_unpin(struct mm_struct *mm, int id)
{
	struct space *space = space_of(mm);
	struct pin **at, *pin;

	model_lock(space);
	at = pin_at(space, id);
	pin = *at;
	if (pin) {
		*at = pin->next;
		pin_drop(space, pin);
	}
	model_unlock(space);
	return pin ? 0 : -ENOENT;
}

int uhmm_model_pin_access(struct mm_struct *mm, int id, size_t page, void *buf,
			  bool write)
{
	struct space *space = space_of(mm);
	struct frame *frame;
	struct pin *pin;
	int ret = 0;

	model_lock(space);
	pin = *pin_at(space, id);
	if (!pin || page >= pin->n) {
		ret = pin ? -EINVAL : -ENOENT;
	} else {
		frame = frame_get(space, pin->pfns[page]);
		if (write)
			ret = frame_write(space, frame, 0, buf, PAGE_SIZE);
		else
			frame_read(frame, 0, buf, PAGE_SIZE);
		if (write)
			frame->flags |= FRAME_DIRTY;
	}
	model_unlock(space);
	return ret;
}
