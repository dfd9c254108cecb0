/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Calls for which a process has to be alone with itself. See alone.c. */
#ifndef AGENT_ALONE_H
#define AGENT_ALONE_H

/* Called before the first one, with what the program is about to do. NULL: nobody. */
extern void (*alone_before)(const char *what);
/* Is system call @nr with these two arguments such a one? */
void alone_look(long nr, unsigned long a, unsigned long b);

#endif
