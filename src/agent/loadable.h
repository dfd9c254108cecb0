/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which programs can have an agent. */
#ifndef AGENT_LOADABLE_H
#define AGENT_LOADABLE_H

#include <stdbool.h>

/* Where execvp() finds @name: PATH_MAX bytes. False: nowhere. */
bool loadable_find(const char *name, char *path);
/*
 * Why nothing can be preloaded into the program at @path, which becomes that of its
 * interpreter if it is a script. NULL: it can, or exec() has its own words for it.
 * Allocates nothing.
 */
const char *loadable_refusal(char *path);

#endif
