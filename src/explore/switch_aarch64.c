/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * x19 to x30 and the lower halves of v8 to v15, and a jump.
 */
#include "switch.h"

#include <stdint.h>

void stack_first(void);

__asm__(".text\n"
	".globl stack_switch\n"
	".type stack_switch,%function\n"
	"stack_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x2, sp\n"
	"	str x2, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	mov x16, x30\n"
	"	br x16\n"
	".size stack_switch,.-stack_switch\n"
	".globl stack_first\n"
	".type stack_first,%function\n"
	"stack_first:\n"
	"	mov x0, x20\n"
	"	blr x19\n"
	"	brk #1\n"
	".size stack_first,.-stack_first\n");

void *stack_begin(void *stack, size_t size, void (*fn)(void *), void *arg)
{
	uintptr_t *sp = (uintptr_t *)((char *)stack + size) - 20;

	for (unsigned int i = 0; i < 20; i++)
		sp[i] = 0;
	sp[0] = (uintptr_t)fn;			/* x19 */
	sp[1] = (uintptr_t)arg;			/* x20 */
	sp[11] = (uintptr_t)stack_first;	/* x30 */
	return sp;
}
