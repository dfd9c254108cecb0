/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Our monitor in the real libfabric's cache, in the programs that it loses data in
 * with monitors of its own (adversary.h; make bench BENCH=lost_writes). Its device is
 * a stand-in, whose regions are io_uring's, and pin.
 *
 * test_live_rcache_fabric GUARANTEE SECONDS [CASE]
 * GUARANTEE: 1; 0: that is lost as soon as the monitor is there, and libfabric keeps
 * nothing then. Each of the two programs runs so long.
 */
#include <unistd.h>

#include <uhmm/rcache_fabric.h>

#include "fabric_cache.h"
#include "live_util.h"
#include "rcache/fabric.h"

static struct uhmm_rcache_uring *buffers;
static struct uhmm_rcache_fabric *monitor;
static const char *why;
static enum uhmm_guarantee guarantee;
static enum uhmm_guarantee reach;	/* of the brackets, as it is */
static long seconds;

static int begin(void **state)
{
	live_begin_bare(state);
	alarm(0);
	make_live(UHMM_G1, 0, 0);
	why = "userfaultfd is refused here";
	if (info().guarantee < UHMM_G1)
		return 0;
	buffers = adversary_begin();
	why = "io_uring is refused here";
	if (!buffers)
		return 0;
	monitor = NULL;
	why = "libfabric.so.1 is not there";
	if (uhmm_rcache_fabric_create(mm, NULL, &monitor))
		return 0;
	why = fabric_cache_open(NULL, uhmm_rcache_uring_ops(), buffers);
	reach = info().guarantee;
	if (guarantee < UHMM_G1)
		live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	return 0;
}

static int end(void **state)
{
	if (!why)
		fabric_cache_close();
	if (monitor)
		uhmm_rcache_fabric_destroy(monitor);
	if (monitor && guarantee < UHMM_G1)
		live_set_bracketed(reach, 0);
	monitor = NULL;
	adversary_end();
	return live_end(state);
}

static void need_all(void)
{
	if (!why)
		return;
	print_message("%s\n", why);
	skip();
}

static unsigned long registered(void)
{
	struct uhmm_rcache_uring_info info = { .size = sizeof(info) };

	assert_int_equal(uhmm_rcache_uring_get_info(buffers, &info), 0);
	return info.buffers;
}

static struct adversary_counts run(bool neighbour, bool until_lost)
{
	struct uhmm_rcache_fabric_stats s = { .size = sizeof(s) };
	struct adversary_counts did = adversary_run(&fabric_cache, neighbour,
						    seconds, until_lost);

	assert_int_equal(uhmm_rcache_fabric_get_stats(monitor, &s), 0);
	print_message("%lu of %lu writes lost, %lu gets beside them; %lu of %lu "
		      "not kept\n", did.lost, did.writes, did.gets, s.refused,
		      s.subscribed);
	assert_int_equal(did.err, 0);
	assert_int_equal(info().guarantee, guarantee);
	assert_true(s.notified > 0);
	return did;
}

/* --------------------------------------------------------------------- cases */

/* Kept, and not registered again; or at G0 not kept. */
static void what_was_there_is_found_again(void **state)
{
	need_all();
	for (int i = 0; i < 100; i++) {
		assert_int_equal(adversary_write(&fabric_cache), 0);
		assert_int_equal(registered(), guarantee >= UHMM_G1);
	}
}

/* What was kept while the guarantee was there. */
static void what_was_kept_is_not_valid_below_g1(void **state)
{
	struct uhmm_rcache_fabric_stats s = { .size = sizeof(s) };

	need_all();
	live_set_bracketed(reach, 0);
	assert_int_equal(adversary_write(&fabric_cache), 0);
	assert_int_equal(registered(), 1);
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	assert_int_equal(adversary_write(&fabric_cache), 0);
	live_set_bracketed(guarantee < UHMM_G1 ? UHMM_GUARANTEE_NONE : reach, 0);
	assert_int_equal(uhmm_rcache_fabric_get_stats(monitor, &s), 0);
	assert_int_equal(s.invalid, 1);
}

static void reused_addresses_lose_no_writes(void **state)
{
	need_all();
	assert_int_equal(run(false, false).lost, 0);
}

static void nor_does_a_neighbour(void **state)
{
	need_all();
	assert_int_equal(run(true, false).lost, 0);
}

static int keep_all(struct fabric_monitor *unused, const void *addr,
		    size_t length)
{
	return 0;
}

static bool all_valid(struct fabric_monitor *unused, const void *addr,
		      size_t length)
{
	return true;
}

static void tell_nothing(struct fabric_monitor *unused, const void *addr,
			 size_t length)
{
}

static struct fabric_notify_ops *theirs;

/* Who has told may be preempted before he changes it, and the others run. */
static int tell_before(struct mmu_notifier *unused,
		       const struct mmu_notifier_range *range)
{
	theirs->notify((struct fabric_monitor *)monitor, (void *)range->start,
		       range->end - range->start);
	usleep(50);
	return 0;
}

/* Told before each change, and of no more, as hooks do it. */
static void without_the_check_it_does(void **state)
{
	static const struct mmu_notifier_ops before = {
		.invalidate_range_start = tell_before,
	};
	/* Static: a case that fails leaves it where it is. */
	static struct mmu_notifier list = { .ops = &before };
	static struct fabric_notify_ops nothing;
	static struct fabric_monitor_ops unchecked;
	struct fabric_monitor *fid = (struct fabric_monitor *)monitor;
	struct fabric_monitor_ops *ours;
	unsigned long lost;

	need_all();
	ours = fid->ops;
	theirs = fid->notify_ops;
	unchecked = *ours;
	unchecked.subscribe = keep_all;
	unchecked.valid = all_valid;
	nothing = *theirs;
	nothing.notify = tell_nothing;
	fid->ops = &unchecked;
	fid->notify_ops = &nothing;
	assert_int_equal(mmu_notifier_register(&list, mm), 0);
	lost = run(true, true).lost;
	mmu_notifier_unregister(&list, mm);
	fid->ops = ours;
	fid->notify_ops = theirs;
	assert_true(lost > 0);
}

#undef CASE
#define CASE(fn) cmocka_unit_test_prestate_setup_teardown(fn, begin, end, #fn)

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(what_was_there_is_found_again),
		CASE(what_was_kept_is_not_valid_below_g1),
		CASE(reused_addresses_lose_no_writes),
		CASE(nor_does_a_neighbour),
		CASE(without_the_check_it_does),
	};

	if (argc < 3)
		return 2;
	guarantee = (enum uhmm_guarantee)atoi(argv[1]);
	seconds = strtol(argv[2], NULL, 10);
	/* While there is one thread. */
	uhmm_live_patch(UHMM_G1, NULL);
	cases_begin(argc - 2, argv + 2);
	return cmocka_run_group_tests_name("live_rcache_fabric", tests, NULL,
					   NULL);
}
