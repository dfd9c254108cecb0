// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* No address space is live where the library is explored. */
#include <errno.h>

#include <uhmm/live.h>

int uhmm_live_get_info(struct mm_struct *mm, struct uhmm_live_info *ret_info)
{
	return -EINVAL;
}

enum uhmm_guarantee uhmm_live_guarantee(struct mm_struct *mm)
{
	return UHMM_GUARANTEE_NONE;
}

bool uhmm_live_pending(struct mm_struct *mm, unsigned long start,
		       unsigned long length)
{
	return false;
}

int uhmm_live_watch(struct mm_struct *mm, unsigned long start,
		    unsigned long length)
{
	return -EINVAL;
}

int uhmm_live_patch(enum uhmm_guarantee reach, const char **ret_reason)
{
	return -EOPNOTSUPP;
}
