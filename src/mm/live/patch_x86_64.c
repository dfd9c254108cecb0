/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * G1 for x86-64: where the system calls are, and the bridges.
 *
 * A system call leaves all registers alone but three, and so must what stands
 * in its place: compiled code may keep a vector across it. Where the call is
 * all that the function does, vectors are nobody's, and are not saved.
 */
#include "patch.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"

#define PAGE 4096UL
#define REACH (1UL << 30)
#define MOV_EAX 0xb8
#define JMP 0xe9

/* How a place is treated. */
enum kind {
	KIND_PLAIN,	/* all that the function does */
	KIND_VECTOR,	/* in the middle of compiled code */
	KIND_CLONE,	/* may return on another stack */
	KIND_TRY,	/* made where it is, if it needs no bracket */
	KIND_TRY_FLAG,	/* the same, and none unless it has O_TRUNC */
	KIND_ANY,	/* syscall(): any number */
};

extern const char live_patch_enter[], live_patch_enter_vector[];
extern const char live_patch_fork[], live_patch_forked[], live_patch_try[];

/*
 * Called from a bridge with the number in rax and the arguments where the system
 * call wants them; returns with what it returned in rax, and all else as it
 * was, but rcx and r11. 0xe6: SSE, AVX and the three parts of AVX-512.
 */
__asm__(
".pushsection .text.sorted.uhmm.2, \"ax\", @progbits\n"
".macro save_arguments\n"
"	push %rbp\n"
"	mov %rsp, %rbp\n"
"	push %r9\n"
"	push %r8\n"
"	push %r10\n"
"	push %rdx\n"
"	push %rsi\n"
"	push %rdi\n"
"	mov %rax, %rdi\n"
"	mov %rsp, %rsi\n"
"	and $-64, %rsp\n"
".endm\n"
".macro restore_arguments\n"
"	lea -48(%rbp), %rsp\n"
"	pop %rdi\n"
"	pop %rsi\n"
"	pop %rdx\n"
"	pop %r10\n"
"	pop %r8\n"
"	pop %r9\n"
"	pop %rbp\n"
"	ret\n"
".endm\n"
/* 64 bytes more than that takes, above it. */
".macro save_vectors\n"
"	sub $2816, %rsp\n"
"	xor %eax, %eax\n"
"	mov %rax, 512(%rsp)\n"
"	mov %rax, 520(%rsp)\n"
"	mov %rax, 528(%rsp)\n"
"	mov %rax, 536(%rsp)\n"
"	mov %rax, 544(%rsp)\n"
"	mov %rax, 552(%rsp)\n"
"	mov %rax, 560(%rsp)\n"
"	mov %rax, 568(%rsp)\n"
"	mov $0xe6, %eax\n"
"	xor %edx, %edx\n"
"	xsave (%rsp)\n"
".endm\n"
/* rax stays. */
".macro restore_vectors\n"
"	mov %rax, %r10\n"
"	mov $0xe6, %eax\n"
"	xor %edx, %edx\n"
"	xrstor (%rsp)\n"
"	mov %r10, %rax\n"
".endm\n"
".globl live_patch_enter, live_patch_enter_vector, live_patch_try\n"
".globl live_patch_fork, live_patch_forked\n"
".hidden live_patch_enter, live_patch_enter_vector, live_patch_try\n"
".hidden live_patch_fork, live_patch_forked\n"
"live_patch_enter:\n"
"	save_arguments\n"
"	call live_patched_call\n"
"	restore_arguments\n"
"live_patch_enter_vector:\n"
"	save_arguments\n"
"	save_vectors\n"
"	call live_patched_call\n"
"	restore_vectors\n"
"	restore_arguments\n"
/*
 * With r11 0: it has not been made, and rax is the number as before. Who is cancelled
 * here is unwound: to the place in libc, which lies above where the bridge goes on.
 */
"live_patch_try:\n"
"	.cfi_startproc\n"
"	save_arguments\n"
"	.cfi_def_cfa %rbp, 24 + 128\n"
"	.cfi_offset %rip, -128 - 8\n"
"	.cfi_offset %rbp, -128 - 24\n"
"	save_vectors\n"
"	lea 2752(%rsp), %rdx\n"
"	call live_patched_try\n"
"	mov 2752(%rsp), %r11\n"
"	restore_vectors\n"
"	restore_arguments\n"
"	.cfi_endproc\n"
/* Before a clone: all registers as they were. */
"live_patch_fork:\n"
"	save_arguments\n"
"	call live_patched_fork\n"
"	restore_arguments\n"
/* Behind it, in the parent: rax too. */
"live_patch_forked:\n"
"	save_arguments\n"
"	push %rdi\n"
"	push %rdi\n"
"	call live_patched_forked\n"
"	pop %rax\n"
"	restore_arguments\n"
".globl live_raw_syscall, live_patch_gate\n"
".hidden live_raw_syscall, live_patch_gate\n"
".type live_raw_syscall, @function\n"
"live_raw_syscall:\n"
"	.cfi_startproc\n"
"	mov %rdi, %rax\n"
"	mov %rsi, %r11\n"
"	mov (%r11), %rdi\n"
"	mov 8(%r11), %rsi\n"
"	mov 16(%r11), %rdx\n"
"	mov 24(%r11), %r10\n"
"	mov 32(%r11), %r8\n"
"	mov 40(%r11), %r9\n"
"	syscall\n"
"live_patch_gate:\n"
"	ret\n"
"	.cfi_endproc\n"
".size live_raw_syscall, . - live_raw_syscall\n"
".popsection\n");

/*
 * Above the six arguments lie rbp and where the bridge goes on, and above
 * these, behind the red zone, the stack of who made the call.
 */
#define ARGS_BRIDGE 7
#define ARGS_STACK (ARGS_BRIDGE + 1 + 128 / sizeof(unsigned long))

const unsigned long *live_patch_stack(const unsigned long *args)
{
	return args + ARGS_STACK;
}

int live_patch_machine(void)
{
	unsigned int a, b, c = 0, d;

	/* In long calls the vectors are saved with XSAVE. */
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return live_patch_refuse("the processor has no XSAVE");
	return 0;
}

/* ------------------------------------------------------------------- bridges
 * One page for each object, within reach of its code: the entries' addresses
 * and the bits of the numbers that syscall() is to look at, then the bridges.
 */

struct bridge_page {
	const void *enter, *enter_vector, *fork, *forked, *try;
	unsigned long numbers[8];
	unsigned long used;
	unsigned long any_start, any_end;	/* of syscall() */
	unsigned long from;			/* enum live_from */
	unsigned char code[PAGE - 17 * sizeof(void *)];
};

_Static_assert(sizeof(struct bridge_page) == PAGE, "a page");

static const short bracketed[] = {
	SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk,
	SYS_shmat, SYS_shmdt, SYS_ftruncate, SYS_truncate, SYS_fallocate,
	SYS_remap_file_pages, SYS_pkey_mprotect, NR_PROCESS_MADVISE,
	/* With O_TRUNC. */
	SYS_open, SYS_openat, SYS_creat, NR_OPENAT2,
	/* After these they may not be. */
	SYS_prctl, SYS_seccomp,
};

/* And what patch_filter.c has to see. */
static const short guarded[] = {
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_execve, SYS_execveat,
};

enum live_from live_patch_from(const unsigned long *args)
{
	unsigned long back = args[ARGS_BRIDGE];
	const struct bridge_page *page = (const void *)(back & -PAGE);

	return back > page->any_start && back <= page->any_end ?
		       LIVE_FROM_SYSCALL : (enum live_from)page->from;
}

/* Where the kernel puts it is near as a rule, and else it is looked for. */
static struct bridge_page *map_near(const unsigned char *start)
{
	unsigned long text = (unsigned long)start & -PAGE;
	unsigned long at = 0;
	int fixed = 0;
	void *p;

	for (;;) {
		p = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | fixed, -1, 0);
		if (p != MAP_FAILED &&
		    (unsigned long)p - (text - REACH) < 2 * REACH)
			return p;
		if (p != MAP_FAILED)
			munmap(p, PAGE);
		at = fixed ? at - 16 * PAGE : text - PAGE;
		if (at <= PAGE || text - at >= REACH)
			return NULL;
		fixed = MAP_FIXED_NOREPLACE;
	}
}

static unsigned char *put(unsigned char *code, const void *bytes, size_t n)
{
	memcpy(code, bytes, n);
	return code + n;
}

/* @opcode, and how far it is from its end to @to. */
static unsigned char *put_relative(unsigned char *code, const void *opcode,
				   size_t n, const void *to)
{
	int distance;

	code = put(code, opcode, n);
	distance = (int)((const unsigned char *)to - (code + 4));
	return put(code, &distance, 4);
}

#define PUT(code, ...)                                                     \
	put(code, (const unsigned char[]){ __VA_ARGS__ },                  \
	    sizeof((const unsigned char[]){ __VA_ARGS__ }))
#define PUT_TO(code, to, ...)                                              \
	put_relative(code, (const unsigned char[]){ __VA_ARGS__ },         \
		     sizeof((const unsigned char[]){ __VA_ARGS__ }), to)

/* Below the red zone, then call what *@entry points to. */
static unsigned char *put_call(unsigned char *code, const void *const *entry)
{
	code = PUT(code, 0x48, 0x8d, 0x64, 0x24, 0x80);	/* lea -128(%rsp),%rsp */
	code = PUT_TO(code, entry, 0xff, 0x15);		/* call *entry(%rip) */
	return PUT(code, 0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0);
}

static unsigned char *put_back(unsigned char *code,
			       const struct live_site *site)
{
	return PUT_TO(code, site->addr + 7, JMP);	/* behind the trap */
}

#define TRY_BYTES 38	/* of the bridge, before it goes to the trap */

/* Made by us, or from the trap on, where libc can have it cancelled. */
static unsigned char *put_try(const struct bridge_page *page,
			      unsigned char *code, const struct live_site *site)
{
	code = PUT(code, 0x48, 0x8d, 0x64, 0x24, 0x80);	/* lea -128(%rsp),%rsp */
	code = PUT_TO(code, site->addr + 7, 0x4c, 0x8d, 0x1d);
	code = PUT(code, 0x41, 0x53);	/* lea behind(%rip),%r11; push %r11 */
	code = PUT_TO(code, &page->try, 0xff, 0x15);	/* call *try(%rip) */
	code = PUT(code, 0x48, 0x8d, 0xa4, 0x24, 0x88, 0, 0, 0);
	/* test %r11,%r11; je 1f */
	code = PUT(code, 0x4d, 0x85, 0xdb, 0x74, 0x05);
	code = put_back(code, site);			/* 1: */
	return PUT_TO(code, site->addr + 5, JMP);
}

/* The bridge for @site; returns where the next one goes. */
static unsigned char *put_bridge(struct bridge_page *page, unsigned char *code,
				 const struct live_site *site, enum kind kind)
{
	/* The instruction that was there: the number, or the sixth argument. */
	code = put(code, site->was, 5);
	switch (kind) {
	case KIND_ANY:
		/* cmp $511,%rax; ja 1f; bt %rax,numbers; jc 2f; 1: syscall */
		code = PUT(code, 0x48, 0x3d, 0xff, 0x01, 0, 0, 0x77, 0x0a);
		code = PUT_TO(code, page->numbers, 0x48, 0x0f, 0xa3, 0x05);
		code = PUT(code, 0x72, 0x07, 0x0f, 0x05);
		code = put_back(code, site);		/* 2: */
		code = put_call(code, &page->enter);
		break;
	case KIND_TRY_FLAG:
		/* test $2,%dh; je 1f, past what put_try() puts */
		code = PUT(code, 0xf6, 0xc6, O_TRUNC >> 8, 0x74, TRY_BYTES);
		return put_try(page, code, site);
	case KIND_TRY:
		return put_try(page, code, site);
	case KIND_CLONE:
		code = put_call(code, &page->fork);
		code = put(code, site->was, 5);
		/* syscall; test %rax,%rax; jne 1f */
		code = PUT(code, 0x0f, 0x05, 0x48, 0x85, 0xc0, 0x75, 0x05);
		code = put_back(code, site);		/* 1: */
		code = put_call(code, &page->forked);
		break;
	default:
		code = put_call(code, kind == KIND_PLAIN ? &page->enter :
							   &page->enter_vector);
	}
	return put_back(code, site);
}

/* ---------------------------------------------------------------- the places */

static bool is_wanted(unsigned int nr)
{
	for (size_t i = 0; i < sizeof(bracketed) / sizeof(bracketed[0]); i++)
		if (bracketed[i] == (short)nr)
			return true;
	for (size_t i = 0; i < sizeof(guarded) / sizeof(guarded[0]); i++)
		if (live_patch.traps && guarded[i] == (short)nr)
			return true;
	return false;
}

/* What @code is, if it is five bytes and a trap that we know; false: it is not. */
static bool look_at(const unsigned char *code, const unsigned char *start,
		    enum kind *ret_kind)
{
	static const unsigned char any[] = { 0x4c, 0x8b, 0x4c, 0x24, 0x08 };
	static const unsigned char test[] = { 0x48, 0x85, 0xc0 };
	static const unsigned char endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	/* Its number is two instructions before. */
	static const unsigned char open_nocancel[] = {
		MOV_EAX, 0x01, 0x01, 0, 0, 0x48, 0x89, 0xfe,
		0xbf, 0x9c, 0xff, 0xff, 0xff,
	};
	unsigned int nr;

	if (code[5] != 0x0f || code[6] != 0x05)
		return false;
	if (!memcmp(code, any, sizeof(any))) {
		*ret_kind = KIND_ANY;
		return true;
	}
	if (code >= start + 8 &&
	    !memcmp(code - 8, open_nocancel, sizeof(open_nocancel))) {
		*ret_kind = KIND_TRY_FLAG;
		return true;
	}
	memcpy(&nr, code + 1, sizeof(nr));
	if (code[0] != MOV_EAX)
		return false;
	if (nr == SYS_clone || nr == SYS_clone3) {
		*ret_kind = memcmp(code + 7, test, sizeof(test)) ? KIND_VECTOR :
								   KIND_CLONE;
		return true;
	}
	if (nr == SYS_openat || nr == SYS_creat || nr == SYS_fallocate) {
		*ret_kind = nr == SYS_openat ? KIND_TRY_FLAG : KIND_TRY;
		return true;
	}
	*ret_kind = code == start ||
		    (code == start + 4 && !memcmp(start, endbr64, 4)) ?
			    KIND_PLAIN : KIND_VECTOR;
	return is_wanted(nr);
}

static struct bridge_page *make_page(struct live_code *code)
{
	struct bridge_page *page = map_near(code->start);

	if (!page)
		return NULL;
	page->enter = live_patch_enter;
	page->enter_vector = live_patch_enter_vector;
	page->fork = live_patch_fork;
	page->forked = live_patch_forked;
	page->try = live_patch_try;
	page->from = code->from;
	for (size_t i = 0; i < sizeof(bracketed) / sizeof(bracketed[0]); i++)
		page->numbers[bracketed[i] / 64] |= 1UL << bracketed[i] % 64;
	return page;
}

static int patch_place(struct live_code *code, unsigned char *addr,
		       enum kind kind)
{
	unsigned char *bridge = code->page->code + code->page->used, *end;
	struct live_site *site;
	int distance;

	if (live_patch.nsites == LIVE_SITES ||
	    bridge + 96 > (unsigned char *)(code->page + 1))
		return live_patch_refuse("%s has more system calls than are expected",
					 code->name);
	site = &live_patch.sites[live_patch.nsites++];
	site->addr = addr;
	memcpy(site->was, addr, sizeof(site->was));
	memcpy(site->is, addr, sizeof(site->is));
	distance = (int)(bridge - (addr + 5));
	site->is[0] = JMP;
	memcpy(site->is + 1, &distance, sizeof(distance));
	end = put_bridge(code->page, bridge, site, kind);
	if (kind == KIND_ANY) {
		code->page->any_start = (unsigned long)bridge;
		code->page->any_end = (unsigned long)end;
	}
	code->page->used = (unsigned long)(end - code->page->code);
	return 0;
}

int live_patch_code(struct live_code *code)
{
	unsigned char *at = code->start;
	enum kind kind;
	int ret = 0;

	if (!code->page)
		code->page = make_page(code);
	if (!code->page)
		return live_patch_refuse("no free page within reach of %s",
					 code->name);
	while (!ret &&
	       (at = memmem(at, (size_t)(code->end - at), "\x0f\x05", 2))) {
		if (at - code->start >= 5 &&
		    look_at(at - 5, code->start, &kind))
			ret = patch_place(code, at - 5, kind);
		at += 2;
	}
	return ret;
}

int live_patch_seal(struct live_code *code)
{
	if (mprotect(code->page, PAGE, PROT_READ | PROT_EXEC))
		return live_patch_refuse("new code cannot be made executable: %s",
					 strerror(errno));
	return 0;
}
