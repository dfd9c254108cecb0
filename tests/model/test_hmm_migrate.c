/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Linux's own tests of HMM rebuilt on the model: those that move pages to a
 * device, or let it have them alone. A case has the name of the test there.
 */
#include "hmm_util.h"

#define N 1024UL

static void to_dev(unsigned long addr, unsigned long npages, uint64_t first)
{
	assert_dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, npages, first);
}

static void to_sys(unsigned long addr, unsigned long npages)
{
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_SYS, addr, npages),
			 0);
	assert_int_equal(cmd.cpages, npages);
}

static unsigned long filled(unsigned long npages, uint64_t first)
{
	unsigned long addr = mm_map(mm, npages, RW, ANON);

	cpu_fill(mm, addr, npages, first);
	return addr;
}

static void migrate(void **state)
{
	unsigned long addr = filled(N, 1);

	to_dev(addr, N, 1);
	assert_int_equal(uhmm_dmirror_pages(device[0]), N);
	mm_unmap(mm, addr, N);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
}

static void migrate_file_private(void **state)
{
	int id = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, PAGES(N));
	long addr = uhmm_model_mmap(mm, 0, PAGES(N), RW, MAP_PRIVATE, id, 0);

	assert_true(addr > 0);
	cpu_fill(mm, (unsigned long)addr, N, 1);
	to_dev((unsigned long)addr, N, 1);
	assert_cpu_sees(mm, (unsigned long)addr, N, 1);
	mm_unmap(mm, (unsigned long)addr, N);
	uhmm_model_file_close(mm, id);
}

static void migrate_fault(void **state)
{
	unsigned long addr = filled(N, 1);

	to_dev(addr, N, 1);
	assert_cpu_sees(mm, addr, N / 2, 1);
	assert_int_equal(uhmm_dmirror_pages(device[0]),
			 private() ? N / 2 : N);
	to_dev(addr, N, 1);
	assert_cpu_sees(mm, addr, N, 1);
	mm_unmap(mm, addr, N);
}

static void migrate_release(void **state)
{
	unsigned long addr = filled(N, 1);

	to_dev(addr, N, 1);
	assert_int_equal(dev(file[0], HMM_DMIRROR_RELEASE, addr, N), 0);
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
	assert_cpu_sees(mm, addr, N, 1);
	mm_unmap(mm, addr, N);
}

static void migrate_shared(void **state)
{
	unsigned long addr = mm_map(mm, N, RW, SHARED_ANON);

	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, N),
			 -ENOENT);
	mm_unmap(mm, addr, N);
}

static void migrate_mixed(void **state)
{
	unsigned long addr = mm_map(mm, 6, PROT_NONE, ANON);

	/* The first page cannot be read; then there is a hole. */
	assert_int_equal(dev(file[1], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 6),
			 -EINVAL);
	mm_unmap(mm, addr + PAGE, 1);
	assert_int_equal(dev(file[1], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 3),
			 -EINVAL);
	/* Zeroes, to be read; a page to be read; two to be written. */
	mm_protect(mm, addr + PAGES(2), 1, R);
	assert_int_equal(cpu_word(mm, addr + PAGES(2)), 0);
	mm_protect(mm, addr + PAGES(3), 3, RW);
	cpu_fill(mm, addr + PAGES(3), 3, 1);
	mm_protect(mm, addr + PAGES(3), 1, R);
	assert_dev(file[1], HMM_DMIRROR_MIGRATE_TO_DEV, addr + PAGES(2), 4, 0);
	/* What one device has the other does not get. */
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV,
			     addr + PAGES(5), 1), -ENOENT);
	mm_unmap(mm, addr, 6);
}

static void migrate_multiple(void **state)
{
	for (uint64_t i = 0; i < 10; i++) {
		unsigned long addr = filled(N, 1000 * i);

		to_dev(addr, N, 1000 * i);
		if (!private())
			to_sys(addr, N);
		assert_cpu_sees(mm, addr, N, 1000 * i);
		assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
		mm_unmap(mm, addr, N);
	}
}

static void exclusive(void **state)
{
	unsigned long addr = filled(N, 1);

	assert_dev(file[0], HMM_DMIRROR_EXCLUSIVE, addr, N, 1);
	assert_int_equal(dev(file[0], HMM_DMIRROR_CHECK_EXCLUSIVE, addr, 1),
			 -EPERM);
	cpu_increment(mm, addr, N);
	assert_int_equal(dev(file[0], HMM_DMIRROR_CHECK_EXCLUSIVE, addr, N), 0);
	assert_cpu_sees(mm, addr, N, 2);
	mm_unmap(mm, addr, N);
}

static void exclusive_mprotect(void **state)
{
	unsigned long addr = filled(N, 1);

	assert_dev(file[0], HMM_DMIRROR_EXCLUSIVE, addr, N, 1);
	mm_protect(mm, addr, N, R);
	assert_int_equal(dev_write(file[0], addr, N, 1), -EPERM);
	mm_unmap(mm, addr, N);
}

static void exclusive_cow(void **state)
{
	unsigned long addr = filled(N, 1);
	struct mm_struct *child;

	assert_dev(file[0], HMM_DMIRROR_EXCLUSIVE, addr, N, 1);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	cpu_increment(mm, addr, N);
	assert_cpu_sees(child, addr, N, 1);
	cpu_increment(child, addr, N);
	cpu_increment(child, addr, N);
	assert_cpu_sees(mm, addr, N, 2);
	assert_cpu_sees(child, addr, N, 3);
	mmput(child);
	mm_unmap(mm, addr, N);
}

/* A long-term pin of what is on the device brings it home, and keeps it. */
static void hmm_gup_test(void **state)
{
	unsigned long addr = filled(4, 1);
	int pin;

	to_dev(addr, 4, 1);
	pin = uhmm_model_pin(mm, addr, 4, true);
	assert_true(pin > 0);
	assert_snapshot(file[0], addr, 4, "wwww");
	assert_int_equal(uhmm_dmirror_pages(device[0]), 0);
	assert_cpu_sees(mm, addr, 4, 1);
	/* Anonymous pages that are not there stay where they are. */
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 4),
			 -ENOENT);
	assert_snapshot(file[0], addr, 4, "wwww");
	uhmm_model_unpin(mm, pin);
	to_dev(addr, 4, 1);
	mm_unmap(mm, addr, 4);
}

static void hmm_cow_in_device(void **state)
{
	unsigned long addr = filled(4, 1);
	struct mm_struct *child;

	to_dev(addr, 4, 1);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	cpu_increment(mm, addr, 4);
	assert_cpu_sees(child, addr, 4, 1);
	mmput(child);
	assert_snapshot(file[0], addr, 4, "wwww");
	assert_cpu_sees(mm, addr, 4, 2);
	mm_unmap(mm, addr, 4);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASES(migrate),
		CASES(migrate_file_private),
		CASES(migrate_fault),
		CASES(migrate_release),
		CASES(migrate_shared),
		CASES(migrate_mixed),
		CASES(migrate_multiple),
		CASES(exclusive),
		CASES(exclusive_mprotect),
		CASES(exclusive_cow),
		CASES(hmm_gup_test),
		CASES(hmm_cow_in_device),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
