/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The operations of an address space, with a VMM's guest memory as the one
 * that supplies them: a few areas, a page table, a counter of frames.
 */
#include "util.h"

#define GUEST_PAGES 32
#define GUEST_AREAS 2
#define GUEST_AT(page) PAGES(page)

struct guest {
	struct uhmm_vma areas[GUEST_AREAS];
	struct uhmm_pte ptes[GUEST_PAGES];
	unsigned long next_pfn;
	int calls;
	bool destroyed;
	/* what the last call got */
	struct mm_struct *mm;
	unsigned long addr;
	unsigned int flags;
};

static const struct uhmm_mm_ops guest_ops;

static const struct uhmm_vma *area_at(const struct guest *guest,
				      unsigned long addr)
{
	for (int i = 0; i < GUEST_AREAS; i++)
		if (addr < guest->areas[i].end)
			return &guest->areas[i];
	return NULL;
}

static struct guest *called(struct mm_struct *it, unsigned long addr)
{
	struct guest *guest = uhmm_mm_private(it);

	guest->calls++;
	guest->mm = it;
	guest->addr = addr;
	return guest;
}

static int guest_find_vma(struct mm_struct *it, unsigned long addr,
			  struct uhmm_vma *ret_vma)
{
	const struct uhmm_vma *area = area_at(called(it, addr), addr);

	if (!area)
		return -ENOENT;
	*ret_vma = *area;
	return 0;
}

static int guest_walk(struct mm_struct *it, unsigned long addr,
		      size_t *npages, struct uhmm_pte *ptes)
{
	struct guest *guest = called(it, addr);
	const struct uhmm_vma *area;

	for (size_t i = 0; i < *npages; i++, addr += GUEST_AT(1)) {
		area = area_at(guest, addr);
		if (!area || addr < area->start) {
			*npages = i;
			return -EFAULT;
		}
		ptes[i] = guest->ptes[addr >> 12];
	}
	return 0;
}

static int guest_fault(struct mm_struct *it, unsigned long addr,
		       unsigned int flags)
{
	struct guest *guest = called(it, addr);
	const struct uhmm_vma *area = area_at(guest, addr);
	struct uhmm_pte *pte;

	guest->flags = flags;
	if (!area || addr < area->start ||
	    (flags & UHMM_FAULT_WRITE && !(area->flags & UHMM_VM_WRITE)))
		return -EFAULT;
	pte = &guest->ptes[addr >> 12];
	if (pte->state == UHMM_PTE_NONE) {
		if (flags & UHMM_FAULT_NOWAIT)
			return -EAGAIN;
		pte->state = UHMM_PTE_PRESENT;
		pte->pfn = guest->next_pfn++;
	}
	pte->write |= flags & UHMM_FAULT_WRITE;
	return 0;
}

static void guest_destroy(void *private_data)
{
	((struct guest *)private_data)->destroyed = true;
}

static void guest_boot(struct guest *guest, struct mm_struct **ret_mm)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.ops = &guest_ops,
		.private_data = guest,
	};

	memset(guest, 0, sizeof(*guest));
	guest->areas[0] = (struct uhmm_vma){
		.start = GUEST_AT(4),
		.end = GUEST_AT(12),
		.flags = UHMM_VM_READ | UHMM_VM_WRITE,
	};
	guest->areas[1] = (struct uhmm_vma){
		.start = GUEST_AT(20),
		.end = GUEST_AT(24),
		.flags = UHMM_VM_READ,
	};
	guest->next_pfn = 1000;
	if (uhmm_mm_create_with(&options, ret_mm))
		abort();
}

static struct guest child_guest;

static int guest_fork(struct mm_struct *it, struct mm_struct **ret_child)
{
	struct guest *guest = called(it, 0);

	guest_boot(&child_guest, ret_child);
	memcpy(child_guest.ptes, guest->ptes, sizeof(guest->ptes));
	return 0;
}

static unsigned char guest_frame[UHMM_PAGE_SIZE];

static void *guest_page_ptr(struct mm_struct *it, unsigned long pfn)
{
	return pfn < 1000 ? NULL : guest_frame;
}

static const struct uhmm_mm_ops guest_ops = {
	.name = "guest",
	.destroy = guest_destroy,
	.find_vma = guest_find_vma,
	.walk = guest_walk,
	.fault = guest_fault,
	.fork = guest_fork,
	.page_ptr = guest_page_ptr,
};

/* ------------------------------------------------------------------- errors */

static void what_a_space_cannot_do_is_said(void **state)
{
	struct mm_struct *bare, *child = NULL;
	struct uhmm_vma vma;
	struct uhmm_pte pte;
	size_t npages = 1;

	assert_int_equal(uhmm_mm_create(&bare), 0);
	assert_int_equal(uhmm_mm_find_vma(bare, 0, &vma), -EOPNOTSUPP);
	assert_int_equal(uhmm_mm_walk(bare, 0, &npages, &pte), -EOPNOTSUPP);
	assert_int_equal(npages, 1);
	assert_int_equal(uhmm_mm_fault(bare, 0, 0), -EOPNOTSUPP);
	assert_int_equal(uhmm_mm_fork(bare, &child), -EOPNOTSUPP);
	assert_null(child);
	mmput(bare);
}

static void bad_arguments_do_not_reach_the_operations(void **state)
{
	struct mm_struct *it;
	struct guest guest;
	struct uhmm_pte pte;
	size_t none = 0, one = 1;

	guest_boot(&guest, &it);
	assert_int_equal(uhmm_mm_find_vma(it, 0, NULL), -EINVAL);
	assert_int_equal(uhmm_mm_walk(it, GUEST_AT(4), NULL, &pte), -EINVAL);
	assert_int_equal(uhmm_mm_walk(it, GUEST_AT(4), &none, &pte), -EINVAL);
	assert_int_equal(uhmm_mm_walk(it, GUEST_AT(4), &one, NULL), -EINVAL);
	for (unsigned int flag = 8; flag; flag <<= 1)
		assert_int_equal(uhmm_mm_fault(it, GUEST_AT(4), flag),
				 -EINVAL);
	assert_int_equal(uhmm_mm_fault(it, GUEST_AT(4), UHMM_FAULT_NOWAIT |
				       UHMM_FAULT_UNLOCK), -EINVAL);
	assert_int_equal(uhmm_mm_fork(it, NULL), -EINVAL);
	assert_int_equal(guest.calls, 0);
	mmput(it);
	assert_true(guest.destroyed);
}

static void the_page_of_zeroes_is_not_written(void **state)
{
	static const unsigned char zeroes[UHMM_PAGE_SIZE];
	struct mm_struct *it;
	struct guest guest;

	guest_boot(&guest, &it);
	memset(guest_frame, 7, sizeof(guest_frame));
	assert_int_equal(uhmm_page_write(it, UHMM_ZERO_PFN, 0, guest_frame, 8),
			 -EFAULT);
	assert_int_equal(uhmm_page_copy(it, UHMM_ZERO_PFN, 1000), -EFAULT);
	assert_int_equal(uhmm_page_copy(it, 1000, UHMM_ZERO_PFN), 0);
	assert_memory_equal(guest_frame, zeroes, sizeof(zeroes));
	mmput(it);
}

/* -------------------------------------------------------------- pass through */

static void find_vma_passes_through(void **state)
{
	struct mm_struct *it;
	struct uhmm_vma vma;
	struct guest guest;

	guest_boot(&guest, &it);
	mmap_read_lock(it);
	assert_int_equal(uhmm_mm_find_vma(it, GUEST_AT(5), &vma), 0);
	assert_int_equal(vma.start, GUEST_AT(4));
	assert_int_equal(vma.end, GUEST_AT(12));
	assert_int_equal(vma.flags, UHMM_VM_READ | UHMM_VM_WRITE);
	assert_ptr_equal(vma.mm, it);
	assert_ptr_equal(guest.mm, it);
	assert_int_equal(guest.addr, GUEST_AT(5));
	assert_int_equal(uhmm_mm_find_vma(it, GUEST_AT(12), &vma), 0);
	assert_int_equal(vma.start, GUEST_AT(20));
	assert_int_equal(uhmm_mm_find_vma(it, GUEST_AT(24), &vma), -ENOENT);
	mmap_read_unlock(it);
	assert_int_equal(guest.calls, 3);
	mmput(it);
}

static void walk_passes_through(void **state)
{
	struct uhmm_pte ptes[GUEST_PAGES];
	struct mm_struct *it;
	struct guest guest;
	size_t npages = 8;

	guest_boot(&guest, &it);
	guest.ptes[5].state = UHMM_PTE_SWAP;
	mmap_read_lock(it);
	assert_int_equal(uhmm_mm_walk(it, GUEST_AT(4), &npages, ptes), 0);
	assert_int_equal(npages, 8);
	assert_int_equal(ptes[0].state, UHMM_PTE_NONE);
	assert_int_equal(ptes[1].state, UHMM_PTE_SWAP);
	npages = 8;
	assert_int_equal(uhmm_mm_walk(it, GUEST_AT(9), &npages, ptes),
			 -EFAULT);
	assert_int_equal(npages, 3);
	assert_int_equal(guest.addr, GUEST_AT(9));
	mmap_read_unlock(it);
	mmput(it);
}

static void fault_passes_through(void **state)
{
	struct mm_struct *it;
	struct guest guest;

	guest_boot(&guest, &it);
	mmap_read_lock(it);
	assert_int_equal(uhmm_mm_fault(it, GUEST_AT(5), UHMM_FAULT_NOWAIT),
			 -EAGAIN);
	assert_int_equal(guest.flags, UHMM_FAULT_NOWAIT);
	assert_int_equal(uhmm_mm_fault(it, GUEST_AT(5), 0), 0);
	assert_int_equal(guest.flags, 0);
	assert_int_equal(guest.ptes[5].pfn, 1000);
	assert_int_equal(uhmm_mm_fault(it, GUEST_AT(5), UHMM_FAULT_WRITE |
				       UHMM_FAULT_NOWAIT), 0);
	assert_int_equal(guest.flags, UHMM_FAULT_WRITE | UHMM_FAULT_NOWAIT);
	assert_int_equal(uhmm_mm_fault(it, GUEST_AT(21), UHMM_FAULT_WRITE),
			 -EFAULT);
	assert_int_equal(guest.addr, GUEST_AT(21));
	assert_ptr_equal(guest.mm, it);
	mmap_read_unlock(it);
	mmput(it);
}

static void the_child_of_a_fork_is_watched_by_nobody(void **state)
{
	struct mm_struct *it, *child = NULL;
	struct mmu_notifier_range range, again;
	struct uhmm_mm_stats s;
	struct mirror one;
	struct guest guest;

	guest_boot(&guest, &it);
	guest.ptes[5].state = UHMM_PTE_PRESENT;
	mirror_init(&one, 1);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, it,
						      GUEST_AT(5), 1,
						      &mirror_ops), 0);
	mmu_notifier_range_init(&range, MMU_NOTIFY_PROTECTION_PAGE, 0, it,
				GUEST_AT(4), GUEST_AT(12));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	assert_recorded("i1");
	assert_int_equal(uhmm_mm_fork(it, &child), 0);
	assert_ptr_not_equal(child, it);
	assert_int_equal(child_guest.ptes[5].state, UHMM_PTE_PRESENT);
	assert_false(mm_has_notifiers(child));
	again = range;
	again.mm = child;
	assert_int_equal(mmu_notifier_invalidate_range_start(&again), 0);
	mmu_notifier_invalidate_range_end(&again);
	assert_recorded("");
	assert_true(mirror_held_up(&one));
	mmu_notifier_invalidate_range_end(&range);
	assert_false(mirror_held_up(&one));
	assert_int_equal(uhmm_mm_get_stats(child, &s), 0);
	assert_int_equal(s.subscriptions, 0);
	mmput(child);
	mirror_drop(&one);
	mmput(it);
	assert_true(guest.destroyed);
	assert_true(child_guest.destroyed);
}

/* ------------------------------------------------------- all of it at work */

/* What a device would have for one page. */
struct device {
	struct mirror mirror;
	bool mapped;
	unsigned long pfn;
};

static void device_zap(struct mirror *m, const struct mmu_notifier_range *range)
{
	struct device *device = container_of(m, struct device, mirror);

	pthread_mutex_lock(&m->lock);
	device->mapped = false;
	pthread_mutex_unlock(&m->lock);
}

/* One attempt. False: it collided. */
static bool device_fault(struct device *device, struct mm_struct *it,
			 void (*meanwhile)(struct mm_struct *it))
{
	unsigned long addr = device->mirror.sub.interval_tree.start;
	struct uhmm_pte pte;
	size_t npages = 1;
	unsigned long seq;
	bool installed;

	seq = mmu_interval_read_begin(&device->mirror.sub);
	mmap_read_lock(it);
	assert_int_equal(uhmm_mm_fault(it, addr, UHMM_FAULT_WRITE), 0);
	assert_int_equal(uhmm_mm_walk(it, addr, &npages, &pte), 0);
	mmap_read_unlock(it);
	if (meanwhile)
		meanwhile(it);
	pthread_mutex_lock(&device->mirror.lock);
	installed = !mmu_interval_read_retry(&device->mirror.sub, seq);
	if (installed) {
		device->mapped = true;
		device->pfn = pte.pfn;
	}
	pthread_mutex_unlock(&device->mirror.lock);
	return installed;
}

static void guest_discard(struct mm_struct *it)
{
	struct guest *guest = uhmm_mm_private(it);
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, it, GUEST_AT(4),
				GUEST_AT(12));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	memset(guest->ptes, 0, sizeof(guest->ptes));
	mmu_notifier_invalidate_range_end(&range);
}

static void a_device_follows_the_guest(void **state)
{
	struct device device = { 0 };
	struct mm_struct *it;
	struct guest guest;

	guest_boot(&guest, &it);
	mirror_init(&device.mirror, 1);
	device.mirror.hook = device_zap;
	assert_int_equal(mmu_interval_notifier_insert(&device.mirror.sub, it,
						      GUEST_AT(6), GUEST_AT(1),
						      &mirror_ops), 0);
	assert_true(device_fault(&device, it, NULL));
	assert_true(device.mapped);
	assert_int_equal(device.pfn, guest.ptes[6].pfn);
	guest_discard(it);
	assert_false(device.mapped);
	/* The page goes between the read and the install. */
	assert_false(device_fault(&device, it, guest_discard));
	assert_false(device.mapped);
	assert_true(device_fault(&device, it, NULL));
	assert_int_equal(device.pfn, guest.ptes[6].pfn);
	mmput(it);
	assert_false(device.mapped);
	mirror_drop(&device.mirror);
	assert_true(guest.destroyed);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(what_a_space_cannot_do_is_said),
		CASE(bad_arguments_do_not_reach_the_operations),
		CASE(the_page_of_zeroes_is_not_written),
		CASE(find_vma_passes_through),
		CASE(walk_passes_through),
		CASE(fault_passes_through),
		CASE(the_child_of_a_fork_is_watched_by_nobody),
		CASE(a_device_follows_the_guest),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
