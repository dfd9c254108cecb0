/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages that a device has to itself, on the model. */
#include "hmm_util.h"

#define N 4UL

static int owner;

static int begin(void **state)
{
	hmm_begin(state);
	base = mm_map(mm, N, RW, ANON);
	cpu_fill(mm, base, N, 1);
	note_events(&owner);
	return 0;
}

static int end(void **state)
{
	mmu_notifier_unregister(&listener, mm);
	uhmm_model_munmap(mm, base, PAGES(N));
	return hmm_end(state);
}

#define EXCLUSIVE_OF(fn, which)                                              \
	{                                                                    \
		.name = #fn "." #which, .test_func = fn,                     \
		.setup_func = begin, .teardown_func = end,                   \
		.initial_state = (void *)&which                              \
	}
#define EXCLUSIVE(fn)                                                        \
	EXCLUSIVE_OF(fn, private_6_1), EXCLUSIVE_OF(fn, private_newest)

static int take(unsigned long addr, unsigned long *ret_pfn)
{
	int ret;

	mmap_read_lock(mm);
	ret = make_device_exclusive(mm, addr, &owner, ret_pfn);
	mmap_read_unlock(mm);
	return ret;
}

static int take_range(unsigned long npages, unsigned long *pfns)
{
	int ret;

	mmap_read_lock(mm);
	ret = make_device_exclusive_range(mm, base, base + PAGES(npages), pfns,
					  &owner);
	mmap_read_unlock(mm);
	return ret;
}

static char letter(struct mm_struct *it, unsigned long page)
{
	char found;

	uhmm_model_pagemap(it, base + PAGES(page), 1, &found);
	return found;
}

static void refuses_what_cannot_be(void **state)
{
	unsigned long pfn, pool = mm_map(mm, 512, RW, ANON | MAP_HUGETLB);
	unsigned long shared = mm_map(mm, 1, RW, SHARED_ANON);

	assert_int_equal(take(base, NULL), -EINVAL);
	assert_int_equal(take(8 * PAGE, &pfn), -EFAULT);
	assert_int_equal(take(pool, &pfn), -EOPNOTSUPP);
	assert_int_equal(take(shared, &pfn), -EOPNOTSUPP);
	mm_protect(mm, base, 1, R);
	assert_int_equal(take(base, &pfn), -EFAULT);
	mmap_read_lock(mm);
	assert_int_equal(make_device_exclusive_range(mm, base, base, &pfn,
						     NULL), -EINVAL);
	assert_int_equal(make_device_exclusive_range(mm, base, base + PAGE,
						     NULL, NULL), -EINVAL);
	assert_int_equal(make_device_exclusive_range(mm, base + 1, base + PAGE,
						     &pfn, NULL), -EINVAL);
	mmap_read_unlock(mm);
	mm_unmap(mm, pool, 512);
	mm_unmap(mm, shared, 1);
}

static void is_told_with_its_owner(void **state)
{
	unsigned long pfn;

	assert_int_equal(take(base + PAGE, &pfn), 0);
	assert_events(" EXCLUSIVE:1+1@");
	assert_int_equal(letter(mm, 1), 'X');
	uhmm_device_exclusive_put(mm, pfn);
	/* The device's until a CPU touches it. */
	assert_int_equal(letter(mm, 1), 'X');
	assert_events("");
	assert_cpu_sees(mm, base + PAGE, 1, 2);
	assert_events(newest() ? " CLEAR:1+1" : " EXCLUSIVE:1+1");
	assert_int_equal(letter(mm, 1), 'A');
}

/* What is not there is made, what is shared is copied first. */
static void makes_the_page_present(void **state)
{
	unsigned long pfn;
	struct mm_struct *child;

	assert_int_equal(uhmm_model_madvise(mm, base, PAGE, MADV_DONTNEED), 0);
	assert_int_equal(uhmm_mm_fork(mm, &child), 0);
	events[0] = '\0';
	assert_int_equal(take(base, &pfn), 0);
	uhmm_device_exclusive_put(mm, pfn);
	assert_events(" EXCLUSIVE:0+1@");
	assert_int_equal(take(base + PAGE, &pfn), 0);
	uhmm_device_exclusive_put(mm, pfn);
	assert_events(" CLEAR:1+1 EXCLUSIVE:1+1@");
	assert_int_equal(letter(mm, 1), 'X');
	assert_int_equal(letter(child, 1), 'A');
	mmput(child);
	assert_int_equal(cpu_word(mm, base), 0);
}

static void is_revoked_when_it_is_asked_for(void **state)
{
	unsigned long pfn;

	assert_int_equal(take(base, &pfn), 0);
	uhmm_device_exclusive_put(mm, pfn);
	/* Looking changes nothing; being asked for does. */
	assert_snapshot(file[0], base, 1, ".");
	assert_int_equal(letter(mm, 0), 'X');
	assert_dev(file[0], HMM_DMIRROR_READ, base, 1, 1);
	assert_int_equal(letter(mm, 0), 'A');
}

struct toucher {
	pthread_t thread;
	int done;
};

static void *touch(void *arg)
{
	struct toucher *toucher = arg;

	cpu_fill(mm, base, 1, 9);
	__atomic_store_n(&toucher->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Until the device lets go of it a CPU cannot have it. */
static void holds_up_who_touches(void **state)
{
	struct toucher toucher = { .done = 0 };
	uint64_t word = 5;
	unsigned long pfn;

	assert_int_equal(take(base, &pfn), 0);
	pthread_create(&toucher.thread, NULL, touch, &toucher);
	for (int i = 0; i < 100; i++)
		sched_yield();
	/* An atomic add of the device. */
	assert_int_equal(uhmm_page_read(mm, pfn, 0, &word, sizeof(word)), 0);
	assert_int_equal(word, 1);
	word++;
	assert_int_equal(uhmm_page_write(mm, pfn, 0, &word, sizeof(word)), 0);
	assert_int_equal(__atomic_load_n(&toucher.done, __ATOMIC_SEQ_CST), 0);
	uhmm_device_exclusive_put(mm, pfn);
	pthread_join(toucher.thread, NULL);
	assert_cpu_sees(mm, base, 1, 9);
}

static void takes_many_and_says_which(void **state)
{
	unsigned long pfns[N], other;

	/* Somebody has the second. */
	assert_int_equal(take(base + PAGE, &other), 0);
	events[0] = '\0';
	mm_unmap(mm, base + PAGES(3), 1);
	events[0] = '\0';
	/* The entry is exclusive: it is made present first, and waits. */
	uhmm_device_exclusive_put(mm, other);
	assert_int_equal(take_range(N, pfns), 3);
	for (int i = 0; i < 3; i++) {
		assert_int_not_equal(pfns[i], 0);
		assert_int_equal(letter(mm, (unsigned long)i), 'X');
		uhmm_device_exclusive_put(mm, pfns[i]);
	}
	/* The first cannot be had: that is an error. */
	mm_unmap(mm, base, 1);
	assert_int_equal(take_range(1, pfns), -EFAULT);
}

static void leaves_out_what_is_not_anonymous(void **state)
{
	unsigned long pfns[N];

	assert_int_equal(uhmm_model_mmap(mm, base + PAGE, PAGE, RW,
					 SHARED_ANON | MAP_FIXED, 0, 0),
			 base + PAGE);
	assert_int_equal(take_range(3, pfns), 3);
	assert_int_not_equal(pfns[0], 0);
	assert_int_equal(pfns[1], 0);
	assert_int_not_equal(pfns[2], 0);
	uhmm_device_exclusive_put(mm, pfns[0]);
	uhmm_device_exclusive_put(mm, pfns[2]);
	assert_cpu_sees(mm, base, 1, 1);
	/* A device that wants all of it is told; as Linux 6.1 it keeps the rest. */
	assert_int_equal(dev(file[0], HMM_DMIRROR_EXCLUSIVE, base, 3),
			 newest() ? -EOPNOTSUPP : -EBUSY);
	assert_mirror(file[0], base, 3, newest() ? "x.." : "x.x");
}

/* A pin made before is not excluded. */
static void does_not_exclude_a_pin(void **state)
{
	uint64_t page[PAGE / sizeof(uint64_t)];
	int pin = uhmm_model_pin(mm, base, 1, true);

	assert_true(pin > 0);
	assert_dev(file[0], HMM_DMIRROR_EXCLUSIVE, base, 1, 1);
	assert_int_equal(uhmm_model_pin_access(mm, pin, 0, page, false), 0);
	assert_int_equal(page[0], 1);
	page[0] = 8;
	assert_int_equal(uhmm_model_pin_access(mm, pin, 0, page, true), 0);
	assert_int_equal(dev(file[0], HMM_DMIRROR_READ, base, 1), 0);
	assert_int_equal(buffer[0][0], 8);
	assert_int_equal(letter(mm, 0), 'X');
	uhmm_model_unpin(mm, pin);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		EXCLUSIVE(refuses_what_cannot_be),
		EXCLUSIVE(is_told_with_its_owner),
		EXCLUSIVE(makes_the_page_present),
		EXCLUSIVE(is_revoked_when_it_is_asked_for),
		EXCLUSIVE(holds_up_who_touches),
		EXCLUSIVE(takes_many_and_says_which),
		EXCLUSIVE(leaves_out_what_is_not_anonymous),
		EXCLUSIVE(does_not_exclude_a_pin),
	};

	hmm_main_args(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
