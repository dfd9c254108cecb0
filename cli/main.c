/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm: a table of commands. stdout is for results, stderr for talk.
 */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int run_help(int argc, char **argv);

static const struct command cmd_help = {
	.name = "help",
	.summary = "say how a command is used",
	.usage = "[COMMAND]",
	.details = "\nWithout COMMAND: all commands, a line each. As uhmm --help.\n",
	.run = run_help,
};

static const struct command *const commands[] = {
	&cmd_explore,
	&cmd_features,
	&cmd_help,
	&cmd_replay,
	&cmd_run,
	&cmd_version,
	&cmd_watch,
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void list_commands(void)
{
	size_t i;

	for (i = 0; i < N_COMMANDS; i++)
		puts(commands[i]->name);
}

static void print_help(FILE *out)
{
	size_t i;

	fputs("usage: uhmm COMMAND [OPTION...]\n\n", out);
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-12s %s\n", commands[i]->name,
			commands[i]->summary);
	fputs("\n"
	      "  uhmm run -- cc -c x.c            a compiler, and a device that mirrors it\n"
	      "  uhmm explore ladder_valid_bool   how a valid flag goes wrong\n"
	      "  uhmm help explore                how a command is used\n",
	      out);
}

static int run_help(int argc, char **argv)
{
	const struct command *cmd;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		print_usage(&cmd_help);
		return EXIT_HOLDS;
	}
	if (argc == 1) {
		print_help(stdout);
		return EXIT_HOLDS;
	}
	if (argc > 2)
		return usage_error("help", "unexpected argument '%s'", argv[2]);
	cmd = find_command(argv[1]);
	if (!cmd)
		return usage_error("help", "unknown command '%s'", argv[1]);
	print_usage(cmd);
	return EXIT_HOLDS;
}

/* Runs what the command line asks for; returns the exit status. */
static int dispatch(int argc, char **argv)
{
	const struct command *cmd;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return cmd_help.run(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--version"))
		return cmd_version.run(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--list-commands")) {
		if (argc > 2)
			return usage_error("", "unexpected argument '%s'",
					   argv[2]);
		list_commands();
		return EXIT_HOLDS;
	}
	if (argv[1][0] == '-')
		return usage_error("", "unknown option '%s'", argv[1]);
	cmd = find_command(argv[1]);
	if (!cmd)
		return usage_error("", "unknown command '%s'", argv[1]);
	return cmd->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status = dispatch(argc, argv);

	/* A full disk or a closed pipe is not a success. */
	if (fflush(stdout) || ferror(stdout)) {
		perror("uhmm: stdout");
		return EXIT_INTERNAL;
	}
	return status;
}
