/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * CUDA behind the cache, by a library that stands in for its driver: its path is
 * the argument. There is no GPU here.
 */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/rcache_cuda.h>

#include "fake_cuda.h"
#include "util.h"

enum { PORTABLE_DEVICEMAP = 3 };

static const char *path;
static struct fake_cuda *fake;
static void *library;
static struct uhmm_rcache_cuda *cuda;
static struct uhmm_rcache *cache;
static int context;

static int set_up(void **state)
{
	library = dlopen(path, RTLD_NOW);
	assert_non_null(library);
	fake = dlsym(library, "fake_cuda");
	assert_non_null(fake);
	*fake = (struct fake_cuda){ .context = &context };
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_rcache_cuda_create(&context, path, &cuda), 0);
	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_cuda_ops(), cuda,
					    NULL, &cache), 0);
	return 0;
}

static int tear_down(void **state)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(fake->device.alive, 0);
	assert_int_equal(fake->depth, 0);
	assert_int_equal(fake->without, 0);
	uhmm_rcache_cuda_destroy(cuda);
	mmput(mm);
	dlclose(library);
	return 0;
}

static int get(unsigned long start, unsigned long length,
	       struct uhmm_registration *reg)
{
	return uhmm_rcache_get(cache, start, length, UHMM_RCACHE_WRITE, reg);
}

static void touch(unsigned long start, unsigned long length)
{
	struct uhmm_registration reg;

	assert_int_equal(get(start, length, &reg), 0);
	assert_int_equal(reg.key, reg.start + FAKE_CUDA_OFFSET);
	uhmm_rcache_put(&reg);
}

static void the_key_is_the_pointer_of_the_device(void **state)
{
	struct uhmm_registration reg;

	touch(PG(1), PAGES(2));
	touch(PG(2) + 5, 1);
	assert_int_equal(fake->device.made, 1);
	assert_int_equal(fake->flags, PORTABLE_DEVICEMAP);
	assert_int_equal(uhmm_rcache_get(cache, PG(9), 1, 1U << 4, &reg),
			 -EINVAL);
	invalidate(PG(2), PG(3));
	assert_int_equal(fake->device.alive, 0);
	touch(PG(1), 1);
	assert_int_equal(fake->device.made, 2);
}

static void what_overlaps_is_let_go_of_first(void **state)
{
	touch(PG(1), PAGES(2));
	touch(PG(5), PAGES(2));
	touch(PG(2), PAGES(4));
	assert_int_equal(fake->device.alive, 1);
	/* The union: it serves them all. */
	touch(PG(1), PAGES(6));
	assert_int_equal(fake->device.made, 3);
}

static void but_not_while_it_is_used(void **state)
{
	struct uhmm_registration held, reg;

	assert_int_equal(get(PG(1), PAGES(2), &held), 0);
	assert_int_equal(get(PG(2), PAGES(2), &reg), -EEXIST);
	assert_int_equal(fake->device.alive, 1);
	uhmm_rcache_put(&held);
	touch(PG(2), PAGES(2));
	assert_int_equal(fake->device.alive, 1);
	/* Nor what the program has registered. */
	fake->reg_fails = 712;
	assert_int_equal(get(PG(20), 1, &reg), -EEXIST);
	fake->reg_fails = 0;
}

/* As all of them in a live process: what is retired is registered still. */
static void nor_is_what_a_lazy_cache_has_left(void **state)
{
	struct uhmm_rcache_options options = { .size = sizeof(options),
					       .flags = UHMM_RCACHE_LAZY };
	struct uhmm_registration held, reg;

	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(uhmm_rcache_create(mm, uhmm_rcache_cuda_ops(), cuda,
					    &options, &cache), 0);
	for (int i = 0; i < 3; i++) {
		touch(PG(1), PAGES(2));
		invalidate(PG(1), PG(2));
		assert_int_equal(fake->device.alive, 1);
	}
	touch(PG(2), PAGES(4));
	assert_int_equal(get(PG(2), 1, &held), 0);
	invalidate(PG(2), PG(3));
	assert_int_equal(get(PG(5), PAGES(2), &reg), -EEXIST);
	uhmm_rcache_put(&held);
	touch(PG(5), PAGES(2));
	assert_int_equal(fake->device.alive, 1);
}

static void errors_are_errnos(void **state)
{
	static const struct {
		int theirs, ours;
	} each[] = {
		{ 1, -EINVAL }, { 3, -ENODEV }, { 4, -ENODEV },
		{ 201, -ENODEV }, { 709, -ENODEV }, { 800, -EPERM },
		{ 801, -EOPNOTSUPP }, { 999, -EIO }, { 2, -ENOMEM },
	};
	struct uhmm_registration reg;

	for (unsigned int i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		fake->reg_fails = each[i].theirs;
		assert_int_equal(get(PG(1), 1, &reg), each[i].ours);
	}
	fake->reg_fails = 0;
	fake->push_fails = 201;
	assert_int_equal(get(PG(1), 1, &reg), -ENODEV);
	fake->push_fails = 0;
	fake->pointer_fails = 1;
	assert_int_equal(get(PG(1), 1, &reg), -EINVAL);
	assert_int_equal(fake->device.alive, 0);
	fake->pointer_fails = 0;
	touch(PG(1), 1);
	fake->unreg_fails = 999;
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 1);
	fake->unreg_fails = 0;
}

static void a_context_takes_its_registrations_with_it(void **state)
{
	touch(PG(1), 1);
	touch(PG(3), 1);
	fake->device.alive = 0;
	fake->push_fails = 709;
	assert_int_equal(uhmm_rcache_flush(cache, PG(1), 1), 0);
	fake->push_fails = 0;
	fake->unreg_fails = 713;
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 0);
}

/* Known to be bad: who calls without the context, or does not leave it. */
static void a_wrong_context_is_noticed(void **state)
{
	int (*unreg)(void *addr) = dlsym(library, "cuMemHostUnregister");
	int (*push)(void *context) = dlsym(library, "cuCtxPushCurrent_v2");

	assert_true(unreg && push);
	unreg((void *)PG(1));
	assert_int_equal(fake->without, 1);
	push(&context);
	assert_int_equal(fake->depth, 1);
	fake->without = fake->depth = 0;
}

static void a_library_that_is_not_it_is_refused(void **state)
{
	struct uhmm_rcache_cuda *none;

	assert_int_equal(uhmm_rcache_cuda_create(&context, "/nowhere.so",
						 &none), -ENOENT);
	assert_int_equal(uhmm_rcache_cuda_create(&context, "libc.so.6", &none),
			 -ENOENT);
	assert_int_equal(uhmm_rcache_cuda_create(NULL, path, &none), -EINVAL);
	assert_int_equal(uhmm_rcache_cuda_create(&context, path, NULL),
			 -EINVAL);
}

#define WITH_CUDA(fn) \
	cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_CUDA(the_key_is_the_pointer_of_the_device),
		WITH_CUDA(what_overlaps_is_let_go_of_first),
		WITH_CUDA(but_not_while_it_is_used),
		WITH_CUDA(nor_is_what_a_lazy_cache_has_left),
		WITH_CUDA(errors_are_errnos),
		WITH_CUDA(a_context_takes_its_registrations_with_it),
		WITH_CUDA(a_wrong_context_is_noticed),
		cmocka_unit_test(a_library_that_is_not_it_is_refused),
	};

	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
