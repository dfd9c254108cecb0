/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Files of the oracle, as libFuzzer thinks them up: one behind the other, which
 * are read and held against each other. The last byte says which ops are known
 * to differ.
 */
#include <fcntl.h>
#include <unistd.h>

#include "replay/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct known {
	struct taint *taint;
	unsigned int roots;
	unsigned int at;
};

static void judge_op(void *arg, const struct outcome *outcome)
{
	struct known *known = arg;
	unsigned int bit = known->at++ % 8;

	taint_judge(known->taint, outcome,
		    known->roots >> bit & 1 ? UINT64_C(1) << bit : 0);
}

static void judge_end(void *arg, const struct outcome *outcome)
{
	struct known *known = arg;

	taint_judge_end(known->taint, outcome);
}

static void hold(const struct script *expected, const struct script *got,
		 unsigned int roots)
{
	struct known known = { .taint = taint_begin(), .roots = roots };
	const struct judge judge = { judge_op, judge_end, &known };
	struct comparison found = { .first = { "" } };

	compare(&found, expected, got, roots & 1);
	compare_judged(&judge, expected, got);
	taint_end(known.taint);
}

/* What is wrong is said for each, which is too much. */
static void be_quiet(void)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, STDOUT_FILENO);
	stderr = fdopen(null, "w");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script expected, got;
	static bool quiet;
	char *text, *second;

	if (!quiet)
		be_quiet();
	quiet = true;
	text = calloc(1, size + 1);
	memcpy(text, data, size);
	second = size ? strstr(text + 1, "# oracle 1 ") : NULL;
	if (!second)
		second = text + size;
	if (script_parse(&got, second, size - (size_t)(second - text), "b")) {
		*second = '\0';
		if (script_parse(&expected, text, (size_t)(second - text),
				 "a")) {
			hold(&expected, &got, data[size - 1]);
			script_free(&expected);
		}
		script_free(&got);
	}
	free(text);
	return 0;
}
