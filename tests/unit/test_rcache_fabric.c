/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Our monitor in libfabric's cache: in a stand-in for it, whose path is the
 * argument, and as far as that goes without a device in the real one.
 */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/rcache_fabric.h>

#include "fake_fabric.h"
#include "rcache/fabric.h"
#include "util.h"

static const char *path;
static void *library;
static struct fake_fabric *fake;
static struct uhmm_rcache_fabric *monitor;
static struct uhmm_rcache_fabric_stats at_first = { .size = sizeof(at_first) };

static int set_up(void **state)
{
	library = dlopen(path, RTLD_NOW);
	assert_non_null(library);
	fake = dlsym(library, "fake_fabric");
	assert_non_null(fake);
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_rcache_fabric_create(mm, path, &monitor), 0);
	assert_int_equal(fake->caches, 0);
	fake->begin();
	/* So many changes may be behind this thread that it is refused once. */
	fake->search(PG(1000), 1);
	assert_int_equal(uhmm_rcache_fabric_get_stats(monitor, &at_first), 0);
	return 0;
}

static int tear_down(void **state)
{
	fake->end();
	fake->registering = NULL;
	uhmm_rcache_fabric_destroy(monitor);
	assert_null(fake->monitor);
	mmput(mm);
	dlclose(library);
	return 0;
}

static struct uhmm_rcache_fabric_stats monitor_stats(void)
{
	struct uhmm_rcache_fabric_stats s = { .size = sizeof(s) };

	assert_int_equal(uhmm_rcache_fabric_get_stats(monitor, &s), 0);
	s.refused -= at_first.refused;
	return s;
}

static unsigned long search(unsigned long page)
{
	return fake->search(PG(page), PAGES(1));
}

static void what_is_there_is_found(void **state)
{
	unsigned long first = search(1), other = search(5);

	assert_int_equal(search(1), first);
	invalidate(PG(5), PG(6));
	assert_int_equal(search(1), first);
	assert_int_not_equal(search(5), other);
	assert_int_equal(monitor_stats().notified, 2);
}

/* Somebody else changes page 1. */
static void change(void *unused)
{
	invalidate(PG(1), PG(2));
}

static void changes(void)
{
	struct task task;

	task_start(&task, change, NULL);
	task_join(&task);
}

static void changes_elsewhere(void)
{
	invalidate(PG(7), PG(8));
}

static void what_changed_meanwhile_is_not_kept(void **state)
{
	unsigned long stale;

	fake->registering = changes;
	stale = search(1);
	fake->registering = changes_elsewhere;
	assert_int_not_equal(search(1), stale);
	assert_int_equal(monitor_stats().refused, 1);
	stale = search(3);
	assert_int_equal(search(3), stale);
	assert_int_equal(monitor_stats().refused, 1);
}

/* This thread knows of one change, and of the next monitor that is none. */
static void what_another_monitor_knew_is_nothing(void **state)
{
	unsigned long stale;

	changes_elsewhere();
	search(1000);
	fake->end();
	uhmm_rcache_fabric_destroy(monitor);
	assert_int_equal(uhmm_rcache_fabric_create(mm, path, &monitor), 0);
	fake->begin();
	fake->registering = changes;
	stale = search(1);
	fake->registering = NULL;
	assert_int_not_equal(search(1), stale);
}

static void what_is_forgotten_may_have_been_it(void **state)
{
	unsigned long before;

	for (int i = 0; i < 2000; i++)
		changes_elsewhere();
	before = monitor_stats().refused;
	search(1);
	assert_int_equal(monitor_stats().refused, before + 1);
	assert_int_equal(search(1), search(1));
}

static void nothing_is_valid_while_it_changes(void **state)
{
	struct mmu_notifier_range range[100];
	unsigned long key = search(1), other = search(3);

	mmu_notifier_range_init(&range[0], MMU_NOTIFY_UNMAP, 0, mm, PG(1), PG(2));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range[0]), 0);
	assert_int_not_equal(search(1), key);
	key = search(1);
	assert_int_not_equal(search(1), key);
	assert_int_equal(search(3), other);
	mmu_notifier_invalidate_range_end(&range[0]);
	/* So many that they are not told apart. */
	for (int i = 0; i < 100; i++) {
		mmu_notifier_range_init(&range[i], MMU_NOTIFY_UNMAP, 0, mm,
					PG(10 + i), PG(11 + i));
		mmu_notifier_invalidate_range_start(&range[i]);
	}
	assert_int_not_equal(search(3), other);
	for (int i = 0; i < 100; i++)
		mmu_notifier_invalidate_range_end(&range[i]);
	other = search(3);
	assert_int_equal(search(3), other);
	assert_true(monitor_stats().invalid > 0);
}

static void there_is_one(void **state)
{
	struct uhmm_rcache_fabric_stats small = { .size = 1 };
	struct uhmm_rcache_fabric *other;

	assert_int_equal(uhmm_rcache_fabric_create(mm, path, &other), -EBUSY);
	assert_int_equal(uhmm_rcache_fabric_create(mm, "/nowhere.so", &other),
			 -ENOENT);
	assert_int_equal(uhmm_rcache_fabric_create(mm, "libc.so.6", &other),
			 -ENOENT);
	assert_int_equal(uhmm_rcache_fabric_create(NULL, path, &other),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_fabric_create(mm, path, NULL), -EINVAL);
	assert_int_equal(uhmm_rcache_fabric_get_stats(monitor, &small),
			 -EINVAL);
}

static int child(void *key)
{
	struct uhmm_rcache_fabric_stats before = monitor_stats();

	invalidate(PG(1), PG(2));
	if (monitor_stats().notified != before.notified)
		return 1;
	if (search(5) == (unsigned long)key || search(5) == search(5))
		return 2;
	return monitor_stats().refused == before.refused;
}

static void nothing_is_valid_in_a_child(void **state)
{
	unsigned long key = search(5);

	assert_int_equal(in_child(child, (void *)key), 0);
	assert_int_equal(search(5), key);
}

/* It has no cache without a device; its notify is called all the same. */
static void the_real_one_takes_it(void **state)
{
	int (*getinfo)(uint32_t, const char *, const char *, uint64_t, void *,
		       void **);
	struct uhmm_rcache_fabric *real, *second;
	void (*freeinfo)(void *), *info = NULL;
	struct fabric_monitor *fid;
	void *real_library = dlopen("libfabric.so.1", RTLD_NOW);

	if (!real_library) {
		print_message("# libfabric.so.1 is not there\n");
		skip();
	}
	getinfo = dlsym(real_library, "fi_getinfo");
	freeinfo = dlsym(real_library, "fi_freeinfo");
	assert_true(getinfo && freeinfo);
	if (!getinfo(FABRIC_VERSION, NULL, NULL, 0, NULL, &info))
		freeinfo(info);
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_rcache_fabric_create(mm, NULL, &real), 0);
	assert_int_equal(uhmm_rcache_fabric_create(mm, NULL, &second), -EBUSY);
	fid = (struct fabric_monitor *)real;
	assert_int_equal(fid->ops->start(fid), 0);
	assert_int_equal(fid->ops->subscribe(fid, (void *)PG(1), 1), 0);
	invalidate(PG(1), PG(2));
	assert_true(fid->ops->valid(fid, (void *)PG(1), 1));
	assert_int_equal(fid->ops->subscribe(fid, (void *)PG(1), 1), 0);
	monitor = real;
	assert_int_equal(monitor_stats().notified, 2);
	fid->ops->stop(fid);
	uhmm_rcache_fabric_destroy(real);
	assert_int_equal(uhmm_rcache_fabric_create(mm, NULL, &real), 0);
	uhmm_rcache_fabric_destroy(real);
	mmput(mm);
}

#define WITH_FAKE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(what_is_there_is_found),
		WITH_FAKE(what_changed_meanwhile_is_not_kept),
		WITH_FAKE(what_another_monitor_knew_is_nothing),
		WITH_FAKE(what_is_forgotten_may_have_been_it),
		WITH_FAKE(nothing_is_valid_while_it_changes),
		WITH_FAKE(there_is_one),
		WITH_FAKE(nothing_is_valid_in_a_child),
		cmocka_unit_test(the_real_one_takes_it),
	};

	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
