/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The collision-retry protocol in a few lines, correct and not: one fault
 * against some invalidations. What the explorer is measured by; protocol.pml
 * is the same as a model.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <uhmm/explore.h>

#define PAGES 8

enum variant { GOOD, VALID_BOOL, VALID_COUNT, READ_UNDER_LOCK, LOST_WAKEUP };

static struct {
	enum variant variant;
	unsigned int invalidators;
	pthread_mutex_t lock, user_lock;
	pthread_cond_t wq;
	atomic_uint seq, sub_seq;	/* seq: odd while one is active */
	unsigned int active;		/* under lock */
	atomic_bool valid;
	atomic_int pte, spte;
	atomic_int freed[PAGES];
	atomic_int next;
} p;

/* The wait is on the real condition variable. */
static unsigned int read_begin(void)
{
	unsigned int seq;

	pthread_mutex_lock(&p.lock);
	seq = p.sub_seq;
	while (seq == p.seq) {
		if (p.variant == LOST_WAKEUP) {
			pthread_mutex_unlock(&p.lock);
			pthread_mutex_lock(&p.lock);
		}
		pthread_cond_wait(&p.wq, &p.lock);
	}
	pthread_mutex_unlock(&p.lock);
	return seq;
}

static bool still_holds(unsigned int seq)
{
	if (p.variant == VALID_BOOL || p.variant == VALID_COUNT)
		return p.valid;
	return p.sub_seq == seq;
}

static void *fault(void *arg)
{
	unsigned int seq;
	int page;

	for (;;) {
		if (p.variant == READ_UNDER_LOCK)
			pthread_mutex_lock(&p.user_lock);
		seq = read_begin();
		page = atomic_load_explicit(&p.pte, memory_order_relaxed);
		if (p.variant != READ_UNDER_LOCK)
			pthread_mutex_lock(&p.user_lock);
		if (still_holds(seq))
			break;
		pthread_mutex_unlock(&p.user_lock);
	}
	p.spte = page;
	if (p.freed[page])
		uhmm_defect(UHMM_DEFECT_STALE, "the device uses page %d", page);
	pthread_mutex_unlock(&p.user_lock);
	return NULL;
}

static void *invalidate(void *arg)
{
	int page, old;
	unsigned int seq;

	pthread_mutex_lock(&p.lock);
	p.active++;
	p.seq |= 1;
	seq = p.seq;
	pthread_mutex_unlock(&p.lock);

	pthread_mutex_lock(&p.user_lock);
	p.valid = false;
	p.sub_seq = seq;
	p.spte = 0;
	pthread_mutex_unlock(&p.user_lock);

	page = atomic_fetch_add(&p.next, 1);
	old = atomic_exchange(&p.pte, page);
	p.freed[old] = 1;

	pthread_mutex_lock(&p.lock);
	if (!--p.active)
		p.seq++;
	if (!p.active || p.variant == VALID_BOOL)
		p.valid = true;
	pthread_cond_broadcast(&p.wq);
	pthread_mutex_unlock(&p.lock);
	return NULL;
}

static void setup(enum variant variant, unsigned int invalidators)
{
	pthread_t t[8];

	p.variant = variant;
	p.invalidators = invalidators;
	pthread_mutex_init(&p.lock, NULL);
	pthread_mutex_init(&p.user_lock, NULL);
	pthread_cond_init(&p.wq, NULL);
	p.seq = 2;
	p.sub_seq = 1;
	p.valid = true;
	p.pte = 1;
	p.next = 2;
	uhmm_name(&p.lock, sizeof(p.lock), "lock");
	uhmm_name(&p.user_lock, sizeof(p.user_lock), "user_lock");
	pthread_create(&t[0], NULL, fault, NULL);
	for (unsigned int i = 1; i <= invalidators; i++)
		pthread_create(&t[i], NULL, invalidate, NULL);
	for (unsigned int i = 0; i <= invalidators; i++)
		pthread_join(t[i], NULL);
}

#define RUN(name, variant, n, want, how_often) \
	static void run_##name(void) \
	{ \
		setup(variant, n); \
	} \
	UHMM_SCENARIO(name, .run = run_##name, .bad = want, \
		      .result = UHMM_RESULT_##how_often, \
		      .flags = UHMM_SCENARIO_SYMMETRIC)

RUN(good1, GOOD, 1, "stale access", NEVER);
RUN(good2, GOOD, 2, "stale access", NEVER);
RUN(good3, GOOD, 3, "stale access", NEVER);
RUN(good4, GOOD, 4, "stale access", NEVER);
RUN(valid_bool, VALID_BOOL, 2, "stale access", SOMETIMES);
RUN(valid_count, VALID_COUNT, 2, "stale access", SOMETIMES);
RUN(read_under_lock, READ_UNDER_LOCK, 2, "lock held across a wait", SOMETIMES);
RUN(waits_too_late, LOST_WAKEUP, 2, "lost wakeup", SOMETIMES);
