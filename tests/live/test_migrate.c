/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pages that go to a device and come home when they are touched: moved and
 * copied, in a thread and by a signal, with and without frames given before.
 */
#include "device.h"
#include "live_util.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#include "mm/live/out.h"

#define RW (PROT_READ | PROT_WRITE)

struct way {
	const char *name;
	unsigned int without;
	unsigned int flags;
	bool no_copy;
};

static const struct way ways[] = {
	{ "moved", 0, 0, false },
	{ "given", 0, 0, true },
	{ "copied", UHMM_LIVE_MOVE, 0, false },
	{ "by a signal", 0, UHMM_LIVE_SIGBUS, true },
	{ "copied by a signal", UHMM_LIVE_MOVE, UHMM_LIVE_SIGBUS, false },
	{ "without scan", UHMM_LIVE_PAGEMAP_SCAN | UHMM_LIVE_PROCMAP_QUERY, 0,
	  false },
	{ "user mode only", UHMM_LIVE_UFFD_KERNEL, 0, false },
};

static struct device device;
static const struct way *way;

static void begin(const struct way *w)
{
	way = w;
	make_live(UHMM_G0, w->without, UHMM_LIVE_DEVICE | w->flags);
	assert_int_equal(device_make(&device, 1024, w->no_copy), 0);
}

static void end(void)
{
	device_destroy(&device);
	drop_live();
}

#define for_each_way(w)                                                       \
	for (const struct way *w = ways;                                      \
	     w < ways + ARRAY_SIZE(ways) && (begin(w), true); end(), w++)

static enum uhmm_pte_state state_at(const void *addr)
{
	return pte_at(addr).state;
}

static void check_pages(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i * PAGE], (char)(i + 1));
}

static void a_touch_brings_a_page_home(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		for (int i = 0; i < 16; i++) {
			assert_int_equal(state_at(p + i * PAGE),
					 UHMM_PTE_DEVICE_PRIVATE);
			assert_int_equal(*device_bytes(mm, p + i * PAGE),
					 i + 1);
		}
		assert_ptr_equal(pte_at(p).owner, &device);
		assert_int_equal(live_stats().to_device, 16);
		device_bytes(mm, p)[7] = 77;
		check_pages(p, 16);
		assert_int_equal(p[7], 77);
		p[5 * PAGE] = 55;
		assert_int_equal(p[5 * PAGE], 55);
		assert_int_equal(state_at(p), UHMM_PTE_PRESENT);
		assert_int_equal(live_stats().home_touched, 16);
		assert_int_equal(device_nfree(&device), 1024);
		munmap(p, 16 * PAGE);
	}
}

/* What a driver is told of where @p is, which is touched. */
static struct uhmm_vma told_of(char *p)
{
	*(volatile char *)p = 1;
	__asm__ volatile("" ::: "memory");
	return device.touched;
}

/* As far as pages of it were ever away, and not into what is there instead now. */
static void a_driver_is_told_of_the_area(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16);
		uintptr_t at = (uintptr_t)p;
		struct uhmm_vma vma;

		assert_int_equal(device_take(&device, mm, p + 2 * PAGE, 10), 10);
		munmap(p + 8 * PAGE, PAGE);
		vma = told_of(p + 3 * PAGE);
		assert_ptr_equal(vma.mm, mm);
		assert_int_equal(vma.flags & UHMM_VM_WRITE, UHMM_VM_WRITE);
		assert_int_equal(vma.flags & UHMM_VM_ANON, UHMM_VM_ANON);
		assert_int_equal(vma.flags & UHMM_VM_SHARED, 0);
		assert_in_range(vma.start, at, at + 3 * PAGE);
		assert_in_range(vma.end, at + 4 * PAGE, at + 8 * PAGE);
		vma = told_of(p + 11 * PAGE);
		assert_in_range(vma.start, at + 9 * PAGE, at + 11 * PAGE);
		assert_in_range(vma.end, at + 12 * PAGE, at + 16 * PAGE);
		munmap(p, 16 * PAGE);
	}
}

static void a_driver_returns_pages(void **state)
{
	for_each_way(w) {
		char *p = some_pages(600);

		assert_int_equal(device_take(&device, mm, p, 600), 600);
		assert_int_equal(device_return(&device, mm, p, 500), 500);
		assert_int_equal(live_stats().home, 500);
		check_pages(p, 600);
		munmap(p, 600 * PAGE);
	}
}

static void holes_go_as_zeroes(void **state)
{
	for_each_way(w) {
		char *p = map_at(NULL, 8, RW, 0);

		p[PAGE] = 1;
		(void)*(volatile char *)(p + 2 * PAGE);
		assert_int_equal(device_take(&device, mm, p, 8), 8);
		assert_int_equal(*device_bytes(mm, p), 0);
		assert_int_equal(*device_bytes(mm, p + PAGE), 1);
		for (int i = 0; i < 8; i++)
			assert_int_equal(p[i * PAGE], i == 1);
		munmap(p, 8 * PAGE);
	}
}

static void what_is_unmapped_is_given_back(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		munmap(p, 8 * PAGE);
		madvise(p + 8 * PAGE, 4 * PAGE, MADV_DONTNEED);
		for (int i = 8; i < 16; i++)
			assert_int_equal(p[i * PAGE], i < 12 ? 0 : i + 1);
		munmap(p + 8 * PAGE, 8 * PAGE);
		/* The monitor gives them back; with that the device can end. */
	}
}

/* What was unmapped left its page in the device's frame. */
static void a_frame_that_is_not_empty_is_used_again(void **state)
{
	for_each_way(w) {
		for (int round = 0; round < 3; round++) {
			char *p = some_pages(16);

			memset(p + 1, round, 64);
			assert_int_equal(device_take(&device, mm, p, 16), 16);
			if (round < 2) {
				munmap(p, 16 * PAGE);
				continue;
			}
			check_pages(p, 16);
			assert_int_equal(p[1], round);
			munmap(p, 16 * PAGE);
		}
	}
}

static void pages_away_move_with_their_area(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16), *q = map_at(NULL, 32, PROT_NONE, 0);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		assert_ptr_equal(mremap(p, 16 * PAGE, 16 * PAGE,
					MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE),
				 q + PAGE);
		assert_int_equal(*device_bytes(mm, q + PAGE), 1);
		check_pages(q + PAGE, 16);
		munmap(q, 32 * PAGE);
	}
}

/* No event tells of what it grew by. */
static void what_an_area_grows_by_may_be_touched(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16), *q = map_at(NULL, 64, PROT_NONE, 0);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		assert_ptr_equal(mremap(p, 16 * PAGE, 32 * PAGE,
					MREMAP_MAYMOVE | MREMAP_FIXED, q + PAGE),
				 q + PAGE);
		for (int i = 16; i < 32; i++) {
			assert_int_equal(q[PAGE + i * PAGE], 0);
			q[PAGE + i * PAGE] = (char)i;
		}
		check_pages(q + PAGE, 16);
		munmap(q, 64 * PAGE);
	}
}

static void a_fault_for_a_device_brings_it_home(void **state)
{
	for_each_way(w) {
		char *p = some_pages(2);

		assert_int_equal(device_take(&device, mm, p, 2), 2);
		mmap_read_lock(mm);
		assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p,
					       UHMM_FAULT_NOWAIT), -EAGAIN);
		assert_int_equal(uhmm_mm_fault(mm, (unsigned long)p,
					       UHMM_FAULT_WRITE), 0);
		mmap_read_unlock(mm);
		assert_int_equal(state_at(p), UHMM_PTE_PRESENT);
		check_pages(p, 2);
		munmap(p, 2 * PAGE);
	}
}

static void read_only_pages_go_too(void **state)
{
	for_each_way(w) {
		char *p = some_pages(4);

		mprotect(p, 4 * PAGE, PROT_READ);
		assert_int_equal(device_take(&device, mm, p, 4), 4);
		assert_false(pte_at(p).write);
		check_pages(p, 4);
		assert_int_equal(device_take(&device, mm, p, 4), 4);
		mprotect(p, 4 * PAGE, RW);
		check_pages(p, 4);
		/* Away, and not to be written when it comes home. */
		assert_int_equal(device_take(&device, mm, p, 4), 4);
		mprotect(p, 4 * PAGE, PROT_READ);
		check_pages(p, 4);
		munmap(p, 4 * PAGE);
	}
}

/* Has this one what it should, or that one? */
static void in_a_child(pid_t pid, const char *p)
{
	int status;

	for (int i = 0; !pid && i < 16; i++)
		if (p[i * PAGE] != i + 1)
			_exit(1);
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_child_has_all_pages(void **state)
{
	for_each_way(w) {
		char *p = some_pages(16);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		in_a_child(fork(), p);
		check_pages(p, 16);
		/* Shared with the child until now, and still to be moved. */
		assert_int_equal(device_take(&device, mm, p, 16), 16);
		check_pages(p, 16);
		munmap(p, 16 * PAGE);
	}
}

#define LOW ((char *)0x100000)

/* All from the first address on are looked for, and found. */
static void a_child_has_those_of_low_addresses(void **state)
{
	for_each_way(w) {
		char *p = map_at(LOW, 16, RW, MAP_FIXED_NOREPLACE);

		for (int i = 0; i < 16; i++)
			p[i * PAGE] = (char)(i + 1);
		assert_int_equal(device_take(&device, mm, p, 16), 16);
		in_a_child(fork(), p);
		check_pages(p, 16);
		munmap(p, 16 * PAGE);
	}
}

/* Without libc: the kernel tells, if it may be asked to. */
static void a_raw_child_has_all_pages(void **state)
{
	if (!kernel_has(UHMM_LIVE_EVENT_FORK)) {
		print_message("forks are told of to CAP_SYS_PTRACE only\n");
		skip();
	}
	for_each_way(w) {
		char *p = some_pages(16);

		assert_int_equal(device_take(&device, mm, p, 16), 16);
		in_a_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), p);
		check_pages(p, 16);
		munmap(p, 16 * PAGE);
	}
}

static void the_kernel_waits_for_a_page(void **state)
{
	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE);
	if (!kernel_has(UHMM_LIVE_UFFD_KERNEL)) {
		assert_true(info().reasons & UHMM_LIVE_WHY_KERNEL);
		print_message("this user's faults in the kernel are not told of\n");
		skip();
	}
	for_each_way(w) {
		bool fails = w->flags & UHMM_LIVE_SIGBUS ||
			     w->without & UHMM_LIVE_UFFD_KERNEL;
		int fd = memfd_create("kernel", 0);
		char *p = some_pages(1);
		ssize_t n;

		assert_int_equal(!!(info().reasons & UHMM_LIVE_WHY_KERNEL),
				 fails);
		assert_int_equal(device_take(&device, mm, p, 1), 1);
		n = write(fd, p, 1);
		assert_int_equal(n, fails ? -1 : 1);
		if (fails)
			assert_int_equal(errno, EFAULT);
		check_pages(p, 1);
		munmap(p, PAGE);
		close(fd);
	}
}

static void shared_memory_stays(void **state)
{
	for_each_way(w) {
		int fd = memfd_create("shared", 0);
		char *p;

		assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
		p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
		p[0] = 1;
		assert_int_equal(device_take(&device, mm, p, 2), 0);
		assert_int_equal(p[0], 1);
		munmap(p, 2 * PAGE);
		close(fd);
	}
}

static void the_device_empties_itself_by_frame(void **state)
{
	for_each_way(w) {
		unsigned long src[1024], dst[1024] = { 0 }, to;
		char *p = some_pages(32);

		assert_int_equal(device_take(&device, mm, p, 32), 32);
		migrate_device_range(src, device.pgmap.range.start / PAGE, 1024);
		for (int i = 0; i < 1024; i++) {
			if (!(src[i] & MIGRATE_PFN_MIGRATE))
				continue;
			assert_int_equal(uhmm_page_alloc(mm, 0, &to), 0);
			uhmm_page_copy(mm, to, uhmm_migrate_pfn_of(src[i]));
			dst[i] = migrate_pfn(to);
		}
		migrate_device_pages(src, dst, 1024);
		migrate_device_finalize(src, dst, 1024);
		assert_int_equal(device_nfree(&device), 1024);
		assert_int_equal(state_at(p), UHMM_PTE_PRESENT);
		check_pages(p, 32);
		munmap(p, 32 * PAGE);
	}
}

static void the_end_brings_everything_home(void **state)
{
	for_each_way(w) {
		char *p = some_pages(32);

		assert_int_equal(device_take(&device, mm, p, 32), 32);
		drop_live();
		assert_int_equal(device_nfree(&device), 1024);
		check_pages(p, 32);
		munmap(p, 32 * PAGE);
	}
}

static sigjmp_buf back;
static int caught;

static void own_handler(int sig)
{
	caught++;
	siglongjmp(back, 1);
}

/* How many signals a touch is. */
static int touch_caught(char *p)
{
	caught = 0;
	if (!sigsetjmp(back, 1))
		(void)*(volatile char *)p;
	return caught;
}

static void a_lost_page_is_a_signal(void **state)
{
	signal(SIGBUS, own_handler);
	for_each_way(w) {
		char *p = some_pages(1);

		assert_int_equal(device_take(&device, mm, p, 1), 1);
		device.lost = true;
		assert_int_equal(touch_caught(p), 1);
		munmap(p, PAGE);
		device.lost = false;
	}
	signal(SIGBUS, SIG_DFL);
}

static void the_programs_own_signals_reach_it(void **state)
{
	int fd = memfd_create("end", 0);
	char *p = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);

	signal(SIGBUS, own_handler);
	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE | UHMM_LIVE_SIGBUS);
	assert_int_equal(touch_caught(p), 1);
	assert_false(uhmm_live_sigbus(p));
	drop_live();
	signal(SIGBUS, SIG_DFL);
	munmap(p, PAGE);
	close(fd);
}

/* Exclusive until a CPU touches it, and the view is told before it comes back. */
static void an_exclusive_page_comes_back(void **state)
{
	for_each_way(w) {
		char *p = some_pages(4);
		struct view view;
		unsigned long pfn;
		char *bytes;

		if (w->without & UHMM_LIVE_MOVE) {
			munmap(p, 4 * PAGE);
			continue;
		}
		view_add(&view, p, 4 * PAGE);
		mmap_read_lock(mm);
		assert_int_equal(make_device_exclusive(mm, (unsigned long)p,
						       &view, &pfn), 0);
		mmap_read_unlock(mm);
		assert_int_equal(view_called(&view), 1);
		assert_int_equal(view.event, MMU_NOTIFY_EXCLUSIVE);
		bytes = uhmm_page_ptr(mm, pfn);
		assert_int_equal(bytes[0], 1);
		bytes[1] = 42;
		uhmm_device_exclusive_put(mm, pfn);
		assert_int_equal(state_at(p), UHMM_PTE_DEVICE_EXCLUSIVE);
		bytes[2] = 43;
		assert_int_equal(p[1], 42);
		assert_int_equal(p[2], 43);
		assert_int_equal(view_called(&view), 2);
		assert_int_equal(view.event, MMU_NOTIFY_CLEAR);
		assert_int_equal(state_at(p), UHMM_PTE_PRESENT);
		view_drop(&view);
		check_pages(p, 4);
		munmap(p, 4 * PAGE);
	}
}

static void exclusive_pages_of_a_range(void **state)
{
	unsigned long pfns[8];
	int fd = memfd_create("shared", 0);
	char *p, *q;

	begin(ways);
	if (!kernel_has(UHMM_LIVE_MOVE)) {
		end();
		print_message("the kernel cannot move pages\n");
		skip();
	}
	p = map_at(NULL, 8, RW, 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	q = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	mmap_read_lock(mm);
	assert_int_equal(make_device_exclusive_range(mm, (unsigned long)p,
			 (unsigned long)p + 8 * PAGE, pfns, NULL), 8);
	assert_int_equal(make_device_exclusive(mm, (unsigned long)q, NULL,
					       pfns), -EOPNOTSUPP);
	mmap_read_unlock(mm);
	for (int i = 0; i < 8; i++) {
		pfns[i] = ((unsigned long)p / PAGE) + (unsigned long)i;
		*(char *)uhmm_page_ptr(mm, pfns[i]) = (char)(i + 1);
		uhmm_device_exclusive_put(mm, pfns[i]);
	}
	/* A move does not lose them, nor do they stay the device's for ever. */
	p = mremap(p, 8 * PAGE, 9 * PAGE, MREMAP_MAYMOVE);
	check_pages(p, 8);
	munmap(p, 9 * PAGE);
	munmap(q, PAGE);
	close(fd);
	end();
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZER true		/* its memory is everywhere, and unknown */
#elif defined(__has_feature)
#define SANITIZER (__has_feature(address_sanitizer) ||                       \
		   __has_feature(thread_sanitizer))
#else
#define SANITIZER false
#endif

static bool is_own(const struct uhmm_vma *vma)
{
	const unsigned long flags = UHMM_VM_READ | UHMM_VM_WRITE |
				    UHMM_VM_ANON;

	return (vma->flags & (flags | UHMM_VM_SHARED)) == flags;
}

/* All that the process has goes, but for what brings it home. */
ALONE(its_own_memory_stays)
{
	unsigned long at = 0, went = 0, n;
	struct uhmm_vma vma;
	char *heap;

	if (SANITIZER)
		_exit(CANNOT);
	heap = malloc(64 * PAGE);
	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE);
	OK(!device_make(&device, 16384, false));
	memset(heap, 5, 64 * PAGE);
	for (; !uhmm_mm_find_vma(mm, at, &vma); at = vma.end) {
		n = (vma.end - vma.start) / PAGE;
		if (is_own(&vma) && device_nfree(&device) > n)
			went += (unsigned long)device_take(
				&device, mm, (void *)vma.start, n);
	}
	OK(went >= 63);
	for (int i = 0; i < 64; i++)
		OK(heap[i * PAGE] == 5);
	OK(live_stats().home_touched >= 63);
	drop_live();
	device_destroy(&device);
}

static void options_are_checked(void **state)
{
	struct uhmm_live_options o = { .size = sizeof(o),
				       .flags = UHMM_LIVE_SIGBUS };

	drop_live();
	assert_int_equal(uhmm_mm_create_live(&o, &mm), -EINVAL);
	o.flags = UHMM_LIVE_DEVICE | UHMM_LIVE_USE_FRAMES;
	assert_int_equal(uhmm_mm_create_live(&o, &mm), -EINVAL);
	o.flags = UHMM_LIVE_DEVICE;
	o.descriptors = 2;
	assert_int_equal(uhmm_mm_create_live(&o, &mm), -EINVAL);
	/* Without the flag there is no migration. */
	make_live(UHMM_G0, 0, 0);
	assert_int_equal(device_make(&device, 1, false), 0);
	assert_int_equal(device_take(&device, mm, some_pages(1), 1),
			 -EOPNOTSUPP);
	device_destroy(&device);
}

/* What is left for later while a fork is under way. */
static void goes_later(char *p, size_t npages)
{
	WRITE_ONCE(live_of(mm)->out->forking, true);
	munmap(p, npages * PAGE);
	settle();
	WRITE_ONCE(live_of(mm)->out->forking, false);
}

static char *goes_meanwhile;

static void another_goes(struct device *device)
{
	char *p = goes_meanwhile;

	goes_meanwhile = NULL;
	if (p)
		goes_later(p, 1);
}

/* More than are given back in one go, and one that lies before all of them. */
static void what_goes_meanwhile_is_given_back_too(void **state)
{
	char *p = some_pages(50);

	begin(&ways[0]);
	assert_int_equal(device_take(&device, mm, p, 50), 50);
	goes_later(p + 10 * PAGE, 40);
	assert_int_equal(device_nfree(&device), 1024 - 50);
	goes_meanwhile = p;
	device.freed = another_goes;
	out_give_back(live_of(mm));
	assert_null(goes_meanwhile);
	assert_int_equal(device_nfree(&device), 1024 - 50 + 41);
	device.freed = NULL;
	munmap(p + PAGE, 9 * PAGE);
	settle();
	end();
}

/* While a fork is under way others move to where it was. */
static void what_has_gone_is_not_forgotten(void **state)
{
	char *p = some_pages(8), *q = some_pages(8);

	begin(&ways[0]);
	assert_int_equal(device_take(&device, mm, p, 8), 8);
	assert_int_equal(device_take(&device, mm, q, 8), 8);
	goes_later(p, 8);
	WRITE_ONCE(live_of(mm)->out->forking, true);
	assert_ptr_equal(mremap(q, 8 * PAGE, 8 * PAGE,
				MREMAP_MAYMOVE | MREMAP_FIXED, p), p);
	WRITE_ONCE(live_of(mm)->out->forking, false);
	out_give_back(live_of(mm));
	/* The monitor may do so too. */
	settle();
	assert_int_equal(device_nfree(&device), 1024 - 8);
	check_pages(p, 8);
	munmap(p, 8 * PAGE);
	end();
}

/* Where nobody would bring it home, nothing goes. */
static void without_userfaultfd_pages_stay(void **state)
{
	char *p = some_pages(4);

	make_live(UHMM_G0, UHMM_LIVE_UFFD, UHMM_LIVE_DEVICE);
	assert_int_equal(device_make(&device, 4, false), 0);
	assert_int_equal(device_take(&device, mm, p, 4), 0);
	check_pages(p, 4);
	device_destroy(&device);
	munmap(p, 4 * PAGE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(a_touch_brings_a_page_home),
		CASE(a_driver_is_told_of_the_area),
		CASE(a_driver_returns_pages),
		CASE(holes_go_as_zeroes),
		CASE(what_is_unmapped_is_given_back),
		CASE(what_goes_meanwhile_is_given_back_too),
		CASE(what_has_gone_is_not_forgotten),
		CASE(a_frame_that_is_not_empty_is_used_again),
		CASE(pages_away_move_with_their_area),
		CASE(what_an_area_grows_by_may_be_touched),
		CASE(a_fault_for_a_device_brings_it_home),
		CASE(read_only_pages_go_too),
		CASE(a_child_has_all_pages),
		CASE(a_child_has_those_of_low_addresses),
		CASE(a_raw_child_has_all_pages),
		CASE(the_kernel_waits_for_a_page),
		CASE(shared_memory_stays),
		CASE(the_device_empties_itself_by_frame),
		CASE(the_end_brings_everything_home),
		CASE(a_lost_page_is_a_signal),
		CASE(the_programs_own_signals_reach_it),
		CASE(an_exclusive_page_comes_back),
		CASE(exclusive_pages_of_a_range),
		CASE_BARE(its_own_memory_stays),
		CASE(options_are_checked),
		CASE(without_userfaultfd_pages_stay),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_migrate", tests, NULL, NULL);
}
