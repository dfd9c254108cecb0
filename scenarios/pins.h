/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios of the registration cache's barriers share: a cache on a
 * bare address space, and a device whose registrations are pins on the heap,
 * written when they are made and freed when they end, so that whoever uses one
 * without an order to either is found out. All runs under C11's memory model.
 *
 * The first thread, which has used the cache before and so finds at once, does its
 * part beside the others.
 */
#ifndef SCENARIOS_PINS_H
#define SCENARIOS_PINS_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

#include "threads.h"

struct pin {
	unsigned long start;
	size_t length;
};

static struct mm_struct *mm;
static struct uhmm_rcache *cache;
static unsigned int memory = 1;		/* the process's */
static __thread bool refusing;		/* deregistrations by this thread fail */

static inline int pin(void *unused, unsigned long start, size_t length,
		      unsigned int access, uint64_t *ret_key)
{
	struct pin *pin = malloc(sizeof(*pin));

	if (!pin)
		return -1;
	pin->start = start;
	pin->length = length;
	*ret_key = (uintptr_t)pin;
	return 0;
}

static inline int unpin(void *unused, unsigned long start, size_t length,
			uint64_t key)
{
	uhmm_assert(memory);
	if (refusing)
		return -EBUSY;
	free((struct pin *)(uintptr_t)key);
	return 0;
}

/* The device uses what was got, which is what it says. */
static inline void use(const struct uhmm_registration *reg)
{
	const struct pin *pin = (const struct pin *)(uintptr_t)reg->key;

	uhmm_assert(pin->start == reg->start);
	uhmm_assert(pin->length == reg->length);
}

static inline void get(unsigned long at, size_t length,
		       struct uhmm_registration *ret_reg)
{
	if (uhmm_rcache_get(cache, at, length, UHMM_RCACHE_WRITE, ret_reg))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no registration");
}

static inline void get_and_use(unsigned long at, size_t length)
{
	struct uhmm_registration reg;

	get(at, length, &reg);
	use(&reg);
	uhmm_rcache_put(&reg);
}

static inline void here(void)
{
	get_and_use(HERE, PAGE);
}

static inline void two_pages(void)
{
	get_and_use(HERE, 2 * PAGE);
}

/* Only behind a get that found are hints looked at. */
static inline void twice(void (*gets)(void))
{
	gets();
	gets();
}

static inline void begin(void)
{
	static const struct uhmm_rcache_ops ops = { .reg = pin, .dereg = unpin };

	if (uhmm_mm_create(&mm) ||
	    uhmm_rcache_create(mm, &ops, NULL, NULL, &cache))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no cache");
}

static inline void range_start(struct mmu_notifier_range *range,
			       unsigned long start, size_t length)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, mm, start,
				start + length);
	mmu_notifier_invalidate_range_start(range);
}

static inline void invalidate(unsigned long start, size_t length)
{
	struct mmu_notifier_range range;

	range_start(&range, start, length);
	mmu_notifier_invalidate_range_end(&range);
}

/* ------------------------------------------------------------ as threads */

static inline void *unmaps(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, PAGE);
	return NULL;
}

static inline void *flushes(void *unused)
{
	uhmm_thread_name("flush");
	uhmm_rcache_flush(cache, HERE, PAGE);
	return NULL;
}

/* The first thread does its part beside the others. */
static inline void beside(unsigned int n, void *(*const others[])(void *),
			  void (*mine)(void))
{
	pthread_t thread[UHMM_EXPLORE_THREADS];
	unsigned int i;

	for (i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, others[i], NULL);
	uhmm_thread_name("user");
	mine();
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
}

/* Names of these are read by scripts/gen_scenarios.py too. */
#define ORDERED_RUN(NAME, BAD, SETUP, MINE, ...) \
	static void NAME(void) \
	{ \
		begin(); \
		SETUP; \
		beside(sizeof((void *(*[])(void *)){ __VA_ARGS__ }) / \
		       sizeof(void *), \
		       (void *(*const[])(void *)){ __VA_ARGS__ }, MINE); \
	} \
	ORDERED(NAME, BAD)
#define ORDERED(NAME, BAD) \
	UHMM_SCENARIO(ordered_##NAME, .run = NAME, .bad = BAD, \
		      .model = UHMM_MODEL_C11, .result = UHMM_RESULT_NEVER, \
		      .source = "mail, 7 November 2019 (barriers)")

#endif
