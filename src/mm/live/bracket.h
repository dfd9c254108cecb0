/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the life of the address space asks of its brackets. */
#ifndef LIVE_BRACKET_H
#define LIVE_BRACKET_H

#include "live.h"

/* From now on brackets find @live. */
void brackets_open(struct live *live);
/* They find none, and nobody is inside any more. */
void brackets_close(void);
void brackets_fork_child(void);
/* This thread is in fork() of libc, behind what is locked there: all is covered. */
extern __thread bool live_forking __attribute__((tls_model("initial-exec")));

#endif
