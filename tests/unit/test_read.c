/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The read side: what collides, what is waited for. */
#include "util.h"

/* ------------------------------------------------------------------ numbers */

static void numbers_are_odd_and_never_come_back(void **state)
{
	static unsigned long seen[2000];
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
		seen[i] = mirror_begin(&one);
		assert_int_equal(seen[i] & 1, 1);
		invalidate(PG(10), PG(11));
	}
	for (size_t i = 0; i < ARRAY_SIZE(seen); i++)
		for (size_t j = 0; j < i; j++)
			if (seen[i] == seen[j])
				fail_msg("number %zu is number %zu", i, j);
	mirror_drop(&one);
}

static void a_number_is_good_for_many_reads(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	seq = mirror_begin(&one);
	for (int i = 0; i < 10; i++) {
		assert_false(mirror_retry(&one, mirror_begin(&one)));
		invalidate(PG(11), PG(12));
		assert_false(mirror_retry(&one, seq));
	}
	mirror_drop(&one);
}

/* --------------------------------------------------------------- collisions */

static void an_undisturbed_read_succeeds(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 3; i++) {
		seq = mirror_begin(&one);
		assert_false(mmu_interval_check_retry(&one.sub, seq));
		assert_false(mirror_retry(&one, seq));
		assert_false(mirror_retry(&one, seq));
	}
	assert_int_equal(stats().retries, 0);
	mirror_drop(&one);
}

static void a_read_that_an_invalidation_met_retries(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	/* Ended in between. */
	seq = mirror_begin(&one);
	invalidate(PG(10), PG(11));
	assert_true(mirror_retry(&one, seq));
	seq = mirror_begin(&one);
	assert_false(mirror_retry(&one, seq));
	/* Still open. */
	begin_range(&range, PG(10), PG(11));
	assert_true(mirror_retry(&one, seq));
	end_range(&range);
	assert_true(mirror_retry(&one, seq));
	seq = mirror_begin(&one);
	assert_false(mirror_retry(&one, seq));
	mirror_drop(&one);
}

static void a_read_that_others_met_succeeds(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), PAGES(1));
	seq = mirror_begin(&one);
	begin_range(&range, PG(11), PG(20));
	invalidate(PG(0), PG(10));
	assert_false(mmu_interval_check_retry(&one.sub, seq));
	assert_false(mirror_retry(&one, seq));
	end_range(&range);
	mirror_drop(&one);
}

static void check_retry_says_what_read_retry_will_say(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 10; i++) {
		seq = mirror_begin(&one);
		assert_false(mmu_interval_check_retry(&one.sub, seq));
		invalidate(PG(10), PG(11));
		assert_true(mmu_interval_check_retry(&one.sub, seq));
		invalidate(PG(10), PG(11));
		assert_true(mmu_interval_check_retry(&one.sub, seq));
		assert_true(mirror_retry(&one, seq));
	}
	/* A look is no retry. */
	assert_int_equal(stats().retries, 10);
	mirror_drop(&one);
}

static void an_old_number_does_not_come_true_again(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	seq = mirror_begin(&one);
	for (int i = 0; i < 1000; i++) {
		invalidate(PG(10), PG(11));
		if (!mirror_retry(&one, seq))
			fail_msg("after %d invalidations", i + 1);
		mirror_begin(&one);
	}
	mirror_drop(&one);
}

/* ------------------------------------------------------------------- waiting */

static void a_read_waits_until_the_range_has_ended(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	struct task reader;

	mirror_add(&one, 1, PG(10), 1);
	mirror_begin(&one);
	begin_range(&range, PG(10), PG(11));
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	end_range(&range);
	task_join(&reader);
	assert_int_equal(stats().waits, 1);
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	assert_int_equal(stats().waits, 1);
	mirror_drop(&one);
}

struct page_table {
	struct mirror *mirror;
	int entry;
	int read;
};

static void read_entry(void *arg)
{
	struct page_table *table = arg;
	unsigned long seq;

	do {
		seq = mirror_begin(table->mirror);
		table->read = table->entry;
	} while (mirror_retry(table->mirror, seq));
}

/* The entry is written plainly: what end publishes, the read sees. */
static void a_read_that_waited_sees_what_was_changed(void **state)
{
	struct page_table table = { .entry = 1 };
	struct mmu_notifier_range range;
	struct mirror one;
	struct task reader;

	mirror_add(&one, 1, PG(10), 1);
	table.mirror = &one;
	for (int i = 2; i < 6; i++) {
		begin_range(&range, PG(10), PG(11));
		task_start(&reader, read_entry, &table);
		assert_true(task_waits(&reader));
		table.entry = i;
		end_range(&range);
		task_join(&reader);
		assert_int_equal(table.read, i);
	}
	mirror_drop(&one);
}

static void a_read_waits_for_no_range_elsewhere(void **state)
{
	struct mmu_notifier_range below, above;
	struct mirror one;

	mirror_add(&one, 1, PG(10), PAGES(1));
	begin_range(&below, PG(0), PG(10));
	begin_range(&above, PG(11), PG(20));
	assert_no_wait(mirror_begin_task, &one);
	/* Hit meanwhile, it has to look closer. */
	invalidate(PG(10), PG(11));
	assert_no_wait(mirror_begin_task, &one);
	assert_int_equal(stats().waits, 0);
	end_range(&below);
	end_range(&above);
	mirror_drop(&one);
}

static void one_byte_in_common_is_enough_to_wait(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), PAGES(1));
	begin_range(&range, PG(0), PG(10) + 1);
	assert_true(mirror_held_up(&one));
	end_range(&range);
	begin_range(&range, PG(11) - 1, PG(12));
	assert_true(mirror_held_up(&one));
	end_range(&range);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

static void a_read_waits_for_each_range_that_hit_it(void **state)
{
	struct mmu_notifier_range ranges[3];
	struct mirror one;
	struct task reader;

	mirror_add(&one, 1, PG(10), PAGES(3));
	for (int i = 0; i < 3; i++)
		begin_range(&ranges[i], PG(10 + i), PG(11 + i));
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	end_range(&ranges[1]);
	assert_true(task_waits(&reader));
	end_range(&ranges[2]);
	assert_true(task_waits(&reader));
	end_range(&ranges[0]);
	task_join(&reader);
	mirror_drop(&one);
}

/*
 * One that starts before its predecessor ends, again and again: there is no
 * moment without one. A read looks for each place at one only.
 */
static void a_read_is_not_kept_up_by_a_chain_of_ranges(void **state)
{
	struct mmu_notifier_range links[2];
	struct mirror one;
	struct task reader;
	int n = 0;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&links[0], PG(10), PG(11));
	task_start(&reader, mirror_begin_task, &one);
	while (task_waits(&reader)) {
		if (n == 10)
			fail_msg("still waiting after %d ranges", n);
		n++;
		begin_range(&links[n % 2], PG(10), PG(11));
		end_range(&links[!(n % 2)]);
	}
	assert_in_range(n, 1, 10);
	task_join(&reader);
	end_range(&links[n % 2]);
	mirror_drop(&one);
}

#define READERS 6

static void all_who_wait_for_a_range_are_woken(void **state)
{
	struct task readers[READERS];
	struct mmu_notifier_range range;
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(11), 1);
	begin_range(&range, PG(10), PG(12));
	for (int i = 0; i < READERS; i++)
		task_start(&readers[i], mirror_begin_task,
			   i % 2 ? &one : &two);
	for (int i = 0; i < READERS; i++)
		assert_true(task_waits(&readers[i]));
	end_range(&range);
	for (int i = 0; i < READERS; i++)
		task_join(&readers[i]);
	assert_int_equal(stats().waits, READERS);
	mirror_drop(&one);
	mirror_drop(&two);
}

static void a_read_that_nothing_hit_since_does_not_look_further(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	mirror_begin(&one);
	assert_int_equal(one.sub.verified, one.sub.invalidate_seq);
	begin_range(&range, PG(10), PG(11));
	assert_int_not_equal(one.sub.verified, one.sub.invalidate_seq);
	end_range(&range);
	mirror_begin(&one);
	assert_int_equal(one.sub.verified, one.sub.invalidate_seq);
	mirror_drop(&one);
}

/* ----------------------------------------- the promise, with real threads */

#define ENTRIES 16
#define ROUNDS 3000

/*
 * A page table and a view of it. Entries only grow; a page is freed, which
 * takes its number out of use, before the entry has the next number.
 */
struct world {
	struct mirror mirror;
	int table[ENTRIES];	/* number of the page, atomic */
	int freed[ENTRIES];	/* all up to it are free, atomic */
	int view[ENTRIES];	/* 0: nothing, under mirror.lock */
	int changers;		/* each has every other entry to change */
	int stale;
	int stop;
};

static void world_changes(void *arg)
{
	struct mmu_notifier_range range;
	struct world *w = arg;
	int mine = count(&w->changers) & 1;

	for (int round = 0; round < ROUNDS; round++) {
		int at = round * 6 % ENTRIES + mine;

		begin_range(&range, PG(at - mine), PG(at + 2));
		set(&w->freed[at], look(&w->table[at]));
		set(&w->table[at], look(&w->table[at]) + 1);
		end_range(&range);
	}
	count(&w->stop);
}

static void world_faults(void *arg)
{
	struct world *w = arg;
	unsigned long seq;
	int at = 0, page;

	while (look(&w->stop) < 2) {
		at = (at + 1) % ENTRIES;
		seq = mirror_begin(&w->mirror);
		page = look(&w->table[at]);
		pthread_mutex_lock(&w->mirror.lock);
		if (!mmu_interval_read_retry(&w->mirror.sub, seq)) {
			w->view[at] = page;
			for (int i = 0; i < ENTRIES; i++)
				if (w->view[i] &&
				    w->view[i] <= look(&w->freed[i]))
					count(&w->stale);
		}
		pthread_mutex_unlock(&w->mirror.lock);
	}
}

static bool world_invalidate(struct mmu_interval_notifier *sub,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	struct mirror *m = container_of(sub, struct mirror, sub);
	struct world *w = container_of(m, struct world, mirror);

	pthread_mutex_lock(&m->lock);
	mmu_interval_set_seq(sub, cur_seq);
	for (int i = 0; i < ENTRIES; i++)
		if (PG(i) >= range->start && PG(i) < range->end)
			w->view[i] = 0;
	pthread_mutex_unlock(&m->lock);
	return true;
}

static void a_view_never_has_a_page_that_is_free(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = world_invalidate,
	};
	static struct world w;
	struct task tasks[4];

	memset(&w, 0, sizeof(w));
	for (int i = 0; i < ENTRIES; i++)
		w.table[i] = 1;
	mirror_init(&w.mirror, 1);
	assert_int_equal(mmu_interval_notifier_insert(
				 &w.mirror.sub, mm, PG(0), PAGES(ENTRIES),
				 &ops), 0);
	task_start(&tasks[0], world_changes, &w);
	task_start(&tasks[1], world_changes, &w);
	task_start(&tasks[2], world_faults, &w);
	task_start(&tasks[3], world_faults, &w);
	for (int i = 0; i < 4; i++)
		task_join(&tasks[i]);
	assert_int_equal(look(&w.stale), 0);
	mirror_drop(&w.mirror);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(numbers_are_odd_and_never_come_back),
		CASE(a_number_is_good_for_many_reads),
		CASE(an_undisturbed_read_succeeds),
		CASE(a_read_that_an_invalidation_met_retries),
		CASE(a_read_that_others_met_succeeds),
		CASE(check_retry_says_what_read_retry_will_say),
		CASE(an_old_number_does_not_come_true_again),
		CASE(a_read_waits_until_the_range_has_ended),
		CASE(a_read_that_waited_sees_what_was_changed),
		CASE(a_read_waits_for_no_range_elsewhere),
		CASE(one_byte_in_common_is_enough_to_wait),
		CASE(a_read_waits_for_each_range_that_hit_it),
		CASE(a_read_is_not_kept_up_by_a_chain_of_ranges),
		CASE(all_who_wait_for_a_range_are_woken),
		CASE(a_read_that_nothing_hit_since_does_not_look_further),
		CASE(a_view_never_has_a_page_that_is_free),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
