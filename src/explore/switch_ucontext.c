/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * For any machine, by ucontext(3). The context of a stack is kept at the place
 * where it was left, so that a copy of the stack is a copy of all.
 */
#include "switch.h"

#include <alloca.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

struct first {
	ucontext_t context;
	void (*fn)(void *);
	void *arg;
};

/*
 * What a context has room for and does not keep is no part of a state, and neither
 * are registers for arguments that swapcontext() does not have.
 */
typedef int (*swap_fn)(ucontext_t *from, const ucontext_t *to, long a, long b,
		       long c, long d);

static void leave(void **from, void *to)
{
	swap_fn swap = (swap_fn)(void (*)(void))swapcontext;
	size_t size = (sizeof(ucontext_t) + 15) & ~(size_t)15;
	ucontext_t *here;

	/* Below all else of this frame: a variable may be above what it keeps. */
	__asm__("" : "+r"(size));
	here = alloca(size);
	memset(here, 0, size);
	*from = here;
	swap(here, to, 0, 0, 0, 0);
}

/*
 * Where a frame wants another word clang pushes rax, with what was left in it. Who
 * calls what may take any arguments says in it how many are in vectors: none.
 */
void stack_switch(void **from, void *to)
{
	void (*any)(void **from, void *to, ...) =
		(void (*)(void **, void *, ...))(void (*)(void))leave;

	__asm__("" : "+r"(any));
	any(from, to);
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
