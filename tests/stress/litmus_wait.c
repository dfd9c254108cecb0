/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Somebody waits: as long as he must, no longer, and he is woken.
 *
 * What the other side writes plainly before it lets go, the waiter reads
 * plainly afterwards: ThreadSanitizer then sees whether the two are ordered.
 */
#include "litmus.h"

#include <stdlib.h>
#include <string.h>

#include "lib/index.h"

/* So that a start takes three batches. */
#define MANY (2 * INDEX_BATCH + 40)

static struct mmu_interval_notifier sub, others[MANY];
static struct mmu_notifier_range range;
static unsigned long plain, expected;
static int go_on, gone, verified;

static bool plain_call(struct mmu_interval_notifier *s,
		       const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	return true;
}

static const struct mmu_interval_notifier_ops simple = {
	.invalidate = plain_call,
};

static void simple_begin(void)
{
	litmus_make_mm();
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &simple);
}

static void simple_end(void)
{
	mmu_interval_notifier_remove(&sub);
	litmus_end_mm();
}

/* ------------------------------------------------------------ end wakes a read */

static void open_before(void)
{
	litmus_start(&range, 0, 1);
	verified = 0;
}

static void change_and_end(void)
{
	plain++;
	mmu_notifier_invalidate_range_end(&range);
}

static void wait_and_look(void)
{
	mmu_interval_read_begin(&sub);
	if (plain != expected + 1)
		forbidden("a read went on before the end");
	say(&verified, 1);
}

/* In the fast way: somebody else has waited. */
static void look_after_others(void)
{
	while (!seen(&verified))
		cpu_relax();
	mmu_interval_read_begin(&sub);
	if (plain != expected + 1)
		forbidden("a read went on before the end");
}

static void open_after(void)
{
	expected = plain;
}

/* ------------------------------------------------- a callback wakes a remover */

static bool call_and_write(struct mmu_interval_notifier *s,
			   const struct mmu_notifier_range *r,
			   unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	say(&go_on, 1);
	litmus_spin(litmus_random(2000));
	plain++;
	return true;
}

static const struct mmu_interval_notifier_ops writing = {
	.invalidate = call_and_write,
};

static void callback_before(void)
{
	go_on = 0;
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &writing);
}

static void start_and_end(void)
{
	litmus_start(&range, 0, 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void remove_in_callback(void)
{
	while (!seen(&go_on))
		cpu_relax();
	mmu_interval_notifier_remove(&sub);
	plain++;
}

/* ------------------------------ a remover does not wait for what comes behind it
 * The start goes on in batches; in the last one somebody waits for the remover
 * of one of the first.
 */
static bool wait_for_gone(struct mmu_interval_notifier *s,
			  const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	if (!litmus_await(&gone))
		forbidden("remove waits for callbacks of others");
	return true;
}

static const struct mmu_interval_notifier_ops last_one = {
	.invalidate = wait_for_gone,
};

static void batches_begin(void)
{
	litmus_make_mm();
	for (unsigned int i = 0; i < MANY - 1; i++)
		mmu_interval_notifier_insert(&others[i], litmus_mm, PG(i + 1),
					     4096, &simple);
	mmu_interval_notifier_insert(&others[MANY - 1], litmus_mm, PG(MANY),
				     4096, &last_one);
}

static void batches_before(void)
{
	gone = 0;
	callback_before();
}

static void start_all(void)
{
	litmus_start(&range, 0, MANY + 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void remove_first(void)
{
	remove_in_callback();
	say(&gone, 1);
}

static void batches_end(void)
{
	for (unsigned int i = 0; i < MANY; i++)
		mmu_interval_notifier_remove(&others[i]);
	litmus_end_mm();
}

/* -------------------------------------------------- two passes, and a remover */

static struct mmu_interval_notifier_finish finish;

static bool first_pass(struct mmu_interval_notifier *s,
		       const struct mmu_notifier_range *r, unsigned long seq,
		       struct mmu_interval_notifier_finish **ret_finish)
{
	mmu_interval_set_seq(s, seq);
	say(&go_on, 1);
	*ret_finish = &finish;
	return true;
}

static void second_pass(struct mmu_interval_notifier_finish *f)
{
	litmus_spin(litmus_random(1000));
	if (seen(&gone))
		forbidden("a second pass after remove returned");
	plain++;
}

static const struct mmu_interval_notifier_ops two_passes = {
	.invalidate_start = first_pass,
	.invalidate_finish = second_pass,
};

static void passes_begin(void)
{
	litmus_make_mm();
	for (unsigned int i = 0; i < MANY; i++)
		mmu_interval_notifier_insert(&others[i], litmus_mm, PG(i + 1),
					     4096, &simple);
}

static void passes_before(void)
{
	go_on = 0;
	say(&gone, 0);
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &two_passes);
}

static void remove_between_passes(void)
{
	remove_in_callback();
	say(&gone, 1);
}

/* -------------------------------- a remover meets a start that calls nobody
 * It may not wait until the range is closed.
 */
static void quick_before(void)
{
	gone = 0;
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &simple);
}

static void start_and_hold(void)
{
	litmus_start(&range, 0, 1);
	if (!litmus_await(&gone))
		forbidden("remove waits for an end");
	mmu_notifier_invalidate_range_end(&range);
}

static void remove_quickly(void)
{
	mmu_interval_notifier_remove(&sub);
	say(&gone, 1);
}

/* -------------------------------------------------------------- list notifiers */

static struct mmu_notifier lists[2];

static int list_writes(struct mmu_notifier *n,
		       const struct mmu_notifier_range *r)
{
	say(&go_on, 1);
	litmus_spin(litmus_random(500));
	plain++;
	return 0;
}

static int list_waits(struct mmu_notifier *n,
		      const struct mmu_notifier_range *r)
{
	if (!litmus_await(&gone))
		forbidden("unregister waits for callbacks of others");
	return 0;
}

static const struct mmu_notifier_ops newest = {
	.invalidate_range_start = list_writes,
};
static const struct mmu_notifier_ops oldest = {
	.invalidate_range_start = list_waits,
};

static void lists_begin(void)
{
	litmus_make_mm();
	lists[0].ops = &oldest;
	mmu_notifier_register(&lists[0], litmus_mm);
}

static void lists_before(void)
{
	go_on = gone = 0;
	memset(&lists[1], 0, sizeof(lists[1]));
	lists[1].ops = &newest;
	mmu_notifier_register(&lists[1], litmus_mm);
}

static void unregister_newest(void)
{
	while (!seen(&go_on))
		cpu_relax();
	mmu_notifier_unregister(&lists[1], litmus_mm);
	plain++;
	say(&gone, 1);
}

static void lists_end(void)
{
	mmu_notifier_unregister(&lists[0], litmus_mm);
	litmus_end_mm();
}

/* Another one: unregister while the walk is at its own callback, or at end. */
static void alone_before(void)
{
	go_on = 0;
	memset(&lists[1], 0, sizeof(lists[1]));
	lists[1].ops = &newest;
	mmu_notifier_register(&lists[1], litmus_mm);
}

/* -------------------------------------------------------- get, put and a walk */

static int freed;

static struct mmu_notifier *make_notifier(struct mm_struct *mm)
{
	return calloc(1, sizeof(struct mmu_notifier));
}

static void free_notifier(struct mmu_notifier *n)
{
	plain++;
	free(n);
	say(&freed, seen(&freed) + 1);
}

static const struct mmu_notifier_ops got_ops = {
	.invalidate_range_start = list_writes,
	.alloc_notifier = make_notifier,
	.free_notifier = free_notifier,
};

static struct mmu_notifier *notifier;

static void put_before(void)
{
	freed = go_on = 0;
	notifier = mmu_notifier_get(&got_ops, litmus_mm);
}

static void put_it(void)
{
	litmus_spin(litmus_random(1000));
	mmu_notifier_put(notifier);
}

static void put_after(void)
{
	if (freed != 1)
		forbidden("nobody can call it, and it was not freed once");
}

/* ----------------------------------------------------------- progress of readers
 * A reservation holds a start up, and its end lets it go on.
 */
static int in_reservation;

static bool call_unless_reserved(struct mmu_interval_notifier *s,
				 const struct mmu_notifier_range *r,
				 unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	if (seen(&in_reservation))
		forbidden("called while it was reserved");
	return true;
}

static const struct mmu_interval_notifier_ops reserved_ops = {
	.invalidate = call_unless_reserved,
};

/* However long a busy machine keeps the reader: the limit is not met. */
static void reserve_begin(void)
{
	const struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	if (uhmm_mm_create_with(&options, &litmus_mm))
		abort();
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096,
				     &reserved_ops);
}

static void reserve_before(void)
{
	go_on = 0;
}

static void reserve_and_read(void)
{
	uhmm_interval_reserve(&sub);
	say(&in_reservation, 1);
	smp_store_release(&go_on, 1);
	litmus_spin(litmus_random(500));
	mmu_interval_read_begin(&sub);
	say(&in_reservation, 0);
	uhmm_interval_unreserve(&sub);
}

static void start_later(void)
{
	while (!smp_load_acquire(&go_on))
		cpu_relax();
	start_and_end();
}

const struct litmus waiting_litmus[] = {
	{ "an end wakes the reads that wait for it", simple_begin, open_before,
	  change_and_end, wait_and_look, look_after_others, open_after,
	  simple_end, false, false },
	{ "the end of a callback wakes a remover", litmus_make_mm,
	  callback_before, start_and_end, remove_in_callback, NULL, NULL,
	  litmus_end_mm, false, false },
	{ "a remover does not wait for those behind it", batches_begin,
	  batches_before, start_all, remove_first, NULL, NULL, batches_end,
	  true, false },
	{ "a remover waits for second passes", passes_begin, passes_before,
	  start_all, remove_between_passes, NULL, NULL, batches_end, true,
	  false },
	{ "a remover does not wait for the end of a range", litmus_make_mm,
	  quick_before, start_and_hold, remove_quickly, NULL, NULL,
	  litmus_end_mm, false, false },
	{ "unregister does not wait for other list notifiers", lists_begin,
	  lists_before, start_and_end, unregister_newest, NULL, NULL, lists_end,
	  false, false },
	{ "unregister is woken by the end of a walk", litmus_make_mm,
	  alone_before, start_and_end, unregister_newest, NULL, NULL,
	  litmus_end_mm, false, false },
	{ "a notifier that was put is freed by the last walk", litmus_make_mm,
	  put_before, start_and_end, put_it, NULL, put_after, litmus_end_mm,
	  false, false },
	{ "a reservation holds up starts and lets them go", reserve_begin,
	  reserve_before, reserve_and_read, start_later, NULL, NULL, simple_end,
	  false, false },
	{ 0 },
};
