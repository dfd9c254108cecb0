/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The model as an address space: what the rest of the library asks of it. */
#include "internal.h"

#include <stdlib.h>

#include "../../lib/options.h"

void vma_describe(struct space *space, const struct vma *vma,
		  struct uhmm_vma *ret)
{
	*ret = (struct uhmm_vma){
		.start = vma->start,
		.end = vma->end,
		.mm = space->mm,
		.flags = (vma->flags & VM_READ ? UHMM_VM_READ : 0) |
			 (vma->flags & VM_WRITE ? UHMM_VM_WRITE : 0) |
			 (vma->flags & VM_EXEC ? UHMM_VM_EXEC : 0) |
			 (vma->flags & VM_SHARED ? UHMM_VM_SHARED : 0) |
			 (vma->file ? 0 : UHMM_VM_ANON) |
			 (vma->flags & VM_IO ? UHMM_VM_SPECIAL : 0) |
			 (vma->flags & VM_MIXEDMAP ? UHMM_VM_MIXEDMAP : 0) |
			 (vma->flags & VM_HUGETLB ? UHMM_VM_HUGETLB : 0),
	};
}

static int model_find_vma(struct mm_struct *mm, unsigned long addr,
			  struct uhmm_vma *ret_vma)
{
	struct space *space = space_of(mm);
	struct vma *vma;

	model_lock(space);
	vma = vma_find(space, addr);
	if (vma)
		vma_describe(space, vma, ret_vma);
	model_unlock(space);
	return vma ? 0 : -ENOENT;
}

static void describe_pte(uint64_t pte, struct uhmm_pte *ret)
{
	static const enum uhmm_pte_state states[] = {
		[PTE_NONE] = UHMM_PTE_NONE,
		[PTE_PRESENT] = UHMM_PTE_PRESENT,
		[PTE_SWAP] = UHMM_PTE_SWAP,
		[PTE_MIGRATION] = UHMM_PTE_MIGRATION,
		[PTE_DEVICE] = UHMM_PTE_DEVICE_PRIVATE,
		[PTE_EXCLUSIVE] = UHMM_PTE_DEVICE_EXCLUSIVE,
		[PTE_POISON] = UHMM_PTE_POISON,
		[PTE_GUARD] = UHMM_PTE_POISON,
		[PTE_MARKER] = UHMM_PTE_NONE,
	};

	ret->state = states[pte_type(pte)];
	ret->order = pte & PTE_HUGE ? UHMM_PMD_ORDER : 0;
	ret->write = pte & PTE_W;
	ret->pfn = pte_has_frame(pte) ? pte_payload(pte) : 0;
	ret->owner = NULL;
	if (pte_zero(pte)) {
		ret->state = UHMM_PTE_ZERO;
		ret->pfn = UHMM_ZERO_PFN;
	}
	if (pte & PTE_HINT)
		ret->state = UHMM_PTE_PROTNONE;
	if (pte_type(pte) == PTE_DEVICE)
		ret->owner = uhmm_device_page_owner(pte_payload(pte));
}

static int model_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
		      struct uhmm_pte *ptes)
{
	struct space *space = space_of(mm);
	unsigned long end = addr + (*npages << PAGE_SHIFT), next;
	struct vma *vma;
	size_t n = 0;

	model_lock(space);
	while (addr < end) {
		struct leaf *leaf = leaf_get(space, addr);

		vma = vma_at(space, addr);
		if (!vma)
			break;
		next = min_ul(leaf_end(addr, end), vma->end);
		for (; addr < next; addr += PAGE_SIZE, n++) {
			describe_pte(leaf ? leaf_pte(leaf, addr) : 0,
				     &ptes[n]);
			if (!leaf)
				ptes[n].order = UHMM_PMD_ORDER;
		}
	}
	model_unlock(space);
	*npages = n;
	return addr < end ? -EFAULT : 0;
}

static int fault_error(int fault)
{
	switch (fault) {
	case 0:
		return 0;
	case FAULT_OOM:
		return -ENOMEM;
	case FAULT_POISON:
		return -EHWPOISON;
	default:
		return -EFAULT;
	}
}

static int model_fault(struct mm_struct *mm, unsigned long addr,
		       unsigned int flags)
{
	struct space *space = space_of(mm);
	bool write = flags & UHMM_FAULT_WRITE;
	struct vma *vma;
	int ret = -EFAULT;

	model_lock(space);
	vma = vma_at(space, addr);
	if (vma && vma->flags & (write ? VM_WRITE : VM_ACCESS)) {
		if (flags & UHMM_FAULT_NOWAIT &&
		    pte_type(pte_at(space, addr)) == PTE_MIGRATION)
			ret = -EAGAIN;
		else
			ret = fault_error(fault_page(space, vma, addr, write));
	}
	model_unlock(space);
	return ret;
}

static int model_page_access(struct mm_struct *mm, unsigned long pfn,
			     size_t offset, void *buf, size_t len, bool write)
{
	struct space *space = space_of(mm);
	struct frame *frame;
	int ret = -EFAULT;

	model_lock(space);
	if (pfn == UHMM_ZERO_PFN) {
		ret = write ? -EFAULT : 0;
		memset(buf, 0, write ? 0 : len);
		goto out;
	}
	frame = frame_get(space, pfn);
	if (!frame || !frame_get(space, frame_head(space, pfn))->refs)
		goto out;
	ret = 0;
	if (write)
		ret = frame_write(space, frame, offset, buf, len);
	else
		frame_read(frame, offset, buf, len);
out:
	model_unlock(space);
	return ret;
}

static int model_page_alloc(struct mm_struct *mm, unsigned int order,
			    unsigned long *ret_pfn)
{
	struct space *space = space_of(mm);

	if (order && order != UHMM_PMD_ORDER)
		return -EINVAL;
	model_lock(space);
	*ret_pfn = order ? frame_new_huge(space) : frame_new(space);
	model_unlock(space);
	return *ret_pfn ? 0 : -ENOMEM;
}

static int model_page_get(struct mm_struct *mm, unsigned long addr,
			  unsigned int flags, unsigned long *ret_pfn)
{
	struct space *space = space_of(mm);
	int ret;

	model_lock(space);
	ret = gup_page(space, addr & PAGE_MASK, flags & UHMM_FAULT_WRITE,
		       flags & UHMM_PAGE_LONGTERM, ret_pfn);
	model_unlock(space);
	return ret;
}

static void model_page_put(struct mm_struct *mm, unsigned long pfn,
			   unsigned int flags)
{
	struct space *space = space_of(mm);

	model_lock(space);
	gup_put(space, pfn, flags & UHMM_PAGE_LONGTERM);
	model_unlock(space);
}

/* -------------------------------------------------------------------- life */

static void model_exit(struct mm_struct *mm, void *private_data)
{
	struct space *space = private_data, **at;

	model_lock(space);
	space_teardown(space);
	at = &machine_of(space)->spaces;
	while (*at != space)
		at = &(*at)->next;
	*at = space->next;
	model_unlock(space);
}

/*
 * Perhaps with the lock held: by who gives back what was another space's. It
 * has one itself then, so that this is not the last.
 */
static void model_destroy(void *private_data)
{
	struct space *space = private_data;
	struct uhmm_model *model = space->model;
	bool last;

	spin_lock(&model->end_lock);
	space->next = model->dead;
	WRITE_ONCE(model->dead, space);
	last = model->users == 1;
	WRITE_ONCE(model->users, model->users - 1);
	spin_unlock(&model->end_lock);
	if (!last)
		return;
	arena_destroy(&model->arena);
	free(model);
}

void model_reap(struct uhmm_model *model)
{
	struct space *space, *next;

	spin_lock(&model->end_lock);
	space = model->dead;
	WRITE_ONCE(model->dead, NULL);
	spin_unlock(&model->end_lock);
	for (; space; space = next) {
		next = space->next;
		arena_free(&model->arena, space, sizeof(*space));
	}
}

static const struct uhmm_mm_ops model_mm_ops = {
	.name = "model",
	.exit = model_exit,
	.destroy = model_destroy,
	.find_vma = model_find_vma,
	.walk = model_walk,
	.fault = model_fault,
	.fork = model_fork,
	.page_access = model_page_access,
	.page_alloc = model_page_alloc,
	.page_get = model_page_get,
	.page_put = model_page_put,
	.migrate_collect = model_migrate_collect,
	.migrate_unmap = model_migrate_unmap,
	.migrate_commit = model_migrate_commit,
	.migrate_finish = model_migrate_finish,
	.make_exclusive = model_make_exclusive,
	.page_unlock = model_page_unlock,
};

int space_create(struct uhmm_model *model, struct space **ret_space,
		 const struct uhmm_mm_options *options)
{
	struct uhmm_mm_options how = { .size = sizeof(how) };
	struct space *space, **at;
	int ret;

	if (options)
		how = *options;
	how.size = sizeof(how);
	mutex_lock(&model->lock);
	space = arena_alloc(&model->arena, sizeof(*space));
	mutex_unlock(&model->lock);
	if (!space)
		return -ENOMEM;
	how.ops = &model_mm_ops;
	how.private_data = space;
	ret = uhmm_mm_create_with(&how, &space->mm);
	mutex_lock(&model->lock);
	if (ret) {
		arena_free(&model->arena, space, sizeof(*space));
		goto out;
	}
	space->model = model;
	space->brk_start = space->brk = 0x10000000UL;
	for (at = &model->m->spaces; *at; at = &(*at)->next)
		;
	*at = space;
	spin_lock(&model->end_lock);
	WRITE_ONCE(model->users, model->users + 1);
	spin_unlock(&model->end_lock);
	*ret_space = space;
out:
	mutex_unlock(&model->lock);
	return ret;
}

static int model_create(const struct uhmm_model_options *options,
			struct uhmm_model **ret_model)
{
	struct uhmm_model *model = calloc(1, sizeof(*model));

	if (!model)
		return -ENOMEM;
	mutex_init(&model->lock);
	spin_lock_init(&model->end_lock);
	if (options)
		model->options = *options;
	model->m = arena_alloc(&model->arena, sizeof(*model->m));
	if (!model->m) {
		free(model);
		return -ENOMEM;
	}
	model->arena.state.root = model->m;
	model->m->next_pfn = 2 * FRAME_POOL + model->options.seed % 4096;
	model->m->next_slot = 1;
	model->m->huge_free = model->options.huge_pages;
	*ret_model = model;
	return 0;
}

int uhmm_mm_create_model(const struct uhmm_model_options *options,
			 const struct uhmm_mm_options *mm_options,
			 struct mm_struct **ret_mm)
{
	struct uhmm_model *model;
	struct space *space;
	int ret;

	ret = ret_mm ? options_check(options, sizeof(*options)) : -EINVAL;
	if (!ret)
		ret = options_check(mm_options, sizeof(*mm_options));
	if (!ret)
		ret = model_create(options, &model);
	if (ret)
		return ret;
	ret = space_create(model, &space, mm_options);
	if (ret) {
		arena_destroy(&model->arena);
		free(model);
		return ret;
	}
	*ret_mm = space->mm;
	return 0;
}

bool uhmm_mm_is_model(const struct mm_struct *mm)
{
	return mm->ops == &model_mm_ops;
}

/* --------------------------------------------------------------- snapshots */

struct uhmm_model_snapshot {
	struct arena_image *image;
	unsigned int users;
};

int uhmm_model_save(struct mm_struct *mm,
		    struct uhmm_model_snapshot **ret_snapshot)
{
	struct uhmm_model *model = space_of(mm)->model;
	struct uhmm_model_snapshot *snapshot = malloc(sizeof(*snapshot));

	if (!snapshot)
		return -ENOMEM;
	model_lock(space_of(mm));
	snapshot->image = arena_save(&model->arena);
	snapshot->users = READ_ONCE(model->users);
	model_unlock(space_of(mm));
	if (!snapshot->image) {
		free(snapshot);
		return -ENOMEM;
	}
	*ret_snapshot = snapshot;
	return 0;
}

int uhmm_model_restore(struct mm_struct *mm,
		       const struct uhmm_model_snapshot *snapshot)
{
	struct space *space = space_of(mm), *at;
	struct mmu_notifier_range range;
	int ret = 0;

	model_lock(space);
	if (snapshot->users != READ_ONCE(space->model->users))
		ret = -EBUSY;
	for (at = machine_of(space)->spaces; at && !ret; at = at->next) {
		event_start(at, &range, MMU_NOTIFY_CLEAR, 0, ~0UL, NULL);
		event_end(at, &range);
	}
	if (!ret)
		arena_load(&space->model->arena, snapshot->image);
	model_unlock(space);
	return ret;
}

void uhmm_model_snapshot_free(struct uhmm_model_snapshot *snapshot)
{
	if (snapshot)
		arena_image_free(snapshot->image);
	free(snapshot);
}

size_t uhmm_model_state_size(struct mm_struct *mm)
{
	struct space *space = space_of(mm);
	size_t size;

	model_lock(space);
	size = space->model->arena.state.live;
	model_unlock(space);
	return size;
}

/* --------------------------------------------------------------- questions */

static char frame_letter(struct space *space, uint64_t pte)
{
	struct frame *frame = frame_get(space, pte_payload(pte));
	bool once = frame->maps == 1;

	if (frame->flags & FRAME_ANON)
		return once ? 'A' : 'a';
	return once ? 'F' : 'f';
}

static char pte_letter(struct space *space, uint64_t pte)
{
	switch (pte_type(pte)) {
	case PTE_PRESENT:
		if (pte_zero(pte))
			return pte & PTE_HUGE ? 'f' : 'z';
		return frame_letter(space, pte);
	case PTE_SWAP:
		return 's';
	case PTE_DEVICE:
		return pte & PTE_W ? 'D' : 'd';
	case PTE_EXCLUSIVE:
		return pte & PTE_W ? 'X' : 'x';
	case PTE_MIGRATION:
		return 'm';
	case PTE_POISON:
		return 'p';
	case PTE_GUARD:
		return 'g';
	case PTE_MARKER:
		return 'k';
	default:
		return '.';
	}
}

void uhmm_model_pagemap(struct mm_struct *mm, unsigned long addr, size_t npages,
			char *letters)
{
	struct space *space = space_of(mm);

	model_lock(space);
	for (size_t i = 0; i < npages; i++)
		letters[i] = pte_letter(space, pte_at(space, addr +
							     (i << PAGE_SHIFT)));
	model_unlock(space);
}

int uhmm_model_area(struct mm_struct *mm, unsigned long addr,
		    struct uhmm_model_area *ret_area)
{
	struct space *space = space_of(mm);
	struct vma *vma;

	model_lock(space);
	vma = vma_find(space, addr);
	if (vma) {
		vma_describe(space, vma, &ret_area->vma);
		ret_area->file = vma->file ? vma->file->handle : 0;
		ret_area->inode = vma->file ? vma->file->inode : 0;
		ret_area->offset = vma->pgoff << PAGE_SHIFT;
	}
	model_unlock(space);
	return vma ? 0 : -ENOENT;
}

void uhmm_model_count(struct mm_struct *mm, struct uhmm_model_counts *ret)
{
	struct machine *m = machine_of(space_of(mm));
	struct file *file;

	model_lock(space_of(mm));
	*ret = (struct uhmm_model_counts){ .frames = m->frames_used,
					   .swap_pages = m->used_slots,
					   .huge_pages = m->huge_free };
	for (file = m->files; file; file = file->next)
		ret->files++;
	model_unlock(space_of(mm));
}
