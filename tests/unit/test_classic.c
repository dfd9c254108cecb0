/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The kernel's scheme from the inside: its one sequence, its window, what it
 * defers, and its holes. What can be seen from the outside is in
 * test_conformance.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include <cmocka.h>

#include "designs/classic.h"

#define PG(n) (0x100000UL + ((unsigned long)(n) << 12))

struct sub {
	struct classic_interval_notifier ni;
	int calls;
	unsigned long cur_seq;
	bool refuses;
};

static struct classic_mm *mm;

static bool invalidate(struct classic_interval_notifier *ni,
		       const struct classic_range *range, unsigned long cur_seq)
{
	struct sub *sub = container_of(ni, struct sub, ni);

	sub->calls++;
	sub->cur_seq = cur_seq;
	classic_interval_set_seq(ni, cur_seq);
	return !sub->refuses;
}

static const struct classic_interval_ops ops = { .invalidate = invalidate };

static void add(struct sub *sub, unsigned long start, unsigned long length)
{
	*sub = (struct sub){ .calls = 0 };
	assert_int_equal(classic_interval_notifier_insert(&sub->ni, mm, start,
							  length, &ops), 0);
}

static void drop(struct sub *sub)
{
	classic_interval_notifier_remove(&sub->ni);
}

static void start(struct classic_range *range, unsigned long start,
		  unsigned long end)
{
	classic_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
	classic_invalidate_range_start(range);
}

static void end(struct classic_range *range)
{
	classic_invalidate_range_end(range);
}

static int setup(void **state)
{
	return classic_mm_create(&mm);
}

static int teardown(void **state)
{
	classic_mm_release(mm);
	classic_mm_drop(mm);
	return 0;
}

/* ------------------------------------------------------------ the sequence */

/* I1, I2, I4, I5 */
static void one_number_for_a_window(void **state)
{
	struct classic_range first, second;
	struct sub one, two;

	add(&one, PG(10), 1);
	add(&two, PG(20), 1);
	assert_int_equal(mm->seq, 2);
	start(&first, PG(10), PG(11));
	assert_int_equal(mm->seq, 3);
	start(&second, PG(20), PG(21));
	end(&first);
	assert_int_equal(mm->seq, 3);
	assert_int_equal(mm->active, 1);
	assert_int_equal(one.cur_seq, 3);
	assert_int_equal(two.cur_seq, 3);
	end(&second);
	assert_int_equal(mm->seq, 4);
	assert_int_equal(mm->active, 0);
	drop(&one);
	drop(&two);
}

/* I3 */
static void a_range_of_nobody_opens_no_window(void **state)
{
	struct classic_range range;
	struct sub sub;

	add(&sub, PG(10), 1);
	start(&range, PG(20), PG(21));
	assert_int_equal(mm->seq, 2);
	assert_int_equal(mm->active, 1);
	end(&range);
	assert_int_equal(mm->seq, 2);
	drop(&sub);
}

/* I6, I7 */
static void who_is_hit_has_the_number_of_the_window(void **state)
{
	struct classic_range range;
	struct sub hit, other;

	add(&hit, PG(10), 1);
	add(&other, PG(20), 1);
	assert_int_equal(hit.ni.seq, mm->seq - 1);
	start(&range, PG(10), PG(11));
	assert_int_equal(hit.ni.seq, mm->seq);
	assert_int_not_equal(other.ni.seq, mm->seq);
	end(&range);
	assert_int_not_equal(hit.ni.seq, mm->seq);
	drop(&hit);
	drop(&other);
}

/* I12 */
static void the_sequence_may_wrap(void **state)
{
	struct classic_range range;
	unsigned long seq;
	struct sub sub;

	mm->seq = -4UL;
	add(&sub, PG(10), 1);
	for (int i = 1; i <= 4; i++) {
		seq = classic_interval_read_begin(&sub.ni);
		assert_false(classic_interval_read_retry(&sub.ni, seq));
		start(&range, PG(10), PG(11));
		end(&range);
		assert_true(classic_interval_read_retry(&sub.ni, seq));
		assert_int_equal(mm->seq, -4UL + 2UL * i);
	}
	drop(&sub);
}

/* ------------------------------------------------------------- what is deferred */

/* I7 */
static void insert_opens_a_window_if_anything_is_active(void **state)
{
	struct classic_range range;
	struct sub sub;

	start(&range, PG(20), PG(21));
	assert_int_equal(mm->seq, 2);
	add(&sub, PG(10), 1);
	assert_int_equal(mm->seq, 3);
	assert_int_equal(sub.ni.seq, 3);
	assert_true(rbnode_linked(&sub.ni.node));
	end(&range);
	drop(&sub);
}

/* I14 */
static void insert_in_a_window_is_deferred(void **state)
{
	struct classic_range range, later;
	struct sub hit, sub;

	add(&hit, PG(10), 1);
	start(&range, PG(10), PG(11));
	add(&sub, PG(20), 1);
	assert_false(rbnode_linked(&sub.ni.node));
	assert_int_equal(sub.ni.seq, mm->seq);
	start(&later, PG(20), PG(21));
	end(&later);
	assert_int_equal(sub.calls, 0);
	end(&range);
	assert_true(rbnode_linked(&sub.ni.node));
	assert_null(mm->deferred);
	start(&later, PG(20), PG(21));
	end(&later);
	assert_int_equal(sub.calls, 1);
	drop(&sub);
	drop(&hit);
}

/* I26 */
static void removing_what_is_deferred_does_not_wait(void **state)
{
	struct classic_range range;
	struct sub hit, one, two;

	add(&hit, PG(10), 1);
	start(&range, PG(10), PG(11));
	add(&one, PG(20), 1);
	add(&two, PG(30), 1);
	drop(&one);
	assert_ptr_equal(mm->deferred, &two.ni);
	drop(&two);
	assert_null(mm->deferred);
	end(&range);
	drop(&hit);
}

static void *find_it_linked(void *arg)
{
	struct sub *sub = arg;

	classic_interval_read_begin(&sub->ni);
	return rbnode_linked(&sub->ni.node) ? sub : NULL;
}

/* I28 */
static void what_was_deferred_is_done_before_anyone_wakes(void **state)
{
	struct timespec ts = { .tv_nsec = 1000000 };
	struct classic_range range;
	struct sub hit, sub;
	pthread_t reader;
	void *found;

	add(&hit, PG(10), 1);
	start(&range, PG(10), PG(11));
	add(&sub, PG(20), 1);
	pthread_create(&reader, NULL, find_it_linked, &sub);
	while (!(READ_ONCE(mm->wake) & CLASSIC_ASLEEP))
		nanosleep(&ts, NULL);
	end(&range);
	pthread_join(reader, &found);
	assert_ptr_equal(found, &sub);
	assert_null(mm->deferred);
	drop(&sub);
	drop(&hit);
}

static void *drop_it(void *sub)
{
	drop(sub);
	return NULL;
}

/* I15 */
static void what_is_being_removed_is_called_until_the_window_closes(void **state)
{
	struct timespec ts = { .tv_nsec = 1000000 };
	struct classic_range range, later;
	pthread_t remover;
	struct sub sub;

	add(&sub, PG(10), 1);
	start(&range, PG(10), PG(11));
	pthread_create(&remover, NULL, drop_it, &sub);
	while (!(READ_ONCE(mm->wake) & CLASSIC_ASLEEP))
		nanosleep(&ts, NULL);
	start(&later, PG(10), PG(11));
	end(&later);
	assert_int_equal(sub.calls, 2);
	end(&range);
	pthread_join(remover, NULL);
	assert_null(mm->tree.root);
}

/* I27 */
static void remove_waits_for_ranges_of_others(void **state)
{
	struct timespec ts = { .tv_nsec = 1000000 };
	struct classic_range range, own;
	pthread_t remover;
	struct sub sub, other;

	add(&sub, PG(10), 1);
	add(&other, PG(20), 1);
	start(&own, PG(10), PG(11));
	start(&range, PG(20), PG(21));
	end(&own);
	pthread_create(&remover, NULL, drop_it, &sub);
	while (!(READ_ONCE(mm->wake) & CLASSIC_ASLEEP))
		nanosleep(&ts, NULL);
	assert_true(rbnode_linked(&sub.ni.node));
	end(&range);
	pthread_join(remover, NULL);
	assert_false(rbnode_linked(&sub.ni.node));
	drop(&other);
}

/* ------------------------------------------------------------------ holes */

static int refuse(struct classic_notifier *sub,
		  const struct classic_range *range)
{
	return range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE ? 0 : -EAGAIN;
}

/* I22 */
static void a_refusal_by_the_list_stays_active(void **state)
{
	static const struct classic_ops refusing = {
		.invalidate_range_start = refuse,
	};
	struct classic_notifier list = { .ops = &refusing };
	struct classic_range range;
	struct sub sub;

	add(&sub, PG(10), 1);
	start(&range, PG(10), PG(11));
	end(&range);
	classic_notifier_register(&list, mm);
	classic_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, PG(10), PG(11));
	assert_int_equal(classic_invalidate_range_start_nonblock(&range),
			 -EAGAIN);
	assert_int_equal(mm->seq, 5);
	assert_int_equal(mm->active, 1);
	/* Against the rules, or nothing could be removed any more. */
	end(&range);
	classic_notifier_unregister(&list, mm);
	drop(&sub);
}

static void an_empty_range_hits_who_has_both_sides(void **state)
{
	struct classic_range range;
	struct sub both, left, right;

	add(&both, PG(10) - 1, 2);
	add(&left, PG(10) - 1, 1);
	add(&right, PG(10), 1);
	start(&range, PG(10), PG(10));
	end(&range);
	assert_int_equal(both.calls, 1);
	assert_int_equal(left.calls + right.calls, 0);
	start(&range, 0, 0);
	end(&range);
	assert_int_equal(both.calls, 2);
	assert_int_equal(left.calls + right.calls, 2);
	drop(&both);
	drop(&left);
	drop(&right);
}

static void a_blockable_refusal_is_a_warning(void **state)
{
	struct classic_range range;
	struct sub sub;

	add(&sub, PG(10), 1);
	sub.refuses = true;
	start(&range, PG(10), PG(11));
	assert_int_equal(mm->warnings, 1);
	end(&range);
	assert_int_equal(mm->seq, 4);
	drop(&sub);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(one_number_for_a_window),
		CASE(a_range_of_nobody_opens_no_window),
		CASE(who_is_hit_has_the_number_of_the_window),
		CASE(the_sequence_may_wrap),
		CASE(insert_opens_a_window_if_anything_is_active),
		CASE(insert_in_a_window_is_deferred),
		CASE(removing_what_is_deferred_does_not_wait),
		CASE(what_was_deferred_is_done_before_anyone_wakes),
		CASE(what_is_being_removed_is_called_until_the_window_closes),
		CASE(remove_waits_for_ranges_of_others),
		CASE(a_refusal_by_the_list_stays_active),
		CASE(an_empty_range_hits_who_has_both_sides),
		CASE(a_blockable_refusal_is_a_warning),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
