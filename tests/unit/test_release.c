/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The end of an address space, as interval notifiers see it. */
#include "util.h"

#define MANY 200

static void release_covers_the_whole_space(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	end_mm();
	assert_recorded("R1");
	assert_int_equal(one.range.event, MMU_NOTIFY_RELEASE);
	assert_int_equal(one.range.start, 0);
	assert_int_equal(one.range.end, ULONG_MAX);
	assert_true(mmu_notifier_range_blockable(&one.range));
	assert_ptr_equal(one.range.mm, mm);
	assert_null(one.range.owner);
	mirror_drop(&one);
}

static void release_reaches_the_last_byte(void **state)
{
	struct mirror last, first, all;

	mirror_add(&last, 3, ULONG_MAX, 1);
	mirror_add(&first, 1, 0, 1);
	mirror_add(&all, 2, 1, ULONG_MAX);
	end_mm();
	assert_recorded("R1 R2 R3");
	mirror_drop(&last);
	mirror_drop(&first);
	mirror_drop(&all);
}

static void release_reaches_many_once_each_and_in_order(void **state)
{
	static struct mirror many[MANY];
	unsigned long seq;

	for (int i = 0; i < MANY; i++)
		mirror_add(&many[i], i, PG(i / 2), 1);
	end_mm();
	seq = many[0].cur_seq;
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].called, 1);
		assert_int_equal(many[i].cur_seq, seq);
		assert_int_equal(many[i].range.event, MMU_NOTIFY_RELEASE);
		mirror_drop(&many[i]);
	}
}

static void release_is_the_last_event(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mmgrab(mm);
	mirror_add(&one, 1, PG(10), 1);
	end_mm();
	assert_recorded("R1");
	invalidate(0, ULONG_MAX);
	invalidate(PG(10), PG(11));
	assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), 0);
	end_range(&range);
	assert_recorded("");
	mirror_drop(&one);
	mmdrop(mm);
}

static void what_was_removed_is_not_released(void **state)
{
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	mirror_drop(&one);
	end_mm();
	assert_recorded("R2");
	mirror_drop(&two);
}

static void nothing_comes_in_after_the_end(void **state)
{
	struct listener list;
	struct mirror one;

	mmgrab(mm);
	end_mm();
	mirror_init(&one, 1);
	listener_init(&list, 2, &listener_ops);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, mm, PG(1), 1,
						      &mirror_ops), -EINVAL);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(&one.sub, mm,
							      PG(1), 1),
			 -EINVAL);
	assert_int_equal(mmu_notifier_register(&list.mn, mm), -EINVAL);
	assert_int_equal(uhmm_notifier_register_timeout(&list.mn, mm, 0),
			 -EINVAL);
	assert_false(mm_has_notifiers(mm));
	invalidate(0, ULONG_MAX);
	assert_recorded("");
	mmdrop(mm);
}

static void reads_collide_with_the_end(void **state)
{
	struct mirror one;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), 1);
	seq = mirror_begin(&one);
	end_mm();
	assert_true(mirror_retry(&one, seq));
	assert_no_wait(mirror_begin_task, &one);
	mirror_drop(&one);
}

static void end_mm_task(void *unused)
{
	end_mm();
}

static void release_comes_after_callbacks_that_are_running(void **state)
{
	struct task starter, ender;
	struct mirror one, two;
	struct gate gate;

	gate_init(&gate);
	mmgrab(mm);
	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	one.hook = mirror_at_gate;
	one.data = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	one.hook = NULL;
	task_start(&ender, end_mm_task, NULL);
	assert_true(task_waits(&ender));
	gate_open(&gate);
	task_join(&starter);
	task_join(&ender);
	assert_recorded("i1 i2 R1 R2");
	mirror_drop(&one);
	mirror_drop(&two);
	mmdrop(mm);
}

static void release_does_not_wait_for_open_ranges(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	mmgrab(mm);
	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	assert_no_wait(end_mm_task, NULL);
	assert_recorded("i1 R1");
	end_range(&range);
	mirror_drop(&one);
	mmdrop(mm);
}

static void remove_waits_for_release_under_way(void **state)
{
	struct task ender, remover;
	struct mirror one;
	struct gate gate;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	one.hook = mirror_at_gate;
	one.data = &gate;
	task_start(&ender, end_mm_task, NULL);
	gate_await(&gate);
	task_start(&remover, mirror_drop_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&ender);
	assert_recorded("R1");
}

static void a_refused_release_goes_on(void **state)
{
	struct mirror one, two;

	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(11), 1);
	one.refuse_all = true;
	end_mm();
	assert_recorded("n1 R2");
	mirror_drop(&one);
	mirror_drop(&two);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(release_covers_the_whole_space),
		CASE(release_reaches_the_last_byte),
		CASE(release_reaches_many_once_each_and_in_order),
		CASE(release_is_the_last_event),
		CASE(what_was_removed_is_not_released),
		CASE(nothing_comes_in_after_the_end),
		CASE(reads_collide_with_the_end),
		CASE(release_comes_after_callbacks_that_are_running),
		CASE(release_does_not_wait_for_open_ranges),
		CASE(remove_waits_for_release_under_way),
		CASE(a_refused_release_goes_on),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
