/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a change says to whoever keeps a second view. The machine's lock is
 * dropped while they are called: they may sleep.
 */
#include "internal.h"

void event_start(struct space *space, struct mmu_notifier_range *range,
		 enum mmu_notifier_event event, unsigned long start,
		 unsigned long end, void *owner)
{
	mmu_notifier_range_init_owner(range, event, 0, space->mm, start, end,
				      owner);
	model_drop(space);
	mmu_notifier_invalidate_range_start(range);
	model_retake(space);
}

int event_start_nonblock(struct space *space, struct mmu_notifier_range *range,
			 enum mmu_notifier_event event, unsigned long start,
			 unsigned long end)
{
	int ret;

	mmu_notifier_range_init_owner(range, event, 0, space->mm, start, end,
				      NULL);
	model_drop(space);
	ret = mmu_notifier_invalidate_range_start_nonblock(range);
	model_retake(space);
	return ret;
}

void event_end(struct space *space, struct mmu_notifier_range *range)
{
	model_drop(space);
	mmu_notifier_invalidate_range_end(range);
	model_retake(space);
}

/* Kernels to 6.11 say where an entry was replaced by one of the same rights. */
void event_change_pte(struct space *space, unsigned long addr)
{
	const struct uhmm_model_options *options = &space->model->options;

	if (options->change_pte && options->level == UHMM_KERNEL_6_1)
		options->change_pte(space->mm, addr, options->change_pte_arg);
}

bool event_clear_flush_young(struct space *space, unsigned long addr)
{
	bool young;

	model_drop(space);
	young = mmu_notifier_clear_flush_young(space->mm, addr,
					       addr + PAGE_SIZE);
	model_retake(space);
	return young;
}
