/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Replay files, as libFuzzer thinks them up. What is read can be written, and
 * is then read as the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explore/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct replay *first)
{
	struct trace trace = {
		.scenario = first->scenario, .engine = first->engine,
		.weaken = first->weaken, .model = first->model,
		.steps = first->steps, .nsteps = first->nsteps };
	char problem[200], *text = NULL;
	struct replay second;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out || replay_write(out, &trace, first->object, first->build) ||
	    fclose(out) ||
	    replay_parse(&second, text, size, problem, sizeof(problem)) ||
	    second.nsteps != first->nsteps ||
	    (first->nsteps && memcmp(second.steps, first->steps,
				     first->nsteps * sizeof(*first->steps))) ||
	    strcmp(second.scenario, first->scenario))
		abort();
	replay_free(&second);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[200];
	struct replay replay;

	if (replay_parse(&replay, (const char *)data, size, problem,
			 sizeof(problem)))
		return 0;
	check_again(&replay);
	replay_free(&replay);
	return 0;
}
