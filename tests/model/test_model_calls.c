/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * 64 pages live without a system call, in 16 KiB: in a process that is killed
 * at the first one that is not read, write or exit.
 */
#include "model_util.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/hmm.h>

#define N 64

struct view {
	struct mmu_interval_notifier sub;
	pthread_mutex_t lock;
	unsigned long pfns[N];
	unsigned long called;
};

static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct view *view = (struct view *)sub;

	pthread_mutex_lock(&view->lock);
	mmu_interval_set_seq(sub, cur_seq);
	view->called++;
	pthread_mutex_unlock(&view->lock);
	return true;
}

static const struct mmu_interval_notifier_ops view_ops = {
	.invalidate = invalidate,
};

static bool mirror(struct view *view)
{
	struct hmm_range range = {
		.notifier = &view->sub,
		.start = PG(0),
		.end = PG(N),
		.hmm_pfns = view->pfns,
		.default_flags = HMM_PFN_REQ_FAULT,
	};
	int ret;

	range.notifier_seq = mmu_interval_read_begin(&view->sub);
	mmap_read_lock(mm);
	ret = hmm_range_fault(&range);
	mmap_read_unlock(mm);
	return !ret && !mmu_interval_read_retry(&view->sub, range.notifier_seq);
}

/* With a view, changes of all kinds, and a way back. True: as it should be. */
static bool live(struct view *view, struct uhmm_model_snapshot *start)
{
	unsigned long called = view->called;
	bool good = true;

	for (int i = 0; i < N; i++)
		good = good && !poke_in(mm, i, (uint64_t)i);
	good = good && mirror(view) &&
	       !uhmm_model_madvise(mm, PG(8), LEN(8), MADV_DONTNEED) &&
	       !uhmm_model_mprotect(mm, PG(0), LEN(4), PROT_READ) &&
	       uhmm_model_compact(mm, PG(16), 8) == 8 &&
	       !uhmm_model_munmap(mm, PG(60), LEN(2)) &&
	       peek_in(mm, 40) == 40 &&
	       uhmm_model_mmap(mm, PG(60), LEN(2), RW, MAP_PRIVATE |
			       MAP_ANONYMOUS | MAP_FIXED, 0, 0) > 0 &&
	       mirror(view) && uhmm_model_state_size(mm) < 16384 &&
	       view->called > called + 3;
	return good && !uhmm_model_restore(mm, start);
}

static void be_alone(void)
{
	struct uhmm_model_snapshot *start;
	static struct view view;
	bool good;

	pthread_mutex_init(&view.lock, NULL);
	area_anon(0, N, RW);
	if (mmu_interval_notifier_insert(&view.sub, mm, PG(0), LEN(N),
					 &view_ops) ||
	    uhmm_model_save(mm, &start) || !live(&view, start))
		_exit(2);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(3);
	good = live(&view, start) && live(&view, start);
	syscall(SYS_exit, !good);
}

static void a_small_life_needs_no_system_call(void **state)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		be_alone();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_small_life_needs_no_system_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
