/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages are held by a pipe, which vmsplice(2) puts them into without a copy: a
 * second view of them that no change of the address space reaches. tee(2) gives
 * one more to read from.
 *
 * The program writes meanwhile. Two views differ for certain only if neither
 * changes while they are read in turns: one page that is written back and forth
 * would have to hit every turn.
 */
#include "sample.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../mm/live/live.h"
#include "table.h"

#define TURNS 24
/* Frames of what is called here are smaller. */
#define FRAMES_SIZE (32UL << 10)

/* The pages, and copies of them to be read; ends of pipes, high up. */
static int held[2] = { -1, -1 }, copies[2] = { -1, -1 };
static unsigned int nheld;
static unsigned long held_at[SAMPLE_PAGES];

static void close_pipe(int ends[2])
{
	for (int i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			close(ends[i]);
		ends[i] = -1;
	}
}

static bool open_pipe(int ends[2])
{
	int low[2];

	close_pipe(ends);
	if (pipe2(low, O_CLOEXEC | O_NONBLOCK))
		return false;
	for (int i = 0; i < 2; i++)
		ends[i] = live_fd_high(low[i]);
	return ends[0] >= 0 && ends[1] >= 0;
}

void sample_open(void)
{
	nheld = 0;
	if (open_pipe(held) && open_pipe(copies))
		return;
	close_pipe(held);
	close_pipe(copies);
}

/* A filter that the program has set up may kill it for a call it does not know. */
static bool may_call(void)
{
	return held[0] >= 0 && !prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

static bool read_pages(int fd, char *to, unsigned int n)
{
	size_t size = n * TABLE_PAGE, got = 0;
	ssize_t part;

	for (; got < size; got += (size_t)part) {
		part = read(fd, to + got, size - got);
		if (part <= 0)
			return false;
	}
	return true;
}

/* One at a time is read anyway. */
static char pages[SAMPLE_PAGES * TABLE_PAGE];

static void drop(void)
{
	if (nheld && !read_pages(held[0], pages, nheld))
		sample_open();
	nheld = 0;
}

unsigned int sample_hold(const unsigned long *addrs, unsigned int n)
{
	struct iovec at[SAMPLE_PAGES];
	ssize_t size;

	if (!may_call())
		return 0;
	drop();
	for (unsigned int i = 0; i < n; i++)
		at[i] = (struct iovec){ (void *)addrs[i], TABLE_PAGE };
	size = n ? vmsplice(held[1], at, n, SPLICE_F_NONBLOCK) : 0;
	if (size <= 0)
		return 0;
	nheld = (unsigned int)size / TABLE_PAGE;
	for (unsigned int i = 0; i < nheld; i++)
		held_at[i] = addrs[i];
	return nheld;
}

static uint64_t digest(const char *page)
{
	const uint64_t *word = (const uint64_t *)(const void *)page;
	uint64_t sum = 0;

	for (size_t i = 0; i < TABLE_PAGE / sizeof(*word); i++)
		sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15UL + (sum >> 29);
	return sum;
}

/* Digests of the pages held. */
static bool look_held(uint64_t *digests)
{
	size_t size = nheld * TABLE_PAGE;

	if (tee(held[0], copies[1], size, SPLICE_F_NONBLOCK) != (ssize_t)size) {
		/* What part of it came is in the way of the next. */
		sample_open();
		return false;
	}
	if (!read_pages(copies[0], pages, nheld))
		return false;
	for (unsigned int i = 0; i < nheld; i++)
		digests[i] = digest(pages + i * TABLE_PAGE);
	return true;
}

/*
 * Digest of what is at an address, if anything is. As a write() reads it, not by
 * process_vm_readv(2), which would make a page that a fork shares a copy. The
 * kernel is called as is: a sanitizer's write() asks whether the program may.
 */
static bool look_there(unsigned long addr, uint64_t *ret_digest)
{
	ssize_t n = syscall(SYS_write, copies[1], addr, TABLE_PAGE);

	if (n != (ssize_t)TABLE_PAGE) {
		if (n > 0)
			sample_open();
		return false;
	}
	if (!read_pages(copies[0], pages, 1))
		return false;
	*ret_digest = digest(pages);
	return true;
}

/* Is the page written by the comparison, the same in each turn? */
static bool is_own(unsigned long page)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);
	unsigned long buffer = (unsigned long)pages;

	return (page + TABLE_PAGE > buffer && page < buffer + sizeof(pages)) ||
	       (page + FRAMES_SIZE > frame && page < frame + FRAMES_SIZE);
}

bool sample_compare(bool *differs)
{
	uint64_t first_held[SAMPLE_PAGES], first_there[SAMPLE_PAGES];
	uint64_t now[SAMPLE_PAGES], there = 0;
	bool any = nheld && may_call();

	for (unsigned int i = 0; i < nheld; i++)
		differs[i] = any && !is_own(held_at[i]);
	if (!any)
		return false;
	for (unsigned int turn = 0; any && turn < TURNS; turn++) {
		if (!look_held(now))
			return false;
		any = false;
		for (unsigned int i = 0; i < nheld; i++) {
			if (!differs[i])
				continue;
			differs[i] = look_there(held_at[i], &there);
			if (!turn) {
				first_held[i] = now[i];
				first_there[i] = there;
			}
			differs[i] &= now[i] != there && now[i] == first_held[i] &&
				      there == first_there[i];
			any |= differs[i];
		}
	}
	return true;
}
