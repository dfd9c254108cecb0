/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An area that is moved part by part, at G1: what it looks like when one of the parts
 * cannot go, and when another thread maps something in between.
 *
 * Linked with live_raw_syscall() wrapped.
 */
#include "live_util.h"

#include <sys/syscall.h>

#include "mm/live/patch.h"

#define RW (PROT_READ | PROT_WRITE)
#define PARTS 3UL
#define EACH 2UL			/* pages */
#define ALL (PARTS * EACH)
#define MORE 5UL			/* that it grows by */

long __real_live_raw_syscall(long nr, const unsigned long *args);
long __wrap_live_raw_syscall(long nr, const unsigned long *args);

/* Moves of parts, and which of them is refused; 0: none. */
static unsigned int moves, refused;
static bool counting;
/* After the first of them, a page is mapped where it was, if there is room. */
static bool intrudes;
static char *intruder;

long __wrap_live_raw_syscall(long nr, const unsigned long *args)
{
	/* The last one comes back longer. */
	bool part = counting && nr == SYS_mremap && args[3] & MREMAP_FIXED &&
		    (args[1] == EACH * PAGE || args[1] == (EACH + MORE) * PAGE);
	long ret;

	if (part && ++moves == refused)
		return -ENOMEM;
	ret = __real_live_raw_syscall(nr, args);
	if (part && intrudes && moves == 1) {
		const unsigned long map[6] = {
			args[0], PAGE, RW,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0UL,
		};

		intruder = (char *)__real_live_raw_syscall(SYS_mmap, map);
		*intruder = 'i';
	}
	return ret;
}

/* Moved beside each other, they stay areas of their own. */
static char *in_parts(void)
{
	char *p = map_at(NULL, ALL, PROT_NONE, 0);

	counting = false;
	for (size_t i = 0; i < PARTS; i++) {
		char *part = map_at(NULL, EACH, RW, 0);

		for (size_t k = 0; k < EACH; k++)
			part[k * PAGE] = (char)(i * EACH + k + 1);
		OK(mremap(part, EACH * PAGE, EACH * PAGE,
			  MREMAP_MAYMOVE | MREMAP_FIXED,
			  p + i * EACH * PAGE) != MAP_FAILED);
	}
	/* So that it cannot grow where it is. */
	mmap(p + ALL * PAGE, PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	moves = refused = 0;
	counting = true;
	return p;
}

static bool is_whole(const char *p)
{
	for (size_t i = 0; i < ALL; i++)
		if (p[i * PAGE] != (char)(i + 1))
			return false;
	return true;
}

static bool is_free(const char *p, size_t npages)
{
	for (size_t i = 0; i < npages; i++)
		if (!msync((void *)(p + i * PAGE), PAGE, MS_ASYNC) ||
		    errno != ENOMEM)
			return false;
	return true;
}

static void reach(void)
{
	if (uhmm_live_patch(UHMM_G1, NULL))
		_exit(CANNOT);
	make_live(UHMM_G1, 0, UHMM_LIVE_UNWATCHED_TOO);
}

ALONE(all_parts_go)
{
	char *p, *q;

	reach();
	p = in_parts();
	q = mremap(p, ALL * PAGE, (ALL + MORE) * PAGE, MREMAP_MAYMOVE);
	OK(q != MAP_FAILED && q != p && moves == PARTS);
	OK(is_whole(q) && !q[(ALL + MORE - 1) * PAGE]);
	OK(is_free(p, ALL));
}

/* Whichever it is, and wherever it was to go. */
ALONE(if_one_cannot_go_all_stay)
{
	char *p, *to, *q;

	reach();
	for (unsigned int n = 1; n <= PARTS; n++) {
		for (int fixed = 0; fixed < 2; fixed++) {
			p = in_parts();
			to = map_at(NULL, ALL + MORE, RW, 0);
			refused = n;
			q = mremap(p, ALL * PAGE, (ALL + MORE) * PAGE,
				   MREMAP_MAYMOVE | (fixed ? MREMAP_FIXED : 0),
				   to);
			OK(q == MAP_FAILED && errno == ENOMEM);
			OK(moves == 2 * n - 1);
			OK(is_whole(p));
			/* As when the kernel fails: what was there has gone. */
			OK(is_free(to, ALL + MORE) == fixed);
			/* And can go later. */
			q = mremap(p, ALL * PAGE, (ALL + MORE) * PAGE,
				   MREMAP_MAYMOVE);
			OK(q != MAP_FAILED && is_whole(q));
			munmap(q, (ALL + MORE) * PAGE);
		}
	}
}

/* It is seen that they went, and that they are back. */
ALONE(who_mirrors_them_is_told)
{
	struct view view;
	unsigned long seq;
	char *p;

	reach();
	p = in_parts();
	view_add(&view, p, ALL * PAGE);
	seq = view_begin(&view);
	for (size_t i = 0; i < ALL; i++)
		pte_at(p + i * PAGE);
	assert_holds(&view, seq);
	refused = 2;
	OK(mremap(p, ALL * PAGE, (ALL + MORE) * PAGE, MREMAP_MAYMOVE) ==
	   MAP_FAILED);
	OK(view_retry(&view, seq));
	view_drop(&view);
	view_add(&view, p + PAGE, PAGE);
	seq = view_begin(&view);
	OK(pte_at(p + PAGE).state == UHMM_PTE_PRESENT);
	OK(!munmap(p + PAGE, PAGE) && view_retry(&view, seq));
	view_drop(&view);
}

/* It keeps what it has, whether the parts arrive or not. */
ALONE(who_maps_in_between_loses_nothing)
{
	char *p, *q;

	reach();
	intrudes = true;
	for (unsigned int n = 0; n <= PARTS; n += PARTS) {
		p = in_parts();
		refused = n;
		q = mremap(p, ALL * PAGE, (ALL + MORE) * PAGE, MREMAP_MAYMOVE);
		OK((q == MAP_FAILED) == (n > 0));
		OK(intruder == p + (PARTS - 1) * EACH * PAGE);
		OK(*intruder == 'i');
		if (!n)
			OK(is_whole(q));
		/* The others are back. */
		for (size_t i = 0; n && i < (PARTS - 1) * EACH; i++)
			OK(p[i * PAGE] == (char)(i + 1));
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(all_parts_go),
		CASE_BARE(if_one_cannot_go_all_stay),
		CASE_BARE(who_mirrors_them_is_told),
		CASE_BARE(who_maps_in_between_loses_nothing),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_parts", tests, NULL, NULL);
}
