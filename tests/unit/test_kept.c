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

/* The frame of a caller of these. */
#define FRAME __builtin_frame_address(0)
#define PART(n) (&(struct sync_part){ AT(n), PAGES(2) })

/* What the thread has, its stack, and one that it names. */
static __attribute__((noinline)) unsigned long keep_part(unsigned long n)
{
	return sync_keep_caller(FRAME, PART(n), 1);
}

static __attribute__((noinline)) void unkeep_part(unsigned long kept, unsigned long n)
{
	sync_unkeep_caller(kept, FRAME, PART(n), 1);
}

static void a_caller_keeps_its_stack_and_what_it_names(void **state)
{
	unsigned long kept;

	assert_false(is_kept(here()));
	kept = keep_part(1);
	assert_true(is_kept(here()));
	assert_true(is_kept((uintptr_t)&errno & ~(PAGES(1) - 1)));
	assert_true(is_kept(FAR(1)) && is_kept(FAR(1) + PAGES(1)));
	assert_false(is_kept(FAR(1) + PAGES(2)));
	unkeep_part(kept, 1);
	assert_false(is_kept(here()));
	assert_false(is_kept(FAR(1)));
}

#define MANY 40

/* One inside of another, as in handlers of signals. */
static void more_than_it_has_room_for_are_kept(void **state)
{
	unsigned long kept[MANY];

	for (int round = 0; round < 3; round++) {
		for (unsigned long n = 0; n < MANY; n++)
			kept[n] = keep_part(n);
		for (unsigned long n = MANY; n--;) {
			for (unsigned long i = 0; i <= n; i++)
				assert_true(is_kept(FAR(i)));
			assert_true(is_kept(here()));
			unkeep_part(kept[n], n);
			assert_false(is_kept(FAR(n)));
		}
		assert_false(is_kept(here()));
	}
}

/* Twice: it goes with the last. */
static void equal_ones_are_counted(void **state)
{
	unsigned long first = keep_part(1), second = keep_part(1);

	unkeep_part(second, 1);
	assert_true(is_kept(FAR(1)));
	unkeep_part(first, 1);
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
	unsigned long kept = keep_part(k->n);

	gate_pass(&k->gate);
	unkeep_part(kept, k->n);
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
	(void)keep_part(5);
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
	unsigned long kept;
	bool ok = true;

	for (int i = 0; i < 3; i++) {
		kept = keep_part(2);
		ok &= is_kept(here()) && is_kept(FAR(2));
		unkeep_part(kept, 2);
		ok &= !is_kept(here()) && !is_kept(FAR(2));
	}
	kept = keep_part(2);
	gate_init(&other.gate);
	task_start(&other.task, keeps, &other);
	gate_await(&other.gate);
	ok &= is_kept(FAR(2)) && is_kept(FAR(3));
	gate_open(&other.gate);
	task_join(&other.task);
	ok &= is_kept(FAR(2)) && !is_kept(FAR(3));
	unkeep_part(kept, 2);
	return ok ? 0 : 1;
}

static void a_child_keeps_what_it_needs(void **state)
{
	unkeep_part(keep_part(1), 1);
	assert_int_equal(in_child(in_the_child, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_caller_keeps_its_stack_and_what_it_names),
		CASE(more_than_it_has_room_for_are_kept),
		CASE(equal_ones_are_counted),
		CASE(each_thread_has_its_own),
		CASE(what_is_nobodys_goes_with_its_place),
		CASE(a_child_keeps_what_it_needs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
