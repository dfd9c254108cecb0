/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * For any machine, by ucontext(3). The context of a stack is kept at the place
 * where it was left, so that a copy of the stack is a copy of all.
 */
#include "switch.h"

#include <stdint.h>
#include <ucontext.h>

struct first {
	ucontext_t context;
	void (*fn)(void *);
	void *arg;
};

void stack_switch(void **from, void *to)
{
	ucontext_t here;

	*from = &here;
	swapcontext(&here, to);
}

static void enter(unsigned int high, unsigned int low)
{
	struct first *first = (struct first *)((uintptr_t)high << 16 << 16 |
					       (uintptr_t)low);

	first->fn(first->arg);
}

void *stack_begin(void *stack, size_t size, void (*fn)(void *), void *arg)
{
	size_t kept = (sizeof(struct first) + 63) & ~(size_t)63;
	struct first *first = (struct first *)((char *)stack + size - kept);
	uintptr_t address = (uintptr_t)first;

	getcontext(&first->context);
	first->context.uc_stack.ss_sp = stack;
	first->context.uc_stack.ss_size = size - kept;
	first->context.uc_link = NULL;
	first->fn = fn;
	first->arg = arg;
	makecontext(&first->context, (void (*)(void))(void *)enter, 2,
		    (unsigned int)(address >> 16 >> 16),
		    (unsigned int)address);
	return first;
}
