/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages that a device has to itself until a CPU touches them.
 */
#include "internal.h"

#include <errno.h>

#include <uhmm/migrate.h>

#include "check.h"

static bool can_be_exclusive(const struct mm_struct *mm)
{
	return mm->ops->page_get && mm->ops->page_put &&
	       mm->ops->make_exclusive && mm->ops->page_unlock;
}

int make_device_exclusive(struct mm_struct *mm, unsigned long addr, void *owner,
			  unsigned long *ret_pfn)
{
	unsigned long pfn;
	int ret;

	if (!ret_pfn)
		return -EINVAL;
	if (!can_be_exclusive(mm))
		return -EOPNOTSUPP;
	check_might_sleep("make_device_exclusive", CHECK_FROM);
	mmap_assert_locked(mm);
	addr &= ~(UHMM_PAGE_SIZE - 1);
	/* Until the page that was found is still the page. */
	do {
		ret = uhmm_page_get(mm, addr, UHMM_FAULT_WRITE, &pfn);
		if (ret)
			return ret;
		ret = mm->ops->make_exclusive(mm, addr, pfn, owner);
		if (ret)
			uhmm_page_put(mm, pfn, UHMM_FAULT_WRITE);
	} while (ret == -EAGAIN);
	if (!ret)
		*ret_pfn = pfn;
	return ret;
}

int make_device_exclusive_range(struct mm_struct *mm, unsigned long start,
				unsigned long end, unsigned long *pfns,
				void *owner)
{
	unsigned long n, i, addr;
	int ret = 0;

	if (!pfns || start >= end || (start | end) & (UHMM_PAGE_SIZE - 1))
		return -EINVAL;
	if (!can_be_exclusive(mm))
		return -EOPNOTSUPP;
	check_might_sleep("make_device_exclusive_range", CHECK_FROM);
	mmap_assert_locked(mm);
	for (n = 0, addr = start; addr < end; n++, addr += UHMM_PAGE_SIZE) {
		ret = uhmm_page_get(mm, addr, UHMM_FAULT_WRITE, pfns + n);
		if (ret)
			break;
	}
	if (!n)
		return ret;
	for (i = 0, addr = start; i < n; i++, addr += UHMM_PAGE_SIZE) {
		if (!mm->ops->make_exclusive(mm, addr, pfns[i], owner))
			continue;
		uhmm_page_put(mm, pfns[i], UHMM_FAULT_WRITE);
		pfns[i] = 0;
	}
	return (int)n;
}

void uhmm_device_exclusive_put(struct mm_struct *mm, unsigned long pfn)
{
	mm->ops->page_unlock(mm, pfn);
	uhmm_page_put(mm, pfn, UHMM_FAULT_WRITE);
}
