/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "present.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FD_LEAST 600		/* out of the program's way */

/* PAGEMAP_SCAN (6.7), which headers of 2022 lack; see fs.h of later ones. */
struct region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN _IOWR('f', 16, struct scan)
#define IS_PRESENT (1 << 3)

static int pagemap = -1, statm = -1;

static int open_high(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), high;

	if (fd < 0)
		return -1;
	high = fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

void present_open(void)
{
	if (pagemap >= 0)
		close(pagemap);
	if (statm >= 0)
		close(statm);
	pagemap = open_high("/proc/self/pagemap");
	statm = open_high("/proc/self/statm");
}

unsigned long present_next(unsigned long start, unsigned long end)
{
	struct region region;
	struct scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.max_pages = 1,
		.category_mask = IS_PRESENT,
		.return_mask = IS_PRESENT,
	};
	int n = ioctl(pagemap, SCAN, &scan);

	/* Without the call every page may be. */
	if (n < 0)
		return start;
	return n ? region.start : end;
}

/* The second number of statm. */
unsigned long present_resident(void)
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
