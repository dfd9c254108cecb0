/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Huge pages that go to a device, step by step, on the model at the newest
 * kernel's level: as a whole, in pieces when one of both sides has only those,
 * and back. The driver does nothing by itself but to bring home what is touched.
 */
#include "hmm_util.h"

#define N 512UL
#define MIGRATING MIGRATE_PFN_MIGRATE
#define VALID MIGRATE_PFN_VALID
#define WRITE MIGRATE_PFN_WRITE
#define COMPOUND MIGRATE_PFN_COMPOUND
#define SYSTEM (MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND)

/* ---------------------------------------------------------- a driver's memory */

#define BLOCKS 4UL
static unsigned char bytes[BLOCKS * N * PAGE];
static struct dev_pagemap memory;
static unsigned long next_frame, pages_free, splits;
static unsigned long src[N], dst[N];
static struct uhmm_vma vma;
static struct migrate_vma args;

static void folio_free(struct dev_pagemap *pgmap, unsigned long pfn,
		       unsigned int order)
{
	pages_free += 1UL << order;
}

static void folio_split(struct dev_pagemap *pgmap, unsigned long head,
			unsigned long pfn)
{
	splits++;
}

static unsigned long kind(void)
{
	return private() ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
			   MIGRATE_VMA_SELECT_DEVICE_COHERENT;
}

/* Where src[i] goes, in memory. */
static void give_home(const struct migrate_vma *m, unsigned long i)
{
	unsigned int order = m->src[i] & COMPOUND ? UHMM_PMD_ORDER : 0;
	unsigned long from = uhmm_migrate_pfn_of(m->src[i]), to;

	assert_int_equal(uhmm_page_alloc(mm, order, &to), 0);
	for (unsigned long k = 0; k < 1UL << order; k++)
		uhmm_page_copy(mm, to + k, from + k);
	m->dst[i] = migrate_pfn(to) | (m->src[i] & COMPOUND) | WRITE;
}

static vm_fault_t migrate_to_ram(struct vm_fault *vmf)
{
	static unsigned long from[N], to[N];
	struct migrate_vma m = {
		.vma = vmf->vma, .src = from, .dst = to,
		.start = vmf->address & ~(HUGE - 1),
		.pgmap_owner = &memory,
		.flags = kind() | MIGRATE_VMA_SELECT_COMPOUND,
		.fault_page = vmf->page,
	};

	m.end = m.start + HUGE < m.vma->end ? m.start + HUGE : m.vma->end;
	if (m.start < m.vma->start)
		m.start = m.vma->start;
	memset(to, 0, sizeof(to));
	assert_int_equal(migrate_vma_setup(&m), 0);
	for (unsigned long i = 0; i < m.npages; i++)
		if (from[i] & MIGRATING && uhmm_migrate_pfn_of(from[i]))
			give_home(&m, i);
	migrate_vma_pages(&m);
	migrate_vma_finalize(&m);
	return 0;
}

static const struct dev_pagemap_ops ops = {
	.folio_free = folio_free,
	.folio_split = folio_split,
	.migrate_to_ram = migrate_to_ram,
};

/* -------------------------------------------------------------------- steps */

static int begin(void **state)
{
	hmm_begin(state);
	memory = (struct dev_pagemap){
		.type = variant->type, .owner = &memory, .ops = &ops,
		.nr_range = 1, .range.end = sizeof(bytes) - 1, .memory = bytes,
	};
	assert_int_equal(uhmm_ptr_err(memremap_pages(&memory, 0)), 0);
	next_frame = memory.range.start >> UHMM_PAGE_SHIFT;
	pages_free = splits = 0;
	base = mm_map_huge(mm, N, RW);
	note_events(NULL);
	return 0;
}

static int end(void **state)
{
	hold(false);
	mmu_notifier_unregister(&listener, mm);
	uhmm_model_munmap(mm, base, HUGE);
	assert_int_equal(uhmm_memunmap_pages_timeout(&memory, 0), 0);
	return hmm_end(state);
}

#define STEP_OF(fn, which)                                                   \
	{                                                                    \
		.name = #fn "." #which, .test_func = fn,                     \
		.setup_func = begin, .teardown_func = end,                   \
		.initial_state = (void *)&which                              \
	}
#define STEPS(fn) STEP_OF(fn, private_newest), STEP_OF(fn, coherent_newest)

static void setup(unsigned long first, unsigned long n, unsigned long flags)
{
	memset(dst, 0, sizeof(dst));
	hold(true);
	assert_int_equal(uhmm_mm_find_vma(mm, base + PAGES(first), &vma), 0);
	args = (struct migrate_vma){
		.vma = &vma, .src = src, .dst = dst,
		.start = base + PAGES(first), .end = base + PAGES(first + n),
		.pgmap_owner = &memory, .flags = flags,
	};
	assert_int_equal(migrate_vma_setup(&args), 0);
}

static void finish(void)
{
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	hold(false);
}

/* A place for the contents of @from, or zeroes, which are at page @at. */
static unsigned long device_place(unsigned long from, unsigned int order)
{
	unsigned long pfn = next_frame;

	assert_int_equal(zone_device_page_init(pfn, order), 0);
	next_frame += 1UL << order;
	for (unsigned long k = 0; k < 1UL << order; k++) {
		if (from)
			uhmm_page_copy(mm, pfn + k, from + k);
		else
			memset(uhmm_page_ptr(mm, pfn + k), 0, PAGE);
	}
	return migrate_pfn(pfn) | WRITE | (order ? COMPOUND : 0);
}

static void to_device(void)
{
	setup(0, N, SYSTEM);
	assert_int_equal(src[0] & COMPOUND, COMPOUND);
	dst[0] = device_place(uhmm_migrate_pfn_of(src[0]), UHMM_PMD_ORDER);
	finish();
	assert_int_equal(src[0] & MIGRATING, MIGRATING);
}

static struct uhmm_pte entry(struct mm_struct *it, unsigned long page)
{
	struct uhmm_pte pte;
	size_t one = 1;

	mmap_read_lock(it);
	assert_int_equal(uhmm_mm_walk(it, base + PAGES(page), &one, &pte), 0);
	mmap_read_unlock(it);
	return pte;
}

#define assert_huge(it)                                                      \
	assert_int_equal(entry(it, 7).order, UHMM_PMD_ORDER)
#define assert_small(it) assert_int_equal(entry(it, 7).order, 0)

static bool on_device(struct mm_struct *it, unsigned long page)
{
	return uhmm_is_device_pfn(entry(it, page).pfn);
}

/* --------------------------------------------------------------------- there */

static void goes_as_a_whole(void **state)
{
	cpu_fill(mm, base, N, 1);
	assert_huge(mm);
	events[0] = '\0';
	setup(0, N, SYSTEM);
	assert_int_equal(args.cpages, 1);
	assert_int_equal(args.npages, N);
	assert_int_equal(src[0] & 63, MIGRATING | VALID | WRITE | COMPOUND);
	for (unsigned long i = 1; i < N; i++)
		assert_int_equal(src[i], 0);
	hold(false);
	assert_int_equal(entry(mm, 7).state, UHMM_PTE_MIGRATION);
	hold(true);
	dst[0] = device_place(uhmm_migrate_pfn_of(src[0]), UHMM_PMD_ORDER);
	finish();
	assert_events(" MIGRATE:0+512");
	assert_huge(mm);
	assert_true(entry(mm, 7).write);
	assert_int_equal(entry(mm, 7).pfn, next_frame - N + 7);
	assert_int_equal(entry(mm, 7).state, private() ?
			 UHMM_PTE_DEVICE_PRIVATE : UHMM_PTE_PRESENT);
	assert_cpu_sees(mm, base, N, 1);
	assert_huge(mm);
	assert_int_equal(splits, 0);
}

static void goes_in_pieces_unless_it_is_asked_for(void **state)
{
	cpu_fill(mm, base, N, 1);
	events[0] = '\0';
	setup(0, N, MIGRATE_VMA_SELECT_SYSTEM);
	assert_int_equal(args.cpages, N);
	for (unsigned long i = 0; i < N; i++)
		assert_int_equal(src[i] & 63, MIGRATING | VALID | WRITE);
	assert_non_null(strstr(events, " MIGRATE:0+512 CLEAR:0+512"));
	finish();
	assert_small(mm);
	assert_cpu_sees(mm, base, N, 1);
}

static void so_does_a_part(void **state)
{
	cpu_fill(mm, base, N, 1);
	setup(8, 16, SYSTEM);
	assert_int_equal(args.cpages, 16);
	assert_int_equal(src[0] & 63, MIGRATING | VALID | WRITE);
	dst[3] = device_place(uhmm_migrate_pfn_of(src[3]), 0);
	finish();
	assert_true(on_device(mm, 11));
	assert_false(on_device(mm, 12));
	assert_cpu_sees(mm, base, N, 1);
}

static void goes_where_there_was_nothing(void **state)
{
	setup(0, N, SYSTEM);
	assert_int_equal(args.cpages, 1);
	assert_int_equal(src[0], MIGRATING | COMPOUND);
	dst[0] = device_place(0, UHMM_PMD_ORDER);
	events[0] = '\0';
	finish();
	assert_events(" MIGRATE:0+512");
	assert_huge(mm);
	assert_true(on_device(mm, 7));
	assert_int_equal(cpu_word(mm, base + PAGES(9)), 0);
}

static void or_in_pieces_there_and_where_zeroes_were(void **state)
{
	for (int zeroes = 0; zeroes < 2; zeroes++) {
		assert_int_equal(uhmm_model_munmap(mm, base, HUGE), 0);
		base = mm_map_huge(mm, N, RW);
		if (zeroes)
			assert_int_equal(cpu_word(mm, base), 0);
		setup(0, N, SYSTEM);
		assert_int_equal(src[0], MIGRATING | COMPOUND);
		dst[0] = device_place(0, 0);
		dst[9] = device_place(0, 0);
		finish();
		assert_int_equal(src[0] & MIGRATING, MIGRATING);
		assert_int_equal(src[9] & MIGRATING, MIGRATING);
		assert_int_equal(src[10] & MIGRATING, 0);
		assert_true(on_device(mm, 0));
		assert_true(on_device(mm, 9));
		assert_false(on_device(mm, 10));
		for (unsigned long i = 0; i < N; i++)
			assert_int_equal(cpu_word(mm, base + PAGES(i)), 0);
	}
}

static void is_split_where_the_device_has_small_pages(void **state)
{
	cpu_fill(mm, base, N, 1);
	setup(0, N, SYSTEM);
	for (unsigned long i = 0; i < N; i += 2)
		dst[i] = device_place(uhmm_migrate_pfn_of(src[0]) + i, 0);
	events[0] = '\0';
	finish();
	assert_events(" CLEAR:0+512");
	for (unsigned long i = 0; i < N; i++) {
		assert_int_equal(!!(src[i] & MIGRATING), !(i & 1));
		assert_int_equal(on_device(mm, i), !(i & 1));
	}
	assert_small(mm);
	assert_cpu_sees(mm, base, N, 1);
}

static void does_not_take_the_place_of_a_small_one(void **state)
{
	cpu_fill(mm, base, N, 1);
	setup(0, N, MIGRATE_VMA_SELECT_SYSTEM);
	dst[0] = device_place(0, UHMM_PMD_ORDER);
	finish();
	assert_int_equal(src[0] & MIGRATING, 0);
	assert_int_equal(pages_free, N);
	assert_false(on_device(mm, 0));
	assert_cpu_sees(mm, base, N, 1);
}

/* A reference that no entry explains: it could be read, and written, by that. */
static void stays_where_somebody_holds_it(void **state)
{
	unsigned long pfn;

	cpu_fill(mm, base, N, 1);
	mmap_read_lock(mm);
	assert_int_equal(uhmm_page_get(mm, base + PAGES(9), UHMM_FAULT_WRITE,
				       &pfn), 0);
	mmap_read_unlock(mm);
	setup(0, N, SYSTEM);
	assert_int_equal(args.cpages, 0);
	finish();
	assert_huge(mm);
	uhmm_page_put(mm, pfn, 0);
	to_device();
	assert_true(on_device(mm, 9));
	assert_cpu_sees(mm, base, N, 1);
}

static void is_one_page_for_who_was_forked(void **state)
{
	struct mm_struct *child;

	cpu_fill(mm, base, N, 1);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(mmu_notifier_register(&child_listener, child), 0);
	events[0] = '\0';
	to_device();
	assert_events(" MIGRATE:0+512 c:CLEAR:0+512");
	assert_int_equal(entry(mm, 7).pfn, entry(child, 7).pfn);
	assert_huge(child);
	assert_false(entry(child, 7).write);
	cpu_fill(child, base + PAGES(7), 1, 100);
	assert_cpu_sees(mm, base, N, 1);
	assert_int_equal(cpu_word(child, base + PAGES(7)), 100);
	assert_int_equal(cpu_word(child, base + PAGES(8)), 9);
	mmu_notifier_unregister(&child_listener, child);
	mmput(child);
}

static void takes_small_entries_of_others_along(void **state)
{
	struct mm_struct *parent = mm, *child;

	cpu_fill(mm, base, N, 1);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	mm_protect(mm, base, 8, R);
	assert_small(mm);
	mm = child;
	to_device();
	mm = parent;
	assert_huge(child);
	assert_small(mm);
	for (unsigned long i = 0; i < N; i++)
		assert_int_equal(entry(mm, i).pfn, entry(child, i).pfn);
	assert_true(on_device(mm, 100));
	assert_cpu_sees(mm, base, N, 1);
	assert_cpu_sees(child, base, N, 1);
	mmput(child);
}

/* ---------------------------------------------------------------------- home */

static void comes_home_in_pieces_where_only_a_part_is_left(void **state)
{
	cpu_fill(mm, base, N, 1);
	to_device();
	mm_unmap(mm, base + PAGES(100), 100);
	assert_int_equal(entry(mm, 7).order, 0);
	assert_int_equal(pages_free, 0);
	assert_cpu_sees(mm, base, 100, 1);
	assert_cpu_sees(mm, base + PAGES(200), N - 200, 201);
	assert_int_equal(splits, private() ? N - 1 : 0);
	assert_int_equal(pages_free, private() ? N : 0);
}

/* The parent has small entries, the child still a huge one. */
static void and_where_another_has_all_of_it(void **state)
{
	struct mm_struct *child;

	cpu_fill(mm, base, N, 1);
	to_device();
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	mm_unmap(mm, base, 256);
	assert_cpu_sees(mm, base + PAGES(256), 256, 257);
	assert_cpu_sees(child, base, N, 1);
	mmput(child);
	assert_cpu_sees(mm, base + PAGES(256), 256, 257);
}

static void is_carried_along_by_mremap(void **state)
{
	unsigned long to = mm_map_huge(mm, 2 * N, RW);

	mm_unmap(mm, to, 2 * N);
	cpu_fill(mm, base, N, 1);
	to_device();
	assert_int_equal(uhmm_model_mremap(mm, base, HUGE, HUGE,
			MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	base = to;
	assert_huge(mm);
	assert_true(on_device(mm, 7));
	/* Not at a multiple any more. */
	assert_int_equal(uhmm_model_mremap(mm, base, HUGE, HUGE,
			MREMAP_MAYMOVE | MREMAP_FIXED, to + HUGE + PAGE),
			to + HUGE + PAGE);
	base = to + HUGE + PAGE;
	assert_small(mm);
	assert_cpu_sees(mm, base, N, 1);
}

static void is_protected_as_a_whole(void **state)
{
	cpu_fill(mm, base, N, 1);
	to_device();
	mm_protect(mm, base, N, R);
	assert_huge(mm);
	assert_false(entry(mm, 7).write);
	mm_protect(mm, base + PAGES(8), 8, RW);
	assert_small(mm);
	assert_true(on_device(mm, 7));
	cpu_fill(mm, base + PAGES(9), 1, 10);
	assert_cpu_sees(mm, base, N, 1);
}

static void by_frame(bool whole)
{
	unsigned long first = next_frame, pfn;

	cpu_fill(mm, base, N, 1);
	to_device();
	memset(dst, 0, sizeof(dst));
	assert_int_equal(migrate_device_range(src, first, N), 0);
	assert_int_equal(src[0], migrate_pfn(first) | MIGRATING | COMPOUND);
	for (unsigned long i = 1; i < N; i++)
		assert_int_equal(src[i], 0);
	args.src = src;
	args.dst = dst;
	if (whole)
		give_home(&args, 0);
	for (unsigned long i = 0; i < N && !whole; i++) {
		assert_int_equal(uhmm_page_alloc(mm, 0, &pfn), 0);
		uhmm_page_copy(mm, pfn, first + i);
		dst[i] = migrate_pfn(pfn) | WRITE;
	}
	migrate_device_pages(src, dst, N);
	migrate_device_finalize(src, dst, N);
	assert_int_equal(entry(mm, 7).order, whole ? UHMM_PMD_ORDER : 0);
	assert_false(on_device(mm, 7));
	assert_int_equal(pages_free, N);
	assert_cpu_sees(mm, base, N, 1);
}

static void is_evicted_as_a_whole(void **state)
{
	by_frame(true);
}

static void is_evicted_in_pieces(void **state)
{
	by_frame(false);
}

static void comes_home_for_a_pin(void **state)
{
	uint64_t page[PAGE / sizeof(uint64_t)];
	int pin;

	cpu_fill(mm, base, N, 1);
	to_device();
	pin = uhmm_model_pin(mm, base + PAGES(9), 1, true);
	assert_true(pin > 0);
	assert_false(on_device(mm, 9));
	assert_int_equal(uhmm_model_pin_access(mm, pin, 0, page, false), 0);
	assert_int_equal(page[0], 10);
	assert_int_equal(uhmm_model_unpin(mm, pin), 0);
	assert_cpu_sees(mm, base, N, 1);
}

/* Linux 6.1 does not know of huge pages on a device. */
static void is_split_at_6_1(void **state)
{
	cpu_fill(mm, base, N, 1);
	setup(0, N, SYSTEM);
	assert_int_equal(args.cpages, N);
	assert_int_equal(src[0] & COMPOUND, 0);
	finish();
	assert_cpu_sees(mm, base, N, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STEPS(goes_as_a_whole),
		STEPS(goes_in_pieces_unless_it_is_asked_for),
		STEPS(so_does_a_part),
		STEPS(goes_where_there_was_nothing),
		STEPS(or_in_pieces_there_and_where_zeroes_were),
		STEPS(is_split_where_the_device_has_small_pages),
		STEPS(does_not_take_the_place_of_a_small_one),
		STEPS(stays_where_somebody_holds_it),
		STEPS(is_one_page_for_who_was_forked),
		STEPS(takes_small_entries_of_others_along),
		STEPS(comes_home_in_pieces_where_only_a_part_is_left),
		STEPS(and_where_another_has_all_of_it),
		STEPS(is_carried_along_by_mremap),
		STEPS(is_protected_as_a_whole),
		STEPS(is_evicted_as_a_whole),
		STEPS(is_evicted_in_pieces),
		STEPS(comes_home_for_a_pin),
		STEP_OF(is_split_at_6_1, private_6_1),
		STEP_OF(is_split_at_6_1, coherent_6_1),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
