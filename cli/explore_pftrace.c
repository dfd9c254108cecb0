/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An execution as a file for ui.perfetto.dev: a track for each thread, a slice
 * for each row of the ladder, an arrow from a store to the load in another
 * thread that reads it. There is no time in an execution; a step takes 1 us.
 */
#include <stdint.h>
#include <stdio.h>

#include "explore.h"
#include "explore/ladder.h"
#include "pftrace.h"

#define MAX_FLOWS 100

/* What tells an arrow: the event that it comes from. */
static unsigned int find_flows(const struct ladder *ladder,
			       const struct ladder_row *row, uint64_t *flows)
{
	const struct trace *trace = ladder->trace;
	unsigned int j, n = 0;
	int i;

	for (i = row->first; i <= row->last && n + 2 <= MAX_FLOWS; i++) {
		const struct trace_event *e = &trace->events[i];

		if (e->from >= 0 && trace->events[e->from].thread != e->thread)
			flows[n++] = (uint64_t)e->from + 1;
		for (j = i + 1; j < trace->nevents; j++)
			if (trace->events[j].from == i &&
			    trace->events[j].thread != e->thread) {
				flows[n++] = (uint64_t)i + 1;
				break;
			}
	}
	return n;
}

static void write_row(const struct ladder *ladder, const struct ladder_row *row,
		      FILE *out)
{
	uint64_t flows[MAX_FLOWS];
	char text[200];
	struct pftrace_event event = {
		.type = PFTRACE_BEGIN,
		.track = (uint64_t)row->thread + 1,
		.at_ns = 1000ULL * (unsigned int)row->first,
		.name = text,
		.flows = flows,
		.nflows = find_flows(ladder, row, flows),
	};

	ladder_text(ladder, row, text, sizeof(text));
	pftrace_event(out, &event);
	event = (struct pftrace_event){
		.type = PFTRACE_END,
		.track = event.track,
		.at_ns = 1000ULL * (unsigned int)(row->last + 1),
	};
	pftrace_event(out, &event);
}

int trace_pftrace(const struct trace *trace, FILE *out)
{
	struct ladder ladder;
	unsigned int i;

	if (ladder_make(&ladder, trace, 0))
		return -1;
	for (i = 0; i < trace->nthreads; i++)
		if (ladder.column[i] >= 0)
			pftrace_track(out, i + 1, trace->threads[i].name ?
				      trace->threads[i].name : "thread", 0);
	for (i = 0; i < ladder.nrows; i++)
		if (ladder.rows[i].number)
			write_row(&ladder, &ladder.rows[i], out);
	ladder_free(&ladder);
	return ferror(out) ? -1 : 0;
}
