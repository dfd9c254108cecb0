/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Threads drop pages at the same time, on a machine whose processors are for others,
 * too: each of them sleeps until its event is read, and answers no signal before.
 */
#include "live_util.h"
#include "mm/live/watch.h"

#define THREADS 3
#define ROUNDS 100
#define YIELD_US 1000		/* more than LOOK_NS of removal.c */
#define FEW 3U			/* yields, and what has come is read */

static unsigned int yields, most;
static struct live *watched;

int __real_sched_yield(void);
int __wrap_sched_yield(void);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);

/* The processor is somebody else's first. */
int __wrap_sched_yield(void)
{
	struct live *live = READ_ONCE(watched);

	if (!live || gettid() != READ_ONCE(live->monitor_tid))
		return __real_sched_yield();
	WRITE_ONCE(yields, READ_ONCE(yields) + 1);
	if (READ_ONCE(yields) > READ_ONCE(most))
		WRITE_ONCE(most, READ_ONCE(yields));
	return usleep(YIELD_US);
}

ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	struct live *live = READ_ONCE(watched);

	/* Of any descriptor. */
	if (live && !(n % sizeof(struct uffd_msg)) &&
	    gettid() == READ_ONCE(live->monitor_tid))
		WRITE_ONCE(yields, 0);
	return __real_read(fd, buf, n);
}

static void *drop_pages(void *page)
{
	for (int i = 0; i < ROUNDS && READ_ONCE(most) <= FEW; i++) {
		*(volatile char *)page = 1;
		madvise(page, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

/* How often it yields, at most, before it looks whether an event has come. */
static unsigned int most_yields(unsigned int broken)
{
	char *p = some_pages(2 * THREADS);
	pthread_t threads[THREADS];
	struct view view;

	WRITE_ONCE(live_broken, broken);
	if (info().guarantee < UHMM_G0)
		skip();
	view_add(&view, p, 2 * THREADS * PAGE);
	for (int i = 0; i < 2 * THREADS; i++)
		pte_at(p + i * PAGE);
	WRITE_ONCE(yields, 0);
	WRITE_ONCE(most, 0);
	WRITE_ONCE(watched, live_of(mm));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, drop_pages, p + 2 * i * PAGE);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	settle();
	WRITE_ONCE(watched, NULL);
	WRITE_ONCE(live_broken, 0);
	view_drop(&view);
	munmap(p, 2 * THREADS * PAGE);
	return most;
}

static void events_are_read_while_yields_take_long(void **state)
{
	assert_in_range(most_yields(0), 1, FEW);
	assert_true(live_stats().removes >= THREADS);
}

static void who_waits_for_answers_does_not_read_them(void **state)
{
	assert_true(most_yields(BROKEN_YIELDS) > FEW);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(events_are_read_while_yields_take_long),
		CASE(who_waits_for_answers_does_not_read_them),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_removal", tests, NULL, NULL);
}
