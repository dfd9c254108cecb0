/* SPDX-License-Identifier: 0BSD */
/* A device copies a page table, and never uses an entry that is out of date. */
#include <pthread.h>
#include <stdio.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

enum { PAGE = 4096, PAGES = 4, SIZE = PAGES * PAGE, NONE = 0 };
static _Atomic unsigned long page_table[PAGES] = { 1, 1, 1, 1 }, faults, stale;
static unsigned long device_table[PAGES];
static pthread_mutex_t device_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mmu_interval_notifier mirror;

/* When this has returned, the device uses nothing of the range any more. */
static bool zap(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&device_lock);
	else if (pthread_mutex_trylock(&device_lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	for (size_t at = range->start; at < range->end && at < SIZE; at += PAGE)
		device_table[at / PAGE] = NONE;
	pthread_mutex_unlock(&device_lock);
	return true;
}

/* The device uses its table, and takes over from the other what it lacks. */
static void *device(void *unused)
{
	unsigned long seq, entry;

	for (int page = 0; faults < 1000 && !stale; page = (page + 1) % PAGES) {
		pthread_mutex_lock(&device_lock);
		for (; device_table[page] == NONE; faults++) {
			pthread_mutex_unlock(&device_lock);
			seq = mmu_interval_read_begin(&mirror);
			entry = page_table[page];
			sched_yield();
			pthread_mutex_lock(&device_lock);
			if (!mmu_interval_read_retry(&mirror, seq))
				device_table[page] = entry;
		}
		stale += device_table[page] != page_table[page];
		pthread_mutex_unlock(&device_lock);
	}
	return NULL;
}

int main(void)
{
	struct mmu_interval_notifier_ops ops = { .invalidate = zap };
	struct mmu_notifier_range range;
	struct uhmm_mm_stats stats;
	struct mm_struct *mm;
	pthread_t thread;

	if (uhmm_mm_create(&mm) ||
	    mmu_interval_notifier_insert(&mirror, mm, 0, SIZE, &ops) ||
	    pthread_create(&thread, NULL, device, NULL))
		return 2;
	for (int page = 0; faults < 1000 && !stale; page = (page + 1) % PAGES) {
		mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm,
					page * PAGE, (page + 1) * PAGE);
		mmu_notifier_invalidate_range_start(&range);
		page_table[page]++;
		mmu_notifier_invalidate_range_end(&range);
	}
	pthread_join(thread, NULL);
	mmu_interval_notifier_remove(&mirror);
	uhmm_mm_get_stats(mm, &stats);
	mmput(mm);
	printf("%lu invalidations: the device let go, then the entry changed\n"
	       "%lu faults: the device read an entry, to take it over\n"
	       "%lu retries: a fault met an invalidation, and began again\n"
	       "%lu stale: the device used an entry that was out of date\n",
	       stats.starts, faults, stats.retries, stale);
	return stale != 0;
}
