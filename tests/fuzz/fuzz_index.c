/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Histories of the index, as libFuzzer thinks them up.
 */
#include <stdio.h>
#include <stdlib.h>

#include "index_history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *problem = history_run(data, size);

	if (!problem)
		return 0;
	fprintf(stderr, "%s\n", problem);
	abort();
}
