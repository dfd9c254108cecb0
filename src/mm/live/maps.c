/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * /proc/self/maps, character by character: it may be read in a signal handler,
 * on a small stack, and its lines are as long as the names of files. By system
 * calls alone: in libc's a thread may be cancelled, and it may be in a bracket.
 */
#include "maps.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "patch.h"

struct reader {
	int fd;
	unsigned int have, at;
	char buffer[1024];
};

struct line {
	unsigned long start, end, ino;
	unsigned int major, minor;
	char perms[4];
};

static int next(struct reader *r)
{
	const unsigned long args[6] = { (unsigned long)r->fd,
					(unsigned long)r->buffer,
					sizeof(r->buffer) };
	long n;

	if (r->at == r->have) {
		n = live_raw_syscall(SYS_read, args);
		if (n <= 0)
			return -1;
		r->have = (unsigned int)n;
		r->at = 0;
	}
	return (unsigned char)r->buffer[r->at++];
}

/* A number, and the character behind it. */
static unsigned long number(struct reader *r, unsigned int base)
{
	unsigned long value = 0;
	int c;

	for (;;) {
		c = next(r);
		if (c >= '0' && c <= '9')
			c -= '0';
		else if (base == 16 && c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else
			return value;
		value = value * base + (unsigned int)c;
	}
}

static void skip_to(struct reader *r, char end)
{
	int c;

	do
		c = next(r);
	while (c >= 0 && c != end);
}

static bool read_line(struct reader *r, struct line *line)
{
	line->start = number(r, 16);
	line->end = number(r, 16);
	for (int i = 0; i < 4; i++)
		line->perms[i] = (char)next(r);
	skip_to(r, ' ');
	skip_to(r, ' ');		/* offset */
	line->major = (unsigned int)number(r, 16);
	line->minor = (unsigned int)number(r, 16);
	line->ino = number(r, 10);
	if (r->at && r->buffer[r->at - 1] != '\n')
		skip_to(r, '\n');
	return line->end != 0;
}

static bool reader_open(struct reader *r)
{
	const unsigned long args[6] = { (unsigned long)AT_FDCWD,
					(unsigned long)"/proc/self/maps",
					O_RDONLY | O_CLOEXEC };

	r->fd = (int)live_raw_syscall(SYS_openat, args);
	r->have = r->at = 0;
	return r->fd >= 0;
}

static void reader_close(struct reader *r)
{
	const unsigned long args[6] = { (unsigned long)r->fd };

	live_raw_syscall(SYS_close, args);
}

bool maps_find_file(const struct maps_file *file, struct live_extent *ret)
{
	struct live_extent alike = { ~0UL, 0 };
	struct reader r;
	struct line line;

	*ret = alike;
	if (!file->ino || !reader_open(&r))
		return false;
	while (read_line(&r, &line)) {
		if (line.ino != file->ino)
			continue;
		extent_add(&alike, line.start, line.end);
		if (makedev(line.major, line.minor) == file->dev)
			extent_add(ret, line.start, line.end);
	}
	reader_close(&r);
	/* Only of those that lie on no disk of their own. */
	if (ret->start >= ret->end && !major(file->dev))
		*ret = alike;
	return ret->start < ret->end;
}

/* The one that has @addr. */
static bool find_line(unsigned long addr, struct line *ret)
{
	struct reader r;
	bool found = false;

	if (!reader_open(&r))
		return false;
	while (!found && read_line(&r, ret))
		found = ret->start <= addr && addr < ret->end;
	reader_close(&r);
	return found;
}

bool maps_find_area(unsigned long addr, struct maps_area *ret)
{
	struct line line;

	if (!find_line(addr, &line))
		return false;
	ret->start = line.start;
	ret->end = line.end;
	ret->anonymous = !line.ino;
	memcpy(ret->perms, line.perms, sizeof(ret->perms));
	return true;
}

bool maps_find_same(unsigned long addr, struct maps_file *ret_file,
		    struct live_extent *ret)
{
	struct line line;

	ret_file->ino = 0;
	if (!find_line(addr, &line) || !line.ino)
		return false;
	ret_file->dev = makedev(line.major, line.minor);
	ret_file->ino = line.ino;
	return maps_find_file(ret_file, ret);
}
