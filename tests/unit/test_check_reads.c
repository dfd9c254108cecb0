/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker on reads, locks and ends: of each rule a driver that
 * breaks it, which is reported once and as nothing else, and the right one
 * beside it.
 */
#include "check_driver.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

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

/* ------------------------------------------------------------------- retry */

static void retry_without_user_lock_is_reported(void **state)
{
	struct view view, unregistered;
	unsigned long seq;

	(void)state;
	view_open(&view, mm, 0, 4);
	view_open_with(&unregistered, mm, 0, 4, &view_ops);
	assert_int_equal(view_fault(&view, 0), 0);
	assert_int_equal(view_fault(&unregistered, 0), 0);
	expect_no_reports(mm);
	seq = mmu_interval_read_begin(&view.sub);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	expect_other("this thread called read_begin");
	expect_reports(mm, UHMM_RULE_RETRY_UNLOCKED, 1);
	/* Here nobody knows; and this one needs no lock. */
	seq = mmu_interval_read_begin(&unregistered.sub);
	assert_false(mmu_interval_read_retry(&unregistered.sub, seq));
	seq = mmu_interval_read_begin(&view.sub);
	assert_false(mmu_interval_check_retry(&view.sub, seq));
	expect_no_reports(mm);
	view_close(&view);
	view_close(&unregistered);
}

struct blocker {
	struct view view;
	pthread_mutex_t gate;
	pthread_t thread;
	int inside;
};

static void *hold(void *arg)
{
	struct blocker *b = arg;

	pthread_mutex_lock(&b->view.lock);
	__atomic_store_n(&b->inside, 1, __ATOMIC_RELEASE);
	pthread_mutex_lock(&b->gate);
	pthread_mutex_unlock(&b->gate);
	pthread_mutex_unlock(&b->view.lock);
	return NULL;
}

static void user_lock_of_another_thread_does_not_count(void **state)
{
	struct blocker b = { .inside = 0 };
	unsigned long seq;

	(void)state;
	pthread_mutex_init(&b.gate, NULL);
	pthread_mutex_lock(&b.gate);
	view_open(&b.view, mm, 0, 4);
	pthread_create(&b.thread, NULL, hold, &b);
	while (!__atomic_load_n(&b.inside, __ATOMIC_ACQUIRE))
		;
	seq = mmu_interval_read_begin(&b.view.sub);
	assert_false(mmu_interval_read_retry(&b.view.sub, seq));
	expect_reports(mm, UHMM_RULE_RETRY_UNLOCKED, 1);
	pthread_mutex_unlock(&b.gate);
	pthread_join(b.thread, NULL);
	view_close(&b.view);
}

static void numbers_of_others_are_reported(void **state)
{
	struct mm_struct *plain = unchecked_mm();
	struct view view, other, elsewhere;
	unsigned long seq, foreign;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_ops);
	view_open_with(&other, mm, 2, 4, &view_ops);
	view_open_with(&elsewhere, plain, 0, 4, &view_ops);
	/* Both have the same number of the same invalidation. */
	invalidate(mm, 3, 1);
	assert_int_equal(view.last, other.last);
	seq = mmu_interval_read_begin(&view.sub);
	foreign = mmu_interval_read_begin(&other.sub);
	assert_true(foreign & 1);
	assert_true(mmu_interval_read_retry(&view.sub, foreign));
	expect_other("this thread called read_begin");
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	assert_true(mmu_interval_check_retry(&view.sub, foreign));
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	/* The right ones are right, again and again. */
	for (int i = 0; i < 3; i++) {
		assert_false(mmu_interval_check_retry(&view.sub, seq));
		assert_false(mmu_interval_read_retry(&view.sub, seq));
		assert_false(mmu_interval_read_retry(&other.sub, foreign));
	}
	expect_no_reports(mm);
	/* Made up, from elsewhere, uninitialized, of an earlier callback. */
	assert_true(mmu_interval_read_retry(&view.sub, seq & ~(1UL << 63)));
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	foreign = mmu_interval_read_begin(&elsewhere.sub);
	assert_true(mmu_interval_read_retry(&view.sub, foreign));
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	assert_true(mmu_interval_read_retry(&view.sub, 0));
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	foreign = view.last;
	invalidate(mm, 3, 1);
	assert_true(mmu_interval_read_retry(&view.sub, foreign));
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	expect_no_reports(mm);
	/* Inserted again it is another one. */
	seq = mmu_interval_read_begin(&view.sub);
	view_close(&view);
	view_open(&view, mm, 0, 4);
	pthread_mutex_lock(&view.lock);
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	pthread_mutex_unlock(&view.lock);
	expect_reports(mm, UHMM_RULE_FOREIGN_SEQ, 1);
	view_close(&view);
	view_close(&other);
	view_close(&elsewhere);
	mmput(plain);
}

static void reads_collide_as_ever(void **state)
{
	unsigned long seq, next;
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_ops);
	seq = mmu_interval_read_begin(&view.sub);
	assert_true(seq & 1);
	assert_int_equal(seq, mmu_interval_read_begin(&view.sub));
	invalidate(mm, 8, 1);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	invalidate(mm, 0, 1);
	assert_true(mmu_interval_check_retry(&view.sub, seq));
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	assert_int_equal(uhmm_interval_read_begin_timeout(&view.sub, 0, &next),
			 0);
	assert_true(next & 1);
	assert_int_not_equal(seq, next);
	assert_false(mmu_interval_read_retry(&view.sub, next));
	view_close(&view);
}

static void tagged_subscriptions_compare_as_ever(void **state)
{
	struct mmu_interval_notifier sub = { 0 };
	unsigned long tag;

	(void)state;
	assert_int_equal(uhmm_interval_notifier_insert_tagged(&sub, mm, PG(0),
							      1), 0);
	tag = mmu_interval_read_begin(&sub);
	assert_true(uhmm_interval_tag_valid(&sub, tag));
	assert_false(mmu_interval_read_retry(&sub, tag));
	invalidate(mm, 0, 1);
	assert_false(uhmm_interval_tag_valid(&sub, tag));
	assert_true(mmu_interval_read_retry(&sub, tag));
	tag = mmu_interval_read_begin(&sub);
	assert_true(uhmm_interval_tag_valid(&sub, tag));
	uhmm_check_access(&sub, PG(0), PG(0) + 1);
	expect_no_reports(mm);
	uhmm_check_access(&sub, PG(0), PG(0) + 2);
	expect_reports(mm, UHMM_RULE_RANGE, 1);
	mmu_interval_notifier_remove(&sub);
}

/* ------------------------------------------------------------------ access */

static void what_is_outside_is_reported(void **state)
{
	unsigned long seq;
	struct view view;

	(void)state;
	view_open(&view, mm, 1, 3);
	seq = mmu_interval_read_begin(&view.sub);
	pthread_mutex_lock(&view.lock);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	uhmm_check_access(&view.sub, PG(1), PG(4));
	uhmm_check_access(&view.sub, PG(3), PG(3) + 1);
	expect_no_reports(mm);
	uhmm_check_access(&view.sub, PG(1), PG(4) + 1);
	expect_other("it was inserted");
	expect_reports(mm, UHMM_RULE_RANGE, 1);
	uhmm_check_access(&view.sub, PG(1) - 1, PG(2));
	expect_reports(mm, UHMM_RULE_RANGE, 1);
	uhmm_check_access(&view.sub, PG(2), PG(2));
	expect_reports(mm, UHMM_RULE_RANGE, 1);
	uhmm_check_access(&view.sub, PG(8), PG(9));
	expect_reports(mm, UHMM_RULE_RANGE, 1);
	pthread_mutex_unlock(&view.lock);
	view_close(&view);
}

static void *fault_once(void *arg)
{
	view_fault(arg, 0);
	return NULL;
}

static void installing_without_a_retry_is_reported(void **state)
{
	pthread_t thread;
	unsigned long seq;
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	/* Another thread's does not count. */
	pthread_create(&thread, NULL, fault_once, &view);
	pthread_join(thread, NULL);
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	pthread_mutex_unlock(&view.lock);
	expect_other("it was inserted");
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	seq = mmu_interval_read_begin(&view.sub);
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_other("this thread called read_begin");
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_no_reports(mm);
	pthread_mutex_unlock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	/* Dropped, invalidated, taken again. */
	invalidate(mm, 0, 1);
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	/* A retry that said "again" is none. */
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	uhmm_check_access(&view.sub, PG(0), PG(1));
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	pthread_mutex_unlock(&view.lock);
	view_close(&view);
}

/* More threads than the checker remembers: the right ones stay right. */
static void many_threads_may_install(void **state)
{
	unsigned long seq;
	pthread_t thread;
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	seq = mmu_interval_read_begin(&view.sub);
	pthread_mutex_lock(&view.lock);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	pthread_mutex_unlock(&view.lock);
	for (int i = 0; i < 200; i++) {
		pthread_create(&thread, NULL, fault_once, &view);
		pthread_join(thread, NULL);
	}
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	pthread_mutex_unlock(&view.lock);
	expect_no_reports(mm);
	assert_int_equal(view_fault(&view, 0), 0);
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(1));
	pthread_mutex_unlock(&view.lock);
	expect_no_reports(mm);
	view_close(&view);
}

/* --------------------------------------------------------------- lock order */

static void waiting_with_user_lock_held_is_reported(void **state)
{
	struct view view, other;
	unsigned long seq;

	(void)state;
	view_open(&view, mm, 0, 4);
	view_open_with(&other, mm, 0, 4, &view_ops);
	mmap_read_lock(mm);
	assert_int_equal(uhmm_interval_reserve(&view.sub), 0);
	assert_int_equal(view_fault(&view, 0), 0);
	mmap_read_unlock(mm);
	expect_no_reports(mm);

	pthread_mutex_lock(&view.lock);
	mmap_read_lock(mm);
	expect_other("that user_lock was registered");
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	mmap_read_unlock(mm);
	mmap_write_lock(mm);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	mmap_write_unlock(mm);
	assert_true(mmap_read_trylock(mm));
	mmap_read_unlock(mm);
	expect_no_reports(mm);
	assert_int_equal(uhmm_interval_reserve(&view.sub), 0);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	uhmm_interval_unreserve(&view.sub);
	seq = mmu_interval_read_begin(&view.sub);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	/* The lock of one, and the wait for another. */
	mmu_interval_notifier_remove(&other.sub);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	pthread_mutex_unlock(&view.lock);
	pthread_mutex_destroy(&other.lock);
	view_close(&view);
}

static void user_locks_of_other_address_spaces_do_not_count(void **state)
{
	struct mm_struct *other = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, other, 0, 4);
	pthread_mutex_lock(&view.lock);
	mmap_read_lock(mm);
	mmap_read_unlock(mm);
	expect_no_reports(mm);
	mmap_read_lock(other);
	mmap_read_unlock(other);
	expect_reports(other, UHMM_RULE_LOCK_ORDER, 1);
	pthread_mutex_unlock(&view.lock);
	view_close(&view);
	mmput(other);
}

static bool count_held(void *lock)
{
	++*(int *)lock;
	return false;
}

static void a_lock_is_asked_for_only_while_it_is_registered(void **state)
{
	int first = 0, second = 0;
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_ops);
	uhmm_check_user_lock(&view.sub, count_held, &first);
	mmap_read_lock(mm);
	mmap_read_unlock(mm);
	assert_int_equal(first, 1);
	uhmm_check_user_lock(&view.sub, count_held, &second);
	mmap_read_lock(mm);
	mmap_read_unlock(mm);
	assert_int_equal(first, 1);
	assert_int_equal(second, 1);
	view_close(&view);
	second = 0;
	mmap_read_lock(mm);
	mmap_read_unlock(mm);
	assert_int_equal(second, 0);
}

/* The lock may be freed after remove: nobody asks for it any more. */
static int asking, removing, removed_while_asked;

static bool slow_held(void *lock)
{
	(void)lock;
	if (__atomic_exchange_n(&asking, 1, __ATOMIC_SEQ_CST))
		return false;
	while (!__atomic_load_n(&removing, __ATOMIC_SEQ_CST))
		sched_yield();
	usleep(20000);
	if (__atomic_load_n(&removing, __ATOMIC_SEQ_CST) == 2)
		removed_while_asked = 1;
	return false;
}

static void *take_mmap_lock(void *arg)
{
	mmap_read_lock(arg);
	mmap_read_unlock(arg);
	return NULL;
}

static void remove_waits_for_who_asks_for_the_lock(void **state)
{
	pthread_t thread;
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &view_ops);
	assert_int_equal(uhmm_check_user_lock(&view.sub, slow_held,
					      &view.lock), 0);
	pthread_create(&thread, NULL, take_mmap_lock, mm);
	while (!__atomic_load_n(&asking, __ATOMIC_SEQ_CST))
		sched_yield();
	__atomic_store_n(&removing, 1, __ATOMIC_SEQ_CST);
	mmu_interval_notifier_remove(&view.sub);
	__atomic_store_n(&removing, 2, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	assert_int_equal(removed_while_asked, 0);
	pthread_mutex_destroy(&view.lock);
}

/* One that can be taken again, so that the test ends. */
static pthread_mutex_t recursive;
static int recursive_depth;

static bool recursive_held(void *lock)
{
	(void)lock;
	return recursive_depth > 0;
}

static bool recursive_invalidate(struct mmu_interval_notifier *sub,
				 const struct mmu_notifier_range *range,
				 unsigned long cur_seq)
{
	(void)range;
	pthread_mutex_lock(&recursive);
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&recursive);
	return true;
}

static void starting_with_user_lock_held_is_reported(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = recursive_invalidate,
	};
	pthread_mutexattr_t attr;
	struct view view;

	(void)state;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&recursive, &attr);
	view_open_with(&view, mm, 0, 4, &ops);
	assert_int_equal(uhmm_check_user_lock(&view.sub, recursive_held,
					      &recursive), 0);
	invalidate(mm, 0, 1);
	pthread_mutex_lock(&recursive);
	recursive_depth++;
	invalidate(mm, 8, 1);
	expect_no_reports(mm);
	invalidate(mm, 0, 1);
	expect_other("the callback");
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	recursive_depth--;
	pthread_mutex_unlock(&recursive);
	view_close(&view);
	pthread_mutex_destroy(&recursive);
	pthread_mutexattr_destroy(&attr);
}

static void reserve_in_callback(struct view *view,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	uhmm_interval_reserve(&view->sub);
	uhmm_interval_unreserve(&view->sub);
}

static void mmap_in_callback(struct view *view,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	(void)range;
	(void)cur_seq;
	mmap_read_lock(view->mm);
	mmap_read_unlock(view->mm);
}

static void mmap_lock_and_reservation_in_a_callback_are_reported(void **state)
{
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.hook = reserve_in_callback;
	invalidate(mm, 0, 1);
	expect_other("in the callback");
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	view.hook = mmap_in_callback;
	invalidate(mm, 0, 1);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	view_close(&view);
}

static void mmap_lock_that_is_not_held_is_reported(void **state)
{
	struct mmu_notifier_ops ops = { .release = NULL };
	struct mmu_notifier notifier = { .ops = &ops };
	struct view view = { .mm = mm };

	(void)state;
	mmap_write_lock(mm);
	mmap_assert_locked(mm);
	mmap_assert_write_locked(mm);
	mmap_write_downgrade(mm);
	mmap_assert_locked(mm);
	expect_no_reports(mm);
	mmap_assert_write_locked(mm);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	mmap_read_unlock(mm);
	mmap_assert_locked(mm);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	assert_int_equal(mmu_interval_notifier_insert_locked(
				 &view.sub, mm, PG(0), 1, &view_ops), 0);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	mmu_interval_notifier_remove(&view.sub);
	assert_int_equal(__mmu_notifier_register(&notifier, mm), 0);
	expect_reports(mm, UHMM_RULE_LOCK_ORDER, 1);
	mmu_notifier_unregister(&notifier, mm);
}

/* --------------------------------------------------------- own invalidations */

static void waiting_for_oneself_is_reported_and_returns(void **state)
{
	struct mmu_notifier_range range, first;
	struct view view, apart;
	unsigned long seq;

	(void)state;
	view_open(&view, mm, 0, 4);
	view_open(&apart, mm, 8, 4);
	range_of(&first, mm, 8, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&first), 0);
	range_of(&range, mm, 3, 2);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&first);
	assert_int_equal(view_fault(&apart, 8), 0);
	expect_no_reports(mm);
	seq = mmu_interval_read_begin(&view.sub);
	expect_other("the invalidation was started");
	expect_reports(mm, UHMM_RULE_SELF_WAIT, 1);
	pthread_mutex_lock(&view.lock);
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	pthread_mutex_unlock(&view.lock);
	assert_int_equal(uhmm_interval_read_begin_timeout(&view.sub, -1, &seq),
			 -EDEADLK);
	expect_reports(mm, UHMM_RULE_SELF_WAIT, 1);
	/* With an end to patience it is only of no use. */
	assert_int_equal(uhmm_interval_read_begin_timeout(&view.sub, 0, &seq),
			 -ETIMEDOUT);
	expect_no_reports(mm);
	mmu_notifier_invalidate_range_end(&range);
	assert_int_equal(view_fault(&view, 3), 0);
	view_close(&view);
	view_close(&apart);
}

static void *end_it(void *arg)
{
	mmu_notifier_invalidate_range_end(arg);
	return NULL;
}

static void ends_are_counted(void **state)
{
	struct mmu_notifier_range range, copy, none = { 0 };
	struct view view;
	pthread_t thread;

	(void)state;
	view_open(&view, mm, 0, 4);
	/* Another thread may end it. */
	range_of(&range, mm, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	copy = range;
	pthread_create(&thread, NULL, end_it, &range);
	pthread_join(thread, NULL);
	expect_no_reports(mm);
	mmu_notifier_invalidate_range_end(&range);
	expect_other("it was ended");
	expect_reports(mm, UHMM_RULE_END, 1);
	mmu_notifier_invalidate_range_end(&copy);
	expect_reports(mm, UHMM_RULE_END, 1);
	/* Never started. */
	range_of(&range, mm, 0, 1);
	range.id = 0;
	mmu_notifier_invalidate_range_end(&range);
	assert_null(last_report.other);
	expect_reports(mm, UHMM_RULE_END, 1);
	/* Refused. */
	view.refuse = true;
	assert_int_equal(
		mmu_notifier_invalidate_range_start_nonblock(&range), -EAGAIN);
	mmu_notifier_invalidate_range_end(&range);
	expect_other("it was started");
	expect_reports(mm, UHMM_RULE_END, 1);
	view.refuse = false;
	/* Invalid ones may be ended, as where start returns nothing. */
	range_of(&range, mm, 3, 0);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), -EINVAL);
	mmu_notifier_invalidate_range_end(&range);
	assert_int_equal(mmu_notifier_invalidate_range_start(&none), -EINVAL);
	mmu_notifier_invalidate_range_end(&none);
	expect_no_reports(mm);
	/* Changed on the way. */
	range_of(&range, mm, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	range.end = PG(3);
	mmu_notifier_invalidate_range_end(&range);
	expect_other("the invalidation was started");
	expect_reports(mm, UHMM_RULE_END, 1);
	view_close(&view);
}

static void an_invalidation_left_open_is_reported(void **state)
{
	struct mmu_notifier_range range, open;
	struct mm_struct *other = checked_mm();

	(void)state;
	range_of(&open, mm, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&open), 0);
	range_of(&range, other, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmput(other);
	mmu_notifier_invalidate_range_end(&open);
	assert_non_null(last_report.at);
	assert_int_equal(last_report.rule, UHMM_RULE_END);
	assert_int_equal(reports, 1);
	reports_begin();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(retry_without_user_lock_is_reported),
		CASE(user_lock_of_another_thread_does_not_count),
		CASE(numbers_of_others_are_reported),
		CASE(reads_collide_as_ever),
		CASE(tagged_subscriptions_compare_as_ever),
		CASE(what_is_outside_is_reported),
		CASE(installing_without_a_retry_is_reported),
		CASE(many_threads_may_install),
		CASE(waiting_with_user_lock_held_is_reported),
		CASE(user_locks_of_other_address_spaces_do_not_count),
		CASE(a_lock_is_asked_for_only_while_it_is_registered),
		CASE(remove_waits_for_who_asks_for_the_lock),
		CASE(starting_with_user_lock_held_is_reported),
		CASE(mmap_lock_and_reservation_in_a_callback_are_reported),
		CASE(mmap_lock_that_is_not_held_is_reported),
		CASE(waiting_for_oneself_is_reported_and_returns),
		CASE(ends_are_counted),
		CASE(an_invalidation_left_open_is_reported),
	};

	return cmocka_run_group_tests_name("check_reads", tests, NULL, NULL);
}
