/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One bug of each class that the explorer names, and what looks like it and is
 * none.
 */
#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <uhmm/explore.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t n = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static atomic_int flag, turn;
static int plain;
static int *heap;

static void two(void *(*a)(void *), void *(*b)(void *))
{
	pthread_t t[2];

	pthread_create(&t[0], NULL, a, NULL);
	pthread_create(&t[1], NULL, b, NULL);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
}

#define BUG(name, a, b, want) \
	static void run_##name(void) \
	{ \
		two(a, b); \
	} \
	UHMM_SCENARIO(name, .run = run_##name, .bad = want)

/* ------------------------------------------------------------------- races */
static void *racer(void *arg)
{
	plain++;
	return NULL;
}
BUG(race, racer, racer, "data race");

static void *locked(void *arg)
{
	pthread_mutex_lock(&m);
	plain++;
	pthread_mutex_unlock(&m);
	return NULL;
}
BUG(race_not, locked, locked, "");

static void *reader(void *arg)
{
	pthread_rwlock_rdlock(&rw);
	atomic_store(&turn, plain);
	pthread_rwlock_unlock(&rw);
	return NULL;
}
static void *writer(void *arg)
{
	pthread_rwlock_wrlock(&rw);
	plain++;
	pthread_rwlock_unlock(&rw);
	return NULL;
}
BUG(rwlock_not, reader, writer, "");

static void *bad_writer(void *arg)
{
	pthread_rwlock_rdlock(&rw);
	plain++;
	pthread_rwlock_unlock(&rw);
	return NULL;
}
BUG(rwlock_race, reader, bad_writer, "data race");

static void *publish(void *arg)
{
	plain = 1;
	atomic_store_explicit(&flag, 1, memory_order_relaxed);
	return NULL;
}
static void *publish_release(void *arg)
{
	plain = 1;
	atomic_store_explicit(&flag, 1, memory_order_release);
	return NULL;
}
static void *consume(void *arg)
{
	if (atomic_load_explicit(&flag, memory_order_acquire))
		plain++;
	return NULL;
}
BUG(race_relaxed, publish, consume, "data race");
BUG(race_release_not, publish_release, consume, "");

/* What is released does not have what is written after it, before the next step. */
static void *publish_early(void *arg)
{
	atomic_store_explicit(&flag, 1, memory_order_release);
	plain = 1;
	return NULL;
}
BUG(race_after, publish_early, consume, "data race");

static void *unlock_early(void *arg)
{
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	plain = 1;
	return NULL;
}
static void *lock_and_read(void *arg)
{
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	return (void *)(intptr_t)plain;
}
BUG(race_unlocked, unlock_early, lock_and_read, "data race");

/* Accesses of which nothing is kept, until there is one of another kind. */
static void *read_only(void *arg)
{
	return (void *)(intptr_t)plain;
}
static void *load_only(void *arg)
{
	return (void *)(intptr_t)atomic_load(&flag);
}
static void *write_plain(void *arg)
{
	plain = 1;
	return NULL;
}
static void *write_flag(void *arg)
{
	*(volatile int *)&flag = 1;
	return NULL;
}
BUG(race_read, read_only, write_plain, "data race");
BUG(race_load, load_only, write_flag, "data race");
BUG(race_not_read, read_only, read_only, "");

/* What both do in turn is in order, since the lock is. */
static void *counting_reader(void *arg)
{
	pthread_rwlock_rdlock(&rw);
	atomic_fetch_add(&turn, 1);
	pthread_rwlock_unlock(&rw);
	return NULL;
}
static void *counting_writer(void *arg)
{
	pthread_rwlock_wrlock(&rw);
	atomic_store(&turn, 10);
	pthread_rwlock_unlock(&rw);
	return NULL;
}
BUG(reader_not, counting_reader, counting_writer, "");

static void run_readers_not(void)
{
	pthread_t reader;

	pthread_create(&reader, NULL, counting_reader, NULL);
	two(counting_reader, counting_writer);
	pthread_join(reader, NULL);
}
UHMM_SCENARIO(readers_not, .run = run_readers_not);

/* ------------------------------------------------------------------- memory */
static void *user(void *arg)
{
	pthread_mutex_lock(&m);
	*heap = 1;
	pthread_mutex_unlock(&m);
	return NULL;
}
static void *freer(void *arg)
{
	pthread_mutex_lock(&m);
	free(heap);
	pthread_mutex_unlock(&m);
	return NULL;
}
static void run_uaf(void)
{
	heap = malloc(sizeof(*heap));
	two(user, freer);
}
UHMM_SCENARIO(uaf, .run = run_uaf, .bad = "use after free");

/* -------------------------------------------------------------------- locks */
static void *lock_mn(void *arg)
{
	pthread_mutex_lock(&m);
	pthread_mutex_lock(&n);
	pthread_mutex_unlock(&n);
	pthread_mutex_unlock(&m);
	return NULL;
}
static void *lock_nm(void *arg)
{
	pthread_mutex_lock(&n);
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	pthread_mutex_unlock(&n);
	return NULL;
}
BUG(lock_order, lock_mn, lock_nm, "lock order");
BUG(lock_order_not, lock_mn, lock_mn, "");

/* Deadlock where no order of locks is wrong. */
static void *wait_holding(void *arg)
{
	pthread_mutex_lock(&n);
	pthread_mutex_lock(&m);
	while (!flag)
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
	pthread_mutex_unlock(&n);
	return NULL;
}
static void *wake_holding(void *arg)
{
	pthread_mutex_lock(&n);
	pthread_mutex_unlock(&n);
	pthread_mutex_lock(&m);
	flag = 1;
	pthread_cond_signal(&c);
	pthread_mutex_unlock(&m);
	return NULL;
}
BUG(held_wait, wait_holding, wake_holding, "lock held across a wait");

static void *sleeper(void *arg)
{
	if (!flag) {
		pthread_mutex_lock(&m);
		pthread_cond_wait(&c, &m);
		pthread_mutex_unlock(&m);
	}
	return NULL;
}
static void *waker(void *arg)
{
	flag = 1;
	pthread_mutex_lock(&m);
	pthread_cond_broadcast(&c);
	pthread_mutex_unlock(&m);
	return NULL;
}
BUG(lost_wakeup, sleeper, waker, "lost wakeup");

static void *careful_sleeper(void *arg)
{
	pthread_mutex_lock(&m);
	while (!flag)
		pthread_cond_wait(&c, &m);
	pthread_mutex_unlock(&m);
	return NULL;
}
BUG(wakeup_not, careful_sleeper, waker, "");

static void *no_sleep(void *arg)
{
	uhmm_no_sleep(true);
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	uhmm_no_sleep(false);
	return NULL;
}
BUG(sleeps, no_sleep, locked, "sleep where none is allowed");

/* Each waits for the other one to have a lock, so no order comes before it. */
static void *m_then_n(void *arg)
{
	pthread_mutex_lock(&m);
	atomic_store(&flag, 1);
	while (!atomic_load(&turn))
		sched_yield();
	pthread_mutex_lock(&n);
	pthread_mutex_unlock(&n);
	pthread_mutex_unlock(&m);
	return NULL;
}
static void *n_then_m(void *arg)
{
	pthread_mutex_lock(&n);
	atomic_store(&turn, 1);
	while (!atomic_load(&flag))
		sched_yield();
	pthread_mutex_lock(&m);
	pthread_mutex_unlock(&m);
	pthread_mutex_unlock(&n);
	return NULL;
}
BUG(lock_cycle, m_then_n, n_then_m, "deadlock");

/* ---------------------------------------------------------------- for ever */
static void *spin(void *arg)
{
	while (!flag)
		sched_yield();
	return NULL;
}
static void *forgets(void *arg)
{
	atomic_store(&turn, 1);
	return NULL;
}
static void *sets(void *arg)
{
	flag = 1;
	return NULL;
}
BUG(livelock, spin, forgets, "livelock");
BUG(spin_not, spin, sets, "");

static void *spin_hard(void *arg)
{
	while (!flag)
		;
	return NULL;
}
BUG(too_long, spin_hard, forgets, "too long");

/* Each gives way to the other. */
static void give_way(atomic_int *mine, atomic_int *other)
{
	for (;;) {
		atomic_store(mine, 1);
		if (!atomic_load(other))
			break;
		atomic_store(mine, 0);
	}
	atomic_store(mine, 0);
}
static void *polite(void *arg)
{
	give_way(&flag, &turn);
	return NULL;
}
static void *polite_too(void *arg)
{
	give_way(&turn, &flag);
	return NULL;
}
BUG(politeness, polite, polite_too, "livelock");

/* ------------------------------------------------------------------- others */
static void *asserts(void *arg)
{
	assert(!flag);
	return NULL;
}
BUG(assertion, asserts, sets, "assertion");
/* The first execution of a search is bad, not all of them. */
BUG(bad_at_once, sets, asserts, "assertion");

static void *loses(void *arg)
{
	uhmm_defect(UHMM_DEFECT_LOST, "in any order");
	return NULL;
}
BUG(bad_always, sets, loses, "lost invalidation");

static void *chooses(void *arg)
{
	uhmm_assert(uhmm_choose(7) != 5);
	return NULL;
}
BUG(choice, chooses, sets, "assertion");

/* It ends the same way whatever is chosen, so that all engines see all of it. */
static void *chooses_not(void *arg)
{
	turn += 1 + (int)uhmm_choose(3) + (int)uhmm_choose(2);
	return NULL;
}
BUG(choice_not, chooses_not, chooses_not, "");

static void *reads(void *arg)
{
	char byte;

	return (void *)(long)read(0, &byte, 1);
}
BUG(unknown_call, reads, sets, "unsupported");

/* As gcc calls it for an order that it does not know; clang makes it relaxed. */
int load_of(const volatile void *addr, int order) __asm__("__tsan_atomic32_load");

static void *wrong_order(void *arg)
{
	return (void *)(long)load_of(&turn, memory_order_release);
}
BUG(unknown_order, wrong_order, sets, "unsupported");

/*
 * Bad takes five preemptions. That a thread yields, which it does only where another
 * has not begun for long, is seldom known when that is found, but when it is simplified.
 */
static atomic_int came_last, swaps;
static void comes_three_times(int me)
{
	for (int i = 0; i < 3; i++)
		if (atomic_exchange(&came_last, me) == 3 - me)
			atomic_fetch_add(&swaps, 1);
}
static void *begins(void *arg)
{
	atomic_store(&flag, 1);
	comes_three_times(1);
	return NULL;
}
static void *yields_alone(void *arg)
{
	int begun = 0;

	comes_three_times(2);
	for (int i = 0; i < 20; i++)
		begun |= atomic_load(&flag);
	if (!begun)
		sched_yield();
	return NULL;
}
static void run_learnt_late(void)
{
	void *(*const all[])(void *) = { begins, yields_alone, locked };
	pthread_t t[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, all[i], NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	assert(swaps < 5);
}
UHMM_SCENARIO(learnt_late, .run = run_learnt_late, .bad = "assertion");

/* Some threads in a crowd. */
static void *looks_twice(void *arg)
{
	assert(atomic_load(&flag) == atomic_load(&flag));
	return NULL;
}
static void run_crowd(void)
{
	void *(*const all[])(void *) = { locked, looks_twice, locked, sets };
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, all[i], NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}
UHMM_SCENARIO(crowd, .run = run_crowd, .bad = "assertion");

/* Bad is one order of many that leave the same behind on their way. */
static atomic_int was_last, twice;
static void *takes_turns(int me)
{
	for (int i = 0; i < 8; i++)
		if (atomic_exchange(&was_last, me) == me)
			atomic_store(&twice, 1);
	return NULL;
}
static void *turns_of_1(void *arg)
{
	return takes_turns(1);
}
static void *turns_of_2(void *arg)
{
	return takes_turns(2);
}
static void run_in_turn(void)
{
	two(turns_of_1, turns_of_2);
	uhmm_assert(atomic_load(&twice));
}
UHMM_SCENARIO(in_turn, .run = run_in_turn, .bad = "assertion");
BUG(in_turn_not, turns_of_1, turns_of_2, "");

/* Bad, or not, before there is a second thread. */
static void run_at_once(void)
{
	uhmm_defect(UHMM_DEFECT_LOST, "by page %d", 7);
	two(sets, sets);
}
UHMM_SCENARIO(at_once, .run = run_at_once, .bad = "lost invalidation");
static void run_alone_not(void)
{
	uhmm_assert(!plain);
}
UHMM_SCENARIO(alone_not, .run = run_alone_not, .bad = "");

/* What libc remembers is another thing in each execution. */
static void *uncontrolled(void *arg)
{
	if (random() & 1)
		atomic_store(&turn, 1);
	return NULL;
}
BUG(two_courses, uncontrolled, sets, "error");

/* ----------------------------------------------------------- two-word cases */
static pthread_key_t key;
static __thread int local;
static void *locals(void *arg)
{
	local++;
	pthread_mutex_lock(&m);
	assert(local == 1);
	pthread_mutex_unlock(&m);
	return NULL;
}
BUG(tls_not, locals, locals, "");
static void key_gone(void *value)
{
	atomic_fetch_add(&turn, (int)(long)value);
}
static void *keyed(void *arg)
{
	pthread_setspecific(key, (void *)1L);
	return NULL;
}
static void run_keys(void)
{
	pthread_key_create(&key, key_gone);
	two(keyed, keyed);
	uhmm_assert(turn == 2);
}
UHMM_SCENARIO(keys_not, .run = run_keys, .bad = "");

static void *try_lock(void *arg)
{
	if (!pthread_mutex_trylock(&m)) {
		plain++;
		pthread_mutex_unlock(&m);
	} else {
		flag = 1;
	}
	return NULL;
}
static void run_trylock(void)
{
	two(try_lock, try_lock);
	uhmm_assert(!flag);
}
UHMM_SCENARIO(trylock_fails, .run = run_trylock, .bad = "assertion");
