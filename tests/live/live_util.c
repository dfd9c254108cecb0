/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "live_util.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define HOLDS_SECONDS 10

struct mm_struct *mm;

int live_begin_bare(void **state)
{
	case_clock(*state);
	return 0;
}

int live_begin(void **state)
{
	live_begin_bare(state);
	make_live(UHMM_G0, 0, UHMM_LIVE_UNWATCHED_TOO);
	return 0;
}

int live_end(void **state)
{
	drop_live();
	alarm(0);
	return 0;
}

void make_live(enum uhmm_guarantee guarantee, unsigned int without,
	       unsigned int flags)
{
	struct uhmm_live_options options = {
		.size = sizeof(options),
		.flags = flags,
		.guarantee = guarantee,
		.without = without,
	};

	drop_live();
	assert_int_equal(uhmm_mm_create_live(&options, &mm), 0);
}

void drop_live(void)
{
	if (mm)
		mmput(mm);
	mm = NULL;
}

struct uhmm_live_info info(void)
{
	struct uhmm_live_info info = { .size = sizeof(info) };

	assert_int_equal(uhmm_live_get_info(mm, &info), 0);
	return info;
}

struct uhmm_live_stats live_stats(void)
{
	struct uhmm_live_stats stats = { .size = sizeof(stats) };

	assert_int_equal(uhmm_live_get_stats(mm, &stats), 0);
	return stats;
}

void settle(void)
{
	while (uhmm_live_pending(mm, 0, ~0UL))
		sched_yield();
}

bool kernel_has(unsigned int feature)
{
	return info().features & feature;
}

char *map_at(void *where, size_t npages, int prot, int flags)
{
	char *p = mmap(where, npages * PAGE, prot,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	madvise(p, npages * PAGE, MADV_NOHUGEPAGE);
	return p;
}

char *some_pages(size_t npages)
{
	char *p = map_at(NULL, npages, PROT_READ | PROT_WRITE, 0);

	for (size_t i = 0; i < npages; i++)
		p[i * PAGE] = (char)(i + 1);
	return p;
}

struct uhmm_pte pte_at(const void *addr)
{
	struct uhmm_pte pte;
	size_t one = 1;

	mmap_read_lock(mm);
	assert_int_equal(uhmm_mm_walk(mm, (unsigned long)addr, &one, &pte), 0);
	mmap_read_unlock(mm);
	return pte;
}

/* ----------------------------------------------------------- another process */

void fail_here(const char *file, int line, const char *what)
{
	fprintf(stderr, "# %s:%d: %s, errno %d\n", file, line, what, errno);
	_exit(1);
}

void run_alone(void (*body)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* cmocka's own ways out lead back to the parent's cases. */
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		signal(SIGSYS, SIG_DFL);
		signal(SIGALRM, SIG_DFL);
		/* Sooner than it would be waited for. */
		alarm(CASE_SECONDS - 10);
		body();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
		skip();
	assert_int_equal(status, 0);
}

bool live_filter(unsigned int nr, unsigned int action)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* --------------------------------------------------------------------- views */

static bool view_invalidate(struct mmu_interval_notifier *sub,
			    const struct mmu_notifier_range *range,
			    unsigned long cur_seq)
{
	struct view *view = container_of(sub, struct view, sub);

	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&view->lock);
	else if (pthread_mutex_trylock(&view->lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	view->called++;
	view->event = range->event;
	view->start = range->start;
	view->end = range->end;
	if (view->hook)
		view->hook(view);
	pthread_mutex_unlock(&view->lock);
	return true;
}

static const struct mmu_interval_notifier_ops view_ops = {
	.invalidate = view_invalidate,
};

void view_add(struct view *view, const void *start, size_t length)
{
	memset(view, 0, sizeof(*view));
	pthread_mutex_init(&view->lock, NULL);
	assert_int_equal(mmu_interval_notifier_insert(&view->sub, mm,
						      (unsigned long)start,
						      length, &view_ops), 0);
}

void view_drop(struct view *view)
{
	mmu_interval_notifier_remove(&view->sub);
	pthread_mutex_destroy(&view->lock);
}

unsigned long view_begin(struct view *view)
{
	return mmu_interval_read_begin(&view->sub);
}

unsigned long view_look(struct view *view, const void *page)
{
	unsigned long seq;

	do
		seq = view_begin(view);
	while (pte_at(page).state != UHMM_PTE_PRESENT || view_retry(view, seq));
	return seq;
}

bool view_retry(struct view *view, unsigned long seq)
{
	bool again;

	pthread_mutex_lock(&view->lock);
	again = mmu_interval_read_retry(&view->sub, seq);
	pthread_mutex_unlock(&view->lock);
	return again;
}

void assert_holds(struct view *view, unsigned long seq)
{
	const time_t end = time(NULL) + HOLDS_SECONDS;
	bool again;

	/*
	 * The monitor may be at work for others, or without a processor; what
	 * has collided stays so.
	 */
	do {
		settle();
		again = view_retry(view, seq);
	} while (again && time(NULL) < end);
	assert_false(again);
}

unsigned long view_called(struct view *view)
{
	unsigned long called;

	pthread_mutex_lock(&view->lock);
	called = view->called;
	pthread_mutex_unlock(&view->lock);
	return called;
}
