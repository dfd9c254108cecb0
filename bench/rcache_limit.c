/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What any cache has to do at least, and nothing else, of as many entries, in tables
 * no larger than they must be. What others use of the processor's caches, and how
 * far memory is, is in it as in what is measured beside it.
 *
 *	hit		two calls: a load from a table, in the caller's memory what is
 *			returned, and two stores that begin and end the use
 *	event, none	a store that others see before it goes on, as an insert
 *			must not be missed; a bit for each place where an entry may
 *			be, which says that none is there
 *	event, one	such a store; a line of the index; and then the entry's own
 *			line, which it ends
 *	miss		a line of the index and one of what hits look at, both
 *			written, the next one not before all have seen them
 *
 * An announcement is a locked instruction, as the lock of any other cache is. On a Zen
 * 4 it does not keep the loads behind it from starting, of the next ones either: one
 * with a load from 128 MiB takes 14 ns, without it 12, and with an mfence in its place
 * 212, as long as a load that waits for another. So no wait is in here.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "rcache_limit.h"

#include "sync/sync.h"

#define SLICES 400
#define SLICE 512UL
#define HUGE_PAGE (1UL << 21)

/* In a hash for hits: all that they return, and no room. */
#define HASH_BYTES(n) ((n) * 32)
/* In an index: a range, as short as can be, and where the entry is. */
#define INDEX_LINE 4UL
#define INDEX_BYTES(n) ((n) / INDEX_LINE * CACHE_LINE)
/* Places of a page, and three times as many as there are entries. */
#define PLACES_BYTES(n) ((n) / 2 + CACHE_LINE)
#define ENTRY_BYTES(n) ((n) * CACHE_LINE)

struct line {
	unsigned long word;
} __cacheline_aligned;

struct table {
	struct line *line;
	unsigned long n;
};

struct tables {
	struct table hash, index, places, entries;
	unsigned long rng;
	unsigned long hold;
	unsigned long announced __cacheline_aligned;
};

static struct table table_make(unsigned long bytes)
{
	struct table t = { .n = bytes / CACHE_LINE };
	unsigned long i, size = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

	t.line = aligned_alloc(HUGE_PAGE, size);
	if (!t.line)
		abort();
	madvise(t.line, size, MADV_HUGEPAGE);
	for (i = 0; i < t.n; i++)
		t.line[i].word = i;
	return t;
}

static inline unsigned long draw(struct tables *t, unsigned long n)
{
	t->rng = t->rng * 6364136223846793005UL + 1442695040888963407UL;
	return (t->rng >> 32) * n >> 32;
}

static inline struct line *any_line(struct tables *t, const struct table *of)
{
	return &of->line[draw(t, of->n)];
}

/* As much as &struct uhmm_registration. */
struct found {
	uint64_t key;
	unsigned long start;
	unsigned long length;
	unsigned int access;
	unsigned long *hold;
	unsigned long *life;
};

static __attribute__((noinline)) void get(struct tables *t, unsigned long i,
					  struct found *ret_found)
{
	unsigned long *life = &t->hash.line[i].word, word = READ_ONCE(*life);

	WRITE_ONCE(t->hold, word);
	WRITE_ONCE(ret_found->key, word);
	WRITE_ONCE(ret_found->start, word);
	WRITE_ONCE(ret_found->length, word);
	WRITE_ONCE(ret_found->access, (unsigned int)word);
	WRITE_ONCE(ret_found->hold, &t->hold);
	WRITE_ONCE(ret_found->life, life);
}

static __attribute__((noinline)) void put(const struct found *found)
{
	WRITE_ONCE(*READ_ONCE(found->hold), 0);
}

static unsigned long one_hit(struct tables *t)
{
	struct found found;

	get(t, draw(t, t->hash.n), &found);
	put(&found);
	return found.key;
}

/* Announced first; what is in a line of @of. */
static inline unsigned long one_event(struct tables *t, const struct table *of)
{
	const struct line *line = any_line(t, of);

	WRITE_ONCE(t->announced, 1);
	smp_mb();
	return READ_ONCE(line->word);
}

static unsigned long one_event_none(struct tables *t)
{
	return one_event(t, &t->places);
}

/* Where the entry is nobody knows before the index has said so. */
static unsigned long one_event_one(struct tables *t)
{
	unsigned long k = draw(t, INDEX_LINE), at = one_event(t, &t->index);

	WRITE_ONCE(t->entries.line[at * INDEX_LINE + k].word, 0);
	return at;
}

static unsigned long one_miss(struct tables *t)
{
	struct line *index = any_line(t, &t->index);
	unsigned long at = READ_ONCE(index->word);

	WRITE_ONCE(index->word, at + 1);
	WRITE_ONCE(any_line(t, &t->hash)->word, at);
	smp_mb();
	return at;
}

static inline __attribute__((always_inline)) struct quartiles
repeated(struct tables *t, unsigned long (*op)(struct tables *t))
{
	unsigned long sum = 0;
	double ns[SLICES];
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			sum += op(t);
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	WRITE_ONCE(t->announced, sum);
	return bench_quartiles(ns, SLICES);
}

void rcache_limits(unsigned long n, struct rcache_limits *ret)
{
	struct tables t = {
		.hash = table_make(HASH_BYTES(n)),
		.index = table_make(INDEX_BYTES(n)),
		.places = table_make(PLACES_BYTES(n)),
		.entries = table_make(ENTRY_BYTES(n)),
		.rng = 7,
	};

	/* Once for the processor's caches, as what is measured beside it. */
	repeated(&t, one_hit);
	ret->hit = repeated(&t, one_hit);
	ret->event_none = repeated(&t, one_event_none);
	ret->event_one = repeated(&t, one_event_one);
	ret->miss = repeated(&t, one_miss);
	free(t.hash.line);
	free(t.index.line);
	free(t.places.line);
	free(t.entries.line);
}
