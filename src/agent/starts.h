/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the program starts. */
#ifndef AGENT_STARTS_H
#define AGENT_STARTS_H

/*
 * Called when the program is about to start the one at @path, where none of ours will
 * be: @why. It may be in a child that shares all memory. NULL: nobody asks.
 */
extern void (*starts_without)(const char *path, const char *why);

#endif
