/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Programs that are built with a sanitizer. */
#ifndef AGENT_SANITIZER_H
#define AGENT_SANITIZER_H

#include <stdbool.h>

/*
 * Look for one, before any thread is made; @at_leaks is called before it looks
 * for leaks. NULL, or why the program cannot be mirrored.
 */
const char *sanitizer_find(void (*at_leaks)(void));
/* It would take what is looked at of a stack for the program's mistakes. */
bool sanitizer_is_valgrind(void);

#endif
