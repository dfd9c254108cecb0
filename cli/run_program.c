/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The program that is to be run, and the agent that it is to have. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../src/agent/loadable.h"
#include "run.h"

bool program_check(const char *name, char *reason, size_t size)
{
	char path[PATH_MAX];
	const char *why;

	if (!loadable_find(name, path)) {
		snprintf(reason, size, "%s: %s", name, strerror(ENOENT));
		return false;
	}
	why = loadable_refusal(path);
	if (why)
		snprintf(reason, size, "%s: %s", path, why);
	return !why;
}

/* Beside the tool where both were built, else where it was installed. */
const char *program_preload(enum board_device device)
{
	const char *name = device == BOARD_DMIRROR ? "libuhmm-dmirror.so" :
						     "libuhmm-preload.so";
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;

	if (n > 0) {
		path[n] = '\0';
		slash = strrchr(path, '/');
		strcpy(slash ? slash + 1 : path, name);
		if (!access(path, R_OK))
			return path;
	}
	snprintf(path, sizeof(path), "%s/%s", UHMM_TOOL_LIBDIR, name);
	return access(path, R_OK) ? NULL : path;
}
