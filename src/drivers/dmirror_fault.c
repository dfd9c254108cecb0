/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The device faults: the loop of all drivers, read_begin, fault, lock, retry. */
#include "dmirror.h"

#include <time.h>

#define PATIENCE_NS INT64_C(1000000000)

unsigned long dmirror_batch_end(const struct uhmm_dmirror *dmirror,
				unsigned long addr, unsigned long end)
{
	unsigned long n = dmirror->device->how.newest ? MOST_PAGES / 2 :
							MOST_PAGES;

	return lesser(addr + (n << UHMM_PAGE_SHIFT), end);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int dmirror_read_locked(struct uhmm_dmirror *dmirror, struct hmm_range *range,
			bool unlocked)
{
	int64_t deadline = now_ns() + PATIENCE_NS;
	struct mmu_interval_notifier *sub = range->notifier;
	int ret;

	while (now_ns() < deadline) {
		if (unlocked) {
			ret = hmm_range_fault_unlocked_timeout(range, 0);
		} else {
			range->notifier_seq = mmu_interval_read_begin(sub);
			mmap_read_lock(dmirror->mm);
			ret = hmm_range_fault(range);
			mmap_read_unlock(dmirror->mm);
		}
		if (ret == -EBUSY)
			continue;
		if (ret)
			return ret;
		pthread_mutex_lock(&dmirror->lock);
		if (!mmu_interval_read_retry(sub, range->notifier_seq))
			return 0;
		pthread_mutex_unlock(&dmirror->lock);
	}
	return -EBUSY;
}

/*
 * -EFAULT also if a page of ours may not be written by us: it stays so until a
 * CPU has touched it.
 */
static int store(struct uhmm_dmirror *dmirror, const struct hmm_range *range,
		 bool write)
{
	const unsigned long *pfn = range->hmm_pfns;
	unsigned long addr = range->start;

	for (; addr < range->end; addr += UHMM_PAGE_SIZE, pfn++) {
		if (!(*pfn & HMM_PFN_VALID) ||
		    (write && !(*pfn & HMM_PFN_WRITE)))
			return -EFAULT;
		dmirror_set(dmirror, addr,
			    entry_of(uhmm_hmm_pfn_of(*pfn),
				     *pfn & HMM_PFN_WRITE ?
					     UHMM_DMIRROR_PT_WRITE :
					     UHMM_DMIRROR_PT_READ));
	}
	return 0;
}

int dmirror_fault(struct uhmm_dmirror *dmirror, unsigned long start,
		  unsigned long end, bool write, bool unlocked)
{
	unsigned long pfns[MOST_PAGES];
	struct hmm_range range = {
		.notifier = &dmirror->sub,
		.hmm_pfns = pfns,
		.default_flags = HMM_PFN_REQ_FAULT |
				 (write ? HMM_PFN_REQ_WRITE : 0),
		.dev_private_owner = dmirror->device,
	};
	int ret = 0;

	if (!mmget_not_zero(dmirror->mm))
		return -EFAULT;
	for (; start < end && !ret; start = range.end) {
		range.start = start;
		range.end = dmirror_batch_end(dmirror, start, end);
		ret = dmirror_prepare(dmirror, start, range.end);
		if (!ret)
			ret = dmirror_read_locked(dmirror, &range, unlocked);
		if (ret)
			break;
		ret = store(dmirror, &range, write);
		pthread_mutex_unlock(&dmirror->lock);
	}
	mmput(dmirror->mm);
	return ret;
}
