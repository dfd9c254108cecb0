/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a subscription, a thread and an address space cost in bytes.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "core/internal.h"
#include "designs/classic.h"
#include "world.h"

#define MMS 512
#define THREADS 32
#define BOUND 112

static void bytes(struct bench *b, const char *section, const char *test,
		  const char *who, unsigned long n, double value)
{
	struct figure figure = {
		.section = section, .test = test, .who = who, .n = n,
		.unit = "B", .value = bench_one(value),
	};

	bench_figure(b, &figure);
}

/* Bytes of this process in memory. */
static double resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Returns bytes a subscription, with its share of the index. */
static double subscriptions(struct bench *b, const struct ops *ops,
			    enum shape shape, unsigned long n)
{
	struct setup setup = {
		.shape = shape, .n = n, .search = b->search,
		.small_pages = b->small_pages,
	};
	struct world *w = ops->create(&setup);
	double each = (double)ops->own_bytes(w) / (double)n;
	char test[64];

	snprintf(test, sizeof(test), "%s, with its share of the index",
		 shape_name[shape]);
	bytes(b, "A subscription, inserted in random order", test, ops->name,
	      n, (double)ops->sub_size + each);
	ops->destroy(w);
	return (double)ops->sub_size + each;
}

static double all_subscriptions(struct bench *b)
{
	static const unsigned long sizes[] = { 64, 4096, 262144, 1048576 };
	double last = -1;

	bytes(b, "A subscription, inserted in random order", "struct alone",
	      ops_uhmm.name, 0, (double)ops_uhmm.sub_size);
	bytes(b, "A subscription, inserted in random order", "struct alone",
	      ops_classic.name, 0, (double)ops_classic.sub_size);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (bench_over(b))
			return -1;
		last = subscriptions(b, &ops_uhmm, SHAPE_FLAT, sizes[i]);
	}
	subscriptions(b, &ops_uhmm, SHAPE_NESTED, sizes[2]);
	subscriptions(b, &ops_classic, SHAPE_FLAT, sizes[2]);
	return last;
}

static void address_spaces(struct bench *b)
{
	static struct classic_mm *theirs[MMS];
	static struct mm_struct *mine[MMS];
	double before = resident();

	for (unsigned int i = 0; i < MMS; i++)
		if (uhmm_mm_create(&mine[i]))
			abort();
	bytes(b, "An address space", "resident, nothing in it", "uhmm", 0,
	      (resident() - before) / MMS);
	bytes(b, "An address space", "struct", "uhmm", 0,
	      sizeof(struct mm_struct));
	bytes(b, "An address space", "index, nothing in it", "uhmm", 0,
	      (double)index_bytes(&mine[0]->index));
	before = resident();
	for (unsigned int i = 0; i < MMS; i++)
		if (classic_mm_create(&theirs[i]))
			abort();
	bytes(b, "An address space", "resident, nothing in it", "classic", 0,
	      (resident() - before) / MMS);
	for (unsigned int i = 0; i < MMS; i++) {
		mmput(mine[i]);
		classic_mm_release(theirs[i]);
		classic_mm_drop(theirs[i]);
	}
}

/* Each thread starts and ends an invalidation, and lives on. */
struct crowd {
	struct mm_struct *mm;
	pthread_barrier_t done, leave;
};

static void *member(void *arg)
{
	struct mmu_notifier_range range;
	struct crowd *crowd = arg;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, crowd->mm, PAGE,
				2 * PAGE);
	if (mmu_notifier_invalidate_range_start(&range))
		abort();
	mmu_notifier_invalidate_range_end(&range);
	pthread_barrier_wait(&crowd->done);
	pthread_barrier_wait(&crowd->leave);
	return NULL;
}

static unsigned long blocks_of(struct mm_struct *mm)
{
	struct uhmm_mm_stats stats;

	if (uhmm_mm_get_stats(mm, &stats))
		abort();
	return stats.thread_blocks;
}

static void crowd_once(struct crowd *crowd)
{
	pthread_t threads[THREADS];

	for (unsigned int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, member, crowd))
			abort();
	pthread_barrier_wait(&crowd->done);
	pthread_barrier_wait(&crowd->leave);
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void threads(struct bench *b)
{
	static const char section[] = "A thread, in one address space";
	struct crowd crowd;
	unsigned long first, second;

	bytes(b, section, "block", "uhmm", 0, sizeof(struct thread_block));
	bytes(b, section, "slot, one of those in a block", "uhmm", BLOCK_SLOTS,
	      sizeof(struct slot));
	if (uhmm_mm_create(&crowd.mm))
		abort();
	pthread_barrier_init(&crowd.done, NULL, THREADS + 1);
	pthread_barrier_init(&crowd.leave, NULL, THREADS + 1);
	crowd_once(&crowd);
	first = blocks_of(crowd.mm);
	crowd_once(&crowd);
	second = blocks_of(crowd.mm);
	bench_figure(b, &(struct figure){
		.section = section, .test = "blocks, threads come and go",
		.who = "uhmm", .n = THREADS, .unit = "", .value =
		bench_one((double)first) });
	bench_figure(b, &(struct figure){
		.section = section, .test = "blocks, as many again",
		.who = "uhmm", .n = THREADS, .unit = "", .value =
		bench_one((double)second) });
	pthread_barrier_destroy(&crowd.done);
	pthread_barrier_destroy(&crowd.leave);
	mmput(crowd.mm);
}

int main(int argc, char **argv)
{
	struct bench b;
	double each;

	bench_init(&b, "memory", argc, argv);
	address_spaces(&b);
	threads(&b);
	each = all_subscriptions(&b);
	bench_target(&b, &(struct target){
		"T14", "a subscription with its share of the index", 1048576,
		each, BOUND, true, "B" });
	return bench_finish(&b);
}
