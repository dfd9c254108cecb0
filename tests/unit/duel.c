/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "duel.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100
#define MAX_STEPS 100000
#define PATIENCE 400

static const struct duel *duel;
static struct task other;
static sem_t go;
static volatile int steps, stop_at;
static bool went;

/* ------------------------------------------------------------- stopping */

/* As util.c does it, without memory: the other thread may have that lock. */
static bool other_sleeps(void)
{
	char text[256];
	ssize_t n;
	char *at;
	int fd;

	snprintf(text, sizeof(text), "/proc/self/task/%d/stat",
		 look(&other.tid));
	fd = open(text, O_RDONLY);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	at = strrchr(text, ')');
	return at && at[1] && at[2] == 'S';
}

/* Until it is done, or waits, or turns round until this thread goes on. */
static void watch_other(void)
{
	int asleep = 0;

	for (int i = 0; i < PATIENCE && asleep < 3; i++) {
		if (look(&other.done))
			return;
		sched_yield();
		if (i % 20 == 19)
			asleep = other_sleeps() ? asleep + 1 : 0;
	}
}

static void let_other_run(void)
{
	went = true;
	sem_post(&go);
	watch_other();
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (++steps < stop_at)
		return;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	let_other_run();
}

static void trap(bool on)
{
	unsigned long flags = on ? TRAP_FLAG : 0;

	/* Past the bytes below the stack pointer that may be in use. */
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "andq %1, (%%rsp)\n\t"
			 "orq %0, (%%rsp)\n\t"
			 "popfq\n\t"
			 "lea 128(%%rsp), %%rsp"
			 :
			 : "r"(flags), "r"(~(unsigned long)TRAP_FLAG)
			 : "memory", "cc");
}

static void other_task(void *unused)
{
	while (sem_wait(&go))
		;
	duel->other();
}

static void need(const char *wrong, int at)
{
	if (wrong)
		fail_msg("stopped before instruction %d: %s", at, wrong);
}

/* False: it came to its end before it was stopped. */
static bool run_once(int at)
{
	sem_init(&go, 0, 0);
	duel->setup();
	task_start(&other, other_task, NULL);
	while (!look(&other.tid))
		sched_yield();
	steps = 0;
	stop_at = at;
	went = false;
	trap(true);
	duel->stepped();
	trap(false);
	if (!went)
		let_other_run();
	if (!duel->may_wait) {
		watch_other();
		if (task_waits(&other))
			need("the other waits for ever", at);
		if (duel->both_done)
			need(duel->both_done(), at);
	}
	if (duel->finish)
		duel->finish();
	task_join(&other);
	need(duel->ended(), at);
	return steps >= at;
}

void fight(const struct duel *which)
{
	struct sigaction action = { .sa_sigaction = on_step,
				    .sa_flags = SA_SIGINFO };
	int at = 1;

	sigaction(SIGTRAP, &action, NULL);
	duel = which;
	while (run_once(at) && at++ != duel->instructions) {
		if (at == MAX_STEPS)
			fail_msg("no end after %d steps", at);
	}
	/* It was really stopped, in more than a call or two. */
	assert_in_range(at, 20, MAX_STEPS);
}

/* -------------------------------------------------------------- what fights */

struct mirror one;
struct mmu_notifier_range range;
int page, seen, gone, late;

void call_late(struct mirror *m, const struct mmu_notifier_range *r)
{
	if (look(&gone))
		count(&late);
}

void add_one(void)
{
	mirror_add(&one, 1, PG(10), 1);
	one.quiet = true;
	one.hook = call_late;
	mirror_begin(&one);
	gone = late = 0;
	page = 1;
	seen = 0;
}

void begin_10(void)
{
	begin_range(&range, PG(10), PG(11));
}

void end_10(void)
{
	end_range(&range);
}

void change_10(void)
{
	set(&page, 2);
	end_range(&range);
}

void begin_and_end_10(void)
{
	begin_10();
	change_10();
}

void remove_one(void)
{
	mirror_drop(&one);
	set(&gone, 1);
}

const char *nothing_late(void)
{
	return look(&late) ? "it was called after it was removed" : NULL;
}

const char *gone_once(void)
{
	return look(&gone) == 1 ? NULL : "it is not gone, or more than once";
}
