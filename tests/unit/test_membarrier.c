/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whoever waits is woken, in both forms that `end` has: with membarrier(2),
 * where it is a plain store, and without, where it is an exchange; and where
 * the one becomes the other, because membarrier(2) was forbidden meanwhile.
 */
#include "util.h"

#include "stress/refuse_membarrier.h"

/* The word belongs to the library; nobody else uses it between two cases. */
static int begin_without(void **state)
{
	int ret = case_begin(state);

	sync_asymmetric = false;
	return ret;
}

static int end_without(void **state)
{
	int ret = case_end(state);

	sync_register_membarrier();
	return ret;
}

static int begin_with(void **state)
{
	int ret = case_begin(state);

	assert_true(sync_asymmetric);
	return ret;
}

/* In force for all that comes later. */
static int begin_forbidden(void **state)
{
	int ret = case_begin(state);

	refuse_membarrier = true;
	return ret;
}

static void smp_mb_others_says_that_it_is_forbidden(void **state)
{
	assert_true(sync_asymmetric);
	smp_mb_others();
	assert_false(sync_asymmetric);
}

/* ------------------------------------------------------------------ one waiter */

static void end_wakes_a_read(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	struct task reader;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 3; i++) {
		begin_range(&range, PG(10), PG(11));
		task_start(&reader, mirror_begin_task, &one);
		assert_true(task_waits(&reader));
		end_range(&range);
		task_join(&reader);
	}
	mirror_drop(&one);
}

static void the_last_callback_wakes_remove(void **state)
{
	struct task starter, remover;
	struct mirror one;
	struct gate gate;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	one.hook = mirror_at_gate;
	one.data = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	task_start(&remover, mirror_drop_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&starter);
}

static void pass_at_start(struct listener *l, char what)
{
	if (what == 's')
		gate_pass(l->data);
}

static void unregister_task(void *l)
{
	listener_drop(l);
}

static void the_last_callback_wakes_unregister(void **state)
{
	struct task starter, remover;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	listener_add(&one, 1);
	one.hook = pass_at_start;
	one.data = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	task_start(&remover, unregister_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&starter);
}

static void register_task(void *l)
{
	struct listener *listener = l;

	if (mmu_notifier_register(&listener->mn, mm))
		abort();
}

static void open_range_at_gate(void *gate)
{
	struct mmu_notifier_range range;

	begin_range(&range, PG(10), PG(11));
	gate_pass(gate);
	end_range(&range);
}

static void end_wakes_register(void **state)
{
	struct task starter, registrar;
	struct listener one;
	struct gate gate;

	gate_init(&gate);
	listener_init(&one, 1, &listener_ops);
	task_start(&starter, open_range_at_gate, &gate);
	gate_await(&gate);
	task_start(&registrar, register_task, &one);
	assert_true(task_waits(&registrar));
	gate_open(&gate);
	task_join(&starter);
	task_join(&registrar);
	listener_drop(&one);
}

static void unreserve_wakes_the_invalidation(void **state)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};
	bool asymmetric = sync_asymmetric;
	struct task starter;
	struct mirror one;

	remake_mm(&options);
	sync_asymmetric = asymmetric;
	mirror_add(&one, 1, PG(10), 1);
	assert_int_equal(uhmm_interval_reserve(&one.sub), 0);
	task_start(&starter, invalidate_task, NULL);
	assert_true(task_waits(&starter));
	uhmm_interval_unreserve(&one.sub);
	task_join(&starter);
	assert_int_equal(stats().reserves_lost, 0);
	mirror_drop(&one);
}

/* ------------------------------------------------------- a lost wake-up hangs */

#define TURNS (refuse_membarrier ? 100 : 2000)

struct table {
	struct mirror mirror;
	int entry;
	int stop;
};

static void change_task(void *arg)
{
	struct table *table = arg;
	struct mmu_notifier_range range;

	for (int i = 0; i < TURNS; i++) {
		begin_range(&range, PG(10), PG(11));
		set(&table->entry, -1);
		if (i % 16 == 0)
			sync_yield();
		set(&table->entry, i);
		end_range(&range);
	}
	set(&table->stop, 1);
}

static void read_task(void *arg)
{
	struct table *table = arg;
	unsigned long seq;
	int entry;

	while (!look(&table->stop)) {
		do {
			seq = mirror_begin(&table->mirror);
			entry = look(&table->entry);
		} while (mirror_retry(&table->mirror, seq));
		if (entry < 0)
			abort();
	}
}

static void no_read_sleeps_on(void **state)
{
	struct table table = { .entry = 0 };
	struct task tasks[3];

	mirror_add(&table.mirror, 1, PG(10), 1);
	table.mirror.quiet = true;
	task_start(&tasks[0], change_task, &table);
	task_start(&tasks[1], read_task, &table);
	task_start(&tasks[2], read_task, &table);
	for (int i = 0; i < 3; i++)
		task_join(&tasks[i]);
	mirror_drop(&table.mirror);
}

static void storm_task(void *stop)
{
	while (!look(stop))
		invalidate(PG(10), PG(11));
}

static void no_remove_sleeps_on(void **state)
{
	struct mirror one;
	struct task storm;
	int stop = 0;

	task_start(&storm, storm_task, &stop);
	mirror_init(&one, 1);
	one.quiet = true;
	for (int i = 0; i < TURNS; i++) {
		assert_int_equal(mmu_interval_notifier_insert(
					 &one.sub, mm, PG(10), 1, &mirror_ops),
				 0);
		mirror_begin(&one);
		mirror_drop(&one);
	}
	set(&stop, 1);
	task_join(&storm);
}

static int quiet_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	return 0;
}

static void no_unregister_sleeps_on(void **state)
{
	static const struct mmu_notifier_ops ops = {
		.invalidate_range_start = quiet_start,
	};
	struct mmu_notifier mn = { .ops = &ops };
	struct task storm;
	int stop = 0;

	task_start(&storm, storm_task, &stop);
	for (int i = 0; i < TURNS; i++) {
		assert_int_equal(mmu_notifier_register(&mn, mm), 0);
		mmu_notifier_unregister(&mn, mm);
	}
	set(&stop, 1);
	task_join(&storm);
}

#define FORBIDDEN(fn)                                                        \
	{                                                                    \
		.name = #fn "_forbidden_later", .test_func = fn,             \
		.setup_func = begin_forbidden, .teardown_func = case_end,    \
		.initial_state = (void *)#fn "_forbidden_later"              \
	}

#define BOTH(fn)                                                             \
	{                                                                    \
		.name = #fn "_with_membarrier", .test_func = fn,             \
		.setup_func = begin_with, .teardown_func = case_end,         \
		.initial_state = (void *)#fn "_with_membarrier"              \
	}, {                                                                 \
		.name = #fn "_without_membarrier", .test_func = fn,          \
		.setup_func = begin_without, .teardown_func = end_without,   \
		.initial_state = (void *)#fn "_without_membarrier"           \
	}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		BOTH(end_wakes_a_read),
		BOTH(the_last_callback_wakes_remove),
		BOTH(the_last_callback_wakes_unregister),
		BOTH(end_wakes_register),
		BOTH(unreserve_wakes_the_invalidation),
		BOTH(no_read_sleeps_on),
		BOTH(no_remove_sleeps_on),
		BOTH(no_unregister_sleeps_on),
		FORBIDDEN(smp_mb_others_says_that_it_is_forbidden),
		FORBIDDEN(end_wakes_a_read),
		FORBIDDEN(the_last_callback_wakes_remove),
		FORBIDDEN(the_last_callback_wakes_unregister),
		FORBIDDEN(end_wakes_register),
		FORBIDDEN(no_read_sleeps_on),
		FORBIDDEN(no_remove_sleeps_on),
		FORBIDDEN(no_unregister_sleeps_on),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
