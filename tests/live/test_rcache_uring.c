/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Real pins: io_uring's fixed buffers behind the cache, in programs that are
 * legal and that other caches lose data in. One thread has memory unmapped and
 * mapped again at its address, and has the device write into it; another uses
 * the page beside it, which the cache registers together with it. A write that
 * is not there afterwards went to pages that the program no longer has.
 *
 * At G0 the cache asks, before each use, whether a change is on its way; at G1 it
 * is told before each change. Without the one and without the other some writes
 * are lost.
 *
 * test_live_rcache_uring GUARANTEE SECONDS [CASE]
 * GUARANTEE: 0 or 1; each of the two programs runs so long.
 */
#include <liburing.h>
#include <time.h>

#include <uhmm/rcache_uring.h>

#include "live_util.h"
#include "mm/live/patch.h"
#include "rcache/internal.h"

enum { GRANULE = 4 * PAGE, PATTERNS = 64, AT_ONCE = 500, ROUNDS = 400 };

static struct io_uring ring;
static struct uhmm_rcache_uring *buffers;
static struct uhmm_rcache *cache;
static char *arena;
static int patterns = -1;
static enum uhmm_guarantee guarantee;
static long seconds;

/* ------------------------------------------------------------------- set up */

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

/*
 * Far below where the kernel puts what may be anywhere, and nowhere else, so that
 * nobody else is given a page of it while it is unmapped.
 */
static void arena_make(void)
{
	void *far_below = (void *)(1UL << 36);

	arena = mmap(far_below, GRANULE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_equal(arena, far_below);
}

static void make_cache(void)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .granule = GRANULE,
	};

	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_uring_ops(),
					    buffers, &options, &cache), 0);
}

static int begin(void **state)
{
	live_begin_bare(state);
	alarm(0);
	make_live(guarantee, 0, 0);
	buffers = NULL;
	if (io_uring_queue_init(4, &ring, 0))
		return 0;
	if (uhmm_rcache_uring_create(ring.ring_fd, 64, &buffers)) {
		io_uring_queue_exit(&ring);
		return 0;
	}
	arena_make();
	make_cache();
	patterns_make();
	return 0;
}

static int end(void **state)
{
	if (buffers) {
		close(patterns);
		assert_int_equal(uhmm_rcache_destroy(cache), 0);
		uhmm_rcache_uring_destroy(buffers);
		io_uring_queue_exit(&ring);
		munmap(arena, GRANULE);
	}
	return live_end(state);
}

static void need_all(void)
{
	if (buffers && info().guarantee >= guarantee)
		return;
	print_message("%s\n", !buffers ? "io_uring is refused here" :
		      live_patch.reason[0] ? live_patch.reason :
		      "userfaultfd is refused here");
	skip();
}

/* -------------------------------------------------------------------- device */

/* The device writes pattern @i to @to. */
static int device_write(void *to, unsigned long i,
			const struct uhmm_registration *reg)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_prep_read_fixed(sqe, patterns, to, PAGE,
				 i % PATTERNS * PAGE, (int)reg->key);
	ret = io_uring_submit(&ring);
	if (ret == 1)
		ret = io_uring_wait_cqe(&ring, &cqe);
	if (ret)
		return ret;
	ret = cqe->res;
	io_uring_cqe_seen(&ring, cqe);
	return ret == PAGE ? 0 : ret;
}

/* 0; 1: the write is lost; -errno. */
static int write_once(char *to, unsigned long i)
{
	struct uhmm_registration reg;
	int err = uhmm_rcache_get(cache, (unsigned long)to, PAGE,
				  UHMM_RCACHE_WRITE, &reg);

	if (err)
		return err;
	err = device_write(to, i, &reg);
	uhmm_rcache_put(&reg);
	return err ?: *(volatile unsigned long *)to != i % PATTERNS + 1;
}

/* As a program may; or in one step. */
static int map_again(char *at, bool over)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS |
		    (over ? MAP_FIXED : MAP_FIXED_NOREPLACE);

	if (!over && munmap(at, PAGE))
		return -errno;
	return mmap(at, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0) == at ?
		       0 : -errno;
}

/* ------------------------------------------------------------------ programs */

static struct {
	unsigned long writes, lost, gets;
	int stop;
} did;

static void write_some(void)
{
	int err;

	for (int i = 0; i < AT_ONCE; i++) {
		assert_int_equal(map_again(arena, i & 1), 0);
		err = write_once(arena, did.writes++);
		assert_in_range(err, 0, 1);
		did.lost += (unsigned long)err;
	}
}

static void write_on(void)
{
	time_t end = time(NULL) + seconds;

	memset(&did, 0, sizeof(did));
	while (time(NULL) < end)
		write_some();
	print_message("%lu of %lu writes lost\n", did.lost, did.writes);
}

/* Uses its own page, and never the one beside it. */
static void *neighbour(void *page)
{
	struct uhmm_registration reg;

	while (!__atomic_load_n(&did.stop, __ATOMIC_RELAXED))
		if (!uhmm_rcache_get(cache, (unsigned long)page, PAGE,
				     UHMM_RCACHE_WRITE, &reg)) {
			__atomic_fetch_add(&did.gets, 1, __ATOMIC_RELAXED);
			uhmm_rcache_put(&reg);
		}
	return NULL;
}

/* Until something is lost, in @rounds rounds at most; 0: as long as it is. */
static void beside_a_neighbour(int rounds)
{
	pthread_t thread;

	memset(&did, 0, sizeof(did));
	assert_int_equal(pthread_create(&thread, NULL, neighbour, arena + PAGE),
			 0);
	for (int i = 0; i < rounds && !did.lost; i++)
		write_some();
	for (time_t end = time(NULL) + seconds;
	     !rounds && (time(NULL) < end || !did.gets);)
		write_some();
	__atomic_store_n(&did.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	print_message("%lu of %lu writes lost, %lu gets beside them\n",
		      did.lost, did.writes, did.gets);
}

/* --------------------------------------------------------------------- cases */

static void assert_all_bracketed(void)
{
	if (guarantee >= UHMM_G1)
		assert_true(live_stats().brackets >= did.writes);
}

static void what_was_there_is_found_again(void **state)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };

	need_all();
	for (unsigned long i = 0; i < 100; i++)
		assert_int_equal(write_once(arena, i), 0);
	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	assert_int_equal(s.registrations, 1);
}

static void reused_addresses_lose_no_writes(void **state)
{
	need_all();
	write_on();
	assert_int_equal(did.lost, 0);
	assert_all_bracketed();
}

static void nor_does_a_neighbour(void **state)
{
	need_all();
	beside_a_neighbour(0);
	assert_int_equal(did.lost, 0);
	assert_all_bracketed();
}

/* Until something is lost. */
static void write_some_rounds(void)
{
	memset(&did, 0, sizeof(did));
	for (int i = 0; i < ROUNDS && !did.lost; i++)
		write_some();
	print_message("%lu of %lu writes lost\n", did.lost, did.writes);
	assert_true(did.lost > 0);
}

/* At G1 that is what each change is told of: here nothing is. */
static void without_the_check_they_lose_some(void **state)
{
	struct mm_struct *watched = mm;

	need_all();
	if (guarantee < UHMM_G1) {
		cache->probe = false;
		write_some_rounds();
		return;
	}
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(uhmm_mm_create(&mm), 0);
	make_cache();
	write_some_rounds();
	mmput(mm);
	mm = watched;
}

/* At G1: told before the change, and of no more, as hooks do it. */
static void without_the_check_it_does(void **state)
{
	need_all();
	if (guarantee >= UHMM_G1)
		live_broken = BROKEN_END | BROKEN_REGISTER;
	else
		cache->probe = false;
	beside_a_neighbour(ROUNDS);
	live_broken = 0;
	assert_true(did.lost > 0);
}

#undef CASE
#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, begin, end, #fn)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(what_was_there_is_found_again),
		CASE(reused_addresses_lose_no_writes),
		CASE(nor_does_a_neighbour),
		CASE(without_the_check_they_lose_some),
		CASE(without_the_check_it_does),
	};

	if (argc < 3)
		return 2;
	guarantee = (enum uhmm_guarantee)atoi(argv[1]);
	seconds = strtol(argv[2], NULL, 10);
	/* While there is one thread. */
	if (guarantee >= UHMM_G1 && !live_patch_install(UHMM_G1))
		live_set_bracketed(UHMM_G1, 0);
	cases_begin(argc - 2, argv + 2);
	return cmocka_run_group_tests_name("live_rcache_uring", tests, NULL,
					   NULL);
}
