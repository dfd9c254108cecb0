/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages brought home in the handler of SIGBUS, in a program that has handlers of its
 * own: from before, and from after, which hand on to ours, ask it, or do neither. And
 * what a driver may not do in there.
 */
#include <sys/wait.h>

#include "device.h"
#include "live_util.h"

#define RW (PROT_READ | PROT_WRITE)

static struct device device;
static volatile sig_atomic_t before_calls, after_calls;
static sigjmp_buf back;

/* The program's own trouble: it goes on elsewhere. */
static void before(int sig)
{
	before_calls++;
	siglongjmp(back, 1);
}

static void before_with_info(int sig, siginfo_t *info, void *context)
{
	OK(info->si_code == BUS_ADRERR && context);
	before(sig);
}

static struct sigaction ours;
static void (*what_after_does)(siginfo_t *info, void *context);

static void after(int sig, siginfo_t *info, void *context)
{
	after_calls++;
	what_after_does(info, context);
}

static void hands_on(siginfo_t *info, void *context)
{
	ours.sa_sigaction(SIGBUS, info, context);
}

static void asks(siginfo_t *info, void *context)
{
	if (!uhmm_live_sigbus(info->si_addr))
		before(SIGBUS);
}

static void does_neither(siginfo_t *info, void *context)
{
	before(SIGBUS);
}

/* How many of the program's troubles a touch is. */
static int troubles(char *p)
{
	int had = before_calls;

	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)p;
	return before_calls - had;
}

static char *behind_the_end(void)
{
	char *p = mmap(NULL, PAGE, RW, MAP_SHARED, memfd_create("end", 0), 0);

	OK(p != MAP_FAILED);
	return p;
}

static void install_before(bool with_info)
{
	struct sigaction action = { .sa_handler = before };

	if (with_info) {
		action.sa_flags = SA_SIGINFO;
		action.sa_sigaction = before_with_info;
	}
	OK(!sigaction(SIGBUS, &action, NULL));
}

static void install_after(void (*what)(siginfo_t *info, void *context))
{
	struct sigaction action = { .sa_sigaction = after,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	what_after_does = what;
	OK(!sigaction(SIGBUS, &action, &ours));
	OK(ours.sa_flags & SA_SIGINFO);
}

/* Two pages are away. */
static char *begin(unsigned int flags)
{
	char *p;

	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE | flags);
	if (info().guarantee < UHMM_G0)
		_exit(CANNOT);
	OK(!device_make(&device, 16, false));
	p = some_pages(2);
	OK(device_take(&device, mm, p, 2) == 2);
	return p;
}

static void end(void)
{
	drop_live();
	device_destroy(&device);
}

static void reaches_both(bool with_info,
			 void (*what)(siginfo_t *info, void *context))
{
	char *p, *q = behind_the_end();

	install_before(with_info);
	p = begin(UHMM_LIVE_SIGBUS);
	install_after(what);
	OK(!troubles(p) && after_calls == 1 && *p == 1);
	OK(troubles(q) == 1 && after_calls == 2);
	OK(!troubles(p + PAGE) && after_calls == 3 && p[PAGE] == 2);
	OK(live_stats().home_touched == 2);
	end();
}

ALONE(a_handler_that_hands_on_to_ours)
{
	reaches_both(false, hands_on);
}

ALONE(and_ours_to_one_with_siginfo)
{
	reaches_both(true, hands_on);
}

ALONE(a_handler_that_asks)
{
	reaches_both(false, asks);
}

/* It has a signal that it does not know; the page is where it was. */
ALONE(who_does_neither_loses_nothing)
{
	char *p;

	p = begin(UHMM_LIVE_SIGBUS);
	install_after(does_neither);
	OK(troubles(p) == 1 && troubles(p) == 1);
	OK(!live_stats().home_touched);
	OK(uhmm_live_sigbus(p) && *p == 1 && before_calls == 2);
	/* The end brings home what nobody touches any more. */
	end();
	OK(p[PAGE] == 2 && before_calls == 2);
}

static bool handler_is(const void *handler)
{
	struct sigaction now;

	OK(!sigaction(SIGBUS, NULL, &now));
	return (void *)now.sa_handler == handler;
}

ALONE(what_was_there_before_is_there_again)
{
	install_before(false);
	begin(UHMM_LIVE_SIGBUS);
	OK(!handler_is(before));
	end();
	OK(handler_is(before));
}

ALONE(what_came_after_stays)
{
	install_before(false);
	begin(UHMM_LIVE_SIGBUS);
	install_after(hands_on);
	end();
	OK(handler_is(after));
	/* What it hands on to is not there any more, and hands on itself. */
	OK(troubles(behind_the_end()) == 1 && after_calls == 1);
}

/* ------------------------------------------------------------ in the driver */

static void drop_last(struct device *unused)
{
	device.between = NULL;
	drop_live();
}

/* What is said on standard error. */
static bool is_said(int file, const char *text)
{
	char said[512] = "";

	OK(pread(file, said, sizeof(said) - 1, 0) >= 0);
	return strstr(said, text);
}

static void drop_in_driver(unsigned int flags)
{
	int said = memfd_create("said", 0), stderr_fd = dup(STDERR_FILENO);
	char *p = begin(flags), *q;

	OK(dup2(said, STDERR_FILENO) == STDERR_FILENO);
	device.between = drop_last;
	(void)*(volatile char *)p;
	OK(dup2(stderr_fd, STDERR_FILENO) == STDERR_FILENO);
	OK(!mm && is_said(said, "cannot end in a callback"));
	OK(*p == 1 && p[PAGE] == 2 && device_nfree(&device) == 16);
	/* Another one is as good as the first was. */
	make_live(UHMM_G0, 0, 0);
	OK(info().guarantee == UHMM_G0);
	q = some_pages(1);
	OK(pte_at(q).state == UHMM_PTE_PRESENT && !munmap(q, PAGE));
	drop_live();
}

/* The end would wait for the thread, or the page, that it is in. */
ALONE(the_last_use_does_not_end_in_the_handlers_thread)
{
	drop_in_driver(0);
}

ALONE(nor_in_a_signal)
{
	drop_in_driver(UHMM_LIVE_SIGBUS);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(a_handler_that_hands_on_to_ours),
		CASE_BARE(and_ours_to_one_with_siginfo),
		CASE_BARE(a_handler_that_asks),
		CASE_BARE(who_does_neither_loses_nothing),
		CASE_BARE(what_was_there_before_is_there_again),
		CASE_BARE(what_came_after_stays),
		CASE_BARE(the_last_use_does_not_end_in_the_handlers_thread),
		CASE_BARE(nor_in_a_signal),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_signals", tests, NULL, NULL);
}
