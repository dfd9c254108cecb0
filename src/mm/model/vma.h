/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Areas, split and merged: included by internal.h. */
#ifndef MM_MODEL_VMA_H
#define MM_MODEL_VMA_H

struct file;
struct space;

#define VM_READ 1U
#define VM_WRITE 2U
#define VM_EXEC 4U
#define VM_SHARED 8U
#define VM_ACCESS (VM_READ | VM_WRITE | VM_EXEC)
#define VM_LOCKED 0x10U
#define VM_DONTCOPY 0x20U
#define VM_WIPEONFORK 0x40U
#define VM_HUGEPAGE 0x80U
#define VM_NOHUGEPAGE 0x100U
#define VM_MERGEABLE 0x200U
#define VM_ACCOUNT 0x400U
#define VM_SOFTDIRTY 0x800U
#define VM_UFFD_MISSING 0x1000U
#define VM_UFFD_WP 0x2000U
#define VM_UFFD (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_ASYNC)
#define VM_HUGETLB 0x4000U
#define VM_MIXEDMAP 0x8000U
#define VM_IO 0x10000U
#define VM_NORESERVE 0x20000U
#define VM_SPECIAL (VM_MIXEDMAP | VM_IO)
#define VM_RAND 0x40000U
#define VM_SEQ 0x80000U
#define VM_LOCKONFAULT 0x100000U
#define VM_UFFD_ASYNC 0x200000U	/* writes are noticed, not stopped */
#define VM_DONTDUMP 0x400000U
#define VM_GUARDED 0x800000U	/* guards were put into it */
#define VM_NO_HINDRANCE (VM_SOFTDIRTY | VM_GUARDED)	/* to being one area */

/**
 * struct vma - an area
 * @start: first byte
 * @end: first byte behind it
 * @pgoff: page of the file; of an anonymous area what its frames are found by
 * @flags: VM_*
 * @prot_write: a page that is only read is mapped writable at once
 * @anon: family of its anonymous pages, 0: none yet
 * @file: NULL: private anonymous
 * @file_order: among the areas of the file that begin at the same page of it:
 *	the lower, the earlier it is told of a change
 * @anon_order: the same among those of its family
 * @next: by address
 */
struct vma {
	unsigned long start;
	unsigned long end;
	unsigned long pgoff;
	uint32_t flags;
	bool prot_write;
	uint32_t anon;
	struct file *file;
	uint64_t file_order;
	uint64_t anon_order;
	struct vma *next;
};

struct vma *vma_find(const struct space *space, unsigned long addr);
struct vma *vma_at(const struct space *space, unsigned long addr);
struct vma *vma_prev(const struct space *space, const struct vma *vma);
struct vma *vma_new(struct space *space, unsigned long start,
		    unsigned long end, unsigned long pgoff, uint32_t flags,
		    struct file *file);
void vma_link(struct space *space, struct vma *vma);
void vma_delete(struct space *space, struct vma *vma);
/* [addr, end) becomes an area of its own, which is returned. */
struct vma *vma_split(struct space *space, struct vma *vma, unsigned long addr,
		      unsigned long end);
struct vma *vma_merge(struct space *space, struct vma *prev,
		      unsigned long addr, unsigned long end, uint32_t flags,
		      uint32_t anon, struct file *file, unsigned long pgoff);
/* Merge or split so that [start, end) can have @flags; returns what has them. */
struct vma *vma_isolate(struct space *space, struct vma *vma,
			struct vma **prev, unsigned long start,
			unsigned long end, uint32_t flags);
/* What a new mapping becomes a part of; NULL: it is an area of its own. */
struct vma *vma_expand(struct space *space, struct vma *prev,
		       unsigned long addr, unsigned long end, uint32_t flags,
		       struct file *file, unsigned long pgoff);
/* It begins or ends elsewhere now: it is told of changes after all others. */
void vma_moved(struct space *space, struct vma *vma);
/* A copy for a child: it is told right after @from. */
void vma_copied(struct space *space, struct vma *vma, const struct vma *from);
int vma_prepare_anon(struct space *space, struct vma *vma);
/* A number that descends from @parent, or from nothing (0); 0: no memory. */
uint32_t family_new(struct space *space, uint32_t parent);
/* The one that all who may share a page with it descend from. */
uint32_t family_root(struct space *space, uint32_t family);
bool family_descends(struct space *space, uint32_t family, uint32_t from);
void vma_set_prot(struct vma *vma);

/* Whatever it is to be like now, guards are not forgotten. */
static inline void vma_set_flags(struct vma *vma, uint32_t flags)
{
	vma->flags = flags | (vma->flags & VM_GUARDED);
}

static inline bool vma_anonymous(const struct vma *vma)
{
	return !vma->file;
}

/* A private area that can be, or could become, writable. */
static inline bool vma_cow(const struct vma *vma)
{
	return !(vma->flags & VM_SHARED);
}

/* Does what was write-protected stay so when the page goes, or comes? */
static inline bool vma_marks(const struct vma *vma)
{
	return !vma_anonymous(vma) || vma->flags & VM_UFFD_ASYNC;
}

static inline unsigned long vma_index(const struct vma *vma, unsigned long addr)
{
	return vma->pgoff + ((addr - vma->start) >> PAGE_SHIFT);
}

static inline bool vma_soft_dirty_tracked(const struct vma *vma)
{
	return !(vma->flags & VM_SOFTDIRTY);
}

#endif
