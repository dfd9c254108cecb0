/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef UHMM_CLI_OUT_H
#define UHMM_CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Prints @object, and frees it, as one line with "schema": 1 first. Returns
 * the exit status; NULL (no memory) is an internal error.
 */
int print_json_to(FILE *out, json_t *object);
int print_json(json_t *object);

/*
 * Before long work: could its result be written to @path? NULL: there is none.
 * Says on stderr why not.
 */
bool can_write(const char *command, const char *path);

#endif
