/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the model announces, row by row: the event, its range, whether whoever
 * hears of it may sleep, what is inside of what, and that it comes before the
 * change. At both kernel levels.
 */
#include "ear.h"

/* -------------------------------------------------------------------- nothing */

static void what_comes_is_not_announced(void **state)
{
	char page[4096] = "new";

	area_anon(0, 8, RW);
	listen_now();
	area_anon(8, 8, RW);
	assert_peek(0, 0);
	poke(1, 1);
	assert_int_equal(uhmm_model_madvise(mm, PG(2), LEN(4),
					    MADV_POPULATE_WRITE), 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(2), LEN(1), MADV_COLD), 0);
	assert_int_equal(uhmm_model_mlock(mm, PG(2), LEN(2)), 0);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(8), LEN(8),
						  UHMM_UFFD_MISSING), 0);
	assert_int_equal(uhmm_model_uffd_copy(mm, PG(8), page, 1), 1);
	assert_int_equal(uhmm_model_uffd_copy(mm, PG(9), NULL, 2), 2);
	assert_int_equal(uhmm_model_mmap(mm, PG(16), LEN(2), RW, MAP_PRIVATE |
			MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, 0, 0),
			PG(16));
	assert_entries(8, "Azz.....AA");
	assert_heard("");
}

/* ------------------------------------------------------------------- unmapped */

static void munmap_says_unmap(void **state)
{
	area_anon(0, 8, RW);
	listen_now();
	assert_int_equal(uhmm_model_munmap(mm, PG(2), LEN(3)), 0);
	assert_heard("UNMAP 2+3");
	area_anon(6, 1, PROT_READ);
	assert_heard("UNMAP 6+1");
}

static void mremap_says_it_of_the_old_place(void **state)
{
	area_anon(0, 8, RW);
	poke(1, 1);
	listen_now();
	assert_int_equal(uhmm_model_mremap(mm, PG(0), LEN(2), LEN(2),
			MREMAP_MAYMOVE | MREMAP_FIXED, PG(100)), PG(100));
	assert_heard("UNMAP 0+2 UNMAP 0+2");
	assert_int_equal(uhmm_model_mremap(mm, PG(4), LEN(2), LEN(2),
			MREMAP_MAYMOVE | MREMAP_FIXED | 4, PG(200)), PG(200));
	assert_heard("UNMAP 4+2");
}

static void the_reaper_does_not_let_sleep(void **state)
{
	area_anon(0, 8, RW);
	poke(1, 1);
	listen_now();
	assert_int_equal(uhmm_model_oom_reap(mm), 0);
	assert_heard("UNMAP~ 0+8");
	assert_entries(1, ".");
}

static void the_newest_reaper_says_clear(void **state)
{
	area_anon(0, 8, RW);
	poke(1, 1);
	listen_now();
	assert_int_equal(uhmm_model_oom_reap(mm), 0);
	assert_heard("CLEAR~ 0+8");
}

/* -------------------------------------------------------------------- cleared */

static void advice_that_drops_says_clear(void **state)
{
	area_anon(0, 8, RW);
	poke(1, 1);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(2), MADV_DONTNEED),
			 0);
	assert_heard("CLEAR 1+2");
	assert_int_equal(uhmm_model_madvise(mm, PG(1), LEN(2), MADV_FREE), 0);
	assert_heard("CLEAR 1+2");
}

static void files_that_shrink_say_clear(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, LEN(8));

	area_file(0, 8, RW, MAP_SHARED, file);
	poke(5, 1);
	listen_now();
	assert_int_equal(uhmm_model_file_punch(mm, file, LEN(2), LEN(2)), 0);
	assert_heard("CLEAR 2+2");
	assert_int_equal(uhmm_model_file_truncate(mm, file, LEN(4)), 0);
	assert_heard("CLEAR 4+4 CLEAR 4+4");
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

static void a_copy_on_write_says_clear(void **state)
{
	struct mm_struct *child;

	area_anon(0, 2, RW);
	poke(0, 1);
	assert_peek(1, 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	listen_now();
	poke(0, 2);
	poke(1, 2);
	assert_heard("CLEAR 0+1 CLEAR 1+1");
	mmput(child);
}

static void what_is_written_out_says_clear(void **state)
{
	machine.swap_pages = 16;
	machine_remake();
	area_anon(0, 2, RW);
	poke(0, 1);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(2), MADV_PAGEOUT),
			 0);
	assert_heard("CLEAR 0+1");
	assert_entries(0, "s.");
	assert_peek(0, 1);
	assert_heard("");
}

static void what_is_moved_says_clear(void **state)
{
	area_anon(0, 2, RW);
	poke(0, 1);
	listen_now();
	assert_int_equal(uhmm_model_compact(mm, PG(0), 2), 1);
	assert_heard("CLEAR 0+1");
	assert_peek(0, 1);
}

static void merging_says_clear(void **state)
{
	area_anon(0, 4, RW);
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(4), MADV_MERGEABLE),
			 0);
	poke(0, 7);
	poke(2, 7);
	listen_now();
	assert_int_equal(uhmm_model_ksm_merge(mm, PG(0), PG(2)), 0);
	/* Not to be written any more, both; then the one is the other. */
	assert_heard("CLEAR 0+1 CLEAR 2+1 CLEAR 0+1");
	assert_peek(0, 7);
	poke(0, 8);
	assert_heard("CLEAR 0+1");
	assert_peek(2, 7);
}

static void a_huge_page_is_split_as_a_whole(void **state)
{
	machine.thp = UHMM_THP_ALWAYS;
	machine_remake();
	area_anon(0, 1024, RW);
	poke(3, 1);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(8), LEN(1), MADV_DONTNEED),
			 0);
	assert_heard("CLEAR 8+1[CLEAR 0+512]");
	assert_peek(3, 1);
}

static void a_collapse_says_clear(void **state)
{
	area_anon(0, 512, RW);
	for (int i = 0; i < 512; i++)
		poke(i, i);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(512), 25), 0);
	assert_heard("CLEAR 0+512");
	assert_peek(9, 9);
}

static void broken_memory_says_clear(void **state)
{
	struct mm_struct *child;

	area_anon(0, 2, RW);
	poke(0, 7);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(1), 100), 0);
	assert_heard("CLEAR 0+1");
	assert_entries(0, "p.");
	assert_int_equal(poke_in(mm, 0, 1), SIGBUS);
	assert_int_equal(poke_in(child, 0, 1), SIGBUS);
	mmput(child);
}

/* --------------------------------------------------------------- hugetlb's */

static void pool_area(int touched)
{
	machine.huge_pages = 4;
	machine_remake();
	area_file(0, 1024, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, 0);
	poke(touched, 7);
}

static void pages_of_a_pool_go(void **state)
{
	pool_area(0);
	listen_now();
	assert_int_equal(uhmm_model_madvise(mm, PG(0), LEN(512),
					    MADV_DONTNEED), 0);
	assert_heard(at_newest() ? "CLEAR 0+512" : "CLEAR 0+512[UNMAP 0+512]");
	/* Not of a part of one. */
	assert_int_equal(uhmm_model_madvise(mm, PG(512), LEN(8),
					    MADV_DONTNEED), 0);
	assert_int_equal(uhmm_model_madvise(mm, PG(8), LEN(512),
					    MADV_DONTNEED), -EINVAL);
	assert_heard("");
	assert_int_equal(uhmm_model_munmap(mm, PG(0), LEN(512)), 0);
	assert_heard(at_newest() ? "UNMAP 0+512" : "UNMAP 0+512[UNMAP 0+512]");
}

static void pages_of_a_pool_are_protected(void **state)
{
	/* From the first byte on, where only the second page is there. */
	pool_area(512);
	listen_now();
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(1024), PROT_READ),
			 0);
	assert_heard("VMA 0+1024");
	/* Also where none is yet. */
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(512), RW), 0);
	assert_heard("VMA 0+512");
}

static void pages_of_a_pool_are_copied(void **state)
{
	struct mm_struct *child;

	pool_area(0);
	listen_now();
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_heard("CLEAR 0+1024");
	poke(1, 8);
	assert_heard("CLEAR 0+512");
	assert_int_equal(peek_in(child, 1), 0);
	mmput(child);
}

static void pages_of_a_pool_move(void **state)
{
	pool_area(0);
	listen_now();
	assert_int_equal(uhmm_model_mremap(mm, PG(0), LEN(512), LEN(512),
			MREMAP_MAYMOVE | MREMAP_FIXED, PG(4096)), PG(4096));
	assert_heard(at_newest() ? "CLEAR 0+512 UNMAP 0+512" :
				   "CLEAR 0+512 UNMAP 0+512[UNMAP 0+512]");
	assert_peek(4096, 7);
}

/* ------------------------------------------------------------------ protected */

/* The newest says it of all from the table of tables on, not from the table. */
static void the_newest_protects_by_larger_steps(void **state)
{
	area_anon(0, 1536, RW);
	poke(600, 1);
	listen_now();
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(1536), PROT_READ),
			 0);
	assert_heard("VMA 0+1536");
}

static void mprotect_says_it_where_tables_are(void **state)
{
	area_anon(0, 1536, RW);
	listen_now();
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(1536), PROT_READ),
			 0);
	assert_heard("");
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(1536), RW), 0);
	poke(600, 1);
	assert_int_equal(uhmm_model_mprotect(mm, PG(0), LEN(1536), PROT_READ),
			 0);
	assert_heard("VMA 512+1024");
}

static void so_do_hints_and_userfaultfd(void **state)
{
	area_anon(0, 8, RW);
	poke(2, 1);
	assert_int_equal(uhmm_model_uffd_register(mm, PG(4), LEN(4),
						  UHMM_UFFD_WRITE_PROTECT), 0);
	listen_now();
	assert_int_equal(uhmm_model_numa_hint(mm, PG(0), LEN(4)), 0);
	assert_heard("VMA 0+4");
	assert_peek(2, 1);
	assert_heard("");
	assert_int_equal(uhmm_model_uffd_write_protect(mm, PG(4), LEN(4), true),
			 0);
	assert_heard("VMA 4+4");
}

/* One entry, whichever page of it is touched, and by whom. */
static void hints_of_a_huge_page_are_met(void **state)
{
	int pin;

	machine.thp = UHMM_THP_ALWAYS;
	machine_remake();
	area_anon(0, 512, RW);
	poke(0, 1);
	listen_now();
	for (int how = 0; how < 3; how++) {
		assert_int_equal(uhmm_model_numa_hint(mm, PG(0), LEN(512)), 0);
		assert_heard("VMA 0+512");
		if (how == 0)
			assert_peek(0, 1);
		else if (how == 1)
			poke(4, 7);
		pin = uhmm_model_pin(mm, PG(5), 1, true);
		assert_true(pin > 0);
		assert_int_equal(uhmm_model_unpin(mm, pin), 0);
		assert_heard("");
	}
}

static void fork_says_it_to_the_parent(void **state)
{
	struct mm_struct *child;

	area_anon(0, 4, RW);
	area_shared(4, 4, RW);
	area_anon(8, 4, RW);		/* nothing in it */
	area_anon(12, 4, RW);
	poke(0, 1);
	poke(4, 1);
	assert_int_equal(uhmm_model_mprotect(mm, PG(12), LEN(4), PROT_READ),
			 0);
	listen_now();
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_heard("PAGE 0+4");
	mmput(child);
}

static void written_back_pages_are_protected(void **state)
{
	int file = uhmm_model_file(mm, UHMM_MODEL_FILE_DISK, LEN(4));

	area_file(0, 4, RW, MAP_SHARED, file);
	poke(2, 1);
	listen_now();
	assert_int_equal(uhmm_model_file_sync(mm, file), 0);
	assert_heard("PAGE 2+1");
	poke(2, 2);
	assert_heard("");
	assert_int_equal(uhmm_model_file_close(mm, file), 0);
}

static void soft_dirty_is_cleared_everywhere(void **state)
{
	area_anon(0, 4, RW);
	poke(0, 1);
	listen_now();
	uhmm_model_clear_soft_dirty(mm);
	assert_heard("SOFT all");
	uhmm_model_clear_references(mm);
	assert_heard("");
}

/* ------------------------------------------------------------------ the end */

static char last_words[200];

static bool hear_end(struct mmu_interval_notifier *sub,
		     const struct mmu_notifier_range *range,
		     unsigned long cur_seq)
{
	size_t n = strlen(last_words);

	mmu_interval_set_seq(sub, cur_seq);
	snprintf(last_words + n, sizeof(last_words) - n, "%s%s %lx-%lx;",
		 event_names[range->event],
		 mmu_notifier_range_blockable(range) ? "" : "~",
		 range->start, range->end);
	return true;
}

/* Once, of everything, and nothing after it. */
static void the_end_says_release(void **state)
{
	static const struct mmu_interval_notifier_ops end_ops = {
		.invalidate = hear_end };
	struct mmu_interval_notifier sub = {};

	area_anon(0, 4, RW);
	poke(0, 1);
	*last_words = '\0';
	assert_int_equal(mmu_interval_notifier_insert(&sub, mm, PG(0), LEN(4),
						      &end_ops), 0);
	mmput(mm);
	assert_string_equal(last_words, "RELEASE 0-ffffffffffffffff;");
	mmu_interval_notifier_remove(&sub);
	mm = NULL;
	machine_remake();
}

/* ------------------------------------------------------------- before the change */

/* Of PG(0), where there is an area; and how many frames are in use. */
struct sight {
	struct uhmm_pte pte;
	unsigned long frames;
	bool area;
};

/* Of the first event of a change. */
static struct sight at_start, at_end;
static unsigned int ends;

/* mmap_lock is held by whoever announces it. */
static void look(struct sight *sight)
{
	struct uhmm_model_counts counts;
	size_t one = 1;

	memset(sight, 0, sizeof(*sight));
	uhmm_model_count(mm, &counts);
	sight->frames = counts.frames;
	sight->area = !uhmm_mm_walk(mm, PG(0), &one, &sight->pte);
}

static int look_at_start(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	if (!at_start.frames)
		look(&at_start);
	return 0;
}

static void look_at_end(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	if (!ends++)
		look(&at_end);
}

static const struct mmu_notifier_ops eye_ops = {
	.invalidate_range_start = look_at_start,
	.invalidate_range_end = look_at_end,
};

/* Areas go before their pages do. */
static bool same(const struct sight *a, const struct sight *b)
{
	if (!a->area || !b->area)
		return a->frames == b->frames;
	return a->pte.state == b->pte.state && a->pte.pfn == b->pte.pfn &&
	       a->pte.write == b->pte.write;
}

static void drop_it(void)
{
	uhmm_model_madvise(mm, PG(0), LEN(1), MADV_DONTNEED);
}

static void unmap_it(void)
{
	uhmm_model_munmap(mm, PG(0), LEN(1));
}

static void protect_it(void)
{
	uhmm_model_mprotect(mm, PG(0), LEN(1), PROT_READ);
}

static void move_it(void)
{
	uhmm_model_mremap(mm, PG(0), LEN(1), LEN(1),
			  MREMAP_MAYMOVE | MREMAP_FIXED, PG(40));
}

static void compact_it(void)
{
	uhmm_model_compact(mm, PG(0), 1);
}

/* The entry is as it was when its change is announced, and not at the end. */
static void events_come_before_the_change(void **state)
{
	void (*const changes[])(void) = { drop_it, unmap_it, protect_it,
					  move_it, compact_it };
	struct mmu_notifier eye = { .ops = &eye_ops };
	struct sight before;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		area_anon(0, 1, RW);
		poke(0, 1);
		assert_int_equal(mmu_notifier_register(&eye, mm), 0);
		mmap_read_lock(mm);
		look(&before);
		mmap_read_unlock(mm);
		assert_int_equal(before.pte.state, UHMM_PTE_PRESENT);
		memset(&at_start, 0, sizeof(at_start));
		ends = 0;
		changes[i]();
		mmu_notifier_unregister(&eye, mm);
		assert_true(same(&before, &at_start));
		assert_false(same(&before, &at_end));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEARD(what_comes_is_not_announced),
		HEARD(munmap_says_unmap),
		HEARD(mremap_says_it_of_the_old_place),
		HEARD(the_reaper_does_not_let_sleep),
		HEARD_NEWEST(the_newest_reaper_says_clear),
		HEARD(advice_that_drops_says_clear),
		HEARD(files_that_shrink_say_clear),
		HEARD(a_copy_on_write_says_clear),
		HEARD(what_is_written_out_says_clear),
		HEARD(what_is_moved_says_clear),
		HEARD(merging_says_clear),
		HEARD(a_huge_page_is_split_as_a_whole),
		HEARD(a_collapse_says_clear),
		HEARD(broken_memory_says_clear),
		HEARD(pages_of_a_pool_go),
		HEARD_NEWEST(pages_of_a_pool_go),
		HEARD(pages_of_a_pool_are_protected),
		HEARD_NEWEST(pages_of_a_pool_are_protected),
		HEARD(pages_of_a_pool_are_copied),
		HEARD_NEWEST(pages_of_a_pool_are_copied),
		HEARD(pages_of_a_pool_move),
		HEARD_NEWEST(pages_of_a_pool_move),
		HEARD(mprotect_says_it_where_tables_are),
		HEARD(so_do_hints_and_userfaultfd),
		HEARD(hints_of_a_huge_page_are_met),
		HEARD(fork_says_it_to_the_parent),
		HEARD(written_back_pages_are_protected),
		HEARD(soft_dirty_is_cleared_everywhere),
		HEARD_NEWEST(the_newest_protects_by_larger_steps),
		CASE(the_end_says_release),
		CASE(events_come_before_the_change),
		CASE_NEWEST(events_come_before_the_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
