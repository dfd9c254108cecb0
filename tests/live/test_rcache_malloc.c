/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A cache that is used from inside of malloc() and free(), misses too, and in
 * handlers of fork(), as by an allocator that registers what it gives out. This
 * program's malloc() is such a one; where a sanitizer has its own, what is called
 * in its place.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <sys/wait.h>

#include <uhmm/rcache.h>

#include "live_util.h"

enum { PLACES = 20000, CALLS = 6000, FORKS = 100, WORKERS = 2 };

static struct uhmm_rcache *cache;
static struct mm_struct *bare;
static char *arena;
static int next_place;

/* What the threads saw, for the main thread. */
static int misses, wrong, nested, live_entries;
static __thread bool armed, inside;

static int dev_reg(void *device, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key)
{
	__atomic_add_fetch(&live_entries, 1, __ATOMIC_SEQ_CST);
	*ret_key = start;
	return 0;
}

static int dev_dereg(void *device, unsigned long start, size_t length,
		     uint64_t key)
{
	__atomic_sub_fetch(&live_entries, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static const struct uhmm_rcache_ops dev_ops = {
	.name = "counts", .reg = dev_reg, .dereg = dev_dereg,
};

static void expect(bool right)
{
	if (!right)
		__atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
}

/* ------------------------------------------------------- what goes on inside */

static void change(char *page)
{
	struct mmu_notifier_range range;

	if (!bare) {
		expect(!madvise(page, PAGE, MADV_DONTNEED));
		return;
	}
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, bare,
				(unsigned long)page,
				(unsigned long)page + PAGE);
	expect(!mmu_notifier_invalidate_range_start(&range));
	mmu_notifier_invalidate_range_end(&range);
}

/* A miss, a hit, and at times a change of what is in use. */
static void use(void)
{
	int n = __atomic_fetch_add(&next_place, 1, __ATOMIC_SEQ_CST);
	char *page = arena + (unsigned long)(n % PLACES) * PAGE;
	struct uhmm_registration miss, hit;

	if (uhmm_rcache_get(cache, (unsigned long)page, PAGE, 1, &miss)) {
		expect(false);
		return;
	}
	__atomic_add_fetch(&misses, 1, __ATOMIC_SEQ_CST);
	if (uhmm_rcache_get(cache, (unsigned long)page, 1, 1, &hit)) {
		expect(false);
	} else {
		expect(hit.key == miss.key);
		uhmm_rcache_put(&hit);
	}
	if (n % 8 == 0)
		change(page);
	uhmm_rcache_put(&miss);
}

static void from_inside(void)
{
	if (!armed)
		return;
	if (inside) {
		/* What allocates in there calls itself for ever. */
		__atomic_add_fetch(&nested, 1, __ATOMIC_SEQ_CST);
		return;
	}
	inside = true;
	use();
	inside = false;
}

#ifdef THEIR_MALLOC
static void *allocate(size_t size)
{
	from_inside();
	return malloc(size);
}

static void give_back(void *p)
{
	from_inside();
	free(p);
}
#else
static void *(*next_malloc)(size_t size);
static void *(*next_calloc)(size_t n, size_t size);
static void *(*next_aligned_alloc)(size_t alignment, size_t size);
static void (*next_free)(void *p);

static void find_next(void)
{
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	next_aligned_alloc =
		(void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
	next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
}

void *malloc(size_t size)
{
	if (!next_malloc)
		find_next();
	from_inside();
	return next_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	if (!next_malloc)
		find_next();
	from_inside();
	return next_calloc(n, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	from_inside();
	return next_aligned_alloc(alignment, size);
}

void free(void *p)
{
	if (!next_malloc)
		find_next();
	from_inside();
	next_free(p);
}

/* Compilers know that malloc() looks at no variable of theirs. */
static void *(*volatile allocate)(size_t size) = malloc;
static void (*volatile give_back)(void *p) = free;
#endif

/* ------------------------------------------------------------------- set up */

static void begin(bool on_bare)
{
	wrong = nested = misses = next_place = live_entries = 0;
	bare = NULL;
	if (on_bare)
		assert_int_equal(uhmm_mm_create(&bare), 0);
	arena = map_at(NULL, PLACES, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	assert_int_equal(uhmm_rcache_create(bare ? bare : mm, &dev_ops, NULL,
					    NULL, &cache), 0);
}

static void end(void)
{
	assert_int_equal(wrong, 0);
	assert_int_equal(nested, 0);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(live_entries, 0);
	cache = NULL;
	if (bare)
		mmput(bare);
	munmap(arena, PLACES * PAGE);
}

/* -------------------------------------------------------------------- malloc */

static void *allocates(void *unused)
{
	armed = true;
	for (int i = 0; i < CALLS / 2; i++)
		give_back(allocate((size_t)i % 500 + 1));
	armed = false;
	return NULL;
}

static void all_of_it(bool on_bare)
{
	pthread_t workers[WORKERS];

	begin(on_bare);
	for (int i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, allocates,
						NULL), 0);
	for (int i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	assert_in_range(misses, WORKERS * CALLS, PLACES);
	end();
}

static void misses_happen_inside_of_malloc(void **state)
{
	all_of_it(true);
}

static void and_in_a_live_process(void **state)
{
	all_of_it(false);
}

static void *spare;

/* A device that has memory of malloc() for each of its regions, as verbs have. */
static int reg_allocates(void *device, unsigned long start, size_t length,
			 unsigned int access, uint64_t *ret_key)
{
	live_entries++;
	*ret_key = (uintptr_t)spare;
	return 0;
}

static int dereg_frees(void *device, unsigned long start, size_t length,
		       uint64_t key)
{
	live_entries--;
	give_back((void *)(uintptr_t)key);
	return 0;
}

/* Each free() gives memory back to the kernel, and holds the lock of malloc(). */
static void a_device_may_free_as_it_lets_go(void **state)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "frees", .reg = reg_allocates, .dereg = dereg_frees,
		.flags = UHMM_RCACHE_FREES,
	};
	struct uhmm_rcache_stats stats = { .size = sizeof(stats) };
	struct uhmm_registration reg;
	char *memory;

	make_live(UHMM_G1, 0, 0);
	live_entries = 0;
	mallopt(M_MMAP_THRESHOLD, 16 << 20);
	mallopt(M_TRIM_THRESHOLD, 0);
	assert_int_equal(uhmm_rcache_create(mm, &ops, NULL, NULL, &cache), 0);
	for (int i = 0; i < 100; i++) {
		/* Below it, and too large for a thread's own cache. */
		spare = allocate(5000);
		memory = allocate(1 << 20);
		assert_int_equal(uhmm_rcache_get(cache, (unsigned long)memory,
						 1 << 20, 1, &reg), 0);
		uhmm_rcache_put(&reg);
		give_back(memory);
	}
	assert_int_equal(uhmm_rcache_get_stats(cache, &stats), 0);
	assert_true(stats.invalidated > 0);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(live_entries, 0);
	cache = NULL;
}

/* ---------------------------------------------------------------------- fork */

static int handled, in_child;
static bool forking;

/* Before and after, in the parent. */
static void handler(void)
{
	if (!forking)
		return;
	use();
	handled++;
}

static struct uhmm_registration kept;

static void child_handler(void)
{
	struct uhmm_registration reg;

	if (!forking)
		return;
	if (uhmm_rcache_get(cache, (unsigned long)arena, 1, 1, &reg) != -ESRCH)
		return;
	if (!in_child++)
		uhmm_rcache_put(&kept);
}

static int stop;

static void *uses_it(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST))
		use();
	return NULL;
}

/* Handlers are there from before the cache, and others from behind it. */
static void fork_often(bool on_bare)
{
	static bool more;
	pthread_t worker;
	int status;
	pid_t pid;

	begin(on_bare);
	if (!more)
		pthread_atfork(handler, handler, child_handler);
	more = true;
	stop = handled = in_child = 0;
	assert_int_equal(pthread_create(&worker, NULL, uses_it, NULL), 0);
	forking = true;
	for (int i = 0; i < FORKS; i++) {
		assert_int_equal(uhmm_rcache_get(cache, (unsigned long)arena,
						 1, 1, &kept), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			_exit(in_child != 2 || uhmm_rcache_destroy(cache));
		uhmm_rcache_put(&kept);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	forking = false;
	__atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(worker, NULL);
	assert_int_equal(handled, 4 * FORKS);
	end();
}

static void handlers_of_fork_use_it(void **state)
{
	fork_often(true);
}

static void in_a_live_process_too(void **state)
{
	fork_often(false);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE_BARE(misses_happen_inside_of_malloc),
		CASE(and_in_a_live_process),
		CASE(a_device_may_free_as_it_lets_go),
		CASE_BARE(handlers_of_fork_use_it),
		CASE(in_a_live_process_too),
	};

	pthread_atfork(handler, handler, child_handler);
	/* While there is one thread. */
	uhmm_live_patch(UHMM_G1, NULL);
	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_rcache_malloc", tests, NULL,
					   NULL);
}
