/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Operations that change an address space, and who sees them: what a page is
 * made of before, what is done to it, what is promised, what others see.
 */
#ifndef TESTS_LIVE_COVERAGE_H
#define TESTS_LIVE_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>

#define PAGE 4096UL
#define COVERED_GUARANTEES 3

/* When a change is seen; the more the better. */
enum seen {
	CANNOT = -1,		/* be done on this machine */
	NOT = 0,
	LATE = 1,		/* some time after it returned */
	AFTER = 2,		/* when it has returned */
	BEFORE = 3,		/* while the page is as it was */
};

/**
 * struct operation - one row
 * @name: what is done
 * @make: make the page, its first byte is MARK; returns it, NULL: cannot
 * @act: do it to @page; 0, or < 0: cannot
 * @promise: at G0, at G1, at G2
 * @writes: it changes nothing but who may write
 * @helped: another process does it
 * @peers: UCX bistro, UCX reloc, libfabric memhooks, libfabric uffd
 */
struct operation {
	const char *name;
	char *(*make)(void);
	int (*act)(char *page);
	enum seen promise[COVERED_GUARANTEES];
	bool writes;
	bool helped;
	const char *peers[4];
};

#define MARK 0x5a

/* Of coverage_ops.c for coverage_files.c: a shared page of @file, and so on. */
struct io_uring_sqe;
extern int file;
char *marked(char *page);
char *shared(void);
int result(long ret);
int ring_do(const struct io_uring_sqe *sqe);

/* And of that. */
char *linked(void);
int do_truncate_fd(char *page);
int do_truncate_path(char *page);
int do_truncate_link(char *page);
int do_truncate_open(char *page);
int do_truncate_own(char *page);
int do_truncate_openat(char *page);
int do_truncate_openat2(char *page);
int do_truncate_creat(char *page);
int do_truncate_fopen(char *page);
int do_truncate_fopen_c(char *page);
int do_truncate_handle(char *page);
int do_truncate_ring_open(char *page);
int do_truncate_ring(char *page);
int do_collapse_range(char *page);
int do_punch(char *page);
int do_punch_ring(char *page);
int do_remove_other(char *page);

extern const struct operation operations[];
extern const size_t noperations;

#endif
