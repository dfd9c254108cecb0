/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which rows a ladder has. Idea: a call into the library that no other thread
 * comes between is one row. Where others come between, each part of it is a
 * row that shows the event of most weight: one by which threads learn of one
 * another. What repeats is folded, and if there is still too much, what
 * weighs least goes.
 */
#include "explore/ladder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {			/* weights */
	WEIGHT_NONE = 0,
	WEIGHT_OWN = 10,	/* concerns nobody else */
	WEIGHT_UNLOCK = 15,
	WEIGHT_LOCK = 20,	/* of a lock that others take too */
	WEIGHT_CONFLICT = 30,	/* with what another thread does */
	WEIGHT_LEARNT = 40,	/* is read by, or was written by, another one */
	WEIGHT_SAID = 50,	/* the scenario's own words */
	WEIGHT_SCENARIO = 5,	/* more, if in the scenario itself */
	WEIGHT_LAST = 30,	/* more, for the last of a thread */
	WEIGHT_KEEP = 1000,
};

static bool is_write(const struct trace_event *e)
{
	switch (e->kind) {
	case TRACE_STORE:
	case TRACE_FLUSH:
	case TRACE_WRITE:
	case TRACE_FREE:
		return true;
	case TRACE_RMW:
		return !(e->flags & TRACE_FAILED);
	default:
		return false;
	}
}

static bool is_access(const struct trace_event *e)
{
	return e->kind == TRACE_LOAD || e->kind == TRACE_READ ||
	       e->kind == TRACE_RMW || is_write(e);
}

static bool is_lock(const struct trace_event *e)
{
	return e->kind >= TRACE_LOCK && e->kind <= TRACE_READ_UNLOCK;
}

static bool is_unlock(const struct trace_event *e)
{
	return e->kind == TRACE_UNLOCK || e->kind == TRACE_READ_UNLOCK;
}

/* The scenario's own code, not what it calls. */
static bool in_scenario(const struct trace_event *e)
{
	return !e->caller_file ||
	       (e->file && !strcmp(e->file, e->caller_file) &&
		e->line == e->caller_line);
}

/* What tells nothing: who began and ended, and looks that found no change. */
static bool is_shown(const struct trace *trace, const struct trace_event *e)
{
	if (e->caller_file && !*e->caller_file &&
	    e != &trace->events[trace->nevents - 1])
		return false;
	switch (e->kind) {
	case TRACE_CREATE:
	case TRACE_JOIN:
	case TRACE_EXIT:
	case TRACE_YIELD:
		return false;
	case TRACE_READ:
	case TRACE_WRITE:
		return e == &trace->events[trace->nevents - 1] ||
		       trace->defect == UHMM_DEFECT_RACE;
	default:
		return true;
	}
}

/* ------------------------------------------------------------------ weights */

static int weight_of_pair(const struct trace_event *e,
			  const struct trace_event *other)
{
	if (is_lock(e) && is_lock(other))
		return is_unlock(e) ? WEIGHT_UNLOCK : WEIGHT_LOCK;
	if (is_access(e) && is_access(other) && (is_write(e) || is_write(other)))
		return WEIGHT_CONFLICT;
	if (e->kind == TRACE_WAIT || e->kind == TRACE_WAKE ||
	    e->kind == TRACE_WOKEN)
		return WEIGHT_CONFLICT;
	return WEIGHT_NONE;
}

/* Is it read by, or does it read, what another thread wrote? */
static bool is_learnt(const struct trace *trace, unsigned int i)
{
	const struct trace_event *e = &trace->events[i];
	unsigned int j;

	if (e->from >= 0 && trace->events[e->from].thread != e->thread)
		return true;
	if (!is_write(e))
		return e->flags & TRACE_OLD;
	for (j = i + 1; j < trace->nevents; j++)
		if (trace->events[j].from == (int)i &&
		    trace->events[j].thread != e->thread)
			return true;
	return false;
}

static int weight(const struct trace *trace, unsigned int i)
{
	const struct trace_event *e = &trace->events[i];
	int best = WEIGHT_OWN, w;
	unsigned int j;

	if (e->kind == TRACE_NOTE)
		return WEIGHT_SAID;
	if (is_learnt(trace, i))
		best = WEIGHT_LEARNT;
	for (j = 0; j < trace->nevents && best < WEIGHT_CONFLICT; j++) {
		if (trace->events[j].thread == e->thread || !e->addr ||
		    trace->events[j].addr != e->addr)
			continue;
		w = weight_of_pair(e, &trace->events[j]);
		if (w > best)
			best = w;
	}
	return best + (in_scenario(e) ? WEIGHT_SCENARIO : 0);
}

/* --------------------------------------------------------------------- rows */

static bool same_call(const struct trace_event *a, const struct trace_event *b)
{
	return !in_scenario(a) && !in_scenario(b) && a->thread == b->thread &&
	       a->caller_line == b->caller_line &&
	       !strcmp(a->caller_file, b->caller_file);
}

static struct ladder_row *add_row(struct ladder *ladder, enum ladder_kind kind,
				  int thread)
{
	struct ladder_row *row = &ladder->rows[ladder->nrows++];

	*row = (struct ladder_row){
		.kind = kind,
		.thread = thread,
		.first = -1,
		.last = -1,
		.best = -1,
		.score = WEIGHT_KEEP,
	};
	return row;
}

static void add_event(struct ladder *ladder, int i)
{
	const struct trace_event *events = ladder->trace->events;
	struct ladder_row *row =
		ladder->nrows ? &ladder->rows[ladder->nrows - 1] : NULL;
	int score = weight(ladder->trace, i);

	if (row && row->last >= 0 && same_call(&events[row->last], &events[i])) {
		row->kind = LADDER_CALL;
		row->last = i;
	} else {
		row = add_row(ladder, LADDER_EVENT, events[i].thread);
		row->first = row->last = row->best = i;
		row->score = score;
	}
	if (score > row->score) {
		row->best = i;
		row->score = score;
	}
}

/* A call whose parts are several rows. */
static void mark_split(struct ladder *ladder)
{
	const struct trace_event *events = ladder->trace->events;
	struct ladder_row *row, *next;
	unsigned int i, j;

	for (i = 0; i < ladder->nrows; i++) {
		row = &ladder->rows[i];
		for (j = i + 1; row->first >= 0 && j < ladder->nrows; j++) {
			next = &ladder->rows[j];
			if (next->thread != row->thread || next->first < 0)
				continue;
			if (same_call(&events[row->last], &events[next->first]))
				row->split = next->split = true;
			break;
		}
		if (row->split)
			row->kind = LADDER_EVENT;
	}
}

static void add_events(struct ladder *ladder)
{
	const struct trace *trace = ladder->trace;
	int last[UHMM_EXPLORE_THREADS];
	unsigned int i;

	for (i = 0; i < trace->nevents; i++) {
		if ((int)i == trace->loop_from)
			add_row(ladder, LADDER_FOREVER, -1);
		if (is_shown(trace, &trace->events[i]))
			add_event(ladder, i);
	}
	mark_split(ladder);
	memset(last, -1, sizeof(last));
	for (i = 0; i < ladder->nrows; i++)
		if (ladder->rows[i].thread >= 0)
			last[ladder->rows[i].thread] = i;
	for (i = 0; i < UHMM_EXPLORE_THREADS; i++)
		if (last[i] >= 0)
			ladder->rows[last[i]].score += WEIGHT_LAST;
}

/* ------------------------------------------------------------------ repeats */

static bool same_row(const struct ladder *ladder, const struct ladder_row *a,
		     const struct ladder_row *b)
{
	const struct trace_event *x, *y;

	if (a->kind != b->kind || a->thread != b->thread || a->first < 0 ||
	    b->first < 0)
		return false;
	x = &ladder->trace->events[a->best];
	y = &ladder->trace->events[b->best];
	return x->kind == y->kind && x->addr == y->addr && x->line == y->line &&
	       !strcmp(x->file ? x->file : "", y->file ? y->file : "");
}

/* How often do the @n rows in front of @at come again from there on? */
static unsigned int repeats(const struct ladder *ladder, unsigned int at,
			    unsigned int n)
{
	unsigned int times = 0, i;

	for (; at + n <= ladder->nrows; at += n, times++)
		for (i = 0; i < n; i++)
			if (!same_row(ladder, &ladder->rows[at - n + i],
				      &ladder->rows[at + i]))
				return times;
	return times;
}

/* The last time is shown, since that is the one that matters, as is the first. */
static void fold(struct ladder *ladder)
{
	unsigned int at, n, times, gone;
	struct ladder_row *row;

	for (at = 1; at < ladder->nrows; at++) {
		for (n = 1; n <= at; n++) {
			times = repeats(ladder, at, n);
			if (times < 2 || (times - 1) * n < 2)
				continue;
			gone = (times - 1) * n - 1;
			row = &ladder->rows[at];
			memmove(row + 1, row + 1 + gone,
				(ladder->nrows - at - 1 - gone) * sizeof(*row));
			ladder->nrows -= gone;
			*row = (struct ladder_row){
				.kind = LADDER_AGAIN,
				.thread = -1,
				.first = -1,
				.last = -1,
				.best = -1,
				.times = times - 1,
				.rows = n,
				.score = WEIGHT_KEEP,
			};
			at += n;
			break;
		}
	}
}

static void leave_out(struct ladder *ladder, unsigned int max_rows)
{
	unsigned int i, worst;

	while (max_rows && ladder->nrows > max_rows) {
		worst = 0;
		for (i = 1; i < ladder->nrows; i++)
			if (ladder->rows[i].score < ladder->rows[worst].score)
				worst = i;
		memmove(&ladder->rows[worst], &ladder->rows[worst + 1],
			(--ladder->nrows - worst) * sizeof(*ladder->rows));
		ladder->left_out++;
	}
}

/* ------------------------------------------------------------- end, columns */

/* How it ends: what showed, and what those that did not end wait for. */
static void add_end(struct ladder *ladder)
{
	const struct trace *trace = ladder->trace;
	unsigned int t;

	if (trace->defect != UHMM_DEFECT_NONE && trace->defect_thread >= 0)
		add_row(ladder, LADDER_BAD, trace->defect_thread);
	if (trace->defect_thread >= 0)
		return;
	for (t = 0; t < trace->nthreads; t++) {
		const struct trace_thread *thread = &trace->threads[t];

		if (thread->ended || thread->blocked_kind == TRACE_JOIN)
			continue;
		add_row(ladder, LADDER_BLOCKED, t);
		if (thread->held && *thread->held)
			add_row(ladder, LADDER_HELD, t);
	}
}

/* A thread without rows, as one that only waits for the others, has none. */
static void assign_columns(struct ladder *ladder)
{
	bool used[UHMM_EXPLORE_THREADS] = { false };
	unsigned int i, number = 0;

	for (i = 0; i < ladder->nrows; i++) {
		if (ladder->rows[i].thread >= 0)
			used[ladder->rows[i].thread] = true;
		if (ladder->rows[i].first >= 0)
			ladder->rows[i].number = ++number;
	}
	for (i = 0; i < UHMM_EXPLORE_THREADS; i++)
		ladder->column[i] = used[i] ? (int)ladder->ncolumns++ : -1;
}

int ladder_make(struct ladder *ladder, const struct trace *trace,
		unsigned int max_rows)
{
	unsigned int end_rows;

	/* Each event, the mark of a loop, and two rows a thread at the end. */
	*ladder = (struct ladder){
		.trace = trace,
		.rows = calloc(trace->nevents + 2 + 2 * UHMM_EXPLORE_THREADS,
			       sizeof(*ladder->rows)),
	};
	if (!ladder->rows)
		return -ENOMEM;
	add_events(ladder);
	fold(ladder);
	end_rows = ladder->nrows;
	add_end(ladder);
	end_rows = ladder->nrows - end_rows;
	leave_out(ladder, max_rows > end_rows ? max_rows : 0);
	assign_columns(ladder);
	return 0;
}

void ladder_free(struct ladder *ladder)
{
	free(ladder->rows);
	ladder->rows = NULL;
}
