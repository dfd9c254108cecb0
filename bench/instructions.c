/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What scripts/instructions.py counts: a fixed number of each operation, each
 * time in a call of counted(). Prints one line for each, in that order:
 * scheme, operation, subscriptions, how many times.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

#include "bench.h"
#include "rcache_nothing.h"
#include "world.h"

#include "sync/sync.h"

#define TIMES 2000UL

struct count {
	enum op op;
	const char *name;
	bool batch;
	unsigned long min_n;
};

static const struct count counts[] = {
	{ OP_LOOP, "loop", false, 1 },
	{ OP_HIT0_HOT, "hit0-hot", false, 1 },
	{ OP_HIT0_RANDOM, "hit0-random", false, 1 },
	{ OP_HIT1_RANDOM, "hit1-random", false, 1 },
	{ OP_HIT64_RANDOM, "hit64-random", false, 64 },
	{ OP_HIT64_RANDOM, "hit64-random-batched", true, 64 },
	{ OP_READ_HOT, "read", false, 1 },
	{ OP_READ_HOT_BARE, "read-bare", false, 1 },
	{ OP_INSERT_REMOVE_HOT, "insert-remove-hot", false, 1 },
	{ OP_INSERT_REMOVE_RANDOM, "insert-remove-random", false, 1 },
};

/* What the compiler makes of a read; looked at, and never called. */
bool read_uhmm(struct mmu_interval_notifier *sub);
bool read_uhmm(struct mmu_interval_notifier *sub)
{
	return mmu_interval_read_retry(sub, mmu_interval_read_begin(sub));
}

/* A bad example: another line, and a locked instruction. */
void read_badly(unsigned long *words);
void read_badly(unsigned long *words)
{
	fetch_add(&words[9], 1);
}

void counted(void (*slice)(void *world, unsigned long n), void *world,
	     unsigned long n);

/* Never inlined: the script knows it by name. */
__attribute__((noinline, noclone)) void
counted(void (*slice)(void *world, unsigned long n), void *world,
	unsigned long n)
{
	slice(world, n);
}

static void count_all(const struct ops *ops, unsigned long n)
{
	struct setup setup = { .n = n, .search = &index_search_portable };
	struct world *w = ops->create(&setup);

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct count *c = &counts[i];

		if (n < c->min_n ||
		    !ops->set_callback(c->batch ? CALL_BATCH : CALL_LOCKED))
			continue;
		/* First times are slower: memory, and reads after a hit. */
		ops->slice[OP_READ_EACH_BARE](w, n);
		ops->slice[c->op](w, 64);
		ops->slice[OP_READ_EACH_BARE](w, n);
		counted(ops->slice[c->op], w, TIMES);
		printf("%s %s %lu %lu\n", ops->name, c->name, n, TIMES);
	}
	ops->set_callback(CALL_LOCKED);
	ops->destroy(w);
}

/* ------------------------------------------------------ the registration cache */

/* As bench/rcache.c has them: entries of a page, four pages apart. */
struct cached {
	struct mm_struct *mm;
	struct uhmm_rcache *cache;
	unsigned long n;
	unsigned long next;
};

/* Each, and far from the one before. */
static unsigned long cached_next(struct cached *c)
{
	c->next = (c->next + 1021) % c->n;
	return (1UL << 32) + (c->next << 14);
}

static void cached_get(struct cached *c, unsigned long at)
{
	struct uhmm_registration reg;

	if (uhmm_rcache_get(c->cache, at, 4096, UHMM_RCACHE_WRITE, &reg))
		abort();
	uhmm_rcache_put(&reg);
}

static void cached_event(struct cached *c, unsigned long at)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, c->mm, at,
				at + 4096);
	if (mmu_notifier_invalidate_range_start(&range))
		abort();
	mmu_notifier_invalidate_range_end(&range);
}

static void hits(void *cached, unsigned long n)
{
	while (n--)
		cached_get(cached, cached_next(cached));
}

static void events_nowhere(void *cached, unsigned long n)
{
	while (n--)
		cached_event(cached, cached_next(cached) + 8192);
}

static void events_and_misses(void *cached, unsigned long n)
{
	unsigned long at;

	while (n--) {
		at = cached_next(cached);
		cached_event(cached, at);
		cached_get(cached, at);
	}
}

static void count_cache(unsigned long n)
{
	static const struct {
		const char *name;
		void (*slice)(void *cached, unsigned long n);
	} each[] = {
		{ "hit", hits }, { "event-none", events_nowhere },
		{ "event-and-miss", events_and_misses },
	};
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = UHMM_RCACHE_LAZY,
	};
	struct cached c = { .n = n };

	if (uhmm_mm_create(&c.mm) ||
	    uhmm_rcache_create(c.mm, &nothing, NULL, &options, &c.cache))
		abort();
	hits(&c, 2 * n);
	for (unsigned int i = 0; i < ARRAY_SIZE(each); i++) {
		each[i].slice(&c, 64);
		counted(each[i].slice, &c, TIMES);
		printf("rcache %s %lu %lu\n", each[i].name, n, TIMES);
	}
	if (uhmm_rcache_destroy(c.cache))
		abort();
	mmput(c.mm);
}

static void *sleeper(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(void)
{
	static const unsigned long sizes[] = { 1, 64, 4096 };
	pthread_t second;

	/* Alone in its process a thread gets cheaper locks. */
	if (pthread_create(&second, NULL, sleeper, NULL))
		return EXIT_FAILURE;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		count_all(&ops_uhmm, sizes[i]);
		count_all(&ops_classic, sizes[i]);
		count_cache(sizes[i]);
	}
	return 0;
}
