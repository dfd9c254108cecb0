/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What callers need stays where it is: as long as they do, and no longer. */
#include "util.h"

#include <sys/wait.h>
#include <unistd.h>

/* Of nobody's memory: only numbers are looked at. */
#define FAR(n) (0x100000000000UL + PAGES(1000 * (n)))
#define AT(n) ((const void *)FAR(n))

static bool is_kept(unsigned long addr)
{
	struct sync_clear clear = { 0 };
	unsigned long end;

	return sync_next_kept(&clear, addr, addr + PAGES(1), &end) == addr;
}

static unsigned long here(void)
{
	return (uintptr_t)__builtin_frame_address(0) & ~(PAGES(1) - 1);
}

static void keep_here(bool keep)
{
	sync_keep_caller(__builtin_frame_address(0), keep);
}

static void keep_also(unsigned long n, bool keep)
{
	sync_keep_of_caller(__builtin_frame_address(0), AT(n), PAGES(2), keep);
}

static void a_caller_keeps_its_stack_and_what_it_names(void **state)
{
	assert_false(is_kept(here()));
	keep_here(true);
	keep_also(1, true);
	assert_true(is_kept(here()));
	assert_true(is_kept((uintptr_t)&errno & ~(PAGES(1) - 1)));
	assert_true(is_kept(FAR(1)) && is_kept(FAR(1) + PAGES(1)));
	assert_false(is_kept(FAR(1) + PAGES(2)));
	keep_also(1, false);
	keep_here(false);
	assert_false(is_kept(here()));
	assert_false(is_kept(FAR(1)));
}

/* What is on its stack is there already. */
static void what_is_on_its_stack_is_no_more(void **state)
{
	char local[64] = "";

	sync_keep_of_caller(__builtin_frame_address(0), local, sizeof(local), true);
	assert_false(is_kept(here()));
	sync_keep_of_caller(__builtin_frame_address(0), local, sizeof(local), false);
}

#define MANY 40

static void more_than_it_has_room_for_are_kept(void **state)
{
	for (int round = 0; round < 3; round++) {
		keep_here(true);
		for (unsigned long n = 0; n < MANY; n++)
			keep_also(n, true);
		for (unsigned long n = 0; n < MANY; n++)
			assert_true(is_kept(FAR(n)));
		for (unsigned long n = 0; n < MANY; n++) {
			keep_also(round % 2 ? MANY - 1 - n : n, false);
			assert_false(is_kept(FAR(round % 2 ? MANY - 1 - n : n)));
		}
		assert_true(is_kept(here()));
		keep_here(false);
		assert_false(is_kept(here()));
	}
}

/* Twice: it goes with the last. */
static void equal_ones_are_counted(void **state)
{
	keep_also(1, true);
	keep_also(1, true);
	keep_also(1, false);
	assert_true(is_kept(FAR(1)));
	keep_also(1, false);
	assert_false(is_kept(FAR(1)));
}

#define THREADS 100

struct keeper {
	struct task task;
	struct gate gate;
	unsigned long n;
};

static void keeps(void *arg)
{
	struct keeper *k = arg;

	keep_also(k->n, true);
	gate_pass(&k->gate);
	keep_also(k->n, false);
}

/* More at once than have a place, and again, in those of who has ended. */
static void each_thread_has_its_own(void **state)
{
	static struct keeper keeper[THREADS];

	for (int round = 0; round < 3; round++) {
		for (unsigned long i = 0; i < THREADS; i++) {
			keeper[i].n = i;
			gate_init(&keeper[i].gate);
			task_start(&keeper[i].task, keeps, &keeper[i]);
			gate_await(&keeper[i].gate);
		}
		for (unsigned long i = 0; i < THREADS; i++) {
			assert_true(is_kept(FAR(i)));
			gate_open(&keeper[i].gate);
			task_join(&keeper[i].task);
			assert_false(is_kept(FAR(i)));
		}
	}
}

static void keeps_on(void *unused)
{
	keep_also(5, true);
}

/* One that ended in the middle of it: until another has its place. */
static void what_is_nobodys_goes_with_its_place(void **state)
{
	struct keeper next = { .n = 6 };
	struct task task;

	task_start(&task, keeps_on, NULL);
	task_join(&task);
	thread_wait_gone(task.tid);
	assert_true(is_kept(FAR(5)));
	gate_init(&next.gate);
	task_start(&next.task, keeps, &next);
	gate_await(&next.gate);
	assert_false(is_kept(FAR(5)));
	gate_open(&next.gate);
	task_join(&next.task);
}

/* With another number, and others may have the place that was its parent's. */
static int in_the_child(void *unused)
{
	struct keeper other = { .n = 3 };
	bool ok = true;

	for (int i = 0; i < 3; i++) {
		keep_here(true);
		keep_also(2, true);
		ok &= is_kept(here()) && is_kept(FAR(2));
		keep_also(2, false);
		keep_here(false);
		ok &= !is_kept(here()) && !is_kept(FAR(2));
	}
	keep_also(2, true);
	gate_init(&other.gate);
	task_start(&other.task, keeps, &other);
	gate_await(&other.gate);
	ok &= is_kept(FAR(2)) && is_kept(FAR(3));
	gate_open(&other.gate);
	task_join(&other.task);
	ok &= is_kept(FAR(2)) && !is_kept(FAR(3));
	keep_also(2, false);
	return ok ? 0 : 1;
}

static void a_child_keeps_what_it_needs(void **state)
{
	keep_here(true);
	keep_here(false);
	assert_int_equal(in_child(in_the_child, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_caller_keeps_its_stack_and_what_it_names),
		CASE(what_is_on_its_stack_is_no_more),
		CASE(more_than_it_has_room_for_are_kept),
		CASE(equal_ones_are_counted),
		CASE(each_thread_has_its_own),
		CASE(what_is_nobodys_goes_with_its_place),
		CASE(a_child_keeps_what_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
