/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Page tables as a device may use them.
 *
 * A pass looks at entries in order, table by table, and stores what it finds,
 * until one has to be faulted. That one and all behind it in its table are
 * faulted, with no entry looked at meanwhile, and the next pass begins there.
 * Each pass first makes sure that the read has not collided.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uhmm/hmm.h>

#include "check.h"

/* What a driver keeps in an entry. */
#define STICKY (HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS)

#define TABLE_SIZE (UHMM_PAGE_SIZE << UHMM_PMD_ORDER)
#define WALK_PAGES 64
#define WALK_RUNS 64

/* What a step says that is no error: look again from walk->last on. */
#define AGAIN 1
/* The same, and mmap_lock has been given back. */
#define UNLOCKED 2

/**
 * struct walk - a read under way
 * @range: what is read
 * @mm: of what
 * @vma: the area that the entries looked at are in
 * @last: where the next pass begins; entries before are stored
 * @flags: for faults: 0 or UHMM_FAULT_UNLOCK
 */
struct walk {
	struct hmm_range *range;
	struct mm_struct *mm;
	struct uhmm_vma vma;
	unsigned long last;
	unsigned int flags;
};

static unsigned long *entry_at(const struct walk *walk, unsigned long addr)
{
	return walk->range->hmm_pfns +
	       ((addr - walk->range->start) >> UHMM_PAGE_SHIFT);
}

static void store(const struct walk *walk, unsigned long addr,
		  unsigned long value)
{
	unsigned long *entry = entry_at(walk, addr);

	*entry = (*entry & STICKY) | value;
}

/* The same for all; @step is added from one to the next. */
static void fill(const struct walk *walk, unsigned long addr,
		 unsigned long end, unsigned long value, unsigned long step)
{
	for (; addr < end; addr += UHMM_PAGE_SIZE, value += step)
		store(walk, addr, value);
}

/* What a page that has @flags lacks of what is @asked for. */
static unsigned long lacks(unsigned long asked, unsigned long flags)
{
	if (!(asked & HMM_PFN_REQ_FAULT))
		return 0;
	if (asked & HMM_PFN_REQ_WRITE && !(flags & HMM_PFN_WRITE))
		return HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	return flags & HMM_PFN_VALID ? 0 : HMM_PFN_REQ_FAULT;
}

static unsigned long all_lack(const struct walk *walk, unsigned long addr,
			      unsigned long end, unsigned long flags)
{
	const struct hmm_range *range = walk->range;
	unsigned long mask = range->pfn_flags_mask, need = 0;

	/* The same is asked for everywhere. */
	if (!(mask & (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE)))
		return lacks(range->default_flags, flags);
	for (; addr < end; addr += UHMM_PAGE_SIZE)
		need |= lacks((*entry_at(walk, addr) & mask) |
				      range->default_flags, flags);
	return need;
}

/* ------------------------------------------------------------------- faults */

static int fault(struct walk *walk, unsigned long addr, unsigned long end,
		 unsigned long need)
{
	const struct uhmm_mm_ops *ops = walk->mm->ops;
	unsigned int flags = walk->flags;
	int ret = 0;

	walk->last = addr;
	if (need & HMM_PFN_REQ_WRITE) {
		if (!(walk->vma.flags & UHMM_VM_WRITE))
			return -EPERM;
		flags |= UHMM_FAULT_WRITE;
	}
	if (!ops->fault)
		return -EOPNOTSUPP;
	if (ops->populate && end - addr > UHMM_PAGE_SIZE)
		ret = ops->populate(walk->mm, addr, end, flags);
	else
		for (; addr < end && !ret; addr += UHMM_PAGE_SIZE)
			ret = ops->fault(walk->mm, addr, flags);
	if (ret == -EAGAIN && flags & UHMM_FAULT_UNLOCK)
		return UNLOCKED;
	return ret ? ret : AGAIN;
}

/* It is on its way: wait, then look again. */
static int wait_for_migration(struct walk *walk, unsigned long addr)
{
	return fault(walk, addr, addr + UHMM_PAGE_SIZE, HMM_PFN_REQ_FAULT);
}

/* ------------------------------------------------------------------ entries */

/* An entry as a device sees it; 0: nothing, or not without a fault. */
static unsigned long value_of(const struct walk *walk,
			      const struct uhmm_pte *pte)
{
	unsigned long value = HMM_PFN_VALID |
			      (unsigned long)pte->order << HMM_PFN_ORDER_SHIFT;

	if (pte->write)
		value |= HMM_PFN_WRITE;
	switch (pte->state) {
	case UHMM_PTE_PRESENT:
	case UHMM_PTE_SPECIAL:
		return value | pte->pfn;
	case UHMM_PTE_ZERO:
		return (value & ~HMM_PFN_WRITE) |
		       (pte->pfn ? pte->pfn : UHMM_ZERO_PFN);
	case UHMM_PTE_DEVICE_PRIVATE:
		return pte->owner == walk->range->dev_private_owner ?
		       value | pte->pfn : 0;
	default:
		return 0;
	}
}

/* Of [addr, end), which @pte is the entry of, or the first page's of many. */
static int handle(struct walk *walk, unsigned long addr, unsigned long end,
		  unsigned long fault_end, const struct uhmm_pte *pte)
{
	unsigned long value = value_of(walk, pte), need;

	/* One's own memory is where it should be, whatever its entry allows. */
	if (pte->state == UHMM_PTE_DEVICE_PRIVATE && value)
		goto out_fill;
	need = all_lack(walk, addr, end, value);
	if (need && pte->state == UHMM_PTE_MIGRATION)
		return wait_for_migration(walk, addr);
	if (need && pte->state == UHMM_PTE_POISON)
		return -EFAULT;
	if (need)
		return fault(walk, addr, fault_end, need);
	if (pte->state == UHMM_PTE_SPECIAL) {
		if (all_lack(walk, addr, end, 0))
			return -EFAULT;
		value = HMM_PFN_ERROR;
	}
	if (pte->state == UHMM_PTE_POISON && pte->order >= UHMM_PMD_ORDER)
		value = HMM_PFN_ERROR;
out_fill:
	/* There is one page of zeroes, and as many as are asked for of others. */
	fill(walk, addr, end, value, value & HMM_PFN_VALID &&
	     uhmm_hmm_pfn_of(value) != UHMM_ZERO_PFN ? 1 : 0);
	return 0;
}

/* Many at once, from *@addr on, which moves. -EOPNOTSUPP: not here. */
static int read_runs(struct walk *walk, unsigned long *addr, unsigned long end)
{
	struct uhmm_run runs[WALK_RUNS], *run = runs;
	/* Where each page may be asked for in its own way. */
	bool each = walk->range->pfn_flags_mask;
	unsigned long run_end, next;
	size_t n = WALK_RUNS;
	int ret;

	if (!walk->mm->ops->walk_runs)
		return -EOPNOTSUPP;
	ret = walk->mm->ops->walk_runs(walk->mm, *addr, end, &walk->vma, &n,
				       runs);
	for (; !ret && run < runs + n; run++) {
		run_end = *addr + (run->npages << UHMM_PAGE_SHIFT);
		for (; *addr < run_end; *addr = next, run->pte.pfn++) {
			next = each ? *addr + UHMM_PAGE_SIZE : run_end;
			ret = handle(walk, *addr, next, end, &run->pte);
			if (ret)
				return ret;
		}
	}
	return ret;
}

/* [addr, end) is in one table. */
static int read_table(struct walk *walk, unsigned long addr, unsigned long end)
{
	struct uhmm_pte ptes[WALK_PAGES];
	size_t npages, i;
	int ret = 0;

	while (addr < end && !ret)
		ret = read_runs(walk, &addr, end);
	if (ret != -EOPNOTSUPP)
		return ret;
	while (addr < end) {
		npages = (end - addr) >> UHMM_PAGE_SHIFT;
		if (npages > WALK_PAGES)
			npages = WALK_PAGES;
		ret = uhmm_mm_walk(walk->mm, addr, &npages, ptes);
		if (ret)
			return ret;
		if (ptes[0].order >= UHMM_PMD_ORDER)
			return handle(walk, addr, end, end, ptes);
		for (i = 0; i < npages; i++, addr += UHMM_PAGE_SIZE) {
			ret = handle(walk, addr, addr + UHMM_PAGE_SIZE, end,
				     ptes + i);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------- passes */

/* Nothing can ever be read in [addr, end). */
static int read_nothing(struct walk *walk, unsigned long addr,
			unsigned long end)
{
	if (all_lack(walk, addr, end, 0))
		return -EFAULT;
	fill(walk, addr, end, HMM_PFN_ERROR, 0);
	return 0;
}

static unsigned long lesser(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

/* One area, or what is between two; returns where it ends. */
static int read_area(struct walk *walk, unsigned long addr,
		     unsigned long *ret_end)
{
	unsigned long end = walk->range->end, next;
	struct uhmm_vma *vma = &walk->vma;
	int ret;

	ret = uhmm_mm_find_vma(walk->mm, addr, vma);
	if (ret && ret != -ENOENT)
		return ret;
	if (ret || vma->start > addr) {
		*ret_end = ret ? end : lesser(vma->start, end);
		return read_nothing(walk, addr, *ret_end);
	}
	*ret_end = end = lesser(vma->end, end);
	if (vma->flags & UHMM_VM_SPECIAL || !(vma->flags & UHMM_VM_READ))
		return read_nothing(walk, addr, end);
	for (ret = 0; addr < end && !ret; addr = next) {
		next = lesser((addr | (TABLE_SIZE - 1)) + 1, end);
		ret = read_table(walk, addr, next);
	}
	return ret;
}

static int read_pass(struct walk *walk)
{
	unsigned long addr = walk->last;
	int ret = 0;

	while (addr < walk->range->end && !ret)
		ret = read_area(walk, addr, &addr);
	return ret;
}

static bool readable(const struct hmm_range *range, const void *from)
{
	struct mmu_interval_notifier *sub = range ? range->notifier : NULL;

	if (!sub || !sub->mm || !range->hmm_pfns ||
	    (range->start | range->end) & (UHMM_PAGE_SIZE - 1) ||
	    range->start >= range->end)
		return false;
	if (mm_checked(sub->mm))
		return check_range(sub, range->start, range->end, from);
	return range->start >= sub->interval_tree.start &&
	       range->end - 1 <= sub->interval_tree.last;
}

static int range_fault(struct hmm_range *range, unsigned int flags)
{
	struct walk walk = {
		.range = range,
		.mm = range->notifier->mm,
		.last = range->start,
		.flags = flags,
	};
	int ret;

	do {
		if (mmu_interval_check_retry(range->notifier,
					     range->notifier_seq))
			return -EBUSY;
		ret = read_pass(&walk);
	} while (ret == AGAIN);
	return ret;
}

int hmm_range_fault(struct hmm_range *range)
{
	if (!readable(range, CHECK_FROM))
		return -EINVAL;
	check_might_sleep("hmm_range_fault", CHECK_FROM);
	mmap_assert_locked(range->notifier->mm);
	return range_fault(range, 0);
}

/* ----------------------------------------------------- with a time to end */

/* 0; UNLOCKED; -EBUSY: collided, or the time is over; others. */
static int attempt(struct hmm_range *range, int64_t left)
{
	struct mm_struct *mm = range->notifier->mm;
	int ret;

	ret = uhmm_interval_read_begin_timeout(range->notifier, left,
					       &range->notifier_seq);
	if (ret)
		return ret == -ETIMEDOUT ? -EBUSY : ret;
	mmap_read_lock(mm);
	ret = mm_alive(mm) ? range_fault(range, UHMM_FAULT_UNLOCK) : -EFAULT;
	if (ret != UNLOCKED)
		mmap_read_unlock(mm);
	return ret;
}

static int attempts(struct hmm_range *range, unsigned long timeout,
		    const unsigned long *asked)
{
	size_t size = ((range->end - range->start) >> UHMM_PAGE_SHIFT) *
		      sizeof(*asked);
	int64_t begin = ktime_get_ns(), left;
	int ret;

	for (;;) {
		left = timeout ? (int64_t)timeout - (ktime_get_ns() - begin) : -1;
		if (timeout && left < 0)
			left = 0;
		ret = attempt(range, left);
		if (ret == UNLOCKED)
			begin = ktime_get_ns();
		else if (ret != -EBUSY || (timeout && left == 0))
			return ret;
		if (asked)
			memcpy(range->hmm_pfns, asked, size);
	}
}

int hmm_range_fault_unlocked_timeout(struct hmm_range *range,
				     unsigned long timeout)
{
	unsigned long *asked = NULL;
	size_t size;
	int ret;

	if (!readable(range, CHECK_FROM) || timeout > INT64_MAX)
		return -EINVAL;
	check_might_sleep("hmm_range_fault_unlocked_timeout", CHECK_FROM);
	if (range->pfn_flags_mask) {
		/* A result looks like a question: ask the same again. */
		size = ((range->end - range->start) >> UHMM_PAGE_SHIFT) *
		       sizeof(*asked);
		asked = malloc(size);
		if (!asked)
			return -ENOMEM;
		memcpy(asked, range->hmm_pfns, size);
	}
	ret = attempts(range, timeout, asked);
	free(asked);
	return ret;
}
