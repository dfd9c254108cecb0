/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm watch: every change of the address spaces of a program.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uhmm/live.h>

#include "cli.h"
#include "out.h"
#include "watch.h"

/* The ring holds what a busy program does meanwhile a hundred times over. */
#define REST_MS 50
#define REST_STREAM_MS 5

static bool parse_number(const char *text, long most, long *ret_number)
{
	char *end;

	*ret_number = strtol(text, &end, 10);
	return !*end && end != text && *ret_number > 0 && *ret_number <= most;
}

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "stream", no_argument, NULL, 's' },
	{ "html", required_argument, NULL, 'H' },
	{ "pid", required_argument, NULL, 'p' },
	{ "interval", required_argument, NULL, 'i' },
	{ "output", required_argument, NULL, 'o' },
	{ 0 },
};

static bool parse_one(int c, void *arg)
{
	struct watch_options *options = arg;
	long n = 0;
	bool ok = true;

	switch (c) {
	case 'j':
		options->run.json = true;
		break;
	case 's':
		options->stream = true;
		break;
	case 'H':
		options->html = optarg;
		break;
	case 'p':
		ok = parse_number(optarg, 1L << 30, &n);
		options->pid = (int)n;
		break;
	case 'i':
		ok = parse_number(optarg, 1000000, &n);
		options->interval_ms = (unsigned int)n;
		break;
	case 'o':
		options->run.output = optarg;
		break;
	}
	return ok;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct watch_options *options)
{
	int status = parse_options(&cmd_watch, argc, argv, long_options,
				   parse_one, options);

	if (status >= 0)
		return status;
	if (options->pid && optind < argc)
		return usage_error("watch", "a program or --pid, not both");
	if (options->pid && options->html)
		return usage_error("watch", "--pid has no --html");
	if (!options->pid && optind == argc)
		return usage_error("watch", "which program?");
	options->run.program = argv + optind;
	return -1;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "uhmm watch: %s: %s\n", what, strerror(error));
	return EXIT_INTERNAL;
}

/* ------------------------------------------------------------- while it runs */

/* Nobody writes to it; it is closed when the program has ended. */
static int running[2];

static void *drain(void *arg)
{
	struct watch *watch = arg;
	struct pollfd end = { .fd = running[0] };

	do
		stream_drain(watch, false);
	while (poll(&end, 1, watch->out ? REST_STREAM_MS : REST_MS) <= 0);
	return NULL;
}

/* 0, or an errno of starting it. */
static int watch_program(struct watch *watch, struct run_result *result)
{
	pthread_t thread;
	int ret = pipe2(running, O_CLOEXEC) ? errno : 0;

	if (!ret)
		ret = pthread_create(&thread, NULL, drain, watch);
	if (ret)
		return ret;
	ret = launch(&watch->options->run, watch->board, result);
	close(running[1]);
	pthread_join(thread, NULL);
	close(running[0]);
	stream_drain(watch, true);
	watch_finish(watch);
	return ret;
}

static int write_html(struct watch *watch)
{
	FILE *out = fopen(watch->options->html, "we");
	int ret;

	if (!out)
		return fail(watch->options->html, errno);
	ret = watch_html(out, watch, watch->options->run.program[0]);
	if (fclose(out) || ret)
		return fail(watch->options->html, errno);
	return EXIT_HOLDS;
}

static int report(struct watch *watch, const struct run_result *result,
		  FILE *out)
{
	const struct watch_options *options = watch->options;
	int status = options->run.json ? watch_json(out, watch, result) :
					 watch_text(out, watch, result);

	if (!status && options->html)
		status = write_html(watch);
	return status;
}

static int watch_it(const struct watch_options *options, FILE *out)
{
	static struct watch watch;
	struct run_result result = { 0 };
	struct run_board board = { 0 };
	char reason[512];
	int status;

	if (!program_check(options->run.program[0], reason, sizeof(reason))) {
		fprintf(stderr, "uhmm watch: %s\n", reason);
		return EXIT_CANNOT_TELL;
	}
	if (!program_preload(BOARD_WATCH))
		return fail("libuhmm-preload.so", ENOENT);
	status = board_make(&board, &options->run);
	if (status)
		return fail("the board", status);
	watch.options = options;
	watch.board = &board;
	watch.out = options->stream ? out : NULL;
	status = watch_program(&watch, &result);
	if (status) {
		fprintf(stderr, "uhmm watch: %s: %s\n", options->run.program[0],
			strerror(status));
		return EXIT_CANNOT_TELL;
	}
	status = report(&watch, &result, out);
	if (fflush(out) || ferror(out))
		return fail(options->run.output ? options->run.output : "stderr",
			    errno);
	return status ? status : pass_status(result.status);
}

static int run_watch(int argc, char **argv)
{
	struct watch_options options = {
		.run = { .device = BOARD_WATCH, .guarantee = UHMM_G1 },
		.interval_ms = 100,
	};
	int status = parse(argc, argv, &options);
	FILE *out = stderr;

	if (status >= 0)
		return status;
	if (!can_write("watch", options.html))
		return EXIT_INTERNAL;
	if (options.run.output)
		out = fopen(options.run.output, "we");
	if (!out)
		return fail(options.run.output, errno);
	return options.pid ? watch_pid(&options, out) :
			     watch_it(&options, out);
}

const struct command cmd_watch = {
	.name = "watch",
	.summary = "see every change of a program's address space",
	.usage = "[OPTION...] [--] PROGRAM [ARGUMENT...]\n"
		 "       uhmm watch [OPTION...] --pid N",
	.runs_program = true,
	.details =
		"\n"
		"The memory calls of libc and ld.so are written down as they are made, in\n"
		"all processes of the program. When it has ended a picture is on stderr:\n"
		"memory and changes over time, calls, who made them, and what registration\n"
		"caches would have made of it. The exit status is the program's.\n"
		"\n"
		"  --stream         each change too, a line each, as it happens\n"
		"  --json           one JSON object a line, each with \"schema\": 1\n"
		"  --html FILE      a page with a drawing of all areas over time\n"
		"  --output FILE    all but the page goes there\n"
		"  --pid N          look at a process that runs, again and again, until\n"
		"                   it ends or ^C: what comes and goes between two looks\n"
		"                   is not seen, and nothing is guaranteed\n"
		"  --interval MS    between two looks, default 100\n",
	.run = run_watch,
};
