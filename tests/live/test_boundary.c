/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An area that lies across a boundary of what one descriptor watches: half of it is
 * watched first, both halves are written and watched, it is shared by a fork, and
 * then it moves, as one.
 */
#include "live_util.h"

#include <sys/wait.h>

#define BOUNDARY (256UL << 20)
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

/* Half of it is watched when all of it is written. */
static char *watched_by_halves(void)
{
	char *p = across(HALF);

	OK(p);
	madvise(p, 2 * HALF * PAGE, MADV_NOHUGEPAGE);
	OK(!uhmm_live_watch(mm, (unsigned long)p, HALF * PAGE));
	stamp(p, HALF, 2 * HALF);
	stamp(p, 0, HALF);
	OK(!uhmm_live_watch(mm, (unsigned long)p, 2 * HALF * PAGE));
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

/* Known to be bad, and said to be: nobody is there to move it in parts. */
ALONE(it_does_not_with_four_at_g0)
{
	check(0, UHMM_G0, false);
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
		CASE_BARE(it_does_not_with_four_at_g0),
		CASE_BARE(it_moves_with_one_at_g1),
		CASE_BARE(it_moves_with_four_at_g1),
		CASE_BARE(what_cannot_move_does_not),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_boundary", tests, NULL, NULL);
}
