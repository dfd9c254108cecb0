/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A bracketed call that is left in the middle: by longjmp() out of a signal's handler,
 * on whatever stack that runs, or with the thread itself. Its bracket ends.
 */
#include "live_util.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

static sigjmp_buf out;

/* In the middle of munmap(), which is not made. */
static void jump(int sig)
{
	siglongjmp(out, 1);
}

static void end_thread(int sig)
{
	pthread_exit(NULL);
}

static void *leave(void *page)
{
	if (!sigsetjmp(out, 1)) {
		munmap(page, PAGE);
		fail_here(__FILE__, __LINE__, "munmap() has returned");
	}
	return NULL;
}

/* libc loads what it unwinds with when that is first needed. */
static void *load_unwinder(void *unused)
{
	pthread_exit(unused);
}

/* What holds reads up is not left behind, in this thread or another. */
static void check(void (*handler)(int sig), bool other_stack, bool other_thread)
{
	struct sigaction action = { .sa_handler = handler,
				    .sa_flags = other_stack ? SA_ONSTACK : 0 };
	stack_t stack = { .ss_sp = some_pages(16), .ss_size = 16 * PAGE };
	struct view view;
	pthread_t thread;
	unsigned long seq;
	char *p;

	if (uhmm_live_patch(UHMM_G1, NULL))
		_exit(CANNOT);
	OK(!pthread_create(&thread, NULL, load_unwinder, NULL));
	OK(!pthread_join(thread, NULL));
	make_live(UHMM_G1, 0, 0);
	if (info().guarantee != UHMM_G1)
		_exit(CANNOT);
	p = some_pages(1);
	view_add(&view, p, PAGE);
	seq = view_look(&view, p);
	OK(!sigaction(SIGSYS, &action, NULL) && !sigaltstack(&stack, NULL));
	OK(live_filter(SYS_munmap, SECCOMP_RET_TRAP));
	if (other_thread) {
		OK(!pthread_create(&thread, NULL, leave, p));
		OK(!pthread_join(thread, NULL));
	} else {
		leave(p);
	}
	OK(view_called(&view) == 1 && view_retry(&view, seq));
	OK(!view_retry(&view, view_begin(&view)));
	OK(pte_at(p).state == UHMM_PTE_PRESENT);
	view_drop(&view);
	/* It waits until nobody is inside. */
	drop_live();
	_exit(0);
}

ALONE(by_longjmp)
{
	check(jump, false, false);
}

ALONE(by_longjmp_from_another_stack)
{
	check(jump, true, false);
}

ALONE(by_longjmp_in_another_thread)
{
	check(jump, false, true);
}

ALONE(with_the_thread)
{
	check(end_thread, false, true);
}

static bool is_signalled(struct mmu_interval_notifier *sub,
			 const struct mmu_notifier_range *range, unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
	raise(SIGUSR1);
	return true;
}

static const struct mmu_interval_notifier_ops is_signalled_ops = {
	.invalidate = is_signalled,
};

/* Before the call, where whoever is told of it is called. */
ALONE(by_longjmp_out_of_a_callback)
{
	struct mmu_interval_notifier sub;
	char *p;

	if (uhmm_live_patch(UHMM_G1, NULL))
		_exit(CANNOT);
	make_live(UHMM_G1, 0, 0);
	p = some_pages(1);
	OK(!mmu_interval_notifier_insert(&sub, mm, (unsigned long)p, PAGE,
					 &is_signalled_ops));
	OK(signal(SIGUSR1, jump) != SIG_ERR);
	leave(p);
	OK(!mmu_interval_read_retry(&sub, mmu_interval_read_begin(&sub)));
	mmu_interval_notifier_remove(&sub);
	drop_live();
	_exit(0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(by_longjmp),
		CASE_BARE(by_longjmp_from_another_stack),
		CASE_BARE(by_longjmp_in_another_thread),
		CASE_BARE(with_the_thread),
		CASE_BARE(by_longjmp_out_of_a_callback),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_left", tests, NULL, NULL);
}
