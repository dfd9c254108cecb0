/* SPDX-License-Identifier: 0BSD */
/* List notifiers that mirror the page of bare.h. */
#ifndef SCENARIOS_LISTS_H
#define SCENARIOS_LISTS_H

#include "bare.h"

/* @calls as in struct view; @open: invalidations between start and end. */
struct list_view {
	struct mmu_notifier list;
	unsigned int calls;
	atomic_uint open;
};

static struct list_view *view[2];

static inline int list_starts(struct mmu_notifier *list,
			      const struct mmu_notifier_range *range)
{
	struct list_view *v = (struct list_view *)list;

	v->calls++;
	v->open++;
	return 0;
}

static inline void list_ends(struct mmu_notifier *list,
			     const struct mmu_notifier_range *range)
{
	if (!((struct list_view *)list)->open--)
		uhmm_defect(UHMM_DEFECT_ASSERTION, "an end without its start");
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = list_starts,
	.invalidate_range_end = list_ends,
};

static inline struct list_view *
list_view_new(const struct mmu_notifier_ops *how)
{
	struct list_view *v = calloc(1, sizeof(*v));

	v->list.ops = how;
	return v;
}

static inline void registers(struct list_view *v)
{
	if (mmu_notifier_register(&v->list, mm))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "not registered");
}

static inline void list_views(unsigned int n)
{
	begin();
	for (unsigned int i = 0; i < n; i++) {
		view[i] = list_view_new(&list_ops);
		registers(view[i]);
	}
}

static inline void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	remap(2);
	return NULL;
}

#endif
