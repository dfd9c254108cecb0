/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker on callbacks that must not sleep or refuse, of interval
 * and of list notifiers.
 */
#include "check_driver.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* ----------------------------------------------------------- list notifiers */

static struct {
	int ret;
	bool unregister;
	bool sleep_in_start;
	bool sleep_in_end;
	struct mm_struct *mm;
} list;

static int list_start_call(struct mmu_notifier *notifier,
			   const struct mmu_notifier_range *range)
{
	(void)range;
	if (list.unregister)
		mmu_notifier_unregister(notifier, list.mm);
	if (list.sleep_in_start)
		uhmm_might_sleep();
	return list.ret;
}

static void list_end_call(struct mmu_notifier *notifier,
			  const struct mmu_notifier_range *range)
{
	(void)notifier;
	(void)range;
	if (list.sleep_in_end)
		uhmm_might_sleep();
}

static const struct mmu_notifier_ops list_start_ops = {
	.invalidate_range_start = list_start_call,
};

static const struct mmu_notifier_ops list_both_ops = {
	.invalidate_range_start = list_start_call,
	.invalidate_range_end = list_end_call,
};

static struct mm_struct *list_open(struct mmu_notifier *notifier,
				   const struct mmu_notifier_ops *ops)
{
	memset(&list, 0, sizeof(list));
	memset(notifier, 0, sizeof(*notifier));
	list.mm = checked_mm();
	notifier->ops = ops;
	assert_int_equal(mmu_notifier_register(notifier, list.mm), 0);
	return list.mm;
}

static void unregister_in_a_list_callback_is_reported(void **state)
{
	struct mmu_notifier notifier;
	struct mm_struct *mm = list_open(&notifier, &list_start_ops);

	(void)state;
	list.unregister = true;
	invalidate(mm, 0, 1);
	expect_places(&notifier);
	expect_reports(mm, UHMM_RULE_IN_CALLBACK, 1);
	mmu_notifier_unregister(&notifier, mm);
	expect_no_reports(mm);
	mmput(mm);
}

/* ------------------------------------------------------------------- sleep */

static void read_elsewhere(struct view *view,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	assert_int_equal(view_fault(view->data, 0), 0);
}

static void sleep_hook(struct view *view, const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct timespec ms = { 0, 1000000 };

	(void)view;
	(void)range;
	(void)cur_seq;
	nanosleep(&ms, NULL);
}

static void say_hook(struct view *view, const struct mmu_notifier_range *range,
		     unsigned long cur_seq)
{
	sleep_hook(view, range, cur_seq);
	uhmm_might_sleep();
	uhmm_might_sleep();
}

static void mmap_hook(struct view *view, const struct mmu_notifier_range *range,
		      unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	mmap_read_lock(view->mm);
	mmap_read_unlock(view->mm);
}

static void unregister_elsewhere(struct view *view,
				 const struct mmu_notifier_range *range,
				 unsigned long cur_seq)
{
	struct view *elsewhere = view->data;

	(void)range;
	(void)cur_seq;
	mmu_notifier_unregister(elsewhere->data, elsewhere->mm);
}

static void insert_hook(struct view *view,
			const struct mmu_notifier_range *range,
			unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	view_open(view->data, view->mm, 8, 1);
	view->before = NULL;
}

static void start_hook(struct view *view, const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	invalidate(view->mm, 16, 1);
}

/* Each, whether it has slept or only may, once. */
static void sleep_is_reported_where_it_must_not_be(void **state)
{
	static const view_hook hooks[] = {
		sleep_hook, say_hook, mmap_hook, start_hook, read_elsewhere,
		unregister_elsewhere,
	};
	struct mm_struct *mm = checked_mm(), *other = checked_mm();
	struct mmu_notifier notifier = { .ops = &list_start_ops };
	struct view view, child, elsewhere;

	(void)state;
	assert_int_equal(mmu_notifier_register(&notifier, other), 0);
	view_open_with(&view, mm, 0, 4, &view_ops);
	view_open(&elsewhere, other, 0, 4);
	view.data = &elsewhere;
	elsewhere.data = &notifier;
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		view.hook = hooks[i];
		assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
		expect_places(&view.sub);
		expect_reports(mm, UHMM_RULE_SLEEP, 1);
	}
	view.hook = NULL;
	view.before = insert_hook;
	view.data = &child;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	expect_no_reports(mm);
	view_close(&child);
	view_close(&view);
	view_close(&elsewhere);
	mmput(mm);
	mmput(other);
}

static void nonblock_hook(struct view *view,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	invalidate_nonblock(view->mm, 16, 1);
	assert_true(mmap_read_trylock(view->mm));
	mmap_read_unlock(view->mm);
}

static void where_a_range_is_blockable_sleep_is_right(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view, inner;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.hook = say_hook;
	invalidate(mm, 0, 1);
	expect_no_reports(mm);
	/* What does not sleep is right anywhere. */
	view.hook = nonblock_hook;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	expect_no_reports(mm);
	/* The one that sleeps is at fault, not the one around it. */
	view_open(&inner, mm, 16, 1);
	inner.hook = sleep_hook;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	expect_places(&inner.sub);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	view_close(&inner);
	view_close(&view);
	mmput(mm);
}

/* Two passes: &struct two counts as the finish object. */
static struct two {
	struct mmu_interval_notifier_finish finish;
	bool sleep;
} two;

static bool two_start(struct mmu_interval_notifier *sub,
		      const struct mmu_notifier_range *range, unsigned long seq,
		      struct mmu_interval_notifier_finish **finish)
{
	(void)range;
	mmu_interval_set_seq(sub, seq);
	*finish = &two.finish;
	return true;
}

static void two_finish(struct mmu_interval_notifier_finish *finish)
{
	(void)finish;
	if (two.sleep)
		uhmm_might_sleep();
}

static const struct mmu_interval_notifier_ops two_ops = {
	.invalidate_start = two_start,
	.invalidate_finish = two_finish,
};

/* Reporting takes its time. */
static void slow_handler(const struct uhmm_check_report *report, void *arg)
{
	struct timespec ms = { 0, 1000000 };

	*(int *)arg += report->rule == UHMM_RULE_FOREIGN_SEQ ? 1 : 100;
	nanosleep(&ms, NULL);
}

static void foreign_hook(struct view *view,
			 const struct mmu_notifier_range *range,
			 unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	assert_true(mmu_interval_check_retry(&view->sub, 12345));
}

static void the_checker_itself_may_sleep(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;
	int seen = 0;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.hook = foreign_hook;
	uhmm_check_set_handler(slow_handler, &seen);
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	assert_int_equal(seen, 1);
	assert_int_equal(uhmm_check_violations(mm), 1);
	view_close(&view);
	mmput(mm);
}

static void second_passes_and_list_callbacks_must_not_sleep_either(void **state)
{
	struct mmu_notifier notifier;
	struct mm_struct *mm = list_open(&notifier, &list_both_ops);
	struct view view;

	(void)state;
	list.sleep_in_start = true;
	invalidate(mm, 0, 1);
	expect_no_reports(mm);
	invalidate_nonblock(mm, 0, 1);
	expect_places(&notifier);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	list.sleep_in_start = false;
	list.sleep_in_end = true;
	invalidate_nonblock(mm, 0, 1);
	expect_places(&notifier);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	mmu_notifier_unregister(&notifier, mm);

	memset(&two, 0, sizeof(two));
	two.sleep = true;
	view_open_with(&view, mm, 0, 1, &two_ops);
	invalidate(mm, 0, 1);
	expect_no_reports(mm);
	invalidate_nonblock(mm, 0, 1);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	view_close(&view);
	mmput(mm);
}

/* ----------------------------------------------------------------- refusal */

static void refusing_what_is_blockable_is_reported(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.refuse = true;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_no_reports(mm);
	invalidate(mm, 0, 1);
	expect_places(&view.sub);
	expect_reports(mm, UHMM_RULE_REFUSAL, 1);
	view_close(&view);
	mmput(mm);
}

static void list_notifiers_refuse_by_eagain_and_without_an_end(void **state)
{
	struct mmu_notifier notifier;
	struct mm_struct *mm = list_open(&notifier, &list_start_ops);

	(void)state;
	list.ret = -EAGAIN;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_no_reports(mm);
	invalidate(mm, 0, 1);
	expect_places(&notifier);
	expect_reports(mm, UHMM_RULE_REFUSAL, 1);
	list.ret = -EBUSY;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_reports(mm, UHMM_RULE_REFUSAL, 1);
	mmu_notifier_unregister(&notifier, mm);
	mmput(mm);

	mm = list_open(&notifier, &list_both_ops);
	reports_begin();
	list.ret = -EAGAIN;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_reports(mm, UHMM_RULE_REFUSAL, 1);
	mmu_notifier_unregister(&notifier, mm);
	mmput(mm);
}

#define CASE(f) cmocka_unit_test_setup(f, begin_reports)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(unregister_in_a_list_callback_is_reported),
		CASE(sleep_is_reported_where_it_must_not_be),
		CASE(where_a_range_is_blockable_sleep_is_right),
		CASE(the_checker_itself_may_sleep),
		CASE(second_passes_and_list_callbacks_must_not_sleep_either),
		CASE(refusing_what_is_blockable_is_reported),
		CASE(list_notifiers_refuse_by_eagain_and_without_an_end),
	};

	return cmocka_run_group_tests_name("check_sleep", tests, NULL, NULL);
}
