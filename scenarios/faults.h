/* SPDX-License-Identifier: 0BSD */
/* A device that mirrors the page of bare.h, with one subscription. */
#ifndef SCENARIOS_FAULTS_H
#define SCENARIOS_FAULTS_H

#include "bare.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* the driver's */
static struct mmu_interval_notifier sub;
static unsigned int spte;			/* the device's, under lock */
static atomic_bool hit;				/* @sub was called */

static bool zap(struct mmu_interval_notifier *zapped,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	pthread_mutex_lock(&lock);
	mmu_interval_set_seq(zapped, cur_seq);
	spte = 0;
	pthread_mutex_unlock(&lock);
	if (zapped == &sub)
		atomic_store_explicit(&hit, true, memory_order_relaxed);
	return true;
}

static const struct mmu_interval_notifier_ops zap_ops = { .invalidate = zap };

static inline void insert_at(struct mmu_interval_notifier *which,
			     unsigned long start, unsigned long length)
{
	if (mmu_interval_notifier_insert(which, mm, start, length, &zap_ops))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no subscription");
}

static inline void insert(void)
{
	insert_at(&sub, HERE, PAGE);
}

/* With one more than a leaf of the index has room for. */
#define OTHERS 15

static struct mmu_interval_notifier other[OTHERS];

static inline void others(unsigned int from, unsigned int to,
			  unsigned long start, unsigned long distance,
			  unsigned long length)
{
	for (; from < to; from++, start += distance)
		insert_at(&other[from], start, length);
}

/* 0 if it may go on, with @ret_seq. */
typedef int (*read_begin_fn)(unsigned long *ret_seq);

static inline int endless(unsigned long *ret_seq)
{
	*ret_seq = mmu_interval_read_begin(&sub);
	return 0;
}

static inline int timed(unsigned long *ret_seq)
{
	return uhmm_interval_read_begin_timeout(&sub, -1, ret_seq);
}

/* Collision-retry; then the page is used once. */
static inline void fault(read_begin_fn read_begin)
{
	unsigned long seq;
	unsigned int page;

	uhmm_thread_name("device");
	for (;;) {
		if (read_begin(&seq))
			return;
		page = atomic_load_explicit(&pte, memory_order_relaxed);
		pthread_mutex_lock(&lock);
		if (!mmu_interval_read_retry(&sub, seq))
			break;
		pthread_mutex_unlock(&lock);
	}
	spte = page;
	if (atomic_load_explicit(&freed[page], memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "the device reads page %u, which is freed", page);
	pthread_mutex_unlock(&lock);
}

static inline void *device(void *unused)
{
	fault(endless);
	return NULL;
}

static inline void *comes(void *unused)
{
	insert();
	return device(NULL);
}

static inline void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	remap(2);
	return NULL;
}

#endif
