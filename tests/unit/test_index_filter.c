/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The filter of the interval index. That it never says that nothing is there where
 * something is, and counts what is there and nothing else, each history of
 * test_index.c looks at; here what it is good for, and its edges.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fuzz/index_history.h"

#define PAGE 4096UL
#define MANY 2000U

static struct history history;

static void begin(void)
{
	history_allocations_left = -1;
	assert_int_equal(history_begin(&history, SHAPE_DENSE), 0);
}

static void assert_right(void)
{
	history_check_tree(&history);
	if (*history.problem)
		fail_msg("%s", history.problem);
}

static void end(void)
{
	assert_right();
	history_end(&history);
}

/* Pages @first to @first + @n - 1. */
static void add(unsigned long first, unsigned long n)
{
	assert_int_equal(history_insert(&history, first * PAGE,
					(first + n) * PAGE - 1), 0);
}

static bool nothing(unsigned long first, unsigned long n)
{
	return index_nothing(&history.ix, first * PAGE, (first + n) * PAGE - 1);
}

/* Every fourth page, in no order. */
static void add_many(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		add(4UL * (i * 7919UL % n), 1);
	assert_true(index_filtered(&history.ix));
}

static void few_have_none(void **state)
{
	begin();
	for (unsigned int i = 0; i < history.ix.filter_at; i++)
		add(i, 1);
	assert_false(index_filtered(&history.ix));
	end();
}

/* Of those it is made for it tells nearly all, and of all that are there none. */
static void it_tells_where_nothing_is(void **state)
{
	unsigned int told = 0;

	begin();
	add_many(MANY);
	for (unsigned int i = 0; i < MANY; i++) {
		told += nothing(4 * i + 2, 1);
		assert_false(nothing(4 * i, 1));
		assert_false(nothing(4 * i, 3));
	}
	assert_true(told > MANY * 9 / 10);
	end();
}

static void what_is_gone_is_not_counted(void **state)
{
	unsigned int told = 0;

	begin();
	add_many(MANY);
	while (history.n > 1)
		history_remove(&history, history.n / 2);
	for (unsigned int i = 1; i < MANY - 1; i++)
		told += nothing(4 * i, 1);
	assert_int_equal(told, MANY - 2);
	end();
}

/* It is made anew, and the new one has room again. */
static void it_grows(void **state)
{
	const struct index_filter *first;
	unsigned int told = 0;

	begin();
	add_many(100);
	first = history.ix.filter;
	add_many(MANY);
	assert_ptr_not_equal(history.ix.filter, first);
	assert_true(history.ix.filter->shift < first->shift);
	for (unsigned int i = 0; i < MANY; i++)
		told += nothing(4 * i + 2, 1);
	assert_true(told > MANY * 9 / 10);
	end();
}

/* Searched for as before, until there are some times as many. */
static void without_memory_there_is_none(void **state)
{
	begin();
	/* Nodes have memory; nothing else gets any. */
	history.ix.filter_at = ULONG_MAX;
	for (unsigned int i = 0; i < MANY; i++)
		add(2 * i, 1);
	while (history.n)
		history_remove(&history, 0);
	history.ix.filter_at = 100;
	history_allocations_left = 0;
	for (unsigned int i = 0; i < 200; i++)
		add(2 * i, 1);
	assert_false(index_filtered(&history.ix));
	assert_in_range(history.ix.filter_at, 201, MANY - 1);
	history_allocations_left = -1;
	for (unsigned int i = 200; i < MANY; i++)
		add(2 * i, 1);
	assert_true(index_filtered(&history.ix));
	end();
}

/* What others do as the lock is dropped. */
static void (*meanwhile)(void);
static unsigned int drops;

void __real_sync_yield(void);
void __wrap_sync_yield(void);

void __wrap_sync_yield(void)
{
	drops++;
	if (meanwhile)
		meanwhile();
	__real_sync_yield();
}

static unsigned long random_state;

static unsigned int random_below(unsigned int n)
{
	random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned int)(random_state >> 33) % n;
}

/* One that comes may go at once, and come again, as in a hot spot; or another goes. */
static void come_and_go(void)
{
	unsigned long page = random_below(4 * MANY);

	for (unsigned int i = random_below(6); i; i--) {
		add(page, 1 + random_below(20));
		if (random_below(3) && history.n > 1)
			history_remove(&history, random_below((unsigned int)history.n));
		if (random_below(2))
			page = random_below(4 * MANY);
	}
	add(page, 1);
	for (size_t i = 0; i < history.n; i++)
		if (history.sorted[i]->node.start == page * PAGE &&
		    history.sorted[i]->node.last == page * PAGE + PAGE - 1) {
			history_remove(&history, i);
			break;
		}
	if (random_below(2))
		add(page, 1);
}

/* One after the other; whoever comes meanwhile makes none. */
static void what_comes_and_goes_meanwhile_is_counted(void **state)
{
	for (unsigned int seed = 0; seed < 30; seed++) {
		random_state = seed;
		begin();
		/* Else the lock is dropped and taken again, and nobody sees it. */
		history.ix.lock.waiters++;
		drops = 0;
		for (unsigned int i = 0; i < MANY; i++) {
			meanwhile = history_at_allocation = come_and_go;
			add(random_below(4 * MANY), 1);
		}
		meanwhile = history_at_allocation = NULL;
		history.ix.lock.waiters--;
		assert_true(drops > 5);
		assert_true(index_filtered(&history.ix));
		end();
	}
}

/* What is long is counted in long units, and told of as well. */
static void long_ones_are_told_of(void **state)
{
	static const unsigned long lengths[] = { 1, 8, 9, 64, 513, 5000, 1UL << 30 };
	unsigned long n;

	begin();
	add_many(100);
	for (unsigned int i = 0; i < ARRAY_SIZE(lengths); i++) {
		n = lengths[i];
		add(1UL << 40, n);
		assert_false(nothing(1UL << 40, 1));
		assert_false(nothing((1UL << 40) + n - 1, 1));
		assert_false(nothing((1UL << 40) + n / 2, 1));
		assert_right();
		history_remove(&history, history.n - 1);
		/* Not as what may come again. */
		add(3, 1);
		history_remove(&history, 1);
		assert_true(nothing(1UL << 40, 1));
	}
	end();
}

/* A long range would take many looks, and is searched for. */
static void of_long_ranges_it_says_nothing(void **state)
{
	begin();
	add_many(100);
	assert_true(nothing(1UL << 40, FILTER_LOOKS));
	assert_false(nothing(1UL << 40, FILTER_LOOKS + 1));
	assert_false(index_nothing(&history.ix, 0, ULONG_MAX));
	end();
}

static void all_addresses_are_covered(void **state)
{
	begin();
	add_many(100);
	assert_int_equal(history_insert(&history, 0, ULONG_MAX), 0);
	assert_false(nothing(1UL << 40, 1));
	assert_false(index_nothing(&history.ix, ULONG_MAX, ULONG_MAX));
	assert_right();
	/* Behind the page that begins there, too. */
	history_remove(&history, 1);
	assert_int_equal(history_insert(&history, ULONG_MAX, ULONG_MAX), 0);
	assert_false(index_nothing(&history.ix, ULONG_MAX, ULONG_MAX));
	assert_false(index_nothing(&history.ix, ULONG_MAX - PAGE, ULONG_MAX));
	assert_true(nothing(1UL << 40, 1));
	end();
}

/* A counter that was at the top stays there: nobody knows what it would be. */
static void what_is_crowded_is_searched_for(void **state)
{
	begin();
	add_many(100);
	for (unsigned int i = 0; i < 2 * FILTER_TOP; i++)
		add(1UL << 40, 1);
	assert_right();
	while (history.n > 100)
		history_remove(&history, history.n - 1);
	assert_false(nothing(1UL << 40, 1));
	assert_true(nothing((1UL << 40) + 1, 1));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_have_none),
		cmocka_unit_test(it_tells_where_nothing_is),
		cmocka_unit_test(what_is_gone_is_not_counted),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(without_memory_there_is_none),
		cmocka_unit_test(what_comes_and_goes_meanwhile_is_counted),
		cmocka_unit_test(long_ones_are_told_of),
		cmocka_unit_test(of_long_ranges_it_says_nothing),
		cmocka_unit_test(all_addresses_are_covered),
		cmocka_unit_test(what_is_crowded_is_searched_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
