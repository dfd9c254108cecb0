/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * G2: system calls that go around libc are bracketed, and are else what they
 * were. Without userfaultfd, so that nobody else sees anything. What is trapped
 * stays so: each case has a process of its own.
 */
#include "live_util.h"

#include <linux/falloc.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "mm/live/patch.h"
#include "raw.h"

static void reach(enum uhmm_guarantee guarantee)
{
	const char *why = NULL;

	if (uhmm_live_patch(guarantee, &why)) {
		fprintf(stderr, "# %s\n", why);
		_exit(CANNOT);
	}
	make_live(guarantee, UHMM_LIVE_UFFD, UHMM_LIVE_UNWATCHED_TOO);
}

/* How often a raw munmap() is announced. */
static unsigned long raw_munmap_calls(void)
{
	char *p = some_pages(2);
	struct view view;
	unsigned long n;

	view_add(&view, p, PAGE);
	OK(!RAW2(SYS_munmap, p, PAGE));
	n = view_called(&view);
	OK(!n || view.event == MMU_NOTIFY_UNMAP);
	view_drop(&view);
	OK(p[PAGE] == 2);
	munmap(p + PAGE, PAGE);
	return n;
}

/* --------------------------------------------------------- what is trapped */

ALONE(raw_calls_are_announced)
{
	reach(UHMM_G2);
	OK(info().guarantee == UHMM_G2);
	OK(raw_munmap_calls() == 1);
	OK(raw_munmap_calls() == 1);
}

/* Each other call that changes what is there, as it is made around libc. */
struct raw {
	const char *what;
	bool shared;			/* of a file, @fd */
	long (*call)(char *p, int fd);
	enum mmu_notifier_event event;
};

static long raw_map(char *p, int fd)
{
	return raw_call(SYS_mmap, (long)p, PAGE, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) -
	       (long)p;
}

static long raw_remap(char *p, int fd)
{
	char *to = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	return RAW5(SYS_mremap, p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to) - (long)to;
}

static long raw_protect(char *p, int fd)
{
	return RAW3(SYS_mprotect, p, PAGE, PROT_NONE);
}

static long raw_protect_key(char *p, int fd)
{
	return RAW5(SYS_pkey_mprotect, p, PAGE, PROT_NONE, -1, 0);
}

static long raw_drop(char *p, int fd)
{
	return RAW3(SYS_madvise, p, PAGE, MADV_DONTNEED);
}

static long raw_drop_own(char *p, int fd)
{
	struct iovec iov = { p, PAGE };
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	long ret = RAW5(440 /* process_madvise */, self, &iov, 1, MADV_DONTNEED,
			0);

	close(self);
	/* Newer kernels have it of oneself; it is announced before they say so. */
	return ret == PAGE || ret == -EINVAL ? 0 : ret;
}

static long raw_truncate_fd(char *p, int fd)
{
	return RAW2(SYS_ftruncate, fd, 0);
}

static long raw_truncate(char *p, int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return RAW2(SYS_truncate, path, 0);
}

static long raw_punch(char *p, int fd)
{
	return RAW5(SYS_fallocate, fd,
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE, 0);
}

static long raw_remap_pages(char *p, int fd)
{
	return RAW5(SYS_remap_file_pages, p, PAGE, 0, 1, 0);
}

static long raw_attach(char *p, int fd)
{
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	long ret = RAW3(SYS_shmat, id, p, SHM_REMAP) - (long)p;

	shmctl(id, IPC_RMID, NULL);
	return ret ? ret : RAW2(SYS_shmdt, p, 0);
}

static const struct raw raws[] = {
	{ "mmap", false, raw_map, MMU_NOTIFY_UNMAP },
	{ "mremap", false, raw_remap, MMU_NOTIFY_UNMAP },
	{ "mprotect", false, raw_protect, MMU_NOTIFY_PROTECTION_VMA },
	{ "pkey_mprotect", false, raw_protect_key, MMU_NOTIFY_PROTECTION_VMA },
	{ "madvise", false, raw_drop, MMU_NOTIFY_CLEAR },
	{ "process_madvise", false, raw_drop_own, MMU_NOTIFY_CLEAR },
	{ "ftruncate", true, raw_truncate_fd, MMU_NOTIFY_CLEAR },
	{ "truncate", true, raw_truncate, MMU_NOTIFY_CLEAR },
	{ "fallocate", true, raw_punch, MMU_NOTIFY_CLEAR },
	{ "remap_file_pages", true, raw_remap_pages, MMU_NOTIFY_UNMAP },
	{ "shmat, shmdt", false, raw_attach, MMU_NOTIFY_UNMAP },
};

/* How often it is announced. */
static unsigned long raw_calls(const struct raw *raw)
{
	int fd = memfd_create("raw", 0);
	struct view view;
	unsigned long n;
	char *p;

	OK(!ftruncate(fd, 2 * PAGE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		 raw->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
		 raw->shared ? fd : -1, 0);
	p[0] = 1;
	view_add(&view, p, PAGE);
	if (raw->call(p, fd))
		fail_here(__FILE__, __LINE__, raw->what);
	n = view_called(&view);
	if (n && view.event != raw->event)
		fail_here(__FILE__, __LINE__, raw->what);
	view_drop(&view);
	close(fd);
	return n;
}

ALONE(each_raw_call_is_announced)
{
	reach(UHMM_G2);
	for (size_t i = 0; i < ARRAY_SIZE(raws); i++)
		if (!raw_calls(&raws[i]))
			fail_here(__FILE__, __LINE__, raws[i].what);
}

/* Known to be bad, as the next. */
ALONE(at_g1_none_is)
{
	reach(UHMM_G1);
	for (size_t i = 0; i < ARRAY_SIZE(raws); i++)
		if (raw_calls(&raws[i]))
			fail_here(__FILE__, __LINE__, raws[i].what);
}

/* Known to be bad: without the filter nobody sees it. */
ALONE(at_g1_they_are_not)
{
	reach(UHMM_G1);
	OK(!raw_munmap_calls());
}

ALONE(raw_calls_return_what_they_did)
{
	char *p, *q;
	int fd;

	reach(UHMM_G2);
	errno = 77;
	OK(RAW2(SYS_munmap, 1, PAGE) == -EINVAL);
	OK(RAW2(SYS_ftruncate, -1, 0) == -EBADF);
	OK(RAW3(SYS_mprotect, 0, PAGE, PROT_READ) == -ENOMEM);
	OK(RAW3(SYS_madvise, 0, PAGE, MADV_DONTNEED) == -ENOMEM);
	OK(errno == 77);
	fd = memfd_create("filter", 0);
	OK(!RAW2(SYS_ftruncate, fd, 2 * PAGE));
	p = (char *)raw_call(SYS_mmap, 0, 2 * PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fd, 0);
	memset(p, 3, 2 * PAGE);
	q = some_pages(2);
	OK(raw_call(SYS_mmap, (long)q, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
		    fd, PAGE) == (long)q);
	OK(q[0] == 3 && q[PAGE] == 2);
	OK(RAW5(SYS_mremap, q + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		p) == (long)p);
	OK(p[0] == 2 && p[PAGE] == 3);
	OK(RAW2(SYS_brk, 0, 0) == (long)sbrk(0));
}

static void *unmap_in_thread(void *n)
{
	*(unsigned long *)n = raw_munmap_calls();
	return NULL;
}

ALONE(threads_are_trapped_too)
{
	unsigned long n = 0;
	pthread_t thread;

	reach(UHMM_G2);
	OK(!pthread_create(&thread, NULL, unmap_in_thread, &n));
	OK(!pthread_join(thread, NULL));
	OK(n == 1);
}

/* Not on the stack of who calls, where he has given another. */
static char *trap_stack;

static void where_is_it(struct view *view)
{
	char here;

	if (&here < trap_stack || &here >= trap_stack + 64 * 1024)
		fail_here(__FILE__, __LINE__, "not on the alternate stack");
}

ALONE(the_alternate_stack_is_used)
{
	stack_t stack = { .ss_size = 64 * 1024 };
	struct view view;
	char *p;

	reach(UHMM_G2);
	trap_stack = stack.ss_sp = malloc(stack.ss_size);
	OK(!sigaltstack(&stack, NULL));
	p = some_pages(1);
	view_add(&view, p, PAGE);
	view.hook = where_is_it;
	OK(!RAW2(SYS_munmap, p, PAGE));
	OK(view_called(&view) == 1);
}

/* ------------------------------------------------------------ the program's own */

static volatile sig_atomic_t got, got_call;

static void own_handler(int sig, siginfo_t *info, void *context)
{
	got++;
	got_call = info->si_code > 0 ? info->si_syscall : 0;
	/* Not for a moment is it not there. */
	OK(raw_munmap_calls() == 1);
}

static struct sigaction own_action(void)
{
	struct sigaction action = { .sa_sigaction = own_handler,
				    .sa_flags = SA_SIGINFO };

	sigfillset(&action.sa_mask);
	return action;
}

ALONE(a_handler_from_before_is_called)
{
	struct sigaction action = own_action(), now;

	OK(!sigaction(SIGSYS, &action, NULL));
	reach(UHMM_G2);
	OK(!kill(getpid(), SIGSYS));
	OK(got == 1);
	OK(!sigaction(SIGSYS, NULL, &now));
	OK(now.sa_sigaction == own_handler);
	OK(now.sa_flags & SA_SIGINFO);
}

ALONE(a_handler_from_after_is_called)
{
	struct sigaction action = own_action(), was;

	reach(UHMM_G2);
	OK(!sigaction(SIGSYS, &action, &was));
	OK(was.sa_handler == SIG_DFL);
	OK(!kill(getpid(), SIGSYS));
	OK(got == 1);
	OK(raw_munmap_calls() == 1);
	OK(signal(SIGSYS, SIG_IGN) != SIG_ERR);
	OK(!kill(getpid(), SIGSYS));
	OK(got == 1);
	OK(raw_munmap_calls() == 1);
}

ALONE(a_filter_of_its_own_traps_on)
{
	struct sigaction action = own_action();

	reach(UHMM_G2);
	OK(!sigaction(SIGSYS, &action, NULL));
	OK(live_filter(SYS_getppid, SECCOMP_RET_TRAP));
	syscall(SYS_getppid);
	OK(got == 1);
	OK(got_call == SYS_getppid);
}

static void die_of_it(void)
{
	kill(getpid(), SIGSYS);
	_exit(0);
}

ALONE(without_a_handler_it_kills)
{
	int status;
	pid_t pid;

	reach(UHMM_G2);
	pid = fork();
	if (!pid)
		die_of_it();
	OK(waitpid(pid, &status, 0) == pid);
	OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* ---------------------------------------------------------------- it is never blocked */

static void unmap_in_handler(int sig)
{
	got += (int)raw_munmap_calls();
}

ALONE(who_blocks_all_signals_does_not_block_it)
{
	unsigned long all = ~0UL, before = 0, none = 0;
	struct sigaction action = { .sa_handler = unmap_in_handler };
	sigset_t set, was;

	sigfillset(&action.sa_mask);
	OK(!sigaction(SIGUSR2, &action, NULL));
	reach(UHMM_G2);
	sigfillset(&set);
	OK(!sigprocmask(SIG_SETMASK, &set, &was));
	OK(!sigismember(&was, SIGUSR1));
	OK(raw_munmap_calls() == 1);
	OK(!raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none,
		     (long)&before, 8, 0, 0));
	OK(before & 1UL << (SIGUSR1 - 1) && !(before & 1UL << (SIGSYS - 1)));
	OK(!raw_call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8, 0, 0));
	OK(raw_munmap_calls() == 1);
	OK(!pthread_sigmask(SIG_SETMASK, NULL, &was));
	OK(sigismember(&was, SIGUSR1) && !sigismember(&was, SIGSYS));
	OK(!sigprocmask(SIG_UNBLOCK, &set, NULL));
	OK(!sigaction(SIGUSR1, &action, NULL));
	OK(!raise(SIGUSR1));
	OK(got == 1);
	/* Nor does a handler of before. */
	OK(!sigprocmask(SIG_UNBLOCK, &set, NULL));
	OK(!raise(SIGUSR2));
	OK(got == 2);
	/* Errors are the kernel's. */
	OK(raw_call(SYS_rt_sigprocmask, 9, (long)&all, 0, 8, 0, 0) == -EINVAL);
	OK(raw_call(SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8, 0, 0) == -EFAULT);
	OK(raw_call(SYS_rt_sigaction, SIGSYS, 8, 0, 8, 0, 0) == -EFAULT);
}

static void *exit_with_a_stack(void *unused)
{
	/* More of it than libc lets a thread leave behind. */
	volatile char room[1 << 20];

	memset((char *)room, 1, sizeof(room));
	return NULL;
}

/* libc gives up a stack with all signals blocked. */
ALONE(the_end_of_a_thread_kills_nobody)
{
	pthread_t thread;

	reach(UHMM_G2);
	for (int i = 0; i < 20; i++) {
		OK(!pthread_create(&thread, NULL, exit_with_a_stack, NULL));
		OK(!pthread_join(thread, NULL));
	}
}

/* ------------------------------------------------------------- fork and exec */

static long raw_fork(unsigned long stack)
{
	return RAW5(SYS_clone, SIGCHLD, stack, 0, 0, 0);
}

ALONE(a_raw_fork_is_announced)
{
	char *p;
	struct view view;
	int status;
	long pid;

	reach(UHMM_G2);
	p = some_pages(1);
	view_add(&view, p, PAGE);
	pid = raw_fork(0);
	if (!pid) {
		/* Nobody watches this copy; the call is made. */
		RAW2(SYS_munmap, p, PAGE);
		_exit(msync(p, PAGE, MS_ASYNC) ? 5 : 6);
	}
	OK(view_called(&view) == 1);
	OK(view.event == MMU_NOTIFY_PROTECTION_PAGE);
	OK(waitpid((pid_t)pid, &status, 0) == pid);
	OK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	OK(RAW2(SYS_munmap, p, PAGE) == 0 && view_called(&view) == 2);
}

static int on_its_own(void *stack)
{
	char here;

	_exit(&here > (char *)stack && &here < (char *)stack + 65536 ? 5 : 6);
}

ALONE(its_child_may_have_a_stack_of_its_own)
{
	char *stack;
	int status;
	pid_t pid;

	reach(UHMM_G2);
	stack = malloc(65536);
	pid = clone(on_its_own, stack + 65536, SIGCHLD, stack);
	OK(pid > 0);
	OK(waitpid(pid, &status, 0) == pid);
	OK(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

ALONE(nothing_is_execed)
{
	char *const argv[] = { (char *)"/bin/true", NULL };
	uint64_t refused = 0;
	pid_t pid;

	live_filter_refused = &refused;
	reach(UHMM_G2);
	OK(execv(argv[0], argv) == -1 && errno == EPERM);
	OK(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) == EPERM);
	OK(RAW3(SYS_execve, argv[0], argv, environ) == -EPERM);
	OK(refused == 2);
	OK(raw_munmap_calls() == 1);
}

/* ------------------------------------------------------------------ refused */

static void *sleep_long(void *unused)
{
	pause();
	return NULL;
}

ALONE(a_program_with_threads_is_refused)
{
	const char *why = NULL;
	pthread_t thread;

	OK(!pthread_create(&thread, NULL, sleep_long, NULL));
	OK(uhmm_live_patch(UHMM_G2, &why) == -EOPNOTSUPP);
	OK(why && strstr(why, "thread"));
	make_live(UHMM_G2, 0, 0);
	OK(info().guarantee < UHMM_G1);
	OK(info().reasons & UHMM_LIVE_WHY_UNPATCHED);
}

ALONE(where_filters_are_forbidden_g1_is_left)
{
	const char *why = NULL;
	int ret;

	OK(live_filter(SYS_seccomp, SECCOMP_RET_ERRNO | EPERM));
	ret = uhmm_live_patch(UHMM_G2, &why);
	if (ret && !strstr(why, "filter"))
		_exit(CANNOT);
	OK(ret == -EOPNOTSUPP);
	make_live(UHMM_G2, UHMM_LIVE_UFFD, 0);
	OK(info().reasons & UHMM_LIVE_WHY_FILTER);
	OK(!(info().reasons & UHMM_LIVE_WHY_UNPATCHED));
	OK(info().guarantee < UHMM_G2);
	/* And the signal is the program's as it was. */
	OK(signal(SIGSYS, SIG_IGN) == SIG_DFL);
	OK(!kill(getpid(), SIGSYS));
}

/* What another library does that puts a hook there. */
static void write_over(const struct live_site *site)
{
	char *code = (char *)((uintptr_t)site->addr & ~(PAGE - 1));

	OK(!mprotect(code, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	memcpy(site->addr, site->was, sizeof(site->was));
	OK(!mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC));
}

ALONE(a_hook_over_ours_ends_g1)
{
	char *code;

	reach(UHMM_G1);
	make_live(UHMM_G1, 0, UHMM_LIVE_UNWATCHED_TOO);
	if (info().guarantee < UHMM_G1)
		_exit(CANNOT);
	/* Nothing is changed yet. */
	code = (char *)((uintptr_t)live_patch.sites[0].addr & ~(PAGE - 1));
	OK(!mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	OK(info().guarantee == UHMM_G1);
	write_over(&live_patch.sites[0]);
	OK(info().guarantee < UHMM_G1);
	OK(info().reasons & UHMM_LIVE_WHY_UNPATCHED);
	OK(uhmm_live_patch(UHMM_G1, NULL) == -EOPNOTSUPP);
}

ALONE(at_g2_it_is_trapped)
{
	reach(UHMM_G2);
	write_over(&live_patch.sites[0]);
	OK(info().guarantee == UHMM_G2);
	OK(raw_munmap_calls() == 1);
}

static void bad_arguments_are_refused(void **state)
{
	assert_int_equal(uhmm_live_patch(UHMM_G0, NULL), -EINVAL);
	assert_int_equal(uhmm_live_patch((enum uhmm_guarantee)3, NULL), -EINVAL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(raw_calls_are_announced),
		CASE_BARE(at_g1_they_are_not),
		CASE_BARE(each_raw_call_is_announced),
		CASE_BARE(at_g1_none_is),
		CASE_BARE(raw_calls_return_what_they_did),
		CASE_BARE(threads_are_trapped_too),
		CASE_BARE(the_alternate_stack_is_used),
		CASE_BARE(a_handler_from_before_is_called),
		CASE_BARE(a_handler_from_after_is_called),
		CASE_BARE(a_filter_of_its_own_traps_on),
		CASE_BARE(without_a_handler_it_kills),
		CASE_BARE(who_blocks_all_signals_does_not_block_it),
		CASE_BARE(the_end_of_a_thread_kills_nobody),
		CASE_BARE(a_raw_fork_is_announced),
		CASE_BARE(its_child_may_have_a_stack_of_its_own),
		CASE_BARE(nothing_is_execed),
		CASE_BARE(a_program_with_threads_is_refused),
		CASE_BARE(where_filters_are_forbidden_g1_is_left),
		CASE_BARE(a_hook_over_ours_ends_g1),
		CASE_BARE(at_g2_it_is_trapped),
		CASE_BARE(bad_arguments_are_refused),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_filter", tests, NULL, NULL);
}
