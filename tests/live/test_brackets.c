/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Life of the live address space, and the brackets of who patches a program.
 */
#include "live_util.h"

#include <sys/syscall.h>
#include <sys/wait.h>

static void a_process_has_one(void **state)
{
	struct mm_struct *again;

	assert_int_equal(uhmm_mm_create_live(NULL, &again), 0);
	assert_ptr_equal(again, mm);
	mmput(again);
	assert_string_equal(uhmm_mm_name(mm), "live");
}

static void bad_options_are_refused(void **state)
{
	struct uhmm_live_options o = { .size = sizeof(o) };
	struct mm_struct *it = NULL;

	assert_int_equal(uhmm_mm_create_live(&o, NULL), -EINVAL);
	o.size--;
	assert_int_equal(uhmm_mm_create_live(&o, &it), -EINVAL);
	o.size++;
	o.flags = 1U << 31;
	assert_int_equal(uhmm_mm_create_live(&o, &it), -EINVAL);
	o.flags = 0;
	o.without = 1U << UHMM_LIVE_FEATURES;
	assert_int_equal(uhmm_mm_create_live(&o, &it), -EINVAL);
	o.without = 0;
	o.guarantee = (enum uhmm_guarantee)3;
	assert_int_equal(uhmm_mm_create_live(&o, &it), -EINVAL);
	assert_null(it);
}

static void a_bracket_calls_back_around_the_change(void **state)
{
	char *p = some_pages(4);
	struct live_bracket b;
	struct view view;
	unsigned long seq;

	view_add(&view, p, 4 * PAGE);
	seq = view_begin(&view);
	assert_int_equal(live_bracket_start(&b, (unsigned long)p + PAGE, 10,
					    MMU_NOTIFY_UNMAP, 0), 0);
	assert_int_equal(view_called(&view), 1);
	assert_int_equal(view.start, (unsigned long)p + PAGE);
	assert_int_equal(view.end, (unsigned long)p + 2 * PAGE);
	assert_int_equal(view.event, MMU_NOTIFY_UNMAP);
	munmap(p + PAGE, PAGE);
	live_bracket_end(&b);
	assert_true(view_retry(&view, seq));
	assert_int_equal(live_stats().brackets, 1);
	view_drop(&view);
	munmap(p, 4 * PAGE);
}

static void a_bracket_without_an_address_space_does_nothing(void **state)
{
	struct live_bracket b;

	errno = 77;
	assert_int_equal(live_bracket_start(&b, 4096, 4096, MMU_NOTIFY_UNMAP,
					    0), 0);
	live_bracket_end(&b);
	assert_int_equal(errno, 77);
	make_live(UHMM_G0, 0, 0);
	assert_int_equal(live_bracket_start(&b, 4096, 0, MMU_NOTIFY_UNMAP, 0),
			 0);
	live_bracket_end(&b);
	assert_int_equal(live_stats().brackets, 0);
}

static void a_refused_bracket_leaves_nothing_open(void **state)
{
	char *p = some_pages(1);
	struct live_bracket b;
	struct view view;
	unsigned long seq;

	view_add(&view, p, PAGE);
	pthread_mutex_lock(&view.lock);
	assert_int_equal(live_bracket_start(&b, (unsigned long)p, PAGE,
					    MMU_NOTIFY_CLEAR, LIVE_NONBLOCK),
			 -EAGAIN);
	live_bracket_end(&b);
	pthread_mutex_unlock(&view.lock);
	seq = view_begin(&view);
	assert_false(view_retry(&view, seq));
	view_drop(&view);
	munmap(p, PAGE);
}

/*
 * The last thing that a thread does, when its own data are gone. Each has a page
 * of its own: what was unmapped may be somebody else's by then.
 */
#define LAST_THREADS 100
static pthread_key_t last_key;
static char *last_page;

static void last_munmap(void *again)
{
	struct live_bracket b;
	sigset_t all;

	if ((intptr_t)again < PTHREAD_DESTRUCTOR_ITERATIONS) {
		pthread_setspecific(last_key, (char *)again + 1);
		return;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	live_bracket_start(&b, (unsigned long)last_page, PAGE, MMU_NOTIFY_UNMAP,
			   0);
	munmap(last_page, PAGE);
	live_bracket_end(&b);
}

static void *last_thread(void *unused)
{
	pthread_setspecific(last_key, (void *)1);
	return NULL;
}

static void a_threads_last_munmap_is_bracketed(void **state)
{
	struct view view;
	pthread_t thread;

	last_page = some_pages(LAST_THREADS);
	view_add(&view, last_page, LAST_THREADS * PAGE);
	pthread_key_create(&last_key, last_munmap);
	for (int i = 0; i < LAST_THREADS; i++, last_page += PAGE) {
		assert_int_equal(pthread_create(&thread, NULL, last_thread,
						NULL), 0);
		pthread_join(thread, NULL);
	}
	assert_int_equal(view_called(&view), LAST_THREADS);
	pthread_key_delete(last_key);
	view_drop(&view);
}

static int in_the_child(struct live_bracket *b, struct view *view)
{
	struct uhmm_vma vma;
	struct uhmm_pte pte;
	size_t one = 1;

	live_bracket_end(b);
	/* As its parent had counted, with the one that is around fork(). */
	if (live_stats().brackets != 2)
		return 4;
	if (uhmm_mm_find_vma(mm, (unsigned long)&one, &vma) != -ESRCH ||
	    uhmm_mm_walk(mm, (unsigned long)&one, &one, &pte) != -ESRCH ||
	    uhmm_mm_fault(mm, (unsigned long)&one, 0) != -ESRCH ||
	    info().guarantee != UHMM_GUARANTEE_NONE)
		return 1;
	view_drop(view);
	mmput(mm);
	/* It may be where the parent's was, but it answers. */
	if (uhmm_mm_create_live(NULL, &mm) ||
	    uhmm_mm_find_vma(mm, (unsigned long)&one, &vma))
		return 2;
	live_bracket_start(b, (unsigned long)&one, PAGE, MMU_NOTIFY_CLEAR, 0);
	live_bracket_end(b);
	return live_stats().brackets == 1 ? 0 : 3;
}

static void a_forked_child_makes_its_own(void **state)
{
	char *p = some_pages(1);
	struct live_bracket b;
	struct view view;
	int status;
	pid_t pid;

	view_add(&view, p, PAGE);
	live_bracket_start(&b, 4096, ~0UL, MMU_NOTIFY_PROTECTION_PAGE, 0);
	pid = fork();
	if (!pid)
		_exit(in_the_child(&b, &view));
	live_bracket_end(&b);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* fork() itself is bracketed too. */
	assert_int_equal(view_called(&view), 2);
	view_drop(&view);
	munmap(p, PAGE);
}

static void the_reach_of_brackets_is_reported(void **state)
{
	make_live(UHMM_G1, 0, 0);
	assert_int_equal(info().asked, UHMM_G1);
	assert_true(info().guarantee < UHMM_G1);
	assert_true(info().reasons & UHMM_LIVE_WHY_UNPATCHED);
	live_set_bracketed(UHMM_G2, 0);
	assert_true(info().guarantee <= UHMM_G1);
	assert_false(info().reasons & UHMM_LIVE_WHY_UNPATCHED);
	make_live(UHMM_G2, 0, 0);
	assert_int_equal(info().guarantee, UHMM_G2);
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	assert_true(info().guarantee < UHMM_G1);
}

static void words_for_every_bit(void **state)
{
	for (unsigned int i = 0; i < UHMM_LIVE_FEATURES; i++)
		assert_non_null(uhmm_live_feature_name(i));
	for (unsigned int i = 0; i < UHMM_LIVE_REASONS; i++)
		assert_non_null(uhmm_live_reason(i));
	assert_null(uhmm_live_feature_name(UHMM_LIVE_FEATURES));
	assert_null(uhmm_live_reason(UHMM_LIVE_REASONS));
}

static void the_environment_can_take_features_away(void **state)
{
	setenv("UHMM_LIVE_WITHOUT", "pagemap-scan,procmap-query", 1);
	make_live(UHMM_G0, 0, 0);
	unsetenv("UHMM_LIVE_WITHOUT");
	assert_false(info().features &
		     (UHMM_LIVE_PAGEMAP_SCAN | UHMM_LIVE_PROCMAP_QUERY));
}

/* In a child of whom fork() knows nothing: what is wrong there, or 0. */
static int not_the_parents(char *p, struct view *view)
{
	struct live_bracket b;
	struct uhmm_pte pte;
	size_t one = 1;

	live_bracket_start(&b, (unsigned long)p, PAGE, MMU_NOTIFY_UNMAP, 0);
	live_bracket_end(&b);
	if (view->called)
		return 1;
	if (uhmm_live_guarantee(mm) != UHMM_GUARANTEE_NONE)
		return 2;
	if (uhmm_mm_walk(mm, (unsigned long)p, &one, &pte) != -ESRCH)
		return 3;
	return uhmm_live_watch(mm, (unsigned long)p, PAGE) == -ESRCH ? 0 : 4;
}

/* Nor is it done anything to its parent's. */
static void a_child_that_nobody_told_of_is_known(void **state)
{
	char *p = some_pages(1);
	struct view view;
	int status;
	pid_t pid;

	make_live(UHMM_G0, 0, 0);
	pte_at(p);
	view_add(&view, p, PAGE);
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		_exit(not_the_parents(p, &view));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* A kernel that is asked to tells of forks. */
	view.called = 0;
	munmap(p, PAGE);
	while (!view_called(&view))
		sched_yield();
	view_drop(&view);
}

static void such_a_child_can_have_its_own(void **state)
{
	struct mm_struct *own;
	int status;
	pid_t pid;

	make_live(UHMM_G0, 0, 0);
	pid = _Fork();
	if (!pid) {
		if (uhmm_mm_create_live(NULL, &own) || own == mm ||
		    uhmm_live_guarantee(own) != UHMM_G0)
			_exit(1);
		mmput(own);
		mmput(mm);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(uhmm_live_guarantee(mm), UHMM_G0);
}

/* What is open in its parent is not in it, and not in the way of its own. */
static int ends_what_is_its_parents(struct live_bracket *b)
{
	struct uhmm_live_stats stats = { .size = sizeof(stats) };
	struct mm_struct *own;

	live_bracket_end(b);
	if (uhmm_mm_create_live(NULL, &own))
		return 1;
	live_bracket_end(b);
	live_bracket_start(b, 4096, 4096, MMU_NOTIFY_UNMAP, 0);
	live_bracket_end(b);
	if (uhmm_live_get_stats(own, &stats) || stats.brackets != 1)
		return 2;
	/* It waits for who is inside. */
	mmput(own);
	return 0;
}

static void such_a_child_ends_no_bracket_of_its_parent(void **state)
{
	struct live_bracket b;
	int status;
	pid_t pid;

	make_live(UHMM_G0, 0, 0);
	live_bracket_start(&b, 4096, 4096, MMU_NOTIFY_UNMAP, 0);
	pid = _Fork();
	if (!pid) {
		alarm(20);
		_exit(ends_what_is_its_parents(&b));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	live_bracket_end(&b);
	assert_int_equal(live_stats().brackets, 1);
	/* Nobody is inside: it can end. */
	drop_live();
}

static pid_t (*child_by)(void);
static pid_t made;

/* fork() is announced too. */
static bool makes_child(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range, unsigned long seq)
{
	pid_t (*by)(void) = child_by;

	mmu_interval_set_seq(sub, seq);
	child_by = NULL;
	if (by)
		made = by();
	return true;
}

static const struct mmu_interval_notifier_ops makes_child_ops = {
	.invalidate = makes_child,
};

/* It comes from there as its parent does, and goes on in the middle of a bracket. */
static void a_child_made_in_a_callback_has_nothing_open(void **state)
{
	static pid_t (*const ways[])(void) = { fork, _Fork };
	struct mmu_interval_notifier sub;
	struct live_bracket b;
	char *p;
	int status;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		make_live(UHMM_G0, 0, 0);
		p = some_pages(1);
		assert_int_equal(mmu_interval_notifier_insert(
			&sub, mm, (unsigned long)p, PAGE, &makes_child_ops), 0);
		child_by = ways[i];
		live_bracket_start(&b, (unsigned long)p, PAGE, MMU_NOTIFY_UNMAP, 0);
		if (!made) {
			alarm(20);
			_exit(ends_what_is_its_parents(&b));
		}
		live_bracket_end(&b);
		assert_int_equal(waitpid(made, &status, 0), made);
		assert_int_equal(status, 0);
		mmu_interval_notifier_remove(&sub);
		munmap(p, PAGE);
		drop_live();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(a_child_that_nobody_told_of_is_known),
		CASE(such_a_child_can_have_its_own),
		CASE(such_a_child_ends_no_bracket_of_its_parent),
		CASE(a_child_made_in_a_callback_has_nothing_open),
		CASE(a_process_has_one),
		CASE(bad_options_are_refused),
		CASE(a_bracket_calls_back_around_the_change),
		CASE_BARE(a_bracket_without_an_address_space_does_nothing),
		CASE(a_refused_bracket_leaves_nothing_open),
		CASE(a_threads_last_munmap_is_bracketed),
		CASE(a_forked_child_makes_its_own),
		CASE(the_reach_of_brackets_is_reported),
		CASE(words_for_every_bit),
		CASE(the_environment_can_take_features_away),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_brackets", tests, NULL, NULL);
}
