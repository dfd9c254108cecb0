/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of dmirror share: dmirror_file.c has devices and files,
 * dmirror.c, dmirror_snapshot.c and dmirror_exclusive.c the commands,
 * dmirror_table.c the mirror and who changes it, dmirror_fault.c fills it,
 * dmirror_migrate.c and dmirror_move.c move pages, and dmirror_memory.c has the
 * memory that they move to.
 *
 * Locks, outer ones first: @use of a mirror, mmap_lock, @lock of a mirror,
 * @lock of the device. Callbacks take the last two only.
 */
#ifndef DRIVERS_DMIRROR_H
#define DRIVERS_DMIRROR_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uhmm/dmirror.h>
#include <uhmm/hmm.h>
#include <uhmm/list_notifier.h>
#include <uhmm/memremap.h>
#include <uhmm/migrate.h>
#include <uhmm/mmu_notifier.h>

#define TABLE_PAGES (1UL << UHMM_PMD_ORDER)
#define TABLE_BYTES (TABLE_PAGES << UHMM_PAGE_SHIFT)
#define TABLE_BUCKETS 256
/* Pages that are faulted, looked at or made exclusive at a time. */
#define MOST_PAGES 64

struct chunk;

/**
 * struct uhmm_dmirror_device - a device
 * @how: what it is like
 * @lock: for all below
 * @chunks: its memory
 * @used: pages of it that are in use
 * @fail_alloc: HMM_DMIRROR_FLAG_FAIL_ALLOC
 */
struct uhmm_dmirror_device {
	struct uhmm_dmirror_options how;
	pthread_mutex_t lock;
	struct chunk *chunks;
	unsigned long used;
	bool fail_alloc;
};

/* 512 entries: frame number and right, see entry_of(). */
struct table {
	struct table *next;
	unsigned long number;
	unsigned long entries[TABLE_PAGES];
};

/**
 * struct uhmm_dmirror - an address space, as the device sees it
 * @sub: of all of it
 * @device: the device
 * @mm: the address space
 * @lock: user_lock, for all below
 * @tables: the device's page table, by number
 * @running: @runner moves pages from @start to @end, or takes them for itself;
 *	it changes the mirror of them itself, and @use is held for writing
 * @moving: it moves them: it hears of its own migration, and need not
 * @runner: which thread
 * @start: see @running
 * @end: see @running
 * @hit_start: what others have invalidated of it meanwhile
 * @hit_end: see @hit_start
 * @use: held for reading while data goes through the mirror
 */
struct uhmm_dmirror {
	struct mmu_interval_notifier sub;
	struct uhmm_dmirror_device *device;
	struct mm_struct *mm;
	pthread_mutex_t lock;
	struct table *tables[TABLE_BUCKETS];
	bool running;
	bool moving;
	pthread_t runner;
	unsigned long start;
	unsigned long end;
	unsigned long hit_start;
	unsigned long hit_end;
	pthread_rwlock_t use;
};

static inline unsigned long lesser(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

/* dmirror.c */
/* From or to the caller's memory. */
int dmirror_copy(const struct uhmm_dmirror *dmirror, void *to,
		 const void *from, size_t len);

/* dmirror_fault.c */
unsigned long dmirror_batch_end(const struct uhmm_dmirror *dmirror,
				unsigned long addr, unsigned long end);
/* Returns with @lock held when it returns 0: what is in @range is true then. */
int dmirror_read_locked(struct uhmm_dmirror *dmirror, struct hmm_range *range,
			bool unlocked);
/* Into the mirror, one batch after the other. */
int dmirror_fault(struct uhmm_dmirror *dmirror, unsigned long start,
		  unsigned long end, bool write, bool unlocked);

/* dmirror_snapshot.c, dmirror_exclusive.c */
int dmirror_snapshot(struct uhmm_dmirror *dmirror, struct hmm_dmirror_cmd *cmd);
int dmirror_exclusive(struct uhmm_dmirror *dmirror, unsigned long start,
		      unsigned long end);
int dmirror_check_exclusive(struct uhmm_dmirror *dmirror, unsigned long start,
			    unsigned long end);

/* dmirror_table.c */
extern const struct mmu_interval_notifier_ops dmirror_ops;
static inline unsigned long entry_of(unsigned long pfn,
				     enum uhmm_dmirror_right right)
{
	return pfn << 2 | right;
}

static inline enum uhmm_dmirror_right right_of(unsigned long entry)
{
	return (enum uhmm_dmirror_right)(entry & 3);
}

/* Make room for the entries of a range. 0; -ENOMEM. @lock is not held. */
int dmirror_prepare(struct uhmm_dmirror *dmirror, unsigned long start,
		    unsigned long end);
/* 0: there is none. */
unsigned long dmirror_get(const struct uhmm_dmirror *dmirror,
			  unsigned long addr);
/* In a range that was prepared. */
void dmirror_set(struct uhmm_dmirror *dmirror, unsigned long addr,
		 unsigned long entry);
void dmirror_free_tables(struct uhmm_dmirror *dmirror);
/* The calling thread is @runner in between. mmap_lock is not held. */
void dmirror_run(struct uhmm_dmirror *dmirror, unsigned long start,
		 unsigned long end, bool moving);
void dmirror_run_end(struct uhmm_dmirror *dmirror);
/* Of the runner: true unless somebody has invalidated the page meanwhile. */
bool dmirror_install(struct uhmm_dmirror *dmirror, unsigned long addr,
		     unsigned long entry);

/* dmirror_migrate.c */
int dmirror_to_dev(struct uhmm_dmirror *dmirror, unsigned long start,
		   unsigned long end);
int dmirror_to_sys(struct uhmm_dmirror *dmirror, unsigned long start,
		   unsigned long end, uint64_t *ret_pages);
vm_fault_t dmirror_fault_home(struct vm_fault *vmf);
/*
 * All that is in these frames goes back to where it came from; busy pages stay.
 * False: so do some for which there is no memory.
 */
bool dmirror_evict(struct uhmm_dmirror_device *device, unsigned long first,
		   unsigned long npages);

/* dmirror_move.c */
static inline unsigned int dmirror_order(unsigned long mpfn)
{
	return mpfn & MIGRATE_PFN_COMPOUND ? UHMM_PMD_ORDER : 0;
}

/* A page for @mm, or 2^@order; 0: there is none. */
typedef unsigned long (*dmirror_alloc_fn)(struct uhmm_dmirror_device *device,
					  struct mm_struct *mm,
					  unsigned int order);
unsigned long dmirror_device_page(struct uhmm_dmirror_device *device,
				  struct mm_struct *mm, unsigned int order);
unsigned long dmirror_system_page(struct uhmm_dmirror_device *device,
				  struct mm_struct *mm, unsigned int order);
/*
 * Where a page goes: to a new one of @alloc; a huge one that cannot, to small.
 * False: not all of it has a place.
 */
bool dmirror_move(struct uhmm_dmirror_device *device, struct mm_struct *mm,
		  const unsigned long *src, unsigned long *dst, bool writable,
		  dmirror_alloc_fn alloc);

/* dmirror_memory.c */
/* A locked frame, or 2^@order; 0: there is no memory. */
unsigned long dmirror_alloc(struct uhmm_dmirror_device *device,
			    unsigned int order);
/* The next allocation is to fail. */
bool dmirror_fails(struct uhmm_dmirror_device *device);
/* Evict and remove all of it. -ENOMEM: what has no place to go to stays. */
int dmirror_remove_memory(struct uhmm_dmirror_device *device);

#endif
