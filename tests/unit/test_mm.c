/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Address spaces: life, options, counters. */
#include "util.h"

#include <stdio.h>

#include "core/internal.h"

/* ------------------------------------------------- one that says how it goes */

static int token;

static void say_exit(struct mm_struct *it, void *private_data)
{
	record("exit", private_data == &token && uhmm_mm_private(it) == &token);
}

static void say_destroy(void *private_data)
{
	record("destroy", private_data == &token);
}

static const struct uhmm_mm_ops saying_ops = {
	.name = "saying",
	.exit = say_exit,
	.destroy = say_destroy,
};

static struct mm_struct *make(const struct uhmm_mm_ops *ops)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.ops = ops,
		.private_data = &token,
	};
	struct mm_struct *made;

	assert_int_equal(uhmm_mm_create_with(&options, &made), 0);
	return made;
}

/* -------------------------------------------------------------------- create */

static void create_makes_a_bare_space_that_nobody_watches(void **state)
{
	struct uhmm_mm_stats s, none = { 0 };
	struct mm_struct *bare;

	assert_int_equal(uhmm_mm_create(&bare), 0);
	assert_string_equal(uhmm_mm_name(bare), "bare");
	assert_null(uhmm_mm_private(bare));
	assert_false(mm_has_notifiers(bare));
	assert_int_equal(uhmm_mm_get_stats(bare, &s), 0);
	assert_memory_equal(&s, &none, sizeof(s));
	mmput(bare);
}

static void create_refuses_a_null_pointer(void **state)
{
	struct uhmm_mm_options options = { .size = sizeof(options) };

	assert_int_equal(uhmm_mm_create(NULL), -EINVAL);
	assert_int_equal(uhmm_mm_create_with(NULL, NULL), -EINVAL);
	assert_int_equal(uhmm_mm_create_with(&options, NULL), -EINVAL);
}

static void create_without_options_makes_a_bare_space(void **state)
{
	struct mm_struct *bare;

	assert_int_equal(uhmm_mm_create_with(NULL, &bare), 0);
	assert_string_equal(uhmm_mm_name(bare), "bare");
	mmput(bare);
}

static void create_refuses_options_of_an_older_size(void **state)
{
	struct uhmm_mm_options options = { .size = sizeof(options) - 1 };
	struct mm_struct *made = (void *)&token;

	assert_int_equal(uhmm_mm_create_with(&options, &made), -EINVAL);
	options.size = 0;
	assert_int_equal(uhmm_mm_create_with(&options, &made), -EINVAL);
	assert_ptr_equal(made, &token);
}

static void create_takes_options_of_a_newer_size(void **state)
{
	struct {
		struct uhmm_mm_options known;
		unsigned long unknown;
	} options = { .known.size = sizeof(options) };
	struct mm_struct *made;

	assert_int_equal(uhmm_mm_create_with(&options.known, &made), 0);
	mmput(made);
	options.unknown = 1;
	assert_int_equal(uhmm_mm_create_with(&options.known, &made), -E2BIG);
}

static void create_refuses_an_unknown_flag(void **state)
{
	struct uhmm_mm_options options = { .size = sizeof(options) };
	struct mm_struct *made = (void *)&token;

	for (unsigned int flag = 1; flag; flag <<= 1) {
		if (flag == UHMM_MM_CHECK)
			continue;
		options.flags = flag;
		assert_int_equal(uhmm_mm_create_with(&options, &made),
				 -EINVAL);
	}
	assert_ptr_equal(made, &token);
}

static void create_keeps_the_name_and_the_private_data(void **state)
{
	struct mm_struct *made = make(&saying_ops);

	assert_string_equal(uhmm_mm_name(made), "saying");
	assert_ptr_equal(uhmm_mm_private(made), &token);
	mmput(made);
	assert_recorded("exit1 destroy1");
}

/* -------------------------------------------------------------------- counts */

static void the_last_mmput_ends_the_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);

	mmget(made);
	mmget(made);
	mmput(made);
	mmput(made);
	assert_recorded("");
	mmput(made);
	assert_recorded("exit1 destroy1");
}

static void mmget_not_zero_takes_a_use_of_a_living_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);

	assert_true(mmget_not_zero(made));
	mmput(made);
	assert_recorded("");
	mmput(made);
	assert_recorded("exit1 destroy1");
}

static void mmget_not_zero_takes_none_of_an_ended_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);

	mmgrab(made);
	mmput(made);
	assert_recorded("exit1");
	assert_false(mmget_not_zero(made));
	assert_false(mmget_not_zero(made));
	mmdrop(made);
	assert_recorded("destroy1");
}

static void mmgrab_keeps_the_struct_but_not_the_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);

	mmgrab(made);
	mmgrab(made);
	mmdrop(made);
	assert_recorded("");
	mmput(made);
	assert_recorded("exit1");
	assert_ptr_equal(uhmm_mm_private(made), &token);
	mmdrop(made);
	assert_recorded("destroy1");
}

static void the_only_subscription_keeps_the_struct(void **state)
{
	struct mm_struct *made = make(&saying_ops);
	struct mirror one;

	mirror_init(&one, 1);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, made, PG(1),
						      PG(1), &mirror_ops), 0);
	mmu_interval_notifier_remove(&one.sub);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, made, PG(1),
						      PG(1), &mirror_ops), 0);
	mmput(made);
	assert_recorded("R1 exit1");
	mirror_drop(&one);
	assert_recorded("destroy1");
}

static void a_subscription_keeps_the_struct_but_not_the_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);
	struct mirror one, two;

	mirror_init(&one, 1);
	mirror_init(&two, 2);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, made, PG(1), 1,
						      &mirror_ops), 0);
	assert_int_equal(mmu_interval_notifier_insert(&two.sub, made, PG(2), 1,
						      &mirror_ops), 0);
	mmput(made);
	assert_recorded("R1 R2 exit1");
	mirror_drop(&one);
	assert_recorded("");
	mirror_drop(&two);
	assert_recorded("destroy1");
}

static void a_list_notifier_keeps_the_struct_but_not_the_space(void **state)
{
	struct mm_struct *made = make(&saying_ops);
	struct listener one;

	listener_init(&one, 1, &listener_ops);
	assert_int_equal(mmu_notifier_register(&one.mn, made), 0);
	mmput(made);
	assert_recorded("r1 exit1");
	mmu_notifier_unregister(&one.mn, made);
	assert_recorded("destroy1");
}

static void release_comes_before_exit_and_exit_before_destroy(void **state)
{
	struct mm_struct *made = make(&saying_ops);
	struct listener list;
	struct mirror one;

	listener_init(&list, 2, &listener_ops);
	assert_int_equal(mmu_notifier_register(&list.mn, made), 0);
	mirror_init(&one, 1);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, made, PG(1), 1,
						      &mirror_ops), 0);
	mmput(made);
	assert_recorded("R1 r2 exit1");
	mirror_drop(&one);
	mmu_notifier_unregister(&list.mn, made);
	assert_recorded("destroy1");
}

/* Page tables are dropped in exit, and nobody is there to be told. */
static void unmap_at_exit(struct mm_struct *it, void *private_data)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, it, 0, ~0UL);
	record("unmap", mmu_notifier_invalidate_range_start(&range));
	mmu_notifier_invalidate_range_end(&range);
}

static void unmapping_at_exit_calls_nobody(void **state)
{
	static const struct uhmm_mm_ops ops = {
		.name = "unmapping",
		.exit = unmap_at_exit,
	};
	struct mm_struct *made = make(&ops);
	struct listener list;
	struct mirror one;

	listener_init(&list, 2, &listener_ops);
	assert_int_equal(mmu_notifier_register(&list.mn, made), 0);
	mirror_init(&one, 1);
	assert_int_equal(mmu_interval_notifier_insert(&one.sub, made, PG(1), 1,
						      &mirror_ops), 0);
	mmput(made);
	assert_recorded("R1 r2 unmap0");
	mirror_drop(&one);
	mmu_notifier_unregister(&list.mn, made);
}

static void spaces_do_not_hear_of_each_other(void **state)
{
	struct mm_struct *other = make(&saying_ops);
	struct mmu_notifier_range range;
	struct mirror one;

	mirror_add(&one, 1, PG(10), PAGES(1));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, other, PG(10),
				PG(11));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	assert_false(mirror_held_up(&one));
	mmu_notifier_invalidate_range_end(&range);
	mmput(other);
	assert_recorded("exit1 destroy1");
	mirror_drop(&one);
}

#define SPACES 23

/* More than a thread remembers its place in. */
static void a_thread_may_use_many_spaces_in_turn(void **state)
{
	struct mmu_notifier_range ranges[SPACES];
	struct mm_struct *spaces[SPACES];
	struct uhmm_mm_stats s;

	for (int i = 0; i < SPACES; i++)
		spaces[i] = make(&saying_ops);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < SPACES; i++) {
			mmu_notifier_range_init(&ranges[i], MMU_NOTIFY_CLEAR, 0,
						spaces[i], PG(1), PG(2));
			assert_int_equal(mmu_notifier_invalidate_range_start(
						 &ranges[i]), 0);
		}
		for (int i = 0; i < SPACES; i++)
			mmu_notifier_invalidate_range_end(&ranges[i]);
	}
	for (int i = 0; i < SPACES; i++) {
		assert_int_equal(uhmm_mm_get_stats(spaces[i], &s), 0);
		assert_int_equal(s.starts, 3);
		assert_int_equal(s.thread_blocks, 1);
		mmput(spaces[i]);
	}
}

/* ------------------------------------------------------------------ counters */

static void stats_refuse_null_pointers(void **state)
{
	struct uhmm_mm_stats s;

	assert_int_equal(uhmm_mm_get_stats(NULL, &s), -EINVAL);
	assert_int_equal(uhmm_mm_get_stats(mm, NULL), -EINVAL);
}

static void stats_count_each_thing(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one, two;
	struct uhmm_mm_stats s;
	unsigned long seq;

	mirror_add(&one, 1, PG(10), PAGES(1));
	mirror_add(&two, 2, PG(10), PAGES(1));
	assert_int_equal(stats().subscriptions, 2);
	seq = mirror_begin(&one);
	invalidate(PG(10), PG(11));
	invalidate(PG(20), PG(21));
	assert_true(mirror_retry(&one, seq));
	assert_true(mirror_retry(&one, seq));
	two.refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), -EAGAIN);
	s = stats();
	assert_int_equal(s.starts, 3);
	assert_int_equal(s.hits, 4);
	assert_int_equal(s.refusals, 1);
	assert_int_equal(s.retries, 2);
	assert_int_equal(s.waits, 0);
	assert_int_equal(s.wait_longest_ns, 0);
	assert_int_equal(s.reserves, 0);
	assert_int_equal(s.reserves_lost, 0);
	assert_int_equal(s.thread_blocks, 1);
	mirror_drop(&one);
	assert_int_equal(stats().subscriptions, 1);
	mirror_drop(&two);
	assert_int_equal(stats().subscriptions, 0);
}

static void stats_count_waits_and_keep_the_longest(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	struct task task;
	unsigned long longest;

	mirror_add(&one, 1, PG(10), PAGES(1));
	for (unsigned long n = 1; n <= 2; n++) {
		begin_range(&range, PG(10), PG(11));
		task_start(&task, mirror_begin_task, &one);
		assert_true(task_waits(&task));
		end_range(&range);
		task_join(&task);
		assert_int_equal(stats().waits, n);
	}
	longest = stats().wait_longest_ns;
	/* It was seen asleep that long. */
	assert_true(longest > 10 * MSEC);
	begin_range(&range, PG(10), PG(11));
	assert_true(mirror_held_up(&one));
	end_range(&range);
	assert_true(stats().wait_longest_ns >= longest);
	mirror_drop(&one);
}

static void invalidate_often(void *arg)
{
	for (int i = 0; i < 1000; i++)
		invalidate(PG(10), PG(11));
}

static void stats_add_up_what_threads_did(void **state)
{
	struct task tasks[4];
	struct mirror one;

	mirror_init(&one, 1);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(
				 &one.sub, mm, PG(10), 1), 0);
	for (int i = 0; i < 4; i++)
		task_start(&tasks[i], invalidate_often, NULL);
	for (int i = 0; i < 4; i++)
		task_join(&tasks[i]);
	assert_int_equal(stats().starts, 4000);
	assert_int_equal(stats().hits, 4000);
	mirror_drop(&one);
}

static bool never_young(struct mmu_notifier *list, struct mm_struct *it,
			unsigned long address)
{
	return false;
}

static void what_only_walks_is_no_start(void **state)
{
	static const struct mmu_notifier_ops ops = { .test_young = never_young };
	struct mmu_notifier list = { .ops = &ops };

	invalidate(PG(10), PG(11));
	assert_int_equal(mmu_notifier_register(&list, mm), 0);
	assert_false(mmu_notifier_test_young(mm, PG(10)));
	invalidate(PG(10), PG(11));
	mmu_notifier_unregister(&list, mm);
	assert_int_equal(stats().starts, 2);
}

static void starts_are_counted_on_where_numbers_run_out(void **state)
{
	struct slot *slot;
	unsigned long starts, first;

	invalidate(PG(10), PG(11));
	slot = &mm->blocks->slots[0];
	first = slot->word;
	slot->word += SLOT_IDS - 4 * SLOT_STEP;
	starts = stats().starts;
	for (int i = 0; i < 5; i++) {
		invalidate(PG(10), PG(11));
		assert_int_equal(stats().starts, starts + i + 1);
	}
	assert_true(slot->word / SLOT_IDS > first / SLOT_IDS);
}

static void text_has_each_counter_on_a_line(void **state)
{
	struct uhmm_mm_stats s;
	struct mirror one;
	char text[512], expected[512];
	int length;

	mirror_add(&one, 1, PG(10), PAGES(1));
	for (int i = 0; i < 7; i++)
		invalidate(PG(10), PG(11));
	assert_true(mirror_retry(&one, 1));
	s = stats();
	snprintf(expected, sizeof(expected),
		 "starts 7\nhits 7\nrefusals 0\nretries 1\nwaits 0\n"
		 "wait_longest_ns 0\nreserves 0\nreserves_lost 0\n"
		 "subscriptions 1\nthread_blocks %lu\n", s.thread_blocks);
	length = uhmm_mm_print_stats(mm, text, sizeof(text));
	assert_string_equal(text, expected);
	assert_int_equal(length, strlen(text));
	mirror_drop(&one);
}

static void text_is_cut_to_the_buffer(void **state)
{
	int length = uhmm_mm_print_stats(mm, NULL, 0);
	char text[512], small[20];

	assert_int_equal(uhmm_mm_print_stats(mm, text, sizeof(text)), length);
	assert_int_equal(strlen(text), length);
	for (size_t size = 1; size < sizeof(small); size++) {
		memset(small, '!', sizeof(small));
		assert_int_equal(uhmm_mm_print_stats(mm, small, size), length);
		assert_memory_equal(small, text, size - 1);
		assert_int_equal(small[size - 1], 0);
		assert_int_equal(small[size], '!');
	}
	/* One byte short, and just enough. */
	uhmm_mm_print_stats(mm, text, (size_t)length);
	assert_int_equal(strlen(text), length - 1);
	uhmm_mm_print_stats(mm, text, (size_t)length + 1);
	assert_int_equal(strlen(text), length);
}

static void text_refuses_null_pointers(void **state)
{
	char text[8];

	assert_int_equal(uhmm_mm_print_stats(NULL, text, sizeof(text)),
			 -EINVAL);
	assert_int_equal(uhmm_mm_print_stats(mm, NULL, 1), -EINVAL);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(create_makes_a_bare_space_that_nobody_watches),
		CASE(create_refuses_a_null_pointer),
		CASE(create_without_options_makes_a_bare_space),
		CASE(create_refuses_options_of_an_older_size),
		CASE(create_takes_options_of_a_newer_size),
		CASE(create_refuses_an_unknown_flag),
		CASE(create_keeps_the_name_and_the_private_data),
		CASE(the_last_mmput_ends_the_space),
		CASE(mmget_not_zero_takes_a_use_of_a_living_space),
		CASE(mmget_not_zero_takes_none_of_an_ended_space),
		CASE(mmgrab_keeps_the_struct_but_not_the_space),
		CASE(the_only_subscription_keeps_the_struct),
		CASE(a_subscription_keeps_the_struct_but_not_the_space),
		CASE(a_list_notifier_keeps_the_struct_but_not_the_space),
		CASE(release_comes_before_exit_and_exit_before_destroy),
		CASE(unmapping_at_exit_calls_nobody),
		CASE(spaces_do_not_hear_of_each_other),
		CASE(a_thread_may_use_many_spaces_in_turn),
		CASE(stats_refuse_null_pointers),
		CASE(stats_count_each_thing),
		CASE(stats_count_waits_and_keep_the_longest),
		CASE(stats_add_up_what_threads_did),
		CASE(what_only_walks_is_no_start),
		CASE(starts_are_counted_on_where_numbers_run_out),
		CASE(text_has_each_counter_on_a_line),
		CASE(text_is_cut_to_the_buffer),
		CASE(text_refuses_null_pointers),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
