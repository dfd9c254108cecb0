/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * hmm_range_fault(): what it says of each entry that can stand in a page
 * table, when it only looks and when it is asked for pages. The address space
 * is two areas with a hole between them, and entries that the case writes.
 */
#include "util.h"

#include <uhmm/hmm.h>

#define AREA_PAGES 16UL
#define FIRST PG(0)
#define SECOND PG(AREA_PAGES + 1)
#define END (SECOND + PAGES(AREA_PAGES))
#define OWN ((void *)0x1)
#define OTHER ((void *)0x2)
#define ASK HMM_PFN_REQ_FAULT
#define ASK_WRITE (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE)
#define V HMM_PFN_VALID
#define VW (HMM_PFN_VALID | HMM_PFN_WRITE)

static struct uhmm_vma areas[2];
static struct uhmm_pte ptes[2 * AREA_PAGES + 1];
static unsigned long pfns[2 * AREA_PAGES + 1];
static struct mm_struct *space;
static struct mirror sub;
static struct hmm_range range;

/* What the fault operation was called with, and what it answers. */
static int faults, fault_ret, unlocks;
static unsigned int fault_flags;
static unsigned long fault_addr;
static bool collide;

static struct uhmm_pte *pte_at(unsigned long addr)
{
	return &ptes[(addr - FIRST) >> UHMM_PAGE_SHIFT];
}

static int find_vma(struct mm_struct *it, unsigned long addr,
		    struct uhmm_vma *ret_vma)
{
	for (int i = 0; i < 2; i++)
		if (addr < areas[i].end) {
			*ret_vma = areas[i];
			return 0;
		}
	return -ENOENT;
}

static int walk(struct mm_struct *it, unsigned long addr, size_t *npages,
		struct uhmm_pte *ret)
{
	for (size_t i = 0; i < *npages; i++)
		ret[i] = *pte_at(addr + PAGES(i));
	return 0;
}

static int fault(struct mm_struct *it, unsigned long addr, unsigned int flags)
{
	struct mmu_notifier_range over;
	struct uhmm_pte *pte = pte_at(addr);

	if (!faults++)
		fault_addr = addr;
	fault_flags = flags;
	if (collide) {
		collide = false;
		mmu_notifier_range_init(&over, MMU_NOTIFY_CLEAR, 0, it, FIRST,
					END);
		mmu_notifier_invalidate_range_start(&over);
		mmu_notifier_invalidate_range_end(&over);
	}
	if (unlocks && flags & UHMM_FAULT_UNLOCK) {
		unlocks--;
		mmap_read_unlock(it);
		return -EAGAIN;
	}
	if (fault_ret)
		return fault_ret;
	/* A migration is waited for, and that is all. */
	if (pte->state == UHMM_PTE_MIGRATION)
		pte->state = UHMM_PTE_NONE;
	else
		*pte = (struct uhmm_pte){
			.state = UHMM_PTE_PRESENT,
			.pfn = 500 + (addr - FIRST) / UHMM_PAGE_SIZE,
			.write = flags & UHMM_FAULT_WRITE,
		};
	return 0;
}

static const struct uhmm_mm_ops ops = {
	.name = "entries",
	.find_vma = find_vma,
	.walk = walk,
	.fault = fault,
};

static int begin(void **state)
{
	struct uhmm_mm_options how = { .size = sizeof(how), .ops = &ops };

	case_begin(state);
	memset(ptes, 0, sizeof(ptes));
	memset(pfns, 0, sizeof(pfns));
	for (int i = 0; i < 2; i++)
		areas[i] = (struct uhmm_vma){
			.start = i ? SECOND : FIRST,
			.end = (i ? SECOND : FIRST) + PAGES(AREA_PAGES),
			.flags = UHMM_VM_READ | UHMM_VM_WRITE,
		};
	faults = fault_ret = unlocks = 0;
	collide = false;
	assert_int_equal(uhmm_mm_create_with(&how, &space), 0);
	mirror_init(&sub, 1);
	sub.quiet = true;
	assert_int_equal(mmu_interval_notifier_insert(&sub.sub, space, FIRST,
						      END - FIRST,
						      &mirror_ops), 0);
	range = (struct hmm_range){
		.notifier = &sub.sub,
		.start = FIRST,
		.end = FIRST + PAGES(1),
		.hmm_pfns = pfns,
		.dev_private_owner = OWN,
	};
	return 0;
}

static int end(void **state)
{
	mmu_interval_notifier_remove(&sub.sub);
	mmput(space);
	return case_end(state);
}

#define HMM(fn)                                                              \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = begin,           \
		.teardown_func = end, .initial_state = (void *)#fn           \
	}

/* A read of @npages from the first page on, all of which ask for @asked. */
static int hmm(unsigned long npages, unsigned long asked)
{
	int ret;

	faults = 0;
	range.end = range.start + PAGES(npages);
	range.default_flags = asked;
	range.notifier_seq = mmu_interval_read_begin(&sub.sub);
	mmap_read_lock(space);
	ret = hmm_range_fault(&range);
	mmap_read_unlock(space);
	return ret;
}

static void put(enum uhmm_pte_state state, unsigned long pfn, bool write,
		void *owner)
{
	ptes[0] = (struct uhmm_pte){
		.state = state, .pfn = pfn, .write = write, .owner = owner };
}

/* ----------------------------------------------------------- rows of entries */

static void no_area(void **state)
{
	range.start = FIRST + PAGES(AREA_PAGES);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], HMM_PFN_ERROR);
	assert_int_equal(hmm(1, ASK), -EFAULT);
	assert_int_equal(faults, 0);
}

static void areas_that_cannot_be_read(void **state)
{
	const unsigned long flags[] = { 0, UHMM_VM_WRITE,
		UHMM_VM_READ | UHMM_VM_SPECIAL };

	put(UHMM_PTE_PRESENT, 7, true, NULL);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		areas[0].flags = flags[i];
		assert_int_equal(hmm(AREA_PAGES + 2, 0), 0);
		for (size_t k = 0; k <= AREA_PAGES; k++)
			assert_int_equal(pfns[k], HMM_PFN_ERROR);
		assert_int_equal(pfns[AREA_PAGES + 1], 0);
		assert_int_equal(hmm(1, ASK), -EFAULT);
		assert_int_equal(faults, 0);
	}
}

static void entries_that_a_fault_replaces(void **state)
{
	const enum uhmm_pte_state states[] = {
		UHMM_PTE_NONE, UHMM_PTE_SWAP, UHMM_PTE_PROTNONE,
		UHMM_PTE_DEVICE_EXCLUSIVE,
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		put(states[i], 7, true, OTHER);
		assert_int_equal(hmm(1, 0), 0);
		assert_int_equal(pfns[0], 0);
		assert_int_equal(faults, 0);
		assert_int_equal(hmm(1, ASK), 0);
		assert_int_equal(pfns[0], V | 500);
		assert_int_equal(faults, 1);
		assert_int_equal(fault_flags, 0);
	}
}

static void an_area_that_cannot_be_written(void **state)
{
	areas[0].flags = UHMM_VM_READ;
	assert_int_equal(hmm(1, ASK_WRITE), -EPERM);
	put(UHMM_PTE_PRESENT, 7, false, NULL);
	assert_int_equal(hmm(1, ASK_WRITE), -EPERM);
	assert_int_equal(faults, 0);
	/* Without REQ_FAULT it is not asked for. */
	assert_int_equal(hmm(1, HMM_PFN_REQ_WRITE), 0);
	assert_int_equal(pfns[0], V | 7);
}

static void a_page_that_is_there(void **state)
{
	put(UHMM_PTE_PRESENT, 7, true, NULL);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], VW | 7);
	assert_int_equal(hmm(1, ASK_WRITE), 0);
	assert_int_equal(pfns[0], VW | 7);
	put(UHMM_PTE_PRESENT, 7, false, NULL);
	assert_int_equal(hmm(1, ASK), 0);
	assert_int_equal(pfns[0], V | 7);
	assert_int_equal(faults, 0);
	assert_int_equal(hmm(1, ASK_WRITE), 0);
	assert_int_equal(pfns[0], VW | 500);
	assert_int_equal(fault_flags, UHMM_FAULT_WRITE);
}

static void a_frame_without_a_page(void **state)
{
	put(UHMM_PTE_SPECIAL, 7, true, NULL);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], HMM_PFN_ERROR);
	assert_int_equal(hmm(1, ASK), -EFAULT);
	assert_int_equal(faults, 0);
}

static void the_page_of_zeroes(void **state)
{
	put(UHMM_PTE_ZERO, UHMM_ZERO_PFN, false, NULL);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], V | UHMM_ZERO_PFN);
	assert_int_equal(hmm(1, ASK), 0);
	assert_int_equal(pfns[0], V | UHMM_ZERO_PFN);
	assert_int_equal(faults, 0);
	assert_int_equal(hmm(1, ASK_WRITE), 0);
	assert_int_equal(pfns[0], VW | 500);
}

/* One's own is where it should be, also where its entry may not be written. */
static void device_memory_of_ones_own(void **state)
{
	put(UHMM_PTE_DEVICE_PRIVATE, UHMM_DEVICE_PFN_BASE + 3, false, OWN);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], V | (UHMM_DEVICE_PFN_BASE + 3));
	assert_int_equal(hmm(1, ASK_WRITE), 0);
	assert_int_equal(pfns[0], V | (UHMM_DEVICE_PFN_BASE + 3));
	ptes[0].write = true;
	assert_int_equal(hmm(1, ASK), 0);
	assert_int_equal(pfns[0], VW | (UHMM_DEVICE_PFN_BASE + 3));
	assert_int_equal(faults, 0);
}

static void device_memory_of_others(void **state)
{
	put(UHMM_PTE_DEVICE_PRIVATE, UHMM_DEVICE_PFN_BASE + 3, true, OTHER);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], 0);
	assert_int_equal(hmm(1, ASK), 0);
	assert_int_equal(faults, 1);
	assert_int_equal(pfns[0], V | 500);
}

static void a_page_on_its_way(void **state)
{
	put(UHMM_PTE_MIGRATION, 7, true, NULL);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], 0);
	/* It is waited for; what stands there then is faulted. */
	assert_int_equal(hmm(1, ASK), 0);
	assert_int_equal(faults, 2);
	assert_int_equal(pfns[0], V | 500);
	/* Nothing is waited for behind a page that need not be. */
	put(UHMM_PTE_MIGRATION, 7, true, NULL);
	ptes[0].order = UHMM_PMD_ORDER;
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], 0);
}

static void broken_memory(void **state)
{
	put(UHMM_PTE_POISON, 0, false, NULL);
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], 0);
	assert_int_equal(hmm(1, ASK), -EFAULT);
	ptes[0].order = UHMM_PMD_ORDER;
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], HMM_PFN_ERROR);
	assert_int_equal(hmm(1, ASK), -EFAULT);
	assert_int_equal(faults, 0);
}

static void pages_of_a_larger_mapping(void **state)
{
	for (size_t i = 0; i < AREA_PAGES; i++)
		ptes[i] = (struct uhmm_pte){ .state = UHMM_PTE_PRESENT,
			.pfn = 1024 + i, .write = true,
			.order = UHMM_PMD_ORDER };
	assert_int_equal(hmm(AREA_PAGES, ASK_WRITE), 0);
	for (size_t i = 0; i < AREA_PAGES; i++) {
		assert_int_equal(hmm_pfn_to_map_order(pfns[i]), UHMM_PMD_ORDER);
		assert_int_equal(uhmm_hmm_pfn_of(pfns[i]), 1024 + i);
	}
	/* Also of a page table that covers even more. */
	for (size_t i = 0; i < AREA_PAGES; i++)
		ptes[i].order = 2 * UHMM_PMD_ORDER;
	assert_int_equal(hmm(2, 0), 0);
	assert_int_equal(hmm_pfn_to_map_order(pfns[1]), 2 * UHMM_PMD_ORDER);
	/* All pages of a huge page of zeroes are the one there is. */
	for (size_t i = 0; i < AREA_PAGES; i++)
		ptes[i] = (struct uhmm_pte){ .state = UHMM_PTE_ZERO,
			.pfn = UHMM_ZERO_PFN, .order = UHMM_PMD_ORDER };
	assert_int_equal(hmm(2, ASK), 0);
	assert_int_equal(uhmm_hmm_pfn_of(pfns[1]), UHMM_ZERO_PFN);
	assert_int_equal(hmm_pfn_to_map_order(pfns[1]), UHMM_PMD_ORDER);
}

/* ------------------------------------------------------- which are asked for */

static void what_is_asked_for_of_each_page(void **state)
{
	range.pfn_flags_mask = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE;
	ptes[1].state = UHMM_PTE_SWAP;
	pfns[1] = ASK_WRITE;
	/* Not REQ_FAULT: it is only looked at. */
	pfns[2] = HMM_PFN_REQ_WRITE;
	assert_int_equal(hmm(2, 0), 0);
	assert_int_equal(faults, 1);
	assert_int_equal(fault_addr, FIRST + PAGES(1));
	assert_int_equal(fault_flags, UHMM_FAULT_WRITE);
	assert_int_equal(pfns[0], 0);
	assert_int_equal(pfns[1], VW | 501);
	range.start += PAGES(2);
	range.hmm_pfns += 2;
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(faults, 0);
	/* A bit that the mask leaves out does not count. */
	range.pfn_flags_mask = HMM_PFN_REQ_FAULT;
	pfns[2] = ASK_WRITE;
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(fault_flags, 0);
	assert_int_equal(pfns[2], V | 502);
}

/* What is behind a page that has to be faulted is faulted with it. */
static void one_fault_takes_those_behind_along(void **state)
{
	for (size_t i = 0; i < AREA_PAGES; i++)
		ptes[i] = (struct uhmm_pte){ .state = UHMM_PTE_PRESENT,
					     .pfn = 7 + i };
	ptes[2].state = UHMM_PTE_DEVICE_PRIVATE;
	ptes[2].owner = OWN;
	ptes[2].pfn = UHMM_DEVICE_PFN_BASE;
	ptes[1].state = UHMM_PTE_NONE;
	assert_int_equal(hmm(AREA_PAGES, ASK), 0);
	assert_int_equal(faults, AREA_PAGES - 1);
	assert_int_equal(fault_addr, FIRST + PAGES(1));
	assert_int_equal(pfns[0], V | 7);
	/* Also one's own device memory. */
	assert_int_equal(pfns[2], V | 502);
	assert_int_equal(pfns[AREA_PAGES - 1], V | (500 + AREA_PAGES - 1));
}

/* What the driver keeps in an entry is kept. */
static void sticky_flags_are_kept(void **state)
{
	const unsigned long sticky = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA |
				     HMM_PFN_P2PDMA_BUS;

	for (int i = 0; i < 3; i++)
		pfns[i] = sticky | 99;
	ptes[0] = (struct uhmm_pte){ .state = UHMM_PTE_PRESENT, .pfn = 7 };
	assert_int_equal(hmm(2, 0), 0);
	assert_int_equal(pfns[0], sticky | V | 7);
	assert_int_equal(pfns[1], sticky);
	assert_int_equal(hmm(2, ASK), 0);
	assert_int_equal(pfns[1], sticky | V | 501);
	areas[0].flags = 0;
	assert_int_equal(hmm(1, 0), 0);
	assert_int_equal(pfns[0], sticky | HMM_PFN_ERROR);
}

/* --------------------------------------------------------------- how it ends */

static void errors_of_a_fault(void **state)
{
	const int errors[] = { -EFAULT, -ENOMEM, -EHWPOISON, -EINTR };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fault_ret = errors[i];
		assert_int_equal(hmm(1, ASK), errors[i]);
	}
}

static void ranges_that_are_none(void **state)
{
	struct hmm_range good = range;

	assert_int_equal(hmm_range_fault(NULL), -EINVAL);
	assert_int_equal(hmm(0, 0), -EINVAL);
	range.start++;
	assert_int_equal(hmm(1, 0), -EINVAL);
	range = good;
	range.start = FIRST - PAGES(1);
	assert_int_equal(hmm(1, 0), -EINVAL);
	range = good;
	assert_int_equal(hmm(2 * AREA_PAGES + 2, 0), -EINVAL);
	range.hmm_pfns = NULL;
	assert_int_equal(hmm(1, 0), -EINVAL);
	range = good;
	range.notifier = NULL;
	range.end = FIRST + PAGES(1);
	assert_int_equal(hmm_range_fault(&range), -EINVAL);
	assert_int_equal(hmm_range_fault_unlocked_timeout(&range, 0), -EINVAL);
}

static void a_collision_ends_the_read(void **state)
{
	put(UHMM_PTE_PRESENT, 7, false, NULL);
	collide = true;
	/* It is looked for before each pass, so after each fault. */
	assert_int_equal(hmm(2, ASK), -EBUSY);
	assert_int_equal(faults, 1);
	assert_int_equal(pfns[0], V | 7);
	assert_int_equal(hmm(2, ASK), 0);
	assert_int_equal(faults, 0);
	assert_int_equal(pfns[1], V | 501);
}

static int unlocked(unsigned long npages, unsigned long asked,
		    unsigned long timeout)
{
	faults = 0;
	range.end = range.start + PAGES(npages);
	range.default_flags = asked;
	return hmm_range_fault_unlocked_timeout(&range, timeout);
}

static void unlocked_begins_again_after_a_collision(void **state)
{
	collide = true;
	assert_int_equal(unlocked(1, ASK, 0), 0);
	assert_int_equal(pfns[0], V | 500);
	pthread_mutex_lock(&sub.lock);
	assert_false(mmu_interval_read_retry(&sub.sub, range.notifier_seq));
	pthread_mutex_unlock(&sub.lock);
}

static void unlocked_asks_the_same_again(void **state)
{
	range.pfn_flags_mask = ASK_WRITE;
	put(UHMM_PTE_PRESENT, 7, true, NULL);
	pfns[1] = ASK;
	collide = true;
	/* The first is not asked for though its result looks like that. */
	ptes[0].state = UHMM_PTE_PRESENT;
	assert_int_equal(unlocked(2, 0, 0), 0);
	assert_int_equal(pfns[0], VW | 7);
	assert_int_equal(fault_flags, UHMM_FAULT_UNLOCK);
	assert_int_equal(pfns[1], V | 501);
}

static void unlocked_gives_the_lock_to_who_is_waited_for(void **state)
{
	unlocks = 3;
	assert_int_equal(unlocked(1, ASK, 1), 0);
	assert_int_equal(faults, 4);
	/* It is not held now. */
	assert_true(mmap_write_trylock(space));
	mmap_write_unlock(space);
}

static void unlocked_has_an_end(void **state)
{
	struct mmu_notifier_range over;

	mmu_notifier_range_init(&over, MMU_NOTIFY_CLEAR, 0, space, FIRST, END);
	mmu_notifier_invalidate_range_start(&over);
	assert_int_equal(unlocked(1, ASK, 1000000), -EBUSY);
	assert_int_equal(faults, 0);
	mmu_notifier_invalidate_range_end(&over);
	assert_int_equal(unlocked(1, ASK, 1000000000), 0);
	/* Beyond all times. */
	collide = true;
	assert_int_equal(unlocked(1, ASK, INT64_MAX), 0);
}

static void unlocked_refuses_what_has_ended(void **state)
{
	mmgrab(space);
	mmput(space);
	assert_int_equal(unlocked(1, ASK, 0), -EFAULT);
	mmu_interval_notifier_remove(&sub.sub);
	mmdrop(space);
	begin(state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		HMM(no_area),
		HMM(areas_that_cannot_be_read),
		HMM(entries_that_a_fault_replaces),
		HMM(an_area_that_cannot_be_written),
		HMM(a_page_that_is_there),
		HMM(a_frame_without_a_page),
		HMM(the_page_of_zeroes),
		HMM(device_memory_of_ones_own),
		HMM(device_memory_of_others),
		HMM(a_page_on_its_way),
		HMM(broken_memory),
		HMM(pages_of_a_larger_mapping),
		HMM(what_is_asked_for_of_each_page),
		HMM(one_fault_takes_those_behind_along),
		HMM(sticky_flags_are_kept),
		HMM(errors_of_a_fault),
		HMM(ranges_that_are_none),
		HMM(a_collision_ends_the_read),
		HMM(unlocked_begins_again_after_a_collision),
		HMM(unlocked_asks_the_same_again),
		HMM(unlocked_gives_the_lock_to_who_is_waited_for),
		HMM(unlocked_has_an_end),
		HMM(unlocked_refuses_what_has_ended),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
