/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Where is nothing at all? Of an index of very many intervals most searches find
 * nothing, and wait for two nodes to come from memory for that, one behind the other.
 * Who asks the filter first most often waits for one line, and for none before the next
 * one's.
 *
 * It is a counting Bloom filter with one hash (Fan, Cao, Almeida, Broder, "Summary
 * cache", 1998): of each unit of addresses how many intervals are in it, in 4 bits,
 * where others may be counted too. So none means nothing; anything else says
 * nothing. What is counted to the top stays there, until a new filter is made. Units
 * are pages, or for intervals that are longer so large that these are in a few of
 * them; neighbours are counted in one line.
 *
 * Counted and read as the nodes are: under the index's lock, and without; behind a
 * fence who searches finds all counted that was inserted before (see index.h).
 */
#ifndef LIB_INDEX_FILTER_H
#define LIB_INDEX_FILTER_H

#include "index.h"

#define FILTER_UNIT 12U		/* log2 of the least unit, in bytes */
#define FILTER_STEP 3U		/* and of how much larger each next one is */
#define FILTER_LEVELS ((64 - FILTER_UNIT) / FILTER_STEP + 1)
#define FILTER_UNITS 8UL	/* in so many of them an interval is at most */
#define FILTER_LOOKS 16UL	/* at so many counters is looked at most */

/* So many intervals need one; fewer are in the processor's caches. */
#define FILTER_FROM SYNC_SIZE(16384UL, 40UL)

#define FILTER_TOP 15UL
#define FILTER_LINE (CACHE_LINE / sizeof(unsigned long))
#define FILTER_LINE_BITS 7U	/* log2 of the units of a line */

_Static_assert(1UL << FILTER_LINE_BITS == CACHE_LINE * 2, "4 bits of a line each");

/**
 * struct index_filter - how many intervals are where
 * @levels: a bit for each size of units that any interval has
 * @shift: of a hash, to the number of a line
 * @older: it has taken the place of that, which may be looked at still; from here
 *	on it is the writers', in other lines than what all read
 * @size: bytes
 * @count: the intervals of each level
 * @line: of counters
 */
struct index_filter {
	unsigned long levels;
	unsigned int shift;
	struct index_filter *older __cacheline_aligned;
	size_t size;
	unsigned long count[FILTER_LEVELS];
	unsigned long line[][FILTER_LINE] __cacheline_aligned;
};

/* A counter: at @shift in @word. */
struct filter_counter {
	unsigned long *word;
	unsigned int shift;
};

#define FILTER_FACTOR 0x9e3779b97f4a7c15UL	/* of the golden ratio */

static inline unsigned int filter_shift(unsigned int level)
{
	return FILTER_UNIT + level * FILTER_STEP;
}

/*
 * Of the unit of that number. Which units of two stretches that share a line share a
 * counter, too, is as good as random.
 */
static inline struct filter_counter filter_counter(struct index_filter *f,
						   unsigned int level,
						   unsigned long unit)
{
	unsigned long hash = ((unit >> FILTER_LINE_BITS) +
			      ((unsigned long)level << 58)) * FILTER_FACTOR;
	unsigned long at = (unit ^ hash >> 20) % (1UL << FILTER_LINE_BITS);

	return (struct filter_counter){
		&f->line[hash >> f->shift][at / 16], (unsigned int)at % 16 * 4,
	};
}

/* In the smallest units of which few will do. */
static inline unsigned int filter_level(unsigned long start, unsigned long last)
{
	unsigned int level = 0;

	while ((last >> filter_shift(level)) - (start >> filter_shift(level)) >=
	       FILTER_UNITS)
		level++;
	return level;
}

/* Is there nothing in [start, last]? False: perhaps there is. */
static inline bool filter_tells_nothing(struct index_filter *f,
					unsigned long start, unsigned long last)
{
	unsigned long unit, end, left = FILTER_LOOKS;
	unsigned long levels = READ_ONCE(f->levels);
	struct filter_counter c;
	unsigned int level;

	for (; levels; levels &= levels - 1) {
		level = (unsigned int)__builtin_ctzl(levels);
		unit = start >> filter_shift(level);
		end = last >> filter_shift(level);
		if (end - unit >= left)
			return false;
		left -= end - unit + 1;
		for (; unit <= end; unit++) {
			c = filter_counter(f, level, unit);
			if (READ_ONCE(*c.word) >> c.shift & FILTER_TOP)
				return false;
		}
	}
	return true;
}

/* Is there one? */
static inline bool index_filtered(const struct interval_index *ix)
{
	return READ_ONCE(ix->filter) != NULL;
}

/* Does it, which is there, say that nothing is in [start, last]? */
static inline bool index_nothing(const struct interval_index *ix,
				 unsigned long start, unsigned long last)
{
	/*
	 * Ordering: (IX-FILTER-SEEN) pairs with (IX-FILTER) in publish(): all that was
	 * there is counted.
	 */
	return filter_tells_nothing(smp_load_acquire(&ix->filter), start, last);
}

/*
 * Only who found nothing the last time asks the filter first: who has hit something may
 * well hit again, and would have one more line to wait for.
 */
static inline bool filter_first(const struct interval_index *ix,
				const struct index_finger *finger)
{
	return finger->version == FINGER_NOTHING && index_filtered(ix);
}

/* He found nothing, where no finger had led. */
static inline void filter_next(const struct interval_index *ix,
			       struct index_finger *finger)
{
	if (unlikely(index_filtered(ix)))
		finger->version = FINGER_NOTHING;
}

/* index_filter.c; what is in [start, last] came, or went */
void filter_came(struct interval_index *ix, unsigned long start, unsigned long last)
	__must_hold(&ix->lock);
void filter_went(struct interval_index *ix, unsigned long start, unsigned long last)
	__must_hold(&ix->lock);
/*
 * There are many, or many more. The lock is dropped and taken again; without memory
 * it is as before.
 */
void index_filter_renew(struct interval_index *ix) __must_hold(&ix->lock);
void index_filter_destroy(struct interval_index *ix);

static inline bool filter_counts(const struct interval_index *ix)
	__must_hold(&ix->lock)
{
	return unlikely((uintptr_t)ix->filter | (uintptr_t)ix->filling);
}

#endif
