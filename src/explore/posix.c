/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Threads, locks, memory and time of POSIX. The objects that are explored are
 * linked with --wrap=NAME for each of these, see explore.link; so the explorer
 * itself, and whatever it is part of, has libc's. Outside of an execution the
 * explored objects have them as well.
 */
#include "posix.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "order.h"
#include "step.h"
#include "tsan.h"
#include "world.h"

#define PC __builtin_return_address(0)
#define NSEC_PER_SEC 1000000000LL

/* ------------------------------------------------------------------- threads */

static unsigned int twin_of(unsigned int number)
{
	const struct thread *t = &x.threads[number];

	if (!(x.scenario->flags & UHMM_SCENARIO_SYMMETRIC) || number < 2 ||
	    x.threads[number - 1].fn != t->fn ||
	    x.threads[number - 1].arg != t->arg)
		return 0;
	return number;
}

static void thread_clear(struct thread *t)
{
	memset(t, 0, offsetof(struct thread, clock));
	t->clock = t->first_clock = (union clock){ 0 };
	t->hb_acquire = t->hb_release = (union times){ 0 };
	view_clear(&far_of(t)->view_acquire);
	view_clear(&far_of(t)->view_release);
	t->used = true;
	t->deadline = -1;
	t->name = NULL;
}

int W(pthread_create)(pthread_t *thread, const pthread_attr_t *attr,
		      void *(*fn)(void *), void *arg)
{
	unsigned int number;
	struct thread *t;

	if (!x.inside)
		return pthread_create(thread, attr, fn, arg);
	setup_is_over();
	number = x.nthreads;
	if (number == MAX_THREADS)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, PC,
			      "more than %d threads", MAX_THREADS);
	op_begin(OP_CREATE, NULL, PC);
	op_point();
	t = &x.threads[number];
	thread_clear(t);
	t->fn = fn;
	t->arg = arg;
	t->clock = self()->clock;
	t->op.kind = OP_START;
	t->op.ntouch = 0;
	if (x.membarriers) {
		t->op.touch[0].object = (uint16_t)(OBJECT_THREAD + number);
		t->op.touch[0].write = false;
		t->op.ntouch = 1;
	}
	t->twin = (uint8_t)twin_of(number);
	x.nthreads++;
	x.live |= 1U << number;
	x.waits &= ~(1U << number);
	memory_thread(x.self, number);
	t->hb.at[number] = 1;
	thread_start(number);
	x.solo = false;
	x.concurrent = true;
	record_row(TRACE_CREATE, NULL, PC)->value = number;
	world_touched_at(thread, sizeof(*thread));
	*thread = (pthread_t)(number + 1);
	return 0;
}

static void look_whether_alone(void)
{
	for (unsigned int i = 0; i < x.nthreads; i++)
		if (i != x.self && !x.threads[i].joined)
			return;
	memory_drain_alone();
	x.solo = true;
}

/*
 * It is nobody's turn but this thread's, so there is nothing to decide, and what
 * there is to wait for has come.
 */
static bool may_join_at_once(void)
{
	return x.live == 1U << x.self && x.model != UHMM_MODEL_TSO &&
	       !x.membarriers;
}

static void join_at_once(unsigned int number)
{
	struct thread *t = self();

	clock_join(&t->clock, &x.threads[number].clock);
	thread_tick(t, x.self);
	step_counts(t);
	event_add(x.self, OP_JOIN, -1, &t->clock);
}

static void join_in_turn(unsigned int number, const void *pc)
{
	struct op *op = op_begin(OP_JOIN, NULL, pc);

	op->value = number;
	if (!x.threads[number].ended)
		x.parked |= 1U << x.self;
	op_point();
}

int W(pthread_join)(pthread_t thread, void **result)
{
	unsigned int number = (unsigned int)thread - 1;

	if (!x.inside)
		return pthread_join(thread, result);
	if (number >= x.nthreads || x.threads[number].joined ||
	    x.threads[number].detached)
		return ESRCH;
	if (number == x.self)
		return EDEADLK;
	locks_may_sleep("a join", PC);
	if (may_join_at_once())
		join_at_once(number);
	else
		join_in_turn(number, PC);
	x.threads[number].joined = true;
	memory_joined(number);
	if (result)
		world_touched_at(result, sizeof(*result));
	if (result)
		*result = x.threads[number].result;
	record_row(TRACE_JOIN, NULL, PC)->value = number;
	look_whether_alone();
	return 0;
}

int W(pthread_detach)(pthread_t thread)
{
	if (!x.inside)
		return pthread_detach(thread);
	x.threads[thread - 1].detached = true;
	return 0;
}

void W(pthread_exit)(void *result)
{
	if (!x.inside)
		pthread_exit(result);
	self()->result = result;
	thread_end();
}

pthread_t W(pthread_self)(void)
{
	return x.inside ? (pthread_t)(x.self + 1) : pthread_self();
}

#define ONCE_DONE 2

static bool from_zero(uint64_t *value, const struct op *op, uint64_t arg)
{
	if (*value)
		return false;
	*value = op->value;
	return true;
}

/* Is it the caller who is to do it? */
static bool once_begin(pthread_once_t *once, const void *pc)
{
	return !tsan_rmw(once, 4, from_zero, 1, 0, __ATOMIC_ACQUIRE,
			 __ATOMIC_ACQUIRE, pc);
}

int W(pthread_once)(pthread_once_t *once, void (*fn)(void))
{
	if (!x.inside)
		return pthread_once(once, fn);
	if (x.solo) {
		if (!*once)
			fn();
		world_touched_at(once, sizeof(*once));
		*once = ONCE_DONE;
		return 0;
	}
	if (tsan_load(once, 4, __ATOMIC_ACQUIRE, PC) == ONCE_DONE)
		return 0;
	if (!once_begin(once, PC)) {
		while (tsan_load(once, 4, __ATOMIC_ACQUIRE, PC) != ONCE_DONE)
			explore_yield(PC);
		return 0;
	}
	fn();
	if (x.solo)
		*once = ONCE_DONE;
	else
		tsan_store(once, 4, ONCE_DONE, __ATOMIC_RELEASE, PC);
	return 0;
}

/* No execution forks. */
int W(pthread_atfork)(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void))
{
	return x.inside ? 0 : pthread_atfork(prepare, parent, child);
}

/* ------------------------------------------------------- thread-specific data */

#define MAX_KEYS 16

static struct keys {
	unsigned int n;
	void (*fn[MAX_KEYS])(void *);
	void *value[MAX_THREADS][MAX_KEYS];
} keys;

void keys_forget(void)
{
	memset(&keys, 0, sizeof(keys));
}

void *keys_state(size_t *ret_size)
{
	*ret_size = keys_bytes(&keys);
	return &keys;
}

/* Of a copy of what keys_state() returned: most programs have no keys. */
size_t keys_bytes(const void *copy)
{
	unsigned int n;

	memcpy(&n, copy, sizeof(n));
	return n ? sizeof(keys) : sizeof(n);
}

int W(pthread_key_create)(pthread_key_t *key, void (*fn)(void *))
{
	if (!x.inside)
		return pthread_key_create(key, fn);
	if (keys.n == MAX_KEYS)
		return EAGAIN;
	for (unsigned int i = 0; i < MAX_THREADS; i++)
		keys.value[i][keys.n] = NULL;
	keys.fn[keys.n] = fn;
	*key = keys.n++;
	return 0;
}

int W(pthread_key_delete)(pthread_key_t key)
{
	if (!x.inside)
		return pthread_key_delete(key);
	keys.fn[key] = NULL;
	return 0;
}

int W(pthread_setspecific)(pthread_key_t key, const void *value)
{
	if (!x.inside)
		return pthread_setspecific(key, value);
	keys.value[x.self][key] = (void *)value;
	return 0;
}

void *W(pthread_getspecific)(pthread_key_t key)
{
	return x.inside ? keys.value[x.self][key] : pthread_getspecific(key);
}

void keys_end(void)
{
	for (unsigned int i = 0; i < keys.n; i++) {
		void *value = keys.value[x.self][i];

		keys.value[x.self][i] = NULL;
		if (value && keys.fn[i])
			keys.fn[i](value);
	}
}

/* ---------------------------------------------------------------------- locks */

static unsigned int *word(void *lock)
{
	return lock;
}

int W(pthread_mutex_init)(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	return pthread_mutex_init(m, attr);
}

int W(pthread_mutex_destroy)(pthread_mutex_t *m)
{
	char name[64];

	if (x.inside && *word(m))
		execution_bad(UHMM_DEFECT_ASSERTION, PC,
			      "%s is destroyed, and is held",
			      name_of(m, name, sizeof(name)));
	return 0;
}

static int kind_of(const pthread_mutex_t *m)
{
	return m->__data.__kind & 3;
}

/* How often a recursive one is held. */
static uint8_t *depth_of(pthread_mutex_t *m)
{
	for (unsigned int i = 0; i < self()->nheld; i++)
		if (self()->held[i] == m)
			return &self()->times_held[i];
	return NULL;
}

static int mutex_lock_at(pthread_mutex_t *m, const void *pc)
{
	if (explore_lock_mine(word(m))) {
		if (kind_of(m) == PTHREAD_MUTEX_ERRORCHECK_NP)
			return EDEADLK;
		if (kind_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) {
			++*depth_of(m);
			return 0;
		}
	}
	locks_may_sleep("a lock", pc);
	explore_lock(word(m), pc);
	return 0;
}

int W(pthread_mutex_lock)(pthread_mutex_t *m)
{
	return x.inside ? mutex_lock_at(m, PC) : pthread_mutex_lock(m);
}

int W(pthread_mutex_trylock)(pthread_mutex_t *m)
{
	if (!x.inside)
		return pthread_mutex_trylock(m);
	if (explore_lock_mine(word(m)) &&
	    kind_of(m) == PTHREAD_MUTEX_RECURSIVE_NP) {
		++*depth_of(m);
		return 0;
	}
	return explore_trylock(word(m), PC) ? 0 : EBUSY;
}

int W(pthread_mutex_timedlock)(pthread_mutex_t *m, const struct timespec *at)
{
	if (!x.inside)
		return pthread_mutex_timedlock(m, at);
	if (explore_lock_mine(word(m)))
		return mutex_lock_at(m, PC);
	return explore_trylock(word(m), PC) ? 0 : ETIMEDOUT;
}

int W(pthread_mutex_unlock)(pthread_mutex_t *m)
{
	uint8_t *depth;

	if (!x.inside)
		return pthread_mutex_unlock(m);
	depth = depth_of(m);
	if (!depth && kind_of(m) == PTHREAD_MUTEX_ERRORCHECK_NP)
		return EPERM;
	if (depth && *depth > 1)
		--*depth;
	else
		explore_unlock(word(m), PC);
	return 0;
}

int W(pthread_rwlock_init)(pthread_rwlock_t *l,
			   const pthread_rwlockattr_t *attr)
{
	return pthread_rwlock_init(l, attr);
}

int W(pthread_rwlock_destroy)(pthread_rwlock_t *l)
{
	return 0;
}

int W(pthread_rwlock_rdlock)(pthread_rwlock_t *l)
{
	if (!x.inside)
		return pthread_rwlock_rdlock(l);
	locks_may_sleep("a lock", PC);
	explore_read_lock(word(l), PC);
	return 0;
}

int W(pthread_rwlock_tryrdlock)(pthread_rwlock_t *l)
{
	if (!x.inside)
		return pthread_rwlock_tryrdlock(l);
	return explore_read_trylock(word(l), PC) ? 0 : EBUSY;
}

int W(pthread_rwlock_wrlock)(pthread_rwlock_t *l)
{
	if (!x.inside)
		return pthread_rwlock_wrlock(l);
	locks_may_sleep("a lock", PC);
	explore_lock(word(l), PC);
	return 0;
}

int W(pthread_rwlock_trywrlock)(pthread_rwlock_t *l)
{
	if (!x.inside)
		return pthread_rwlock_trywrlock(l);
	return explore_trylock(word(l), PC) ? 0 : EBUSY;
}

int W(pthread_rwlock_unlock)(pthread_rwlock_t *l)
{
	if (!x.inside)
		return pthread_rwlock_unlock(l);
	if (*word(l) >> 31)
		explore_unlock(word(l), PC);
	else
		explore_read_unlock(word(l), PC);
	return 0;
}

int W(pthread_spin_init)(pthread_spinlock_t *l, int shared)
{
	*(volatile unsigned int *)l = 0;
	return 0;
}

int W(pthread_spin_destroy)(pthread_spinlock_t *l)
{
	return 0;
}

int W(pthread_spin_lock)(pthread_spinlock_t *l)
{
	explore_lock((unsigned int *)(uintptr_t)l, PC);
	return 0;
}

int W(pthread_spin_trylock)(pthread_spinlock_t *l)
{
	return explore_trylock((unsigned int *)(uintptr_t)l, PC) ? 0 : EBUSY;
}

int W(pthread_spin_unlock)(pthread_spinlock_t *l)
{
	explore_unlock((unsigned int *)(uintptr_t)l, PC);
	return 0;
}

/* ------------------------------------------------------- condition variables */

int W(pthread_cond_init)(pthread_cond_t *c, const pthread_condattr_t *attr)
{
	return pthread_cond_init(c, attr);
}

int W(pthread_cond_destroy)(pthread_cond_t *c)
{
	return 0;
}

int W(pthread_cond_wait)(pthread_cond_t *c, pthread_mutex_t *m)
{
	if (!x.inside)
		return pthread_cond_wait(c, m);
	return -explore_cond_wait(c, word(m), -1, PC);
}

int W(pthread_cond_timedwait)(pthread_cond_t *c, pthread_mutex_t *m,
			      const struct timespec *at)
{
	int64_t left;

	if (!x.inside)
		return pthread_cond_timedwait(c, m, at);
	left = at->tv_sec * NSEC_PER_SEC + at->tv_nsec - x.now;
	return -explore_cond_wait(c, word(m), left < 0 ? 0 : left, PC);
}

int W(pthread_cond_signal)(pthread_cond_t *c)
{
	if (!x.inside)
		return pthread_cond_signal(c);
	explore_cond_wake(c, false, PC);
	return 0;
}

int W(pthread_cond_broadcast)(pthread_cond_t *c)
{
	if (!x.inside)
		return pthread_cond_broadcast(c);
	explore_cond_wake(c, true, PC);
	return 0;
}
