/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whoever holds a lock loses its CPU: a thread that inserts and removes is
 * stopped for a millisecond, again and again, wherever it happens to be, while
 * a thread on another CPU wants something elsewhere in the address space.
 *
 * The stop is a timer's signal whose handler spins in the victim, which needs
 * no privilege, and lets go of no lock. What the other one wants it wants at
 * times that are fixed beforehand, and waits from those: else it would count a
 * wait of a millisecond once, and thousands that waited for nothing beside it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"

#include "sync/sync.h"

#define STOP_NS MS
#define GAP_NS MS		/* at least, between stops; at most twice that */
#define EACH_NS 10000		/* one operation is wanted each so often */
#define WANTED 25000
#define REST_NS (60 * MS)
#define VICTIM_SIGNAL SIGRTMIN

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* For the handler: there is one victim at a time. */
static struct {
	const struct arena *arena;
	timer_t timer;
	unsigned long rng;
	unsigned int stops;
	unsigned int locked;	/* of these, those in which it held the lock */
} victim;

static void next_stop(void)
{
	struct itimerspec when = { 0 };

	victim.rng = victim.rng * 6364136223846793005UL + 1442695040888963407UL;
	when.it_value.tv_nsec = GAP_NS + (long)((victim.rng >> 33) % GAP_NS);
	timer_settime(victim.timer, 0, &when, NULL);
}

/* If the lock was never free the victim has it: everybody else lets go. */
static void stop_victim(int signal)
{
	int64_t until = bench_now() + STOP_NS;
	const struct arena *a = victim.arena;
	bool locked = true;

	do
		locked = locked && a->ops->locked(a->world);
	while (bench_now() < until);
	victim.stops++;
	victim.locked += locked;
	next_stop();
}

static void be_victim(struct beside *beside)
{
	const bool *stopped = beside->arg;
	const struct arena *a = victim.arena;
	struct sigevent event = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = VICTIM_SIGNAL,
	};
	struct sigaction action = { .sa_handler = stop_victim };

	event.sigev_notify_thread_id = gettid();
	sigaction(VICTIM_SIGNAL, &action, NULL);
	if (timer_create(CLOCK_MONOTONIC, &event, &victim.timer))
		abort();
	if (*stopped)
		next_stop();
	while (!READ_ONCE(beside->stop))
		a->ops->device_slice[DEVICE_INSERT](a->device[1], 16);
	timer_delete(victim.timer);
}

/* From when it was wanted until it was done. */
static struct quartiles wait_times(struct bench *b, const struct arena *a,
				   enum device_op op)
{
	static double took[WANTED];
	int64_t begun = bench_now(), wanted;
	unsigned int n;

	for (n = 0; n < WANTED && (n % 1024 || !bench_over(b)); n++) {
		wanted = begun + (int64_t)n * EACH_NS;
		while (bench_now() < wanted)
			cpu_relax();
		a->ops->device_slice[op](a->device[0], 1);
		took[n] = (double)(bench_now() - wanted);
	}
	return bench_quartiles(took, n);
}

/* Real-time threads that never rest are throttled: that is a stop, too. */
static void rest(void)
{
	struct timespec ts = { 0, REST_NS };

	nanosleep(&ts, NULL);
}

static void wait_beside(struct bench *b, const struct ops *ops,
			enum device_op op, const char *what, bool stopped)
{
	struct beside beside = { .fn = be_victim, .arg = &stopped };
	char test[64];
	struct figure figure = {
		.section = "Beside a thread that inserts and removes, "
			   "stopped for 1 ms now and then",
		.test = test, .who = ops->name, .n = SUBS, .unit = "ns",
	};
	struct arena arena;

	arena_make(&arena, ops, b, false);
	memset(&victim, 0, sizeof(victim));
	victim.arena = &arena;
	rest();
	beside_begin(&beside);
	figure.value = wait_times(b, &arena, op);
	beside_end(&beside);
	snprintf(test, sizeof(test), "%s, %s", what,
		 stopped ? "stopped" : "running");
	bench_figure(b, &figure);
	if (stopped && victim.stops) {
		snprintf(test, sizeof(test), "%s, stops with the lock", what);
		figure.unit = "%";
		figure.value = bench_one(100.0 * victim.locked / victim.stops);
		bench_figure(b, &figure);
	}
	arena_drop(&arena);
}

void bench_preempted(struct bench *b)
{
	static const struct {
		enum device_op op;
		const char *what;
	} rows[] = {
		{ DEVICE_HIT1, "start + end" },
		{ DEVICE_READ, "begin + retry" },
		{ DEVICE_INSERT, "remove + insert" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows) * 2 * SCHEMES; i++) {
		unsigned int row = i / (2 * SCHEMES);

		if (bench_over(b))
			return;
		wait_beside(b, schemes[i % SCHEMES], rows[row].op,
			    rows[row].what, i / SCHEMES % 2);
	}
}
