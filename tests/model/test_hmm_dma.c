/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A device's addresses for pages of the model, by an IOMMU that counts what is
 * mapped. Its driver unmaps what is invalidated, and nothing else is undone.
 */
#include "model_util.h"

#include <errno.h>
#include <pthread.h>

#include <uhmm/hmm.h>

#define N 4
#define ADDR(slot) (0x700000000000UL + LEN(slot))
#define IOVA 0x100000UL

/* What the IOMMU has: frames, by address. */
static struct {
	unsigned long frames[64];
	unsigned int calls;
	bool fails;
	bool reserves;
	enum uhmm_p2pdma how;
} iommu;

static unsigned int mapped(void)
{
	unsigned int n = 0;

	for (int i = 0; i < 64; i++)
		n += iommu.frames[i] != 0;
	return n;
}

static uint64_t map_one(struct uhmm_dma_device *dev, unsigned long pfn,
			size_t size)
{
	int slot = 0;

	assert_int_equal(size, 4096);
	iommu.calls++;
	if (iommu.fails)
		return DMA_MAPPING_ERROR;
	while (iommu.frames[slot])
		slot++;
	iommu.frames[slot] = pfn;
	return ADDR(slot);
}

static void unmap_one(struct uhmm_dma_device *dev, uint64_t addr, size_t size)
{
	int slot = (int)((addr - ADDR(0)) / size);

	iommu.calls++;
	assert_true(iommu.frames[slot]);
	iommu.frames[slot] = 0;
}

static uint64_t reserve(struct uhmm_dma_device *dev, size_t size)
{
	assert_int_equal(size, LEN(N));
	return iommu.reserves ? IOVA : 0;
}

static void release(struct uhmm_dma_device *dev, uint64_t addr, size_t size)
{
	assert_int_equal(addr, IOVA);
	assert_int_equal(size, LEN(N));
	iommu.reserves = false;
}

static int link_one(struct uhmm_dma_device *dev, uint64_t addr,
		    unsigned long pfn, size_t size)
{
	iommu.calls++;
	if (iommu.fails)
		return -ENOMEM;
	iommu.frames[(addr - IOVA) / size] = pfn;
	return 0;
}

static void unlink_one(struct uhmm_dma_device *dev, uint64_t addr, size_t size)
{
	unmap_one(dev, addr - IOVA + ADDR(0), size);
}

static enum uhmm_p2pdma reached(struct uhmm_dma_device *dev, unsigned long pfn,
				uint64_t *ret_addr)
{
	*ret_addr = 0xb05;
	return iommu.how;
}

static struct uhmm_dma_ops dma_ops;
static struct uhmm_dma_device device = { .ops = &dma_ops };

/* ---------------------------------------------------------------- the driver */

static struct hmm_dma_map map;
static struct mmu_interval_notifier sub;
static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;

static bool invalidate(struct mmu_interval_notifier *it,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	pthread_mutex_lock(&user_lock);
	mmu_interval_set_seq(it, cur_seq);
	for (unsigned long i = 0; i < N; i++)
		if (range->start < PG(i + 1) && range->end > PG(i))
			hmm_dma_unmap_pfn(&device, &map, i);
	pthread_mutex_unlock(&user_lock);
	return true;
}

static const struct mmu_interval_notifier_ops sub_ops = {
	.invalidate = invalidate,
};

static void fault(unsigned long flags)
{
	struct hmm_range range = {
		.notifier = &sub,
		.start = PG(0),
		.end = PG(N),
		.hmm_pfns = map.pfn_list,
		.default_flags = flags,
	};

	range.notifier_seq = mmu_interval_read_begin(&sub);
	mmap_read_lock(mm);
	assert_int_equal(hmm_range_fault(&range), 0);
	mmap_read_unlock(mm);
	assert_false(mmu_interval_read_retry(&sub, range.notifier_seq));
}

static uint64_t map_at(size_t i)
{
	return hmm_dma_map_pfn(&device, &map, i, NULL);
}

static void map_all(void)
{
	for (size_t i = 0; i < N; i++)
		assert_int_not_equal(map_at(i), DMA_MAPPING_ERROR);
}

static int begin(void **state)
{
	machine_begin(state);
	memset(&iommu, 0, sizeof(iommu));
	dma_ops = (struct uhmm_dma_ops){ .map = map_one, .unmap = unmap_one };
	area_anon(0, N, RW);
	assert_int_equal(hmm_dma_map_alloc(&device, &map, N, 4096), 0);
	assert_int_equal(mmu_interval_notifier_insert(&sub, mm, PG(0), LEN(N),
						      &sub_ops), 0);
	return 0;
}

static void reserve_too(void)
{
	hmm_dma_map_free(&device, &map);
	dma_ops = (struct uhmm_dma_ops){
		.map = map_one, .unmap = unmap_one, .reserve = reserve,
		.release = release, .link = link_one, .unlink = unlink_one };
	iommu.reserves = true;
	assert_int_equal(hmm_dma_map_alloc(&device, &map, N, 4096), 0);
}

/* Whatever the case did, nothing is mapped when its pages are gone. */
static int end(void **state)
{
	uhmm_model_munmap(mm, PG(0), LEN(N));
	assert_int_equal(mapped(), 0);
	mmu_interval_notifier_remove(&sub);
	hmm_dma_map_free(&device, &map);
	assert_false(iommu.reserves);
	return machine_end(state);
}

/* -------------------------------------------------------------------- cases */

static void a_page_is_mapped_once(void **state)
{
	uint64_t addr;

	fault(HMM_PFN_REQ_FAULT);
	addr = map_at(2);
	assert_int_equal(addr, ADDR(0));
	assert_int_equal(iommu.frames[0], uhmm_hmm_pfn_of(map.pfn_list[2]));
	assert_true(map.pfn_list[2] & HMM_PFN_DMA_MAPPED);
	assert_int_equal(map_at(2), addr);
	assert_int_equal(iommu.calls, 1);
}

static void what_is_mapped_is_kept_by_reads(void **state)
{
	uint64_t addr[N];

	for (int i = 0; i < N; i++)
		poke(i, i);
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(N), PROT_READ), 0);
	fault(HMM_PFN_REQ_FAULT);
	for (int i = 0; i < N; i++)
		addr[i] = map_at(i);
	fault(0);
	assert_true(map.pfn_list[0] & HMM_PFN_DMA_MAPPED);
	for (int i = 0; i < N; i++)
		assert_int_equal(map_at(i), addr[i]);
	assert_int_equal(iommu.calls, N);
}

static void what_is_invalidated_is_unmapped(void **state)
{
	fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	map_all();
	assert_int_equal(mapped(), N);
	uhmm_model_madvise(mm, PG(1), LEN(2), MADV_DONTNEED);
	assert_int_equal(mapped(), 2);
	assert_false(map.pfn_list[1] & HMM_PFN_DMA_MAPPED);
	assert_true(map.pfn_list[3] & HMM_PFN_DMA_MAPPED);
	assert_false(hmm_dma_unmap_pfn(&device, &map, 1));
	fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	map_all();
	assert_int_equal(mapped(), N);
}

static void addresses_can_be_side_by_side(void **state)
{
	reserve_too();
	assert_null(map.dma_list);
	fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	for (int i = 0; i < N; i++)
		assert_int_equal(map_at(i), IOVA + LEN(i));
	assert_int_equal(map_at(3), IOVA + LEN(3));
	assert_int_equal(iommu.calls, N);
	uhmm_model_madvise(mm, PG(3), LEN(1), MADV_DONTNEED);
	assert_int_equal(mapped(), N - 1);
}

static void where_nothing_is_undone_no_address_is_kept(void **state)
{
	hmm_dma_map_free(&device, &map);
	dma_ops = (struct uhmm_dma_ops){ .map = map_one };
	assert_int_equal(hmm_dma_map_alloc(&device, &map, N, 4096), 0);
	assert_null(map.dma_list);
	fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	assert_int_equal(map_at(0), ADDR(0));
	assert_true(hmm_dma_unmap_pfn(&device, &map, 0));
	assert_false(map.pfn_list[0] & HMM_PFN_DMA_MAPPED);
	memset(iommu.frames, 0, sizeof(iommu.frames));
}

static void memory_of_another_device(void **state)
{
	enum uhmm_p2pdma how;

	dma_ops.p2pdma = reached;
	fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	iommu.how = UHMM_P2PDMA_HOST_BRIDGE;
	assert_int_equal(hmm_dma_map_pfn(&device, &map, 0, &how), ADDR(0));
	assert_int_equal(how, UHMM_P2PDMA_HOST_BRIDGE);
	assert_true(map.pfn_list[0] & HMM_PFN_P2PDMA);
	iommu.how = UHMM_P2PDMA_BUS;
	assert_int_equal(hmm_dma_map_pfn(&device, &map, 1, &how), 0xb05);
	assert_int_equal(hmm_dma_map_pfn(&device, &map, 1, &how), 0xb05);
	assert_true(map.pfn_list[1] & HMM_PFN_P2PDMA_BUS);
	assert_int_equal(mapped(), 1);
	assert_true(hmm_dma_unmap_pfn(&device, &map, 1));
	assert_false(map.pfn_list[1] & HMM_PFN_P2PDMA_BUS);
	assert_int_equal(mapped(), 1);
	iommu.how = UHMM_P2PDMA_REFUSED;
	assert_int_equal(map_at(2), DMA_MAPPING_ERROR);
	assert_false(map.pfn_list[2] & HMM_PFN_DMA_MAPPED);
	/* And memory after all. */
	iommu.how = UHMM_P2PDMA_BUS;
	assert_int_equal(map_at(3), 0xb05);
	iommu.how = UHMM_P2PDMA_NONE;
	assert_int_equal(map_at(3), ADDR(1));
	assert_false(map.pfn_list[3] & HMM_PFN_P2PDMA_BUS);
	assert_int_equal(mapped(), 2);
}

static void what_cannot_be_mapped_is_not(void **state)
{
	fault(0);
	assert_int_equal(map_at(0), DMA_MAPPING_ERROR);
	assert_int_equal(iommu.calls, 0);
	for (int side_by_side = 0; side_by_side < 2; side_by_side++) {
		if (side_by_side)
			reserve_too();
		fault(HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
		iommu.fails = true;
		assert_int_equal(map_at(0), DMA_MAPPING_ERROR);
		assert_false(map.pfn_list[0] & HMM_PFN_DMA_MAPPED);
		assert_false(hmm_dma_unmap_pfn(&device, &map, 0));
		iommu.fails = false;
		assert_int_not_equal(map_at(0), DMA_MAPPING_ERROR);
		assert_true(hmm_dma_unmap_pfn(&device, &map, 0));
	}
}

static void bad_arguments_are_refused(void **state)
{
	struct uhmm_dma_device bounces = { .ops = &dma_ops, .bounces = true };
	struct hmm_dma_map none = { .nr_entries = 77 };

	assert_int_equal(hmm_dma_map_alloc(NULL, &none, 1, 4096), -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&device, NULL, 1, 4096), -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&device, &none, 0, 4096), -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&device, &none, 1, 0), -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&device, &none, 1, 4097), -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&device, &none, SIZE_MAX / 8, 4096),
			 -EINVAL);
	assert_int_equal(hmm_dma_map_alloc(&bounces, &none, 1, 4096),
			 -EOPNOTSUPP);
	dma_ops.reserve = reserve;
	assert_int_equal(hmm_dma_map_alloc(&device, &none, 1, 4096), -EINVAL);
	assert_int_equal(none.nr_entries, 77);
	dma_ops.reserve = NULL;
}

#define DMA_CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DMA_CASE(a_page_is_mapped_once),
		DMA_CASE(what_is_mapped_is_kept_by_reads),
		DMA_CASE(what_is_invalidated_is_unmapped),
		DMA_CASE(addresses_can_be_side_by_side),
		DMA_CASE(where_nothing_is_undone_no_address_is_kept),
		DMA_CASE(memory_of_another_device),
		DMA_CASE(what_cannot_be_mapped_is_not),
		DMA_CASE(bad_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
