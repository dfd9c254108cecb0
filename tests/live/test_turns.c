/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Two threads read what the kernel tells of, where pages are away: the monitor,
 * and who brings them home. They take turns, and who is with a driver has none.
 */
#include "device.h"
#include "live_util.h"

#include <sys/wait.h>

#define NTOUCHES 20UL
#define MANY_TOUCHES 200
#define CALL_MS 200		/* so long a callback waits to be seen at it */
#define DRIVER_MS 20000		/* longer than anybody is made to wait */
#define STUCK_MS 500		/* of who is known to get stuck */
#define TRIES 20
#define STUCK 3

static struct device device;
static struct mmu_interval_notifier sub;
static unsigned long unmapped;
/* What has happened, and what may. */
static int in_driver, driver_may, in_call, call_may, called;
static int driver_ms;

#define load(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define store(x, v) __atomic_store_n(&(x), (v), __ATOMIC_SEQ_CST)

/* False: not within so many milliseconds. */
static bool wait_for(const int *what, int ms)
{
	for (int64_t end = ktime_get_ns() + ms * INT64_C(1000000);
	     !load(*what);) {
		if (ktime_get_ns() > end)
			return false;
		usleep(100);
	}
	return true;
}

static bool takes_its_time(struct mmu_interval_notifier *unused,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	store(in_call, 1);
	wait_for(&call_may, CALL_MS);
	mmu_interval_set_seq(&sub, cur_seq);
	store(called, 1);
	return true;
}

static const struct mmu_interval_notifier_ops slow_ops = {
	.invalidate = takes_its_time,
};

static void with_the_driver(struct device *unused)
{
	store(in_driver, 1);
	if (!wait_for(&driver_may, driver_ms))
		_exit(STUCK);
}

static void *touch(void *p)
{
	(void)*(volatile char *)p;
	return NULL;
}

static void *unmap(void *p)
{
	munmap(p, PAGE);
	store(driver_may, 1);
	return NULL;
}

static pthread_t start(void *(*fn)(void *arg), void *arg)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
	return thread;
}

/* With @n pages that are away. */
static char *begin(unsigned long n, int ms, unsigned int broken)
{
	char *p;

	in_driver = driver_may = 0;
	in_call = call_may = called = 0;
	driver_ms = ms;
	live_broken = broken;
	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE);
	if (!kernel_has(UHMM_LIVE_UFFD))
		skip();
	assert_int_equal(device_make(&device, 64, true), 0);
	p = some_pages(n);
	assert_int_equal(device_take(&device, mm, p, n), n);
	device.between = with_the_driver;
	return p;
}

static void end(char *p, unsigned long n)
{
	device.between = NULL;
	munmap(p, n * PAGE);
	device_destroy(&device);
	drop_live();
	live_broken = 0;
}

/* ------------------------------------------------------------- in turn */

/*
 * The monitor is in the middle of passing on an unmap, the handler reads a touch:
 * is what the monitor is at still known to be on its way?
 */
static bool known_to_be_on_its_way(unsigned int broken)
{
	char *p = begin(2, DRIVER_MS, broken), *q = some_pages(1);
	pthread_t toucher, unmapper;
	bool known;

	assert_int_equal(mmu_interval_notifier_insert(&sub, mm,
						      (unsigned long)q, PAGE,
						      &slow_ops), 0);
	pte_at(q);
	toucher = start(touch, p);
	assert_true(wait_for(&in_driver, DRIVER_MS));
	unmapper = start(unmap, q);
	assert_true(wait_for(&in_call, DRIVER_MS));
	store(driver_may, 1);
	pthread_join(toucher, NULL);
	touch(p + PAGE);
	known = load(called) || uhmm_live_pending(mm, (unsigned long)q, PAGE);
	store(call_may, 1);
	pthread_join(unmapper, NULL);
	mmu_interval_notifier_remove(&sub);
	end(p, 2);
	return known;
}

static void what_is_passed_on_is_on_its_way(void **state)
{
	for (int i = 0; i < 3; i++)
		assert_true(known_to_be_on_its_way(0));
}

static void without_turns_it_is_forgotten(void **state)
{
	for (int i = 0; i < TRIES; i++)
		if (!known_to_be_on_its_way(BROKEN_TURNS))
			return;
	fail();
}

/* -------------------------------------------------- while a driver is called */

/* A driver waits for who unmaps, who waits for that to be read. */
static void wait_in_the_driver(int ms, unsigned int broken)
{
	char *p = begin(1, ms, broken), *q = some_pages(1);
	pthread_t toucher, unmapper;

	pte_at(q);
	toucher = start(touch, p);
	assert_true(wait_for(&in_driver, DRIVER_MS));
	unmapper = start(unmap, q);
	pthread_join(toucher, NULL);
	pthread_join(unmapper, NULL);
	end(p, 1);
}

static void a_driver_may_wait_for_who_unmaps(void **state)
{
	wait_in_the_driver(DRIVER_MS, 0);
}

static void assert_stuck(void (*fn)(int ms, unsigned int broken),
			 unsigned int broken)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fn(STUCK_MS, broken);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STUCK);
}

static void who_keeps_his_turn_waits_for_ever(void **state)
{
	assert_stuck(wait_in_the_driver, BROKEN_KEEP);
}

static void *unmap_many(void *unused)
{
	char *q;

	while (!load(driver_may)) {
		q = some_pages(1);
		while (uhmm_live_watch(mm, (unsigned long)q, PAGE) == -EAGAIN)
			;
		munmap(q, PAGE);
		store(unmapped, unmapped + 1);
	}
	return NULL;
}

static void until_one_is_unmapped(struct device *unused)
{
	int64_t end = ktime_get_ns() + driver_ms * INT64_C(1000000);
	unsigned long had = load(unmapped);

	while (load(unmapped) == had)
		if (ktime_get_ns() > end)
			_exit(STUCK);
}

static unsigned long touched;

/* Since the last time nothing has happened. */
static void look(int sig)
{
	static unsigned long had = ~0UL;

	if (load(touched) == had)
		_exit(STUCK);
	had = load(touched);
	alarm(1);
}

/*
 * That may have come while the handler was on its way to the touch, and have been
 * left to it. Where it is left for good somebody gets stuck: with the driver, or
 * where the page moves home.
 */
static void wait_for_many(int ms, unsigned int broken)
{
	char *p = begin(1, ms, broken);
	pthread_t unmapper;

	device.between = NULL;
	unmapper = start(unmap_many, NULL);
	signal(SIGALRM, look);
	alarm(broken ? 1 : 0);
	while (touched < MANY_TOUCHES || broken) {
		device.between = until_one_is_unmapped;
		touch(p);
		device.between = NULL;
		store(touched, touched + 1);
		while (!device_take(&device, mm, p, 1))
			;
	}
	store(driver_may, 1);
	pthread_join(unmapper, NULL);
	end(p, 1);
}

static void also_where_that_came_first(void **state)
{
	touched = 0;
	wait_for_many(DRIVER_MS, 0);
}

static void who_leaves_it_to_others_waits_for_ever(void **state)
{
	assert_stuck(wait_for_many, BROKEN_LEAVE);
}

/* Touches that are read meanwhile are not forgotten. */
static void touches_meanwhile_are_kept(void **state)
{
	char *p = begin(NTOUCHES, DRIVER_MS, 0);
	pthread_t threads[NTOUCHES];

	for (unsigned long i = 0; i < NTOUCHES; i++) {
		threads[i] = start(touch, p + i * PAGE);
		assert_true(wait_for(&in_driver, DRIVER_MS));
	}
	store(driver_may, 1);
	for (unsigned long i = 0; i < NTOUCHES; i++)
		pthread_join(threads[i], NULL);
	for (unsigned long i = 0; i < NTOUCHES; i++)
		assert_int_equal(p[i * PAGE], (char)(i + 1));
	assert_int_equal(live_stats().home_touched, NTOUCHES);
	end(p, NTOUCHES);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(what_is_passed_on_is_on_its_way),
		CASE_BARE(without_turns_it_is_forgotten),
		CASE_BARE(a_driver_may_wait_for_who_unmaps),
		CASE_BARE(who_keeps_his_turn_waits_for_ever),
		CASE_BARE(also_where_that_came_first),
		CASE_BARE(who_leaves_it_to_others_waits_for_ever),
		CASE_BARE(touches_meanwhile_are_kept),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_turns", tests, NULL, NULL);
}
