/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Frames: their counts, and what is in them. */
#include "internal.h"

struct frame *frame_get(struct space *space, unsigned long pfn)
{
	struct frame *pool = dir_get(&machine_of(space)->pools,
				     pfn / FRAME_POOL);

	return pool ? &pool[pfn % FRAME_POOL] : NULL;
}

static struct frame *frame_at(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn), *pool;

	if (frame)
		return frame;
	pool = arena_alloc(arena_of(space), FRAME_POOL * sizeof(*pool));
	if (!pool || dir_put(arena_of(space), &machine_of(space)->pools,
			     pfn / FRAME_POOL, pool))
		return NULL;
	return &pool[pfn % FRAME_POOL];
}

static bool frames_left(struct space *space, unsigned long n)
{
	unsigned long limit = space->model->options.frames;

	return !limit || machine_of(space)->frames_used + n <= limit;
}

unsigned long frame_new(struct space *space)
{
	struct machine *m = machine_of(space);
	unsigned long pfn = m->free_frames;
	struct frame *frame;

	if (!frames_left(space, 1))
		return 0;
	frame = frame_at(space, pfn ? pfn : m->next_pfn);
	if (!frame)
		return 0;
	if (pfn)
		m->free_frames = frame->next;
	else
		pfn = m->next_pfn++;
	*frame = (struct frame){ .refs = 1 };
	m->frames_used++;
	return pfn;
}

static void put_on_free_list(struct space *space, unsigned long pfn,
			     struct frame *frame)
{
	struct machine *m = machine_of(space);

	frame->next = m->free_frames;
	m->free_frames = pfn;
}

/* All of a page are empty, and are counted by the first. */
static int begin_all(struct space *space, unsigned long pfn, unsigned int order,
		     unsigned int flags)
{
	for (unsigned long i = 0; i < 1UL << order; i++) {
		struct frame *frame = frame_at(space, pfn + i);

		if (!frame)
			return -ENOMEM;
		*frame = (struct frame){ .flags = flags, .head = i };
		if (order)
			frame->flags |= i ? FRAME_TAIL : FRAME_HEAD;
	}
	return 0;
}

int frame_begin(struct space *space, unsigned long pfn, unsigned int order)
{
	return frame_pfn_device(pfn) ?
		begin_all(space, pfn, order, FRAME_DEVICE) : 0;
}

/* Frames that were never used; those before, up to a multiple, are free now. */
static unsigned long next_huge(struct space *space)
{
	struct machine *m = machine_of(space);
	unsigned long pfn = (m->next_pfn + LEAF_PAGES - 1) & ~(LEAF_PAGES - 1);

	while (m->next_pfn < pfn) {
		struct frame *frame = frame_at(space, m->next_pfn);

		if (!frame)
			return 0;
		put_on_free_list(space, m->next_pfn++, frame);
	}
	m->next_pfn = pfn + LEAF_PAGES;
	return pfn;
}

unsigned long frame_new_huge(struct space *space)
{
	struct machine *m = machine_of(space);
	unsigned long pfn = m->free_huge;

	if (!frames_left(space, LEAF_PAGES))
		return 0;
	if (pfn)
		m->free_huge = frame_get(space, pfn)->next;
	else
		pfn = next_huge(space);
	if (!pfn || begin_all(space, pfn, UHMM_PMD_ORDER, 0))
		return 0;
	frame_get(space, pfn)->refs = 1;
	m->frames_used += LEAF_PAGES;
	return pfn;
}

unsigned long frame_head(struct space *space, unsigned long pfn)
{
	return pfn - frame_get(space, pfn)->head;
}

bool frame_pinned(struct space *space, unsigned long pfn)
{
	return frame_get(space, frame_head(space, pfn))->pins;
}

void frame_ref(struct space *space, unsigned long pfn)
{
	if (frame_pfn_device(pfn))
		uhmm_device_page_get(pfn);
	else
		frame_get(space, frame_head(space, pfn))->refs++;
}

static struct frame *empty_one(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_get(space, pfn);

	arena_free(arena_of(space), frame->bytes, PAGE_SIZE);
	*frame = (struct frame){ 0 };
	machine_of(space)->frames_used--;
	return frame;
}

static void free_huge(struct space *space, unsigned long pfn)
{
	struct machine *m = machine_of(space);

	for (unsigned long i = 0; i < LEAF_PAGES; i++)
		empty_one(space, pfn + i);
	frame_get(space, pfn)->next = m->free_huge;
	m->free_huge = pfn;
}

void frame_unref(struct space *space, unsigned long pfn)
{
	unsigned long head;
	struct frame *frame;

	if (frame_pfn_device(pfn)) {
		uhmm_device_page_put(pfn);
		return;
	}
	head = frame_head(space, pfn);
	frame = frame_get(space, head);
	if (--frame->refs) {
		/* Only the swap cache has it, and nobody will look there. */
		if (frame->refs == 1 && frame->flags & FRAME_CACHED &&
		    !frame->file && !frame->maps)
			swap_uncache(space, head);
		return;
	}
	if (frame->flags & FRAME_HUGETLB)
		machine_of(space)->huge_free++;
	if (frame->flags & FRAME_HEAD)
		free_huge(space, head);
	else
		put_on_free_list(space, head, empty_one(space, head));
}

int frame_map(struct space *space, unsigned long pfn)
{
	struct frame *frame = frame_at(space, pfn);

	if (!frame)
		return -ENOMEM;
	frame->maps++;
	frame_ref(space, pfn);
	return 0;
}

void frame_unmap(struct space *space, unsigned long pfn)
{
	frame_get(space, pfn)->maps--;
	frame_unref(space, pfn);
}

unsigned long frame_refs(struct space *space, unsigned long pfn)
{
	return frame_pfn_device(pfn) ? uhmm_device_page_count(pfn) :
		frame_get(space, frame_head(space, pfn))->refs;
}

unsigned long frame_maps(struct space *space, unsigned long pfn)
{
	unsigned long maps = 0, n = 1;

	pfn = frame_head(space, pfn);
	if (frame_get(space, pfn)->flags & FRAME_HEAD)
		n = LEAF_PAGES;
	while (n--)
		maps += frame_get(space, pfn + n)->maps;
	return maps;
}

bool frame_private(unsigned long pfn)
{
	struct dev_pagemap *pgmap;
	bool private;

	if (!frame_pfn_device(pfn))
		return false;
	pgmap = get_dev_pagemap(pfn);
	private = !pgmap || pgmap->type == MEMORY_DEVICE_PRIVATE;
	put_dev_pagemap(pgmap);
	return private;
}

void frame_become(struct frame *to, const struct frame *from)
{
	to->flags |= from->flags & (FRAME_ANON | FRAME_DIRTY | FRAME_LAZY |
				    FRAME_EXCLUSIVE | FRAME_KSM);
	to->index = from->index;
	to->file = from->file;
	to->family = from->family;
}

/* ---------------------------------------------------------------- contents */

void frame_copy(struct space *space, struct frame *to, const struct frame *from)
{
	to->value = from->value;
	if (!from->bytes) {
		arena_free(arena_of(space), to->bytes, PAGE_SIZE);
		to->bytes = NULL;
		return;
	}
	if (!to->bytes)
		to->bytes = arena_alloc(arena_of(space), PAGE_SIZE);
	if (to->bytes)
		memcpy(to->bytes, from->bytes, PAGE_SIZE);
}

/* A device has the bytes of its frames itself. */
void page_copy(struct space *space, unsigned long to, unsigned long from)
{
	void *bytes;

	if (!frame_pfn_device(from)) {
		frame_copy(space, frame_get(space, to), frame_get(space, from));
		return;
	}
	bytes = uhmm_page_ptr(space->mm, from);
	if (bytes)
		frame_write(space, frame_get(space, to), 0, bytes, PAGE_SIZE);
}

void frame_fill(struct space *space, struct frame *frame, uint64_t value)
{
	arena_free(arena_of(space), frame->bytes, PAGE_SIZE);
	frame->bytes = NULL;
	frame->value = value;
}

static void spread(void *bytes, uint64_t value, unsigned long offset,
		   size_t len)
{
	unsigned char words[2 * sizeof(value)], *to = bytes;
	size_t i;

	memcpy(words, &value, sizeof(value));
	memcpy(words + sizeof(value), &value, sizeof(value));
	/* The word that @offset is in the middle of, turned. */
	memcpy(&value, words + offset % sizeof(value), sizeof(value));
	for (i = 0; i + sizeof(value) <= len; i += sizeof(value))
		memcpy(to + i, &value, sizeof(value));
	memcpy(to + i, &value, len - i);
}

void frame_read(const struct frame *frame, unsigned long offset, void *buf,
		size_t len)
{
	if (frame->bytes)
		memcpy(buf, frame->bytes + offset, len);
	else
		spread(buf, frame->value, offset, len);
}

bool frame_equal(const struct frame *a, const struct frame *b)
{
	unsigned char one[256], two[256];

	for (unsigned long at = 0; at < PAGE_SIZE; at += sizeof(one)) {
		frame_read(a, at, one, sizeof(one));
		frame_read(b, at, two, sizeof(two));
		if (memcmp(one, two, sizeof(one)))
			return false;
	}
	return true;
}

/* The word that all of a page's worth of bytes repeat. */
static bool all_one_word(const void *buf, uint64_t *ret_value)
{
	memcpy(ret_value, buf, sizeof(*ret_value));
	return !memcmp(buf, (const char *)buf + sizeof(*ret_value),
		       PAGE_SIZE - sizeof(*ret_value));
}

int frame_write(struct space *space, struct frame *frame, unsigned long offset,
		const void *buf, size_t len)
{
	uint64_t value;

	if (len == PAGE_SIZE && all_one_word(buf, &value)) {
		frame_fill(space, frame, value);
		return 0;
	}
	if (!frame->bytes) {
		frame->bytes = arena_alloc(arena_of(space), PAGE_SIZE);
		if (!frame->bytes)
			return -ENOMEM;
		if (len < PAGE_SIZE)
			spread(frame->bytes, frame->value, 0, PAGE_SIZE);
	}
	memcpy(frame->bytes + offset, buf, len);
	return 0;
}
