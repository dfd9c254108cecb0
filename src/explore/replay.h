/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An execution as a file that can be sent to somebody: what it takes to run it
 * again, and what then has to happen. Lines of a word and what belongs to it:
 *
 *	uhmm-replay 1
 *	scenario stale_valid_bool
 *	object ./mine.so		of a user's scenario
 *	build 51c4e0			of the object that the scenario is in
 *	model sc
 *	engine bounded
 *	weaken SLOT-SEEN,SET-SEQ
 *	schedule 1*12 2*3 1@2 9*1	thread*steps; thread@choice is one step
 *	op 1 store pte = 2 stale.c:30	the events in their order
 *
 * A line that begins with # says nothing. Threads from UHMM_EXPLORE_THREADS on
 * are those whose stores become visible.
 */
#ifndef EXPLORE_REPLAY_H
#define EXPLORE_REPLAY_H

#include <stdio.h>

#include "explore/trace.h"

#define REPLAY_MAX_STEPS 1000000U

/**
 * struct replay - what a file says
 * @scenario: never empty
 * @object: "": the scenario came with the tool
 * @build: "": not said
 * @engine: likewise
 * @weaken: likewise
 * @model: memory model
 * @steps: the schedule
 * @nsteps: its length
 * @ops: what each event looked like, see replay_op()
 * @nops: how many
 * @text: private: what the strings point into
 */
struct replay {
	const char *scenario;
	const char *object;
	const char *build;
	const char *engine;
	const char *weaken;
	enum uhmm_model model;
	struct trace_step *steps;
	unsigned int nsteps;
	const char **ops;
	unsigned int nops;
	char *text;
};

/* @object and @build as in &struct replay. 0 or -EIO. */
int replay_write(FILE *out, const struct trace *trace, const char *object,
		 const char *build);

/*
 * 0; -ENOMEM; -EINVAL: @problem says in which line what is wrong. @text need
 * not end with anything.
 */
int replay_parse(struct replay *replay, const char *text, size_t size,
		 char *problem, size_t problem_size);
void replay_free(struct replay *replay);

/* An event without what differs from run to run: "1 store pte = 2 stale.c:30". */
void replay_op(const struct trace_event *event, char *buf, size_t size);

/* Did the same happen? 0; -ESTALE: @problem names the first that differs. */
int replay_compare(const struct replay *replay, const struct trace *trace,
		   char *problem, size_t problem_size);

#endif
