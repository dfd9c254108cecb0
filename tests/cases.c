/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "cases.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const char *case_name;

static void out_of_time(int signal)
{
	static const char text[] = ": out of time\n";

	if (write(STDERR_FILENO, case_name, strlen(case_name)) < 0 ||
	    write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

void cases_begin(int argc, char **argv)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
}

void case_clock(const char *name)
{
	case_name = name;
	signal(SIGALRM, out_of_time);
	alarm(CASE_SECONDS);
}

/* What /proc says of a thread: "12 (name) S ..." */
bool thread_is_asleep(int tid)
{
	char path[64], text[512];
	const char *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (!file)
		return false;
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	state = strrchr(text, ')');
	return state && state[1] && state[2] == 'S';
}

unsigned long thread_sleeps(int tid)
{
	static const char name[] = "\nvoluntary_ctxt_switches:";
	char path[64], text[4096];
	const char *count;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = 0;
	fclose(file);
	count = strstr(text, name);
	assert_non_null(count);
	return strtoul(count + sizeof(name) - 1, NULL, 10);
}

int threads_of_this_process(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

void thread_wait_gone(int tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	while (!access(path, F_OK))
		usleep(1000);
}
