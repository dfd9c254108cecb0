/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The registration cache: what is small, large, none, or wrong. */
#include "rcache_util.h"

static void arguments_are_looked_at(void **state)
{
	struct uhmm_rcache_options bad = { .size = sizeof(bad), .granule = 3 };
	struct uhmm_rcache_ops unknown = dev_ops;
	struct uhmm_registration reg;

	unknown.flags = 2;
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL, &bad, &cache),
			 -EINVAL);
	bad = (struct uhmm_rcache_options){ .size = 1 };
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL, &bad, &cache),
			 -EINVAL);
	bad = (struct uhmm_rcache_options){ .size = sizeof(bad), .flags = 1U << 31 };
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL, &bad, &cache),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_create(mm, &unknown, NULL, NULL, &cache),
			 -EINVAL);
	make(0, 0, 0, 0);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 0, RW, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, 0, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_get(cache, ~0UL, 2, RW, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_get(cache, 1, 1, 1U << 16, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_fd(cache), -EINVAL);
	assert_int_equal(device.regs, 0);
	/* Nor do they find what is there. */
	touch(PG(1), PAGES(2), RW);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 0, RW, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, 0, &reg), -EINVAL);
	assert_int_equal(uhmm_rcache_get(cache, PG(1) + 2, ~0UL, RW, &reg),
			 -EINVAL);
	assert_int_equal(cache_stats().hits, 0);
	unmake();
}

static void there_is_an_end_of_addresses(void **state)
{
	static const unsigned int granules[] = { 0, 1, 1 << 21, 1U << 31 };
	struct uhmm_rcache_options options = { .size = sizeof(options) };
	const unsigned long half = 1UL << 63;
	struct uhmm_registration reg;

	for (int i = 0; i < 4; i++) {
		options.granule = granules[i];
		make_with(&options);
		assert_int_equal(touch(~0UL, 1, RW), touch(~0UL, 1, RW));
		touch(half, half, RW);
		touch(~0UL - 4096, 4097, RW);
		assert_int_equal(uhmm_rcache_get(cache, half, half + 1, RW,
						 &reg), -EINVAL);
		assert_int_equal(uhmm_rcache_get(cache, 1, ~0UL, RW, &reg),
				 options.granule == 1 ? 0 : -EINVAL);
		if (options.granule == 1)
			uhmm_rcache_put(&reg);
		unmake();
	}
}

static void what_is_near_is_apart(void **state)
{
	struct uhmm_rcache_options options = { .size = sizeof(options),
					       .granule = 64 };
	uint64_t first, other;

	make_with(&options);
	first = touch(PG(1) + 64, 60, RW);
	other = touch(PG(1) + 200, 1, RW);
	assert_int_not_equal(first, other);
	assert_int_equal(touch(PG(1) + 100, 28, RW), first);
	assert_int_equal(touch(PG(1) + 192, 64, RW), other);
	invalidate(PG(1) + 128, PG(1) + 192);
	assert_int_equal(device.deregs, 0);
	assert_int_equal(touch(PG(1) + 64, 1, RW), first);
	assert_int_not_equal(touch(PG(1) + 96, 64, RW), first);
	assert_int_equal(cache_stats().merged, 1);
	unmake();
}

/* None, and more than there can be. */
static void limits_may_be_none(void **state)
{
	static const unsigned long limits[] = { 0, ~0UL };
	uint64_t key;

	for (int i = 0; i < 2; i++) {
		make(0, limits[i], limits[i], 0);
		key = touch(PG(1), 1UL << 62, RW);
		for (int k = 0; k < 100; k++)
			touch(PG(3 * k) | 1UL << 63, PAGES(2), RW);
		assert_int_equal(touch(PG(1), 1UL << 62, RW), key);
		assert_int_equal(cache_stats().entries, 101);
		unmake();
	}
	make(0, 1, 1, 0);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, RW,
					 &(struct uhmm_registration){ 0 }),
			 -ENOSPC);
	unmake();
}

static void large_entries_are_found_everywhere(void **state)
{
	uint64_t key;

	make(0, 0, 0, 0);
	key = touch(PG(0), PAGES(100000), RW);
	for (unsigned long i = 0; i < 100000; i += 7)
		assert_int_equal(touch(PG(i) + i % 4000, 90, RW), key);
	for (unsigned long i = 0; i < 5000; i++)
		touch(PG(200000 + i), 1, RW);
	for (unsigned long i = 0; i < 5000; i++)
		touch(PG(200000 + i), 1, RW);
	assert_int_equal(device.regs, 5001);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(arguments_are_looked_at),
		CASE(there_is_an_end_of_addresses),
		CASE(what_is_near_is_apart),
		CASE(limits_may_be_none),
		CASE(large_entries_are_found_everywhere),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
