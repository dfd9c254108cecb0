/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What goes wrong around a live address space: threads that do not run, limits
 * that are reached, memory that is not there, calls that are forbidden, a
 * violent end. Nothing hangs for ever, nothing is lost, and the guarantee that is
 * reported drops.
 */
#include "live_util.h"
#include "mm/live/patch.h"
#include "mm/live/watch.h"

#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <uhmm/hmm.h>
#include <uhmm/migrate.h>
#include <uhmm/rcache_uring.h>

#define FORBIDDEN (SECCOMP_RET_ERRNO | EPERM)

/* An unmap is seen, if the guarantee says so. */
static void assert_kept(void)
{
	char *p = some_pages(1);
	struct view view;
	unsigned long seq;

	view_add(&view, p, PAGE);
	seq = view_begin(&view);
	pte_at(p);
	munmap(p, PAGE);
	if (info().guarantee >= UHMM_G0)
		OK(view_retry(&view, seq));
	view_drop(&view);
}

static void need_g0(void)
{
	if (info().guarantee < UHMM_G0)
		_exit(CANNOT);
}

/* -------------------------------------------------------- a monitor that stands */

static sem_t stands, go_on;

static void stand(struct view *view)
{
	sem_post(&stands);
	while (sem_wait(&go_on))
		;
}

static void *unmap_it(void *page)
{
	munmap(page, PAGE);
	return NULL;
}

static bool is_gone(const void *page)
{
	return msync((void *)page, PAGE, MS_ASYNC) && errno == ENOMEM;
}

/* The monitor stands in a callback, another page goes: is its reader told? */
struct stuck {
	struct view first, second;
	char *pages[2];
	unsigned long seq;
	pthread_t threads[2];
};

static void get_stuck(struct stuck *s)
{
	sem_init(&stands, 0, 0);
	sem_init(&go_on, 0, 0);
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	for (int i = 0; i < 2; i++)
		s->pages[i] = some_pages(1);
	view_add(&s->first, s->pages[0], PAGE);
	view_add(&s->second, s->pages[1], PAGE);
	s->first.hook = stand;
	s->seq = view_begin(&s->second);
	pte_at(s->pages[0]);
	pte_at(s->pages[1]);
	OK(!view_retry(&s->second, s->seq));
	pthread_create(&s->threads[0], NULL, unmap_it, s->pages[0]);
	while (sem_wait(&stands))
		;
	pthread_create(&s->threads[1], NULL, unmap_it, s->pages[1]);
	while (!is_gone(s->pages[1]))
		sched_yield();
}

ALONE(a_monitor_that_stands_loses_nothing)
{
	struct stuck s;

	get_stuck(&s);
	OK(!view_called(&s.second));
	OK(view_retry(&s.second, s.seq));
	sem_post(&go_on);
	for (int i = 0; i < 2; i++)
		OK(!pthread_join(s.threads[i], NULL));
	while (!view_called(&s.second))
		sched_yield();
	OK(info().guarantee == UHMM_G0);
	view_drop(&s.first);
	view_drop(&s.second);
	drop_live();
}

/* Known to be bad: who does not ask the kernel is not told. */
ALONE(who_does_not_ask_is_not_told)
{
	struct stuck s;

	get_stuck(&s);
	live_broken = BROKEN_PROBE | BROKEN_BUSY;
	OK(!view_retry(&s.second, s.seq));
}

static void a_process_that_is_killed_ends(void **state)
{
	struct stuck s;
	int status;
	pid_t pid = fork();

	if (!pid) {
		get_stuck(&s);
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		skip();
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---------------------------------------------------------- a monitor that lags */

/* Its place is one that missing pages are told of, from now on. */
static void exclusive_for_a_while(char *page)
{
	unsigned long pfn;

	mmap_read_lock(mm);
	OK(!make_device_exclusive(mm, (unsigned long)page, mm, &pfn));
	mmap_read_unlock(mm);
	uhmm_device_exclusive_put(mm, pfn);
	OK(*(volatile char *)page == 1);
}

static long unmap_patched(char *page, size_t length)
{
	const unsigned long args[6] = { (unsigned long)page, length };

	return live_patched_call(SYS_munmap, args);
}

static struct live *lags;
static unsigned int brackets_over;

void __real_live_bracket_end(struct live_bracket *b);
void __wrap_live_bracket_end(struct live_bracket *b);
ssize_t __real_read(int fd, void *buf, size_t n);
ssize_t __wrap_read(int fd, void *buf, size_t n);

void __wrap_live_bracket_end(struct live_bracket *b)
{
	__real_live_bracket_end(b);
	fetch_add(&brackets_over, 1);
}

/*
 * What it has read it passes on when the bracket around the change is over, or who
 * is to end it sleeps until that has happened.
 */
ssize_t __wrap_read(int fd, void *buf, size_t n)
{
	ssize_t ret = __real_read(fd, buf, n);
	struct live *live = READ_ONCE(lags);

	while (live && ret > 0 && fd == live->shards[0].fd &&
	       !READ_ONCE(brackets_over) && !READ_ONCE(live->sleepers))
		sched_yield();
	return ret;
}

/* What a fork, and an unmap with a place for pages that are away, are seen as. */
static void lag(unsigned long *ret_called, unsigned long *ret_missed)
{
	unsigned long called, missed;
	struct view view;
	pid_t pid;
	char *p;

	make_live(UHMM_G1, 0, UHMM_LIVE_UNWATCHED_TOO | UHMM_LIVE_DEVICE);
	if (!kernel_has(UHMM_LIVE_MOVE | UHMM_LIVE_EVENT_FORK))
		_exit(CANNOT);
	live_set_bracketed(UHMM_G1, 0);
	p = some_pages(2);
	view_add(&view, p, 2 * PAGE);
	pte_at(p);
	exclusive_for_a_while(p);
	called = view_called(&view);
	missed = live_stats().missed;
	WRITE_ONCE(brackets_over, 0);
	WRITE_ONCE(lags, live_of(mm));
	pid = fork();
	if (!pid)
		_exit(0);
	OK(waitpid(pid, NULL, 0) == pid);
	settle();
	WRITE_ONCE(brackets_over, 0);
	OK(!unmap_patched(p, PAGE));
	settle();
	WRITE_ONCE(lags, NULL);
	*ret_called = view_called(&view) - called;
	*ret_missed = live_stats().missed - missed;
}

ALONE(a_change_is_seen_once_however_late_it_is_told_of)
{
	unsigned long called, missed;

	lag(&called, &missed);
	OK(called == 2 && missed == 0);
}

/* Known to be bad: both are seen again, when their brackets are over. */
ALONE(who_does_not_wait_to_be_told_sees_it_twice)
{
	unsigned long called, missed;

	live_broken = BROKEN_TOLD;
	lag(&called, &missed);
	OK(called == 4 && missed == 2);
}

/* --------------------------------------------------------------------- limits */

static void limit(int resource, rlim_t now)
{
	struct rlimit r;

	OK(!getrlimit(resource, &r));
	r.rlim_cur = now;
	OK(!setrlimit(resource, &r));
}

/* At each number of them it works, or says what is missing. */
ALONE(few_descriptors)
{
	struct uhmm_live_options o = { .size = sizeof(o),
				       .flags = UHMM_LIVE_UNWATCHED_TOO };
	int first = open("/dev/null", O_RDONLY), ret, less = 0, all = 0;

	for (int n = 0; n < 16; n++) {
		limit(RLIMIT_NOFILE, (rlim_t)(first + n));
		ret = uhmm_mm_create_live(&o, &mm);
		OK(!ret || ret == -EMFILE);
		if (ret)
			continue;
		if (info().descriptors < 4)
			OK(info().reasons &
			   (UHMM_LIVE_WHY_DESCRIPTORS | UHMM_LIVE_WHY_UFFD));
		if (info().descriptors > 0 && info().descriptors < 4)
			OK(info().reasons & UHMM_LIVE_WHY_DESCRIPTORS);
		OK((info().guarantee >= UHMM_G0) == (info().descriptors > 0));
		less += info().descriptors > 0 && info().descriptors < 4;
		all += info().descriptors == 4;
		assert_kept();
		drop_live();
	}
	OK(less);
	limit(RLIMIT_NOFILE, 1024);
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	OK(all);
	assert_kept();
	drop_live();
}

/* Pieces that lie apart: every second page of it cannot be used. */
static char *apart(size_t n)
{
	char *p = some_pages(2 * n);

	for (size_t i = 0; i < n; i++)
		OK(!mprotect(p + (2 * i + 1) * PAGE, PAGE, PROT_NONE));
	return p;
}

ALONE(few_watches)
{
	struct uhmm_live_options o = { .size = sizeof(o), .watches = 4 };
	int watched = 0;
	char *p = apart(16);

	/* What cannot be watched is not there to be mirrored ... */
	OK(!uhmm_mm_create_live(&o, &mm));
	need_g0();
	for (int i = 0; i < 16; i++)
		watched += pte_at(p + 2 * i * PAGE).state == UHMM_PTE_PRESENT;
	OK(watched == 4);
	OK(info().reasons & UHMM_LIVE_WHY_MAPS);
	OK(info().guarantee == UHMM_G0);
	/* ... and what has gone leaves its place to others. */
	munmap(p, 8 * PAGE);
	/* Once the monitor has read of it; for ever, if that does not happen. */
	while (pte_at(p + 30 * PAGE).state != UHMM_PTE_PRESENT)
		usleep(1000);
	drop_live();
	/* Who wants it nevertheless has no guarantee. */
	o.flags = UHMM_LIVE_UNWATCHED_TOO;
	OK(!uhmm_mm_create_live(&o, &mm));
	for (int i = 4; i < 16; i++)
		OK(pte_at(p + 2 * i * PAGE).state == UHMM_PTE_PRESENT);
	OK(info().guarantee == UHMM_GUARANTEE_NONE);
	OK(info().reasons & UHMM_LIVE_WHY_UNWATCHED);
	drop_live();
}

/* The kernel's own limit of areas, which watching a part of one passes. */
ALONE(no_area_is_left)
{
	struct uhmm_live_options o = { .size = sizeof(o) };
	const size_t most = 70000, half = 4UL << 30;
	char *p, *big = NULL;

	OK(!uhmm_mm_create_live(&o, &mm));
	need_g0();
	/*
	 * More than is registered at once: somewhere it is to be split. That there
	 * are notes for it already takes that it was watched before.
	 */
	for (int i = 0; i < 2; i++) {
		big = mmap(i ? big : NULL, half * 2, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				   (i ? MAP_FIXED : 0), -1, 0);
		OK(big != MAP_FAILED);
		if (!i)
			OK(!uhmm_live_watch(mm, (unsigned long)big, half * 2));
	}
	settle();
	p = mmap(NULL, 2 * most * PAGE, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	OK(p != MAP_FAILED);
	big[half] = 1;
	for (size_t i = 0; i < most; i++)
		if (mprotect(p + 2 * i * PAGE, PAGE, PROT_READ))
			break;
	if (!mprotect(p + 2 * most * PAGE - PAGE, PAGE, PROT_READ))
		_exit(CANNOT);
	OK(pte_at(big + half).state == UHMM_PTE_SPECIAL);
	OK(info().reasons & UHMM_LIVE_WHY_MAPS);
	OK(info().guarantee == UHMM_G0);
	munmap(p, 2 * most * PAGE);
	OK(pte_at(big + half).state == UHMM_PTE_PRESENT);
	drop_live();
}

ALONE(no_memory_may_be_locked)
{
	limit(RLIMIT_MEMLOCK, 0);
	/* A privilege would stand above it. */
	if (!geteuid() && (setresgid(65534, 65534, 65534) ||
			   setresuid(65534, 65534, 65534)))
		_exit(CANNOT);
	/* Or /proc/self is root's. */
	OK(!prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	assert_kept();
	OK(info().guarantee == UHMM_G0);
	drop_live();
}

/* What is mirrored needs notes where nothing was noted before. */
ALONE(no_memory_for_notes)
{
	struct uhmm_live_options o = { .size = sizeof(o) };
	char *far_away = map_at((void *)(1UL << 45), 1, PROT_READ | PROT_WRITE,
				MAP_FIXED_NOREPLACE);

	*far_away = 1;
	for (int i = 0; i < 2; i++) {
		o.flags = i ? UHMM_LIVE_UNWATCHED_TOO : 0;
		OK(!uhmm_mm_create_live(&o, &mm));
		need_g0();
		limit(RLIMIT_AS, 0);
		OK(pte_at(far_away).state == (i ? UHMM_PTE_PRESENT :
						  UHMM_PTE_SPECIAL));
		limit(RLIMIT_AS, RLIM_INFINITY);
		OK(info().guarantee == (i ? UHMM_GUARANTEE_NONE : UHMM_G0));
		OK(!i == !(info().reasons & UHMM_LIVE_WHY_MEMORY));
		if (!i)
			OK(pte_at(far_away).state == UHMM_PTE_PRESENT);
		drop_live();
	}
}

/* Nor for the whole of it: no harm is done, and it can be tried again. */
ALONE(no_memory_at_all)
{
	limit(RLIMIT_AS, 0);
	OK(uhmm_mm_create_live(NULL, &mm) == -ENOMEM);
	OK(!mm);
	limit(RLIMIT_AS, RLIM_INFINITY);
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	assert_kept();
	drop_live();
}

/* ----------------------------------------------------------------- forbidden */

ALONE(userfaultfd_is_forbidden)
{
	OK(live_filter(SYS_userfaultfd, FORBIDDEN));
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	OK(info().guarantee == UHMM_GUARANTEE_NONE);
	OK(info().reasons & UHMM_LIVE_WHY_UFFD);
	OK(!(info().features & UHMM_LIVE_UFFD));
	assert_kept();
	drop_live();
}

ALONE(membarrier_is_forbidden)
{
	OK(live_filter(SYS_membarrier, FORBIDDEN));
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	OK(!sync_asymmetric);
	for (int i = 0; i < 20; i++)
		assert_kept();
	OK(info().guarantee == UHMM_G0);
	drop_live();
}

static void *wait_to_read(void *view)
{
	view_begin(view);
	return NULL;
}

/* By who is there already, and waits for the end of changes. */
ALONE(membarrier_is_forbidden_later)
{
	struct live_bracket bracket;
	struct view view;
	pthread_t thread;
	char *p;

	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	if (!sync_asymmetric)
		_exit(CANNOT);
	p = some_pages(1);
	view_add(&view, p, PAGE);
	OK(live_filter(SYS_membarrier, FORBIDDEN));
	for (int i = 0; i < 20; i++) {
		live_bracket_start(&bracket, (unsigned long)p, PAGE,
				   MMU_NOTIFY_CLEAR, 0);
		OK(!pthread_create(&thread, NULL, wait_to_read, &view));
		/* It has found out, and sleeps until this has ended. */
		while (READ_ONCE(sync_asymmetric))
			sched_yield();
		live_bracket_end(&bracket);
		OK(!pthread_join(thread, NULL));
	}
	assert_kept();
	OK(info().guarantee == UHMM_G0);
	view_drop(&view);
	drop_live();
}

ALONE(threads_are_forbidden)
{
	OK(live_filter(SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS));
	OK(live_filter(SYS_clone, SECCOMP_RET_ERRNO | EAGAIN));
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	OK(info().guarantee == UHMM_GUARANTEE_NONE);
	OK(info().reasons & (UHMM_LIVE_WHY_THREAD | UHMM_LIVE_WHY_UFFD));
	assert_kept();
	drop_live();
}

/* A ring that is there already: nothing is registered, and nothing kept. */
ALONE(io_uring_is_forbidden)
{
	struct uhmm_rcache_options o = { .size = sizeof(o) };
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(SYS_io_uring_setup, 1, &params);
	struct uhmm_rcache_uring *uring, *other = NULL;
	struct uhmm_rcache *cache;
	struct uhmm_registration reg;
	char *p;

	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	if (fd < 0 || uhmm_rcache_uring_create(fd, 8, &uring))
		_exit(CANNOT);
	OK(!uhmm_rcache_create(mm, uhmm_rcache_uring_ops(), uring, &o, &cache));
	OK(live_filter(SYS_io_uring_register, FORBIDDEN));
	p = some_pages(1);
	for (int i = 0; i < 2; i++)
		OK(uhmm_rcache_get(cache, (unsigned long)p, PAGE,
				   UHMM_RCACHE_WRITE, &reg) == -EPERM);
	fd = (int)syscall(SYS_io_uring_setup, 1, &params);
	OK(uhmm_rcache_uring_create(fd, 8, &other) == -EPERM && !other);
	OK(!uhmm_rcache_destroy(cache));
	uhmm_rcache_uring_destroy(uring);
	drop_live();
}

/* Who drops pages is not asked to say when that is over: it is looked for. */
ALONE(signals_are_forbidden)
{
	char *p;
	struct view view;
	unsigned long seq;

	OK(live_filter(SYS_rt_tgsigqueueinfo, FORBIDDEN));
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	p = some_pages(1);
	view_add(&view, p, PAGE);
	for (int i = 0; i < 8; i++) {
		*p = 1;
		seq = view_look(&view, p);
		madvise(p, PAGE, MADV_DONTNEED);
		OK(view_retry(&view, seq));
	}
	OK(live_stats().quarantined || live_stats().ends_lost);
	OK(!live_stats().ends_lost || info().guarantee < UHMM_G0);
	view_drop(&view);
	drop_live();
}

/* ---------------------------------------------------------------------- forks */

static unsigned int storm_stop;

static void *unmap_all_the_time(void *unused)
{
	while (!__atomic_load_n(&storm_stop, __ATOMIC_RELAXED))
		munmap(some_pages(1), PAGE);
	return NULL;
}

/* Descriptors that are userfaultfds. */
static unsigned int count_userfaultfds(void)
{
	char path[32], text[64];
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		memset(text, 0, sizeof(text));
		if (readlink(path, text, sizeof(text) - 1) > 0)
			n += strstr(text, "userfaultfd") != NULL;
	}
	return n;
}

#define STORMS 2
#define FORKS 60

static void *fork_all_the_time(void *ret)
{
	int status;
	pid_t pid;

	for (int i = 0; i < FORKS; i++) {
		pid = fork();
		if (!pid) {
			/* The child makes its own, now and then. */
			mmput(mm);
			mm = NULL;
			if (count_userfaultfds())
				_exit(1);
			if (i % 8 == 0) {
				make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
				assert_kept();
				drop_live();
			}
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			return NULL;
	}
	return ret;
}

ALONE(a_storm_of_forks)
{
	pthread_t threads[STORMS], changer;
	struct view view;
	char *p;
	void *ret;

	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	need_g0();
	p = some_pages(1);
	view_add(&view, p, PAGE);
	pte_at(p);
	pthread_create(&changer, NULL, unmap_all_the_time, NULL);
	for (int i = 0; i < STORMS; i++)
		pthread_create(&threads[i], NULL, fork_all_the_time, p);
	for (int i = 0; i < STORMS; i++) {
		OK(!pthread_join(threads[i], &ret));
		OK(ret == p);
	}
	__atomic_store_n(&storm_stop, 1, __ATOMIC_RELAXED);
	OK(!pthread_join(changer, NULL));
	OK(view_called(&view) >= STORMS * FORKS);
	settle();
	OK(count_userfaultfds() == info().descriptors);
	OK(info().guarantee == UHMM_G0);
	view_drop(&view);
	drop_live();
}

/* Of all that is private and can be written; how many areas that were. */
static unsigned int watch_all(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	unsigned int watched = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx rw-p", &start, &end) == 2 &&
		    strstr(line, " rw-p ") && !strchr(line, '/'))
			watched += !uhmm_live_watch(mm, start, end - start);
	if (maps)
		fclose(maps);
	return watched;
}

/* libc drops the stack of a thread that ends: nobody reads of that any more. */
ALONE(a_monitor_whose_own_stack_is_watched_ends)
{
	make_live(UHMM_G0, 0, 0);
	need_g0();
	OK(watch_all() > 3);
	drop_live();
	make_live(UHMM_G0, 0, 0);
	assert_kept();
	drop_live();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(a_monitor_that_stands_loses_nothing),
		CASE_BARE(who_does_not_ask_is_not_told),
		CASE_BARE(a_process_that_is_killed_ends),
		CASE_BARE(a_change_is_seen_once_however_late_it_is_told_of),
		CASE_BARE(who_does_not_wait_to_be_told_sees_it_twice),
		CASE_BARE(few_descriptors),
		CASE_BARE(few_watches),
		CASE_BARE(no_area_is_left),
		CASE_BARE(no_memory_may_be_locked),
		CASE_BARE(no_memory_for_notes),
		CASE_BARE(no_memory_at_all),
		CASE_BARE(userfaultfd_is_forbidden),
		CASE_BARE(membarrier_is_forbidden),
		CASE_BARE(membarrier_is_forbidden_later),
		CASE_BARE(threads_are_forbidden),
		CASE_BARE(io_uring_is_forbidden),
		CASE_BARE(signals_are_forbidden),
		CASE_BARE(a_storm_of_forks),
		CASE_BARE(a_monitor_whose_own_stack_is_watched_ends),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_faults", tests, NULL, NULL);
}
