/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 04-teardown.c, 15 August 2019, no message-id: a device behaves as a
 * CPU's access would. Linux's test device on a model of Linux's address space: its
 * faults against unmapping, a fork, an exit, and a CPU that writes.
 *
 * Bad: the device reads what memory does not have, or writes what is lost
 * Result: Never
 */
#include <stdatomic.h>
#include "mirror.h"

static struct mm_struct *child;
static atomic_bool dropped;

static void *drop(void *unused)
{
	uhmm_model_madvise(mm, addr, PAGE, MADV_DONTNEED);
	dropped = true;
	return NULL;
}

static void *read_it(void *unused)
{
	bool after = dropped;
	unsigned char value = device_does(HMM_DMIRROR_READ, 0);

	if (after)
		expect(value, 0, "device");
	return NULL;
}

static void *fork_it(void *unused)
{
	uhmm_mm_fork(mm, &child);
	return NULL;
}

static void against_drop(void)
{
	begin();
	together(read_it, drop);
}

static void against_fork(void)
{
	begin();
	together(write_it, fork_it);
	device_does(HMM_DMIRROR_WRITE, 4);
	expect(cpu_reads(mm), 4, "CPU");
	if (child && cpu_reads(child) > 2)
		expect(cpu_reads(child), 2, "child");
}

static void *exit_it(void *unused)
{
	mmput(mm);
	return NULL;
}

static void against_exit(void)
{
	begin();
	together(write_it, exit_it);
}

/* Who was last is what both read. */
static void against_cpu(void)
{
	begin();
	together(write_it, cpu);
	expect(device_does(HMM_DMIRROR_READ, 0), cpu_reads(mm), "device");
}

#define FROM .source = "mail, 15 August 2019 (teardown)", \
	     .bad = "stale access", .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(dmirror_drop, FROM, .run = against_drop);
UHMM_SCENARIO(dmirror_cpu, FROM, .run = against_cpu);
UHMM_SCENARIO(dmirror_fork, FROM, .run = against_fork);
UHMM_SCENARIO(dmirror_exit, FROM, .run = against_exit);
