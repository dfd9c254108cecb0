/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Steps: which objects they touch, whether they are possible, which of them
 * depend on one another, and the order that this gives.
 */
#include "internal.h"
#include "order.h"
#include "step.h"
#include "world.h"

#include <string.h>

#define MAX_QUEUES 64

static struct {
	const void *addr;
	uint16_t object;
} queues[MAX_QUEUES];
static unsigned int nqueues;

/* ------------------------------------------------------------------ objects */

void objects_forget(void)
{
	memset(x.objects, 0, x.nobjects * sizeof(x.objects[0]));
	memset(x.tried, 0, x.nobjects * sizeof(x.tried[0]));
	x.nobjects = OBJECT_FIRST;
	nqueues = 0;
}

static uint16_t object_new(void)
{
	if (x.nobjects >= MAX_OBJECTS)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, NULL,
			      "more than %d words are shared", MAX_OBJECTS);
	return (uint16_t)x.nobjects++;
}

/* Nobody has touched it yet in this execution. */
void object_begin_c11(uint16_t number)
{
	x.objects_c11[number].location = -1;
	view_clear(&x.objects_c11[number].view);
}

/* As op_place(), for a word that has no number yet, and one that gets none. */
uint16_t object_of_new(const void *addr, unsigned int size)
{
	size_t offset, word;
	struct region *region = region_of(addr, &offset);
	uint16_t *number;

	if (unlikely(!region))
		execution_bad(UHMM_DEFECT_UNSUPPORTED, self()->op.pc,
			      "%p is used, which is not memory of the scenario",
			      addr);
	word = offset / 8;
	if (unlikely(offset & (size - 1)))
		execution_bad(UHMM_DEFECT_UNSUPPORTED, self()->op.pc,
			      "an atomic access that is not aligned");
	number = &region->objects[2 * word];
	if (size == 8 && unlikely(!region->wide[word])) {
		region->wide[word] = 1;
		if (number[0] || number[1]) {
			number[0] = number[1] = number[0] ? number[0] : number[1];
			execution_stop(END_RESTART);
		}
	}
	if (region->wide[word] && !number[0])
		number[0] = number[1] = object_new();
	number += offset / 4 % 2;
	if (!*number)
		*number = object_new();
	return *number;
}

bool object_is_wide(const void *addr)
{
	size_t offset;
	const struct region *region = region_of(addr, &offset);

	return region && region->wide[offset / 8];
}

uint16_t object_of_queue(const void *addr)
{
	for (unsigned int i = 0; i < nqueues; i++)
		if (queues[i].addr == addr)
			return queues[i].object;
	if (nqueues == MAX_QUEUES)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, NULL,
			      "threads sleep at more than %d places",
			      MAX_QUEUES);
	queues[nqueues].addr = addr;
	queues[nqueues].object = object_new();
	return queues[nqueues++].object;
}

/* ------------------------------------------------------------------- steps */

bool touches_depend(const struct touch *a, unsigned int na,
		    const struct touch *b, unsigned int nb)
{
	for (unsigned int i = 0; i < na; i++)
		for (unsigned int k = 0; k < nb; k++)
			if (a[i].object == b[k].object &&
			    (a[i].write || b[k].write))
				return true;
	return false;
}

/* On x86 these wait until what the thread has stored is seen by all. */
bool op_drains(const struct op *op)
{
	switch (op->kind) {
	case OP_RMW:
	case OP_LOCK:
	case OP_TRYLOCK:
	case OP_READ_LOCK:
	case OP_READ_TRYLOCK:
	case OP_READ_UNLOCK:
	case OP_WAIT:
	case OP_WAKE:
	case OP_CREATE:
	case OP_MEMBARRIER:
		return true;
	case OP_STORE:
	case OP_FENCE:
		return op->order == __ATOMIC_SEQ_CST;
	default:
		return false;
	}
}

/* What a thread read before it yielded is not what it was. */
static bool watched_changed(const struct thread *t)
{
	const struct object *object;

	if (t->exempt || !t->nwatched || t->nwatched == MAX_WATCHED)
		return true;
	for (unsigned int i = 0; i < t->nwatched; i++) {
		object = &x.objects[t->watched[i].object];
		if (!object_used(object))
			continue;
		if (object->version != t->watched[i].version)
			return true;
		if (x.model == UHMM_MODEL_C11 && memory_has_newer(t, t->watched[i].object))
			return true;
	}
	return false;
}

static bool lock_is(const struct op *op, unsigned int mask)
{
	return !(*(const volatile unsigned int *)op->addr & mask);
}

#define LOCK_WRITER (1U << 31)

bool thread_enabled(const struct thread *t)
{
	const struct op *op = &t->op;
	const struct thread *other;

	if (t->ended)
		return false;
	if (waits_for_twin(t))
		return false;
	if (t->nbuffered && op_drains(op))
		return false;
	switch (op->kind) {
	case OP_LOCK:
		return lock_is(op, ~0U);
	case OP_READ_LOCK:
		return lock_is(op, LOCK_WRITER);
	case OP_SLEEP:
		return t->woken || (t->deadline >= 0 && x.scenario->flags &
						UHMM_SCENARIO_TIMEOUTS);
	case OP_JOIN:
		other = &x.threads[op->value];
		return other->ended && !other->nbuffered;
	case OP_MEMBARRIER:
		return !x.threads[op->value].nbuffered;
	case OP_ROOM:
		return t->nbuffered < MAX_BUFFERED;
	case OP_YIELD:
		return watched_changed(t);
	default:
		return true;
	}
}

bool op_enabled(unsigned int actor)
{
	if (actor >= MAX_THREADS)
		return x.threads[actor - MAX_THREADS].nbuffered;
	return thread_enabled(&x.threads[actor]);
}

unsigned int ops_enabled_with_buffers(void)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < x.nthreads; i++)
		mask |= (unsigned int)thread_enabled(&x.threads[i]) << i |
			(x.threads[i].nbuffered ? 1U << (i + MAX_THREADS) : 0);
	return mask;
}

/* ------------------------------------------------------------- their order */

/* As op_clock(), where that is more than what the thread knows; until the next call. */
const union clock *op_clock_of(unsigned int actor)
{
	static union clock room;
	const struct thread *t = &x.threads[actor % MAX_THREADS];
	const struct op *op = &t->op;

	if (actor >= MAX_THREADS) {
		room = x.flush_clock[actor - MAX_THREADS];
		clock_join(&room, &far_of(t)->buffered[0].clock);
		return &room;
	}
	room = t->clock;
	if (op->kind == OP_SLEEP)
		clock_join(&room, &t->wake_clock);
	if (op->kind == OP_JOIN) {
		clock_join(&room, &x.threads[op->value].clock);
		clock_join(&room, &x.flush_clock[op->value]);
	}
	if (x.model == UHMM_MODEL_TSO && op_drains(op))
		clock_join(&room, &x.flush_clock[actor]);
	if (op->kind == OP_MEMBARRIER)
		clock_join(&room, &x.flush_clock[op->value]);
	if (t->twin && t->nsteps == 1)
		clock_join(&room, &x.threads[t->twin - 1].first_clock);
	return &room;
}

/* The place of a step in the order of all; see op_commit(). */
union clock take_places(unsigned int actor, const union clock *before,
			const struct touch *touch, unsigned int n)
{
	union clock clock = *before;

	for (unsigned int i = 0; i < n; i++)
		comes_after(&clock, object_now(touch[i].object), touch[i].write);
	clock_tick(&clock, actor);
	for (unsigned int i = 0; i < n; i++)
		comes_before(&x.objects[touch[i].object], touch[i].write, actor);
	return clock;
}

/* Stores and their like do so if they change something: see change(). */
void op_changes(const struct op *op)
{
	if (op->kind == OP_STORE || op->kind == OP_RMW)
		return;
	for (unsigned int i = 0; i < op->ntouch; i++)
		x.objects[op->touch[i].object].version += op->touch[i].write;
}

void flush_commit(unsigned int thread)
{
	const struct buffered *first = &x.far[thread].buffered[0];
	unsigned int actor = thread + MAX_THREADS;
	struct touch touch[MAX_TOUCH] = { { first->object, true } };
	union clock *clock = &x.flush_clock[thread];
	struct event *event;
	unsigned int n = 1;

	if (unlikely(x.membarriers))
		touch[n++] = (struct touch){ (uint16_t)(OBJECT_THREAD + thread),
					     false };
	clock_join(clock, &first->clock);
	*clock = take_places(actor, clock, touch, n);
	event = event_add(actor, OP_FLUSH, (int)x.depth, clock);
	event->ntouch = (uint8_t)n;
	memcpy(event->touch, touch, sizeof(touch));
}

/* What the thread that changed it watches is the change of others. */
void watched_change(uint16_t number)
{
	struct object *object = object_now(number);
	struct thread *t = self();

	object->version++;
	for (unsigned int i = 0; i < t->nwatched; i++)
		if (t->watched[i].object == number &&
		    t->watched[i].version == (uint16_t)(object->version - 1))
			t->watched[i].version++;
}

void ops_begin(void)
{
	memset(x.flush_clock, 0, sizeof(x.flush_clock));
}

/* The thread goes round if this does not change until it yields. */
void watch(uint16_t number)
{
	struct thread *t = self();
	uint16_t version = object_now(number)->version;
	unsigned int i;

	for (i = 0; i < t->nwatched; i++)
		if (t->watched[i].object == number)
			break;
	if (i == MAX_WATCHED)
		return;
	if (i == t->nwatched)
		t->nwatched++;
	t->watched[i].object = number;
	t->watched[i].version = version;
}
