/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The comparisons of a key with a node's fifteen entries, in three forms:
 * which can overlap, for searches, and how many come before it, for writers. The
 * portable form reads each word as the shared word it is; the vector forms
 * rely on aligned lanes of 8 bytes being read whole, as they are on x86-64.
 */
#ifndef LIB_INDEX_MATCH_H
#define LIB_INDEX_MATCH_H

#include "index.h"

#define INDEX_LANES ((1U << INDEX_FANOUT) - 1)

#ifdef INDEX_SEARCH_AVX512

#include <immintrin.h>

static inline unsigned int index_match(const struct index_node *node,
				       unsigned long start, unsigned long last)
{
	const __m512i s = _mm512_set1_epi64((long long)start);
	const __m512i e = _mm512_set1_epi64((long long)last);
	__mmask8 a = _mm512_cmple_epu64_mask(_mm512_load_si512(node->lo), e);
	__mmask8 b = _mm512_cmple_epu64_mask(_mm512_load_si512(node->lo + 8), e);

	a = _mm512_mask_cmpge_epu64_mask(a, _mm512_load_si512(node->hi), s);
	b = _mm512_mask_cmpge_epu64_mask(b, _mm512_load_si512(node->hi + 8), s);
	return _mm512_kunpackb(b, a) & INDEX_LANES;
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned long key)
{
	const __m512i k = _mm512_set1_epi64((long long)key);
	__mmask8 a = _mm512_cmple_epu64_mask(_mm512_load_si512(node->lo), k);
	__mmask8 b = _mm512_cmple_epu64_mask(_mm512_load_si512(node->lo + 8), k);

	return (unsigned int)__builtin_popcount(_mm512_kunpackb(b, a) &
						INDEX_LANES);
}

#define INDEX_SEARCH_NAME "avx512"
#define INDEX_SEARCH_OPS index_search_avx512

#elif defined(INDEX_SEARCH_AVX2)

#include <immintrin.h>

/* Bits of those of four words that are greater; keys have no sign. */
static inline unsigned int greater4(__m256i a, __m256i b)
{
	const __m256i top = _mm256_set1_epi64x((long long)(1UL << 63));
	__m256i gt = _mm256_cmpgt_epi64(_mm256_xor_si256(a, top),
					_mm256_xor_si256(b, top));

	return (unsigned int)_mm256_movemask_pd(_mm256_castsi256_pd(gt));
}

static inline __m256i load4(const unsigned long *words)
{
	return _mm256_load_si256((const __m256i *)(const void *)words);
}

static inline unsigned int index_match(const struct index_node *node,
				       unsigned long start, unsigned long last)
{
	const __m256i s = _mm256_set1_epi64x((long long)start);
	const __m256i e = _mm256_set1_epi64x((long long)last);
	unsigned int out = 0;

	for (unsigned int i = 0; i < 4; i++)
		out |= (greater4(load4(node->lo + 4 * i), e) |
			greater4(s, load4(node->hi + 4 * i))) << 4 * i;
	return ~out & INDEX_LANES;
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned long key)
{
	const __m256i k = _mm256_set1_epi64x((long long)key);
	unsigned int out = 0;

	for (unsigned int i = 0; i < 4; i++)
		out |= greater4(load4(node->lo + 4 * i), k) << 4 * i;
	return (unsigned int)__builtin_popcount(~out & INDEX_LANES);
}

#define INDEX_SEARCH_NAME "avx2"
#define INDEX_SEARCH_OPS index_search_avx2

#else

static inline unsigned int index_match(const struct index_node *node,
				       unsigned long start, unsigned long last)
{
	unsigned int mask = 0;

	for (unsigned int i = 0; i < INDEX_FANOUT; i++)
		mask |= ((unsigned int)(READ_ONCE(node->lo[i]) <= last) &
			 (unsigned int)(READ_ONCE(node->hi[i]) >= start)) << i;
	return mask;
}

static inline unsigned int index_rank(const struct index_node *node,
				      unsigned long key)
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
