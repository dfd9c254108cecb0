/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages to a device and back: what is the same for all address spaces. The
 * address space has the entries; here are the arguments, the brackets, and the
 * frames of devices.
 */
#include "internal.h"

#include <errno.h>

#include <uhmm/memremap.h>

#include "check.h"
#include "migrate_internal.h"

#define SELECT_KINDS (MIGRATE_VMA_SELECT_SYSTEM |             \
		      MIGRATE_VMA_SELECT_DEVICE_PRIVATE |     \
		      MIGRATE_VMA_SELECT_DEVICE_COHERENT)

static bool can_migrate(const struct mm_struct *mm)
{
	return mm->ops->migrate_collect && mm->ops->migrate_commit &&
	       mm->ops->migrate_finish;
}

static void migrate_bracket_start(const struct migrate_vma *args,
				  struct mmu_notifier_range *range,
				  unsigned long start)
{
	mmu_notifier_range_init_owner(range, MMU_NOTIFY_MIGRATE, 0,
				      args->vma->mm, start, args->end,
				      args->pgmap_owner);
	mmu_notifier_invalidate_range_start(range);
}

/* ------------------------------------------------------------- by addresses */

static bool arguments_good(const struct migrate_vma *args)
{
	const unsigned long other = UHMM_VM_HUGETLB | UHMM_VM_SPECIAL |
				    UHMM_VM_MIXEDMAP;
	const struct uhmm_vma *vma = args->vma;

	return vma && vma->mm && args->src && args->dst &&
	       !(vma->flags & other) && args->start < args->end &&
	       args->start >= vma->start && args->end <= vma->end &&
	       args->flags & SELECT_KINDS &&
	       !(args->flags & ~(SELECT_KINDS | MIGRATE_VMA_SELECT_COMPOUND |
				 UHMM_MIGRATE_DST_GIVEN)) &&
	       (!args->fault_page ||
		device_page_is(args->fault_page, MEMORY_DEVICE_PRIVATE));
}

static bool any_migrating(const struct migrate_vma *args)
{
	for (unsigned long i = 0; i < args->npages; i++)
		if (args->src[i] & MIGRATE_PFN_MIGRATE)
			return true;
	return false;
}

static unsigned long count_migrating(const struct migrate_vma *args)
{
	unsigned long n = 0;

	if (likely(words_and(args->src, args->npages) & MIGRATE_PFN_MIGRATE))
		return args->npages;
	for (unsigned long i = 0; i < args->npages; i++)
		n += args->src[i] & MIGRATE_PFN_MIGRATE;
	return n / MIGRATE_PFN_MIGRATE;
}

__warm int migrate_vma_setup(struct migrate_vma *args)
{
	struct mmu_notifier_range range;
	struct migrate_vma cut;
	struct mm_struct *mm;

	if (!args)
		return -EINVAL;
	cut = *args;
	cut.start &= ~(UHMM_PAGE_SIZE - 1);
	cut.end &= ~(UHMM_PAGE_SIZE - 1);
	if (!arguments_good(&cut))
		return -EINVAL;
	mm = args->vma->mm;
	if (!can_migrate(mm))
		return -EOPNOTSUPP;
	check_might_sleep("migrate_vma_setup", CHECK_FROM);
	mmap_assert_locked(mm);
	args->start = cut.start;
	args->end = cut.end;
	args->npages = (args->end - args->start) >> UHMM_PAGE_SHIFT;
	words_count_up(args->src, args->npages, 0, 0);
	migrate_bracket_start(args, &range, args->start);
	mm->ops->migrate_collect(mm, args);
	mmu_notifier_invalidate_range_end(&range);
	if (mm->ops->migrate_unmap && any_migrating(args))
		mm->ops->migrate_unmap(mm, args);
	args->cpages = count_migrating(args);
	return 0;
}

/*
 * Where nothing goes to, nothing goes. Returns the first page that is put where
 * there was none; npages: there is none.
 */
static __warm unsigned long drop_without_dst(struct migrate_vma *args)
{
	unsigned long i, n = args->npages, first = n;
	unsigned long *src = args->src;

	if (likely(words_and(args->dst, n) & MIGRATE_PFN_VALID &&
		   migrate_goes(words_and(src, n))))
		return n;
	for (i = 0; i < n; i++) {
		if (!(args->dst[i] & MIGRATE_PFN_VALID))
			src[i] &= ~MIGRATE_PFN_MIGRATE;
		else if (migrate_inserts(src[i]) && first == n)
			first = i;
	}
	return first;
}

__warm void migrate_vma_pages(struct migrate_vma *args)
{
	struct mm_struct *mm = args->vma->mm;
	struct mmu_notifier_range range;
	unsigned long first = drop_without_dst(args);

	if (first < args->npages)
		migrate_bracket_start(args, &range, args->start +
				      (first << UHMM_PAGE_SHIFT));
	if (first < args->npages || !mm->ops->migrate_settles)
		mm->ops->migrate_commit(mm, args);
	if (first < args->npages)
		mmu_notifier_invalidate_range_end(&range);
	/* What is put where there was none is in force already. */
	if (!mm->ops->migrate_settles || first < args->npages)
		device_pages_went(mm, args->src, args->dst, args->npages);
}

/* From the @i-th on: how many are settled, which is noted nowhere any more. */
static unsigned long settled(const struct migrate_vma *args, unsigned long i)
{
	unsigned long first = i;

	for (; i < args->npages && args->src[i] & MIGRATE_PFN_SETTLED; i++)
		args->src[i] &= ~MIGRATE_PFN_SETTLED;
	return i - first;
}

/* From the @i-th on: how many are not. */
static unsigned long not_settled(const struct migrate_vma *args, unsigned long i)
{
	unsigned long first = i;

	while (i < args->npages && !(args->src[i] & MIGRATE_PFN_SETTLED))
		i++;
	return i - first;
}

static __warm void put_some(struct mm_struct *mm, const unsigned long *dst, unsigned long n)
{
	unsigned long i = 0, pfn;

	while ((i += device_pages_unlock_put(dst + i, n - i)) < n) {
		pfn = uhmm_migrate_pfn_of(dst[i++]);
		if (pfn)
			uhmm_page_put(mm, pfn, 0);
	}
}

/* From the @i-th on, but for what is settled. */
static __warm void put_dst(struct mm_struct *mm, const struct migrate_vma *args,
			   unsigned long i)
{
	unsigned long n;

	for (i += settled(args, i); i < args->npages; i += n + settled(args, i + n)) {
		n = not_settled(args, i);
		if (mm->ops->migrate_settles)
			device_pages_went(mm, args->src + i, args->dst + i, n);
		put_some(mm, args->dst + i, n);
	}
}

__warm void migrate_vma_finalize(struct migrate_vma *args)
{
	struct mm_struct *mm = args->vma->mm;

	put_dst(mm, args, mm->ops->migrate_finish(mm, args));
}

/* ---------------------------------------------------------------- by frames */

/* One page, large or not, to be handed to the address space. */
static struct migrate_vma some_frames(unsigned long *src, unsigned long *dst,
				      unsigned long n)
{
	return (struct migrate_vma){
		.src = src,
		.dst = dst,
		.npages = n,
		.cpages = 1,
	};
}

/* Entries that the page of the first is described by, of those that are left. */
static unsigned long entries_of(unsigned long mpfn, unsigned long left)
{
	unsigned long n = 1UL << UHMM_PMD_ORDER;

	if (!(mpfn & MIGRATE_PFN_COMPOUND))
		return 1;
	return n < left ? n : left;
}

/*
 * The entry for a page that may go, which the caller has a reference to; locked
 * now. 0: it may not, and the reference is given back.
 */
static unsigned long take_page(unsigned long pfn)
{
	unsigned long mpfn = MIGRATE_PFN_MIGRATE;
	struct migrate_vma args = some_frames(&mpfn, NULL, 1);
	struct mm_struct *mm = uhmm_device_page_mm(pfn);
	unsigned int order;

	if (!mm || !can_migrate(mm) || !uhmm_device_page_trylock(pfn)) {
		uhmm_device_page_put(pfn);
		return 0;
	}
	order = uhmm_device_page_order(pfn);
	mpfn |= migrate_pfn(pfn & ~0UL << order);
	if (order)
		mpfn |= MIGRATE_PFN_COMPOUND;
	if (mm->ops->migrate_unmap)
		mm->ops->migrate_unmap(mm, &args);
	return mpfn & MIGRATE_PFN_MIGRATE ? mpfn : 0;
}

int migrate_device_pfns(unsigned long *src_pfns, unsigned long npages)
{
	unsigned long i, k, n, pfn;

	if (!src_pfns)
		return -EINVAL;
	check_might_sleep("migrate_device_pfns", CHECK_FROM);
	for (i = 0; i < npages; i += n) {
		pfn = src_pfns[i];
		n = 1;
		src_pfns[i] = 0;
		if (!uhmm_is_device_pfn(pfn) || !uhmm_device_page_get(pfn))
			continue;
		n = 1UL << uhmm_device_page_order(pfn);
		if (n > npages - i)
			n = npages - i;
		src_pfns[i] = take_page(pfn);
		for (k = 1; k < n; k++)
			src_pfns[i + k] = 0;
	}
	return 0;
}

int migrate_device_range(unsigned long *src_pfns, unsigned long start,
			 unsigned long npages)
{
	if (!src_pfns)
		return -EINVAL;
	for (unsigned long i = 0; i < npages; i++)
		src_pfns[i] = start + i;
	return migrate_device_pfns(src_pfns, npages);
}

void migrate_device_pages(unsigned long *src_pfns, unsigned long *dst_pfns,
			  unsigned long npages)
{
	struct migrate_vma args;
	struct mm_struct *mm;
	unsigned long i, n;

	for (i = 0; i < npages; i += n) {
		n = entries_of(src_pfns[i], npages - i);
		args = some_frames(src_pfns + i, dst_pfns + i, n);
		drop_without_dst(&args);
		if (!(src_pfns[i] & MIGRATE_PFN_MIGRATE))
			continue;
		mm = uhmm_device_page_mm(uhmm_migrate_pfn_of(src_pfns[i]));
		mm->ops->migrate_commit(mm, &args);
		device_pages_went(mm, args.src, args.dst, n);
	}
}

void migrate_device_finalize(unsigned long *src_pfns, unsigned long *dst_pfns,
			     unsigned long npages)
{
	struct migrate_vma args;
	struct mm_struct *mm;
	unsigned long i, n;

	for (i = 0; i < npages; i += n) {
		n = entries_of(src_pfns[i], npages - i);
		if (!src_pfns[i])
			continue;
		args = some_frames(src_pfns + i, dst_pfns + i, n);
		mm = uhmm_device_page_mm(uhmm_migrate_pfn_of(src_pfns[i]));
		/* The frame, and what it keeps, may go now. */
		mmgrab(mm);
		put_dst(mm, &args, mm->ops->migrate_finish(mm, &args));
		mmdrop(mm);
	}
}

int migrate_device_coherent_page(unsigned long pfn)
{
	unsigned long src, dst = 0, to, i;
	struct mm_struct *mm;
	unsigned int order;
	int ret = -EBUSY;

	if (!device_page_is(pfn, MEMORY_DEVICE_COHERENT))
		return -EINVAL;
	src = take_page(pfn);
	if (!src)
		return ret;
	mm = uhmm_device_page_mm(pfn);
	order = src & MIGRATE_PFN_COMPOUND ? UHMM_PMD_ORDER : 0;
	ret = uhmm_page_alloc(mm, order, &to);
	if (!ret) {
		for (i = 0; i < 1UL << order; i++)
			uhmm_page_copy(mm, to + i,
				       uhmm_migrate_pfn_of(src) + i);
		dst = migrate_pfn(to) | (src & MIGRATE_PFN_COMPOUND);
	}
	migrate_device_pages(&src, &dst, 1);
	if (!ret && !(src & MIGRATE_PFN_MIGRATE))
		ret = -EBUSY;
	migrate_device_finalize(&src, &dst, 1);
	return ret;
}
