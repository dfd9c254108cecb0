/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The interval index against a sorted array (tests/fuzz/index_history.h):
 * exhaustively where it is small, at random where it is not.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz/index_history.h"

#define PAGE 4096UL

static struct history history;

static void assert_right(void)
{
	if (*history.problem)
		fail_msg("%s", history.problem);
}

static void begin(enum index_shape shape)
{
	history_allocations_left = -1;
	assert_int_equal(history_begin(&history, shape), 0);
}

static void end(void)
{
	history_find(&history, 0, ULONG_MAX);
	history_check_tree(&history);
	assert_right();
	history_end(&history);
}

static unsigned long random_state;

static unsigned int random_below(unsigned int n)
{
	random_state = random_state * 6364136223846793005UL + 1442695040888963407UL;
	return (unsigned int)(random_state >> 33) % n;
}

/* ------------------------------------------------------- the word of a leaf */

struct word {
	unsigned int slot[INDEX_FANOUT];
	unsigned int n;
};

static void assert_word(unsigned long perm, const struct word *w)
{
	assert_int_equal(perm_count(perm), w->n);
	for (unsigned int pos = 0; pos < INDEX_FANOUT; pos++) {
		assert_int_equal(perm_slot(perm, pos), w->slot[pos]);
		assert_int_equal(perm_position(perm, w->slot[pos]), pos);
	}
}

static void move(struct word *w, unsigned int from, unsigned int to)
{
	unsigned int slot = w->slot[from];

	for (; from < to; from++)
		w->slot[from] = w->slot[from + 1];
	for (; from > to; from--)
		w->slot[from] = w->slot[from - 1];
	w->slot[to] = slot;
}

/* From @perm, every insert and every remove there is. */
static void try_word(unsigned long perm, const struct word *w)
{
	struct word after;

	for (unsigned int pos = 0; w->n < INDEX_FANOUT && pos <= w->n; pos++) {
		after = *w;
		move(&after, w->n, pos);
		after.n++;
		assert_word(perm_insert(perm, pos), &after);
	}
	for (unsigned int pos = 0; pos < w->n; pos++) {
		after = *w;
		move(&after, pos, w->n - 1);
		after.n--;
		assert_word(perm_remove(perm, pos, w->slot[pos]), &after);
	}
}

static void a_leafs_word_is_a_permutation(void **state)
{
	unsigned long perm = PERM_EMPTY;
	struct word w = { .n = 0 };

	for (unsigned int i = 0; i < INDEX_FANOUT; i++)
		w.slot[i] = i;
	random_state = 1;
	for (unsigned int i = 0; i < 20000; i++) {
		assert_word(perm, &w);
		try_word(perm, &w);
		/* Drift between empty and full, some way each time. */
		if (w.n < INDEX_FANOUT &&
		    (!w.n || random_below(INDEX_FANOUT) >= i / 40 % 16)) {
			unsigned int pos = random_below(w.n + 1);

			perm = perm_insert(perm, pos);
			move(&w, w.n++, pos);
		} else {
			unsigned int pos = random_below(w.n);

			perm = perm_remove(perm, pos, w.slot[pos]);
			move(&w, pos, --w.n);
		}
	}
}

/* ------------------------------------------------------------ comparing lanes */

static const unsigned int bounds[] = {
	0, 1, 1000, INT_MAX, INT_MAX + 1U, INT_MAX + 2U, UINT_MAX - 1, UINT_MAX,
};

#define BOUNDS ARRAY_SIZE(bounds)

/* So that only the lanes decide: this one overlaps everything. */
static struct uhmm_interval_node everything[INDEX_FANOUT];

static void make_leaf(struct index_node *leaf, unsigned int lo, unsigned int hi)
{
	leaf->scale = scale_for(0, 0);
	for (unsigned int i = 0; i < INDEX_FANOUT; i++) {
		leaf->lo[i] = lo;
		leaf->hi[i] = hi;
		leaf->at[i] = &everything[i];
		everything[i].start = 0;
		everything[i].last = ULONG_MAX;
	}
	leaf->perm = PERM_EMPTY | (unsigned long)INDEX_FANOUT
					  << PERM_COUNT_SHIFT;
}

static unsigned int mask_of(const struct index_search *search,
			    const struct index_node *leaf, unsigned long start,
			    unsigned long last)
{
	struct uhmm_interval_node *out[INDEX_BATCH];
	struct index_finger finger = { .leaf = leaf };
	unsigned int n = search->again(&finger, start, last, out);
	unsigned int mask = 0;

	for (unsigned int i = 0; i < n; i++)
		mask |= 1U << (out[i] - everything);
	return mask;
}

/* One lane differs from the others. */
static void try_lane(const struct index_search *search,
		     const struct index_node *leaf, unsigned int lane)
{
	const unsigned int all = (1U << INDEX_FANOUT) - 1;
	unsigned int i = (lane + 1) % INDEX_FANOUT, mask;

	for (unsigned int q = 0; q < BOUNDS * BOUNDS; q++) {
		unsigned int start = bounds[q / BOUNDS];
		unsigned int last = bounds[q % BOUNDS];

		mask = leaf->lo[i] <= last && leaf->hi[i] >= start ?
			       all & ~(1U << lane) : 0;
		if (leaf->lo[lane] <= last && leaf->hi[lane] >= start)
			mask |= 1U << lane;
		assert_int_equal(mask_of(search, leaf, start * PAGE,
					 last * PAGE), mask);
	}
	for (unsigned int q = 0; q < BOUNDS; q++)
		assert_int_equal(search->rank(leaf, bounds[q]),
				 (leaf->lo[i] <= bounds[q]) *
						 (INDEX_FANOUT - 1) +
					 (leaf->lo[lane] <= bounds[q]));
}

static void compare_all_lanes(const struct index_search *search)
{
	struct index_node leaf;
	unsigned int lane, i;

	for (i = 0; i < BOUNDS * BOUNDS; i++) {
		for (lane = 0; lane < INDEX_FANOUT; lane++) {
			make_leaf(&leaf, UINT_MAX, 0);
			leaf.lo[lane] = bounds[i / BOUNDS];
			leaf.hi[lane] = bounds[i % BOUNDS];
			try_lane(search, &leaf, lane);
			make_leaf(&leaf, bounds[i / BOUNDS],
				  bounds[i % BOUNDS]);
			leaf.lo[lane] = UINT_MAX;
			leaf.hi[lane] = 0;
			try_lane(search, &leaf, lane);
		}
	}
}

static void the_portable_search_compares_right(void **state)
{
	compare_all_lanes(&index_search_portable);
}

static void each_vector_search_compares_right(void **state)
{
	history_find_searches();
	if (!history_searches[1]) {
		print_message("this build or this machine has none\n");
		skip();
	}
	for (unsigned int i = 1; history_searches[i]; i++)
		compare_all_lanes(history_searches[i]);
}

/* ------------------------------------------------------------- small histories
 * Everything that can be done in DEPTH steps from a few beginnings, around a
 * leaf that is about to be split, or to be given up.
 */
#define DEPTH 5
#define STEPS 8

static void small_step(unsigned int step)
{
	static const unsigned long intervals[][2] = {
		{ 0, 0 }, { 100 * PAGE, 200 * PAGE }, { 100 * PAGE, 151 * PAGE - 1 },
		{ 100 * PAGE + 1, ULONG_MAX }, { ULONG_MAX, ULONG_MAX },
	};

	if (step < ARRAY_SIZE(intervals))
		history_insert(&history, intervals[step][0],
			       intervals[step][1]);
	else if (history.n)
		history_remove(&history, step == 5 ? 0 :
					 step == 6 ? history.n / 2 :
						     history.n - 1);
}

static void small_queries(void)
{
	static const unsigned long at[] = {
		0, 99 * PAGE, 100 * PAGE, 160 * PAGE, 201 * PAGE, ULONG_MAX,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
		for (unsigned int k = i; k < ARRAY_SIZE(at); k++)
			history_find(&history, at[i], at[k]);
	history_check_tree(&history);
	assert_right();
}

static void try_small(unsigned int filled)
{
	unsigned int code, steps, i, n = 1;

	for (i = 0; i < DEPTH; i++)
		n *= STEPS;
	for (code = 0; code < n; code++) {
		begin(SHAPE_DENSE);
		for (i = 0; i < filled; i++)
			history_insert(&history, (90 + 3 * i) * PAGE,
				       (93 + 3 * i) * PAGE - 1);
		steps = code;
		for (i = 0; i < DEPTH; i++) {
			small_step(steps % STEPS);
			steps /= STEPS;
		}
		small_queries();
		history_end(&history);
	}
}

static void every_short_history_from_nothing(void **state)
{
	try_small(0);
}

static void every_short_history_around_a_full_leaf(void **state)
{
	try_small(INDEX_FANOUT - 1);
}

static void every_short_history_around_two_leaves(void **state)
{
	try_small(INDEX_FANOUT + 1);
}

/* ------------------------------------------------------------ taller than that */

static void fill(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		history_insert(&history, (100 * i + 100) * PAGE,
			       (100 * i + 220) * PAGE);
}

/* Into a tree all of whose nodes on the way are full, at each place. */
static void a_full_tree_grows_at_every_place(void **state)
{
	const unsigned int n = INDEX_FANOUT * INDEX_FANOUT;

	for (unsigned int i = 0; i <= n; i++) {
		begin(SHAPE_DENSE);
		fill(n);
		assert_int_equal(node_level(history.ix.root), 1);
		history_insert(&history, (100 * i + 50) * PAGE, ULONG_MAX - i);
		history_find(&history, 100 * i * PAGE, (100 * i + 60) * PAGE);
		history_find(&history, 50, (100 * i + 50) * PAGE - 1);
		end();
	}
}

static void a_tall_tree_grows_at_every_leaf(void **state)
{
	const unsigned int n = INDEX_FANOUT * INDEX_FANOUT * INDEX_FANOUT;

	for (unsigned int i = 0; i <= n; i += INDEX_FANOUT / 2) {
		begin(SHAPE_DENSE);
		fill(n);
		assert_int_equal(node_level(history.ix.root), 2);
		history_insert(&history, (100 * i + 50) * PAGE,
			       (100 * i + 60) * PAGE);
		assert_int_equal(node_level(history.ix.root), 3);
		history_find(&history, 100 * i * PAGE, (100 * i + 60) * PAGE);
		end();
	}
}

/* @which: 0 from below, 1 from above, 2 the middle, 3 anywhere. */
static void empty_it(unsigned int which, bool look)
{
	while (history.n) {
		size_t i[] = { 0, history.n - 1, history.n / 2,
			       random_below((unsigned int)history.n) };

		history_remove(&history, i[which]);
		if (look && history.n % 16 == 0)
			history_check_tree(&history);
		assert_right();
	}
}

static void it_shrinks_to_nothing_and_grows_again(void **state)
{
	random_state = 2;
	begin(SHAPE_DENSE);
	for (unsigned int i = 0; i < 12; i++) {
		fill(2000);
		history_check_tree(&history);
		empty_it(i % 4, true);
		assert_int_equal(node_level(history.ix.root), 0);
		history_find(&history, 0, ULONG_MAX);
	}
	end();
}

/*
 * A reader that never ends keeps all nodes, and new ones cannot be had: leaves
 * stay behind empty, and are found empty.
 */
static void it_shrinks_without_memory(void **state)
{
	unsigned int last[] = { 0, 1, 2, 3 };

	random_state = 3;
	for (unsigned int i = 0; i < ARRAY_SIZE(last); i++) {
		begin(SHAPE_DENSE);
		fill(3000);
		history_reader_begin(&history, 0);
		history_allocations_left = 0;
		while (history.ix.inners.avail)
			history_remove(&history,
				       random_below((unsigned int)history.n));
		while (history.n > 20) {
			size_t at[] = { 0, history.n - 1, history.n / 2,
				       random_below((unsigned int)history.n) };

			history_remove(&history, at[last[i]]);
			if (history.n % 64 == 0)
				history_find(&history, 0, ULONG_MAX);
		}
		history_check_tree(&history);
		assert_int_equal(history.ix.inners.avail, 0);
		assert_right();
		history_reader_end(&history, 0);
		history_allocations_left = -1;
		fill(500);
		history_find(&history, 0, ULONG_MAX);
		empty_it(3, true);
		end();
	}
}

static void an_insert_without_memory_changes_nothing(void **state)
{
	unsigned int failed = 0;
	int ret;

	begin(SHAPE_DENSE);
	for (unsigned int i = 0; i < 3000; i++) {
		history_allocations_left = 0;
		ret = history_insert(&history, 50 * i, 50 * i + 70);
		failed += ret == -ENOMEM;
		if (ret)
			history_find(&history, 50 * i, 50 * i + 70);
		history_allocations_left = -1;
		if (ret)
			assert_int_equal(history_insert(&history, 50 * i,
							50 * i + 70), 0);
	}
	/* Once for each chunk, and these double. */
	assert_in_range(failed, 4, 20);
	history_allocations_left = 0;
	assert_int_equal(history_begin(&(struct history){ 0 }, SHAPE_DENSE),
			 -ENOMEM);
	history_allocations_left = -1;
	end();
}

/* -------------------------------------------------------------------- memory */

#define CHURN 1000

/* @rounds times one out, one in, anywhere; there are CHURN all the time. */
static void churn(unsigned long rounds)
{
	unsigned long start;

	while (rounds--) {
		history_remove(&history, random_below(CHURN));
		start = random_below(1U << 20);
		history_insert(&history, start, start + random_below(5000));
	}
}

static void memory_comes_back_under_churn(void **state)
{
	size_t bytes;

	random_state = 4;
	begin(SHAPE_DENSE);
	while (history.n < CHURN)
		history_insert(&history, random_below(1U << 20), 1U << 20);
	churn(20000);
	bytes = index_bytes(&history.ix);
	churn(1000000);
	assert_int_equal(index_bytes(&history.ix), bytes);
	end();
}

/* Readers come and go; one of them is slow. */
static void memory_comes_back_when_readers_are_done(void **state)
{
	size_t bytes = 0;

	random_state = 5;
	begin(SHAPE_DENSE);
	while (history.n < CHURN)
		history_insert(&history, random_below(1U << 20), 1U << 20);
	for (unsigned int i = 0; i < 400; i++) {
		history_reader_begin(&history, i % 2);
		churn(100);
		history_reader_end(&history, (i + 1) % 2);
		assert_right();
		if (i == 100)
			bytes = index_bytes(&history.ix);
	}
	assert_true(index_bytes(&history.ix) <= bytes * 2);
	history_reader_end(&history, 0);
	history_reader_end(&history, 1);
	history_reader_begin(&history, 2);
	churn(20000);
	assert_true(index_bytes(&history.ix) > bytes);
	bytes = index_bytes(&history.ix);
	history_reader_end(&history, 2);
	churn(20000);
	assert_int_equal(index_bytes(&history.ix), bytes);
	end();
}

/* ------------------------------------------------------------------- alone */

static int insert_alone(unsigned long page, struct uhmm_interval_node *node)
{
	int ret;

	node->start = page * PAGE;
	node->last = node->start + PAGE - 1;
	spin_lock(&history.ix.lock);
	ret = index_insert_alone(&history.ix, node);
	if (!ret)
		index_remove(&history.ix, node);
	spin_unlock(&history.ix.lock);
	return ret;
}

/* Each search tells; what is rough may be taken for what overlaps. */
static void what_is_alone_is_told(void **state)
{
	struct uhmm_interval_node node;

	begin(SHAPE_DENSE);
	for (unsigned int i = 0; i < 300; i++)
		history_insert(&history, 2 * (i * 7 % 300) * PAGE,
			       (2 * (i * 7 % 300) + 1) * PAGE - 1);
	for (unsigned int k = 0; k < history.n_searches; k++) {
		history.ix.search = history.search[k];
		for (unsigned int i = 0; i < 600; i++)
			assert_int_equal(insert_alone(i, &node),
					 i % 2 ? 0 : -EEXIST);
	}
	end();
}

/* ------------------------------------------------------ what was inserted last */

#define STRIDE 4UL		/* pages from one of the others to the next */
#define OTHERS (3 * INDEX_FANOUT)
#define HOT_MOST 6

/* None of the others. */
static bool is_hot(const struct entry *entry)
{
	return entry->node.start / PAGE % STRIDE;
}

/* The one of them that was inserted last, most often; else any. */
static void remove_hot(void)
{
	unsigned int skip = random_below(4) ? 0 : random_below(HOT_MOST);
	size_t i, at = history.n;

	for (i = 0; i < history.n; i++) {
		if (!is_hot(history.sorted[i]))
			continue;
		if (at == history.n || skip ||
		    history.sorted[i]->since > history.sorted[at]->since)
			at = i;
		skip -= !!skip;
	}
	history_remove(&history, at);
}

/*
 * In two spots, one among the others and one behind them, of two lengths. An
 * insert that fails elsewhere has the writer go there meanwhile.
 */
static void what_was_inserted_last_comes_and_goes(void **state)
{
	struct uhmm_interval_node node;

	random_state = 6;
	begin(SHAPE_DENSE);
	for (unsigned long i = 0; i < OTHERS; i++)
		history_insert(&history, i * STRIDE * PAGE,
			       (i * STRIDE + 1) * PAGE - 1);
	for (unsigned int i = 0; i < 30000; i++) {
		unsigned long spot = random_below(3) ? OTHERS / 2 : OTHERS;
		unsigned long start = (spot * STRIDE + 1 + random_below(2)) * PAGE;

		if (history.n > OTHERS && (history.n == OTHERS + HOT_MOST ||
					   random_below(2)))
			remove_hot();
		else
			history_insert(&history, start, start - 1 +
				       (random_below(4) ? 1 : 9) * PAGE);
		if (!random_below(8))
			assert_int_equal(insert_alone(random_below(OTHERS) *
						      STRIDE, &node), -EEXIST);
		history_find(&history, start - PAGE, start + 2 * PAGE);
		if (i % 4 == 0)
			history_check_tree(&history);
		assert_right();
	}
	assert_true(history.recents > 300);
	end();
}

/*
 * One leaf takes all starts, of which its scale has room for a part: a writer who
 * has just been there goes above that, before it, and before it but into it.
 */
static void a_writer_leaves_the_scale_of_a_leaf(void **state)
{
	const unsigned long base = 1UL << 46;
	const unsigned long starts[] = { 1UL << 60, PAGE, base - PAGE };
	const unsigned long pages[] = { 1, 1, 3 };

	for (unsigned int where = 0; where < 3; where++) {
		begin(SHAPE_FAR);
		for (unsigned long i = 0; i < 4; i++)
			history_insert(&history, base + i * PAGE,
				       base + (i + 1) * PAGE - 1);
		for (unsigned int i = 0; i < 3; i++) {
			history_insert(&history, starts[where], starts[where] +
				       pages[where] * PAGE - 1);
			history_find(&history, starts[where], starts[where]);
			history_check_tree(&history);
			assert_right();
		}
		end();
	}
}

/* ----------------------------------------------------------- random histories */

static void try_random(enum index_shape shape)
{
	static uint8_t bytes[1 + 3 * 3000];
	const char *problem;

	for (unsigned long seed = 1; seed <= 150; seed++) {
		random_state = seed;
		bytes[0] = (uint8_t)shape;
		for (size_t i = 1; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)random_below(256);
		problem = history_run(bytes, 1 + seed * (sizeof(bytes) / 150));
		if (problem)
			fail_msg("seed %lu: %s", seed, problem);
	}
}

static void random_histories_of_short_intervals(void **state)
{
	try_random(SHAPE_DENSE);
}

static void random_histories_of_long_intervals(void **state)
{
	try_random(SHAPE_WIDE);
}

static void random_histories_of_equal_starts(void **state)
{
	try_random(SHAPE_EQUAL);
}

static void random_histories_of_many_in_a_page(void **state)
{
	try_random(SHAPE_BYTES);
}

static void random_histories_far_apart(void **state)
{
	try_random(SHAPE_FAR);
}

static void random_histories_at_the_edges(void **state)
{
	try_random(SHAPE_EDGES);
}

static void random_histories_of_nested_intervals(void **state)
{
	try_random(SHAPE_NESTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leafs_word_is_a_permutation),
		cmocka_unit_test(the_portable_search_compares_right),
		cmocka_unit_test(each_vector_search_compares_right),
		cmocka_unit_test(every_short_history_from_nothing),
		cmocka_unit_test(every_short_history_around_a_full_leaf),
		cmocka_unit_test(every_short_history_around_two_leaves),
		cmocka_unit_test(a_full_tree_grows_at_every_place),
		cmocka_unit_test(a_tall_tree_grows_at_every_leaf),
		cmocka_unit_test(it_shrinks_to_nothing_and_grows_again),
		cmocka_unit_test(it_shrinks_without_memory),
		cmocka_unit_test(an_insert_without_memory_changes_nothing),
		cmocka_unit_test(memory_comes_back_under_churn),
		cmocka_unit_test(memory_comes_back_when_readers_are_done),
		cmocka_unit_test(what_is_alone_is_told),
		cmocka_unit_test(a_writer_leaves_the_scale_of_a_leaf),
		cmocka_unit_test(what_was_inserted_last_comes_and_goes),
		cmocka_unit_test(random_histories_of_short_intervals),
		cmocka_unit_test(random_histories_of_long_intervals),
		cmocka_unit_test(random_histories_of_equal_starts),
		cmocka_unit_test(random_histories_at_the_edges),
		cmocka_unit_test(random_histories_of_many_in_a_page),
		cmocka_unit_test(random_histories_far_apart),
		cmocka_unit_test(random_histories_of_nested_intervals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
