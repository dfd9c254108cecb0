/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The child of fork(2) has one thread, and of the others' doings nothing. It
 * answers 0, or the line where it found something else.
 */
#include "util.h"

#include <sys/wait.h>
#include <unistd.h>

#define NEED(cond)                                                           \
	do {                                                                 \
		if (!(cond))                                                 \
			return __LINE__ % 250 + 1;                           \
	} while (0)

static struct mirror one, two;
static struct listener list;

/* Somebody who has a range open, or is in a callback, until let go. */
static struct gate gate;
static struct mmu_notifier_range their_range;

static void open_range_at_gate(void *unused)
{
	begin_range(&their_range, PG(10), PG(11));
	gate_pass(&gate);
	end_range(&their_range);
}

/* ------------------------------------------------------------ nothing is open */

static int use_everything(void *unused)
{
	struct mmu_notifier_range range;
	struct listener mine;
	unsigned long seq;

	NEED(!mirror_held_up(&one));
	seq = mirror_begin(&one);
	NEED(!mirror_retry(&one, seq));
	mirror_init(&two, 2);
	NEED(!mmu_interval_notifier_insert(&two.sub, mm, PG(10), 1,
					   &mirror_ops));
	NEED(!mirror_held_up(&two));
	seq = mirror_begin(&one);
	begin_range(&range, PG(10), PG(11));
	NEED(mirror_held_up(&one) && mirror_held_up(&two));
	NEED(mirror_retry(&one, seq));
	end_range(&range);
	NEED(!mirror_held_up(&one) && !mirror_held_up(&two));
	NEED(!begin_nonblock(&range, PG(10), PG(11)));
	end_range(&range);
	mirror_drop(&two);
	listener_init(&mine, 3, &listener_ops);
	NEED(!mmu_notifier_register(&mine.mn, mm));
	mmu_notifier_unregister(&mine.mn, mm);
	mmu_notifier_synchronize();
	mirror_drop(&one);
	NEED(stats().subscriptions == 0);
	mmput(mm);
	return 0;
}

static void the_child_has_nothing_open(void **state)
{
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	task_start(&task, open_range_at_gate, NULL);
	gate_await(&gate);
	assert_int_equal(in_child(use_everything, NULL), 0);
	/* The parent has it still. */
	assert_true(mirror_held_up(&one));
	gate_open(&gate);
	task_join(&task);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

static void not_even_what_the_forking_thread_had(void **state)
{
	struct mmu_notifier_range ranges[6];

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < 6; i++)
		begin_range(&ranges[i], PG(10), PG(11));
	assert_int_equal(in_child(use_everything, NULL), 0);
	for (int i = 0; i < 6; i++) {
		assert_true(mirror_held_up(&one));
		end_range(&ranges[i]);
	}
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

static void nor_a_callback_that_was_running(void **state)
{
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	one.hook = mirror_at_gate;
	one.data = &gate;
	task_start(&task, invalidate_task, NULL);
	gate_await(&gate);
	one.hook = NULL;
	assert_int_equal(in_child(use_everything, NULL), 0);
	gate_open(&gate);
	task_join(&task);
	mirror_drop(&one);
}

static void pass_at_start(struct listener *l, char what)
{
	if (what == 's')
		gate_pass(&gate);
}

static int unregister_and_use(void *unused)
{
	NEED(!uhmm_notifier_unregister_timeout(&list.mn, mm, 0));
	return use_everything(NULL);
}

static void nor_a_list_that_was_walked(void **state)
{
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	listener_add(&list, 4);
	list.hook = pass_at_start;
	task_start(&task, invalidate_task, NULL);
	gate_await(&gate);
	list.hook = NULL;
	assert_int_equal(in_child(unregister_and_use, NULL), 0);
	gate_open(&gate);
	task_join(&task);
	listener_drop(&list);
	mirror_drop(&one);
}

static void hold_reservation(void *unused)
{
	uhmm_interval_reserve(&one.sub);
	gate_pass(&gate);
	uhmm_interval_unreserve(&one.sub);
}

/* Nobody is left who could give it up: the limit, at most, then it is gone. */
static void a_reservation_of_another_thread_is_lost(void **state)
{
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	task_start(&task, hold_reservation, NULL);
	gate_await(&gate);
	assert_int_equal(in_child(use_everything, NULL), 0);
	gate_open(&gate);
	task_join(&task);
	mirror_drop(&one);
}

/* ------------------------------------------------------------- end in the child */

static int end_theirs(void *mine)
{
	struct mmu_notifier_range range;

	end_range(&their_range);
	if (mine)
		end_range(mine);
	begin_range(&range, PG(10), PG(11));
	end_range(&their_range);
	if (mine)
		end_range(mine);
	NEED(mirror_held_up(&one));
	end_range(&range);
	return use_everything(NULL);
}

static void ending_it_in_the_child_does_nothing(void **state)
{
	struct mmu_notifier_range mine;
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	begin_range(&mine, PG(10), PG(11));
	task_start(&task, open_range_at_gate, NULL);
	gate_await(&gate);
	assert_int_equal(in_child(end_theirs, &mine), 0);
	end_range(&mine);
	assert_true(mirror_held_up(&one));
	gate_open(&gate);
	task_join(&task);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

/* --------------------------------------------------------------------- locks */

static void write_lock_at_gate(void *unused)
{
	mmap_write_lock(mm);
	gate_pass(&gate);
	mmap_write_unlock(mm);
}

static void read_lock_at_gate(void *unused)
{
	mmap_read_lock(mm);
	gate_pass(&gate);
	mmap_read_unlock(mm);
}

static int lock_and_use(void *unused)
{
	NEED(mmap_write_trylock(mm));
	NEED(!mmap_read_trylock(mm));
	mmap_write_downgrade(mm);
	NEED(mmap_read_trylock(mm));
	mmap_read_unlock(mm);
	mmap_read_unlock(mm);
	return use_everything(NULL);
}

static void locks_of_other_threads_are_free(void **state)
{
	void (*const fns[])(void *) = { write_lock_at_gate, read_lock_at_gate };
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	for (size_t i = 0; i < ARRAY_SIZE(fns); i++) {
		task_start(&task, fns[i], NULL);
		gate_await(&gate);
		assert_int_equal(in_child(lock_and_use, NULL), 0);
		gate_open(&gate);
		task_join(&task);
	}
	mirror_drop(&one);
}

static int unlock_read_and_lock(void *unused)
{
	mmap_read_unlock(mm);
	return lock_and_use(NULL);
}

static int unlock_write_and_lock(void *unused)
{
	mmap_write_unlock(mm);
	return lock_and_use(NULL);
}

/* What it gives back, as whoever forks with a lock held does on both sides. */
static void locks_of_the_forking_thread_can_be_given_back(void **state)
{
	mirror_add(&one, 1, PG(10), 1);
	mmap_write_lock(mm);
	assert_int_equal(in_child(unlock_write_and_lock, NULL), 0);
	mmap_write_downgrade(mm);
	assert_int_equal(in_child(unlock_read_and_lock, NULL), 0);
	mmap_read_unlock(mm);
	mirror_drop(&one);
}

/* ----------------------------------------------------------------- get and put */

static struct mmu_notifier slow_one;

static struct mmu_notifier *slow_alloc(struct mm_struct *it)
{
	memset(&slow_one, 0, sizeof(slow_one));
	return &slow_one;
}

static void slow_free(struct mmu_notifier *mn)
{
	gate_pass(&gate);
}

static const struct mmu_notifier_ops slow_ops = {
	.alloc_notifier = slow_alloc,
	.free_notifier = slow_free,
};

static void put_task(void *unused)
{
	mmu_notifier_put(mmu_notifier_get(&slow_ops, mm));
}

static int synchronize_and_use(void *unused)
{
	NEED(!uhmm_notifier_synchronize_timeout(0));
	return use_everything(NULL);
}

static void the_child_does_not_wait_for_a_free_of_another_thread(void **state)
{
	struct task task;

	gate_init(&gate);
	mirror_add(&one, 1, PG(10), 1);
	task_start(&task, put_task, NULL);
	gate_await(&gate);
	assert_int_equal(uhmm_notifier_synchronize_timeout(0), -ETIMEDOUT);
	assert_int_equal(in_child(synchronize_and_use, NULL), 0);
	gate_open(&gate);
	task_join(&task);
	mirror_drop(&one);
}

static pid_t forked;

static void forking_free(struct mmu_notifier *mn)
{
	forked = fork();
}

static void free_notifier_may_fork(void **state)
{
	static const struct mmu_notifier_ops ops = {
		.alloc_notifier = slow_alloc,
		.free_notifier = forking_free,
	};
	int status;

	mmu_notifier_put(mmu_notifier_get(&ops, mm));
	if (!forked)
		_exit(uhmm_notifier_synchronize_timeout(0) != 0);
	assert_int_equal(uhmm_notifier_synchronize_timeout(0), 0);
	assert_int_equal(waitpid(forked, &status, 0), forked);
	assert_int_equal(status, 0);
}

/* ------------------------------------------------------- in the middle of it all */

#define FORKS 50

/* Its malloc() has locks that a fork() beside another thread leaves locked. */
#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER true
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER false
#endif

static int stop;

static void insert_remove_task(void *arg)
{
	static struct mirror many[2][32];
	struct mirror *mine = many[*(int *)arg];

	while (!look(&stop)) {
		for (int i = 0; i < 32; i++) {
			mirror_init(&mine[i], 100);
			if (mmu_interval_notifier_insert(&mine[i].sub, mm,
							 PG(100 + i), 1,
							 &mirror_ops))
				abort();
		}
		for (int i = 0; i < 32; i++)
			mirror_drop(&mine[i]);
	}
}

static void invalidate_until_stopped(void *unused)
{
	while (!look(&stop))
		invalidate(PG(10), PG(11));
}

/* The child has what others had inserted, and cannot remove it all. */
static int use_most(void *unused)
{
	struct mmu_notifier_range range;

	/* Whose lock it is, is the program's affair. */
	pthread_mutex_init(&one.lock, NULL);
	NEED(!mirror_held_up(&one));
	begin_range(&range, PG(10), PG(11));
	NEED(mirror_held_up(&one));
	end_range(&range);
	for (int i = 0; i < 100; i++) {
		mirror_init(&two, 2);
		NEED(!mmu_interval_notifier_insert(&two.sub, mm, PG(i + 80), 1,
						   &mirror_ops));
		NEED(!mirror_held_up(&two));
		mirror_drop(&two);
	}
	listener_init(&list, 3, &listener_ops);
	NEED(!mmu_notifier_register(&list.mn, mm));
	mmu_notifier_unregister(&list.mn, mm);
	NEED(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
	return 0;
}

static void forks_in_the_middle_of_inserts_and_removes(void **state)
{
	int numbers[2] = { 0, 1 };
	struct task tasks[3];

	if (ADDRESS_SANITIZER) {
		print_message("malloc() of ASan does not come through this\n");
		skip();
	}
	set(&stop, 0);
	mirror_add(&one, 1, PG(10), 1);
	one.quiet = true;
	task_start(&tasks[0], insert_remove_task, &numbers[0]);
	task_start(&tasks[1], insert_remove_task, &numbers[1]);
	task_start(&tasks[2], invalidate_until_stopped, NULL);
	for (int i = 0; i < FORKS; i++) {
		int status = in_child(use_most, NULL);

		if (status)
			fail_msg("child %d answered %d", i, status);
	}
	set(&stop, 1);
	for (int i = 0; i < 3; i++)
		task_join(&tasks[i]);
	invalidate(PG(10), PG(11));
	mirror_drop(&one);
}

static int fork_again(void *depth)
{
	int left = *(int *)depth - 1;
	struct mmu_notifier_range range;

	NEED(!mirror_held_up(&one));
	if (!left)
		return use_everything(NULL);
	begin_range(&range, PG(10), PG(11));
	NEED(in_child(fork_again, &left) == 0);
	NEED(mirror_held_up(&one));
	end_range(&range);
	return use_everything(NULL);
}

static void the_child_may_fork_too(void **state)
{
	struct mmu_notifier_range range;
	int depth = 4;

	mirror_add(&one, 1, PG(10), 1);
	begin_range(&range, PG(10), PG(11));
	assert_int_equal(in_child(fork_again, &depth), 0);
	assert_true(mirror_held_up(&one));
	end_range(&range);
	mirror_drop(&one);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(the_child_has_nothing_open),
		CASE(not_even_what_the_forking_thread_had),
		CASE(nor_a_callback_that_was_running),
		CASE(nor_a_list_that_was_walked),
		CASE(a_reservation_of_another_thread_is_lost),
		CASE(ending_it_in_the_child_does_nothing),
		CASE(locks_of_other_threads_are_free),
		CASE(locks_of_the_forking_thread_can_be_given_back),
		CASE(the_child_does_not_wait_for_a_free_of_another_thread),
		CASE(free_notifier_may_fork),
		CASE(forks_in_the_middle_of_inserts_and_removes),
		CASE(the_child_may_fork_too),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
