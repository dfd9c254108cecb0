/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Threads that come and go, with what they have of the library. */
#include "util.h"

/* Generous: what is bounded does not grow with the number of threads. */
#define BOUND 30
#define MANY 1000

static void run_alone(void (*fn)(void *arg), void *arg)
{
	struct task task;

	task_start(&task, fn, arg);
	task_join(&task);
}

static void invalidate_nonblock_task(void *unused)
{
	struct mmu_notifier_range range;

	if (begin_nonblock(&range, PG(10), PG(11)))
		abort();
	end_range(&range);
}

static void places_are_handed_on(void **state)
{
	for (int i = 0; i < MANY; i++)
		run_alone(invalidate_task, NULL);
	assert_int_equal(stats().starts, MANY);
	assert_in_range(stats().thread_blocks, 1, BOUND);
}

/* They cannot say that they end, and are found dead instead. */
static void places_of_threads_that_never_sleep_are_handed_on(void **state)
{
	for (int i = 0; i < MANY; i++)
		run_alone(invalidate_nonblock_task, NULL);
	assert_int_equal(stats().starts, MANY);
	assert_in_range(stats().thread_blocks, 1, BOUND);
}

static void read_task(void *arg)
{
	struct mirror *m = arg;

	mirror_retry(m, mirror_begin(m) ^ 2);
}

static void places_of_readers_are_handed_on(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < MANY; i++)
		run_alone(read_task, &one);
	assert_int_equal(stats().retries, MANY);
	assert_in_range(stats().thread_blocks, 1, BOUND);
	mirror_drop(&one);
}

static void a_threads_first_call_may_be_nonblockable(void **state)
{
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	run_alone(invalidate_nonblock_task, NULL);
	assert_int_equal(one.called, 1);
	assert_false(mmu_notifier_range_blockable(&one.range));
	mirror_drop(&one);
}

/* ------------------------------------------------------------ after the end
 * Destructors of thread-specific data run after the library's own too, and in
 * rounds: what is set anew in one is called in the next.
 */
static pthread_key_t late_key;
static int late_rounds, late_calls;

static void late(void *arg)
{
	invalidate(PG(10), PG(11));
	invalidate_nonblock_task(NULL);
	if (count(&late_calls) % late_rounds)
		pthread_setspecific(late_key, arg);
}

static void be_late(void *unused)
{
	invalidate(PG(10), PG(11));
	pthread_setspecific(late_key, &late_key);
}

static void check_late(int rounds)
{
	struct mirror one;
	unsigned long starts = stats().starts;

	/* Made after the library's, so called after it. */
	run_alone(invalidate_task, NULL);
	assert_int_equal(pthread_key_create(&late_key, late), 0);
	mirror_add(&one, 1, PG(10), 1);
	late_rounds = rounds;
	late_calls = 0;
	for (int i = 0; i < 100; i++) {
		run_alone(be_late, NULL);
		assert_recorded(rounds == 1 ? "i1 i1 i1" :
				"i1 i1 i1 i1 i1 i1 i1 i1 i1");
	}
	assert_int_equal(stats().starts, starts + 1 + 100 +
			 200 * (unsigned long)rounds);
	assert_in_range(stats().thread_blocks, 1, BOUND);
	mirror_drop(&one);
	pthread_key_delete(late_key);
}

static void a_destructor_may_invalidate(void **state)
{
	check_late(1);
}

/* There with ThreadSanitizer only, which ends its threads in that round. */
void __tsan_init(void) __attribute__((weak));

/* In the last round nobody asks any more. */
static void a_destructor_of_the_last_round_may_invalidate(void **state)
{
	if (__tsan_init) {
		print_message("ThreadSanitizer lives shorter\n");
		skip();
	}
	check_late(4);
}

/* --------------------------------------------------------- what they leave open */

static void begin_and_leave(void *range)
{
	begin_range(range, PG(10), PG(11));
}

static void a_range_outlives_its_thread(void **state)
{
	struct mmu_notifier_range range;
	struct mirror one;
	struct task reader;

	mirror_add(&one, 1, PG(10), 1);
	run_alone(begin_and_leave, &range);
	assert_true(mirror_held_up(&one));
	/* Whoever has its place now does not disturb it. */
	for (int i = 0; i < 20; i++)
		run_alone(invalidate_task, NULL);
	invalidate(PG(10), PG(11));
	assert_true(mirror_held_up(&one));
	task_start(&reader, mirror_begin_task, &one);
	assert_true(task_waits(&reader));
	end_range(&range);
	task_join(&reader);
	assert_false(mirror_held_up(&one));
	mirror_drop(&one);
}

#define LEFT 100

static void many_ranges_outlive_their_threads(void **state)
{
	static struct mmu_notifier_range ranges[LEFT];
	struct mirror one;

	mirror_add(&one, 1, PG(10), 1);
	for (int i = 0; i < LEFT; i++)
		run_alone(begin_and_leave, &ranges[i]);
	for (int i = 0; i < LEFT; i++) {
		assert_true(mirror_held_up(&one));
		end_range(&ranges[(i * 37 + 5) % LEFT]);
	}
	assert_false(mirror_held_up(&one));
	assert_int_equal(one.called, LEFT);
	mirror_drop(&one);
}

/* A thread that invalidates beside a range left by another is not nested. */
static void what_others_left_open_is_not_ones_own(void **state)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};
	struct mmu_notifier_range range;
	struct mirror one;
	struct task task;

	remake_mm(&options);
	mirror_add(&one, 1, PG(10), 1);
	run_alone(begin_and_leave, &range);
	assert_int_equal(uhmm_interval_reserve(&one.sub), 0);
	task_start(&task, invalidate_task, NULL);
	assert_true(task_waits(&task));
	uhmm_interval_unreserve(&one.sub);
	task_join(&task);
	end_range(&range);
	mirror_drop(&one);
}

/* --------------------------------------------------------------- all at once */

#define CROWD 64
#define TURNS 300

struct crowd {
	pthread_barrier_t barrier;
	struct mirror mirrors[CROWD];
	int next;
	int wrong;
};

static void crowd_task(void *arg)
{
	struct crowd *c = arg;
	int i = count(&c->next) - 1;
	struct mirror *mine = &c->mirrors[i], *other;
	struct mmu_notifier_range range, inner;
	unsigned long seq;

	other = &c->mirrors[(i + 1) % CROWD];
	pthread_barrier_wait(&c->barrier);
	for (int turn = 0; turn < TURNS; turn++) {
		seq = mirror_begin(mine);
		begin_range(&range, PG(i), PG(i + 1));
		if (!mirror_retry(mine, seq))
			count(&c->wrong);
		begin_range(&inner, PG(i), PG(i + 1));
		end_range(&range);
		if (!mirror_held_up(mine))
			count(&c->wrong);
		end_range(&inner);
		mirror_retry(other, mirror_begin(other));
	}
}

static void a_crowd_may_do_it_all_at_once(void **state)
{
	static struct task tasks[CROWD];
	static struct crowd c;

	memset(&c, 0, sizeof(c));
	pthread_barrier_init(&c.barrier, NULL, CROWD);
	for (int i = 0; i < CROWD; i++) {
		mirror_add(&c.mirrors[i], i, PG(i), 1);
		c.mirrors[i].quiet = true;
	}
	for (int i = 0; i < CROWD; i++)
		task_start(&tasks[i], crowd_task, &c);
	for (int i = 0; i < CROWD; i++)
		task_join(&tasks[i]);
	assert_int_equal(look(&c.wrong), 0);
	for (int i = 0; i < CROWD; i++) {
		assert_int_equal(c.mirrors[i].called, 2 * TURNS);
		assert_false(mirror_held_up(&c.mirrors[i]));
		mirror_drop(&c.mirrors[i]);
	}
	assert_int_equal(stats().starts, 2 * CROWD * TURNS);
	assert_int_equal(stats().hits, 2 * CROWD * TURNS);
	assert_in_range(stats().thread_blocks, 1, 2 * CROWD);
	pthread_barrier_destroy(&c.barrier);
}

static void nothing(void *unused)
{
}

/* Also for the kernel, which counts it a moment longer than pthread_join() waits. */
static void who_is_joined_is_gone(void **state)
{
	struct sync_thread thread;

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(sync_thread_start(&thread, nothing, NULL), 0);
		sync_thread_join(&thread);
		assert_false(sync_thread_alive(thread.tid));
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(places_are_handed_on),
		CASE(who_is_joined_is_gone),
		CASE(places_of_threads_that_never_sleep_are_handed_on),
		CASE(places_of_readers_are_handed_on),
		CASE(a_threads_first_call_may_be_nonblockable),
		CASE(a_destructor_may_invalidate),
		CASE(a_destructor_of_the_last_round_may_invalidate),
		CASE(a_range_outlives_its_thread),
		CASE(many_ranges_outlive_their_threads),
		CASE(what_others_left_open_is_not_ones_own),
		CASE(a_crowd_may_do_it_all_at_once),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
