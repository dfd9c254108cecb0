/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Does this machine have the vectors that this build uses?
 */
#include "index.h"

extern const struct index_search index_search_avx512;

const struct index_search *index_search_vector(void)
{
	return __builtin_cpu_supports("avx512f") ? &index_search_avx512 : NULL;
}
