/* SPDX-License-Identifier: 0BSD */
/*
 * The kernel's scheme in sixty lines, without the tree: one sequence, odd while
 * anything is invalidated, one lock, one queue.
 */
#ifndef SCENARIOS_PROTOCOL_H
#define SCENARIOS_PROTOCOL_H

#include <pthread.h>
#include <stdatomic.h>

#include <uhmm/explore.h>

static pthread_mutex_t mm_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wq = PTHREAD_COND_INITIALIZER;
static unsigned int active;			/* under mm_lock */
static atomic_uint seq = 2;			/* written under mm_lock */
static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int sub_seq = 1;		/* these two under user_lock */
static unsigned int spte;
static atomic_uint pte = 1;
static atomic_bool freed[8];
static memory_order look = memory_order_acquire;	/* of the wait */

static inline unsigned int read_begin(void)
{
	unsigned int got;

	pthread_mutex_lock(&user_lock);
	got = sub_seq;
	pthread_mutex_unlock(&user_lock);
	if (atomic_load_explicit(&seq, look) != got)
		return got;
	pthread_mutex_lock(&mm_lock);
	while (atomic_load_explicit(&seq, memory_order_relaxed) == got)
		pthread_cond_wait(&wq, &mm_lock);
	pthread_mutex_unlock(&mm_lock);
	return got;
}

static void *fault(void *unused)
{
	unsigned int got, page;

	uhmm_thread_name("fault");
	for (;;) {
		got = read_begin();
		page = atomic_load_explicit(&pte, memory_order_relaxed);
		pthread_mutex_lock(&user_lock);
		if (sub_seq == got)
			break;
		pthread_mutex_unlock(&user_lock);
	}
	spte = page;
	if (atomic_load_explicit(&freed[spte], memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "the device reads page %u, which is freed", spte);
	pthread_mutex_unlock(&user_lock);
	return NULL;
}

static void *invalidate(void *page)
{
	unsigned int old, cur;

	uhmm_thread_name("inval");
	pthread_mutex_lock(&mm_lock);
	active++;
	cur = atomic_load_explicit(&seq, memory_order_relaxed) | 1;
	atomic_store_explicit(&seq, cur, memory_order_release);
	pthread_mutex_unlock(&mm_lock);
	pthread_mutex_lock(&user_lock);
	sub_seq = cur;
	spte = 0;
	pthread_mutex_unlock(&user_lock);
	old = atomic_exchange_explicit(&pte, (unsigned int)(unsigned long)page,
				       memory_order_relaxed);
	atomic_store_explicit(&freed[old], 1, memory_order_relaxed);
	pthread_mutex_lock(&mm_lock);
	if (!--active) {
		atomic_fetch_add_explicit(&seq, 1, memory_order_release);
		pthread_cond_broadcast(&wq);
	}
	pthread_mutex_unlock(&mm_lock);
	return NULL;
}

#endif
