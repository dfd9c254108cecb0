/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A process that has used up its thread-specific keys before it comes to us:
 * nobody's value is touched, and threads that end are found all the same.
 */
#include "util.h"

#include <limits.h>

static pthread_key_t first_key;

static void invalidate_some(void *unused)
{
	int mark;

	pthread_setspecific(first_key, &mark);
	invalidate(PG(10), PG(11));
	if (pthread_getspecific(first_key) != &mark)
		abort();
}

static void without_keys_threads_come_and_go(void **state)
{
	struct mirror one;
	struct task task;

	mirror_add(&one, 1, PG(10), 1);
	one.quiet = true;
	for (int i = 0; i < 100; i++) {
		task_start(&task, invalidate_some, NULL);
		task_join(&task);
	}
	assert_in_range(stats().thread_blocks, 1, 20);
	mirror_drop(&one);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(without_keys_threads_come_and_go),
	};
	pthread_key_t key;

	assert_int_equal(pthread_key_create(&first_key, NULL), 0);
	for (int i = 1; i < PTHREAD_KEYS_MAX; i++)
		pthread_key_create(&key, NULL);
	assert_int_not_equal(pthread_key_create(&key, NULL), 0);
	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
