/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What is the same of all devices of other libraries, tried with what stands in for
 * these: memory that changes, a fork, and no memory. The arguments are the paths of
 * libibverbs and of libcuda.
 *
 * Linked with sync_alloc_pages wrapped.
 */
#include <dlfcn.h>

#include <uhmm/rcache_cuda.h>
#include <uhmm/rcache_verbs.h>

#include "fake_cuda.h"
#include "fake_verbs.h"
#include "rcache/internal.h"
#include "util.h"

static const char *verbs_path, *cuda_path;
static struct uhmm_rcache_verbs *verbs;
static struct uhmm_rcache_cuda *cuda;
static struct uhmm_rcache *cache;
static struct fake_device *fake;
static void *library;
static int ours;		/* a domain, a context */

static bool no_memory;

void *__real_sync_alloc_pages(size_t size);
void *__wrap_sync_alloc_pages(size_t size);

void *__wrap_sync_alloc_pages(size_t size)
{
	return no_memory ? NULL : __real_sync_alloc_pages(size);
}

static void *open_library(const char *path, const char *name)
{
	void *symbol;

	library = dlopen(path, RTLD_NOW);
	assert_non_null(library);
	symbol = dlsym(library, name);
	assert_non_null(symbol);
	return symbol;
}

static void make(const struct uhmm_rcache_ops *ops, void *device)
{
	assert_int_equal(uhmm_mm_create(&mm), 0);
	assert_int_equal(uhmm_rcache_create(mm, ops, device, NULL, &cache), 0);
}

static int with_verbs(void **state)
{
	struct fake_verbs *f = open_library(verbs_path, "fake_verbs");

	*f = (struct fake_verbs){ 0 };
	fake = &f->device;
	assert_int_equal(uhmm_rcache_verbs_create(&ours, verbs_path, &verbs),
			 0);
	make(uhmm_rcache_verbs_ops(), verbs);
	return 0;
}

static int with_cuda(void **state)
{
	struct fake_cuda *f = open_library(cuda_path, "fake_cuda");

	*f = (struct fake_cuda){ .context = &ours };
	fake = &f->device;
	assert_int_equal(uhmm_rcache_cuda_create(&ours, cuda_path, &cuda), 0);
	make(uhmm_rcache_cuda_ops(), cuda);
	return 0;
}

static int end(void **state)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(fake->alive, 0);
	if (verbs)
		uhmm_rcache_verbs_destroy(verbs);
	if (cuda)
		uhmm_rcache_cuda_destroy(cuda);
	verbs = NULL;
	cuda = NULL;
	mmput(mm);
	dlclose(library);
	return 0;
}

static int get(struct uhmm_registration *reg)
{
	return uhmm_rcache_get(cache, PG(1), 1, UHMM_RCACHE_WRITE, reg);
}

/* -------------------------------------------------------------------- cases */

static int memory;

static void memory_changes(void)
{
	struct mmu_notifier_range range;

	begin_range(&range, PG(1), PG(2));
	memory++;
	end_range(&range);
}

/* Once it is registered, and before that is known. */
static void register_and_change(void)
{
	struct uhmm_registration reg;

	fake->memory = &memory;
	fake->hook = memory_changes;
	assert_int_equal(get(&reg), 0);
	uhmm_rcache_put(&reg);
}

static void what_changes_meanwhile_is_registered_again(void **state)
{
	register_and_change();
	assert_int_equal(fake->copied, memory);
	assert_int_equal(fake->made, 2);
	assert_int_equal(fake->alive, 1);
}

/* Known to be bad: found from then on, and checked by nobody. */
static void without_the_check_it_is_stale(void **state)
{
	rcache_broken = BROKEN_CHECK;
	register_and_change();
	rcache_broken = 0;
	assert_int_not_equal(fake->copied, memory);
}

/* Before memory changes, or, if somebody has it, at the last put. */
static void the_device_is_first(void **state)
{
	struct mmu_notifier_range range;
	struct uhmm_registration reg;

	for (int used = 0; used < 2; used++) {
		assert_int_equal(get(&reg), 0);
		if (!used)
			uhmm_rcache_put(&reg);
		begin_range(&range, PG(1), PG(2));
		assert_int_equal(fake->alive, used);
		end_range(&range);
		if (used)
			uhmm_rcache_put(&reg);
		assert_int_equal(fake->alive, 0);
	}
}

/* So in a live process no callback lets go of anything. */
static void letting_go_frees(void **state)
{
	const struct uhmm_rcache_ops *ops =
		verbs ? uhmm_rcache_verbs_ops() : uhmm_rcache_cuda_ops();

	assert_int_equal(ops->flags, UHMM_RCACHE_FREES);
}

static int child(void *held)
{
	struct uhmm_registration reg;
	int calls = fake->calls;

	if (get(&reg) != -ESRCH)
		return 1;
	invalidate(PG(1), PG(2));
	uhmm_rcache_put(held);
	if (uhmm_rcache_flush(cache, 0, 0) || uhmm_rcache_destroy(cache))
		return 2;
	return fake->calls == calls ? 0 : 3;
}

/* What the parent has registered is its own, and the library is not asked. */
static void a_child_leaves_the_device_alone(void **state)
{
	struct uhmm_registration reg;

	assert_int_equal(get(&reg), 0);
	assert_int_equal(in_child(child, &reg), 0);
	assert_int_equal(fake->alive, 1);
	uhmm_rcache_put(&reg);
}

static void there_may_be_no_memory(void **state)
{
	struct uhmm_rcache_verbs *no_verbs = NULL;
	struct uhmm_rcache_cuda *no_cuda = NULL;
	int err, other;

	no_memory = true;
	err = uhmm_rcache_verbs_create(&ours, verbs_path, &no_verbs);
	other = uhmm_rcache_cuda_create(&ours, cuda_path, &no_cuda);
	no_memory = false;
	assert_int_equal(err, -ENOMEM);
	assert_int_equal(other, -ENOMEM);
	assert_null(no_verbs);
	assert_null(no_cuda);
}

#define BOTH(fn)                                                             \
	{ "verbs: " #fn, fn, with_verbs, end, NULL },                        \
	{ "cuda: " #fn, fn, with_cuda, end, NULL }

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		BOTH(what_changes_meanwhile_is_registered_again),
		BOTH(without_the_check_it_is_stale),
		BOTH(the_device_is_first),
		BOTH(letting_go_frees),
		BOTH(a_child_leaves_the_device_alone),
		cmocka_unit_test(there_may_be_no_memory),
	};

	if (argc < 3)
		return 2;
	verbs_path = argv[1];
	cuda_path = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
