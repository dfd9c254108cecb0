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
 * hmm_range_fault_unlocked_timeout() - read and fault, from read_begin on
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
 * handler ran; -EFAULT also: the address space has ended; -EINVAL also: @timeout
 * is more than INT64_MAX.
 */
int hmm_range_fault_unlocked_timeout(struct hmm_range *range,
				     unsigned long timeout);

/* ------------------------------------------------------ a device's addresses
 * A device that has an IOMMU reaches a frame by an address of its own. The
 * frames found by hmm_range_fault() are mapped there one by one, and that they
 * are is kept in their entries, which hmm_range_fault() leaves: what is mapped
 * already is not mapped again when it is read again, and no second table is
 * needed. So &hmm_range.hmm_pfns is &hmm_dma_map.pfn_list, or a part of it:
 *
 *	under user_lock, after a retry that was false:
 *		addr = hmm_dma_map_pfn(dev, &map, i, &p2p);
 *	in the callback, under user_lock, for what is invalidated:
 *		hmm_dma_unmap_pfn(dev, &map, i);
 */

#define DMA_MAPPING_ERROR	UINT64_MAX

/**
 * enum uhmm_p2pdma - how a device reaches a frame
 * @UHMM_P2PDMA_NONE: as memory
 * @UHMM_P2PDMA_HOST_BRIDGE: as memory, though it is another device's
 * @UHMM_P2PDMA_BUS: over the bus, past the IOMMU: nothing is mapped
 * @UHMM_P2PDMA_REFUSED: not at all
 */
enum uhmm_p2pdma {
	UHMM_P2PDMA_NONE,
	UHMM_P2PDMA_HOST_BRIDGE,
	UHMM_P2PDMA_BUS,
	UHMM_P2PDMA_REFUSED
};

struct uhmm_dma_device;

/**
 * struct uhmm_dma_ops - what a device's IOMMU can do
 * @map: make a frame reachable; its address there, or DMA_MAPPING_ERROR
 * @unmap: the end of that. Optional: NULL if there is nothing to undo, and no
 *	address is kept
 * @reserve: addresses for @size bytes side by side, of which nothing is mapped
 *	yet; 0: there are none, and single ones will do. Optional, with the next
 *	three
 * @release: the end of that
 * @link: make a frame reachable at an address that was reserved. 0; -errno
 * @unlink: the end of that
 * @p2pdma: how a frame is reached; for UHMM_P2PDMA_BUS also *@ret_addr, where.
 *	Optional: NULL: all as memory
 *
 * @size is that of the frame, or of all that is reserved. They are called with
 * user_lock held, but for @reserve and @release, and must not wait for whoever
 * invalidates.
 */
struct uhmm_dma_ops {
	uint64_t (*map)(struct uhmm_dma_device *dev, unsigned long pfn,
			size_t size);
	void (*unmap)(struct uhmm_dma_device *dev, uint64_t addr, size_t size);
	uint64_t (*reserve)(struct uhmm_dma_device *dev, size_t size);
	void (*release)(struct uhmm_dma_device *dev, uint64_t addr,
			size_t size);
	int (*link)(struct uhmm_dma_device *dev, uint64_t addr,
		    unsigned long pfn, size_t size);
	void (*unlink)(struct uhmm_dma_device *dev, uint64_t addr, size_t size);
	enum uhmm_p2pdma (*p2pdma)(struct uhmm_dma_device *dev,
				   unsigned long pfn, uint64_t *ret_addr);
};

/**
 * struct uhmm_dma_device - a device; Linux's struct device
 * @ops: what it can do
 * @bounces: it is given copies of pages: it cannot mirror any
 */
struct uhmm_dma_device {
	const struct uhmm_dma_ops *ops;
	bool bounces;
};

/**
 * struct hmm_dma_map - where a device finds the pages of a range
 * @pfn_list: for &hmm_range.hmm_pfns, one for each page
 * @dma_list: their addresses; NULL: they are side by side, or not kept
 * @iova: first address of those side by side; 0: they are not
 * @nr_entries: how many of @pfn_list
 * @dma_entry_size: how much of a page is mapped
 */
struct hmm_dma_map {
	unsigned long *pfn_list;
	uint64_t *dma_list;
	uint64_t iova;
	size_t nr_entries;
	size_t dma_entry_size;
};

/**
 * hmm_dma_map_alloc() - prepare a device's addresses for a range
 * @dev: the device
 * @map: returns them; nothing is mapped yet
 * @nr_entries: how many pages
 * @dma_entry_size: bytes of each that are mapped, from its first on
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a NULL pointer, no pages, an entry that is empty or
 * larger than a page, a table that lacks what it needs; -EOPNOTSUPP: @dev
 * bounces; -ENOMEM.
 */
int hmm_dma_map_alloc(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
		      size_t nr_entries, size_t dma_entry_size);

/**
 * hmm_dma_map_free() - the end of hmm_dma_map_alloc()
 * @dev: the device
 * @map: all of it is unmapped by now
 *
 * Context: may sleep.
 */
void hmm_dma_map_free(struct uhmm_dma_device *dev, struct hmm_dma_map *map);

/**
 * hmm_dma_map_pfn() - make a page reachable
 * @dev: the device
 * @map: of which range
 * @idx: which page of it: its entry is what hmm_range_fault() found
 * @ret_p2pdma: returns how it is reached; NULL: not wanted
 *
 * What is mapped is not mapped again: HMM_PFN_DMA_MAPPED in the entry says so.
 * HMM_PFN_P2PDMA and HMM_PFN_P2PDMA_BUS tell of another device's memory.
 *
 * Context: under user_lock, after a retry that was false.
 * Return: its address; DMA_MAPPING_ERROR: there is no page, or it cannot be
 * reached, and its entry has none of these flags.
 */
uint64_t hmm_dma_map_pfn(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
			 size_t idx, enum uhmm_p2pdma *ret_p2pdma);

/**
 * hmm_dma_unmap_pfn() - a page is not to be reached any more
 * @dev: the device
 * @map: of which range
 * @idx: which page of it
 *
 * Context: under user_lock.
 * Return: true if it was mapped; HMM_PFN_DMA_MAPPED and what goes with it is
 * taken out of its entry then.
 */
bool hmm_dma_unmap_pfn(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
		       size_t idx);

#ifdef __cplusplus
}
#endif
#endif
