/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-two-models.c, no message-id: may a callback wait for a GPU? It
 * has to, but "without having to hold some driver lock": the job that is waited
 * for may need that lock before it can signal its fence.
 *
 * Bad: deadlock
 * Result: Sometimes fence_locked
 * Result: Never fence_unlocked
 */
#include "device.h"

static pthread_mutex_t fence = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t signalled = PTHREAD_COND_INITIALIZER;
static bool done, locked;

static void fence_wait(void)
{
	pthread_mutex_lock(&fence);
	while (!done)
		pthread_cond_wait(&signalled, &fence);
	pthread_mutex_unlock(&fence);
}

static void *job(void *unused)
{
	uhmm_thread_name("job");
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
	pthread_mutex_lock(&fence);
	done = true;
	pthread_cond_broadcast(&signalled);
	pthread_mutex_unlock(&fence);
	return NULL;
}

static bool stop(struct design_sub *s, unsigned long from, unsigned long to,
		 bool blockable, enum mmu_notifier_event event, void *owner,
		 unsigned long cur_seq)
{
	pthread_mutex_lock(&lock);
	design->set_seq(s, cur_seq);
	if (locked)
		fence_wait();
	pthread_mutex_unlock(&lock);
	if (!locked)
		fence_wait();
	return true;
}

static void run(bool with_lock)
{
	locked = with_lock;
	begin(&uhmm_as_uhmm);
	client.invalidate = stop;
	TOGETHER(job, unmap);
}

static void fence_locked(void)
{
	run(true);
}

static void fence_unlocked(void)
{
	run(false);
}

#define FROM .source = "mail, 15 August 2019 (models)", .bad = "deadlock"

UHMM_SCENARIO(fence_locked, FROM, .run = fence_locked,
	      .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(fence_unlocked, FROM, .run = fence_unlocked,
	      .result = UHMM_RESULT_NEVER);
