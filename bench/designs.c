/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * All schemes of src/designs side by side, each behind the one table: what an
 * indirect call costs, it costs all of them. For the library against the
 * kernel's scheme without the table see notifier.c.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "designs/design.h"

#define BASE 0x100000000UL
#define PAGE 4096UL
#define STRIDE (2 * PAGE)

/* @subs: of interval i at BASE + i * STRIDE; the last is not inserted. */
struct field {
	const struct uhmm_design *design;
	struct design_mm *mm;
	struct design_client client;
	struct design_sub *subs;
	unsigned long n;
	unsigned long rng;
};

static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;
static const struct uhmm_design *calling;	/* whose slice it is */

static bool invalidate(struct design_sub *sub, unsigned long start,
		       unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner,
		       unsigned long cur_seq)
{
	pthread_mutex_lock(&user_lock);
	calling->set_seq(sub, cur_seq);
	pthread_mutex_unlock(&user_lock);
	return true;
}

static unsigned long draw(struct field *f)
{
	f->rng = f->rng * 6364136223846793005UL + 1442695040888963407UL;
	return (f->rng >> 32) * f->n >> 32;
}

static void field_add(struct field *f, unsigned long i, unsigned long start)
{
	must(!f->design->insert(&f->subs[i], f->mm, start, PAGE, &f->client),
	     "insert");
}

static void field_init(struct field *f, const struct uhmm_design *design,
		       unsigned long n)
{
	memset(f, 0, sizeof(*f));
	f->design = design;
	f->n = n;
	f->client.invalidate = invalidate;
	f->subs = calloc(n + 1, sizeof(*f->subs));
	must(f->subs && !design->mm_create(&f->mm), "memory");
	must(!design->prepare(&f->client), "prepare");
	for (unsigned long i = 0; i < n; i++)
		field_add(f, i, BASE + i * STRIDE);
}

static void field_destroy(struct field *f)
{
	calling = f->design;
	f->design->release(f->mm);
	for (unsigned long i = 0; i < f->n; i++)
		f->design->remove(&f->subs[i]);
	f->design->mm_destroy(f->mm);
	free(f->subs);
}

static void start_end(struct field *f, unsigned long start)
{
	struct design_range range;

	f->design->start(&range, f->mm, start, start + PAGE, true,
			 MMU_NOTIFY_CLEAR, NULL);
	f->design->end(&range);
}

static void hit_none(struct field *f)
{
	start_end(f, BASE + draw(f) * STRIDE + PAGE);
}

static void hit_one(struct field *f)
{
	start_end(f, BASE + draw(f) * STRIDE);
}

static void read_one(struct field *f)
{
	struct design_sub *sub = &f->subs[draw(f)];
	unsigned long seq;
	bool again;

	do {
		seq = f->design->read_begin(sub);
		pthread_mutex_lock(&user_lock);
		again = f->design->read_retry(sub, seq);
		pthread_mutex_unlock(&user_lock);
	} while (again);
}

static void insert_remove(struct field *f)
{
	field_add(f, f->n, BASE + draw(f) * STRIDE + PAGE);
	f->design->remove(&f->subs[f->n]);
}

#define SLICE(what)                                                            \
	static void slice_##what(void *arg, unsigned long n)                   \
	{                                                                      \
		struct field *f = arg;                                         \
									       \
		calling = f->design;                                           \
		while (n--)                                                    \
			what(f);                                               \
	}

SLICE(hit_none)
SLICE(hit_one)
SLICE(read_one)
SLICE(insert_remove)

static const struct {
	const char *name;
	void (*slice)(void *arg, unsigned long n);
} tests[] = {
	{ "start + end, none hit", slice_hit_none },
	{ "start + end, one hit", slice_hit_one },
	{ "read_begin + lock + read_retry", slice_read_one },
	{ "insert + remove", slice_insert_remove },
};

static const unsigned long sizes[] = { 1, 64, 4096 };

static void compare(struct bench *b, const struct uhmm_design *design,
		    unsigned long n)
{
	struct field mine, theirs;

	field_init(&mine, &uhmm_as_uhmm, n);
	field_init(&theirs, design, n);
	for (unsigned int i = 0; i < ARRAY_SIZE(tests); i++) {
		struct cell cell = {
			.section = "Through one table of calls",
			.test = tests[i].name, .n = n, .slice_us = 500,
			.first = { "uhmm", tests[i].slice, &mine, { 0 } },
			.second = { design->name, tests[i].slice, &theirs, { 0 } },
		};

		bench_run(b, &cell, 1);
	}
	field_destroy(&mine);
	field_destroy(&theirs);
}

int main(int argc, char **argv)
{
	const struct uhmm_design *const *design;
	struct bench b;

	bench_init(&b, "designs", argc, argv);
	for (design = &uhmm_designs[1]; *design; design++)
		bench_plan(&b, ARRAY_SIZE(sizes) * ARRAY_SIZE(tests));
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++)
		for (design = &uhmm_designs[1]; *design && !bench_over(&b);
		     design++)
			compare(&b, *design, sizes[i]);
	return bench_finish(&b);
}
