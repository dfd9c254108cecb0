/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Where a file is mapped, by /proc/self/maps; nothing is allocated. */
#ifndef LIVE_MAPS_H
#define LIVE_MAPS_H

#include <stdbool.h>
#include <sys/types.h>

/* From the first to the last byte of something; start >= end: nothing. */
struct live_extent {
	unsigned long start;
	unsigned long end;
};

static inline void extent_add(struct live_extent *e, unsigned long start,
			      unsigned long end)
{
	if (start < e->start)
		e->start = start;
	if (end > e->end)
		e->end = end;
}

/* As a line has it. */
struct maps_area {
	unsigned long start;
	unsigned long end;
	bool anonymous;
	char perms[4];
};

/* The area that holds @addr. False: none does. */
bool maps_find_area(unsigned long addr, struct maps_area *ret);
/* All areas of a file. True if there is one. */
bool maps_find_file(dev_t dev, ino_t ino, struct live_extent *ret);
/* All areas of the file that is mapped at @addr. False: there is none. */
bool maps_find_same(unsigned long addr, struct live_extent *ret);

#endif
