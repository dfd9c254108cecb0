/* SPDX-License-Identifier: 0BSD */
/*
 * A file is read into malloc'ed memory through io_uring's fixed buffers: pinned at
 * the first read, found again at the next, and never the pages of what was freed.
 */
#define _GNU_SOURCE 1	/* O_DIRECT */
#include <fcntl.h>
#include <liburing.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/rcache_uring.h>

enum { BLOCK = 4096, BLOCKS = 64, SIZE = BLOCKS * BLOCK, DEPTH = 8, ROUNDS = 50 };
static struct io_uring ring;
static struct uhmm_rcache *cache;

/* As with any buffer, but for the get before, and the put when it is over. */
static int submit(int fd, char *buffer, int block)
{
	struct uhmm_registration *reg = malloc(sizeof(*reg));
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!reg || uhmm_rcache_get(cache, (unsigned long)buffer, SIZE,
				    UHMM_RCACHE_WRITE, reg))
		return -1;
	io_uring_prep_read_fixed(sqe, fd, buffer + block * BLOCK, BLOCK,
				 (__u64)block * BLOCK, (int)reg->key);
	io_uring_sqe_set_data(sqe, reg);
	return io_uring_submit(&ring) == 1 ? 0 : -1;
}

static int complete(void)
{
	struct io_uring_cqe *cqe;
	int bytes;

	if (io_uring_wait_cqe(&ring, &cqe))
		return -1;
	bytes = cqe->res;
	uhmm_rcache_put(io_uring_cqe_get_data(cqe));
	free(io_uring_cqe_get_data(cqe));
	io_uring_cqe_seen(&ring, cqe);
	return bytes == BLOCK ? 0 : -1;
}

/* How many blocks are not in the memory that the program has; < 0: an error. */
static int read_file(int fd)
{
	char *buffer = aligned_alloc(BLOCK, SIZE);
	int stale = 0, err = !buffer, block;

	for (block = 0; block < BLOCKS + DEPTH && !err; block++) {
		if (block >= DEPTH)
			err = complete();
		if (block < BLOCKS && !err)
			err = submit(fd, buffer, block);
	}
	for (block = 0; block < BLOCKS && !err; block++)
		stale += buffer[block * BLOCK] != (char)(block + 1);
	free(buffer);
	return err ? -1 : stale;
}

/* The same by read(2): true if all of it was. */
static bool read_plainly(int fd)
{
	char *buffer = aligned_alloc(BLOCK, SIZE);
	int block = 0;

	while (buffer && block < BLOCKS &&
	       pread(fd, buffer + block * BLOCK, BLOCK,
		     (off_t)block * BLOCK) == BLOCK)
		block++;
	free(buffer);
	return block == BLOCKS;
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* A file in which each block begins with its number, past the page cache. */
static int make_file(void)
{
	char name[] = "/var/tmp/uhmm-example-XXXXXX", block[BLOCK] = { 0 };
	int fd = mkstemp(name), direct;

	for (int i = 0; i < BLOCKS; i++) {
		block[0] = (char)(i + 1);
		if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return -1;
	}
	direct = open(name, O_RDONLY | O_DIRECT);
	unlink(name);
	return direct < 0 ? fd : direct;
}

int main(void)
{
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };
	struct uhmm_live_info info = { .size = sizeof(info) };
	double fixed_us = 0, plain_us = 0, begun, between;
	int fd = make_file(), stale = 0, n, round;
	struct uhmm_rcache_uring *buffers;
	struct mm_struct *mm;

	if (io_uring_queue_init(DEPTH, &ring, 0) ||
	    uhmm_rcache_uring_create(ring.ring_fd, 64, &buffers) ||
	    uhmm_mm_create_live(NULL, &mm) || uhmm_live_get_info(mm, &info) ||
	    info.guarantee < UHMM_G0) {
		printf("no io_uring, or no userfaultfd here\n");
		return 77;
	}
	if (fd < 0 || uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers,
					 NULL, &cache))
		return 2;
	/* What is freed is unmapped, and the next is mapped at its address. */
	mallopt(M_MMAP_THRESHOLD, SIZE / 2);
	for (round = 0; round < ROUNDS; round++) {
		begun = now_us();
		n = read_file(fd);
		between = now_us();
		if (n < 0 || !read_plainly(fd))
			return 2;
		stale += n;
		fixed_us += between - begun;
		plain_us += now_us() - between;
	}
	uhmm_rcache_get_stats(cache, &stats);
	printf("%d blocks were read into %d buffers, each freed\n"
	       "%lu times memory was pinned: once for each buffer\n"
	       "%lu times a pin was found again: all other reads\n"
	       "%.1f us for a block, %d at a time; %.1f by read(2)\n"
	       "%d stale: blocks that went to the pages of a buffer freed before\n",
	       BLOCKS * ROUNDS, ROUNDS, stats.registrations, stats.hits,
	       fixed_us / (BLOCKS * ROUNDS), DEPTH, plain_us / (BLOCKS * ROUNDS),
	       stale);
	return uhmm_rcache_destroy(cache) ? 2 : stale != 0;
}
