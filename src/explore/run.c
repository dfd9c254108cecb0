/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Many executions: engines one after the other, and what they covered.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "set.h"
#include "world.h"

#define LEARN_EXECUTIONS 64
#define PROGRESS_EVERY 8192
#define FOUND_EXECUTIONS 500
#define FOUND_STEPS 100000
#define LOOK_EVERY 256		/* executions: is there time left? */

/*
 * How far to go where nobody says it: in executions and steps, so that what
 * comes out is the same on any machine. All of it takes a second or two.
 */
static const struct budget random_budget = { 2000, 400000 },
	last_budget = { 0, 8000000 }, states_budget = { 0, 1200000 };
/* Of all bounds together; a step costs more where none is kept on the way. */
static const uint64_t bounded_steps = 17000000, bounded_steps_c11 = 8000000;

#define MOST_PREEMPTIONS 3

static char error[300];
static double began, deadline;
static struct set traces, finals;

int explore_fail(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof(error), format, args);
	va_end(args);
	return code;
}

const char *explore_error(void)
{
	return error;
}

const char *explore_engine_name(enum explore_engine engine)
{
	static const char *const names[] = {
		[EXPLORE_AUTO] = "auto",
		[EXPLORE_RANDOM] = "random",
		[EXPLORE_PCT] = "pct",
		[EXPLORE_PREEMPTIONS] = "preemptions",
		[EXPLORE_DPOR] = "dpor",
		[EXPLORE_STATES] = "states",
		[EXPLORE_SLEEP] = "sleep",
		[EXPLORE_BRUTE] = "brute",
	};

	return (unsigned int)engine < ARRAY_SIZE(names) ? names[engine] : "?";
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ------------------------------------------------------------------ decisions */

unsigned int steps_get(struct trace_step *to)
{
	for (unsigned int i = 0; i < x.depth; i++) {
		to[i].thread = x.nodes[i].chosen;
		to[i].choice = x.nodes[i].choice;
	}
	return x.depth;
}

unsigned int preemptions(void)
{
	unsigned int n = 0;
	int last = -1;

	for (unsigned int i = 0; i < x.depth; i++) {
		const struct node *node = &x.nodes[i];

		if (node->chosen >= MAX_THREADS)
			continue;
		n += last >= 0 && node->chosen != last &&
		     node->enabled >> last & 1;
		last = node->chosen;
	}
	return n;
}

/* ------------------------------------------------------- one, and what it shows */

static uint64_t trace_hash(void)
{
	uint64_t sum = (uint64_t)x.end * 77;

	for (unsigned int i = 0; i < x.nevents; i++)
		sum += event_hash(&x.events[i]);
	return sum;
}

static uint64_t course_hash(void)
{
	uint64_t hash = (uint64_t)x.end * 5 + (uint64_t)x.defect;

	for (unsigned int i = 0; i < x.nevents; i++) {
		const struct event *e = &x.events[i];

		hash = mix(hash * 31 + e->actor * 64U + e->kind);
		for (unsigned int k = 0; k < e->ntouch; k++)
			hash = mix(hash * 31 + e->touch[k].object);
	}
	return hash ^ world_hash();
}

static uint64_t final_hash(void)
{
	uint64_t hash = world_hash();

	return mix(hash * 31 + (uint64_t)x.end * 17 + (uint64_t)x.defect);
}

static void final_add(void)
{
	uint64_t hash = final_hash();

	if (set_add(&finals, hash)) {
		x.report->finals_hash += mix(hash);
		if (x.options->final_fn)
			x.options->final_fn(hash, x.options->final_arg);
	}
	x.report->finals = finals.n;
}

/* The same decisions again; 0, or -EINVAL: they cannot be made. */
int run_forced(const struct trace_step *steps, unsigned int n, bool record)
{
	do {
		x.again = false;
		checkpoints_drop();
		x.force = steps;
		x.forced = n;
		x.record = record;
		execution_run();
		checkpoints_drop();
		x.force = NULL;
		x.record = false;
	} while (x.again && x.end != END_RESTART);
	if (x.end == END_DIVERGED || x.end == END_RESTART || x.depth < n)
		return -EINVAL;
	return 0;
}

/* As it was, but that more is known of the memory that it uses. */
static void run_again(void)
{
	static struct trace_step steps[MAX_STEPS];

	if (x.end == END_DONE || x.end == END_BAD)
		run_forced(steps, steps_get(steps), false);
	else
		checkpoints_drop();	/* of those who did not know it */
	x.again = false;
}

static int check_determinism(void)
{
	static struct trace_step steps[MAX_STEPS];
	unsigned int n = steps_get(steps);
	uint64_t before = course_hash();
	enum end end = x.end;

	if (run_forced(steps, n, false) || course_hash() != before)
		return explore_fail(-EINVAL, "an execution that was run twice "
				    "took two courses: something that the "
				    "explorer does not control has a say");
	x.end = end;
	return 0;
}

void run_progress(const struct explore_phase *phase)
{
	struct explore_progress p = {
		.engine = x.engine,
		.bound = x.bound,
		.executions = x.report->executions,
		.states = phase->states,
		.events = x.report->events,
		.depth = x.report->max_depth,
		.seconds = now() - began,
	};

	if (x.options->progress)
		x.options->progress(&p, x.options->progress_arg);
}

bool out_of_time(void)
{
	x.report->cut_short |= (deadline > 0 && now() > deadline) ||
			       (x.options->stop && *x.options->stop);
	return x.report->cut_short;
}

/* Count what has just ended. < 0: error; > 0: enough. */
int run_count(struct explore_phase *phase)
{
	struct explore_report *report = x.report;

	phase->executions++;
	phase->steps += x.nevents;
	report->events += x.nevents;
	if (x.end == END_BLOCKED) {
		phase->blocked++;
		return 0;
	}
	report->executions++;
	if (x.depth > report->max_depth)
		report->max_depth = x.longest = x.depth;
	if (x.options->final_states) {
		set_add(&traces, trace_hash());
		report->traces = traces.n;
		final_add();
	}
	if (x.end == END_BAD) {
		report->violations++;
		phase->violations++;
		bad_keep();
	}
	if (!x.stateful && report->executions % x.check_every == 0)
		return check_determinism();
	return 0;
}

/*
 * What is written and no hook sees stays, so it is enough to look for it now and
 * then. Often at first, since all that came before was in vain.
 */
static bool begins_anew(const struct explore_phase *phase)
{
	bool look = phase->executions < 16 ||
		    phase->executions % LOOK_EVERY == 0;

	if (look && !world_verify())
		x.end = END_RESTART;
	return x.end == END_RESTART;
}

/* --------------------------------------------------------------------- phases */

static void search_begin(void)
{
	checkpoints_drop();
	x.replay_to = NOTHING_STANDS;
	x.open = -1;
	x.bound_cut = false;
	repeats_forget();
	memset(&x.nodes[0], 0, sizeof(x.nodes[0]));
}

static bool is_random(void)
{
	return x.engine == EXPLORE_RANDOM || x.engine == EXPLORE_PCT;
}

static bool enough_of(const struct explore_phase *phase, struct budget most)
{
	if ((most.executions && phase->executions >= most.executions) ||
	    (most.steps && phase->steps >= most.steps))
		return true;
	/* It was found; how often will do. */
	if (is_random() && phase->violations && !x.options->executions &&
	    (phase->executions >= FOUND_EXECUTIONS ||
	     phase->steps >= FOUND_STEPS))
		return true;
	if (phase->executions % PROGRESS_EVERY == 0)
		run_progress(phase);
	return phase->executions % LOOK_EVERY == 0 && out_of_time();
}

/* What was learnt changes the steps of what was found before. */
void run_anew(struct explore_phase *phase)
{
	struct explore_report *report = x.report;

	report->executions -= phase->executions - phase->blocked;
	report->violations -= phase->violations;
	phase->executions = phase->blocked = phase->violations = 0;
	bad_forget();
	set_clear(&traces);
	set_clear(&finals);
	report->finals_hash = 0;
	search_begin();
}

int search(struct explore_phase *phase, struct budget most, bool stop_at_bad)
{
	int ret = 0;

	search_begin();
	for (;;) {
		execution_run();
		if (x.again)
			run_again();
		if (begins_anew(phase)) {
			if (x.nprefix || x.split != ~0U)
				return explore_fail(-EINVAL, "what a part found "
						    "out changes the other "
						    "parts: not to be split");
			run_anew(phase);
			continue;
		}
		if (x.end == END_DIVERGED ||
		    (x.end == END_DONE && x.depth < x.nprefix))
			return explore_fail(-EINVAL, "the prefix does not fit");
		if (x.split == ~0U)
			ret = run_count(phase);
		else if (x.end != END_BLOCKED)
			prefix_print();
		if (ret)
			return ret;
		if (x.end == END_BAD && stop_at_bad && !x.options->go_on)
			return 0;
		if (enough_of(phase, most))
			return 0;
		if (is_random() || search_next(x.nprefix))
			continue;
		if (world_verify()) {
			phase->complete = true;
			return 0;
		}
		run_anew(phase);
	}
}

/*
 * Which locks are only tried, and the like, makes more or fewer steps. All
 * parts know the same of it, from the same executions.
 */
static void learn(void)
{
	uint64_t random = x.random;

	x.engine = EXPLORE_RANDOM;
	x.random = 1;
	for (unsigned int i = 0; i < LEARN_EXECUTIONS; i++)
		execution_run();
	x.random = random;
}

static struct explore_phase *phase_begin(enum explore_engine engine,
					 unsigned int bound)
{
	struct explore_phase *phase;

	if (x.report->nphases == EXPLORE_PHASES)
		x.report->nphases--;
	phase = &x.report->phases[x.report->nphases++];
	memset(phase, 0, sizeof(*phase));
	phase->engine = x.engine = engine;
	phase->bound = x.bound = bound;
	phase->model = x.model;
	phase->seconds = now();
	return phase;
}

static int phase_run(enum explore_engine engine, unsigned int bound,
		     struct budget most)
{
	struct explore_phase *phase = phase_begin(engine, bound);
	int ret;

	if (engine == EXPLORE_STATES)
		ret = states_run(phase, most);
	else
		ret = search(phase, most, !is_random());
	phase->seconds = now() - phase->seconds;
	if (phase->complete && phase->model == x.report->model &&
	    (engine != EXPLORE_PREEMPTIONS || !x.bound_cut))
		x.report->complete = true;
	return ret;
}

static bool done(void)
{
	return x.report->complete || out_of_time() ||
	       (bad_found() && !x.options->go_on);
}

/* What the user has said comes first. */
static struct budget wanted(struct budget budget)
{
	return x.options->executions ?
		       (struct budget){ x.options->executions, 0 } : budget;
}

/* One more preemption is tried once all is done with fewer. */
static int run_bounded(void)
{
	struct budget left = wanted((struct budget){ 0,
		x.model == UHMM_MODEL_C11 ? bounded_steps_c11 : bounded_steps });
	const struct explore_phase *phase;
	int ret = 0;

	for (unsigned int bound = 0; bound <= MOST_PREEMPTIONS && !ret &&
	     !done(); bound++) {
		ret = phase_run(EXPLORE_PREEMPTIONS, bound, left);
		phase = &x.report->phases[x.report->nphases - 1];
		if (!phase->complete || (left.steps && phase->steps >= left.steps))
			break;
		left.steps -= left.steps ? phase->steps : 0;
	}
	return ret;
}

/*
 * Each state once goes further than anything else, where there are states: under
 * sc. What is bad there is bad under each model.
 */
static int run_states(void)
{
	enum uhmm_model model = x.model;
	int ret;

	x.model = UHMM_MODEL_SC;
	ret = phase_run(EXPLORE_STATES, 0, wanted(states_budget));
	if (bad_found())
		x.report->model = x.model;
	else
		x.model = model;
	return ret;
}

static int run_all_phases(void)
{
	int ret;

	ret = phase_run(EXPLORE_RANDOM, 0, wanted(random_budget));
	if (!ret && !done())
		ret = phase_run(EXPLORE_PCT, 0, wanted(random_budget));
	if (!ret && !done())
		ret = run_bounded();
	if (!ret && !done())
		ret = phase_run(EXPLORE_DPOR, 0, wanted(last_budget));
	if (!ret && !done())
		ret = run_states();
	return ret;
}

static int run_engine(enum explore_engine engine)
{
	struct budget all = { 0 };
	int ret = 0;

	if (engine == EXPLORE_RANDOM || engine == EXPLORE_PCT)
		all.executions = 1000;
	if (engine != EXPLORE_PREEMPTIONS)
		return phase_run(engine, 0, wanted(all));
	for (unsigned int bound = 0; bound <= x.options->bound && !ret &&
	     !done(); bound++)
		ret = phase_run(engine, bound, wanted(all));
	return ret;
}

/*
 * A search that ends at its first bad execution does not know of any other:
 * whether there are such is left to chance.
 */
static int look_for_good(void)
{
	const struct explore_report *report = x.report;

	if (x.options->engine <= EXPLORE_PCT || x.options->prefix ||
	    report->complete || !report->violations ||
	    report->violations < report->executions)
		return 0;
	return phase_run(EXPLORE_RANDOM, 0,
			 (struct budget){ FOUND_EXECUTIONS,
					  random_budget.steps });
}

/* ------------------------------------------------------------------------ all */

static int begin(struct uhmm_scenario *scenario,
		 const struct explore_options *options,
		 struct explore_report *report)
{
	int ret;

	memset(report, 0, sizeof(*report));
	error[0] = '\0';
	began = now();
	deadline = options->seconds < 0 ? 0 :
		   began + (options->seconds > 0 ? options->seconds : 20);
	bad_forget();
	x.scenario = scenario;
	x.options = options;
	x.report = report;
	x.model = options->model ? (enum uhmm_model)(-1 - options->model) :
				   scenario->model;
	report->model = x.model;
	x.max_steps = options->max_steps ? options->max_steps : 4000;
	if (x.max_steps > MAX_STEPS - 64)
		x.max_steps = MAX_STEPS - 64;
	x.check_every = options->check_every ? options->check_every : 997;
	x.races = !options->no_race;
	x.random = mix(options->seed + 1) | 1;
	x.longest = 40;
	x.membarriers = x.yields = x.again = false;
	x.stateful = false;
	x.nprefix = 0;
	x.split = ~0U;
	x.only = ~0U;
	x.foreign_stacks = 0;
	x.force = NULL;
	x.record = false;
	x.engine = EXPLORE_RANDOM;
	set_clear(&traces);
	set_clear(&finals);
	objects_forget();
	names_forget();
	locks_forget();
	keys_forget();
	ret = world_open(scenario);
	if (!ret)
		ret = weaken_parse(options->weaken);
	if (!ret)
		ret = execution_setup();
	return ret;
}

/* It was over before it had a thread or a choice: that is all there is. */
static int take_setup(struct explore_report *report)
{
	report->executions = 1;
	report->complete = true;
	if (x.end != END_BAD)
		return 0;
	report->violations = 1;
	x.record = true;
	record_begin();
	record_note("before the first thread", x.defect_pc);
	x.record = false;
	report->trace = record_trace();
	if (!report->trace)
		return -ENOMEM;
	report->trace->engine = explore_engine_name(x.options->engine);
	return 0;
}

static void judge(struct explore_report *report)
{
	enum uhmm_result result = x.scenario->result;

	if (!report->violations)
		report->outcome = report->cut_short ? UHMM_RESULT_NONE :
						      UHMM_RESULT_NEVER;
	else if (report->violations == report->executions &&
		 (report->complete || !x.options->prefix))
		report->outcome = UHMM_RESULT_ALWAYS;
	else
		report->outcome = UHMM_RESULT_SOMETIMES;
	report->as_declared = result == UHMM_RESULT_NONE ?
		report->outcome == UHMM_RESULT_NEVER :
		report->outcome == result;
	report->seconds = now() - began;
}

static int run(void)
{
	int ret = prefix_parse(x.options->prefix);

	if (!ret && (x.nprefix || x.options->split))
		learn();
	x.split = x.options->split ? x.options->split : ~0U;
	if (!ret && x.split != ~0U)
		ret = phase_run(EXPLORE_SLEEP, 0, (struct budget){ 0 });
	else if (!ret && x.options->engine == EXPLORE_AUTO)
		ret = run_all_phases();
	else if (!ret)
		ret = run_engine(x.options->engine);
	x.nprefix = 0;
	x.split = ~0U;
	deadline = 0;
	if (!ret)
		ret = bad_give();
	return ret ? ret : look_for_good();
}

static int end(struct explore_report *report, int ret)
{
	judge(report);
	world_close();
	if (ret)
		explore_report_free(report);
	return ret;
}

int explore_run(struct uhmm_scenario *scenario,
		const struct explore_options *options,
		struct explore_report *ret_report)
{
	static const struct explore_options none;
	int ret = begin(scenario, options ? options : &none, ret_report);

	if (!ret)
		ret = x.setup_ended ? take_setup(ret_report) : run();
	return end(ret_report, ret);
}

static int replay(const struct trace_step *steps, unsigned int nsteps,
		  struct explore_report *report)
{
	int ret = -EINVAL;

	/* What the explorer learns from the first run makes it begin anew. */
	for (unsigned int tries = 0; tries < 3 && ret; tries++) {
		ret = run_forced(steps, nsteps, true);
		if (x.end != END_RESTART)
			break;
	}
	if (ret)
		return explore_fail(ret, "the scenario takes another course at "
				    "step %u", x.depth + 1);
	report->trace = record_trace();
	report->executions = 1;
	report->violations = x.end == END_BAD;
	return report->trace ? 0 : -ENOMEM;
}

int explore_replay(struct uhmm_scenario *scenario,
		   const struct explore_options *options,
		   const struct trace_step *steps, unsigned int nsteps,
		   struct explore_report *ret_report)
{
	static const struct explore_options none;
	int ret = begin(scenario, options ? options : &none, ret_report);

	if (!ret)
		ret = x.setup_ended && !nsteps ? take_setup(ret_report) :
						 replay(steps, nsteps, ret_report);
	return end(ret_report, ret);
}

void explore_merge(struct explore_report *to, const struct explore_report *from)
{
	to->executions += from->executions;
	to->violations += from->violations;
	to->events += from->events;
	to->traces += from->traces;
	if (from->max_depth > to->max_depth)
		to->max_depth = from->max_depth;
	to->complete &= from->complete;
	to->cut_short |= from->cut_short;
	to->outcome = !to->violations && to->cut_short ? UHMM_RESULT_NONE :
		      !to->violations ? UHMM_RESULT_NEVER :
		      to->violations == to->executions && to->complete ?
				UHMM_RESULT_ALWAYS : UHMM_RESULT_SOMETIMES;
	to->seconds += from->seconds;
}

void explore_report_free(struct explore_report *report)
{
	trace_free(report->trace);
	free(report->unbounded);
	report->trace = NULL;
	report->unbounded = NULL;
}
