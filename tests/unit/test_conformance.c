/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which design has which property. What is expected of each stands beside the
 * property (tests/designs/); a design that does better than expected fails
 * here just as one that does worse.
 *
 *	test_conformance FILE		also: FILE is the table as printed
 *	test_conformance --table	print the table
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "designs/conform.h"

#define MAX_DESIGNS 8
#define MAX_CASES 512

static const struct property *const tables[] = {
	call_properties, read_properties, wait_properties, refusal_properties,
	end_properties,
};

/* One property asked of one design. */
struct question {
	const struct uhmm_design *design;
	const struct mutant *mutant;	/* instead of @design */
	const struct property *property;
	enum outcome expected;
	bool asked;
	enum outcome outcome;
	const char *why;
};

static struct question questions[MAX_CASES];
static struct CMUnitTest cases[MAX_CASES + 2];
static size_t n_questions;	/* those about designs, then about mutants */
static size_t n_cases;
static const char *committed;

static size_t count_designs(void)
{
	size_t n = 0;

	while (uhmm_designs[n])
		n++;
	return n;
}

static enum outcome expected_of(const struct property *property, size_t design)
{
	assert_true(design < strlen(property->expect));
	switch (property->expect[design]) {
	case 'H':
		return HOLDS;
	case 'F':
		return FAILS;
	default:
		return NOT_APPLICABLE;
	}
}

static void ask(struct question *question)
{
	struct run run = { .design = question->design };

	if (question->asked)
		return;
	if (question->mutant)
		run.design = question->mutant->make();
	pthread_mutex_init(&run.lock, NULL);
	assert_int_equal(run.design->mm_create(&run.mm), 0);
	question->outcome = question->property->holds(&run);
	question->why = run.why;
	if (!run.released)
		run.design->release(run.mm);
	run.design->mm_destroy(run.mm);
	pthread_mutex_destroy(&run.lock);
	question->asked = true;
}

static void check_question(void **state)
{
	static const char *const words[] = { "holds", "fails", "n/a" };
	struct question *question = *state;

	ask(question);
	if (question->outcome != question->expected)
		fail_msg("%s, expected: %s%s%s", words[question->outcome],
			 words[question->expected],
			 question->why ? ": " : "",
			 question->why ? question->why : "");
	if (question->outcome == FAILS)
		assert_non_null(question->why);
}

/* ------------------------------------------------------------- the table */

static const char intro[] =
	"<!-- SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause -->\n"
	"# Designs and what they fail\n"
	"\n"
	"Printed by `test_conformance --table`; a test fails when this page "
	"says\nanything else. Each property is a function in `tests/designs/`, "
	"run on each\nscheme in `src/designs/` through one table of "
	"operations. A dash: the scheme\nhas no such thing.\n"
	"\n";

static void print_outcome(FILE *out, const struct question *question)
{
	switch (question->outcome) {
	case HOLDS:
		fputs(" holds |", out);
		break;
	case FAILS:
		fputs(" **fails** |", out);
		break;
	case NOT_APPLICABLE:
		fputs(" - |", out);
		break;
	}
}

static void print_failures(FILE *out, const struct uhmm_design *design)
{
	bool any = false;

	fprintf(out, "\n## What `%s` fails\n\n", design->name);
	for (size_t i = 0; i < n_questions; i++) {
		const struct question *question = &questions[i];

		if (question->design != design || question->outcome != FAILS)
			continue;
		fprintf(out, "- *%s*:\n  %s.\n", question->property->says,
			question->why);
		any = true;
	}
	if (!any)
		fputs("Nothing of the above.\n", out);
}

static void print_table(FILE *out)
{
	size_t n = count_designs();

	for (size_t i = 0; i < n_questions; i++)
		ask(&questions[i]);
	fputs(intro, out);
	fputs("| |", out);
	for (size_t i = 0; i < n; i++)
		fprintf(out, " `%s`<br>%s |", uhmm_designs[i]->name,
			uhmm_designs[i]->since);
	fputs("\n|---|", out);
	for (size_t i = 0; i < n; i++)
		fputs("---|", out);
	for (size_t i = 0; i < n_questions; i++) {
		if (i % n == 0)
			fprintf(out, "\n| %s |", questions[i].property->says);
		print_outcome(out, &questions[i]);
	}
	fputc('\n', out);
	for (size_t i = 0; i < n; i++)
		print_failures(out, uhmm_designs[i]);
}

static char *contents(FILE *file)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room + 1);

	assert_non_null(text);
	size = fread(text, 1, room, file);
	assert_true(size < room);
	text[size] = 0;
	return text;
}

static void check_committed_table(void **state)
{
	char *there, *here;
	FILE *file, *out;

	file = fopen(committed, "r");
	if (!file)
		fail_msg("cannot read %s", committed);
	there = contents(file);
	fclose(file);
	out = tmpfile();
	assert_non_null(out);
	print_table(out);
	rewind(out);
	here = contents(out);
	fclose(out);
	if (strcmp(there, here))
		fail_msg("%s is not what --table prints", committed);
	free(there);
	free(here);
}

/* -------------------------------------------------------------- all cases */

static const struct property *find_property(const char *says)
{
	const struct property *property;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		for (property = tables[i]; property->says; property++)
			if (!strcmp(property->says, says))
				return property;
	return NULL;
}

/* A check that never fails shows nothing: by a design or by a mutant. */
static void check_each_was_seen_to_fail(void **state)
{
	const struct property *property;
	const struct mutant *mutant;

	for (mutant = mutants; mutant->says; mutant++)
		assert_non_null(find_property(mutant->says));
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (property = tables[i]; property->says; property++) {
			mutant = mutants;
			while (mutant->says &&
			       strcmp(mutant->says, property->says))
				mutant++;
			if (!mutant->says && !strchr(property->expect, 'F'))
				fail_msg("nothing fails: %s", property->says);
		}
	}
}

static struct question *add_case(const struct property *property,
				 const char *who, const char *how)
{
	struct question *question = &questions[n_cases];
	static char names[MAX_CASES][200];

	assert_true(n_cases < MAX_CASES);
	question->property = property;
	snprintf(names[n_cases], sizeof(names[0]), "%s: %s%s%s", who,
		 property->says, how ? "; wrong: " : "", how ? how : "");
	cases[n_cases] = (struct CMUnitTest){
		.name = names[n_cases],
		.test_func = check_question,
		.initial_state = question,
	};
	n_cases++;
	return question;
}

static void add_questions(void)
{
	const struct property *property;
	const struct mutant *mutant;
	struct question *question;

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (property = tables[i]; property->says; property++) {
			for (size_t j = 0; j < count_designs(); j++) {
				question = add_case(property,
						    uhmm_designs[j]->name,
						    NULL);
				question->design = uhmm_designs[j];
				question->expected = expected_of(property, j);
			}
		}
	}
	n_questions = n_cases;
	for (mutant = mutants; mutant->says; mutant++) {
		property = find_property(mutant->says);
		if (!property)
			continue;
		question = add_case(property, "mutant", mutant->how);
		question->mutant = mutant;
		question->expected = FAILS;
	}
}

static void add_plain_case(const char *name, CMUnitTestFunction function)
{
	cases[n_cases++] = (struct CMUnitTest){
		.name = name, .test_func = function,
	};
}

int main(int argc, char **argv)
{
	add_questions();
	if (argc == 2 && !strcmp(argv[1], "--table")) {
		print_table(stdout);
		return 0;
	}
	add_plain_case("each property was seen to fail",
		       check_each_was_seen_to_fail);
	if (argc == 2) {
		committed = argv[1];
		add_plain_case("docs/designs.md is what --table prints",
			       check_committed_table);
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return _cmocka_run_group_tests("conformance", cases, n_cases, NULL,
				       NULL);
}
