/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Linux's own tests of HMM, tools/testing/selftests/mm/hmm-tests.c, rebuilt on
 * the model: those that mirror pages. A case has the name of the test there.
 */
#include "hmm_util.h"

#define N 1024UL

static void open_close(void **state)
{
	struct uhmm_dmirror *another;

	assert_int_equal(uhmm_dmirror_open(device[0], mm, &another), 0);
	uhmm_dmirror_close(another);
}

static void anon_read(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, ANON);

	/* Some pages are there, one is the page of zeroes, one is not. */
	cpu_fill(mm, addr + PAGES(2), N - 2, 2);
	mm_protect(mm, addr, N, R);
	assert_int_equal(cpu_word(mm, addr + PAGE), 0);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, N), 0);
	assert_int_equal(cmd.cpages, N);
	assert_int_equal(cmd.faults, 1);
	assert_int_equal(buffer[0][0], 0);
	assert_int_equal(buffer[1][0], 0);
	for (unsigned long i = 2; i < N; i++)
		assert_int_equal(buffer[i][0], i);
	mm_unmap(mm, addr, N);
}

static void anon_read_prot(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, ANON);

	cpu_fill(mm, addr, N, 0);
	mm_protect(mm, addr, N, PROT_NONE);
	memset(buffer, 0xee, PAGES(N));
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, N), -EFAULT);
	assert_int_equal(buffer[0][0], 0xeeeeeeeeeeeeeeee);
	mm_protect(mm, addr, N, R);
	assert_cpu_sees(mm, addr, N, 0);
	mm_unmap(mm, addr, N);
}

static void anon_write(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, ANON);

	assert_int_equal(dev_write(file[0], addr, N, 7), 0);
	assert_int_equal(cmd.cpages, N);
	assert_int_equal(cmd.faults, 1);
	assert_cpu_sees(mm, addr, N, 7);
	mm_unmap(mm, addr, N);
}

static void anon_write_prot(void **state)
{
	unsigned long addr = mm_map(mm, N, R, ANON);

	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, 1), 0);
	assert_int_equal(cmd.cpages, 1);
	assert_int_equal(cmd.faults, 1);
	assert_int_equal(dev_write(file[0], addr, N, 1), -EPERM);
	assert_int_equal(cpu_word(mm, addr), 0);
	assert_int_equal(cpu_word(mm, addr + PAGES(N - 1)), 0);

	mm_protect(mm, addr, N, RW);
	assert_int_equal(dev_write(file[0], addr, N, 1), 0);
	assert_int_equal(cmd.cpages, N);
	assert_int_equal(cmd.faults, 1);
	assert_cpu_sees(mm, addr, N, 1);
	mm_unmap(mm, addr, N);
}

/* The child opens the device itself, and writes. */
static struct mm_struct *child_writes(unsigned long addr, unsigned long npages,
				      uint64_t first)
{
	struct uhmm_dmirror *own;
	struct mm_struct *child;

	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_cpu_sees(child, addr, npages, 0);
	assert_int_equal(uhmm_dmirror_open(device[0], child, &own), 0);
	assert_int_equal(dev_write(own, addr, npages, first), 0);
	assert_int_equal(cmd.cpages, npages);
	uhmm_dmirror_close(own);
	assert_cpu_sees(child, addr, npages, first);
	return child;
}

/* A write through the parent's file still goes to the parent. */
static void write_child(bool migrated, bool huge)
{
	unsigned long npages = huge ? 512 : N;
	unsigned long addr = huge ? mm_map_huge(mm, npages, RW) :
				    mm_map(mm, npages, RW, ANON);
	struct mm_struct *child;

	cpu_fill(mm, addr, npages, 0);
	if (migrated)
		assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr,
				     npages), 0);
	child = child_writes(addr, npages, 5000);
	assert_cpu_sees(mm, addr, npages, 0);
	mmput(child);
	mm_unmap(mm, addr, npages);
}

static void anon_write_child(void **state)
{
	write_child(false, false);
	write_child(true, false);
	write_child(false, true);
	write_child(true, true);
}

static void anon_write_child_shared(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, SHARED_ANON);
	struct mm_struct *child;

	cpu_fill(mm, addr, N, 0);
	child = child_writes(addr, N, 5000);
	assert_cpu_sees(mm, addr, N, 5000);
	mmput(child);
	mm_unmap(mm, addr, N);
}

static void anon_write_huge(void **state)
{
	unsigned long addr = mm_map_huge(mm, 512, RW);

	assert_int_equal(dev_write(file[0], addr, 512, 1), 0);
	assert_int_equal(cmd.cpages, 512);
	assert_int_equal(cmd.faults, 1);
	assert_all_snapshot(file[0], addr, 512, HMM_DMIRROR_PROT_WRITE |
					       HMM_DMIRROR_PROT_PMD);
	assert_cpu_sees(mm, addr, 512, 1);
	mm_unmap(mm, addr, 512);
}

static void anon_write_hugetlbfs(void **state)
{
	unsigned long addr = mm_map(mm, 512, RW, ANON | MAP_HUGETLB);

	assert_int_equal(dev_write(file[0], addr, 512, 1), 0);
	assert_int_equal(cmd.cpages, 512);
	assert_int_equal(cmd.faults, 1);
	assert_cpu_sees(mm, addr, 512, 1);
	mm_unmap(mm, addr, 512);
}

static int make_file(unsigned long npages, uint64_t first)
{
	int id = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, PAGES(npages));
	uint64_t page[PAGE / sizeof(uint64_t)];

	assert_true(id > 0);
	for (unsigned long i = 0; i < npages; i++) {
		for (size_t k = 0; k < PAGE / sizeof(uint64_t); k++)
			page[k] = first + i;
		assert_int_equal(uhmm_model_file_write(mm, id, page, PAGE,
						       PAGES(i)), PAGE);
	}
	return id;
}

static unsigned long map_file(int id, unsigned long npages, int prot, int flags)
{
	long addr = uhmm_model_mmap(mm, 0, PAGES(npages), prot, flags, id, 0);

	assert_true(addr > 0);
	return (unsigned long)addr;
}

static void file_read(void **state)
{
	int id = make_file(N, 100);
	unsigned long addr = map_file(id, N, R, MAP_SHARED);

	assert_dev(file[0], HMM_DMIRROR_READ, addr, N, 100);
	assert_int_equal(cmd.faults, 1);
	mm_unmap(mm, addr, N);
	uhmm_model_file_close(mm, id);
}

static void file_write(void **state)
{
	int id = make_file(N, 100);
	unsigned long addr = map_file(id, N, RW, MAP_SHARED);

	assert_int_equal(dev_write(file[0], addr, N, 200), 0);
	assert_int_equal(cmd.cpages, N);
	assert_int_equal(cmd.faults, 1);
	assert_cpu_sees(mm, addr, N, 200);
	assert_int_equal(uhmm_model_file_read(mm, id, buffer, PAGES(N), 0),
			 (long)PAGES(N));
	assert_buffer(N, 200);
	mm_unmap(mm, addr, N);
	uhmm_model_file_close(mm, id);
}

/* The same addresses again and again: each time the device has to fault. */
static void anon_read_multiple(void **state)
{
	for (uint64_t i = 0; i < 10; i++) {
		unsigned long addr = mm_map(mm, N, RW, ANON);

		cpu_fill(mm, addr, N, 10000 * i);
		assert_dev(file[0], HMM_DMIRROR_READ, addr, N, 10000 * i);
		assert_int_equal(cmd.faults, 1);
		mm_unmap(mm, addr, N);
	}
}

struct teardown {
	unsigned long addr;
	unsigned int spin;
};

static void *unmap_half(void *arg)
{
	const struct teardown *teardown = arg;

	for (volatile unsigned int i = 0; i < teardown->spin; i++)
		;
	uhmm_model_munmap(mm, teardown->addr + PAGES(N / 2), PAGES(N / 2));
	return NULL;
}

static void anon_teardown(void **state)
{
	struct teardown teardown;
	pthread_t thread;
	int ret;

	for (unsigned int i = 0; i < 10; i++) {
		teardown.addr = mm_map(mm, N, RW, ANON);
		teardown.spin = i * i * i * 100;
		cpu_fill(mm, teardown.addr, N, i);
		assert_int_equal(pthread_create(&thread, NULL, unmap_half,
						&teardown), 0);
		ret = dev(file[0], HMM_DMIRROR_READ, teardown.addr, N);
		pthread_join(thread, NULL);
		if (!ret) {
			assert_int_equal(cmd.faults, 1);
			assert_buffer(N, i);
		}
		assert_int_equal(dev(file[0], HMM_DMIRROR_READ, teardown.addr,
				     N), -EFAULT);
		mm_unmap(mm, teardown.addr, N);
	}
}

/* The device's own pages, mapped through its file. */
static void mixedmap(void **state)
{
	int id = uhmm_model_file(mm, UHMM_MODEL_FILE_DEVICE, PAGE);
	unsigned long addr;

	assert_true(id > 0);
	addr = map_file(id, 1, R, MAP_PRIVATE);
	assert_snapshot(file[0], addr, 1, "r");
	mm_unmap(mm, addr, 1);
	uhmm_model_file_close(mm, id);
}

static void snapshot(void **state)
{
	unsigned long addr = mm_map(mm, 7, RW, ANON);

	/* Nothing allowed; a hole; the page of zeroes; a page to be read. */
	mm_protect(mm, addr, 2, PROT_NONE);
	mm_unmap(mm, addr + PAGE, 1);
	assert_int_equal(cpu_word(mm, addr + PAGES(2)), 0);
	cpu_fill(mm, addr + PAGES(3), 1, 3);
	mm_protect(mm, addr + PAGES(2), 2, R);
	/* A page to be written; one on each device. */
	cpu_fill(mm, addr + PAGES(4), 3, 4);
	for (int i = 0; i < 2; i++)
		assert_dev(file[i], HMM_DMIRROR_MIGRATE_TO_DEV,
			   addr + PAGES(5 + i), 1, 5U + i);
	assert_snapshot(file[0], addr, 7, private() ? "EEzrwL." : "EEzrwLO");
	mm_unmap(mm, addr, 7);
}

static void compound(void **state)
{
	unsigned long addr = mm_map(mm, 512, RW, ANON | MAP_HUGETLB);

	cpu_fill(mm, addr, 512, 1);
	assert_all_snapshot(file[0], addr, 512, HMM_DMIRROR_PROT_WRITE |
					       HMM_DMIRROR_PROT_PMD);
	mm_protect(mm, addr, 512, R);
	assert_all_snapshot(file[0], addr, 512, HMM_DMIRROR_PROT_READ |
					       HMM_DMIRROR_PROT_PMD);
	mm_unmap(mm, addr, 512);
}

static void double_map(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, ANON);

	cpu_fill(mm, addr, N, 1);
	mm_protect(mm, addr, N, R);
	for (int i = 0; i < 2; i++) {
		assert_dev(file[i], HMM_DMIRROR_READ, addr, N, 1);
		assert_int_equal(cmd.faults, 1);
	}
	/* What one device takes the other has to look for again. */
	assert_dev(file[1], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N, 1);
	assert_dev(file[0], HMM_DMIRROR_READ, addr, N, 1);
	assert_int_equal(cmd.faults, 1);
	mm_unmap(mm, addr, N);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASES(open_close),
		CASES(anon_read),
		CASES(anon_read_prot),
		CASES(anon_write),
		CASES(anon_write_prot),
		CASES(anon_write_child),
		CASES(anon_write_child_shared),
		CASES(anon_write_huge),
		CASES(anon_write_hugetlbfs),
		CASES(file_read),
		CASES(file_write),
		CASES(anon_read_multiple),
		CASES(anon_teardown),
		CASES(mixedmap),
		CASES(snapshot),
		CASES(compound),
		CASES(double_map),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
