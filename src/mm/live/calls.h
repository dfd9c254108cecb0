/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Brackets around a system call, by its number. See calls.c. */
#ifndef LIVE_CALLS_H
#define LIVE_CALLS_H

#include "live.h"
#include "maps.h"

#define LIVE_CALL_BRACKETS 2

/* Newer than the headers may be; the same for all machines. */
#define NR_OPENAT2 437
#define NR_PROCESS_MADVISE 440

/**
 * struct live_call - a call, and the brackets open around it
 * @n: how many of @brackets
 * @file: pages of it go, wherever it is mapped; &maps_file.ino 0: of none
 * @covered: where it was mapped
 * @brackets: the last started first; most have one, which lies beside the rest
 */
struct live_call {
	unsigned int n;
	struct maps_file file;
	struct live_extent covered;
	struct live_bracket brackets[LIVE_CALL_BRACKETS];
};

/*
 * Both keep errno. @ret is what the system call returned. Where it has a file lose
 * pages that was mapped meanwhile, or another file than there was, that is
 * announced behind it.
 */
void live_call_before(struct live_call *call, long nr,
		      const unsigned long *args);
void live_call_after(struct live_call *call, long nr,
		     const unsigned long *args, long ret);

/* files.c: may the call take pages from a file? Which it is. Takes no lock. */
bool live_call_cuts(long nr, const unsigned long *args,
		    struct maps_file *ret_file);
/* Which it was, by what it returned; @ret_file: as above, kept where it stays so. */
void live_call_has_cut(long nr, const unsigned long *args, long ret,
		       struct maps_file *ret_file);

/* parts.c: mremap() of what is an area in parts. What that returns, or -errno. */
long live_move_parts(const unsigned long *args);

/* Advice under which pages go, or are exchanged for others. */
bool live_advice_clears(unsigned long advice);

#endif
