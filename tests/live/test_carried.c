/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What happens while pages are carried off by mremap(), when no lock is held:
 * their area moves away, and back, others take their place, or pages that were never
 * made are touched.
 *
 * Linked with live_raw_syscall() wrapped.
 */
#include "device.h"
#include "live_util.h"

#include <sys/syscall.h>

#include "mm/live/out.h"
#include "mm/live/patch.h"

#define RW (PROT_READ | PROT_WRITE)
#define NPAGES 8UL

long __real_live_raw_syscall(long nr, const unsigned long *args);
long __wrap_live_raw_syscall(long nr, const unsigned long *args);

/* What happens at the first pages that are carried, at the second, ... */
static void (*then[3])(void);
static unsigned int carried;
/* And once, before any are. */
static void (*first)(void);
static struct device device;
static char *here, *there;
/* Where nobody maps anything as long as an area is not there. */
static void *const far_away = (void *)0x7e9000000000;

long __wrap_live_raw_syscall(long nr, const unsigned long *args)
{
	bool carries = nr == SYS_mremap && args[3] & LIVE_MREMAP_DONTUNMAP;
	void (*fn)(void) = NULL;
	long ret;

	if (carries && first) {
		fn = first;
		first = NULL;
		fn();
		fn = NULL;
	}
	ret = __real_live_raw_syscall(nr, args);
	if (carries && carried < ARRAY_SIZE(then))
		fn = then[carried++];
	if (fn)
		fn();
	return ret;
}

static void move(char *from, char *to)
{
	assert_ptr_equal(mremap(from, NPAGES * PAGE, NPAGES * PAGE,
				MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
}

static void area_moves(void)
{
	move(here, there);
}

static void area_returns(void)
{
	move(there, here);
}

static void area_goes_and_returns(void)
{
	area_moves();
	area_returns();
}

static void begin(void)
{
	make_live(UHMM_G0, UHMM_LIVE_MOVE, UHMM_LIVE_DEVICE);
	assert_int_equal(device_make(&device, 64, false), 0);
	here = map_at(far_away, NPAGES, RW, MAP_FIXED_NOREPLACE);
	for (size_t i = 0; i < NPAGES; i++)
		here[i * PAGE] = (char)(i + 1);
	there = map_at(NULL, NPAGES + 2, PROT_NONE, 0) + PAGE;
	carried = 0;
	first = NULL;
	memset(then, 0, sizeof(then));
}

static void end(void)
{
	munmap(here, NPAGES * PAGE);
	munmap(there - PAGE, (NPAGES + 2) * PAGE);
	device_destroy(&device);
	drop_live();
}

static void check_pages(const char *p)
{
	for (size_t i = 0; i < NPAGES; i++)
		assert_int_equal(p[i * PAGE], i + 1);
}

/*
 * The rest could not be carried, as there was nothing, and is tried one by one:
 * by then a page is there that the device has.
 */
static void take_what_comes_back(void)
{
	begin();
	/* All of it, so that it stays one area. */
	device_take(&device, mm, here, NPAGES);
	check_pages(here);
	device_take(&device, mm, here + 3 * PAGE, 1);
	assert_int_equal(device_nfree(&device), 63);
	carried = 0;
	/* Who does not look takes more, while it is away. */
	if (live_broken) {
		then[0] = area_moves;
		then[1] = area_returns;
	} else {
		then[0] = area_goes_and_returns;
	}
	device_take(&device, mm, here, NPAGES);
}

static void what_comes_back_is_looked_at_again(void **state)
{
	take_what_comes_back();
	check_pages(here);
	assert_int_equal(device_nfree(&device), 64);
	end();
}

/* Known to be bad: the page is lost, and the device never has its frame back. */
ALONE(without_a_look_it_is_lost)
{
	WRITE_ONCE(live_broken, BROKEN_ALONE);
	take_what_comes_back();
	OK(here[3 * PAGE] == 0);
	munmap(here, NPAGES * PAGE);
	settle();
	OK(device_nfree(&device) == 63);
	_exit(0);
}

static void what_moves_on_its_way_arrives(void **state)
{
	begin();
	then[0] = area_moves;
	assert_int_equal(device_take(&device, mm, here, NPAGES), NPAGES);
	assert_int_equal(device_nfree(&device), 64 - NPAGES);
	check_pages(there);
	assert_int_equal(device_nfree(&device), 64);
	end();
}

/* ------------------------------------------------------- others in their place */

/* Not one that anything is known of. */
static void others_come(void)
{
	map_at(here, NPAGES, RW, MAP_FIXED_NOREPLACE);
	for (size_t i = 0; i < NPAGES; i += 2)
		here[i * PAGE] = (char)('a' + i);
}

static void others_replace(void)
{
	munmap(here, NPAGES * PAGE);
	others_come();
}

static void others_replace_and_are_watched(void)
{
	int ret;

	others_replace();
	do
		ret = uhmm_live_watch(mm, (unsigned long)here, NPAGES * PAGE);
	while (ret == -EAGAIN);
	assert_int_equal(ret, 0);
}

static void others_come_when_it_moves(void)
{
	area_moves();
	others_come();
}

static bool others_are_there(void)
{
	for (size_t i = 0; i < NPAGES; i++)
		if (here[i * PAGE] != (i % 2 ? 0 : (char)('a' + i)))
			return false;
	return true;
}

static void what_takes_their_place_stays(void **state)
{
	void (*const how[])(void) = {
		others_replace,
		others_replace_and_are_watched,
		others_come_when_it_moves,
	};

	for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
		begin();
		first = how[i];
		assert_int_equal(device_take(&device, mm, here, NPAGES), 0);
		assert_null(first);
		assert_true(others_are_there());
		if (how[i] == others_come_when_it_moves)
			check_pages(there);
		assert_int_equal(device_nfree(&device), 64);
		/* They are like any other now. */
		assert_int_equal(device_take(&device, mm, here, NPAGES), NPAGES);
		assert_true(others_are_there());
		assert_int_equal(device_nfree(&device), 64);
		end();
	}
}

/* Known to be bad: they go, and are lost. */
ALONE(without_a_look_it_goes_with_them)
{
	begin();
	WRITE_ONCE(live_broken, BROKEN_ALONE);
	first = others_replace;
	device_take(&device, mm, here, NPAGES);
	OK(!first && here[0] == 0);
	_exit(0);
}

/* ------------------------------------------------------------ never made yet */

static pthread_t toucher;

static void *touch(void *unused)
{
	there[5 * PAGE] = 55;
	return NULL;
}

static bool is_waited_for(const char *p)
{
	struct out *out = live_of(mm)->out;
	unsigned long entry;

	spin_lock(&out->lock);
	entry = out_get(out, (unsigned long)p);
	spin_unlock(&out->lock);
	return entry & OUT_WAITED;
}

static void touched_elsewhere(void)
{
	area_moves();
	assert_int_equal(pthread_create(&toucher, NULL, touch, NULL), 0);
	while (!is_waited_for(there + 5 * PAGE))
		sched_yield();
}

/* There is no page for who waits: he is to be woken where he waits. */
static void who_waits_elsewhere_is_woken(void **state)
{
	begin();
	madvise(here + 5 * PAGE, PAGE, MADV_DONTNEED);
	then[0] = touched_elsewhere;
	assert_int_equal(device_take(&device, mm, here, NPAGES), NPAGES - 1);
	pthread_join(toucher, NULL);
	assert_int_equal(there[5 * PAGE], 55);
	there[5 * PAGE] = 6;
	check_pages(there);
	assert_int_equal(device_nfree(&device), 64);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(what_comes_back_is_looked_at_again),
		CASE_BARE(without_a_look_it_is_lost),
		CASE(what_moves_on_its_way_arrives),
		CASE(what_takes_their_place_stays),
		CASE_BARE(without_a_look_it_goes_with_them),
		CASE(who_waits_elsewhere_is_woken),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_carried", tests, NULL, NULL);
}
