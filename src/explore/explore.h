/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The explorer: runs a scenario through its executions, says what was covered,
 * and gives back the trace of a bad one.
 *
 * Scenarios come in shared objects, see explore_load(): the explorer puts the
 * variables of the object, its heap and its stacks back before each execution.
 * One exploration at a time, from one thread of the process.
 */
#ifndef EXPLORE_EXPLORE_H
#define EXPLORE_EXPLORE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uhmm/explore.h>

#include "trace.h"

enum explore_engine {
	EXPLORE_AUTO = 0,	/* one after the other, but the last two */
	EXPLORE_RANDOM,
	EXPLORE_PCT,
	EXPLORE_PREEMPTIONS,	/* up to a bound */
	EXPLORE_DPOR,		/* source sets and sleep sets */
	EXPLORE_STATES,		/* each state once */
	EXPLORE_SLEEP,		/* sleep sets alone */
	EXPLORE_BRUTE,		/* everything */
	EXPLORE_NR_ENGINES
};

/* How things stand, now and then. */
struct explore_progress {
	enum explore_engine engine;
	unsigned int bound;		/* of preemptions */
	uint64_t executions;
	uint64_t states;
	uint64_t events;
	unsigned int depth;
	double seconds;
};

/**
 * struct explore_options - how to explore; all zero is the default
 * @engine: enum explore_engine
 * @model: -1 - enum uhmm_model; 0: as the scenario says
 * @seed: of random choices
 * @executions: at most, in each phase; 0: as many as it takes, random engines:
 *	1000, EXPLORE_AUTO: what it has set itself
 * @seconds: at most; 0: 20; < 0: as long as it takes
 * @stop: looked at now and then: end here if it is not 0; NULL: nobody does
 * @bound: the largest number of preemptions tried
 * @max_steps: of one execution; 0: 4000
 * @go_on: after a violation
 * @no_shrink: give back the first violation as it was found
 * @plain: plain accesses are rows of the trace too
 * @no_race: do not look for data races
 * @final_states: count distinct final states and traces, for the self-proof
 * @final_fn: called with a hash of each final state when it is new
 * @final_arg: for it
 * @check_every: every so many executions one is run twice, to see whether it
 *	comes out the same; 0: 997
 * @repeats: preemptions: those, too, that only repeat others
 * @keep_every: depth-first, the program is kept every so many steps, for later
 *	executions to go on from there; 0: as much as that costs
 * @weaken: labels of barriers to weaken, separated by ","; NULL: none
 * @progress: called now and then; NULL: not
 * @progress_arg: for it
 * @prefix: explore only what begins so; see explore_split()
 * @split: depth: write down prefixes instead, through @split_fn
 * @split_fn: called with each prefix, one line of text
 * @split_arg: for it
 */
struct explore_options {
	enum explore_engine engine;
	int model;
	uint64_t seed;
	uint64_t executions;
	double seconds;
	const volatile sig_atomic_t *stop;
	unsigned int bound;
	unsigned int max_steps;
	bool go_on;
	bool no_shrink;
	bool plain;
	bool no_race;
	bool final_states;
	void (*final_fn)(uint64_t hash, void *arg);
	void *final_arg;
	unsigned int check_every;
	bool repeats;
	unsigned int keep_every;
	const char *weaken;
	void (*progress)(const struct explore_progress *progress, void *arg);
	void *progress_arg;
	const char *prefix;
	unsigned int split;
	void (*split_fn)(const char *prefix, void *arg);
	void *split_arg;
};

#define EXPLORE_MODEL(model) (-1 - (int)(model))

/**
 * struct explore_phase - one engine's part
 * @engine: which
 * @bound: of preemptions, where that is bounded
 * @model: under which memory model
 * @complete: nothing was left out, but what @bound leaves out; by states: but
 *	data races
 * @executions: how many, those that were cut short as repetitions included
 * @blocked: these
 * @states: stateful: how many distinct ones
 * @violations: how many were bad
 * @steps: of all of them
 * @seconds: that it took
 */
struct explore_phase {
	enum explore_engine engine;
	unsigned int bound;
	enum uhmm_model model;
	bool complete;
	uint64_t executions;
	uint64_t blocked;
	uint64_t states;
	uint64_t violations;
	uint64_t steps;
	double seconds;
};

#define EXPLORE_PHASES 8
#define EXPLORE_MEASURES 8

/**
 * struct explore_report - what came out
 * @model: under which
 * @outcome: NEVER, SOMETIMES or ALWAYS (of what was covered; of a part: only if
 *	that is all of it); NONE: it was cut short before anything was found
 * @as_declared: @outcome is the scenario's result; with none: nothing is bad
 * @complete: everything was covered, under @model; by states: but data races
 * @cut_short: no time was left, or &explore_options.stop was set, before all
 *	was done that was to be done
 * @executions: altogether, repetitions not counted
 * @violations: how many of them were bad
 * @events: steps of all executions
 * @max_depth: steps of the longest one
 * @traces: @final_states: how many distinct ones
 * @finals: @final_states: how many distinct final states, and
 * @finals_hash: a hash of their set
 * @phases: what was done
 * @nphases: how many
 * @measures: largest values of uhmm_measure()
 * @nmeasures: how many
 * @unbounded: the place of a loop that did not end, or NULL
 * @trace: a bad execution, the simplest that was found; NULL: none
 * @seconds: that it took
 */
struct explore_report {
	enum uhmm_model model;
	enum uhmm_result outcome;
	bool as_declared;
	bool complete;
	bool cut_short;
	uint64_t executions;
	uint64_t violations;
	uint64_t events;
	unsigned int max_depth;
	uint64_t traces;
	uint64_t finals;
	uint64_t finals_hash;
	struct explore_phase phases[EXPLORE_PHASES];
	unsigned int nphases;
	struct {
		const char *what;
		unsigned long value;
	} measures[EXPLORE_MEASURES];
	unsigned int nmeasures;
	char *unbounded;
	struct trace *trace;
	double seconds;
};

/*
 * Scenarios of a shared object; they are in the list of all from then on. 0,
 * or -ENOENT with the loader's words in @error.
 */
int explore_load(const char *path, char *error, size_t size);
/* The list of all, in the order of their registration; ends with NULL. */
struct uhmm_scenario *explore_scenarios(void);
struct uhmm_scenario *explore_find(const char *name);

/*
 * 0: it was explored, see @ret_report; -EINVAL: unknown label to weaken, or a
 * prefix that does not fit; -ENOMEM; -EOPNOTSUPP: the engine does not know the
 * model, or there is no debug information for @weaken. explore_error() has it
 * in words.
 */
int explore_run(struct uhmm_scenario *scenario,
		const struct explore_options *options,
		struct explore_report *ret_report);

/*
 * Run one execution again. 0; -EINVAL: the scenario took another course than
 * @steps, and explore_error() names the first step that differs.
 */
int explore_replay(struct uhmm_scenario *scenario,
		   const struct explore_options *options,
		   const struct trace_step *steps, unsigned int nsteps,
		   struct explore_report *ret_report);

/*
 * Add @from, of another part of the same exploration, to @to, which begins with
 * nothing but @complete. Parts can share final states: they are not added up, see
 * &explore_options.final_fn.
 */
void explore_merge(struct explore_report *to,
		   const struct explore_report *from);

void explore_report_free(struct explore_report *report);
const char *explore_error(void);
const char *explore_engine_name(enum explore_engine engine);

/* Called before each row of a replay is carried out, for --gdb. */
extern void (*explore_at_row)(unsigned int row);

/* Labels that can be weakened: fn for each; the number of them is returned. */
unsigned int explore_labels(void (*fn)(const char *label, const char *file,
				       int line, void *arg), void *arg);

#endif
