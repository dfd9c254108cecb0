/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Interval notifiers: who is called, with what, in which order. */
#include "util.h"

#include <stdio.h>

/* ----------------------------------------------------------------- who is hit */

static void each_overlap_is_called_once(void **state)
{
	const unsigned long first = PG(10) + 100, behind = PG(12) + 7;
	struct mirror one;

	mirror_add(&one, 1, first, behind - first);
	invalidate(first - 1, first);
	invalidate(behind, behind + 1);
	invalidate(0, first);
	invalidate(behind, ULONG_MAX);
	assert_recorded("");
	invalidate(first - 1, first + 1);
	assert_recorded("i1");
	invalidate(first, first + 1);
	assert_recorded("i1");
	invalidate(behind - 1, behind);
	assert_recorded("i1");
	invalidate(PG(11), PG(11) + 1);
	assert_recorded("i1");
	invalidate(first, behind);
	assert_recorded("i1");
	invalidate(0, ULONG_MAX);
	assert_recorded("i1");
	mirror_drop(&one);
}

static void calls_ascend_and_equals_keep_their_order(void **state)
{
	static const unsigned long starts[] = { 5, 3, 5, 1, 3, 5, 2, 1 };
	struct mirror m[ARRAY_SIZE(starts)];

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		mirror_add(&m[i], (int)i, PG(starts[i]), PAGES(10 - i));
	invalidate(0, ULONG_MAX);
	assert_recorded("i3 i7 i6 i1 i4 i0 i2 i5");
	mirror_drop(&m[0]);
	mirror_add(&m[0], 0, PG(5), 1);
	invalidate(0, ULONG_MAX);
	assert_recorded("i3 i7 i6 i1 i4 i2 i5 i0");
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		mirror_drop(&m[i]);
}

#define MANY 300

/* "i3 i4 i5" */
static const char *calls_up(int from, int to)
{
	static char calls[MANY * 6];
	char *end = calls;

	for (int i = from; i <= to; i++)
		end += sprintf(end, i == from ? "i%d" : " i%d", i);
	return calls;
}

/* More than are looked up at a time; a hundred start at the same byte. */
static void many_are_called_once_each_and_in_order(void **state)
{
	static struct mirror many[MANY];

	for (int i = 0; i < MANY; i++)
		mirror_add(&many[i], i, PG(i < 100 ? i : i < 200 ? 100 : i),
			   PAGES(MANY));
	invalidate(0, ULONG_MAX);
	assert_recorded(calls_up(0, MANY - 1));
	invalidate(PG(299), PG(300));
	assert_recorded(calls_up(0, MANY - 1));
	invalidate(PG(120), PG(121));
	assert_recorded(calls_up(0, 199));
	for (int i = 0; i < MANY; i++)
		mirror_drop(&many[i]);
}

static void many_disjoint_are_called_in_order(void **state)
{
	static struct mirror many[MANY];

	for (int i = MANY - 1; i >= 0; i--)
		mirror_add(&many[i], i, PG(i), PAGES(1));
	invalidate(0, ULONG_MAX);
	assert_recorded(calls_up(0, MANY - 1));
	invalidate(PG(20), PG(200) + 1);
	assert_recorded(calls_up(20, 200));
	for (int i = 0; i < MANY; i++)
		mirror_drop(&many[i]);
}

/* ------------------------------------------------------------- with what */

static void callbacks_get_the_range_as_it_was_announced(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), PAGES(2));
	invalidate(PG(11) + 1, PG(500));
	assert_ptr_equal(one.range.mm, mm);
	assert_int_equal(one.range.start, PG(11) + 1);
	assert_int_equal(one.range.end, PG(500));
	invalidate(3, PG(10) + 1);
	assert_int_equal(one.range.start, 3);
	assert_int_equal(one.range.end, PG(10) + 1);
	mirror_drop(&one);
}

static void callbacks_get_the_event_and_the_owner(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	int owner;

	mirror_add(&one, 1, PG(10), 1);
	for (int event = 0; event <= MMU_NOTIFY_EXCLUSIVE; event++) {
		mmu_notifier_range_init_owner(
			&range, (enum mmu_notifier_event)event, 0, mm, PG(10),
			PG(11), &owner);
		assert_int_equal(mmu_notifier_invalidate_range_start(&range),
				 0);
		end_range(&range);
		assert_int_equal(one.range.event, event);
		assert_ptr_equal(one.range.owner, &owner);
	}
	invalidate(PG(10), PG(11));
	assert_null(one.range.owner);
	mirror_drop(&one);
}

static void start_decides_who_may_sleep_and_not_the_flags(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, PG(10),
				PG(11));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	end_range(&range);
	assert_true(mmu_notifier_range_blockable(&one.range));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_BLOCKABLE, mm, PG(10),
				PG(11));
	assert_int_equal(mmu_notifier_invalidate_range_start_nonblock(&range),
			 0);
	assert_false(mmu_notifier_range_blockable(&one.range));
	end_range(&range);
	/* Other flags are the caller's. */
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 1U << 9, mm, PG(10),
				PG(11));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	end_range(&range);
	assert_int_equal(one.range.flags,
			 1U << 9 | MMU_NOTIFIER_RANGE_BLOCKABLE);
	mirror_drop(&one);
}

static void each_start_has_a_number_of_its_own(void **state)
{
	struct mmu_notifier_range range[8];
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	for (int i = 0; i < 8; i++) {
		unsigned long before = one.cur_seq;

		begin_range(&range[i], PG(10), PG(11));
		assert_int_equal(one.cur_seq & 1, 1);
		assert_int_equal(one.cur_seq, two.cur_seq);
		assert_int_not_equal(one.cur_seq, before);
	}
	for (int i = 0; i < 8; i++)
		end_range(&range[i]);
	mirror_drop(&one);
	mirror_drop(&two);
}

/* ------------------------------------------------------------- what is refused */

static void assert_refused(unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), -EINVAL);
	end_range(&range);
	assert_int_equal(mmu_notifier_invalidate_range_start_nonblock(&range),
			 -EINVAL);
	end_range(&range);
}

static void an_empty_range_is_refused_and_announces_nothing(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, 0, ULONG_MAX);
	assert_refused(0, 0);
	assert_refused(PG(10), PG(10));
	assert_refused(ULONG_MAX, ULONG_MAX);
	assert_recorded("");
	assert_false(mirror_held_up(&one));
	assert_int_equal(stats().starts, 0);
	mirror_drop(&one);
}

static void a_wrapped_range_is_refused_and_announces_nothing(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, 0, ULONG_MAX);
	assert_refused(1, 0);
	assert_refused(PG(10), PG(10) - 1);
	assert_refused(ULONG_MAX, 0);
	assert_refused(ULONG_MAX, PG(10));
	assert_recorded("");
	assert_false(mirror_held_up(&one));
	assert_int_equal(stats().starts, 0);
	mirror_drop(&one);
}

static void a_range_without_a_space_is_refused(void **state)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, NULL, PG(1),
				PG(2));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), -EINVAL);
	end_range(&range);
	assert_int_equal(mmu_notifier_invalidate_range_start_nonblock(&range),
			 -EINVAL);
	end_range(&range);
}

/* ----------------------------------------------------------- non-blockable */

static void nonblock_that_nobody_refuses_is_like_any_other(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), 0);
	assert_recorded("i1 i2");
	assert_true(mirror_held_up(&one));
	end_range(&range);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
	mirror_drop(&two);
}

static void a_refusal_stops_the_calls_and_leaves_nothing_open(void **state)
{
	struct mirror one, two, three;
	struct mmu_notifier_range range;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(11), 1);
	mirror_add(&three, 3, PG(12), 1);
	two.refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(13)), -EAGAIN);
	assert_recorded("i1 n2");
	assert_false(mirror_held_up(&one));
	assert_false(mirror_held_up(&two));
	assert_false(mirror_held_up(&three));
	assert_int_equal(stats().refusals, 1);
	two.refuse = false;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(13)), 0);
	assert_recorded("i1 i2 i3");
	end_range(&range);
	mirror_drop(&one);
	mirror_drop(&two);
	mirror_drop(&three);
}

static void the_only_one_may_refuse(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	one.refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), -EAGAIN);
	assert_recorded("n1");
	assert_false(mirror_held_up(&one));
	assert_int_equal(stats().refusals, 1);
	mirror_drop(&one);
}

static void reads_of_those_called_before_a_refusal_retry(void **state)
{
	struct mirror one, two, three;
	struct mmu_notifier_range range;
	unsigned long seq1, seq2, seq3;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(11), 1);
	mirror_add(&three, 3, PG(12), 1);
	seq1 = mirror_begin(&one);
	seq2 = mirror_begin(&two);
	seq3 = mirror_begin(&three);
	two.refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(13)), -EAGAIN);
	assert_true(mirror_retry(&one, seq1));
	assert_false(mirror_retry(&two, seq2));
	assert_false(mirror_retry(&three, seq3));
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	mirror_drop(&one);
	mirror_drop(&two);
	mirror_drop(&three);
}

static void a_refusal_among_many_stops_there(void **state)
{
	static struct mirror many[MANY];
	struct mmu_notifier_range range;

	for (int i = 0; i < MANY; i++)
		mirror_add(&many[i], i, PG(i), 1);
	many[150].refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(0), PG(MANY)), -EAGAIN);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].called, i < 150);
		assert_false(mirror_held_up(&many[i]));
		mirror_drop(&many[i]);
	}
}

static void what_is_blockable_cannot_be_refused(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	one.refuse_all = true;
	begin_range(&range, PG(10), PG(11));
	assert_recorded("n1 i2");
	assert_true(mirror_held_up(&two));
	end_range(&range);
	assert_int_equal(stats().refusals, 0);
	mirror_drop(&one);
	mirror_drop(&two);
}

/* ---------------------------------------------------------------- brackets */

#define DEEP 40

static void brackets_nest_forty_deep(void **state)
{
	struct mmu_notifier_range ranges[DEEP];
	struct mirror one, half;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&half, 2, PG(11), 1);
	seq = mirror_begin(&one);
	for (int i = 0; i < DEEP; i++)
		begin_range(&ranges[i], PG(10), i < DEEP / 2 ? PG(12) : PG(11));
	assert_int_equal(one.called, DEEP);
	assert_int_equal(half.called, DEEP / 2);
	assert_true(mirror_retry(&one, seq));
	for (int i = DEEP - 1; i >= 0; i--) {
		assert_true(mirror_held_up(&one));
		assert_true(mirror_held_up(&half));
		end_range(&ranges[i]);
	}
	assert_false(mirror_held_up(&one));
	assert_false(mirror_held_up(&half));
	assert_int_equal(stats().starts, DEEP);
	mirror_drop(&one);
	mirror_drop(&half);
}

/* The @nth order of four. */
static void permutation(int nth, int order[4])
{
	int left[4] = { 0, 1, 2, 3 };

	for (int i = 0, n = 4; n; i++, n--) {
		int at = nth % n;

		nth /= n;
		order[i] = left[at];
		left[at] = left[n - 1];
	}
}

static void brackets_that_overlap_end_in_any_order(void **state)
{
	struct mmu_notifier_range ranges[4];
	struct mirror m[4], all;
	int order[4];

	mirror_add(&all, 9, PG(10), PAGES(4));
	for (int i = 0; i < 4; i++)
		mirror_add(&m[i], i, PG(10 + i), 1);
	for (int nth = 0; nth < 24; nth++) {
		permutation(nth, order);
		for (int i = 0; i < 4; i++)
			begin_range(&ranges[i], PG(10 + i), PG(11 + i));
		for (int i = 0; i < 4; i++) {
			assert_true(mirror_held_up(&all));
			assert_true(mirror_held_up(&m[order[i]]));
			end_range(&ranges[order[i]]);
			assert_false(mirror_held_up(&m[order[i]]));
		}
		assert_false(mirror_held_up(&all));
	}
	for (int i = 0; i < 4; i++)
		mirror_drop(&m[i]);
	mirror_drop(&all);
}

static void end_task(void *range)
{
	end_range(range);
}

static void another_thread_may_end(void **state)
{
	struct mmu_notifier_range range;
	struct task reader, ender;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	task_start(&ender, end_task, &range);
	task_join(&ender);
	task_join(&reader);
	/* The place is free again. */
	begin_range(&range, PG(10), PG(11));
	assert_true(mirror_held_up(&one));
	end_range(&range);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

static void a_second_end_does_nothing(void **state)
{
	struct mmu_notifier_range first, copy, second;
	struct listener list;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	listener_add(&list, 2);
	begin_range(&first, PG(10), PG(11));
	copy = first;
	end_range(&first);
	assert_recorded("i1 s2 e2");
	end_range(&first);
	assert_recorded("");
	/* Of the copy too, though another one has its place now. */
	begin_range(&second, PG(10), PG(11));
	assert_recorded("i1 s2");
	end_range(&copy);
	end_range(&first);
	assert_recorded("");
	assert_true(mirror_held_up(&one));
	end_range(&second);
	assert_false(mirror_held_up(&one));
	assert_recorded("e2");
	listener_drop(&list);
	mirror_drop(&one);
	assert_recorded("r2");
}

static void end_without_start_does_nothing(void **state)
{
	struct mmu_notifier_range range, open;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&open, PG(10), PG(11));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, PG(10),
				PG(11));
	end_range(&range);
	assert_true(mirror_held_up(&one));
	end_range(&open);
	mirror_drop(&one);
}

/* --------------------------------------------------------------- in a callback */

static struct mirror another;

static void invalidate_another(struct mirror *m,
			       const struct mmu_notifier_range *range)
{
	invalidate(PG(30), PG(31));
}

static void a_callback_may_invalidate(void **state)
{
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	mirror_add(&another, 3, PG(30), 1);
	one.hook = invalidate_another;
	invalidate(PG(10), PG(11));
	assert_recorded("i3 i1 i2");
	mirror_drop(&one);
	mirror_drop(&two);
	mirror_drop(&another);
}

static void use_the_library(struct mirror *m,
			    const struct mmu_notifier_range *range)
{
	struct uhmm_mm_stats s;
	struct mirror short_lived;

	m->hook = NULL;
	mirror_init(&short_lived, 7);
	record("in", mmu_interval_notifier_insert(&short_lived.sub, mm, PG(50),
						  1, &mirror_ops));
	record("stats", uhmm_mm_get_stats(mm, &s));
	record("lock", mmap_write_trylock(mm));
	mmap_write_unlock(mm);
	record("has", mm_has_notifiers(mm));
	mirror_drop(&short_lived);
}

static void a_callback_holds_no_lock_of_the_library(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	one.hook = use_the_library;
	invalidate(PG(10), PG(11));
	assert_recorded("in0 stats0 lock1 has1 i1");
	mirror_drop(&one);
}

static void meet(struct mirror *m, const struct mmu_notifier_range *range)
{
	pthread_barrier_wait(m->data);
}

static void two_starts_call_one_subscription_at_the_same_time(void **state)
{
	pthread_barrier_t both;
	struct task starter;
	struct mirror one;

	pthread_barrier_init(&both, NULL, 2);
	mirror_add(&one, 1, PG(10), 1);
	one.hook = meet;
	one.data = &both;
	task_start(&starter, invalidate_task, NULL);
	invalidate(PG(10), PG(11));
	task_join(&starter);
	assert_recorded("i1 i1");
	mirror_drop(&one);
	pthread_barrier_destroy(&both);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(each_overlap_is_called_once),
		CASE(calls_ascend_and_equals_keep_their_order),
		CASE(many_are_called_once_each_and_in_order),
		CASE(many_disjoint_are_called_in_order),
		CASE(callbacks_get_the_range_as_it_was_announced),
		CASE(callbacks_get_the_event_and_the_owner),
		CASE(start_decides_who_may_sleep_and_not_the_flags),
		CASE(each_start_has_a_number_of_its_own),
		CASE(an_empty_range_is_refused_and_announces_nothing),
		CASE(a_wrapped_range_is_refused_and_announces_nothing),
		CASE(a_range_without_a_space_is_refused),
		CASE(nonblock_that_nobody_refuses_is_like_any_other),
		CASE(a_refusal_stops_the_calls_and_leaves_nothing_open),
		CASE(the_only_one_may_refuse),
		CASE(reads_of_those_called_before_a_refusal_retry),
		CASE(a_refusal_among_many_stops_there),
		CASE(what_is_blockable_cannot_be_refused),
		CASE(brackets_nest_forty_deep),
		CASE(brackets_that_overlap_end_in_any_order),
		CASE(another_thread_may_end),
		CASE(a_second_end_does_nothing),
		CASE(end_without_start_does_nothing),
		CASE(a_callback_may_invalidate),
		CASE(a_callback_holds_no_lock_of_the_library),
		CASE(two_starts_call_one_subscription_at_the_same_time),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
