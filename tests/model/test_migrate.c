/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Migration step by step, on the model, with a driver that does nothing by
 * itself: what may go, what is told to whom, and what stays.
 */
#include "hmm_util.h"

#include <uhmm/list_notifier.h>

#define FRAMES 64UL
#define MOST 16UL
#define MIGRATING MIGRATE_PFN_MIGRATE
#define VALID MIGRATE_PFN_VALID
#define WRITE MIGRATE_PFN_WRITE

/* ---------------------------------------------------------- a driver's memory */

static uint64_t bytes[FRAMES][PAGE / sizeof(uint64_t)];
static struct dev_pagemap memory;
static unsigned long next_frame;
static vm_fault_t answer;
static unsigned long src[MOST], dst[MOST];
static struct uhmm_vma vma;
static struct migrate_vma args;

static void folio_free(struct dev_pagemap *pgmap, unsigned long pfn,
		       unsigned int order)
{
}

static vm_fault_t migrate_to_ram(struct vm_fault *vmf)
{
	return answer;
}

static const struct dev_pagemap_ops ops = {
	.folio_free = folio_free,
	.migrate_to_ram = migrate_to_ram,
};

/* -------------------------------------------------------------------- steps */

static int begin(void **state)
{
	hmm_begin(state);
	memory = (struct dev_pagemap){
		.type = variant->type,
		.owner = &memory,
		.ops = &ops,
		.nr_range = 1,
		.range.end = PAGES(FRAMES) - 1,
		.memory = bytes,
	};
	assert_int_equal(uhmm_ptr_err(memremap_pages(&memory, 0)), 0);
	next_frame = memory.range.start >> UHMM_PAGE_SHIFT;
	answer = 0;
	base = mm_map(mm, MOST, RW, ANON);
	note_events(&memory);
	return 0;
}

static int end(void **state)
{
	hold(false);
	mmu_notifier_unregister(&listener, mm);
	uhmm_model_munmap(mm, base, PAGES(MOST));
	assert_int_equal(uhmm_memunmap_pages_timeout(&memory, 0), 0);
	return hmm_end(state);
}

#define STEP_OF(fn, which)                                                   \
	{                                                                    \
		.name = #fn "." #which, .test_func = fn,                     \
		.setup_func = begin, .teardown_func = end,                   \
		.initial_state = (void *)&which                              \
	}
#define STEPS(fn)                                                            \
	STEP_OF(fn, private_6_1), STEP_OF(fn, coherent_6_1),                 \
		STEP_OF(fn, private_newest), STEP_OF(fn, coherent_newest)

/* With mmap_lock held until finish(). */
static int setup(unsigned long first, unsigned long n, unsigned long flags)
{
	memset(dst, 0, sizeof(dst));
	hold(true);
	assert_int_equal(uhmm_mm_find_vma(mm, base + PAGES(first), &vma), 0);
	args = (struct migrate_vma){
		.vma = &vma, .src = src, .dst = dst,
		.start = base + PAGES(first), .end = base + PAGES(first + n),
		.pgmap_owner = &memory, .flags = flags,
	};
	return migrate_vma_setup(&args);
}

/* All that may go gets a frame, with its contents. */
static void copy_to_device(void)
{
	for (unsigned long i = 0; i < args.npages; i++) {
		unsigned long from = uhmm_migrate_pfn_of(src[i]);

		if (!(src[i] & MIGRATING))
			continue;
		assert_int_equal(zone_device_page_init(next_frame, 0), 0);
		if (from)
			uhmm_page_copy(mm, next_frame, from);
		else
			memset(uhmm_page_ptr(mm, next_frame), 0, PAGE);
		dst[i] = migrate_pfn(next_frame++) | WRITE;
	}
}

static void finish(void)
{
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	hold(false);
}

static void to_device(unsigned long first, unsigned long n)
{
	assert_int_equal(setup(first, n, MIGRATE_VMA_SELECT_SYSTEM), 0);
	copy_to_device();
	finish();
}

static void home(unsigned long first, unsigned long n)
{
	unsigned long pfn;

	assert_int_equal(setup(first, n, private() ?
			       MIGRATE_VMA_SELECT_DEVICE_PRIVATE :
			       MIGRATE_VMA_SELECT_DEVICE_COHERENT), 0);
	for (unsigned long i = 0; i < args.npages; i++)
		if (src[i] & MIGRATING) {
			assert_int_equal(uhmm_page_alloc(mm, 0, &pfn), 0);
			uhmm_page_copy(mm, pfn, uhmm_migrate_pfn_of(src[i]));
			dst[i] = migrate_pfn(pfn) | WRITE;
		}
	finish();
}

static const char *pagemap(struct mm_struct *it)
{
	static char letters[MOST + 1];

	uhmm_model_pagemap(it, base, MOST, letters);
	return letters;
}

/* --------------------------------------------------------------------- setup */

static int refused(const struct migrate_vma *bad)
{
	struct migrate_vma copy = *bad;

	return migrate_vma_setup(&copy);
}

static void refuses_what_cannot_be(void **state)
{
	unsigned long pool = mm_map(mm, 512, RW, ANON | MAP_HUGETLB);
	int id = uhmm_model_file(mm, UHMM_MODEL_FILE_DEVICE, PAGE);
	long io = uhmm_model_mmap(mm, 0, PAGE, R, MAP_PRIVATE, id, 0);
	struct migrate_vma good, bad;
	struct uhmm_vma other;

	assert_true(io > 0);
	assert_int_equal(migrate_vma_setup(NULL), -EINVAL);
	assert_int_equal(setup(0, 4, MIGRATE_VMA_SELECT_SYSTEM), 0);
	finish();
	hold(true);
	good = args;
#define REFUSED(how)                                                         \
	do {                                                                 \
		bad = good;                                                  \
		how;                                                         \
		assert_int_equal(refused(&bad), -EINVAL);                    \
	} while (0)
	REFUSED(bad.vma = NULL);
	REFUSED(bad.src = NULL);
	REFUSED(bad.dst = NULL);
	REFUSED(bad.end = bad.start);
	REFUSED(bad.start = bad.vma->end);
	REFUSED(bad.end = bad.vma->end + PAGE);
	REFUSED(bad.start = bad.vma->start - PAGE);
	REFUSED(bad.flags = 0);
	REFUSED(bad.flags = MIGRATE_VMA_SELECT_COMPOUND);
	REFUSED(bad.flags |= 1UL << 20);
	REFUSED(bad.fault_page = 7);
	assert_int_equal(uhmm_mm_find_vma(mm, pool, &other), 0);
	REFUSED((bad.vma = &other, bad.start = pool, bad.end = pool + PAGE));
	assert_int_equal(uhmm_mm_find_vma(mm, (unsigned long)io, &other), 0);
	REFUSED((bad.vma = &other, bad.start = (unsigned long)io,
		 bad.end = (unsigned long)io + PAGE));
	hold(false);
	assert_events(" MIGRATE:0+4@");
	mm_unmap(mm, pool, 512);
	mm_unmap(mm, (unsigned long)io, 1);
	uhmm_model_file_close(mm, id);
}

static void says_what_may_go(void **state)
{
	struct mm_struct *child;

	/* To be written; to be copied when written; zeroes; nothing. */
	cpu_fill(mm, base, 2, 1);
	assert_int_equal(cpu_word(mm, base + PAGES(2)), 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	mmput(child);
	cpu_fill(mm, base, 1, 1);
	events[0] = '\0';
	assert_int_equal(setup(0, 4, MIGRATE_VMA_SELECT_SYSTEM), 0);
	assert_int_equal(args.cpages, 4);
	assert_int_equal(args.npages, 4);
	assert_int_equal(src[0] & 63, MIGRATING | VALID | WRITE);
	assert_int_equal(src[1] & 63, MIGRATING | VALID);
	assert_int_equal(src[2], MIGRATING);
	assert_int_equal(src[3], MIGRATING);
	assert_memory_equal(pagemap(mm), "mmz.", 4);
	assert_events(" MIGRATE:0+4@");
	/* Nothing has a place to go to: it stays. */
	finish();
	assert_memory_equal(pagemap(mm), "AAz.", 4);
	assert_cpu_sees(mm, base, 2, 1);
}

static void leaves_what_is_on_its_way_already(void **state)
{
	unsigned long others[2];
	struct migrate_vma again;

	cpu_fill(mm, base, 1, 1);
	assert_int_equal(setup(0, 2, MIGRATE_VMA_SELECT_SYSTEM), 0);
	again = args;
	again.src = others;
	assert_int_equal(migrate_vma_setup(&again), 0);
	assert_int_equal(others[0], 0);
	assert_int_equal(others[1], MIGRATING);
	assert_int_equal(again.cpages, 1);
	migrate_vma_pages(&again);
	migrate_vma_finalize(&again);
	copy_to_device();
	finish();
	home(0, 2);
	assert_cpu_sees(mm, base, 1, 1);
}

static void cuts_to_whole_pages(void **state)
{
	cpu_fill(mm, base, 2, 1);
	hold(true);
	uhmm_mm_find_vma(mm, base, &vma);
	args = (struct migrate_vma){
		.vma = &vma, .src = src, .dst = dst, .start = base + 5,
		.end = base + PAGES(2) + 5, .pgmap_owner = &memory,
		.flags = MIGRATE_VMA_SELECT_SYSTEM };
	memset(dst, 0, sizeof(dst));
	assert_int_equal(migrate_vma_setup(&args), 0);
	assert_int_equal(args.npages, 2);
	assert_int_equal(args.start, base);
	finish();
}

static void selects_by_kind_and_owner(void **state)
{
	const unsigned long device_kinds = MIGRATE_VMA_SELECT_DEVICE_PRIVATE |
					   MIGRATE_VMA_SELECT_DEVICE_COHERENT;

	cpu_fill(mm, base, 2, 1);
	to_device(0, 1);
	/* On the device; in memory. */
	assert_int_equal(setup(0, 2, MIGRATE_VMA_SELECT_SYSTEM), 0);
	assert_int_equal(src[0], 0);
	assert_int_equal(src[1] & MIGRATING, MIGRATING);
	finish();
	assert_int_equal(setup(0, 2, device_kinds), 0);
	assert_int_equal(src[0] & MIGRATING, MIGRATING);
	assert_int_equal(src[1], 0);
	finish();
	/* Another owner's. */
	hold(true);
	args.pgmap_owner = NULL;
	assert_int_equal(migrate_vma_setup(&args), 0);
	assert_int_equal(args.cpages, 0);
	finish();
	home(0, 1);
	assert_cpu_sees(mm, base, 2, 1);
}

static void leaves_what_is_pinned(void **state)
{
	int pin;

	cpu_fill(mm, base, 2, 1);
	pin = uhmm_model_pin(mm, base, 1, true);
	assert_true(pin > 0);
	assert_int_equal(setup(0, 2, MIGRATE_VMA_SELECT_SYSTEM), 0);
	assert_int_equal(src[0] & MIGRATING, 0);
	assert_int_equal(src[1] & MIGRATING, MIGRATING);
	assert_int_equal(args.cpages, 1);
	assert_memory_equal(pagemap(mm), "Am", 2);
	finish();
	uhmm_model_unpin(mm, pin);
}

/* What is written through a reference that no entry explains is not lost. */
static void leaves_what_somebody_holds(void **state)
{
	uint64_t word = 77, page[PAGE / sizeof(uint64_t)];
	unsigned long pfn;

	cpu_fill(mm, base, 2, 1);
	mmap_read_lock(mm);
	assert_int_equal(uhmm_page_get(mm, base, UHMM_FAULT_WRITE, &pfn), 0);
	mmap_read_unlock(mm);
	to_device(0, 2);
	assert_int_equal(src[0] & MIGRATING, 0);
	assert_int_equal(src[1] & MIGRATING, MIGRATING);
	assert_int_equal(uhmm_page_write(mm, pfn, 0, &word, sizeof(word)), 0);
	assert_int_equal(uhmm_model_read(mm, base, page, PAGE, NULL), 0);
	assert_int_equal(page[0], 77);
	uhmm_page_put(mm, pfn, 0);
	home(0, 2);
}

static void takes_a_page_out_of_all_spaces(void **state)
{
	struct mm_struct *child;

	cpu_fill(mm, base, 1, 1);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	assert_int_equal(mmu_notifier_register(&child_listener, child), 0);
	events[0] = '\0';
	to_device(0, 1);
	assert_events(" MIGRATE:0+1@ CLEAR:0+1 c:CLEAR:0+1");
	assert_int_equal(pagemap(mm)[0], private() ? 'd' : 'a');
	assert_int_equal(pagemap(child)[0], private() ? 'd' : 'a');
	home(0, 1);
	assert_cpu_sees(child, base, 1, 1);
	cpu_fill(child, base, 1, 9);
	assert_cpu_sees(mm, base, 1, 1);
	mmu_notifier_unregister(&child_listener, child);
	mmput(child);
}

/* --------------------------------------------------------------------- pages */

static void goes_and_comes_home(void **state)
{
	cpu_fill(mm, base, 3, 1);
	events[0] = '\0';
	to_device(0, 3);
	assert_events(" MIGRATE:0+3@");
	assert_memory_equal(pagemap(mm), private() ? "DDD" : "AAA", 3);
	assert_int_equal(bytes[1][100], 2);
	home(0, 3);
	assert_events(" MIGRATE:0+3@");
	assert_memory_equal(pagemap(mm), "AAA", 3);
	assert_cpu_sees(mm, base, 3, 1);
}

static void fills_holes_in_a_bracket_of_their_own(void **state)
{
	cpu_fill(mm, base, 2, 1);
	events[0] = '\0';
	to_device(0, 5);
	/* From the first page that was not there. */
	assert_events(" MIGRATE:0+5@ MIGRATE:2+3@");
	assert_memory_equal(pagemap(mm), private() ? "DDDDD" : "AAAAA", 5);
	home(0, 5);
	assert_int_equal(cpu_word(mm, base + PAGES(4)), 0);
}

static void does_not_fill_what_userfaultfd_watches(void **state)
{
	assert_int_equal(uhmm_model_uffd_register(mm, base, PAGES(1),
						  UHMM_UFFD_MISSING), 0);
	assert_int_equal(setup(0, 1, MIGRATE_VMA_SELECT_SYSTEM), 0);
	copy_to_device();
	migrate_vma_pages(&args);
	assert_int_equal(src[0] & MIGRATING, 0);
	migrate_vma_finalize(&args);
	hold(false);
	assert_memory_equal(pagemap(mm), ".", 1);
	assert_int_equal(uhmm_device_page_count(next_frame - 1), 0);
}

static void *write_first(void *unused)
{
	cpu_fill(mm, base, 1, 42);
	return NULL;
}

static void does_not_fill_what_somebody_else_has_filled(void **state)
{
	pthread_t thread;

	assert_int_equal(setup(0, 1, MIGRATE_VMA_SELECT_SYSTEM), 0);
	copy_to_device();
	pthread_create(&thread, NULL, write_first, NULL);
	pthread_join(thread, NULL);
	migrate_vma_pages(&args);
	assert_int_equal(src[0] & MIGRATING, 0);
	migrate_vma_finalize(&args);
	hold(false);
	assert_cpu_sees(mm, base, 1, 42);
}

static void leaves_pages_of_files(void **state)
{
	int id = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY, PAGES(2));
	long at = uhmm_model_mmap(mm, base, PAGES(2), RW,
				  MAP_SHARED | MAP_FIXED, id, 0);

	assert_int_equal(at, base);
	cpu_fill(mm, base, 1, 5);
	assert_int_equal(setup(0, 2, MIGRATE_VMA_SELECT_SYSTEM), 0);
	/* A page that is not there is the file's, and not made up. */
	assert_int_equal(src[1], 0);
	copy_to_device();
	migrate_vma_pages(&args);
	assert_int_equal(src[0] & MIGRATING, 0);
	migrate_vma_finalize(&args);
	hold(false);
	assert_cpu_sees(mm, base, 1, 5);
	uhmm_model_file_close(mm, id);
}

static void *touch_first(void *ret)
{
	uint64_t *word = ret;

	*word = cpu_word(mm, base);
	return NULL;
}

/* Between setup and finalize a CPU that touches the page waits. */
static void holds_up_who_touches(void **state)
{
	uint64_t word = 0;
	pthread_t thread;

	cpu_fill(mm, base, 1, 7);
	assert_int_equal(setup(0, 1, MIGRATE_VMA_SELECT_SYSTEM), 0);
	pthread_create(&thread, NULL, touch_first, &word);
	/* Whether it is there yet or not, it does not see what is copied to. */
	for (int i = 0; i < 100; i++)
		sched_yield();
	assert_memory_equal(pagemap(mm), "m", 1);
	finish();
	pthread_join(thread, NULL);
	assert_int_equal(word, 7);
}

/* ----------------------------------------------------------------- by frame */

static void device_frames_go_without_an_address(void **state)
{
	unsigned long first = next_frame, pfn;

	cpu_fill(mm, base, 2, 1);
	to_device(0, 2);
	events[0] = '\0';
	memset(dst, 0, sizeof(dst));
	assert_int_equal(migrate_device_range(src, first, 3), 0);
	assert_int_equal(src[2], 0);
	assert_events(" CLEAR:0+1 CLEAR:1+1");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(uhmm_migrate_pfn_of(src[i]), first + i);
		assert_ptr_equal(uhmm_device_page_mm(first + i), mm);
		assert_int_equal(uhmm_page_alloc(mm, 0, &pfn), 0);
		uhmm_page_copy(mm, pfn, first + i);
		dst[i] = migrate_pfn(pfn) | WRITE;
	}
	/* The second has no place to go to after all. */
	uhmm_page_put(mm, uhmm_migrate_pfn_of(dst[1]), 0);
	dst[1] = 0;
	migrate_device_pages(src, dst, 3);
	assert_int_equal(src[0] & MIGRATING, MIGRATING);
	assert_int_equal(src[1] & MIGRATING, 0);
	migrate_device_finalize(src, dst, 3);
	assert_int_equal(uhmm_device_page_count(first), 0);
	assert_int_equal(uhmm_device_page_count(first + 1), 1);
	home(0, 2);
	assert_cpu_sees(mm, base, 2, 1);
}

static void a_coherent_page_goes_home(void **state)
{
	unsigned long first = next_frame;

	cpu_fill(mm, base, 1, 1);
	to_device(0, 1);
	if (private()) {
		assert_int_equal(migrate_device_coherent_page(first), -EINVAL);
		home(0, 1);
		return;
	}
	/* Somebody else has a reference. */
	assert_true(uhmm_device_page_get(first));
	assert_true(uhmm_device_page_get(first));
	assert_int_equal(migrate_device_coherent_page(first), -EBUSY);
	uhmm_device_page_put(first);
	assert_int_equal(uhmm_device_page_count(first), 1);
	/* It is locked. */
	assert_true(uhmm_device_page_get(first));
	assert_true(uhmm_device_page_trylock(first));
	assert_int_equal(migrate_device_coherent_page(first), -EBUSY);
	uhmm_device_page_unlock(first);
	assert_true(uhmm_device_page_get(first));
	assert_int_equal(migrate_device_coherent_page(first), 0);
	assert_int_equal(uhmm_device_page_count(first), 0);
	assert_cpu_sees(mm, base, 1, 1);
}

static void a_cpu_hears_that_the_driver_has_lost_a_page(void **state)
{
	uint64_t word;

	cpu_fill(mm, base, 1, 1);
	to_device(0, 1);
	if (private()) {
		answer = VM_FAULT_SIGBUS;
		assert_int_equal(uhmm_model_read(mm, base, &word, 8, NULL),
				 SIGBUS);
		answer = VM_FAULT_OOM;
		assert_int_equal(uhmm_model_read(mm, base, &word, 8, NULL),
				 SIGKILL);
	}
	home(0, 1);
	assert_cpu_sees(mm, base, 1, 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		STEPS(refuses_what_cannot_be),
		STEPS(says_what_may_go),
		STEPS(leaves_what_is_on_its_way_already),
		STEPS(cuts_to_whole_pages),
		STEPS(selects_by_kind_and_owner),
		STEPS(leaves_what_is_pinned),
		STEPS(leaves_what_somebody_holds),
		STEPS(takes_a_page_out_of_all_spaces),
		STEPS(goes_and_comes_home),
		STEPS(fills_holes_in_a_bracket_of_their_own),
		STEPS(does_not_fill_what_userfaultfd_watches),
		STEPS(does_not_fill_what_somebody_else_has_filled),
		STEPS(leaves_pages_of_files),
		STEPS(holds_up_who_touches),
		STEPS(device_frames_go_without_an_address),
		STEPS(a_coherent_page_goes_home),
		STEPS(a_cpu_hears_that_the_driver_has_lost_a_page),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
