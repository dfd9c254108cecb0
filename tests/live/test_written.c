/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which pages were written: all that were, and none that were not. */
#include "live_util.h"

#include <sys/wait.h>

#define PAGES 200
#define WORDS ((PAGES + 63) / 64)
#define CLEAR UHMM_WRITTEN_CLEAR

static unsigned long bits[WORDS];

static long look(const void *p, size_t npages, unsigned int flags)
{
	return uhmm_live_written(mm, (unsigned long)p, npages, flags, bits);
}

static bool is_written(size_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static void need_it(void)
{
	if (info().guarantee < UHMM_G0 || !kernel_has(UHMM_LIVE_WP_ASYNC) ||
	    !kernel_has(UHMM_LIVE_PAGEMAP_SCAN))
		skip();
}

/* Pages that were written, and are known to have been. */
static char *clean_pages(size_t npages)
{
	char *p = some_pages(npages);

	assert_int_equal(look(p, npages, CLEAR), npages);
	assert_int_equal(look(p, npages, 0), 0);
	return p;
}

static void what_was_written_is_told(void **state)
{
	char *p;
	size_t i;

	need_it();
	p = clean_pages(PAGES);
	for (i = 0; i < PAGES; i += 3)
		p[i * PAGE] = 7;
	for (int again = 0; again < 2; again++) {
		assert_int_equal(look(p, PAGES, again ? CLEAR : 0),
				 (PAGES + 2) / 3);
		for (i = 0; i < PAGES; i++)
			assert_int_equal(is_written(i), i % 3 == 0);
	}
	assert_int_equal(look(p, PAGES, 0), 0);
	/* Whoever reads does not write. */
	for (i = 0; i < PAGES; i++)
		(void)*(volatile char *)(p + i * PAGE);
	assert_int_equal(look(p, PAGES, 0), 0);
	munmap(p, PAGES * PAGE);
}

static void what_appears_counts_as_written(void **state)
{
	char *p;

	need_it();
	p = map_at(NULL, 4, PROT_READ | PROT_WRITE, 0);
	/* Nothing is there: the first time that may be too much. */
	look(p, 4, CLEAR);
	assert_int_equal(look(p, 4, CLEAR), 0);
	p[PAGE] = 1;
	assert_int_equal(look(p, 4, CLEAR), 1);
	assert_true(is_written(1));
	/* In the place of another. */
	map_at(p + 2 * PAGE, 1, PROT_READ | PROT_WRITE, MAP_FIXED);
	p[2 * PAGE] = 1;
	look(p, 4, CLEAR);
	assert_true(is_written(2));
	/* And with a bracket around, which ends the watch. */
	map_at(p, 1, PROT_READ | PROT_WRITE, MAP_FIXED);
	p[0] = 1;
	look(p, 4, CLEAR);
	assert_true(is_written(0));
	assert_int_equal(look(p, 4, 0), 0);
	munmap(p, 4 * PAGE);
}

static void a_bracket_loses_nothing(void **state)
{
	struct live_bracket b;
	char *p;

	need_it();
	p = clean_pages(4);
	p[PAGE] = 1;
	live_bracket_start(&b, (unsigned long)p, 4 * PAGE, MMU_NOTIFY_CLEAR, 0);
	live_bracket_end(&b);
	assert_true(look(p, 4, CLEAR) >= 1);
	assert_true(is_written(1));
	assert_int_equal(look(p, 4, 0), 0);
	munmap(p, 4 * PAGE);
}

static void the_kernel_writes_too(void **state)
{
	int fds[2], status;
	pid_t pid;
	char *p;

	need_it();
	p = clean_pages(4);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(fds[0], p + 3 * PAGE, 1), 1);
	assert_int_equal(look(p, 4, CLEAR), 1);
	assert_true(is_written(3));
	/* And who is a copy writes his own. */
	pid = fork();
	if (!pid) {
		p[0] = 9;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(look(p, 4, 0), 0);
	close(fds[0]);
	close(fds[1]);
	munmap(p, 4 * PAGE);
}

/* Known to be bad: who looks, and then begins anew in a second step. */
static void two_steps_lose_a_write(void **state)
{
	char *p;

	need_it();
	p = clean_pages(4);
	look(p, 4, 0);
	p[2 * PAGE] = 9;
	look(p, 4, CLEAR);
	assert_true(is_written(2));
	memset(bits, 0, sizeof(bits));
	assert_int_equal(look(p, 4, 0), 0);
	munmap(p, 4 * PAGE);
}

/* ------------------------------------------------------- while it is written */

#define WRITERS 3
#define ROUNDS 400

static unsigned long *memory;
static unsigned int stop;

static void *write_all_the_time(void *number)
{
	unsigned int state = (unsigned int)(uintptr_t)number;
	unsigned long *word;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		state = state * 1103515245 + 12345;
		word = memory + (state >> 8) % PAGES * (PAGE / sizeof(*word)) +
		       (uintptr_t)number;
		__atomic_store_n(word, *word + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static long copy_what_was_written(char *copy)
{
	long n = look(memory, PAGES, CLEAR);

	for (size_t i = 0; i < PAGES; i++)
		if (is_written(i))
			memcpy(copy + i * PAGE, (char *)memory + i * PAGE, PAGE);
	return n;
}

static void no_write_is_lost(void **state)
{
	pthread_t writers[WRITERS];
	long copied = 0;
	char *copy;

	need_it();
	copy = malloc(PAGES * PAGE);
	memory = (unsigned long *)some_pages(PAGES);
	for (uintptr_t i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, write_all_the_time,
			       (void *)(i + 1));
	for (int i = 0; i < ROUNDS; i++)
		copied += copy_what_was_written(copy);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	assert_true(copied >= PAGES);
	copy_what_was_written(copy);
	assert_memory_equal(copy, memory, PAGES * PAGE);
	munmap(memory, PAGES * PAGE);
	free(copy);
}

/* ------------------------------------------------------------------- refused */

static void what_cannot_be_told_is_refused(void **state)
{
	char *p = some_pages(3);

	assert_int_equal(look(p + 1, 1, 0), -EINVAL);
	assert_int_equal(look(p, 0, 0), -EINVAL);
	assert_int_equal(look(p, 1, 2), -EINVAL);
	assert_int_equal(look(p, ~0UL / 2, 0), -EINVAL);
	assert_int_equal(uhmm_live_written(mm, (unsigned long)p, 1, 0, NULL),
			 -EINVAL);
	assert_int_equal(uhmm_live_written(NULL, (unsigned long)p, 1, 0, bits),
			 -EINVAL);
	munmap(p + PAGE, PAGE);
	if (kernel_has(UHMM_LIVE_WP_ASYNC) && info().guarantee >= UHMM_G0)
		assert_int_equal(look(p, 3, CLEAR), -EFAULT);
	make_live(UHMM_G0, UHMM_LIVE_WP_ASYNC, 0);
	assert_int_equal(look(p, 1, 0), -EOPNOTSUPP);
	munmap(p, 3 * PAGE);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_written_is_told),
		CASE(what_appears_counts_as_written),
		CASE(a_bracket_loses_nothing),
		CASE(the_kernel_writes_too),
		CASE(two_steps_lose_a_write),
		CASE(no_write_is_lost),
		CASE(what_cannot_be_told_is_refused),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_written", tests, NULL, NULL);
}
