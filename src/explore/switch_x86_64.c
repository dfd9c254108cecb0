/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The six registers that a function keeps, and a jump: a return would go where
 * the processor does not expect it.
 */
#include "switch.h"

#include <stdint.h>

void stack_first(void);

__asm__(".text\n"
	".globl stack_switch\n"
	".type stack_switch,@function\n"
	"stack_switch:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	popq %rcx\n"
	"	jmpq *%rcx\n"
	".size stack_switch,.-stack_switch\n"
	".globl stack_first\n"
	".type stack_first,@function\n"
	"stack_first:\n"
	"	movq %r13, %rdi\n"
	"	callq *%r12\n"
	"	ud2\n"
	".size stack_first,.-stack_first\n");

void *stack_begin(void *stack, size_t size, void (*fn)(void *), void *arg)
{
	uintptr_t *sp = (uintptr_t *)((char *)stack + size);

	/* The call in stack_first() stands on a multiple of 16. */
	*--sp = 0;
	*--sp = 0;
	*--sp = (uintptr_t)stack_first;
	*--sp = 0;			/* rbp */
	*--sp = 0;			/* rbx */
	*--sp = (uintptr_t)fn;		/* r12 */
	*--sp = (uintptr_t)arg;		/* r13 */
	*--sp = 0;			/* r14 */
	*--sp = 0;			/* r15 */
	return sp;
}
