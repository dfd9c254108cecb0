/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Two threads and more, the library against the kernel's scheme: disjoint
 * ranges side by side, waiting for what is not one's own, faults under a
 * storm, invalidations that never leave a gap, a lock holder that is stopped,
 * more threads than CPUs.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "arena.h"

#include "sync/sync.h"

/* --------------------------------------------------- disjoint ranges (T10) */

#define WINDOW_NS (10 * MS)
#define ROUNDS 41

enum { SOLO = DEVICE_OPS };

/* What both do in a window; the second nothing if SOLO. */
static const struct mix {
	const char *name;
	int first, second;
} mixes[] = {
	{ "a reader alone", DEVICE_READ, SOLO },
	{ "a writer alone, hits 0", DEVICE_HIT0, SOLO },
	{ "a writer alone, hits its own", DEVICE_HIT1, SOLO },
	{ "reader beside writer that hits its own", DEVICE_READ, DEVICE_HIT1 },
	{ "writer that hits its own beside reader", DEVICE_HIT1, DEVICE_READ },
	{ "reader beside writer that hits 0", DEVICE_READ, DEVICE_HIT0 },
	{ "each of two readers", DEVICE_READ, DEVICE_READ },
	{ "each of two writers, own", DEVICE_HIT1, DEVICE_HIT1 },
	{ "each of two writers, hits 0", DEVICE_HIT0, DEVICE_HIT0 },
};
#define MIXES ARRAY_SIZE(mixes)
enum { SOLO_READ, SOLO_HIT0, SOLO_HIT1, READ_HIT1, HIT1_READ, READ_HIT0,
       TWO_READ, TWO_HIT1, TWO_HIT0 };

static double speeds[SCHEMES][MIXES];	/* million a second; 0: not measured */

struct job {
	const struct arena *arena;
	int op;
};

static void job_beside(struct beside *beside)
{
	const struct job *job = beside->arg;

	while (!READ_ONCE(beside->stop))
		job->arena->ops->device_slice[job->op](job->arena->device[1],
						       64);
}

/* Million operations a second of the first thread, < 0: it was disturbed. */
static double window(const struct arena *a, const struct mix *mix)
{
	struct job job = { a, mix->second };
	struct beside beside = { .fn = job_beside, .arg = &job };
	unsigned long done = 0;
	int64_t begun, now;
	long switches;

	if (mix->second != SOLO)
		beside_begin(&beside);
	else
		arena_realtime(true);
	a->ops->device_slice[mix->first](a->device[0], 1000);
	switches = bench_switches();
	begun = bench_now();
	do {
		a->ops->device_slice[mix->first](a->device[0], 64);
		done += 64;
		now = bench_now();
	} while (now < begun + WINDOW_NS);
	switches = bench_switches() - switches;
	if (mix->second != SOLO)
		beside_end(&beside);
	else
		arena_realtime(false);
	return switches ? -1 : (double)done * 1000 / (double)(now - begun);
}

static void disjoint(struct bench *b)
{
	static double sample[SCHEMES][MIXES][ROUNDS];
	int64_t until = bench_now() + bench_share(b, 8);
	unsigned int count[SCHEMES][MIXES] = { 0 };
	struct arena arenas[SCHEMES];
	struct figure figure = {
		.section = "Disjoint ranges, two threads: million a second",
		.n = SUBS, .unit = "M/s",
	};

	for (unsigned int s = 0; s < SCHEMES; s++)
		arena_make(&arenas[s], schemes[s], b, false);
	for (unsigned int r = 0; r < ROUNDS && bench_now() < until; r++)
		for (unsigned int i = 0; i < MIXES * SCHEMES; i++) {
			unsigned int m = i / SCHEMES, s = i % SCHEMES;
			double speed;

			if (bench_over(b))
				break;
			speed = window(&arenas[s], &mixes[m]);
			if (speed > 0)
				sample[s][m][count[s][m]++] = speed;
		}
	for (unsigned int i = 0; i < MIXES * SCHEMES; i++) {
		unsigned int m = i / SCHEMES, s = i % SCHEMES;

		figure.test = mixes[m].name;
		figure.who = schemes[s]->name;
		figure.value = bench_quartiles(sample[s][m], count[s][m]);
		speeds[s][m] = figure.value.median;
		bench_figure(b, &figure);
	}
	for (unsigned int s = 0; s < SCHEMES; s++)
		arena_drop(&arenas[s]);
}

static double part(double a, double of)
{
	return a > 0 && of > 0 ? a / of : -1;
}

static void judge_disjoint(struct bench *b)
{
	static const struct {
		const char *what;
		int both, alone;
	} rows[] = {
		{ "reader beside writer, of solo", READ_HIT1, SOLO_READ },
		{ "writer beside reader, of solo", HIT1_READ, SOLO_HIT1 },
		{ "reader beside writer (0), of solo", READ_HIT0, SOLO_READ },
		{ "two readers, of solo", TWO_READ, SOLO_READ },
		{ "two writers, own, of solo", TWO_HIT1, SOLO_HIT1 },
		{ "two writers, 0, of solo", TWO_HIT0, SOLO_HIT0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++)
		bench_target(b, &(struct target){
			"T10", rows[i].what, SUBS,
			part(speeds[0][rows[i].both], speeds[0][rows[i].alone]),
			0.95, false, "x" });
	bench_target(b, &(struct target){
		"T10", "two writers, 0, against classic", SUBS,
		part(speeds[0][TWO_HIT0], speeds[1][TWO_HIT0]), 5, false,
		"x" });
	bench_target(b, &(struct target){
		"T10", "two writers, own, against classic", SUBS,
		part(speeds[0][TWO_HIT1], speeds[1][TWO_HIT1]), 3.5, false,
		"x" });
}

/* ----------------------------------------- what is not one's own (T11) */

#define SAMPLES 50000

static double samples[SAMPLES];
static double collateral_worst = -1;

struct holder {
	const struct arena *arena;
	int64_t hold_ns;
	bool holds;
};

static void hold(struct beside *beside)
{
	struct holder *h = beside->arg;
	struct device *d = h->arena->device[1];
	int64_t until;

	while (!READ_ONCE(beside->stop)) {
		h->arena->ops->device_open(d, 0);
		WRITE_ONCE(h->holds, true);
		until = bench_now() + h->hold_ns;
		while (bench_now() < until && !READ_ONCE(beside->stop))
			cpu_relax();
		WRITE_ONCE(h->holds, false);
		h->arena->ops->device_close(d, 0);
	}
}

/* False: not within the time. */
static bool await_hold(const struct holder *holder, int64_t until)
{
	while (!READ_ONCE(holder->holds)) {
		if (bench_now() >= until)
			return false;
		cpu_relax();
	}
	return true;
}

/*
 * Own range invalidated, and faulted again, while the other one is held: who holds
 * it may be without a CPU in between, and those that meet nobody would outnumber
 * the others.
 */
static struct quartiles collateral_of(struct bench *b, const struct arena *a,
				      int64_t hold_ns, int64_t length)
{
	struct holder holder = { .arena = a, .hold_ns = hold_ns };
	struct beside beside = { .fn = hold, .arg = &holder };
	int64_t begun, until = bench_now() + length;
	unsigned int n = 0;

	beside_begin(&beside);
	while (n < SAMPLES && bench_now() < until && !bench_over(b)) {
		if (!await_hold(&holder, until))
			break;
		a->ops->device_slice[DEVICE_HIT1](a->device[0], 1);
		begun = bench_now();
		a->ops->device_fault(a->device[0], 0, INT64_MAX);
		samples[n++] = (double)(bench_now() - begun);
	}
	beside_end(&beside);
	return bench_quartiles(samples, n);
}

static void collateral(struct bench *b)
{
	static const int64_t holds[] = { 100000, MS, 10 * MS };
	char test[64];
	struct figure figure = {
		.section = "A fault beside somebody else's long invalidation",
		.test = test, .n = SUBS, .unit = "ns",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(holds) * SCHEMES; i++) {
		int64_t length = bench_share(b, 1);
		struct arena arena;

		if (bench_over(b))
			return;
		arena_make(&arena, schemes[i % SCHEMES], b, false);
		snprintf(test, sizeof(test), "fault, held for %g us",
			 (double)holds[i / SCHEMES] / 1000);
		figure.who = arena.ops->name;
		figure.value = collateral_of(b, &arena, holds[i / SCHEMES],
					     length);
		bench_figure(b, &figure);
		if (arena.ops == &ops_uhmm &&
		    figure.value.p99 > collateral_worst)
			collateral_worst = figure.value.p99;
		arena_drop(&arena);
	}
}

/* ------------------------------------------------- under a storm (T12) */

#define TRIAL_NS (50 * MS)
#define TRIALS 40
#define GIVE_UPS 6	/* enough to know */

static double storm_worst = -1, storm_lost = -1;

struct storm {
	const struct arena *arena;
	int64_t gap_ns;
	unsigned long blown;	/* so often */
};

static void blow(struct beside *beside)
{
	struct storm *storm = beside->arg;
	int64_t until;

	while (!READ_ONCE(beside->stop)) {
		WRITE_ONCE(storm->blown, storm->blown + 1);
		storm->arena->ops->device_slice[DEVICE_HIT1](
			storm->arena->device[0], 1);
		until = bench_now() + storm->gap_ns;
		while (storm->gap_ns && bench_now() < until)
			cpu_relax();
	}
}

/*
 * Collisions until success; one that was given up counts with all it had. A
 * trial during which the storm had no CPU does not count.
 */
static unsigned int storm_trials(struct bench *b, struct storm *storm,
				 int64_t body_ns, double *collisions,
				 unsigned int *ret_gave_up)
{
	const struct arena *a = storm->arena;
	struct beside beside = { .fn = blow, .arg = storm };
	int64_t until = bench_now() + TRIALS * TRIAL_NS;
	unsigned long blown;
	unsigned int n = 0;
	long c;

	*ret_gave_up = 0;
	beside_begin(&beside);
	while (n < TRIALS && *ret_gave_up < GIVE_UPS && !bench_over(b)) {
		if (bench_now() > until)
			break;
		blown = READ_ONCE(storm->blown);
		c = a->ops->device_fault(a->device[0], body_ns,
					 bench_now() + TRIAL_NS);
		if (READ_ONCE(storm->blown) == blown)
			continue;
		if (c < 0) {
			*ret_gave_up += 1;
			c = TRIAL_NS / body_ns;
		}
		collisions[n++] = (double)c;
	}
	beside_end(&beside);
	return n;
}

static void storm_cell(struct bench *b, const struct ops *ops,
		       bool never_reserve, int64_t gap_ns, int64_t body_ns)
{
	double collisions[TRIALS], lost;
	char test[64];
	struct figure figure = {
		.section = "A fault under a storm: collisions until success",
		.test = test, .who = ops->name, .unit = "",
	};
	struct arena arena;
	struct storm storm = { &arena, gap_ns, 0 };
	unsigned int n, gave_up;

	arena_make(&arena, ops, b, never_reserve);
	n = storm_trials(b, &storm, body_ns, collisions, &gave_up);
	snprintf(test, sizeof(test), "gap %g, body %g us%s%s",
		 (double)gap_ns / 1000, (double)body_ns / 1000,
		 never_reserve ? ", unreserved" : "",
		 gave_up ? ", gave up" : "");
	figure.value = bench_quartiles(collisions, n);
	bench_figure(b, &figure);
	lost = (double)ops->reserves_lost(arena.world);
	if (ops == &ops_uhmm && !never_reserve && n) {
		if (figure.value.max > storm_worst)
			storm_worst = figure.value.max;
		storm_lost = lost + (storm_lost > 0 ? storm_lost : 0);
	}
	arena_drop(&arena);
}

static void storms(struct bench *b)
{
	static const struct {
		int64_t gap_ns, body_ns;
		bool longer;
	} cells[] = {
		{ 0, 10000, false },
		{ 0, 100000, false },
		{ 0, MS, false },
		{ 10000, 10000, true },
		{ 10000, 100000, false },
		{ 100000, 10000, true },
		{ 100000, 100000, true },
		{ 100000, MS, true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cells); i++) {
		int64_t gap = cells[i].gap_ns, body = cells[i].body_ns;

		if ((cells[i].longer && !b->longer) || bench_over(b))
			continue;
		storm_cell(b, &ops_uhmm, false, gap, body);
		storm_cell(b, &ops_uhmm, true, gap, body);
		storm_cell(b, &ops_classic, false, gap, body);
	}
}

/* ------------------------------------------------ never a gap (T13) */

#define CYCLES 20000
#define STORM_NS (200 * MS)

static double cycle_ns[CYCLES];
static double first_worst = -1, remove_worst = -1;

/* The next one is opened before the last one is closed. */
static void hand_over_hand(struct beside *beside)
{
	const struct arena *a = beside->arg;
	unsigned int i = 0;

	a->ops->device_open(a->device[1], 0);
	while (!READ_ONCE(beside->stop)) {
		a->ops->device_open(a->device[1], !i);
		a->ops->device_close(a->device[1], i);
		i = !i;
	}
	a->ops->device_close(a->device[1], i);
}

/* Ends a storm that nobody else would end. */
struct timer {
	struct beside *beside;
	int64_t ns;
};

static void *end_storm(void *arg)
{
	struct timer *timer = arg;
	struct timespec ts = { 0, timer->ns };

	nanosleep(&ts, NULL);
	WRITE_ONCE(timer->beside->stop, 1);
	return NULL;
}

/* One cycle: what is timed is the read after an insert, or the remove. */
static double cycle(const struct arena *a, bool reads)
{
	struct device *d = a->device[0];
	int64_t begun, took;

	if (reads)
		a->ops->device_insert(d);
	begun = bench_now();
	if (reads)
		a->ops->device_fault(d, 0, INT64_MAX);
	else
		a->ops->device_remove(d);
	took = bench_now() - begun;
	if (reads)
		a->ops->device_remove(d);
	else
		a->ops->device_insert(d);
	return (double)took;
}

static double no_gap_of(struct bench *b, const struct ops *ops, bool reads)
{
	struct arena arena;
	struct beside beside = { .fn = hand_over_hand, .arg = &arena };
	struct timer timer = { &beside, STORM_NS };
	struct figure figure = {
		.section = "Overlapping invalidations without a gap, for 200 ms",
		.test = reads ? "first read after an insert" : "remove",
		.who = ops->name, .n = SUBS, .unit = "ns",
	};
	unsigned int n = 0;
	pthread_t thread;

	arena_make(&arena, ops, b, false);
	if (reads)
		ops->device_remove(arena.device[0]);
	beside_begin(&beside);
	if (pthread_create(&thread, NULL, end_storm, &timer))
		abort();
	while (n < CYCLES && !READ_ONCE(beside.stop))
		cycle_ns[n++] = cycle(&arena, reads);
	beside_end(&beside);
	pthread_join(thread, NULL);
	if (reads)
		ops->device_insert(arena.device[0]);
	figure.value = bench_quartiles(cycle_ns, n);
	bench_figure(b, &figure);
	arena_drop(&arena);
	return n ? figure.value.p99 : -1;
}

static void no_gap(struct bench *b)
{
	if (bench_over(b))
		return;
	first_worst = no_gap_of(b, &ops_uhmm, true);
	no_gap_of(b, &ops_classic, true);
	remove_worst = no_gap_of(b, &ops_uhmm, false);
	no_gap_of(b, &ops_classic, false);
}

/* ------------------------------------------------------------------ all */

static void judge(struct bench *b)
{
	judge_disjoint(b);
	bench_target(b, &(struct target){
		"T11", "a fault beside a long invalidation, p99", SUBS,
		collateral_worst, 1000, true, "ns" });
	bench_target(b, &(struct target){
		"T12", "collisions under one storm, at most", 0, storm_worst,
		3 + 2, true, "" });
	bench_target(b, &(struct target){
		"T12", "reservations lost to the limit", 0, storm_lost, 0,
		true, "" });
	bench_target(b, &(struct target){
		"T13", "first read without a gap, p99", SUBS, first_worst,
		1000, true, "ns" });
	bench_target(b, &(struct target){
		"T13", "remove without a gap, p99", SUBS, remove_worst, 1000,
		true, "ns" });
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_init(&b, "concurrency", argc, argv);
	bench_plan(&b, 8 + 6 + 18);
	if (!arena_pin(1)) {
		bench_missing(&b, "everything", "there is only one CPU");
		return bench_finish(&b);
	}
	arena_pin(-1);
	disjoint(&b);
	collateral(&b);
	storms(&b);
	no_gap(&b);
	bench_preempted(&b);
	bench_crowds(&b);
	judge(&b);
	if (arena_realtime_refused)
		bench_note(&b, "SCHED_FIFO", "not allowed: more is disturbed");
	return bench_finish(&b);
}
