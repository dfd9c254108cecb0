/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Areas: one ioctl where the kernel has it (6.11), else /proc/self/maps read
 * from its beginning. Nothing is allocated.
 */
#include "live.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "uapi.h"

#define MAPS_BUFFER 2048

/* No page of these can be had otherwise than by the CPU. */
static bool is_special(const char *name)
{
	return !strncmp(name, "[vvar", 5) || !strcmp(name, "[vsyscall]");
}

/* One of the kernel's own, or of System V shared memory? */
static bool has_a_name_that_counts(const struct procmap_query *q)
{
	return q->inode ? q->vma_flags & PROCMAP_QUERY_VMA_SHARED && !q->dev_major :
			  !(q->vma_flags & PROCMAP_QUERY_VMA_WRITABLE);
}

static int area_query(struct live *live, unsigned long addr,
		      struct live_area *area)
{
	struct procmap_query q = {
		.size = sizeof(q),
		.query_flags = PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
		.query_addr = addr,
	};
	unsigned long flags = 0;

	area->name[0] = '\0';
	if (ioctl(live->maps, PROCMAP_QUERY, &q))
		return errno == ENOENT ? -ENOENT : -EIO;
	if (has_a_name_that_counts(&q)) {
		q.query_addr = q.vma_start;
		q.vma_name_size = sizeof(area->name);
		q.vma_name_addr = (unsigned long)area->name;
		if (ioctl(live->maps, PROCMAP_QUERY, &q))
			return errno == ENOENT ? -ENOENT : -EIO;
	}
	if (q.vma_flags & PROCMAP_QUERY_VMA_READABLE)
		flags |= UHMM_VM_READ;
	if (q.vma_flags & PROCMAP_QUERY_VMA_WRITABLE)
		flags |= UHMM_VM_WRITE;
	if (q.vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE)
		flags |= UHMM_VM_EXEC;
	if (q.vma_flags & PROCMAP_QUERY_VMA_SHARED)
		flags |= UHMM_VM_SHARED;
	if (!q.inode && !q.dev_major && !q.dev_minor)
		flags |= UHMM_VM_ANON;
	if (q.vma_page_size > LIVE_PAGE)
		flags |= UHMM_VM_HUGETLB;
	area->vma.start = q.vma_start;
	area->vma.end = q.vma_end;
	area->vma.flags = flags;
	area->page_size = q.vma_page_size;
	return 0;
}

/* One line of maps, NUL-terminated. */
static bool parse_line(const char *line, struct live_area *area)
{
	unsigned int major, minor;
	unsigned long inode;
	char perm[5];
	int name = 0;

	if (sscanf(line, "%lx-%lx %4s %*x %x:%x %lu %n", &area->vma.start,
		   &area->vma.end, perm, &major, &minor, &inode, &name) < 6)
		return false;
	area->vma.flags = (perm[0] == 'r' ? UHMM_VM_READ : 0) |
			  (perm[1] == 'w' ? UHMM_VM_WRITE : 0) |
			  (perm[2] == 'x' ? UHMM_VM_EXEC : 0) |
			  (perm[3] == 's' ? UHMM_VM_SHARED : 0) |
			  (!inode && !major && !minor ? UHMM_VM_ANON : 0);
	area->page_size = LIVE_PAGE;
	snprintf(area->name, sizeof(area->name), "%s", line + name);
	/* The kernel's own mount of huge pages; a file's name is its user's. */
	if (!strncmp(area->name, "/anon_hugepage", 14))
		area->vma.flags |= UHMM_VM_HUGETLB;
	return true;
}

/* A line that is longer than the buffer is cut: only its name is that long. */
static int area_parse(struct live *live, unsigned long addr,
		      struct live_area *area)
{
	char buffer[MAPS_BUFFER + 1], *line, *end;
	size_t have = 0;
	off_t at = 0;
	ssize_t n;

	for (;;) {
		n = pread(live->maps, buffer + have, MAPS_BUFFER - have, at);
		if (n < 0)
			return -EIO;
		at += n;
		have += (size_t)n;
		buffer[have] = '\0';
		line = buffer;
		while ((end = strchr(line, '\n')) ||
		       (have - (size_t)(line - buffer) == MAPS_BUFFER)) {
			if (end)
				*end = '\0';
			if (parse_line(line, area) && area->vma.end > addr)
				return 0;
			line = end ? end + 1 : buffer + have;
		}
		if (!n)
			return -ENOENT;
		have -= (size_t)(line - buffer);
		memmove(buffer, line, have);
	}
}

int live_area(struct live *live, unsigned long addr, struct live_area *ret_area)
{
	int ret = live_has(live, UHMM_LIVE_PROCMAP_QUERY) ?
			  area_query(live, addr, ret_area) :
			  area_parse(live, addr, ret_area);

	if (ret == -EIO)
		live_why(live, UHMM_LIVE_WHY_LOST);
	if (!ret && is_special(ret_area->name))
		ret_area->vma.flags |= UHMM_VM_SPECIAL;
	return ret;
}

int live_find_vma(struct mm_struct *mm, unsigned long addr,
		  struct uhmm_vma *ret_vma)
{
	struct live *live = live_of(mm);
	struct live_area area;
	int ret;

	if (live_ended(live))
		return -ESRCH;
	ret = live_area(live, addr, &area);
	if (!ret)
		*ret_vma = area.vma;
	return ret;
}
