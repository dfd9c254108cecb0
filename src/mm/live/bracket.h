/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the life of the address space asks of its brackets. */
#ifndef LIVE_BRACKET_H
#define LIVE_BRACKET_H

#include "../../sync/arch.h"
#include "uapi.h"
#include "watch.h"

/*
 * The second half of live_bracket_start(), as watch_end() does it. It is quicker
 * where the change itself is made, see arch_syscall3().
 */
static inline __attribute__((always_inline)) void
bracket_unwatch(struct live_bracket *b)
{
	const unsigned long start = b->range.start, end = b->range.end;
	struct uffdio_range range = { start, end - start };

	if (b->watcher < 0)
		return;
	arch_syscall3(SYS_ioctl, b->watcher, UFFDIO_UNREGISTER, (long)&range);
	watch_clear(live_of(b->range.mm)->leaves, start, end);
	b->watcher = -1;
}

/* From now on brackets find @live. */
void brackets_open(struct live *live);
/* They find none, and nobody is inside any more. */
void brackets_close(void);
void brackets_fork_child(void);
/* To be added to &uhmm_live_stats.brackets; and do that, under live_lock. */
unsigned long brackets_of(const struct live *live);
void brackets_count(struct live *live);
/* This thread is in fork() of libc, behind what is locked there: all is covered. */
extern __thread bool live_forking __attribute__((tls_model("initial-exec")));

#endif
