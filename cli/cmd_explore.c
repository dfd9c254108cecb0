/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm explore: run a scenario through its executions, and show a bad one.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "explore.h"
#include "explore/replay.h"
#include "out.h"

struct wanted {
	struct explore_options options;
	const char *what;		/* a scenario, or an object */
	const char *name;		/* the scenario in it */
	const char *html;
	const char *pftrace;
	const char *output;
	bool list;
	bool labels;
	bool merge;
	bool json;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	stopped = 1;
}

/* ------------------------------------------------------------------- options */

enum {
	OPTION_BOUND = 256,
	OPTION_ENGINE,
	OPTION_EXECUTIONS,
	OPTION_HTML,
	OPTION_JOB,
	OPTION_LABELS,
	OPTION_LIST,
	OPTION_MERGE,
	OPTION_MODEL,
	OPTION_OUTPUT,
	OPTION_PFTRACE,
	OPTION_SECONDS,
	OPTION_SEED,
	OPTION_SPLIT,
	OPTION_WEAKEN,
};

static const struct option options[] = {
	{ "bound", required_argument, NULL, OPTION_BOUND },
	{ "engine", required_argument, NULL, OPTION_ENGINE },
	{ "executions", required_argument, NULL, OPTION_EXECUTIONS },
	{ "help", no_argument, NULL, 'h' },
	{ "html", required_argument, NULL, OPTION_HTML },
	{ "job", required_argument, NULL, OPTION_JOB },
	{ "json", no_argument, NULL, 'j' },
	{ "labels", no_argument, NULL, OPTION_LABELS },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "merge", no_argument, NULL, OPTION_MERGE },
	{ "model", required_argument, NULL, OPTION_MODEL },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "pftrace", required_argument, NULL, OPTION_PFTRACE },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "split", required_argument, NULL, OPTION_SPLIT },
	{ "weaken", required_argument, NULL, OPTION_WEAKEN },
	{ 0 },
};

static bool number_of(const char *text, uint64_t most, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= most;
}

static bool engine_of(const char *text, enum explore_engine *ret)
{
	unsigned int i;

	for (i = 0; i < EXPLORE_NR_ENGINES; i++)
		if (!strcmp(explore_engine_name(i), text)) {
			*ret = i;
			return true;
		}
	return false;
}

static bool model_of(const char *text, int *ret)
{
	unsigned int i;

	for (i = UHMM_MODEL_SC; i <= UHMM_MODEL_C11; i++)
		if (!strcmp(trace_model_name(i), text)) {
			*ret = EXPLORE_MODEL(i);
			return true;
		}
	return false;
}

/* False: it does not take that. */
static bool take_number(struct wanted *w, int c, const char *text)
{
	uint64_t n = 0;
	char *end;

	switch (c) {
	case OPTION_BOUND:
		if (!number_of(text, 1000, &n))
			return false;
		w->options.bound = n;
		if (w->options.engine == EXPLORE_AUTO)
			w->options.engine = EXPLORE_PREEMPTIONS;
		return true;
	case OPTION_EXECUTIONS:
		return number_of(text, UINT64_MAX, &w->options.executions);
	case OPTION_SECONDS:
		w->options.seconds = strtod(text, &end);
		return end != text && !*end && !isnan(w->options.seconds);
	case OPTION_SEED:
		return number_of(text, UINT64_MAX, &w->options.seed);
	default:
		if (!number_of(text, 60, &n) || !n)
			return false;
		w->options.split = n;
		return true;
	}
}

static bool take(int c, void *arg)
{
	struct wanted *w = arg;

	switch (c) {
	case OPTION_ENGINE:
		return engine_of(optarg, &w->options.engine);
	case OPTION_HTML:
		w->html = optarg;
		break;
	case OPTION_JOB:
		w->options.prefix = optarg;
		break;
	case 'j':
		w->json = true;
		break;
	case OPTION_LABELS:
		w->labels = true;
		break;
	case OPTION_LIST:
		w->list = true;
		break;
	case OPTION_MERGE:
		w->merge = true;
		break;
	case OPTION_MODEL:
		return model_of(optarg, &w->options.model);
	case OPTION_OUTPUT:
		w->output = optarg;
		break;
	case OPTION_PFTRACE:
		w->pftrace = optarg;
		break;
	case OPTION_WEAKEN:
		w->options.weaken = optarg;
		break;
	default:
		return take_number(w, c, optarg);
	}
	return true;
}

/* -1 to go on, else the exit status. */
static int parse(struct wanted *w, int argc, char **argv)
{
	int status = parse_options(&cmd_explore, argc, argv, options, take, w);

	if (status >= 0)
		return status;
	if (optind < argc)
		w->what = argv[optind++];
	if (!w->what && !w->list && !w->labels)
		return usage_error("explore", "which scenario?");
	if (w->merge)
		return -1;
	if (optind < argc && strchr(w->what, '/'))
		w->name = argv[optind++];
	return no_more_arguments(&cmd_explore, argc, argv);
}

/* --------------------------------------------------------------------- talk */

static void show_progress(const struct explore_progress *p, void *arg)
{
	fprintf(stderr, "\r%-12s %12" PRIu64 " executions  %9.0f/s",
		explore_engine_name(p->engine), p->executions,
		p->seconds > 0 ? p->executions / p->seconds : 0.0);
	if (p->states)
		fprintf(stderr, "  %12" PRIu64 " states", p->states);
	fprintf(stderr, "  depth %u \033[K", p->depth);
	fflush(stderr);
}

static int list(bool json)
{
	struct uhmm_scenario *s;

	if (!scenarios_load())
		return EXIT_CANNOT_TELL;
	for (s = explore_scenarios(); s; s = s->next) {
		if (!json)
			printf("%s\t%s\t%s\n", s->name,
			       scenario_result_name(s->result),
			       s->source ? s->source : "");
		else if (print_json(json_pack("{s:s, s:s, s:s}", "scenario",
				s->name, "result",
				scenario_result_name(s->result), "source",
				s->source ? s->source : "")))
			return EXIT_INTERNAL;
	}
	return EXIT_HOLDS;
}

static void print_label(const char *label, const char *file, int line, void *arg)
{
	printf("%s\t%s:%d\n", label, file, line);
}

static int list_labels(void)
{
	return scenarios_load() && explore_labels(print_label, NULL) ?
		       EXIT_HOLDS : EXIT_CANNOT_TELL;
}

static void print_prefix(const char *prefix, void *arg)
{
	puts(prefix);
}

/* -------------------------------------------------------------------- files */

static bool written(FILE *out, const char *path, int problem)
{
	if (out && !problem && !fclose(out))
		return true;
	fprintf(stderr, "uhmm explore: %s: %s\n", path, strerror(errno));
	return false;
}

static bool write_replay(const struct wanted *w,
			 const struct uhmm_scenario *scenario,
			 const struct trace *trace, const char *path)
{
	FILE *out = fopen(path, "w");
	char build[80];
	int ret = -1;

	scenario_build(scenario, build, sizeof(build));
	if (out)
		ret = replay_write(out, trace, strchr(w->what, '/') ? w->what :
				   "", build);
	return written(out, path, ret);
}

static bool write_files(const struct wanted *w,
			const struct uhmm_scenario *scenario,
			const struct explore_report *report)
{
	char own[300];
	const char *path = w->output;
	FILE *out;
	bool ok = true;

	if (w->html) {
		out = fopen(w->html, "w");
		ok &= written(out, w->html,
			      out ? explored_html(scenario, report, out) : -1);
	}
	if (!report->trace)
		return ok;
	if (w->pftrace) {
		out = fopen(w->pftrace, "w");
		ok &= written(out, w->pftrace,
			      out ? trace_pftrace(report->trace, out) : -1);
	}
	/* What nobody expected is kept. */
	if (!path && !report->as_declared) {
		snprintf(own, sizeof(own), "%s.replay", scenario->name);
		path = own;
	}
	if (!path)
		return ok;
	if (!write_replay(w, scenario, report->trace, path))
		return false;
	fprintf(stderr, "again: uhmm replay %s\n", path);
	return ok;
}

/* ---------------------------------------------------------------------- run */

static int give(const struct wanted *w, const struct uhmm_scenario *scenario,
		const struct explore_report *report)
{
	int status = explored_status(scenario, report);

	if (w->json && print_json(explored_json(scenario, report)))
		status = EXIT_INTERNAL;
	else if (!w->json && !w->options.split)
		explored_print(scenario, report, stdout);
	if (!write_files(w, scenario, report))
		status = EXIT_INTERNAL;
	return status;
}

static int explore(struct wanted *w, struct uhmm_scenario *scenario)
{
	struct explore_report report;
	int ret, status;

	ret = explore_run(scenario, &w->options, &report);
	if (w->options.progress)
		fputs("\r\033[K", stderr);
	if (ret) {
		fprintf(stderr, "uhmm explore: %s: %s\n", scenario->name,
			explore_error());
		return ret == -ENOMEM ? EXIT_INTERNAL : EXIT_CANNOT_TELL;
	}
	status = give(w, scenario, &report);
	explore_report_free(&report);
	if (stopped)
		fputs("uhmm explore: stopped\n", stderr);
	return w->options.split && !stopped ? EXIT_HOLDS : status;
}

/* Adds one line up, of the same model as those before. */
static bool merge_line(const struct uhmm_scenario *scenario, const char *text,
		       struct explore_report *sum, unsigned int *parts)
{
	json_t *line = json_loads(text, 0, NULL);
	struct explore_report part;
	bool ok = line && explored_from_json(line, scenario, &part) &&
		  (!*parts || part.model == sum->model);

	json_decref(line);
	if (!ok)
		return false;
	sum->model = part.model;
	explore_merge(sum, &part);
	++*parts;
	return true;
}

/* 0, or the exit status. */
static int merge_file(const struct uhmm_scenario *scenario, FILE *in,
		      const char *name, struct explore_report *sum,
		      unsigned int *parts)
{
	char *line = NULL;
	unsigned int n;
	size_t size = 0;
	bool ok = true;

	for (n = 0; ok && getline(&line, &size, in) > 0; n++)
		ok = line[strspn(line, " \n")] == '\0' ||
		     merge_line(scenario, line, sum, parts);
	free(line);
	if (!ok)
		return usage_error("explore", "%s: line %u: not what --job "
				   "--json prints of %s, or of another model",
				   name, n, scenario->name);
	if (!ferror(in))
		return EXIT_HOLDS;
	fprintf(stderr, "uhmm explore: %s: %s\n", name, strerror(errno));
	return EXIT_INTERNAL;
}

/* Adds up lines that --job --json printed, from files or standard input. */
static int merge(const struct wanted *w, struct uhmm_scenario *scenario,
		 char **files)
{
	struct explore_report sum = { .complete = true };
	unsigned int parts = 0;
	int status;

	do {
		FILE *in = *files ? fopen(*files, "r") : stdin;
		const char *name = *files ? *files : "standard input";

		if (!in) {
			fprintf(stderr, "uhmm explore: %s: %s\n", name,
				strerror(errno));
			return EXIT_INTERNAL;
		}
		status = merge_file(scenario, in, name, &sum, &parts);
		if (in != stdin)
			fclose(in);
		if (status)
			return status;
	} while (*files && *++files);
	if (!parts)
		return usage_error("explore", "nothing to merge");
	fprintf(stderr, "uhmm explore: parts: %u\n", parts);
	sum.as_declared = sum.outcome == scenario->result ||
			  (scenario->result == UHMM_RESULT_NONE &&
			   !sum.violations);
	status = give(w, scenario, &sum);
	explore_report_free(&sum);
	return status;
}

/* All of an object: the first status that is not 0 counts. */
static int explore_all(struct wanted *w, struct uhmm_scenario *scenario)
{
	int status = EXIT_HOLDS, one;

	for (; scenario && !stopped; scenario = scenario->next) {
		one = explore(w, scenario);
		if (!status)
			status = one;
	}
	return status;
}

static int run_explore(int argc, char **argv)
{
	struct wanted w = { .what = NULL };
	struct uhmm_scenario *scenario;
	struct sigaction action = { .sa_handler = stop };
	int status = parse(&w, argc, argv);

	if (status >= 0)
		return status;
	if (w.list)
		return list(w.json);
	if (w.labels)
		return list_labels();
	if (!can_write("explore", w.html) || !can_write("explore", w.pftrace) ||
	    !can_write("explore", w.output))
		return EXIT_INTERNAL;
	scenario = scenarios_named(w.what, w.name);
	if (!scenario)
		return EXIT_USAGE;
	if (strchr(w.what, '/') && !w.name && scenario->next &&
	    (w.html || w.pftrace || w.output))
		return usage_error("explore", "a file is for one scenario: "
				   "which of '%s'?", w.what);
	if (w.merge)
		return merge(&w, scenario, argv + optind);
	sigaction(SIGINT, &action, NULL);
	w.options.stop = &stopped;
	if (w.options.split)
		w.options.split_fn = print_prefix;
	else if (isatty(STDERR_FILENO))
		w.options.progress = show_progress;
	if (strchr(w.what, '/') && !w.name)
		return explore_all(&w, scenario);
	return explore(&w, scenario);
}

const struct command cmd_explore = {
	.name = "explore",
	.summary = "run a scenario through every order of its threads",
	.usage = "SCENARIO | ./OBJECT.so [SCENARIO] | --list  [OPTION...]",
	.details =
	"\n"
	"  --list             print name, result and source of each scenario\n"
	"  --model MODEL      memory model: sc, tso or c11\n"
	"  --engine ENGINE    random, pct, preemptions, dpor, states, sleep, brute\n"
	"  --bound N          with at most N preemptions\n"
	"  --executions N     at most so many, of one engine\n"
	"  --seconds N        at most so long; 20, if not said; -1: without end\n"
	"  --seed N           of what is random\n"
	"  --weaken LABEL,... as if these barriers were not there\n"
	"  --labels           print the barriers that can be weakened\n"
	"  --split DEPTH      print parts of the exploration, one a line\n"
	"  --job PART         explore one of them\n"
	"  --merge [FILE...]  add up what --job --json has printed\n"
	"  --json             one JSON object a line, each with \"schema\": 1\n"
	"  --html FILE        the same as a page, with a drawing\n"
	"  --pftrace FILE     a bad execution for ui.perfetto.dev\n"
	"  --output FILE      a bad execution for 'uhmm replay'\n"
	"\n"
	"Exit status: 0: the outcome is what the scenario declares, 1: it is\n"
	"not, 125: cannot tell: nothing was found, and the search was cut short\n"
	"or something should have been found.\n",
	.run = run_explore,
};
