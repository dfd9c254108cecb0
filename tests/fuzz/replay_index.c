/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Histories of the index without libFuzzer.
 *
 *	replay_index FILE...			run them
 *	replay_index --expand DIR FILE...	write each to a file of its own
 *
 * A FILE.txt holds histories as text: hex digits, a line that begins with '#'
 * before each; any other file is one history, as libFuzzer leaves it behind.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index_history.h"

#define MAX_BYTES 65536

static uint8_t bytes[MAX_BYTES];
static size_t n_bytes;
static const char *expand_to;
static unsigned int n_histories, n_wrong;

static int expand(void)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%u", expand_to, n_histories);
	file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, n_bytes, file) != n_bytes ||
	    fclose(file)) {
		perror(path);
		return 1;
	}
	return 0;
}

/* What has been read so far is one. */
static int one_history(const char *name)
{
	const char *problem;

	if (!n_bytes)
		return 0;
	n_histories++;
	if (expand_to)
		return expand();
	problem = history_run(bytes, n_bytes);
	n_bytes = 0;
	if (!problem)
		return 0;
	printf("%s: history %u: %s\n", name, n_histories, problem);
	n_wrong++;
	return 0;
}

static int add_digits(const char *line)
{
	unsigned int byte;

	for (; isxdigit((unsigned char)*line) && n_bytes < MAX_BYTES;
	     line += 2) {
		if (sscanf(line, "%2x", &byte) != 1)
			return 1;
		bytes[n_bytes++] = (uint8_t)byte;
	}
	return *line && *line != '\n';
}

static int read_text(const char *name, FILE *file)
{
	char line[256];
	int ret = 0;

	while (!ret && fgets(line, sizeof(line), file)) {
		if (*line != '#') {
			ret = add_digits(line);
			continue;
		}
		ret = one_history(name);
		n_bytes = 0;
	}
	if (ret)
		fprintf(stderr, "%s: not hex digits\n", name);
	return ret || one_history(name);
}

static int read_file(const char *name)
{
	const char *dot = strrchr(name, '.');
	FILE *file = fopen(name, "rb");
	int ret;

	if (!file) {
		perror(name);
		return 1;
	}
	n_bytes = 0;
	if (dot && !strcmp(dot, ".txt")) {
		ret = read_text(name, file);
	} else {
		n_bytes = fread(bytes, 1, MAX_BYTES, file);
		ret = one_history(name);
	}
	fclose(file);
	return ret;
}

int main(int argc, char **argv)
{
	int i = 1;

	if (argc > 3 && !strcmp(argv[1], "--expand")) {
		expand_to = argv[2];
		i = 3;
	}
	for (; i < argc; i++)
		if (read_file(argv[i]))
			return 2;
	printf("%u histories, %u wrong\n", n_histories, n_wrong);
	return n_wrong || !n_histories ? 1 : 0;
}
