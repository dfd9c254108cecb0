/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Without liburing: nothing is pinned. */
#include "replay.h"

const bool pins_can_be = false;

int pins_add(struct mm_struct *mm, unsigned long addr, size_t npages,
	     bool write)
{
	return -EOPNOTSUPP;
}

int pins_drop(struct mm_struct *mm, int id)
{
	return -ENOENT;
}

int pins_access(struct mm_struct *mm, int id, size_t page, void *buf,
		bool write)
{
	return -ENOENT;
}
