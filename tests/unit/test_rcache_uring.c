/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The tags of io_uring's device, with a kernel that stands in for the real one: it
 * refuses when it is told to, and says what it lets go of when the test does. Real
 * rings: tests/live/test_rcache_uring_tags.c.
 *
 * Linked with sync_alloc_pages wrapped.
 */
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/uio.h>
#include <time.h>

#include <uhmm/rcache_uring.h>

#include "util.h"

enum { SLOTS = 64, RING = 7, MANY = 2000 };

static struct uhmm_rcache_uring *buffers;
static const struct uhmm_rcache_ops *ops;

/* What the kernel has in its table, and what it has let go of but not said. */
static struct {
	uint64_t tag[SLOTS];
	unsigned long start[SLOTS];
	uint64_t gone[MANY];
	unsigned int ngone;
	int refuse;			/* so many calls, with */
	int with;
	bool at_once;			/* it says so in the call */
} kernel;

void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);
static bool no_memory;
static int forking, allocating;	/* memory is waited for, with the device's lock */
static __thread bool slow;

static void wait_for_fork(void)
{
	set(&allocating, 1);
	while (!look(&forking))
		sched_yield();
	nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
}

void *__wrap_sync_alloc_pages(size_t size)
{
	if (slow)
		wait_for_fork();
	return no_memory ? NULL : __real_sync_alloc_pages(size);
}

static void lets_go(unsigned int slot)
{
	if (kernel.tag[slot] && kernel.at_once)
		assert_true(uhmm_rcache_uring_tag(buffers, kernel.tag[slot]));
	else if (kernel.tag[slot])
		kernel.gone[kernel.ngone++] = kernel.tag[slot];
	kernel.tag[slot] = 0;
	kernel.start[slot] = 0;
}

static int call(void *arg, int fd, unsigned int opcode, void *what,
		unsigned int n)
{
	const struct io_uring_rsrc_update2 *update = what;
	const struct iovec *buffer;

	assert_ptr_equal(arg, &kernel);
	assert_int_equal(fd, RING);
	if (kernel.refuse) {
		kernel.refuse--;
		return kernel.with;
	}
	if (opcode == IORING_REGISTER_BUFFERS2)
		return 0;
	assert_int_equal(opcode, IORING_REGISTER_BUFFERS_UPDATE);
	assert_int_equal(update->nr, 1);
	assert_true(update->offset < SLOTS);
	buffer = (const struct iovec *)(uintptr_t)update->data;
	lets_go(update->offset);
	kernel.start[update->offset] = (unsigned long)buffer->iov_base;
	if (update->tags)
		kernel.tag[update->offset] =
			*(const uint64_t *)(uintptr_t)update->tags;
	return 1;
}

static struct uhmm_rcache_uring_options with_call(uint64_t tags)
{
	return (struct uhmm_rcache_uring_options){
		.size = sizeof(struct uhmm_rcache_uring_options),
		.tags = tags, .call = call, .call_arg = &kernel,
	};
}

static void make(void)
{
	struct uhmm_rcache_uring_options options = with_call(0);

	memset(&kernel, 0, sizeof(kernel));
	ops = uhmm_rcache_uring_ops();
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &buffers), 0);
}

static void unmake(void)
{
	uhmm_rcache_uring_destroy(buffers);
}

static struct uhmm_rcache_uring_info info(void)
{
	struct uhmm_rcache_uring_info info = { .size = sizeof(info) };

	assert_int_equal(uhmm_rcache_uring_get_info(buffers, &info), 0);
	assert_int_equal(ops->held(buffers), info.held_bytes);
	return info;
}

static uint64_t reg(unsigned long start, size_t length)
{
	uint64_t key = ~0UL;

	assert_int_equal(ops->reg(buffers, start, length, UHMM_RCACHE_WRITE,
				  &key), 0);
	assert_true(key < SLOTS);
	assert_int_equal(kernel.start[key], start);
	return key;
}

static void dereg(unsigned long start, size_t length, uint64_t key)
{
	assert_int_equal(ops->dereg(buffers, start, length, key), 0);
	assert_int_equal(kernel.start[key], 0);
}

static void hand_over(unsigned int i)
{
	uint64_t tag = kernel.gone[i];

	kernel.gone[i] = kernel.gone[--kernel.ngone];
	assert_true(uhmm_rcache_uring_tag(buffers, tag));
}

/* --------------------------------------------------------------------- cases */

static void arguments_are_looked_at(void **state)
{
	struct uhmm_rcache_uring_options options = with_call(1);
	struct uhmm_rcache_uring_info bad = { .size = 1 };
	struct uhmm_rcache_uring *none = NULL;

	memset(&kernel, 0, sizeof(kernel));
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &none), -EINVAL);
	options = with_call(0);
	options.size--;
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &none), -EINVAL);
	options = with_call(0);
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, 0, &options,
							 &none), -EINVAL);
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 NULL), -EINVAL);
	kernel.refuse = 1;
	kernel.with = -EBUSY;
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &none), -EBUSY);
	no_memory = true;
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &none), -ENOMEM);
	no_memory = false;
	assert_null(none);
	make();
	assert_int_equal(uhmm_rcache_uring_get_info(buffers, &bad), -EINVAL);
	assert_int_equal(uhmm_rcache_uring_get_info(buffers, NULL), -EINVAL);
	assert_int_equal(uhmm_rcache_uring_get_info(NULL, &bad), -EINVAL);
	unmake();
}

static void what_is_the_programs_is_left_to_it(void **state)
{
	const uint64_t mine = 0x1234UL << 48;
	struct uhmm_rcache_uring_options options;
	uint64_t key;

	make();
	key = reg(PG(1), PAGES(1));
	assert_int_equal(kernel.tag[key] >> 48, UHMM_RCACHE_URING_TAGS >> 48);
	assert_false(uhmm_rcache_uring_tag(buffers, 0));
	assert_false(uhmm_rcache_uring_tag(buffers, (uintptr_t)&key));
	assert_false(uhmm_rcache_uring_tag(buffers, ~0UL));
	assert_false(uhmm_rcache_uring_tag(buffers, mine));
	assert_int_equal(info().strays, 0);
	dereg(PG(1), PAGES(1), key);
	unmake();
	options = with_call(mine);
	assert_int_equal(uhmm_rcache_uring_create_tagged(RING, SLOTS, &options,
							 &buffers), 0);
	key = reg(PG(1), PAGES(1));
	assert_int_equal(kernel.tag[key] >> 48, mine >> 48);
	assert_false(uhmm_rcache_uring_tag(buffers, UHMM_RCACHE_URING_TAGS));
	unmake();
}

/* The kernel says so, and another thread hands it over, before the call returns. */
static void a_tag_may_come_before_the_call_returns(void **state)
{
	uint64_t key;

	make();
	kernel.at_once = true;
	for (int i = 0; i < 3 * SLOTS; i++) {
		key = reg(PG(i), PAGES(1));
		assert_int_equal(info().bytes, PAGES(1));
		dereg(PG(i), PAGES(1), key);
		assert_int_equal(info().held, 0);
		assert_int_equal(info().held_bytes, 0);
		assert_int_equal(info().bytes, 0);
	}
	assert_int_equal(info().released, 3 * SLOTS);
	assert_int_equal(info().strays, 0);
	unmake();
}

static void what_is_refused_leaves_nothing(void **state)
{
	uint64_t key = 99;

	make();
	for (int i = 0; i < 3 * SLOTS; i++) {
		kernel.refuse = 1;
		kernel.with = -EFAULT;
		assert_int_equal(ops->reg(buffers, PG(1), PAGES(1), 1, &key),
				 -EFAULT);
	}
	assert_int_equal(key, 99);
	assert_int_equal(info().buffers, 0);
	assert_int_equal(info().bytes, 0);
	assert_int_equal(info().held, 0);
	/* To the cache that would be an overlap. */
	kernel.refuse = 1;
	kernel.with = -EEXIST;
	assert_int_equal(ops->reg(buffers, PG(1), PAGES(1), 1, &key), -EPERM);
	no_memory = true;
	unmake();
	no_memory = false;
	make();
	no_memory = true;
	assert_int_equal(ops->reg(buffers, PG(1), PAGES(1), 1, &key), -ENOMEM);
	no_memory = false;
	assert_int_equal(info().buffers, 0);
	for (int i = 0; i < SLOTS; i++)
		reg(PG(i), PAGES(1));
	assert_int_equal(ops->reg(buffers, PG(1), PAGES(1), 1, &key), -ENOMEM);
	unmake();
}

static void what_stays_in_its_slot_is_not_held(void **state)
{
	uint64_t key;

	make();
	key = reg(PG(1), PAGES(2));
	kernel.refuse = 1;
	kernel.with = -ENOMEM;
	assert_int_equal(ops->dereg(buffers, PG(1), PAGES(2), key), -ENOMEM);
	assert_int_equal(uhmm_rcache_uring_held(buffers, PG(1), 1), 0);
	assert_int_equal(info().buffers, 1);
	assert_int_equal(info().bytes, PAGES(2));
	dereg(PG(1), PAGES(2), key);
	assert_int_equal(uhmm_rcache_uring_held(buffers, PG(1), 1), 1);
	hand_over(0);
	assert_int_equal(info().held, 0);
	assert_int_equal(info().strays, 0);
	unmake();
}

static void tags_of_nothing_are_counted(void **state)
{
	uint64_t key, tag;

	make();
	key = reg(PG(1), PAGES(1));
	dereg(PG(1), PAGES(1), key);
	tag = kernel.gone[0];
	hand_over(0);
	/* Twice; of the life before; of a pin that never was. */
	assert_true(uhmm_rcache_uring_tag(buffers, tag));
	key = reg(PG(1), PAGES(1));
	assert_int_not_equal(kernel.tag[key], tag);
	assert_true(uhmm_rcache_uring_tag(buffers, tag));
	assert_true(uhmm_rcache_uring_tag(buffers,
					  UHMM_RCACHE_URING_TAGS | 0xfffff));
	assert_int_equal(info().strays, 3);
	assert_int_equal(info().buffers, 1);
	/* Somebody else has emptied the slot. */
	lets_go((unsigned int)key);
	hand_over(0);
	assert_int_equal(info().strays, 4);
	assert_int_equal(info().bytes, 0);
	dereg(PG(1), PAGES(1), key);
	assert_int_equal(info().held, 0);
	assert_int_equal(info().released, 1);
	unmake();
}

/* The same ring's, with the same tags to choose from. */
static void what_a_device_left_means_nothing_to_the_next(void **state)
{
	uint64_t key, left;

	make();
	key = reg(PG(1), PAGES(1));
	dereg(PG(1), PAGES(1), key);
	left = kernel.gone[0];
	unmake();
	make();
	key = reg(PG(1), PAGES(1));
	dereg(PG(1), PAGES(1), key);
	assert_int_equal(info().held, 1);
	assert_true(uhmm_rcache_uring_tag(buffers, left));
	assert_int_equal(info().held, 1);
	assert_int_equal(info().strays, 1);
	hand_over(0);
	assert_int_equal(info().held, 0);
	unmake();
}

/* Against a list of what the kernel has not said yet. */
static void many_are_held_in_any_order(void **state)
{
	static struct {
		uint64_t tag;
		unsigned long start, bytes;
	} have[MANY];
	unsigned long rng = 5, bytes, total = 0;
	unsigned int n = 0, i;
	uint64_t key;

	make();
	for (int step = 0; step < 20000; step++) {
		rng = rng * 6364136223846793005UL + 1442695040888963407UL;
		if (n < MANY && (n < 10 || rng >> 63)) {
			have[n].start = PG(rng >> 40 & 63);
			have[n].bytes = PAGES(1 + (rng >> 50 & 3));
			key = reg(have[n].start, have[n].bytes);
			have[n].tag = kernel.tag[key];
			dereg(have[n].start, have[n].bytes, key);
			total += have[n++].bytes;
		} else {
			i = (unsigned int)((rng >> 33) % n);
			assert_true(uhmm_rcache_uring_tag(buffers, have[i].tag));
			total -= have[i].bytes;
			have[i] = have[--n];
		}
		kernel.ngone = 0;
		for (i = 0, bytes = 0; i < n; i++)
			bytes += have[i].start <= PG(10) &&
				 have[i].start + have[i].bytes > PG(10) ?
				 PAGES(1) : 0;
		assert_int_equal(info().held, n);
		assert_int_equal(info().held_bytes, total);
		assert_int_equal(uhmm_rcache_uring_held(buffers, 0, 0), total);
		assert_int_equal(uhmm_rcache_uring_held(buffers, PG(10),
							PAGES(1)), bytes);
	}
	assert_int_equal(info().strays, 0);
	unmake();
}

static void waits(void *ret)
{
	*(int *)ret = uhmm_rcache_uring_wait(buffers, PG(1), PAGES(1), -1);
}

static void waits_very_long(void *ret)
{
	*(int *)ret = uhmm_rcache_uring_wait(buffers, 0, 0, INT64_MAX);
}

static void a_time_may_lie_behind_all_times(void **state)
{
	struct task task;
	int err = 1;

	make();
	dereg(PG(1), PAGES(1), reg(PG(1), PAGES(1)));
	task_start(&task, waits_very_long, &err);
	assert_true(task_waits(&task));
	assert_true(uhmm_rcache_uring_tag(buffers, kernel.gone[0]));
	task_join(&task);
	assert_int_equal(err, 0);
	unmake();
}

static void who_waits_does_so_for_what_is_held_then(void **state)
{
	struct task task;
	uint64_t key;
	int err = 1;

	make();
	for (int i = 1; i < 3; i++) {
		key = reg(PG(i), PAGES(1));
		dereg(PG(i), PAGES(1), key);
	}
	task_start(&task, waits, &err);
	assert_true(task_waits(&task));
	key = reg(PG(1), PAGES(1));
	dereg(PG(1), PAGES(1), key);
	hand_over(1);
	assert_true(task_waits(&task));
	assert_true(uhmm_rcache_uring_tag(buffers, kernel.gone[0]));
	task_join(&task);
	assert_int_equal(err, 0);
	assert_int_equal(uhmm_rcache_uring_held(buffers, PG(1), 1), 1);
	assert_int_equal(uhmm_rcache_uring_wait(buffers, PG(1), 1, 0),
			 -ETIMEDOUT);
	unmake();
}

/* -------------------------------------------------------------------- fork */

static void fork_begins(void)
{
	set(&forking, 1);
}

static void registers_slowly(void *unused)
{
	slow = true;
	reg(PG(7), PAGES(1));
	/* A thread that has ended is missed by ThreadSanitizer in the child. */
	while (look(&forking))
		sched_yield();
}

static int child(void *unused)
{
	uint64_t key = 99;

	if (info().buffers || info().bytes || info().held || info().held_bytes)
		return 1;
	if (uhmm_rcache_uring_held(buffers, 0, 0) ||
	    uhmm_rcache_uring_wait(buffers, 0, 0, -1))
		return 2;
	if (!uhmm_rcache_uring_tag(buffers, kernel.gone[0]) || info().held)
		return 3;
	if (ops->reg(buffers, PG(1), PAGES(1), 1, &key) != -ESRCH || key != 99)
		return 4;
	unmake();
	return 0;
}

/* A thread has the device's lock as another forks. */
static void a_child_has_nothing_and_waits_for_nobody(void **state)
{
	struct task task;
	int status;

	make();
	dereg(PG(1), PAGES(1), reg(PG(1), PAGES(1)));
	/* As many as there is memory for. */
	for (int i = 1; i < SLOTS - 1; i++)
		reg(PG(i), PAGES(1));
	dereg(PG(2), PAGES(1), 1);
	reg(PG(2), PAGES(1));
	set(&forking, 0);
	set(&allocating, 0);
	task_start(&task, registers_slowly, NULL);
	while (!look(&allocating))
		sched_yield();
	pthread_atfork(fork_begins, NULL, NULL);
	status = in_child(child, NULL);
	set(&forking, 0);
	task_join(&task);
	assert_int_equal(status, 0);
	assert_int_equal(info().held, 2);
	assert_int_equal(info().buffers, SLOTS - 1);
	hand_over(1);
	hand_over(0);
	assert_int_equal(info().held, 0);
	assert_int_equal(info().strays, 0);
	unmake();
}

/* What the device holds is no entry's, and counts: what goes then does no good. */
static void limits_count_what_is_held(void **state)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .max_bytes = PAGES(4),
	};
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };
	struct uhmm_registration reg;
	struct uhmm_rcache *cache;

	make();
	assert_int_equal(uhmm_rcache_create(mm, ops, buffers, &options, &cache),
			 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(uhmm_rcache_get(cache, PG(2 * i), PAGES(1), 1,
						 &reg), 0);
		uhmm_rcache_put(&reg);
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(uhmm_rcache_get(cache, PG(20), PAGES(1), 1,
						 &reg), -EBUSY);
	/* What was evicted, with some to spare, was so once. */
	assert_int_equal(uhmm_rcache_get_stats(cache, &stats), 0);
	assert_int_equal(stats.evicted, 2);
	assert_int_equal(stats.bytes + info().held_bytes, PAGES(4));
	hand_over(0);
	assert_int_equal(uhmm_rcache_get(cache, PG(20), PAGES(1), 1, &reg), 0);
	assert_int_equal(uhmm_rcache_get(cache, PG(40), PAGES(5), 1, &reg),
			 -ENOSPC);
	uhmm_rcache_put(&reg);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	unmake();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(arguments_are_looked_at),
		CASE(what_is_the_programs_is_left_to_it),
		CASE(a_tag_may_come_before_the_call_returns),
		CASE(what_is_refused_leaves_nothing),
		CASE(what_stays_in_its_slot_is_not_held),
		CASE(tags_of_nothing_are_counted),
		CASE(what_a_device_left_means_nothing_to_the_next),
		CASE(many_are_held_in_any_order),
		CASE(a_time_may_lie_behind_all_times),
		CASE(who_waits_does_so_for_what_is_held_then),
		CASE(a_child_has_nothing_and_waits_for_nobody),
		CASE(limits_count_what_is_held),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
