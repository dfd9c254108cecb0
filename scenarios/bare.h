/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios of the library's barriers share: a bare address space, a
 * page of it, and views of that page. All runs under C11's memory model, and
 * each is as small as lets one barrier be missed.
 */
#ifndef SCENARIOS_BARE_H
#define SCENARIOS_BARE_H

#include <stdatomic.h>
#include <stdlib.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "threads.h"

/* @calls is written by callbacks and by nobody else, until it is removed. */
struct view {
	struct mmu_interval_notifier sub;
	unsigned int calls;
};

static struct mm_struct *mm;
static atomic_uint pte = 1;			/* the process's */
static atomic_bool freed[8];

static inline bool called(struct mmu_interval_notifier *sub,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	((struct view *)sub)->calls++;
	return true;
}

static const struct mmu_interval_notifier_ops ops = { .invalidate = called };

static inline void begin(void)
{
	if (uhmm_mm_create(&mm))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no address space");
}

static inline struct view *view_at(unsigned long start,
				   const struct mmu_interval_notifier_ops *how)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view || mmu_interval_notifier_insert(&view->sub, mm, start, PAGE,
						  how))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no view");
	return view;
}

static inline void view_gone(struct view *view)
{
	mmu_interval_notifier_remove(&view->sub);
	free(view);
}

static inline void range_start(struct mmu_notifier_range *range,
			       unsigned long start, unsigned long length)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, mm, start,
				start + length);
	mmu_notifier_invalidate_range_start(range);
}

static inline void invalidate(unsigned long start, unsigned long length)
{
	struct mmu_notifier_range range;

	range_start(&range, start, length);
	mmu_notifier_invalidate_range_end(&range);
}

/* Page @page takes the place of what was mapped, which is freed. */
static inline void change(unsigned int page)
{
	unsigned int old = atomic_exchange_explicit(&pte, page,
						    memory_order_relaxed);

	atomic_store_explicit(&freed[old], true, memory_order_relaxed);
}

static inline void remap(unsigned int page)
{
	struct mmu_notifier_range range;

	range_start(&range, HERE, PAGE);
	change(page);
	mmu_notifier_invalidate_range_end(&range);
}

/* Names and runs of these are read by scripts/gen_scenarios.py too. */
#define ORDERED(NAME, BAD) \
	UHMM_SCENARIO(ordered_##NAME, .run = NAME, .bad = BAD, \
		      .model = UHMM_MODEL_C11, .result = UHMM_RESULT_NEVER, \
		      .source = "mail, 7 November 2019 (barriers)")
#define ORDERED_RUN(NAME, BAD, SETUP, ...) \
	static void NAME(void) \
	{ \
		SETUP; \
		TOGETHER(__VA_ARGS__); \
	} \
	ORDERED(NAME, BAD)

#endif
