/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* HMM_DMIRROR_SNAPSHOT: what could a device do with these pages now? */
#include "dmirror.h"

#include <uhmm/mm_ops.h>

struct look {
	struct mmu_interval_notifier sub;
	struct uhmm_dmirror *dmirror;
};

static bool look_invalidate(struct mmu_interval_notifier *sub,
			    const struct mmu_notifier_range *range,
			    unsigned long cur_seq)
{
	struct uhmm_dmirror *dmirror = ((struct look *)sub)->dmirror;

	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&dmirror->lock);
	else if (pthread_mutex_trylock(&dmirror->lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&dmirror->lock);
	return true;
}

static const struct mmu_interval_notifier_ops look_ops = {
	.invalidate = look_invalidate,
};

static unsigned char kind_of(const struct uhmm_dmirror_device *device,
			     unsigned long pfn)
{
	struct dev_pagemap *pgmap = get_dev_pagemap(pfn);
	bool local = pgmap && pgmap->owner == device;
	bool private = pgmap && pgmap->type == MEMORY_DEVICE_PRIVATE;

	put_dev_pagemap(pgmap);
	if (private)
		return local ? HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL :
			       HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE;
	return local ? HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL :
		       HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE;
}

static unsigned char prot_of(const struct uhmm_dmirror_device *device,
			     unsigned long entry, const struct uhmm_pte *pte)
{
	unsigned int order = hmm_pfn_to_map_order(entry);
	unsigned long pfn = uhmm_hmm_pfn_of(entry);
	unsigned char prot = HMM_DMIRROR_PROT_NONE;

	if (entry & HMM_PFN_ERROR)
		return HMM_DMIRROR_PROT_ERROR;
	if (!(entry & HMM_PFN_VALID))
		return HMM_DMIRROR_PROT_NONE;
	if (uhmm_is_device_pfn(pfn))
		prot = kind_of(device, pfn);
	else if (!order && (pfn == UHMM_ZERO_PFN ||
			    pte->state == UHMM_PTE_ZERO))
		prot = HMM_DMIRROR_PROT_ZERO;
	prot |= entry & HMM_PFN_WRITE ? HMM_DMIRROR_PROT_WRITE :
					HMM_DMIRROR_PROT_READ;
	if (order == UHMM_PMD_ORDER)
		prot |= HMM_DMIRROR_PROT_PMD;
	else if (order == 2 * UHMM_PMD_ORDER)
		prot |= HMM_DMIRROR_PROT_PUD;
	return prot;
}

/* By their state: their frame's number may be that of an ordinary page. */
static void find_zeroes(struct uhmm_dmirror *dmirror, unsigned long addr,
			size_t npages, struct uhmm_pte *ptes)
{
	size_t n;

	memset(ptes, 0, npages * sizeof(*ptes));
	mmap_read_lock(dmirror->mm);
	/* The page behind what was found is in no area. */
	for (; npages; npages -= n, ptes += n, addr += n << UHMM_PAGE_SHIFT) {
		n = npages;
		if (uhmm_mm_walk(dmirror->mm, addr, &n, ptes))
			n = n < npages ? n + 1 : npages;
	}
	mmap_read_unlock(dmirror->mm);
}

static int look_at(struct uhmm_dmirror *dmirror, unsigned long start,
		   unsigned long end, unsigned char *prots)
{
	struct look look = { .dmirror = dmirror };
	unsigned long pfns[MOST_PAGES] = { 0 }, i;
	struct uhmm_pte ptes[MOST_PAGES];
	struct hmm_range range = {
		.notifier = &look.sub,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.dev_private_owner = dmirror->device,
	};
	int ret;

	ret = mmu_interval_notifier_insert(&look.sub, dmirror->mm, start,
					   end - start, &look_ops);
	if (ret)
		return ret;
	find_zeroes(dmirror, start, (end - start) >> UHMM_PAGE_SHIFT, ptes);
	ret = dmirror_read_locked(dmirror, &range, false);
	if (!ret) {
		for (i = 0; i < (end - start) >> UHMM_PAGE_SHIFT; i++)
			prots[i] = prot_of(dmirror->device, pfns[i], &ptes[i]);
		pthread_mutex_unlock(&dmirror->lock);
	}
	mmu_interval_notifier_remove(&look.sub);
	return ret;
}

int dmirror_snapshot(struct uhmm_dmirror *dmirror, struct hmm_dmirror_cmd *cmd)
{
	unsigned long addr = cmd->addr, next;
	unsigned long end = addr + (cmd->npages << UHMM_PAGE_SHIFT);
	unsigned char prots[MOST_PAGES];
	int ret = 0;

	if (!mmget_not_zero(dmirror->mm))
		return -EINVAL;
	for (; addr < end && !ret; addr = next) {
		next = dmirror_batch_end(dmirror, addr, end);
		ret = look_at(dmirror, addr, next, prots);
		if (ret)
			break;
		ret = dmirror_copy(dmirror, (unsigned char *)(uintptr_t)cmd->ptr +
			   cmd->cpages, prots, (next - addr) >> UHMM_PAGE_SHIFT);
		cmd->cpages += (next - addr) >> UHMM_PAGE_SHIFT;
	}
	mmput(dmirror->mm);
	return ret;
}
