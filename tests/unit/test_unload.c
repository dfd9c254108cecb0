/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The shared library, closed before a thread ends that used it. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

static const char *path;
static void *library;
static struct mm_struct *mm;
static pthread_barrier_t closed;

static void *symbol(const char *name)
{
	void *found = dlsym(library, name);

	assert_non_null(found);
	return found;
}

static void *use_it(void *unused)
{
	int (*start)(struct mmu_notifier_range *) =
		symbol("mmu_notifier_invalidate_range_start");
	void (*end)(struct mmu_notifier_range *) =
		symbol("mmu_notifier_invalidate_range_end");
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, mm, 4096, 8192);
	start(&range);
	end(&range);
	pthread_barrier_wait(&closed);
	pthread_barrier_wait(&closed);
	return NULL;
}

static void a_thread_may_end_after_it_was_closed(void **state)
{
	int (*create)(struct mm_struct **);
	pthread_t thread;

	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		fail_msg("%s", dlerror());
	create = symbol("uhmm_mm_create");
	assert_int_equal(create(&mm), 0);
	pthread_barrier_init(&closed, NULL, 2);
	assert_int_equal(pthread_create(&thread, NULL, use_it, NULL), 0);
	pthread_barrier_wait(&closed);
	((void (*)(struct mm_struct *))symbol("mmput"))(mm);
	assert_int_equal(dlclose(library), 0);
	pthread_barrier_wait(&closed);
	assert_int_equal(pthread_join(thread, NULL), 0);
	pthread_barrier_destroy(&closed);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		cmocka_unit_test(a_thread_may_end_after_it_was_closed),
	};

	if (argc != 2)
		return 2;
	path = argv[1];
	return cmocka_run_group_tests(cases, NULL, NULL);
}
