/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is done at each step, over and over: which are possible, and where in
 * the order of all the one comes that is made.
 */
#ifndef EXPLORE_ORDER_H
#define EXPLORE_ORDER_H

#include <string.h>

#include "internal.h"

#pragma GCC visibility push(hidden)

bool thread_enabled(const struct thread *t);
unsigned int ops_enabled_with_buffers(void);
const union clock *op_clock_of(unsigned int actor);
union clock take_places(unsigned int actor, const union clock *before,
			const struct touch *touch, unsigned int n);
void op_changes(const struct op *op);
void flush_commit(unsigned int thread);

/* There is something left to try at the decision. */
static inline void has_more(int decision)
{
	if (decision > x.open)
		x.open = decision;
}

/* Of threads that are alike, the earlier one is the first to make a step. */
static inline bool waits_for_twin(const struct thread *t)
{
	return t->twin && t->nsteps == 1 && x.threads[t->twin - 1].nsteps < 2 &&
	       !x.threads[t->twin - 1].ended;
}

/* Where nobody has a buffer. */
static inline unsigned int threads_enabled(void)
{
	unsigned int mask = x.live & ~x.waits;

	for (unsigned int left = x.live & x.waits & ~x.parked; left;
	     left &= left - 1) {
		const struct thread *t = once(&x.threads[__builtin_ctz(left)]);

		/* What most of them wait for. */
		if (likely(t->op.kind == OP_LOCK) ?
		    !*(const volatile unsigned int *)t->op.addr &&
			    !waits_for_twin(t) :
		    thread_enabled(t))
			mask |= left & -left;
	}
	return mask;
}

static inline unsigned int ops_enabled(void)
{
	return x.model == UHMM_MODEL_TSO ? ops_enabled_with_buffers() :
					   threads_enabled();
}

static inline void comes_after(union clock *clock, const struct object *object,
			       bool write)
{
	if (likely(object->newest >= 0))
		clock_join(clock, &x.events[object->newest].clock);
	if (!write)
		return;
	for (unsigned int left = object->readers; unlikely(left); left &= left - 1)
		clock_join(clock,
			   &x.events[object->last_read[__builtin_ctz(left)]].clock);
}

/* The event that is to be the next one. */
static inline void comes_before(struct object *object, bool write,
				unsigned int actor)
{
	if (write) {
		object->last_write = object->newest = (int16_t)x.nevents;
		object->readers = 0;
	} else {
		object->last_read[actor] = (int16_t)x.nevents;
		object->readers |= (uint16_t)(1U << actor);
	}
}

static inline struct event *event_add(unsigned int actor, unsigned int kind,
				      int node, const union clock *clock)
{
	struct event *event = once(&x.events[x.nevents++]);

	event->kind = (uint8_t)kind;
	event->ntouch = 0;
	event->actor = (uint8_t)actor;
	event->node = node;
	event->clock = *clock;
	return event;
}

/* Everything that comes before the thread's next step. @buffers: somebody may have one. */
static inline const union clock *op_clock(const struct thread *t, bool buffers)
{
	const unsigned int more = 1U << OP_SLEEP | 1U << OP_JOIN |
				  1U << OP_MEMBARRIER;

	if (likely(!(more >> t->op.kind & 1) &&
		   !(buffers && x.model == UHMM_MODEL_TSO) &&
		   !(t->twin && t->nsteps == 1)))
		return &t->clock;
	return op_clock_of((unsigned int)(t - x.threads));
}

/* Is the event before everything that @clock is of? */
static inline bool before(const struct event *event, const union clock *clock)
{
	return event->clock.at[event->actor] <= clock->at[event->actor];
}

/* May a step on the object have come before one that was made? */
static inline bool may_race(const struct object *object, bool write,
			    const union clock *clock)
{
	return (write && object->readers) ||
	       (object->last_write >= 0 &&
		!before(&x.events[object->last_write], clock));
}

/* A thread, which has no buffer, does what is in order but no decision. */
static inline void thread_tick(struct thread *t, unsigned int thread)
{
	t->clock.v[0] = words8_tick(t->clock.v[0], thread);
	times_tick(&t->hb, thread);
}

/* The thread's clock is that of the step that it has made. */
static inline void step_counts(struct thread *t)
{
	if (unlikely(t->nsteps < 2) && ++t->nsteps == 2)
		t->first_clock = t->clock;
}

/*
 * The step of a thread is made: it comes after all that it depends on, and what
 * depends on it after it. @before: its op_clock(). @races: look for steps that it
 * could have come before.
 */
static inline __attribute__((always_inline)) void
op_commit(struct thread *t, unsigned int actor, const union clock *before,
	  bool races)
{
	const struct op *op = &t->op;
	struct event *event;
	/* A copy that nobody else can change: it stays in registers. */
	union clock clock;

	/* Most steps touch one object. */
	if (likely(op->ntouch == 1)) {
		struct object *object = object_now(op->touch->object);
		bool write = op->touch->write;

		if (races && may_race(object, write, before))
			dpor_races(actor, before);
		clock = *before;
		comes_after(&clock, object, write);
		clock.v[0] = words8_tick(clock.v[0], actor);
		comes_before(object, write, actor);
	} else if (!op->ntouch) {
		clock = *before;
		clock.v[0] = words8_tick(clock.v[0], actor);
	} else {
		if (races)
			dpor_races(actor, before);
		clock = take_places(actor, before, op->touch, op->ntouch);
	}
	if (unlikely(x.yields))
		op_changes(op);
	t->clock = clock;
	event = once(&x.events[x.nevents++]);
	words_copy(event, op, EVENT_OF_OP);
	event->actor = (uint8_t)actor;
	event->node = (int)x.depth;
	event->clock = clock;
	step_counts(t);
	times_tick(&t->hb, actor);
}

#pragma GCC visibility pop

#endif
