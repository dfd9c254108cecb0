/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Device memory: which is accepted, who has references to its frames, and how
 * it ends.
 */
#include "util.h"

#include <uhmm/list_notifier.h>
#include <uhmm/memremap.h>
#include <uhmm/migrate.h>

#define BASE (UHMM_DEVICE_PFN_BASE + (1UL << 30))
#define FRAMES 1024UL
#define FRAMES_HUGE (1UL << UHMM_PMD_ORDER)

static int owner;
static unsigned long freed_pfn;
static unsigned int freed_order;
static int frees, splits;

static void folio_free(struct dev_pagemap *pgmap, unsigned long pfn,
		       unsigned int order)
{
	count(&frees);
	freed_pfn = pfn;
	freed_order = order;
}

static void folio_split(struct dev_pagemap *pgmap, unsigned long head,
			unsigned long pfn)
{
	splits++;
}

static vm_fault_t (*touched)(struct vm_fault *vmf);

static vm_fault_t migrate_to_ram(struct vm_fault *vmf)
{
	return touched(vmf);
}

static const struct dev_pagemap_ops ops = {
	.folio_free = folio_free,
	.folio_split = folio_split,
	.migrate_to_ram = migrate_to_ram,
};

static struct dev_pagemap memory(unsigned long pfn, unsigned long n)
{
	return (struct dev_pagemap){
		.type = MEMORY_DEVICE_PRIVATE,
		.owner = &owner,
		.ops = &ops,
		.nr_range = 1,
		.range = { pfn << UHMM_PAGE_SHIFT,
			   ((pfn + n) << UHMM_PAGE_SHIFT) - 1 },
	};
}

static struct dev_pagemap map;

static int begin(void **state)
{
	case_begin(state);
	frees = splits = 0;
	map = memory(BASE, FRAMES);
	assert_int_equal(uhmm_ptr_err(memremap_pages(&map, 0)), 0);
	return 0;
}

static int end(void **state)
{
	memunmap_pages(&map);
	return case_end(state);
}

#define MEMORY(fn)                                                           \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = begin,           \
		.teardown_func = end, .initial_state = (void *)#fn           \
	}

/* ------------------------------------------------------------- what is taken */

static int remap(const struct dev_pagemap *pgmap)
{
	struct dev_pagemap copy = *pgmap;
	int ret = uhmm_ptr_err(memremap_pages(&copy, 0));

	if (!ret)
		memunmap_pages(&copy);
	return ret;
}

static void refuses_what_is_incomplete(void **state)
{
	const struct dev_pagemap good = memory(BASE + FRAMES, 1);
	struct dev_pagemap_ops some = ops;
	struct dev_pagemap bad;

	assert_int_equal(remap(&good), 0);
	assert_int_equal(uhmm_ptr_err(memremap_pages(NULL, 0)), -EINVAL);
#define REFUSED(how)                                                         \
	do {                                                                 \
		bad = good;                                                  \
		how;                                                         \
		assert_int_equal(remap(&bad), -EINVAL);                      \
	} while (0)
	REFUSED(bad.nr_range = 0);
	REFUSED(bad.nr_range = 2);
	REFUSED(bad.type = 0);
	REFUSED(bad.ops = NULL);
	REFUSED(bad.owner = NULL);
	REFUSED(bad.range.start++);
	REFUSED(bad.range.end--);
	REFUSED(bad.range.end = bad.range.start - 1);
	bad = good;
	bad.ops = &some;
	some.migrate_to_ram = NULL;
	assert_int_equal(remap(&bad), -EINVAL);
	/* A CPU reaches coherent memory itself. */
	bad.type = MEMORY_DEVICE_COHERENT;
	assert_int_equal(remap(&bad), 0);
	some.folio_free = NULL;
	assert_int_equal(remap(&bad), -EINVAL);
	some.migrate_to_ram = migrate_to_ram;
	bad.type = MEMORY_DEVICE_PRIVATE;
	assert_int_equal(remap(&bad), -EINVAL);
}

static void refuses_frames_that_are_not_free(void **state)
{
	struct dev_pagemap it = memory(BASE + FRAMES - 1, 2);

	assert_int_equal(remap(&it), -ENOMEM);
	it = memory(BASE - 1, 2);
	assert_int_equal(remap(&it), -ENOMEM);
	it = memory(BASE + 1, 2);
	assert_int_equal(remap(&it), -ENOMEM);
	it = memory(UHMM_DEVICE_PFN_BASE - 1, 1);
	assert_int_equal(remap(&it), -ENXIO);
	it = memory(1UL << 51, 1);
	assert_int_equal(remap(&it), 0);
}

static void picks_a_place(void **state)
{
	struct dev_pagemap one = memory(0, 3), two = memory(0, 3);
	char bytes[1];

	one.range = two.range = (struct range){ 0, PAGES(3) - 1 };
	one.memory = bytes;
	assert_ptr_equal(memremap_pages(&one, 0), bytes);
	assert_int_equal(uhmm_ptr_err(memremap_pages(&two, 0)), 0);
	assert_true(uhmm_is_device_pfn(one.range.start >> UHMM_PAGE_SHIFT));
	assert_int_equal(one.range.start % PAGES(512), 0);
	assert_int_equal(one.range.end - one.range.start, PAGES(3) - 1);
	assert_true(two.range.start > one.range.end);
	memunmap_pages(&one);
	memunmap_pages(&two);
}

/* -------------------------------------------------------------------- frames */

static void a_frame_lives_while_it_has_references(void **state)
{
	assert_int_equal(zone_device_page_init(BASE + FRAMES, 0), -ENXIO);
	assert_int_equal(zone_device_page_init(BASE + 1, UHMM_PMD_ORDER),
			 -EINVAL);
	assert_int_equal(zone_device_page_init(BASE, UHMM_PMD_ORDER + 1),
			 -EINVAL);
	assert_false(uhmm_device_page_get(BASE + 3));
	assert_int_equal(zone_device_page_init(BASE + 3, 0), 0);
	assert_int_equal(zone_device_page_init(BASE + 3, 0), -EBUSY);
	assert_int_equal(zone_device_page_init(BASE, UHMM_PMD_ORDER), -EBUSY);
	assert_ptr_equal(uhmm_device_page_owner(BASE + 3), &owner);
	assert_int_equal(uhmm_device_page_order(BASE + 3), 0);
	assert_true(uhmm_device_page_get(BASE + 3));
	assert_int_equal(uhmm_device_page_count(BASE + 3), 2);
	uhmm_device_page_put(BASE + 3);
	assert_int_equal(frees, 0);
	uhmm_device_page_put(BASE + 3);
	assert_int_equal(frees, 1);
	assert_int_equal(freed_pfn, BASE + 3);
	assert_int_equal(freed_order, 0);
	assert_int_equal(uhmm_device_page_count(BASE + 3), 0);
	/* One reference too many changes nothing. */
	uhmm_device_page_put(BASE + 3);
	assert_int_equal(frees, 1);
}

static void many_frames_are_taken_at_once(void **state)
{
	unsigned long mpfns[200], i;

	/* Two rows, and one by itself. */
	for (i = 0; i < 200; i++)
		mpfns[i] = migrate_pfn(BASE + i + (i < 100 ? 0 : 300));
	mpfns[199] = migrate_pfn(BASE + 150);
	assert_int_equal(uhmm_device_pages_init(mpfns, 0), 0);
	assert_int_equal(zone_device_page_init(BASE + 470, 0), 0);
	assert_int_equal(uhmm_device_pages_init(mpfns, 200), 170);
	assert_int_equal(uhmm_device_pages_init(mpfns + 171, 29), 29);
	for (i = 0; i < 200; i++) {
		assert_int_equal(uhmm_device_page_count(BASE + i +
							(i < 100 ? 0 : 300)),
				 i < 199);
		assert_false(uhmm_device_page_trylock(uhmm_migrate_pfn_of(
			mpfns[i])));
		uhmm_device_page_put(uhmm_migrate_pfn_of(mpfns[i]));
	}
	assert_int_equal(frees, 200);
	mpfns[1] = migrate_pfn(BASE + FRAMES);
	assert_int_equal(uhmm_device_pages_init(mpfns, 2), 1);
	uhmm_device_page_put(BASE);
	/* A larger one is none of those that are free, nor is what comes behind. */
	assert_int_equal(zone_device_page_init(BASE + 512, UHMM_PMD_ORDER), 0);
	mpfns[0] = migrate_pfn(BASE + 511);
	mpfns[1] = migrate_pfn(BASE + 512);
	assert_int_equal(uhmm_device_pages_init(mpfns, 2), 1);
	assert_int_equal(uhmm_device_pages_init(mpfns + 1, 1), 0);
	uhmm_device_page_put(BASE + 511);
	uhmm_device_page_put(BASE + 512);
}

static void a_frame_is_locked_by_one(void **state)
{
	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	assert_false(uhmm_device_page_trylock(BASE));
	uhmm_device_page_unlock(BASE);
	assert_true(uhmm_device_page_trylock(BASE));
	assert_false(uhmm_device_page_trylock(BASE));
	uhmm_device_page_unlock(BASE);
	uhmm_device_page_put(BASE);
}

static void a_huge_page_is_one_until_it_is_split(void **state)
{
	assert_int_equal(zone_device_page_init(BASE, UHMM_PMD_ORDER), 0);
	assert_int_equal(uhmm_device_page_order(BASE + 5), UHMM_PMD_ORDER);
	assert_true(uhmm_device_page_get(BASE + 5));
	assert_int_equal(uhmm_device_page_count(BASE), 2);
	assert_int_equal(zone_device_page_init(BASE + 5, 0), -EBUSY);
	assert_false(uhmm_device_page_trylock(BASE + 6));

	uhmm_device_page_split(BASE + 5, 1);
	assert_int_equal(splits, FRAMES_HUGE - 1);
	assert_int_equal(uhmm_device_page_order(BASE + 5), 0);
	assert_int_equal(uhmm_device_page_count(BASE), 2);
	assert_int_equal(uhmm_device_page_count(BASE + 5), 1);
	assert_false(uhmm_device_page_trylock(BASE + 6));
	uhmm_device_page_put(BASE);
	for (unsigned long i = 0; i < FRAMES_HUGE; i++)
		uhmm_device_page_put(BASE + i);
	assert_int_equal(frees, FRAMES_HUGE);
}

static void a_huge_page_is_freed_as_one(void **state)
{
	assert_int_equal(zone_device_page_init(BASE + 512, UHMM_PMD_ORDER), 0);
	uhmm_device_page_put(BASE + 700);
	assert_int_equal(frees, 1);
	assert_int_equal(freed_pfn, BASE + 512);
	assert_int_equal(freed_order, UHMM_PMD_ORDER);
	assert_int_equal(zone_device_page_init(BASE + 700, 0), 0);
	uhmm_device_page_put(BASE + 700);
}

/* ---------------------------------------------------------------- the touch */

static struct uhmm_vma vma;
static int touches;

static vm_fault_t answer;

static vm_fault_t note_touch(struct vm_fault *vmf)
{
	touches++;
	assert_ptr_equal(vmf->vma, &vma);
	assert_int_equal(vmf->address, PG(1));
	assert_int_equal(vmf->page, BASE);
	assert_int_equal(vmf->flags, UHMM_FAULT_WRITE);
	/* Locked and referenced. */
	assert_false(uhmm_device_page_trylock(BASE));
	assert_int_equal(uhmm_device_page_count(BASE), 2);
	return answer;
}

static int touch(unsigned int flags)
{
	return uhmm_migrate_to_ram(&vma, PG(1) + 5, BASE, flags);
}

static void the_driver_is_asked_when_a_cpu_touches(void **state)
{
	touched = note_touch;
	touches = 0;
	assert_int_equal(touch(UHMM_FAULT_WRITE), 0);
	assert_int_equal(touches, 0);
	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	assert_int_equal(touch(UHMM_FAULT_WRITE | UHMM_FAULT_NOWAIT), -EAGAIN);
	uhmm_device_page_unlock(BASE);
	answer = 0;
	assert_int_equal(touch(UHMM_FAULT_WRITE), 0);
	answer = VM_FAULT_SIGBUS;
	assert_int_equal(touch(UHMM_FAULT_WRITE), -EFAULT);
	answer = VM_FAULT_OOM;
	assert_int_equal(touch(UHMM_FAULT_WRITE), -ENOMEM);
	assert_int_equal(touches, 3);
	assert_int_equal(uhmm_device_page_count(BASE), 1);
	assert_true(uhmm_device_page_trylock(BASE));
	uhmm_device_page_unlock(BASE);
	uhmm_device_page_put(BASE);
}

static void touch_task(void *unused)
{
	touch(UHMM_FAULT_WRITE);
}

/* Who finds the frame locked sleeps until it is not. */
static void a_locked_frame_is_waited_for(void **state)
{
	struct task task;

	touched = note_touch;
	answer = touches = 0;
	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	task_start(&task, touch_task, NULL);
	assert_true(task_waits(&task));
	uhmm_device_page_unlock(BASE);
	task_join(&task);
	/* It says, look again: whoever had the frame may have moved it. */
	assert_int_equal(touches, 0);
	uhmm_device_page_put(BASE);
}

/* ------------------------------------------------------------------- the end */

static void unmap_task(void *unused)
{
	memunmap_pages(&map);
}

static void the_end_waits_for_frames(void **state)
{
	struct task task;

	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	assert_int_equal(uhmm_memunmap_pages_timeout(&map, 0), -ETIMEDOUT);
	/* From then on nothing is given out. */
	assert_int_equal(zone_device_page_init(BASE + 1, 0), -ENXIO);
	assert_null(get_dev_pagemap(BASE));
	/* But what is in use can be kept. */
	assert_true(uhmm_device_page_get(BASE));
	task_start(&task, unmap_task, NULL);
	assert_true(task_waits(&task));
	uhmm_device_page_put(BASE);
	assert_true(task_waits(&task));
	uhmm_device_page_put(BASE);
	task_join(&task);
	assert_int_equal(frees, 1);
	assert_int_equal(uhmm_memunmap_pages_timeout(&map, 0), -EINVAL);
	assert_int_equal(uhmm_memunmap_pages_timeout(NULL, 0), -EINVAL);
	assert_int_equal(uhmm_device_page_count(BASE), 0);
	/* The numbers can be used again. */
	assert_int_equal(uhmm_ptr_err(memremap_pages(&map, 0)), 0);
	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	uhmm_device_page_put(BASE);
}

static void unmap_at_last(void *ret)
{
	*(int *)ret = uhmm_memunmap_pages_timeout(&map, INT64_MAX);
}

static void the_end_may_be_awaited_very_long(void **state)
{
	struct task task;
	int err = 1;

	assert_int_equal(zone_device_page_init(BASE, 0), 0);
	task_start(&task, unmap_at_last, &err);
	assert_true(task_waits(&task));
	uhmm_device_page_put(BASE);
	task_join(&task);
	assert_int_equal(err, 0);
	assert_int_equal(uhmm_ptr_err(memremap_pages(&map, 0)), 0);
}

static void the_end_waits_for_the_pagemap(void **state)
{
	struct task task;

	assert_null(get_dev_pagemap(BASE - 1));
	assert_null(get_dev_pagemap(7));
	assert_ptr_equal(get_dev_pagemap(BASE + 1), &map);
	task_start(&task, unmap_task, NULL);
	assert_true(task_waits(&task));
	put_dev_pagemap(&map);
	put_dev_pagemap(NULL);
	task_join(&task);
	assert_int_equal(uhmm_ptr_err(memremap_pages(&map, 0)), 0);
}

static void by_frame_only_what_is_in_use_can_go(void **state)
{
	unsigned long src[3];

	assert_int_equal(migrate_device_range(NULL, BASE, 1), -EINVAL);
	assert_int_equal(migrate_device_pfns(NULL, 1), -EINVAL);
	/* Free; not in an address space; not a device's. */
	assert_int_equal(zone_device_page_init(BASE + 1, 0), 0);
	assert_int_equal(migrate_device_range(src, BASE, 2), 0);
	assert_int_equal(src[0] | src[1], 0);
	src[0] = 77;
	assert_int_equal(migrate_device_pfns(src, 1), 0);
	assert_int_equal(src[0], 0);
	assert_int_equal(uhmm_device_page_count(BASE + 1), 1);
	assert_int_equal(migrate_device_coherent_page(BASE + 1), -EINVAL);
	uhmm_device_page_put(BASE + 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		MEMORY(refuses_what_is_incomplete),
		MEMORY(refuses_frames_that_are_not_free),
		MEMORY(picks_a_place),
		MEMORY(a_frame_lives_while_it_has_references),
		MEMORY(many_frames_are_taken_at_once),
		MEMORY(a_frame_is_locked_by_one),
		MEMORY(a_huge_page_is_one_until_it_is_split),
		MEMORY(a_huge_page_is_freed_as_one),
		MEMORY(the_driver_is_asked_when_a_cpu_touches),
		MEMORY(a_locked_frame_is_waited_for),
		MEMORY(the_end_waits_for_frames),
		MEMORY(the_end_may_be_awaited_very_long),
		MEMORY(the_end_waits_for_the_pagemap),
		MEMORY(by_frame_only_what_is_in_use_can_go),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
