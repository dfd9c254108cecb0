/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache: what threads do to each other, and what they do not. A
 * hit writes nothing that is shared, and waits for nobody; a registration keeps
 * nobody up.
 */
#include <signal.h>
#include <sys/mman.h>

#include "rcache_util.h"
#include "rcache/internal.h"

/* -------------------------------------------------- what a hit writes to */

/* What threads share, page by page; and whether it can be written now. */
static struct {
	void *pages;
	size_t size;
} shared[3];
static volatile sig_atomic_t writes, elsewhere;

static void share(int prot)
{
	for (int i = 0; i < 3; i++)
		mprotect(shared[i].pages, shared[i].size, prot);
}

static void wrote(int sig, siginfo_t *info, void *unused)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	bool ours = false;

	for (int i = 0; i < 3; i++)
		ours |= at - (uintptr_t)shared[i].pages < shared[i].size;
	writes++;
	elsewhere += !ours;
	if (elsewhere)
		signal(SIGSEGV, SIG_DFL);
	share(PROT_READ | PROT_WRITE);
}

static void watch_shared(void)
{
	struct sigaction action = { .sa_sigaction = wrote,
				    .sa_flags = SA_SIGINFO };

	shared[0].pages = cache;
	shared[0].size = sizeof(*cache);
	shared[1].pages = cache->hints;
	shared[1].size = cache->hints->size;
	shared[2].pages = cache->pool[0];
	shared[2].size = POOL_FIRST * sizeof(struct region);
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	writes = elsewhere = 0;
}

/* How often it wrote to what is shared; after the first all may be written. */
static int writes_of(unsigned long start, unsigned long length)
{
	struct uhmm_registration reg;
	int err;

	writes = 0;
	share(PROT_READ);
	err = uhmm_rcache_get(cache, start, length, RW, &reg);
	if (!err)
		uhmm_rcache_put(&reg);
	share(PROT_READ | PROT_WRITE);
	assert_int_equal(err, 0);
	return writes;
}

static void a_hit_writes_nothing_that_is_shared(void **state)
{
	make(0, 0, 0, 0);
	touch(PG(1), PAGES(2), RW);
	touch(PG(10), PAGES(20), RW);
	/* Inside of it a page's hint leads there. */
	for (int i = 0; i < 2; i++) {
		touch(PG(1), PAGES(2), RW);
		touch(PG(15), 1, RW);
	}
	watch_shared();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(writes_of(PG(1), PAGES(2)), 0);
		assert_int_equal(writes_of(PG(15), 1), 0);
	}
	/* What does is noticed. */
	assert_true(writes_of(PG(50), 1) > 0);
	signal(SIGSEGV, SIG_DFL);
	unmake();
}

/* The eviction has been there: the first hit says that it is used, the next not. */
static void it_says_once_that_an_entry_is_used(void **state)
{
	static const unsigned long places[] = { PG(1), PG(15) };

	make(0, 0, 0, 0);
	touch(PG(1), PAGES(2), RW);
	touch(PG(10), PAGES(20), RW);
	for (int i = 0; i < 2; i++) {
		touch(PG(1), PAGES(2), RW);
		touch(PG(15), 1, RW);
	}
	watch_shared();
	for (unsigned long i = 0; i < hint_places(cache->hints); i++)
		cache->hints->hint[i].used = 0;
	for (unsigned long i = 0; i < cache->pooled; i++)
		region_at(cache, i)->used = 0;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(writes_of(places[i], 1), 1);
		assert_int_equal(writes_of(places[i], 1), 0);
	}
	signal(SIGSEGV, SIG_DFL);
	unmake();
}

static struct gate gate;
static int wrong;

static void warm_then_hit(void *unused)
{
	struct uhmm_registration reg;

	for (int i = 0; i < 3; i++) {
		if (uhmm_rcache_get(cache, PG(1), 1, RW, &reg))
			count(&wrong);
		else
			uhmm_rcache_put(&reg);
		if (!i)
			gate_pass(&gate);
	}
}

static void a_hit_takes_no_lock(void **state) __no_context_analysis
{
	struct task task;

	make(0, 0, 0, 0);
	touch(PG(1), 1, RW);
	gate_init(&gate);
	set(&wrong, 0);
	task_start(&task, warm_then_hit, NULL);
	gate_await(&gate);
	mutex_lock(&cache->reaping);
	spin_lock(&cache->lock);
	gate_open(&gate);
	assert_false(task_waits(&task));
	spin_unlock(&cache->lock);
	mutex_unlock(&cache->reaping);
	task_join(&task);
	assert_int_equal(wrong, 0);
	assert_int_equal(cache_stats().hits, 3);
	unmake();
}

/* ------------------------------------------- what goes on beside a miss */

static void stay(void)
{
	gate_pass(&gate);
}

static void miss_task(void *reg)
{
	if (uhmm_rcache_get(cache, PG(1), PAGES(4), RW, reg))
		count(&wrong);
}

/* The device takes its time; nobody waits for that but who asked it. */
static void registrations_keep_nobody_up(void **state)
{
	struct uhmm_registration slow, part, other;
	struct task task;

	make(0, 0, 0, 4);
	gate_init(&gate);
	set(&wrong, 0);
	device.hook = stay;
	task_start(&task, miss_task, &slow);
	gate_await(&gate);
	other = get(PG(10), 1, RW);
	part = get(PG(2), 1, RW);
	assert_int_equal(device.regs, 2);
	invalidate(PG(10), PG(11));
	uhmm_rcache_put(&other);
	assert_int_equal(device.deregs, 1);
	assert_int_equal(uhmm_rcache_flush(cache, PG(20), 1), 0);
	uhmm_rcache_put(&part);
	touch(PG(2), 1, RW);
	assert_int_equal(cache_stats().hits, 1);
	gate_open(&gate);
	task_join(&task);
	assert_int_equal(wrong, 0);
	uhmm_rcache_put(&slow);
	/* What came meanwhile is merged into it. */
	touch(PG(2), 1, RW);
	assert_int_equal(device.regs, 3);
	unmake();
}

/* An invalidation of what is being registered does not wait for that either. */
static void nor_who_changes_that(void **state)
{
	struct uhmm_registration reg;
	struct task task;

	make(0, 0, 0, 0);
	gate_init(&gate);
	set(&wrong, 0);
	device.hook = stay;
	task_start(&task, miss_task, &reg);
	gate_await(&gate);
	invalidate(PG(2), PG(3));
	gate_open(&gate);
	task_join(&task);
	assert_int_equal(wrong, 0);
	assert_int_equal(cache_stats().collisions, 1);
	assert_int_equal(device.regs, 2);
	uhmm_rcache_put(&reg);
	unmake();
}

/* A get while a change is on its way waits for the end of it. */
static void what_changes_is_registered_when_that_is_over(void **state)
{
	struct mmu_notifier_range range;
	struct uhmm_registration reg;
	struct task task;

	make(0, 0, 0, 0);
	set(&wrong, 0);
	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, mm, PG(2), PG(3));
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	task_start(&task, miss_task, &reg);
	assert_true(task_waits(&task));
	assert_int_equal(device.regs, 0);
	mmu_notifier_invalidate_range_end(&range);
	task_join(&task);
	assert_int_equal(wrong, 0);
	assert_int_equal(device.regs, 1);
	uhmm_rcache_put(&reg);
	unmake();
}

/* ------------------------------------------------------------ for ever */

static void hit_it_again(void)
{
	invalidate(PG(1), PG(2));
	device.hook = hit_it_again;
}

static void who_collides_for_ever_is_told(void **state)
{
	struct uhmm_registration reg = { .key = 7 };

	make(0, 0, 0, 0);
	device.hook = hit_it_again;
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, RW, &reg), -EAGAIN);
	assert_int_equal(reg.key, 7);
	assert_true(cache_stats().collisions > 1000);
	assert_int_equal(device.regs, device.deregs);
	/* Nor does what the device keeps gather without end. */
	device.stuck = INT_MAX;
	assert_int_equal(uhmm_rcache_get(cache, PG(1), 1, RW, &reg), -EAGAIN);
	assert_true(cache_stats().retired < 20);
	device.stuck = 0;
	device.hook = NULL;
	touch(PG(1), 1, RW);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 0);
	unmake();
}

static void nothing(void *unused)
{
}

static void it_has_no_thread_of_its_own(void **state)
{
	struct task task;
	int before;

	/* A sanitizer may start its own with the first. */
	task_start(&task, nothing, NULL);
	task_join(&task);
	thread_wait_gone(task.tid);
	before = threads_of_this_process();
	make(UHMM_RCACHE_LAZY, 4, 0, 4);
	for (int i = 0; i < 10; i++)
		touch(PG(2 * i), 1, RW);
	invalidate(PG(0), PG(100));
	touch(PG(0), 1, RW);
	assert_int_equal(threads_of_this_process(), before);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE(a_hit_writes_nothing_that_is_shared),
		CASE(it_says_once_that_an_entry_is_used),
		CASE(a_hit_takes_no_lock),
		CASE(registrations_keep_nobody_up),
		CASE(nor_who_changes_that),
		CASE(what_changes_is_registered_when_that_is_over),
		CASE(who_collides_for_ever_is_told),
		CASE(it_has_no_thread_of_its_own),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
