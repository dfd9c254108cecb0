/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A device's addresses for the frames of a range, and that they are mapped. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#include <uhmm/hmm.h>

#define MAPPED (HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS)

static bool complete(const struct uhmm_dma_ops *ops)
{
	return ops && ops->map &&
	       (!ops->reserve || (ops->release && ops->link && ops->unlink));
}

int hmm_dma_map_alloc(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
		      size_t nr_entries, size_t dma_entry_size)
{
	if (!dev || !map || !complete(dev->ops) || !nr_entries ||
	    nr_entries > SIZE_MAX / UHMM_PAGE_SIZE || !dma_entry_size ||
	    dma_entry_size > UHMM_PAGE_SIZE)
		return -EINVAL;
	if (dev->bounces)
		return -EOPNOTSUPP;
	*map = (struct hmm_dma_map){
		.pfn_list = calloc(nr_entries, sizeof(*map->pfn_list)),
		.nr_entries = nr_entries,
		.dma_entry_size = dma_entry_size,
	};
	if (!map->pfn_list)
		return -ENOMEM;
	if (dev->ops->reserve)
		map->iova = dev->ops->reserve(dev, nr_entries * dma_entry_size);
	if (map->iova || !dev->ops->unmap)
		return 0;
	map->dma_list = calloc(nr_entries, sizeof(*map->dma_list));
	if (map->dma_list)
		return 0;
	free(map->pfn_list);
	return -ENOMEM;
}

void hmm_dma_map_free(struct uhmm_dma_device *dev, struct hmm_dma_map *map)
{
	if (map->iova)
		dev->ops->release(dev, map->iova,
				  map->nr_entries * map->dma_entry_size);
	free(map->dma_list);
	free(map->pfn_list);
	*map = (struct hmm_dma_map){ 0 };
}

/* Through the IOMMU; where it is mapped already, without asking it again. */
static uint64_t map_memory(struct uhmm_dma_device *dev,
			   const struct hmm_dma_map *map, size_t idx)
{
	unsigned long entry = map->pfn_list[idx];
	unsigned long pfn = uhmm_hmm_pfn_of(entry);
	bool mapped = entry & HMM_PFN_DMA_MAPPED &&
		      !(entry & HMM_PFN_P2PDMA_BUS);
	size_t size = map->dma_entry_size;
	uint64_t addr = map->iova + idx * size;

	if (map->iova)
		return mapped || !dev->ops->link(dev, addr, pfn, size) ?
			       addr : DMA_MAPPING_ERROR;
	if (mapped && map->dma_list)
		return map->dma_list[idx];
	addr = dev->ops->map(dev, pfn, size);
	if (map->dma_list)
		map->dma_list[idx] = addr;
	return addr;
}

uint64_t hmm_dma_map_pfn(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
			 size_t idx, enum uhmm_p2pdma *ret_p2pdma)
{
	unsigned long *entry = &map->pfn_list[idx], flags = HMM_PFN_DMA_MAPPED;
	uint64_t addr = DMA_MAPPING_ERROR, bus = DMA_MAPPING_ERROR;
	enum uhmm_p2pdma how = UHMM_P2PDMA_NONE;

	if (!(*entry & HMM_PFN_VALID))
		return DMA_MAPPING_ERROR;
	if (dev->ops->p2pdma)
		how = dev->ops->p2pdma(dev, uhmm_hmm_pfn_of(*entry), &bus);
	if (how == UHMM_P2PDMA_BUS) {
		addr = bus;
		flags |= HMM_PFN_P2PDMA_BUS;
	} else if (how != UHMM_P2PDMA_REFUSED) {
		addr = map_memory(dev, map, idx);
		flags |= how == UHMM_P2PDMA_HOST_BRIDGE ? HMM_PFN_P2PDMA : 0;
	}
	*entry &= ~MAPPED;
	if (addr != DMA_MAPPING_ERROR)
		*entry |= flags;
	if (ret_p2pdma)
		*ret_p2pdma = how;
	return addr;
}

bool hmm_dma_unmap_pfn(struct uhmm_dma_device *dev, struct hmm_dma_map *map,
		       size_t idx)
{
	const unsigned long both = HMM_PFN_VALID | HMM_PFN_DMA_MAPPED;
	unsigned long *entry = &map->pfn_list[idx];
	size_t size = map->dma_entry_size;

	if ((*entry & both) != both)
		return false;
	if (!(*entry & HMM_PFN_P2PDMA_BUS) && map->iova)
		dev->ops->unlink(dev, map->iova + idx * size, size);
	else if (!(*entry & HMM_PFN_P2PDMA_BUS) && dev->ops->unmap)
		dev->ops->unmap(dev, map->dma_list[idx], size);
	*entry &= ~MAPPED;
	return true;
}
