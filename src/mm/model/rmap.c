/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * From a frame to the entries that map it. Every area that could map it is
 * told of a change, whether it does or not: so does Linux.
 */
#include "internal.h"

#include <stdlib.h>

static bool may_map(struct space *space, const struct vma *vma,
		    const struct frame *frame)
{
	unsigned long last = vma_index(vma, vma->end);

	if (frame->index < vma->pgoff || frame->index >= last)
		return false;
	if (frame->flags & FRAME_ANON)
		return vma->anon &&
		       family_descends(space, vma->anon, frame->family);
	return frame->file && vma->file == frame->file;
}

/* A merged page is where it was merged, which its place says nothing of. */
static size_t gather_merged(struct space *space, unsigned long pfn,
			    struct mapping *list)
{
	struct space *at;
	size_t n = 0;

	for (at = machine_of(space)->spaces; at; at = at->next) {
		struct leaf *leaf;

		for (unsigned long addr = 0, next;
		     (leaf = leaf_next(at, &addr, TASK_END)); addr = next) {
			next = leaf_end(addr, TASK_END);
			for (; leaf_next_pte(leaf, &addr, next) && !leaf->huge;
			     addr += PAGE_SIZE) {
				uint64_t pte = leaf_pte(leaf, addr);

				if (!pte_has_frame(pte) ||
				    pte_payload(pte) != pfn)
					continue;
				if (list) {
					list[n] = (struct mapping){
						.space = at, .addr = addr };
					mmgrab(at->mm);
				}
				n++;
			}
		}
	}
	return n;
}

static size_t gather(struct space *space, unsigned long pfn,
		     struct mapping *list)
{
	const struct frame *frame = frame_get(space, pfn);
	struct space *at;
	struct vma *vma;
	size_t n = 0;

	if (frame->flags & FRAME_KSM)
		return gather_merged(space, pfn, list);
	for (at = machine_of(space)->spaces; at; at = at->next)
		for (vma = at->vmas; vma; vma = vma->next) {
			if (!may_map(at, vma, frame))
				continue;
			if (list) {
				list[n].space = at;
				list[n].first = vma->pgoff;
				list[n].order = frame->flags & FRAME_ANON ?
					vma->anon_order : vma->file_order;
				list[n].addr = vma->start +
					((frame->index - vma->pgoff)
					 << PAGE_SHIFT);
				mmgrab(at->mm);
			}
			n++;
		}
	return n;
}

static bool before(const struct mapping *a, const struct mapping *b)
{
	return a->first < b->first ||
	       (a->first == b->first && a->order < b->order);
}

struct mapping *mappings(struct space *space, unsigned long pfn, size_t *ret_n)
{
	struct mapping *list;
	size_t n = gather(space, pfn, NULL);

	*ret_n = 0;
	list = n ? malloc(n * sizeof(*list)) : NULL;
	if (!list)
		return NULL;
	*ret_n = gather(space, pfn, list);
	/* By where the area begins in the file, as an interval tree has them. */
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j && before(&list[j], &list[j - 1]); j--) {
			struct mapping tmp = list[j];

			list[j] = list[j - 1];
			list[j - 1] = tmp;
		}
	return list;
}

void mappings_free(struct mapping *list, size_t n)
{
	while (n--)
		mmdrop(list[n].space->mm);
	free(list);
}

static uint64_t mapped_pte(const struct mapping *at, unsigned long pfn)
{
	uint64_t pte = pte_at(at->space, at->addr);

	return pte_maps_frame(pte) && pte_payload(pte) == pfn ? pte : 0;
}

/* A page that is pinned can be moved by nobody. */
static bool give_up_exclusive(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);

	if (!(frame->flags & FRAME_EXCLUSIVE))
		return true;
	if (frame_pinned(space, pfn))
		return false;
	frame->flags &= ~FRAME_EXCLUSIVE;
	return true;
}

/* What stands for @pte while its page is on its way; 0: it cannot go. */
uint64_t pte_to_migration(struct space *space, uint64_t pte)
{
	struct frame *frame = frame_get(space, pte_payload(pte));
	uint64_t flags = pte & (PTE_W | PTE_SOFT | PTE_UFFD);

	if (frame->flags & FRAME_EXCLUSIVE)
		flags |= PTE_ANON_EX;
	if (!give_up_exclusive(space, pte_payload(pte)))
		return 0;
	if (pte_present(pte))
		flags |= pte & (PTE_DIRTY | PTE_YOUNG);
	if (pte & PTE_DIRTY)
		frame->flags |= FRAME_DIRTY;
	return pte_make(PTE_MIGRATION, pte_payload(pte), flags);
}

/* Called for each area until no mapping is left; false: leave it at that. */
typedef bool (*unmap_one_fn)(const struct mapping *at, unsigned long pfn,
			     unsigned long arg);

static void unmap_all(struct space *space, unsigned long pfn,
		      unmap_one_fn unmap_one, unsigned long arg)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	bool go_on = true;
	uint64_t pte;
	size_t n;

	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n && go_on && frame_get(space, pfn)->maps; i++) {
		event_start(list[i].space, &range, MMU_NOTIFY_CLEAR,
			    list[i].addr, list[i].addr + PAGE_SIZE, NULL);
		pte = mapped_pte(&list[i], pfn);
		if (pte && !(pte & PTE_HUGE))
			go_on = unmap_one(&list[i], pfn, arg);
		event_end(list[i].space, &range);
	}
	mappings_free(list, n);
}

static bool migrate_one(const struct mapping *at, unsigned long pfn,
			unsigned long unused)
{
	uint64_t entry = pte_to_migration(at->space, mapped_pte(at, pfn));

	if (!entry)
		return false;
	pte_put(at->space, at->addr, entry);
	frame_unmap(at->space, pfn);
	return true;
}

/* Where one entry leads to all of it. */
static void migrate_huge(struct space *space, unsigned long pfn)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	size_t n;

	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		struct space *at = list[i].space;
		unsigned long addr = list[i].addr;
		uint64_t entry = 0;

		if (!(mapped_pte(&list[i], pfn) & PTE_HUGE))
			continue;
		event_start(at, &range, MMU_NOTIFY_CLEAR, addr,
			    addr + LEAF_SIZE, NULL);
		if (mapped_pte(&list[i], pfn) & PTE_HUGE)
			entry = huge_to_migration(at, mapped_pte(&list[i],
								 pfn));
		if (entry) {
			leaf_get(at, addr)->huge = entry;
			huge_unmap(at, pfn);
		}
		event_end(at, &range);
	}
	mappings_free(list, n);
}

void rmap_migrate(struct space *space, unsigned long pfn)
{
	unsigned long n = 1;

	if (frame_get(space, pfn)->flags & FRAME_HEAD)
		migrate_huge(space, pfn);
	if (frame_get(space, pfn)->flags & FRAME_SMALL)
		n = LEAF_PAGES;
	for (unsigned long i = 0; i < n; i++)
		if (frame_get(space, pfn + i)->maps)
			unmap_all(space, pfn + i, migrate_one, 0);
}

static bool swap_one(const struct mapping *at, unsigned long pfn,
		     unsigned long id)
{
	struct vma *vma = vma_at(at->space, at->addr);
	struct frame *frame = frame_get(at->space, pfn);
	uint64_t pte = mapped_pte(at, pfn), left = PTE_NONE;

	if (vma->flags & VM_LOCKED || !pte_present(pte))
		return false;
	if (pte & PTE_DIRTY)
		frame->flags |= FRAME_DIRTY;
	if (frame->flags & FRAME_LAZY && frame->flags & FRAME_DIRTY) {
		frame->flags &= ~FRAME_LAZY;
		return false;
	}
	if (id) {
		uint64_t flags = pte & (PTE_SOFT | PTE_UFFD);

		if (frame->flags & FRAME_EXCLUSIVE)
			flags |= PTE_ANON_EX;
		if (!give_up_exclusive(at->space, pfn))
			return false;
		left = pte_make(PTE_SWAP, id, flags);
		slot_of(at->space, id)->count++;
	} else if (pte & PTE_UFFD && !vma_anonymous(vma)) {
		left = pte_make(PTE_MARKER, 0, PTE_UFFD);
	}
	pte_put(at->space, at->addr, left);
	frame_unmap(at->space, pfn);
	return true;
}

bool rmap_unmap(struct space *space, unsigned long pfn, unsigned long slot)
{
	unmap_all(space, pfn, swap_one, slot);
	return !frame_get(space, pfn)->maps;
}

/* No mapping can be written without being noticed any more. */
void rmap_clean(struct space *space, unsigned long pfn)
{
	struct mmu_notifier_range range;
	struct mapping *list;
	size_t n;

	if (!frame_get(space, pfn)->maps)
		return;
	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		struct vma *vma = vma_at(list[i].space, list[i].addr);
		uint64_t pte;

		if (!(vma->flags & VM_SHARED))
			continue;
		event_start(list[i].space, &range, MMU_NOTIFY_PROTECTION_PAGE,
			    list[i].addr, list[i].addr + PAGE_SIZE, NULL);
		pte = mapped_pte(&list[i], pfn);
		if (pte)
			pte_put(list[i].space, list[i].addr,
				pte & ~(PTE_W | PTE_DIRTY));
		event_end(list[i].space, &range);
	}
	mappings_free(list, n);
}

/* What a migration entry becomes, now that the page is at @to. */
static uint64_t restored(const struct mapping *at, uint64_t entry,
			 unsigned long to)
{
	struct vma *vma = vma_at(at->space, at->addr);
	uint64_t flags = entry & (PTE_SOFT | PTE_UFFD | PTE_YOUNG | PTE_HUGE);
	unsigned long n = entry & PTE_HUGE ? LEAF_PAGES : 1;
	struct frame *frame = frame_get(at->space, to);
	enum pte_type type = PTE_PRESENT;

	if (entry & PTE_W && vma->flags & VM_WRITE)
		flags |= PTE_W;
	if (frame->flags & FRAME_DIRTY)
		flags |= entry & PTE_DIRTY;
	if (frame->flags & FRAME_ANON && entry & (PTE_W | PTE_ANON_EX))
		for (unsigned long i = 0; i < n; i++) {
			frame = frame_get(at->space, to + i);
			frame->flags |= FRAME_EXCLUSIVE;
			frame->family = vma->anon;
		}
	if (frame_private(to)) {
		type = PTE_DEVICE;
		flags &= PTE_W | PTE_SOFT | PTE_UFFD | PTE_HUGE;
	} else if (vma->prot_write && !(flags & PTE_UFFD)) {
		flags |= PTE_W;
	}
	return pte_make(type, to, flags);
}

static void restore(struct space *space, unsigned long from, unsigned long to)
{
	struct mapping *list;
	size_t n;

	list = mappings(space, from, &n);
	for (size_t i = 0; i < n; i++) {
		struct space *at = list[i].space;
		uint64_t pte = pte_at(at, list[i].addr);

		if (pte_type(pte) != PTE_MIGRATION || pte_payload(pte) != from)
			continue;
		pte = restored(&list[i], pte, to);
		if (pte & PTE_HUGE) {
			leaf_get(at, list[i].addr)->huge = pte;
			huge_map(at, to);
		} else {
			pte_put(at, list[i].addr, pte);
			frame_map(at, to);
		}
	}
	mappings_free(list, n);
}

void rmap_restore(struct space *space, unsigned long from, unsigned long to)
{
	unsigned long n = 1;

	if (frame_get(space, from)->flags & FRAME_SMALL)
		n = LEAF_PAGES;
	for (unsigned long i = 0; i < n; i++)
		restore(space, from + i, to + i);
}
