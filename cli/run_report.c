/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What `uhmm run` says when the program has ended: the sum over its processes,
 * and the fault of the device that had to try again most often, as a ladder.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mmu_notifier.h>

#include "cli.h"
#include "out.h"
#include "run.h"

static const char *const event_names[BOARD_EVENTS] = {
	[MMU_NOTIFY_UNMAP] = "unmap",
	[MMU_NOTIFY_CLEAR] = "clear",
	[MMU_NOTIFY_PROTECTION_VMA] = "protection",
	[MMU_NOTIFY_PROTECTION_PAGE] = "fork",
	[MMU_NOTIFY_SOFT_DIRTY] = "soft-dirty",
	[MMU_NOTIFY_RELEASE] = "release",
	[MMU_NOTIFY_MIGRATE] = "migrate",
	[MMU_NOTIFY_EXCLUSIVE] = "exclusive",
};

unsigned int report_places(const struct board *board)
{
	return board->used < BOARD_PROCESSES ? board->used : BOARD_PROCESSES;
}

static const char *guarantee_name(int guarantee)
{
	static const char *const names[] = { "none", "G0", "G1", "G2" };

	return guarantee < UHMM_GUARANTEE_NONE || guarantee > UHMM_G2 ?
		       "?" : names[guarantee + 1];
}

/* ------------------------------------------------------------------- the sum */

static bool is_longest(const uint64_t *word, const struct board_counts *c)
{
	return word == &c->wait_longest_ns;
}

/* All words are sums, but for the one that is a maximum. */
void report_sum(const struct board *board, struct board_counts *ret_sum)
{
	uint64_t *sum = (uint64_t *)ret_sum;
	const uint64_t *one;

	memset(ret_sum, 0, sizeof(*ret_sum));
	for (unsigned int i = 0; i < report_places(board); i++) {
		one = (const uint64_t *)&board->processes[i].counts;
		for (size_t k = 0; k < sizeof(*ret_sum) / sizeof(*sum); k++)
			if (!is_longest(&sum[k], ret_sum))
				sum[k] += one[k];
			else if (one[k] > sum[k])
				sum[k] = one[k];
	}
}

/* The least guarantee of any process that was mirrored, and how many were. */
static unsigned int count_mirrored(const struct board *board, int *ret_least)
{
	const struct board_process *p;
	enum board_state state;
	unsigned int n = 0;

	*ret_least = UHMM_G2;
	for (p = board->processes; p < board->processes + report_places(board); p++) {
		state = board_state(p);
		if (state != BOARD_RUNS && state != BOARD_ENDED)
			continue;
		n++;
		if (p->guarantee < *ret_least)
			*ret_least = p->guarantee;
	}
	if (!n)
		*ret_least = UHMM_GUARANTEE_NONE;
	return n;
}

/* Does a mirrored process lack them? */
static bool lacks_frames(const struct board *board)
{
	const struct board_process *p;
	enum board_state state;

	for (p = board->processes; p < board->processes + report_places(board); p++) {
		state = board_state(p);
		if ((state == BOARD_RUNS || state == BOARD_ENDED) && !p->frames)
			return true;
	}
	return false;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

const struct board_ladder *report_ladder(const struct board *board,
					 const struct board_process **by)
{
	const struct board_ladder *best = NULL;
	const struct board_process *p;

	for (p = board->processes; p < board->processes + report_places(board); p++) {
		if (!p->ladder.n ||
		    (best && p->ladder.retries <= best->retries))
			continue;
		best = &p->ladder;
		*by = p;
	}
	return best;
}

/* -------------------------------------------------------------------- ladder */

void report_step(const struct board_record *r, char *buf, size_t size)
{
	switch (r->step) {
	case BOARD_READ_BEGIN:
		snprintf(buf, size, "read_begin = %" PRIx64, r->seq);
		break;
	case BOARD_RETRY:
		snprintf(buf, size, "read_retry: yes, again");
		break;
	case BOARD_INSTALL:
		snprintf(buf, size, "read_retry: no; install");
		break;
	default:
		snprintf(buf, size, "%s [%" PRIx64 ", +%" PRIu64
			 " KiB): set_seq(%" PRIx64 "), zap",
			 r->event < BOARD_EVENTS ? event_names[r->event] : "?",
			 r->start, (r->end - r->start) / 1024, r->seq);
	}
}

static void ladder_line(FILE *out, const struct board_record *r)
{
	char text[100], *rest;

	report_step(r, text, sizeof(text));
	fprintf(out, "  %8.1f  ", (double)r->at_ns / 1000);
	rest = strstr(text, ": set_seq");
	if (r->step != BOARD_INVALIDATE || !rest) {
		fprintf(out, "%s\n", text);
		return;
	}
	*rest = '\0';
	fprintf(out, "%26s%s\n%38s%s\n", "", text, "", rest + 2);
}

static void print_ladder(FILE *out, const struct board *board)
{
	const struct board_process *by = NULL;
	const struct board_ladder *ladder = report_ladder(board, &by);

	if (!ladder)
		return;
	fprintf(out,
		"\nthe most contended fault: %s, process %d, %" PRIu64
		" %s, %.1f us\n",
		by->name, by->pid, ladder->retries,
		ladder->retries == 1 ? "retry" : "retries",
		(double)ladder->ns / 1000);
	fprintf(out, "        us  device                    a thread of the program\n");
	for (uint32_t i = 0; i < ladder->n && i < BOARD_LADDER; i++)
		ladder_line(out, &ladder->records[i]);
	if (ladder->lost)
		fprintf(out, "            (%u more)\n", ladder->lost);
}

/* ---------------------------------------------------------------------- text */

static void print_reasons(FILE *out, const struct board *board)
{
	const struct board_process *p, *q;

	for (p = board->processes; p < board->processes + report_places(board); p++) {
		if (!p->reason[0])
			continue;
		/* Each once. */
		for (q = board->processes; q < p; q++)
			if (!strcmp(q->reason, p->reason))
				break;
		if (q == p)
			fprintf(out, "%s instead of %s in %s (%d): %s\n",
				guarantee_name(p->guarantee),
				guarantee_name(p->asked), p->name, p->pid,
				p->reason);
	}
}

/* The board cannot be opened by another user. */
static void print_users(FILE *out, const struct board *board)
{
	const struct board_process *p = board->processes;

	for (; p < board->processes + report_places(board); p++) {
		if (p->user == geteuid())
			continue;
		fprintf(out, "user           %u from %s (%d) on: what is executed as that one\n"
			"               is not seen\n", p->user, p->name, p->pid);
		return;
	}
}

static void print_events(FILE *out, const struct board_counts *sum)
{
	uint64_t all = 0;
	const char *comma = "";

	for (int i = 0; i < BOARD_EVENTS; i++)
		all += sum->events[i];
	fprintf(out, "invalidations  %" PRIu64 " (", all);
	for (int i = 0; i < BOARD_EVENTS; i++) {
		if (!sum->events[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, comma, event_names[i],
			sum->events[i]);
		comma = ", ";
	}
	fprintf(out, ")\n");
}

static const char *const command_names[BOARD_COMMANDS] = {
	"read", "write", "migrate to device", "migrate to system", "snapshot",
	"exclusive", "check exclusive", "release", "flags", "read unlocked",
};

static void print_dmirror(FILE *out, const struct board_counts *sum)
{
	const char *comma = "";

	fprintf(out, "dmirror        opened %" PRIu64 " times; ", sum->opens);
	for (int i = 0; i < BOARD_COMMANDS; i++) {
		if (!sum->commands[i])
			continue;
		fprintf(out, "%s%s %" PRIu64, comma, command_names[i],
			sum->commands[i]);
		comma = ", ";
	}
	fprintf(out, "%s\n", *comma ? "" : "no commands");
	fprintf(out, "commands       failed %" PRIu64 ", faults %" PRIu64 "\n",
		sum->failed, sum->faults);
	print_events(out, sum);
}

static void print_checker(FILE *out, const struct board *board,
			  const struct board_counts *sum,
			  const struct run_result *result)
{
	fprintf(out, "areas          %" PRIu64, sum->areas);
	if (sum->resident || !sum->passes)
		fprintf(out, ", %.1f %% of resident memory mirrored\n",
			percent(sum->mirrored, sum->resident));
	else
		fprintf(out, "; how much is resident is not known\n");
	print_events(out, sum);
	fprintf(out, "device         faults %" PRIu64 ", reads %" PRIu64
		", looks %" PRIu64 "\n", sum->faults, sum->reads, sum->passes);
	fprintf(out, "collisions     retries %" PRIu64 ", waits %" PRIu64
		", longest %.1f us\n", sum->retries, sum->waits,
		(double)sum->wait_longest_ns / 1000);
	fprintf(out, "stale          %" PRIu64 " (no event told of %" PRIu64 ")\n",
		sum->stale, sum->missed);
	fprintf(out, "moved          %" PRIu64 " (copied on a write %" PRIu64
		"): seen by no process, see uhmm-run(1)\n", sum->moved, sum->copied);
	fprintf(out, "sample         %" PRIu64
		" pages held and compared by their data: stale %" PRIu64 "\n",
		sum->sampled, sum->confirmed);
	if (lacks_frames(board))
		fprintf(out, "frames         not known to an ordinary user: beside the\n"
			"               sample only pages that are gone are noticed\n");
	if (sum->dropped)
		fprintf(out, "deaf           %" PRIu64
			" invalidations dropped on purpose\n", sum->dropped);
	else if (board->deaf)
		fprintf(out, "deaf           to nothing: no page that was mirrored went, so\n"
			"               stale 0 says nothing here\n");
	fprintf(out, "overhead       %.1f %% of %.0f ms: set-up, callbacks and last looks in the\n"
		"               program's threads, by the clock; device %.0f ms beside it\n",
		percent(sum->own_ns, result->wall_ns),
		(double)result->wall_ns / 1e6, (double)sum->device_ns / 1e6);
	print_ladder(out, board);
}

int report_text(FILE *out, const struct run_options *options,
		const struct board *board, const struct run_result *result)
{
	struct board_counts sum;
	unsigned int n;
	int least;

	report_sum(board, &sum);
	n = count_mirrored(board, &least);
	fprintf(out, "uhmm run: %s: %u of %u processes mirrored, guarantee %s\n",
		options->program[0], n, board->used, guarantee_name(least));
	print_reasons(out, board);
	print_users(out, board);
	if (sum.exec_refused)
		fprintf(out, "exec refused   %" PRIu64
			" times: the filter of G2 would stay, without its handler\n",
			sum.exec_refused);
	if (options->device == BOARD_DMIRROR)
		print_dmirror(out, &sum);
	else
		print_checker(out, board, &sum, result);
	return ferror(out) ? EXIT_INTERNAL : EXIT_HOLDS;
}

/* ---------------------------------------------------------------------- JSON */

static json_t *counts_json(const struct board_counts *c)
{
	json_t *events = json_object(), *commands = json_object();

	for (int i = 0; i < BOARD_COMMANDS; i++)
		if (c->commands[i])
			json_object_set_new(commands, command_names[i],
				json_integer((json_int_t)c->commands[i]));
	for (int i = 0; i < BOARD_EVENTS; i++)
		json_object_set_new(events, event_names[i],
				    json_integer((json_int_t)c->events[i]));
#define N(field) #field, (json_int_t)c->field
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "invalidations", events, "commands", commands,
			 N(opens), N(failed), N(areas), N(passes),
			 N(faults), N(reads), N(retries), N(waits),
			 N(wait_longest_ns), N(stale), N(missed), N(sampled),
			 N(confirmed), N(moved),
			 N(copied), N(dropped), N(mirrored), N(resident),
			 N(exec_refused), N(own_ns), N(device_ns));
#undef N
}

static const char *step_name(const struct board_record *r)
{
	switch (r->step) {
	case BOARD_READ_BEGIN:
		return "read_begin";
	case BOARD_RETRY:
		return "retry";
	case BOARD_INSTALL:
		return "install";
	}
	return r->event < BOARD_EVENTS ? event_names[r->event] : "?";
}

static json_t *ladder_json(const struct board_ladder *ladder)
{
	json_t *steps = json_array();
	const struct board_record *r;
	char seq[17];

	for (uint32_t i = 0; i < ladder->n && i < BOARD_LADDER; i++) {
		r = &ladder->records[i];
		/* Past what a number of JSON's holds here. */
		snprintf(seq, sizeof(seq), "%" PRIx64, r->seq);
		json_array_append_new(
			steps, json_pack("{s:I, s:s, s:I, s:I, s:s, s:i}",
					 "at_ns", (json_int_t)r->at_ns, "step",
					 step_name(r), "start",
					 (json_int_t)r->start, "end",
					 (json_int_t)r->end, "seq",
					 seq, "tid", (int)r->tid));
	}
	return json_pack("{s:I, s:I, s:i, s:o}", "retries",
			 (json_int_t)ladder->retries, "ns",
			 (json_int_t)ladder->ns, "lost", (int)ladder->lost,
			 "steps", steps);
}

static int process_json(FILE *out, const struct board_process *p)
{
	json_t *line = json_pack("{s:s, s:i, s:i, s:i, s:b, s:b, s:s, s:s, s:s, s:s}",
				 "type", "process", "pid", p->pid, "parent",
				 p->parent, "user", (int)p->user, "forked",
				 p->forked, "frames", p->frames, "name", p->name,
				 "asked", guarantee_name(p->asked), "guarantee",
				 guarantee_name(p->guarantee),
				 "reason", p->reason);
	json_t *counts = counts_json(&p->counts);

	if (line && counts)
		json_object_update(line, counts);
	json_decref(counts);
	if (line)
		json_object_set_new(line, "ladder", ladder_json(&p->ladder));
	return print_json_to(out, line);
}

int report_json(FILE *out, const struct run_options *options,
		const struct board *board, const struct run_result *result)
{
	struct board_counts sum;
	json_t *line, *counts;
	int least, status = EXIT_HOLDS;
	unsigned int n;

	for (unsigned int i = 0; i < report_places(board) && !status; i++)
		status = process_json(out, &board->processes[i]);
	report_sum(board, &sum);
	n = count_mirrored(board, &least);
	line = json_pack("{s:s, s:s, s:i, s:i, s:s, s:I, s:I, s:f}",
			 "type", "summary", "program", options->program[0],
			 "processes", (int)board->used, "with_agent", (int)n,
			 "guarantee", guarantee_name(least),
			 "wall_ns", (json_int_t)result->wall_ns,
			 "cpu_ns", (json_int_t)result->cpu_ns,
			 "share", percent(sum.mirrored, sum.resident) / 100);
	counts = counts_json(&sum);
	if (line && counts)
		json_object_update(line, counts);
	json_decref(counts);
	return status ? status : print_json_to(out, line);
}
