/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "util.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 2000000
#define LOOKS_ASLEEP 25

struct mm_struct *mm;

static bool ended;
static int exits, destroys;

static pthread_mutex_t record_lock = PTHREAD_MUTEX_INITIALIZER;
static char recorded[8192];
static size_t recorded_length;

static void die(const char *why)
{
	fprintf(stderr, "%s: %s\n", case_name, why);
	abort();
}

/* ------------------------------------------------------------------- cases */

static void count_exit(struct mm_struct *unused, void *private_data)
{
	exits++;
}

static void count_destroy(void *private_data)
{
	destroys++;
}

static const struct uhmm_mm_ops unit_ops = {
	.name = "unit",
	.exit = count_exit,
	.destroy = count_destroy,
};

static void make_mm(const struct uhmm_mm_options *options)
{
	struct uhmm_mm_options o = { .size = sizeof(o) };

	if (options)
		o = *options;
	o.ops = &unit_ops;
	assert_int_equal(uhmm_mm_create_with(&o, &mm), 0);
	ended = false;
	exits = 0;
	destroys = 0;
}

static void drop_mm(void)
{
	if (!ended) {
		assert_int_equal(stats().subscriptions, 0);
		mmput(mm);
	}
	assert_int_equal(exits, 1);
	assert_int_equal(destroys, 1);
}

void remake_mm(const struct uhmm_mm_options *options)
{
	drop_mm();
	make_mm(options);
}

int case_begin(void **state)
{
	case_clock(*state);
	recorded_length = 0;
	make_mm(NULL);
	return 0;
}

int case_end(void **state)
{
	drop_mm();
	alarm(0);
	return 0;
}

void end_mm(void)
{
	mmput(mm);
	ended = true;
}

bool mm_destroyed(void)
{
	return destroys;
}

struct uhmm_mm_stats stats(void)
{
	struct uhmm_mm_stats s;

	assert_int_equal(uhmm_mm_get_stats(mm, &s), 0);
	return s;
}

int in_child(int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("no child");
	if (!pid) {
		alarm(CASE_SECONDS / 2);
		_exit(fn(arg));
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("the child is lost");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

/* ------------------------------------------------------------------ record */

void record(const char *what, int id)
{
	int n;

	pthread_mutex_lock(&record_lock);
	n = snprintf(recorded + recorded_length,
		     sizeof(recorded) - recorded_length, " %s%d", what, id);
	recorded_length += (size_t)n;
	if (recorded_length >= sizeof(recorded))
		die("the record is full");
	pthread_mutex_unlock(&record_lock);
}

void check_recorded(const char *calls, const char *file, int line)
{
	char copy[sizeof(recorded)];

	pthread_mutex_lock(&record_lock);
	memcpy(copy, recorded, recorded_length);
	copy[recorded_length] = 0;
	recorded_length = 0;
	pthread_mutex_unlock(&record_lock);
	_assert_string_equal(copy + (*copy == ' '), calls, file, line);
}

/* ----------------------------------------------------------------- threads */

static void *task_thread(void *arg)
{
	struct task *task = arg;

	set(&task->tid, (int)syscall(SYS_gettid));
	task->fn(task->arg);
	set(&task->done, 1);
	return NULL;
}

void task_start(struct task *task, void (*fn)(void *arg), void *arg)
{
	*task = (struct task){ .fn = fn, .arg = arg };
	if (pthread_create(&task->thread, NULL, task_thread, task))
		die("no thread");
}

bool task_waits(struct task *task)
{
	struct timespec ts = { .tv_nsec = LOOK_NS };
	int asleep = 0;

	while (asleep < LOOKS_ASLEEP) {
		int tid = look(&task->tid);

		if (look(&task->done))
			return false;
		asleep = tid && thread_is_asleep(tid) ? asleep + 1 : 0;
		nanosleep(&ts, NULL);
	}
	return !look(&task->done);
}

void task_join(struct task *task)
{
	pthread_join(task->thread, NULL);
}

bool task_would_wait(void (*fn)(void *arg), void *arg)
{
	struct task *task = malloc(sizeof(*task));

	if (!task)
		die("no memory");
	task_start(task, fn, arg);
	/* It is still at it, so it is left what it needs. */
	if (task_waits(task))
		return true;
	task_join(task);
	free(task);
	return false;
}

void gate_init(struct gate *gate)
{
	sem_init(&gate->entered, 0, 0);
	sem_init(&gate->open, 0, 0);
}

static void sem_take(sem_t *sem)
{
	while (sem_wait(sem))
		if (errno != EINTR)
			die("no semaphore");
}

void gate_pass(struct gate *gate)
{
	sem_post(&gate->entered);
	sem_take(&gate->open);
}

void gate_await(struct gate *gate)
{
	sem_take(&gate->entered);
}

void gate_open(struct gate *gate)
{
	sem_post(&gate->open);
}

/* ------------------------------------------------------------- subscribers */

static bool mirror_invalidate(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct mirror *m = container_of(sub, struct mirror, sub);
	bool no = m->refuse_all ||
		  (m->refuse && !mmu_notifier_range_blockable(range));

	if (m->hook)
		m->hook(m, range);
	if (!m->quiet)
		record(no ? "n" : range->event == MMU_NOTIFY_RELEASE ? "R" : "i",
		       m->id);
	if (no)
		return false;
	pthread_mutex_lock(&m->lock);
	mmu_interval_set_seq(sub, cur_seq);
	m->called++;
	m->range = *range;
	m->cur_seq = cur_seq;
	pthread_mutex_unlock(&m->lock);
	return true;
}

const struct mmu_interval_notifier_ops mirror_ops = {
	.invalidate = mirror_invalidate,
};

void mirror_init(struct mirror *m, int id)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	m->id = id;
}

void mirror_add(struct mirror *m, int id, unsigned long start,
		unsigned long length)
{
	mirror_init(m, id);
	assert_int_equal(mmu_interval_notifier_insert(&m->sub, mm, start,
						      length, &mirror_ops),
			 0);
}

void mirror_drop(struct mirror *m)
{
	mmu_interval_notifier_remove(&m->sub);
}

unsigned long mirror_begin(struct mirror *m)
{
	return mmu_interval_read_begin(&m->sub);
}

bool mirror_retry(struct mirror *m, unsigned long seq)
{
	bool again;

	pthread_mutex_lock(&m->lock);
	again = mmu_interval_read_retry(&m->sub, seq);
	pthread_mutex_unlock(&m->lock);
	return again;
}

bool mirror_held_up(struct mirror *m)
{
	unsigned long seq;
	int ret = uhmm_interval_read_begin_timeout(&m->sub, 0, &seq);

	if (ret && ret != -ETIMEDOUT)
		die("a read neither begins nor waits");
	return ret;
}

void mirror_at_gate(struct mirror *m, const struct mmu_notifier_range *range)
{
	gate_pass(m->data);
}

void mirror_begin_task(void *arg)
{
	mirror_begin(arg);
}

void mirror_drop_task(void *arg)
{
	mirror_drop(arg);
}

static void listener_called(struct listener *l, char what)
{
	const char text[] = { what, 0 };

	if (!l->quiet)
		record(text, l->id);
	if (l->hook)
		l->hook(l, what);
}

static int listener_start(struct mmu_notifier *mn,
			  const struct mmu_notifier_range *range)
{
	struct listener *l = container_of(mn, struct listener, mn);
	bool no = l->refuse && !mmu_notifier_range_blockable(range);

	l->range = *range;
	listener_called(l, no ? 'S' : 's');
	return no ? -EAGAIN : 0;
}

static void listener_end(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	listener_called(container_of(mn, struct listener, mn), 'e');
}

static void listener_release(struct mmu_notifier *mn, struct mm_struct *unused)
{
	listener_called(container_of(mn, struct listener, mn), 'r');
}

const struct mmu_notifier_ops listener_ops = {
	.invalidate_range_start = listener_start,
	.invalidate_range_end = listener_end,
	.release = listener_release,
};

const struct mmu_notifier_ops refuser_ops = {
	.invalidate_range_start = listener_start,
	.release = listener_release,
};

void listener_init(struct listener *l, int id,
		   const struct mmu_notifier_ops *ops)
{
	memset(l, 0, sizeof(*l));
	l->id = id;
	l->mn.ops = ops;
	l->refuse = ops == &refuser_ops;
}

void listener_add(struct listener *l, int id)
{
	listener_init(l, id, &listener_ops);
	assert_int_equal(mmu_notifier_register(&l->mn, mm), 0);
}

void listener_drop(struct listener *l)
{
	mmu_notifier_unregister(&l->mn, mm);
}

/* ------------------------------------------------------------------ ranges */

void begin_range(struct mmu_notifier_range *range, unsigned long start,
		 unsigned long end)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
	if (mmu_notifier_invalidate_range_start(range))
		die("a blockable invalidation is refused");
}

int begin_nonblock(struct mmu_notifier_range *range, unsigned long start,
		   unsigned long end)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, end);
	return mmu_notifier_invalidate_range_start_nonblock(range);
}

void end_range(struct mmu_notifier_range *range)
{
	mmu_notifier_invalidate_range_end(range);
}

void invalidate(unsigned long start, unsigned long end)
{
	struct mmu_notifier_range range;

	begin_range(&range, start, end);
	end_range(&range);
}

void invalidate_task(void *unused)
{
	invalidate(PG(10), PG(11));
}
