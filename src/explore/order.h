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
const union clock *op_clock_of(unsigned int actor, union clock *room);
void flush_commit(unsigned int thread);

/* Of threads that are alike, the earlier one is the first to make a step. */
static inline bool waits_for_twin(const struct thread *t)
{
	return t->twin && t->nsteps == 1 && x.threads[t->twin - 1].nsteps < 2 &&
	       !x.threads[t->twin - 1].ended;
}

static inline unsigned int ops_enabled(void)
{
	unsigned int mask = x.live & ~x.waits;

	if (unlikely(x.model == UHMM_MODEL_TSO))
		return ops_enabled_with_buffers();
	for (unsigned int left = x.live & x.waits & ~x.parked; left;
	     left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(left);
		const struct op *op = &x.threads[i].op;

		/* What most of them wait for; nothing is buffered here. */
		if (op->kind == OP_LOCK) {
			if (*(const volatile unsigned int *)op->addr)
				continue;
			if (likely(!waits_for_twin(&x.threads[i]))) {
				mask |= 1U << i;
				continue;
			}
		}
		mask |= (unsigned int)thread_enabled(&x.threads[i]) << i;
	}
	return mask;
}

static inline void comes_after(union clock *clock, const struct object *object,
			       bool write)
{
	clock_join(clock, &object->write_clock);
	if (write)
		clock_join(clock, &object->read_clock);
}

static inline void comes_before(const union clock *clock, struct object *object,
				bool write, unsigned int actor, bool counts)
{
	if (write) {
		object->write_clock = *clock;
		object->last_write = (int32_t)x.nevents;
		object->readers = 0;
		object->read_clock = (union clock){ 0 };
		object->version += counts;
	} else {
		clock_join(&object->read_clock, clock);
		object->last_read[actor] = (int16_t)x.nevents;
		object->readers |= (uint16_t)(1U << actor);
	}
}

/*
 * The step comes after all that it depends on, and what depends on it after it.
 * Stores and their like count if they change something: object_changed().
 */
static inline void take_place(unsigned int actor, union clock *clock,
		       const struct touch *touch, unsigned int n, bool counts)
{
	struct object *object;

	/* Most steps touch one object. */
	if (likely(n == 1)) {
		object = object_now(touch->object);
		comes_after(clock, object, touch->write);
		clock_tick(clock, actor);
		comes_before(clock, object, touch->write, actor, counts);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		comes_after(clock, object_now(touch[i].object), touch[i].write);
	clock_tick(clock, actor);
	for (unsigned int i = 0; i < n; i++)
		comes_before(clock, &x.objects[touch[i].object], touch[i].write,
			     actor, counts);
}

static inline void event_add(unsigned int actor, uint8_t kind,
		      const struct touch *touch, unsigned int n, int node,
		      const union clock *clock)
{
	struct event *event = &x.events[x.nevents++];

	event->actor = (uint8_t)actor;
	event->kind = kind;
	event->ntouch = (uint8_t)n;
	if (n)
		memcpy(event->touch, touch, sizeof(event->touch));
	event->node = node;
	event->clock = *clock;
}

/* Everything that comes before the actor's next step, in @room if need be. */
static inline const union clock *op_clock(unsigned int actor, union clock *room)
{
	const unsigned int more = 1U << OP_SLEEP | 1U << OP_JOIN |
				  1U << OP_MEMBARRIER;
	const struct thread *t = &x.threads[actor % MAX_THREADS];

	if (likely(actor < MAX_THREADS && !(more >> t->op.kind & 1) &&
		   x.model != UHMM_MODEL_TSO && !(t->twin && t->nsteps == 1)))
		return &t->clock;
	return op_clock_of(actor, room);
}

/* @before: its op_clock() */
static inline void op_commit(unsigned int actor, const union clock *before)
{
	struct thread *t = &x.threads[actor % MAX_THREADS];
	struct op *op = &t->op;
	union clock clock;

	if (unlikely(actor >= MAX_THREADS)) {
		flush_commit(actor - MAX_THREADS);
		return;
	}
	/* A copy that nobody else can change: it stays in registers. */
	clock = *before;
	take_place(actor, &clock, op->touch, op->ntouch,
		   op->kind != OP_STORE && op->kind != OP_RMW);
	t->clock = clock;
	event_add(actor, op->kind, op->touch, op->ntouch, (int)x.depth - 1,
		  &clock);
	if (t->nsteps < 2 && ++t->nsteps == 2)
		t->first_clock = clock;
	clock_tick(&t->hb, actor);
}

#pragma GCC visibility pop

#endif
