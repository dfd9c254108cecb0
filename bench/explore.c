/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How fast the explorer is, in processor time of its one thread; in rates the
 * time to open the scenario is left out.
 */
#include <time.h>

#include "bench.h"
#include "explore/explore.h"

#define RUNS 15

static struct bench *bench;

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds of processor time; < 0: it did not do what it should. */
static double explore(const char *name, struct explore_options options,
		      struct explore_report *ret)
{
	struct uhmm_scenario *scenario = explore_find(name);
	double begun = cpu();

	if (!scenario || explore_run(scenario, &options, ret))
		return -1;
	explore_report_free(ret);
	return cpu() - begun;
}

static void figure(const char *test, const char *unit, struct quartiles value)
{
	struct figure f = {
		.section = "The explorer", .test = test, .unit = unit,
		.value = value,
	};

	bench_figure(bench, &f);
}

/* Executions a second, in millions. */
static double rate(const char *test, const char *name, uint64_t executions)
{
	struct explore_options one = {
		.engine = EXPLORE_DPOR, .executions = 1, .seconds = -1,
	}, many = one;
	struct explore_report report;
	double rates[RUNS], open = -1, seconds;
	struct quartiles q;
	unsigned int n;

	many.executions = executions;
	/* The first one finds nothing in the caches. */
	for (n = 0; n < 5; n++) {
		seconds = explore(name, one, &report);
		if (seconds < 0)
			return -1;
		if (open < 0 || seconds < open)
			open = seconds;
	}
	for (n = 0; n < RUNS && !bench_over(bench); n++) {
		seconds = explore(name, many, &report);
		if (seconds < 0)
			return -1;
		rates[n] = (double)(report.phases[0].executions - 1) /
			   (seconds - open) * 1e-6;
	}
	q = bench_quartiles(rates, n);
	figure(test, "M executions/s", q);
	return n ? q.median : -1;
}

/* Seconds until there is nothing left. */
static double whole(const char *test, const char *name,
		    enum explore_engine engine)
{
	struct explore_options options = { .engine = engine, .seconds = 15 };
	struct explore_report report;
	double seconds;

	if (bench_over(bench))
		return -1;
	seconds = explore(name, options, &report);
	if (seconds < 0 || !report.complete)
		return -1;
	figure(test, "s", bench_one(seconds));
	return seconds;
}

/* Default settings, to the ladder: the slowest of all that are bad. */
static double ladders(void)
{
	struct explore_options options = { .seconds = -1 };
	struct explore_report report;
	double seconds[256], most = -1;
	unsigned int n = 0;

	for (struct uhmm_scenario *s = explore_scenarios(); s; s = s->next) {
		if (s->result != UHMM_RESULT_SOMETIMES &&
		    s->result != UHMM_RESULT_ALWAYS)
			continue;
		if (bench_over(bench) || n == 256)
			return -1;
		seconds[n] = explore(s->name, options, &report);
		if (seconds[n] < 0 || !report.violations)
			return -1;
		if (seconds[n] > most)
			most = seconds[n];
		n++;
	}
	figure("the ladder of a known-bad scenario", "s",
	       bench_quartiles(seconds, n));
	return most;
}

static void target(const char *id, const char *what, double value, double wanted,
		   bool at_most, const char *unit)
{
	struct target t = {
		.id = id, .what = what, .value = value, .wanted = wanted,
		.at_most = at_most, .unit = unit,
	};

	bench_target(bench, &t);
}

static void all(void)
{
	double protocol, fast, three, four, ladder;

	protocol = rate("protocol, 1 fault, 2 invalidations", "good2", 0);
	fast = rate("fast scheme, bare, likewise", "fault2_uhmm", 2000);
	three = whole("protocol, 3 invalidations, dpor", "good3", EXPLORE_DPOR);
	four = whole("protocol, 4 invalidations, states", "good4",
		     EXPLORE_STATES);
	ladder = ladders();
	target("E1", "protocol, executions/s/core", protocol, 0.8, false, "M/s");
	target("E2", "fast scheme, executions/s/core", fast, 0.2, false, "M/s");
	target("E3", "3 invalidations, complete, dpor", three, 3, true, "s");
	target("E4", "4 invalidations, complete, states", four, 5, true, "s");
	target("E5", "slowest ladder, default settings", ladder, 0.2, true, "s");
}

int main(int argc, char **argv)
{
	static const char *const objects[] = { EXPLORED };
	struct bench b;
	char error[300];

	bench_init(&b, "explore", argc, argv);
	bench = &b;
	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++)
		if (explore_load(objects[i], error, sizeof(error)))
			bench_missing(&b, objects[i], error);
	all();
	return bench_finish(&b);
}
