/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What came out of an exploration, for people and for programs.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "explore.h"
#include "explore/ladder.h"

const char *explored_outcome(const struct explore_report *report)
{
	return report->outcome == UHMM_RESULT_NONE ? "Unknown" :
	       scenario_result_name(report->outcome);
}

int explored_status(const struct uhmm_scenario *scenario,
		  const struct explore_report *report)
{
	const struct trace *trace = report->trace;

	if (trace && trace->defect == UHMM_DEFECT_UNSUPPORTED)
		return EXIT_CANNOT_TELL;
	if (report->as_declared)
		return EXIT_HOLDS;
	/* Not all was looked at, and what was to come about did not, or
	 * what is never to come about was not looked for as it should be. */
	if (!report->violations && !report->complete)
		return EXIT_CANNOT_TELL;
	return EXIT_VIOLATED;
}

/* ---------------------------------------------------------------------- text */

static void print_phase(const struct explore_report *report,
			const struct explore_phase *phase, FILE *out)
{
	fprintf(out, "  %-12s", explore_engine_name(phase->engine));
	if (phase->engine == EXPLORE_PREEMPTIONS)
		fprintf(out, " at most %u: ", phase->bound);
	fprintf(out, " %" PRIu64 " executions", phase->executions);
	if (phase->blocked)
		fprintf(out, ", %" PRIu64 " of them cut short", phase->blocked);
	if (phase->states)
		fprintf(out, ", %" PRIu64 " states", phase->states);
	if (phase->model != report->model)
		fprintf(out, ", memory model %s",
			trace_model_name(phase->model));
	fprintf(out, "%s, %.2f s\n", phase->complete ? ", to the end" : "",
		phase->seconds);
}

/* What was covered, in a sentence or two. */
static void print_coverage(const struct explore_report *report, FILE *out)
{
	const struct explore_phase *phase, *states = NULL;
	const char *model = trace_model_name(report->model);
	int bound = -1;
	unsigned int i;

	for (i = 0; i < report->nphases; i++) {
		phase = &report->phases[i];
		if (phase->engine == EXPLORE_PREEMPTIONS && phase->complete)
			bound = phase->bound;
		if (phase->engine == EXPLORE_STATES && phase->complete)
			states = phase;
	}
	if (report->complete && !states)
		fprintf(out, "covered: everything, memory model %s\n", model);
	else if (bound >= 0)
		fprintf(out, "covered: all executions with at most %d "
			"preemptions (bounded), memory model %s\n", bound, model);
	else if (!states)
		fprintf(out, "covered: some executions (bounded), memory model "
			"%s\n", model);
	if (states)
		fprintf(out, "covered: everything but data races, memory model "
			"%s\n", trace_model_name(states->model));
	if (report->cut_short)
		fputs("cut short: there was more to be done\n", out);
}

void explored_print(const struct uhmm_scenario *scenario,
		  const struct explore_report *report, FILE *out)
{
	enum uhmm_result declared = scenario->result;
	struct ladder ladder;
	unsigned int i;

	fprintf(out, "%s: %s", scenario->name,
		explored_outcome(report));
	if (declared != UHMM_RESULT_NONE && report->as_declared)
		fputs(", as declared", out);
	else if (declared != UHMM_RESULT_NONE)
		fprintf(out, ", declared %s", scenario_result_name(declared));
	if (scenario->bad)
		fprintf(out, " (%s)", scenario->bad);
	putc('\n', out);
	print_coverage(report, out);
	for (i = 0; i < report->nphases; i++)
		print_phase(report, &report->phases[i], out);
	if (!report->nphases)
		fprintf(out, "  %-12s %" PRIu64 " executions, %.2f s\n", "altogether",
			report->executions, report->seconds);
	for (i = 0; i < report->nmeasures; i++)
		fprintf(out, "measured: %s: %lu\n", report->measures[i].what,
			report->measures[i].value);
	if (report->unbounded)
		fprintf(out, "a loop did not end: %s\n", report->unbounded);
	if (!report->trace || ladder_make(&ladder, report->trace, LADDER_ROWS))
		return;
	putc('\n', out);
	ladder_print(&ladder, out);
	ladder_free(&ladder);
}

/* ---------------------------------------------------------------------- JSON */

static json_t *phases_json(const struct explore_report *report)
{
	json_t *phases = json_array();
	unsigned int i;

	for (i = 0; i < report->nphases; i++) {
		const struct explore_phase *phase = &report->phases[i];

		json_array_append_new(phases, json_pack(
			"{s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:f}",
			"engine", explore_engine_name(phase->engine),
			"bound", phase->bound,
			"model", trace_model_name(phase->model),
			"complete", phase->complete,
			"executions", (json_int_t)phase->executions,
			"blocked", (json_int_t)phase->blocked,
			"states", (json_int_t)phase->states,
			"seconds", phase->seconds));
	}
	return phases;
}

static json_t *measures_json(const struct explore_report *report)
{
	json_t *measures = json_object();
	unsigned int i;

	for (i = 0; i < report->nmeasures; i++)
		json_object_set_new(measures, report->measures[i].what,
				    json_integer(report->measures[i].value));
	return measures;
}

static json_t *row_json(const struct ladder *ladder,
			const struct ladder_row *row)
{
	char text[400], place[600] = "";

	ladder_text(ladder, row, text, sizeof(text));
	if (row->number)
		ladder_place(ladder, row, place, sizeof(place));
	return json_pack("{s:i, s:s, s:s}", "cpu",
			 row->thread < 0 ? -1 : ladder->column[row->thread],
			 "text", text, "place", place);
}

static json_t *trace_json(const struct trace *trace)
{
	json_t *rows = json_array(), *cpus = json_array();
	char said[500];
	struct ladder ladder;
	unsigned int i;

	if (!trace || ladder_make(&ladder, trace, LADDER_ROWS)) {
		json_decref(rows);
		json_decref(cpus);
		return json_null();
	}
	for (i = 0; i < trace->nthreads; i++)
		if (ladder.column[i] >= 0)
			json_array_append_new(cpus, json_string(
				trace->threads[i].name ?
				trace->threads[i].name : ""));
	for (i = 0; i < ladder.nrows; i++)
		json_array_append_new(rows, row_json(&ladder, &ladder.rows[i]));
	ladder_say(&ladder, said, sizeof(said));
	ladder_free(&ladder);
	return json_pack("{s:s, s:s, s:i, s:o, s:o}",
			 "defect", trace_defect_name(trace->defect),
			 "text", said,
			 "preemptions", trace->preemptions,
			 "cpus", cpus, "rows", rows);
}

json_t *explored_json(const struct uhmm_scenario *scenario,
		    const struct explore_report *report)
{
	return json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:I, s:I, s:I, s:i, s:f, "
		"s:o, s:o, s:o}",
		"scenario", scenario->name,
		"declared", scenario_result_name(scenario->result),
		"outcome", explored_outcome(report),
		"as_declared", report->as_declared,
		"complete", report->complete,
		"cut_short", report->cut_short,
		"model", trace_model_name(report->model),
		"executions", (json_int_t)report->executions,
		"violations", (json_int_t)report->violations,
		"events", (json_int_t)report->events,
		"max_depth", report->max_depth,
		"seconds", report->seconds,
		"phases", phases_json(report),
		"measures", measures_json(report),
		"ladder", trace_json(report->trace));
}

bool explored_from_json(json_t *json, const struct uhmm_scenario *scenario,
			struct explore_report *ret_report)
{
	json_int_t executions, violations, events;
	int complete, cut_short, max_depth;
	const char *name, *model;
	double seconds;

	if (json_unpack(json, "{s:s, s:b, s:b, s:I, s:I, s:I, s:i, s:f, s:s}",
			"scenario", &name,
			"complete", &complete, "cut_short", &cut_short,
			"executions", &executions,
			"violations", &violations, "events", &events,
			"max_depth", &max_depth, "seconds", &seconds,
			"model", &model) || strcmp(name, scenario->name))
		return false;
	*ret_report = (struct explore_report){
		.complete = complete,
		.cut_short = cut_short,
		.executions = executions,
		.violations = violations,
		.events = events,
		.max_depth = max_depth,
		.seconds = seconds,
	};
	while (strcmp(trace_model_name(ret_report->model), model))
		if (ret_report->model++ == UHMM_MODEL_C11)
			return false;
	return true;
}
