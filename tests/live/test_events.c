/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * G0: what the kernel tells of a program that brackets nothing.
 */
#include "live_util.h"
#include "mm/live/watch.h"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)

#define need_g0()                                                            \
	do {                                                                 \
		if (info().guarantee < UHMM_G0) {                            \
			print_message("userfaultfd is refused here\n");      \
			skip();                                              \
		}                                                            \
	} while (0)

/* Read the entries of @view's first page, as a mirror does. */
static unsigned long read_page(struct view *view, struct uhmm_pte *pte)
{
	unsigned long seq = view_begin(view);

	*pte = pte_at((void *)view->sub.interval_tree.start);
	return seq;
}

/* Will an invalidation come that has not come yet? */
static void assert_called(struct view *view, enum mmu_notifier_event event)
{
	enum mmu_notifier_event last;

	while (!view_called(view))
		sched_yield();
	pthread_mutex_lock(&view->lock);
	last = view->event;
	pthread_mutex_unlock(&view->lock);
	assert_int_equal(last, event);
}

static void an_unmapped_page_is_told_of(void **state)
{
	char *p = some_pages(4);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	view_add(&view, p + PAGE, PAGE);
	seq = read_page(&view, &pte);
	assert_int_equal(pte.state, UHMM_PTE_PRESENT);
	assert_holds(&view, seq);
	munmap(p, 3 * PAGE);
	assert_true(view_retry(&view, seq));
	assert_called(&view, MMU_NOTIFY_UNMAP);
	assert_int_equal(view.start, (unsigned long)p);
	assert_int_equal(view.end, (unsigned long)p + 3 * PAGE);
	settle();
	assert_int_equal(live_stats().unmaps, 1);
	view_drop(&view);
	munmap(p + 3 * PAGE, PAGE);
}

static void what_nobody_read_is_not_watched(void **state)
{
	char *p = some_pages(4);
	struct view view;

	need_g0();
	view_add(&view, p, 4 * PAGE);
	munmap(p, 4 * PAGE);
	assert_int_equal(live_stats().unmaps, 0);
	view_drop(&view);
}

static void an_area_in_the_place_of_another_is_told_of(void **state)
{
	char *p = some_pages(1);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	view_add(&view, p, PAGE);
	for (int i = 0; i < 10; i++) {
		/* What was told of before has been passed on. */
		settle();
		seq = read_page(&view, &pte);
		assert_holds(&view, seq);
		map_at(p, 1, RW, MAP_FIXED);
		assert_true(view_retry(&view, seq));
		*p = 1;
	}
	settle();
	assert_int_equal(live_stats().unmaps, 10);
	view_drop(&view);
	munmap(p, PAGE);
}

static void dropped_pages_are_told_of(void **state)
{
	char *p = some_pages(2);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	view_add(&view, p, 2 * PAGE);
	for (int i = 0; i < 100; i++) {
		*p = 1;
		seq = read_page(&view, &pte);
		assert_holds(&view, seq);
		madvise(p, PAGE, MADV_DONTNEED);
		assert_true(view_retry(&view, seq));
		/* Once the end is seen, what is read is what there is. */
		seq = read_page(&view, &pte);
		assert_int_equal(pte.state, UHMM_PTE_NONE);
		assert_holds(&view, seq);
	}
	assert_called(&view, MMU_NOTIFY_CLEAR);
	settle();
	assert_int_equal(live_stats().removes, 100);
	assert_int_equal(live_stats().ends_lost, 0);
	/* Each has one end; who is not found in time is looked for. */
	assert_int_equal(live_stats().signalled + live_stats().quarantined, 100);
	assert_true(live_stats().signalled > 0);
	view_drop(&view);
	munmap(p, 2 * PAGE);
}

static void *drop_deaf(void *page)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	madvise(page, PAGE, MADV_DONTNEED);
	return NULL;
}

static void who_blocks_signals_is_quarantined(void **state)
{
	char *p = some_pages(1);
	struct uhmm_pte pte;
	pthread_t thread;
	struct view view;
	unsigned long seq;

	need_g0();
	view_add(&view, p, PAGE);
	for (int i = 0; i < 20; i++) {
		*p = 1;
		read_page(&view, &pte);
		assert_int_equal(pthread_create(&thread, NULL, drop_deaf, p),
				 0);
		pthread_join(thread, NULL);
		seq = read_page(&view, &pte);
		assert_int_equal(pte.state, UHMM_PTE_NONE);
		assert_holds(&view, seq);
	}
	settle();
	assert_int_equal(live_stats().removes, 20);
	assert_int_equal(live_stats().ends_lost, 0);
	assert_int_equal(info().guarantee, UHMM_G0);
	view_drop(&view);
	munmap(p, PAGE);
}

static void a_moved_area_is_told_of_at_both_ends(void **state)
{
	char *p = some_pages(1), *room = map_at(NULL, 4, PROT_NONE, 0);
	struct view from, to;
	struct uhmm_pte pte;
	unsigned long seq;

	need_g0();
	view_add(&from, p, PAGE);
	view_add(&to, room, PAGE);
	read_page(&from, &pte);
	read_page(&to, &pte);
	assert_ptr_equal(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				room), room);
	assert_called(&from, MMU_NOTIFY_UNMAP);
	assert_called(&to, MMU_NOTIFY_UNMAP);
	/* What moved can be watched where it is, and is. */
	seq = read_page(&to, &pte);
	assert_int_equal(pte.state, UHMM_PTE_PRESENT);
	assert_holds(&to, seq);
	munmap(room, PAGE);
	assert_true(view_retry(&to, seq));
	view_drop(&from);
	view_drop(&to);
	munmap(room, 4 * PAGE);
}

/* Across descriptors: what was watched there is watched here. */
static void an_area_may_move_far_away(void **state)
{
	char *room = map_at(NULL, (1UL << 30) / PAGE, PROT_NONE, MAP_NORESERVE);
	char *at = map_at(room, 1, RW, MAP_FIXED);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	for (int i = 0; i < 8; i++) {
		char *to = room + ((i + 1) % 4) * (256UL << 20) + PAGE * i;

		*at = 1;
		view_add(&view, at, PAGE);
		/* The move here was told of where it came from. */
		settle();
		seq = read_page(&view, &pte);
		assert_holds(&view, seq);
		assert_ptr_equal(mremap(at, PAGE, PAGE,
					MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
		assert_true(view_retry(&view, seq));
		view_drop(&view);
		at = to;
	}
	assert_int_equal(live_stats().foreign, 0);
	munmap(room, 1UL << 30);
}

/* Read in part before it is written, on one side of where large pages meet. */
static void an_area_stays_one(void **state)
{
	char *room = map_at(NULL, 1024 + 16, PROT_NONE, 0), *p, *q;
	const unsigned long large = 2UL << 20;
	unsigned long at = (unsigned long)room + 8 * PAGE + large - 1;

	/* 8 pages on either side, and not where descriptors meet. */
	at &= ~(large - 1);
	p = (char *)(at % SHARD_BYTES ? at : at + large) - 8 * PAGE;
	munmap(room, (1024 + 16) * PAGE);
	map_at(p, 16, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
	assert_int_equal(pte_at(p).state, UHMM_PTE_NONE);
	*p = 1;
	p[8 * PAGE] = 2;
	assert_int_equal(pte_at(p + 8 * PAGE).state, UHMM_PTE_PRESENT);
	q = mremap(p, 16 * PAGE, 32 * PAGE, MREMAP_MAYMOVE);
	assert_ptr_not_equal(q, MAP_FAILED);
	assert_int_equal(q[0] + q[8 * PAGE], 3);
	munmap(q, 32 * PAGE);
}

static void fork_is_told_of(void **state)
{
	char *p = some_pages(1);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;
	int status;
	pid_t pid;

	need_g0();
	view_add(&view, p, PAGE);
	seq = read_page(&view, &pte);
	pid = fork();
	if (!pid)
		_exit(munmap(p, PAGE) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(view_retry(&view, seq));
	assert_called(&view, MMU_NOTIFY_PROTECTION_PAGE);
	view_drop(&view);
	munmap(p, PAGE);
}

static int foreign_uffd(char *p, size_t length)
{
	int fd = (int)syscall(SYS_userfaultfd,
			      O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (unsigned long)p, length },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
	assert_int_equal(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
	return fd;
}

static void what_the_program_watches_is_left_to_it(void **state)
{
	char *p = some_pages(1);
	int fd;

	need_g0();
	fd = foreign_uffd(p, PAGE);
	make_live(UHMM_G0, 0, 0);
	assert_int_equal(pte_at(p).state, UHMM_PTE_SPECIAL);
	assert_int_equal(uhmm_live_watch(mm, (unsigned long)p, PAGE), -EBUSY);
	assert_true(live_stats().foreign >= 1);
	assert_true(info().reasons & UHMM_LIVE_WHY_FOREIGN);
	assert_int_equal(info().guarantee, UHMM_G0);
	/* Mirrored all the same, it is not as asked for. */
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	assert_int_equal(pte_at(p).state, UHMM_PTE_PRESENT);
	assert_int_equal(info().guarantee, UHMM_GUARANTEE_NONE);
	close(fd);
	munmap(p, PAGE);
}

static void a_bracket_spares_the_event(void **state)
{
	char *p = some_pages(2);
	struct live_bracket b;
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	make_live(UHMM_G1, 0, 0);
	live_set_bracketed(UHMM_G1, 0);
	assert_int_equal(info().guarantee, UHMM_G1);
	view_add(&view, p, 2 * PAGE);
	read_page(&view, &pte);
	live_bracket_start(&b, (unsigned long)p, PAGE, MMU_NOTIFY_UNMAP, 0);
	munmap(p, PAGE);
	live_bracket_end(&b);
	assert_int_equal(live_stats().unmaps, 0);
	assert_int_equal(live_stats().missed, 0);
	/* Beside it the watch goes on, and what has no bracket is missed. */
	pte = pte_at(p + PAGE);
	seq = view_begin(&view);
	munmap(p + PAGE, PAGE);
	assert_true(view_retry(&view, seq));
	settle();
	assert_int_equal(live_stats().missed, 1);
	assert_int_equal(view_called(&view), 2);
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	view_drop(&view);
}

/* Who refuses is asked again; meanwhile a read is told so. */
static void who_refuses_is_asked_again(void **state)
{
	char *p = some_pages(1);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;

	need_g0();
	view_add(&view, p, PAGE);
	seq = read_page(&view, &pte);
	pthread_mutex_lock(&view.lock);
	/* Under the lock that the callback takes: it is the driver's to know. */
	munmap(p, PAGE);
	while (!live_stats().handed_on)
		sched_yield();
	assert_true(mmu_interval_read_retry(&view.sub, seq));
	assert_true(uhmm_live_pending(mm, (unsigned long)p, PAGE));
	pthread_mutex_unlock(&view.lock);
	seq = view_begin(&view);
	assert_int_equal(view_called(&view), 1);
	assert_holds(&view, seq);
	view_drop(&view);
}

static void without_userfaultfd_nothing_is_promised(void **state)
{
	char *p = some_pages(1);

	make_live(UHMM_G0, UHMM_LIVE_UFFD, 0);
	assert_int_equal(info().guarantee, UHMM_GUARANTEE_NONE);
	assert_true(info().reasons & UHMM_LIVE_WHY_UFFD);
	assert_int_equal(pte_at(p).state, UHMM_PTE_SPECIAL);
	make_live(UHMM_G0, UHMM_LIVE_UFFD, UHMM_LIVE_UNWATCHED_TOO);
	assert_int_equal(pte_at(p).state, UHMM_PTE_PRESENT);
	munmap(p, PAGE);
}

/* A wide range that nobody watches costs nobody anything. */
static void file_pages_are_watched_where_the_kernel_can(void **state)
{
	char path[] = "/var/tmp/uhmm-events-XXXXXX";
	int fd = mkstemp(path);
	struct uhmm_pte pte;
	struct view view;
	unsigned long seq;
	char *p;

	unlink(path);
	need_g0();
	if (!kernel_has(UHMM_LIVE_WP_ASYNC)) {
		print_message("files cannot be watched before Linux 6.7\n");
		skip();
	}
	assert_int_equal(ftruncate(fd, PAGE), 0);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_int_equal(*p, 0);
	view_add(&view, p, PAGE);
	seq = read_page(&view, &pte);
	assert_int_equal(pte.state, UHMM_PTE_PRESENT);
	assert_holds(&view, seq);
	munmap(p, PAGE);
	assert_true(view_retry(&view, seq));
	view_drop(&view);
	close(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE(an_unmapped_page_is_told_of),
		CASE(what_nobody_read_is_not_watched),
		CASE(an_area_in_the_place_of_another_is_told_of),
		CASE(dropped_pages_are_told_of),
		CASE(who_blocks_signals_is_quarantined),
		CASE(a_moved_area_is_told_of_at_both_ends),
		CASE(an_area_may_move_far_away),
		CASE(an_area_stays_one),
		CASE(fork_is_told_of),
		CASE(what_the_program_watches_is_left_to_it),
		CASE(a_bracket_spares_the_event),
		CASE(who_refuses_is_asked_again),
		CASE(without_userfaultfd_nothing_is_promised),
		CASE(file_pages_are_watched_where_the_kernel_can),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_events", tests, NULL, NULL);
}
