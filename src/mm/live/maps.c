/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * /proc/self/maps, character by character: it may be read in a signal handler,
 * on a small stack, and its lines are as long as the names of files.
 */
#include "maps.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

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
	ssize_t n;

	if (r->at == r->have) {
		n = read(r->fd, r->buffer, sizeof(r->buffer));
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
	r->fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	r->have = r->at = 0;
	return r->fd >= 0;
}

/* Is it in the file of @want? */
static bool find(const struct line *want, struct live_extent *ret)
{
	struct reader r;
	struct line line;

	ret->start = ~0UL;
	ret->end = 0;
	if (!want->ino || !reader_open(&r))
		return false;
	while (read_line(&r, &line))
		if (line.ino == want->ino && line.major == want->major &&
		    line.minor == want->minor)
			extent_add(ret, line.start, line.end);
	close(r.fd);
	return ret->start < ret->end;
}

bool maps_find_file(dev_t dev, ino_t ino, struct live_extent *ret)
{
	struct line want = { .major = major(dev), .minor = minor(dev),
			     .ino = ino };

	return find(&want, ret);
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
	close(r.fd);
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

bool maps_find_same(unsigned long addr, struct live_extent *ret)
{
	struct line line;

	return find_line(addr, &line) && find(&line, ret);
}
