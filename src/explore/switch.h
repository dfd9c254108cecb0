/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * From one stack to another, within a thread of the system. One file for each
 * architecture, and one for those that have none.
 */
#ifndef EXPLORE_SWITCH_H
#define EXPLORE_SWITCH_H

#include <stddef.h>

/*
 * Leave here, and go on where @to was left. Where here was left goes to
 * *@from; all that it takes is on the stack, above that pointer.
 */
void stack_switch(void **from, void *to);

/* A pointer for stack_switch() that calls fn(arg), which does not return. */
void *stack_begin(void *stack, size_t size, void (*fn)(void *), void *arg);

#endif
