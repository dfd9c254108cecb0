/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The explorer finds what is there, calls it by its name, and finds nothing
 * where there is nothing; its models allow what they should and no more; its
 * engines agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "explore/explore.h"

static struct explore_report explore(const char *name,
				     struct explore_options options)
{
	struct uhmm_scenario *scenario = explore_find(name);
	struct explore_report report;

	assert_non_null(scenario);
	if (explore_run(scenario, &options, &report))
		fail_msg("%s: %s", name, explore_error());
	return report;
}

/* ------------------------------------------------------------------ litmus */

#define NO UHMM_RESULT_NEVER
#define YES UHMM_RESULT_SOMETIMES

static const struct {
	const char *name;
	enum uhmm_result sc, tso, c11;
} shapes[] = {
	{ "sb_relaxed", NO, YES, YES },
	{ "sb_acqrel", NO, YES, YES },
	{ "sb_fence", NO, NO, NO },
	{ "sb_acqrel_fence", NO, YES, YES },
	{ "sb_sc", NO, NO, NO },
	{ "sb_rmw", NO, NO, YES },
	{ "sb_membarrier", NO, NO, NO },
	{ "mp_relaxed", NO, NO, YES },
	{ "mp_release", NO, NO, YES },
	{ "mp_acquire", NO, NO, YES },
	{ "mp_acqrel", NO, NO, NO },
	{ "mp_fence", NO, NO, NO },
	{ "mp_rmw", NO, NO, NO },
	{ "iriw_acqrel", NO, NO, YES },
	{ "iriw_sc", NO, NO, NO },
	{ "two_writes_relaxed", NO, NO, YES },
	{ "two_writes_release", NO, NO, YES },
	{ "two_writes_fence", NO, NO, NO },
	{ "corr", NO, NO, NO },
	{ "rmw", NO, NO, NO },
};

static void check_shapes(enum uhmm_model model)
{
	struct explore_options options = {
		.engine = EXPLORE_DPOR,
		.model = EXPLORE_MODEL(model),
		.go_on = true,
		.no_shrink = true,
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct explore_report report = explore(shapes[i].name, options);
		enum uhmm_result want = model == UHMM_MODEL_SC ? shapes[i].sc :
					model == UHMM_MODEL_TSO ? shapes[i].tso :
								  shapes[i].c11;

		if (report.outcome != want || !report.complete)
			fail_msg("%s under %s: %d, not %d%s", shapes[i].name,
				 trace_model_name(model), report.outcome, want,
				 report.complete ? "" : ", not complete");
		explore_report_free(&report);
	}
}

static void litmus_sc(void **state)
{
	check_shapes(UHMM_MODEL_SC);
}

static void litmus_tso(void **state)
{
	check_shapes(UHMM_MODEL_TSO);
}

static void litmus_c11(void **state)
{
	check_shapes(UHMM_MODEL_C11);
}

/* -------------------------------------------------------------------- classes */

static void bugs_are_named(void **state)
{
	static const char *const names[] = {
		"race", "race_relaxed", "rwlock_race", "uaf", "lock_order",
		"held_wait", "lost_wakeup", "sleeps", "livelock", "too_long",
		"assertion", "choice", "unknown_call", "trylock_fails",
	};
	struct explore_options options = { 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct uhmm_scenario *s = explore_find(names[i]);
		struct explore_report report = explore(names[i], options);
		const char *found = "nothing";

		if (report.trace)
			found = trace_defect_name(report.trace->defect);
		if (strcmp(found, s->bad))
			fail_msg("%s: %s, not %s (%s)", names[i], found, s->bad,
				 report.trace ? report.trace->text : "");
		explore_report_free(&report);
	}
}

static void what_is_no_bug(void **state)
{
	static const char *const names[] = {
		"race_not", "rwlock_not", "race_release_not", "lock_order_not",
		"wakeup_not", "spin_not", "tls_not", "keys_not", "choice_not",
		"good1", "good2",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct explore_options options = { 0 };
		struct explore_report report = explore(names[i], options);

		if (report.outcome != UHMM_RESULT_NEVER || !report.complete)
			fail_msg("%s: %s%s", names[i], report.trace ?
				 report.trace->text : "",
				 report.complete ? "" : ", not complete");
		explore_report_free(&report);
	}
}

/* --------------------------------------------------------------------- engines */

static void engines_agree(void **state)
{
	static const char *const names[] = {
		"sb_relaxed", "sb_fence", "two_writes_relaxed", "corr",
		"race_not", "trylock_fails", "wakeup_not", "choice_not",
	};
	static const enum explore_engine engines[] = {
		EXPLORE_BRUTE, EXPLORE_SLEEP, EXPLORE_DPOR, EXPLORE_STATES,
	};
	struct explore_report first, report;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int model = UHMM_MODEL_SC; model <= UHMM_MODEL_C11; model++)
			for (size_t e = 0; e < 4; e++) {
				report = explore(names[i],
					(struct explore_options){
					.engine = engines[e],
					.model = EXPLORE_MODEL(model),
					.final_states = true,
					.go_on = true,
					.no_shrink = true,
				});
				if (!e)
					first = report;
				if (report.finals_hash != first.finals_hash ||
				    (engines[e] != EXPLORE_STATES &&
				     report.traces != first.traces) ||
				    !report.complete)
					fail_msg("%s, %s, %s: %lu finals, %lu "
						 "traces, not %lu, %lu",
						 names[i],
						 trace_model_name(model),
						 explore_engine_name(engines[e]),
						 report.finals, report.traces,
						 first.finals, first.traces);
				explore_report_free(&report);
			}
}

/* Where executions begin: at their beginning, or behind what they share. */
static void checkpoints_change_nothing(void **state)
{
	static const char *const names[] = {
		"race", "race_relaxed", "rwlock_race", "uaf", "lock_order",
		"held_wait", "lost_wakeup", "sleeps", "assertion", "choice",
		"trylock_fails", "good2", "valid_bool", "tls_not", "keys_not",
	};
	static const unsigned int every[] = { 100000, 1, 2, 7, 0 };
	struct explore_report first = { 0 }, report;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int e = 0; e < 10; e++) {
			report = explore(names[i], (struct explore_options){
				.engine = e < 5 ? EXPLORE_DPOR :
						  EXPLORE_PREEMPTIONS,
				.bound = 2,
				.executions = 3000,
				.keep_every = every[e % 5],
				.final_states = true,
				.go_on = true,
				.no_shrink = true,
			});
			if (e % 5 == 0)
				first = report;
			assert_int_equal(report.executions, first.executions);
			assert_int_equal(report.violations, first.violations);
			assert_int_equal(report.events, first.events);
			assert_int_equal(report.traces, first.traces);
			assert_int_equal(report.finals_hash, first.finals_hash);
			explore_report_free(&report);
		}
}

static void replay_is_the_same(void **state)
{
	struct explore_options options = { 0 };
	struct explore_report first = explore("valid_bool", options), again;
	struct trace *t = first.trace;

	assert_non_null(t);
	assert_int_equal(t->defect, UHMM_DEFECT_STALE);
	assert_int_equal(t->preemptions, 1);
	assert_int_equal(explore_replay(explore_find("valid_bool"), &options,
					t->steps, t->nsteps, &again), 0);
	assert_int_equal(again.trace->defect, t->defect);
	assert_int_equal(again.trace->nevents, t->nevents);
	for (unsigned int i = 0; i < t->nevents; i++) {
		assert_int_equal(again.trace->events[i].kind, t->events[i].kind);
		assert_int_equal(again.trace->events[i].value,
				 t->events[i].value);
	}
	explore_report_free(&first);
	explore_report_free(&again);
}

/* ------------------------------------------------------------------- splitting */

static char prefixes[4096][160];
static unsigned int nprefixes;

static void keep_prefix(const char *prefix, void *arg)
{
	assert_true(nprefixes < 4096);
	snprintf(prefixes[nprefixes++], sizeof(prefixes[0]), "%s", prefix);
}

static void parts_add_up(void **state)
{
	struct explore_options options = {
		.engine = EXPLORE_DPOR,
		.final_states = true,
	};
	struct explore_report whole = explore("good2", options);
	struct explore_report sum = { 0 }, part;

	nprefixes = 0;
	options.split = 8;
	options.split_fn = keep_prefix;
	part = explore("good2", options);
	explore_report_free(&part);
	assert_true(nprefixes > 1);
	options.split = 0;
	for (unsigned int i = 0; i < nprefixes; i++) {
		options.prefix = prefixes[i];
		part = explore("good2", options);
		explore_merge(&sum, &part);
		explore_report_free(&part);
	}
	assert_int_equal(sum.executions, whole.executions);
	assert_int_equal(sum.traces, whole.traces);
	assert_true(sum.complete);
	explore_report_free(&whole);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(litmus_sc),
		cmocka_unit_test(litmus_tso),
		cmocka_unit_test(litmus_c11),
		cmocka_unit_test(bugs_are_named),
		cmocka_unit_test(what_is_no_bug),
		cmocka_unit_test(engines_agree),
		cmocka_unit_test(checkpoints_change_nothing),
		cmocka_unit_test(replay_is_the_same),
		cmocka_unit_test(parts_add_up),
	};
	char error[300];

	if (explore_load(argv[1], error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
