/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Swap, and what writes pages to it. */
#include "internal.h"

struct swap_slot *slot_of(struct space *space, unsigned long id)
{
	struct swap_slot *pool = dir_get(&machine_of(space)->slots,
				    id / FRAME_POOL);

	return &pool[id % FRAME_POOL];
}

/* A slot with what is in @frame and no entry yet; 0: swap is full, or none. */
static unsigned long swap_write(struct space *space,
				const struct frame *frame)
{
	struct machine *m = machine_of(space);
	unsigned long id = m->free_slots;
	struct swap_slot *slot;

	if (m->used_slots >= space->model->options.swap_pages)
		return 0;
	if (!id) {
		id = m->next_slot;
		if (!dir_get(&m->slots, id / FRAME_POOL)) {
			slot = arena_alloc(arena_of(space),
					   FRAME_POOL * sizeof(*slot));
			if (!slot || dir_put(arena_of(space), &m->slots,
					     id / FRAME_POOL, slot))
				return 0;
		}
		m->next_slot++;
	}
	slot = slot_of(space, id);
	if (m->free_slots)
		m->free_slots = slot->next;
	m->used_slots++;
	*slot = (struct swap_slot){ .value = frame->value };
	if (frame->bytes) {
		slot->bytes = arena_alloc(arena_of(space), PAGE_SIZE);
		if (slot->bytes)
			memcpy(slot->bytes, frame->bytes, PAGE_SIZE);
	}
	return id;
}

void swap_read(struct space *space, unsigned long id, struct frame *frame)
{
	struct swap_slot *slot = slot_of(space, id);

	frame_fill(space, frame, slot->value);
	if (slot->bytes)
		frame_write(space, frame, 0, slot->bytes, PAGE_SIZE);
}

static void slot_free(struct space *space, unsigned long id)
{
	struct machine *m = machine_of(space);
	struct swap_slot *slot = slot_of(space, id);

	arena_free(arena_of(space), slot->bytes, PAGE_SIZE);
	*slot = (struct swap_slot){ .next = m->free_slots };
	m->free_slots = id;
	m->used_slots--;
}

void swap_cache(struct space *space, unsigned long id, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);

	slot_of(space, id)->cache = pfn;
	frame->slot = id;
	frame->flags |= FRAME_CACHED;
	frame_ref(space, pfn);
}

/* The page does not need its slot any more. */
void swap_uncache(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);
	unsigned long id = frame->slot;

	if (slot_of(space, id)->count)
		return;
	frame->flags &= ~FRAME_CACHED;
	frame->flags |= FRAME_DIRTY;
	slot_free(space, id);
	frame_unref(space, pfn);
}

/* An entry for it goes. */
void swap_unref(struct space *space, unsigned long id)
{
	struct swap_slot *slot = slot_of(space, id);

	if (--slot->count)
		return;
	if (!slot->cache)
		slot_free(space, id);
	else if (frame_get(space, slot->cache)->refs == 1)
		swap_uncache(space, slot->cache);
}

/* ----------------------------------------------------------------- reclaim */

/* Was it used since it was looked at last? All who map it are asked. */
static bool referenced(struct space *space, unsigned long pfn)
{
	struct mapping *list;
	bool used = false;
	size_t n;

	list = mappings(space, pfn, &n);
	for (size_t i = 0; i < n; i++) {
		uint64_t pte = pte_at(list[i].space, list[i].addr);

		if (!pte_maps_frame(pte) || pte_payload(pte) != pfn)
			continue;
		used |= event_clear_flush_young(list[i].space, list[i].addr);
		pte = pte_at(list[i].space, list[i].addr);
		if (pte & PTE_YOUNG && pte_present(pte)) {
			used = true;
			pte_put(list[i].space, list[i].addr,
				pte & ~PTE_YOUNG);
		}
	}
	mappings_free(list, n);
	return used;
}

static void reclaim_anon(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);
	unsigned long id;

	if (frame->flags & FRAME_LAZY) {
		rmap_unmap(space, pfn, 0);
		return;
	}
	id = swap_write(space, frame);
	if (!id)
		return;
	slot_of(space, id)->count = 1;
	rmap_unmap(space, pfn, id);
	swap_unref(space, id);
}

static void reclaim_file(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);
	struct file *file = frame->file;
	unsigned long id = 0, index = frame->index;

	if (!rmap_unmap(space, pfn, 0) || frame->refs != 2)
		return;
	if (file->kind == FILE_SHMEM && frame->flags & FRAME_DIRTY) {
		id = swap_write(space, frame);
		if (!id)
			return;
		slot_of(space, id)->count = 1;
		file_swap_out(space, file, index, id);
	} else {
		file_write_back(space, file, index);
		file_forget_page(space, file, index);
	}
}

void reclaim(struct space *space, const unsigned long *pfns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct frame *frame = frame_get(space, pfns[i]);
		bool busy;

		frame_ref(space, pfns[i]);
		busy = frame->flags & FRAME_LOCKED ||
		       referenced(space, pfns[i]) || frame->pins;
		if (!busy && frame->flags & FRAME_ANON)
			reclaim_anon(space, pfns[i]);
		else if (!busy && frame->file)
			reclaim_file(space, pfns[i]);
		frame_unref(space, pfns[i]);
	}
}
