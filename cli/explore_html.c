/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One page that needs nothing else: what was covered as a table, the ladder as
 * a drawing.
 */
#include <inttypes.h>
#include <stdio.h>

#include "explore.h"
#include "explore/ladder.h"
#include "html.h"

#define COLUMN	280
#define LINE	20
#define TOP	50

static void draw_row(const struct ladder *ladder, const struct ladder_row *row,
		     int y, FILE *out)
{
	static const char *const classes[] = {
		[LADDER_EVENT] = "event", [LADDER_CALL] = "call",
		[LADDER_AGAIN] = "fold",  [LADDER_FOREVER] = "fold",
		[LADDER_BAD] = "bad",	  [LADDER_BLOCKED] = "bad",
		[LADDER_HELD] = "bad",
	};
	int x = row->thread < 0 ? 10 :
		COLUMN * ladder->column[row->thread] + 10;
	char text[400], place[600];

	ladder_text(ladder, row, text, 40);
	if (row->number) {
		ladder_place(ladder, row, place, sizeof(place));
		fputs("<g><title>", out);
		html_put(out, place);
		fputs("</title>\n", out);
		fprintf(out, "<circle cx=\"%d\" cy=\"%d\" r=\"3\"/>\n", x, y - 4);
	}
	html_text(out, x + 8, y, classes[row->kind], text);
	if (row->number)
		fputs("</g>\n", out);
}

static void draw(const struct ladder *ladder, FILE *out)
{
	const struct trace *trace = ladder->trace;
	int height = TOP + LINE * (int)ladder->nrows + 10;
	char head[200];
	unsigned int t, i;

	html_svg(out, COLUMN * ladder->ncolumns, (unsigned int)height);
	for (t = 0; t < trace->nthreads; t++) {
		if (ladder->column[t] < 0)
			continue;
		snprintf(head, sizeof(head), "CPU%d %s", ladder->column[t],
			 trace->threads[t].name ? trace->threads[t].name : "");
		html_text(out, COLUMN * ladder->column[t] + 10, 20, "head", head);
		fprintf(out, "<line x1=\"%d\" y1=\"30\" x2=\"%d\" y2=\"%d\"/>\n",
			COLUMN * ladder->column[t] + 10,
			COLUMN * ladder->column[t] + 10, height);
	}
	for (i = 0; i < ladder->nrows; i++)
		draw_row(ladder, &ladder->rows[i], TOP + LINE * (int)i, out);
	fputs("</svg>\n", out);
}

static void table(const struct explore_report *report, FILE *out)
{
	unsigned int i;

	fputs("<table><tr><th>engine<th>preemptions<th>model"
	      "<th>executions<th>cut short<th>states<th>to the end<th>seconds</tr>\n", out);
	for (i = 0; i < report->nphases; i++) {
		const struct explore_phase *phase = &report->phases[i];

		fprintf(out, "<tr><td>%s<td>", explore_engine_name(phase->engine));
		if (phase->engine == EXPLORE_PREEMPTIONS)
			fprintf(out, "%u", phase->bound);
		fprintf(out, "<td>%s<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64
			"<td>%s<td>%.2f</tr>\n",
			trace_model_name(phase->model), phase->executions,
			phase->blocked, phase->states,
			phase->complete ? "yes" : "no", phase->seconds);
	}
	fputs("</table>\n", out);
}

int explored_html(const struct uhmm_scenario *scenario,
		const struct explore_report *report, FILE *out)
{
	struct ladder ladder;
	char title[600];

	html_begin(out, scenario->name);
	fprintf(out, "<p>%s, declared %s, memory model %s, %s\n",
		explored_outcome(report),
		scenario_result_name(scenario->result),
		trace_model_name(report->model),
		report->complete ? "everything covered" :
		report->cut_short ? "cut short" : "not all covered");
	table(report, out);
	if (report->trace && !ladder_make(&ladder, report->trace, 0)) {
		ladder_title(&ladder, title, sizeof(title));
		fputs("<h2>", out);
		html_put(out, title);
		fputs("</h2>\n", out);
		draw(&ladder, out);
		ladder_free(&ladder);
	}
	return html_end(out);
}
