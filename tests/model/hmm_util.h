/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What tests of HMM share: a machine with an address space and two devices,
 * each with a file open, and the ways to touch memory through all of them. A
 * page is full of one word.
 */
#ifndef TESTS_MODEL_HMM_UTIL_H
#define TESTS_MODEL_HMM_UTIL_H

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <uhmm/dmirror.h>
#include <uhmm/hmm.h>
#include <uhmm/migrate.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/model.h>

#define PAGE UHMM_PAGE_SIZE
#define PAGES(n) ((unsigned long)(n) << UHMM_PAGE_SHIFT)
#define HUGE PAGES(512)
#define R PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED_ANON (MAP_SHARED | MAP_ANONYMOUS)

/* ------------------------------------------------------------------- cases
 * Each on a machine of its own, of which nothing may be left in use. One test
 * is a case for each &struct variant that it is listed with.
 */
struct variant {
	const char *name;
	enum uhmm_kernel_level level;
	enum memory_type type;
};

extern const struct variant private_6_1, coherent_6_1, private_newest,
	coherent_newest;

#define CASE_OF(fn, variant)                                                 \
	{                                                                    \
		.name = #fn "." #variant, .test_func = fn,                   \
		.setup_func = hmm_begin, .teardown_func = hmm_end,           \
		.initial_state = (void *)&variant                            \
	}
#define CASES(fn)                                                            \
	CASE_OF(fn, private_6_1), CASE_OF(fn, coherent_6_1),                 \
		CASE_OF(fn, private_newest), CASE_OF(fn, coherent_newest)
#define CASES_PRIVATE(fn) CASE_OF(fn, private_6_1), CASE_OF(fn, private_newest)
#define CASES_NEWEST(fn)                                                     \
	CASE_OF(fn, private_newest), CASE_OF(fn, coherent_newest)

int hmm_begin(void **state);
int hmm_end(void **state);
void hmm_main_args(int argc, char **argv);

extern const struct variant *variant;
extern struct mm_struct *mm;
extern struct uhmm_dmirror_device *device[2];
extern struct uhmm_dmirror *file[2];

static inline bool newest(void)
{
	return variant->level == UHMM_KERNEL_NEWEST;
}

static inline bool private(void)
{
	return variant->type == MEMORY_DEVICE_PRIVATE;
}

/* Make the devices anew, with these quirks. */
void remake_devices(unsigned int quirks);

/* ------------------------------------------------------------- what is told
 * By @mm, and by @child_listener's space, as text: " c:MIGRATE:0+2@" is of the
 * child, of two pages from @base on, and of the owner that note_events() was
 * given.
 */
extern char events[512];
extern unsigned long base;
extern struct mmu_notifier listener, child_listener;

/* To @mm; unregister @listener at the end. @owner: NULL: it is not shown. */
void note_events(const void *owner);
#define assert_events(text)                                                  \
	do {                                                                 \
		assert_string_equal(events, text);                           \
		events[0] = '\0';                                            \
	} while (0)

/* mmap_lock: a case that fails with it held gives it back at its end. */
void hold(bool on);

/* ------------------------------------------------------------------ memory */

/* Succeeds, or the test fails. */
unsigned long mm_map(struct mm_struct *mm, unsigned long npages, int prot,
		  int flags);
/* The same, at a multiple of a huge page, and madvise(MADV_HUGEPAGE). */
unsigned long mm_map_huge(struct mm_struct *mm, unsigned long npages, int prot);
void mm_unmap(struct mm_struct *mm, unsigned long addr, unsigned long npages);
void mm_protect(struct mm_struct *mm, unsigned long addr, unsigned long npages,
	     int prot);

/* CPUs write @first, @first + 1 .. to the pages. */
void cpu_fill(struct mm_struct *mm, unsigned long addr, unsigned long npages,
	      uint64_t first);
/* A page is full of a word: that; anything else fails. */
uint64_t cpu_word(struct mm_struct *mm, unsigned long addr);
#define assert_cpu_sees(mm, addr, npages, first)                             \
	check_cpu(mm, addr, npages, first, __FILE__, __LINE__)
void check_cpu(struct mm_struct *mm, unsigned long addr, unsigned long npages,
	       uint64_t first, const char *where, int line);
/* ptr[i]++ for the word of each page. */
void cpu_increment(struct mm_struct *mm, unsigned long addr,
		   unsigned long npages);

/* ----------------------------------------------------------------- devices
 * One buffer for all of them: what goes to the device, and what comes back.
 */
#define BUFFER_PAGES 1024
extern uint64_t (*const buffer)[PAGE / sizeof(uint64_t)];

extern struct hmm_dmirror_cmd cmd;
/* The result; @cmd has the rest. */
int dev(struct uhmm_dmirror *file, unsigned long request, unsigned long addr,
	unsigned long npages);
/* With the buffer full of @first, @first + 1 .. */
int dev_write(struct uhmm_dmirror *file, unsigned long addr,
	      unsigned long npages, uint64_t first);
/* The buffer is that. */
#define assert_buffer(npages, first)                                         \
	check_buffer(npages, first, __FILE__, __LINE__)
void check_buffer(unsigned long npages, uint64_t first, const char *where,
		  int line);
/* A command that does all pages, and in the buffer are @first .. */
#define assert_dev(file, request, addr, npages, first)                       \
	do {                                                                 \
		assert_int_equal(dev(file, request, addr, npages), 0);       \
		assert_int_equal(cmd.cpages, npages);                        \
		assert_buffer(npages, first);                                \
	} while (0)
/* The bytes of a snapshot, as letters: see hmm_util.c. */
#define assert_snapshot(file, addr, npages, letters)                         \
	check_snapshot(file, addr, npages, letters, __FILE__, __LINE__)
void check_snapshot(struct uhmm_dmirror *file, unsigned long addr,
		    unsigned long npages, const char *letters,
		    const char *where, int line);
/* All pages are the same. */
void assert_all_snapshot(struct uhmm_dmirror *file, unsigned long addr,
			 unsigned long npages, unsigned char prot);
/* The mirror, a letter a page: . r w x */
#define assert_mirror(file, addr, npages, letters)                           \
	check_mirror(file, addr, npages, letters, __FILE__, __LINE__)
void check_mirror(struct uhmm_dmirror *file, unsigned long addr,
		  unsigned long npages, const char *letters, const char *where,
		  int line);

#endif
