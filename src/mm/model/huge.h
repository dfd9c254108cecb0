/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages of 2 MiB: included by internal.h. */
#ifndef MM_MODEL_HUGE_H
#define MM_MODEL_HUGE_H

/* ------------------------------------------------------------------ huge.c */
bool huge_wanted(struct space *space, const struct vma *vma,
		 unsigned long addr);
int huge_fault(struct space *space, struct vma *vma, unsigned long addr,
	       bool write);
/* It can be written now, or was split. */
void huge_write(struct space *space, struct vma *vma, unsigned long addr);
int huge_collapse(struct space *space, struct vma *vma, unsigned long addr);
int hugetlb_copy(struct space *child, struct vma *to, unsigned long addr,
		 unsigned long old);
int hugetlb_fault(struct space *space, struct vma *vma, unsigned long addr,
		  bool write);
/* Of hugetlb's shared areas: what is announced for [*start, *end). */
void hugetlb_widen(const struct vma *vma, unsigned long *start,
		   unsigned long *end);
void hugetlb_unshare(struct space *space, struct vma *vma, unsigned long addr);
/* May it be cut at @addr? */
static inline bool hugetlb_fits(const struct vma *vma, unsigned long addr)
{
	return !(vma->flags & VM_HUGETLB) || !(addr & ~LEAF_MASK);
}
void huge_map(struct space *space, unsigned long pfn);
void huge_unmap(struct space *space, unsigned long pfn);
void huge_become_anon(struct space *space, struct vma *vma, unsigned long pfn,
		      unsigned long addr);
/* Does one entry lead to all that is at @addr? Zeroes are none of that. */
static inline bool huge_leads_to_frames(const struct leaf *leaf)
{
	return leaf->huge && pte_payload(leaf->huge) != ZERO_PFN;
}

/* ------------------------------------------------------------ huge_split.c */
/* The mapping becomes one of small pages; the event is CLEAR. */
void huge_split_mapping(struct space *space, struct vma *vma,
			unsigned long addr);
/* An area is cut at @addr: a huge page does not go over the edge of one. */
void huge_cut(struct space *space, struct vma *vma, unsigned long addr);
/* The huge page becomes 512. 0, or -EBUSY. */
int huge_split_page(struct space *space, struct vma *vma, unsigned long addr);
/*
 * The same of one that small entries lead to; @pfn is any of its frames. Of a
 * device's page @fault_page may be one that a CPU waits for: whoever serves it
 * has that locked and referenced, and goes on to.
 */
bool huge_split_small(struct space *space, unsigned long pfn,
		      unsigned long fault_page);
/* And of one that migration entries lead to, locked and referenced once. */
bool huge_split_moving(struct space *space, unsigned long pfn,
		       unsigned long fault_page);

/* ---------------------------------------------------------- huge_migrate.c */
/* false: to be looked at page by page. */
bool huge_collect(struct space *space, struct vma *vma, unsigned long addr,
		  struct migrate_vma *args);
/* Of @args->src[i], which is huge; what is left of it is done page by page. */
void huge_commit(struct space *space, struct migrate_vma *args,
		 unsigned long i);
/* An entry of a page that is on its way; 0: it cannot go. */
uint64_t huge_to_migration(struct space *space, uint64_t pte);

#endif
