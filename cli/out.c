/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <errno.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* 0, or why a file at @path could not be written. Writes nothing yet. */
static int refusal(const char *path)
{
	char folder[PATH_MAX];
	struct stat st;

	if (strlen(path) >= sizeof(folder))
		return ENAMETOOLONG;
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			return EISDIR;
		return access(path, W_OK) ? errno : 0;
	}
	strcpy(folder, path);
	return access(dirname(folder), W_OK | X_OK) ? errno : 0;
}

bool can_write(const char *command, const char *path)
{
	int error = path ? refusal(path) : 0;

	if (error)
		fprintf(stderr, "uhmm %s: %s: %s\n", command, path,
			strerror(error));
	return !error;
}
