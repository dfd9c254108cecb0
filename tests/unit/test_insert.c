/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Interval notifiers: insert and remove. */
#include "util.h"

static int insert(struct mirror *m, unsigned long start, unsigned long length)
{
	return mmu_interval_notifier_insert(&m->sub, mm, start, length,
					    &mirror_ops);
}

/* -------------------------------------------------------------------- edges */

static void insert_refuses_a_length_of_zero(void **state)
{
	struct mirror one;

	mirror_init(&one, 1);
	assert_int_equal(insert(&one, PG(1), 0), -EOVERFLOW);
	assert_int_equal(insert(&one, 0, 0), -EOVERFLOW);
	assert_int_equal(insert(&one, ULONG_MAX, 0), -EOVERFLOW);
}

static void insert_refuses_a_range_that_wraps(void **state)
{
	struct mirror one;

	mirror_init(&one, 1);
	assert_int_equal(insert(&one, ULONG_MAX, 2), -EOVERFLOW);
	assert_int_equal(insert(&one, 2, ULONG_MAX), -EOVERFLOW);
	assert_int_equal(insert(&one, ULONG_MAX, ULONG_MAX), -EOVERFLOW);
	assert_int_equal(insert(&one, 1UL << 63, (1UL << 63) + 1), -EOVERFLOW);
}

static void insert_takes_the_last_byte(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, ULONG_MAX, 1);
	assert_int_equal(one.sub.interval_tree.start, ULONG_MAX);
	assert_int_equal(one.sub.interval_tree.last, ULONG_MAX);
	invalidate(0, ULONG_MAX);
	assert_recorded("");
	mirror_drop(&one);
}

static void insert_takes_up_to_the_last_byte(void **state)
{
	struct mirror one, two;

	mirror_add(&one, 1, 1, ULONG_MAX);
	assert_int_equal(one.sub.interval_tree.last, ULONG_MAX);
	mirror_add(&two, 2, 1UL << 63, 1UL << 63);
	assert_int_equal(two.sub.interval_tree.last, ULONG_MAX);
	invalidate(0, 1);
	assert_recorded("");
	invalidate(ULONG_MAX - 1, ULONG_MAX);
	assert_recorded("i1 i2");
	mirror_drop(&one);
	mirror_drop(&two);
}

static void insert_takes_all_but_the_last_byte(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, 0, ULONG_MAX);
	assert_int_equal(one.sub.interval_tree.start, 0);
	assert_int_equal(one.sub.interval_tree.last, ULONG_MAX - 1);
	invalidate(0, 1);
	invalidate(ULONG_MAX - 1, ULONG_MAX);
	invalidate(0, ULONG_MAX);
	assert_recorded("i1 i1 i1");
	mirror_drop(&one);
}

static void insert_asks_for_no_alignment(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(1) + 3, 5);
	invalidate(PG(1), PG(1) + 3);
	invalidate(PG(1) + 8, PG(1) + 9);
	assert_recorded("");
	invalidate(PG(1) + 2, PG(1) + 4);
	invalidate(PG(1) + 7, PG(1) + 8);
	assert_recorded("i1 i1");
	mirror_drop(&one);
}

/* ------------------------------------------------------------------- errors */

static void insert_refuses_null_pointers(void **state)
{
	struct mirror one;

	mirror_init(&one, 1);
	assert_int_equal(mmu_interval_notifier_insert(NULL, mm, PG(1), 1,
						      &mirror_ops), -EINVAL);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, NULL, PG(1), 1,
						      &mirror_ops), -EINVAL);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, mm, PG(1), 1,
						      NULL), -EINVAL);
	assert_int_equal(mmu_interval_notifier_insert_locked(
				 &one.sub, NULL, PG(1), 1, &mirror_ops),
			 -EINVAL);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(NULL, mm, PG(1),
							      1), -EINVAL);
}

static bool first_pass(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq,
		       struct mmu_interval_notifier_finish **finish)
{
	return true;
}

static void second_pass(struct mmu_interval_notifier_finish *finish)
{
}

static bool batch(struct mmu_interval_notifier *const *subs, size_t n,
		  const struct mmu_notifier_range *range,
		  unsigned long cur_seq)
{
	return true;
}

static void insert_refuses_ops_that_are_incomplete(void **state)
{
	static const struct mmu_interval_notifier_ops bad[] = {
		{ .invalidate = NULL },
		{ .invalidate_start = first_pass },
		{ .invalidate_finish = second_pass },
	};
	struct mirror one;

	mirror_init(&one, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mmu_interval_notifier_insert(
					 &one.sub, mm, PG(1), 1, &bad[i]),
				 -EINVAL);
}

static void insert_refuses_ops_that_are_ambiguous(void **state)
{
	const struct mmu_interval_notifier_ops bad[] = {
		{ .invalidate = mirror_ops.invalidate,
		  .uhmm_invalidate_batch = batch },
		{ .invalidate = mirror_ops.invalidate,
		  .invalidate_start = first_pass,
		  .invalidate_finish = second_pass },
		{ .uhmm_invalidate_batch = batch,
		  .invalidate_start = first_pass,
		  .invalidate_finish = second_pass },
		{ .invalidate = mirror_ops.invalidate,
		  .invalidate_finish = second_pass },
		{ .uhmm_invalidate_batch = batch,
		  .invalidate_finish = second_pass },
	};
	struct mirror one;

	mirror_init(&one, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mmu_interval_notifier_insert(
					 &one.sub, mm, PG(1), 1, &bad[i]),
				 -EINVAL);
}

static void a_refused_insert_changes_nothing(void **state)
{
	static const struct mmu_interval_notifier_ops no_ops = { 0 };
	struct mirror one, before;

	mirror_init(&one, 1);
	before = one;
	insert(&one, PG(1), 0);
	insert(&one, ULONG_MAX, 2);
	mmu_interval_notifier_insert(&one.sub, mm, PG(1), 1, &no_ops);
	uhmm_interval_notifier_insert_tagged(&one.sub, mm, PG(1), 0);
	assert_memory_equal(&one.sub, &before.sub, sizeof(one.sub));
	assert_int_equal(stats().subscriptions, 0);
	assert_false(mm_has_notifiers(mm));
	invalidate(0, ULONG_MAX);
	assert_recorded("");
}

static void a_second_insert_is_refused(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(1), 1);
	assert_int_equal(insert(&one, PG(5), 1), -EBUSY);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(&one.sub, mm,
							      PG(5), 1),
			 -EBUSY);
	assert_int_equal(stats().subscriptions, 1);
	invalidate(PG(0), PG(10));
	assert_recorded("i1");
	assert_int_equal(one.sub.interval_tree.start, PG(1));
	mirror_drop(&one);
	invalidate(PG(0), PG(10));
	assert_recorded("");
}

/* As drivers do that have it on the stack. */
static void memory_may_hold_anything_before(void **state)
{
	struct mirror one = { .lock = PTHREAD_MUTEX_INITIALIZER };

	for (unsigned long word = 0; word < 8; word++) {
		memset(&one.sub, word & 4 ? 0x5a : 0, sizeof(one.sub));
		one.sub.removing = (void *)(word & 4 ? word << 8 : word);
		assert_int_equal(insert(&one, PG(1), 1), 0);
		assert_int_equal(insert(&one, PG(1), 1), -EBUSY);
		mirror_drop(&one);
	}
	/* And of one whose removal is not over it says the address space. */
	memset(&one.sub, 0x5a, sizeof(one.sub));
	one.sub.mm = mm;
	assert_int_equal(insert(&one, PG(1), 1), 0);
	mirror_drop(&one);
}

static void a_second_insert_elsewhere_is_refused(void **state)
{
	struct mm_struct *other;
	struct mirror one;

	assert_int_equal(uhmm_mm_create(&other), 0);
	mirror_add(&one, 1, PG(1), 1);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, other, PG(5), 1,
						      &mirror_ops), -EBUSY);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(&one.sub, other,
							      PG(5), 1),
			 -EBUSY);
	assert_false(mm_has_notifiers(other));
	assert_ptr_equal(one.sub.mm, mm);
	invalidate(PG(0), PG(10));
	assert_recorded("i1");
	mirror_drop(&one);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, other, PG(5), 1,
						      &mirror_ops), 0);
	invalidate(PG(0), PG(10));
	assert_recorded("");
	mirror_drop(&one);
	mmput(other);
}

/* ---------------------------------------------------------------- in and out */

static void who_is_watched_has_notifiers(void **state)
{
	struct mirror one, two;

	assert_false(mm_has_notifiers(mm));
	mirror_add(&one, 1, PG(1), 1);
	mirror_add(&two, 2, PG(2), 1);
	assert_true(mm_has_notifiers(mm));
	mirror_drop(&two);
	assert_true(mm_has_notifiers(mm));
	mirror_drop(&one);
	assert_false(mm_has_notifiers(mm));
}

static void remove_ends_the_calls(void **state)
{
	struct mirror one, two;

	mirror_add(&one, 1, PG(1), 1);
	mirror_add(&two, 2, PG(1), 1);
	mirror_drop(&one);
	invalidate(PG(1), PG(2));
	assert_recorded("i2");
	mirror_drop(&two);
	invalidate(PG(1), PG(2));
	assert_recorded("");
}

static void what_was_removed_may_be_inserted_again(void **state)
{
	unsigned long seqs[20];
	struct mirror one;

	mirror_init(&one, 1);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(insert(&one, PG(i), 1), 0);
		seqs[i] = mirror_begin(&one);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(seqs[i], seqs[j]);
		invalidate(PG(0), PG(40));
		assert_recorded("i1");
		mirror_drop(&one);
		invalidate(PG(0), PG(40));
		assert_recorded("");
	}
}

static void insert_works_with_mmap_lock_held(void **state)
{
	struct mirror one, two, three;

	mirror_init(&one, 1);
	mirror_init(&three, 3);
	mmap_write_lock(mm);
	assert_int_equal(mmu_interval_notifier_insert_locked(
				 &one.sub, mm, PG(1), 1, &mirror_ops), 0);
	assert_int_equal(mmu_interval_notifier_insert_locked(
				 &three.sub, mm, PG(1), 0, &mirror_ops),
			 -EOVERFLOW);
	mirror_add(&two, 2, PG(1), 1);
	mmap_write_downgrade(mm);
	assert_int_equal(insert(&three, PG(1), 1), 0);
	invalidate(PG(1), PG(2));
	mmap_read_unlock(mm);
	assert_recorded("i1 i2 i3");
	mirror_drop(&one);
	mirror_drop(&two);
	mirror_drop(&three);
}

#define MANY 500

static void many_come_and_go(void **state)
{
	static struct mirror many[MANY];
	struct mmu_notifier_range range;

	for (int i = 0; i < MANY; i++)
		mirror_add(&many[i], i, PG(i * 7 % MANY), PAGES(3));
	for (int i = 0; i < MANY; i += 2)
		mirror_drop(&many[i]);
	assert_int_equal(stats().subscriptions, MANY / 2);
	begin_range(&range, 0, ULONG_MAX);
	end_range(&range);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(many[i].called, i % 2);
	for (int i = 1; i < MANY; i += 2)
		mirror_drop(&many[i]);
	invalidate(0, ULONG_MAX);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(many[i].called, i % 2);
}

/* ------------------------------------------ while something is under way */

static void insert_is_in_force_at_once_in_an_open_range(void **state)
{
	struct mmu_notifier_range open, inner;
	struct mirror one;

	begin_range(&open, PG(0), PG(20));
	mirror_add(&one, 1, PG(10), PAGES(1));
	assert_recorded("");
	begin_range(&inner, PG(10), PG(11));
	assert_recorded("i1");
	end_range(&inner);
	assert_true(mirror_held_up(&one));
	end_range(&open);
	assert_false(mirror_held_up(&one));
	assert_recorded("");
	mirror_drop(&one);
}

static void the_first_read_waits_for_an_older_range(void **state)
{
	struct mmu_notifier_range open;
	struct mirror one, elsewhere;
	struct task reader;

	begin_range(&open, PG(10), PG(11));
	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&elsewhere, 2, PG(11), 1);
	assert_no_wait(mirror_begin_task, &elsewhere);
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	end_range(&open);
	task_join(&reader);
	mirror_drop(&one);
	mirror_drop(&elsewhere);
}

static struct mirror inserted;

static void insert_once(struct mirror *m, const struct mmu_notifier_range *range)
{
	m->hook = NULL;
	mirror_init(&inserted, 2);
	record("in", insert(&inserted, PG(10), 1));
}

static void insert_works_in_a_callback(void **state)
{
	struct mmu_notifier_range open;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	one.hook = insert_once;
	begin_range(&open, PG(10), PG(11));
	assert_recorded("in0 i1");
	assert_true(mirror_held_up(&inserted));
	invalidate(PG(10), PG(11));
	assert_recorded("i1 i2");
	end_range(&open);
	assert_false(mirror_held_up(&inserted));
	mirror_drop(&one);
	mirror_drop(&inserted);
}

static void remove_does_not_wait_for_end(void **state)
{
	struct mmu_notifier_range open;
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&open, PG(10), PG(11));
	assert_no_wait(mirror_drop_task, &one);
	end_range(&open);
	assert_recorded("i1");
}

static void remove_waits_for_its_callback(void **state)
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
	assert_int_equal(one.called, 1);
	task_join(&starter);
	assert_recorded("i1");
}

/* Called already, or not to be called at all: others are not waited for. */
static void remove_waits_for_no_other_callback(void **state)
{
	struct mirror before, slow, elsewhere;
	struct task starter;
	struct gate gate;

	gate_init(&gate);
	mirror_add(&before, 1, PG(9), PAGES(4));
	mirror_add(&slow, 2, PG(10), 1);
	mirror_add(&elsewhere, 3, PG(11), 1);
	slow.hook = mirror_at_gate;
	slow.data = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	assert_recorded("i1");
	assert_no_wait(mirror_drop_task, &elsewhere);
	assert_no_wait(mirror_drop_task, &before);
	gate_open(&gate);
	task_join(&starter);
	assert_recorded("i2");
	mirror_drop(&slow);
}

static void remove_is_woken_though_others_are_still_called(void **state)
{
	struct task starter, remover;
	struct gate first, second;
	struct mirror one, two;

	gate_init(&first);
	gate_init(&second);
	mirror_add(&one, 1, PG(10), 1);
	mirror_add(&two, 2, PG(10), 1);
	one.hook = mirror_at_gate;
	one.data = &first;
	two.hook = mirror_at_gate;
	two.data = &second;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&first);
	task_start(&remover, mirror_drop_task, &one);
	assert_true(task_waits(&remover));
	gate_open(&first);
	gate_await(&second);
	task_join(&remover);
	gate_open(&second);
	task_join(&starter);
	assert_recorded("i1 i2");
	mirror_drop(&two);
}

/* Found by the start, and not called yet. */
static void remove_waits_for_a_callback_that_must_still_come(void **state)
{
	struct task starter, remover;
	struct mirror slow, later;
	struct gate gate;

	gate_init(&gate);
	mirror_add(&slow, 1, PG(10), 1);
	mirror_add(&later, 2, PG(10), 1);
	slow.hook = mirror_at_gate;
	slow.data = &gate;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
	task_start(&remover, mirror_drop_task, &later);
	assert_true(task_waits(&remover));
	gate_open(&gate);
	task_join(&remover);
	task_join(&starter);
	mirror_drop(&slow);
	assert_recorded("i1 i2");
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(insert_refuses_a_length_of_zero),
		CASE(insert_refuses_a_range_that_wraps),
		CASE(insert_takes_the_last_byte),
		CASE(insert_takes_up_to_the_last_byte),
		CASE(insert_takes_all_but_the_last_byte),
		CASE(insert_asks_for_no_alignment),
		CASE(insert_refuses_null_pointers),
		CASE(insert_refuses_ops_that_are_incomplete),
		CASE(insert_refuses_ops_that_are_ambiguous),
		CASE(a_refused_insert_changes_nothing),
		CASE(a_second_insert_is_refused),
		CASE(memory_may_hold_anything_before),
		CASE(a_second_insert_elsewhere_is_refused),
		CASE(who_is_watched_has_notifiers),
		CASE(remove_ends_the_calls),
		CASE(what_was_removed_may_be_inserted_again),
		CASE(insert_works_with_mmap_lock_held),
		CASE(many_come_and_go),
		CASE(insert_is_in_force_at_once_in_an_open_range),
		CASE(the_first_read_waits_for_an_older_range),
		CASE(insert_works_in_a_callback),
		CASE(remove_does_not_wait_for_end),
		CASE(remove_waits_for_its_callback),
		CASE(remove_waits_for_no_other_callback),
		CASE(remove_is_woken_though_others_are_still_called),
		CASE(remove_waits_for_a_callback_that_must_still_come),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
