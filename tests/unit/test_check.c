/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker on what callbacks set and call: of each rule a driver
 * that breaks it, which is reported once and as nothing else, and the right
 * one beside it.
 */
#include "check_driver.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* ----------------------------------------------------------------- set_seq */

static void a_callback_that_sets_no_number_is_reported(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	invalidate(mm, 1, 1);
	expect_no_reports(mm);
	view.no_set_seq = true;
	invalidate(mm, 1, 1);
	expect_places(&view.sub);
	assert_ptr_equal(last_report.at, (const void *)view_ops.invalidate);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	/* Not of what does not hit it. */
	invalidate(mm, 8, 1);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
	expect_no_reports(NULL);
}

static void release_needs_a_number_too(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	mmput(mm);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view_close(&view);
	expect_no_reports(NULL);
}

/* He may leave alone what he does himself. */
static void an_owner_need_not_set_a_number(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct mmu_notifier_range range;
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	mmu_notifier_range_init_owner(&range, MMU_NOTIFY_MIGRATE, 0, mm, PG(0),
				      PG(1), &view);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
}

static void one_that_refuses_need_not_set_a_number(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	view.refuse = true;
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
}

static int forgetful;

static bool batch_invalidate(struct mmu_interval_notifier *const *subs,
			     size_t n, const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	(void)range;
	for (size_t i = 0; i < n; i++)
		if ((int)i != forgetful)
			mmu_interval_set_seq(subs[i], cur_seq);
	return true;
}

static const struct mmu_interval_notifier_ops batch_ops = {
	.uhmm_invalidate_batch = batch_invalidate,
};

static void each_of_a_batch_is_looked_at(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view views[3];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		view_open_with(&views[i], mm, i, 1, &batch_ops);
	forgetful = -1;
	invalidate(mm, 0, 3);
	expect_no_reports(mm);
	forgetful = 1;
	invalidate(mm, 0, 3);
	expect_places(&views[1].sub);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	for (i = 0; i < 3; i++)
		view_close(&views[i]);
	mmput(mm);
}

/* Two passes: &struct two counts as the finish object. */
static struct two {
	struct mmu_interval_notifier_finish finish;
	unsigned long seq;
	bool late;
	int finished;
} two;

static bool two_start(struct mmu_interval_notifier *sub,
		      const struct mmu_notifier_range *range, unsigned long seq,
		      struct mmu_interval_notifier_finish **finish)
{
	(void)range;
	two.seq = seq;
	if (!two.late)
		mmu_interval_set_seq(sub, seq);
	*finish = &two.finish;
	return true;
}

static void two_finish(struct mmu_interval_notifier_finish *finish)
{
	two.finished++;
	if (two.late)
		mmu_interval_set_seq(finish->notifier, two.seq);
}

static const struct mmu_interval_notifier_ops two_ops = {
	.invalidate_start = two_start,
	.invalidate_finish = two_finish,
};

static void the_second_pass_is_too_late_for_a_number(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	memset(&two, 0, sizeof(two));
	view_open_with(&view, mm, 0, 1, &two_ops);
	invalidate(mm, 0, 1);
	expect_no_reports(mm);
	two.late = true;
	invalidate(mm, 0, 1);
	assert_int_equal(two.finished, 2);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view_close(&view);
	mmput(mm);
}

static void a_wrong_number_is_reported(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	invalidate(mm, 1, 1);
	/* That of an invalidation that is over. */
	view.set_seq = view.last;
	invalidate(mm, 1, 1);
	/* It was there before: that is as if none had been set. */
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view.set_seq = view.last - 320;
	invalidate(mm, 1, 1);
	expect_places(&view.sub);
	expect_reports(mm, UHMM_RULE_SET_SEQ_WRONG, 1);
	view.set_seq = 0;
	invalidate(mm, 1, 1);
	view_fault(&view, 0);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
}

/*
 * Two invalidations call one subscription at a time: the first sets its
 * number, then the second sets its own, then the first goes on.
 */
static int parallel_step;

static void wait_for_step(int step)
{
	while (__atomic_load_n(&parallel_step, __ATOMIC_ACQUIRE) < step)
		sched_yield();
}

static void do_step(int step)
{
	__atomic_store_n(&parallel_step, step, __ATOMIC_RELEASE);
}

static bool parallel_invalidate(struct mmu_interval_notifier *sub,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq)
{
	struct view *view = (struct view *)(void *)sub;

	if (range->start == PG(0)) {
		pthread_mutex_lock(&view->lock);
		mmu_interval_set_seq(sub, cur_seq);
		view->last = cur_seq;
		pthread_mutex_unlock(&view->lock);
		if (__atomic_load_n(&parallel_step, __ATOMIC_RELAXED) < 1)
			do_step(1);
		wait_for_step(2);
		return true;
	}
	pthread_mutex_lock(&view->lock);
	mmu_interval_set_seq(sub, view->set_seq ? view->set_seq : cur_seq);
	pthread_mutex_unlock(&view->lock);
	return true;
}

static const struct mmu_interval_notifier_ops parallel_ops = {
	.invalidate = parallel_invalidate,
};

static void *invalidate_page_0(void *arg)
{
	struct view *view = arg;
	struct mmu_notifier_range range;

	range_of(&range, view->mm, 0, 1);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
	return NULL;
}

static void a_number_overwritten_by_one_beside_is_right(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;
	pthread_t thread;

	(void)state;
	view_open_with(&view, mm, 0, 4, &parallel_ops);
	/* So that something is delivered that ran beside neither. */
	do_step(2);
	invalidate_page_0(&view);
	do_step(0);
	pthread_create(&thread, NULL, invalidate_page_0, &view);
	wait_for_step(1);
	invalidate(mm, 1, 1);
	do_step(2);
	pthread_join(thread, NULL);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
}

static void a_number_of_one_that_is_over_is_wrong_beside_others(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;
	pthread_t thread;

	(void)state;
	view_open_with(&view, mm, 0, 4, &parallel_ops);
	do_step(2);
	invalidate_page_0(&view);
	view.set_seq = view.last;
	do_step(0);
	pthread_create(&thread, NULL, invalidate_page_0, &view);
	wait_for_step(1);
	/* Seen when this one ends, and again when the other one does. */
	invalidate(mm, 1, 1);
	expect_reports(mm, UHMM_RULE_SET_SEQ_WRONG, 1);
	do_step(2);
	pthread_join(thread, NULL);
	assert_int_equal(last_report.rule, UHMM_RULE_SET_SEQ_MISSING);
	view_close(&view);
	mmput(mm);
}

static void one_that_many_overtake_is_right(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;
	pthread_t thread;

	(void)state;
	view_open_with(&view, mm, 0, 4, &parallel_ops);
	do_step(0);
	pthread_create(&thread, NULL, invalidate_page_0, &view);
	wait_for_step(1);
	for (int i = 0; i < 1000; i++)
		invalidate(mm, 1, 1);
	do_step(2);
	pthread_join(thread, NULL);
	expect_no_reports(mm);
	/* And afterwards it is looked at as before. */
	view.set_seq = view.last;
	invalidate(mm, 1, 1);
	expect_reports(mm, UHMM_RULE_SET_SEQ_WRONG, 1);
	view_close(&view);
	mmput(mm);
}

/* ------------------------------------------------------------ in a callback */

enum call {
	REMOVE,
	REMOVE_TIMEOUT,
	READ_BEGIN,
	READ_BEGIN_TIMEOUT,
	REGISTER,
	REGISTER_LOCKED,
	REGISTER_TIMEOUT,
	UNREGISTER,
	UNREGISTER_TIMEOUT,
	GET,
	SYNCHRONIZE,
	SYNCHRONIZE_TIMEOUT,
	CALLS
};

static struct mmu_notifier_ops no_ops;
static struct mmu_notifier other_notifier, notifier_to_be;

/* -EDEADLK, where it returns anything. */
static int make_call(enum call call, struct view *view)
{
	struct mm_struct *mm = view->mm;
	unsigned long seq;

	switch (call) {
	case REMOVE:
		mmu_interval_notifier_remove(&view->sub);
		return -EDEADLK;
	case REMOVE_TIMEOUT:
		return uhmm_interval_notifier_remove_timeout(&view->sub, 0);
	case READ_BEGIN:
		seq = mmu_interval_read_begin(&view->sub);
		return mmu_interval_read_retry(&view->sub, seq) ? -EDEADLK : 0;
	case READ_BEGIN_TIMEOUT:
		return uhmm_interval_read_begin_timeout(&view->sub, 0, &seq);
	case REGISTER:
		return mmu_notifier_register(&notifier_to_be, mm);
	case REGISTER_LOCKED:
		return __mmu_notifier_register(&notifier_to_be, mm);
	case REGISTER_TIMEOUT:
		return uhmm_notifier_register_timeout(&notifier_to_be, mm, 0);
	case UNREGISTER:
		mmu_notifier_unregister(&other_notifier, mm);
		return -EDEADLK;
	case UNREGISTER_TIMEOUT:
		return uhmm_notifier_unregister_timeout(&other_notifier, mm, 0);
	case GET:
		return uhmm_ptr_err(mmu_notifier_get(&no_ops, mm));
	case SYNCHRONIZE:
		mmu_notifier_synchronize();
		return -EDEADLK;
	default:
		return uhmm_notifier_synchronize_timeout(0);
	}
}

static enum call call_to_make;
static int call_result;

static void call_hook(struct view *view, const struct mmu_notifier_range *range,
		      unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	call_result = make_call(call_to_make, view);
}

static struct mmu_notifier *no_alloc(struct mm_struct *mm)
{
	(void)mm;
	return NULL;
}

static void no_free(struct mmu_notifier *notifier)
{
	(void)notifier;
}

static void calls_that_wait_are_reported_in_a_callback(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	no_ops.alloc_notifier = no_alloc;
	no_ops.free_notifier = no_free;
	memset(&other_notifier, 0, sizeof(other_notifier));
	memset(&notifier_to_be, 0, sizeof(notifier_to_be));
	other_notifier.ops = &no_ops;
	notifier_to_be.ops = &no_ops;
	assert_int_equal(mmu_notifier_register(&other_notifier, mm), 0);
	view_open_with(&view, mm, 0, 4, &view_ops);
	view.before = call_hook;
	mmap_write_lock(mm);
	for (call_to_make = 0; call_to_make < CALLS; call_to_make++) {
		call_result = 0;
		invalidate(mm, 0, 1);
		expect_places(&view.sub);
		expect_reports(mm, UHMM_RULE_IN_CALLBACK, 1);
		assert_int_equal(call_result, -EDEADLK);
	}
	mmap_write_unlock(mm);
	/* None of them was carried out. */
	assert_int_equal(view.hits, CALLS);
	mmu_notifier_unregister(&other_notifier, mm);
	view_close(&view);
	expect_no_reports(mm);
	mmput(mm);
}

static void read_elsewhere(struct view *view,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	assert_int_equal(view_fault(view->data, 0), 0);
}

static void in_callbacks_of_other_address_spaces_they_are_right(void **state)
{
	struct mm_struct *mm = checked_mm(), *other = checked_mm();
	struct view view, elsewhere;

	(void)state;
	view_open(&view, mm, 0, 4);
	view_open(&elsewhere, other, 0, 4);
	view.before = read_elsewhere;
	view.data = &elsewhere;
	invalidate(mm, 0, 1);
	expect_no_reports(mm);
	expect_no_reports(other);
	view_close(&view);
	view_close(&elsewhere);
	mmput(mm);
	mmput(other);
}

static void insert_and_leave(struct view *view,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	view->before = NULL;
	view_open(view->data, view->mm, 8, 1);
	assert_int_equal(uhmm_interval_notifier_remove_async(&view->sub), 0);
}

static void insert_and_remove_async_are_right_in_a_callback(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view, child;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_removed_ops);
	view.before = insert_and_leave;
	view.data = &child;
	invalidate(mm, 0, 1);
	invalidate(mm, 0, 1);
	assert_int_equal(view.hits, 1);
	view_close(&child);
	/* Its memory is the driver's again. */
	view_open(&view, mm, 0, 4);
	view_close(&view);
	expect_no_reports(mm);
	mmput(mm);
}

#define CASE(f) cmocka_unit_test_setup(f, begin_reports)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_callback_that_sets_no_number_is_reported),
		CASE(release_needs_a_number_too),
		CASE(an_owner_need_not_set_a_number),
		CASE(one_that_refuses_need_not_set_a_number),
		CASE(each_of_a_batch_is_looked_at),
		CASE(the_second_pass_is_too_late_for_a_number),
		CASE(a_wrong_number_is_reported),
		CASE(a_number_overwritten_by_one_beside_is_right),
		CASE(a_number_of_one_that_is_over_is_wrong_beside_others),
		CASE(one_that_many_overtake_is_right),
		CASE(calls_that_wait_are_reported_in_a_callback),
		CASE(in_callbacks_of_other_address_spaces_they_are_right),
		CASE(insert_and_remove_async_are_right_in_a_callback),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
