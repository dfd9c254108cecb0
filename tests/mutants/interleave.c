/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 *	interleave CASE
 *
 * Exits with 0 if what must hold held, 1 if not. See interleave.h.
 */
#include "interleave.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/internal.h"

#define MSEC 1000000L
/* More than who is not held up can need, however many others run. */
#define PATIENCE_MS 10000

/* ---------------------------------------------------------------- pause points */

static const char *armed;		/* for the thread that is a victim */
static unsigned int skips;		/* how often it passes first */
static bool standing, let_go;
static __thread bool victim;

void pause_here(const char *point)
{
	if (!victim || !armed || strcmp(point, armed) || skips--)
		return;
	armed = NULL;
	smp_store_release(&standing, true);
	while (!smp_load_acquire(&let_go))
		sched_yield();
}

void forbidden(const char *what)
{
	printf("# forbidden: %s\n", what);
	fflush(stdout);
	_exit(1);
}

void nap(void)
{
	struct timespec ts = { 0, 50 * MSEC };

	nanosleep(&ts, NULL);
}

void await(const bool *word, const char *otherwise)
{
	struct timespec ts = { 0, MSEC };

	for (unsigned int i = 0; i < PATIENCE_MS; i++) {
		if (smp_load_acquire(word))
			return;
		nanosleep(&ts, NULL);
	}
	forbidden(otherwise);
}

static void *do_job(void *arg)
{
	struct job *job = arg;

	victim = job->victim;
	job->fn();
	smp_store_release(&job->done, true);
	return NULL;
}

void begin(struct job *job, void (*fn)(void))
{
	memset((void *)job, 0, sizeof(*job));
	job->fn = fn;
	if (pthread_create(&job->thread, NULL, do_job, job))
		abort();
}

void begin_victim(struct job *job, void (*fn)(void), const char *point,
		  unsigned int times)
{
	memset((void *)job, 0, sizeof(*job));
	armed = point;
	skips = times;
	standing = let_go = false;
	job->fn = fn;
	job->victim = true;
	if (pthread_create(&job->thread, NULL, do_job, job))
		abort();
	await(&standing, "the pause point is not reached");
}

void finish(struct job *job)
{
	await(&job->done, "somebody does not get on");
	pthread_join(job->thread, NULL);
}

void let_go_of_victim(void)
{
	smp_store_release(&let_go, true);
}

void let_victim_go(struct job *job)
{
	let_go_of_victim();
	finish(job);
}

/* ------------------------------------------------------------------ the stage */

struct mm_struct *mm;
__thread struct mmu_notifier_range range;
struct mmu_interval_notifier subs[CROWD];
unsigned int calls;
bool gone[CROWD];

bool count_call(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *r, unsigned long seq)
{
	if (sub >= subs && sub < subs + CROWD && gone[sub - subs])
		forbidden("called after its remove returned");
	if (r->start > sub->interval_tree.last ||
	    r->end - 1 < sub->interval_tree.start)
		forbidden("called for a range that does not overlap");
	mmu_interval_set_seq(sub, seq);
	calls++;
	return true;
}

const struct mmu_interval_notifier_ops counting = {
	.invalidate = count_call,
};

void insert_with(unsigned int i, unsigned int page,
		 const struct mmu_interval_notifier_ops *ops)
{
	if (mmu_interval_notifier_insert(&subs[i], mm, PG(page), 4096, ops))
		abort();
}

void insert(unsigned int i, unsigned int page)
{
	insert_with(i, page, &counting);
}

void remove_sub(unsigned int i)
{
	mmu_interval_notifier_remove(&subs[i]);
	gone[i] = true;
}

void start_range(unsigned int first, unsigned int n)
{
	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, PG(first),
				PG(first + n));
	if (mmu_notifier_invalidate_range_start(&range))
		abort();
}

void end_range(void)
{
	mmu_notifier_invalidate_range_end(&range);
}

void insert_all(void)
{
	for (unsigned int i = 0; i < CROWD; i++)
		insert(i, i);
}

void start_all(void)
{
	start_range(0, CROWD);
	end_range();
}

unsigned int called_before_resume(void)
{
	struct uhmm_interval_node *hits[INDEX_BATCH];
	struct index_finger none;
	struct index_walk walk;
	unsigned int n;

	n = mm->index.search->first(&mm->index, &none, PG(0), PG(CROWD) - 1,
				    &walk, hits);
	if (walk.done)
		abort();
	return n;
}

struct job job, other;

void start_ten(void)
{
	start_range(10, 30);
	end_range();
}

/* ------------------------------------------------------------------- main */

static const struct interleaving *const all[] = { index_cases, call_cases,
						  reserve_cases };

/* No reservation ends by itself. */
static void make_mm(void)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	if (uhmm_mm_create_with(&options, &mm))
		abort();
}

int main(int argc, char **argv)
{
	alarm(60);
	make_mm();
	for (unsigned int i = 0; argc > 1 && i < ARRAY_SIZE(all); i++) {
		for (const struct interleaving *c = all[i]; c->name; c++) {
			if (strcmp(argv[1], c->name))
				continue;
			c->fn();
			return 0;
		}
	}
	fprintf(stderr, "interleave: no such case\n");
	return 2;
}
