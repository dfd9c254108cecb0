/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One execution, written down: who did what in which order, how it ended, and
 * what it takes to run it again. It stands alone: strings and all are its own.
 */
#ifndef EXPLORE_TRACE_H
#define EXPLORE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uhmm/explore.h>

enum trace_kind {
	TRACE_LOAD,		/* value */
	TRACE_STORE,		/* value */
	TRACE_RMW,		/* old, value; TRACE_FAILED: compared unequal */
	TRACE_FLUSH,		/* tso: a store of thread becomes visible */
	TRACE_FENCE,
	TRACE_MEMBARRIER,	/* value: the thread that passes a fence */
	TRACE_READ,		/* plain accesses, if asked for */
	TRACE_WRITE,
	TRACE_LOCK,		/* mutex, spinlock, semaphore for writing */
	TRACE_TRYLOCK,		/* TRACE_FAILED: it was taken */
	TRACE_UNLOCK,
	TRACE_READ_LOCK,
	TRACE_READ_TRYLOCK,
	TRACE_READ_UNLOCK,
	TRACE_WAIT,		/* goes to sleep; on a word: while it is value */
	TRACE_WOKEN,		/* goes on; TRACE_TIMEOUT: by itself */
	TRACE_WAKE,		/* value: how many were woken */
	TRACE_CREATE,		/* value: the new thread */
	TRACE_JOIN,		/* value: the thread that has ended */
	TRACE_EXIT,
	TRACE_YIELD,		/* goes on once something it read has changed */
	TRACE_SLEEP,		/* value: nanoseconds */
	TRACE_CHOOSE,		/* value, of old choices */
	TRACE_NOTE,		/* note */
	TRACE_FREE		/* memory given back: it may not be used again */
};

#define TRACE_FAILED	1
#define TRACE_TIMEOUT	2
#define TRACE_OLD	4	/* read a store that others have overwritten */
#define TRACE_WEAKENED	8	/* --weaken: with less order than written */
#define TRACE_POINTER	16	/* value is the address of what note names */

/**
 * struct trace_event - one row
 * @thread: whose; index into &trace.threads
 * @kind: enum trace_kind
 * @order: __ATOMIC_RELAXED and so on, of accesses and fences
 * @size: bytes accessed
 * @flags: TRACE_*
 * @choice: which of several outcomes it had, as &trace_step.choice
 * @step: index into &trace.steps of the step that it is part of
 * @from: of a load or read-modify-write: the event that stored what it read,
 *	-1: the value is from before
 * @addr: the object, NULL: none
 * @value: see enum trace_kind
 * @old: likewise
 * @object: name of @addr: given by uhmm_name(), or symbol, or as heap+0x10
 * @function: where in the code; the function, inlined ones too
 * @file: likewise; NULL if that is not known
 * @line: likewise
 * @caller_file: the place in the scenario's own files that led there, NULL: it
 *	is there itself, "": there is none, the thread was at its end
 * @caller_line: likewise
 * @call: the function that is called there, as it is spelt there; NULL: none
 * @note: text, of a TRACE_NOTE; see TRACE_POINTER
 */
struct trace_event {
	unsigned char thread;
	unsigned char kind;
	unsigned char order;
	unsigned char size;
	unsigned char flags;
	unsigned char choice;
	int step;
	int from;
	const void *addr;
	unsigned long value;
	unsigned long old;
	const char *object;
	const char *function;
	const char *file;
	int line;
	const char *caller_file;
	int caller_line;
	const char *call;
	const char *note;
};

/**
 * struct trace_thread - one column
 * @name: by uhmm_thread_name(), or that of its function
 * @ended: it has run to its end
 * @blocked_kind: else: what it is about to do or waits in, enum trace_kind
 * @blocked_object: on what
 * @blocked_by: the thread that holds it, -1: none
 * @held: names of the locks that it holds, separated by ", "; "" if none
 * @file: where it stands
 * @line: likewise
 */
struct trace_thread {
	const char *name;
	bool ended;
	unsigned char blocked_kind;
	const char *blocked_object;
	int blocked_by;
	const char *held;
	const char *file;
	int line;
};

/* One decision of the schedule: who goes on, and with which outcome. */
struct trace_step {
	unsigned char thread;	/* from UHMM_EXPLORE_THREADS on: their flushes */
	unsigned char choice;
};

/**
 * struct trace - an execution
 * @scenario: its name
 * @model: under which it ran
 * @engine: what found it
 * @defect: how it ended
 * @text: the same in words, one line, with what is special to it
 * @defect_thread: who noticed, -1: nobody, as in a deadlock
 * @loop_from: first event of the part that repeats for ever; -1: none
 * @other_file: of a race and of a wrong lock order: the other place
 * @other_line: likewise
 * @preemptions: switches away from a thread that could have gone on
 * @threads: columns
 * @nthreads: how many
 * @events: rows
 * @nevents: how many
 * @steps: what it takes to run it again
 * @nsteps: how many
 * @weaken: labels that were weakened, separated by ","; "" if none
 */
struct trace {
	const char *scenario;
	enum uhmm_model model;
	const char *engine;
	enum uhmm_defect defect;
	const char *text;
	int defect_thread;
	int loop_from;
	const char *other_file;
	int other_line;
	unsigned int preemptions;
	struct trace_thread *threads;
	unsigned int nthreads;
	struct trace_event *events;
	unsigned int nevents;
	struct trace_step *steps;
	unsigned int nsteps;
	const char *weaken;
};

const char *trace_kind_name(enum trace_kind kind);	/* "store" */
const char *trace_order_name(unsigned char order);	/* "release" */
const char *trace_model_name(enum uhmm_model model);	/* "sc", "tso", "c11" */
const char *trace_defect_name(enum uhmm_defect defect);	/* "stale access" */

void trace_free(struct trace *trace);

#endif
