/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* List notifiers: who is called, in which order; register and unregister. */
#include "util.h"

/* ------------------------------------------------------------------- errors */

static void register_refuses_null_pointers(void **state)
{
	struct listener one;

	listener_init(&one, 1, &listener_ops);
	assert_int_equal(mmu_notifier_register(NULL, mm), -EINVAL);
	assert_int_equal(mmu_notifier_register(&one.mn, NULL), -EINVAL);
	assert_int_equal(__mmu_notifier_register(&one.mn, NULL), -EINVAL);
	one.mn.ops = NULL;
	assert_int_equal(mmu_notifier_register(&one.mn, mm), -EINVAL);
	assert_false(mm_has_notifiers(mm));
}

static void secondary_tlbs(struct mmu_notifier *mn, struct mm_struct *it,
			   unsigned long start, unsigned long end)
{
}

static void register_refuses_ranges_and_secondary_tlbs_together(void **state)
{
	const struct mmu_notifier_ops bad[] = {
		{ .arch_invalidate_secondary_tlbs = secondary_tlbs,
		  .invalidate_range_start =
			  listener_ops.invalidate_range_start },
		{ .arch_invalidate_secondary_tlbs = secondary_tlbs,
		  .invalidate_range_end = listener_ops.invalidate_range_end },
		{ .arch_invalidate_secondary_tlbs = secondary_tlbs,
		  .invalidate_range_start =
			  listener_ops.invalidate_range_start,
		  .invalidate_range_end = listener_ops.invalidate_range_end },
	};
	struct listener one;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		listener_init(&one, 1, &bad[i]);
		assert_int_equal(mmu_notifier_register(&one.mn, mm), -EINVAL);
	}
	assert_false(mm_has_notifiers(mm));
}

static void register_refuses_what_is_registered(void **state)
{
	struct listener one;

	listener_add(&one, 1);
	assert_int_equal(mmu_notifier_register(&one.mn, mm), -EBUSY);
	assert_true(mm_has_notifiers(mm));
	invalidate(PG(1), PG(2));
	assert_recorded("s1 e1");
	listener_drop(&one);
	assert_false(mm_has_notifiers(mm));
	assert_recorded("r1");
	/* And again. */
	listener_add(&one, 1);
	listener_drop(&one);
	assert_recorded("r1");
}

static void register_locked_works_under_mmap_lock(void **state)
{
	struct listener one;

	listener_init(&one, 1, &listener_ops);
	mmap_write_lock(mm);
	assert_int_equal(__mmu_notifier_register(&one.mn, mm), 0);
	mmap_write_unlock(mm);
	assert_ptr_equal(one.mn.mm, mm);
	invalidate(PG(1), PG(2));
	assert_recorded("s1 e1");
	listener_drop(&one);
}

/* -------------------------------------------------------------------- order */

static void the_newest_is_called_first_at_start_end_and_release(void **state)
{
	struct listener one, two, three;

	listener_add(&one, 1);
	listener_add(&two, 2);
	listener_add(&three, 3);
	invalidate(PG(1), PG(2));
	assert_recorded("s3 s2 s1 e3 e2 e1");
	listener_drop(&two);
	assert_recorded("r2");
	invalidate(PG(1), PG(2));
	assert_recorded("s3 s1 e3 e1");
	listener_add(&two, 2);
	invalidate(PG(1), PG(2));
	assert_recorded("s2 s3 s1 e2 e3 e1");
	end_mm();
	assert_recorded("r2 r3 r1");
	listener_drop(&one);
	listener_drop(&two);
	listener_drop(&three);
	assert_recorded("");
}

static void interval_notifiers_come_before_them(void **state)
{
	struct listener one;
	struct mirror m;

	mirror_add(&m, 5, PG(1), 1);
	listener_add(&one, 1);
	invalidate(PG(1), PG(2));
	assert_recorded("i5 s1 e1");
	end_mm();
	assert_recorded("R5 r1");
	listener_drop(&one);
	mirror_drop(&m);
}

static void they_hear_of_every_range_as_it_was_announced(void **state)
{
	struct mmu_notifier_range range;
	struct listener one;
	int owner;

	listener_add(&one, 1);
	mmu_notifier_range_init_owner(&range, MMU_NOTIFY_MIGRATE, 0, mm, 7,
				      PG(3) + 1, &owner);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	end_range(&range);
	assert_int_equal(one.range.start, 7);
	assert_int_equal(one.range.end, PG(3) + 1);
	assert_int_equal(one.range.event, MMU_NOTIFY_MIGRATE);
	assert_ptr_equal(one.range.owner, &owner);
	assert_true(mmu_notifier_range_blockable(&one.range));
	assert_int_equal(begin_nonblock(&range, 0, ULONG_MAX), 0);
	end_range(&range);
	assert_int_equal(one.range.end, ULONG_MAX);
	assert_false(mmu_notifier_range_blockable(&one.range));
	assert_recorded("s1 e1 s1 e1");
	listener_drop(&one);
}

static void ops_may_be_left_out(void **state)
{
	static const struct mmu_notifier_ops none = { 0 };
	struct listener one, two;
	const struct mmu_notifier_ops only_end = {
		.invalidate_range_end = listener_ops.invalidate_range_end,
	};

	listener_init(&one, 1, &none);
	listener_init(&two, 2, &only_end);
	assert_int_equal(mmu_notifier_register(&one.mn, mm), 0);
	assert_int_equal(mmu_notifier_register(&two.mn, mm), 0);
	invalidate(PG(1), PG(2));
	assert_recorded("e2");
	listener_drop(&one);
	end_mm();
	listener_drop(&two);
	assert_recorded("");
}

/* ------------------------------------------------------------------ refusal */

static void a_refusal_does_not_stop_the_others_and_is_undone(void **state)
{
	struct listener one, three, four;
	struct mmu_notifier_range range;
	struct listener two;

	listener_add(&one, 1);
	listener_init(&two, 2, &refuser_ops);
	assert_int_equal(mmu_notifier_register(&two.mn, mm), 0);
	listener_add(&three, 3);
	listener_init(&four, 4, &refuser_ops);
	assert_int_equal(mmu_notifier_register(&four.mn, mm), 0);
	assert_int_equal(begin_nonblock(&range, PG(1), PG(2)), -EAGAIN);
	/* All starts, then the ends of all that have one. */
	assert_recorded("S4 s3 S2 s1 e3 e1");
	assert_int_equal(stats().refusals, 1);
	invalidate(PG(1), PG(2));
	assert_recorded("s4 s3 s2 s1 e3 e1");
	listener_drop(&one);
	listener_drop(&two);
	listener_drop(&three);
	listener_drop(&four);
}

/* Where Linux leaves the range open for ever. */
static void a_refusal_leaves_nothing_open_for_intervals_either(void **state)
{
	struct mmu_notifier_range range;
	struct listener refuser;
	struct mirror m, fresh;
	unsigned long seq;

	mirror_add(&m, 5, PG(1), 1);
	listener_init(&refuser, 1, &refuser_ops);
	assert_int_equal(mmu_notifier_register(&refuser.mn, mm), 0);
	seq = mirror_begin(&m);
	for (int i = 0; i < 100; i++)
		assert_int_equal(begin_nonblock(&range, PG(1), PG(2)),
				 -EAGAIN);
	assert_false(mirror_held_up(&m));
	assert_true(mirror_retry(&m, seq));
	mirror_add(&fresh, 6, PG(1), 1);
	assert_false(mirror_held_up(&fresh));
	assert_no_wait(mirror_drop_task, &m);
	assert_no_wait(mirror_drop_task, &fresh);
	listener_drop(&refuser);
}

static void intervals_refuse_before_lists_are_asked(void **state)
{
	struct mmu_notifier_range range;
	struct listener one;
	struct mirror m;

	mirror_add(&m, 5, PG(1), 1);
	m.refuse = true;
	listener_add(&one, 1);
	assert_int_equal(begin_nonblock(&range, PG(1), PG(2)), -EAGAIN);
	assert_recorded("n5");
	mirror_drop(&m);
	listener_drop(&one);
}

static int always_refuse(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	record("S", 0);
	return -EAGAIN;
}

static void a_blockable_range_cannot_be_refused(void **state)
{
	static const struct mmu_notifier_ops ops = {
		.invalidate_range_start = always_refuse,
	};
	struct listener one, two;

	listener_add(&one, 1);
	listener_init(&two, 2, &ops);
	assert_int_equal(mmu_notifier_register(&two.mn, mm), 0);
	invalidate(PG(1), PG(2));
	assert_recorded("S0 s1 e1");
	assert_int_equal(stats().refusals, 0);
	listener_drop(&one);
	listener_drop(&two);
}

/* ------------------------------------------------------------- half-seen ranges */

static void no_end_comes_without_its_start(void **state)
{
	struct mmu_notifier_range before, between;
	struct listener one, two;

	listener_add(&one, 1);
	begin_range(&before, PG(1), PG(2));
	listener_add(&two, 2);
	assert_recorded("s1");
	begin_range(&between, PG(1), PG(2));
	assert_recorded("s2 s1");
	end_range(&before);
	assert_recorded("e1");
	end_range(&between);
	assert_recorded("e2 e1");
	listener_drop(&one);
	listener_drop(&two);
}

static void no_end_comes_without_its_start_if_it_is_the_first(void **state)
{
	struct mmu_notifier_range before;
	struct listener one;

	begin_range(&before, PG(1), PG(2));
	listener_add(&one, 1);
	end_range(&before);
	assert_recorded("");
	listener_drop(&one);
}

static void no_end_comes_after_unregister_and_register(void **state)
{
	struct mmu_notifier_range before;
	struct listener one;

	listener_add(&one, 1);
	begin_range(&before, PG(1), PG(2));
	listener_drop(&one);
	listener_add(&one, 2);
	assert_recorded("s1 r1");
	end_range(&before);
	assert_recorded("");
	listener_drop(&one);
}

static struct listener registered_inside;

static void register_inside(struct listener *l, char what)
{
	if (what != 's')
		return;
	l->hook = NULL;
	listener_init(&registered_inside, 2, &listener_ops);
	record("in", mmu_notifier_register(&registered_inside.mn, mm));
}

static void register_works_in_a_callback(void **state)
{
	struct listener one;

	listener_add(&one, 1);
	one.hook = register_inside;
	invalidate(PG(1), PG(2));
	assert_recorded("s1 in0 e1");
	invalidate(PG(1), PG(2));
	assert_recorded("s2 s1 e2 e1");
	listener_drop(&one);
	listener_drop(&registered_inside);
}

/* ----------------------------------------------------------------- waiting */

static void register_task(void *arg)
{
	struct listener *l = arg;

	set(l->data, mmu_notifier_register(&l->mn, mm));
}

static void open_range_at_gate(void *gate)
{
	struct mmu_notifier_range range;

	begin_range(&range, PG(10), PG(11));
	gate_pass(gate);
	end_range(&range);
}

static void register_waits_for_ranges_of_other_threads(void **state)
{
	struct task starter, registrar;
	struct listener one;
	struct gate gate;
	int ret = 1;

	gate_init(&gate);
	listener_init(&one, 1, &listener_ops);
	one.data = &ret;
	task_start(&starter, open_range_at_gate, &gate);
	gate_await(&gate);
	task_start(&registrar, register_task, &one);
	assert_true(task_waits(&registrar));
	gate_open(&gate);
	task_join(&starter);
	task_join(&registrar);
	assert_int_equal(look(&ret), 0);
	assert_recorded("");
	listener_drop(&one);
}

static void begin_and_leave(void *range)
{
	begin_range(range, PG(10), PG(11));
}

/* Its place may be the caller's by now; the range is not. */
static void register_waits_for_ranges_of_threads_that_have_gone(void **state)
{
	struct mmu_notifier_range range;
	struct listener one;
	struct task starter;

	task_start(&starter, begin_and_leave, &range);
	task_join(&starter);
	invalidate(PG(1), PG(2));
	listener_init(&one, 1, &listener_ops);
	assert_int_equal(uhmm_notifier_register_timeout(&one.mn, mm, 0),
			 -ETIMEDOUT);
	end_range(&range);
	assert_int_equal(uhmm_notifier_register_timeout(&one.mn, mm, 0), 0);
	assert_recorded("");
	listener_drop(&one);
}

static void unregister_task(void *l)
{
	listener_drop(l);
}

static void pass_at_start(struct listener *l, char what)
{
	if (what == 's')
		gate_pass(l->data);
}

static void into_start(struct listener *l, struct gate *gate,
		       struct task *starter)
{
	gate_init(gate);
	l->hook = pass_at_start;
	l->data = gate;
	task_start(starter, invalidate_task, NULL);
	gate_await(gate);
}

static void unregister_waits_for_its_callback(void **state)
{
	struct task starter, remover;
	struct listener one;
	struct gate gate;

	listener_add(&one, 1);
	into_start(&one, &gate, &starter);
	task_start(&remover, unregister_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&starter);
	assert_recorded("s1 r1");
}

static void unregister_does_not_wait_for_open_ranges(void **state)
{
	struct mmu_notifier_range range;
	struct listener one;

	listener_add(&one, 1);
	begin_range(&range, PG(1), PG(2));
	assert_no_wait(unregister_task, &one);
	end_range(&range);
	assert_recorded("s1 r1");
}

static void unregister_does_not_wait_for_those_behind_it(void **state)
{
	struct listener older, newer;
	struct task starter;
	struct gate gate;

	listener_add(&older, 1);
	listener_add(&newer, 2);
	into_start(&older, &gate, &starter);
	assert_recorded("s2 s1");
	assert_no_wait(unregister_task, &newer);
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("r2 e1");
	listener_drop(&older);
}

static void unregister_is_woken_though_others_are_still_called(void **state)
{
	struct listener older, newer;
	struct task starter, remover;
	struct gate first, second;

	gate_init(&second);
	listener_add(&older, 1);
	listener_add(&newer, 2);
	older.hook = pass_at_start;
	older.data = &second;
	into_start(&newer, &first, &starter);
	task_start(&remover, unregister_task, &newer);
	assert_true(task_waits(&remover));
	gate_open(&first);
	gate_await(&second);
	task_join(&remover);
	gate_open(&second);
	task_join(&starter);
	assert_recorded("s2 r2 s1 e1");
	listener_drop(&older);
}

static void other_release_task(void *l)
{
	struct listener *listener = l;

	mmu_notifier_unregister(&listener->mn, listener->mn.mm);
}

/* Linux has one grace period for all. */
static void unregister_does_not_wait_for_other_spaces(void **state)
{
	struct listener slow, elsewhere;
	struct mm_struct *other;
	struct task starter;
	struct gate gate;

	assert_int_equal(uhmm_mm_create(&other), 0);
	listener_add(&slow, 1);
	listener_init(&elsewhere, 2, &listener_ops);
	assert_int_equal(mmu_notifier_register(&elsewhere.mn, other), 0);
	into_start(&slow, &gate, &starter);
	assert_no_wait(other_release_task, &elsewhere);
	assert_recorded("s1 r2");
	mmput(other);
	gate_open(&gate);
	task_join(&starter);
	listener_drop(&slow);
}

/* ------------------------------------------------------------------ release */

static void release_is_called_by_unregister_or_at_the_end(void **state)
{
	struct listener one, two;

	listener_add(&one, 1);
	listener_add(&two, 2);
	listener_drop(&one);
	assert_recorded("r1");
	end_mm();
	assert_recorded("r2");
	listener_drop(&two);
	assert_recorded("");
}

static void after_release_nothing_is_called(void **state)
{
	struct listener one;

	mmgrab(mm);
	listener_add(&one, 1);
	end_mm();
	assert_recorded("r1");
	assert_false(mm_has_notifiers(mm));
	invalidate(PG(1), PG(2));
	assert_recorded("");
	listener_drop(&one);
	mmdrop(mm);
}

static void end_mm_task(void *unused)
{
	end_mm();
}

static void pass_at_release(struct listener *l, char what)
{
	if (what == 'r')
		gate_pass(l->data);
}

static void unregister_waits_for_release_at_the_end(void **state)
{
	struct task ender, remover;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	listener_add(&one, 1);
	one.hook = pass_at_release;
	one.data = &gate;
	task_start(&ender, end_mm_task, NULL);
	gate_await(&gate);
	task_start(&remover, unregister_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&ender);
	assert_recorded("r1");
}

static void the_end_waits_for_callbacks_that_are_running(void **state)
{
	struct task starter, ender;
	struct listener one;
	struct gate gate;

	mmgrab(mm);
	listener_add(&one, 1);
	into_start(&one, &gate, &starter);
	task_start(&ender, end_mm_task, NULL);
	assert_true(task_waits(&ender));
	gate_open(&gate);
	task_join(&starter);
	task_join(&ender);
	listener_drop(&one);
	mmdrop(mm);
}

/* Its device may still be at the pages that exit is about to drop. */
static void the_end_waits_for_release_by_unregister(void **state)
{
	struct task ender, remover;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	listener_add(&one, 1);
	one.hook = pass_at_release;
	one.data = &gate;
	task_start(&remover, unregister_task, &one);
	gate_await(&gate);
	task_start(&ender, end_mm_task, NULL);
	assert_true(task_waits(&ender));
	gate_open(&gate);
	task_join(&remover);
	task_join(&ender);
	assert_recorded("r1");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(register_refuses_null_pointers),
		CASE(register_refuses_ranges_and_secondary_tlbs_together),
		CASE(register_refuses_what_is_registered),
		CASE(register_locked_works_under_mmap_lock),
		CASE(the_newest_is_called_first_at_start_end_and_release),
		CASE(interval_notifiers_come_before_them),
		CASE(they_hear_of_every_range_as_it_was_announced),
		CASE(ops_may_be_left_out),
		CASE(a_refusal_does_not_stop_the_others_and_is_undone),
		CASE(a_refusal_leaves_nothing_open_for_intervals_either),
		CASE(intervals_refuse_before_lists_are_asked),
		CASE(a_blockable_range_cannot_be_refused),
		CASE(no_end_comes_without_its_start),
		CASE(no_end_comes_without_its_start_if_it_is_the_first),
		CASE(no_end_comes_after_unregister_and_register),
		CASE(register_works_in_a_callback),
		CASE(register_waits_for_ranges_of_other_threads),
		CASE(register_waits_for_ranges_of_threads_that_have_gone),
		CASE(unregister_waits_for_its_callback),
		CASE(unregister_does_not_wait_for_open_ranges),
		CASE(unregister_does_not_wait_for_those_behind_it),
		CASE(unregister_is_woken_though_others_are_still_called),
		CASE(unregister_does_not_wait_for_other_spaces),
		CASE(release_is_called_by_unregister_or_at_the_end),
		CASE(after_release_nothing_is_called),
		CASE(unregister_waits_for_release_at_the_end),
		CASE(the_end_waits_for_callbacks_that_are_running),
		CASE(the_end_waits_for_release_by_unregister),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
