/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * hmm_range_fault() on the memory of a process: row by row what Linux answers,
 * when only looked at and when faulted, by each way of reading entries.
 */
#include "device.h"
#include "live_util.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <uhmm/hmm.h>

#define RW (PROT_READ | PROT_WRITE)
#define ASK HMM_PFN_REQ_FAULT
#define ASK_WRITE (HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE)
#define FOUND (HMM_PFN_VALID | HMM_PFN_WRITE | HMM_PFN_ERROR)
#define MOST 1024

static const unsigned int ways[] = {
	0,
	UHMM_LIVE_PAGEMAP_SCAN,
	UHMM_LIVE_PROCMAP_QUERY | UHMM_LIVE_PAGEMAP_SCAN,
};

#define for_each_way(i)                                                       \
	for (size_t i = 0; i < ARRAY_SIZE(ways) &&                            \
	     (make_live(UHMM_G0, ways[i], UHMM_LIVE_DEVICE |                  \
					  UHMM_LIVE_UNWATCHED_TOO), true);    \
	     i++)

static unsigned long pfns[MOST];

/* All pages ask for the same. */
static int read_pages(const void *start, size_t npages, unsigned long ask,
		      void *owner)
{
	struct view view;
	struct hmm_range range = {
		.notifier = &view.sub,
		.start = (unsigned long)start,
		.end = (unsigned long)start + npages * PAGE,
		.hmm_pfns = pfns,
		.default_flags = ask,
		.dev_private_owner = owner,
	};
	int ret;

	memset(pfns, 0, npages * sizeof(pfns[0]));
	view_add(&view, start, npages * PAGE);
	do {
		range.notifier_seq = view_begin(&view);
		mmap_read_lock(mm);
		ret = hmm_range_fault(&range);
		mmap_read_unlock(mm);
	} while (ret == -EBUSY || (!ret && view_retry(&view,
						      range.notifier_seq)));
	view_drop(&view);
	return ret;
}

static int read_page(const void *addr, unsigned long ask)
{
	return read_pages(addr, 1, ask, NULL);
}

/* What is found by looking, and which error there is on asking for it. */
static void check_never(const void *addr, unsigned long looked, int asked)
{
	assert_int_equal(read_page(addr, 0), 0);
	assert_int_equal(pfns[0] & FOUND, looked);
	assert_int_equal(read_page(addr, ASK), asked);
	assert_int_equal(read_page(addr, ASK_WRITE), asked);
}

static void where_nothing_is_mapped(void **state)
{
	for_each_way(i) {
		char *p = map_at(NULL, 3, RW, 0);

		munmap(p + PAGE, PAGE);
		check_never(p + PAGE, HMM_PFN_ERROR, -EFAULT);
		/* One hole fails all that ask; who only look see it. */
		assert_int_equal(read_pages(p, 3, ASK, NULL), -EFAULT);
		assert_int_equal(read_pages(p, 3, 0, NULL), 0);
		assert_int_equal(pfns[1], HMM_PFN_ERROR);
		munmap(p, 3 * PAGE);
	}
}

static void what_may_not_be_read(void **state)
{
	for_each_way(i) {
		char *p = some_pages(2);

		mprotect(p, 2 * PAGE, PROT_NONE);
		check_never(p, HMM_PFN_ERROR, -EFAULT);
		munmap(p, 2 * PAGE);
	}
}

/* The processor could, and Linux does not. */
static void what_may_only_be_written(void **state)
{
	for_each_way(i) {
		char *p = some_pages(2);

		mprotect(p, 2 * PAGE, PROT_WRITE);
		check_never(p, HMM_PFN_ERROR, -EFAULT);
		munmap(p, 2 * PAGE);
	}
}

/* Of frames that are no memory: the clock's. NULL: there is none. */
static char *clock_pages(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], *found = NULL;
	unsigned long start;

	while (maps && !found && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]") && sscanf(line, "%lx", &start) == 1)
			found = (char *)start;
	if (maps)
		fclose(maps);
	return found;
}

static void what_is_no_memory(void **state)
{
	char *p = clock_pages();

	if (!p) {
		print_message("the kernel shows no such area\n");
		skip();
	}
	for_each_way(i)
		check_never(p, HMM_PFN_ERROR, -EFAULT);
}

static void what_was_never_touched(void **state)
{
	for_each_way(i) {
		char *p = map_at(NULL, 40, RW, 0);

		assert_int_equal(read_pages(p, 40, 0, NULL), 0);
		for (int k = 0; k < 40; k++)
			assert_int_equal(pfns[k], 0);
		assert_int_equal(read_pages(p, 40, ASK_WRITE, NULL), 0);
		for (int k = 0; k < 40; k++) {
			assert_int_equal(pfns[k] & FOUND,
					 HMM_PFN_VALID | HMM_PFN_WRITE);
			assert_int_equal(uhmm_hmm_pfn_of(pfns[k]),
					 (unsigned long)p / PAGE + k);
		}
		munmap(p, 40 * PAGE);
	}
}

static void a_write_to_a_read_only_area(void **state)
{
	for_each_way(i) {
		char *p = some_pages(1);

		mprotect(p, PAGE, PROT_READ);
		assert_int_equal(read_page(p, ASK), 0);
		assert_int_equal(pfns[0] & FOUND, HMM_PFN_VALID);
		assert_int_equal(read_page(p, ASK_WRITE), -EPERM);
		munmap(p, PAGE);
	}
}

static void a_write_breaks_what_is_shared(void **state)
{
	int fd = memfd_create("private", 0);

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	for_each_way(i) {
		char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);

		assert_int_equal(read_page(p, ASK), 0);
		assert_int_equal(pfns[0] & FOUND, HMM_PFN_VALID);
		assert_int_equal(read_page(p, ASK_WRITE), 0);
		assert_int_equal(pfns[0] & FOUND, HMM_PFN_VALID |
						  HMM_PFN_WRITE);
		munmap(p, 2 * PAGE);
	}
	close(fd);
}

static void the_page_of_zeroes(void **state)
{
	for_each_way(i) {
		char *p = map_at(NULL, 2, RW, 0);
		uint64_t word = 1;

		assert_int_equal(read_page(p, ASK), 0);
		/* No event says that it is not that any more. */
		assert_int_equal(uhmm_hmm_pfn_of(pfns[0]),
				 (unsigned long)p / PAGE);
		*(volatile uint64_t *)p = 7;
		assert_int_equal(uhmm_page_read(mm, uhmm_hmm_pfn_of(pfns[0]), 0,
						&word, sizeof(word)), 0);
		assert_int_equal(word, 7);
		assert_int_equal(read_page(p, ASK_WRITE), 0);
		assert_int_equal(pfns[0] & FOUND, HMM_PFN_VALID |
						  HMM_PFN_WRITE);
		munmap(p, 2 * PAGE);
	}
}

static void ones_own_pages_on_the_device(void **state)
{
	for_each_way(i) {
		struct device device;
		char *p = some_pages(4);

		assert_int_equal(device_make(&device, 16, false), 0);
		assert_int_equal(device_take(&device, mm, p, 2), 2);
		assert_int_equal(read_pages(p, 4, ASK_WRITE, &device), 0);
		for (int k = 0; k < 4; k++) {
			assert_int_equal(pfns[k] & FOUND, HMM_PFN_VALID |
							  HMM_PFN_WRITE);
			assert_int_equal(uhmm_is_device_pfn(
						 uhmm_hmm_pfn_of(pfns[k])),
					 k < 2);
		}
		/* They have not come home for that. */
		assert_int_equal(live_stats().home, 0);
		munmap(p, 4 * PAGE);
		device_destroy(&device);
	}
}

static void anothers_pages_come_home(void **state)
{
	for_each_way(i) {
		struct device device;
		char *p = some_pages(4);

		assert_int_equal(device_make(&device, 16, false), 0);
		assert_int_equal(device_take(&device, mm, p, 2), 2);
		assert_int_equal(read_pages(p, 4, 0, NULL), 0);
		assert_int_equal(pfns[0], 0);
		assert_int_equal(pfns[2] & FOUND, HMM_PFN_VALID |
						  HMM_PFN_WRITE);
		assert_int_equal(read_pages(p, 4, ASK, NULL), 0);
		assert_int_equal(live_stats().home, 2);
		for (int k = 0; k < 4; k++)
			assert_int_equal(uhmm_hmm_pfn_of(pfns[k]),
					 (unsigned long)p / PAGE + k);
		assert_int_equal(p[PAGE], 2);
		munmap(p, 4 * PAGE);
		device_destroy(&device);
	}
}

static void exclusive_pages_are_revoked(void **state)
{
	for_each_way(i) {
		char *p = some_pages(1);
		unsigned long pfn;

		if (!kernel_has(UHMM_LIVE_MOVE)) {
			munmap(p, PAGE);
			continue;
		}
		mmap_read_lock(mm);
		assert_int_equal(make_device_exclusive(mm, (unsigned long)p,
						       NULL, &pfn), 0);
		mmap_read_unlock(mm);
		uhmm_device_exclusive_put(mm, pfn);
		assert_int_equal(read_page(p, 0), 0);
		assert_int_equal(pfns[0], 0);
		assert_int_equal(read_page(p, ASK), 0);
		assert_true(pfns[0] & HMM_PFN_VALID);
		assert_int_equal(pte_at(p).state, UHMM_PTE_PRESENT);
		munmap(p, PAGE);
	}
}

/* ----------------------------------------------------- what is on its way */

static char *moving;
static pthread_t reader;
static int reader_ret;

static void *read_it(void *unused)
{
	reader_ret = read_page(moving, ASK);
	return NULL;
}

static void while_it_moves(struct device *device)
{
	/* Not when it comes home for him. */
	device->between = NULL;
	/* Whoever only looks sees nothing, and does not wait. */
	assert_int_equal(pte_at(moving).state, UHMM_PTE_MIGRATION);
	pthread_create(&reader, NULL, read_it, NULL);
	usleep(1000);
}

static void a_page_on_its_way_is_waited_for(void **state)
{
	for_each_way(i) {
		struct device device;

		moving = some_pages(1);
		assert_int_equal(device_make(&device, 16, false), 0);
		device.between = while_it_moves;
		assert_int_equal(device_take(&device, mm, moving, 1), 1);
		pthread_join(reader, NULL);
		assert_int_equal(reader_ret, 0);
		assert_int_equal(uhmm_hmm_pfn_of(pfns[0]),
				 (unsigned long)moving / PAGE);
		assert_int_equal(moving[0], 1);
		munmap(moving, PAGE);
		device_destroy(&device);
	}
}

/* ----------------------------------------------------------- what is broken */

static void a_guard(void **state)
{
	char *p = some_pages(3);

	if (madvise(p + PAGE, PAGE, 102 /* MADV_GUARD_INSTALL */)) {
		munmap(p, 3 * PAGE);
		print_message("the kernel has no guard pages\n");
		skip();
	}
	for_each_way(i)
		check_never(p + PAGE, 0, -EFAULT);
	munmap(p, 3 * PAGE);
}

/* As what has failed in hardware is noted. False: this kernel does not. */
static bool poison(char *p)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = {
		.range = { (unsigned long)p, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	/* struct uffdio_poison, newer than the headers may be */
	struct { struct uffdio_range range; uint64_t mode; int64_t done; } how = {
		.range = { (unsigned long)p, PAGE },
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	bool done;

	if (fd < 0)
		return false;
	done = !ioctl(fd, UFFDIO_API, &api) &&
	       !ioctl(fd, UFFDIO_REGISTER, &area) &&
	       !ioctl(fd, _IOWR(0xaa, 8, how), &how);
	close(fd);
	return done;
}

static void a_poisoned_page(void **state)
{
	char *p = map_at(NULL, 3, RW, 0);

	if (!poison(p + PAGE)) {
		munmap(p, 3 * PAGE);
		print_message("the kernel poisons no pages\n");
		skip();
	}
	for_each_way(i) {
		check_never(p + PAGE, 0, -EFAULT);
		/* It does not spread. */
		assert_int_equal(read_page(p, ASK_WRITE), 0);
		assert_int_equal(read_page(p + 2 * PAGE, ASK_WRITE), 0);
	}
	munmap(p, 3 * PAGE);
}

static void behind_the_end_of_a_file(void **state)
{
	int fd = memfd_create("short", 0);
	char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	for_each_way(i) {
		check_never(p + PAGE, 0, -EFAULT);
		assert_int_equal(read_page(p, ASK_WRITE), 0);
		assert_int_equal(pfns[0] & FOUND, HMM_PFN_VALID |
						  HMM_PFN_WRITE);
	}
	munmap(p, 2 * PAGE);
	close(fd);
}

/* ---------------------------------------------------------------- large ones */

static void a_huge_page_has_its_order(void **state)
{
	const size_t huge = 512 * PAGE;
	char *all = mmap(NULL, 2 * huge, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = (char *)(((unsigned long)all + huge - 1) & ~(huge - 1));
	struct uhmm_pte pte;

	madvise(p, huge, MADV_HUGEPAGE);
	memset(p, 1, huge);
	madvise(p, huge, 25 /* MADV_COLLAPSE */);
	/* Only what sums entries up knows of it. */
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	assert_int_equal(read_pages(p, 512, ASK, NULL), 0);
	pte = pte_at(p);
	if (!hmm_pfn_to_map_order(pfns[0])) {
		munmap(all, 2 * huge);
		print_message("no huge page was had\n");
		skip();
	}
	for (int k = 0; k < 512; k++) {
		assert_int_equal(hmm_pfn_to_map_order(pfns[k]), 9);
		assert_int_equal(uhmm_hmm_pfn_of(pfns[k]),
				 (unsigned long)p / PAGE + k);
	}
	assert_int_equal(pte.state, UHMM_PTE_PRESENT);
	munmap(all, 2 * huge);
}

/* ---------------------------------------------------------------- the call */

static void each_page_asks_for_itself(void **state)
{
	for_each_way(i) {
		char *p = map_at(NULL, 3, RW, 0);
		struct view view;
		struct hmm_range range = {
			.notifier = &view.sub,
			.start = (unsigned long)p,
			.end = (unsigned long)p + 3 * PAGE,
			.hmm_pfns = pfns,
			.pfn_flags_mask = ASK_WRITE,
		};

		view_add(&view, p, 3 * PAGE);
		/* Writing alone, without a fault, is nothing asked for. */
		pfns[0] = HMM_PFN_REQ_WRITE;
		pfns[1] = 0;
		pfns[2] = ASK_WRITE;
		assert_int_equal(hmm_range_fault_unlocked_timeout(&range, 0),
				 0);
		assert_holds(&view, range.notifier_seq);
		assert_int_equal(pfns[0], 0);
		assert_int_equal(pfns[1], 0);
		assert_int_equal(pfns[2] & FOUND, HMM_PFN_VALID |
						  HMM_PFN_WRITE);
		view_drop(&view);
		munmap(p, 3 * PAGE);
	}
}

static void a_read_that_has_collided(void **state)
{
	for_each_way(i) {
		char *p = some_pages(2);
		struct view view;
		struct hmm_range range = {
			.notifier = &view.sub,
			.start = (unsigned long)p,
			.end = (unsigned long)p + 2 * PAGE,
			.hmm_pfns = pfns,
		};

		view_add(&view, p, 2 * PAGE);
		assert_int_equal(hmm_range_fault_unlocked_timeout(&range, 0),
				 0);
		munmap(p, PAGE);
		assert_true(view_retry(&view, range.notifier_seq));
		range.start++;
		assert_int_equal(hmm_range_fault_unlocked_timeout(&range, 0),
				 -EINVAL);
		range.start = range.end;
		assert_int_equal(hmm_range_fault_unlocked_timeout(&range, 0),
				 -EINVAL);
		view_drop(&view);
		munmap(p, 2 * PAGE);
	}
}

#define MIXED 700

/* Written, only read, never touched: the same each time it is called. */
static char *mixed_pages(void)
{
	char *p = map_at(NULL, MIXED, RW, 0);
	unsigned int random = 1;

	for (size_t i = 0; i < MIXED; i++) {
		random = random * 1103515245 + 12345;
		if (random >> 16 & 4)
			continue;
		if (random >> 16 & 3)
			p[i * PAGE] = 1;
		else
			(void)*(volatile char *)(p + i * PAGE);
	}
	return p;
}

/* What each way finds, as told from the first page on. */
static void all_ways_find_the_same(void **state)
{
	static unsigned long first[3][MIXED];
	static const unsigned long asks[] = { 0, 0, ASK };

	for_each_way(i) {
		for (int what = 0; what < 3; what++) {
			char *p = mixed_pages();
			unsigned long at = (unsigned long)p / PAGE, value;

			/* In the second turn half of it cannot be written. */
			if (what == 1)
				mprotect(p, MIXED / 2 * PAGE, PROT_READ);
			assert_int_equal(read_pages(p, MIXED, asks[what], NULL),
					 0);
			for (size_t k = 0; k < MIXED; k++) {
				value = pfns[k];
				if (value & HMM_PFN_VALID &&
				    value & HMM_PFN_WRITE)
					value -= at + k;
				if (i)
					assert_int_equal(first[what][k] & FOUND,
							 value & FOUND);
				else
					first[what][k] = value;
			}
			munmap(p, MIXED * PAGE);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(where_nothing_is_mapped),
		CASE(what_may_not_be_read),
		CASE(what_may_only_be_written),
		CASE(what_is_no_memory),
		CASE(what_was_never_touched),
		CASE(a_write_to_a_read_only_area),
		CASE(a_write_breaks_what_is_shared),
		CASE(the_page_of_zeroes),
		CASE(ones_own_pages_on_the_device),
		CASE(anothers_pages_come_home),
		CASE(exclusive_pages_are_revoked),
		CASE(a_page_on_its_way_is_waited_for),
		CASE(a_guard),
		CASE(a_poisoned_page),
		CASE(behind_the_end_of_a_file),
		CASE(a_huge_page_has_its_order),
		CASE(each_page_asks_for_itself),
		CASE(a_read_that_has_collided),
		CASE(all_ways_find_the_same),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_hmm", tests, NULL, NULL);
}
