/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An area that lies across a boundary of what the descriptors share out: half of it
 * is watched first, both halves are written and watched, it is shared by a fork, and
 * then it moves, as one. It has one descriptor, also where it grew to, and that is
 * the one which is asked.
 */
#include "live_util.h"

#include <semaphore.h>
#include <sys/wait.h>

#include "mm/live/watch.h"
#include "raw.h"

#define BOUNDARY SHARD_BYTES
#define HALF 8UL
#define RW (PROT_READ | PROT_WRITE)

/* @npages on each side of the boundary, out of the way of everything else. */
static char *across(size_t npages)
{
	for (unsigned long at = 1UL << 44; at < 1UL << 45; at += BOUNDARY) {
		char *where = (char *)at - npages * PAGE;
		char *p = mmap(where, 2 * npages * PAGE, RW,
			       MAP_PRIVATE | MAP_ANONYMOUS |
			       MAP_FIXED_NOREPLACE, -1, 0);

		if (p == where)
			return p;
		if (p != MAP_FAILED)
			munmap(p, 2 * npages * PAGE);
	}
	return NULL;
}

static void stamp(char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		p[i * PAGE] = (char)(i + 1);
}

static bool is_stamped(const char *p)
{
	for (size_t i = 0; i < 2 * HALF; i++)
		if (p[i * PAGE] != (char)(i + 1))
			return false;
	return true;
}

/* It grows where it is, or goes, then goes to a place that is asked for. */
static bool moves(char *p)
{
	char *to = across(4 * HALF), *q;

	q = mremap(p, 2 * HALF * PAGE, 4 * HALF * PAGE, MREMAP_MAYMOVE);
	if (q == MAP_FAILED || !is_stamped(q) || q[3 * HALF * PAGE])
		return false;
	p = mremap(q, 4 * HALF * PAGE, 4 * HALF * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (p != to || !is_stamped(p) || msync(q, PAGE, MS_ASYNC) != -1)
		return false;
	/* The other half of where it went is as it was. */
	return !to[7 * HALF * PAGE] && !munmap(to, 8 * HALF * PAGE);
}

static void patch(void)
{
	if (uhmm_live_patch(UHMM_G1, NULL))
		_exit(CANNOT);
}

static void make(unsigned int descriptors, enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options),
		.guarantee = guarantee,
		.descriptors = descriptors,
	};

	drop_live();
	OK(!uhmm_mm_create_live(&options, &mm));
	if (uhmm_live_guarantee(mm) != guarantee)
		_exit(CANNOT);
}

/* What was told of before may be passed on just now: then it says to try again. */
static void watch_pages(char *p, size_t npages)
{
	int ret;

	do
		ret = uhmm_live_watch(mm, (unsigned long)p, npages * PAGE);
	while (ret == -EAGAIN);
	OK(!ret);
}

/* Half of it is watched when all of it is written. */
static char *watched_by_halves(void)
{
	char *p = across(HALF);

	OK(p);
	madvise(p, 2 * HALF * PAGE, MADV_NOHUGEPAGE);
	watch_pages(p, HALF);
	stamp(p, HALF, 2 * HALF);
	stamp(p, 0, HALF);
	watch_pages(p, 2 * HALF);
	return p;
}

static bool moves_in_a_child(char *p)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(moves(p) ? 0 : 1);
	OK(waitpid(pid, &status, 0) == pid);
	return !status;
}

static void check(unsigned int descriptors, enum uhmm_guarantee guarantee,
		  bool holds)
{
	char *p;

	make(descriptors, guarantee);
	OK(moves(watched_by_halves()) == holds);
	make(descriptors, guarantee);
	p = watched_by_halves();
	OK(moves_in_a_child(p) == holds);
	OK(moves(p) == holds);
}

ALONE(it_moves_with_one_descriptor)
{
	check(1, UHMM_G0, true);
}

ALONE(it_moves_with_four_at_g0)
{
	check(0, UHMM_G0, true);
}

/* A few pages below the boundary, then as many above it. */
static char *grown(void)
{
	char *p = across(HALF);

	OK(p && !munmap(p + HALF * PAGE, HALF * PAGE));
	madvise(p, HALF * PAGE, MADV_NOHUGEPAGE);
	stamp(p, 0, HALF);
	watch_pages(p, HALF);
	OK(mremap(p, HALF * PAGE, 2 * HALF * PAGE, 0) == p);
	stamp(p, HALF, 2 * HALF);
	return p;
}

/* All of it is, and is told of; by calls that nobody brackets. */
static bool is_watched(char *p, size_t npages)
{
	struct uhmm_live_stats before = live_stats();
	struct view view;
	unsigned long seq;
	bool told = true;

	for (size_t i = 0; i < npages; i++) {
		view_add(&view, p + i * PAGE, PAGE);
		seq = view_look(&view, p + i * PAGE);
		OK(!RAW2(SYS_munmap, p + i * PAGE, PAGE));
		told &= view_retry(&view, seq);
		view_drop(&view);
	}
	settle();
	OK(live_stats().foreign == before.foreign);
	OK(live_stats().unmaps >= before.unmaps + npages);
	return told;
}

ALONE(what_it_grew_to_is_watched_too)
{
	make(0, UHMM_G0);
	OK(is_watched(grown(), 2 * HALF));
	OK(moves(grown()));
	OK(info().guarantee == UHMM_G0);
}

/* What is mapped beside it would be one with it, and moves with it. */
ALONE(neighbours_are_one)
{
	char *p;

	make(0, UHMM_G0);
	for (int below = 0; below < 2; below++) {
		p = across(HALF);
		OK(p && !munmap(p + (below ? 0 : HALF * PAGE), HALF * PAGE));
		madvise(p + (below ? HALF * PAGE : 0), HALF * PAGE,
			MADV_NOHUGEPAGE);
		stamp(p, below ? HALF : 0, below ? 2 * HALF : HALF);
		watch_pages(p + (below ? HALF * PAGE : 0), HALF);
		map_at(p + (below ? 0 : HALF * PAGE), HALF, RW,
		       MAP_FIXED_NOREPLACE);
		watch_pages(p, 2 * HALF);
		stamp(p, 0, 2 * HALF);
		OK(moves(p));
	}
}

/* Two of one piece that have not the same one, and go at once. */
static void two_owners(void (*unmap)(char *p, size_t length))
{
	struct view views[2];
	unsigned long seqs[2];
	char *p = across(4 * HALF), *q = p + 5 * HALF * PAGE;
	char *at[2] = { q - 2 * PAGE, q + PAGE };

	/* Across the boundary; what is used otherwise; above it. */
	OK(p && !mprotect(q, PAGE, PROT_READ));
	q[2 * PAGE] = p[0] = 1;
	for (int i = 0; i < 2; i++) {
		*at[i] = 1;
		view_add(&views[i], at[i], PAGE);
		seqs[i] = view_look(&views[i], at[i]);
	}
	OK(watch_owners(live_of(mm), (unsigned long)q, (unsigned long)q) & 1);
	unmap(at[0], 4 * PAGE);
	for (int i = 0; i < 2; i++) {
		OK(view_retry(&views[i], seqs[i]));
		view_drop(&views[i]);
	}
	munmap(p, 8 * HALF * PAGE);
}

static void unmap_own(char *p, size_t length)
{
	OK(!RAW2(SYS_munmap, p, length));
}

static void unmap_libc(char *p, size_t length)
{
	OK(!munmap(p, length));
}

ALONE(two_descriptors_tell_of_one_change)
{
	make(0, UHMM_G0);
	two_owners(unmap_own);
	two_owners(unmap_libc);
}

ALONE(a_bracket_ends_the_watch_of_both)
{
	patch();
	make(0, UHMM_G1);
	two_owners(unmap_libc);
	settle();
	OK(!live_stats().missed && !live_stats().unmaps);
}

/* ------------------------------------------------------- the one that is asked */

static sem_t stands;

/* The monitor, for ever. */
static void stand(struct view *view)
{
	sem_post(&stands);
	for (;;)
		pause();
}

static void *unmap_it(void *page)
{
	RAW2(SYS_munmap, page, PAGE);
	return NULL;
}

/* Nobody reads of it: is who asks told of the page above the boundary? */
static bool told_by_its_owner(void)
{
	struct view first, second;
	pthread_t threads[2];
	unsigned long seq;
	char *p, *other;

	sem_init(&stands, 0, 0);
	make(2, UHMM_G0);
	p = grown();
	/* Of the descriptor that the piece above the boundary has otherwise. */
	other = map_at(p + 2 * HALF * PAGE + PAGE, 1, RW, MAP_FIXED_NOREPLACE);
	*other = 1;
	view_add(&first, other, PAGE);
	first.hook = stand;
	OK(pte_at(other).state == UHMM_PTE_PRESENT);
	p += HALF * PAGE;
	view_add(&second, p, PAGE);
	seq = view_look(&second, p);
	pthread_create(&threads[0], NULL, unmap_it, other);
	while (sem_wait(&stands))
		;
	/* Who is let go counts himself out: before, the kernel says so of both. */
	OK(!pthread_join(threads[0], NULL));
	/* So that no one is at it but the kernel. */
	live_of(mm)->shards[0].busy = live_of(mm)->shards[1].busy = 0;
	pthread_create(&threads[1], NULL, unmap_it, p);
	while (!msync(p, PAGE, MS_ASYNC))
		sched_yield();
	return view_retry(&second, seq);
}

ALONE(its_descriptor_is_asked)
{
	OK(told_by_its_owner());
	_exit(0);
}

/* Known to be bad: the one of the piece is asked, which knows nothing of it. */
ALONE(another_does_not_know)
{
	live_broken = BROKEN_OWNER;
	OK(!told_by_its_owner());
	_exit(0);
}

ALONE(it_moves_with_one_at_g1)
{
	patch();
	check(1, UHMM_G1, true);
}

ALONE(it_moves_with_four_at_g1)
{
	patch();
	check(0, UHMM_G1, true);
}

/* What was no area is none. */
ALONE(what_cannot_move_does_not)
{
	char *p;

	patch();
	make(0, UHMM_G1);
	p = watched_by_halves();
	OK(!mprotect(p, PAGE, PROT_READ));
	OK(mremap(p, 2 * HALF * PAGE, 4 * HALF * PAGE, MREMAP_MAYMOVE) ==
	   MAP_FAILED && errno == EFAULT);
	OK(!mprotect(p, PAGE, RW) && !munmap(p + 3 * PAGE, PAGE));
	OK(mremap(p, 2 * HALF * PAGE, 4 * HALF * PAGE, MREMAP_MAYMOVE) ==
	   MAP_FAILED && errno == EFAULT);
	OK(p[0] == 1 && p[(2 * HALF - 1) * PAGE] == 2 * HALF);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(it_moves_with_one_descriptor),
		CASE_BARE(it_moves_with_four_at_g0),
		CASE_BARE(what_it_grew_to_is_watched_too),
		CASE_BARE(neighbours_are_one),
		CASE_BARE(two_descriptors_tell_of_one_change),
		CASE_BARE(a_bracket_ends_the_watch_of_both),
		CASE_BARE(its_descriptor_is_asked),
		CASE_BARE(another_does_not_know),
		CASE_BARE(it_moves_with_one_at_g1),
		CASE_BARE(it_moves_with_four_at_g1),
		CASE_BARE(what_cannot_move_does_not),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_boundary", tests, NULL, NULL);
}
