/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The commands of the explorer in a build that has none.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int refuse(const struct command *cmd, int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
		print_usage(cmd);
		return EXIT_HOLDS;
	}
	fprintf(stderr, "uhmm %s: built with -fsanitize=thread, or by a "
		"compiler that has none: no explorer\n", cmd->name);
	return EXIT_CANNOT_TELL;
}

static int run_explore(int argc, char **argv)
{
	return refuse(&cmd_explore, argc, argv);
}

static int run_replay(int argc, char **argv)
{
	return refuse(&cmd_replay, argc, argv);
}

const struct command cmd_explore = {
	.name = "explore",
	.summary = "run a scenario through every order of its threads",
	.usage = "",
	.details = "\nThis build cannot.\n",
	.run = run_explore,
};

const struct command cmd_replay = {
	.name = "replay",
	.summary = "run an execution again that 'uhmm explore' wrote down",
	.usage = "",
	.details = "\nThis build cannot.\n",
	.run = run_replay,
};
