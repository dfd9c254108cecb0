/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Each allocation of the library fails once: the call says so, has changed
 * nothing, leaks nothing (AddressSanitizer looks at that, but for pages, which are
 * counted), and works when it is made again.
 *
 * Linked with malloc, calloc, realloc, aligned_alloc, sync_alloc_pages,
 * sync_free_pages and sync_want_huge_pages wrapped.
 */
#include "util.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ------------------------------------------------------------- the allocators */

/* Of this thread: so many succeed, then so many fail; < 0: nobody looks. */
static __thread long good = -1, bad;
static __thread unsigned int failed;

static bool fails(void)
{
	if (good < 0)
		return false;
	if (good) {
		good--;
		return false;
	}
	if (!bad)
		return false;
	bad--;
	failed++;
	return true;
}

static void starve(long n_good, long n_bad)
{
	good = n_good;
	bad = n_bad;
	failed = 0;
}

static void starve_no_more(void)
{
	good = -1;
}

/* Calls of malloc() and its like, failed or not. */
static __thread unsigned int from_malloc;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);
void __real_sync_free_pages(void *pages, size_t size);
void __wrap_sync_free_pages(void *pages, size_t size);

void *__wrap_malloc(size_t size)
{
	from_malloc++;
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	from_malloc++;
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	from_malloc++;
	return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	from_malloc++;
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

/* In pages that were not given back. */
static long in_pages;

void *__wrap_sync_alloc_pages(size_t size)
{
	void *pages = fails() ? NULL : __real_sync_alloc_pages(size);

	if (pages)
		__atomic_fetch_add(&in_pages, (long)size, __ATOMIC_RELAXED);
	return pages;
}

void __wrap_sync_free_pages(void *pages, size_t size)
{
	__atomic_fetch_sub(&in_pages, (long)size, __ATOMIC_RELAXED);
	__real_sync_free_pages(pages, size);
}

/* How often huge pages were wanted, and of those where a page was there before. */
static unsigned int wanted_huge, wanted_late;

void __real_sync_want_huge_pages(void *pages, size_t size);
void __wrap_sync_want_huge_pages(void *pages, size_t size);

void __wrap_sync_want_huge_pages(void *pages, size_t size)
{
	unsigned char there = 0;

	wanted_huge++;
	wanted_late += mincore(pages, 1, &there) || there & 1;
	__real_sync_want_huge_pages(pages, size);
}

/* --------------------------------------------------------------- address spaces */

/* With its n-th allocation failing, for each n; returns how many it has. */
static unsigned int create_fails(const struct uhmm_mm_options *options)
{
	struct mm_struct *const untouched = (void *)&good;
	struct mm_struct *made;
	unsigned int n;
	long before = in_pages;
	int ret;

	for (n = 0;; n++) {
		made = untouched;
		starve(n, 1);
		ret = uhmm_mm_create_with(options, &made);
		starve_no_more();
		if (!failed)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_ptr_equal(made, untouched);
		assert_int_equal(in_pages, before);
	}
	assert_int_equal(ret, 0);
	mmput(made);
	assert_int_equal(in_pages, before);
	return n;
}

static void an_address_space(void **state)
{
	struct uhmm_mm_options options = { .size = sizeof(options) };

	assert_in_range(create_fails(NULL), 2, 10);
	options.flags = UHMM_MM_CHECK;
	assert_in_range(create_fails(&options), 3, 12);
}

/* ---------------------------------------------------------------- subscriptions */

#define MANY 3000

static struct mmu_interval_notifier subs[MANY];
static int calls;

static bool count_call(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
	count(&calls);
	return true;
}

static const struct mmu_interval_notifier_ops counting = {
	.invalidate = count_call,
};

static int insert_plain(unsigned int i)
{
	return mmu_interval_notifier_insert(&subs[i], mm, PG(i), 4096,
					    &counting);
}

static int insert_under_lock(unsigned int i)
{
	int ret;

	mmap_write_lock(mm);
	ret = mmu_interval_notifier_insert_locked(&subs[i], mm, PG(i), 4096,
						  &counting);
	mmap_write_unlock(mm);
	return ret;
}

static int insert_tagged(unsigned int i)
{
	return uhmm_interval_notifier_insert_tagged(&subs[i], mm, PG(i), 4096);
}

static unsigned int calls_of(unsigned int first, unsigned int n)
{
	struct mmu_notifier_range range;

	calls = 0;
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, PG(first),
				PG(first + n));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&range);
	return calls;
}

/* Insert them all; whenever one allocates, let that fail first, and again. */
static unsigned int insert_fails(int (*insert)(unsigned int i))
{
	unsigned int refused = 0, had = from_malloc, i, n;
	int ret;

	for (i = 0; i < MANY; i++) {
		for (n = 0;; n++) {
			starve(n, 1);
			ret = insert(i);
			starve_no_more();
			if (!failed)
				break;
			refused++;
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(stats().subscriptions, i);
			assert_int_equal(calls_of(i, 1), 0);
			/* What is not inserted can be removed: nothing happens. */
			mmu_interval_notifier_remove(&subs[i]);
		}
		assert_int_equal(ret, 0);
	}
	/* It may be inside of malloc() that somebody inserts. */
	assert_int_equal(from_malloc, had);
	return refused;
}

static void remove_all(void)
{
	for (unsigned int i = 0; i < MANY; i++)
		mmu_interval_notifier_remove(&subs[i]);
	assert_int_equal(stats().subscriptions, 0);
}

static void an_insert(void **state)
{
	long before;

	end_mm();
	before = in_pages;
	remake_mm(NULL);
	/* Two pools, and their chunks double. */
	assert_in_range(insert_fails(insert_plain), 5, 40);
	assert_int_equal(calls_of(0, MANY), MANY);
	remove_all();
	end_mm();
	assert_int_equal(in_pages, before);
}

/* Where the first page is a small one the kernel makes no huge one of the first ones. */
static void what_is_large_is_on_huge_pages_from_the_first_on(void **state)
{
	static struct mmu_interval_notifier sub[1 << 17];
	unsigned int i, n;

	wanted_huge = wanted_late = 0;
	for (n = 0; n < ARRAY_SIZE(sub) && !wanted_huge; n++)
		assert_int_equal(mmu_interval_notifier_insert(&sub[n], mm,
					PG(2 * n), PAGES(1), &counting), 0);
	assert_int_equal(wanted_huge, 1);
	assert_int_equal(wanted_late, 0);
	for (i = 0; i < n; i++)
		mmu_interval_notifier_remove(&sub[i]);
}

static void an_insert_under_the_lock(void **state)
{
	assert_in_range(insert_fails(insert_under_lock), 5, 40);
	assert_int_equal(calls_of(0, MANY), MANY);
	remove_all();
}

static void a_tagged_insert(void **state)
{
	assert_in_range(insert_fails(insert_tagged), 5, 40);
	assert_int_equal(calls_of(0, MANY), 0);
	remove_all();
}

/* No memory is needed to leave. */
static void a_remove_needs_none(void **state)
{
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(insert_plain(i), 0);
	calls_of(0, 1);
	starve(0, LONG_MAX);
	for (unsigned int i = 0; i < MANY; i++) {
		mmu_interval_notifier_remove(&subs[i]);
		if (i % 500 == 0)
			assert_int_equal(calls_of(0, MANY), MANY - i - 1);
	}
	starve_no_more();
	assert_int_equal(stats().subscriptions, 0);
}

/* ---------------------------------------------------- threads in an address space
 * A thread's first invalidation needs a place for it. Places come by the
 * dozen, so it takes some threads until one has to ask for more.
 */
#define THREADS 120

struct visitor {
	pthread_t thread;
	void (*visit)(struct visitor *v);
	int ret;
	bool was_refused;
};

static struct visitor visitors[THREADS];
static pthread_barrier_t all_there;

static void *visitor_main(void *arg)
{
	struct visitor *v = arg;

	v->visit(v);
	starve_no_more();
	/* Nobody gives his place to the next one. */
	pthread_barrier_wait(&all_there);
	return NULL;
}

static unsigned int visit_with_all(void (*visit)(struct visitor *v))
{
	unsigned int refused = 0, i;

	pthread_barrier_init(&all_there, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		visitors[i] = (struct visitor){ .visit = visit };
		assert_int_equal(pthread_create(&visitors[i].thread, NULL,
						visitor_main, &visitors[i]), 0);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(visitors[i].thread, NULL);
		refused += visitors[i].was_refused;
		assert_int_equal(visitors[i].ret, 0);
	}
	pthread_barrier_destroy(&all_there);
	return refused;
}

static int start_page(struct mmu_notifier_range *range, bool blockable)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, PG(0), PG(1));
	if (blockable)
		return mmu_notifier_invalidate_range_start(range);
	return mmu_notifier_invalidate_range_start_nonblock(range);
}

static void nonblock_twice(struct visitor *v)
{
	struct mmu_notifier_range range;

	starve(0, LONG_MAX);
	v->ret = start_page(&range, false);
	if (v->ret == -EAGAIN && failed) {
		v->was_refused = true;
		/* An end would be wrong; it finds that nothing is open. */
		starve_no_more();
		v->ret = start_page(&range, false);
	}
	if (!v->ret)
		mmu_notifier_invalidate_range_end(&range);
}

static void a_nonblocking_start(void **state)
{
	unsigned long starts = stats().starts;

	assert_int_equal(insert_plain(0), 0);
	calls = 0;
	assert_in_range(visit_with_all(nonblock_twice), 1, THREADS);
	/* What was refused was not announced, and called nobody. */
	assert_int_equal(stats().starts, starts + THREADS);
	assert_int_equal(calls, THREADS);
	mmu_interval_notifier_remove(&subs[0]);
}

/* Memory is back when it has been asked for five times, if not before. */
#define TIMES 5

static void blockable_start(struct visitor *v)
{
	struct mmu_notifier_range range;

	starve(0, TIMES);
	v->ret = start_page(&range, true);
	v->was_refused = failed;
	if (!v->ret)
		mmu_notifier_invalidate_range_end(&range);
}

static void a_blockable_start_waits_for_it(void **state)
{
	unsigned long starts = stats().starts;

	assert_int_equal(insert_plain(0), 0);
	calls = 0;
	assert_in_range(visit_with_all(blockable_start), 1, THREADS);
	assert_int_equal(stats().starts, starts + THREADS);
	assert_int_equal(calls, THREADS);
	mmu_interval_notifier_remove(&subs[0]);
}

/* Those that walk the list of notifiers need a place as well. */
static bool never_young(struct mmu_notifier *list, struct mm_struct *unused,
			unsigned long start, unsigned long end)
{
	return true;
}

static void ask_for_young(struct visitor *v)
{
	starve(0, TIMES);
	v->ret = !mmu_notifier_clear_young(mm, PG(0), PG(1));
	v->was_refused = failed;
}

static void a_walk_of_the_list_waits_for_it(void **state)
{
	static const struct mmu_notifier_ops ops = { .clear_young = never_young };
	struct mmu_notifier list = { .ops = &ops };

	assert_int_equal(mmu_notifier_register(&list, mm), 0);
	assert_in_range(visit_with_all(ask_for_young), 1, THREADS);
	mmu_notifier_unregister(&list, mm);
}

/* A read counts in such a place, and goes without if there is none. */
static void read_after_a_hit(struct visitor *v)
{
	unsigned long seq;

	starve(0, LONG_MAX);
	seq = mmu_interval_read_begin(&subs[0]);
	v->ret = mmu_interval_read_retry(&subs[0], seq);
	v->ret |= !mmu_interval_read_retry(&subs[0], seq + 2);
	v->was_refused = failed;
	uhmm_interval_unreserve(&subs[0]);
}

static void a_read_goes_without(void **state)
{
	assert_int_equal(insert_plain(0), 0);
	calls_of(0, 1);
	assert_in_range(visit_with_all(read_after_a_hit), 1, THREADS);
	mmu_interval_notifier_remove(&subs[0]);
}

/* The end of an address space cannot fail. */
static void end_it(struct visitor *v)
{
	if (v != &visitors[THREADS - 1])
		return;
	starve(0, TIMES);
	end_mm();
	v->was_refused = failed;
}

static void the_end_waits_for_it(void **state)
{
	assert_int_equal(insert_plain(0), 0);
	calls = 0;
	visit_with_all(end_it);
	assert_int_equal(calls, 1);
	mmu_interval_notifier_remove(&subs[0]);
}

/* ----------------------------------------------------------------- reservations */

static void reserve_many(void)
{
	unsigned int refused = 0, had = from_malloc, i, n;
	int ret;

	for (i = 0; i < 100; i++) {
		for (n = 0;; n++) {
			starve(n, 1);
			ret = uhmm_interval_reserve(&subs[i]);
			starve_no_more();
			if (!failed)
				break;
			refused++;
			assert_int_equal(ret, -ENOMEM);
			assert_int_equal(stats().reserves, i);
		}
		assert_int_equal(ret, 0);
	}
	assert_int_equal(refused, 1);
	/* That may wait for a callback that the caller holds up. */
	assert_int_equal(from_malloc, had);
}

static void a_reservation(void **state)
{
	unsigned int i;

	for (i = 0; i < 101; i++)
		assert_int_equal(insert_plain(i), 0);
	reserve_many();
	assert_int_equal(stats().reserves_lost, 0);
	for (i = 0; i < 101; i++)
		uhmm_interval_unreserve(&subs[i]);
	/* Nobody is waited for any more. */
	assert_int_equal(calls_of(0, 101), 101);
	assert_int_equal(stats().reserves_lost, 0);
	for (i = 0; i < 101; i++)
		mmu_interval_notifier_remove(&subs[i]);
}

/* One that collides gets none, and is a bare collision-retry then. */
static void a_reservation_by_collisions(void **state)
{
	unsigned int i, had;
	unsigned long seq;

	/* There is room for four. */
	for (i = 0; i < 5; i++)
		assert_int_equal(insert_plain(i), 0);
	for (i = 1; i < 5; i++)
		assert_int_equal(uhmm_interval_reserve(&subs[i]), 0);
	had = from_malloc;
	for (i = 0; i < 10; i++) {
		seq = mmu_interval_read_begin(&subs[0]);
		calls_of(0, 1);
		starve(0, LONG_MAX);
		assert_true(mmu_interval_read_retry(&subs[0], seq));
		starve_no_more();
		assert_int_equal(stats().reserves, 4);
	}
	assert_int_equal(from_malloc, had);
	seq = mmu_interval_read_begin(&subs[0]);
	assert_false(mmu_interval_read_retry(&subs[0], seq));
	for (i = 1; i < 5; i++)
		uhmm_interval_unreserve(&subs[i]);
	for (i = 0; i < 5; i++)
		mmu_interval_notifier_remove(&subs[i]);
}

/* -------------------------------------------------------------- what others make */

static struct mmu_notifier *nothing_made(struct mm_struct *unused)
{
	return NULL;
}

static struct mmu_notifier *error_made(struct mm_struct *unused)
{
	return uhmm_err_ptr(-EMLINK);
}

static void free_nothing(struct mmu_notifier *list)
{
	fail_msg("there is nothing to free");
}

static void a_notifier_that_is_not_made(void **state)
{
	static const struct mmu_notifier_ops none = {
		.alloc_notifier = nothing_made,
		.free_notifier = free_nothing,
	};
	static const struct mmu_notifier_ops error = {
		.alloc_notifier = error_made,
		.free_notifier = free_nothing,
	};

	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&none, mm)), -ENOMEM);
	assert_int_equal(uhmm_ptr_err(mmu_notifier_get(&error, mm)), -EMLINK);
	assert_false(mm_has_notifiers(mm));
	/* The lock has been given back. */
	assert_true(mmap_write_trylock(mm));
	mmap_write_unlock(mm);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(an_address_space),
		CASE(an_insert),
		CASE(what_is_large_is_on_huge_pages_from_the_first_on),
		CASE(an_insert_under_the_lock),
		CASE(a_tagged_insert),
		CASE(a_remove_needs_none),
		CASE(a_nonblocking_start),
		CASE(a_blockable_start_waits_for_it),
		CASE(a_walk_of_the_list_waits_for_it),
		CASE(a_read_goes_without),
		CASE(the_end_waits_for_it),
		/* A thread keeps the room that it got. */
		CASE(a_reservation_by_collisions),
		CASE(a_reservation),
		CASE(a_notifier_that_is_not_made),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
