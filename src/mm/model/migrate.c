/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages that go to a device and come back: the model's half of migrate.c. */
#include "internal.h"

void model_wait(struct space *space)
{
	struct uhmm_model *model = space->model;
	unsigned int seen = READ_ONCE(model->changed);

	model->waiting++;
	model_drop(space);
	wait_word(&model->changed, seen, -1);
	model_retake(space);
	model->waiting--;
}

void model_wake(struct space *space)
{
	WRITE_ONCE(space->model->changed, space->model->changed + 1);
	if (space->model->waiting)
		wake_word(&space->model->changed);
}

bool page_trylock(struct space *space, unsigned long pfn)
{
	struct frame *frame;

	if (frame_pfn_device(pfn))
		return uhmm_device_page_trylock(pfn);
	frame = frame_get(space, frame_head(space, pfn));
	if (frame->flags & FRAME_LOCKED)
		return false;
	frame->flags |= FRAME_LOCKED;
	return true;
}

void page_unlock(struct space *space, unsigned long pfn)
{
	if (frame_pfn_device(pfn))
		uhmm_device_page_unlock(pfn);
	else
		frame_get(space, frame_head(space, pfn))->flags &=
			~FRAME_LOCKED;
	model_wake(space);
}

/* ----------------------------------------------------------------- collect */

/* Does whoever waits for @fault_page have that page locked already? */
static bool locked_before(struct space *space, unsigned long pfn,
			  unsigned long fault_page)
{
	return fault_page &&
	       frame_head(space, pfn) == frame_head(space, fault_page);
}

bool migrate_selects(const struct migrate_vma *args, uint64_t pte)
{
	unsigned long pfn = pte_payload(pte), want = MIGRATE_VMA_SELECT_SYSTEM;

	if (frame_pfn_device(pfn)) {
		want = pte_type(pte) == PTE_DEVICE ?
			       MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
			       MIGRATE_VMA_SELECT_DEVICE_COHERENT;
		if (uhmm_device_page_owner(pfn) != args->pgmap_owner)
			return false;
	}
	return args->flags & want;
}

static unsigned long collect_one(struct space *space, struct vma *vma,
				 struct leaf *leaf, unsigned long addr,
				 struct migrate_vma *args)
{
	uint64_t pte = leaf ? leaf_pte(leaf, addr) : 0, entry;
	unsigned long pfn = pte_payload(pte);
	bool locked;

	if (!pte)
		return vma_anonymous(vma) ? MIGRATE_PFN_MIGRATE : 0;
	if (pte_zero(pte))
		return args->flags & MIGRATE_VMA_SELECT_SYSTEM ?
			       MIGRATE_PFN_MIGRATE : 0;
	if ((!pte_present(pte) && pte_type(pte) != PTE_DEVICE) ||
	    !migrate_selects(args, pte) ||
	    frame_get(space, pfn)->flags & (FRAME_HEAD | FRAME_TAIL))
		return 0;
	locked = locked_before(space, pfn, args->fault_page);
	if (!locked && !page_trylock(space, pfn))
		return 0;
	frame_ref(space, pfn);
	entry = pte_to_migration(space, pte);
	if (!entry) {
		if (!locked)
			page_unlock(space, pfn);
		frame_unref(space, pfn);
		return 0;
	}
	leaf_set(space, leaf, addr, entry);
	frame_unmap(space, pfn);
	return migrate_pfn(pfn) | MIGRATE_PFN_MIGRATE |
	       (pte & PTE_W ? MIGRATE_PFN_WRITE : 0);
}

/* As newer kernels do with a huge page that small entries lead to. */
static bool split_compound(struct space *space, const struct leaf *leaf,
			   unsigned long addr, const struct migrate_vma *args)
{
	uint64_t pte = leaf ? leaf_pte(leaf, addr) : 0;
	unsigned long pfn = pte_payload(pte);

	return newest(space) && pte_maps_frame(pte) &&
	       pte_type(pte) != PTE_EXCLUSIVE && migrate_selects(args, pte) &&
	       frame_get(space, pfn)->flags & (FRAME_HEAD | FRAME_TAIL) &&
	       huge_split_small(space, pfn, args->fault_page);
}

/* false: what is there does not go. */
static bool make_small(struct space *space, struct vma *vma, unsigned long addr)
{
	const struct leaf *leaf = leaf_get(space, addr);

	if (!leaf || !leaf->huge)
		return true;
	if (huge_leads_to_frames(leaf) && !newest(space))
		return !huge_split_page(space, vma, addr);
	huge_split_mapping(space, vma, addr);
	return true;
}

static void collect_table(struct space *space, struct vma *vma,
			  unsigned long addr, unsigned long end,
			  struct migrate_vma *args)
{
	struct leaf *leaf = leaf_get(space, addr);

	for (; addr < end; addr += PAGE_SIZE) {
		if (split_compound(space, leaf, addr, args))
			leaf = leaf_get(space, addr);
		args->src[(addr - args->start) >> PAGE_SHIFT] =
			collect_one(space, vma, leaf, addr, args);
	}
}

void model_migrate_collect(struct mm_struct *mm, struct migrate_vma *args)
{
	struct space *space = space_of(mm);
	unsigned long addr = args->start, next;
	struct vma *vma;

	model_lock(space);
	vma = vma_at(space, addr);
	for (; addr < args->end; addr = next) {
		next = leaf_end(addr, args->end);
		if (!huge_collect(space, vma, addr, args) &&
		    make_small(space, vma, addr))
			collect_table(space, vma, addr, next, args);
	}
	model_unlock(space);
}

/* ------------------------------------------------------------------- unmap */

/* Has somebody a reference whom no entry explains? */
static bool busy(struct space *space, unsigned long pfn,
		 unsigned long fault_page)
{
	const struct frame *frame = frame_get(space, pfn);
	unsigned long known = 1 + locked_before(space, pfn, fault_page) +
			      !!(frame->flags & FRAME_CACHED);

	return frame_maps(space, pfn) || frame_refs(space, pfn) > known;
}

static void release_source(struct space *space, unsigned long pfn,
			   unsigned long fault_page)
{
	/* Whoever has locked that unlocks it, but others wait for the entry. */
	if (locked_before(space, pfn, fault_page))
		model_wake(space);
	else
		page_unlock(space, pfn);
	frame_unref(space, pfn);
}

void model_migrate_unmap(struct mm_struct *mm, struct migrate_vma *args)
{
	struct space *space = space_of(mm);

	model_lock(space);
	for (unsigned long i = 0; i < args->npages; i++) {
		unsigned long pfn = uhmm_migrate_pfn_of(args->src[i]);

		if (!pfn)
			continue;
		if (frame_maps(space, pfn))
			rmap_migrate(space, pfn);
		if (!busy(space, pfn, args->fault_page))
			continue;
		rmap_restore(space, pfn, pfn);
		release_source(space, pfn, args->fault_page);
		args->src[i] = 0;
	}
	model_unlock(space);
}

/* ------------------------------------------------------------------ commit */

static bool insert_page(struct space *space, struct vma *vma,
			unsigned long addr, unsigned long pfn)
{
	uint64_t flags = vma->flags & VM_WRITE ? PTE_W : 0, pte;
	struct frame *frame;

	if (!vma || !vma_anonymous(vma) || !leaf_make(space, addr) ||
	    vma_prepare_anon(space, vma))
		return false;
	if (pte_zero(pte_at(space, addr)))
		huge_split_mapping(space, vma, addr);
	pte = pte_at(space, addr);
	if ((pte && !pte_zero(pte)) || vma->flags & VM_UFFD_MISSING ||
	    space->reaped)
		return false;
	if (frame_begin(space, pfn, 0) || frame_map(space, pfn))
		return false;
	frame = frame_get(space, pfn);
	frame->flags |= FRAME_ANON | FRAME_EXCLUSIVE;
	frame->index = vma_index(vma, addr);
	frame->family = vma->anon;
	if (frame_private(pfn))
		pte_put(space, addr, pte_make(PTE_DEVICE, pfn, flags));
	else
		pte_put(space, addr, pte_make(PTE_PRESENT, pfn, flags |
				(flags ? PTE_DIRTY | PTE_SOFT : 0)));
	if (pte)
		event_change_pte(space, addr);
	return true;
}

/* May @from become @to? A file's page, or one with a swap slot, not there. */
static bool move_page(struct space *space, unsigned long from, unsigned long to)
{
	struct frame *src = frame_get(space, from), *dst;

	if (frame_pfn_device(to) && src->flags & FRAME_CACHED)
		return false;
	if (frame_begin(space, to, 0))
		return false;
	dst = frame_get(space, to);
	src = frame_get(space, from);
	frame_become(dst, src);
	if (src->flags & FRAME_CACHED)
		return file_move_page(space, from, to);
	return true;
}

static bool commit_one(struct space *space, const struct migrate_vma *args,
		       unsigned long i)
{
	unsigned long from = uhmm_migrate_pfn_of(args->src[i]);
	unsigned long to = uhmm_migrate_pfn_of(args->dst[i]);
	unsigned long addr = args->start + (i << PAGE_SHIFT);

	if (!to || args->dst[i] & MIGRATE_PFN_COMPOUND)
		return false;
	return from ? move_page(space, from, to) :
		      insert_page(space, vma_at(space, addr), addr, to);
}

void model_migrate_commit(struct mm_struct *mm, struct migrate_vma *args)
{
	const unsigned long huge = MIGRATE_PFN_MIGRATE | MIGRATE_PFN_COMPOUND;
	struct space *space = space_of(mm);

	model_lock(space);
	for (unsigned long i = 0; i < args->npages; i++) {
		if ((args->src[i] & huge) == huge)
			huge_commit(space, args, i);
		if (args->src[i] & MIGRATE_PFN_MIGRATE &&
		    !(args->src[i] & MIGRATE_PFN_COMPOUND) &&
		    !commit_one(space, args, i))
			args->src[i] &= ~MIGRATE_PFN_MIGRATE;
	}
	model_unlock(space);
}

unsigned long model_migrate_finish(struct mm_struct *mm, struct migrate_vma *args)
{
	struct space *space = space_of(mm);

	model_lock(space);
	for (unsigned long i = 0; i < args->npages; i++) {
		unsigned long from = uhmm_migrate_pfn_of(args->src[i]);
		unsigned long to = uhmm_migrate_pfn_of(args->dst[i]);

		if (!from)
			continue;
		if (!to || !(args->src[i] & MIGRATE_PFN_MIGRATE))
			to = from;
		rmap_restore(space, from, to);
		release_source(space, from, args->fault_page);
	}
	model_unlock(space);
	return 0;
}

/* A CPU, or somebody on its behalf, needs what a device has. */
int device_fault(struct space *space, struct vma *vma, unsigned long addr,
		 uint64_t pte, bool write)
{
	struct uhmm_vma copy;
	int ret;

	vma_describe(space, vma, &copy);
	model_drop(space);
	ret = uhmm_migrate_to_ram(&copy, addr, pte_payload(pte),
				  write ? UHMM_FAULT_WRITE : 0);
	model_retake(space);
	return ret == -ENOMEM ? FAULT_OOM : ret ? FAULT_SIGBUS : 0;
}

/* --------------------------------------------------------------- exclusive */

static uint64_t exclusive_back(const struct vma *vma, uint64_t pte)
{
	uint64_t flags = pte & (PTE_SOFT | PTE_UFFD);

	if (!(pte & PTE_UFFD) && pte & PTE_W)
		flags |= PTE_DIRTY | PTE_SOFT |
			 (vma->flags & VM_WRITE ? PTE_W : 0);
	return pte_make(PTE_PRESENT, pte_payload(pte), flags);
}

void exclusive_put_back(struct space *space, struct vma *vma,
			unsigned long addr, uint64_t pte)
{
	pte_put(space, addr, exclusive_back(vma, pte));
}

int exclusive_restore(struct space *space, struct vma *vma, unsigned long addr,
		      uint64_t pte)
{
	unsigned long head = frame_head(space, pte_payload(pte));
	struct mmu_notifier_range range;

	if (frame_get(space, head)->flags & FRAME_LOCKED) {
		model_wait(space);
		return 0;
	}
	event_start(space, &range,
		    newest(space) ? MMU_NOTIFY_CLEAR : MMU_NOTIFY_EXCLUSIVE,
		    addr, addr + PAGE_SIZE, NULL);
	if (pte_at(space, addr) == pte)
		exclusive_put_back(space, vma, addr, pte);
	event_end(space, &range);
	return 0;
}

/* All entries of the page, from @addr on: of a huge one there are many. */
static bool take_entries(struct space *space, unsigned long addr,
			 unsigned long pfn, unsigned long end)
{
	bool taken = false;

	for (; addr < end; addr += PAGE_SIZE, pfn++) {
		uint64_t pte = pte_at(space, addr);

		if (!pte_present(pte) || pte_payload(pte) != pfn)
			continue;
		if (pte & PTE_DIRTY)
			frame_get(space, pfn)->flags |= FRAME_DIRTY;
		taken |= (pte & PTE_W) != 0;
		pte_put(space, addr,
			pte_make(PTE_EXCLUSIVE, pfn,
				 pte & (PTE_W | PTE_SOFT | PTE_UFFD)));
	}
	return taken;
}

/*
 * Linux 6.1 goes through all areas that could map the page until it is mapped
 * nowhere any more; that it is mapped at @addr alone it does not know.
 */
static void ask_others(struct space *space, unsigned long addr,
		       unsigned long pfn, void *owner)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	size_t n;

	if (newest(space))
		return;
	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		if (list[i].space == space && list[i].addr == addr)
			break;
		event_start(list[i].space, &range, MMU_NOTIFY_EXCLUSIVE,
			    list[i].addr, list[i].addr + PAGE_SIZE, owner);
		event_end(list[i].space, &range);
	}
	mappings_free(list, n);
}

int model_make_exclusive(struct mm_struct *mm, unsigned long addr,
			 unsigned long pfn, void *owner)
{
	struct space *space = space_of(mm);
	struct mmu_notifier_range range;
	unsigned long head, start, end;
	struct leaf *leaf;
	struct vma *vma;
	int ret = -EOPNOTSUPP;

	model_lock(space);
	vma = vma_at(space, addr);
	leaf = leaf_get(space, addr);
	if (!vma || vma->flags & VM_HUGETLB)
		goto out;
	if (leaf && leaf->huge)
		huge_split_mapping(space, vma, addr);
	ret = -EBUSY;
	if (!page_trylock(space, pfn))
		goto out;
	ret = -EOPNOTSUPP;
	head = frame_head(space, pfn);
	if (!(frame_get(space, pfn)->flags & FRAME_ANON))
		goto out_unlock;
	start = addr;
	end = addr + PAGE_SIZE;
	/* Linux 6.1 takes all of a huge page. */
	if (!newest(space) && frame_get(space, head)->flags & FRAME_HEAD) {
		start = max_ul(addr - ((pfn - head) << PAGE_SHIFT), vma->start);
		end = start + LEAF_SIZE;
	}
	ask_others(space, addr, pfn, owner);
	event_start(space, &range, MMU_NOTIFY_EXCLUSIVE, start,
		    min_ul(end, vma->end), owner);
	ret = take_entries(space, start, pfn - ((addr - start) >> PAGE_SHIFT),
			   min_ul(end, vma->end)) ? 0 : -EAGAIN;
	event_end(space, &range);
	if (!ret)
		goto out;
out_unlock:
	page_unlock(space, pfn);
out:
	model_unlock(space);
	return ret;
}

void model_page_unlock(struct mm_struct *mm, unsigned long pfn)
{
	model_lock(space_of(mm));
	page_unlock(space_of(mm), pfn);
	model_unlock(space_of(mm));
}
