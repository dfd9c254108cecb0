/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * For builds without a vector search.
 */
#include "index.h"

const struct index_search *index_search_vector(void)
{
	return NULL;
}
