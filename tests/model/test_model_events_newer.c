/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the model announces where one level of the kernel has what the other has
 * not, of code that is probed, of files of huge pages: and what becomes of the
 * pages.
 */
#include "ear.h"

/* ------------------------------------------------------------- UFFDIO_MOVE */

static void two_areas(void)
{
	area_anon(0, 8, RW);
	area_anon(100, 8, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(100), LEN(8),
						  UHMM_UFFD_MISSING), 0);
}

static long move_pages(int to, int from, int n, bool holes)
{
	return uhmm_model_uffd_move(mm, PG(to), PG(from), n, holes);
}

/* Of where they were; of where they come to nothing. */
static void pages_move_to_who_waits_for_them(void **state)
{
	two_areas();
	for (int i = 0; i < 3; i++)
		poke(i, i + 1);
	listen_now();
	assert_int_equal(move_pages(101, 0, 3, false), 3);
	assert_heard("CLEAR 0+3");
	assert_entries(0, "....");
	assert_entries(100, ".AAA");
	for (int i = 0; i < 3; i++)
		assert_peek(101 + i, i + 1);
	poke(101, 9);
	assert_heard("");
}

/* A page of zeroes is moved by itself, and holes are where they may be. */
static void what_is_no_page_moves_too(void **state)
{
	two_areas();
	poke(0, 1);
	assert_peek(1, 0);
	poke(3, 4);
	listen_now();
	assert_int_equal(move_pages(100, 0, 4, false), 2);
	assert_heard("CLEAR 0+4 CLEAR 1+3 CLEAR 2+2");
	assert_entries(0, "...A");
	assert_int_equal(move_pages(102, 2, 2, true), 2);
	assert_heard("CLEAR 2+2 CLEAR 3+1");
	assert_entries(100, "Az.A");
	assert_peek(103, 4);
}

static void pages_on_swap_move(void **state)
{
	machine.swap_pages = 8;
	machine_remake();
	two_areas();
	poke(0, 7);
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(1), MADV_PAGEOUT),
			 0);
	listen_now();
	assert_int_equal(move_pages(100, 0, 1, false), 1);
	assert_heard("CLEAR 0+1");
	assert_entries(0, ".");
	assert_entries(100, "s");
	assert_peek(100, 7);
}

static void what_is_not_moved_is_refused(void **state)
{
	struct mm_struct *child;
	int pin;

	two_areas();
	for (int i = 0; i < 3; i++)
		poke(i, i);
	assert_int_equal(move_pages(100, 0, 0, false), -EINVAL);
	assert_int_equal(move_pages(0, 1, 1, false), -EINVAL);
	assert_int_equal(move_pages(50, 0, 1, false), -ENOENT);
	assert_int_equal(move_pages(100, 50, 1, false), -ENOENT);
	assert_int_equal(move_pages(100, 3, 6, false), -EINVAL);
	assert_int_equal(move_pages(100, 3, 1, false), -ENOENT);
	assert_int_equal(move_pages(100, 0, 1, false), 1);
	assert_int_equal(move_pages(100, 1, 1, false), -EEXIST);
	pin = uhmm_model_pin(mm, PG(1), 1, true);
	assert_true(pin > 0);
	assert_int_equal(move_pages(101, 1, 1, false), -EBUSY);
	assert_int_equal(uhmm_model_unpin(mm, pin), 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(move_pages(101, 1, 1, false), -EBUSY);
	mmput(child);
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(8), PROT_READ), 0);
	assert_int_equal(move_pages(101, 1, 1, false), -EINVAL);
	assert_peek(1, 1);
	assert_peek(100, 0);
}

/* Where both places fit; else it is split, and its pages move. */
static void huge_pages_move(void **state)
{
	machine.thp = UHMM_THP_ALWAYS;
	machine_remake();
	area_anon(0, 512, RW);
	area_anon(1024, 1536, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(1024), LEN(1536),
						  UHMM_UFFD_MISSING), 0);
	poke(3, 3);
	listen_now();
	assert_int_equal(move_pages(1024, 0, 512, false), 512);
	assert_heard("CLEAR 0+512");
	assert_peek(1027, 3);
	assert_int_equal(move_pages(1537, 1025, 4, false), 4);
	/* The entry, then the page itself, is split. */
	assert_heard("CLEAR 1024+512 CLEAR 1025+4[CLEAR 1024+512]");
	assert_peek(1539, 3);
	assert_entries(1024, "A....A");
}

static void older_kernels_move_nothing(void **state)
{
	two_areas();
	poke(0, 1);
	assert_int_equal(move_pages(100, 0, 1, false), -ENOTTY);
	assert_int_equal(uhmm_model_pagemap_scan(mm, PG(0), 8, false, NULL),
			 -ENOTTY);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(0), LEN(8),
			UHMM_UFFD_WRITE_PROTECT | UHMM_UFFD_ASYNC), -EINVAL);
}

/* ------------------------------------------------------------ PAGEMAP_SCAN */

#define WATCHED (UHMM_UFFD_WRITE_PROTECT | UHMM_UFFD_ASYNC)

#define assert_written(page, n, protect, expected)                           \
	do {                                                                 \
		char got_[65] = "";                                          \
		long n_ = uhmm_model_pagemap_scan(mm, PG(page), n, protect,  \
						  got_);                     \
		long w_ = 0;                                                 \
		for (int i_ = 0; i_ < (n); i_++)                             \
			w_ += got_[i_] == 'w';                               \
		assert_string_equal(got_, expected);                         \
		assert_int_equal(n_, w_);                                    \
	} while (0)

/* All that was asked about is announced, whatever is found there. */
static void a_scan_protects_what_was_written(void **state)
{
	area_anon(0, 8, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(0), LEN(8), WATCHED),
			 0);
	poke(1, 1);
	assert_peek(2, 0);
	listen_now();
	assert_written(0, 4, false, "wwww");
	assert_heard("");
	assert_written(0, 8, true, "wwwwwwww");
	assert_heard("VMA 0+8");
	assert_written(0, 8, true, "........");
	assert_heard("VMA 0+8");
	poke(1, 2);		/* the bit goes, the page stays */
	assert_heard("");
	poke(2, 2);
	assert_heard("CLEAR 2+1");
	poke(5, 5);
	assert_heard("");
	assert_peek(6, 0);
	assert_written(0, 8, true, ".ww..w..");
	assert_heard("VMA 0+8");
	assert_peek(1, 2);
	assert_peek(5, 5);
}

/* What was dropped counts as written, and so does what no table is for. */
static void what_is_gone_was_written(void **state)
{
	area_anon(0, 2048, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(0), LEN(2048),
						  WATCHED), 0);
	poke(0, 1);
	assert_int_equal(uhmm_model_pagemap_scan(mm, PG(0), 2048, true, NULL),
			 2048);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2), MADV_DONTNEED),
			 0);
	assert_heard("CLEAR 0+2");
	assert_written(0, 4, true, "ww..");
	assert_heard("VMA 0+4");
}

/* Others have no watch to be set; what they have is only looked at. */
static void areas_without_a_watch_are_left_alone(void **state)
{
	area_anon(0, 4, RW);
	area_anon(8, 4, RW);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(8), LEN(4), WATCHED),
			 0);
	poke(0, 1);
	poke(8, 1);
	listen_now();
	assert_written(0, 12, true, "........wwww");
	assert_heard("VMA 0+12");
	poke(0, 2);
	assert_heard("");
	assert_int_equal(uhmm_model_pagemap_scan(mm, PG(0) + 1, 1, true, NULL),
			 -EINVAL);
}

static void a_huge_page_is_watched_as_a_whole(void **state)
{
	machine.thp = UHMM_THP_ALWAYS;
	machine_remake();
	area_anon(0, 512, RW);
	poke(3, 3);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(0), LEN(512), WATCHED),
			 0);
	listen_now();
	assert_int_equal(uhmm_model_pagemap_scan(mm, PG(0), 512, true, NULL),
			 512);
	assert_heard("VMA 0+512");
	poke(9, 9);
	assert_heard("CLEAR 0+512");
	assert_int_equal(uhmm_model_pagemap_scan(mm, PG(0), 512, false, NULL),
			 1);
	assert_peek(3, 3);
}

/* --------------------------------------------------- answers that changed */

static long move_areas(int to, int from, int n, int flags)
{
	return uhmm_model_mremap(mm, PG(from), LEN(n), LEN(n), MREMAP_MAYMOVE |
				 MREMAP_FIXED | flags, PG(to));
}

/* What fails unmaps nothing; gaps stay gaps. */
static void mremap_moves_many_areas(void **state)
{
	bool many = at_newest();

	area_anon(0, 2, RW);
	area_anon(2, 2, PROT_READ);
	area_anon(6, 2, RW);
	area_anon(100, 8, RW);
	for (int i = 0; i < 2; i++) {
		poke(i, i + 1);
		poke(6 + i, 7 + i);
	}
	listen_now();
	assert_int_equal(move_areas(100, 0, 8, 0), many ? (long)PG(100) :
			 -EFAULT);
	if (!many) {
		assert_heard("UNMAP 100+8");
		return;
	}
	assert_heard("UNMAP 100+2 UNMAP 0+2 UNMAP 0+2 "
		     "UNMAP 102+2 UNMAP 2+2 UNMAP 2+2 "
		     "UNMAP 106+2 UNMAP 6+2 UNMAP 6+2");
	assert_peek(101, 2);
	assert_int_equal(poke_in(mm, 102, 1), SIGSEGV);
	assert_peek(107, 8);
	assert_entries(104, "..");
	assert_int_equal(poke_in(mm, 0, 1), SIGSEGV);
	assert_int_equal(move_areas(106, 0, 2, 0), -EFAULT);
	assert_heard("");
	assert_peek(107, 8);
	/* Its edge is met where it is watched. */
	assert_int_equal(uhmm_model_uffd_register(mm, PG(102), LEN(2),
						  UHMM_UFFD_MISSING), 0);
	assert_int_equal(move_areas(200, 102, 4, 0), -EFAULT);
	assert_int_equal(move_areas(200, 100, 4, 0), -EFAULT);
	assert_peek(200, 1);
}

/* Of two reasons the first one met is told. */
static void populate_tells_of_what_it_meets(void **state)
{
	area_anon(1, 1, PROT_READ);
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2),
					    MADV_POPULATE_WRITE),
			 at_newest() ? -ENOMEM : -EINVAL);
}

static void remove_asks_who_may_write(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, LEN(2));

	area_file(0, 2, PROT_READ, MAP_SHARED, file);
	area_file(4, 2, RW, MAP_PRIVATE, file);
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(1), MADV_REMOVE),
			 at_newest() ? 0 : -EACCES);
	assert_int_equal(uhmm_model_madvise(mm, PG(4), LEN(1), MADV_REMOVE),
			 -EACCES);
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

/* Two places that overlap, of which the first is no area. */
static void mremap_looks_at_places_or_areas_first(void **state)
{
	area_anon(2, 4, RW);
	assert_int_equal(move_areas(1, 0, 2, 0),
			 at_newest() ? -EINVAL : -EFAULT);
	assert_int_equal(move_areas(3, 2, 2, 0), -EINVAL);
	assert_int_equal(move_areas(10, 8, 2, 0), -EFAULT);
}

/* Who writes through a pin does not tell the disk. */
static void pages_of_a_disk_are_not_pinned(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_DISK, LEN(2)), pin;

	area_file(0, 2, RW, MAP_SHARED, file);
	pin = uhmm_model_pin(mm, PG(0), 1, true);
	if (at_newest())
		assert_int_equal(pin, -EFAULT);
	else
		assert_int_equal(uhmm_model_unpin(mm, pin), 0);
	pin = uhmm_model_pin(mm, PG(0), 1, false);
	assert_int_equal(uhmm_model_unpin(mm, pin), 0);
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

/* ------------------------------------------------------------- huge zeroes */

static void huge_zeroes_are_written(void **state)
{
	machine.thp = UHMM_THP_ALWAYS;
	machine_remake();
	area_anon(0, 512, RW);
	assert_peek(4, 0);
	listen_now();
	poke(5, 5);
	assert_heard(at_newest() ? "CLEAR 0+512" : "CLEAR 0+512 CLEAR 5+1");
	assert_entries(4, at_newest() ? "AAA" : "zAz");
	assert_peek(4, 0);
	assert_peek(5, 5);
}

/* Without a huge page it is done as it was before. */
static void huge_zeroes_are_split_for_want_of_memory(void **state)
{
	machine.thp = UHMM_THP_ALWAYS;
	machine.frames = 100;
	machine_remake();
	area_anon(0, 512, RW);
	assert_peek(4, 0);
	listen_now();
	poke(5, 5);
	assert_heard("CLEAR 0+512 CLEAR 5+1");
}

/* ------------------------------------------------------------------ guards */

#define GUARD_INSTALL 102	/* the C library may lack them */
#define GUARD_REMOVE 103

/* They are of nothing, but a fork takes them along. */
static void guards_say_clear_where_something_goes(void **state)
{
	struct mm_struct *child;
	char letters[4];

	area_anon(0, 4, RW);
	poke(0, 1);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(3), GUARD_INSTALL),
			 0);
	assert_heard("");
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2), GUARD_INSTALL),
			 0);
	assert_heard("CLEAR 0+2");
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(4), MADV_DONTNEED),
			 0);
	assert_heard("CLEAR 0+4");
	assert_entries(0, "gggg");
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	uhmm_model_pagemap(child, PG(0), 4, letters);
	assert_memory_equal(letters, "gggg", 4);
	mmput(child);
	*heard = '\0';
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(3), GUARD_REMOVE),
			 0);
	assert_heard("");
	assert_int_equal(poke_in(mm, 3, 1), SIGSEGV);
	poke(2, 2);
}

/* ----------------------------------------------------------------- uprobes */

static unsigned char byte_at(int page)
{
	unsigned char byte;

	assert_int_equal(uhmm_model_read(mm, PG(page) + 5, &byte, 1, NULL), 0);
	return byte;
}

static void a_probe_replaces_a_page_of_code(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_DISK, LEN(4));

	area_file(0, 4, PROT_READ | PROT_EXEC, MAP_PRIVATE, file);
	area_file(8, 4, RW, MAP_SHARED, file);
	poke(9, 0x1111111111111111);
	listen_now();
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 5, true), 0);
	assert_heard("CLEAR 1+1");
	assert_entries(0, ".A");
	assert_int_equal(byte_at(1), 0xcc);
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 5, true), 0);
	assert_heard("");
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 9, true), 0);
	assert_heard("CLEAR 1+1");
	/* Another is there still; then the page is the file's again. */
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 9, false), 0);
	assert_heard("CLEAR 1+1");
	assert_int_equal(byte_at(1), 0xcc);
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 5, false), 0);
	assert_heard("CLEAR 1+1");
	assert_entries(1, ".");
	assert_int_equal(byte_at(1), 0x11);
	assert_int_equal(uhmm_model_uprobe(mm, PG(1) + 5, false), 0);
	assert_heard("");
	assert_peek(9, 0x1111111111111111);
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

static void what_is_no_code_is_not_probed(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_DISK, LEN(4));

	area_file(0, 4, RW, MAP_PRIVATE, file);
	area_file(4, 4, PROT_READ, MAP_SHARED, file);
	area_anon(8, 4, PROT_READ);
	assert_int_equal(uhmm_model_uprobe(mm, PG(0), true), -EINVAL);
	assert_int_equal(uhmm_model_uprobe(mm, PG(4), true), -EINVAL);
	assert_int_equal(uhmm_model_uprobe(mm, PG(8), true), -EINVAL);
	assert_int_equal(uhmm_model_uprobe(mm, PG(20), true), -EINVAL);
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

/* ------------------------------------------- tables that hugetlb shares */

#define GIB (1 << 18)	/* in pages; PG(0) is at a multiple of it */

static void pool_file(int page, int n)
{
	machine.huge_pages = 4;
	machine_remake();
	area_file(page, n, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, 0);
	listen_now();
}

/* Of what is in a whole GiB of the area, the GiB is announced. */
static void shared_tables_are_announced_whole(void **state)
{
	pool_file(0, 2 * GIB);
	poke(512, 7);
	assert_int_equal(uhmm_model_madvise(mm, PG(512), LEN(512),
					    MADV_DONTNEED), 0);
	assert_heard(at_newest() ? "CLEAR 0+262144" :
		     "CLEAR 0+262144[UNMAP 0+262144]");
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(GIB), PROT_READ),
			 0);
	assert_heard("VMA 0+262144");
}

/* An area is cut within one: it is one's own from there on. */
static void cut_tables_are_shared_no_more(void **state)
{
	pool_file(0, GIB);
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(512), PROT_READ),
			 0);
	assert_heard("CLEAR 0+262144 VMA 0+512");
	assert_int_equal(uhmm_model_mprotect(mm, PG(512), LEN(512), PROT_READ),
			 0);
	assert_heard("VMA 512+512");
}

/* What is no multiple of a page of it cannot be cut off. */
static void huge_pages_are_not_cut(void **state)
{
	pool_file(0, 1024);
	assert_int_equal(uhmm_model_mprotect(mm, PG(1), LEN(512), PROT_READ),
			 -EINVAL);
	assert_int_equal(uhmm_model_munmap(mm, PG(0), LEN(3)), -EINVAL);
	assert_int_equal(uhmm_model_madvise(mm, PG(8), LEN(8), MADV_DONTFORK),
			 -EINVAL);
	assert_heard("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEARD_NEWEST(pages_move_to_who_waits_for_them),
		HEARD_NEWEST(what_is_no_page_moves_too),
		HEARD_NEWEST(pages_on_swap_move),
		CASE_NEWEST(what_is_not_moved_is_refused),
		HEARD_NEWEST(huge_pages_move),
		CASE(older_kernels_move_nothing),
		HEARD_NEWEST(a_scan_protects_what_was_written),
		HEARD_NEWEST(what_is_gone_was_written),
		HEARD_NEWEST(areas_without_a_watch_are_left_alone),
		HEARD_NEWEST(a_huge_page_is_watched_as_a_whole),
		HEARD(mremap_moves_many_areas),
		HEARD_NEWEST(mremap_moves_many_areas),
		CASE(populate_tells_of_what_it_meets),
		CASE_NEWEST(populate_tells_of_what_it_meets),
		CASE(remove_asks_who_may_write),
		CASE_NEWEST(remove_asks_who_may_write),
		CASE(mremap_looks_at_places_or_areas_first),
		CASE_NEWEST(mremap_looks_at_places_or_areas_first),
		CASE(pages_of_a_disk_are_not_pinned),
		CASE_NEWEST(pages_of_a_disk_are_not_pinned),
		HEARD(huge_zeroes_are_written),
		HEARD_NEWEST(huge_zeroes_are_written),
		HEARD_NEWEST(huge_zeroes_are_split_for_want_of_memory),
		HEARD_NEWEST(guards_say_clear_where_something_goes),
		HEARD(a_probe_replaces_a_page_of_code),
		CASE(what_is_no_code_is_not_probed),
		HEARD(shared_tables_are_announced_whole),
		HEARD_NEWEST(shared_tables_are_announced_whole),
		HEARD(cut_tables_are_shared_no_more),
		HEARD(huge_pages_are_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
