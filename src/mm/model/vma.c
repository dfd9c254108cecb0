/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Areas: found, split, merged. When two merge is seen by mremap(2). */
#include "internal.h"

struct vma *vma_find(const struct space *space, unsigned long addr)
{
	struct vma *vma = space->vmas;

	while (vma && vma->end <= addr)
		vma = vma->next;
	return vma;
}

struct vma *vma_at(const struct space *space, unsigned long addr)
{
	struct vma *vma = vma_find(space, addr);

	return vma && vma->start <= addr ? vma : NULL;
}

/* The one before @vma, or the last one if that is NULL. */
struct vma *vma_prev(const struct space *space, const struct vma *vma)
{
	struct vma *prev = space->vmas;

	if (prev == vma)
		return NULL;
	while (prev->next != vma)
		prev = prev->next;
	return prev;
}

struct vma *vma_new(struct space *space, unsigned long start,
		    unsigned long end, unsigned long pgoff, uint32_t flags,
		    struct file *file)
{
	struct vma *vma = arena_alloc(arena_of(space), sizeof(*vma));

	if (!vma)
		return NULL;
	*vma = (struct vma){ .start = start, .end = end, .pgoff = pgoff,
			     .flags = flags, .file = file };
	if (file)
		file->refs++;
	vma_set_prot(vma);
	return vma;
}

/* Linux keeps areas in trees, and takes one out to change it. */
#define PLACE_STEP (UINT64_C(1) << 16)

void vma_moved(struct space *space, struct vma *vma)
{
	struct machine *m = machine_of(space);

	if (vma->file)
		vma->file_order = m->last_order += PLACE_STEP;
	if (vma->anon)
		vma->anon_order = m->last_order += PLACE_STEP;
}

void vma_copied(struct space *space, struct vma *vma, const struct vma *from)
{
	uint64_t next = from->file_order + PLACE_STEP;
	struct space *at;
	struct vma *other;

	vma_moved(space, vma);
	if (!vma->file)
		return;
	for (at = machine_of(space)->spaces; at; at = at->next)
		for (other = at->vmas; other; other = other->next)
			if (other->file == from->file &&
			    other->file_order > from->file_order &&
			    other->file_order < next)
				next = other->file_order;
	vma->file_order = from->file_order + (next - from->file_order) / 2;
}

void vma_link(struct space *space, struct vma *vma)
{
	struct vma **at = &space->vmas;

	while (*at && (*at)->start < vma->start)
		at = &(*at)->next;
	vma->next = *at;
	*at = vma;
}

void vma_delete(struct space *space, struct vma *vma)
{
	struct vma **at = &space->vmas;

	while (*at != vma)
		at = &(*at)->next;
	*at = vma->next;
	if (vma->file)
		file_unref(space, vma->file);
	arena_free(arena_of(space), vma, sizeof(*vma));
}

/*
 * May a page that was only read be mapped writable? Not where the first write
 * is to be noticed.
 */
void vma_set_prot(struct vma *vma)
{
	uint32_t shared = VM_SHARED | VM_WRITE;

	vma->prot_write = (vma->flags & shared) == shared &&
			  vma->file->kind != FILE_DISK &&
			  (vma->flags & VM_SOFTDIRTY ||
			   vma->flags & VM_HUGETLB) &&
			  !(vma->flags & VM_UFFD_WP);
}

/* ------------------------------------------------------------------ families
 * A fault gives an area's pages a family; fork makes one that descends from
 * it. A page is looked for in the areas whose family is, or descends from, its
 * own.
 */
uint32_t family_new(struct space *space, uint32_t parent)
{
	struct machine *m = machine_of(space);

	if (sparse_set(arena_of(space), &m->families, m->last_family + 1,
		       parent + 1UL))
		return 0;
	return ++m->last_family;
}

bool family_descends(struct space *space, uint32_t family, uint32_t from)
{
	while (family && family != from)
		family = sparse_get(&machine_of(space)->families, family) - 1;
	return family != 0;
}

uint32_t family_root(struct space *space, uint32_t family)
{
	uint32_t parent = family;

	while (parent) {
		family = parent;
		parent = sparse_get(&machine_of(space)->families, family) - 1;
	}
	return family;
}

/* Has an anonymous page of it been in one process only? */
static bool simple_family(struct space *space, uint32_t anon)
{
	return anon && sparse_get(&machine_of(space)->families, anon) == 1;
}

static bool simple(struct space *space, const struct vma *vma)
{
	return simple_family(space, vma->anon);
}

static bool neighbours(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->file == b->file &&
	       !((a->flags ^ b->flags) & ~(VM_ACCESS | VM_NO_HINDRANCE)) &&
	       b->pgoff == a->pgoff + ((b->start - a->start) >> PAGE_SHIFT);
}

int vma_prepare_anon(struct space *space, struct vma *vma)
{
	struct vma *prev;

	if (vma->anon)
		return 0;
	prev = vma_prev(space, vma);
	if (vma->next && neighbours(vma, vma->next) &&
	    simple(space, vma->next))
		vma->anon = vma->next->anon;
	else if (prev && neighbours(prev, vma) && simple(space, prev))
		vma->anon = prev->anon;
	else
		vma->anon = family_new(space, 0);
	if (!vma->anon)
		return -ENOMEM;
	vma->anon_order = machine_of(space)->last_order += PLACE_STEP;
	return 0;
}

/* ---------------------------------------------------------- split and merge */

static struct vma *split_at(struct space *space, struct vma *vma,
			    unsigned long addr)
{
	struct vma *above;

	above = vma_new(space, addr, vma->end, vma_index(vma, addr),
			vma->flags, vma->file);
	if (!above)
		return NULL;
	above->anon = vma->anon;
	above->prot_write = vma->prot_write;
	huge_cut(space, vma, addr);
	vma->end = addr;
	above->next = vma->next;
	vma->next = above;
	vma_moved(space, above);
	vma_moved(space, vma);
	return above;
}

struct vma *vma_split(struct space *space, struct vma *vma, unsigned long addr,
		      unsigned long end)
{
	if (addr > vma->start) {
		vma = split_at(space, vma, addr);
		if (!vma)
			return NULL;
	}
	if (end < vma->end && !split_at(space, vma, end))
		return NULL;
	return vma;
}

/* Can something new of family @anon become a part of @vma? */
static bool alike(struct space *space, const struct vma *vma, uint32_t flags,
		  uint32_t anon, const struct file *file)
{
	if ((vma->flags ^ flags) & ~VM_NO_HINDRANCE || vma->file != file ||
	    flags & VM_HUGETLB)
		return false;
	if (!vma->anon && anon)
		return newest(space) && simple_family(space, anon);
	return vma->anon == anon || (!anon && simple(space, vma));
}

/* What @vma is from what becomes a part of it. */
static void adopt(struct space *space, struct vma *vma, uint32_t flags,
		  uint32_t anon)
{
	vma->flags |= flags & VM_GUARDED;
	if (vma->anon || !anon)
		return;
	vma->anon = anon;
	if (newest(space))
		vma->anon_order = machine_of(space)->last_order += PLACE_STEP;
}

static void join(struct space *space, struct vma *vma, struct vma *gone)
{
	adopt(space, vma, gone->flags, gone->anon);
	vma_delete(space, gone);
}

/*
 * [addr, end), which may be parts of areas that are there, is to be like this:
 * make it a part of its neighbours, if it can be one.
 */
struct vma *vma_merge(struct space *space, struct vma *prev,
		      unsigned long addr, unsigned long end, uint32_t flags,
		      uint32_t anon, struct file *file, unsigned long pgoff)
{
	struct vma *mid = vma_find(space, prev ? prev->end : 0), *next = mid;
	unsigned long pages = (end - addr) >> PAGE_SHIFT;
	bool with_prev, with_next;

	if (flags & VM_SPECIAL)
		return NULL;
	if (next && next->end == end)
		next = next->next;
	with_prev = prev && prev->end == addr &&
		    alike(space, prev, flags, anon, file) &&
		    vma_index(prev, addr) == pgoff;
	with_next = next && next->start == end &&
		    alike(space, next, flags, anon, file) &&
		    next->pgoff == pgoff + pages;
	if (with_prev && with_next &&
	    (!prev->anon || !next->anon || prev->anon == next->anon)) {
		adopt(space, prev, flags, anon);
		prev->end = next->end;
		if (mid != next)
			join(space, prev, mid);
		join(space, prev, next);
		vma_moved(space, prev);
		return prev;
	}
	if (with_prev) {
		adopt(space, prev, flags, anon);
		prev->end = end;
		vma_moved(space, prev);
		if (mid && mid->end == end) {
			join(space, prev, mid);
		} else if (mid && mid->start < end) {
			mid->pgoff = vma_index(mid, end);
			mid->start = end;
			vma_moved(space, mid);
		}
		return prev;
	}
	if (!with_next)
		return NULL;
	if (prev && addr < prev->end) {
		prev->end = addr;
		vma_moved(space, prev);
	} else if (mid != next) {
		join(space, next, mid);
	}
	adopt(space, next, flags, anon);
	next->start = addr;
	next->pgoff = pgoff;
	vma_moved(space, next);
	return next;
}

/*
 * In 6.1 the one behind is asked first, in newer ones the one before: who has pages
 * decides with whom it can be.
 */
struct vma *vma_expand(struct space *space, struct vma *prev,
		       unsigned long addr, unsigned long end, uint32_t flags,
		       struct file *file, unsigned long pgoff)
{
	struct vma *next = vma_find(space, addr), *vma = NULL;
	unsigned long pages = (end - addr) >> PAGE_SHIFT;

	if (flags & VM_SPECIAL)
		return NULL;
	if (next && next->start == end && next->pgoff == pgoff + pages &&
	    alike(space, next, flags, 0, file))
		vma = next;
	if (vma && newest(space) && prev && prev->anon && next->anon &&
	    prev->anon != next->anon && prev->end == addr &&
	    vma_index(prev, addr) == pgoff &&
	    alike(space, prev, flags, 0, file))
		vma = NULL;
	if (prev && prev->end == addr && vma_index(prev, addr) == pgoff &&
	    alike(space, prev, flags, vma ? vma->anon : 0, file)) {
		prev->end = vma ? vma->end : end;
		if (vma)
			join(space, prev, vma);
		vma = prev;
	} else if (vma) {
		vma->start = addr;
		vma->pgoff = pgoff;
	}
	if (vma)
		vma_moved(space, vma);
	return vma;
}

struct vma *vma_isolate(struct space *space, struct vma *vma,
			struct vma **prev, unsigned long start,
			unsigned long end, uint32_t flags)
{
	struct vma *merged;

	merged = vma_merge(space, *prev, start, end, flags, vma->anon,
			   vma->file, vma_index(vma, start));
	if (!merged)
		merged = vma_split(space, vma, start, end);
	*prev = merged;
	return merged;
}
