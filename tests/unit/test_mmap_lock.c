/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* mmap_lock: readers, writers, and who goes from one to the other. */
#include "util.h"

static void read_lock(void *unused)
{
	mmap_read_lock(mm);
	mmap_read_unlock(mm);
}

static void write_lock(void *unused)
{
	mmap_write_lock(mm);
	mmap_write_unlock(mm);
}

/* A lock that is free is had at once, for writing even. */
static void assert_free(void)
{
	assert_true(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
}

static void readers_share_it(void **state)
{
	mmap_read_lock(mm);
	assert_true(mmap_read_trylock(mm));
	assert_no_wait(read_lock, NULL);
	mmap_read_unlock(mm);
	assert_false(mmap_write_trylock(mm));
	mmap_read_unlock(mm);
	assert_free();
}

static void a_writer_has_it_alone(void **state)
{
	mmap_write_lock(mm);
	assert_false(mmap_read_trylock(mm));
	assert_false(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
	assert_free();
}

static void trylock_has_it_like_any_other(void **state)
{
	assert_true(mmap_write_trylock(mm));
	assert_false(mmap_read_trylock(mm));
	mmap_write_unlock(mm);
	assert_true(mmap_read_trylock(mm));
	assert_false(mmap_write_trylock(mm));
	mmap_read_unlock(mm);
	assert_free();
}

static void killable_has_it_like_any_other(void **state)
{
	assert_int_equal(mmap_read_lock_killable(mm), 0);
	assert_true(mmap_read_trylock(mm));
	mmap_read_unlock(mm);
	assert_false(mmap_write_trylock(mm));
	mmap_read_unlock(mm);
	assert_int_equal(mmap_write_lock_killable(mm), 0);
	assert_false(mmap_read_trylock(mm));
	mmap_write_unlock(mm);
	assert_free();
}

static void a_reader_waits_for_the_writer(void **state)
{
	struct task reader;

	mmap_write_lock(mm);
	task_start(&reader, read_lock, NULL);
	assert_true(task_waits(&reader));
	mmap_write_unlock(mm);
	task_join(&reader);
	assert_free();
}

static void a_writer_waits_for_all_readers(void **state)
{
	struct task writer;

	mmap_read_lock(mm);
	mmap_read_lock(mm);
	task_start(&writer, write_lock, NULL);
	mmap_read_unlock(mm);
	assert_true(task_waits(&writer));
	mmap_read_unlock(mm);
	task_join(&writer);
	assert_free();
}

static void a_writer_waits_for_the_writer(void **state)
{
	struct task writer;

	mmap_write_lock(mm);
	task_start(&writer, write_lock, NULL);
	assert_true(task_waits(&writer));
	mmap_write_unlock(mm);
	task_join(&writer);
	assert_free();
}

/* Else readers that take turns would keep it out for ever. */
static void a_waiting_writer_goes_before_new_readers(void **state)
{
	struct task writer, reader;

	mmap_read_lock(mm);
	task_start(&writer, write_lock, NULL);
	assert_true(task_waits(&writer));
	assert_false(mmap_read_trylock(mm));
	task_start(&reader, read_lock, NULL);
	assert_true(task_waits(&reader));
	mmap_read_unlock(mm);
	task_join(&writer);
	task_join(&reader);
	assert_free();
}

static void downgrade_lets_readers_in_and_no_writer(void **state)
{
	mmap_write_lock(mm);
	mmap_write_downgrade(mm);
	assert_true(mmap_read_trylock(mm));
	assert_false(mmap_write_trylock(mm));
	mmap_read_unlock(mm);
	assert_false(mmap_write_trylock(mm));
	mmap_read_unlock(mm);
	assert_free();
}

static void downgrade_lets_waiting_readers_in(void **state)
{
	struct task reader;

	mmap_write_lock(mm);
	task_start(&reader, read_lock, NULL);
	assert_true(task_waits(&reader));
	mmap_write_downgrade(mm);
	task_join(&reader);
	mmap_read_unlock(mm);
	assert_free();
}

static void downgrade_keeps_a_waiting_writer_out(void **state)
{
	struct task writer;

	mmap_write_lock(mm);
	task_start(&writer, write_lock, NULL);
	assert_true(task_waits(&writer));
	mmap_write_downgrade(mm);
	assert_true(task_waits(&writer));
	mmap_read_unlock(mm);
	task_join(&writer);
	assert_free();
}

static int guarded;

static void add_guarded(void *unused)
{
	for (int i = 0; i < 20000; i++) {
		mmap_write_lock(mm);
		guarded++;
		mmap_write_unlock(mm);
	}
}

static void look_guarded(void *torn)
{
	for (int i = 0; i < 20000; i++) {
		int before, after;

		mmap_read_lock(mm);
		before = guarded;
		sync_yield();
		after = guarded;
		mmap_read_unlock(mm);
		if (before != after)
			set(torn, 1);
	}
}

static void writers_exclude_each_other_and_readers(void **state)
{
	struct task tasks[3];
	int torn = 0;

	guarded = 0;
	task_start(&tasks[0], add_guarded, NULL);
	task_start(&tasks[1], add_guarded, NULL);
	task_start(&tasks[2], look_guarded, &torn);
	for (int i = 0; i < 3; i++)
		task_join(&tasks[i]);
	assert_int_equal(guarded, 40000);
	assert_int_equal(look(&torn), 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(readers_share_it),
		CASE(a_writer_has_it_alone),
		CASE(trylock_has_it_like_any_other),
		CASE(killable_has_it_like_any_other),
		CASE(a_reader_waits_for_the_writer),
		CASE(a_writer_waits_for_all_readers),
		CASE(a_writer_waits_for_the_writer),
		CASE(a_waiting_writer_goes_before_new_readers),
		CASE(downgrade_lets_readers_in_and_no_writer),
		CASE(downgrade_lets_waiting_readers_in),
		CASE(downgrade_keeps_a_waiting_writer_out),
		CASE(writers_exclude_each_other_and_readers),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
