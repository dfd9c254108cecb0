/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Reservations: a read that invalidations wait for. */
#include "reserving.h"

#include "core/reserve.h"

/* ---------------------------------------------------------------- on request */

static void a_reserved_read_holds_the_invalidation_up(void **state)
{
	struct task starter;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	mirror_begin(&one);
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	seq = mirror_begin(&one);
	assert_recorded("");
	assert_false(mirror_retry(&one, seq));
	task_join(&starter);
	assert_recorded("i1");
	assert_int_equal(stats().reserves, 1);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

static void reserved_before_the_first_read_it_is_no_less(void **state)
{
	struct task starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	/* It waits for us, so we do not wait for it. */
	assert_false(mirror_held_up(&one));
	unreserve(&one);
	task_join(&starter);
	mirror_drop(&one);
}

static void a_successful_read_gives_the_reservation_up(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	seq = mirror_begin(&one);
	assert_false(mirror_retry(&one, seq));
	assert_no_wait(invalidate_task, NULL);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

static void a_read_that_began_before_it_does_not(void **state)
{
	struct task starter;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	mirror_begin(&one);
	seq = mirror_begin(&one);
	reserve(&one);
	assert_false(mirror_retry(&one, seq));
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	task_join(&starter);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

static void a_read_that_collided_keeps_it(void **state)
{
	struct mmu_notifier_range range;
	struct task starter;
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	seq = mirror_begin(&one);
	invalidate(PG(10), PG(11));
	reserve(&one);
	assert_true(mirror_retry(&one, seq));
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	assert_false(mirror_retry(&one, mirror_begin(&one)));
	task_join(&starter);
	/* Nothing of it is left. */
	begin_range(&range, PG(10), PG(11));
	end_range(&range);
	mirror_drop(&one);
}

static void unreserve_lets_the_invalidation_go(void **state)
{
	struct task starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	assert_recorded("");
	unreserve(&one);
	task_join(&starter);
	assert_recorded("i1");
	unreserve(&one);
	assert_no_wait(invalidate_task, NULL);
	mirror_drop(&one);
}

static void unreserve_leaves_alone_what_is_not_reserved(void **state)
{
	struct mirror one, two;
	struct task starter;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(20), 1);
	unreserve(&one);
	assert_no_wait(invalidate_task, NULL);
	reserve(&one);
	unreserve(&two);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	unreserve(&one);
	task_join(&starter);
	mirror_drop(&one);
	mirror_drop(&two);
}

static void a_second_reservation_of_a_thread_is_the_first(void **state)
{
	struct task starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	reserve(&one);
	assert_int_equal(stats().reserves, 1);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	unreserve(&one);
	task_join(&starter);
	mirror_drop(&one);
}

static void the_invalidation_waits_for_all_who_reserved(void **state)
{
	struct holder holders[3];
	struct task tasks[3], starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 3; i++) {
		holders[i].mirror = &one;
		gate_init(&holders[i].gate);
		task_start(&tasks[i], hold_reservation, &holders[i]);
		gate_await(&holders[i].gate);
	}
	task_start(&starter, invalidate_task, NULL);
	for (int i = 0; i < 3; i++) {
		assert_true(task_waits(&starter));
		gate_open(&holders[i].gate);
		task_join(&tasks[i]);
	}
	task_join(&starter);
	assert_recorded("i1");
	assert_int_equal(stats().reserves, 3);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

/* As many as the word has room for, without that many threads. */
static void too_many_reservations_are_refused(void **state)
{
	const unsigned long full = VERIFIED_MAX * VERIFIED_ONE;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	one.sub.verified = full;
	assert_int_equal(uhmm_interval_reserve(&one.sub), -EBUSY);
	assert_int_equal(one.sub.verified, full);
	one.sub.verified = full - VERIFIED_ONE;
	reserve(&one);
	assert_int_equal(one.sub.verified, full);
	unreserve(&one);
	one.sub.verified = 0;
	mirror_drop(&one);
}

static void others_are_not_held_up(void **state)
{
	struct mirror one, two;
	struct task starter;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(20), 1);
	reserve(&two);
	assert_no_wait(invalidate_task, NULL);
	assert_recorded("i1");
	reserve(&one);
	unreserve(&two);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	unreserve(&one);
	task_join(&starter);
	mirror_drop(&one);
	mirror_drop(&two);
}

/* Before its first callback, though only the last one has it reserved. */
static void nobody_is_called_while_one_is_reserved(void **state)
{
	struct mirror one, two;
	struct task starter;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	seq = mirror_begin(&one);
	mirror_begin(&two);
	reserve(&two);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	assert_recorded("");
	/* So the others can still read, and install. */
	assert_false(mirror_retry(&one, seq));
	assert_false(mirror_held_up(&one));
	unreserve(&two);
	task_join(&starter);
	assert_recorded("i1 i2");
	mirror_drop(&one);
	mirror_drop(&two);
}

static void remove_gives_the_reservation_up(void **state)
{
	struct task starter;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	mirror_drop(&one);
	task_join(&starter);
	/* It was found before. */
	assert_recorded("i1");
}

static struct mm_struct *another;

static void reserve_there(void *sub)
{
	if (mmu_interval_notifier_insert(sub, another, PG(10), 1, &mirror_ops) ||
	    uhmm_interval_reserve(sub))
		abort();
}

/*
 * One was lost, and the memory of its subscription serves another address space,
 * where another thread has reserved it: that is not ours to give up.
 */
static void a_reservation_of_another_address_space_is_another_one(void **state)
{
	struct mirror one;
	struct task task;

	make(SHORT_US, 0);
	assert_int_equal(uhmm_mm_create(&another), 0);
	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	task_start(&task, invalidate_task, NULL);
	task_join(&task);
	assert_int_equal(stats().reserves_lost, 1);
	task_start(&task, mirror_drop_task, &one);
	task_join(&task);
	mirror_init(&one, 1);
	task_start(&task, reserve_there, &one.sub);
	task_join(&task);
	unreserve(&one);
	assert_true(sub_reserved(&one.sub));
	mirror_drop(&one);
	mmput(another);
}

/* ------------------------------------------------------------- who does not wait */

static void begin_nonblock_task(void *ret)
{
	struct mmu_notifier_range range;

	set(ret, begin_nonblock(&range, PG(10), PG(11)));
	end_range(&range);
}

static void a_nonblockable_invalidation_does_not_wait(void **state)
{
	struct mirror one;
	int ret = 1;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	assert_no_wait(begin_nonblock_task, &ret);
	assert_int_equal(look(&ret), 0);
	assert_recorded("i1");
	unreserve(&one);
	mirror_drop(&one);
}

static void nested_task(void *unused)
{
	struct mmu_notifier_range outer;

	begin_range(&outer, PG(50), PG(51));
	invalidate(PG(10), PG(11));
	end_range(&outer);
}

static void a_nested_invalidation_does_not_wait(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	reserve(&one);
	assert_no_wait(nested_task, NULL);
	assert_recorded("i1");
	unreserve(&one);
	mirror_drop(&one);
}

static struct mirror own;

static void reserving_task(void *unused)
{
	if (uhmm_interval_reserve(&own.sub))
		return;
	invalidate(PG(10), PG(11));
	uhmm_interval_unreserve(&own.sub);
}

static void reserve_task(void *mirror)
{
	if (uhmm_interval_reserve(&((struct mirror *)mirror)->sub))
		abort();
}

static void one_who_has_a_reservation_does_not_wait(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&own, 2, PG(20), 1);
	reserve(&one);
	assert_no_wait(reserving_task, NULL);
	assert_recorded("i1");
	/* Nor for itself. */
	invalidate(PG(10), PG(11));
	assert_recorded("i1");
	unreserve(&one);
	mirror_drop(&one);
	mirror_drop(&own);
}

/* Its reservation is lost, and it knows nothing of that. */
static void one_whose_reservation_was_lost_waits(void **state)
{
	struct mirror one;
	struct task task;

	make(SHORT_US, 0);
	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&own, 2, PG(20), 1);
	reserve(&one);
	task_start(&task, invalidate_task, NULL);
	task_join(&task);
	assert_int_equal(stats().reserves_lost, 1);
	task_start(&task, reserve_task, &own);
	task_join(&task);
	invalidate(PG(20), PG(21));
	assert_int_equal(stats().reserves_lost, 2);
	mirror_drop(&one);
	mirror_drop(&own);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		LONG_CASE(a_reserved_read_holds_the_invalidation_up),
		LONG_CASE(reserved_before_the_first_read_it_is_no_less),
		LONG_CASE(a_successful_read_gives_the_reservation_up),
		LONG_CASE(a_read_that_began_before_it_does_not),
		LONG_CASE(a_read_that_collided_keeps_it),
		LONG_CASE(unreserve_lets_the_invalidation_go),
		LONG_CASE(unreserve_leaves_alone_what_is_not_reserved),
		LONG_CASE(a_second_reservation_of_a_thread_is_the_first),
		LONG_CASE(the_invalidation_waits_for_all_who_reserved),
		LONG_CASE(too_many_reservations_are_refused),
		LONG_CASE(others_are_not_held_up),
		LONG_CASE(nobody_is_called_while_one_is_reserved),
		LONG_CASE(remove_gives_the_reservation_up),
		LONG_CASE(a_reservation_of_another_address_space_is_another_one),
		LONG_CASE(a_nonblockable_invalidation_does_not_wait),
		LONG_CASE(a_nested_invalidation_does_not_wait),
		LONG_CASE(one_who_has_a_reservation_does_not_wait),
		CASE(one_whose_reservation_was_lost_waits),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
