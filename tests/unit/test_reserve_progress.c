/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reservations: when one is made, when it is lost, what they are for. */
#include "reserving.h"

/* ------------------------------------------------------------ by collisions */

static void three_collisions_in_a_row_reserve(void **state)
{
	struct task starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	collide(&one, 2);
	assert_int_equal(stats().reserves, 0);
	collide(&one, 1);
	assert_int_equal(stats().reserves, 1);
	assert_recorded("i1 i1 i1");
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	task_join(&starter);
	assert_recorded("i1");
	mirror_drop(&one);
}

static void as_many_collisions_reserve_as_were_asked_for(void **state)
{
	static const unsigned int after[] = { 1, 2, 7 };
	struct mirror one;

	for (size_t i = 0; i < ARRAY_SIZE(after); i++) {
		make(LONG_US, after[i]);
		mirror_add(&one, 1, PG(10), 1);
		collide(&one, (int)after[i] - 1);
		assert_int_equal(stats().reserves, 0);
		collide(&one, 1);
		assert_int_equal(stats().reserves, 1);
		unreserve(&one);
		assert_no_wait(invalidate_task, NULL);
		mirror_drop(&one);
	}
}

static void a_success_in_between_begins_anew(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 5; i++) {
		collide(&one, 2);
		assert_false(mirror_retry(&one, mirror_begin(&one)));
	}
	assert_int_equal(stats().reserves, 0);
	mirror_drop(&one);
}

static void a_new_subscription_begins_anew(void **state)
{
	struct mirror one;

	for (int i = 0; i < 5; i++) {
		mirror_add(&one, 1, PG(10), 1);
		collide(&one, 2);
		mirror_drop(&one);
	}
	assert_int_equal(stats().reserves, 0);
}

static void never_means_never(void **state)
{
	struct mirror one;

	make(LONG_US, UHMM_RESERVE_NEVER);
	mirror_add(&one, 1, PG(10), 1);
	collide(&one, 100);
	assert_int_equal(stats().reserves, 0);
	assert_no_wait(invalidate_task, NULL);
	/* On request it is had even so. */
	reserve(&one);
	assert_int_equal(stats().reserves, 1);
	unreserve(&one);
	mirror_drop(&one);
}

/* ------------------------------------------------------------------ the limit */

static void the_limit_ends_the_wait_and_the_loss_is_counted(void **state)
{
	struct mirror one;
	unsigned long seq;

	make(SHORT_US, 0);
	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	seq = mirror_begin(&one);
	invalidate_task(NULL);
	assert_recorded("i1");
	/* This thread has it, so that was no wait; another one has to. */
	assert_int_equal(stats().reserves_lost, 0);
	assert_true(mirror_retry(&one, seq));
	seq = mirror_begin(&one);
	assert_no_wait(invalidate_task, NULL);
	assert_recorded("i1");
	assert_int_equal(stats().reserves_lost, 1);
	/* Lost is lost: not waited for, and no trap for what follows. */
	assert_true(mirror_retry(&one, seq));
	assert_no_wait(invalidate_task, NULL);
	assert_int_equal(stats().reserves_lost, 1);
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	reserve(&one);
	assert_int_equal(stats().reserves, 2);
	unreserve(&one);
	mirror_drop(&one);
}

static void all_who_reserved_lose_at_the_limit(void **state)
{
	struct holder holders[3];
	struct task tasks[3];
	struct mirror one;

	make(SHORT_US, 0);
	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 3; i++) {
		holders[i].mirror = &one;
		gate_init(&holders[i].gate);
		task_start(&tasks[i], hold_reservation, &holders[i]);
		gate_await(&holders[i].gate);
	}
	assert_no_wait(invalidate_task, NULL);
	assert_recorded("i1");
	assert_int_equal(stats().reserves_lost, 3);
	for (int i = 0; i < 3; i++) {
		gate_open(&holders[i].gate);
		task_join(&tasks[i]);
	}
	assert_no_wait(invalidate_task, NULL);
	mirror_drop(&one);
}

static void reserve_and_leave(void *arg)
{
	struct mirror *m = arg;

	uhmm_interval_reserve(&m->sub);
}

static void a_reservation_of_a_thread_that_has_gone_is_lost(void **state)
{
	struct mirror one;
	struct task task;

	make(SHORT_US, 0);
	mirror_add(&one, 1, PG(10), 1);
	task_start(&task, reserve_and_leave, &one);
	task_join(&task);
	assert_no_wait(invalidate_task, NULL);
	assert_recorded("i1");
	assert_int_equal(stats().reserves, 1);
	mirror_drop(&one);
}

/* --------------------------------------------------------------- no deadlock */

/*
 * 2015: the fault has the lock that the callback takes, and waits until the
 * invalidation is over. Here: it has the reservation that the start waits for,
 * and waits for ranges that are open.
 */
static void who_reserved_waits_for_open_ranges_and_not_for_waiting_ones(
	void **state)
{
	struct mmu_notifier_range open;
	struct task starter, reader;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	mirror_begin(&one);
	begin_range(&open, PG(10), PG(11));
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	end_range(&open);
	task_join(&reader);
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	task_join(&starter);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

static void take_lock_in_callback(struct mirror *m,
				  const struct mmu_notifier_range *range)
{
	pthread_mutex_lock(m->data);
	pthread_mutex_unlock(m->data);
}

/* Its own lock it may take and keep, as long as it then looks again. */
static void the_callback_may_wait_for_the_lock_of_who_reserved(void **state)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct task starter;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	one.hook = take_lock_in_callback;
	one.data = &lock;
	mirror_begin(&one);
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	seq = mirror_begin(&one);
	pthread_mutex_lock(&lock);
	assert_false(mmu_interval_read_retry(&one.sub, seq));
	/* The start goes on, and comes as far as the lock. */
	assert_true(task_waits(&starter));
	pthread_mutex_unlock(&lock);
	task_join(&starter);
	assert_recorded("i1");
	mirror_drop(&one);
}

/* The wrong order: the limit is what is left. */
static void unmap_task(void *locked)
{
	mmap_write_lock(mm);
	set(locked, 1);
	invalidate(PG(10), PG(11));
	mmap_write_unlock(mm);
}

static void a_circle_through_mmap_lock_ends_with_the_limit(void **state)
{
	struct task unmapper;
	struct mirror one;
	unsigned long seq;
	int locked = 0;

	make(100 * 1000, 0);
	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	seq = mirror_begin(&one);
	task_start(&unmapper, unmap_task, &locked);
	while (!look(&locked))
		sync_yield();
	mmap_read_lock(mm);
	assert_true(mirror_retry(&one, seq));
	mmap_read_unlock(mm);
	task_join(&unmapper);
	assert_int_equal(stats().reserves_lost, 1);
	unreserve(&one);
	mirror_drop(&one);
}

/* ------------------------------------------------------------------- progress */

struct storm {
	int stop;
	int round;
};

static void storm_task(void *arg)
{
	struct storm *storm = arg;

	while (!look(&storm->stop)) {
		invalidate(PG(10), PG(11));
		count(&storm->round);
	}
}

/* Attempts until it succeeds, each long enough for the storm to strike. */
static int fault(struct mirror *m, struct storm *storm)
{
	unsigned long seq;

	for (int attempts = 1;; attempts++) {
		int round;

		seq = mirror_begin(m);
		round = look(&storm->round);
		for (int i = 0; i < 100 && look(&storm->round) < round + 2; i++)
			sync_yield();
		if (!mirror_retry(m, seq))
			return attempts;
	}
}

static void a_fault_gets_through_a_storm(void **state)
{
	struct storm storm = { 0 };
	struct mirror one;
	struct task task;
	int attempts, most = 0;

	mirror_add(&one, 1, PG(10), 1);
	one.quiet = true;
	task_start(&task, storm_task, &storm);
	for (int i = 0; i < 100; i++) {
		attempts = fault(&one, &storm);
		if (attempts > most)
			most = attempts;
	}
	set(&storm.stop, 1);
	task_join(&task);
	/* Three collisions, one that was under way, and the one that succeeds. */
	assert_in_range(most, 1, 5);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		LONG_CASE(three_collisions_in_a_row_reserve),
		LONG_CASE(as_many_collisions_reserve_as_were_asked_for),
		LONG_CASE(a_success_in_between_begins_anew),
		LONG_CASE(a_new_subscription_begins_anew),
		LONG_CASE(never_means_never),
		LONG_CASE(the_limit_ends_the_wait_and_the_loss_is_counted),
		LONG_CASE(all_who_reserved_lose_at_the_limit),
		LONG_CASE(a_reservation_of_a_thread_that_has_gone_is_lost),
		LONG_CASE(
			who_reserved_waits_for_open_ranges_and_not_for_waiting_ones),
		LONG_CASE(the_callback_may_wait_for_the_lock_of_who_reserved),
		LONG_CASE(a_circle_through_mmap_lock_ends_with_the_limit),
		LONG_CASE(a_fault_gets_through_a_storm),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
