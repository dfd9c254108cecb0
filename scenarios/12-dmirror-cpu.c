/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 04-teardown.c, 15 August 2019, no message-id: a page that is in the
 * device's memory comes home when a CPU wants it. Linux's test device on a model
 * of Linux's address space: its migrations against faults of a CPU.
 *
 * A driver that copies a page before it has taken it loses what is written then.
 *
 * Bad: a value that the CPU wrote is lost
 * Result: Sometimes dmirror_copied_early
 * Result: Never
 */
#include "mirror.h"

static unsigned char read_there;

/* Nobody writes to a page that is on its way, but before that anybody may. */
static void *copy_and_migrate(void *unused)
{
	unsigned char value = device_does(HMM_DMIRROR_READ, 0);

	command(HMM_DMIRROR_MIGRATE_TO_DEV, moved);
	device_does(HMM_DMIRROR_WRITE, value);
	return NULL;
}

static void *cpu_looks(void *unused)
{
	read_there = cpu_reads(mm);
	return NULL;
}

static void agree_on(unsigned char value)
{
	expect(device_does(HMM_DMIRROR_READ, 0), value, "device");
	expect(cpu_reads(mm), value, "CPU");
}

#define AGAINST(NAME, BEGIN, A, B, VALUE) \
	static void NAME(void) \
	{ \
		BEGIN(); \
		together(A, B); \
		if ((B) == cpu_looks) \
			expect(read_there, VALUE, "CPU"); \
		agree_on(VALUE); \
	}
AGAINST(home_cpu, begin_there, go_home, cpu, 5)
AGAINST(home_cpu_looks, begin_there, go_home, cpu_looks, 1)
AGAINST(migrate_cpu, begin_with_memory, migrate, cpu, 5)
AGAINST(migrate_cpu_looks, begin_with_memory, migrate, cpu_looks, 1)
AGAINST(copied_early, begin, copy_and_migrate, cpu, 5)

#define FROM .source = "mail, 15 August 2019 (teardown)", .bad = "stale access"
#define NEVER FROM, .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(dmirror_home_cpu, NEVER, .run = home_cpu);
UHMM_SCENARIO(dmirror_home_cpu_looks, NEVER, .run = home_cpu_looks);
UHMM_SCENARIO(dmirror_migrate_cpu, NEVER, .run = migrate_cpu);
UHMM_SCENARIO(dmirror_migrate_cpu_looks, NEVER, .run = migrate_cpu_looks);
UHMM_SCENARIO(dmirror_copied_early, FROM, .result = UHMM_RESULT_SOMETIMES,
	      .run = copied_early);
