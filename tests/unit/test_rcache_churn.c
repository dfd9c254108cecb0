/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache with very many entries, and for very long: all are
 * found, and what it takes of memory does not grow.
 *
 * test_rcache_churn [ENTRIES OPERATIONS]
 *
 * Linked with sync_alloc_pages and sync_free_pages wrapped.
 */
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include <uhmm/rcache.h>

#include "util.h"

enum { WINDOW = 4096, LIMIT = 1024, THREADS = 2, SLACK = 64 << 10 };

static unsigned long entries = 50000, operations = 400000;
static struct uhmm_rcache *cache;
static unsigned long registered, wrong;
static size_t pages_bytes;

void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);
void __real_sync_free_pages(void *pages, size_t size);
void __wrap_sync_free_pages(void *pages, size_t size);

void *__wrap_sync_alloc_pages(size_t size)
{
	void *pages = __real_sync_alloc_pages(size);

	if (pages)
		__atomic_add_fetch(&pages_bytes, size, __ATOMIC_RELAXED);
	return pages;
}

void __wrap_sync_free_pages(void *pages, size_t size)
{
	__atomic_sub_fetch(&pages_bytes, size, __ATOMIC_RELAXED);
	__real_sync_free_pages(pages, size);
}

static size_t memory(void)
{
	return __atomic_load_n(&pages_bytes, __ATOMIC_RELAXED) +
	       mallinfo2().uordblks;
}

/* What is registered is its own key. */
static int dev_reg(void *arg, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key)
{
	__atomic_add_fetch(&registered, 1, __ATOMIC_RELAXED);
	*ret_key = start;
	return 0;
}

static int dev_dereg(void *arg, unsigned long start, size_t length,
		     uint64_t key)
{
	if (key != start)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&registered, 1, __ATOMIC_RELAXED);
	return 0;
}

static void make(unsigned long max_entries)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "own", .reg = dev_reg, .dereg = dev_dereg,
	};
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .max_entries = max_entries,
	};

	/* As long as it takes. */
	alarm(0);
	registered = wrong = 0;
	assert_int_equal(uhmm_rcache_create(mm, &ops, NULL, &options, &cache),
			 0);
}

static void unmake(void)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(registered, 0);
	assert_int_equal(wrong, 0);
}

static int touch(unsigned long page)
{
	struct uhmm_registration reg;
	int err = uhmm_rcache_get(cache, PG(page), 1, UHMM_RCACHE_READ, &reg);

	if (err)
		return err;
	err = reg.key == PG(page) ? 0 : -EXDEV;
	uhmm_rcache_put(&reg);
	return err;
}

static struct uhmm_rcache_stats cache_stats(void)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };

	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	return s;
}

static void very_many_are_found(void **state)
{
	size_t before = memory();

	make(0);
	for (unsigned long i = 0; i < entries; i++)
		assert_int_equal(touch(2 * i), 0);
	assert_int_equal(registered, entries);
	print_message("# %lu entries, %zu bytes each\n", entries,
		      (memory() - before) / entries);
	/* In another order. */
	for (unsigned long i = 0; i < entries; i++)
		assert_int_equal(touch(2 * (i * 7919 % entries)), 0);
	assert_int_equal(cache_stats().misses, entries);
	for (unsigned long i = 0; i < entries; i += 100)
		invalidate(PG(2 * i), PG(2 * i + 1));
	assert_int_equal(cache_stats().invalidated, (entries + 99) / 100);
	assert_int_equal(registered, entries - (entries + 99) / 100);
	unmake();
}

/* New addresses all the time, changes, and no room. */
static void churn(void *arg)
{
	unsigned long seed = (unsigned long)arg, page;

	for (unsigned long i = 0; i < operations / THREADS / 2; i++) {
		seed = seed * 6364136223846793005UL + 1442695040888963407UL;
		page = (seed >> 40) % WINDOW + i / 64;
		if (i % 8 == 7)
			invalidate(PG(page), PG(page + 16));
		else if (touch(page))
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	}
}

static void churn_together(void)
{
	struct task tasks[THREADS];

	for (unsigned long i = 0; i < THREADS; i++)
		task_start(&tasks[i], churn, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++)
		task_join(&tasks[i]);
}

static void what_it_takes_does_not_grow(void **state)
{
	struct uhmm_rcache_stats s;
	size_t half;

	make(LIMIT);
	churn_together();
	uhmm_rcache_flush(cache, 0, 0);
	half = memory();
	churn_together();
	uhmm_rcache_flush(cache, 0, 0);
	s = cache_stats();
	print_message("# %zu bytes, then %zu; misses %lu invalidated %lu "
		      "evicted %lu\n", half, memory(), s.misses, s.invalidated,
		      s.evicted);
	assert_true(memory() <= half + SLACK);
	assert_true(s.misses && s.invalidated && s.evicted);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(very_many_are_found),
		CASE(what_it_takes_does_not_grow),
	};

	if (argc > 2) {
		entries = strtoul(argv[1], NULL, 10);
		operations = strtoul(argv[2], NULL, 10);
	}
	cases_begin(1, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
