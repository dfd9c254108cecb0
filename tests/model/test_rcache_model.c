/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache of a model, and a device that pins its pages: what the
 * device writes is there afterwards, whatever became of the memory before; and
 * the programs that other caches lose writes in.
 */
#include <pthread.h>

#include <uhmm/rcache.h>

#include "model_util.h"
#include "rcache/internal.h"

#define GRANULE LEN(4)
#define CYCLES 3000UL

static struct uhmm_rcache *cache;
static void (*hook)(void);	/* before a registration, once */

static int pin(void *unused, unsigned long start, size_t length,
	       unsigned int access, uint64_t *ret_key)
{
	void (*fn)(void) = __atomic_load_n(&hook, __ATOMIC_ACQUIRE);
	int id = uhmm_model_pin(mm, start, length >> 12,
				access & UHMM_RCACHE_WRITE);

	__atomic_store_n(&hook, NULL, __ATOMIC_RELEASE);
	if (fn)
		fn();
	if (id < 0)
		return id;
	*ret_key = (uint64_t)id;
	return 0;
}

static int unpin(void *unused, unsigned long start, size_t length, uint64_t key)
{
	return uhmm_model_unpin(mm, (int)key);
}

static int begin(void **state)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "pins", .reg = pin, .dereg = unpin,
	};
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .granule = GRANULE,
	};

	machine_begin(state);
	area_anon(0, 8, RW);
	return uhmm_rcache_create(mm, &ops, NULL, &options, &cache);
}

static int end(void **state)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	return machine_end(state);
}

/* The device writes @value to the page. 0; 1: it is lost; -errno. */
static int write_once(int page, uint64_t value)
{
	struct uhmm_registration reg;
	uint64_t words[512];
	int err = uhmm_rcache_get(cache, PG(page), 4096, UHMM_RCACHE_WRITE,
				  &reg);

	if (err)
		return err;
	for (int i = 0; i < 512; i++)
		words[i] = value;
	err = uhmm_model_pin_access(mm, (int)reg.key,
				    (PG(page) - reg.start) >> 12, words, true);
	uhmm_rcache_put(&reg);
	return err ?: peek_in(mm, page) != value;
}

static void remap(void)
{
	uhmm_model_munmap(mm, PG(0), LEN(1));
	uhmm_model_mmap(mm, PG(0), LEN(1), RW,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0, 0);
}

static void drop(void)
{
	uhmm_model_madvise(mm, PG(0), LEN(1), MADV_DONTNEED);
}

static void move_and_back(void)
{
	uhmm_model_mremap(mm, PG(0), LEN(1), LEN(1),
			  MREMAP_MAYMOVE | MREMAP_FIXED, PG(100));
	area_anon(0, 1, RW);
	uhmm_model_munmap(mm, PG(100), LEN(1));
}

static void forks(void)
{
	struct mm_struct *child;

	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	poke(0, 77);
	mmput(child);
}

static void (*const changes[])(void) = { remap, drop, move_and_back, forks };

static void what_changes_is_written_all_the_same(void **state)
{
	for (unsigned int i = 0; i < 4 * sizeof(changes) / sizeof(changes[0]);
	     i++) {
		assert_int_equal(write_once(0, 2 * i + 1), 0);
		changes[i / 4]();
		assert_int_equal(write_once(0, 2 * i + 2), 0);
	}
}

static void and_if_it_changes_while_it_is_registered(void **state)
{
	for (unsigned int i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uhmm_rcache_flush(cache, 0, 0);
		__atomic_store_n(&hook, changes[i], __ATOMIC_RELEASE);
		assert_int_equal(write_once(0, i + 1), 0);
		assert_null(__atomic_load_n(&hook, __ATOMIC_ACQUIRE));
	}
}

static void without_the_check_it_is_lost(void **state)
{
	__atomic_store_n(&hook, remap, __ATOMIC_RELEASE);
	rcache_broken = BROKEN_CHECK;
	assert_int_equal(write_once(0, 1), 1);
	rcache_broken = 0;
	remap();
	assert_int_equal(write_once(0, 1), 0);
}

static void a_child_is_not_written(void **state)
{
	struct mm_struct *child;

	assert_int_equal(write_once(0, 1), 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(write_once(0, 2), 0);
	assert_int_equal(peek_in(child, 0), 1);
	mmput(child);
}

static int stop;

static void *neighbour(void *unused)
{
	struct uhmm_registration reg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		if (!uhmm_rcache_get(cache, PG(1), 4096, UHMM_RCACHE_WRITE,
				     &reg))
			uhmm_rcache_put(&reg);
	return NULL;
}

static void a_neighbour_loses_nobodys_writes(void **state)
{
	unsigned long lost = 0, failed = 0;
	pthread_t thread;
	int err;

	stop = 0;
	assert_int_equal(pthread_create(&thread, NULL, neighbour, NULL), 0);
	for (unsigned long i = 0; i < CYCLES; i++) {
		remap();
		err = write_once(0, i + 1);
		lost += err > 0;
		failed += err < 0;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(failed, 0);
	assert_int_equal(lost, 0);
}

#undef CASE
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CASE(what_changes_is_written_all_the_same),
		CASE(and_if_it_changes_while_it_is_registered),
		CASE(without_the_check_it_is_lost),
		CASE(a_child_is_not_written),
		CASE(a_neighbour_loses_nobodys_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
