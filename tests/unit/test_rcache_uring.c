/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Real pins: io_uring's fixed buffers behind the cache, in programs that are
 * legal and that other caches lose data in. One thread has memory unmapped and
 * mapped again at its address, and has the device write into it; another uses
 * the page beside it, which the cache registers together with it. A write that
 * is not there afterwards went to pages that the program no longer has.
 *
 * The same with the cache's question, is a change on its way, left out: then
 * some are lost.
 */
#include <liburing.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/rcache_uring.h>

#include "rcache/internal.h"
#include "util.h"

enum { PAGE = 4096, GRANULE = 4 * PAGE, PATTERNS = 64, ROUNDS = 20 };

static struct io_uring ring;
static struct uhmm_rcache_uring *buffers;
static struct uhmm_rcache *cache;
static struct mm_struct *live;
static char *arena;
static int patterns;
static int stop;
static unsigned long cycles = 20000;

static void patterns_make(void)
{
	unsigned long page[PAGE / sizeof(unsigned long)];

	patterns = memfd_create("patterns", MFD_CLOEXEC);
	assert_true(patterns >= 0);
	for (unsigned long i = 0; i < PATTERNS; i++) {
		for (unsigned long k = 0; k < PAGE / sizeof(page[0]); k++)
			page[k] = i + 1;
		assert_int_equal(write(patterns, page, PAGE), PAGE);
	}
}

static int set_up(void **state)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .granule = GRANULE,
	};
	char *memory;
	int err;

	buffers = NULL;
	if (io_uring_queue_init(4, &ring, 0))
		return 0;
	err = uhmm_rcache_uring_create(ring.ring_fd, 64, &buffers);
	if (err)
		return 0;
	assert_int_equal(uhmm_mm_create_live(NULL, &live), 0);
	assert_int_equal(uhmm_rcache_create(live, uhmm_rcache_uring_ops(),
					    buffers, &options, &cache), 0);
	memory = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	arena = memory + (-(uintptr_t)memory & (GRANULE - 1));
	patterns_make();
	stop = 0;
	return 0;
}

static int tear_down(void **state)
{
	if (!buffers)
		return 0;
	close(patterns);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	uhmm_rcache_uring_destroy(buffers);
	io_uring_queue_exit(&ring);
	mmput(live);
	return 0;
}

static void skip_without(void)
{
	struct uhmm_live_info info = { .size = sizeof(info) };

	if (!buffers) {
		print_message("# io_uring is not to be had here\n");
		skip();
	}
	assert_int_equal(uhmm_live_get_info(live, &info), 0);
	if (info.guarantee < UHMM_G0) {
		print_message("# userfaultfd is not to be had here\n");
		skip();
	}
}

/* The device writes pattern @i to @to. */
static void device_write(void *to, unsigned long i,
			 const struct uhmm_registration *reg)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;

	io_uring_prep_read_fixed(sqe, patterns, to, PAGE,
				 i % PATTERNS * PAGE, (int)reg->key);
	assert_int_equal(io_uring_submit_and_wait(&ring, 1), 1);
	assert_int_equal(io_uring_wait_cqe(&ring, &cqe), 0);
	assert_int_equal(cqe->res, PAGE);
	io_uring_cqe_seen(&ring, cqe);
}

static void map_again(char *at)
{
	assert_int_equal(munmap(at, PAGE), 0);
	assert_ptr_equal(mmap(at, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 at);
}

/* How many writes are lost. */
static unsigned long write_cycles(char *at)
{
	struct uhmm_registration reg;
	unsigned long lost = 0, i;
	int err;

	for (i = 0; i < cycles; i++) {
		map_again(at);
		err = uhmm_rcache_get(cache, (unsigned long)at, PAGE,
				      UHMM_RCACHE_WRITE, &reg);
		assert_int_equal(err, 0);
		device_write(at, i, &reg);
		uhmm_rcache_put(&reg);
		lost += *(volatile unsigned long *)at != i % PATTERNS + 1;
	}
	return lost;
}

/* Uses its own page, and never the one beside it. */
static void neighbour(void *page)
{
	struct uhmm_registration reg;

	while (!look(&stop))
		if (!uhmm_rcache_get(cache, (unsigned long)page, PAGE,
				     UHMM_RCACHE_WRITE, &reg))
			uhmm_rcache_put(&reg);
}

static unsigned long beside_a_neighbour(void)
{
	struct task task;
	unsigned long lost;

	task_start(&task, neighbour, arena + PAGE);
	lost = write_cycles(arena);
	set(&stop, 1);
	task_join(&task);
	print_message("# %lu of %lu writes lost\n", lost, cycles);
	return lost;
}

static void a_neighbour_loses_nobodys_writes(void **state)
{
	skip_without();
	assert_int_equal(beside_a_neighbour(), 0);
}

static void reused_addresses_lose_no_writes(void **state)
{
	skip_without();
	assert_int_equal(write_cycles(arena), 0);
}

static void without_the_question_some_are_lost(void **state)
{
	unsigned long lost = 0;

	skip_without();
	cache->probe = false;
	for (int i = 0; !lost && i < ROUNDS; i++) {
		set(&stop, 0);
		lost = beside_a_neighbour();
	}
	assert_true(lost > 0);
}

static void what_was_there_is_found_again(void **state)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };
	struct uhmm_registration reg;

	skip_without();
	for (unsigned long i = 0; i < 100; i++) {
		assert_int_equal(uhmm_rcache_get(cache, (unsigned long)arena,
						 PAGE, UHMM_RCACHE_WRITE, &reg),
				 0);
		device_write(arena, i, &reg);
		uhmm_rcache_put(&reg);
		assert_int_equal(*(unsigned long *)arena, i % PATTERNS + 1);
	}
	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	assert_int_equal(s.registrations, 1);
}

#define LIVE_CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		LIVE_CASE(what_was_there_is_found_again),
		LIVE_CASE(reused_addresses_lose_no_writes),
		LIVE_CASE(a_neighbour_loses_nobodys_writes),
		LIVE_CASE(without_the_question_some_are_lost),
	};

	if (argc > 1)
		cycles = strtoul(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
