/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Random histories of one thread: what is called, in which order, and which
 * reads are to be done again. Calm ones: the reference, the kernel's scheme
 * and the library alike. Wild ones: the library as the reference has it. Then
 * references made wrong on purpose, each of which has to be found out.
 *
 *	test_histories [FIRST_SEED [HISTORIES]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "history.h"
#include "reference.h"

static unsigned long first_seed = 1;
static unsigned long histories = 10000;
static char log_a[HISTORY_LOG], log_b[HISTORY_LOG];

/* The line in which two texts differ first. */
static void print_difference(const char *name_a, const char *name_b)
{
	const char *a = log_a, *b = log_b, *line = log_a;
	size_t at;

	for (; *a == *b; a++, b++)
		if (*a == '\n')
			line = a + 1;
	at = line - log_a;
	print_error("%.*s", (int)at, log_a);
	print_error("%s: %.*s\n", name_a, (int)strcspn(log_a + at, "\n"),
		    log_a + at);
	print_error("%s: %.*s\n", name_b, (int)strcspn(log_b + at, "\n"),
		    log_b + at);
}

/* 0, or the seed of the first history in which they differ. */
static unsigned long compare(const struct uhmm_design *a,
			     const struct uhmm_design *b,
			     enum history_kind kind)
{
	for (unsigned long i = 0; i < histories; i++) {
		run_history(a, kind, first_seed + i, log_a);
		run_history(b, kind, first_seed + i, log_b);
		if (strcmp(log_a, log_b))
			return first_seed + i;
	}
	return 0;
}

static void must_be_equal(const char *name_a, const char *name_b,
			  enum history_kind kind)
{
	const struct uhmm_design *a, *b;
	unsigned long seed;

	a = uhmm_design_by_name(name_a);
	b = uhmm_design_by_name(name_b);
	if (!b)
		b = &reference;
	seed = compare(a, b, kind);
	if (!seed)
		return;
	print_difference(name_a, name_b);
	fail_msg("they differ; again with: test_histories %lu 1", seed);
}

static void calm_classic_is_as_the_reference(void **state)
{
	must_be_equal("classic", "reference", CALM);
}

static void calm_uhmm_is_as_classic(void **state)
{
	must_be_equal("uhmm", "classic", CALM);
}

static void wild_uhmm_is_as_the_reference(void **state)
{
	must_be_equal("uhmm", "reference", WILD);
}

/* Wild histories reach all that they are for. */
static void wild_histories_are_wild(void **state)
{
	static const char *const marks[] = {
		" n event", ": -11\n", ": -22\n", ": -75\n", "finish",
		"list l0 end", "refuses", " release\n", "read s0: again",
		"read s0: good", "gives birth: insert",
	};
	bool seen[ARRAY_SIZE(marks)] = { false };

	for (unsigned long i = 0; i < 500; i++) {
		run_history(&reference, WILD, first_seed + i, log_a);
		for (size_t j = 0; j < ARRAY_SIZE(marks); j++)
			seen[j] = seen[j] || strstr(log_a, marks[j]);
	}
	for (size_t j = 0; j < ARRAY_SIZE(marks); j++)
		if (!seen[j])
			fail_msg("no \"%s\" in 500 histories", marks[j]);
}

static void is_found_out(void **state)
{
	unsigned long seed;

	reference_mutant = *(enum reference_mutant *)*state;
	seed = compare(uhmm_design_by_name("uhmm"), &reference, WILD);
	reference_mutant = SOUND;
	assert_int_not_equal(seed, 0);
}

#define MUTANT(mutant) { \
	.name = "a reference is found out: " #mutant, \
	.test_func = is_found_out, \
	.initial_state = &(enum reference_mutant){ mutant }, \
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calm_classic_is_as_the_reference),
		cmocka_unit_test(calm_uhmm_is_as_classic),
		cmocka_unit_test(wild_uhmm_is_as_the_reference),
		cmocka_unit_test(wild_histories_are_wild),
		MUTANT(TIES_TURNED),
		MUTANT(EDGE_MISSED),
		MUTANT(NEIGHBOUR_CALLED),
		MUTANT(NEVER_RETRIES),
		MUTANT(GOES_ON),
		MUTANT(NO_FINISHES),
		MUTANT(NO_ENDS),
		MUTANT(UNSEEN_ENDED),
		MUTANT(LIST_TURNED),
		MUTANT(CALLED_AFTER_RELEASE),
	};

	_Static_assert(ARRAY_SIZE(tests) == 4 + N_MUTANTS - 1,
		       "each mutant has its case");
	if (argc > 1)
		first_seed = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		histories = strtoul(argv[2], NULL, 10);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
