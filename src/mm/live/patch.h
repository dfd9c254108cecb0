/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * G1: the system calls in libc and ld.so that change the address space go
 * through us. See patch.c.
 */
#ifndef MM_LIVE_PATCH_H
#define MM_LIVE_PATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIVE_SITES 64

/**
 * struct live_site - a place that was patched
 * @addr: of the instruction
 * @was: its bytes before
 * @is: its bytes now
 */
struct live_site {
	unsigned char *addr;
	unsigned char was[8];
	unsigned char is[8];
};

/**
 * struct live_code - code that is looked through for system calls
 * @name: for reports
 * @from: enum live_from
 * @start: first byte
 * @end: first byte behind it
 * @page: where bridges for it go; NULL: not made yet
 */
struct live_code {
	const char *name;
	int from;
	unsigned char *start;
	unsigned char *end;
	struct bridge_page *page;
};

/**
 * struct live_patch - what was done
 * @nsites: how many of @sites
 * @tried: once is enough
 * @traps: calls that G2 needs are to be patched too
 * @reach: enum uhmm_guarantee
 * @reason: why no more; empty: nothing was refused
 * @sites: the places
 */
struct live_patch {
	unsigned int nsites;
	bool tried;
	bool traps;
	int reach;
	char reason[160];
	struct live_site sites[LIVE_SITES];
};

/*
 * Patch libc and ld.so, and at UHMM_G2 trap what goes around them. Once for a
 * process, by a thread that is alone. 0; -EOPNOTSUPP: only &live_patch.reach was
 * reached, &live_patch.reason says why.
 */
int live_patch_install(int reach);
extern struct live_patch live_patch;

/*
 * Code in [start, end) may have been changed: where it was ours, G1 is given up.
 * Who patches code makes it writable, and then what it was.
 */
void live_patch_recheck(unsigned long start, unsigned long end);

/*
 * patch_ARCHITECTURE.c: can it be done here; find the places in @code and
 * prepare them; make the bridges ready to run. 0, or -EOPNOTSUPP with the reason.
 */
int live_patch_machine(void);
int live_patch_code(struct live_code *code);
int live_patch_seal(struct live_code *code);

/* patch_filter.c: trap the rest. @libc: all of its code. */
int live_filter_install(const struct live_code *libc);
/* How many exec()s it has refused is counted there. */
extern uint64_t *live_filter_refused;

/* For those: say why not. Returns -EOPNOTSUPP. */
int live_patch_refuse(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

/* What the patched places call: the system call with a bracket around it. */
long live_patched_call(long nr, const unsigned long *args);
/*
 * The same of calls that may sleep long, and in which a thread may be cancelled,
 * if it needs a bracket; then @*ret_made is 1. Else it is 0, @nr is returned, and
 * the call is to be made by who wanted to.
 */
long live_patched_try(long nr, const unsigned long *args,
		      unsigned long *ret_made);
void live_patched_fork(long nr, const unsigned long *args);
void live_patched_forked(void);

/* Who may make a call in another way, &ret then; NULL: nobody. */
extern bool (*live_guard)(long nr, const unsigned long *args, long *ret);

/*
 * Called before the process restricts its own system calls, which from then on are
 * made as they are, without a bracket. NULL: they are bracketed, restricted or not.
 */
extern void (*live_before_restriction)(void);
/* With this call, or before: it may be ended for a call that is not its own. */
bool live_is_restricted(long nr, const unsigned long *args);

/* Whose code made the system call. */
enum live_from {
	LIVE_FROM_LIBC,
	LIVE_FROM_LD,		/* ld.so */
	LIVE_FROM_SYSCALL,	/* syscall() of libc */
};

/**
 * struct live_observer - who makes the calls instead, without brackets
 * @call: make it: live_raw_syscall()
 * @fork: a clone is about to be made
 */
struct live_observer {
	long (*call)(long nr, const unsigned long *args);
	void (*fork)(long nr, const unsigned long *args);
};

/* NULL: nobody. Set by a thread that is alone. */
extern const struct live_observer *live_observer;

/* patch_ARCHITECTURE.c: of @args that a patched place has called with. */
enum live_from live_patch_from(const unsigned long *args);
/* The stack as it was there; NULL: not known. */
const unsigned long *live_patch_stack(const unsigned long *args);

/*
 * A system call that is not looked at, by no function that is patched: its one
 * instruction is all that no filter traps. The other is where that ends.
 */
long live_raw_syscall(long nr, const unsigned long *args);
extern const char live_patch_gate[];

#endif
