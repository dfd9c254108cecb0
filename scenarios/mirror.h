/* SPDX-License-Identifier: 0BSD */
/*
 * An address space of one page that answers as Linux does, mirrored by the device
 * that Linux tests HMM with.
 */
#ifndef SCENARIOS_MIRROR_H
#define SCENARIOS_MIRROR_H

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include <uhmm/dmirror.h>
#include <uhmm/explore.h>
#include <uhmm/model.h>

enum { PAGE = 4096 };

static struct mm_struct *mm;
static struct uhmm_dmirror_device *device;
static struct uhmm_dmirror *file;
static unsigned long addr;
static unsigned char buffer[PAGE], moved[PAGE];

static inline bool command(unsigned long what, unsigned char *data)
{
	struct hmm_dmirror_cmd cmd = { .addr = addr, .npages = 1,
				       .ptr = (uintptr_t)data };

	return !uhmm_dmirror_ioctl(file, what, &cmd);
}

/* What is read, or @value is written. 0xff: it was refused. One at a time. */
static inline unsigned char device_does(unsigned long what, unsigned char value)
{
	buffer[0] = value;
	return command(what, buffer) ? buffer[0] : 0xff;
}

static inline void cpu_writes(unsigned char value)
{
	uhmm_model_write(mm, addr, &value, 1, NULL);
}

static inline unsigned char cpu_reads(struct mm_struct *of)
{
	unsigned char value = 0xfe;

	uhmm_model_read(of, addr, &value, 1, NULL);
	return value;
}

static inline void begin(void)
{
	struct uhmm_dmirror_options how = {
		.size = sizeof(how), .type = MEMORY_DEVICE_PRIVATE,
		.chunk_pages = 512 };

	if (uhmm_mm_create_model(NULL, NULL, &mm) ||
	    uhmm_dmirror_create(&how, &device) ||
	    uhmm_dmirror_open(device, mm, &file))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no device");
	addr = uhmm_model_mmap(mm, 0, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, 0, 0);
	cpu_writes(1);
}

static inline void expect(unsigned char value, unsigned char wanted, const char *who)
{
	if (value != wanted)
		uhmm_defect(UHMM_DEFECT_STALE, "%s reads %u, not %u", who, value,
			    wanted);
}

/* ------------------------------------------------------------ as threads */

static inline void *write_it(void *unused)
{
	device_does(HMM_DMIRROR_WRITE, 2);
	return NULL;
}

static inline void *cpu(void *unused)
{
	cpu_writes(5);
	return NULL;
}

static inline void *migrate(void *unused)
{
	command(HMM_DMIRROR_MIGRATE_TO_DEV, moved);
	return NULL;
}

static inline void *go_home(void *unused)
{
	command(HMM_DMIRROR_MIGRATE_TO_SYS, moved);
	return NULL;
}

/* The page is the device's. */
static inline void begin_there(void)
{
	begin();
	migrate(NULL);
}

/* The device has got memory, which is many steps, and the page is not there. */
static inline void begin_with_memory(void)
{
	begin_there();
	go_home(NULL);
}

static inline void together(void *(*a)(void *), void *(*b)(void *))
{
	pthread_t thread[2];

	pthread_create(&thread[0], NULL, a, NULL);
	pthread_create(&thread[1], NULL, b, NULL);
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

#endif
