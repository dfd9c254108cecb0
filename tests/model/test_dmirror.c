/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The device: what its commands refuse, what they leave behind, and what
 * Linux's own device gets wrong.
 */
#include "hmm_util.h"

#define N 64UL

static unsigned long filled(unsigned long npages, uint64_t first)
{
	unsigned long addr = mm_map(mm, npages, RW, ANON);

	cpu_fill(mm, addr, npages, first);
	return addr;
}

/* -------------------------------------------------------------- the commands */

static void is_the_abi_of_linux(void **state)
{
	assert_int_equal(sizeof(struct hmm_dmirror_cmd), 40);
	assert_int_equal(offsetof(struct hmm_dmirror_cmd, npages), 16);
	assert_int_equal(offsetof(struct hmm_dmirror_cmd, faults), 32);
	assert_int_equal(HMM_DMIRROR_READ, 0xc0284800);
	assert_int_equal(HMM_DMIRROR_READ_UNLOCKED, 0xc0284809);
}

static void refuses_what_is_no_command(void **state)
{
	unsigned long addr = filled(2, 1);

	assert_int_equal(dev(file[0], 0xc028480aUL, addr, 1), -EINVAL);
	assert_int_equal(dev(file[0], 0, addr, 1), -EINVAL);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr + 1, 1), -EINVAL);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, 0), -EINVAL);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, addr, 1UL << 52),
			 -EINVAL);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, -PAGE, 1), -EINVAL);
	assert_int_equal(uhmm_dmirror_ioctl(NULL, HMM_DMIRROR_READ, &cmd),
			 -EINVAL);
	assert_int_equal(uhmm_dmirror_ioctl(file[0], HMM_DMIRROR_READ, NULL),
			 -EINVAL);
	mm_unmap(mm, addr, 2);
}

static void refuses_what_is_no_device(void **state)
{
	struct uhmm_dmirror_options how = { .size = sizeof(how) };
	struct uhmm_dmirror_device *it;
	struct uhmm_dmirror *none;

	assert_int_equal(uhmm_dmirror_create(NULL, NULL), -EINVAL);
	assert_int_equal(uhmm_dmirror_create(&how, &it), -EINVAL);
	how.type = MEMORY_DEVICE_COHERENT;
	how.chunk_pages = 100;
	assert_int_equal(uhmm_dmirror_create(&how, &it), -EINVAL);
	how.chunk_pages = 512;
	how.quirks = 4;
	assert_int_equal(uhmm_dmirror_create(&how, &it), -EINVAL);
	how.quirks = 0;
	how.size--;
	assert_int_equal(uhmm_dmirror_create(&how, &it), -EINVAL);
	assert_int_equal(uhmm_dmirror_open(NULL, mm, &none), -EINVAL);
	assert_int_equal(uhmm_dmirror_open(device[0], NULL, &none), -EINVAL);
	assert_int_equal(uhmm_dmirror_open(device[0], mm, NULL), -EINVAL);
}

/* Commands that only the newest Linux has. */
static void is_of_its_kernel_level(void **state)
{
	unsigned long addr = filled(2, 1);
	int unknown = newest() ? 0 : -EINVAL;

	assert_int_equal(dev(file[0], HMM_DMIRROR_READ_UNLOCKED, addr, 1),
			 unknown);
	assert_int_equal(dev(file[0], HMM_DMIRROR_FLAGS, 0,
			     HMM_DMIRROR_FLAG_FAIL_ALLOC), unknown);
	/* The next allocation fails, the one after it does not. */
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr + PAGE,
			     1),
			 newest() ? -ENOENT : 0);
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr + PAGE,
			     1), 0);
	mm_unmap(mm, addr, 2);
}

static void says_nothing_when_it_fails(void **state)
{
	unsigned long addr = filled(1, 1);

	mm_protect(mm, addr, 1, PROT_NONE);
	cmd = (struct hmm_dmirror_cmd){ .addr = addr, .npages = 1,
					.ptr = (uintptr_t)buffer,
					.cpages = 77, .faults = 78 };
	assert_int_equal(uhmm_dmirror_ioctl(file[0], HMM_DMIRROR_READ, &cmd),
			 -EFAULT);
	assert_int_equal(cmd.cpages, 77);
	assert_int_equal(cmd.faults, 78);
	mm_unmap(mm, addr, 1);
}

static int gone(void *to, const void *from, size_t len)
{
	return -EFAULT;
}

static void tells_when_the_buffer_is_gone(void **state)
{
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = variant->type,
		.copy = gone,
	};
	const unsigned long all[] = {
		HMM_DMIRROR_READ, HMM_DMIRROR_WRITE, HMM_DMIRROR_SNAPSHOT,
		HMM_DMIRROR_MIGRATE_TO_DEV, HMM_DMIRROR_EXCLUSIVE,
	};
	unsigned long addr = filled(1, 1);
	struct uhmm_dmirror_device *it;
	struct uhmm_dmirror *own;

	assert_int_equal(uhmm_dmirror_create(&how, &it), 0);
	assert_int_equal(uhmm_dmirror_open(it, mm, &own), 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		assert_int_equal(dev(own, all[i], addr, 1), -EFAULT);
		/* Home again, for the next. */
		assert_cpu_sees(mm, addr, 1, 1);
	}
	uhmm_dmirror_close(own);
	uhmm_dmirror_destroy(it);
	mm_unmap(mm, addr, 1);
}

static void has_no_more_memory_than_it_has(void **state)
{
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = variant->type,
		.chunk_pages = 512,
		.max_pages = 2,
	};
	unsigned long addr = filled(3, 1);
	struct uhmm_dmirror_device *it;
	struct uhmm_dmirror *own;

	assert_int_equal(uhmm_dmirror_create(&how, &it), 0);
	assert_int_equal(uhmm_dmirror_open(it, mm, &own), 0);
	assert_int_equal(dev(own, HMM_DMIRROR_MIGRATE_TO_DEV, addr, 3),
			 -ENOENT);
	assert_int_equal(uhmm_dmirror_pages(it), 2);
	assert_snapshot(own, addr, 3, "LLw");
	assert_cpu_sees(mm, addr, 3, 1);
	uhmm_dmirror_close(own);
	uhmm_dmirror_destroy(it);
	mm_unmap(mm, addr, 3);
}

/* All frames but those of @npages from @addr on are taken; returns by how many. */
static unsigned long fill_up(struct mm_struct *small, unsigned long addr,
			     unsigned long most)
{
	unsigned long n = 0;
	char byte = 1;

	while (n < most &&
	       !uhmm_model_write(small, addr + PAGES(n), &byte, 1, NULL))
		n++;
	return n;
}

/* Linux's waits for memory for ever. */
static void keeps_what_there_is_no_memory_for(void **state)
{
	struct uhmm_model_options machine = {
		.size = sizeof(machine),
		.level = variant->level,
		.frames = 24,
	};
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = variant->type,
		.newest = newest(),
		.chunk_pages = 512,
	};
	struct uhmm_dmirror_device *it;
	struct uhmm_dmirror *own;
	struct mm_struct *small;
	unsigned long addr, more;

	assert_int_equal(uhmm_mm_create_model(&machine, NULL, &small), 0);
	assert_int_equal(uhmm_dmirror_create(&how, &it), 0);
	assert_int_equal(uhmm_dmirror_open(it, small, &own), 0);
	addr = mm_map(small, 16, RW, ANON);
	more = mm_map(small, 32, RW, ANON);
	cpu_fill(small, addr, 16, 1);
	assert_dev(own, HMM_DMIRROR_MIGRATE_TO_DEV, addr, 16, 1);
	assert_int_equal(fill_up(small, more, 32), 24);
	assert_int_equal(dev(own, HMM_DMIRROR_RELEASE, addr, 1), -ENOMEM);
	assert_int_equal(uhmm_dmirror_pages(it), 16);
	assert_dev(own, HMM_DMIRROR_READ, addr, 16, 1);
	/* For some of them there is, and what stays can be used as before. */
	uhmm_model_madvise(small, more, PAGES(4), MADV_DONTNEED);
	assert_int_equal(dev(own, HMM_DMIRROR_RELEASE, addr, 1), -ENOMEM);
	assert_int_equal(uhmm_dmirror_pages(it), 12);
	assert_dev(own, HMM_DMIRROR_READ, addr, 16, 1);
	assert_int_equal(dev_write(own, addr, 16, 50), 0);
	uhmm_dmirror_close(own);
	assert_int_equal(uhmm_dmirror_destroy(it), -ENOMEM);
	assert_int_equal(uhmm_dmirror_pages(it), 12);
	mm_unmap(small, more, 32);
	assert_int_equal(uhmm_dmirror_destroy(it), 0);
	assert_cpu_sees(small, addr, 16, 50);
	mmput(small);
}

static void ends_with_its_address_space(void **state)
{
	unsigned long addr = filled(2, 1);
	struct uhmm_dmirror *own;
	struct mm_struct *child;

	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(uhmm_dmirror_open(device[1], child, &own), 0);
	assert_dev(own, HMM_DMIRROR_READ, addr, 1, 1);
	mmput(child);
	assert_mirror(own, addr, 2, "..");
	assert_int_equal(dev(own, HMM_DMIRROR_READ, addr, 1), -EFAULT);
	assert_int_equal(dev_write(own, addr, 1, 1), -EFAULT);
	assert_int_equal(dev(own, HMM_DMIRROR_SNAPSHOT, addr, 1), -EINVAL);
	assert_int_equal(dev(own, HMM_DMIRROR_MIGRATE_TO_DEV, addr, 1),
			 -EINVAL);
	assert_int_equal(dev(own, HMM_DMIRROR_MIGRATE_TO_SYS, addr, 1),
			 -EINVAL);
	assert_int_equal(dev(own, HMM_DMIRROR_EXCLUSIVE, addr, 1), -EINVAL);
	assert_int_equal(dev(own, HMM_DMIRROR_CHECK_EXCLUSIVE, addr, 1), 0);
	uhmm_dmirror_close(own);
	mm_unmap(mm, addr, 2);
}

/* What a command that fails has done before it fails. */
static void leaves_what_it_did(void **state)
{
	unsigned long addr = filled(4, 1);

	mm_unmap(mm, addr + PAGES(2), 1);
	assert_int_equal(dev_write(file[0], addr, 2, 10), 0);
	assert_int_equal(dev_write(file[0], addr, 4, 20), -EFAULT);
	/* The mirror had two of them. */
	assert_cpu_sees(mm, addr, 2, 20);
	assert_cpu_sees(mm, addr + PAGES(3), 1, 4);
	assert_int_equal(dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 4),
			 -EINVAL);
	assert_snapshot(file[0], addr, 4, "LLEw");
	mm_unmap(mm, addr, 4);
}

/* A page of its own that it may not write: only a CPU can change that. */
static void is_stuck_with_a_page_it_may_not_write(void **state)
{
	unsigned long addr = filled(1, 1);

	assert_dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 1, 1);
	mm_protect(mm, addr, 1, R);
	mm_protect(mm, addr, 1, RW);
	assert_int_equal(dev_write(file[0], addr, 1, 5),
			 private() ? -EFAULT : 0);
	assert_cpu_sees(mm, addr, 1, private() ? 1 : 5);
	assert_int_equal(dev_write(file[0], addr, 1, 6), 0);
	assert_cpu_sees(mm, addr, 1, 6);
	mm_unmap(mm, addr, 1);
}

/* What comes home because of the device itself is not in its mirror as it was. */
static void follows_what_it_brings_home_itself(void **state)
{
	unsigned long addr = filled(2, 1);

	mm_protect(mm, addr + PAGE, 1, R);
	assert_dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 1, 1);
	assert_int_equal(dev(file[0], HMM_DMIRROR_EXCLUSIVE, addr, 2),
			 newest() ? -EFAULT : -EBUSY);
	assert_mirror(file[0], addr, 2, newest() ? "x." : "..");
	cpu_fill(mm, addr, 1, 9);
	assert_dev(file[0], HMM_DMIRROR_READ, addr, 1, 9);
	mm_unmap(mm, addr, 2);
}

/* --------------------------------------------------------------- its quirks */

/* Does an invalidation of a page leave the page behind it alone? */
static bool keeps_the_next_page(unsigned int quirks)
{
	unsigned long addr = filled(2, 1);
	bool keeps;

	remake_devices(quirks);
	assert_dev(file[0], HMM_DMIRROR_READ, addr, 2, 1);
	uhmm_model_madvise(mm, addr, PAGE, MADV_DONTNEED);
	assert_mirror(file[0], addr, 1, ".");
	keeps = uhmm_dmirror_peek(file[0], addr + PAGE, NULL);
	mm_unmap(mm, addr, 2);
	return keeps;
}

static void erases_what_is_invalidated_and_no_more(void **state)
{
	assert_true(keeps_the_next_page(0));
	assert_false(keeps_the_next_page(UHMM_DMIRROR_INCLUSIVE_END));
}

/* Two files of one device: one moves the pages, the other has them mapped. */
static bool second_file_writes_where_the_page_is(unsigned int quirks)
{
	struct uhmm_dmirror *second;
	unsigned long addr;
	bool right;

	remake_devices(quirks);
	addr = filled(1, 1);
	assert_int_equal(uhmm_dmirror_open(device[0], mm, &second), 0);
	assert_int_equal(dev_write(second, addr, 1, 2), 0);
	assert_dev(file[0], HMM_DMIRROR_MIGRATE_TO_DEV, addr, 1, 2);
	right = dev_write(second, addr, 1, 3) == 0 &&
		dev(file[0], HMM_DMIRROR_READ, addr, 1) == 0 &&
		buffer[0][0] == 3;
	mm_unmap(mm, addr, 1);
	uhmm_dmirror_close(second);
	return right;
}

static void tells_all_its_files_of_a_migration(void **state)
{
	assert_true(second_file_writes_where_the_page_is(0));
	assert_false(second_file_writes_where_the_page_is(
		UHMM_DMIRROR_DEVICE_FILTER));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_OF(is_the_abi_of_linux, private_6_1),
		CASES(refuses_what_is_no_command),
		CASE_OF(refuses_what_is_no_device, private_6_1),
		CASES(is_of_its_kernel_level),
		CASES(says_nothing_when_it_fails),
		CASES(tells_when_the_buffer_is_gone),
		CASES(has_no_more_memory_than_it_has),
		CASES(keeps_what_there_is_no_memory_for),
		CASES(ends_with_its_address_space),
		CASES(leaves_what_it_did),
		CASES(is_stuck_with_a_page_it_may_not_write),
		CASES(follows_what_it_brings_home_itself),
		CASES(erases_what_is_invalidated_and_no_more),
		CASES(tells_all_its_files_of_a_migration),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
