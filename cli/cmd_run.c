/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm run: a real program, its memory shared with a device and kept coherent.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uhmm/live.h>

#include "cli.h"
#include "out.h"
#include "run.h"

static bool parse_device(const char *text, struct run_options *options)
{
	options->deaf = !strcmp(text, "checker,deaf");
	options->device = strcmp(text, "dmirror") ? BOARD_CHECKER :
						    BOARD_DMIRROR;
	return options->deaf || options->device == BOARD_DMIRROR ||
	       !strcmp(text, "checker");
}

static bool parse_level(const char *text, struct run_options *options)
{
	options->newest = !strcmp(text, "newest");
	return options->newest || !strcmp(text, "6.1");
}

static bool parse_guarantee(const char *text, struct run_options *options)
{
	if (strlen(text) != 2 || text[0] != 'G' || text[1] < '0' ||
	    text[1] > '2')
		return false;
	options->guarantee = text[1] - '0';
	return true;
}

static bool parse_exitcode(const char *text, struct run_options *options)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > 255)
		return false;
	options->error_exitcode = (int)n;
	return true;
}

static const struct option long_options[] = {
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, 'j' },
	{ "device", required_argument, NULL, 'd' },
	{ "guarantee", required_argument, NULL, 'g' },
	{ "kernel-level", required_argument, NULL, 'k' },
	{ "output", required_argument, NULL, 'o' },
	{ "html", required_argument, NULL, 'H' },
	{ "pftrace", required_argument, NULL, 'P' },
	{ "error-exitcode", required_argument, NULL, 'e' },
	{ 0 },
};

/* False: the option does not take that. */
static bool parse_one(int c, void *arg)
{
	struct run_options *options = arg;

	switch (c) {
	case 'j':
		options->json = true;
		break;
	case 'd':
		return parse_device(optarg, options);
	case 'g':
		return parse_guarantee(optarg, options);
	case 'k':
		return parse_level(optarg, options);
	case 'e':
		return parse_exitcode(optarg, options);
	case 'o':
		options->output = optarg;
		break;
	case 'H':
		options->html = optarg;
		break;
	case 'P':
		options->pftrace = optarg;
		break;
	}
	return true;
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct run_options *options)
{
	int status = parse_options(&cmd_run, argc, argv, long_options,
				   parse_one, options);

	if (status >= 0)
		return status;
	if (optind == argc)
		return usage_error("run", "which program?");
	options->program = argv + optind;
	return -1;
}

static int fail(const char *what, int error)
{
	fprintf(stderr, "uhmm run: %s: %s\n", what, strerror(error));
	return EXIT_INTERNAL;
}

/* 0, or the exit status. */
static int write_pages(const struct run_options *options,
		       const struct board *board,
		       const struct run_result *result)
{
	const char *names[] = { options->html, options->pftrace };
	FILE *out;
	int ret;

	for (int i = 0; i < 2; i++) {
		if (!names[i])
			continue;
		out = fopen(names[i], "we");
		if (!out)
			return fail(names[i], errno);
		ret = i ? run_pftrace(out, board) :
			  run_html(out, options, board, result);
		if (fclose(out) || ret)
			return fail(names[i], errno);
	}
	return EXIT_HOLDS;
}

/* The findings' status wins over the program's where that is asked for. */
static int finish(const struct run_options *options,
		  const struct run_board *board, const struct run_result *result)
{
	FILE *out = options->output ? fopen(options->output, "we") : stderr;
	struct board_counts sum;
	int status;

	if (!out)
		return fail(options->output, errno);
	status = options->json ?
			 report_json(out, options, board->board, result) :
			 report_text(out, options, board->board, result);
	if (out != stderr ? fclose(out) : fflush(out))
		return fail(options->output ? options->output : "stderr",
			    errno);
	if (!status)
		status = write_pages(options, board->board, result);
	if (status)
		return status;
	report_sum(board->board, &sum);
	if (options->error_exitcode && sum.stale)
		return options->error_exitcode;
	return pass_status(result->status);
}

static int run_run(int argc, char **argv)
{
	struct run_options options = { .guarantee = UHMM_G1 };
	struct run_result result = { 0 };
	struct run_board board = { 0 };
	char reason[512];
	int status = parse(argc, argv, &options);

	if (status >= 0)
		return status;
	if (!can_write("run", options.output) ||
	    !can_write("run", options.html) ||
	    !can_write("run", options.pftrace))
		return EXIT_INTERNAL;
	if (!program_check(options.program[0], reason, sizeof(reason))) {
		fprintf(stderr, "uhmm run: %s\n", reason);
		return EXIT_CANNOT_TELL;
	}
	if (!program_preload(options.device))
		return fail("the agent's library", ENOENT);
	status = board_make(&board, &options);
	if (status)
		return fail("the board", status);
	status = launch(&options, &board, &result);
	if (status) {
		fprintf(stderr, "uhmm run: %s: %s\n", options.program[0],
			strerror(status));
		return EXIT_CANNOT_TELL;
	}
	return finish(&options, &board, &result);
}

const struct command cmd_run = {
	.name = "run",
	.summary = "run a program with its memory shared with a device",
	.usage = "[OPTION...] [--] PROGRAM [ARGUMENT...]",
	.runs_program = true,
	.details =
		"\n"
		"The device mirrors what the program has in memory, reads it all the time\n"
		"and finds out whether it was right to. The summary is on stderr when the\n"
		"program has ended; the exit status is the program's.\n"
		"\n"
		"  --device checker        what mirrors (the default)\n"
		"  --device checker,deaf   the same, deaf to 1 of 100 invalidations:\n"
		"                          must find stale entries\n"
		"  --device dmirror        /dev/hmm_dmirror0 to 3, which Linux tests HMM with,\n"
		"                          are there for the program to open\n"
		"  --kernel-level LEVEL    these are as in Linux 6.1 (the default) or newest\n"
		"  --guarantee G0|G1|G2    how changes are seen, see uhmm(1); default G1\n"
		"  --error-exitcode=N      exit with N if anything stale was used\n"
		"  --json                  one JSON object a line, each with \"schema\": 1\n"
		"  --html FILE             a page: summary, processes over time, the ladder\n"
		"  --pftrace FILE          the same over time, for ui.perfetto.dev\n"
		"  --output FILE           the summary goes there\n",
	.run = run_run,
};
