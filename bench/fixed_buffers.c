/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the cache is for: blocks of 4 KiB of a file opened with O_DIRECT, read at
 * random into malloc'ed memory. Here each read asks the cache for the buffer,
 * goes through io_uring's fixed buffers, and puts it; against it stand read(2)
 * and io_uring with ordinary buffers, whose pages are pinned for each read. G0:
 * each get asks the kernel, too, whether a change is on its way. On a disk
 * that takes 50 us and more for a block what is saved, some us, is not seen: what
 * is seen is that io_uring has several under way.
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/rcache_uring.h>

#include "bench.h"

#include "mm/live/live.h"
#include "mm/live/patch.h"

#define BLOCK 4096UL
#define BLOCKS 4096UL
#define BUFFER (64 * BLOCK)
#define DEPTH 8	/* an operation is so many reads */

static struct io_uring ring;
static struct mm_struct *mm;
static struct uhmm_rcache_uring *buffers;
static struct uhmm_rcache *cache;
static struct uhmm_registration reg[DEPTH];
static char *memory;
static int file;
static unsigned long rng = 1;

static off_t random_offset(void)
{
	rng = rng * 6364136223846793005UL + 1442695040888963407UL;
	return (off_t)((rng >> 33) % BLOCKS * BLOCK);
}

static void plain_slice(void *unused, unsigned long n)
{
	for (n *= DEPTH; n; n--)
		must(pread(file, memory, BLOCK, random_offset()) == BLOCK,
		     "pread");
}

static void prepare(unsigned int i, bool fixed)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	char *to = memory + i * BLOCK;

	must(sqe != NULL, "io_uring_get_sqe");
	if (fixed) {
		must(!uhmm_rcache_get(cache, (unsigned long)memory, BUFFER,
				      UHMM_RCACHE_WRITE, &reg[i]), "get");
		io_uring_prep_read_fixed(sqe, 0, to, BLOCK, random_offset(),
					 (int)reg[i].key);
	} else {
		io_uring_prep_read(sqe, 0, to, BLOCK, random_offset());
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data64(sqe, i);
}

static void batch(unsigned int size, bool fixed)
{
	struct io_uring_cqe *cqe;
	unsigned int i;

	for (i = 0; i < size; i++)
		prepare(i, fixed);
	must(io_uring_submit_and_wait(&ring, size) == (int)size, "submit");
	for (i = 0; i < size; i++) {
		must(!io_uring_wait_cqe(&ring, &cqe) && cqe->res == BLOCK,
		     "read");
		if (fixed)
			uhmm_rcache_put(&reg[cqe->user_data]);
		io_uring_cqe_seen(&ring, cqe);
	}
}

static void fixed_slice(void *depth, unsigned long n)
{
	unsigned int size = *(unsigned int *)depth;

	for (n *= DEPTH / size; n; n--)
		batch(size, true);
}

static void ordinary_slice(void *depth, unsigned long n)
{
	unsigned int size = *(unsigned int *)depth;

	for (n *= DEPTH / size; n; n--)
		batch(size, false);
}

/* --------------------------------------------------------------------- setup */

/* False: not on this machine. */
static bool open_cache(struct bench *b, enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options), .guarantee = guarantee,
	};

	live_set_bracketed(guarantee > UHMM_G0 ? guarantee :
			   UHMM_GUARANTEE_NONE, 0);
	mm = NULL;
	if (uhmm_mm_create_live(&options, &mm) ||
	    uhmm_live_guarantee(mm) != guarantee) {
		bench_missing(b, guarantee > UHMM_G0 ? "G1" : "G0",
			      "not to be had here");
		if (mm)
			mmput(mm);
		return false;
	}
	must(!uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), buffers, NULL,
				 &cache), "cache");
	return true;
}

static void close_cache(void)
{
	must(!uhmm_rcache_destroy(cache), "destroy");
	mmput(mm);
}

/* What is done when it is waited for costs least. */
static bool open_ring(void)
{
	const unsigned int best = IORING_SETUP_SINGLE_ISSUER |
				  IORING_SETUP_DEFER_TASKRUN;

	return !io_uring_queue_init(2 * DEPTH, &ring, best) ||
	       !io_uring_queue_init(2 * DEPTH, &ring, 0);
}

/* False: not on this machine. */
static bool open_all(struct bench *b)
{
	char name[] = "/var/tmp/uhmm-bench-XXXXXX";

	if (!open_ring() ||
	    uhmm_rcache_uring_create(ring.ring_fd, 64, &buffers)) {
		bench_missing(b, "all", "no io_uring");
		return false;
	}
	memory = aligned_alloc(BLOCK, BUFFER);
	must(memory != NULL, "malloc");
	memset(memory, 1, BUFFER);
	file = mkstemp(name);
	must(file >= 0, "a file in /var/tmp");
	for (unsigned long i = 0; i < BLOCKS * BLOCK / BUFFER; i++)
		must(write(file, memory, BUFFER) == BUFFER, "write");
	must(!fsync(file) && !close(file), "fsync");
	file = open(name, O_RDONLY | O_DIRECT);
	unlink(name);
	if (file < 0) {
		bench_missing(b, "all", "no O_DIRECT in /var/tmp");
		return false;
	}
	/* Neither the ring nor the file is looked up for each read. */
	must(io_uring_register_ring_fd(&ring) == 1, "ring");
	must(!io_uring_register_files(&ring, &file, 1), "files");
	return true;
}

/* -------------------------------------------------------------- comparisons */

static const struct other {
	const char *name;
	void (*slice)(void *arg, unsigned long n);
	unsigned int depth;
} others[] = {
	{ "read(2)", plain_slice, 1 },
	{ "read(2)", plain_slice, DEPTH },
	{ "io_uring, ordinary", ordinary_slice, 1 },
	{ "io_uring, ordinary", ordinary_slice, DEPTH },
};
#define OTHERS (sizeof(others) / sizeof(others[0]))

static bool told(void)
{
	return uhmm_live_guarantee(mm) > UHMM_G0;
}

static void compare(struct bench *b, unsigned int i)
{
	struct other o = others[i];
	struct cell cell = {
		.section = told() ?
			"8 reads of 4 KiB at random of a file, O_DIRECT, G1" :
			"8 reads of 4 KiB at random of a file, O_DIRECT, G0",
		.test = o.depth == 1 ? "one read at a time" : "8 reads at a time",
		.slice_us = 4000,
		.first = { "fixed, by the cache", fixed_slice, &o.depth },
		.second = { o.name, o.slice, &o.depth },
	};
	const char *const ids[] = { "F1", "F2", "F3", "F4" };
	struct target target = {
		.id = ids[2 * told() + (o.depth > 1)], .wanted = 1, .unit = "x",
		.what = o.depth == 1 ? "read(2), against one at a time" :
				       "read(2), against 8 at a time",
	};

	bench_run(b, &cell, 1);
	target.value = cell.first.ns.count ? cell.ratio.median : -1;
	if (o.slice == plain_slice)
		bench_target(b, &target);
}

/* ---------------------------------------------------------------- CPU time */

#define CPU_SLICES 100
#define CPU_OPS 4UL

/* Of this process, in the kernel too: what a disk's latency does not hide. */
static double cpu_of(void (*slice)(void *arg, unsigned long n), void *depth)
{
	struct timespec begun, ended;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
	slice(depth, CPU_OPS);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	return ((double)(ended.tv_sec - begun.tv_sec) * 1e9 +
		(double)(ended.tv_nsec - begun.tv_nsec)) / (CPU_OPS * DEPTH);
}

static void put_cpu(struct bench *b, const char *who, unsigned int depth,
		    struct quartiles q)
{
	bench_figure(b, &(struct figure){
		.section = told() ? "CPU time of a read of 4 KiB, by turns, G1" :
				  "CPU time of a read of 4 KiB, by turns, G0",
		.test = depth == 1 ? "one read at a time" : "8 reads at a time",
		.who = who, .unit = "ns", .value = q,
	});
}

/* By turns with all others, so that what disturbs one disturbs all. */
static void compare_cpu(struct bench *b, unsigned int depth)
{
	static const char *const who[] = {
		"fixed, by the cache", "io_uring, ordinary", "read(2)",
	};
	void (*const slices[])(void *arg, unsigned long n) = {
		fixed_slice, ordinary_slice, plain_slice,
	};
	double ns[3][CPU_SLICES];
	struct quartiles q[3];
	unsigned int i, k;

	for (k = 0; k < CPU_SLICES; k++)
		for (i = 0; i < 3; i++)
			ns[i][k] = cpu_of(slices[i], &depth);
	for (i = 0; i < 3; i++) {
		q[i] = bench_quartiles(ns[i], CPU_SLICES);
		put_cpu(b, who[i], depth, q[i]);
	}
}

static void compare_all(struct bench *b)
{
	for (unsigned int i = 0; i < OTHERS; i++)
		compare(b, i);
	compare_cpu(b, 1);
	compare_cpu(b, DEPTH);
}

int main(int argc, char **argv)
{
	/* Before bench_init() starts a thread: it is done by one who is alone. */
	bool patched = !live_patch_install(UHMM_G1);
	struct bench b;

	bench_init(&b, "fixed_buffers", argc, argv);
	if (!open_all(&b))
		return bench_finish(&b);
	bench_plan(&b, 2 * OTHERS);
	if (open_cache(&b, UHMM_G0)) {
		compare_all(&b);
		close_cache();
	}
	if (patched && open_cache(&b, UHMM_G1)) {
		compare_all(&b);
		close_cache();
	}
	return bench_finish(&b);
}
