/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * More threads than CPUs: whoever holds a lock, or is searching, loses the CPU
 * now and then, and the others have to live with that.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arena.h"

#include "sync/sync.h"

#define CROWD_NS (50 * MS)
#define CROWD_ROUNDS 9
#define CROWD_SAMPLES 4000
#define CROWD_ALL 65536	/* samples of all rounds */

/* What a member does, and how often before it does the next. */
static const struct {
	enum device_op op;
	const char *what;
	unsigned int times;
} kinds[] = {
	{ DEVICE_READ, "a read", 14 },
	{ DEVICE_HIT1, "start + end", 1 },
	{ DEVICE_INSERT, "remove + insert", 1 },
};
#define KINDS ARRAY_SIZE(kinds)
#define A_TURN 16

struct late {
	unsigned int n;
	double ns[CROWD_SAMPLES];
};

struct member {
	const struct arena *arena;
	unsigned int *stop;
	pthread_t thread;
	struct device *device;
	unsigned long done;
	int64_t cpu_ns;
	struct late late[KINDS];
};

/* Of one scheme, over all rounds. */
struct crowd {
	struct arena arena;
	double speed[CROWD_ROUNDS];
	unsigned int nlate[KINDS];
	double late[KINDS][CROWD_ALL];
};

static int64_t cpu_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* The last of its operations is timed. */
static void timed(struct member *m, unsigned int kind)
{
	void (*slice)(void *, unsigned long) =
		m->arena->ops->device_slice[kinds[kind].op];
	struct late *late = &m->late[kind];
	int64_t begun;

	slice(m->device, kinds[kind].times - 1);
	begun = bench_now();
	slice(m->device, 1);
	if (late->n < CROWD_SAMPLES)
		late->ns[late->n++] = (double)(bench_now() - begun);
}

/* Each 64th turn is timed. */
static void *member_thread(void *arg)
{
	struct member *m = arg;
	const struct ops *ops = m->arena->ops;

	for (unsigned long i = 0; !READ_ONCE(*m->stop); i++) {
		for (unsigned int k = 0; k < KINDS; k++)
			if (i % 64)
				ops->device_slice[kinds[k].op](m->device,
							       kinds[k].times);
			else
				timed(m, k);
		m->done += A_TURN;
	}
	m->cpu_ns = cpu_now();
	return NULL;
}

static void collect(struct crowd *crowd, const struct member *m)
{
	for (unsigned int k = 0; k < KINDS; k++) {
		unsigned int n = m->late[k].n;

		if (n > CROWD_ALL - crowd->nlate[k])
			n = CROWD_ALL - crowd->nlate[k];
		memcpy(crowd->late[k] + crowd->nlate[k], m->late[k].ns,
		       n * sizeof(*m->late[k].ns));
		crowd->nlate[k] += n;
	}
}

/* Million operations in a second of CPU time: others may use the CPUs too. */
static void crowd_round(struct crowd *crowd, unsigned int n, unsigned int round)
{
	struct member *members = calloc(n, sizeof(*members));
	struct timespec ts = { 0, CROWD_NS };
	const struct arena *a = &crowd->arena;
	unsigned int stop = 0;
	unsigned long done = 0;
	int64_t cpu_ns = 0;

	if (!members)
		abort();
	for (unsigned int i = 0; i < n; i++) {
		members[i].arena = a;
		members[i].stop = &stop;
		members[i].device = a->ops->device_create(a->world, i * 7 + 1);
		if (pthread_create(&members[i].thread, NULL, member_thread,
				   &members[i]))
			abort();
	}
	nanosleep(&ts, NULL);
	WRITE_ONCE(stop, 1);
	for (unsigned int i = 0; i < n; i++) {
		struct member *m = &members[i];

		pthread_join(m->thread, NULL);
		a->ops->device_destroy(m->device);
		done += m->done;
		cpu_ns += m->cpu_ns;
		collect(crowd, m);
	}
	crowd->speed[round] = (double)done * 1000 / (double)cpu_ns;
	free(members);
}

static void crowd_of(struct bench *b, unsigned int n)
{
	struct crowd *crowds = calloc(SCHEMES, sizeof(*crowds));
	struct figure figure = {
		.section = "More threads than CPUs: reads, hits, reinserts",
		.n = n,
	};
	unsigned int round;

	if (!crowds)
		abort();
	for (unsigned int s = 0; s < SCHEMES; s++)
		arena_make(&crowds[s].arena, schemes[s], b, false);
	for (round = 0; round < CROWD_ROUNDS && !bench_over(b); round++)
		for (unsigned int s = 0; s < SCHEMES; s++)
			crowd_round(&crowds[s], n, round);
	for (unsigned int s = 0; s < SCHEMES; s++) {
		figure.who = schemes[s]->name;
		figure.test = "operations, for each CPU";
		figure.unit = "M/s";
		figure.value = bench_quartiles(crowds[s].speed, round);
		bench_figure(b, &figure);
		figure.unit = "ns";
		for (unsigned int k = 0; k < KINDS; k++) {
			figure.test = kinds[k].what;
			figure.value = bench_quartiles(crowds[s].late[k],
						       crowds[s].nlate[k]);
			bench_figure(b, &figure);
		}
		arena_drop(&crowds[s].arena);
	}
	free(crowds);
}

void bench_crowds(struct bench *b)
{
	static const unsigned int sizes[] = { 2, 8, 16 };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!bench_over(b))
			crowd_of(b, sizes[i]);
}
