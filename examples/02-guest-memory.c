/* SPDX-License-Identifier: 0BSD */
/*
 * A VMM's guest memory as an address space of its own: a page comes out of a
 * snapshot when it is touched first, and the VMM drops it again when the host
 * runs short. The device knows nothing of that: it would run on any other
 * address space. It must never read a page that has been dropped.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

enum { PAGE = 4096, PAGES = 16 };
static _Alignas(PAGE) unsigned char ram[PAGES * PAGE];
static bool present[PAGES];
static pthread_mutex_t guest_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char *device_table[PAGES];
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmu_interval_notifier mirror;
static _Atomic int faults, stale;

/* ----- the address space; an operation that it lacks answers -EOPNOTSUPP */

static int guest_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
		      struct uhmm_pte *ptes)
{
	size_t page = addr / PAGE, n, wanted = *npages;

	pthread_mutex_lock(&guest_lock);
	for (n = 0; n < wanted && page < PAGES; n++, page++)
		ptes[n] = (struct uhmm_pte){ .pfn = page, .write = true,
			.state = present[page] ? UHMM_PTE_PRESENT : 0 };
	pthread_mutex_unlock(&guest_lock);
	*npages = n;
	return n < wanted ? -EFAULT : 0;
}

/* In the snapshot, page n is full of n + 1. */
static int guest_fault(struct mm_struct *mm, unsigned long addr,
		       unsigned int flags)
{
	unsigned long page = addr / PAGE;

	if (page >= PAGES)
		return -EFAULT;
	pthread_mutex_lock(&guest_lock);
	if (!present[page])
		memset(ram + page * PAGE, page + 1, PAGE);
	present[page] = true;
	pthread_mutex_unlock(&guest_lock);
	return 0;
}

static const struct uhmm_mm_ops guest_ops = {
	.name = "guest",
	.walk = guest_walk,
	.fault = guest_fault,
};

/* What takes a page away has to be bracketed; what adds one need not be. */
static void guest_drop(struct mm_struct *mm, unsigned long page)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, page * PAGE,
				(page + 1) * PAGE);
	mmu_notifier_invalidate_range_start(&range);
	pthread_mutex_lock(&guest_lock);
	present[page] = false;
	madvise(ram + page * PAGE, PAGE, MADV_DONTNEED);
	pthread_mutex_unlock(&guest_lock);
	mmu_notifier_invalidate_range_end(&range);
}

/* ----- the device */

static bool zap(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&device_lock);
	else if (pthread_mutex_trylock(&device_lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	for (size_t page = range->start / PAGE; page < PAGES; page++)
		if (page * PAGE < range->end)
			device_table[page] = NULL;
	pthread_mutex_unlock(&device_lock);
	return true;
}

/* Returns with device_lock held, which it has dropped meanwhile. */
static void device_fault(struct mm_struct *mm, unsigned long page)
{
	struct uhmm_pte pte;
	unsigned long seq;
	size_t one = 1;
	bool bad;

again:
	pthread_mutex_unlock(&device_lock);
	seq = mmu_interval_read_begin(&mirror);
	mmap_read_lock(mm);
	bad = uhmm_mm_fault(mm, page * PAGE, 0) ||
	      uhmm_mm_walk(mm, page * PAGE, &one, &pte);
	mmap_read_unlock(mm);
	sched_yield();
	pthread_mutex_lock(&device_lock);
	if (mmu_interval_read_retry(&mirror, seq))
		goto again;
	device_table[page] = bad ? NULL : ram + pte.pfn * PAGE;
	faults++;
}

static void *device(void *mm)
{
	for (int page = 0; faults < 1000 && !stale; page = (page + 1) % PAGES) {
		pthread_mutex_lock(&device_lock);
		if (!device_table[page])
			device_fault(mm, page);
		stale += !device_table[page] || *device_table[page] != page + 1;
		pthread_mutex_unlock(&device_lock);
	}
	return NULL;
}

int main(void)
{
	struct uhmm_mm_options how = { .size = sizeof(how), .ops = &guest_ops };
	struct mmu_interval_notifier_ops ops = { .invalidate = zap };
	struct mm_struct *mm;
	pthread_t thread;

	if (uhmm_mm_create_with(&how, &mm) ||
	    mmu_interval_notifier_insert(&mirror, mm, 0, PAGES * PAGE, &ops) ||
	    pthread_create(&thread, NULL, device, mm))
		return 2;
	for (int page = 0; faults < 1000 && !stale; page = (page + 1) % PAGES)
		guest_drop(mm, page);
	pthread_join(thread, NULL);
	mmu_interval_notifier_remove(&mirror);
	mmput(mm);
	printf("%d pages faulted in by the device, %d read though dropped\n",
	       faults, stale);
	return stale != 0;
}
