/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Threads that get, put, flush and invalidate one cache of a small address
 * space, with and without failures of all that can fail.
 *
 * Each page has a version that grows between start and end. A device notes the
 * versions that it registered; whoever gets has read them before, and finds in
 * what he got none that is older. Some leave it to another to put.
 *
 * Linked with all that allocates wrapped.
 */
#include <stdio.h>

#include <uhmm/rcache.h>

#include "util.h"

enum { SPACE = 64, WIDEST = 6, RECORDS = 1 << 16, THREADS = 16, OPS = 32000,
       BOXES = 4 };

static unsigned long version[SPACE];

/* What the device registered, by key. */
static struct note {
	unsigned long first, pages;
	unsigned long version[SPACE];
	int alive;
} *notes;
static int next_note, alive_notes;

static int stale, reused, held_back, failing, threads;
static struct uhmm_rcache *cache;

static __thread unsigned int seed;

static unsigned int roll(unsigned int n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

/* The one that fails, counted down; 0: as the dice say. */
static int fail_at;

static bool unlucky(void)
{
	if (fail_at)
		return !--fail_at;
	return seed && look(&failing) && !roll(8);
}

/* Calls of malloc() and its like. */
static int allocations;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);

void *__wrap_malloc(size_t size)
{
	count(&allocations);
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	count(&allocations);
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	count(&allocations);
	return __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	count(&allocations);
	return unlucky() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_sync_alloc_pages(size_t size)
{
	return unlucky() ? NULL : __real_sync_alloc_pages(size);
}

static int dev_reg(void *arg, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key)
{
	int i = count(&next_note) % RECORDS;
	struct note *n = &notes[i];

	if (unlucky())
		return roll(2) ? -ENOMEM : -EFAULT;
	if (look(&n->alive))
		abort();	/* RECORDS are too few */
	n->first = (start - PG(0)) >> 12;
	n->pages = length >> 12;
	for (unsigned long p = 0; p < n->pages; p++)
		n->version[p] = __atomic_load_n(&version[n->first + p],
						__ATOMIC_SEQ_CST);
	set(&n->alive, 1);
	count(&alive_notes);
	*ret_key = (uint64_t)i;
	return 0;
}

static int dev_dereg(void *arg, unsigned long start, size_t length,
		     uint64_t key)
{
	if (unlucky())
		return -EIO;
	if (!look(&notes[key].alive))
		count(&reused);
	set(&notes[key].alive, 0);
	__atomic_sub_fetch(&alive_notes, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static const struct uhmm_rcache_ops dev_ops = {
	.name = "versions", .reg = dev_reg, .dereg = dev_dereg,
};

/* Is what it got at least what was there before? And while it has it. */
static void use(struct uhmm_registration *reg, unsigned long first,
		unsigned long pages, const unsigned long *before)
{
	const struct note *n = &notes[reg->key];

	for (unsigned long p = 0; p < pages; p++)
		if (n->version[first + p - n->first] < before[p])
			count(&stale);
	if (!roll(16))
		sync_yield();
	if (!look(&n->alive))
		count(&held_back);
}

/* Where uses are left, for whoever comes by next to put. */
static struct box {
	pthread_mutex_t lock;
	struct uhmm_registration reg;
} boxes[BOXES];

/* It has been somebody's all the time. */
static void put_held(struct uhmm_registration *reg)
{
	if (!reg->hold)
		return;
	if (!look(&notes[reg->key].alive))
		count(&held_back);
	uhmm_rcache_put(reg);
	reg->hold = NULL;
}

static void hand_over(struct uhmm_registration *reg)
{
	struct box *box = &boxes[roll(BOXES)];
	struct uhmm_registration theirs;

	pthread_mutex_lock(&box->lock);
	theirs = box->reg;
	box->reg = *reg;
	pthread_mutex_unlock(&box->lock);
	put_held(&theirs);
}

static void get_one(struct uhmm_registration *other)
{
	unsigned long pages = 1 + roll(WIDEST), first = roll(SPACE - WIDEST);
	unsigned long before[WIDEST];
	struct uhmm_registration reg;

	for (unsigned long p = 0; p < pages; p++)
		before[p] = __atomic_load_n(&version[first + p],
					    __ATOMIC_SEQ_CST);
	if (uhmm_rcache_get(cache, PG(first), PAGES(pages), 1 + roll(3), &reg))
		return;
	use(&reg, first, pages, before);
	/* Some are kept for a while. */
	if (!roll(8)) {
		put_held(other);
		*other = reg;
	} else if (!roll(8)) {
		hand_over(&reg);
	} else {
		uhmm_rcache_put(&reg);
	}
}

static void change_one(void)
{
	unsigned long pages = 1 + roll(WIDEST), first = roll(SPACE - WIDEST);
	struct mmu_notifier_range range;

	begin_range(&range, PG(first), PG(first + pages));
	for (unsigned long p = 0; p < pages; p++)
		__atomic_add_fetch(&version[first + p], 1, __ATOMIC_SEQ_CST);
	end_range(&range);
}

static void mix(void *arg)
{
	struct uhmm_registration other = { .hold = NULL };

	seed = (unsigned int)(uintptr_t)arg;
	for (int i = 0; i < OPS / threads; i++) {
		if (!roll(256))
			uhmm_rcache_flush(cache, PG(roll(SPACE)), PAGES(8));
		else if (!roll(6))
			change_one();
		else
			get_one(&other);
	}
	put_held(&other);
	seed = 0;
}

static void empty_boxes(void)
{
	for (int i = 0; i < BOXES; i++)
		put_held(&boxes[i].reg);
}

static void run(int n, unsigned int flags, unsigned long entries, bool fail)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = flags,
		.max_entries = entries, .queue = 8,
	};
	struct uhmm_rcache_stats s = { .size = sizeof(s) };
	struct task tasks[THREADS];

	notes = calloc(RECORDS, sizeof(*notes));
	assert_non_null(notes);
	stale = reused = held_back = alive_notes = 0;
	threads = n;
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL, &options,
					    &cache), 0);
	set(&failing, fail);
	for (int i = 0; i < n; i++)
		task_start(&tasks[i], mix, (void *)(uintptr_t)(i * 7919 + 1));
	for (int i = 0; i < n; i++)
		task_join(&tasks[i]);
	set(&failing, 0);
	empty_boxes();
	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	print_message("# hits %lu misses %lu collisions %lu invalidated %lu "
		      "merged %lu evicted %lu failures %lu/%lu\n", s.hits,
		      s.misses, s.collisions, s.invalidated, s.merged,
		      s.evicted, s.failures, s.dereg_failures);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(stale, 0);
	assert_int_equal(reused, 0);
	assert_int_equal(held_back, 0);
	assert_int_equal(alive_notes, 0);
	assert_true(s.hits && s.misses && s.invalidated);
	assert_int_equal(fail, s.failures && s.dereg_failures);
	free(notes);
}

static void nothing_stale_is_returned(void **state)
{
	for (int n = 2; n <= THREADS; n *= 2)
		run(n, 0, 0, false);
}

static void nor_by_a_lazy_one(void **state)
{
	run(8, UHMM_RCACHE_LAZY, 0, false);
}

static void nor_under_a_limit(void **state)
{
	run(8, 0, 24, false);
}

static void nor_when_all_fails_at_times(void **state)
{
	run(8, 0, 24, true);
	run(16, UHMM_RCACHE_LAZY, 0, true);
}

/* Hits, misses, a merge, changes, an eviction; what fails, fails. */
static void each_once(void)
{
	struct uhmm_registration held[3] = { { .hold = NULL } }, other;

	for (unsigned int i = 0; i < 3; i++)
		uhmm_rcache_get(cache, PG(8 * i), PAGES(2), 1, &held[i]);
	invalidate(PG(0), PG(1));
	if (!uhmm_rcache_get(cache, PG(1), PAGES(8), 3, &other))
		uhmm_rcache_put(&other);
	for (unsigned int i = 0; i < 3; i++)
		if (held[i].hold)
			uhmm_rcache_put(&held[i]);
	other.hold = NULL;
	for (unsigned int i = 0; i < 8; i++)
		get_one(&other);
	put_held(&other);
	empty_boxes();
	invalidate(PG(0), PG(SPACE));
}

static void whichever_fails_nothing_is_left_behind(void **state)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .max_entries = 5, .queue = 2,
	};
	bool failed = true;
	int n, err;

	notes = calloc(RECORDS, sizeof(*notes));
	assert_non_null(notes);
	for (n = 1; failed; n++) {
		stale = reused = held_back = alive_notes = 0;
		fail_at = n;
		seed = 1;
		err = uhmm_rcache_create(mm, &dev_ops, NULL, &options, &cache);
		if (!err) {
			each_once();
			err = uhmm_rcache_destroy(cache);
		}
		failed = !fail_at;
		fail_at = 0;
		seed = 0;
		if (err == -EIO)
			assert_int_equal(uhmm_rcache_destroy(cache), 0);
		else
			assert_true(!err || (err == -ENOMEM && failed));
		assert_int_equal(stale + reused + held_back, 0);
		assert_int_equal(alive_notes, 0);
	}
	print_message("# %d can fail\n", n - 2);
	assert_true(n > 20);
	free(notes);
}

static int found, allocated;

/* Hits, puts and invalidations, a thread's first ones. */
static void inside_of_malloc(void *arg)
{
	struct uhmm_registration *held = arg, reg;
	int before = look(&allocations);

	/* Where it begins, inside of it for the first time, and again. */
	for (unsigned int i = 0; i < 3; i++) {
		if (uhmm_rcache_get(cache, PG(9 + i % 2), 1, 1, &reg))
			continue;
		uhmm_rcache_put(&reg);
		count(&found);
	}
	invalidate(PG(0), PG(1));
	invalidate(PG(9), PG(10));
	uhmm_rcache_put(held);
	uhmm_rcache_flush(cache, PG(40), PAGES(8));
	set(&allocated, look(&allocations) - before);
}

static void what_may_be_in_malloc_allocates_nothing(void **state)
{
	static const unsigned int flags[] = { 0, UHMM_RCACHE_LAZY };
	struct uhmm_rcache_options options = { .size = sizeof(options) };
	struct uhmm_registration held, reg;
	struct task task;

	notes = calloc(RECORDS, sizeof(*notes));
	assert_non_null(notes);
	for (int i = 0; i < 2; i++) {
		alive_notes = found = 0;
		options.flags = flags[i];
		assert_int_equal(uhmm_rcache_create(mm, &dev_ops, NULL,
						    &options, &cache), 0);
		assert_int_equal(uhmm_rcache_get(cache, PG(0), 1, 1, &held), 0);
		assert_int_equal(uhmm_rcache_get(cache, PG(9), PAGES(4), 1,
						 &reg), 0);
		uhmm_rcache_put(&reg);
		assert_int_equal(look(&alive_notes), 2);
		task_start(&task, inside_of_malloc, &held);
		task_join(&task);
		assert_int_equal(found, 3);
		assert_int_equal(allocated, 0);
		assert_int_equal(look(&alive_notes), 0);
		assert_int_equal(uhmm_rcache_destroy(cache), 0);
	}
	free(notes);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(nothing_stale_is_returned),
		CASE(nor_by_a_lazy_one),
		CASE(nor_under_a_limit),
		CASE(nor_when_all_fails_at_times),
		CASE(whichever_fails_nothing_is_left_behind),
		CASE(what_may_be_in_malloc_allocates_nothing),
	};

	for (int i = 0; i < BOXES; i++)
		pthread_mutex_init(&boxes[i].lock, NULL);
	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
