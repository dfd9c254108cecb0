/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Which of the vectors that this build can use does this machine have?
 */
#include "index.h"

const struct index_search *index_search_vector(void)
{
	/* All that the build asks for, see meson.build. */
	if (!__builtin_cpu_supports("bmi"))
		return NULL;
	if (__builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512vl"))
		return &index_search_avx512;
	if (__builtin_cpu_supports("avx2"))
		return &index_search_avx2;
	return NULL;
}
