/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Replay files: what is written is read again, and what is no replay file is
 * refused, with the line that is wrong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explore/replay.h"

static struct trace_step steps[] = {
	{ 1, 0 }, { 1, 0 }, { 2, 0 }, { 1, 3 }, { 1, 0 }, { 9, 0 }, { 9, 0 },
};

static struct trace_event events[] = {
	{ .thread = 1, .kind = TRACE_STORE, .object = "pte", .value = 2,
	  .file = "stale.c", .line = 30 },
	{ .thread = 2, .kind = TRACE_LOCK, .object = "lock", .file = "stale.c",
	  .line = 11 },
	{ .thread = 2, .kind = TRACE_FENCE, .function = "announce" },
};

static struct trace trace = {
	.scenario = "stale", .model = UHMM_MODEL_TSO, .engine = "bounded",
	.weaken = "SET-SEQ,READ-SEQ", .steps = steps, .nsteps = 7,
	.events = events, .nevents = 3,
};

static char problem[200];

static char *written(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	assert_int_equal(replay_write(out, &trace, "./mine.so", "51c4e0"), 0);
	fclose(out);
	return text;
}

static void the_file_is_text_for_people(void **state)
{
	char *text = written();

	assert_string_equal(text, "uhmm-replay 1\n"
				  "scenario stale\n"
				  "object ./mine.so\n"
				  "build 51c4e0\n"
				  "model tso\n"
				  "engine bounded\n"
				  "weaken SET-SEQ,READ-SEQ\n"
				  "schedule 1*2 2*1 1@3 1*1 9*2\n"
				  "op 1 store pte = 2 stale.c:30\n"
				  "op 2 lock lock stale.c:11\n"
				  "op 2 fence announce:0\n");
	free(text);
}

static void what_is_written_is_read_again(void **state)
{
	char *text = written();
	struct replay replay;

	assert_int_equal(replay_parse(&replay, text, strlen(text), problem,
				      sizeof(problem)), 0);
	assert_string_equal(replay.scenario, "stale");
	assert_string_equal(replay.object, "./mine.so");
	assert_string_equal(replay.build, "51c4e0");
	assert_string_equal(replay.engine, "bounded");
	assert_string_equal(replay.weaken, "SET-SEQ,READ-SEQ");
	assert_int_equal(replay.model, UHMM_MODEL_TSO);
	assert_int_equal(replay.nsteps, 7);
	assert_memory_equal(replay.steps, steps, sizeof(steps));
	assert_int_equal(replay_compare(&replay, &trace, problem,
					sizeof(problem)), 0);
	replay_free(&replay);
	free(text);
}

static void long_schedules_are_several_lines(void **state)
{
	static struct trace_step many[500];
	struct trace wide = trace;
	struct replay replay;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	unsigned int i;

	for (i = 0; i < 500; i++)
		many[i].thread = 1 + i % 2;
	wide.steps = many;
	wide.nsteps = 500;
	assert_int_equal(replay_write(out, &wide, "", ""), 0);
	fclose(out);
	assert_non_null(strstr(text, "\nschedule 1*1"));
	assert_int_equal(replay_parse(&replay, text, size, problem,
				      sizeof(problem)), 0);
	assert_int_equal(replay.nsteps, 500);
	assert_memory_equal(replay.steps, many, sizeof(many));
	replay_free(&replay);
	free(text);
}

static void the_first_op_that_differs_is_named(void **state)
{
	char *text = written();
	struct replay replay;
	struct trace other = trace;

	assert_int_equal(replay_parse(&replay, text, strlen(text), problem,
				      sizeof(problem)), 0);
	other.nevents = 1;
	assert_int_equal(replay_compare(&replay, &other, problem,
					sizeof(problem)), -ESTALE);
	assert_string_equal(problem, "op 2 differs: now \"the end\", then "
				     "\"2 lock lock stale.c:11\"");
	other.nevents = 3;
	events[1].line = 12;
	assert_int_equal(replay_compare(&replay, &other, problem,
					sizeof(problem)), -ESTALE);
	events[1].line = 11;
	assert_string_equal(problem,
			    "op 2 differs: now \"2 lock lock stale.c:12\", "
			    "then \"2 lock lock stale.c:11\"");
	replay_free(&replay);
	free(text);
}

/* Refused, and this is said. */
static void assert_refused(const char *text, const char *why)
{
	struct replay replay;

	assert_int_equal(replay_parse(&replay, text, strlen(text), problem,
				      sizeof(problem)), -EINVAL);
	assert_string_equal(problem, why);
}

static void what_is_no_replay_file_is_refused(void **state)
{
	assert_refused("", "line 0: the file ends without a scenario");
	assert_refused("scenario x\n",
		       "line 1: not a replay file that this version knows");
	assert_refused("uhmm-replay 2\n",
		       "line 1: not a replay file that this version knows");
	assert_refused("# made by hand\nuhmm-replay 1\nscenari x\n",
		       "line 3: unknown word: scenari");
	assert_refused("uhmm-replay 1\nmodel alpha\n",
		       "line 2: no such memory model: alpha");
	assert_refused("uhmm-replay 1\nschedule 16*1\n",
		       "line 2: no such thread: 16*1");
	assert_refused("uhmm-replay 1\nschedule 1-1\n",
		       "line 2: not THREAD*STEPS or THREAD@CHOICE: 1-1");
	assert_refused("uhmm-replay 1\nschedule 1*1000000 1*1\n",
		       "line 2: more than 1000000 steps");
	assert_refused("uhmm-replay 1\nschedule 1@256\n",
		       "line 2: not THREAD*STEPS or THREAD@CHOICE: 1@256");
	assert_refused("uhmm-replay 1\nschedule 1*1,2*1\n",
		       "line 2: a blank is missing: ,2*1");
}

static void a_byte_that_is_no_text_is_refused(void **state)
{
	static const char text[] = "uhmm-replay 1\nscenario x\0y\n";
	struct replay replay;

	assert_int_equal(replay_parse(&replay, text, sizeof(text) - 1, problem,
				      sizeof(problem)), -EINVAL);
	assert_string_equal(problem, "line 2: a byte that is no text");
}

/*
 * Files that went wrong on their way: bytes changed, left out, said twice. Each
 * is refused with a reason, or is a schedule that can be written and read.
 */
static void damaged_files_are_refused_or_read(void **state)
{
	char *text = written(), *damaged;
	size_t size = strlen(text), n, at, len;
	unsigned int seed, refused = 0, i;
	struct replay replay;
	int ret;

	for (seed = 0; seed < 20000; seed++) {
		srand(seed);
		damaged = malloc(2 * size);
		memcpy(damaged, text, n = size);
		for (i = rand() % 4; i < 4; i++) {
			at = rand() % n;
			len = rand() % (n - at) % 9;
			if (rand() % 3)
				damaged[at] = "0123456789*@ \n#\0\377"[rand() % 17];
			else if (rand() % 2 && n + len < 2 * size)
				memmove(damaged + at + len, damaged + at, n - at),
					n += len;
			else if (len < n)
				memmove(damaged + at, damaged + at + len,
					n - at - len), n -= len;
		}
		*problem = '\0';
		ret = replay_parse(&replay, damaged, n, problem,
				   sizeof(problem));
		free(damaged);
		refused += !!ret;
		assert_int_equal(!ret, !*problem);
		if (ret)
			continue;
		assert_in_range(replay.nsteps, 0, REPLAY_MAX_STEPS);
		for (i = 0; i < replay.nsteps; i++)
			assert_in_range(replay.steps[i].thread, 0,
					2 * UHMM_EXPLORE_THREADS - 1);
		replay_free(&replay);
	}
	/* Both happen. */
	assert_in_range(refused, 1000, 19000);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_text_for_people),
		cmocka_unit_test(what_is_written_is_read_again),
		cmocka_unit_test(long_schedules_are_several_lines),
		cmocka_unit_test(the_first_op_that_differs_is_named),
		cmocka_unit_test(what_is_no_replay_file_is_refused),
		cmocka_unit_test(a_byte_that_is_no_text_is_refused),
		cmocka_unit_test(damaged_files_are_refused_or_read),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
