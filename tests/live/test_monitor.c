/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The monitor is waited for by whoever unmaps, under whatever locks. So it allocates
 * and maps nothing, whatever it reads of, and waits for no lock; descriptors and areas
 * do not grow in number by what it sees.
 *
 * Linked with mmap() and its like wrapped; malloc() is this program's own.
 */
#include "device.h"
#include "live_util.h"

#include <dirent.h>
#include <semaphore.h>
#include <sys/wait.h>

#include <uhmm/hmm.h>

#include "mm/live/watch.h"
#include "raw.h"

/* The monitor's, when it is looked at; 0: it is not. */
static int looked_at;
static unsigned long allocated, mapped;
static pthread_mutex_t heap_lock =
	PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void look(unsigned long *count)
{
	int tid = __atomic_load_n(&looked_at, __ATOMIC_ACQUIRE);

	if (tid && gettid() == tid)
		__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

#ifndef THEIR_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static void heap_enter(void)
{
	look(&allocated);
	pthread_mutex_lock(&heap_lock);
}

static void *heap_leave(void *p)
{
	pthread_mutex_unlock(&heap_lock);
	return p;
}

void *malloc(size_t size)
{
	heap_enter();
	return heap_leave(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	heap_enter();
	return heap_leave(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	heap_enter();
	return heap_leave(__libc_realloc(p, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
	heap_enter();
	return heap_leave(__libc_memalign(alignment, size));
}

/* libc frees what a thread that ends never had. */
void free(void *p)
{
	if (!p)
		return;
	heap_enter();
	__libc_free(p);
	heap_leave(NULL);
}
#endif

void *__real_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at);
void *__wrap_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at);
int __real_munmap(void *addr, size_t n);
int __wrap_munmap(void *addr, size_t n);
int __real_madvise(void *addr, size_t n, int advice);
int __wrap_madvise(void *addr, size_t n, int advice);

void *__wrap_mmap(void *addr, size_t n, int prot, int flags, int fd, off_t at)
{
	look(&mapped);
	return __real_mmap(addr, n, prot, flags, fd, at);
}

int __wrap_munmap(void *addr, size_t n)
{
	look(&mapped);
	return __real_munmap(addr, n);
}

int __wrap_madvise(void *addr, size_t n, int advice)
{
	look(&mapped);
	return __real_madvise(addr, n, advice);
}

/* ----------------------------------------------------------- what it reads of */

static void begin(unsigned int flags)
{
	int tid;

#ifdef THEIR_MALLOC
	skip();
#endif
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO | flags);
	if (info().guarantee < UHMM_G0)
		skip();
	/* It has warmed up. */
	do
		tid = __atomic_load_n(&live_of(mm)->monitor_tid, __ATOMIC_ACQUIRE);
	while (!tid || !thread_is_asleep(tid));
	allocated = mapped = 0;
	__atomic_store_n(&looked_at, tid, __ATOMIC_RELEASE);
}

static void end(void)
{
	drop_live();
	__atomic_store_n(&looked_at, 0, __ATOMIC_RELEASE);
	assert_int_equal(allocated, 0);
	assert_int_equal(mapped, 0);
}

static void *drop_deaf(void *page)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	madvise(page, PAGE, MADV_DONTNEED);
	return NULL;
}

static void drop_in_thread(char *page)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, drop_deaf, page), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void fork_once(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Removed, moved, dropped, by whom is seen and by whom is not; and forks. */
static void change_all(char *p, char *room)
{
	struct view view;

	view_add(&view, p, 8 * PAGE);
	for (int i = 0; i < 8; i++)
		pte_at(p + i * PAGE);
	RAW2(SYS_munmap, p, PAGE);
	map_at(p + PAGE, 1, PROT_READ, MAP_FIXED);
	madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED);
	drop_in_thread(p + 3 * PAGE);
	assert_ptr_equal(mremap(p + 4 * PAGE, PAGE, PAGE,
				MREMAP_MAYMOVE | MREMAP_FIXED, room), room);
	fork_once();
	/* Refused, and tried again. */
	pthread_mutex_lock(&view.lock);
	RAW2(SYS_munmap, p + 5 * PAGE, PAGE);
	madvise(p + 6 * PAGE, PAGE, MADV_DONTNEED);
	usleep(5000);
	pthread_mutex_unlock(&view.lock);
	settle();
	view_drop(&view);
	munmap(p, 8 * PAGE);
	munmap(room, PAGE);
}

static void change_often(void)
{
	for (int i = 0; i < 10; i++)
		change_all(some_pages(8), map_at(NULL, 1, PROT_NONE, 0));
}

static void it_allocates_nothing(void **state)
{
	struct uhmm_live_stats s;
	unsigned long sleeps;

	begin(0);
	change_often();
	s = live_stats();
	assert_true(s.unmaps >= 20 && s.removes >= 30 && s.remaps >= 10);
	assert_true(s.handed_on >= 20 && s.quarantined >= 10);
	/* It has nothing to do, and looks whether anybody is there. */
	sleeps = thread_sleeps(looked_at);
	while (thread_sleeps(looked_at) < sleeps + 2)
		usleep(10000);
	end();
}

/* Nor where it takes turns with who brings pages home. */
static void nor_beside_a_device(void **state)
{
	struct device device;
	char *p;

	begin(UHMM_LIVE_DEVICE);
	assert_int_equal(device_make(&device, 16, true), 0);
	for (int i = 0; i < 10; i++) {
		p = some_pages(8);
		assert_int_equal(device_take(&device, mm, p, 8), 8);
		assert_int_equal(p[0] + p[PAGE], 3);
		change_all(p, map_at(NULL, 1, PROT_NONE, 0));
	}
	device_destroy(&device);
	end();
}

static void allocate_in_it(struct view *view)
{
	void *volatile p = malloc(100);

	free(p);
	madvise(view, 0, MADV_NORMAL);
}

/* That it would be seen: a callback that does what it must not. */
static void who_allocates_in_it_is_seen(void **state)
{
	char *p = some_pages(1);
	struct view view;

	begin(0);
	view_add(&view, p, PAGE);
	view.hook = allocate_in_it;
	pte_at(p);
	munmap(p, PAGE);
	settle();
	assert_int_equal(allocated, 2);
	assert_int_equal(mapped, 1);
	allocated = mapped = 0;
	view_drop(&view);
	end();
}

/* -------------------------------------------------------------------- locks */

struct locked {
	struct view view;
	char *p;
	bool gone;
};

/* Those of malloc(), of the address space, of the driver, of who registers. */
static void *unmap_under_all(void *arg)
{
	struct locked *l = arg;

	pthread_mutex_lock(&heap_lock);
	mmap_write_lock(mm);
	mutex_lock(&live_of(mm)->watch_lock);
	/* Who has it called is refused, and calls again later. */
	if (!l->view.hook)
		pthread_mutex_lock(&l->view.lock);
	l->gone = !munmap(l->p, PAGE) && !madvise(l->p + PAGE, PAGE,
						  MADV_DONTNEED);
	if (!l->view.hook)
		pthread_mutex_unlock(&l->view.lock);
	mutex_unlock(&live_of(mm)->watch_lock);
	mmap_write_unlock(mm);
	pthread_mutex_unlock(&heap_lock);
	return NULL;
}

static void unmap_it(void (*hook)(struct view *view))
{
	struct locked l = { .gone = false };
	pthread_t thread;

	begin(0);
	l.p = some_pages(2);
	view_add(&l.view, l.p, 2 * PAGE);
	l.view.hook = hook;
	pte_at(l.p);
	pte_at(l.p + PAGE);
	assert_int_equal(pthread_create(&thread, NULL, unmap_under_all, &l), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(l.gone);
	settle();
	assert_true(view_called(&l.view) > 0);
	view_drop(&l.view);
	munmap(l.p, 2 * PAGE);
	end();
}

/* For ever, if the monitor waited for one of them. */
static void who_unmaps_may_hold_any_lock(void **state)
{
	for (int i = 0; i < 20; i++)
		unmap_it(NULL);
}

#define STUCK 3

static void say_stuck(int sig)
{
	_exit(STUCK);
}

/* Known to be bad: a callback that waits for the lock of malloc(). */
static void who_waits_for_one_gets_stuck(void **state)
{
	int status;
	pid_t pid;

	/* Skips where there is none. */
	begin(0);
	end();
	pid = fork();
	if (!pid) {
		signal(SIGALRM, say_stuck);
		alarm(2);
		unmap_it(allocate_in_it);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STUCK);
}

/* ---------------------------------------------------------- while it stands */

static sem_t stands, go_on;

static void stand(struct view *view)
{
	sem_post(&stands);
	while (sem_wait(&go_on))
		;
}

static void *unmap_page(void *page)
{
	RAW2(SYS_munmap, page, PAGE);
	return NULL;
}

/* It is in the middle of passing on that the first page is gone. */
struct standing {
	struct view first, other;
	char *pages[2];
	pthread_t thread;
};

static void stand_still(struct standing *s, unsigned int descriptors)
{
	struct uhmm_live_options o = { .size = sizeof(o),
				       .descriptors = descriptors };

	sem_init(&stands, 0, 0);
	sem_init(&go_on, 0, 0);
	OK(!uhmm_mm_create_live(&o, &mm));
	if (info().guarantee < UHMM_G0)
		_exit(CANNOT);
	for (int i = 0; i < 2; i++) {
		/* Of two descriptors they have one each. */
		s->pages[i] = map_at((char *)(1UL << 44) + i * SHARD_BYTES, 1,
				     PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
		*s->pages[i] = 1;
	}
	view_add(&s->first, s->pages[0], PAGE);
	view_add(&s->other, s->pages[1], PAGE);
	view_look(&s->first, s->pages[0]);
	view_look(&s->other, s->pages[1]);
	s->first.hook = stand;
	OK(!pthread_create(&s->thread, NULL, unmap_page, s->pages[0]));
	while (sem_wait(&stands))
		;
}

static void go_further(struct standing *s)
{
	sem_post(&go_on);
	OK(!pthread_join(s->thread, NULL));
	view_begin(&s->first);
	view_begin(&s->other);
}

static int begin_in(struct view *view, int64_t ns)
{
	unsigned long seq;

	return uhmm_interval_read_begin_timeout(&view->sub, ns, &seq);
}

/* For ever, if the time that it has were that of announced changes alone. */
ALONE(a_read_is_held_up_and_ends_in_time)
{
	unsigned long pfn = HMM_PFN_REQ_FAULT;
	struct hmm_range range;
	struct standing s;

	stand_still(&s, 1);
	range = (struct hmm_range){
		.notifier = &s.other.sub,
		.start = (unsigned long)s.pages[1],
		.end = (unsigned long)s.pages[1] + PAGE,
		.hmm_pfns = &pfn,
	};
	OK(begin_in(&s.first, 0) == -ETIMEDOUT);
	OK(begin_in(&s.other, 1000000) == -ETIMEDOUT);
	OK(hmm_range_fault_unlocked_timeout(&range, 1000000) == -EBUSY);
	go_further(&s);
	OK(!begin_in(&s.other, -1));
}

/* Known to be bad: who does not ask begins, and reads what may be gone. */
ALONE(who_does_not_ask_begins)
{
	struct standing s;

	stand_still(&s, 1);
	live_broken = BROKEN_PROBE | BROKEN_BUSY;
	OK(!begin_in(&s.other, 0));
	_exit(0);
}

ALONE(a_read_far_away_is_not_held_up)
{
	unsigned long seq;
	struct standing s;

	stand_still(&s, 2);
	OK(begin_in(&s.first, 0) == -ETIMEDOUT);
	seq = view_begin(&s.other);
	OK(pte_at(s.pages[1]).state == UHMM_PTE_PRESENT);
	OK(!view_retry(&s.other, seq));
	go_further(&s);
}

/* --------------------------------------------------------------------- bounds */

static unsigned int count_lines(const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned int n = 0;
	int c;

	while (file && (c = getc(file)) != EOF)
		n += c == '\n';
	if (file)
		fclose(file);
	return n;
}

static unsigned int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* Of what is watched, changed and forked, however much that is. */
static void nothing_of_it_grows(void **state)
{
	unsigned int bare = count_descriptors(), descriptors, areas;

	begin(0);
	change_often();
	descriptors = count_descriptors();
	areas = count_lines("/proc/self/maps");
	/* Files of /proc, how it is woken, and a spare one. */
	assert_true(descriptors <= bare + info().descriptors + 5);
	for (int i = 0; i < 5; i++)
		change_often();
	assert_int_equal(count_descriptors(), descriptors);
	assert_true(count_lines("/proc/self/maps") <= areas + 4);
	end();
	assert_int_equal(count_descriptors(), bare);
}

/* --------------------------------------------------------------------- awake */

/* Each is told of before it is over; returns how often the monitor slept for that. */
static unsigned long unmap_in_a_row(unsigned int n)
{
	int tid = live_of(mm)->monitor_tid;
	unsigned long sleeps = thread_sleeps(tid);
	char *p;

	for (unsigned int i = 0; i < n; i++) {
		p = some_pages(1);
		pte_at(p);
		munmap(p, PAGE);
	}
	return thread_sleeps(tid) - sleeps;
}

/* If it is not kept from it all the time. */
static void it_is_awake_while_it_is_told_often(void **state)
{
	unsigned int tries = 0;

	begin(0);
	while (unmap_in_a_row(100) > 50)
		assert_true(++tries < 100);
	end();
}

static bool falls_asleep(int tid)
{
	unsigned int asleep = 0;

	for (int i = 0; i < 200 && asleep < 20; i++) {
		usleep(5000);
		asleep = thread_is_asleep(tid) ? asleep + 1 : 0;
	}
	return asleep == 20;
}

static void it_sleeps_when_it_is_not(void **state)
{
	begin(0);
	unmap_in_a_row(100);
	assert_true(falls_asleep(live_of(mm)->monitor_tid));
	end();
}

/* Known to be bad: it goes on waiting awake. */
static void who_stays_awake_is_seen(void **state)
{
	begin(0);
	live_broken = BROKEN_AWAKE;
	unmap_in_a_row(100);
	assert_false(falls_asleep(live_of(mm)->monitor_tid));
	live_broken = 0;
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(it_allocates_nothing),
		CASE_BARE(nor_beside_a_device),
		CASE_BARE(who_allocates_in_it_is_seen),
		CASE_BARE(who_unmaps_may_hold_any_lock),
		CASE_BARE(who_waits_for_one_gets_stuck),
		CASE_BARE(a_read_is_held_up_and_ends_in_time),
		CASE_BARE(who_does_not_ask_begins),
		CASE_BARE(a_read_far_away_is_not_held_up),
		CASE_BARE(nothing_of_it_grows),
		CASE_BARE(it_is_awake_while_it_is_told_often),
		CASE_BARE(it_sleeps_when_it_is_not),
		CASE_BARE(who_stays_awake_is_seen),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_monitor", tests, NULL, NULL);
}
