/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Tagged subscriptions: no callback, entries that check themselves. */
#include "util.h"

static void add(struct mmu_interval_notifier *sub, unsigned long start,
		unsigned long length)
{
	memset(sub, 0, sizeof(*sub));
	assert_int_equal(uhmm_interval_notifier_insert_tagged(sub, mm, start,
							      length), 0);
}

static bool held_up(struct mmu_interval_notifier *sub)
{
	unsigned long seq;

	return uhmm_interval_read_begin_timeout(sub, 0, &seq) != 0;
}

static void begin_task(void *sub)
{
	mmu_interval_read_begin(sub);
}

static void a_tag_is_good_until_something_hits(void **state)
{
	struct mmu_interval_notifier tlb;
	unsigned long tag;

	add(&tlb, PG(10), PAGES(2));
	tag = mmu_interval_read_begin(&tlb);
	assert_true(uhmm_interval_tag_valid(&tlb, tag));
	invalidate(PG(0), PG(10));
	invalidate(PG(12), PG(20));
	assert_true(uhmm_interval_tag_valid(&tlb, tag));
	invalidate(PG(11), PG(12));
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	mmu_interval_notifier_remove(&tlb);
}

static void a_tag_of_a_reserved_read_is_good(void **state)
{
	struct mmu_interval_notifier tlb;
	unsigned long tag;

	add(&tlb, PG(10), 1);
	assert_int_equal(uhmm_interval_reserve(&tlb), 0);
	tag = mmu_interval_read_begin(&tlb);
	assert_true(uhmm_interval_tag_valid(&tlb, tag));
	uhmm_interval_unreserve(&tlb);
	assert_true(uhmm_interval_tag_valid(&tlb, tag));
	invalidate(PG(10), PG(11));
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	mmu_interval_notifier_remove(&tlb);
}

static void a_tag_is_bad_once_start_has_returned(void **state)
{
	struct mmu_interval_notifier tlb;
	struct mmu_notifier_range range;
	unsigned long tag;

	add(&tlb, PG(10), 1);
	tag = mmu_interval_read_begin(&tlb);
	begin_range(&range, PG(10), PG(11));
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	end_range(&range);
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	mmu_interval_notifier_remove(&tlb);
}

static void a_new_tag_is_given_out_after_end(void **state)
{
	struct mmu_interval_notifier tlb;
	struct mmu_notifier_range range;
	struct task reader;
	unsigned long tag;

	add(&tlb, PG(10), 1);
	for (int i = 0; i < 3; i++) {
		begin_range(&range, PG(10), PG(11));
		task_start(&reader, begin_task, &tlb);
		assert_true(task_waits(&reader));
		end_range(&range);
		task_join(&reader);
		tag = mmu_interval_read_begin(&tlb);
		assert_true(uhmm_interval_tag_valid(&tlb, tag));
	}
	mmu_interval_notifier_remove(&tlb);
}

static void a_tag_never_comes_back(void **state)
{
	struct mmu_interval_notifier tlb;
	unsigned long tags[200];

	add(&tlb, PG(10), 1);
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		tags[i] = mmu_interval_read_begin(&tlb);
		for (size_t j = 0; j < i; j++)
			assert_false(uhmm_interval_tag_valid(&tlb, tags[j]));
		assert_true(uhmm_interval_tag_valid(&tlb, tags[i]));
		invalidate(PG(10), PG(11));
	}
	mmu_interval_notifier_remove(&tlb);
}

static void a_tag_of_before_does_not_fit_a_new_subscription(void **state)
{
	struct mmu_interval_notifier tlb;
	unsigned long old = 0;

	memset(&tlb, 0, sizeof(tlb));
	for (int i = 0; i < 50; i++) {
		assert_int_equal(uhmm_interval_notifier_insert_tagged(
					 &tlb, mm, PG(10), 1), 0);
		assert_false(uhmm_interval_tag_valid(&tlb, old));
		old = mmu_interval_read_begin(&tlb);
		assert_true(uhmm_interval_tag_valid(&tlb, old));
		mmu_interval_notifier_remove(&tlb);
	}
}

static void inserted_in_an_open_range_it_waits_for_its_end(void **state)
{
	struct mmu_interval_notifier tlb;
	struct mmu_notifier_range range;

	begin_range(&range, PG(10), PG(11));
	add(&tlb, PG(10), 1);
	assert_true(held_up(&tlb));
	end_range(&range);
	assert_false(held_up(&tlb));
	mmu_interval_notifier_remove(&tlb);
}

static void it_is_stamped_among_others_and_counted(void **state)
{
	struct mmu_interval_notifier one, three;
	unsigned long tag1, tag3;
	struct mirror two;

	add(&one, PG(10), 1);
	mirror_add(&two, 2, PG(11), 1);
	add(&three, PG(12), 1);
	tag1 = mmu_interval_read_begin(&one);
	tag3 = mmu_interval_read_begin(&three);
	invalidate(PG(10), PG(13));
	assert_recorded("i2");
	assert_int_equal(stats().hits, 3);
	assert_false(uhmm_interval_tag_valid(&one, tag1));
	assert_false(uhmm_interval_tag_valid(&three, tag3));
	assert_int_equal(one.invalidate_seq, two.cur_seq);
	mmu_interval_notifier_remove(&one);
	mirror_drop(&two);
	mmu_interval_notifier_remove(&three);
}

static void it_refuses_nothing(void **state)
{
	struct mmu_interval_notifier tlb;
	struct mmu_notifier_range range;
	unsigned long tag;

	add(&tlb, PG(10), 1);
	tag = mmu_interval_read_begin(&tlb);
	assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), 0);
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	end_range(&range);
	mmu_interval_notifier_remove(&tlb);
}

static void it_is_stamped_by_release(void **state)
{
	struct mmu_interval_notifier tlb;
	unsigned long tag;

	add(&tlb, PG(10), 1);
	tag = mmu_interval_read_begin(&tlb);
	end_mm();
	assert_false(uhmm_interval_tag_valid(&tlb, tag));
	mmu_interval_notifier_remove(&tlb);
}

static void it_is_inserted_with_the_errors_of_any_other(void **state)
{
	struct mmu_interval_notifier tlb = { 0 };

	assert_int_equal(uhmm_interval_notifier_insert_tagged(&tlb, mm, PG(1),
							      0), -EOVERFLOW);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(
				 &tlb, mm, ULONG_MAX, 2), -EOVERFLOW);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(
				 &tlb, NULL, PG(1), 1), -EINVAL);
	assert_int_equal(uhmm_interval_notifier_insert_tagged(
				 &tlb, mm, ULONG_MAX, 1), 0);
	mmu_interval_notifier_remove(&tlb);
}

/* A software TLB in one thread, changes in another. */
struct use {
	struct mmu_interval_notifier tlb;
	unsigned long tag;
	sem_t checked, go_on;
	bool valid_before, valid_after;
};

static void use_entry(void *arg)
{
	struct use *use = arg;

	use->valid_before = uhmm_interval_tag_valid(&use->tlb, use->tag);
	sem_post(&use->checked);
	while (sem_wait(&use->go_on))
		;
	use->valid_after = uhmm_interval_tag_valid(&use->tlb, use->tag);
}

/*
 * Where the guarantee ends: a use that has passed its check is not waited for;
 * the next check fails.
 */
static void start_does_not_wait_for_a_use_under_way(void **state)
{
	struct mmu_notifier_range range;
	struct task user;
	struct use use;

	sem_init(&use.checked, 0, 0);
	sem_init(&use.go_on, 0, 0);
	add(&use.tlb, PG(10), 1);
	use.tag = mmu_interval_read_begin(&use.tlb);
	task_start(&user, use_entry, &use);
	while (sem_wait(&use.checked))
		;
	begin_range(&range, PG(10), PG(11));
	assert_false(look(&user.done));
	sem_post(&use.go_on);
	task_join(&user);
	end_range(&range);
	assert_true(use.valid_before);
	assert_false(use.valid_after);
	mmu_interval_notifier_remove(&use.tlb);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_tag_is_good_until_something_hits),
		CASE(a_tag_of_a_reserved_read_is_good),
		CASE(a_tag_is_bad_once_start_has_returned),
		CASE(a_new_tag_is_given_out_after_end),
		CASE(a_tag_never_comes_back),
		CASE(a_tag_of_before_does_not_fit_a_new_subscription),
		CASE(inserted_in_an_open_range_it_waits_for_its_end),
		CASE(it_is_stamped_among_others_and_counted),
		CASE(it_refuses_nothing),
		CASE(it_is_stamped_by_release),
		CASE(it_is_inserted_with_the_errors_of_any_other),
		CASE(start_does_not_wait_for_a_use_under_way),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
