/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Descriptors that the program closes, as daemons do, or that a child keeps open.
 * What is mirrored is not used any more, the guarantee falls, and nobody waits for
 * ever.
 */
#include "device.h"
#include "live_util.h"

#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "raw.h"

#define NPAGES 4UL

static bool is_userfaultfd(int fd)
{
	char path[32], text[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, text, sizeof(text) - 1) > 0 &&
	       strstr(text, "userfaultfd");
}

static void close_all(void)
{
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
}

static void close_userfaultfds(void)
{
	for (int fd = 3; fd < 1024; fd++)
		if (is_userfaultfd(fd))
			close(fd);
}

static void need_g0(void)
{
	if (info().guarantee < UHMM_G0)
		_exit(CANNOT);
}

/* What was looked at before is good no more, and goes by itself. */
static void is_told(enum uhmm_guarantee guarantee, void (*close_them)(void))
{
	struct view view;
	unsigned long seq;
	char *p;

	make_live(guarantee, 0, 0);
	live_set_bracketed(guarantee, 0);
	need_g0();
	p = some_pages(1);
	view_add(&view, p, PAGE);
	seq = view_look(&view, p);
	close_them();
	OK(!RAW2(SYS_munmap, p, PAGE));
	OK(view_retry(&view, seq));
	while (!view_called(&view))
		usleep(1000);
	OK(view_retry(&view, seq));
	OK(info().guarantee == UHMM_GUARANTEE_NONE);
	OK(info().reasons & UHMM_LIVE_WHY_LOST);
	settle();
	/* Who asks again is let go on, and gets nothing. */
	OK(!view_retry(&view, view_begin(&view)));
	if (close_them == close_userfaultfds)
		OK(pte_at(some_pages(1)).state == UHMM_PTE_SPECIAL);
	view_drop(&view);
	drop_live();
	/* Another one is as good as the first was. */
	make_live(guarantee, 0, 0);
	OK(info().guarantee == guarantee);
	OK(pte_at(some_pages(1)).state == UHMM_PTE_PRESENT);
	drop_live();
}

ALONE(all_are_closed_at_g0)
{
	is_told(UHMM_G0, close_all);
}

ALONE(all_are_closed_at_g1)
{
	is_told(UHMM_G1, close_all);
}

ALONE(what_tells_of_changes_is_closed)
{
	is_told(UHMM_G0, close_userfaultfds);
}

/* It is noticed where nobody asks. */
ALONE(the_guarantee_falls_by_itself)
{
	make_live(UHMM_G0, 0, 0);
	need_g0();
	close_all();
	while (uhmm_live_guarantee(mm) != UHMM_GUARANTEE_NONE)
		usleep(1000);
	drop_live();
}

/* ----------------------------------------------------- where pages are away */

static struct device device;

static void with_pages_away(void (*close_them)(void))
{
	char *p;

	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE);
	need_g0();
	OK(!device_make(&device, NPAGES, true));
	p = some_pages(NPAGES);
	OK(device_take(&device, mm, p, NPAGES) == (long)NPAGES);
	close_them();
	/* They are lost: what the kernel has there now is empty. */
	for (unsigned long i = 0; i < NPAGES; i++)
		OK(!*(volatile char *)(p + i * PAGE));
	*p = 7;
	OK(info().guarantee == UHMM_GUARANTEE_NONE);
	OK(!munmap(some_pages(1), PAGE));
	/* And none goes any more. */
	settle();
	OK(device_take(&device, mm, p + PAGE, 1) <= 0);
	drop_live();
	OK(*p == 7 && device_nfree(&device) == NPAGES);
	device_destroy(&device);
}

ALONE(all_are_closed_and_pages_away)
{
	with_pages_away(close_all);
}

ALONE(what_tells_of_touches_is_closed)
{
	with_pages_away(close_userfaultfds);
}

/* ------------------------------------------------------------- kept by a child */

/* Of a fork that is told to nobody: it has the descriptors for as long as it lives. */
static pid_t keeper(void)
{
	pid_t pid = (pid_t)syscall(SYS_fork);

	while (!pid)
		pause();
	return pid;
}

static void *unmap_all_the_time(void *stop)
{
	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED))
		munmap(some_pages(1), PAGE);
	return NULL;
}

static void kept(unsigned int flags)
{
	int stop = 0;
	pthread_t thread;
	char *p, *q;
	pid_t pid;

	for (int i = 0; i < 20; i++) {
		make_live(UHMM_G0, 0, flags);
		need_g0();
		p = some_pages(NPAGES);
		q = some_pages(NPAGES);
		pte_at(p);
		pte_at(q);
		pid = keeper();
		OK(pid > 0);
		stop = 0;
		OK(!pthread_create(&thread, NULL, unmap_all_the_time, &stop));
		OK(!munmap(p, NPAGES * PAGE));
		drop_live();
		/* For ever, if it were registered still. */
		OK(!munmap(q, NPAGES * PAGE));
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		OK(!pthread_join(thread, NULL));
		kill(pid, SIGKILL);
		OK(waitpid(pid, NULL, 0) == pid);
	}
}

ALONE(a_child_keeps_them_open)
{
	kept(0);
}

ALONE(a_child_keeps_them_open_and_the_devices)
{
	kept(UHMM_LIVE_DEVICE);
}

/* ------------------------------------------------------------------- numbers */

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

static void numbers(rlim_t limit)
{
	int before = lowest_free();
	struct rlimit r;

	OK(!getrlimit(RLIMIT_NOFILE, &r));
	r.rlim_cur = limit;
	OK(!setrlimit(RLIMIT_NOFILE, &r));
	for (unsigned int flags = 0; flags <= UHMM_LIVE_DEVICE;
	     flags += UHMM_LIVE_DEVICE) {
		make_live(UHMM_G0, 0, flags);
		OK(lowest_free() == before);
		OK(info().descriptors > 0 || !kernel_has(UHMM_LIVE_UFFD));
		drop_live();
		OK(lowest_free() == before);
	}
}

/* So that a program's are what they are without. */
ALONE(the_lowest_numbers_are_the_programs)
{
	numbers(1024);
	numbers(100);
}

/* ---------------------------------------------------------- all are in use */

static int fill_descriptors(void)
{
	struct rlimit r = { 700, 4096 };
	int fd, last = -1;

	OK(!setrlimit(RLIMIT_NOFILE, &r));
	while ((fd = dup(0)) >= 0)
		last = fd;
	OK(errno == EMFILE && last > 0);
	return last;
}

static void fork_once(void)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	OK(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
}

static void forks_at_the_limit(unsigned int flags, bool spare)
{
	struct view view;
	unsigned long seq;
	struct rlimit r;
	char *p;

	make_live(UHMM_G0, 0, flags);
	need_g0();
	if (!kernel_has(UHMM_LIVE_EVENT_FORK))
		_exit(CANNOT);
	p = some_pages(1);
	view_add(&view, p, PAGE);
	fill_descriptors();
	/* Another thread was faster. */
	if (!spare)
		OK(dup2(0, live_of(mm)->spare) >= 0);
	live_of(mm)->spare = spare ? live_of(mm)->spare : -1;
	for (int i = 0; i < 5; i++) {
		seq = view_look(&view, p);
		fork_once();
		OK(view_retry(&view, seq));
	}
	settle();
	OK(view_called(&view) >= 5);
	OK(info().guarantee == UHMM_G0);
	OK(!getrlimit(RLIMIT_NOFILE, &r) && r.rlim_cur == 700);
	view_drop(&view);
	drop_live();
}

/* The kernel tells of a fork with a descriptor; for ever, if it could not. */
ALONE(who_forks_with_no_descriptor_left_is_told_of)
{
	forks_at_the_limit(0, true);
}

ALONE(also_beside_a_device)
{
	forks_at_the_limit(UHMM_LIVE_DEVICE, true);
}

ALONE(also_where_the_spare_one_is_taken)
{
	forks_at_the_limit(0, false);
}

ALONE(and_beside_a_device_too)
{
	forks_at_the_limit(UHMM_LIVE_DEVICE, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(all_are_closed_at_g0),
		CASE_BARE(all_are_closed_at_g1),
		CASE_BARE(what_tells_of_changes_is_closed),
		CASE_BARE(the_guarantee_falls_by_itself),
		CASE_BARE(all_are_closed_and_pages_away),
		CASE_BARE(what_tells_of_touches_is_closed),
		CASE_BARE(a_child_keeps_them_open),
		CASE_BARE(a_child_keeps_them_open_and_the_devices),
		CASE_BARE(the_lowest_numbers_are_the_programs),
		CASE_BARE(who_forks_with_no_descriptor_left_is_told_of),
		CASE_BARE(also_beside_a_device),
		CASE_BARE(also_where_the_spare_one_is_taken),
		CASE_BARE(and_beside_a_device_too),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_closed", tests, NULL, NULL);
}
