/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The simplest bad execution: it is looked for again, first where fewer threads
 * take part, then where there are fewer preemptions, and of what is found there
 * the shortest is taken.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"
#include "snapshot.h"

#define MOST_PREEMPTIONS 3

/* So much again is spent on it, in steps. */
static const uint64_t fewer_threads = 250000, fewer_preemptions = 1000000;

static struct {
	bool found;
	enum uhmm_defect defect;
	unsigned int threads;		/* that made steps */
	unsigned int preemptions, nsteps;
	enum explore_engine engine;
	unsigned int bound;
	struct trace_step steps[MAX_STEPS];
} bad;

void bad_forget(void)
{
	memset(&bad, 0, offsetof(typeof(bad), steps));
}

bool bad_found(void)
{
	return bad.found;
}

/* Less of what matters more? */
static bool is_simpler(unsigned int threads, unsigned int n)
{
	int fewer = __builtin_popcount(bad.threads) -
		    __builtin_popcount(threads);

	if (fewer)
		return fewer > 0;
	return n < bad.preemptions ||
	       (n == bad.preemptions && x.depth < bad.nsteps);
}

/* The execution that has just ended is bad. */
void bad_keep(void)
{
	unsigned int threads = moved_since(0), n = preemptions();

	if (bad.found && (x.defect != bad.defect || !is_simpler(threads, n)))
		return;
	bad.found = true;
	bad.defect = x.defect;
	bad.threads = threads;
	bad.preemptions = n;
	bad.engine = x.engine;
	bad.bound = x.bound;
	bad.nsteps = steps_get(bad.steps);
}

/* With more and more preemptions, until one is found that has no fewer. */
static int look_again(unsigned int threads, uint64_t *steps_left, bool at_once)
{
	unsigned int most = at_once || !bad.found ? MOST_PREEMPTIONS :
						    bad.preemptions;
	int ret = 0;

	x.engine = EXPLORE_PREEMPTIONS;
	x.only = threads | threads << MAX_THREADS;
	for (x.bound = 0; !ret && *steps_left && x.bound <= most &&
	     x.bound <= MOST_PREEMPTIONS; x.bound++) {
		struct explore_phase phase = { 0 };

		ret = search(&phase, (struct budget){ 20000, *steps_left },
			     at_once);
		*steps_left -= phase.steps < *steps_left ? phase.steps :
							   *steps_left;
		if (bad.found && bad.threads == threads &&
		    (at_once || bad.preemptions <= x.bound))
			break;
	}
	x.only = ~0U;
	return ret;
}

/* All sets of the threads that took part, the smallest first. */
static int with_fewer_threads(void)
{
	unsigned int all = bad.threads, rest = all & ~1U;
	int most = __builtin_popcount(all), ret = 0;
	uint64_t steps_left = fewer_threads;

	for (int n = 1; n < most && !ret && bad.threads == all; n++)
		for (unsigned int some = rest; some && !ret;) {
			some = (some - 1) & rest;
			if (__builtin_popcount(some | 1) == n &&
			    bad.threads == all)
				ret = look_again(some | 1, &steps_left, true);
		}
	return ret;
}

/*
 * As it was found first. What was learnt of memory since has changed its steps, see
 * run_anew(), so there may be more executions before it.
 */
static int find_again(enum explore_engine engine, unsigned int bound)
{
	struct explore_phase phase = { 0 };
	int ret;

	x.engine = engine;
	x.bound = bound;
	ret = search(&phase, (struct budget){ 4 * x.report->executions, 0 }, true);
	if (!ret && !bad.found)
		ret = explore_fail(-EINVAL, "a bad execution was not found again "
				   "when more was known of the memory it uses");
	return ret;
}

/* What it finds is not counted. */
static int shrink(void)
{
	struct explore_report *report = x.report, aside = *report;
	enum explore_engine engine = bad.engine;
	unsigned int bound = bad.bound;
	uint64_t steps_left = fewer_preemptions;
	int ret;

	x.report = &aside;
	ret = with_fewer_threads();
	if (!ret)
		ret = look_again(bad.found ? bad.threads : ~0U, &steps_left,
				 false);
	if (!ret && !bad.found)
		ret = find_again(engine, bound);
	x.report = report;
	return ret;
}

/* The simplest that there is, run again and written down. */
int bad_give(void)
{
	bool can_shrink = bad.defect != UHMM_DEFECT_LOCK_ORDER &&
			  bad.engine != EXPLORE_STATES &&
			  !x.options->no_shrink;
	enum explore_engine engine = bad.engine;
	int ret = 0;

	if (!bad.found)
		return 0;
	if (can_shrink)
		ret = shrink();
	if (ret)
		return ret;
	ret = run_forced(bad.steps, bad.nsteps, true);
	if (ret)
		return explore_fail(-EINVAL, "a bad execution took another "
				    "course when it was run again");
	x.report->trace = record_trace();
	if (!x.report->trace)
		return -ENOMEM;
	x.report->trace->engine = explore_engine_name(engine);
	if (x.defect != bad.defect)
		return explore_fail(-EINVAL, "a bad execution was not bad when "
				    "it was run again: %s, then %s",
				    trace_defect_name(bad.defect), x.text);
	if (x.defect == UHMM_DEFECT_TOO_LONG)
		x.report->unbounded = place_text(x.defect_pc);
	return 0;
}
