/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm replay: run an execution again, and print its ladder.
 */
#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli.h"
#include "explore.h"
#include "explore/ladder.h"
#include "explore/replay.h"
#include "out.h"

struct replay_wanted {
	const char *path;
	const char *html;
	unsigned int row;
	bool gdb;
	bool json;
};

static bool parse_one(int c, void *arg)
{
	struct replay_wanted *w = arg;
	char *end = "";

	switch (c) {
	case 'g':
		w->gdb = true;
		w->row = optarg ? strtoul(optarg, &end, 10) : 1;
		return !*end && w->row;
	case 'j':
		w->json = true;
		break;
	case 'm':
		w->html = optarg;
		break;
	}
	return true;
}

/* -1 to go on, else the exit status. */
static int parse(struct replay_wanted *w, int argc, char **argv)
{
	static const struct option options[] = {
		{ "gdb", optional_argument, NULL, 'g' },
		{ "help", no_argument, NULL, 'h' },
		{ "html", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int status = parse_options(&cmd_replay, argc, argv, options, parse_one, w);

	if (status >= 0)
		return status;
	if (optind >= argc)
		return usage_error("replay", "which file?");
	w->path = argv[optind++];
	return no_more_arguments(&cmd_replay, argc, argv);
}

/* The whole file, or NULL. */
static char *read_all(const char *path, size_t *ret_size)
{
	FILE *in = fopen(path, "r"), *out;
	char *text = NULL, part[4096];
	size_t n;
	int error;

	if (!in)
		return NULL;
	out = open_memstream(&text, ret_size);
	while (out && (n = fread(part, 1, sizeof(part), in)) > 0)
		fwrite(part, 1, n, out);
	error = ferror(in) ? errno : 0;
	if (out)
		fclose(out);
	fclose(in);
	if (!error)
		return text;
	free(text);
	errno = error;
	return NULL;
}

static int read_replay(const char *path, struct replay *replay)
{
	char problem[300];
	size_t size;
	char *text = read_all(path, &size);
	int ret;

	if (!text) {
		fprintf(stderr, "uhmm replay: %s: %s\n", path, strerror(errno));
		return EXIT_INTERNAL;
	}
	ret = replay_parse(replay, text, size, problem, sizeof(problem));
	free(text);
	if (!ret)
		return -1;
	fprintf(stderr, "uhmm replay: %s: %s\n", path,
		ret == -ENOMEM ? "no memory" : problem);
	return ret == -ENOMEM ? EXIT_INTERNAL : EXIT_USAGE;
}

/* -------------------------------------------------------------------- gdb */

static struct {
	unsigned int event;
	const void *low, *high;	/* the scenario's code */
} stop;

/* gdb stops here, one step before the row. */
__attribute__((noinline)) void uhmm_replay_row(const void *low,
					       const void *high);

void uhmm_replay_row(const void *low, const void *high)
{
	__asm__ volatile("" : : "r"(low), "r"(high) : "memory");
}

static void at_row(unsigned int event)
{
	if (event == stop.event)
		uhmm_replay_row(stop.low, stop.high);
}

/* What the tool and the explorer have on the stack is gone over. */
static const char gdb_commands[] =
	"set breakpoint pending on\n"
	"break uhmm_replay_row\n"
	"run\n"
	"delete\n"
	"set $low = (unsigned long)low\n"
	"set $high = (unsigned long)high\n"
	"up-silently\n"
	"while $pc < $low || $pc >= $high\n"
	"up-silently\n"
	"end\n"
	"frame\n";

static void stop_in(const struct uhmm_scenario *scenario, unsigned int event)
{
	Dl_info info;

	if (!dladdr((const void *)scenario, &info))
		return;
	stop.event = event;
	stop.low = info.dli_fbase;
	stop.high = scenario;	/* data comes behind code */
	explore_at_row = at_row;
}

/* The event that a row of the ladder begins with. */
static unsigned int event_of_row(const struct trace *trace, unsigned int number)
{
	struct ladder ladder;
	unsigned int i, event = 0;

	if (ladder_make(&ladder, trace, LADDER_ROWS))
		return 0;
	for (i = 0; i < ladder.nrows; i++)
		if (ladder.rows[i].number == number)
			event = ladder.rows[i].first;
	ladder_free(&ladder);
	return event;
}

/* Become gdb, which runs us again up to the row. */
static int exec_gdb(const struct replay_wanted *w)
{
	char row[20], self[4096], script[40];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = memfd_create("gdb commands", 0);

	self[n > 0 ? n : 0] = '\0';
	if (fd < 0 || write(fd, gdb_commands, strlen(gdb_commands)) < 0) {
		perror("uhmm replay");
		return EXIT_INTERNAL;
	}
	snprintf(script, sizeof(script), "/proc/self/fd/%d", fd);
	snprintf(row, sizeof(row), "%u", w->row);
	setenv("UHMM_REPLAY_ROW", row, 1);
	execlp("gdb", "gdb", "-q", "-x", script, "--args", self, "replay",
	       w->path, (char *)NULL);
	perror("uhmm replay: gdb");
	return EXIT_CANNOT_TELL;
}

/* -------------------------------------------------------------------- replay */

static void warn_of_build(const struct replay *replay,
			  const struct uhmm_scenario *scenario)
{
	char build[80];

	scenario_build(scenario, build, sizeof(build));
	if (*replay->build && *build && strcmp(replay->build, build))
		fputs("uhmm replay: this is another build of the scenario\n",
		      stderr);
}

static int run_again(const struct replay *replay, struct uhmm_scenario *scenario,
		     struct explore_report *report)
{
	struct explore_options options = {
		.model = EXPLORE_MODEL(replay->model),
		.weaken = *replay->weaken ? replay->weaken : NULL,
	};
	char problem[900];

	if (explore_replay(scenario, &options, replay->steps, replay->nsteps,
			   report)) {
		fprintf(stderr, "uhmm replay: %s\n", explore_error());
		return EXIT_CANNOT_TELL;
	}
	if (report->trace && !replay_compare(replay, report->trace, problem,
					     sizeof(problem)))
		return -1;
	fprintf(stderr, "uhmm replay: %s\n", report->trace ? problem :
		"nothing happens any more");
	explore_report_free(report);
	return EXIT_CANNOT_TELL;
}

static int show(const struct replay_wanted *w, struct uhmm_scenario *scenario,
		struct explore_report *report)
{
	struct ladder ladder;
	FILE *html;

	if (w->html) {
		html = fopen(w->html, "w");
		if (!html || explored_html(scenario, report, html) || fclose(html)) {
			perror(w->html);
			return EXIT_INTERNAL;
		}
	}
	if (w->json)
		return print_json(explored_json(scenario, report));
	if (ladder_make(&ladder, report->trace, LADDER_ROWS))
		return EXIT_INTERNAL;
	ladder_print(&ladder, stdout);
	ladder_free(&ladder);
	return EXIT_HOLDS;
}

static int replay_file(const struct replay_wanted *w, struct replay *replay)
{
	struct uhmm_scenario *scenario;
	struct explore_report report;
	const char *row = getenv("UHMM_REPLAY_ROW");
	int status;

	scenario = *replay->object ?
		scenarios_named(replay->object, replay->scenario) :
		scenarios_named(replay->scenario, NULL);
	if (!scenario)
		return EXIT_CANNOT_TELL;
	warn_of_build(replay, scenario);
	status = run_again(replay, scenario, &report);
	if (status >= 0)
		return status;
	if (row) {
		stop_in(scenario, event_of_row(report.trace,
					       strtoul(row, NULL, 10)));
		explore_report_free(&report);
		status = run_again(replay, scenario, &report);
		if (status >= 0)
			return status;
	}
	status = show(w, scenario, &report);
	explore_report_free(&report);
	return status;
}

static int run_replay(int argc, char **argv)
{
	struct replay_wanted w = { .path = NULL };
	struct replay replay;
	int status = parse(&w, argc, argv);

	if (status >= 0)
		return status;
	if (w.gdb)
		return exec_gdb(&w);
	if (!can_write("replay", w.html))
		return EXIT_INTERNAL;
	status = read_replay(w.path, &replay);
	if (status >= 0)
		return status;
	status = replay_file(&w, &replay);
	replay_free(&replay);
	return status;
}

const struct command cmd_replay = {
	.name = "replay",
	.summary = "run an execution again that 'uhmm explore' wrote down",
	.usage = "FILE [OPTION...]",
	.details =
	"\n"
	"  --gdb[=ROW]   stop in gdb before a row of the ladder\n"
	"  --html FILE   as a page, with a drawing\n"
	"  --json        one JSON object, with \"schema\": 1\n"
	"\n"
	"Exit status: 0: the same has happened, 125: it has not.\n",
	.run = run_replay,
};
