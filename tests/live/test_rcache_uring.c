/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Real pins: io_uring's fixed buffers behind the adversary_rcache, in programs that are
 * legal and that other caches lose data in: adversary.h.
 *
 * At G0 the cache asks, before each use, whether a change is on its way; at G1 it
 * is told before each change. Without the one and without the other some writes
 * are lost.
 *
 * test_live_rcache_uring GUARANTEE SECONDS [CASE]
 * GUARANTEE: 0 or 1; each of the two programs runs so long.
 */
#include "adversary.h"
#include "live_util.h"
#include "mm/live/patch.h"
#include "rcache/internal.h"

static struct uhmm_rcache_uring *buffers;
static enum uhmm_guarantee guarantee;
static long seconds;

static int begin(void **state)
{
	live_begin_bare(state);
	alarm(0);
	make_live(guarantee, 0, 0);
	buffers = adversary_begin();
	if (buffers)
		assert_int_equal(adversary_rcache_make(mm), 0);
	return 0;
}

static int end(void **state)
{
	if (buffers)
		assert_int_equal(uhmm_rcache_destroy(adversary_rcache), 0);
	adversary_end();
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

static struct adversary_counts run(bool neighbour, bool until_lost)
{
	struct adversary_counts did = adversary_run(&adversary_ours, neighbour, seconds,
						    until_lost);

	print_message("%lu of %lu writes lost, %lu gets beside them\n",
		      did.lost, did.writes, did.gets);
	assert_int_equal(did.err, 0);
	return did;
}

/* --------------------------------------------------------------------- cases */

static void what_was_there_is_found_again(void **state)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };

	need_all();
	for (unsigned long i = 0; i < 100; i++)
		assert_int_equal(adversary_write(&adversary_ours), 0);
	assert_int_equal(uhmm_rcache_get_stats(adversary_rcache, &s), 0);
	assert_int_equal(s.registrations, 1);
}

static void nothing_is_lost(bool neighbour)
{
	struct adversary_counts did;

	need_all();
	did = run(neighbour, false);
	assert_int_equal(did.lost, 0);
	if (guarantee >= UHMM_G1)
		assert_true(live_stats().brackets >= did.writes);
}

static void reused_addresses_lose_no_writes(void **state)
{
	nothing_is_lost(false);
}

static void nor_does_a_neighbour(void **state)
{
	nothing_is_lost(true);
}

/* At G1 that is what each change is told of: here nothing is. */
static void without_the_check_they_lose_some(void **state)
{
	struct mm_struct *watched = mm;

	need_all();
	if (guarantee < UHMM_G1) {
		adversary_rcache->probe = false;
		assert_true(run(false, true).lost > 0);
		return;
	}
	assert_int_equal(uhmm_rcache_destroy(adversary_rcache), 0);
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(adversary_rcache_make(mm), 0);
	assert_true(run(false, true).lost > 0);
	mmput(mm);
	mm = watched;
}

/* At G1: told before the change, and of no more, as hooks do it. */
static void without_the_check_it_does(void **state)
{
	struct adversary_counts did;

	need_all();
	if (guarantee >= UHMM_G1)
		live_broken = BROKEN_END | BROKEN_REGISTER;
	else
		adversary_rcache->probe = false;
	did = run(true, true);
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
	if (guarantee >= UHMM_G1)
		uhmm_live_patch(UHMM_G1, NULL);
	cases_begin(argc - 2, argv + 2);
	return cmocka_run_group_tests_name("live_rcache_uring", tests, NULL,
					   NULL);
}
