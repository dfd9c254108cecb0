/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef UHMM_CLI_H
#define UHMM_CLI_H

#include <stdbool.h>

struct option;

/* What a command ends with; see EXIT STATUS in uhmm(1). */
enum {
	EXIT_HOLDS = 0,
	EXIT_CANNOT_TELL = 125,
	EXIT_INTERNAL = 128,
	EXIT_USAGE = 129,
};

/**
 * struct command - one row of the command table
 * @name: what the user types
 * @summary: one line for `uhmm --help`
 * @usage: the arguments, for `uhmm help NAME`
 * @details: the rest of `uhmm help NAME`
 * @runs_program: what follows the first argument is a program's own
 * @run: does it; argv[0] is @name; returns the exit status
 */
struct command {
	const char *name;
	const char *summary;
	const char *usage;
	const char *details;
	bool runs_program;
	int (*run)(int argc, char **argv);
};

extern const struct command cmd_explore;
extern const struct command cmd_features;
extern const struct command cmd_replay;
extern const struct command cmd_run;
extern const struct command cmd_version;
extern const struct command cmd_watch;

/*
 * Hands each option to @take, with its value in optarg; false: it does not take
 * that. --help is answered here. Returns -1 to go on with argv[optind], else
 * the exit status.
 */
int parse_options(const struct command *cmd, int argc, char **argv,
		  const struct option *options,
		  bool (*take)(int c, void *arg), void *arg);

/* -1, or the exit status if there is an argument left. */
int no_more_arguments(const struct command *cmd, int argc, char **argv);

/* The same for a command that knows --json and --help only. */
int parse_json_only(const struct command *cmd, int argc, char **argv,
		    bool *ret_json);

/* Prints "uhmm CMD: message" and where to read on; returns EXIT_USAGE. */
int usage_error(const char *name, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void print_usage(const struct command *cmd);

#endif
