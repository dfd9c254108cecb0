/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the commands around the explorer share.
 */
#ifndef UHMM_CLI_EXPLORE_H
#define UHMM_CLI_EXPLORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "explore/explore.h"

#define EXIT_VIOLATED 1
#define EXIT_CANNOT_TELL 125

/* explore_scenarios.c */

/* All scenarios that came with the tool; false: stderr says why not. */
bool scenarios_load(void);
/*
 * Those that @what names: one that came with the tool, or all of an object,
 * "./mine.so", or the one of it called @name. NULL: none, and stderr says why.
 */
struct uhmm_scenario *scenarios_named(const char *what, const char *name);
const char *scenario_result_name(enum uhmm_result result);
/* What tells one build of an object from another, in hexadecimal; "": unknown. */
void scenario_build(const struct uhmm_scenario *scenario, char *buf,
		    size_t size);

/* explore_report.c */
void explored_print(const struct uhmm_scenario *scenario,
		  const struct explore_report *report, FILE *out);
json_t *explored_json(const struct uhmm_scenario *scenario,
		    const struct explore_report *report);
/* Of explored_json(), for --merge; false: it is none. */
bool explored_from_json(json_t *json, const struct uhmm_scenario *scenario,
			struct explore_report *ret_report);
/* A word for it: Unknown, if it was cut short and nothing was found. */
const char *explored_outcome(const struct explore_report *report);
int explored_status(const struct uhmm_scenario *scenario,
		  const struct explore_report *report);

/* explore_html.c, explore_pftrace.c: 0, or -1 with errno */
int explored_html(const struct uhmm_scenario *scenario,
		const struct explore_report *report, FILE *out);
int trace_pftrace(const struct trace *trace, FILE *out);

#endif
