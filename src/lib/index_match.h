/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The comparisons of a scaled key with a node's entries, in three forms: which
 * can overlap, for searches, and how many come before it, for writers. The
 * portable form reads each word as the shared word it is; the vector forms
 * rely on aligned lanes of 4 bytes being read whole, as they are on x86-64.
 */
#ifndef LIB_INDEX_MATCH_H
#define LIB_INDEX_MATCH_H

#include "index.h"

#define INDEX_LANES ((1U << INDEX_FANOUT) - 1)

#ifdef INDEX_SEARCH_AVX512

#include <immintrin.h>

struct index_range {
	__m512i start, last;
};

static inline struct index_range index_range(unsigned int start,
					     unsigned int last)
{
	return (struct index_range){
		_mm512_set1_epi32((int)start), _mm512_set1_epi32((int)last),
	};
}

static inline unsigned int index_match(const struct index_node *node,
				       const struct index_range *range)
{
	__mmask16 m = _mm512_mask_cmpge_epu32_mask(INDEX_LANES, range->last,
						   *(const __m512i *)node->lo);

	return _mm512_mask_cmple_epu32_mask(m, range->start,
					    *(const __m512i *)node->hi);
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned int key)
{
	__mmask16 m = _mm512_cmple_epu32_mask(_mm512_load_si512(node->lo),
					      _mm512_set1_epi32((int)key));

	return (unsigned int)__builtin_popcount(m & INDEX_LANES);
}

#define INDEX_SEARCH_NAME "avx512"
#define INDEX_SEARCH_OPS index_search_avx512

#elif defined(INDEX_SEARCH_AVX2)

#include <immintrin.h>

static inline __m256i load8(const unsigned int *words)
{
	return _mm256_load_si256((const __m256i *)(const void *)words);
}

/* Bits of those of eight words that equal the lesser, or the greater, of two. */
static inline unsigned int equal8(__m256i a, __m256i b)
{
	__m256i equal = _mm256_cmpeq_epi32(a, b);

	return (unsigned int)_mm256_movemask_ps(_mm256_castsi256_ps(equal));
}

static inline unsigned int upto8(const unsigned int *words, __m256i key)
{
	__m256i x = load8(words);

	return equal8(x, _mm256_min_epu32(x, key));
}

static inline unsigned int from8(const unsigned int *words, __m256i key)
{
	__m256i x = load8(words);

	return equal8(x, _mm256_max_epu32(x, key));
}

struct index_range {
	__m256i start, last;
};

static inline struct index_range index_range(unsigned int start,
					     unsigned int last)
{
	return (struct index_range){
		_mm256_set1_epi32((int)start), _mm256_set1_epi32((int)last),
	};
}

static inline unsigned int index_match(const struct index_node *node,
				       const struct index_range *range)
{
	unsigned int lo = upto8(node->lo, range->last) |
			  upto8(node->lo + 8, range->last) << 8;
	unsigned int hi = from8(node->hi, range->start) |
			  from8(node->hi + 8, range->start) << 8;

	return lo & hi & INDEX_LANES;
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned int key)
{
	const __m256i k = _mm256_set1_epi32((int)key);
	unsigned int lo = upto8(node->lo, k) | upto8(node->lo + 8, k) << 8;

	return (unsigned int)__builtin_popcount(lo & INDEX_LANES);
}

#define INDEX_SEARCH_NAME "avx2"
#define INDEX_SEARCH_OPS index_search_avx2

#else

struct index_range {
	unsigned int start, last;
};

static inline struct index_range index_range(unsigned int start,
					     unsigned int last)
{
	return (struct index_range){ start, last };
}

static inline unsigned int index_match(const struct index_node *node,
				       const struct index_range *range)
{
	unsigned int last = range->last, start = range->start;
	unsigned int mask = 0;

	for (unsigned int i = 0; i < INDEX_FANOUT; i++)
		mask |= ((unsigned int)(READ_ONCE(node->lo[i]) <= last) &
			 (unsigned int)(READ_ONCE(node->hi[i]) >= start)) << i;
	return mask;
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned int key)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < INDEX_FANOUT; i++)
		n += node->lo[i] <= key;
	return n;
}

#define INDEX_SEARCH_NAME "portable"
#define INDEX_SEARCH_OPS index_search_portable

#endif
#endif
