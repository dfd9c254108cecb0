/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker on drivers as they are found in Linux, with what is
 * wrong with them there; and on a right one with many threads. Where it is off
 * it says nothing of any.
 */
#include "check_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ----------------------------------------- a lock that another thread holds */

struct holder {
	struct view *view;
	pthread_t thread;
	int held;
	int tid;		/* of the thread that is going to sleep */
};

static bool sleeps(int tid)
{
	char path[64], state = 'R';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 'R';
	fclose(file);
	return state == 'S';
}

static void *hold_until_it_sleeps(void *arg)
{
	struct holder *h = arg;

	pthread_mutex_lock(&h->view->lock);
	__atomic_store_n(&h->held, 1, __ATOMIC_RELEASE);
	while (!sleeps(__atomic_load_n(&h->tid, __ATOMIC_ACQUIRE)))
		usleep(100);
	pthread_mutex_unlock(&h->view->lock);
	return NULL;
}

static void said_in_callback(struct view *view,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	struct holder *h = view->data;

	(void)range;
	(void)cur_seq;
	__atomic_store_n(&h->tid, gettid(), __ATOMIC_RELEASE);
}

/* An invalidation whose callback finds the lock taken. */
static int invalidate_contended(struct view *view)
{
	struct holder h = { .view = view };
	int ret;

	view->data = &h;
	view->before = said_in_callback;
	pthread_create(&h.thread, NULL, hold_until_it_sleeps, &h);
	while (!__atomic_load_n(&h.held, __ATOMIC_ACQUIRE))
		sched_yield();
	ret = invalidate_nonblock(view->mm, 0, 1);
	/* Where the callback did not sleep, this does. */
	said_in_callback(view, NULL, 0);
	pthread_join(h.thread, NULL);
	view->before = NULL;
	return ret;
}

static void invalidate_for(struct mm_struct *mm, enum mmu_notifier_event event)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, event, 0, mm, PG(0), PG(1));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&range);
}

/* ----------------------------------------------------------------- pins: P2
 * Pinned buffers care about UNMAP only and leave all else alone; the node of
 * a pin has no number, that of the buffer being set up has; both take their
 * lock whatever the range says.
 */
static bool pin_invalidate(struct mmu_interval_notifier *sub,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	struct view *view = (struct view *)(void *)sub;

	(void)cur_seq;
	if (range->event != MMU_NOTIFY_UNMAP)
		return true;
	pthread_mutex_lock(&view->lock);
	view->hits++;
	pthread_mutex_unlock(&view->lock);
	return true;
}

static bool cover_invalidate(struct mmu_interval_notifier *sub,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	struct view *view = (struct view *)(void *)sub;

	if (view->before)
		view->before(view, range, cur_seq);
	pthread_mutex_lock(&view->lock);
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&view->lock);
	return true;
}

static void a_pin_that_sets_no_number_is_reported(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = pin_invalidate,
	};
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &ops);
	invalidate_for(mm, MMU_NOTIFY_UNMAP);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	invalidate_for(mm, MMU_NOTIFY_CLEAR);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view_close(&view);
	mmput(mm);
}

static void a_cover_that_sleeps_is_reported(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = cover_invalidate,
	};
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &ops);
	/* As long as it finds the lock free it goes unnoticed. */
	assert_int_equal(invalidate_nonblock(mm, 0, 1), 0);
	expect_no_reports(mm);
	assert_int_equal(invalidate_contended(&view), 0);
	expect_places(&view.sub);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	view_close(&view);
	/* The one that looks refuses. */
	view_open(&view, mm, 0, 4);
	assert_int_equal(invalidate_contended(&view), -EAGAIN);
	expect_no_reports(mm);
	view_close(&view);
	mmput(mm);
}

/* --------------------------------------------------------------- userptr: P4
 * Sets no number, and drops the one that it begins to read with.
 */
static bool userptr_invalidate(struct mmu_interval_notifier *sub,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct view *view = (struct view *)(void *)sub;

	(void)cur_seq;
	if (!mmu_notifier_range_blockable(range))
		return false;
	pthread_mutex_lock(&view->lock);
	view->hits++;
	pthread_mutex_unlock(&view->lock);
	return true;
}

static void a_userptr_without_numbers_is_reported(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = userptr_invalidate,
	};
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &ops);
	mmu_interval_read_begin(&view.sub);
	expect_no_reports(mm);
	pthread_mutex_lock(&view.lock);
	uhmm_check_access(&view.sub, PG(0), PG(4));
	pthread_mutex_unlock(&view.lock);
	expect_reports(mm, UHMM_RULE_INSTALL, 1);
	assert_int_equal(invalidate_nonblock(mm, 0, 1), -EAGAIN);
	expect_no_reports(mm);
	invalidate(mm, 0, 1);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view_close(&view);
	mmput(mm);
}

/* -------------------------------------------------------------------- SVM: P7
 * Leaves RELEASE alone, and never looks whether it may sleep.
 */
static bool svm_invalidate(struct mmu_interval_notifier *sub,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	if (range->event == MMU_NOTIFY_RELEASE)
		return true;
	return cover_invalidate(sub, range, cur_seq);
}

static void an_svm_that_ignores_release_and_blockable_is_reported(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = svm_invalidate,
	};
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open_with(&view, mm, 0, 4, &ops);
	invalidate(mm, 0, 1);
	assert_int_equal(view_fault(&view, 0), 0);
	expect_no_reports(mm);
	assert_int_equal(invalidate_contended(&view), 0);
	expect_reports(mm, UHMM_RULE_SLEEP, 1);
	mmgrab(mm);
	mmput(mm);
	expect_reports(mm, UHMM_RULE_SET_SEQ_MISSING, 1);
	view_close(&view);
	mmdrop(mm);
}

/* ----------------------------------------------------------- hypervisor: P12
 * Refuses, when taking the page away failed, also what cannot be refused.
 */
static void a_hypervisor_that_refuses_is_reported(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.refuse = true;
	invalidate(mm, 0, 1);
	expect_places(&view.sub);
	expect_reports(mm, UHMM_RULE_REFUSAL, 1);
	view_close(&view);
	mmput(mm);
}

/* --------------------------------------------------------------------- off */

static void nothing_is_reported_where_it_is_off(void **state)
{
	struct mm_struct *mm = unchecked_mm();
	struct mmu_notifier_range range;
	struct view view;
	unsigned long seq;

	(void)state;
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	invalidate(mm, 0, 1);
	view.no_set_seq = false;
	view.set_seq = 77;
	invalidate(mm, 0, 1);
	view.set_seq = 0;
	view.refuse = true;
	invalidate(mm, 0, 1);
	view.refuse = false;
	assert_int_equal(invalidate_contended(&view), -EAGAIN);
	seq = mmu_interval_read_begin(&view.sub);
	assert_int_equal(seq, view.last);
	assert_false(mmu_interval_read_retry(&view.sub, seq));
	assert_true(mmu_interval_read_retry(&view.sub, seq + 2));
	uhmm_check_access(&view.sub, PG(8), PG(9));
	uhmm_might_sleep();
	pthread_mutex_lock(&view.lock);
	mmap_read_lock(mm);
	mmap_assert_write_locked(mm);
	mmap_read_unlock(mm);
	pthread_mutex_unlock(&view.lock);
	range_of(&range, mm, 0, 1);
	mmu_notifier_invalidate_range_end(&range);
	view_close(&view);
	mmu_interval_notifier_remove(&view.sub);
	assert_int_equal(uhmm_check_violations(mm), 0);
	expect_no_reports(NULL);
	mmput(mm);
}

/* ------------------------------------------------------------------ stress
 * Each address space has invalidators, some nested and some that must not
 * sleep; readers; and one thread whose subscriptions come and go.
 */
#define SPACES 2
#define VIEWS 6
#define RUN_S 2

struct space {
	struct mm_struct *mm;
	struct view views[VIEWS];
	unsigned long invalidations;
	unsigned long refused;
	unsigned long faults;
	unsigned long removed;
};

static int stop;

static bool running(void)
{
	return !__atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void count(unsigned long *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static void invalidate_nested(struct space *space, unsigned int *seed, int depth)
{
	struct mmu_notifier_range range;
	int ret;

	range_of(&range, space->mm, rand_r(seed) % 12, 1 + rand_r(seed) % 4);
	if (rand_r(seed) % 3)
		ret = mmu_notifier_invalidate_range_start(&range);
	else
		ret = mmu_notifier_invalidate_range_start_nonblock(&range);
	if (ret) {
		count(&space->refused);
		return;
	}
	count(&space->invalidations);
	if (depth)
		invalidate_nested(space, seed, depth - 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void *invalidator(void *arg)
{
	unsigned int seed = (unsigned int)gettid();

	while (running())
		invalidate_nested(arg, &seed, rand_r(&seed) % 3);
	return NULL;
}

static void *reader(void *arg)
{
	unsigned int seed = (unsigned int)gettid();
	struct space *space = arg;
	struct view *view;
	int i, how;

	while (running()) {
		i = rand_r(&seed) % VIEWS;
		how = rand_r(&seed) % 4;
		view = &space->views[i];
		if (how == 0)
			mmap_read_lock(space->mm);
		if (how == 1)
			assert_int_equal(uhmm_interval_reserve(&view->sub), 0);
		view_fault(view, 2 * i);
		if (how == 0)
			mmap_read_unlock(space->mm);
		count(&space->faults);
	}
	return NULL;
}

/* An object that finds itself empty in its own callback. */
struct orphan {
	struct view view;
	struct space *space;
	int left;
};

static void orphan_leaves(struct view *view,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct orphan *orphan = (struct orphan *)(void *)view;

	(void)range;
	(void)cur_seq;
	if (!orphan->left++)
		uhmm_interval_notifier_remove_async(&view->sub);
}

static void orphan_removed(struct mmu_interval_notifier *sub)
{
	struct orphan *orphan = (struct orphan *)(void *)sub;

	count(&orphan->space->removed);
	pthread_mutex_destroy(&orphan->view.lock);
	free(orphan);
}

static struct mmu_interval_notifier_ops orphan_ops;

static int list_starts(struct mmu_notifier *notifier,
		       const struct mmu_notifier_range *range)
{
	(void)notifier;
	(void)range;
	return 0;
}

static void *churner(void *arg)
{
	static const struct mmu_notifier_ops ops = {
		.invalidate_range_start = list_starts,
	};
	struct mmu_notifier notifier = { .ops = &ops };
	struct space *space = arg;
	struct orphan *orphan;
	struct view view;

	while (running()) {
		view_open(&view, space->mm, 5, 4);
		view_fault(&view, 6);
		invalidate(space->mm, 7, 1);
		view_close(&view);

		orphan = calloc(1, sizeof(*orphan));
		view_open_with(&orphan->view, space->mm, 20, 1, &orphan_ops);
		orphan->space = space;
		orphan->view.hook = orphan_leaves;
		invalidate(space->mm, 20, 1);

		if (mmu_notifier_register(&notifier, space->mm))
			abort();
		mmu_notifier_unregister(&notifier, space->mm);
	}
	return NULL;
}

static bool emulated;

static void a_right_driver_with_many_threads_is_not_reported(void **state)
{
	static void *(*const roles[])(void *) = {
		invalidator, invalidator, reader, reader, churner,
	};
	enum { ROLES = sizeof(roles) / sizeof(roles[0]) };
	pthread_t threads[SPACES][ROLES];
	struct space spaces[SPACES];
	int s, i;

	(void)state;
	if (emulated) {
		print_message("an emulator's threads sleep for locks of its own\n");
		skip();
	}
	orphan_ops = view_removed_ops;
	orphan_ops.uhmm_removed = orphan_removed;
	memset(spaces, 0, sizeof(spaces));
	for (s = 0; s < SPACES; s++) {
		spaces[s].mm = checked_mm();
		for (i = 0; i < VIEWS; i++)
			view_open(&spaces[s].views[i], spaces[s].mm, 2 * i, 3);
	}
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	for (s = 0; s < SPACES; s++)
		for (i = 0; i < ROLES; i++)
			pthread_create(&threads[s][i], NULL, roles[i],
				       &spaces[s]);
	sleep(RUN_S);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (s = 0; s < SPACES; s++)
		for (i = 0; i < ROLES; i++)
			pthread_join(threads[s][i], NULL);
	for (s = 0; s < SPACES; s++) {
		expect_no_reports(spaces[s].mm);
		assert_int_not_equal(spaces[s].invalidations, 0);
		assert_int_not_equal(spaces[s].faults, 0);
		assert_int_not_equal(spaces[s].removed, 0);
		print_message("# %lu invalidations, %lu refused, %lu faults, "
			      "%lu removed themselves\n",
			      spaces[s].invalidations, spaces[s].refused,
			      spaces[s].faults, spaces[s].removed);
		for (i = 0; i < VIEWS; i++)
			view_close(&spaces[s].views[i]);
		mmput(spaces[s].mm);
	}
	expect_no_reports(NULL);
}

#define CASE(f) cmocka_unit_test_setup(f, begin_reports)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(a_pin_that_sets_no_number_is_reported),
		CASE(a_cover_that_sleeps_is_reported),
		CASE(a_userptr_without_numbers_is_reported),
		CASE(an_svm_that_ignores_release_and_blockable_is_reported),
		CASE(a_hypervisor_that_refuses_is_reported),
		CASE(nothing_is_reported_where_it_is_off),
		CASE(a_right_driver_with_many_threads_is_not_reported),
	};

	emulated = argc > 1 && !strcmp(argv[1], "emulated");
	return cmocka_run_group_tests_name("check_drivers", tests, NULL, NULL);
}
