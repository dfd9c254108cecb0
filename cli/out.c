/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <jansson.h>
#include <stdio.h>

#include "cli.h"
#include "out.h"

int print_json_to(FILE *out, json_t *object)
{
	json_t *line = json_pack("{s:i}", "schema", 1);
	int status = EXIT_INTERNAL;

	if (object && line && !json_object_update(line, object) &&
	    !json_dumpf(line, out, JSON_COMPACT)) {
		fputc('\n', out);
		status = EXIT_HOLDS;
	} else {
		fputs("uhmm: cannot write JSON\n", stderr);
	}
	json_decref(line);
	json_decref(object);
	return status;
}

int print_json(json_t *object)
{
	return print_json_to(stdout, object);
}
