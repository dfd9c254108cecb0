/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Depth-first search, and what it may leave out.
 *
 * Sleep sets: what was explored from here need not be tried again until a step
 * that depends on it was made. Source sets: where two dependent steps could
 * have come in the other order, that order is tried, from where the first was
 * made. Idea: Abdulla, Aronsson, Jonsson, Sagonas 2014.
 */
#include "internal.h"
#include "order.h"

static inline const struct touch *pending(unsigned int actor, unsigned int *ret_n,
				   struct touch *flush)
{
	const struct thread *t = &x.threads[actor % MAX_THREADS];

	if (actor < MAX_THREADS) {
		*ret_n = t->op.ntouch;
		return t->op.touch;
	}
	*ret_n = 1;
	flush[0] = (struct touch){ far_of(t)->buffered[0].object, true };
	if (x.membarriers) {
		flush[1] = (struct touch){ (uint16_t)(OBJECT_THREAD + actor -
						      MAX_THREADS), false };
		*ret_n = 2;
	}
	return flush;
}

/* A step that waits for a buffer depends on what leaves the buffer. */
static bool waits_for_flush(unsigned int thread, unsigned int actor)
{
	const struct op *op = &x.threads[thread].op;

	if (actor == thread + MAX_THREADS)
		return op_drains(op) || op->kind == OP_ROOM;
	if (op->kind == OP_JOIN || op->kind == OP_MEMBARRIER)
		return actor == op->value + MAX_THREADS;
	return false;
}

static bool flushes_depend(unsigned int a, unsigned int b)
{
	struct touch flush_a[2], flush_b[2];
	const struct touch *ta, *tb;
	unsigned int na, nb;

	if (a < MAX_THREADS && b >= MAX_THREADS && waits_for_flush(a, b))
		return true;
	if (b < MAX_THREADS && a >= MAX_THREADS && waits_for_flush(b, a))
		return true;
	ta = pending(a, &na, flush_a);
	tb = pending(b, &nb, flush_b);
	return touches_depend(ta, na, tb, nb);
}

static inline bool pending_depend(unsigned int a, unsigned int b)
{
	const struct op *op_a = &x.threads[a % MAX_THREADS].op;
	const struct op *op_b = &x.threads[b % MAX_THREADS].op;

	if (a == b)
		return true;
	if (unlikely(a >= MAX_THREADS || b >= MAX_THREADS))
		return flushes_depend(a, b);
	return touches_depend(op_a->touch, op_a->ntouch, op_b->touch,
			      op_b->ntouch);
}

/* Who sleeps on behind @node when @actor goes on. */
unsigned int node_sleepers(const struct node *node, unsigned int actor)
{
	unsigned int left = (node->sleep | node->done) & ~(1U << actor);
	unsigned int sleepers = 0;

	if (x.engine != EXPLORE_DPOR && x.engine != EXPLORE_SLEEP)
		return 0;
	for (; left; left &= left - 1) {
		unsigned int other = (unsigned int)__builtin_ctz(left);

		if (!pending_depend(other, actor))
			sleepers |= 1U << other;
	}
	return sleepers;
}

static bool event_depends(const struct event *event, unsigned int actor)
{
	struct touch flush[2];
	const struct touch *touch;
	unsigned int n;

	touch = pending(actor, &n, flush);
	return touches_depend(event->touch, event->ntouch, touch, n);
}

/*
 * The actors that could go first in an execution that has @actor's step before
 * event @first: those of what follows @first without depending on it. One of
 * @enough is enough.
 */
static unsigned int initials(int first, unsigned int actor,
			     const union clock *clock, unsigned int enough)
{
	static int kept[MAX_STEPS];
	const struct event *e = &x.events[first];
	int16_t time = e->clock.at[e->actor];
	unsigned int result = 0, seen = 0, nkept = 0;
	bool is_initial;

	for (unsigned int i = (unsigned int)first + 1; i < x.nevents; i++) {
		const struct event *f = &x.events[i];

		if (f->clock.at[e->actor] >= time)
			continue;
		is_initial = !(seen >> f->actor & 1);
		for (unsigned int k = 0; is_initial && k < nkept; k++)
			is_initial = !before(&x.events[kept[k]], &f->clock);
		if (is_initial)
			result |= 1U << f->actor;
		if (result & enough)
			return result;
		seen |= 1U << f->actor;
		kept[nkept++] = (int)i;
	}
	is_initial = !(seen >> actor & 1);
	for (unsigned int k = 0; is_initial && k < nkept; k++)
		is_initial = !before(&x.events[kept[k]], clock) &&
			     !event_depends(&x.events[kept[k]], actor);
	if (is_initial)
		result |= 1U << actor;
	return result;
}

static void add_backtrack(int first, unsigned int actor,
			  const union clock *clock)
{
	struct node *node;
	unsigned int there, who, can;

	if (x.events[first].node < (int)x.nprefix)
		return;
	node = &x.nodes[x.events[first].node];
	there = node->backtrack | node->done | node->sleep;
	who = initials(first, actor, clock, there);
	if (who & there)
		return;
	can = who & node->enabled;
	if (!can)
		node->backtrack |= node->enabled;
	else
		node->backtrack |= (uint16_t)(can >> actor & 1 ? 1U << actor :
							 can & -can);
	has_more(x.events[first].node);
}

static bool touches(const struct event *event, uint16_t object)
{
	for (unsigned int i = 0; i < event->ntouch; i++)
		if (event->touch[i].object == object)
			return true;
	return false;
}

/*
 * Who waits for a lock cannot come before it is given back, but before it was
 * taken: the step where that was, for @event that gives @lock back.
 */
static int where_taken(int event, uint16_t lock)
{
	uint8_t actor = x.events[event].actor, kind;

	for (int i = event - 1; i >= 0; i--) {
		kind = x.events[i].kind;
		if (x.events[i].actor == actor && touches(&x.events[i], lock) &&
		    (kind == OP_LOCK || kind == OP_TRYLOCK ||
		     kind == OP_READ_LOCK || kind == OP_READ_TRYLOCK))
			return i;
	}
	return event;
}

static __attribute__((noinline)) void
race_with_later(int event, unsigned int actor, uint16_t object,
		const union clock *clock)
{
	if (x.events[event].actor == actor)
		return;
	if (actor < MAX_THREADS &&
	    (x.events[event].kind == OP_UNLOCK ||
	     x.events[event].kind == OP_READ_UNLOCK) &&
	    (x.threads[actor].op.kind == OP_LOCK ||
	     x.threads[actor].op.kind == OP_READ_LOCK))
		event = where_taken(event, object);
	if (!before(&x.events[event], clock))
		add_backtrack(event, actor, clock);
}

static inline void race_with(int event, unsigned int actor, uint16_t object,
			     const union clock *clock)
{
	if (event >= 0 && !before(&x.events[event], clock))
		race_with_later(event, actor, object, clock);
}

/* Reads; to have given a lock back is none. */
static unsigned int readers_of(const struct object *object)
{
	unsigned int readers = object->readers;

	for (unsigned int left = readers >> MAX_THREADS; left; left &= left - 1) {
		unsigned int i = MAX_THREADS + (unsigned int)__builtin_ctz(left);

		if (x.events[object->last_read[i]].node < 0)
			readers &= ~(1U << i);
	}
	return readers;
}

static inline void races_on(const struct touch *touch, unsigned int actor,
		     const union clock *clock)
{
	const struct object *object = object_now(touch->object);
	unsigned int readers = touch->write ? readers_of(object) : 0;

	if (!readers) {
		race_with(object->last_write, actor, touch->object, clock);
		return;
	}
	/* Not with a read that comes before another one. */
	for (unsigned int left = readers; left; left &= left - 1) {
		int r = object->last_read[__builtin_ctz(left)];
		unsigned int others = readers & ~(left & -left);
		bool hidden = before(&x.events[r], clock);

		for (; others && !hidden; others &= others - 1)
			hidden = before(&x.events[r],
				&x.events[object->last_read[__builtin_ctz(others)]].clock);
		if (!hidden)
			race_with(r, actor, touch->object, clock);
	}
}

/* Which steps of the past could have come after the actor's next one? */
void dpor_races(unsigned int actor, const union clock *before)
{
	struct touch flush[2];
	const struct touch *touch;
	unsigned int n;

	touch = pending(actor, &n, flush);
	for (unsigned int i = 0; i < n; i++)
		races_on(&touch[i], actor, before);
}

/* ---------------------------------------------------------------- the search */

/* From the last execution to the next; decisions above @floor stand. */
bool search_next(unsigned int floor)
{
	for (; x.open >= (int)floor; x.open--) {
		struct node *node = &x.nodes[x.open];
		unsigned int todo;

		x.replay_to = (unsigned int)x.open;
		if (node->choice + 1 < node->choices) {
			node->choice++;
			return true;
		}
		/* Nobody sleeps but in searches that know sleep. */
		node->done |= (uint16_t)(1U << node->chosen);
		todo = node->backtrack &
		       ~((unsigned int)node->done | node->sleep);
		if (!todo)
			continue;
		node->chosen = (uint8_t)__builtin_ctz(todo);
		node->choice = 0;
		node->choices = 1;
		return true;
	}
	return false;
}
