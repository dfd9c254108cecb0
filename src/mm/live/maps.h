/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Where a file is mapped, by /proc/self/maps. Nothing is allocated, and no thread
 * is cancelled here.
 */
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

/* A file that is mapped; @ino 0: none. */
struct maps_file {
	dev_t dev;
	ino_t ino;
};

/* The area that holds @addr. False: none does. */
bool maps_find_area(unsigned long addr, struct maps_area *ret);
/*
 * All areas of a file, @file as stat() has it. True if there is one. Some file
 * systems tell another device there than here: where none has the right one, its
 * number alone counts, and too much may be found.
 */
bool maps_find_file(const struct maps_file *file, struct live_extent *ret);
/* The file that is mapped at @addr, and all its areas. False: there is none. */
bool maps_find_same(unsigned long addr, struct maps_file *ret_file,
		    struct live_extent *ret);

#endif
