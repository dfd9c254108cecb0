/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "run.h"

#define DEAF_ONE_IN 100

/* Memory without a name: it is gone with the last who has it open. */
int board_make(struct run_board *board, const struct run_options *options)
{
	size_t size = sizeof(struct board);
	struct board *b;

	if (options->device == BOARD_WATCH)
		size += sizeof(struct stream);
	board->fd = memfd_create("uhmm-board", MFD_CLOEXEC);
	if (board->fd < 0 || ftruncate(board->fd, (off_t)size))
		return errno;
	b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, board->fd, 0);
	if (b == MAP_FAILED)
		return errno;
	b->size = sizeof(*b);
	b->device = options->device;
	b->deaf = options->deaf ? DEAF_ONE_IN : 0;
	b->guarantee = options->guarantee;
	b->newest = options->newest;
	b->magic = BOARD_MAGIC;
	board->board = b;
	if (options->device == BOARD_WATCH)
		board->stream = (struct stream *)(b + 1);
	/* Not by a number of the program's: it may close all of them. */
	snprintf(board->path, sizeof(board->path), "/proc/%d/fd/%d",
		 (int)getpid(), board->fd);
	return 0;
}
