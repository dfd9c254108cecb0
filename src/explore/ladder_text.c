/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How rows of a ladder read. Nothing but ASCII, and nothing wider than its
 * column: of a name that is too long the end is kept, where names differ.
 */
#include <stdarg.h>
#include <string.h>

#include "explore/ladder.h"

/* Room for the number of a row, and between two columns. */
#define MARGIN	3
#define GAP	2

static const char *object_of(const struct trace_event *e)
{
	return e->object && *e->object ? e->object : "?";
}

/* Small numbers as people count; addresses and the like as hex. */
static void value_text(char *buf, size_t size, unsigned long value)
{
	if ((long)value >= -99 && (long)value < 100000)
		snprintf(buf, size, "%ld", (long)value);
	else
		snprintf(buf, size, "%#lx", value);
}

/* "[row 3]": a load reads what that row stored, though more came since. */
static void source_text(const struct ladder *ladder,
			const struct trace_event *e, char *buf, size_t size)
{
	unsigned int i;

	*buf = '\0';
	if (!(e->flags & TRACE_OLD))
		return;
	for (i = 0; i < ladder->nrows; i++)
		if (e->from >= 0 && ladder->rows[i].first <= e->from &&
		    ladder->rows[i].last >= e->from) {
			snprintf(buf, size, " [row %u]", ladder->rows[i].number);
			return;
		}
	snprintf(buf, size, " [old]");
}

static void access_text(const struct ladder *ladder,
			const struct trace_event *e, char *buf, size_t size)
{
	char value[66], old[24], source[24];
	const char *name = object_of(e);

	if (e->flags & TRACE_POINTER)
		snprintf(value, sizeof(value), "%s", e->note);
	else
		value_text(value, sizeof(value), e->value);
	value_text(old, sizeof(old), e->old);
	source_text(ladder, e, source, sizeof(source));
	switch (e->kind) {
	case TRACE_STORE:
		snprintf(buf, size, "%s = %s", name, value);
		break;
	case TRACE_FLUSH:
		snprintf(buf, size, "%s = %s, seen", name, value);
		break;
	case TRACE_RMW:
		if (e->flags & TRACE_FAILED)
			snprintf(buf, size, "%s == %s", name, old);
		else
			snprintf(buf, size, "%s = %s, was %s", name, value,
				 old);
		break;
	case TRACE_READ:
		snprintf(buf, size, "reads %s", name);
		break;
	case TRACE_WRITE:
		snprintf(buf, size, "writes %s", name);
		break;
	default:
		snprintf(buf, size, "%s == %s%s", name, value, source);
		break;
	}
}

static const char *verb(const struct trace_event *e)
{
	switch (e->kind) {
	case TRACE_LOCK:
		return "lock";
	case TRACE_TRYLOCK:
		return "trylock";
	case TRACE_UNLOCK:
		return "unlock";
	case TRACE_READ_LOCK:
		return "read_lock";
	case TRACE_READ_TRYLOCK:
		return "read_trylock";
	case TRACE_READ_UNLOCK:
		return "read_unlock";
	case TRACE_WAIT:
		return "wait";
	case TRACE_WOKEN:
		return e->flags & TRACE_TIMEOUT ? "timeout" : "woken";
	case TRACE_WAKE:
		return "wake";
	case TRACE_FREE:
		return "free";
	default:
		return trace_kind_name(e->kind);
	}
}

static void event_text(const struct ladder *ladder,
		       const struct trace_event *e, char *buf, size_t size)
{
	switch (e->kind) {
	case TRACE_LOAD:
	case TRACE_STORE:
	case TRACE_RMW:
	case TRACE_FLUSH:
	case TRACE_READ:
	case TRACE_WRITE:
		access_text(ladder, e, buf, size);
		break;
	case TRACE_FENCE:
		snprintf(buf, size, "%s fence", trace_order_name(e->order));
		break;
	case TRACE_MEMBARRIER:
		snprintf(buf, size, "membarrier");
		break;
	case TRACE_CHOOSE:
		snprintf(buf, size, "chooses %lu of %lu", e->value, e->old);
		break;
	case TRACE_SLEEP:
		snprintf(buf, size, "sleeps %lu ns", e->value);
		break;
	case TRACE_NOTE:
		snprintf(buf, size, "%s", e->note ? e->note : "");
		break;
	case TRACE_TRYLOCK:
	case TRACE_READ_TRYLOCK:
		snprintf(buf, size, "%s(%s)%s", verb(e), object_of(e),
			 e->flags & TRACE_FAILED ? ": no" : "");
		break;
	default:
		snprintf(buf, size, "%s(%s)", verb(e), object_of(e));
		break;
	}
}

/* ------------------------------------------------------------- other rows */

static void blocked_text(const struct ladder *ladder, int thread, char *buf,
			 size_t size)
{
	const struct trace_thread *t = &ladder->trace->threads[thread];
	const char *object = t->blocked_object ? t->blocked_object : "?";
	int by = t->blocked_by >= 0 ? ladder->column[t->blocked_by] : -1;

	if (by >= 0)
		snprintf(buf, size, "waits for %s (CPU%d)", object, by);
	else
		snprintf(buf, size, "waits for %s", object);
}

static void clip(char *text, size_t width)
{
	size_t n = strlen(text);

	if (n <= width)
		return;
	memmove(text + 2, text + n - width + 2, width - 2);
	text[0] = text[1] = '.';
	text[width] = '\0';
}

/* The first name is what is cut, so that what is done with it stays. */
static void clip_name(char *text, size_t width)
{
	size_t n = strlen(text), name = strcspn(text, " ("), cut;
	char *from = text;

	if (n <= width)
		return;
	/* verb(name): the name is inside. */
	if (text[name] == '(' && text[name + 1] != ')') {
		from = text + name + 1;
		name = strcspn(from, ")");
	}
	cut = n - width + 2;
	if (name < cut + 3) {
		clip(text, width);
		return;
	}
	from[0] = from[1] = '.';
	memmove(from + 2, from + cut, strlen(from + cut) + 1);
}

void ladder_text(const struct ladder *ladder, const struct ladder_row *row,
		 char *buf, size_t size)
{
	const struct trace *trace = ladder->trace;
	const struct trace_event *e =
		row->best >= 0 ? &trace->events[row->best] : NULL;
	char text[400] = "";

	switch (row->kind) {
	case LADDER_EVENT:
		event_text(ladder, e, text, sizeof(text));
		break;
	case LADDER_CALL:
		snprintf(text, sizeof(text), "%s()",
			 e->call ? e->call : e->function);
		break;
	case LADDER_AGAIN:
		snprintf(text, sizeof(text), "... %u more times rows %u to %u",
			 row->times, row[-1].number - row->rows + 1,
			 row[-1].number);
		break;
	case LADDER_FOREVER:
		snprintf(text, sizeof(text), "--- from here on, for ever:");
		break;
	case LADDER_BAD:
		snprintf(text, sizeof(text), "^ %s",
			 trace_defect_name(trace->defect));
		break;
	case LADDER_BLOCKED:
		blocked_text(ladder, row->thread, text, sizeof(text));
		break;
	case LADDER_HELD:
		snprintf(text, sizeof(text), "holds %s",
			 trace->threads[row->thread].held);
		break;
	}
	clip_name(text, size - 1);
	snprintf(buf, size, "%s", text);
}

void ladder_place(const struct ladder *ladder, const struct ladder_row *row,
		  char *buf, size_t size)
{
	const struct trace_event *e = &ladder->trace->events[row->best];

	if (row->kind == LADDER_CALL && e->caller_file)
		snprintf(buf, size, "%s:%d", e->caller_file, e->caller_line);
	else if (!e->file)
		snprintf(buf, size, "%s", e->function ? e->function : "?");
	else if (e->caller_file && *e->caller_file &&
		 strcmp(e->file, e->caller_file))
		snprintf(buf, size, "%s:%d < %s:%d", e->file, e->line,
			 e->caller_file, e->caller_line);
	else
		snprintf(buf, size, "%s:%d", e->file, e->line);
}

void ladder_say(const struct ladder *ladder, char *buf, size_t size)
{
	const char *text = ladder->trace->text ? ladder->trace->text : "";
	unsigned int thread;
	size_t at = 0;
	int n;

	/* The record numbers threads, not columns. */
	while (*text && at + 16 < size) {
		if (sscanf(text, "CPU%1u%n", &thread, &n) == 1 &&
		    thread < UHMM_EXPLORE_THREADS &&
		    ladder->column[thread] >= 0) {
			at += snprintf(buf + at, size - at, "CPU%d",
				       ladder->column[thread]);
			text += n;
		} else {
			buf[at++] = *text++;
		}
	}
	buf[at] = '\0';
}

void ladder_title(const struct ladder *ladder, char *buf, size_t size)
{
	const struct trace *trace = ladder->trace;
	char text[500];

	ladder_say(ladder, text, sizeof(text));
	snprintf(buf, size, "%s: %s%s%s", trace->scenario,
		 trace_defect_name(trace->defect), *text ? ": " : "", text);
}

/* ------------------------------------------------------------------- print */

/* Words go to the next line before they pass the last column. */
static void print_words(FILE *out, const char *text, const char *indent)
{
	size_t column = 0, n;

	while (*text) {
		n = strcspn(text, " ");
		if (column && column + 1 + n > LADDER_COLUMNS) {
			fprintf(out, "\n%s", indent);
			column = strlen(indent);
		} else if (column) {
			putc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)n, text);
		column += n;
		text += n + strspn(text + n, " ");
	}
	putc('\n', out);
}

static void print_head(const struct ladder *ladder, FILE *out, int width)
{
	const struct trace *trace = ladder->trace;
	char text[600];
	unsigned int t;
	int pad = MARGIN;

	ladder_title(ladder, text, sizeof(text));
	print_words(out, text, "  ");
	fprintf(out, "memory model %s, %u preemption%s%s%s",
		trace_model_name(trace->model), trace->preemptions,
		trace->preemptions == 1 ? "" : "s",
		trace->weaken && *trace->weaken ? ", weakened: " : "",
		trace->weaken ? trace->weaken : "");
	if (ladder->left_out)
		fprintf(out, ", %u rows left out", ladder->left_out);
	fputs("\n\n", out);
	for (t = 0; t < trace->nthreads; t++) {
		if (ladder->column[t] < 0)
			continue;
		snprintf(text, sizeof(text), "CPU%d %s", ladder->column[t],
			 trace->threads[t].name ? trace->threads[t].name : "");
		text[width - GAP] = '\0';
		fprintf(out, "%*s%s", pad, "", text);
		pad = width - strlen(text);
	}
	putc('\n', out);
}

static void print_row(const struct ladder *ladder, FILE *out,
		      const struct ladder_row *row, int width)
{
	char text[LADDER_COLUMNS + 1];

	if (row->thread < 0) {
		ladder_text(ladder, row, text, LADDER_COLUMNS - MARGIN + 1);
		fprintf(out, "%*s%s\n", MARGIN, "", text);
		return;
	}
	ladder_text(ladder, row, text, width - GAP + 1);
	if (row->number)
		fprintf(out, "%2u ", row->number);
	else
		fprintf(out, "%*s", MARGIN, "");
	fprintf(out, "%*s%s\n", ladder->column[row->thread] * width, "", text);
}

/* Where the rows stand, as many to a line as fit, a third of it each or more. */
static void print_places(const struct ladder *ladder, FILE *out)
{
	char place[300], text[320];
	size_t column = 0, next;
	unsigned int i;

	for (i = 0; i < ladder->nrows; i++) {
		if (!ladder->rows[i].number)
			continue;
		ladder_place(ladder, &ladder->rows[i], place, sizeof(place));
		snprintf(text, sizeof(text), "%2u %s", ladder->rows[i].number,
			 place);
		clip(text, LADDER_COLUMNS);
		next = column ? (column + GAP + 23) / 24 * 24 : 0;
		if (!column || next + strlen(text) > LADDER_COLUMNS) {
			putc('\n', out);
			column = next = 0;
		}
		fprintf(out, "%*s%s", (int)(next - column), "", text);
		column = next + strlen(text);
	}
	putc('\n', out);
}

void ladder_print(const struct ladder *ladder, FILE *out)
{
	unsigned int n = ladder->ncolumns ? ladder->ncolumns : 1, i;
	int width = (LADDER_COLUMNS - MARGIN + GAP) / (n < 2 ? 2 : n);

	print_head(ladder, out, width);
	for (i = 0; i < ladder->nrows; i++)
		print_row(ladder, out, &ladder->rows[i], width);
	print_places(ladder, out);
}
