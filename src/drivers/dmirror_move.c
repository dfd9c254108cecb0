/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* One page that goes: a new one for it, and what is in it. */
#include "dmirror.h"

/* @from 0: there was nothing. */
static void fill(struct mm_struct *mm, unsigned long to, unsigned long from,
		 unsigned int order)
{
	void *bytes;

	for (unsigned long i = 0; i < 1UL << order; i++) {
		bytes = uhmm_page_ptr(mm, to + i);
		if (from)
			uhmm_page_copy(mm, to + i, from + i);
		else if (bytes)
			memset(bytes, 0, UHMM_PAGE_SIZE);
	}
}

bool dmirror_move(struct uhmm_dmirror_device *device, struct mm_struct *mm,
		  const unsigned long *src, unsigned long *dst, bool writable,
		  dmirror_alloc_fn alloc)
{
	unsigned long from = uhmm_migrate_pfn_of(*src), to, i, n;
	unsigned long write = *src & MIGRATE_PFN_WRITE ||
			      (!from && writable) ? MIGRATE_PFN_WRITE : 0;
	unsigned int order = dmirror_order(*src);
	bool all;

	to = alloc(device, mm, order);
	if (to) {
		fill(mm, to, from, order);
		*dst = migrate_pfn(to) | write |
		       (order ? MIGRATE_PFN_COMPOUND : 0);
		return true;
	}
	all = order != 0;
	for (i = 0, n = order ? 1UL << order : 0; i < n; i++) {
		to = alloc(device, mm, 0);
		all &= to != 0;
		if (!to)
			continue;
		fill(mm, to, from ? from + i : 0, 0);
		dst[i] = migrate_pfn(to) | write;
	}
	return all;
}

unsigned long dmirror_device_page(struct uhmm_dmirror_device *device,
				  struct mm_struct *mm, unsigned int order)
{
	return dmirror_alloc(device, order);
}

unsigned long dmirror_system_page(struct uhmm_dmirror_device *device,
				  struct mm_struct *mm, unsigned int order)
{
	unsigned long pfn;

	if (order && dmirror_fails(device))
		return 0;
	return uhmm_page_alloc(mm, order, &pfn) ? 0 : pfn;
}
