/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What changes while it is being taken under watch: the program unmaps and maps
 * at the moment that the kernel is asked to register, whichever way round. And a
 * fork() while pages are on their way to a device.
 *
 * Linked with ioctl and live_raw_syscall() wrapped.
 */
#include <semaphore.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "device.h"
#include "live_util.h"
#include "mm/live/bracket.h"
#include "mm/live/patch.h"

#define RW (PROT_READ | PROT_WRITE)
#define NPAGES 3

/* What happens before the kernel registers, once, and what after that. */
static void (*before)(void), (*after)(void);
/* And before it no longer does, where the call has been decided on. */
static void (*ending)(void);
/* A move is refused, once, and what happens when it asks why, with no lock. */
static void (*refused)(void);
static __thread void (*asked)(void);
static char *memory;
/* Registered, once, when what was is no longer, and before it is moved. */
static struct uffdio_register half;

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

	if (request == UFFDIO_UNREGISTER)
		run(&ending);

	if (ours || request == UFFDIO_COPY)
		run(ours ? &before : &asked);
	ret = __real_ioctl(fd, request, arg);
	if (ours)
		run(&after);
	return ret;
}

long __real_move_pages(struct live *live, unsigned long to, unsigned long from,
		       unsigned long length);
long __wrap_move_pages(struct live *live, unsigned long to, unsigned long from,
		       unsigned long length);

long __wrap_move_pages(struct live *live, unsigned long to, unsigned long from,
		       unsigned long length)
{
	if (!refused)
		return __real_move_pages(live, to, from, length);
	asked = refused;
	refused = NULL;
	return -EAGAIN;
}

long __real_live_raw_syscall(long nr, const unsigned long *args);
long __wrap_live_raw_syscall(long nr, const unsigned long *args);

long __wrap_live_raw_syscall(long nr, const unsigned long *args)
{
	const struct live *live = live_of(mm);
	int owner;

	if (nr == SYS_mremap && half.range.len) {
		owner = __builtin_ctz(watch_owners(live, half.range.start,
						   half.range.start));
		ioctl(live->shards[owner].fd, UFFDIO_REGISTER, &half);
		half.range.len = 0;
	}
	return __real_live_raw_syscall(nr, args);
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
	settle();
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

/* ----------------------------------------------- what is about to end a watch */

static int watched;

static void watch_meanwhile(void)
{
	watched = uhmm_live_watch(mm, (unsigned long)memory, PAGE);
}

/* What is noted as watched is: the next change is told of. */
static void assert_told(void)
{
	struct view view;
	unsigned long seq;

	/* It was taken under watch at that moment. */
	assert_null(ending);
	assert_int_equal(watched, 0);
	settle();
	view_add(&view, memory, PAGE);
	do
		seq = view_begin(&view);
	while (pte_at(memory).state != UHMM_PTE_PRESENT ||
	       view_retry(&view, seq));
	munmap(memory, PAGE);
	assert_true(view_retry(&view, seq));
	view_drop(&view);
	memory = NULL;
}

/* What a bracket lies around is, as its watch ends. */
static void what_was_in_a_bracket_is_watched(void **state)
{
	struct live_bracket b;

	need_g0();
	memory = some_pages(1);
	pte_at(memory);
	assert_int_equal(live_bracket_open(&b, (unsigned long)memory, PAGE,
					   MMU_NOTIFY_UNMAP, 0), 0);
	assert_true(b.watcher >= 0);
	watch_meanwhile();
	bracket_unwatch(&b);
	live_bracket_end(&b);
	assert_told();
}

/* Else who makes the change would wait for who reads of it. */
static void what_is_in_a_bracket_is_not_told_of(void **state)
{
	struct live_bracket b;
	unsigned long had;

	need_g0();
	memory = some_pages(1);
	pte_at(memory);
	settle();
	had = live_stats().unmaps;
	assert_int_equal(live_bracket_start(&b, (unsigned long)memory, PAGE,
					    MMU_NOTIFY_UNMAP, 0), 0);
	munmap(memory, PAGE);
	live_bracket_end(&b);
	settle();
	assert_int_equal(live_stats().unmaps, had);
	memory = NULL;
}

/* Also where more than one descriptor might be asked. */
static void so_is_what_many_may_watch(void **state)
{
	struct live_bracket b;

	need_g0();
	memory = some_pages(1);
	pte_at(memory);
	ending = watch_meanwhile;
	assert_int_equal(live_bracket_start(&b, (unsigned long)memory,
					    2 * SHARD_BYTES, MMU_NOTIFY_UNMAP,
					    0), 0);
	live_bracket_end(&b);
	assert_told();
}

/* Who began to read it before the bracket was there. */
ALONE(an_area_that_is_half_watched_moves)
{
	const char *why;
	char *p, *q;

	if (uhmm_live_patch(UHMM_G1, &why))
		_exit(CANNOT);
	make_live(UHMM_G1, 0, 0);
	if (!info().descriptors)
		_exit(CANNOT);
	p = some_pages(4);
	OK(pte_at(p).state == UHMM_PTE_PRESENT);
	half = (struct uffdio_register){
		.range = { (unsigned long)p, 2 * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	q = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	OK(!half.range.len);
	OK(q != MAP_FAILED);
	OK(q[0] == 1 && q[3 * PAGE] == 4);
}

/* ---------------------------------------------------- what goes to a device */

static struct device device;

static void with_device(void)
{
	need_g0();
	if (!kernel_has(UHMM_LIVE_MOVE)) {
		print_message("the kernel cannot move pages\n");
		skip();
	}
	make_live(UHMM_G0, 0, UHMM_LIVE_DEVICE);
	assert_int_equal(device_make(&device, 16, true), 0);
}

static void without_device(void)
{
	device_destroy(&device);
	drop_live();
}

static sem_t fork_now, fork_holds;
static bool held_up;

static void *forker(void *unused)
{
	int status;
	pid_t pid;

	sem_wait(&fork_now);
	pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, &status, 0);
	return NULL;
}

/* Behind the library's own: it holds what it locks for a child. */
static void prepare(void)
{
	if (!held_up)
		return;
	sem_post(&fork_holds);
	/* So that the other one may come to where he would wait. */
	usleep(50000);
}

void __real_sync_at_fork(void (*before)(void), void (*parent)(void),
			 void (*child)(void));
void __wrap_sync_at_fork(void (*before)(void), void (*parent)(void),
			 void (*child)(void));

/* Ours before all that the library asks for, so called after that. */
void __wrap_sync_at_fork(void (*before)(void), void (*parent)(void),
			 void (*child)(void))
{
	static bool asked;

	if (!asked)
		pthread_atfork(prepare, NULL, NULL);
	asked = true;
	__real_sync_at_fork(before, parent, child);
}

static void fork_meanwhile(void)
{
	held_up = true;
	sem_post(&fork_now);
	sem_wait(&fork_holds);
}

static void a_fork_stops_what_goes_to_a_device(void **state)
{
	pthread_t thread;
	char *p;

	with_device();
	p = some_pages(8);
	sem_init(&fork_now, 0, 0);
	sem_init(&fork_holds, 0, 0);
	pthread_create(&thread, NULL, forker, NULL);
	refused = fork_meanwhile;
	assert_int_equal(device_take(&device, mm, p, 8), 0);
	pthread_join(thread, NULL);
	held_up = false;
	assert_int_equal(device_take(&device, mm, p, 8), 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(p[i * PAGE], i + 1);
	munmap(p, 8 * PAGE);
	without_device();
}

/* Other pages take the place of those on their way, when no lock is held. */
static void replace(void)
{
	for (int i = 0; i < NPAGES; i++) {
		munmap(memory + i * PAGE, PAGE);
		map_at(memory + i * PAGE, 1, RW, MAP_FIXED_NOREPLACE);
		memory[i * PAGE] = (char)('a' + i);
	}
}

static void what_takes_their_place_stays(void **state)
{
	with_device();
	memory = some_pages(NPAGES);
	refused = replace;
	device_take(&device, mm, memory, NPAGES);
	for (int i = 0; i < NPAGES; i++)
		assert_int_equal(memory[i * PAGE], 'a' + i);
	munmap(memory, NPAGES * PAGE);
	memory = NULL;
	without_device();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(a_hole_is_not_taken_under_watch),
		CASE(nor_one_that_is_filled_at_once),
		CASE(nor_what_takes_the_place_of_it),
		CASE(what_is_in_a_bracket_is_not_told_of),
		CASE(what_was_in_a_bracket_is_watched),
		CASE(so_is_what_many_may_watch),
		CASE_BARE(an_area_that_is_half_watched_moves),
		CASE(a_fork_stops_what_goes_to_a_device),
		CASE(what_takes_their_place_stays),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_holes", tests, NULL, NULL);
}
