/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "live_turns.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "sync/sync.h"

#define PAUSE_NS 100000

double samples[KINDS_MAX][SLICE * SLICES];

/* ------------------------------------------------------------------- cores */

int here, elsewhere = -1;

void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

void stay_here(void)
{
	cpu_set_t may;
	int cpu = sched_getcpu();

	must(!sched_getaffinity(0, sizeof(may), &may), "sched_getaffinity");
	here = cpu < 0 ? 0 : cpu;
	for (cpu = 0; cpu < CPU_SETSIZE && elsewhere < 0; cpu++)
		if (CPU_ISSET(cpu, &may) && cpu != here)
			elsewhere = cpu;
	stay_on(here);
}

/* ------------------------------------------------------------------- turns */

unsigned int in_turns(struct bench *b, unsigned int kinds, unsigned int slices,
		      double (*once)(unsigned int kind))
{
	unsigned int n = 0;

	for (; n < SLICE * slices && !bench_over(b); n += SLICE)
		for (unsigned int k = 0; k < kinds; k++) {
			for (unsigned int i = 0; i < SLICE; i++)
				samples[k][n + i] = once(k);
			/* Whom the last one has woken gets done with it. */
			nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS },
				  NULL);
		}
	return n;
}

static double slice_median(unsigned int kind, unsigned int slice)
{
	double values[SLICE];

	memcpy(values, &samples[kind][slice * SLICE], sizeof(values));
	return bench_quartiles(values, SLICE).median;
}

double over_first(unsigned int kind, unsigned int n)
{
	double ratio[SLICES];

	for (unsigned int i = 0; i < n / SLICE; i++)
		ratio[i] = slice_median(kind, i) / slice_median(0, i);
	return n ? bench_quartiles(ratio, n / SLICE).median : -1;
}

double show(struct bench *b, const char *section, const char *test,
	    unsigned long n, const char *unit, double *values,
	    unsigned int count)
{
	struct figure figure = {
		.section = section, .test = test, .who = "uhmm", .n = n,
		.unit = unit, .value = bench_quartiles(values, count),
	};

	bench_figure(b, &figure);
	return figure.value.count ? figure.value.median : -1;
}

double show_one(struct bench *b, const char *section, const char *test,
		double value, const char *unit)
{
	return show(b, section, test, 0, unit, &value, 1);
}

void target_within(struct bench *b, const char *id, const char *what,
		   double value, double wanted, const char *unit, double limit)
{
	struct target t = {
		.id = id, .what = what, .value = value, .wanted = wanted,
		.at_most = true, .unit = unit,
	};

	bench_target_within(b, &t, limit > 0 ? limit : 0);
}

void target(struct bench *b, const char *id, const char *what, double value,
	    double wanted, const char *unit)
{
	target_within(b, id, what, value, wanted, unit, 0);
}

double lower(double a, double b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* ---------------------------------------------------------------- hand-off */

enum { OURS, THEIRS, OVER };

const char hand_off_name[] = "a hand-off by a futex";
static unsigned int ball;
static pthread_t other;

/* Without a timeout, which costs a timer. */
static void await_other(unsigned int who)
{
	syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, who, NULL, NULL, 0);
}

static void throw_ball(unsigned int who)
{
	WRITE_ONCE(ball, who);
	syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *other_side(void *unused)
{
	unsigned int who;

	while ((who = READ_ONCE(ball)) != OVER) {
		if (who == OURS)
			await_other(OURS);
		else
			throw_ball(OURS);
	}
	return NULL;
}

void hand_off_begin(void)
{
	ball = OURS;
	must(!pthread_create(&other, NULL, other_side, NULL), "a thread");
}

/* Half of there and back. */
double hand_off(void)
{
	int64_t t = bench_now();

	throw_ball(THEIRS);
	while (READ_ONCE(ball) == THEIRS)
		await_other(THEIRS);
	return (double)(bench_now() - t) / 2;
}

void hand_off_end(void)
{
	throw_ball(OVER);
	pthread_join(other, NULL);
}
