/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the tests of the model share: a machine for each case, page by page. */
#ifndef TESTS_MODEL_UTIL_H
#define TESTS_MODEL_UTIL_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <uhmm/mmu_notifier.h>
#include <uhmm/model.h>

#define BASE 0x40000000UL
#define PG(n) (BASE + ((unsigned long)(n) << 12))
#define LEN(n) ((unsigned long)(n) << 12)
#define RW (PROT_READ | PROT_WRITE)

#define CASE(fn)                                                             \
	cmocka_unit_test_setup_teardown(fn, machine_begin, machine_end)

/* The machine of the case, and what it is made of; set before it is remade. */
extern struct mm_struct *mm;
extern struct uhmm_model_options machine;

int machine_begin(void **state);
/* Everything is given back. */
int machine_end(void **state);
void machine_remake(void);

/* mmap() at PG(@page), which has to succeed. */
void area_anon(int page, int n, int prot);
void area_shared(int page, int n, int prot);
void area_file(int page, int n, int prot, int flags, int file);

/* A page whose words are all the same. 0, or the signal. */
int poke_in(struct mm_struct *in, int page, uint64_t value);
uint64_t peek_in(struct mm_struct *in, int page);
#define poke(page, value) assert_int_equal(poke_in(mm, page, value), 0)
#define assert_peek(page, value)                                             \
	assert_int_equal(peek_in(mm, page), value)

/* Entries from PG(@page) on are as the letters of uhmm_model_pagemap() say. */
#define assert_entries(page, letters)                                        \
	check_entries(mm, page, letters, __FILE__, __LINE__)
void check_entries(struct mm_struct *in, int page, const char *letters,
		   const char *file, int line);

#endif
