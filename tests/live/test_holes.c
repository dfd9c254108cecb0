/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What changes while it is being taken under watch: the program unmaps and maps
 * at the moment that the kernel is asked to register, whichever way round.
 *
 * Linked with ioctl wrapped.
 */
#include <sys/ioctl.h>

#include "live_util.h"

#define RW (PROT_READ | PROT_WRITE)
#define NPAGES 3

/* What happens before the kernel registers, once, and what after that. */
static void (*before)(void), (*after)(void);
static char *memory;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static void run(void (**hook)(void))
{
	void (*fn)(void) = *hook;

	*hook = NULL;
	if (fn)
		fn();
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	const struct uffdio_register *reg = arg;
	bool ours = request == UFFDIO_REGISTER &&
		    reg->range.start == (unsigned long)memory;
	int ret;

	if (ours)
		run(&before);
	ret = __real_ioctl(fd, request, arg);
	if (ours)
		run(&after);
	return ret;
}

static void need_g0(void)
{
	if (info().guarantee < UHMM_G0) {
		print_message("userfaultfd is refused here\n");
		skip();
	}
}

static void make_hole(void)
{
	munmap(memory + PAGE, PAGE);
}

static void fill_hole(void)
{
	map_at(memory + PAGE, 1, RW, MAP_FIXED_NOREPLACE);
}

static void refill(void)
{
	make_hole();
	fill_hole();
}

static int watch_all(void)
{
	int err;

	do
		err = uhmm_live_watch(mm, (unsigned long)memory, NPAGES * PAGE);
	while (err == -EAGAIN);
	return err;
}

/* On both sides nothing, so that what is mapped there is an area of its own. */
static void map_memory(void)
{
	char *p = map_at(NULL, NPAGES + 2, PROT_NONE, 0);

	memory = p + PAGE;
	map_at(memory, NPAGES, RW, MAP_FIXED);
}

/* Each page is told of. */
static void assert_watched(void)
{
	unsigned long had;

	assert_int_equal(watch_all(), 0);
	had = live_stats().unmaps;
	for (size_t i = 0; i < NPAGES; i++)
		munmap(memory + i * PAGE, PAGE);
	/* Who unmaps goes on when it is read; it is counted after that. */
	settle();
	assert_int_equal(live_stats().unmaps, had + NPAGES);
	munmap(memory - PAGE, (NPAGES + 2) * PAGE);
	memory = NULL;
}

static void a_hole_is_not_taken_under_watch(void **state)
{
	need_g0();
	map_memory();
	before = make_hole;
	assert_int_equal(watch_all(), -EFAULT);
	fill_hole();
	assert_watched();
}

static void nor_one_that_is_filled_at_once(void **state)
{
	need_g0();
	map_memory();
	before = make_hole;
	after = fill_hole;
	assert_watched();
}

static void nor_what_takes_the_place_of_it(void **state)
{
	need_g0();
	map_memory();
	before = refill;
	assert_watched();
	map_memory();
	after = refill;
	assert_watched();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(a_hole_is_not_taken_under_watch),
		CASE(nor_one_that_is_filled_at_once),
		CASE(nor_what_takes_the_place_of_it),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_holes", tests, NULL, NULL);
}
