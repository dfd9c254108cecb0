/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Runs of letters and of values. */
#include "replay.h"

void text_letters(char *buf, const char *letters, size_t n)
{
	size_t run;

	*buf = '\0';
	for (size_t i = 0; i < n; i += run) {
		for (run = 1; i + run < n && letters[i + run] == letters[i];)
			run++;
		*buf++ = letters[i];
		buf += run > 1 ? sprintf(buf, "%zu", run) : 0;
		*buf = '\0';
	}
}

/* How many values from @at on are @step apart. */
static size_t run_of(const uint64_t *values, const bool *torn, size_t n,
		     size_t at, uint64_t step)
{
	size_t run = 1;

	while (at + run < n && !torn[at] && !torn[at + run] &&
	       values[at + run] == values[at + run - 1] + step)
		run++;
	return run;
}

void text_values(FILE *out, const uint64_t *values, const bool *torn, size_t n)
{
	for (size_t i = 0, run; i < n; i += run) {
		size_t same = run_of(values, torn, n, i, 0);
		size_t rising = run_of(values, torn, n, i, 1);

		fprintf(out, torn[i] ? " mix:%lx" : " %lu",
			(unsigned long)values[i]);
		run = 1;
		if (same > 1) {
			run = same;
			fprintf(out, "*%zu", run);
		} else if (rising > 2) {
			run = rising;
			fprintf(out, "..%lu", (unsigned long)values[i + run - 1]);
		}
	}
}

const char *text_errno(long error)
{
	return strerrorname_np((int)-error);
}
