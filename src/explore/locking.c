/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who holds what; in which order locks are taken, over all executions; and why
 * nobody can go on.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define MAX_ORDERS 256

/* @second was taken while @first was held; there is a place for the first time. */
static struct {
	const void *first, *second;
	const void *pc;
	uint32_t execution;
} orders[MAX_ORDERS];
static unsigned int norders;

void locks_forget(void)
{
	norders = 0;
}

/* ----------------------------------------------------------------- what is held */

static bool reaches(const void *from, const void *to, unsigned int depth,
		    const void **ret_pc)
{
	for (unsigned int i = 0; i < norders; i++) {
		if (orders[i].first != from)
			continue;
		*ret_pc = orders[i].pc;
		if (orders[i].second == to ||
		    (depth && reaches(orders[i].second, to, depth - 1, ret_pc)))
			return true;
	}
	return false;
}

/*
 * Locks on the heap are others in other executions, so an address is a lock as
 * far as its object is one: what was freed has another address.
 */
static void order_add(const void *held, const void *lock, const void *pc)
{
	char a[64], b[64];
	const void *other;

	for (unsigned int i = 0; i < norders; i++)
		if (orders[i].first == held && orders[i].second == lock)
			return;
	if (reaches(lock, held, 4, &other)) {
		x.other_pc = other;
		execution_bad(UHMM_DEFECT_LOCK_ORDER, pc,
			      "%s is taken with %s held, and elsewhere the other "
			      "way round", name_of(lock, a, sizeof(a)),
			      name_of(held, b, sizeof(b)));
	}
	if (norders == MAX_ORDERS)
		return;
	orders[norders].first = held;
	orders[norders].second = lock;
	orders[norders++].pc = pc;
}

/* The thread is about to hold @lock, too. */
void locks_in_order(void *lock, const void *pc)
{
	const struct thread *t = self();

	for (unsigned int i = 0; !x.setup && i < t->nheld; i++)
		order_add(t->held[i], lock, pc);
}

void locks_too_many(const void *pc)
{
	execution_bad(UHMM_DEFECT_UNSUPPORTED, pc, "more than %d locks are held",
		      MAX_HELD);
}

void locks_may_sleep(const char *what, const void *pc)
{
	if (self()->no_sleep)
		execution_bad(UHMM_DEFECT_SLEEP, pc,
			      "CPU%u makes %s where it must not sleep", x.self,
			      what);
}

void locks_reset(void)
{
}

void locks_at_end(void)
{
	char name[64];

	if (self()->nheld)
		execution_bad(UHMM_DEFECT_ASSERTION, NULL,
			      "CPU%u ends and holds %s", x.self,
			      name_of(self()->held[0], name, sizeof(name)));
}

/* --------------------------------------------------------------- nobody goes on */

static bool is_lock_wait(const struct thread *t)
{
	return t->op.kind == OP_LOCK || t->op.kind == OP_READ_LOCK;
}

static int holder_of(const void *lock)
{
	for (unsigned int i = 0; i < x.nthreads; i++)
		for (unsigned int k = 0; k < x.threads[i].nheld; k++)
			if (x.threads[i].held[k] == lock)
				return (int)i;
	return -1;
}

/* From @from along locks that are waited for; -1: it ends where none is. */
static int lock_cycle(unsigned int from)
{
	unsigned int at = from, seen = 0;
	int holder;

	while (is_lock_wait(&x.threads[at])) {
		if (seen >> at & 1)
			return (int)at;
		seen |= 1U << at;
		holder = holder_of(x.threads[at].op.addr);
		if (holder < 0)
			return -1;
		at = (unsigned int)holder;
	}
	return -1;
}

static bool stuck_in_lock_cycle(void)
{
	char lock[64];

	for (unsigned int i = 0; i < x.nthreads; i++) {
		int at = x.threads[i].ended ? -1 : lock_cycle(i);

		if (at < 0)
			continue;
		execution_note_bad(UHMM_DEFECT_DEADLOCK,
				   "CPU%d waits for %s, which CPU%d holds, which "
				   "waits in turn", at,
				   name_of(x.threads[at].op.addr, lock,
					   sizeof(lock)),
				   holder_of(x.threads[at].op.addr));
		return true;
	}
	return false;
}

/* Somebody sleeps and holds what another one needs. */
static bool stuck_held_across(void)
{
	char lock[64], queue[64];

	for (unsigned int i = 0; i < x.nthreads; i++) {
		const struct thread *t = &x.threads[i], *h;
		int holder;

		if (t->ended || !is_lock_wait(t))
			continue;
		holder = holder_of(t->op.addr);
		if (holder < 0)
			continue;
		h = &x.threads[holder];
		if (h->op.kind != OP_SLEEP && h->op.kind != OP_YIELD &&
		    h->op.kind != OP_JOIN)
			continue;
		execution_note_bad(UHMM_DEFECT_HELD_WAIT,
				   "CPU%d waits %s%s and holds %s, for which CPU%u "
				   "waits", holder,
				   h->op.kind == OP_JOIN ? "for a thread" : "at ",
				   h->op.kind == OP_JOIN ? "" :
				   h->op.addr ? name_of(h->op.addr, queue,
							sizeof(queue)) :
						"what it reads",
				   name_of(t->op.addr, lock, sizeof(lock)), i);
		return true;
	}
	return false;
}

void classify_stuck(void)
{
	char queue[64];

	if (stuck_in_lock_cycle() || stuck_held_across())
		return;
	for (unsigned int i = 0; i < x.nthreads; i++) {
		const struct thread *t = &x.threads[i];

		if (!t->ended && t->op.kind == OP_SLEEP) {
			execution_note_bad(UHMM_DEFECT_LOST_WAKEUP,
					   "CPU%u sleeps at %s, and nobody is "
					   "left to wake it", i,
					   name_of(t->queue, queue,
						   sizeof(queue)));
			return;
		}
	}
	for (unsigned int i = 0; i < x.nthreads; i++)
		if (!x.threads[i].ended && x.threads[i].op.kind == OP_YIELD) {
			execution_note_bad(UHMM_DEFECT_LIVELOCK,
					   "CPU%u goes round, and nobody is left "
					   "to change what it reads", i);
			return;
		}
	execution_note_bad(UHMM_DEFECT_DEADLOCK, "nobody can go on");
}
