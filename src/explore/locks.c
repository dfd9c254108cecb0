/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Locks, queues to sleep in, and what else hooks.h promises.
 *
 * A lock has its holders in its word. To give it back is no step: whoever
 * wants it decides when it comes to that. Where somebody only tries to take
 * it, it is a step, from the first such try on.
 */
#include "internal.h"

#include <errno.h>

#include "memory.h"
#include "order.h"
#include "race.h"
#include "step.h"
#include "tsan.h"
#include "world.h"

#define LOCK_WRITER (1U << 31)

static bool alone(void)
{
	return !x.inside;
}

static unsigned int mine(void)
{
	return 1U << x.self;
}

bool explore_lock_mine(const unsigned int *lock)
{
	return x.inside && *lock & mine();
}

int explore_lock_holders(const unsigned int *lock)
{
	return *lock & LOCK_WRITER ? -1 : __builtin_popcount(*lock);
}

/*
 * Not inlined: room for a name would be a hole in the stack of a thread at a step,
 * and what is left over there makes states differ that do not.
 */
static __attribute__((noinline, cold)) void
misused(enum uhmm_defect defect, const char *format, const void *lock,
	const void *pc)
{
	char name[64];

	name_of(lock, name, sizeof(name));
	execution_bad(defect, pc, format, x.self, name);
}

static inline void check_memory(const struct op *op)
{
	if (unlikely(heap_is_freed(op->region, op->offset)))
		misused(UHMM_DEFECT_USE_AFTER_FREE,
			"CPU%u uses the lock %s, which was freed", op->addr,
			op->pc);
}

static inline __attribute__((always_inline)) struct op *
begin(enum op_kind kind, unsigned int *lock, bool write, const void *pc)
{
	struct op *op = op_begin(kind, lock, pc);

	op_about(op, op_place(op, lock, 4), write);
	check_memory(op);
	world_touched_word(op->region, op->offset);
	return op;
}

/* ------------------------------------------------------------------- locks */

/* @pc: NULL: it did not wait for it, so it is in no order with others. */
static inline void took(unsigned int *lock, const void *pc)
{
	struct thread *t = self();

	if (unlikely(t->nheld == MAX_HELD))
		locks_too_many(pc);
	if (t->nheld && pc)
		locks_in_order(lock, pc);
	t->times_held[t->nheld] = 1;
	t->held[t->nheld++] = lock;
}

static inline void dropped(struct thread *t, const unsigned int *lock)
{
	unsigned int i = t->nheld;

	while (i && t->held[i - 1] != lock)
		i--;
	if (unlikely(!i))
		return;
	t->nheld--;
	for (; i <= t->nheld; i++) {
		t->held[i - 1] = t->held[i];
		t->times_held[i - 1] = t->times_held[i];
	}
}

static inline __attribute__((always_inline)) void
take(unsigned int *lock, enum op_kind kind, enum trace_kind row, const void *pc)
{
	bool reads = kind == OP_READ_LOCK;
	struct op *op;

	if (unlikely(*lock & mine()))
		misused(UHMM_DEFECT_DEADLOCK, reads ?
			"CPU%u read-locks %s again: a writer between the two "
			"would stop it" : "CPU%u locks %s, which it holds",
			lock, pc);
	op = begin(kind, lock, !reads, pc);
	if (!x.solo) {
		checkpoint_before_lock();
		op_point();
	}
	check_memory(op);
	*lock |= mine() | (reads ? 0 : LOCK_WRITER);
	memory_acquire_object(object_touched(op));
	op_watch(op->touch->object);
	took(lock, pc);
	if (!x.solo)
		record_row(row, lock, pc);
}

void explore_lock(unsigned int *lock, const void *pc)
{
	if (alone())
		*lock = LOCK_WRITER | 1;
	else
		take(lock, OP_LOCK, TRACE_LOCK, pc);
}

void explore_read_lock(unsigned int *lock, const void *pc)
{
	if (alone())
		*lock = 1;
	else
		take(lock, OP_READ_LOCK, TRACE_READ_LOCK, pc);
}

static bool is_tried(const struct op *op)
{
	return x.tried[op->touch->object];
}

static void learn_tried(uint16_t number)
{
	if (x.tried[number])
		return;
	x.tried[number] = true;
	if (!x.solo)
		execution_stop(END_RESTART);
}

static bool try(unsigned int *lock, enum op_kind kind, unsigned int in_the_way,
		enum trace_kind kind_of_row, const void *pc)
{
	bool reads = kind == OP_READ_TRYLOCK;
	struct trace_event *row;
	struct op *op;
	bool got;

	op = begin(kind, lock, true, pc);
	learn_tried(op->touch->object);
	if (!x.solo)
		op_point();
	got = !(*lock & in_the_way);
	if (got) {
		*lock |= mine() | (reads ? 0 : LOCK_WRITER);
		memory_acquire_object(object_touched(op));
		took(lock, NULL);
	}
	op_watch(op->touch->object);
	if (x.solo)
		return got;
	row = record_row(kind_of_row, lock, pc);
	row->flags |= got ? 0 : TRACE_FAILED;
	return got;
}

bool explore_trylock(unsigned int *lock, const void *pc)
{
	if (!alone())
		return try(lock, OP_TRYLOCK, ~0U, TRACE_TRYLOCK, pc);
	*lock = LOCK_WRITER | 1;
	return true;
}

bool explore_read_trylock(unsigned int *lock, const void *pc)
{
	if (!alone())
		return try(lock, OP_READ_TRYLOCK, LOCK_WRITER,
			   TRACE_READ_TRYLOCK, pc);
	*lock = 1;
	return true;
}

/*
 * Nobody decides on it, it goes with the step before it; who takes the lock comes
 * after it. Of one of several readers that is kept in the place of its buffer,
 * which has nothing to do with locks.
 */
static inline void commit_silently(struct thread *t, const struct op *op,
				   bool write)
{
	struct object *object = object_touched(op);
	unsigned int reader = x.self + MAX_THREADS;

	if (write) {
		object->newest = (int16_t)x.nevents;
	} else {
		object->last_read[reader] = (int16_t)x.nevents;
		object->readers |= (uint16_t)(1U << reader);
	}
	thread_tick(t, x.self);
	event_add(x.self, op->kind, -1, &t->clock);
	if (write)
		object_changed(op->touch->object);
}

static inline __attribute__((always_inline)) void
give(unsigned int *lock, enum op_kind kind, enum trace_kind row, const void *pc)
{
	bool reads = kind == OP_READ_UNLOCK;
	unsigned int left = *lock & ~(mine() | LOCK_WRITER);
	struct thread *t = self();
	struct op *op;

	if (unlikely(!(*lock & mine())))
		misused(UHMM_DEFECT_ASSERTION,
			"CPU%u unlocks %s, which it does not hold", lock, pc);
	op = begin(kind, lock, !reads, pc);
	if (likely(!x.solo)) {
		if (unlikely(is_tried(op)))
			op_point();
		else
			commit_silently(t, op, !reads);
		record_row(row, lock, pc);
	}
	dropped(t, lock);
	if (unlikely(t->nbuffered) && !reads && !is_tried(op)) {
		op->store_object = op->touch->object;
		op->size = 4;
		op->value = 0;
		op->order = __ATOMIC_RELEASE;
		memory_buffer_unlock(op);
		return;
	}
	memory_release_object(object_touched(op));
	*lock = left;
}

void explore_unlock(unsigned int *lock, const void *pc)
{
	if (alone())
		*lock = 0;
	else
		give(lock, OP_UNLOCK, TRACE_UNLOCK, pc);
}

void explore_read_unlock(unsigned int *lock, const void *pc)
{
	if (alone())
		*lock = 0;
	else
		give(lock, OP_READ_UNLOCK, TRACE_READ_UNLOCK, pc);
}

void explore_downgrade(unsigned int *lock, const void *pc)
{
	struct op *op;

	if (alone())
		return;
	op = begin(OP_UNLOCK, lock, true, pc);
	if (!x.solo && is_tried(op))
		op_point();
	else if (!x.solo)
		commit_silently(self(), op, true);
	memory_release_object(object_touched(op));
	*lock &= ~LOCK_WRITER;
}

/* ------------------------------------------------------------------- sleeping */

/* To sleep, and awake again: 0 or -ETIMEDOUT. */
static int sleep_in(void *queue, int64_t timeout_ns, const void *pc)
{
	struct thread *t = self();
	bool any_time = timeout_ns >= 0 &&
			x.scenario->flags & UHMM_SCENARIO_TIMEOUTS;
	uint16_t object = any_time ? object_of_queue(queue) : 0;
	struct trace_event *row;
	struct op *op;

	t->sleeps++;
	t->deadline = timeout_ns < 0 ? -1 : x.now + timeout_ns;
	op = op_begin(OP_SLEEP, queue, pc);
	if (any_time)
		op_touch(op, object, true);
	if (!t->woken && t->deadline < 0)
		x.parked |= 1U << x.self;
	op_point();
	if (!t->woken) {
		t->timed_out = true;
		if (t->deadline > x.now)
			x.now = t->deadline;
	}
	t->queue = NULL;
	t->deadline = -1;
	t->nwatched = 0;
	memory_acquire_object(object_now(object_of_queue(queue)));
	row = record_row(TRACE_WOKEN, queue, pc);
	row->flags |= t->timed_out ? TRACE_TIMEOUT : 0;
	return t->timed_out ? -ETIMEDOUT : 0;
}

/* From here on whoever wakes the queue wakes this thread. */
static void enter(void *queue)
{
	struct thread *t = self();

	t->woken = t->timed_out = false;
	t->wake_clock = (union clock){ 0 };
	t->queue = queue;
}

static struct op *enqueue(void *queue, const void *pc)
{
	uint16_t object = object_of_queue(queue);
	struct op *op = op_begin(OP_WAIT, queue, pc);

	op_about(op, object, true);
	return op;
}

int explore_wait(unsigned int *word, unsigned int value, int64_t timeout_ns,
		 const void *pc)
{
	struct trace_event *row;
	struct op *op;

	if (alone())
		return 0;
	locks_may_sleep("a wait", pc);
	op = enqueue(word, pc);
	op_touch(op, op_place(op, word, 4), false);
	op->size = 4;
	op->value = value;
	op_point();
	race_atomic(op, 4, false);
	row = record_row(TRACE_WAIT, word, pc);
	row->value = value;
	memory_acquire_object(object_now(object_of_queue(word)));
	memory_release_object(object_now(object_of_queue(word)));
	if (*(volatile unsigned int *)word != value) {
		row->flags |= TRACE_FAILED;
		return 0;
	}
	enter(word);
	return sleep_in(word, timeout_ns, pc);
}

static unsigned int sleepers(const void *queue, unsigned int *ret)
{
	unsigned int n = 0;

	for (unsigned int left = x.live; left; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(left);

		if (x.threads[i].queue == queue && !x.threads[i].woken)
			ret[n++] = i;
	}
	return n;
}

static void wake(void *queue, bool all, const void *pc)
{
	unsigned int who[MAX_THREADS], n, first = 0, last;
	struct object *object;
	struct trace_event *row;
	struct op *op;

	if (alone())
		return;
	op = op_begin(OP_WAKE, queue, pc);
	op_about(op, object_of_queue(queue), true);
	if (!x.solo)
		op_point();
	object = object_now(op->touch->object);
	memory_acquire_object(object);
	memory_release_object(object);
	n = sleepers(queue, who);
	last = n;
	if (!all && n) {
		first = op_choose(n);
		last = first + 1;
	}
	for (unsigned int i = first; i < last; i++) {
		x.threads[who[i]].woken = true;
		x.parked &= ~(1U << who[i]);
		x.threads[who[i]].wake_clock = self()->clock;
	}
	if (x.solo)
		return;
	row = record_row(TRACE_WAKE, queue, pc);
	row->value = last - first;
}

void explore_wake(unsigned int *word, const void *pc)
{
	wake(word, true, pc);
}

void explore_cond_wake(void *cond, bool all, const void *pc)
{
	wake(cond, all, pc);
}

int explore_cond_wait(void *cond, unsigned int *lock, int64_t timeout_ns,
		      const void *pc)
{
	int ret;

	if (alone())
		return 0;
	locks_may_sleep("a wait", pc);
	enqueue(cond, pc);
	op_point();
	enter(cond);
	record_row(TRACE_WAIT, cond, pc);
	memory_release_object(object_now(object_of_queue(cond)));
	explore_unlock(lock, pc);
	ret = sleep_in(cond, timeout_ns, pc);
	explore_lock(lock, pc);
	return ret;
}

/* -------------------------------------------------------------------- others */

void explore_membarrier(const void *pc)
{
	struct op *op;

	if (x.weaken && weaken_at(pc))
		return;
	__tsan_atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (alone() || x.solo || x.model == UHMM_MODEL_SC)
		return;
	if (!x.membarriers) {
		x.membarriers = true;
		execution_stop(END_RESTART);
	}
	for (unsigned int i = 0; i < x.nthreads; i++) {
		/* One that has ended passed a fence since. */
		if (i == x.self)
			continue;
		op = op_begin(OP_MEMBARRIER, NULL, pc);
		op->value = i;
		op_touch(op, (uint16_t)(OBJECT_THREAD + i), true);
		op_touch(op, OBJECT_SC, true);
		op_point();
		memory_membarrier(i);
		record_row(TRACE_MEMBARRIER, NULL, pc)->value = i;
	}
	__tsan_atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void explore_fence(const void *pc)
{
	if (!x.weaken || !weaken_at(pc))
		__tsan_atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void explore_yield(const void *pc)
{
	struct thread *t = self();

	if (alone() || x.solo)
		return;
	if (!x.yields) {
		x.yields = true;
		execution_stop(END_RESTART);
	}
	op_begin(OP_YIELD, NULL, pc);
	op_point();
	if (!t->exempt)
		t->spins = 0;
	t->exempt = false;
	if (x.model == UHMM_MODEL_C11)
		memory_yielded();
	t->nwatched = 0;
	record_row(TRACE_YIELD, NULL, pc);
}

/* As long as it takes is what any step may take. */
void explore_sleep(int64_t ns, const void *pc)
{
	if (alone())
		return;
	locks_may_sleep("a sleep", pc);
	self()->sleeps++;
	explore_yield(pc);
}

int64_t explore_now(void)
{
	return x.now;
}

unsigned int explore_self(void)
{
	return x.inside ? x.self : 0;
}

/* Who learns that it has ended sees, as the kernel does it, all it has done. */
bool explore_thread_ended(unsigned int thread)
{
	if (thread >= x.nthreads)
		return true;
	if (x.threads[thread].ended)
		memory_joined(thread);
	return x.threads[thread].ended;
}

void explore_at_exit(void (*fn)(void))
{
	if (!alone())
		self()->at_exit = fn;
}

unsigned long explore_sleeps(void)
{
	return alone() ? 0 : self()->sleeps;
}
