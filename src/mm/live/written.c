/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which pages were written: the kernel (6.7) protects pages of what is watched,
 * takes the protection away at the first write by itself, and says where it is
 * gone. Looking and protecting again are one step for each page, so no write
 * falls between them.
 *
 * What is taken under watch anew has no protection, and counts as written.
 */
#include "live.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "uapi.h"
#include "watch.h"

#define REGIONS 64
#define TRIES 16
#define SETTLE_NS 1000000
#define WORD_BITS (8 * sizeof(unsigned long))

struct written {
	unsigned long start, at, end, *bitmap;
	long n;
};

static void note(struct written *w, unsigned long start, unsigned long end)
{
	size_t i = (start - w->start) / LIVE_PAGE;
	size_t last = (end - w->start) / LIVE_PAGE;

	for (; i < last; i++, w->n++)
		w->bitmap[i / WORD_BITS] |= 1UL << i % WORD_BITS;
}

/* From @w->at on, which moves. 0, or -errno; -EPERM: not watched any more. */
static int scan(struct live *live, struct written *w, unsigned int flags)
{
	struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_CHECK_WPASYNC |
			 (flags & UHMM_WRITTEN_CLEAR ? PM_SCAN_WP_MATCHING : 0),
		.end = w->end,
		.vec = (unsigned long)regions,
		.vec_len = REGIONS,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int i, n;

	while (w->at < w->end) {
		arg.start = w->at;
		n = ioctl(live->pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++)
			note(w, regions[i].start, regions[i].end);
		w->at = arg.walk_end;
	}
	return 0;
}

long uhmm_live_written(struct mm_struct *mm, unsigned long start,
		       size_t npages, unsigned int flags, unsigned long *bitmap)
{
	const unsigned int needs = UHMM_LIVE_WP_ASYNC | UHMM_LIVE_PAGEMAP_SCAN;
	struct written w = { .start = start, .at = start, .bitmap = bitmap };
	struct live *live = live_of(mm);
	unsigned long length;
	int ret = -EAGAIN;

	if (!live || !bitmap || !npages || start % LIVE_PAGE ||
	    flags & ~UHMM_WRITTEN_CLEAR ||
	    __builtin_mul_overflow(npages, LIVE_PAGE, &length) ||
	    __builtin_add_overflow(start, length, &w.end))
		return -EINVAL;
	if ((live->features & needs) != needs)
		return -EOPNOTSUPP;
	memset(bitmap, 0, (npages + WORD_BITS - 1) / WORD_BITS *
				  sizeof(*bitmap));
	for (int i = 0; i < TRIES && (ret == -EAGAIN || ret == -EPERM); i++) {
		ret = uhmm_live_watch(mm, w.at, w.end - w.at);
		if (!ret)
			ret = scan(live, &w, flags);
		/* It has come anew; the event that says so is on its way. */
		if (ret == -EPERM)
			monitor_settle(live, SETTLE_NS);
	}
	if (ret && w.at == start)
		return ret == -EPERM ? -EOPNOTSUPP : ret;
	/* What was looked at may be protected again: the rest is too much. */
	note(&w, w.at, w.end);
	return w.n;
}
