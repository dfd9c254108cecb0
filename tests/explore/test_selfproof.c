/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The explorer, proved on small programs of random steps: brute force, sleep
 * sets, source sets, states and the sum of parts come to the same final states
 * and the same traces, under each memory model; so do all executions with few
 * preemptions, and those of them that repeat no other.
 *
 *	test_selfproof explored_test.so [PROGRAMS [FIRST]]
 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explore/explore.h"
#include "program.h"

#define MOST_EXECUTIONS 4000
#define SPLIT_DEPTH 4
#define NEVER_KEPT 1000

static struct program *program;
static unsigned long first, programs = 200;
static unsigned long left_out;

static uint64_t dice;

static unsigned int below(unsigned int n)
{
	dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)((dice >> 33) % n);
}

/* Two threads of up to four steps, or three of up to two. */
static void make(unsigned long number)
{
	unsigned int most;

	dice = number;
	below(2);
	memset(program, 0, sizeof(*program));
	program->nthreads = 2 + below(2);
	most = program->nthreads == 2 ? 4 : 2;
	for (unsigned int t = 0; t < program->nthreads; t++) {
		program->nsteps[t] = 1 + below(most);
		for (unsigned int i = 0; i < program->nsteps[t]; i++) {
			struct program_step *s = &program->steps[t][i];

			/* Half of all: loads and stores. */
			s->kind = (unsigned char)(below(2) ? below(2) :
						  below(PROGRAM_KINDS));
			s->word = (unsigned char)below(PROGRAM_WORDS);
			s->value = (unsigned char)(1 + below(3));
			s->strong = (unsigned char)below(2);
		}
	}
}

static struct explore_report explore(struct explore_options options)
{
	struct explore_report report;

	options.final_states = true;
	options.go_on = true;
	options.no_shrink = true;
	options.seconds = -1;
	if (explore_run(explore_find("program"), &options, &report))
		fail_msg("%s", explore_error());
	explore_report_free(&report);
	return report;
}

static void print_program(unsigned long number)
{
	static const char *const kinds[PROGRAM_KINDS] = {
		"load", "store", "add", "swap_if_zero", "fence", "locked_add",
		"trylock", "choose", "sleep", "wake",
	};

	print_message("program %lu:\n", number);
	for (unsigned int t = 0; t < program->nthreads; t++)
		for (unsigned int i = 0; i < program->nsteps[t]; i++) {
			struct program_step *s = &program->steps[t][i];

			print_message("thread %u: %s word %u, %u%s\n", t,
				      kinds[s->kind], s->word, s->value,
				      s->strong ? ", strong" : "");
		}
}

static void differ(unsigned long number, enum uhmm_model model,
		   const char *who, const struct explore_report *is,
		   const struct explore_report *want)
{
	print_program(number);
	fail_msg("%s: %s: %lu final states, %lu traces%s; brute force: %lu, %lu",
		 trace_model_name(model), who, is->finals, is->traces,
		 is->complete ? "" : " (not complete)", want->finals,
		 want->traces);
}

/* ------------------------------------------------------------------- parts */

static struct {
	char text[2048][160];
	unsigned int n;
	uint64_t finals[2 * MOST_EXECUTIONS];
	unsigned int nfinals;
} parts;

/* Parts can end in the same state. */
static void keep_final(uint64_t hash, void *hashes)
{
	for (unsigned int i = 0; i < parts.nfinals; i++)
		if (parts.finals[i] == hash)
			return;
	if (parts.nfinals == 2 * MOST_EXECUTIONS)
		fail_msg("too many final states");
	parts.finals[parts.nfinals++] = hash;
	*(uint64_t *)hashes += hash;
}

static void keep_part(const char *prefix, void *arg)
{
	if (parts.n == 2048)
		fail_msg("too many parts");
	snprintf(parts.text[parts.n++], sizeof(parts.text[0]), "%s", prefix);
}

static struct explore_report in_parts(enum uhmm_model model,
				      uint64_t *ret_hashes)
{
	struct explore_options options = {
		.engine = EXPLORE_DPOR,
		.model = EXPLORE_MODEL(model),
		.keep_every = 1,
		.split = SPLIT_DEPTH,
		.split_fn = keep_part,
	};
	struct explore_report sum = { .complete = true }, part;

	parts.n = parts.nfinals = 0;
	*ret_hashes = 0;
	explore(options);
	options.split = 0;
	options.final_fn = keep_final;
	options.final_arg = ret_hashes;
	for (unsigned int i = 0; i < parts.n; i++) {
		options.prefix = parts.text[i];
		part = explore(options);
		explore_merge(&sum, &part);
	}
	sum.finals = parts.nfinals;
	return sum;
}

/* --------------------------------------------------------------- comparison */

/* What only repeats others, with preemptions counted, is left out. */
static void bounded_agree(unsigned long number, enum uhmm_model model)
{
	struct explore_options options = {
		.engine = EXPLORE_PREEMPTIONS,
		.model = EXPLORE_MODEL(model),
		.prefix = "",	/* all, and nothing by chance */
	};
	struct explore_report all, report;

	for (options.bound = 0; options.bound < 3; options.bound++) {
		options.repeats = true;
		all = explore(options);
		options.repeats = false;
		report = explore(options);
		if (report.finals_hash != all.finals_hash ||
		    report.traces != all.traces)
			differ(number, model, "preemptions", &report, &all);
		left_out += all.executions - report.executions;
	}
}

/* False: too large for brute force. */
static bool agree(unsigned long number, enum uhmm_model model)
{
	static const enum explore_engine engines[] = {
		EXPLORE_SLEEP, EXPLORE_DPOR, EXPLORE_STATES,
	};
	struct explore_options options = { .model = EXPLORE_MODEL(model) };
	struct explore_report brute, report;
	uint64_t hashes = 0, of_parts;


	parts.nfinals = 0;
	options.engine = EXPLORE_BRUTE;
	options.executions = MOST_EXECUTIONS;
	options.keep_every = NEVER_KEPT;
	options.final_fn = keep_final;
	options.final_arg = &hashes;
	brute = explore(options);
	if (!brute.complete)
		return false;
	options.final_fn = NULL;
	options.executions = 0;
	options.keep_every = (unsigned int)(number % 4);
	for (unsigned int i = 0; i < 3; i++) {
		options.engine = engines[i];
		report = explore(options);
		if (!report.complete ||
		    report.finals_hash != brute.finals_hash ||
		    (engines[i] != EXPLORE_STATES &&
		     report.traces != brute.traces))
			differ(number, model, explore_engine_name(engines[i]),
			       &report, &brute);
		/* A trace is explored once. */
		if (engines[i] == EXPLORE_DPOR &&
		    report.executions != report.traces)
			differ(number, model, "executions", &report, &brute);
	}
	bounded_agree(number, model);
	report = in_parts(model, &of_parts);
	if (!report.complete || report.traces != brute.traces ||
	    report.finals != brute.finals || of_parts != hashes)
		differ(number, model, "parts", &report, &brute);
	return true;
}

/* Where engines did not agree once. */
static const unsigned long once[] = { 20071 };

static void check(enum uhmm_model model)
{
	unsigned long large = 0, i;

	left_out = 0;
	for (i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
		make(once[i]);
		agree(once[i], model);
	}
	for (i = first; i < first + programs; i++) {
		make(i);
		large += !agree(i, model);
	}
	print_message("%s: %lu programs agree, %lu were too large\n",
		      trace_model_name(model), programs - large, large);
	/* Else it is no proof of anything. */
	assert_true(large * 2 < programs);
	assert_true(left_out > programs);
}

static void sc(void **state)
{
	check(UHMM_MODEL_SC);
}

static void tso(void **state)
{
	check(UHMM_MODEL_TSO);
}

static void c11(void **state)
{
	check(UHMM_MODEL_C11);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sc),
		cmocka_unit_test(tso),
		cmocka_unit_test(c11),
	};
	char error[300];

	if (explore_load(argv[1], error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	program = dlsym(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD), "program");
	if (argc > 2)
		programs = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		first = strtoul(argv[3], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
