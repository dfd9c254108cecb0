/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker as a process meets it: UHMM_CHECK, what is written to
 * standard error, no memory, fork. The program starts itself again as
 *
 *	test_check_env --child WHAT
 *
 * with an environment of its own, and reads its standard error.
 */
#include "check_driver.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VIOLATIONS 12

void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);
void __real_sync_free_pages(void *pages, size_t size);
void __wrap_sync_free_pages(void *pages, size_t size);

static bool no_memory;
static long bytes;

void *__wrap_sync_alloc_pages(size_t size)
{
	if (no_memory)
		return NULL;
	__atomic_fetch_add(&bytes, (long)size, __ATOMIC_RELAXED);
	return __real_sync_alloc_pages(size);
}

void __wrap_sync_free_pages(void *pages, size_t size)
{
	__atomic_fetch_sub(&bytes, (long)size, __ATOMIC_RELAXED);
	__real_sync_free_pages(pages, size);
}

/* It is the checker that has none: what is to be checked is inserted. */
int __real_index_add_chunk(void *index, void *pool);
int __wrap_index_add_chunk(void *index, void *pool);

int __wrap_index_add_chunk(void *index, void *pool)
{
	bool none = no_memory;
	int ret;

	no_memory = false;
	ret = __real_index_add_chunk(index, pool);
	no_memory = none;
	return ret;
}

/* ------------------------------------------------------------------ the child */

/* Returns how many violations there were, in two address spaces. */
static int child_violate(void)
{
	struct mm_struct *mm, *other;
	struct view view;
	int n;

	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_mm_create(&other), 0);
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	for (int i = 0; i < VIOLATIONS; i++)
		invalidate(mm, 0, 1);
	view_close(&view);
	n = (int)uhmm_check_violations(mm);
	mmput(mm);
	mmput(other);
	return n;
}

/* Without memory it goes quiet, and drivers go on as ever. */
static int child_without_memory(void)
{
	struct mm_struct *mm;
	struct view view;

	mm = checked_mm();
	no_memory = true;
	view_open(&view, mm, 0, 4);
	view.no_set_seq = true;
	invalidate(mm, 0, 1);
	invalidate_nonblock(mm, 0, 1);
	view.no_set_seq = false;
	if (view_fault(&view, 0))
		return 1;
	invalidate(mm, 0, 1);
	if (view_fault(&view, 0))
		return 2;
	uhmm_check_access(&view.sub, PG(8), PG(9));
	no_memory = false;
	if (view_fault(&view, 0))
		return 3;
	view_close(&view);
	if (uhmm_check_violations(mm))
		return 4;
	mmput(mm);
	return 0;
}

/* Memory runs out between insert and remove. */
static int child_out_of_memory(void)
{
	struct mm_struct *mm;
	struct view view;
	struct view *views = calloc(4096, sizeof(*views));
	int i;

	mm = checked_mm();
	view_open(&view, mm, 0, 4);
	no_memory = true;
	for (i = 0; i < 4096; i++)
		view_open_with(&views[i], mm, 8, 1, &view_ops);
	invalidate(mm, 8, 1);
	view.no_set_seq = true;
	invalidate(mm, 0, 1);
	view.no_set_seq = false;
	if (view_fault(&view, 0))
		return 1;
	for (i = 0; i < 4096; i++)
		view_close(&views[i]);
	view_close(&view);
	free(views);
	if (uhmm_check_violations(mm))
		return 2;
	mmput(mm);
	return 0;
}

static int child(const char *what)
{
	if (!strcmp(what, "violate"))
		return child_violate();
	if (!strcmp(what, "without-memory"))
		return child_without_memory();
	if (!strcmp(what, "out-of-memory"))
		return child_out_of_memory();
	return 99;
}

/* ----------------------------------------------------------------- the parent */

static char output[16384];

/* Returns the wait status. */
static int run_child(const char *value, const char *what)
{
	int fds[2], status = -1;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		if (value)
			setenv("UHMM_CHECK", value, 1);
		else
			unsetenv("UHMM_CHECK");
		execl("/proc/self/exe", "test_check_env", "--child", what,
		      (char *)NULL);
		_exit(98);
	}
	close(fds[1]);
	while ((n = read(fds[0], output + len, sizeof(output) - 1 - len)) > 0)
		len += (size_t)n;
	output[len] = 0;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int occurrences(const char *word)
{
	const char *at = output;
	int n = 0;

	while ((at = strstr(at, word))) {
		at += strlen(word);
		n++;
	}
	return n;
}

static void expect_exit(int status, int code)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		print_message("# standard error of the child:\n%s", output);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void it_is_off_unless_it_is_asked_for(void **state)
{
	static const char *const values[] = { NULL, "", "0" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		expect_exit(run_child(values[i], "violate"), 0);
		assert_string_equal(output, "");
	}
}

static void one_turns_it_on_and_eight_are_told(void **state)
{
	(void)state;
	expect_exit(run_child("1", "violate"), VIOLATIONS);
	assert_int_equal(occurrences("uhmm-check: set-seq-missing: a callback "
				     "did not set"), 8);
	assert_int_equal(occurrences("remedy:"), 8);
	assert_int_equal(occurrences("the callback: "), 8);
	/* With a name where there is one. */
	assert_int_equal(occurrences("the invalidation was started: "
				     "invalidate+0x"), 8);
	assert_int_equal(occurrences("the callback: test_check_env+0x"), 8);
	assert_int_equal(occurrences("more of it"), 1);
	assert_int_equal(occurrences("uhmm-check:"), 9);
}

static void abort_ends_the_process_after_the_first(void **state)
{
	int status = run_child("abort", "violate");

	(void)state;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_int_equal(occurrences("remedy:"), 1);
}

static void what_is_unknown_is_said_once(void **state)
{
	(void)state;
	expect_exit(run_child("yes", "violate"), 0);
	assert_int_equal(occurrences("uhmm-check: UHMM_CHECK=yes is unknown"),
			 1);
	assert_int_equal(occurrences("\n"), 1);
}

static void without_memory_it_says_so_and_goes_quiet(void **state)
{
	static const char *const whats[] = { "without-memory",
					     "out-of-memory" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		expect_exit(run_child(NULL, whats[i]), 0);
		assert_int_equal(occurrences("uhmm-check: out of memory"), 1);
		assert_int_equal(occurrences("\n"), 1);
	}
}

/* -------------------------------------------------------------------- memory */

static void *fault_once(void *arg)
{
	view_fault(arg, 0);
	return NULL;
}

/* All that there is for a while, many times over. */
static void churn(struct mm_struct *mm, struct view *stay, int n)
{
	struct mmu_notifier_range range;
	pthread_t thread;
	struct view view;
	int i;

	for (i = 0; i < n; i++)
		invalidate(mm, 0, 1);
	pthread_create(&thread, NULL, fault_once, stay);
	pthread_join(thread, NULL);
	view_open(&view, mm, 0, 1);
	range_of(&range, mm, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&range);
	assert_int_equal(view_fault(&view, 0), 0);
	assert_int_equal(uhmm_check_user_lock(&view.sub, uhmm_check_mutex_held,
					      &view.lock), 0);
	view_close(&view);
}

static void memory_is_used_again_and_given_back(void **state)
{
	long before = bytes, settled = 0;
	struct mm_struct *mm = checked_mm(), *other = checked_mm();
	struct view stay[8];
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		view_open(&stay[i], mm, 0, 1);
	for (i = 0; i < 3000; i++) {
		churn(mm, &stay[i % 8], i ? 1 : 1000);
		if (i == 1000)
			settled = bytes;
	}
	assert_int_not_equal(settled, 0);
	assert_int_equal(bytes, settled);
	/* Address spaces come and go beside one that stays. */
	for (i = 0; i < 8; i++)
		view_close(&stay[i]);
	mmput(mm);
	settled = 0;
	for (i = 0; i < 2000; i++) {
		mm = checked_mm();
		view_open(&stay[0], mm, 0, 1);
		churn(mm, &stay[0], 1);
		view_close(&stay[0]);
		mmput(mm);
		if (i == 500)
			settled = bytes;
	}
	assert_int_equal(bytes, settled);
	mmput(other);
	assert_int_equal(bytes, before);
	expect_no_reports(NULL);
}

/* ---------------------------------------------------------------------- fork */

static void expect_child(pid_t pid, int code)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	expect_exit(status, code);
}

static void in_a_forked_child_nothing_is_open(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct mmu_notifier_range range;
	struct view view;
	pid_t pid;

	(void)state;
	output[0] = 0;
	view_open(&view, mm, 0, 4);
	range_of(&range, mm, 0, 1);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	pid = fork();
	if (!pid) {
		/* Neither waits for itself, nor is this one end too many. */
		view_fault(&view, 0);
		mmu_notifier_invalidate_range_end(&range);
		if (reports)
			_exit(1);
		view.no_set_seq = true;
		invalidate(mm, 0, 1);
		_exit(reports == 1 &&
		      last_report.rule == UHMM_RULE_SET_SEQ_MISSING ? 7 : 2);
	}
	expect_child(pid, 7);
	mmu_notifier_invalidate_range_end(&range);
	view_close(&view);
	expect_no_reports(mm);
	mmput(mm);
}

static int stop;

static void *keep_invalidating(void *arg)
{
	struct view *view = arg;
	struct mmu_notifier_range range;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		range_of(&range, view->mm, 0, 1);
		mmu_notifier_invalidate_range_start(&range);
		mmu_notifier_invalidate_range_end(&range);
	}
	return NULL;
}

/* Whatever another thread was doing in the checker when it forked. */
static void a_forked_child_is_not_stuck(void **state)
{
	struct mm_struct *mm = checked_mm();
	struct view view, mine;
	pthread_t thread;
	pid_t pid;

	(void)state;
	output[0] = 0;
	view_open_with(&view, mm, 0, 4, &view_ops);
	view_open(&mine, mm, 8, 1);
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	pthread_create(&thread, NULL, keep_invalidating, &view);
	for (int i = 0; i < 50; i++) {
		pid = fork();
		if (!pid) {
			alarm(20);
			invalidate(mm, 8, 1);
			view_fault(&mine, 8);
			view_close(&mine);
			_exit(reports ? 1 : 0);
		}
		expect_child(pid, 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	view_close(&view);
	view_close(&mine);
	expect_no_reports(mm);
	mmput(mm);
}

#define CASE(f) cmocka_unit_test_setup(f, begin_reports)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(it_is_off_unless_it_is_asked_for),
		CASE(one_turns_it_on_and_eight_are_told),
		CASE(abort_ends_the_process_after_the_first),
		CASE(what_is_unknown_is_said_once),
		CASE(without_memory_it_says_so_and_goes_quiet),
		CASE(memory_is_used_again_and_given_back),
		CASE(in_a_forked_child_nothing_is_open),
		CASE(a_forked_child_is_not_stuck),
	};

	if (argc == 3 && !strcmp(argv[1], "--child"))
		return child(argv[2]);
	return cmocka_run_group_tests_name("check_env", tests, NULL, NULL);
}
