/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "present.h"

#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../mm/live/live.h"
#include "../mm/live/uapi.h"

static int pagemap = -1, statm = -1;

void present_open(void)
{
	if (pagemap >= 0)
		close(pagemap);
	if (statm >= 0)
		close(statm);
	pagemap = live_open_high("/proc/self/pagemap");
	statm = live_open_high("/proc/self/statm");
}

unsigned long present_next(unsigned long start, unsigned long end)
{
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.max_pages = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	int n = ioctl(pagemap, PAGEMAP_SCAN, &scan);

	/* Without the call every page may be. */
	if (n < 0)
		return start;
	return n ? region.start : end;
}

/* The second number of statm; 0: it cannot be read. */
static unsigned long resident(void)
{
	unsigned long pages = 0;
	char text[128], *at = text;
	ssize_t n = pread(statm, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	while (*at && *at != ' ')
		at++;
	for (at += *at == ' '; *at >= '0' && *at <= '9'; at++)
		pages = pages * 10 + (unsigned long)(*at - '0');
	return pages;
}

void present_count(struct board_counts *counts, unsigned long mirrored)
{
	unsigned long pages = resident();

	counts->mirrored += pages ? mirrored : 0;
	counts->resident += pages;
}
