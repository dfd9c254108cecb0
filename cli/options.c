/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The command line of a command: one loop for all, so that all complain alike.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

void print_usage(const struct command *cmd)
{
	printf("usage: uhmm %s %s\n\n%s.\n%s", cmd->name, cmd->usage,
	       cmd->summary, cmd->details);
}

int usage_error(const char *name, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "uhmm%s%s: ", *name ? " " : "", name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry 'uhmm %s%s'.\n", *name ? "help " : "--help",
		name);
	return EXIT_USAGE;
}

static const char *option_name(const struct option *option, int c)
{
	while (option->name && option->val != c)
		option++;
	return option->name;
}

int parse_options(const struct command *cmd, int argc, char **argv,
		  const struct option *options,
		  bool (*take)(int c, void *arg), void *arg)
{
	const char *letters = cmd->runs_program ? "+:hj" : ":hj";
	int c;

	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (c == 'h') {
			print_usage(cmd);
			return EXIT_HOLDS;
		}
		if (c == ':')
			return usage_error(cmd->name, "option '%s' needs a value",
					   argv[optind - 1]);
		if (c == '?')
			return usage_error(cmd->name, "unknown option '%s'",
					   argv[optind - 1]);
		/* Rather forgotten than meant; a file may be ./-name. */
		if (optarg && (!strcmp(optarg, "-") || !strncmp(optarg, "--", 2)))
			return usage_error(cmd->name,
					   "option '%s' needs a value, not '%s'",
					   option_name(options, c), optarg);
		if (!take(c, arg))
			return usage_error(cmd->name,
					   "option '%s' does not take '%s'",
					   option_name(options, c), optarg);
	}
	return -1;
}

int no_more_arguments(const struct command *cmd, int argc, char **argv)
{
	return optind < argc ? usage_error(cmd->name, "unexpected argument '%s'",
					   argv[optind]) : -1;
}

static bool take_json(int c, void *arg)
{
	bool *json = arg;

	*json = true;
	return true;
}

int parse_json_only(const struct command *cmd, int argc, char **argv,
		    bool *ret_json)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int status;

	*ret_json = false;
	status = parse_options(cmd, argc, argv, options, take_json, ret_json);
	return status >= 0 ? status : no_more_arguments(cmd, argc, argv);
}
