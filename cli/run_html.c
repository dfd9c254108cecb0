/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * `uhmm run --html`: the summary, the processes over time, and the fault of the
 * device that had to try again most often as a drawing.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "html.h"
#include "run.h"

#define WIDTH 1000
#define COLUMN 420
#define LINE 20
#define TOP 50

static void draw_processes(FILE *out, const struct board *board)
{
	unsigned int n = report_places(board);
	uint64_t first = ~0ULL, last = 0;
	const struct board_process *p;
	double scale;
	char text[100];

	for (p = board->processes; p < board->processes + n; p++) {
		first = p->start_ns < first ? p->start_ns : first;
		last = p->last_ns > last ? p->last_ns : last;
	}
	scale = last > first ? WIDTH / (double)(last - first) : 0;
	html_svg(out, WIDTH + 20, n * LINE + 10);
	for (unsigned int i = 0; i < n; i++) {
		p = &board->processes[i];
		fprintf(out, "<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\" "
			"fill=\"#bcd\"/>\n", (double)(p->start_ns - first) * scale,
			i * LINE, (double)(p->last_ns - p->start_ns) * scale + 1,
			LINE - 2);
		snprintf(text, sizeof(text), "%s %d, %.1f ms, faults %" PRIu64
			 ", stale %" PRIu64, p->name, p->pid,
			 (double)(p->last_ns - p->start_ns) / 1e6,
			 p->counts.faults, p->counts.stale);
		html_text(out, (int)((double)(p->start_ns - first) * scale * 0.6) + 4,
			  (int)(i * LINE) + 14, p->counts.stale ? "bad" : "call",
			  text);
	}
	fputs("</svg>\n", out);
}

static void draw_ladder(FILE *out, const struct board_ladder *ladder)
{
	const struct board_record *r;
	char text[120];
	int y = TOP;

	html_svg(out, 2 * COLUMN, TOP + LINE * (ladder->n + 1));
	for (int i = 0; i < 2; i++) {
		html_text(out, COLUMN * i + 10, 20, "head",
			  i ? "a thread of the program" : "device");
		fprintf(out, "<line x1=\"%d\" y1=\"30\" x2=\"%d\" y2=\"%u\"/>\n",
			COLUMN * i + 10, COLUMN * i + 10, TOP + LINE * ladder->n);
	}
	for (uint32_t i = 0; i < ladder->n && i < BOARD_LADDER; i++, y += LINE) {
		r = &ladder->records[i];
		report_step(r, text, sizeof(text));
		html_text(out, r->step == BOARD_INVALIDATE ? COLUMN + 18 : 18, y,
			  r->step == BOARD_RETRY ? "bad" : "event", text);
	}
	fputs("</svg>\n", out);
}

int run_html(FILE *out, const struct run_options *options,
	     const struct board *board, const struct run_result *result)
{
	const struct board_process *by = NULL;
	const struct board_ladder *ladder = report_ladder(board, &by);
	char *text = NULL;
	size_t size = 0;
	FILE *memory = open_memstream(&text, &size);

	if (!memory)
		return -1;
	report_text(memory, options, board, result);
	fclose(memory);
	html_begin(out, options->program[0]);
	draw_processes(out, board);
	fputs("<pre>", out);
	html_put(out, text);
	fputs("</pre>\n", out);
	free(text);
	if (ladder) {
		fprintf(out, "<h2>the most contended fault: process %d, %" PRIu64
			" retries, %.1f us</h2>\n", by->pid, ladder->retries,
			(double)ladder->ns / 1000);
		draw_ladder(out, ladder);
	}
	return html_end(out);
}
