/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* HMM_DMIRROR_EXCLUSIVE: pages that no CPU touches while the device has them. */
#include "dmirror.h"

/* What was had is let go; true if all of it is in the mirror now. */
static bool take(struct uhmm_dmirror *dmirror, unsigned long addr,
		 const unsigned long *pfns, int n, bool install)
{
	bool all = true;

	pthread_mutex_lock(&dmirror->lock);
	for (int i = 0; i < n && install; i++)
		all &= pfns[i] &&
		       dmirror_install(dmirror, addr +
				       ((unsigned long)i << UHMM_PAGE_SHIFT),
				       entry_of(pfns[i],
						UHMM_DMIRROR_PT_ATOMIC));
	pthread_mutex_unlock(&dmirror->lock);
	for (int i = 0; i < n; i++)
		if (pfns[i])
			uhmm_device_exclusive_put(dmirror->mm, pfns[i]);
	return all && install;
}

/* As Linux 6.1: all of a batch, or none of it is in the mirror. */
static int take_batch(struct uhmm_dmirror *dmirror, unsigned long addr,
		      unsigned long end)
{
	unsigned long pfns[MOST_PAGES];
	int n, want = (int)((end - addr) >> UHMM_PAGE_SHIFT);

	n = make_device_exclusive_range(dmirror->mm, addr, end, pfns, NULL);
	if (n == -EOPNOTSUPP)
		return n;
	return take(dmirror, addr, pfns, n, n == want) ? 0 : -EBUSY;
}

static int take_one(struct uhmm_dmirror *dmirror, unsigned long addr,
		    unsigned long end)
{
	unsigned long pfn;
	int ret = make_device_exclusive(dmirror->mm, addr, NULL, &pfn);

	if (ret)
		return ret;
	return take(dmirror, addr, &pfn, 1, true) ? 0 : -EBUSY;
}

int dmirror_exclusive(struct uhmm_dmirror *dmirror, unsigned long addr,
		      unsigned long end)
{
	bool newest = dmirror->device->how.newest;
	unsigned long next;
	int ret;

	if (!mmget_not_zero(dmirror->mm))
		return -EINVAL;
	ret = dmirror_prepare(dmirror, addr, end);
	if (ret)
		goto out;
	dmirror_run(dmirror, addr, end, false);
	mmap_read_lock(dmirror->mm);
	for (; addr < end && !ret; addr = next) {
		next = newest ? addr + UHMM_PAGE_SIZE :
				dmirror_batch_end(dmirror, addr, end);
		ret = (newest ? take_one : take_batch)(dmirror, addr, next);
	}
	mmap_read_unlock(dmirror->mm);
	dmirror_run_end(dmirror);
out:
	mmput(dmirror->mm);
	return ret;
}

int dmirror_check_exclusive(struct uhmm_dmirror *dmirror, unsigned long addr,
			    unsigned long end)
{
	int ret = 0;

	pthread_mutex_lock(&dmirror->lock);
	for (; addr < end && !ret; addr += UHMM_PAGE_SIZE)
		if (right_of(dmirror_get(dmirror, addr)) ==
		    UHMM_DMIRROR_PT_ATOMIC)
			ret = -EPERM;
	pthread_mutex_unlock(&dmirror->lock);
	return ret;
}
