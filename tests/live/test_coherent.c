/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages in memory of a device that CPUs reach themselves: no touch brings them
 * home, the device sees what they write, and what becomes of their place
 * becomes of them.
 */
#include "device.h"
#include "live_util.h"

#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define NPAGES 64

struct way {
	unsigned int without;
	unsigned int flags;
	bool no_copy;
};

static const struct way ways[] = {
	{ 0, 0, false },
	{ 0, 0, true },
	{ UHMM_LIVE_MOVE, 0, false },
	{ 0, UHMM_LIVE_SIGBUS, false },
	{ UHMM_LIVE_UFFD_KERNEL | UHMM_LIVE_EVENT_FORK, 0, true },
};

static struct device device;

static void begin(const struct way *way)
{
	make_live(UHMM_G0, way->without, UHMM_LIVE_DEVICE | way->flags);
	assert_int_equal(device_make_coherent(&device, NPAGES, way->no_copy), 0);
}

/* The monitor gives back what was told of last. */
static void end(void)
{
	device_destroy(&device);
	assert_int_equal(device.nfree, NPAGES);
	drop_live();
}

#define for_each_way(w)                                                       \
	for (const struct way *w = ways;                                      \
	     w < ways + ARRAY_SIZE(ways) && (begin(w), true); end(), w++)

/* The device's frame that is at @addr; 0: none is. */
static unsigned long frame_at(const void *addr)
{
	struct uhmm_pte pte = pte_at(addr);

	return pte.state == UHMM_PTE_PRESENT && uhmm_is_device_pfn(pte.pfn) ?
		       pte.pfn : 0;
}

/* What the device has at @addr, byte @at. */
static char device_reads(const void *addr, size_t at)
{
	char byte = 0;

	assert_int_equal(uhmm_page_read(mm, frame_at(addr), at, &byte, 1), 0);
	return byte;
}

static void check_pages(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i * PAGE], (char)(i + 1));
}

static char *pages_there(size_t n)
{
	char *p = some_pages(n);

	assert_int_equal(device_take(&device, mm, p, n), n);
	for (size_t i = 0; i < n; i++)
		assert_true(frame_at(p + i * PAGE));
	return p;
}

static unsigned long nfree(void)
{
	unsigned long n;

	pthread_mutex_lock(&device.lock);
	n = device.nfree;
	pthread_mutex_unlock(&device.lock);
	return n;
}

static void both_reach_a_page(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16), byte = 77;
		unsigned long pfn = frame_at(p);

		check_pages(p, 16);
		p[9] = 42;
		assert_int_equal(device_reads(p, 9), 42);
		assert_int_equal(uhmm_page_write(mm, pfn, 10, &byte, 1), 0);
		assert_int_equal(p[10], 77);
		/* Nothing moved for it. */
		assert_int_equal(frame_at(p), pfn);
		assert_int_equal(live_stats().to_device, 16);
		assert_int_equal(live_stats().home, 0);
		assert_int_equal(live_stats().home_touched, 0);
		assert_null(uhmm_page_ptr(mm, pfn));
		munmap(p, 16 * PAGE);
	}
}

/* Also where it may not wait for pages that are away. */
static void system_calls_reach_a_page(void **state)
{
	for_each_way(w) {
		int fd = memfd_create("kernel", 0);
		char *p = pages_there(1);

		assert_int_equal(write(fd, p, PAGE), PAGE);
		assert_int_equal(pwrite(fd, "\5", 1, 3), 1);
		assert_int_equal(pread(fd, p, PAGE, 0), PAGE);
		assert_int_equal(device_reads(p, 3), 5);
		check_pages(p, 1);
		munmap(p, PAGE);
		close(fd);
	}
}

static void a_driver_returns_pages(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16);

		/* What another device asks for are its own. */
		assert_int_equal(device_take(&device, mm, p, 16), 0);
		p[3 * PAGE + 1] = 9;
		assert_int_equal(device_return(&device, mm, p, 8), 8);
		assert_int_equal(nfree(), NPAGES - 8);
		assert_int_equal(frame_at(p), 0);
		assert_true(frame_at(p + 8 * PAGE));
		assert_int_equal(p[3 * PAGE + 1], 9);
		check_pages(p, 16);
		assert_int_equal(live_stats().home, 8);
		munmap(p, 16 * PAGE);
	}
}

static void holes_go_as_zeroes(void **state)
{
	for_each_way(w) {
		char *p = map_at(NULL, 8, RW, 0);

		p[PAGE] = 1;
		assert_int_equal(device_take(&device, mm, p, 8), 8);
		for (int i = 0; i < 8; i++) {
			assert_true(frame_at(p + i * PAGE));
			assert_int_equal(p[i * PAGE], i == 1);
		}
		munmap(p, 8 * PAGE);
	}
}

/* Pages of a frame used before are not what was left in it. */
static void frames_are_used_again(void **state)
{
	for_each_way(w) {
		for (int round = 0; round < 3; round++) {
			char *p = pages_there(NPAGES);

			check_pages(p, NPAGES);
			memset(p, 0xee, NPAGES * PAGE);
			if (round != 1)
				assert_int_equal(device_return(&device, mm, p,
							       NPAGES), NPAGES);
			munmap(p, NPAGES * PAGE);
			while (nfree() < NPAGES)
				sched_yield();
		}
	}
}

static void what_is_dropped_is_given_back(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16);

		munmap(p, 8 * PAGE);
		madvise(p + 8 * PAGE, 4 * PAGE, MADV_DONTNEED);
		for (int i = 8; i < 16; i++)
			assert_int_equal(p[i * PAGE], i < 12 ? 0 : i + 1);
		assert_int_equal(frame_at(p + 8 * PAGE), 0);
		assert_true(frame_at(p + 12 * PAGE));
		munmap(p + 8 * PAGE, 8 * PAGE);
	}
}

static void they_move_with_their_area(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16), *q = map_at(NULL, 32, PROT_NONE, 0);

		assert_ptr_equal(mremap(p, 16 * PAGE, 16 * PAGE,
					MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE),
				 q + PAGE);
		check_pages(q + PAGE, 16);
		q[PAGE + 5] = 5;
		assert_int_equal(device_reads(q + PAGE, 5), 5);
		assert_int_equal(device_return(&device, mm, q + PAGE, 16), 16);
		check_pages(q + PAGE, 16);
		munmap(q, 32 * PAGE);
	}
}

static void a_child_has_a_copy(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16);
		int status;
		pid_t pid = fork();

		if (!pid) {
			for (int i = 0; i < 16; i++)
				if (p[i * PAGE] != i + 1)
					_exit(1);
			memset(p, 99, 16 * PAGE);
			_exit(0);
		}
		p[7] = 7;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		/* They came home before; some are shared with the child. */
		assert_int_equal(frame_at(p), 0);
		check_pages(p, 16);
		assert_int_equal(device_take(&device, mm, p, 16), 16);
		assert_int_equal(device_reads(p, 7), 7);
		check_pages(p, 16);
		munmap(p, 16 * PAGE);
	}
}

static void read_only_pages_too(void **state)
{
	for_each_way(w) {
		char *p = some_pages(4);

		mprotect(p, 4 * PAGE, PROT_READ);
		assert_int_equal(device_take(&device, mm, p, 4), 4);
		assert_true(frame_at(p));
		assert_false(pte_at(p).write);
		check_pages(p, 4);
		assert_int_equal(device_return(&device, mm, p, 4), 4);
		check_pages(p, 4);
		munmap(p, 4 * PAGE);
	}
}

static void by_frame(void **state)
{
	for_each_way(w) {
		char *p = pages_there(2);
		unsigned long pfn = frame_at(p);

		assert_true(uhmm_device_page_get(pfn));
		assert_true(uhmm_device_page_get(pfn));
		assert_int_equal(migrate_device_coherent_page(pfn), -EBUSY);
		uhmm_device_page_put(pfn);
		assert_true(uhmm_device_page_get(pfn));
		assert_int_equal(migrate_device_coherent_page(pfn), 0);
		assert_int_equal(frame_at(p), 0);
		assert_true(frame_at(p + PAGE));
		assert_int_equal(nfree(), NPAGES - 1);
		check_pages(p, 2);
		munmap(p, 2 * PAGE);
	}
}

static unsigned long pin(char *p, unsigned int flags)
{
	unsigned long pfn;

	mmap_read_lock(mm);
	assert_int_equal(uhmm_page_get(mm, (unsigned long)p, flags, &pfn), 0);
	mmap_read_unlock(mm);
	return pfn;
}

static void a_pin_keeps_a_page_where_it_is(void **state)
{
	for_each_way(w) {
		char *p = pages_there(2);
		unsigned long pfn = pin(p, UHMM_FAULT_WRITE);

		assert_int_equal(pfn, frame_at(p));
		assert_int_equal(device_return(&device, mm, p, 2), 1);
		assert_int_equal(pfn, frame_at(p));
		uhmm_page_put(mm, pfn, UHMM_FAULT_WRITE);
		/* One that may last is not to hold memory of the device. */
		pfn = pin(p, UHMM_FAULT_WRITE | UHMM_PAGE_LONGTERM);
		assert_false(uhmm_is_device_pfn(pfn));
		assert_int_equal(frame_at(p), 0);
		assert_int_equal(device_take(&device, mm, p, 1), 0);
		uhmm_page_put(mm, pfn, UHMM_FAULT_WRITE | UHMM_PAGE_LONGTERM);
		check_pages(p, 2);
		munmap(p, 2 * PAGE);
	}
}

static void an_exclusive_page_comes_back(void **state)
{
	for_each_way(w) {
		char *p = pages_there(2), byte = 4;
		unsigned long was = frame_at(p), pfn;
		struct view view;

		view_add(&view, p, 2 * PAGE);
		mmap_read_lock(mm);
		assert_int_equal(make_device_exclusive(mm, (unsigned long)p,
						       &view, &pfn), 0);
		mmap_read_unlock(mm);
		assert_int_equal(pfn, was);
		assert_int_equal(view.event, MMU_NOTIFY_EXCLUSIVE);
		assert_int_equal(pte_at(p).state, UHMM_PTE_DEVICE_EXCLUSIVE);
		assert_int_equal(uhmm_page_write(mm, pfn, 1, &byte, 1), 0);
		uhmm_device_exclusive_put(mm, pfn);
		assert_int_equal(p[1], 4);
		assert_int_equal(view_called(&view), 2);
		assert_int_equal(frame_at(p), was);
		/* And when it goes while it is. */
		mmap_read_lock(mm);
		assert_int_equal(make_device_exclusive(mm, (unsigned long)p,
						       &view, &pfn), 0);
		mmap_read_unlock(mm);
		uhmm_device_exclusive_put(mm, pfn);
		view_drop(&view);
		munmap(p, 2 * PAGE);
	}
}

static void the_end_leaves_them_there(void **state)
{
	for_each_way(w) {
		char *p = pages_there(16);

		drop_live();
		assert_int_equal(nfree(), NPAGES);
		check_pages(p, 16);
		munmap(p, 16 * PAGE);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(both_reach_a_page),
		CASE(system_calls_reach_a_page),
		CASE(a_driver_returns_pages),
		CASE(holes_go_as_zeroes),
		CASE(frames_are_used_again),
		CASE(what_is_dropped_is_given_back),
		CASE(they_move_with_their_area),
		CASE(a_child_has_a_copy),
		CASE(read_only_pages_too),
		CASE(by_frame),
		CASE(a_pin_keeps_a_page_where_it_is),
		CASE(an_exclusive_page_comes_back),
		CASE(the_end_leaves_them_there),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_coherent", tests, NULL, NULL);
}
