/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Among so many subscriptions that invalidations ask the filter of the index first,
 * once they have found nothing: all is as among few.
 */
#include "util.h"

#include "core/internal.h"
#include "lib/index_filter.h"

#define MANY (FILTER_FROM + 64)

static struct mirror many[MANY];

/* Every second page. */
static void fill(void)
{
	for (int i = 0; i < (int)MANY; i++) {
		mirror_add(&many[i], i, PG(2 * i), PAGES(1));
		many[i].quiet = true;
	}
	assert_true(index_filtered(&mm->index));
	invalidate(PG(1), PG(2));
	assert_true(block_recent.block->finger.version == FINGER_NOTHING);
}

static void drop(void)
{
	for (int i = 0; i < (int)MANY; i++)
		mirror_drop(&many[i]);
}

static void invalidate_page(int page, int called)
{
	int before = many[page / 2].called;

	invalidate(PG(page), PG(page + 1));
	assert_int_equal(many[page / 2].called - before, called);
}

/* Whatever the one before has found, and nobody else is. */
static void who_is_hit_is_called(void **state)
{
	fill();
	for (int i = 0; i < (int)MANY; i += 97) {
		invalidate_page(2 * i + 1, 0);
		invalidate_page(2 * i, 1);
		invalidate_page(2 * i, 1);
		invalidate_page(2 * i + 1, 0);
		invalidate_page(2 * i + 1, 0);
		invalidate_page(2 * i, 1);
	}
	for (int i = 0; i < (int)MANY; i++)
		assert_int_equal(many[i].called, i % 97 ? 0 : 3);
	drop();
}

static void ranges_of_any_length_find_all(void **state)
{
	fill();
	for (int n = 1; n < 60; n++) {
		invalidate(PG(1), PG(2));
		invalidate(PG(1), PG(1 + n));
		for (int i = 0; i < 40; i++) {
			assert_int_equal(many[i].called, i && 2 * i < 1 + n);
			many[i].called = 0;
		}
	}
	drop();
}

/* Nobody is hit, and who hears of all hears of it. */
static void lists_hear_of_all(void **state)
{
	struct listener one;

	fill();
	listener_add(&one, 1);
	for (int i = 0; i < 3; i++) {
		invalidate(PG(1), PG(2));
		assert_recorded("s1 e1");
	}
	listener_drop(&one);
	drop();
}

/* One that comes while nothing was there waits all the same. */
static void who_comes_meanwhile_waits(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;

	fill();
	begin_range(&range, PG(1), PG(2));
	mirror_add(&one, 1, PG(1), PAGES(1));
	assert_true(mirror_held_up(&one));
	end_range(&range);
	assert_false(mirror_held_up(&one));
	invalidate(PG(1), PG(2));
	assert_recorded("i1");
	mirror_drop(&one);
	invalidate(PG(1), PG(2));
	assert_recorded("");
	drop();
}

/* So many that another filter takes the place of the first, and some are gone. */
#define MORE (6 * MANY)

static struct mmu_interval_notifier more[MORE];

static bool just_note(struct mmu_interval_notifier *sub,
		      const struct mmu_notifier_range *range,
		      unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	return true;
}

static void come_and_go(void *arg)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = just_note,
	};
	int *done = arg;

	for (size_t i = 0; i < MORE; i++) {
		mmu_interval_notifier_insert(&more[i], mm, PG(2 * (MANY + i)),
					     PAGES(1 + i % 20), &ops);
		if (i % 3 == 2)
			mmu_interval_notifier_remove(&more[i - 1]);
	}
	set(done, 1);
}

/* Each that was there all the time. */
static void who_is_hit_is_called_meanwhile(void **state)
{
	struct index_filter *first;
	struct task task;
	int done = 0, i = 0;

	fill();
	first = mm->index.filter;
	task_start(&task, come_and_go, &done);
	do {
		invalidate_page(2 * i + 1, 0);
		invalidate_page(2 * i, 1);
		i = (i + 97) % (int)MANY;
	} while (!look(&done));
	task_join(&task);
	assert_ptr_not_equal(mm->index.filter, first);
	for (size_t k = 0; k < MORE; k++)
		mmu_interval_notifier_remove(&more[k]);
	drop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(who_is_hit_is_called),
		CASE(who_is_hit_is_called_meanwhile),
		CASE(ranges_of_any_length_find_all),
		CASE(lists_hear_of_all),
		CASE(who_comes_meanwhile_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
