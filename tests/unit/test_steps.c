/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Interval notifiers, step by step. See duel.h. */
#include "duel.h"

static struct mirror two;
static unsigned long seq;

static void add_one_that_was_hit(void)
{
	add_one();
	invalidate(PG(10), PG(11));
	one.called = 0;
}

/* --------------------------------------------------------- insert and remove */

static void a_start_meets_a_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = remove_one,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void a_remove_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = remove_one,
		.other = begin_10,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void nothing(void)
{
	mirror_init(&two, 2);
	two.quiet = true;
}

static void insert_two(void)
{
	if (mmu_interval_notifier_insert(&two.sub, mm, PG(10), 1, &mirror_ops))
		abort();
}

static const char *called_or_held_up(void)
{
	return two.called || mirror_held_up(&two) ? NULL :
	       "the range is open, and it knows nothing of it";
}

static const char *held_up_no_more(void)
{
	bool held_up = mirror_held_up(&two);

	mirror_drop(&two);
	return held_up ? "it is held up by nothing" : NULL;
}

static void a_start_meets_an_insert(void **state)
{
	static const struct duel duel = {
		.setup = nothing,
		.stepped = begin_10,
		.other = insert_two,
		.both_done = called_or_held_up,
		.finish = end_10,
		.ended = held_up_no_more,
	};

	fight(&duel);
}

static void an_insert_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = nothing,
		.stepped = insert_two,
		.other = begin_10,
		.both_done = called_or_held_up,
		.finish = end_10,
		.ended = held_up_no_more,
	};

	fight(&duel);
}

static struct mirror crowd[200];

/* Leaves split, nodes are replaced and used again. */
static void come_and_go(void)
{
	for (int i = 0; i < 200; i++) {
		mirror_init(&crowd[i], i);
		if (mmu_interval_notifier_insert(&crowd[i].sub, mm,
						 PG(5) + i * 64UL, 1,
						 &mirror_ops))
			abort();
	}
	for (int i = 0; i < 200; i++)
		mirror_drop(&crowd[i]);
}

static void hit_one(void)
{
	begin_range(&range, PG(10), PG(10) + 1);
}

static const char *called_once(void)
{
	int called = one.called;

	mirror_drop(&one);
	return called == 1 ? NULL : "it was not called once";
}

static void a_search_meets_the_rebuilding_of_the_index(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = hit_one,
		.other = come_and_go,
		.finish = end_10,
		.ended = called_once,
	};

	fight(&duel);
}

static void remove_two(void)
{
	mirror_drop(&two);
}

static void add_two(void)
{
	mirror_add(&two, 2, PG(10), 1);
	mirror_init(&one, 1);
}

static void insert_one(void)
{
	if (mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1, &mirror_ops))
		abort();
}

static const char *one_is_left(void)
{
	unsigned long left = stats().subscriptions;

	mirror_drop(&one);
	return left == 1 ? NULL : "the count is wrong";
}

static void an_insert_meets_a_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_two,
		.stepped = insert_one,
		.other = remove_two,
		.ended = one_is_left,
	};

	fight(&duel);
}

/* ---------------------------------------------------------------------- reads */

static void read_page(void)
{
	seq = mirror_begin(&one);
	seen = look(&page);
}

static const char *not_stale(void)
{
	bool stale = !mirror_retry(&one, seq) && seen != 2;

	mirror_drop(&one);
	return stale ? "the read is good, and what it read is not" : NULL;
}

static const char *fresh(void)
{
	bool fresh = !mirror_retry(&one, seq) && seen == 2;

	mirror_drop(&one);
	return fresh ? NULL : "it waited, and did not read what there is";
}

static void a_start_meets_a_read(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = read_page,
		.may_wait = true,
		.finish = change_10,
		.ended = not_stale,
	};

	fight(&duel);
}

static void add_one_and_begin(void)
{
	add_one();
	begin_10();
}

static void an_end_meets_a_read(void **state)
{
	static const struct duel duel = {
		.setup = add_one_and_begin,
		.stepped = change_10,
		.other = read_page,
		.ended = fresh,
	};

	fight(&duel);
}

static void a_read_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = add_one_that_was_hit,
		.stepped = read_page,
		.other = begin_and_end_10,
		.ended = not_stale,
	};

	fight(&duel);
}

/* ------------------------------------------------------- two passes and remove
 * Of four at the same address the second is at a gate, the third has two
 * passes, and the fourth gives whoever removes the third some time: that must
 * wait for the second pass, wherever the start comes to while it looks.
 */
static struct mirror before, between, behind;
static struct mmu_interval_notifier passes;
static struct mmu_interval_notifier_finish finish;
static struct gate gate;
static struct task starter;
static int reached;

static bool first_pass(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *r,
		       unsigned long cur_seq,
		       struct mmu_interval_notifier_finish **ret_finish)
{
	mmu_interval_set_seq(sub, cur_seq);
	*ret_finish = &finish;
	return true;
}

static void second_pass(struct mmu_interval_notifier_finish *f)
{
	call_late(NULL, NULL);
}

static void give_time(struct mirror *m, const struct mmu_notifier_range *r)
{
	set(&reached, 1);
	for (int i = 0; i < 300 && !look(&gone); i++)
		sync_yield();
}

static void add_quiet(struct mirror *m, int id)
{
	mirror_add(m, id, PG(10), 1);
	m->quiet = true;
}

static void add_four(void)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate_start = first_pass,
		.invalidate_finish = second_pass,
	};

	gate_init(&gate);
	gone = late = reached = 0;
	add_quiet(&before, 1);
	add_quiet(&between, 2);
	if (mmu_interval_notifier_insert(&passes, mm, PG(10), 1, &ops))
		abort();
	add_quiet(&behind, 3);
	between.hook = mirror_at_gate;
	between.data = &gate;
	behind.hook = give_time;
	task_start(&starter, invalidate_task, NULL);
	gate_await(&gate);
}

/* If it can be at once; the rest is done in the end. */
static void remove_passes(void)
{
	if (!uhmm_interval_notifier_remove_timeout(&passes, 0))
		set(&gone, 1);
}

static void go_on_behind_it(void)
{
	gate_open(&gate);
	/* A start that finds it gone has no more of it to call. */
	while (!look(&reached))
		sync_yield();
}

static const char *no_late_pass(void)
{
	task_join(&starter);
	mmu_interval_notifier_remove(&passes);
	mirror_drop(&before);
	mirror_drop(&between);
	mirror_drop(&behind);
	return look(&late) ? "a second pass came after remove" : NULL;
}

static void a_remove_meets_the_first_of_two_passes(void **state)
{
	static const struct duel duel = {
		.setup = add_four,
		.stepped = remove_passes,
		.other = go_on_behind_it,
		.ended = no_late_pass,
		/* What follows is a loop that looks again and again. */
		.instructions = 600,
	};

	fight(&duel);
}

/* --------------------------------------------------------------- reservations */

static void reserve_and_read(void)
{
	if (uhmm_interval_reserve(&one.sub))
		abort();
	read_page();
	if (!mirror_retry(&one, seq))
		return;
	uhmm_interval_unreserve(&one.sub);
}

static const char *nothing_lost(void)
{
	mirror_drop(&one);
	return stats().reserves_lost ? "the reservation ran out" : NULL;
}

static void a_start_meets_a_reservation(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = reserve_and_read,
		.may_wait = true,
		.finish = end_10,
		.ended = nothing_lost,
	};
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	remake_mm(&options);
	fight(&duel);
}

static void add_one_reserved(void)
{
	add_one();
	if (uhmm_interval_reserve(&one.sub))
		abort();
}

static void unreserve(void)
{
	uhmm_interval_unreserve(&one.sub);
}

static void a_start_waits_for_no_reservation_that_is_given_up(void **state)
{
	static const struct duel duel = {
		.setup = add_one_reserved,
		.stepped = unreserve,
		.other = begin_and_end_10,
		.ended = nothing_lost,
	};
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	remake_mm(&options);
	fight(&duel);
}

/* ------------------------------------------------------------- asynchronous end */

static bool count_call(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *r,
		       unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	call_late(NULL, r);
	return true;
}

static void count_gone(struct mmu_interval_notifier *sub)
{
	count(&gone);
}

static void add_async(void)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = count_call,
		.uhmm_removed = count_gone,
	};

	mirror_init(&one, 1);
	gone = late = 0;
	if (mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1, &ops))
		abort();
}

static void remove_one_async(void)
{
	if (uhmm_interval_notifier_remove_async(&one.sub))
		abort();
}

static void a_start_meets_an_asynchronous_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_async,
		.stepped = begin_10,
		.other = remove_one_async,
		.both_done = gone_once,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void an_asynchronous_remove_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = add_async,
		.stepped = remove_one_async,
		.other = begin_10,
		.both_done = gone_once,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_start_meets_a_remove),
		CASE(a_remove_meets_a_start),
		CASE(a_start_meets_an_insert),
		CASE(an_insert_meets_a_start),
		CASE(a_search_meets_the_rebuilding_of_the_index),
		CASE(an_insert_meets_a_remove),
		CASE(a_start_meets_a_read),
		CASE(an_end_meets_a_read),
		CASE(a_read_meets_an_invalidation),
		CASE(a_remove_meets_the_first_of_two_passes),
		CASE(a_start_meets_a_reservation),
		CASE(a_start_waits_for_no_reservation_that_is_given_up),
		CASE(a_start_meets_an_asynchronous_remove),
		CASE(an_asynchronous_remove_meets_a_start),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
