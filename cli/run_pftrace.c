/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * `uhmm run --pftrace`: a track for each process, with what it was in while its
 * agent was there, and below it its most contended fault: the device's side and
 * that of the threads that invalidated meanwhile.
 */
#include <inttypes.h>

#include "pftrace.h"
#include "run.h"

/* Three for each process. */
enum {
	TRACK_PROCESS = 1,
	TRACK_DEVICE,
	TRACK_PROGRAM,
	TRACKS,
};

static void write_process(FILE *out, const struct board_process *p,
			  uint64_t track)
{
	struct pftrace_event event = {
		.type = PFTRACE_BEGIN,
		.track = track,
		.at_ns = p->start_ns,
	};
	char text[200];

	snprintf(text, sizeof(text), "%s %d", p->name, p->pid);
	pftrace_track(out, track, text, 0);
	snprintf(text, sizeof(text), "%s: faults %" PRIu64 ", reads %" PRIu64
		 ", retries %" PRIu64 ", stale %" PRIu64, p->name,
		 p->counts.faults, p->counts.reads, p->counts.retries,
		 p->counts.stale);
	event.name = text;
	pftrace_event(out, &event);
	event.type = PFTRACE_END;
	event.at_ns = p->last_ns;
	event.name = NULL;
	pftrace_event(out, &event);
}

static void write_ladder(FILE *out, const struct board_process *p,
			 uint64_t first)
{
	const struct board_ladder *ladder = &p->ladder;
	struct pftrace_event event = { .type = PFTRACE_INSTANT };
	char text[200];

	snprintf(text, sizeof(text), "device of %d", p->pid);
	pftrace_track(out, first + TRACK_DEVICE, text, 0);
	snprintf(text, sizeof(text), "threads of %d", p->pid);
	pftrace_track(out, first + TRACK_PROGRAM, text, 0);
	for (uint32_t i = 0; i < ladder->n && i < BOARD_LADDER; i++) {
		report_step(&ladder->records[i], text, sizeof(text));
		event.track = first + (ladder->records[i].step ==
						       BOARD_INVALIDATE ?
					       TRACK_PROGRAM : TRACK_DEVICE);
		event.at_ns = ladder->began_ns + ladder->records[i].at_ns;
		event.name = text;
		pftrace_event(out, &event);
	}
}

int run_pftrace(FILE *out, const struct board *board)
{
	for (unsigned int i = 0; i < report_places(board); i++) {
		const struct board_process *p = &board->processes[i];

		write_process(out, p, (uint64_t)i * TRACKS + TRACK_PROCESS);
		if (p->ladder.n)
			write_ladder(out, p, (uint64_t)i * TRACKS);
	}
	return ferror(out) ? -1 : 0;
}
