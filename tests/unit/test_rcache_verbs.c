/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * libibverbs behind the cache, by a library that stands in for it: its path is the
 * argument. There is no RDMA device here.
 */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/rcache_verbs.h>

#include "fake_verbs.h"
#include "util.h"

enum { PAGE = 4096, BASE = 1 << 20 };

static const char *path;
static struct fake_verbs *fake;
static void *library;
static struct uhmm_rcache_verbs *verbs;
static struct uhmm_rcache *cache;
static int domain;

static int set_up(void **state)
{
	library = dlopen(path, RTLD_NOW);
	assert_non_null(library);
	fake = dlsym(library, "fake_verbs");
	assert_non_null(fake);
	*fake = (struct fake_verbs){ 0 };
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_rcache_verbs_create(&domain, path,
						  &verbs), 0);
	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_verbs_ops(), verbs,
					    NULL, &cache), 0);
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(fake->device.alive, 0);
	uhmm_rcache_verbs_destroy(verbs);
	mmput(mm);
	dlclose(library);
	return 0;
}

static int get(unsigned int access, struct uhmm_registration *reg)
{
	return uhmm_rcache_get(cache, BASE, PAGE, access, reg);
}

static void access_is_translated(void **state)
{
	static const struct {
		unsigned int ours;
		int theirs;
	} each[] = {
		{ UHMM_RCACHE_READ, 0 },
		{ UHMM_RCACHE_WRITE, 1 },
		{ UHMM_RCACHE_REMOTE_READ, 4 },
		{ UHMM_RCACHE_REMOTE_WRITE, 1 | 2 },
		{ UHMM_RCACHE_REMOTE_ATOMIC, 1 | 8 },
	};
	struct uhmm_registration reg;

	for (unsigned int i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		assert_int_equal(get(each[i].ours, &reg), 0);
		assert_int_equal(fake->access, each[i].theirs);
		assert_ptr_equal(fake->pd, &domain);
		assert_ptr_equal(fake->addr, BASE);
		assert_int_equal(fake->length, PAGE);
		uhmm_rcache_put(&reg);
		assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 0);
	}
	assert_int_equal(get(1U << 15, &reg), -EINVAL);
}

static void a_region_is_found_again_until_memory_changes(void **state)
{
	struct uhmm_registration first, again;
	struct mmu_notifier_range range;

	assert_int_equal(get(UHMM_RCACHE_WRITE, &first), 0);
	assert_int_equal(get(UHMM_RCACHE_READ | UHMM_RCACHE_WRITE, &again), 0);
	assert_int_equal(fake->device.made, 2);
	uhmm_rcache_put(&first);
	uhmm_rcache_put(&again);
	assert_int_equal(get(UHMM_RCACHE_WRITE, &first), 0);
	assert_int_equal(first.key, again.key);
	assert_int_equal(fake->device.made, 2);
	uhmm_rcache_put(&first);
	assert_int_equal(fake->device.alive, 1);
	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, BASE,
				BASE + PAGE);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	assert_int_equal(fake->device.alive, 0);
	mmu_notifier_invalidate_range_end(&range);
}

static void failures_are_passed_on(void **state)
{
	struct uhmm_registration reg;

	fake->reg_fails = EFAULT;
	assert_int_equal(get(UHMM_RCACHE_WRITE, &reg), -EFAULT);
	fake->reg_fails = 0;
	assert_int_equal(get(UHMM_RCACHE_WRITE, &reg), 0);
	uhmm_rcache_put(&reg);
	/* A memory window is bound to it. */
	fake->dereg_fails = EBUSY;
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 1);
	fake->dereg_fails = 0;
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 0);
	assert_int_equal(fake->device.alive, 0);
}

static void a_library_that_is_not_it_is_refused(void **state)
{
	void *pd = &domain;
	struct uhmm_rcache_verbs *none;

	assert_int_equal(uhmm_rcache_verbs_create(pd, "/nowhere.so", &none),
			 -ENOENT);
	assert_int_equal(uhmm_rcache_verbs_create(pd, "libc.so.6", &none),
			 -ENOENT);
	assert_int_equal(uhmm_rcache_verbs_create(NULL, path, &none), -EINVAL);
	assert_int_equal(uhmm_rcache_verbs_create(pd, path, NULL), -EINVAL);
}

static void the_real_library_is_opened(void **state)
{
	struct uhmm_rcache_verbs *real;

	if (uhmm_rcache_verbs_create(&domain, NULL, &real)) {
		print_message("# libibverbs.so.1 is not there\n");
		skip();
	}
	uhmm_rcache_verbs_destroy(real);
}

#define WITH_VERBS(fn) \
	cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_VERBS(access_is_translated),
		WITH_VERBS(a_region_is_found_again_until_memory_changes),
		WITH_VERBS(failures_are_passed_on),
		cmocka_unit_test(a_library_that_is_not_it_is_refused),
		cmocka_unit_test(the_real_library_is_opened),
	};

	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
