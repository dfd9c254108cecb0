/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which of the vectors that this build can use does this machine have?
 */
#include "index.h"

const struct index_search *index_search_vector(void)
{
	if (__builtin_cpu_supports("avx512f"))
		return &index_search_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &index_search_avx2;
	return NULL;
}
