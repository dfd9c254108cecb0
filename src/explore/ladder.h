/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An execution as kernel mails draw it: one column per CPU, time downwards.
 * Made from the record alone: the same record gives the same ladder.
 *
 *	struct ladder ladder;
 *	ladder_make(&ladder, trace, LADDER_ROWS);
 *	ladder_print(&ladder, stdout);
 *	ladder_free(&ladder);
 */
#ifndef EXPLORE_LADDER_H
#define EXPLORE_LADDER_H

#include <stdbool.h>
#include <stdio.h>

#include "explore/trace.h"

#define LADDER_COLUMNS	72	/* as many as a mail has */
#define LADDER_ROWS	25

enum ladder_kind {
	LADDER_EVENT,		/* one event, or a call of which one is shown */
	LADDER_CALL,		/* a call that nobody came between */
	LADDER_AGAIN,		/* over all columns: rows that come again */
	LADDER_FOREVER,		/* over all columns: what follows repeats */
	LADDER_BAD,		/* what the event above it showed */
	LADDER_BLOCKED,		/* what a thread waits for at the end */
	LADDER_HELD		/* and which locks it holds */
};

/**
 * struct ladder_row - a row
 * @kind: what it is
 * @thread: whose; index into &trace.threads
 * @first: its first event, -1: none
 * @last: its last event
 * @best: the event that it shows
 * @times: of LADDER_AGAIN: how often @rows rows come again
 * @rows: see @times
 * @number: of what has an event: from 1 on
 * @split: of LADDER_EVENT: it is part of a call that others come between
 * @score: how much it tells; those that tell least are left out first
 */
struct ladder_row {
	enum ladder_kind kind;
	int thread;
	int first;
	int last;
	int best;
	unsigned int times;
	unsigned int rows;
	unsigned int number;
	bool split;
	int score;
};

/**
 * struct ladder - rows and columns
 * @trace: what it was made of
 * @rows: in time
 * @nrows: how many
 * @left_out: rows that told little
 * @column: of each thread, -1: it has none
 * @ncolumns: how many
 */
struct ladder {
	const struct trace *trace;
	struct ladder_row *rows;
	unsigned int nrows;
	unsigned int left_out;
	int column[UHMM_EXPLORE_THREADS];
	unsigned int ncolumns;
};

/* At most @max_rows rows, 0: all. 0 or -ENOMEM. */
int ladder_make(struct ladder *ladder, const struct trace *trace,
		unsigned int max_rows);
void ladder_free(struct ladder *ladder);

/* What stands in a row's column; at most @size - 1 characters, of ASCII. */
void ladder_text(const struct ladder *ladder, const struct ladder_row *row,
		 char *buf, size_t size);
/* "stale.c:41", or "slot.c:120 < stale.c:33": called from there. */
void ladder_place(const struct ladder *ladder, const struct ladder_row *row,
		  char *buf, size_t size);
/* The first line: what was found, in which scenario. */
void ladder_title(const struct ladder *ladder, char *buf, size_t size);
/* &trace.text, with the numbers of columns. */
void ladder_say(const struct ladder *ladder, char *buf, size_t size);
void ladder_print(const struct ladder *ladder, FILE *out);

#endif
