/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Starts that stand still for a reservation. */
#include "interleave.h"

#include <stdlib.h>

#include "core/reserve.h"

static void reserve_or_die(struct mmu_interval_notifier *sub)
{
	if (uhmm_interval_reserve(sub))
		abort();
}

static bool would_wait(struct mmu_interval_notifier *sub)
{
	unsigned long seq;

	return uhmm_interval_read_begin_timeout(sub, 0, &seq);
}

/* Does a start stand still for a reservation? */
static bool somebody_stands(void)
{
	struct thread_block *block;
	struct slot *slot;

	for_each_slot(slot, block, mm)
		if (slot_look(slot) & SLOT_STALLED)
			return true;
	return false;
}

/* A start that stands still for subs[0], which this thread has reserved. */
static void stand_still(void)
{
	insert(0, 10);
	reserve_or_die(&subs[0]);
	begin(&job, start_ten);
	while (!somebody_stands())
		nap();
	if (calls)
		forbidden("called while it was reserved");
}

static void go_on(void)
{
	uhmm_interval_unreserve(&subs[0]);
	finish(&job);
}

/* One that is inserted now is not known to it, and so not called later. */
static void one_that_is_new_waits(void)
{
	stand_still();
	insert(1, 20);
	if (!would_wait(&subs[1]))
		forbidden("a read goes on beside a start that knows it not");
	go_on();
}

static void a_new_reservation_waits(void)
{
	stand_still();
	insert(1, 20);
	reserve_or_die(&subs[1]);
	if (!would_wait(&subs[1]))
		forbidden("a read goes on beside a start that knows it not");
	uhmm_interval_unreserve(&subs[1]);
	go_on();
}

/* It has called the first batch, and stands still before the second. */
static void one_that_was_called_waits(void)
{
	unsigned int batch;

	insert_all();
	batch = called_before_resume();
	if (would_wait(&subs[0]))
		forbidden("held up by nothing");
	reserve_or_die(&subs[batch]);
	begin(&job, start_all);
	while (!somebody_stands())
		nap();
	if (!would_wait(&subs[0]))
		forbidden("a read goes on beside a start that called it");
	uhmm_interval_unreserve(&subs[batch]);
	finish(&job);
}

/* ------------------------------------------------- a reservation that was lost */

static bool reserved, give_up;

static void reserve_and_hold(void)
{
	reserve_or_die(&subs[0]);
	smp_store_release(&reserved, true);
	await(&give_up, "held for ever");
	uhmm_interval_unreserve(&subs[0]);
}

/* Whoever lost his does not give back that of another. */
static void the_lost_one_is_lost(void)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 1,
	};

	if (uhmm_mm_create_with(&options, &mm))
		abort();
	insert(0, 10);
	reserve_or_die(&subs[0]);
	begin(&job, start_ten);
	finish(&job);
	begin(&other, reserve_and_hold);
	await(&reserved, "no reservation");
	uhmm_interval_unreserve(&subs[0]);
	if (!sub_reserved(&subs[0]))
		forbidden("the reservation of another thread was given back");
	smp_store_release(&give_up, true);
	finish(&other);
}

const struct interleaving reserve_cases[] = {
	{ "new-in-stall", one_that_is_new_waits },
	{ "reserved-in-stall", a_new_reservation_waits },
	{ "called-in-stall", one_that_was_called_waits },
	{ "lost", the_lost_one_is_lost },
	{ 0 },
};
