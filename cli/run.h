/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of `uhmm run` share. */
#ifndef UHMM_CLI_RUN_H
#define UHMM_CLI_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../src/agent/board.h"
#include "../src/agent/stream.h"

/* What the command line asks for. */
struct run_options {
	bool json;
	bool deaf;
	enum board_device device;
	int guarantee;
	bool newest;			/* --kernel-level */
	int error_exitcode;		/* 0: not asked for */
	const char *output;
	const char *html;
	const char *pftrace;
	char **program;
};

/* A board, and where others open it. */
struct run_board {
	struct board *board;
	struct stream *stream;		/* NULL: the device has none */
	int fd;
	char path[64];
};

/* How a program was started and ended. */
struct run_result {
	int status;			/* of waitpid() */
	uint64_t wall_ns;
	uint64_t cpu_ns;		/* it and all it waited for */
};

/* run_board.c. 0, or an errno. */
int board_make(struct run_board *board, const struct run_options *options);

/*
 * run_program.c: can it be run with the agent? Says why not in @reason; the file
 * is where execvp() would find it.
 */
bool program_check(const char *name, char *reason, size_t size);
/* The agent's file; NULL: there is none. */
const char *program_preload(enum board_device device);

/* run_launch.c: run it until it ends. 0, or an errno of starting it. */
int launch(const struct run_options *options, const struct run_board *board,
	   struct run_result *ret_result);
/* End as the program did. */
int pass_status(int status);

/* run_report.c */
/* How many places of @board were taken. */
unsigned int report_places(const struct board *board);
/* The most contended fault, and whose it was; NULL: there was none. */
const struct board_ladder *report_ladder(const struct board *board,
					 const struct board_process **ret_by);
/* A step of it, in words. */
void report_step(const struct board_record *record, char *buf, size_t size);
void report_sum(const struct board *board, struct board_counts *ret_sum);
int report_text(FILE *out, const struct run_options *options,
		const struct board *board, const struct run_result *result);
int report_json(FILE *out, const struct run_options *options,
		const struct board *board, const struct run_result *result);

/* run_html.c, run_pftrace.c: 0, or -1 with errno */
int run_html(FILE *out, const struct run_options *options,
	     const struct board *board, const struct run_result *result);
int run_pftrace(FILE *out, const struct board *board);

/* Of the clock that the agents use. */
uint64_t now_ns(void);

#endif
