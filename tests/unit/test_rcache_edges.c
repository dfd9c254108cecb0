/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The registration cache: what is small, large, none, or wrong. */
#include <stdio.h>
#include <sys/resource.h>

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

static void pointers_may_be_none(void **state)
{
	struct uhmm_rcache_ops half = dev_ops;
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };
	struct uhmm_rcache *none = NULL;
	char text[10];

	assert_int_equal(uhmm_rcache_create(NULL, &dev_ops, NULL, NULL, &none),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_create(mm, NULL, NULL, NULL, &none),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL, NULL, NULL),
			 -EINVAL);
	half.reg = NULL;
	assert_int_equal(uhmm_rcache_create(mm, &half, NULL, NULL, &none),
			 -EINVAL);
	half = dev_ops;
	half.dereg = NULL;
	assert_int_equal(uhmm_rcache_create(mm, &half, NULL, NULL, &none),
			 -EINVAL);
	assert_null(none);
	assert_int_equal(uhmm_rcache_get(NULL, PG(1), 1, RW,
					 &(struct uhmm_registration){ 0 }),
			 -EINVAL);
	assert_int_equal(uhmm_rcache_fd(NULL), -EINVAL);
	assert_int_equal(uhmm_rcache_get_stats(NULL, &stats), -EINVAL);
	assert_int_equal(uhmm_rcache_print_stats(NULL, text, 10), -EINVAL);
	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, RW, NULL), -EINVAL);
	assert_int_equal(uhmm_rcache_get_stats(cache, NULL), -EINVAL);
	stats.size--;
	assert_int_equal(uhmm_rcache_get_stats(cache, &stats), -EINVAL);
	assert_int_equal(uhmm_rcache_print_stats(cache, NULL, 1), -EINVAL);
	assert_true(uhmm_rcache_print_stats(cache, NULL, 0) > 0);
	assert_int_equal(device.regs, 1);
	unmake();
}

static void a_queue_needs_a_descriptor(void **state)
{
	struct uhmm_rcache_options options = { .size = sizeof(options),
					       .queue = 1 };
	struct rlimit before, low;
	struct uhmm_rcache *none = NULL;
	int err;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	err = uhmm_rcache_create(mm, &dev_ops, NULL, &options, &none);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(err, -EMFILE);
	assert_null(none);
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

static void hit_it(void)
{
	invalidate(PG(1), PG(2));
}

/* Has the object that counter, and no other of the name? */
static bool says(const char *text, const char *name, unsigned long n)
{
	char want[80];
	const char *at;

	snprintf(want, sizeof(want), "\"%s\": %lu", name, n);
	at = strstr(text, want);
	return at && strchr(",}", at[strlen(want)]);
}

static void each_counter_is_in_it(void **state)
{
	struct uhmm_rcache_stats s;
	char text[1000];

	make(UHMM_RCACHE_LAZY, 0, 0, 1);
	for (int i = 0; i < 20; i++)
		touch(PG(2 * i), 1, RW);
	for (int i = 0; i < 7; i++)
		touch(PG(0), 1, RW);
	device.stuck = 3;
	invalidate(PG(0), PG(8));
	uhmm_rcache_flush(cache, PG(20), PAGES(12));
	touch(PG(34), PAGES(6), RW);
	device.hook = hit_it;
	touch(PG(1), 1, RW);
	device.refuse = 1;
	touch(PG(101), 1, RW);
	s = cache_stats();
	assert_int_equal(s.hits, 7);
	assert_int_equal(s.misses, 23);
	assert_int_equal(s.collisions, 1);
	assert_int_equal(s.invalidated, 4);
	assert_int_equal(s.overflows, 3);
	assert_int_equal(s.flushed, 6);
	assert_int_equal(s.merged, 3);
	assert_int_equal(s.evicted, 1);
	assert_int_equal(s.dereg_failures, 3);
	assert_int_equal(s.failures, 1);
	assert_int_equal(s.registrations, 23);
	assert_true(uhmm_rcache_print_stats(cache, text, sizeof(text)) > 0);
	assert_true(says(text, "hits", s.hits) &&
		    says(text, "misses", s.misses) &&
		    says(text, "registrations", s.registrations) &&
		    says(text, "failures", s.failures) &&
		    says(text, "deregistrations", s.deregistrations) &&
		    says(text, "dereg_failures", s.dereg_failures) &&
		    says(text, "collisions", s.collisions) &&
		    says(text, "invalidated", s.invalidated));
	assert_true(says(text, "merged", s.merged) &&
		    says(text, "evicted", s.evicted) &&
		    says(text, "flushed", s.flushed) &&
		    says(text, "overflows", s.overflows) &&
		    says(text, "entries", s.entries) &&
		    says(text, "bytes", s.bytes) &&
		    says(text, "retired", s.retired));
	unmake();
}

static void counters_are_an_object(void **state)
{
	char text[1000], few[8];
	int n;

	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	n = uhmm_rcache_print_stats(cache, text, sizeof(text));
	assert_int_equal(n, strlen(text));
	assert_non_null(strstr(text, "\"schema\": 1"));
	assert_non_null(strstr(text, "\"device\": \"test\""));
	assert_non_null(strstr(text, "\"misses\": 1"));
	assert_int_equal(uhmm_rcache_print_stats(cache, few, sizeof(few)), n);
	assert_int_equal(strlen(few), sizeof(few) - 1);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(arguments_are_looked_at),
		CASE(pointers_may_be_none),
		CASE(a_queue_needs_a_descriptor),
		CASE(there_is_an_end_of_addresses),
		CASE(what_is_near_is_apart),
		CASE(limits_may_be_none),
		CASE(large_entries_are_found_everywhere),
		CASE(each_counter_is_in_it),
		CASE(counters_are_an_object),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
