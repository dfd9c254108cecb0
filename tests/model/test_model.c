/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The model by itself: what processes see of it, what it costs, snapshots. */
#include "model_util.h"

static void pages_come_when_touched(void **state)
{
	(void)state;
	area_anon(0, 4, RW);
	assert_entries(0, "....");
	assert_peek(0, 0);
	poke(1, 7);
	assert_entries(0, "zA..");
	assert_peek(1, 7);
	assert_int_equal(poke_in(mm, 4, 1), SIGSEGV);
}

static void bytes_need_not_be_equal(void **state)
{
	char buf[] = "0123456789";

	(void)state;
	area_anon(0, 2, RW);
	assert_int_equal(uhmm_model_write(mm, PG(1) - 5, buf, 10, NULL), 0);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(uhmm_model_read(mm, PG(1) - 5, buf, 10, NULL), 0);
	assert_string_equal(buf, "0123456789");
}

static void an_access_ends_at_the_signal(void **state)
{
	char buf[8192] = "";
	size_t done = 0;

	(void)state;
	area_anon(0, 1, RW);
	assert_int_equal(uhmm_model_write(mm, PG(0), buf, 8192, &done),
			 SIGSEGV);
	assert_int_equal(done, 4096);
}

static void fork_shares_until_somebody_writes(void **state)
{
	struct mm_struct *child;

	(void)state;
	area_anon(0, 2, RW);
	area_shared(4, 1, RW);
	poke(0, 1);
	poke(1, 2);
	poke(4, 3);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_entries(0, "aa");
	assert_int_equal(poke_in(child, 0, 10), 0);
	assert_int_equal(poke_in(child, 4, 30), 0);
	assert_peek(0, 1);
	assert_peek(4, 30);
	assert_int_equal(peek_in(child, 0), 10);
	assert_int_equal(peek_in(child, 1), 2);
	mmput(child);
	assert_entries(0, "AA");
}

/* What is pinned is copied at once; a child without it would read zeroes. */
static void fork_needs_frames_for_what_is_pinned(void **state)
{
	struct mm_struct *child = NULL;
	int pin;

	(void)state;
	machine.frames = 2;
	machine_remake();
	area_anon(0, 2, RW);
	poke(0, 1);
	pin = uhmm_model_pin(mm, PG(0), 1, true);
	assert_true(pin > 0);
	poke(1, 2);
	assert_int_equal(uhmm_mm_fork(mm, &child), -ENOMEM);
	assert_null(child);
	assert_peek(0, 1);
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(1), MADV_DONTNEED),
			 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(peek_in(child, 0), 1);
	mmput(child);
	assert_int_equal(uhmm_model_unpin(mm, pin), 0);
}

static void so_is_what_is_pinned_of_a_pool(void **state)
{
	struct mm_struct *child = NULL;
	int pin;

	(void)state;
	machine.huge_pages = 2;
	machine_remake();
	area_file(0, 512, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, 0);
	poke(7, 3);
	pin = uhmm_model_pin(mm, PG(7), 1, true);
	assert_true(pin > 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(peek_in(child, 7), 3);
	assert_int_equal(poke_in(child, 7, 4), 0);
	assert_peek(7, 3);
	mmput(child);
	child = NULL;
	area_file(512, 512, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, 0);
	poke(512, 5);
	assert_int_equal(uhmm_mm_fork(mm, &child), -ENOMEM);
	assert_null(child);
	assert_int_equal(uhmm_model_unpin(mm, pin), 0);
}

static void files_are_shared(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, LEN(3));
	uint64_t word = 5;

	(void)state;
	assert_true(file > 0);
	assert_int_equal(uhmm_model_file_write(mm, file, &word, 8, LEN(1)), 8);
	area_file(0, 4, RW, MAP_SHARED, file);
	area_file(8, 4, RW, MAP_PRIVATE, file);
	poke(0, 6);
	assert_peek(8, 6);
	poke(8, 7);
	assert_peek(0, 6);
	assert_int_equal(poke_in(mm, 3, 1), SIGBUS);
	assert_int_equal(uhmm_model_file_truncate(mm, file, LEN(1)), 0);
	assert_entries(0, "F...");
	assert_entries(8, "A...");
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
	assert_int_equal(uhmm_model_file_close(mm, file), -EBADF);
}

static void nothing_is_left_behind(void **state)
{
	struct uhmm_model_counts counts;
	struct mm_struct *child;
	int file;

	(void)state;
	machine.swap_pages = 64;
	machine_remake();
	file = uhmm_model_file(mm, UHMM_MODEL_FILE_DISK, LEN(4));
	area_anon(0, 16, RW);
	area_file(16, 4, RW, MAP_SHARED, file);
	for (int i = 0; i < 20; i++)
		poke(i, i);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(poke_in(child, 3, 1), 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(4), LEN(4), MADV_PAGEOUT),
			 0);
	mmput(child);
	assert_int_equal(uhmm_model_munmap(mm, PG(0), LEN(32)), 0);
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
	uhmm_model_count(mm, &counts);
	assert_int_equal(counts.frames, 0);
	assert_int_equal(counts.swap_pages, 0);
	assert_int_equal(counts.files, 0);
}

static void sixty_four_pages_are_small(void **state)
{
	(void)state;
	area_anon(0, 64, RW);
	for (int i = 0; i < 64; i++)
		poke(i, i);
	assert_true(uhmm_model_state_size(mm) < 16384);
}

/* A short life, from a seed, that ends in a number. */
static uint64_t live(unsigned int seed)
{
	uint64_t sum = 0;

	for (int i = 0; i < 200; i++) {
		int page = (seed = seed * 1103515245 + 12345) >> 16 & 31;

		if (seed & 1 << 8)
			poke_in(mm, page, seed);
		else if (seed & 1 << 9)
			uhmm_model_madvise(mm, PG(page), LEN(1),
					   MADV_DONTNEED);
		else
			uhmm_model_compact(mm, PG(page), 3);
		sum = sum * 31 + peek_in(mm, page) + uhmm_model_state_size(mm);
	}
	return sum;
}

static void a_state_can_be_gone_back_to(void **state)
{
	struct uhmm_model_snapshot *snapshot;
	struct uhmm_model_counts before, after;
	uint64_t first;

	(void)state;
	area_anon(0, 32, RW);
	live(1);
	uhmm_model_count(mm, &before);
	assert_int_equal(uhmm_model_save(mm, &snapshot), 0);
	first = live(2);
	assert_int_not_equal(live(3), first);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(uhmm_model_restore(mm, snapshot), 0);
		uhmm_model_count(mm, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		assert_int_equal(live(2), first);
	}
	uhmm_model_snapshot_free(snapshot);
	uhmm_model_snapshot_free(NULL);
}

static void the_same_calls_give_the_same_machine(void **state)
{
	uint64_t first;

	(void)state;
	area_anon(0, 32, RW);
	first = live(5);
	machine_remake();
	area_anon(0, 32, RW);
	assert_int_equal(live(5), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(pages_come_when_touched),
		CASE(bytes_need_not_be_equal),
		CASE(an_access_ends_at_the_signal),
		CASE(fork_shares_until_somebody_writes),
		CASE(fork_needs_frames_for_what_is_pinned),
		CASE(so_is_what_is_pinned_of_a_pool),
		CASE(files_are_shared),
		CASE(nothing_is_left_behind),
		CASE(sixty_four_pages_are_small),
		CASE(a_state_can_be_gone_back_to),
		CASE(the_same_calls_give_the_same_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
