/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 04-teardown.c, 15 August 2019, no message-id: a page that is in the
 * device's memory comes home when a CPU wants it. Linux's test device on a model
 * of Linux's address space: its migrations against faults of both sides, a fork,
 * an exit.
 *
 * Bad: a value that was written is lost, or a page stays behind
 * Result: Never
 */
#include "mirror.h"

static struct mm_struct *child;

static void *fork_it(void *unused)
{
	uhmm_mm_fork(mm, &child);
	return NULL;
}

static void *exit_it(void *unused)
{
	mmput(mm);
	return NULL;
}

/* What both see in the end. */
static void agree_on(unsigned char value)
{
	expect(device_does(HMM_DMIRROR_READ, 0), value, "device");
	expect(cpu_reads(mm), value, "CPU");
	if (child)
		expect(cpu_reads(child), 1, "child");
}

#define AGAINST(NAME, BEGIN, A, B, THEN) \
	static void NAME(void) \
	{ \
		BEGIN(); \
		together(A, B); \
		THEN; \
	}
AGAINST(migrate_fault, begin_with_memory, migrate, write_it, agree_on(2))
AGAINST(migrate_fork, begin_with_memory, migrate, fork_it, agree_on(1))
AGAINST(migrate_exit, begin, migrate, exit_it, (void)0)
AGAINST(home_fault, begin_there, go_home, write_it, agree_on(2))
AGAINST(home_fork, begin_there, go_home, fork_it, agree_on(1))
AGAINST(home_exit, begin_there, go_home, exit_it, (void)0)
AGAINST(fork_exit, begin, fork_it, exit_it, (void)0)

#define FROM .source = "mail, 15 August 2019 (teardown)", \
	     .bad = "stale access", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(dmirror_migrate_fault, FROM, .run = migrate_fault);
UHMM_SCENARIO(dmirror_migrate_fork, FROM, .run = migrate_fork);
UHMM_SCENARIO(dmirror_migrate_exit, FROM, .run = migrate_exit);
UHMM_SCENARIO(dmirror_home_fault, FROM, .run = home_fault);
UHMM_SCENARIO(dmirror_home_fork, FROM, .run = home_fork);
UHMM_SCENARIO(dmirror_home_exit, FROM, .run = home_exit);
UHMM_SCENARIO(dmirror_fork_exit, FROM, .run = fork_exit);
