/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Areas, entries and faults of real memory, by each way that a kernel offers.
 */
#include "live_util.h"

#include <sys/syscall.h>

#define RW (PROT_READ | PROT_WRITE)

/* Every way there is of reading areas and entries. */
static const unsigned int ways[] = {
	0,
	UHMM_LIVE_PROCMAP_QUERY,
	UHMM_LIVE_PAGEMAP_SCAN,
	UHMM_LIVE_PROCMAP_QUERY | UHMM_LIVE_PAGEMAP_SCAN,
};

#define for_each_way(i)                                                      \
	for (size_t i = 0; i < ARRAY_SIZE(ways) &&                           \
	     (make_live(UHMM_G0, ways[i], UHMM_LIVE_UNWATCHED_TOO), true);  \
	     i++)

static struct uhmm_vma vma_at(const void *addr)
{
	struct uhmm_vma vma;

	assert_int_equal(uhmm_mm_find_vma(mm, (unsigned long)addr, &vma), 0);
	return vma;
}

static void an_area_has_its_bounds_and_flags(void **state)
{
	char *hole = map_at(NULL, 10, PROT_NONE, 0);
	char *p = map_at(hole + PAGE, 4, RW, MAP_FIXED);
	int fd = memfd_create("area", 0);
	char *shared;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	for_each_way(i) {
		struct uhmm_vma vma = vma_at(p + PAGE + 5);

		assert_int_equal(vma.start, (unsigned long)p);
		assert_int_equal(vma.end, (unsigned long)(p + 4 * PAGE));
		assert_int_equal(vma.flags, UHMM_VM_READ | UHMM_VM_WRITE |
						    UHMM_VM_ANON);
		assert_int_equal(vma_at(hole).flags, UHMM_VM_ANON);
		assert_int_equal(vma_at(shared).flags,
				 UHMM_VM_READ | UHMM_VM_SHARED);
	}
	munmap(hole, 10 * PAGE);
	munmap(shared, PAGE);
	close(fd);
}

static void above_a_hole_is_the_next_area(void **state)
{
	char *p = map_at(NULL, 3, RW, 0);

	munmap(p + PAGE, PAGE);
	for_each_way(i) {
		assert_int_equal(vma_at(p + PAGE).start,
				 (unsigned long)(p + 2 * PAGE));
		assert_int_equal(uhmm_mm_find_vma(mm, -2 * PAGE,
						  &(struct uhmm_vma){ 0 }),
				 -ENOENT);
	}
	munmap(p, 3 * PAGE);
}

/* Some kernels give each page that is read a frame of its own. */
static bool has_zero_page(void)
{
	struct live *live = live_of(mm);
	char *p = map_at(NULL, 1, RW, 0);
	uint64_t entry = 0;

	(void)*(volatile char *)p;
	assert_int_equal(pread(live->pagemap, &entry, 8,
			       (off_t)((unsigned long)p / PAGE * 8)), 8);
	munmap(p, PAGE);
	return !(entry & PM_EXCLUSIVE);
}

static void entries_tell_what_is_there(void **state)
{
	/* More than is read page by page, so that each way is gone. */
	enum { N = 40 };
	char *p = map_at(NULL, N, RW, 0);
	bool zero_page = has_zero_page();

	for (int i = 0; i < N; i += 2)
		p[i * PAGE] = 1;
	(void)*(volatile char *)(p + PAGE);
	for_each_way(i) {
		struct uhmm_pte ptes[N];
		size_t n = N;

		assert_int_equal(uhmm_mm_walk(mm, (unsigned long)p, &n, ptes),
				 0);
		assert_int_equal(n, N);
		for (size_t k = 0; k < N; k++) {
			assert_int_equal(ptes[k].pfn,
					 (unsigned long)p / PAGE + k);
			if (k == 1)
				assert_int_equal(ptes[k].write, !zero_page);
			else if (k % 2)
				assert_int_equal(ptes[k].state, UHMM_PTE_NONE);
			else
				assert_int_equal(ptes[k].state,
						 UHMM_PTE_PRESENT);
			if (!(k % 2))
				assert_true(ptes[k].write);
		}
		assert_int_equal(ptes[1].state,
				 zero_page && kernel_has(UHMM_LIVE_FRAMES |
							 UHMM_LIVE_PAGEMAP_SCAN)
					 ? UHMM_PTE_ZERO : UHMM_PTE_PRESENT);
	}
	munmap(p, N * PAGE);
}

static void a_walk_ends_at_a_hole(void **state)
{
	struct uhmm_pte ptes[40];
	char *p = some_pages(40);

	munmap(p + 30 * PAGE, PAGE);
	for_each_way(i) {
		size_t n = 40;

		assert_int_equal(uhmm_mm_walk(mm, (unsigned long)p, &n, ptes),
				 -EFAULT);
		assert_int_equal(n, 30);
		n = 1;
		assert_int_equal(uhmm_mm_walk(mm, (unsigned long)(p + 30 * PAGE),
					      &n, ptes), -EFAULT);
		assert_int_equal(n, 0);
	}
	munmap(p, 40 * PAGE);
}

static void a_write_protected_page_is_not_writable(void **state)
{
	char *p = some_pages(1);

	mprotect(p, PAGE, PROT_READ);
	assert_int_equal(pte_at(p).state, UHMM_PTE_PRESENT);
	assert_false(pte_at(p).write);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p, 0), 0);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p, UHMM_FAULT_WRITE),
			 -EFAULT);
	munmap(p, PAGE);
}

static void a_guard_page_is_poison(void **state)
{
	char *p = some_pages(40);

	if (madvise(p + 20 * PAGE, PAGE, 102 /* MADV_GUARD_INSTALL */)) {
		munmap(p, 40 * PAGE);
		print_message("the kernel has no guard pages\n");
		skip();
	}
	for_each_way(i) {
		struct uhmm_pte ptes[40];
		size_t n = 40;

		assert_int_equal(uhmm_mm_walk(mm, (unsigned long)p, &n, ptes),
				 0);
		assert_int_equal(ptes[20].state, UHMM_PTE_POISON);
		assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p + 20 * PAGE,
					       0), -EFAULT);
	}
	munmap(p, 40 * PAGE);
}

static void a_fault_makes_the_page_present(void **state)
{
	char *p = map_at(NULL, 2, RW, 0);

	assert_int_equal(pte_at(p).state, UHMM_PTE_NONE);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p,
				       UHMM_FAULT_NOWAIT), -EAGAIN);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p, UHMM_FAULT_WRITE),
			 0);
	assert_int_equal(pte_at(p).state, UHMM_PTE_PRESENT);
	assert_true(pte_at(p).write);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p,
				       UHMM_FAULT_NOWAIT), 0);
	munmap(p, 2 * PAGE);
	assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p, 0), -EFAULT);
}

static void what_only_the_cpu_reaches_is_special(void **state)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start = 0;
	char line[512];

	while (fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			start = strtoul(line, NULL, 16);
	fclose(maps);
	if (!start) {
		print_message("this process has no vvar area\n");
		skip();
	}
	for_each_way(i) {
		assert_true(vma_at((void *)start).flags & UHMM_VM_SPECIAL);
		assert_int_equal(pte_at((void *)start).state, UHMM_PTE_SPECIAL);
	}
}

static void frames_are_those_of_the_kernel(void **state)
{
	struct uhmm_live_options options = { .size = sizeof(options),
		.flags = UHMM_LIVE_USE_FRAMES };
	int fd = memfd_create("frames", 0);
	char *a, *b;

	if (!kernel_has(UHMM_LIVE_FRAMES)) {
		drop_live();
		assert_int_equal(uhmm_mm_create_live(&options, &mm), -EPERM);
		print_message("frames need CAP_SYS_ADMIN\n");
		skip();
	}
	make_live(UHMM_G0, 0, UHMM_LIVE_USE_FRAMES | UHMM_LIVE_UNWATCHED_TOO);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	a = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE, fd, 0);
	b = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_POPULATE, fd, 0);
	*a = *b = 1;
	assert_int_equal(pte_at(a).pfn, pte_at(b).pfn);
	assert_int_not_equal(pte_at(a).pfn, 0);
	munmap(a, PAGE);
	munmap(b, PAGE);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(an_area_has_its_bounds_and_flags),
		CASE(above_a_hole_is_the_next_area),
		CASE(entries_tell_what_is_there),
		CASE(a_walk_ends_at_a_hole),
		CASE(a_write_protected_page_is_not_writable),
		CASE(a_guard_page_is_poison),
		CASE(a_fault_makes_the_page_present),
		CASE(what_only_the_cpu_reaches_is_special),
		CASE(frames_are_those_of_the_kernel),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_pages", tests, NULL, NULL);
}
