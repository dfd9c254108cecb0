/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Linux's own tests of HMM rebuilt on the model: those that 6.1 had not yet. A
 * case has the name of the test there.
 */
#include "hmm_util.h"

#include <stdio.h>
#include <time.h>

#define N 512UL

/* MADV_COLLAPSE, and where it is not in <sys/mman.h>. */
#define COLLAPSE 25

static void to_dev(unsigned long addr, unsigned long npages, uint64_t first)
{
	assert_dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, npages, first);
}

/* As a huge page, or as small ones, all of it is in the first device's memory. */
static void assert_local(unsigned long addr, unsigned char right, bool huge)
{
	unsigned char kind = private() ? HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL :
					 HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL;

	assert_all_snapshot(file[0], addr, N, right | kind |
			    (huge ? HMM_DMIRROR_PROT_PMD : 0));
	assert_int_equal(uhmm_dmirror_pages(device[0]), N);
}

/* The next allocation of the device fails. */
static void fail_next(void)
{
	cmd = (struct hmm_dmirror_cmd){
		.npages = HMM_DMIRROR_FLAG_FAIL_ALLOC };
	cmd.addr = PAGE;
	assert_int_equal(uhmm_dmirror_ioctl(file[0], HMM_DMIRROR_FLAGS, &cmd),
			 0);
}

static void assert_all_zero(unsigned long addr)
{
	for (unsigned long i = 0; i < N; i++)
		assert_int_equal(cpu_word(mm, addr + PAGES(i)), 0);
}

static void assert_buffer_zero(void)
{
	for (unsigned long i = 0; i < N; i++)
		assert_int_equal(buffer[i][0], 0);
}

static void migrate_anon_huge_empty(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, R);

	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N), 0);
	assert_int_equal(cmd.cpages, N);
	assert_buffer_zero();
	assert_local(addr, HMM_DMIRROR_PROT_READ, true);
	assert_all_zero(addr);
	mm_unmap(mm, addr, N);
}

static void migrate_anon_huge_zero(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, R);

	assert_int_equal(cpu_word(mm, addr), 0);
	/* A huge page of zeroes, which is no page of zeroes to the device. */
	assert_all_snapshot(file[0], addr, N, HMM_DMIRROR_PROT_READ |
					      HMM_DMIRROR_PROT_PMD);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, N), 0);
	assert_buffer_zero();
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N), 0);
	assert_int_equal(cmd.cpages, N);
	assert_buffer_zero();
	assert_local(addr, HMM_DMIRROR_PROT_READ, true);
	assert_all_zero(addr);
	mm_unmap(mm, addr, N);
}

static void migrate_anon_huge_free(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, RW);

	cpu_fill(mm, addr, N, 1);
	to_dev(addr, N, 1);
	assert_int_equal(uhmm_model_madvise(mm, addr, PAGES(N), MADV_FREE), 0);
	assert_int_equal(uhmm_dmirror_pages(device[0]), N);
	mm_unmap(mm, addr, N);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
}

static void migrate_anon_huge_fault(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, RW);
	char letters[N];

	cpu_fill(mm, addr, N, 1);
	assert_int_equal(uhmm_model_madvise(mm, addr, PAGES(N), COLLAPSE), 0);
	assert_all_snapshot(file[0], addr, N, HMM_DMIRROR_PROT_WRITE |
					      HMM_DMIRROR_PROT_PMD);
	to_dev(addr, N, 1);
	assert_local(addr, HMM_DMIRROR_PROT_WRITE, true);
	uhmm_model_pagemap(mm, addr, N, letters);
	for (unsigned long i = 0; i < N; i++)
		assert_int_equal(letters[i], private() ? 'D' : 'A');
	assert_cpu_sees(mm, addr, N, 1);
	assert_int_equal(uhmm_dmirror_pages(device[0]), private() ? 0 : N);
	if (private())
		assert_all_snapshot(file[0], addr, N, HMM_DMIRROR_PROT_WRITE |
						      HMM_DMIRROR_PROT_PMD);
	mm_unmap(mm, addr, N);
}

/* No huge page to be had on the device, or at home: small ones do. */
static void migrate_anon_huge_err(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, RW);

	cpu_fill(mm, addr, N, 1);
	fail_next();
	to_dev(addr, N, 1);
	assert_local(addr, HMM_DMIRROR_PROT_WRITE, false);
	assert_int_equal(cpu_word(mm, addr + PAGES(4)), 5);
	assert_int_equal(uhmm_dmirror_pages(device[0]),
			 private() ? N - 1 : N);
	assert_cpu_sees(mm, addr, N, 1);
	mm_unmap(mm, addr, N);

	addr = mm_map_huge(mm, N, RW);
	cpu_fill(mm, addr, N, 1);
	to_dev(addr, N, 1);
	assert_local(addr, HMM_DMIRROR_PROT_WRITE, true);
	fail_next();
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_SYS, addr, N), 0);
	assert_int_equal(cmd.cpages, N);
	assert_all_snapshot(file[0], addr, N, HMM_DMIRROR_PROT_WRITE);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
	assert_cpu_sees(mm, addr, N, 1);
	mm_unmap(mm, addr, N);
}

static void migrate_anon_huge_zero_err(void **state)
{
	unsigned long addr = mm_map_huge(mm, N, R);

	assert_int_equal(cpu_word(mm, addr), 0);
	fail_next();
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N), 0);
	assert_int_equal(cmd.cpages, N);
	assert_buffer_zero();
	assert_local(addr, HMM_DMIRROR_PROT_READ, false);
	assert_all_zero(addr);
	mm_unmap(mm, addr, N);

	addr = mm_map_huge(mm, N, R);
	assert_int_equal(cpu_word(mm, addr), 0);
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N), 0);
	assert_local(addr, HMM_DMIRROR_PROT_READ, true);
	fail_next();
	assert_all_zero(addr);
	assert_int_equal(uhmm_dmirror_pages(device[0]), private() ? 0 : N);
	mm_unmap(mm, addr, N);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As there, only what it takes is printed; what comes of it is looked at. */
static void there_and_back(unsigned long npages, bool huge)
{
	unsigned long addr = huge ? mm_map_huge(mm, npages, RW) :
				    mm_map(mm, npages, RW, ANON);
	double start, there, back;

	cpu_fill(mm, addr, npages, 1);
	start = seconds();
	to_dev(addr, npages, 1);
	there = seconds() - start;
	assert_int_equal(uhmm_dmirror_pages(device[0]), npages);
	start = seconds();
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_SYS, addr,
			     npages), 0);
	back = seconds() - start;
	assert_int_equal(cmd.cpages, npages);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
	assert_cpu_sees(mm, addr, npages, 1);
	mm_unmap(mm, addr, npages);
	printf("# %4lu KiB in %s pages: %.0f pages/ms there, %.0f back\n",
	       npages * PAGE / 1024, huge ? "huge" : "small",
	       (double)npages / there / 1e3, (double)npages / back / 1e3);
}

static void benchmark_thp_migration(void **state)
{
	for (unsigned long npages = 128; npages <= BUFFER_PAGES; npages *= 2) {
		there_and_back(npages, false);
		there_and_back(npages, true);
	}
}

/*
 * Half of what is on the device goes; the rest can still be read. A huge page
 * is all there until it has to be split.
 */
static void partial_unmap(unsigned long from, bool huge)
{
	unsigned long addr = huge ? mm_map_huge(mm, N, RW) :
				    mm_map(mm, N, RW, ANON);

	cpu_fill(mm, addr, N, 1);
	to_dev(addr, N, 1);
	mm_unmap(mm, addr + PAGES(from), N / 2);
	assert_int_equal(uhmm_dmirror_pages(device[0]), huge ? N : N / 2);
	assert_cpu_sees(mm, addr, from, 1);
	assert_cpu_sees(mm, addr + PAGES(from + N / 2), N / 2 - from,
			1 + from + N / 2);
	if (private())
		assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
	mm_unmap(mm, addr, N);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
}

static void migrate_partial_unmap_fault(void **state)
{
	const unsigned long from[] = { 0, N / 4, N / 2 };

	for (int i = 0; i < 3; i++) {
		partial_unmap(from[i], false);
		partial_unmap(from[i], true);
	}
}

/* What is on the device moves in the address space, or goes there afterwards. */
static void remap(bool before, bool dontunmap, bool huge, unsigned long offset)
{
	unsigned long addr = huge ? mm_map_huge(mm, N, RW) :
				    mm_map(mm, N, RW, ANON);
	unsigned long to = mm_map(mm, 3 * N, PROT_NONE, ANON);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED |
		    (dontunmap ? MREMAP_DONTUNMAP : 0);

	mm_unmap(mm, to, 3 * N);
	to = ((to + HUGE - 1) & ~(HUGE - 1)) + PAGES(offset);
	cpu_fill(mm, addr, N, 1);
	if (before)
		to_dev(addr, N, 1);
	assert_int_equal(uhmm_model_mremap(mm, addr, PAGES(N), PAGES(N), flags,
					   to), to);
	if (!before)
		to_dev(to, N, 1);
	assert_int_equal(uhmm_dmirror_pages(device[0]), N);
	assert_dev(file[0], HMM_DMIRROR_READ, to, N, 1);
	assert_cpu_sees(mm, to, N, 1);
	if (dontunmap)
		assert_int_equal(cpu_word(mm, addr + PAGES(3)), 0);
	mm_unmap(mm, to, N);
	mm_unmap(mm, addr, N);
}

static void migrate_remap_fault(void **state)
{
	for (int i = 0; i < 16; i++)
		remap(i & 1, i & 2, i & 4, i & 8 ? 7 : 0);
}

/* The handler of userfaultfd fills what the device then reads. */
static void userfaultfd_read(void **state)
{
	unsigned long addr = mm_map(mm, 4, RW, ANON);
	uint64_t page[PAGE / sizeof(uint64_t)];

	memset(page, 0xab, sizeof(page));
	assert_int_equal(uhmm_model_uffd_register(mm, addr, PAGES(4),
						  UHMM_UFFD_MISSING), 0);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ_UNLOCKED, addr, 4),
			 -EFAULT);
	for (unsigned long i = 0; i < 4; i++)
		assert_int_equal(uhmm_model_uffd_copy(mm, addr + PAGES(i),
						      page, 1), 1);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ_UNLOCKED, addr, 4), 0);
	assert_int_equal(cmd.cpages, 4);
	for (unsigned long i = 0; i < 4; i++)
		assert_memory_equal(buffer[i], page, PAGE);
	mm_unmap(mm, addr, 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASES_NEWEST(migrate_anon_huge_empty),
		CASES_NEWEST(migrate_anon_huge_zero),
		CASES_NEWEST(migrate_anon_huge_free),
		CASES_NEWEST(migrate_anon_huge_fault),
		CASES_NEWEST(migrate_anon_huge_err),
		CASES_NEWEST(migrate_anon_huge_zero_err),
		CASES_NEWEST(benchmark_thp_migration),
		CASES_NEWEST(migrate_partial_unmap_fault),
		CASES_NEWEST(migrate_remap_fault),
		CASES_NEWEST(userfaultfd_read),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
