/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The registration cache: what is found, what is retired, and when it goes. */
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "rcache_util.h"

static void what_is_there_is_found(void **state)
{
	uint64_t key;

	make(0, 0, 0, 0);
	key = touch(PG(1), PAGES(3), RW);
	assert_int_equal(touch(PG(1), PAGES(3), RW), key);
	assert_int_equal(touch(PG(1) + 5, 1, UHMM_RCACHE_READ), key);
	assert_int_equal(touch(PG(2), PAGES(2), UHMM_RCACHE_WRITE), key);
	assert_int_equal(touch(PG(3) + 17, 100, RW), key);
	assert_int_equal(device.regs, 1);
	assert_int_equal(cache_stats().hits, 4);
	assert_int_equal(cache_stats().misses, 1);
	unmake();
}

static void overlaps_are_merged(void **state)
{
	uint64_t low, wide;

	make(0, 0, 0, 0);
	low = touch(PG(1), PAGES(2), RW);
	touch(PG(4), PAGES(2), RW);
	wide = touch(PG(2), PAGES(3), RW);
	assert_int_not_equal(low, wide);
	assert_int_equal(touch(PG(1), PAGES(5), RW), wide);
	assert_int_equal(cache_stats().merged, 2);
	/* What only touches is left alone. */
	assert_int_not_equal(touch(PG(6), 1, RW), wide);
	assert_int_equal(touch(PG(1), PAGES(5), RW), wide);
	unmake();
}

static void more_access_is_a_new_entry(void **state)
{
	uint64_t before, after;

	make(0, 0, 0, 0);
	before = touch(PG(1), PAGES(2), UHMM_RCACHE_READ);
	after = touch(PG(1), 1, UHMM_RCACHE_WRITE);
	assert_int_not_equal(before, after);
	assert_int_equal(touch(PG(1), PAGES(2), RW), after);
	assert_int_equal(device.regs, 2);
	unmake();
}

static void a_union_that_is_refused_is_not_insisted_on(void **state)
{
	uint64_t old;

	make(0, 0, 0, 0);
	old = touch(PG(1), PAGES(4), RW);
	device.refuse_above = PAGES(4);
	assert_int_not_equal(touch(PG(4), PAGES(2), RW), old);
	assert_int_equal(touch(PG(1), PAGES(4), RW), old);
	unmake();
}

static void an_invalidation_deregisters_first(void **state)
{
	make(0, 0, 0, 0);
	touch(PG(1), PAGES(4), RW);
	touch(PG(10), PAGES(4), RW);
	/* One that finds: the next one looks for a hint. */
	touch(PG(1), PAGES(4), RW);
	invalidate(PG(5), PG(10));
	assert_int_equal(device.deregs, 0);
	invalidate(PG(2), PG(3));
	assert_int_equal(device.deregs, 1);
	touch(PG(1), PAGES(4), RW);
	assert_int_equal(device.regs, 3);
	assert_int_equal(cache_stats().invalidated, 1);
	unmake();
}

static void what_is_in_use_is_kept_and_not_returned(void **state)
{
	struct uhmm_registration a, b, again;

	make(0, 0, 0, 0);
	a = get(PG(1), PAGES(2), RW);
	b = get(PG(1), 1, RW);
	assert_int_equal(a.key, b.key);
	invalidate(PG(1), PG(2));
	assert_int_equal(device.deregs, 0);
	again = get(PG(1), PAGES(2), RW);
	assert_int_not_equal(again.key, a.key);
	uhmm_rcache_put(&a);
	assert_int_equal(device.deregs, 0);
	uhmm_rcache_put(&b);
	assert_int_equal(device.deregs, 1);
	uhmm_rcache_put(&again);
	assert_int_equal(device.deregs, 1);
	unmake();
}

static void put_task(void *reg)
{
	uhmm_rcache_put(reg);
}

static void another_thread_may_put(void **state)
{
	struct uhmm_registration reg;
	struct task task;

	make(0, 0, 0, 0);
	reg = get(PG(1), 1, RW);
	invalidate(PG(1), PG(2));
	task_start(&task, put_task, &reg);
	task_join(&task);
	assert_int_equal(device.deregs, 1);
	unmake();
}

/* The first get of a thread. */
static void get_task(void *reg)
{
	if (uhmm_rcache_get(cache, PG(1), 1, RW, reg))
		memset(reg, 0, sizeof(struct uhmm_registration));
}

static void what_is_found_first_is_kept_too(void **state)
{
	struct uhmm_registration reg;
	struct task task;

	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	task_start(&task, get_task, &reg);
	task_join(&task);
	assert_non_null(reg.hold);
	assert_int_equal(cache_stats().hits, 1);
	invalidate(PG(1), PG(2));
	assert_int_equal(device.deregs, 0);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 1);
	assert_int_equal(device.deregs, 0);
	uhmm_rcache_put(&reg);
	assert_int_equal(device.deregs, 1);
	unmake();
}

static void hit_it(void)
{
	invalidate(PG(1), PG(2));
}

static void what_collides_is_registered_again(void **state)
{
	make(0, 0, 0, 0);
	device.hook = hit_it;
	touch(PG(1), PAGES(2), RW);
	assert_int_equal(device.regs, 2);
	assert_int_equal(device.deregs, 1);
	assert_int_equal(cache_stats().collisions, 1);
	touch(PG(1), PAGES(2), RW);
	assert_int_equal(device.regs, 2);
	unmake();
}

static struct uhmm_registration part;

static void get_a_part(void)
{
	assert_int_equal(uhmm_rcache_get(cache, PG(2), 1, RW, &part), 0);
}

static void what_came_meanwhile_is_merged(void **state)
{
	make(0, 0, 0, 0);
	device.hook = get_a_part;
	touch(PG(1), PAGES(2), RW);
	assert_int_equal(device.regs, 2);
	assert_int_equal(cache_stats().merged, 1);
	assert_int_equal(uhmm_rcache_flush(cache, PG(50), 1), 1);
	assert_int_equal(device.deregs, 0);
	uhmm_rcache_put(&part);
	assert_int_equal(device.deregs, 1);
	assert_int_equal(cache_stats().bytes, PAGES(2));
	unmake();
}

static void the_lazy_leave_it_to_later(void **state)
{
	make(UHMM_RCACHE_LAZY, 0, 0, 0);
	touch(PG(1), 1, RW);
	invalidate(PG(1), PG(2));
	assert_int_equal(device.deregs, 0);
	assert_int_equal(cache_stats().retired, 1);
	assert_int_equal(uhmm_rcache_flush(cache, PG(50), 1), 0);
	assert_int_equal(device.deregs, 1);
	/* What waits is bounded. */
	for (int i = 0; i < 5 * UHMM_RCACHE_BACKLOG; i++) {
		touch(PG(1), 1, RW);
		invalidate(PG(1), PG(2));
		assert_true(cache_stats().retired <= UHMM_RCACHE_BACKLOG + 1);
	}
	unmake();
}

/* Of many at once no more is left than was live, and in use. */
static void what_waits_is_bounded(void **state)
{
	enum { MANY = 1000, HELD = 10 };
	struct uhmm_registration held[HELD];

	make(UHMM_RCACHE_LAZY, 0, 0, 0);
	for (int i = 0; i < MANY; i++)
		touch(PG(2 * i), 1, RW);
	for (int i = 0; i < HELD; i++)
		held[i] = get(PG(2 * i), 1, RW);
	invalidate(PG(0), PG(2 * MANY));
	assert_int_equal(cache_stats().retired, MANY);
	touch(PG(1), 1, RW);
	assert_int_equal(cache_stats().retired, HELD);
	for (int i = 0; i < 5 * UHMM_RCACHE_BACKLOG; i++) {
		touch(PG(1), 1, RW);
		invalidate(PG(1), PG(2));
		assert_true(cache_stats().retired <=
			    HELD + UHMM_RCACHE_BACKLOG + 1);
	}
	for (int i = 0; i < HELD; i++)
		uhmm_rcache_put(&held[i]);
	assert_int_equal(cache_stats().retired, 0);
	unmake();
}

static void a_flush_is_of_its_range(void **state)
{
	struct uhmm_registration held;
	uint64_t first, last;

	make(0, 0, 0, 4);
	first = touch(PG(0), PAGES(2), RW);
	held = get(PG(4), PAGES(2), RW);
	last = touch(PG(8), PAGES(2), RW);
	/* Between them, and what only touches. */
	assert_int_equal(uhmm_rcache_flush(cache, PG(2), PAGES(2)), 0);
	assert_int_equal(cache_stats().flushed, 0);
	/* A byte of it; who has it keeps it. */
	assert_int_equal(uhmm_rcache_flush(cache, PG(5) + 7, 1), 1);
	assert_int_equal(cache_stats().flushed, 1);
	assert_int_equal(device.deregs, 0);
	assert_int_equal(touch(PG(0), PAGES(2), RW), first);
	assert_int_equal(touch(PG(8), PAGES(2), RW), last);
	assert_int_not_equal(touch(PG(4), PAGES(2), RW), held.key);
	/* All from there on. */
	assert_int_equal(uhmm_rcache_flush(cache, PG(5), 0), 1);
	assert_int_equal(device.deregs, 2);
	assert_int_equal(touch(PG(0), PAGES(2), RW), first);
	uhmm_rcache_put(&held);
	assert_int_equal(device.deregs, 3);
	/* What wraps ends with the last byte. */
	assert_int_equal(uhmm_rcache_flush(cache, PG(1), ~0UL), 0);
	assert_int_equal(device.deregs, 4);
	assert_int_equal(cache_stats().entries, 0);
	unmake();
}

static void nonblockable_ones_are_refused_unless_lazy(void **state)
{
	struct mmu_notifier_range range;

	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	assert_int_equal(begin_nonblock(&range, PG(1), PG(2)), -EAGAIN);
	touch(PG(1), 1, RW);
	assert_int_equal(device.regs, 1);
	unmake();
	make(UHMM_RCACHE_LAZY, 0, 0, 0);
	touch(PG(1), 1, RW);
	assert_int_equal(begin_nonblock(&range, PG(1), PG(2)), 0);
	end_range(&range);
	touch(PG(1), 1, RW);
	assert_int_equal(device.regs, 2);
	unmake();
}

static void limits_hold(void **state)
{
	struct uhmm_registration held[4], reg;

	make(0, 4, 0, 0);
	for (int i = 0; i < 100; i++) {
		touch(PG(2 * i), 1, RW);
		assert_true(cache_stats().entries <= 4);
	}
	for (int i = 0; i < 4; i++)
		held[i] = get(PG(1000 + 2 * i), 1, RW);
	assert_int_equal(uhmm_rcache_get(cache, PG(2000), 1, RW, &reg),
			 -ENOSPC);
	for (int i = 0; i < 4; i++)
		uhmm_rcache_put(&held[i]);
	unmake();
	make(0, 0, PAGES(8), 0);
	for (int i = 0; i < 100; i++) {
		touch(PG(5 * i), PAGES(3), RW);
		assert_true(cache_stats().bytes <= PAGES(8));
	}
	assert_int_equal(uhmm_rcache_get(cache, PG(2000), PAGES(9), RW, &reg),
			 -ENOSPC);
	unmake();
}

static void what_has_ended_goes_before_what_lives(void **state)
{
	uint64_t key;

	make(UHMM_RCACHE_LAZY, 4, 0, 0);
	key = touch(PG(0), 1, RW);
	for (int i = 0; i < 20; i++) {
		for (int k = 1; k < 4; k++)
			touch(PG(2 * k), 1, RW);
		invalidate(PG(1), PG(8));
		touch(PG(20), 1, RW);
		uhmm_rcache_flush(cache, PG(20), 1);
	}
	assert_int_equal(cache_stats().evicted, 0);
	assert_int_equal(touch(PG(0), 1, RW), key);
	unmake();
}

static void what_may_be_locked_is_a_limit(void **state)
{
	struct uhmm_registration reg;
	struct rlimit before, low;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	low = (struct rlimit){ PAGES(4), before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &low), 0);
	make(UHMM_RCACHE_MEMLOCK, 0, PAGES(100), 0);
	for (int i = 0; i < 20; i++) {
		touch(PG(3 * i), PAGES(2), RW);
		assert_true(cache_stats().bytes <= PAGES(4));
	}
	assert_int_equal(cache_stats().bytes, PAGES(4));
	assert_int_equal(uhmm_rcache_get(cache, PG(900), PAGES(5), RW, &reg),
			 -ENOSPC);
	unmake();
	/* What is asked for may be less. */
	make(UHMM_RCACHE_MEMLOCK, 0, PAGES(2), 0);
	assert_int_equal(uhmm_rcache_get(cache, PG(0), PAGES(3), RW, &reg),
			 -ENOSPC);
	unmake();
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
}

static void what_is_used_gets_a_second_chance(void **state)
{
	int hot;

	make(0, 64, 0, 0);
	touch(PG(0), 1, RW);
	for (int i = 1; i < 1000; i++) {
		touch(PG(2 * i), 1, RW);
		touch(PG(0), 1, RW);
	}
	hot = (int)(1999 - cache_stats().hits);
	assert_int_equal(hot, 1000);
	assert_true(cache_stats().evicted >= 900);
	unmake();
}

static void a_device_without_room_is_given_some(void **state)
{
	struct uhmm_registration reg;

	make(0, 0, 0, 0);
	for (int i = 0; i < 8; i++)
		touch(PG(2 * i), 1, RW);
	device.refuse = 2;
	touch(PG(100), 1, RW);
	assert_true(device.deregs >= 2);
	device.refuse = 1000;
	assert_int_equal(uhmm_rcache_get(cache, PG(200), 1, RW, &reg), -ENOMEM);
	device.refuse = 0;
	unmake();
}

static void what_cannot_be_deregistered_is_tried_again(void **state)
{
	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	device.stuck = 2;
	invalidate(PG(1), PG(2));
	assert_int_equal(uhmm_rcache_destroy(cache), -EIO);
	assert_int_equal(cache_stats().dereg_failures, 2);
	unmake();
	/* One that collided. */
	make(0, 0, 0, 0);
	device.hook = hit_it;
	device.stuck = 1;
	touch(PG(1), 1, RW);
	unmake();
}

static void destroy_waits_for_nobody(void **state)
{
	struct uhmm_registration reg;

	make(0, 0, 0, 0);
	reg = get(PG(1), 1, RW);
	touch(PG(5), 1, RW);
	assert_int_equal(uhmm_rcache_destroy(cache), -EBUSY);
	assert_int_equal(device.deregs, 1);
	/* It lives on, without what it had. */
	assert_int_not_equal(touch(PG(1), 1, RW), reg.key);
	uhmm_rcache_put(&reg);
	assert_int_equal(device.deregs, 2);
	unmake();
}

static bool readable(void)
{
	struct pollfd p = { .fd = uhmm_rcache_fd(cache), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void the_user_is_told(void **state)
{
	struct uhmm_rcache_event e[4];
	uint64_t key;

	make(0, 0, 0, 2);
	assert_false(readable());
	key = touch(PG(1), PAGES(2), RW);
	for (int i = 1; i < 4; i++)
		touch(PG(10 * i), 1, RW);
	invalidate(PG(2), PG(3));
	assert_true(readable());
	assert_int_equal(uhmm_rcache_read(cache, e, 4), 1);
	assert_int_equal(e[0].start, PG(1));
	assert_int_equal(e[0].length, PAGES(2));
	assert_int_equal(e[0].key, key);
	assert_false(readable());
	invalidate(PG(0), PG(100));
	assert_int_equal(uhmm_rcache_read(cache, e, 1), 1);
	assert_true(readable());
	assert_int_equal(uhmm_rcache_read(cache, e, 4), 1);
	assert_int_equal(e[0].merged, 1);
	assert_int_equal(e[0].start, PG(20));
	assert_int_equal(e[0].length, PG(31) - PG(20));
	assert_int_equal(cache_stats().overflows, 1);
	/* What is evicted or flushed was the user's own doing. */
	touch(PG(1), 1, RW);
	uhmm_rcache_flush(cache, PG(1), 1);
	assert_int_equal(uhmm_rcache_read(cache, e, 4), 0);
	unmake();
}

static void many_may_be_held(void **state)
{
	enum { MANY = 3000 };
	struct uhmm_registration *held = calloc(MANY, sizeof(*held));

	make(0, 0, 0, 0);
	for (int i = 0; i < MANY; i++)
		held[i] = get(PG(2 * i), 1, RW);
	invalidate(PG(0), PG(2 * MANY));
	assert_int_equal(device.deregs, 0);
	for (int i = 0; i < MANY; i++) {
		uhmm_rcache_put(&held[i]);
		assert_int_equal(device.deregs, i + 1);
	}
	free(held);
	unmake();
}

static void an_ended_address_space_has_nothing(void **state)
{
	struct uhmm_registration reg;

	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	end_mm();
	assert_int_equal(device.deregs, 1);
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, RW, &reg), -ESRCH);
	unmake();
}

static int child(void *arg)
{
	struct uhmm_registration reg, *mine = arg;
	struct uhmm_rcache_event event;
	int deregs = device.deregs;

	if (uhmm_rcache_get(cache, PG(1), 1, RW, &reg) != -ESRCH)
		return 1;
	invalidate(PG(0), PG(100));
	uhmm_rcache_put(mine);
	if (uhmm_rcache_flush(cache, 0, 0) || uhmm_rcache_read(cache, &event, 1))
		return 3;
	/* Though one is in use still. */
	if (uhmm_rcache_destroy(cache))
		return 2;
	invalidate(PG(0), PG(100));
	return device.deregs != deregs;
}

static void a_child_has_none_of_it(void **state)
{
	struct uhmm_registration reg, other;
	uint64_t key;

	make(0, 0, 0, 4);
	reg = get(PG(1), 1, RW);
	other = get(PG(3), 1, RW);
	key = touch(PG(5), 1, RW);
	assert_int_equal(in_child(child, &reg), 0);
	assert_int_equal(touch(PG(5), 1, RW), key);
	uhmm_rcache_put(&reg);
	uhmm_rcache_put(&other);
	unmake();
}

static void caches_do_not_mind_each_other(void **state)
{
	struct uhmm_rcache *first;

	make(0, 0, 0, 0);
	first = cache;
	touch(PG(1), 1, RW);
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, &device, NULL, &cache),
			 0);
	touch(PG(1), 1, RW);
	assert_int_equal(device.regs, 2);
	invalidate(PG(1), PG(2));
	assert_int_equal(device.deregs, 2);
	assert_int_equal(uhmm_rcache_destroy(first), 0);
	unmake();
}

/* What one device has in use is nothing to the other. */
static void devices_share_a_range(void **state)
{
	struct uhmm_registration held, reg;
	struct device other = { .next_key = 1000 };
	struct uhmm_rcache *second;

	make(0, 0, 0, 0);
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, &other, NULL,
					    &second), 0);
	held = get(PG(1), PAGES(2), RW);
	assert_int_equal(uhmm_rcache_get(second, PG(2), PAGES(2), RW, &reg), 0);
	assert_true(reg.key > 1000 && held.key < 1000);
	uhmm_rcache_put(&reg);
	invalidate(PG(2), PG(3));
	assert_int_equal(device.deregs, 0);
	assert_int_equal(other.deregs, 1);
	assert_int_equal(uhmm_rcache_destroy(second), 0);
	uhmm_rcache_put(&held);
	assert_int_equal(device.deregs, 1);
	unmake();
}

/* Those of a thread are found by the number of a cache, and this is not theirs. */
static struct uhmm_rcache *fifth;

static void use_the_fifth(void)
{
	struct uhmm_registration reg;

	assert_int_equal(uhmm_rcache_get(fifth, PG(7), 1, RW, &reg), 0);
	uhmm_rcache_put(&reg);
}

static void a_device_may_use_another_cache(void **state)
{
	struct uhmm_registration reg;
	struct uhmm_rcache *between[3];
	struct device other = { 0 };

	make(0, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(uhmm_rcache_create(mm, &dev_ops, &other, NULL,
						    &between[i]), 0);
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, &other, NULL, &fifth),
			 0);
	for (int i = 0; i < 4; i++) {
		device.hook = use_the_fifth;
		touch(PG(10 + 2 * i), 1, RW);
	}
	assert_int_equal(uhmm_rcache_get(fifth, PG(7), 1, RW, &reg), 0);
	assert_int_equal(uhmm_rcache_flush(fifth, 0, 0), 1);
	assert_int_equal(other.deregs, 0);
	uhmm_rcache_put(&reg);
	assert_int_equal(other.deregs, 1);
	assert_int_equal(uhmm_rcache_destroy(fifth), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(uhmm_rcache_destroy(between[i]), 0);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(what_is_there_is_found),
		CASE(overlaps_are_merged),
		CASE(more_access_is_a_new_entry),
		CASE(a_union_that_is_refused_is_not_insisted_on),
		CASE(an_invalidation_deregisters_first),
		CASE(what_is_in_use_is_kept_and_not_returned),
		CASE(another_thread_may_put),
		CASE(what_is_found_first_is_kept_too),
		CASE(what_collides_is_registered_again),
		CASE(what_came_meanwhile_is_merged),
		CASE(the_lazy_leave_it_to_later),
		CASE(what_waits_is_bounded),
		CASE(a_flush_is_of_its_range),
		CASE(nonblockable_ones_are_refused_unless_lazy),
		CASE(limits_hold),
		CASE(what_has_ended_goes_before_what_lives),
		CASE(what_may_be_locked_is_a_limit),
		CASE(what_is_used_gets_a_second_chance),
		CASE(a_device_without_room_is_given_some),
		CASE(what_cannot_be_deregistered_is_tried_again),
		CASE(destroy_waits_for_nobody),
		CASE(the_user_is_told),
		CASE(many_may_be_held),
		CASE(an_ended_address_space_has_nothing),
		CASE(a_child_has_none_of_it),
		CASE(caches_do_not_mind_each_other),
		CASE(devices_share_a_range),
		CASE(a_device_may_use_another_cache),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
