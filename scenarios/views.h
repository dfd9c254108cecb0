/* SPDX-License-Identifier: 0BSD */
/* Views of neighbouring pages, that an invalidation hits and others remove. */
#ifndef SCENARIOS_VIEWS_H
#define SCENARIOS_VIEWS_H

#include "bare.h"

#define MANY 16		/* more than one leaf of the index has room for */

static struct view *view[MANY];

static inline void views(unsigned int n, unsigned long distance,
			 const struct mmu_interval_notifier_ops *how)
{
	begin();
	for (unsigned int i = 0; i < n; i++)
		view[i] = view_at(HERE + i * distance, how);
}

static inline void *removes(struct view *which)
{
	uhmm_thread_name("remove");
	view_gone(which);
	return NULL;
}

static inline void *removes_first(void *unused)
{
	return removes(view[0]);
}

static inline void *removes_second(void *unused)
{
	return removes(view[1]);
}

static inline void *unmaps(void *unused)
{
	uhmm_thread_name("unmap");
	invalidate(HERE, MANY * PAGE);
	return NULL;
}

#endif
