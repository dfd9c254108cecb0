/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Watching pieces of the address space.
 */
#include "live.h"

#include <errno.h>

int uhmm_live_watch(struct mm_struct *mm, unsigned long start,
		    unsigned long length)
{
	struct live *live = live_of(mm);
	unsigned long end;

	if (!live || __builtin_add_overflow(start, length, &end))
		return -EINVAL;
	return READ_ONCE(live->ended) ? -ESRCH : -EOPNOTSUPP;
}

bool uhmm_live_pending(struct mm_struct *mm, unsigned long start,
		       unsigned long length)
{
	return false;
}
