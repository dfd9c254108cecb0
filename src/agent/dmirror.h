/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * /dev/hmm_dmirror0 to 3 in a program: dmirror.c has the files, interpose.c
 * what the program calls. dmirror_none.c: an agent without.
 */
#ifndef AGENT_DMIRROR_H
#define AGENT_DMIRROR_H

#include <stdbool.h>
#include <sys/types.h>

#include <uhmm/mm.h>

#include "board.h"

/* What is opened from now on mirrors @mm. 0; -ENODEV: there is no such device. */
int dmirror_start(struct mm_struct *mm, struct board_process *process,
		  bool newest);
/* The address space ends: no more is opened. */
void dmirror_end(void);
/* In a forked child: what is open is the parent's. */
void dmirror_forget(void);

/* Which device; -1: @path is none, or there are none in this program. */
int dmirror_number(const char *path);
/* As open(); -1 with errno. */
int dmirror_open(int number, int flags);
/* Is it an open file of a device? */
bool dmirror_is_file(int fd);
/* As ioctl(), of a file that is one; -1 with errno. */
int dmirror_ioctl(int fd, unsigned long request, void *arg);
/* @fd of a device's file was closed: was it the last of them? */
void dmirror_closed(ino_t file);
/* What tells one file from another; 0: it is no device's. */
ino_t dmirror_file(int fd);

#endif
