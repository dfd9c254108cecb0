/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The agent of programs that open no device: nothing of theirs is interposed. */
#include "dmirror.h"

#include <errno.h>

int dmirror_start(struct mm_struct *mm, struct board_process *process,
		  bool newest)
{
	return -ENODEV;
}

void dmirror_end(void)
{
}

void dmirror_forget(void)
{
}
