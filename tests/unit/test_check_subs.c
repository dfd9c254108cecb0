/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker on the life of subscriptions: inserted and removed in
 * turn, and used in between.
 */
#include "check_driver.h"

#include <errno.h>
#include <string.h>

static struct mm_struct *mm;

static int begin(void **state)
{
	begin_reports(state);
	mm = checked_mm();
	return 0;
}

static int finish(void **state)
{
	(void)state;
	expect_no_reports(mm);
	mmput(mm);
	expect_no_reports(NULL);
	return 0;
}

/* ----------------------------------------------------------- insert, remove */

static void inserting_twice_is_reported(void **state)
{
	struct mm_struct *other = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	assert_int_equal(mmu_interval_notifier_insert(&view.sub, mm, PG(8),
						      1, &view_ops), -EBUSY);
	expect_other("it was inserted");
	assert_ptr_equal(last_report.subscription, &view.sub);
	expect_reports(mm, UHMM_RULE_INSERT_REMOVE, 1);
	/* Nor elsewhere. */
	assert_int_equal(mmu_interval_notifier_insert(&view.sub, other, PG(8),
						      1, &view_ops), -EBUSY);
	expect_reports(other, UHMM_RULE_INSERT_REMOVE, 1);
	/* It is where it was. */
	invalidate(mm, 0, 1);
	assert_int_equal(view.hits, 1);
	view_close(&view);
	view_open(&view, other, 0, 4);
	view_close(&view);
	mmput(other);
}

static void removing_twice_is_reported(void **state)
{
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view_close(&view);
	expect_no_reports(mm);
	mmu_interval_notifier_remove(&view.sub);
	expect_other("it was removed");
	expect_reports(mm, UHMM_RULE_INSERT_REMOVE, 1);
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&view.sub, 0),
			 -EINVAL);
	expect_reports(mm, UHMM_RULE_INSERT_REMOVE, 1);
}

static void removing_what_was_never_inserted_is_reported(void **state)
{
	struct mmu_interval_notifier sub = { 0 };

	(void)state;
	mmu_interval_notifier_remove(&sub);
	assert_null(last_report.mm);
	assert_ptr_equal(last_report.subscription, &sub);
	expect_reports(NULL, UHMM_RULE_INSERT_REMOVE, 1);
	/* As if it had been copied from one that is. */
	sub.mm = mm;
	mmu_interval_notifier_remove(&sub);
	expect_reports(mm, UHMM_RULE_INSERT_REMOVE, 1);
}

static void remove_in_callback(struct view *view,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	view->before = NULL;
	assert_int_equal(uhmm_interval_notifier_remove_async(&view->sub), 0);
	mmu_interval_notifier_remove(&view->sub);
}

static void removing_what_removes_itself_is_reported(void **state)
{
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_removed_ops);
	view.before = remove_in_callback;
	invalidate(mm, 0, 1);
	expect_other("it was removed");
	expect_reports(mm, UHMM_RULE_INSERT_REMOVE, 1);
}

struct blocker {
	struct view view;
	pthread_mutex_t gate;
	pthread_t thread;
	int inside;
};

static void wait_at_gate(struct view *view,
			 const struct mmu_notifier_range *range,
			 unsigned long cur_seq)
{
	struct blocker *b = (struct blocker *)(void *)view;

	(void)range;
	(void)cur_seq;
	__atomic_store_n(&b->inside, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&b->gate);
	pthread_mutex_unlock(&b->gate);
}

static void *invalidate_blocked(void *arg)
{
	struct blocker *b = arg;
	struct mmu_notifier_range range;

	range_of(&range, b->view.mm, 0, 1);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
	return NULL;
}

/* Remove may be called again after a timeout, and only then. */
static void removing_again_after_a_timeout_is_right(void **state)
{
	struct blocker b = { .inside = 0 };

	(void)state;
	pthread_mutex_init(&b.gate, NULL);
	pthread_mutex_lock(&b.gate);
	view_open(&b.view, mm, 0, 4);
	b.view.before = wait_at_gate;
	pthread_create(&b.thread, NULL, invalidate_blocked, &b);
	while (!__atomic_load_n(&b.inside, __ATOMIC_ACQUIRE))
		;
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&b.view.sub,
							       1000000),
			 -ETIMEDOUT);
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&b.view.sub, 0),
			 -ETIMEDOUT);
	pthread_mutex_unlock(&b.gate);
	mmu_interval_notifier_remove(&b.view.sub);
	pthread_join(b.thread, NULL);
	expect_no_reports(mm);
}

/* More of them than the checker remembers, at the same place, and others. */
static void subscriptions_on_the_stack_come_and_go(void **state)
{
	struct view views[8];

	(void)state;
	for (int round = 0; round < 300; round++) {
		int n = 1 + round % 8;

		for (int i = 0; i < n; i++)
			view_open(&views[i], mm, i, 2);
		invalidate(mm, round % 8, 1);
		for (int i = 0; i < n; i++) {
			view_fault(&views[i], i);
			view_close(&views[i]);
		}
	}
	expect_no_reports(mm);
}

/* ---------------------------------------------------------- after removal */

static void using_what_was_removed_is_reported(void **state)
{
	unsigned long seq, other;
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	seq = mmu_interval_read_begin(&view.sub);
	view_close(&view);
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	expect_other("it was removed");
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	assert_true(mmu_interval_check_retry(&view.sub, seq));
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	other = mmu_interval_read_begin(&view.sub);
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	assert_true(other & 1);
	assert_true(mmu_interval_read_retry(&view.sub, other));
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	assert_int_equal(uhmm_interval_read_begin_timeout(&view.sub, 0, &seq),
			 -EDEADLK);
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	assert_int_equal(uhmm_interval_reserve(&view.sub), -EINVAL);
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	assert_int_equal(uhmm_check_user_lock(&view.sub, uhmm_check_mutex_held,
					      &view.lock), -EINVAL);
	expect_no_reports(mm);
}

static void a_number_set_after_the_removal_is_reported(void **state)
{
	unsigned long number;
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	invalidate(mm, 0, 1);
	invalidate(mm, 0, 1);
	mmu_interval_notifier_remove(&view.sub);
	/* As it was left, and as it was made: both are right. */
	assert_int_equal(mmu_interval_notifier_insert(&view.sub, mm, PG(0), 1,
						      &view_ops), 0);
	mmu_interval_notifier_remove(&view.sub);
	memset(&view.sub, 0, sizeof(view.sub));
	assert_int_equal(mmu_interval_notifier_insert(&view.sub, mm, PG(0), 1,
						      &view_ops), 0);
	invalidate(mm, 0, 1);
	number = view.last;
	invalidate(mm, 0, 1);
	mmu_interval_notifier_remove(&view.sub);
	expect_no_reports(mm);
	mmu_interval_set_seq(&view.sub, number);
	assert_int_equal(mmu_interval_notifier_insert(&view.sub, mm, PG(0), 1,
						      &view_ops), 0);
	expect_other("it was removed");
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
	view_close(&view);
}

/* A read in flight may find out that it collided, but not that it did not. */
static bool collided;

static void leave_in_callback(struct view *view,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	unsigned long seq = *(unsigned long *)view->data;

	(void)range;
	(void)cur_seq;
	assert_int_equal(uhmm_interval_notifier_remove_async(&view->sub), 0);
	assert_int_equal(mmu_interval_check_retry(&view->sub, seq), collided);
	assert_true(mmu_interval_read_retry(&view->sub, seq));
}

static void a_read_in_flight_may_end_while_it_is_removed(void **state)
{
	unsigned long seq;
	struct view view;

	(void)state;
	for (int i = 0; i < 2; i++) {
		view_open_with(&view, mm, 0, 4, &view_removed_ops);
		seq = mmu_interval_read_begin(&view.sub);
		view.data = &seq;
		collided = !i;
		if (collided)
			view.hook = leave_in_callback;
		else
			view.before = leave_in_callback;
		invalidate(mm, 0, 1);
		if (collided)
			expect_no_reports(mm);
	}
	expect_other("it was removed");
	expect_reports(mm, UHMM_RULE_REMOVED, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(inserting_twice_is_reported),
		CASE(removing_twice_is_reported),
		CASE(removing_what_was_never_inserted_is_reported),
		CASE(removing_what_removes_itself_is_reported),
		CASE(removing_again_after_a_timeout_is_right),
		CASE(subscriptions_on_the_stack_come_and_go),
		CASE(using_what_was_removed_is_reported),
		CASE(a_number_set_after_the_removal_is_reported),
		CASE(a_read_in_flight_may_end_while_it_is_removed),
	};

	return cmocka_run_group_tests_name("check_subs", tests, NULL, NULL);
}
