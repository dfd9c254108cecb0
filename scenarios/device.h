/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios share: a page of a process, a device that mirrors it, and
 * between the two any of the schemes in src/designs.
 *
 * A page table entry is the number of a page, 0: none. Who unmaps frees the
 * page once start has returned, since then no device uses it any more.
 */
#ifndef SCENARIOS_DEVICE_H
#define SCENARIOS_DEVICE_H

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include <uhmm/explore.h>

#include "designs/design.h"
#include "threads.h"

static const struct uhmm_design *design;
static struct design_mm *mm;
static struct design_client client;
static struct design_sub sub;			/* of the page at HERE */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* the driver's */
static atomic_uint pte = 1;			/* the process's */
static unsigned int spte;			/* the device's, under lock */
static atomic_bool freed[8];

static bool zap(struct design_sub *zapped, unsigned long start,
		unsigned long end, bool blockable,
		enum mmu_notifier_event event, void *owner,
		unsigned long cur_seq)
{
	pthread_mutex_lock(&lock);
	design->set_seq(zapped, cur_seq);
	spte = 0;
	pthread_mutex_unlock(&lock);
	return true;
}

/* Makes an address space, unless the scenario has made one. */
static inline void begin(const struct uhmm_design *of)
{
	design = of;
	client.invalidate = zap;
	if ((!mm && design->mm_create(&mm)) || design->prepare(&client) ||
	    design->insert(&sub, mm, HERE, PAGE, &client))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no address space");
}

/* Collision-retry, as each driver has it. Returns how often it went round. */
static inline unsigned int fault(void)
{
	unsigned int page, again;
	unsigned long seq;

	for (again = 0;; again++) {
		seq = design->read_begin(&sub);
		page = atomic_load_explicit(&pte, memory_order_relaxed);
		pthread_mutex_lock(&lock);
		if (!design->read_retry(&sub, seq))
			break;
		pthread_mutex_unlock(&lock);
	}
	spte = page;
	pthread_mutex_unlock(&lock);
	return again;
}

static inline void use(void)
{
	pthread_mutex_lock(&lock);
	if (atomic_load_explicit(&freed[spte], memory_order_relaxed))
		uhmm_defect(UHMM_DEFECT_STALE,
			    "the device reads page %u, which is freed", spte);
	pthread_mutex_unlock(&lock);
}

static inline void start(struct design_range *range, unsigned long at)
{
	design->start(range, mm, at, at + PAGE, true, MMU_NOTIFY_UNMAP, NULL);
}

/* Page @page takes the place of what was mapped, which is freed. */
static inline void remap(unsigned int page)
{
	struct design_range range;
	unsigned int old;

	start(&range, HERE);
	old = atomic_exchange_explicit(&pte, page, memory_order_relaxed);
	atomic_store_explicit(&freed[old], true, memory_order_relaxed);
	design->end(&range);
}

/* ------------------------------------------------------------ as threads */

static inline void *device(void *unused)
{
	uhmm_thread_name("device");
	fault();
	use();
	return NULL;
}

static inline void *unmap(void *page)
{
	uhmm_thread_name("unmap");
	remap((unsigned long)page);
	return NULL;
}

/* A scenario for one of the designs: NAME_DESIGN runs FN(&uhmm_as_DESIGN). */
#define SCENARIO_OF(...) SCENARIO_OF_(__VA_ARGS__)
#define SCENARIO_OF_(DESIGN, RESULT, NAME, FN, SOURCE, BAD) \
	static void run_##NAME##_##DESIGN(void) \
	{ \
		FN(&uhmm_as_##DESIGN); \
	} \
	UHMM_SCENARIO(NAME##_##DESIGN, .run = run_##NAME##_##DESIGN, \
		      .source = SOURCE, .bad = BAD, \
		      .result = UHMM_RESULT_##RESULT)

/* One for each, and what comes out. */
#define SCENARIOS(UHMM, CLASSIC, ACTIVE_LIST, VALID_FLAG, VALID_BOOL, ...) \
	SCENARIO_OF(uhmm, UHMM, __VA_ARGS__); \
	SCENARIO_OF(classic, CLASSIC, __VA_ARGS__); \
	SCENARIO_OF(active_list, ACTIVE_LIST, __VA_ARGS__); \
	SCENARIO_OF(valid_flag, VALID_FLAG, __VA_ARGS__); \
	SCENARIO_OF(valid_bool, VALID_BOOL, __VA_ARGS__)

#endif
