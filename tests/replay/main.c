/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* oracle_replay: plays a file of the oracle, and prints or compares it. */
#include "replay.h"

#include <getopt.h>

struct choice {
	const struct world_ops *world;
	bool newest;
	bool compare;
	bool quiet;
	unsigned int quirks;
};

/* The file anew; NULL: it could not be played. To be freed. */
static char *play(const struct choice *choice, const struct script *script)
{
	struct replay replay = { .world = choice->world,
				 .newest = choice->newest,
				 .quirks = choice->quirks };
	char *text = NULL;
	size_t size;
	int ret;

	replay.out = open_memstream(&text, &size);
	ret = replay_run(&replay, script);
	fclose(replay.out);
	if (!ret)
		return text;
	free(text);
	return NULL;
}

static bool compare_with(const struct script *script, char *text,
			 const char *path)
{
	struct comparison found;
	struct script got;
	bool good = true;

	if (!script_parse(&got, text, path))
		return false;
	compare(&found, script, &got, false);
	script_free(&got);
	printf("%s:", path);
	for (int i = 0; i < NR_LEVELS; i++) {
		printf(" C%d %lu", i + 1, found.differences[i]);
		good = good && (i == NR_LEVELS - 1 || !found.differences[i]);
	}
	printf("\n");
	for (int i = 0; i < NR_LEVELS; i++)
		if (found.differences[i])
			printf("  C%d: %s\n", i + 1, found.first[i]);
	return good;
}

/* 0; 1: it differs; 2: it could not be played. */
static int one_file(const struct choice *choice, const char *path)
{
	struct script script;
	int ret = 2;
	char *text;

	if (!script_read(&script, path))
		return ret;
	text = play(choice, &script);
	if (text && choice->compare)
		ret = !compare_with(&script, text, path);
	else if (text)
		ret = !choice->quiet && fputs(text, stdout) < 0;
	free(text);
	script_free(&script);
	return ret;
}

static int usage(void)
{
	fprintf(stderr, "usage: oracle_replay [--mm=model] "
		"[--kernel-level=6.1|newest] [--compare | --quiet] "
		"[--quirk=inclusive-end|device-filter] FILE...\n");
	return 2;
}

static bool choose(struct choice *choice, int option, const char *arg)
{
	switch (option) {
	case 'c':
		choice->compare = true;
		return true;
	case 'q':
		choice->quiet = true;
		return true;
	case 'm':
		choice->world = &model_world;
		return !strcmp(arg, "model");
	case 'k':
		choice->newest = *arg == 'n';
		return !strcmp(arg, "6.1") || !strcmp(arg, "newest");
	case 'b':
		choice->quirks = *arg == 'i' ? UHMM_DMIRROR_INCLUSIVE_END :
					       UHMM_DMIRROR_DEVICE_FILTER;
		return !strcmp(arg, "inclusive-end") ||
		       !strcmp(arg, "device-filter");
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mm", required_argument, NULL, 'm' },
		{ "kernel-level", required_argument, NULL, 'k' },
		{ "compare", no_argument, NULL, 'c' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "quirk", required_argument, NULL, 'b' },
		{ NULL, 0, NULL, 0 }
	};
	struct choice choice = { .world = &model_world };
	int option, worst = 0;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (!choose(&choice, option, optarg))
			return usage();
	if (optind == argc)
		return usage();
	for (; optind < argc; optind++) {
		int ret = one_file(&choice, argv[optind]);

		worst = ret > worst ? ret : worst;
	}
	return worst;
}
