/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "arena.h"

#include <sched.h>
#include <stdlib.h>

#include "sync/sync.h"

const struct ops *const schemes[SCHEMES] = { &ops_uhmm, &ops_classic };

void arena_make(struct arena *a, const struct ops *ops, const struct bench *b,
		bool never_reserve)
{
	struct setup setup = {
		.n = SUBS, .search = b->search, .never_reserve = never_reserve,
	};

	a->ops = ops;
	a->world = ops->create(&setup);
	a->device[0] = ops->device_create(a->world, SUBS / 4);
	a->device[1] = ops->device_create(a->world, SUBS / 4 * 3);
}

void arena_drop(struct arena *a)
{
	a->ops->device_destroy(a->device[0]);
	a->ops->device_destroy(a->device[1]);
	a->ops->destroy(a->world);
}

/* ------------------------------------------------------- a CPU for a while */

bool arena_realtime_refused;

void arena_realtime(bool on)
{
	struct sched_param param = { .sched_priority = on };

	if (sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param))
		WRITE_ONCE(arena_realtime_refused, true);
}

bool arena_pin(int i)
{
	static cpu_set_t all;
	static bool known;
	cpu_set_t one;

	if (!known) {
		sched_getaffinity(0, sizeof(all), &all);
		known = true;
	}
	if (i < 0)
		return !sched_setaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || i--)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		return !sched_setaffinity(0, sizeof(one), &one);
	}
	return false;
}

static void *beside_thread(void *arg)
{
	struct beside *beside = arg;

	arena_pin(1);
	arena_realtime(true);
	WRITE_ONCE(beside->running, 1);
	beside->fn(beside);
	arena_realtime(false);
	return NULL;
}

void beside_begin(struct beside *beside)
{
	arena_pin(0);
	if (pthread_create(&beside->thread, NULL, beside_thread, beside))
		abort();
	while (!READ_ONCE(beside->running))
		sched_yield();
	arena_realtime(true);
}

void beside_end(struct beside *beside)
{
	WRITE_ONCE(beside->stop, 1);
	arena_realtime(false);
	pthread_join(beside->thread, NULL);
	arena_pin(-1);
}
