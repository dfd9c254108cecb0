/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Ladders of records made by hand.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explore/ladder.h"

static int lock, pte, mirror[16], word;

static struct trace_event events[400];
static struct trace_thread threads[UHMM_EXPLORE_THREADS];
static struct trace trace;

static int begin_case(void **state)
{
	memset(events, 0, sizeof(events));
	memset(threads, 0, sizeof(threads));
	trace = (struct trace){
		.scenario = "sample",
		.model = UHMM_MODEL_SC,
		.defect = UHMM_DEFECT_NONE,
		.text = "",
		.defect_thread = -1,
		.loop_from = -1,
		.threads = threads,
		.nthreads = 3,
		.events = events,
	};
	threads[0] = (struct trace_thread){ .name = "run", .ended = true };
	threads[1] = (struct trace_thread){ .name = "fault", .ended = true };
	threads[2] = (struct trace_thread){ .name = "unmap", .ended = true };
	return 0;
}

static struct trace_event *add(int thread, enum trace_kind kind,
			       const void *addr, const char *object,
			       unsigned long value, int line)
{
	struct trace_event *e = &events[trace.nevents++];

	*e = (struct trace_event){
		.thread = thread,
		.kind = kind,
		.from = -1,
		.addr = addr,
		.object = object,
		.value = value,
		.function = "fn",
		.file = "sample.c",
		.line = line,
	};
	return e;
}

/* The same inside of the library, called in a line of the scenario. */
static struct trace_event *add_inside(int thread, enum trace_kind kind,
				      const void *addr, const char *object,
				      unsigned long value, const char *call,
				      int caller_line)
{
	struct trace_event *e = add(thread, kind, addr, object, value, 100);

	e->file = "core.c";
	e->call = call;
	e->caller_file = "sample.c";
	e->caller_line = caller_line;
	return e;
}

static char *printed(unsigned int max_rows)
{
	struct ladder ladder;
	char *text = NULL;
	size_t size;
	FILE *out;

	assert_int_equal(ladder_make(&ladder, &trace, max_rows), 0);
	out = open_memstream(&text, &size);
	assert_non_null(out);
	ladder_print(&ladder, out);
	fclose(out);
	ladder_free(&ladder);
	return text;
}

static void assert_printed(const char *expected)
{
	char *text = printed(LADDER_ROWS);

	assert_string_equal(text, expected);
	free(text);
}

static void columns_are_threads_and_rows_are_time(void **state)
{
	trace.text = "the device reads page 1, which is freed";
	trace.defect = UHMM_DEFECT_STALE;
	trace.defect_thread = 1;
	trace.preemptions = 1;
	add(0, TRACE_CREATE, NULL, NULL, 1, 60);
	add(1, TRACE_LOAD, &pte, "pte", 1, 10);
	add(2, TRACE_STORE, &pte, "pte", 2, 30);
	add(1, TRACE_LOCK, &lock, "lock", 0, 11);
	add(2, TRACE_LOCK, &lock, "lock", 0, 31);
	assert_printed(
		"sample: stale access: the device reads page 1, which is freed\n"
		"memory model sc, 1 preemption\n"
		"\n"
		"   CPU0 fault                         CPU1 unmap\n"
		" 1 pte == 1\n"
		" 2                                    pte = 2\n"
		" 3 lock(lock)\n"
		" 4                                    lock(lock)\n"
		"   ^ stale access\n"
		"\n"
		" 1 sample.c:10           2 sample.c:30           3 sample.c:11\n"
		" 4 sample.c:31\n");
}

static void blocked_threads_say_what_they_wait_for(void **state)
{
	trace.defect = UHMM_DEFECT_HELD_WAIT;
	add(2, TRACE_STORE, &word, "active", 1, 30);
	add(1, TRACE_LOCK, &lock, "lock", 0, 11);
	threads[0] = (struct trace_thread){
		.name = "run", .blocked_kind = TRACE_JOIN, .blocked_by = -1 };
	threads[1] = (struct trace_thread){
		.name = "fault", .blocked_kind = TRACE_WAIT,
		.blocked_object = "active", .blocked_by = -1, .held = "lock" };
	threads[2] = (struct trace_thread){
		.name = "unmap", .blocked_kind = TRACE_LOCK,
		.blocked_object = "lock", .blocked_by = 1, .held = "" };
	assert_printed(
		"sample: lock held across a wait\n"
		"memory model sc, 0 preemptions\n"
		"\n"
		"   CPU0 fault                         CPU1 unmap\n"
		" 1                                    active = 1\n"
		" 2 lock(lock)\n"
		"   waits for active\n"
		"   holds lock\n"
		"                                      waits for lock (CPU0)\n"
		"\n"
		" 1 sample.c:30           2 sample.c:11\n");
}

static void call_that_nobody_comes_between_is_one_row(void **state)
{
	add_inside(1, TRACE_LOAD, &word, "seq", 1, "read_begin", 10);
	add_inside(1, TRACE_LOAD, &mirror, "mirror", 1, "read_begin", 10);
	add(2, TRACE_STORE, &pte, "pte", 2, 30);
	assert_printed("sample: nothing bad\n"
		       "memory model sc, 0 preemptions\n"
		       "\n"
		       "   CPU0 fault                         CPU1 unmap\n"
		       " 1 read_begin()\n"
		       " 2                                    pte = 2\n"
		       "\n"
		       " 1 sample.c:10           2 sample.c:30\n");
}

static void parts_of_a_call_show_what_threads_learn(void **state)
{
	add_inside(1, TRACE_LOAD, &mirror, "mirror", 1, "read_begin", 10);
	add_inside(1, TRACE_LOAD, &word, "seq", 1, "read_begin", 10);
	add(2, TRACE_STORE, &word, "seq", 2, 30);
	add_inside(1, TRACE_LOAD, &word, "seq", 2, "read_begin", 10)->from = 2;
	add_inside(1, TRACE_LOAD, &mirror, "mirror", 1, "read_begin", 10);
	assert_printed(
		"sample: nothing bad\n"
		"memory model sc, 0 preemptions\n"
		"\n"
		"   CPU0 fault                         CPU1 unmap\n"
		" 1 seq == 1\n"
		" 2                                    seq = 2\n"
		" 3 seq == 2\n"
		"\n"
		" 1 core.c:100 < sample.c:10                      2 sample.c:30\n"
		" 3 core.c:100 < sample.c:10\n");
}

static void repeats_are_folded(void **state)
{
	int i;

	for (i = 0; i < 6; i++) {
		add(1, TRACE_LOAD, &pte, "pte", i, 10);
		add(2, TRACE_STORE, &pte, "pte", i + 1, 30);
	}
	assert_printed(
		"sample: nothing bad\n"
		"memory model sc, 0 preemptions\n"
		"\n"
		"   CPU0 fault                         CPU1 unmap\n"
		" 1 pte == 0\n"
		" 2                                    pte = 1\n"
		"   ... 4 more times rows 1 to 2\n"
		" 3 pte == 5\n"
		" 4                                    pte = 6\n"
		"\n"
		" 1 sample.c:10           2 sample.c:30           3 sample.c:10\n"
		" 4 sample.c:30\n");
}

static void what_goes_on_for_ever_is_marked(void **state)
{
	trace.defect = UHMM_DEFECT_LIVELOCK;
	trace.loop_from = 1;
	add(1, TRACE_LOCK, &lock, "lock", 0, 10);
	add(1, TRACE_LOAD, &pte, "pte", 7, 11);
	assert_printed("sample: livelock\n"
		       "memory model sc, 0 preemptions\n"
		       "\n"
		       "   CPU0 fault\n"
		       " 1 lock(lock)\n"
		       "   --- from here on, for ever:\n"
		       " 2 pte == 7\n"
		       "\n"
		       " 1 sample.c:10           2 sample.c:11\n");
}

static void old_values_name_the_row_that_stored_them(void **state)
{
	trace.model = UHMM_MODEL_C11;
	add(2, TRACE_STORE, &pte, "pte", 1, 30);
	add(2, TRACE_STORE, &pte, "pte", 2, 31);
	add(1, TRACE_LOAD, &pte, "pte", 1, 10);
	events[2].from = 0;
	events[2].flags = TRACE_OLD;
	add(1, TRACE_LOAD, &word, "seq", 0, 11)->flags = TRACE_OLD;
	assert_printed("sample: nothing bad\n"
		       "memory model c11, 0 preemptions\n"
		       "\n"
		       "   CPU0 fault                         CPU1 unmap\n"
		       " 1                                    pte = 1\n"
		       " 2                                    pte = 2\n"
		       " 3 pte == 1 [row 1]\n"
		       " 4 seq == 0 [old]\n"
		       "\n"
		       " 1 sample.c:30           2 sample.c:31           "
		       "3 sample.c:10\n"
		       " 4 sample.c:11\n");
}

static void each_kind_has_its_words(void **state)
{
	add(1, TRACE_RMW, &word, "seq", 3, 1)->old = 1;
	add(1, TRACE_RMW, &word, "seq", 3, 2)->flags = TRACE_FAILED;
	add(1, TRACE_TRYLOCK, &lock, "lock", 0, 3)->flags = TRACE_FAILED;
	add(1, TRACE_MEMBARRIER, NULL, NULL, 0, 4);
	add(1, TRACE_CHOOSE, NULL, NULL, 1, 5)->old = 3;
	add(1, TRACE_NOTE, NULL, NULL, 0, 6)->note = "the page goes";
	add(1, TRACE_WAKE, &word, "seq", 2, 7);
	add(1, TRACE_STORE, &word, "seq", 0x7f0000001000, 8);
	assert_printed("sample: nothing bad\n"
		       "memory model sc, 0 preemptions\n"
		       "\n"
		       "   CPU0 fault\n"
		       " 1 seq = 3, was 1\n"
		       " 2 seq == 0\n"
		       " 3 trylock(lock): no\n"
		       " 4 membarrier\n"
		       " 5 chooses 1 of 3\n"
		       " 6 the page goes\n"
		       " 7 wake(seq)\n"
		       " 8 seq = 0x7f0000001000\n"
		       "\n"
		       " 1 sample.c:1            2 sample.c:2            "
		       "3 sample.c:3\n"
		       " 4 sample.c:4            5 sample.c:5            "
		       "6 sample.c:6\n"
		       " 7 sample.c:7            8 sample.c:8\n");
}

/* Whatever is in the record: 72 columns of ASCII, and no more rows than asked. */
static void assert_fits(const char *text, unsigned int max_rows)
{
	unsigned int column = 0, rows = 0, blank = 0;

	for (; *text; text++) {
		if (*text == '\n') {
			blank += !column;
			rows += blank == 1 && column;
			column = 0;
			continue;
		}
		assert_in_range(*text, ' ', '~');
		assert_in_range(++column, 1, LADDER_COLUMNS);
	}
	assert_int_equal(blank, 2);
	/* The heads of the columns are one line. */
	assert_in_range(rows - 1, 0, max_rows);
}

static void any_record_fits(void **state)
{
	static char long_name[300];
	unsigned int seed, i;
	char *text;

	memset(long_name, 'n', sizeof(long_name) - 1);
	trace.nthreads = UHMM_EXPLORE_THREADS;
	for (i = 0; i < UHMM_EXPLORE_THREADS; i++)
		threads[i] = (struct trace_thread){
			.name = long_name, .held = long_name,
			.blocked_object = long_name, .blocked_by = i / 2 };
	for (seed = 0; seed < 300; seed++) {
		srand(seed);
		trace.nevents = 0;
		trace.text = seed % 2 ? "words in a row " : long_name + 240;
		trace.defect = seed % 16;
		trace.defect_thread = seed % 9 - 1;
		for (i = 0; i < 1 + seed; i++) {
			add_inside(rand() % UHMM_EXPLORE_THREADS,
				   rand() % (TRACE_FREE + 1),
				   &mirror[rand() % 16], long_name, rand(),
				   long_name, rand() % 5);
			if (rand() % 2)
				events[i].caller_file = NULL;
			if (rand() % 4 == 0)
				events[i].file = long_name + rand() % 299;
			events[i].from = rand() % (i + 1) - 1;
			events[i].flags = rand() % 16;
		}
		text = printed(LADDER_ROWS);
		assert_fits(text, LADDER_ROWS);
		free(text);
	}
}

static void what_weighs_least_is_left_out(void **state)
{
	char *text;
	int i;

	for (i = 0; i < 40; i++)
		add(1, TRACE_STORE, &mirror[i % 16], "own", i, 100 + i);
	add(1, TRACE_STORE, &pte, "pte", 9, 20);
	for (i = 0; i < 40; i++)
		add(2, TRACE_STORE, &events[i], "own", i, 200 + i);
	add(2, TRACE_LOAD, &pte, "pte", 9, 21)->from = 40;
	text = printed(4);
	assert_non_null(strstr(text, "78 rows left out"));
	assert_non_null(strstr(text, "pte = 9"));
	assert_non_null(strstr(text, "pte == 9"));
	assert_fits(text, 4);
	free(text);
}

static void plain_accesses_are_rows_of_a_race_only(void **state)
{
	char *text;

	add(1, TRACE_READ, &pte, "pte", 0, 10);
	add(2, TRACE_WRITE, &pte, "pte", 0, 30);
	add(2, TRACE_STORE, &word, "seq", 1, 31);
	text = printed(0);
	assert_null(strstr(text, "reads pte"));
	free(text);
	trace.defect = UHMM_DEFECT_RACE;
	text = printed(0);
	assert_non_null(strstr(text, "reads pte"));
	assert_non_null(strstr(text, "writes pte"));
	free(text);
}

#define CASE(fn) cmocka_unit_test_setup(fn, begin_case)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(columns_are_threads_and_rows_are_time),
		CASE(blocked_threads_say_what_they_wait_for),
		CASE(call_that_nobody_comes_between_is_one_row),
		CASE(parts_of_a_call_show_what_threads_learn),
		CASE(repeats_are_folded),
		CASE(what_goes_on_for_ever_is_marked),
		CASE(old_values_name_the_row_that_stored_them),
		CASE(each_kind_has_its_words),
		CASE(any_record_fits),
		CASE(what_weighs_least_is_left_out),
		CASE(plain_accesses_are_rows_of_a_race_only),
	};

	return cmocka_run_group_tests_name("ladder", tests, NULL, NULL);
}
