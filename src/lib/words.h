/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Words in a row that count up, as frames and the entries for them do: many at once,
 * in vectors of the compiler's. Who reads one of them meanwhile sees what it was or what
 * it is: no machine tears 8 aligned bytes of a vector, though C does not say so, and
 * ThreadSanitizer gets to see single words. Who writes is alone.
 */
#ifndef LIB_WORDS_H
#define LIB_WORDS_H

#include "../sync/sync.h"

/* So many at once, in two vectors. */
#define WORDS 4U

typedef unsigned long words __attribute__((vector_size(16)));
/* Where a word may begin. */
typedef unsigned long words_at __attribute__((vector_size(16), aligned(8), may_alias));

#define WORDS_AT(at, i) (*(words_at *)((at) + (i)))
#define WORDS_GET(at, i) (*(const words_at *)((at) + (i)))

/* The bits that are set in each of them. */
static inline unsigned long words_and(const unsigned long *at, unsigned long n)
{
	unsigned long each = ~0UL;
	words all = { ~0UL, ~0UL };

	for (; n >= WORDS && !ARCH_SINGLE_WORDS; n -= WORDS, at += WORDS)
		all &= WORDS_GET(at, 0) & WORDS_GET(at, 2);
	for (; n; n--)
		each &= *at++;
	return each & all[0] & all[1];
}

/* How many, beginning with the first, are @first, @first + @step, and so on. */
static inline unsigned long words_run(const unsigned long *at, unsigned long n,
				      unsigned long first, unsigned long step)
{
	words next = { first, first + step }, other;
	unsigned long i = 0;

	for (; n - i >= WORDS && !ARCH_SINGLE_WORDS; i += WORDS) {
		other = WORDS_GET(at, i) ^ next;
		other |= WORDS_GET(at, i + 2) ^ (next + 2 * step);
		if (other[0] | other[1])
			break;
		next += WORDS * step;
	}
	for (first += i * step; i < n && at[i] == first; i++)
		first += step;
	return i;
}

/* They are that now; returns all bits that were set in any of them. */
static inline unsigned long words_count_up(unsigned long *at, unsigned long n,
					   unsigned long first, unsigned long step)
{
	words next = { first, first + step }, all = { 0 };
	unsigned long was = 0;

	for (; n >= WORDS && !ARCH_SINGLE_WORDS; n -= WORDS, at += WORDS) {
		all |= WORDS_GET(at, 0) | WORDS_GET(at, 2);
		WORDS_AT(at, 0) = next;
		WORDS_AT(at, 2) = next + 2 * step;
		next += WORDS * step;
	}
	for (first = next[0]; n; n--, at++, first += step) {
		was |= *at;
		WRITE_ONCE(*at, first);
	}
	return was | all[0] | all[1];
}

#endif
