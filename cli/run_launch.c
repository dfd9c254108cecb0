/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Start the program, wait for it, end as it did. Signals from the terminal reach
 * the program itself; those sent to the tool alone are handed on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <uhmm/live.h>

#include "cli.h"
#include "run.h"

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static volatile sig_atomic_t program_pid;

static uint64_t children_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_CHILDREN, &u);
	return ((uint64_t)u.ru_utime.tv_sec + (uint64_t)u.ru_stime.tv_sec) *
		       1000000000 +
	       ((uint64_t)u.ru_utime.tv_usec + (uint64_t)u.ru_stime.tv_usec) *
		       1000;
}

static void hand_on(int sig)
{
	if (program_pid > 0)
		kill(program_pid, sig);
}

/* The first two a terminal sends to the program as well. */
static const int ours[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

#define IGNORED 2
#define N_OURS (sizeof(ours) / sizeof(ours[0]))

/* Ours until the program has ended; its own are what they were. */
static void set_signals(struct sigaction *old)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction on = { .sa_handler = hand_on,
				.sa_flags = SA_RESTART };

	for (size_t i = 0; i < N_OURS; i++)
		sigaction(ours[i], i < IGNORED ? &ignore : &on, &old[i]);
}

static void restore_signals(const struct sigaction *old)
{
	for (size_t i = 0; i < N_OURS; i++)
		sigaction(ours[i], &old[i], NULL);
}

/* A sanitizer's runtime may come behind the agent, which has no malloc(). */
static int allow_sanitizers(void)
{
	static const char allow[] = "verify_asan_link_order=0";
	const char *old = getenv("ASAN_OPTIONS");
	char *all;
	int ret;

	if (!old || !*old)
		return setenv("ASAN_OPTIONS", allow, 1);
	if (asprintf(&all, "%s:%s", old, allow) < 0)
		return -1;
	ret = setenv("ASAN_OPTIONS", all, 1);
	free(all);
	return ret;
}

/* In front of what is preloaded already. */
static int set_environment(const struct run_board *board)
{
	const char *preload = program_preload(board->board->device);
	const char *old = getenv("LD_PRELOAD");
	char *all;
	int ret;

	if (!preload)
		return ENOENT;
	all = malloc(strlen(preload) + (old ? strlen(old) : 0) + 2);
	if (!all)
		return ENOMEM;
	strcpy(all, preload);
	if (old && *old) {
		strcat(all, ":");
		strcat(all, old);
	}
	ret = setenv("LD_PRELOAD", all, 1) ||
	      setenv(BOARD_ENV, board->path, 1) ||
	      allow_sanitizers() ? errno : 0;
	free(all);
	return ret;
}

/* In the child; @report: how the parent learns that it did not start. */
static void __attribute__((noreturn))
start(const struct run_options *options, const struct run_board *board,
      int report)
{
	int error = set_environment(board);

	if (!error) {
		execvp(options->program[0], options->program);
		error = errno;
	}
	while (write(report, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(127);
}

/* Who is refused may try again for ever, so it is said before the end. */
static bool say_refused(const struct board *board)
{
	uint64_t refused = 0;

	for (unsigned int i = 0; i < report_places(board); i++)
		refused += __atomic_load_n(
			&board->processes[i].counts.exec_refused,
			__ATOMIC_RELAXED);
	if (refused)
		fprintf(stderr, "uhmm run: at G2 the program cannot start another "
			"one (EPERM); it could at --guarantee G1\n");
	return refused;
}

static void look_up(int sig)
{
}

/* The status of @pid, once it has ended; @looks: whether it may be refused. */
static int wait_for(pid_t pid, const struct board *board, bool looks)
{
	const struct sigaction alarm = { .sa_handler = look_up };
	const struct itimerval second = { { 1, 0 }, { 1, 0 } }, none = { 0 };
	struct sigaction old;
	bool said = false;
	int status = 0;

	if (looks) {
		sigaction(SIGALRM, &alarm, &old);
		setitimer(ITIMER_REAL, &second, NULL);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		said = said || !looks || say_refused(board);
	if (looks) {
		setitimer(ITIMER_REAL, &none, NULL);
		sigaction(SIGALRM, &old, NULL);
	}
	return status;
}

int launch(const struct run_options *options, const struct run_board *board,
	   struct run_result *ret_result)
{
	uint64_t began = now_ns(), cpu = children_ns();
	struct sigaction old[N_OURS];
	int pipe_fds[2], error = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC))
		return errno;
	set_signals(old);
	pid = fork();
	if (!pid) {
		restore_signals(old);
		start(options, board, pipe_fds[1]);
	}
	program_pid = pid;
	close(pipe_fds[1]);
	if (pid < 0)
		error = errno;
	else if (read(pipe_fds[0], &error, sizeof(error)) < 0)
		error = 0;
	close(pipe_fds[0]);
	if (pid > 0)
		ret_result->status = wait_for(pid, board->board,
					       options->guarantee == UHMM_G2);
	program_pid = 0;
	restore_signals(old);
	ret_result->wall_ns = now_ns() - began;
	ret_result->cpu_ns = children_ns() - cpu;
	return error;
}

int pass_status(int status)
{
	struct rlimit no_core = { 0, 0 };

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	/* The shell is to see the same signal; the core was the program's. */
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}
