/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache in a live process: what each guarantee promises of it,
 * row by row as in docs/rcache.md, with a device that looks whether the memory is
 * still there as it is let go of.
 */
#include <sys/syscall.h>
#include <sys/wait.h>

#include <uhmm/rcache.h>

#include "live_util.h"

#define RW (PROT_READ | PROT_WRITE)
#define GAP (1UL << 16)

static struct uhmm_rcache *cache;
static int regs, deregs, in_time;

static int dev_reg(void *device, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key)
{
	*ret_key = (uint64_t)++regs;
	return 0;
}

/* Each page has what was written to it. */
static int dev_dereg(void *device, unsigned long start, size_t length,
		     uint64_t key)
{
	unsigned char in_core;
	char *page = (char *)start;

	deregs++;
	if (!mincore(page, PAGE, &in_core) && in_core && *page == 1)
		in_time++;
	return 0;
}

static void make(enum uhmm_guarantee guarantee, unsigned int flags)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "looks", .reg = dev_reg, .dereg = dev_dereg,
	};
	struct uhmm_rcache_options options = { .size = sizeof(options),
					       .flags = flags };

	make_live(guarantee, 0, 0);
	if (info().guarantee < guarantee) {
		print_message("# no G%d here\n", (int)guarantee - (int)UHMM_G0);
		skip();
	}
	regs = deregs = in_time = 0;
	assert_int_equal(uhmm_rcache_create(mm, &ops, NULL, &options, &cache),
			 0);
}

static void unmake(void)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(regs, deregs);
}

static struct uhmm_registration get(const char *page)
{
	struct uhmm_registration reg;

	assert_int_equal(uhmm_rcache_get(cache, (unsigned long)page, PAGE, 1,
					 &reg), 0);
	return reg;
}

static uint64_t touch(const char *page)
{
	struct uhmm_registration reg = get(page);

	uhmm_rcache_put(&reg);
	return reg.key;
}

/* ------------------------------------------------------------------ G1 */

static void at_g1_the_device_is_first(void **state)
{
	char *p = some_pages(1), *q = some_pages(1);

	make(UHMM_G1, 0);
	touch(p);
	assert_int_equal(munmap(p, PAGE), 0);
	assert_int_equal(deregs, 1);
	assert_int_equal(in_time, 1);
	touch(q);
	assert_int_equal(madvise(q, PAGE, MADV_DONTNEED), 0);
	assert_int_equal(deregs, 2);
	assert_int_equal(in_time, 2);
	munmap(q, PAGE);
	unmake();
}

static void what_is_in_use_goes_with_its_last_put(void **state)
{
	char *p = some_pages(1);
	struct uhmm_registration held;

	make(UHMM_G1, 0);
	held = get(p);
	assert_int_equal(munmap(p, PAGE), 0);
	assert_ptr_equal(map_at(p, 1, RW, MAP_FIXED_NOREPLACE), p);
	assert_int_equal(deregs, 0);
	assert_int_not_equal(touch(p), held.key);
	uhmm_rcache_put(&held);
	assert_int_equal(deregs, 1);
	munmap(p, PAGE);
	unmake();
}

/* The calls of libc are told of, this one is none. */
static void what_goes_around_libc_is_seen_later(void **state)
{
	char *p = some_pages(1);
	uint64_t old;

	make(UHMM_G1, 0);
	old = touch(p);
	assert_int_equal(syscall(SYS_munmap, p, PAGE), 0);
	settle();
	p = map_at(p, 1, RW, MAP_FIXED_NOREPLACE);
	*p = 1;
	assert_int_not_equal(touch(p), old);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 1), 0);
	assert_int_equal(deregs, 1);
	munmap(p, PAGE);
	unmake();
}

static void the_lazy_leave_it_at_g1_too(void **state)
{
	char *p = some_pages(1);

	make(UHMM_G1, UHMM_RCACHE_LAZY);
	touch(p);
	assert_int_equal(munmap(p, PAGE), 0);
	assert_int_equal(deregs, 0);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 1), 0);
	assert_int_equal(deregs, 1);
	unmake();
}

/* As libibverbs does, which keeps what is registered from children. */
static int reg_keeps(void *device, unsigned long start, size_t length,
		     unsigned int access, uint64_t *ret_key)
{
	if (madvise((void *)start, length, MADV_DONTFORK))
		return -errno;
	return dev_reg(device, start, length, access, ret_key);
}

static int dereg_keeps(void *device, unsigned long start, size_t length,
		       uint64_t key)
{
	madvise((void *)start, length, MADV_DOFORK);
	return dev_dereg(device, start, length, key);
}

/* That is no change of memory, or nothing would ever be registered. */
static void a_device_may_keep_memory_from_children(void **state)
{
	static const struct uhmm_rcache_ops ops = {
		.name = "keeps", .reg = reg_keeps, .dereg = dereg_keeps,
		.flags = UHMM_RCACHE_FREES,
	};
	char *p = some_pages(4);

	make(UHMM_G1, 0);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(uhmm_rcache_create(mm, &ops, NULL, NULL, &cache), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(touch(p + PAGE), touch(p + PAGE));
		assert_int_equal(regs, i + 1);
		assert_int_equal(madvise(p, 4 * PAGE, MADV_DONTNEED), 0);
	}
	munmap(p, 4 * PAGE);
	unmake();
}

/* ------------------------------------------------------------------ G0 */

static void at_g0_it_goes_once_that_is_known(void **state)
{
	char *p = some_pages(1);
	uint64_t old;

	make(UHMM_G0, 0);
	old = touch(p);
	assert_int_equal(touch(p), old);
	assert_int_equal(munmap(p, PAGE), 0);
	p = map_at(p, 1, RW, MAP_FIXED_NOREPLACE);
	*p = 1;
	/* It asks, and waits. */
	assert_int_not_equal(touch(p), old);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 1), 0);
	assert_int_equal(deregs, 1);
	munmap(p, PAGE);
	settle();
	uhmm_rcache_flush(cache, 0, 1);
	assert_int_equal(deregs, 2);
	unmake();
}

/* ----------------------------------------------------------------- both */

/* What cannot be watched is not registered, and nothing is left of it. */
static void what_is_not_there_is_refused(void **state)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };
	struct uhmm_registration reg = { .key = 7 };
	/* In the middle of a gap: others are given its end. */
	char *gap = map_at(NULL, GAP, PROT_NONE, MAP_NORESERVE);

	make(UHMM_G0, 0);
	munmap(gap, GAP * PAGE);
	assert_int_equal(uhmm_rcache_get(cache, (unsigned long)gap +
					 GAP / 2 * PAGE, 1, 1, &reg), -EFAULT);
	assert_int_equal(reg.key, 7);
	assert_int_equal(regs, 0);
	assert_int_equal(uhmm_rcache_flush(cache, 0, 0), 0);
	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	assert_int_equal(s.entries, 0);
	assert_int_equal(s.failures, 1);
	unmake();
}

static int child(const char *page, struct uhmm_registration *held)
{
	struct uhmm_registration reg;
	int before = deregs;

	if (uhmm_rcache_get(cache, (unsigned long)page, 1, 1, &reg) != -ESRCH)
		return 1;
	uhmm_rcache_put(held);
	if (munmap((void *)page, PAGE) || uhmm_rcache_flush(cache, 0, 0))
		return 2;
	if (uhmm_rcache_destroy(cache))
		return 3;
	return deregs == before ? 0 : 4;
}

static void fork_with(enum uhmm_guarantee guarantee)
{
	struct uhmm_registration held, other;
	char *p = some_pages(2);
	int status;
	pid_t pid;

	make(guarantee, 0);
	held = get(p);
	other = get(p + PAGE);
	uhmm_rcache_put(&other);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(child(p, &held));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* Pages are shared with it: what was registered has ended here, too. */
	settle();
	assert_int_not_equal(touch(p + PAGE), other.key);
	uhmm_rcache_put(&held);
	munmap(p, 2 * PAGE);
	settle();
	unmake();
}

static void a_child_has_nothing_at_g0(void **state)
{
	fork_with(UHMM_G0);
}

static void nor_at_g1(void **state)
{
	fork_with(UHMM_G1);
}

static void it_adds_no_thread(void **state)
{
	char *p = some_pages(1);
	int before;

	make(UHMM_G0, 0);
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	before = threads_of_this_process();
	assert_int_equal(uhmm_rcache_create(mm, &(struct uhmm_rcache_ops){
		.reg = dev_reg, .dereg = dev_dereg }, NULL, NULL, &cache), 0);
	touch(p);
	munmap(p, PAGE);
	settle();
	assert_int_equal(threads_of_this_process(), before);
	unmake();
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		CASE_BARE(at_g1_the_device_is_first),
		CASE_BARE(what_is_in_use_goes_with_its_last_put),
		CASE_BARE(what_goes_around_libc_is_seen_later),
		CASE_BARE(the_lazy_leave_it_at_g1_too),
		CASE_BARE(a_device_may_keep_memory_from_children),
		CASE_BARE(at_g0_it_goes_once_that_is_known),
		CASE_BARE(what_is_not_there_is_refused),
		CASE_BARE(a_child_has_nothing_at_g0),
		CASE_BARE(nor_at_g1),
		CASE_BARE(it_adds_no_thread),
	};

	/* While there is one thread. */
	uhmm_live_patch(UHMM_G1, NULL);
	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_rcache", tests, NULL,
					   NULL);
}
