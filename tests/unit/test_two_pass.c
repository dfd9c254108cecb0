/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Subscriptions with two passes: begin to stop the device, wait until it has. */
#include "util.h"

#include <stdio.h>

#define MANY 100

/* Records "a<id>" and "f<id>", "n<id>" where it refuses. */
struct passes {
	struct mmu_interval_notifier sub;
	struct mmu_interval_notifier_finish finish;
	int id;
	bool at_once;			/* leaves nothing to the second pass */
	bool refuse;
	struct gate *gate;		/* of the second pass */
	struct mmu_interval_notifier *finished;
	bool blockable;
	enum mmu_notifier_event event;
};

static bool first(struct mmu_interval_notifier *sub,
		  const struct mmu_notifier_range *range,
		  unsigned long cur_seq,
		  struct mmu_interval_notifier_finish **finish)
{
	struct passes *p = container_of(sub, struct passes, sub);

	p->blockable = mmu_notifier_range_blockable(range);
	p->event = range->event;
	if (p->refuse) {
		record("n", p->id);
		return false;
	}
	record("a", p->id);
	mmu_interval_set_seq(sub, cur_seq);
	if (!p->at_once) {
		p->finish.notifier = sub;
		*finish = &p->finish;
	}
	return true;
}

static void second(struct mmu_interval_notifier_finish *finish)
{
	struct passes *p = container_of(finish, struct passes, finish);

	p->finished = finish->notifier;
	if (p->gate)
		gate_pass(p->gate);
	record("f", p->id);
}

static const struct mmu_interval_notifier_ops passes_ops = {
	.invalidate_start = first,
	.invalidate_finish = second,
};

static void passes_add(struct passes *p, int id, unsigned long start)
{
	memset(p, 0, sizeof(*p));
	p->id = id;
	assert_int_equal(mmu_interval_notifier_insert(&p->sub, mm, start, 1,
						      &passes_ops), 0);
}

static void passes_drop(struct passes *p)
{
	mmu_interval_notifier_remove(&p->sub);
}

static bool passes_held_up(struct passes *p)
{
	unsigned long seq;

	return uhmm_interval_read_begin_timeout(&p->sub, 0, &seq) != 0;
}

/* ------------------------------------------------------------------- order */

static void all_first_passes_come_before_any_second(void **state)
{
	struct passes one, two, three;

	passes_add(&three, 3, PG(12));
	passes_add(&one, 1, PG(10));
	passes_add(&two, 2, PG(11));
	invalidate(PG(10), PG(13));
	assert_recorded("a1 a2 a3 f1 f2 f3");
	assert_ptr_equal(one.finished, &one.sub);
	assert_ptr_equal(three.finished, &three.sub);
	assert_true(one.blockable);
	passes_drop(&one);
	passes_drop(&two);
	passes_drop(&three);
}

static void second_passes_come_before_list_notifiers(void **state)
{
	struct listener list;
	struct passes one;

	listener_add(&list, 9);
	passes_add(&one, 1, PG(10));
	invalidate(PG(10), PG(13));
	assert_recorded("a1 f1 s9 e9");
	passes_drop(&one);
	listener_drop(&list);
}

static void what_left_nothing_has_no_second_pass(void **state)
{
	struct passes one, two, three;

	passes_add(&one, 1, PG(10));
	passes_add(&two, 2, PG(11));
	passes_add(&three, 3, PG(12));
	two.at_once = true;
	invalidate(PG(10), PG(13));
	assert_recorded("a1 a2 a3 f1 f3");
	one.at_once = true;
	three.at_once = true;
	invalidate(PG(10), PG(13));
	assert_recorded("a1 a2 a3");
	passes_drop(&one);
	passes_drop(&two);
	passes_drop(&three);
}

static void those_with_one_pass_are_called_in_between(void **state)
{
	struct passes one, three;
	struct mirror two, four;

	passes_add(&one, 1, PG(10));
	mirror_add(&two, 2, PG(11), 1);
	passes_add(&three, 3, PG(12));
	mirror_add(&four, 4, PG(13), 1);
	invalidate(PG(10), PG(14));
	assert_recorded("a1 i2 a3 i4 f1 f3");
	passes_drop(&one);
	mirror_drop(&two);
	passes_drop(&three);
	mirror_drop(&four);
}

/* More than are looked up at a time. */
static void the_order_holds_for_many(void **state)
{
	static struct passes many[MANY];
	static char calls[2 * MANY * 5];
	char *end = calls;

	for (int i = 0; i < MANY; i++)
		passes_add(&many[i], i, PG(i));
	for (int i = 0; i < 2 * MANY; i++)
		end += sprintf(end, i ? " %c%d" : "%c%d", "af"[i / MANY],
			       i % MANY);
	invalidate(PG(0), PG(MANY));
	assert_recorded(calls);
	for (int i = 0; i < MANY; i++)
		passes_drop(&many[i]);
}

static void release_has_two_passes_too(void **state)
{
	struct passes one, two;

	passes_add(&one, 1, PG(10));
	passes_add(&two, 2, PG(11));
	end_mm();
	assert_recorded("a1 a2 f1 f2");
	assert_int_equal(one.event, MMU_NOTIFY_RELEASE);
	passes_drop(&one);
	passes_drop(&two);
}

/* ----------------------------------------------------------------- refusal */

static void a_refusal_runs_the_second_passes_that_are_due(void **state)
{
	struct passes one, two, three, four;
	struct mmu_notifier_range range;
	struct listener list;

	listener_add(&list, 9);
	passes_add(&one, 1, PG(10));
	passes_add(&two, 2, PG(11));
	passes_add(&three, 3, PG(12));
	passes_add(&four, 4, PG(13));
	two.at_once = true;
	three.refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(14)), -EAGAIN);
	assert_recorded("a1 a2 n3 f1");
	assert_false(one.blockable);
	assert_false(passes_held_up(&one));
	assert_false(passes_held_up(&three));
	assert_false(passes_held_up(&four));
	passes_drop(&one);
	passes_drop(&two);
	passes_drop(&three);
	passes_drop(&four);
	listener_drop(&list);
}

static void a_refusal_late_among_many_runs_all_that_are_due(void **state)
{
	static struct passes many[MANY];
	struct mmu_notifier_range range;

	for (int i = 0; i < MANY; i++)
		passes_add(&many[i], i, PG(i));
	many[MANY - 1].refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(0), PG(MANY)), -EAGAIN);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(many[i].finished != NULL, i < MANY - 1);
		assert_false(passes_held_up(&many[i]));
		passes_drop(&many[i]);
	}
}

static void a_blockable_range_cannot_be_refused(void **state)
{
	struct passes one, two;

	passes_add(&one, 1, PG(10));
	passes_add(&two, 2, PG(11));
	one.refuse = true;
	invalidate(PG(10), PG(12));
	assert_recorded("n1 a2 f2");
	passes_drop(&one);
	passes_drop(&two);
}

/* ----------------------------------------------------------------- waiting */

static void begin_passes(void *sub)
{
	mmu_interval_read_begin(sub);
}

static void remove_passes(void *sub)
{
	mmu_interval_notifier_remove(sub);
}

static void remove_waits_for_the_second_pass(void **state)
{
	struct task starter, remover;
	struct passes one;
	struct gate gate;

	gate_init(&gate);
	passes_add(&one, 1, PG(10));
	one.gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	assert_recorded("a1");
	task_start(&remover, remove_passes, &one.sub);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	assert_recorded("f1");
	task_join(&starter);
}

/* It has passed the first pass, and is looked for in the second. */
static void remove_waits_for_the_second_pass_among_many(void **state)
{
	static struct passes many[MANY];
	struct task starter, remover;
	struct gate gate;

	gate_init(&gate);
	for (int i = 0; i < MANY; i++)
		passes_add(&many[i], i, PG(10));
	many[0].gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	task_start(&remover, remove_passes, &many[0].sub);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	assert_ptr_equal(many[0].finished, &many[0].sub);
	task_join(&starter);
	for (int i = 1; i < MANY; i++)
		passes_drop(&many[i]);
}

static void a_read_waits_for_end_and_not_for_the_second_pass(void **state)
{
	struct mmu_notifier_range range;
	struct passes one;
	struct task reader;

	passes_add(&one, 1, PG(10));
	begin_range(&range, PG(10), PG(11));
	assert_recorded("a1 f1");
	task_start(&reader, begin_passes, &one.sub);
	assert_true(task_waits(&reader));
	end_range(&range);
	task_join(&reader);
	passes_drop(&one);
}

static void a_read_collides_with_the_first_pass(void **state)
{
	struct passes one;
	unsigned long seq;

	passes_add(&one, 1, PG(10));
	seq = mmu_interval_read_begin(&one.sub);
	assert_false(mmu_interval_read_retry(&one.sub, seq));
	invalidate(PG(10), PG(11));
	assert_true(mmu_interval_read_retry(&one.sub, seq));
	passes_drop(&one);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(all_first_passes_come_before_any_second),
		CASE(second_passes_come_before_list_notifiers),
		CASE(what_left_nothing_has_no_second_pass),
		CASE(those_with_one_pass_are_called_in_between),
		CASE(the_order_holds_for_many),
		CASE(release_has_two_passes_too),
		CASE(a_refusal_runs_the_second_passes_that_are_due),
		CASE(a_refusal_late_among_many_runs_all_that_are_due),
		CASE(a_blockable_range_cannot_be_refused),
		CASE(remove_waits_for_the_second_pass),
		CASE(remove_waits_for_the_second_pass_among_many),
		CASE(a_read_waits_for_end_and_not_for_the_second_pass),
		CASE(a_read_collides_with_the_first_pass),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
