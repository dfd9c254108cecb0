/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The explorer finds what is there, calls it by its name, and finds nothing
 * where there is nothing; its models allow what they should and no more; its
 * engines agree.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "explore/explore.h"
#include <uhmm/check.h>

static struct explore_report explore(const char *name,
				     struct explore_options options)
{
	struct uhmm_scenario *scenario = explore_find(name);
	struct explore_report report;

	assert_non_null(scenario);
	/* A limit of time would make what is found depend on the machine. */
	options.seconds = -1;
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
		"assertion", "choice", "unknown_call", "unknown_order",
		"trylock_fails", "at_once", "lock_cycle", "race_after",
		"race_unlocked", "race_read", "race_load",
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

/* Of who asks for no report, too: "rule_set_seq_missing: set-seq-missing: ...". */
static void each_rule_is_found(void **state)
{
	struct explore_options options = { 0 };
	unsigned int n = 0;

	for (struct uhmm_scenario *s = explore_scenarios(); s; s = s->next) {
		struct explore_report report;
		const char *rule, *text;

		if (strncmp(s->name, "rule_", 5))
			continue;
		report = explore(s->name, options);
		if (!report.trace)
			fail_msg("%s: nothing is found", s->name);
		assert_string_equal(trace_defect_name(report.trace->defect),
				    s->bad);
		text = report.trace->text;
		for (rule = s->name + 5; *rule; rule++, text++)
			if (*text != (*rule == '_' ? '-' : *rule))
				fail_msg("%s: %s", s->name, report.trace->text);
		assert_int_equal(*text, ':');
		explore_report_free(&report);
		n++;
	}
	assert_int_equal(n, UHMM_RULES);
}

/* All go on, and come back to where they were. */
static void a_livelock_is_shown(void **state)
{
	struct explore_options options = { .engine = EXPLORE_STATES };
	struct explore_report report = explore("politeness", options), again;
	const struct trace *t = report.trace;

	assert_non_null(t);
	assert_int_equal(t->defect, UHMM_DEFECT_LIVELOCK);
	assert_true(t->loop_from > 0);
	assert_int_equal(explore_replay(explore_find("politeness"), &options,
					t->steps, t->nsteps, &again), 0);
	assert_int_equal(again.trace->defect, t->defect);
	assert_int_equal(again.trace->loop_from, t->loop_from);
	explore_report_free(&report);
	explore_report_free(&again);
}

static void what_is_no_bug(void **state)
{
	static const char *const names[] = {
		"race_not", "rwlock_not", "race_release_not", "race_not_read",
		"lock_order_not",
		"wakeup_not", "spin_not", "tls_not", "keys_not", "choice_not",
		"alone_not", "good1", "good2",
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
		"reader_not", "readers_not",
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

/* Who takes a lock comes after all that was done before it was given back. */
static void nothing_is_tried_in_vain(void **state)
{
	const struct explore_options options = {
		.engine = EXPLORE_DPOR, .final_states = true,
	};
	struct explore_report report = explore("reader_not", options);

	assert_true(report.complete);
	assert_int_equal(report.traces, report.executions);
	assert_int_equal(report.phases[0].blocked, 0);
	explore_report_free(&report);
}

static const struct explore_phase *last_phase(const struct explore_report *report)
{
	return &report->phases[report->nphases - 1];
}

/* Under each model what others leave is gone through state by state, under sc. */
static void the_rest_is_done_by_states(void **state)
{
	struct explore_options options = {
		.model = EXPLORE_MODEL(UHMM_MODEL_C11), .executions = 2000 };
	struct explore_report report = explore("in_turn_not", options), again;
	const struct trace *t;

	assert_int_equal(last_phase(&report)->engine, EXPLORE_STATES);
	assert_int_equal(last_phase(&report)->model, UHMM_MODEL_SC);
	assert_true(last_phase(&report)->complete);
	assert_int_equal(report.model, UHMM_MODEL_C11);
	assert_false(report.complete);
	explore_report_free(&report);

	report = explore("in_turn", options);
	assert_int_equal(last_phase(&report)->engine, EXPLORE_STATES);
	t = report.trace;
	assert_non_null(t);
	assert_int_equal(report.model, UHMM_MODEL_SC);
	assert_int_equal(t->model, UHMM_MODEL_SC);
	options.model = EXPLORE_MODEL(t->model);
	assert_int_equal(explore_replay(explore_find("in_turn"), &options,
					t->steps, t->nsteps, &again), 0);
	assert_int_equal(again.trace->defect, UHMM_DEFECT_ASSERTION);
	explore_report_free(&report);
	explore_report_free(&again);
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

/* A search that ends at its first bad execution has seen no other. */
static void one_bad_execution_is_not_all(void **state)
{
	static const enum explore_engine engines[] = {
		EXPLORE_DPOR, EXPLORE_PREEMPTIONS, EXPLORE_STATES,
		EXPLORE_SLEEP, EXPLORE_BRUTE,
	};
	static const struct {
		const char *name;
		enum uhmm_result want;
	} known[] = {
		{ "bad_at_once", UHMM_RESULT_SOMETIMES },
		{ "at_once", UHMM_RESULT_ALWAYS },
		{ "bad_always", UHMM_RESULT_ALWAYS },
		{ "good1", UHMM_RESULT_NEVER },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		for (size_t e = 0; e < sizeof(engines) / sizeof(engines[0]); e++) {
			struct explore_report report = explore(known[i].name,
				(struct explore_options){ .engine = engines[e] });

			if (report.outcome != known[i].want)
				fail_msg("%s, %s: %d", known[i].name,
					 explore_engine_name(engines[e]),
					 report.outcome);
			explore_report_free(&report);
		}
}

/* Of threads that are alike any may be the first: n of them, n! orders are one. */
static void threads_alike_are_explored_once(void **state)
{
	static const struct {
		const char *name;
		unsigned int orders;
	} alike[] = { { "good1", 1 }, { "good2", 2 }, { "valid_bool", 2 },
		      { "rmw", 6 } };
	struct explore_options options = {
		.engine = EXPLORE_DPOR, .final_states = true, .go_on = true,
		.no_shrink = true };

	for (size_t i = 0; i < sizeof(alike) / sizeof(alike[0]); i++) {
		struct uhmm_scenario *s = explore_find(alike[i].name);
		struct explore_report one, all, states;
		unsigned int flags = s->flags;

		s->flags = UHMM_SCENARIO_SYMMETRIC;
		one = explore(s->name, options);
		options.engine = EXPLORE_STATES;
		states = explore(s->name, options);
		options.engine = EXPLORE_DPOR;
		s->flags = 0;
		all = explore(s->name, options);
		s->flags = flags;
		assert_true(one.complete && all.complete && states.complete);
		assert_int_equal(one.traces * alike[i].orders, all.traces);
		assert_int_equal(one.violations * alike[i].orders, all.violations);
		/* What is bad ends anywhere. */
		if (!one.violations)
			assert_int_equal(states.finals_hash, one.finals_hash);
		explore_report_free(&one);
		explore_report_free(&all);
		explore_report_free(&states);
	}
}

static unsigned int threads_in(const struct trace *trace)
{
	unsigned int threads = 0;

	for (unsigned int i = 0; i < trace->nsteps; i++)
		threads |= 1U << trace->steps[i].thread;
	return threads;
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

/* Each execution is run twice. */
static void all_is_under_control(void **state)
{
	static const char *const names[] = {
		"race_not", "rwlock_not", "wakeup_not", "spin_not", "tls_not",
		"keys_not", "choice_not", "sb_relaxed", "good2", "valid_bool",
	};
	struct explore_options options = {
		.executions = 500, .check_every = 1, .go_on = true,
		.no_shrink = true,
	};
	struct explore_report report;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int model = UHMM_MODEL_SC; model <= UHMM_MODEL_C11; model++)
			for (int e = EXPLORE_RANDOM; e <= EXPLORE_DPOR; e++) {
				options.model = EXPLORE_MODEL(model);
				options.engine = (enum explore_engine)e;
				report = explore(names[i], options);
				explore_report_free(&report);
			}
	options.engine = EXPLORE_RANDOM;
	assert_int_equal(explore_run(explore_find("two_courses"), &options,
				     &report), -EINVAL);
	assert_non_null(strstr(explore_error(), "took two courses"));
}

/* Two of the five threads have nothing to do with it. */
static void the_simplest_is_shown(void **state)
{
	struct explore_report report = explore("crowd",
					       (struct explore_options){ 0 });

	assert_non_null(report.trace);
	assert_int_equal(threads_in(report.trace), 1 << 0 | 1 << 2 | 1 << 4);
	assert_int_equal(report.trace->preemptions, 1);
	explore_report_free(&report);
}

/* What is learnt while a simpler one is looked for changes the steps of the first. */
static void the_first_is_found_again(void **state)
{
	const struct explore_options options = { .engine = EXPLORE_RANDOM };
	struct explore_report report = explore("learnt_late", options);

	assert_true(report.violations > 0);
	assert_non_null(report.trace);
	assert_int_equal(report.trace->defect, UHMM_DEFECT_ASSERTION);
	assert_true(report.trace->preemptions > 3);
	explore_report_free(&report);
}

/* ------------------------------------------------------------------- splitting */

/* In the order that it is in, without help of an execution with another one. */
static void one_execution_shows_a_race(void **state)
{
	static const char *const names[] = { "race", "race_read", "race_load" };
	const struct explore_options options = {
		.engine = EXPLORE_DPOR, .executions = 1,
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct explore_report report = explore(names[i], options);

		assert_int_equal(report.phases[0].executions, 1);
		assert_int_equal(report.phases[0].violations, 1);
		explore_report_free(&report);
	}
}

static char prefixes[4096][160];
static unsigned int nprefixes;

static void keep_prefix(const char *prefix, void *arg)
{
	assert_true(nprefixes < 4096);
	snprintf(prefixes[nprefixes++], sizeof(prefixes[0]), "%s", prefix);
}

/* What a process that explores some of the parts finds. */
static struct {
	struct explore_report sum;
	uint64_t finals[4096];
	unsigned int nfinals;
} found;

static void keep_final(uint64_t hash, void *arg)
{
	unsigned int i;

	for (i = 0; i < found.nfinals && found.finals[i] != hash; i++)
		;
	assert_true(i < 4096);
	found.finals[i] = hash;
	found.nfinals += i == found.nfinals;
}

static int start_on_parts(const char *name, struct explore_options options,
			  unsigned int first, unsigned int step)
{
	struct explore_report part;
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	if (fork()) {
		close(fds[1]);
		return fds[0];
	}
	memset(&found, 0, sizeof(found));
	found.sum.complete = true;
	for (unsigned int i = first; i < nprefixes; i += step) {
		options.prefix = prefixes[i];
		if (explore_run(explore_find(name), &options, &part))
			_exit(1);
		explore_merge(&found.sum, &part);
		explore_report_free(&part);
	}
	_exit(write(fds[1], &found, sizeof(found)) != sizeof(found));
}

/* All of it from a process that ends; the rest is not read before. */
static void add_parts_of(int fd, struct explore_report *sum)
{
	size_t have = 0;
	ssize_t n;
	int status;

	while ((n = read(fd, (char *)&found + have, sizeof(found) - have)) > 0)
		have += (size_t)n;
	close(fd);
	assert_int_equal(have, sizeof(found));
	assert_true(wait(&status) > 0);
	assert_int_equal(status, 0);
	explore_merge(sum, &found.sum);
}

static void check_parts(const char *name)
{
	struct explore_options options = {
		.engine = EXPLORE_DPOR,
		.final_states = true,
		.final_fn = keep_final,
	};
	struct explore_report whole, part, sum = { .complete = true };
	uint64_t hashes = 0, hashes_of_parts = 0;
	static uint64_t both[8192];
	unsigned int n = 0, i;
	int fds[2];

	memset(&found, 0, sizeof(found));
	whole = explore(name, options);
	for (i = 0; i < found.nfinals; i++)
		hashes += found.finals[i];
	nprefixes = 0;
	options.split = 8;
	options.split_fn = keep_prefix;
	part = explore(name, options);
	explore_report_free(&part);
	assert_true(nprefixes > 1);
	options.split = 0;
	for (i = 0; i < 2; i++)
		fds[i] = start_on_parts(name, options, i, 2);
	for (i = 0; i < 2; i++) {
		add_parts_of(fds[i], &sum);
		memcpy(&both[n], found.finals,
		       found.nfinals * sizeof(found.finals[0]));
		n += found.nfinals;
	}
	memset(&found, 0, sizeof(found));
	for (i = 0; i < n; i++)
		keep_final(both[i], NULL);
	for (i = 0; i < found.nfinals; i++)
		hashes_of_parts += found.finals[i];
	assert_int_equal(sum.executions, whole.executions);
	assert_int_equal(sum.violations, whole.violations);
	assert_int_equal(sum.traces, whole.traces);
	assert_int_equal(found.nfinals, whole.finals);
	assert_int_equal(hashes_of_parts, hashes);
	assert_true(sum.complete);
	explore_report_free(&whole);
}

static void parts_add_up(void **state)
{
	check_parts("good2");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(litmus_sc),
		cmocka_unit_test(litmus_tso),
		cmocka_unit_test(litmus_c11),
		cmocka_unit_test(bugs_are_named),
		cmocka_unit_test(one_execution_shows_a_race),
		cmocka_unit_test(each_rule_is_found),
		cmocka_unit_test(a_livelock_is_shown),
		cmocka_unit_test(what_is_no_bug),
		cmocka_unit_test(engines_agree),
		cmocka_unit_test(nothing_is_tried_in_vain),
		cmocka_unit_test(the_rest_is_done_by_states),
		cmocka_unit_test(checkpoints_change_nothing),
		cmocka_unit_test(one_bad_execution_is_not_all),
		cmocka_unit_test(threads_alike_are_explored_once),
		cmocka_unit_test(replay_is_the_same),
		cmocka_unit_test(all_is_under_control),
		cmocka_unit_test(the_simplest_is_shown),
		cmocka_unit_test(the_first_is_found_again),
		cmocka_unit_test(parts_add_up),
	};
	char error[300];

	if (explore_load(argv[1], error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
