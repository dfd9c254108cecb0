/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Reading page tables on behalf of a device, faulting what is not there.
 *
 *	range = { .notifier = &sub, .start, .end, .hmm_pfns = pfns,
 *		  .default_flags = HMM_PFN_REQ_FAULT };
 *	again:
 *		range.notifier_seq = mmu_interval_read_begin(&sub);
 *		mmap_read_lock(mm);
 *		ret = hmm_range_fault(&range);
 *		mmap_read_unlock(mm);
 *		if (ret == -EBUSY)
 *			goto again;
 *		take user_lock
 *		if (mmu_interval_read_retry(&sub, range.notifier_seq))
 *			drop user_lock, goto again
 *		  ... install what pfns say ...
 *		drop user_lock
 *
 * What a page asks for is ((pfns[i] & pfn_flags_mask) | default_flags):
 * HMM_PFN_REQ_FAULT, HMM_PFN_REQ_WRITE with it, or neither: then it is only
 * looked at. What is found replaces it: 0, nothing a device could use;
 * HMM_PFN_VALID with the frame, HMM_PFN_WRITE if it may be written;
 * HMM_PFN_ERROR: there never will be anything. No page is kept by that: frames
 * mean something under user_lock, after a retry that was false.
 */
#ifndef UHMM_HMM_H
#define UHMM_HMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HMM_PFN_VALID		(1UL << 63)
#define HMM_PFN_WRITE		(1UL << 62)
#define HMM_PFN_ERROR		(1UL << 61)
/* Kept by hmm_range_fault(): what the driver has done with the frame. */
#define HMM_PFN_DMA_MAPPED	(1UL << 60)
#define HMM_PFN_P2PDMA		(1UL << 59)
#define HMM_PFN_P2PDMA_BUS	(1UL << 58)
#define HMM_PFN_ORDER_SHIFT	53
#define HMM_PFN_REQ_FAULT	HMM_PFN_VALID
#define HMM_PFN_REQ_WRITE	HMM_PFN_WRITE
#define HMM_PFN_FLAGS		(~0UL << HMM_PFN_ORDER_SHIFT)

/**
 * hmm_pfn_to_map_order() - how large is the mapping that a page is in?
 * @hmm_pfn: an entry of &hmm_range.hmm_pfns
 *
 * Context: any.
 * Return: it has 2^this pages, aligned; they may go beyond the range.
 */
static inline unsigned int hmm_pfn_to_map_order(unsigned long hmm_pfn)
{
	return (hmm_pfn >> HMM_PFN_ORDER_SHIFT) & 0x1f;
}

/**
 * uhmm_hmm_pfn_of() - the frame in an entry
 * @hmm_pfn: an entry of &hmm_range.hmm_pfns with HMM_PFN_VALID
 *
 * Context: any.
 * Return: its number.
 */
static inline unsigned long uhmm_hmm_pfn_of(unsigned long hmm_pfn)
{
	return hmm_pfn & ~HMM_PFN_FLAGS;
}

/**
 * struct hmm_range - what to read
 * @notifier: a subscription that covers the range; its address space is read
 * @notifier_seq: from mmu_interval_read_begin()
 * @start: first page
 * @end: first byte behind
 * @hmm_pfns: one for each page: what is asked for, and what is found
 * @default_flags: what all pages ask for
 * @pfn_flags_mask: which bits of @hmm_pfns count as asked for
 * @dev_private_owner: whose device-private memory is reported; a fault brings
 *	home that of others
 */
struct hmm_range {
	struct mmu_interval_notifier *notifier;
	unsigned long notifier_seq;
	unsigned long start;
	unsigned long end;
	unsigned long *hmm_pfns;
	unsigned long default_flags;
	unsigned long pfn_flags_mask;
	void *dev_private_owner;
};

/**
 * hmm_range_fault() - read page tables, and fault what is asked for
 * @range: what
 *
 * An entry that has to be faulted takes the ones behind it along, up to the
 * end of its area, of its table of 2 MiB or of the range. One's own
 * device-private memory is never faulted because of itself, not even to be
 * written where its entry is read-only: look at HMM_PFN_WRITE.
 * On an error pages before the one that failed are present; of @hmm_pfns the
 * first ones may be results and the others still what was asked for.
 *
 * Context: may sleep; mmap_lock held, for reading if anything is asked for.
 * Return: 0; -EBUSY: the read has collided: begin it again; -EFAULT: a page
 * was asked for where there is none, or that cannot be read; -EPERM: one was
 * asked for to be written that cannot be; -ENOMEM; -EHWPOISON; -EINTR;
 * -EINVAL: a NULL pointer, @start or @end is not a page's, the range is empty
 * or not in @notifier; -EOPNOTSUPP: the address space has no page tables to
 * look at.
 */
int hmm_range_fault(struct hmm_range *range);

/**
 * hmm_range_fault_unlocked_timeout() - the same, from read_begin on
 * @range: what; @notifier_seq is returned
 * @timeout: for how long to begin again after collisions, in nanoseconds; 0:
 *	for ever. Progress begins it anew: a fault that had to give mmap_lock
 *	back.
 *
 * Takes mmap_lock itself, and gives it back where a fault has to wait for
 * somebody else. The caller still has to look at mmu_interval_read_retry().
 *
 * Context: may sleep; mmap_lock not held.
 * Return: as hmm_range_fault(); -EBUSY: the time is over; -EINTR: a signal
 * handler ran.
 */
int hmm_range_fault_unlocked_timeout(struct hmm_range *range,
				     unsigned long timeout);

#ifdef __cplusplus
}
#endif
#endif
