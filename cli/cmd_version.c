/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <jansson.h>
#include <stdio.h>

#include "cli.h"
#include "out.h"

static int run_version(int argc, char **argv)
{
	bool json;
	int status;

	status = parse_json_only(&cmd_version, argc, argv, &json);
	if (status >= 0)
		return status;
	if (json)
		return print_json(json_pack("{s:s}", "version", UHMM_VERSION));
	puts("uhmm " UHMM_VERSION);
	return EXIT_HOLDS;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "print the version",
	.usage = "[--json]",
	.details = "\n  -j, --json   one JSON object, with \"schema\": 1\n",
	.run = run_version,
};
