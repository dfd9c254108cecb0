/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Removal that waits for nobody, and says when it is done. */
#include "util.h"

/*
 * Records "i<id>", "R<id>", and "x<id>" for uhmm_removed, which frees it if
 * it was made to be freed.
 */
struct object {
	struct mmu_interval_notifier sub;
	int id;
	bool remove_self;
	int removal;			/* what that returned */
	struct object *remove_other;
	struct gate *gate;
	bool on_heap;
};

static int removed;

static void object_call(struct object *o, const struct mmu_notifier_range *range)
{
	record(range->event == MMU_NOTIFY_RELEASE ? "R" : "i", o->id);
	if (o->gate)
		gate_pass(o->gate);
	if (o->remove_self) {
		o->remove_self = false;
		o->removal = uhmm_interval_notifier_remove_async(&o->sub);
	}
	if (o->remove_other) {
		o->removal = uhmm_interval_notifier_remove_async(
			&o->remove_other->sub);
		o->remove_other = NULL;
	}
	record("/i", o->id);
}

static bool object_invalidate(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	object_call(container_of(sub, struct object, sub), range);
	return true;
}

static void object_removed(struct mmu_interval_notifier *sub)
{
	struct object *o = container_of(sub, struct object, sub);

	record("x", o->id);
	count(&removed);
	if (o->on_heap)
		free(o);
}

static const struct mmu_interval_notifier_ops object_ops = {
	.invalidate = object_invalidate,
	.uhmm_removed = object_removed,
};

static void object_add(struct object *o, int id, unsigned long start)
{
	memset(o, 0, sizeof(*o));
	o->id = id;
	assert_int_equal(mmu_interval_notifier_insert(&o->sub, mm, start, 1,
						      &object_ops), 0);
}

static int remove_async(struct object *o)
{
	return uhmm_interval_notifier_remove_async(&o->sub);
}

/* ------------------------------------------------------------------- errors */

static void what_is_not_inserted_is_refused(void **state)
{
	struct object o;

	assert_int_equal(uhmm_interval_notifier_remove_async(NULL), -EINVAL);
	memset(&o, 0, sizeof(o));
	assert_int_equal(remove_async(&o), -EINVAL);
	object_add(&o, 1, PG(10));
	mmu_interval_notifier_remove(&o.sub);
	assert_int_equal(remove_async(&o), -EINVAL);
	object_add(&o, 1, PG(10));
	assert_int_equal(remove_async(&o), 0);
	assert_int_equal(remove_async(&o), -EINVAL);
	assert_recorded("x1");
}

static void ops_that_cannot_be_told_are_refused(void **state)
{
	struct mmu_interval_notifier tagged = { 0 };
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	assert_int_equal(uhmm_interval_notifier_remove_async(&one.sub),
			 -EINVAL);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(&tagged, mm,
							      PG(10), 1), 0);
	assert_int_equal(uhmm_interval_notifier_remove_async(&tagged),
			 -EINVAL);
	assert_int_equal(stats().subscriptions, 2);
	invalidate(PG(10), PG(11));
	assert_recorded("i1");
	mirror_drop(&one);
	mmu_interval_notifier_remove(&tagged);
}

/* ------------------------------------------------------------- from outside */

static void with_nothing_under_way_it_is_gone_at_once(void **state)
{
	struct object o;

	object_add(&o, 1, PG(10));
	invalidate(PG(10), PG(11));
	assert_recorded("i1 /i1");
	assert_int_equal(remove_async(&o), 0);
	assert_recorded("x1");
	assert_false(mm_has_notifiers(mm));
	invalidate(PG(10), PG(11));
	assert_recorded("");
}

static void an_open_range_does_not_keep_it(void **state)
{
	struct mmu_notifier_range range;
	struct object o;

	object_add(&o, 1, PG(10));
	begin_range(&range, PG(10), PG(11));
	assert_recorded("i1 /i1");
	assert_int_equal(remove_async(&o), 0);
	assert_recorded("x1");
	end_range(&range);
	assert_recorded("");
}

static void its_own_callback_keeps_it(void **state)
{
	struct task starter;
	struct object o;
	struct gate gate;

	gate_init(&gate);
	object_add(&o, 1, PG(10));
	o.gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	assert_recorded("i1");
	assert_int_equal(remove_async(&o), 0);
	/* Others come and go, and do not call it. */
	invalidate(PG(10), PG(11));
	invalidate(PG(20), PG(21));
	assert_recorded("");
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("/i1 x1");
}

static void while_it_is_kept_nobody_else_removes_it(void **state)
{
	struct object o, other;
	struct task starter;
	struct gate gate;

	gate_init(&gate);
	object_add(&o, 1, PG(10));
	object_add(&other, 2, PG(10));
	o.gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	/* The first of the list of those, and the last. */
	assert_int_equal(remove_async(&o), 0);
	assert_int_equal(remove_async(&other), 0);
	assert_int_equal(remove_async(&o), -EINVAL);
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&o.sub, -1),
			 -EBUSY);
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&other.sub, 0),
			 -EBUSY);
	mmu_interval_notifier_remove(&o.sub);
	/* Nor can it be inserted, be it the last of the list. */
	assert_int_equal(mmu_interval_notifier_insert(&o.sub, mm, PG(20), 1,
						      &object_ops), -EBUSY);
	assert_int_equal(mmu_interval_notifier_insert(&other.sub, mm, PG(20), 1,
						      &object_ops), -EBUSY);
	assert_recorded("i1");
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("/i1 i2 /i2 x1 x2");
	assert_int_equal(uhmm_interval_notifier_remove_timeout(&o.sub, 0), 0);
	assert_recorded("");
}

static void a_callback_elsewhere_does_not_keep_it(void **state)
{
	struct object o, elsewhere;
	struct task starter;
	struct gate gate;

	gate_init(&gate);
	object_add(&elsewhere, 1, PG(10));
	object_add(&o, 2, PG(11));
	elsewhere.gate = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	assert_int_equal(remove_async(&o), 0);
	assert_recorded("i1 x2");
	gate_open(&gate);
	task_join(&starter);
	mmu_interval_notifier_remove(&elsewhere.sub);
	assert_recorded("/i1");
}

static void it_may_be_inserted_again_once_it_is_gone(void **state)
{
	struct object o;

	for (int i = 0; i < 10; i++) {
		object_add(&o, i, PG(10));
		assert_int_equal(remove_async(&o), 0);
	}
	assert_recorded("x0 x1 x2 x3 x4 x5 x6 x7 x8 x9");
}

/* ------------------------------------------------------------ in a callback */

static void its_own_callback_may_remove_it(void **state)
{
	struct mmu_notifier_range range;
	struct object o;

	object_add(&o, 1, PG(10));
	o.remove_self = true;
	begin_range(&range, PG(10), PG(11));
	assert_int_equal(o.removal, 0);
	assert_recorded("i1 /i1 x1");
	end_range(&range);
	invalidate(PG(10), PG(11));
	assert_recorded("");
	assert_int_equal(stats().subscriptions, 0);
}

static void the_callback_of_another_may_remove_it(void **state)
{
	struct object before, after;

	object_add(&before, 1, PG(10));
	object_add(&after, 2, PG(10));
	/* It was found already, so it is called once more. */
	before.remove_other = &after;
	invalidate(PG(10), PG(11));
	assert_recorded("i1 /i1 i2 /i2 x2");
	object_add(&after, 3, PG(10));
	after.remove_other = &before;
	/* This one has been called, and will not be again. */
	invalidate(PG(10), PG(11));
	assert_recorded("i1 /i1 i3 x1 /i3");
	assert_int_equal(remove_async(&after), 0);
	assert_recorded("x3");
}

#define MANY 200

static void many_may_remove_themselves(void **state)
{
	static struct object many[MANY];

	removed = 0;
	for (int i = 0; i < MANY; i++) {
		object_add(&many[i], i, PG(i / 3));
		many[i].remove_self = i % 2;
	}
	invalidate(PG(0), PG(MANY));
	assert_int_equal(removed, MANY / 2);
	assert_int_equal(stats().subscriptions, MANY / 2);
	for (int i = 0; i < MANY; i += 2)
		assert_int_equal(remove_async(&many[i]), 0);
	assert_int_equal(removed, MANY);
}

static void the_last_event_may_remove_it(void **state)
{
	struct object one, two;

	object_add(&one, 1, PG(10));
	object_add(&two, 2, PG(10));
	one.remove_self = true;
	two.remove_self = true;
	removed = 0;
	end_mm();
	assert_int_equal(removed, 2);
}

static void it_may_be_removed_after_the_end(void **state)
{
	struct object one;

	object_add(&one, 1, PG(10));
	end_mm();
	assert_recorded("R1 /i1");
	assert_int_equal(remove_async(&one), 0);
	assert_recorded("x1");
}

static void removed_may_free_it(void **state)
{
	struct object *o = malloc(sizeof(*o));

	assert_non_null(o);
	object_add(o, 1, PG(10));
	o->on_heap = true;
	o->remove_self = true;
	invalidate(PG(10), PG(11));
	assert_recorded("i1 /i1 x1");
}

/* --------------------------------------------------- what is left at the end
 * A removal whose thread is no more, because another one has forked, waits
 * for the next who looks: here for the last mmdrop().
 */
static int drop_the_rest(void *unused)
{
	removed = 0;
	mmdrop(mm);
	return removed;
}

static int status_of_child;

static bool fork_in_callback(struct mmu_interval_notifier *sub,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	uhmm_interval_notifier_remove_async(sub);
	status_of_child = in_child(drop_the_rest, NULL);
	return true;
}

static void the_last_mmdrop_lets_go_of_what_is_left(void **state)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = fork_in_callback,
		.uhmm_removed = object_removed,
	};
	struct object o = { .id = 1 };

	assert_int_equal(mmu_interval_notifier_insert(&o.sub, mm, PG(10), 1,
						      &ops), 0);
	/* In the child this mmput() ends where RELEASE has been called. */
	end_mm();
	assert_int_equal(status_of_child, 1);
	assert_recorded("x1");
}

/* ----------------------------------------------------------------- in parallel */

#define THREADS 3
#define ROUNDS 1500

struct storm {
	int stop;
	int called_late;
};

/* Fourfold use of memory is what the sanitizers see; this sees the rest. */
struct target {
	struct mmu_interval_notifier sub;
	struct storm *storm;
	int calls;
	int removals;
	int leaving;
};

static bool target_invalidate(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct target *t = container_of(sub, struct target, sub);

	if (look(&t->removals))
		count(&t->storm->called_late);
	mmu_interval_set_seq(sub, cur_seq);
	/* The third call removes it; others may be in here as well. */
	if (count(&t->calls) == 3 && !uhmm_interval_notifier_remove_async(sub))
		count(&t->leaving);
	if (look(&t->removals))
		count(&t->storm->called_late);
	return true;
}

static void target_removed(struct mmu_interval_notifier *sub)
{
	struct target *t = container_of(sub, struct target, sub);

	if (count(&t->removals) != 1)
		count(&t->storm->called_late);
	count(&removed);
	free(t);
}

static const struct mmu_interval_notifier_ops target_ops = {
	.invalidate = target_invalidate,
	.uhmm_removed = target_removed,
};

static void storm_thread(void *arg)
{
	struct storm *storm = arg;

	while (!look(&storm->stop))
		invalidate(PG(10), PG(11));
}

static void parallel_invalidations_see_it_go_once(void **state)
{
	struct task tasks[THREADS];
	struct storm storm = { 0 };

	removed = 0;
	for (int i = 0; i < THREADS; i++)
		task_start(&tasks[i], storm_thread, &storm);
	for (int i = 0; i < ROUNDS; i++) {
		struct target *t = calloc(1, sizeof(*t));

		assert_non_null(t);
		t->storm = &storm;
		assert_int_equal(mmu_interval_notifier_insert(
					 &t->sub, mm, PG(10), 1, &target_ops),
				 0);
	}
	/* Each is called a third time, soon; the storm goes on until then. */
	while (look(&removed) < ROUNDS)
		sync_yield();
	set(&storm.stop, 1);
	for (int i = 0; i < THREADS; i++)
		task_join(&tasks[i]);
	assert_int_equal(look(&removed), ROUNDS);
	assert_int_equal(look(&storm.called_late), 0);
}

static void parallel_removals_from_outside_are_seen_once(void **state)
{
	struct task tasks[THREADS];
	struct storm storm = { 0 };

	removed = 0;
	for (int i = 0; i < THREADS; i++)
		task_start(&tasks[i], storm_thread, &storm);
	for (int i = 0; i < ROUNDS; i++) {
		struct target *t = calloc(1, sizeof(*t));

		assert_non_null(t);
		t->storm = &storm;
		/* Never the third. */
		t->calls = INT_MIN;
		assert_int_equal(mmu_interval_notifier_insert(
					 &t->sub, mm, PG(10), 1, &target_ops),
				 0);
		assert_int_equal(uhmm_interval_notifier_remove_async(&t->sub),
				 0);
	}
	while (look(&removed) < ROUNDS)
		sync_yield();
	set(&storm.stop, 1);
	for (int i = 0; i < THREADS; i++)
		task_join(&tasks[i]);
	assert_int_equal(look(&removed), ROUNDS);
	assert_int_equal(look(&storm.called_late), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(what_is_not_inserted_is_refused),
		CASE(ops_that_cannot_be_told_are_refused),
		CASE(with_nothing_under_way_it_is_gone_at_once),
		CASE(an_open_range_does_not_keep_it),
		CASE(its_own_callback_keeps_it),
		CASE(while_it_is_kept_nobody_else_removes_it),
		CASE(a_callback_elsewhere_does_not_keep_it),
		CASE(it_may_be_inserted_again_once_it_is_gone),
		CASE(its_own_callback_may_remove_it),
		CASE(the_callback_of_another_may_remove_it),
		CASE(many_may_remove_themselves),
		CASE(the_last_event_may_remove_it),
		CASE(it_may_be_removed_after_the_end),
		CASE(removed_may_free_it),
		CASE(the_last_mmdrop_lets_go_of_what_is_left),
		CASE(parallel_invalidations_see_it_go_once),
		CASE(parallel_removals_from_outside_are_seen_once),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
