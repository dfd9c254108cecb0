/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The address space: what has page tables, and what a second view of them is
 * kept coherent with.
 *
 * An address space is a struct mm_struct and the operations it was made with.
 * uhmm_mm_create() makes a *bare* one: it has no page tables that the library
 * knows of; its owner (a VMM, a simulator, a driver with page tables of its
 * own) brackets each change with mmu_notifier_invalidate_range_start() and
 * mmu_notifier_invalidate_range_end(). Others walk and fault pages too:
 * &struct uhmm_mm_ops is what they supply.
 *
 * Two counts, as in the kernel: mm_users counts those who may use the address
 * space, and its end is the end of the address space (RELEASE is sent, then
 * &uhmm_mm_ops.exit); mm_count counts those who may look at the struct, all
 * users together being one of them, and its end frees it.
 */
#ifndef UHMM_MM_H
#define UHMM_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;

/**
 * struct uhmm_vma - an area of an address space
 * @start: first byte
 * @end: first byte behind it
 * @flags: UHMM_VM_READ and its like
 */
struct uhmm_vma {
	unsigned long start;
	unsigned long end;
	unsigned long flags;
};

#define UHMM_VM_READ	(1UL << 0)
#define UHMM_VM_WRITE	(1UL << 1)
#define UHMM_VM_EXEC	(1UL << 2)
#define UHMM_VM_SHARED	(1UL << 3)
#define UHMM_VM_ANON	(1UL << 4)	/* not backed by a file */
#define UHMM_VM_SPECIAL	(1UL << 5)	/* I/O or raw frames: no pages behind */
#define UHMM_VM_HUGETLB	(1UL << 6)

/**
 * enum uhmm_pte_state - what stands in a page table entry
 * @UHMM_PTE_NONE: nothing yet, or a marker that counts as nothing
 * @UHMM_PTE_PRESENT: a page of memory
 * @UHMM_PTE_ZERO: the shared page of zeroes
 * @UHMM_PTE_SPECIAL: a frame that has no page, other than the zero page
 * @UHMM_PTE_SWAP: written out; a fault brings it back
 * @UHMM_PTE_PROTNONE: present, but a touch is to be noticed first
 * @UHMM_PTE_DEVICE_PRIVATE: the page is in memory that only a device reaches
 * @UHMM_PTE_DEVICE_EXCLUSIVE: a device has it to itself for now
 * @UHMM_PTE_MIGRATION: on its way elsewhere; a fault waits for that
 * @UHMM_PTE_POISON: the memory is broken, or a guard that refuses every touch
 */
enum uhmm_pte_state {
	UHMM_PTE_NONE = 0,
	UHMM_PTE_PRESENT,
	UHMM_PTE_ZERO,
	UHMM_PTE_SPECIAL,
	UHMM_PTE_SWAP,
	UHMM_PTE_PROTNONE,
	UHMM_PTE_DEVICE_PRIVATE,
	UHMM_PTE_DEVICE_EXCLUSIVE,
	UHMM_PTE_MIGRATION,
	UHMM_PTE_POISON
};

/**
 * struct uhmm_pte - one page as a walk sees it
 * @state: which of the fields below mean something
 * @order: the mapping covers 2^order pages, aligned; 0 is one page
 * @write: the page may be written without a fault
 * @pfn: frame number, of the page itself also inside of a larger mapping
 * @owner: device memory: &dev_pagemap owner; exclusive: who asked for it
 */
struct uhmm_pte {
	enum uhmm_pte_state state;
	unsigned int order;
	bool write;
	unsigned long pfn;
	void *owner;
};

#define UHMM_FAULT_WRITE	(1U << 0)	/* the page is to be written */
#define UHMM_FAULT_NOWAIT	(1U << 1)	/* -EAGAIN rather than sleep */

/**
 * struct uhmm_mm_ops - what an address space can do
 * @name: short, for reports: "bare", "live", "model"
 * @exit: mm_users reached 0; RELEASE has been delivered and no callback runs
 *	any more. Drop the page tables. May sleep. Optional.
 * @destroy: mm_count reached 0: free @private_data. Must not sleep. Optional.
 * @find_vma: the area that holds @addr, or the first one above it. 0, or
 *	-ENOENT. mmap_lock is held.
 * @walk: fill @ptes with the state of @npages pages from @addr on (page
 *	aligned), without changing anything. 0, or -EFAULT where there is no
 *	area: then *@npages says how many were filled. mmap_lock is held.
 * @fault: make the page at @addr present as a CPU's touch would. @flags are
 *	UHMM_FAULT_*. 0; -EFAULT no area, or its protection forbids it; -ENOMEM;
 *	-EAGAIN as asked for; -EINTR. mmap_lock is held for reading.
 * @migrate_out: move the contents of @npages pages from @addr on into the
 *	device frames @pfns of @owner and leave device-private entries behind.
 *	*@npages returns how many moved, from the first on. 0; -EBUSY pinned;
 *	-ENOMEM. The caller has the MIGRATE bracket open.
 * @migrate_home: the reverse: make the @npages pages from @addr on present in
 *	memory again with the contents of @owner's device frames. 0; -ENOMEM.
 *	The caller has the MIGRATE bracket open.
 * @make_exclusive: take the page at @addr away from the CPU for @owner until
 *	a CPU touches it. 0; -EBUSY; -EFAULT; -EOPNOTSUPP not anonymous memory.
 * @pending: may a change of [@start, @last] be on its way that has not been
 *	announced yet? For an address space that learns of changes after they
 *	were made: every read asks, when it begins with @wait, to sleep until
 *	that is over, and when it ends, under user_lock, without. True if it was
 *	so. A change that was made before the call and is not announced when it
 *	returns must not be answered with false. Optional.
 * @fork: a copy of the address space as fork(2) makes it; the child has no
 *	open invalidation and no subscriptions. 0; -ENOMEM; -EAGAIN.
 *
 * This is the one place where an address space meets the rest; a VMM's guest
 * memory is a table like this, filled in an afternoon. What is left NULL
 * answers -EOPNOTSUPP; @migrate_out, @migrate_home and @make_exclusive are
 * not called by anything in this version. Each change of a page table is the address space's to
 * bracket, with these operations as with its own system calls.
 */
struct uhmm_mm_ops {
	const char *name;
	void (*exit)(struct mm_struct *mm, void *private_data);
	void (*destroy)(void *private_data);
	int (*find_vma)(struct mm_struct *mm, unsigned long addr,
			struct uhmm_vma *ret_vma);
	int (*walk)(struct mm_struct *mm, unsigned long addr, size_t *npages,
		    struct uhmm_pte *ptes);
	int (*fault)(struct mm_struct *mm, unsigned long addr,
		     unsigned int flags);
	int (*migrate_out)(struct mm_struct *mm, unsigned long addr,
			   size_t *npages, const unsigned long *pfns,
			   void *owner);
	int (*migrate_home)(struct mm_struct *mm, unsigned long addr,
			    size_t npages, void *owner);
	int (*make_exclusive)(struct mm_struct *mm, unsigned long addr,
			      void *owner);
	bool (*pending)(struct mm_struct *mm, unsigned long start,
			unsigned long last, bool wait);
	int (*fork)(struct mm_struct *mm, struct mm_struct **ret_child);
};

#define UHMM_MM_CHECK		(1U << 0)	/* run the contract checker */
#define UHMM_RESERVE_NEVER	(~0U)		/* for @reserve_after */

/**
 * struct uhmm_mm_options - how an address space is made
 * @size: sizeof(struct uhmm_mm_options), so that it can grow
 * @flags: UHMM_MM_CHECK
 * @reserve_after: after how many collisions in a row a faulting thread makes
 *	the invalidations wait for it; 0: 3; UHMM_RESERVE_NEVER: only on request
 * @reserve_limit_us: how long an invalidation waits at most, in microseconds;
 *	0: 20000
 * @ops: the address space's operations; NULL: bare
 * @private_data: for @ops, see uhmm_mm_private()
 */
struct uhmm_mm_options {
	size_t size;
	unsigned int flags;
	unsigned int reserve_after;
	unsigned int reserve_limit_us;
	const struct uhmm_mm_ops *ops;
	void *private_data;
};

/* ------------------------------------------------------------ life cycle */

/**
 * uhmm_mm_create() - make a bare address space
 * @ret_mm: returns it, with mm_users and mm_count 1
 *
 * With UHMM_CHECK=1 or UHMM_CHECK=abort in the environment the contract
 * checker runs on it, see <uhmm/check.h>.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: @ret_mm is NULL; -ENOMEM.
 */
int uhmm_mm_create(struct mm_struct **ret_mm);

/**
 * uhmm_mm_create_with() - make an address space to order
 * @options: what is to differ from uhmm_mm_create(); NULL: nothing
 * @ret_mm: returns it, with mm_users and mm_count 1
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: @ret_mm is NULL, @options->size is smaller than this
 * version's struct, or an unknown flag; -ENOMEM. On error *@ret_mm is left alone.
 */
int uhmm_mm_create_with(const struct uhmm_mm_options *options,
			struct mm_struct **ret_mm);

/**
 * mmget() - take a use of an address space
 * @mm: the address space; the caller has a use of it already
 *
 * Context: any.
 */
void mmget(struct mm_struct *mm);

/**
 * mmget_not_zero() - take a use, unless the address space has ended
 * @mm: the address space; the caller has an mmgrab() reference at least
 *
 * Context: any.
 * Return: true if the use was taken, to be given back by mmput().
 */
bool mmget_not_zero(struct mm_struct *mm);

/**
 * mmput() - give a use of an address space back
 * @mm: the address space
 *
 * The last one ends the address space: every subscription gets
 * MMU_NOTIFY_RELEASE for the whole address space, the last byte included, as
 * the last event that it will ever see; then the list notifiers' release.
 * Subscriptions stay inserted until they are removed.
 *
 * Context: may sleep; no lock held that a callback takes.
 */
void mmput(struct mm_struct *mm);

/**
 * mmgrab() - keep the struct, if not the address space
 * @mm: the address space
 *
 * Context: any.
 */
void mmgrab(struct mm_struct *mm);

/**
 * mmdrop() - give an mmgrab() back; the last one frees the struct
 * @mm: the address space
 *
 * Context: any.
 */
void mmdrop(struct mm_struct *mm);

/**
 * uhmm_mm_private() - what the address space was made with
 * @mm: the address space
 *
 * Context: any.
 * Return: &uhmm_mm_options.private_data.
 */
void *uhmm_mm_private(const struct mm_struct *mm);

/**
 * uhmm_mm_name() - which kind of address space this is
 * @mm: the address space
 *
 * Context: any.
 * Return: &uhmm_mm_ops.name, never NULL.
 */
const char *uhmm_mm_name(const struct mm_struct *mm);

/* ------------------------------------------------------------- mmap_lock
 * Held for reading while areas and page tables are looked at, for writing
 * while areas change. Lock order: mmap_lock, then reservation (see
 * uhmm_interval_reserve()), then the driver's own lock. Not recursive.
 */

/**
 * mmap_read_lock() - take the lock of the areas for reading
 * @mm: the address space
 *
 * Context: may sleep.
 */
void mmap_read_lock(struct mm_struct *mm);

/**
 * mmap_read_lock_killable() - the same under the name a killable task uses
 * @mm: the address space
 *
 * A fatal signal ends the whole process here, so there is nothing to return
 * early for.
 *
 * Context: may sleep.
 * Return: 0.
 */
int mmap_read_lock_killable(struct mm_struct *mm);

/**
 * mmap_read_trylock() - take the lock for reading if that needs no wait
 * @mm: the address space
 *
 * Context: any.
 * Return: true if it was taken.
 */
bool mmap_read_trylock(struct mm_struct *mm);

/**
 * mmap_read_unlock() - give the lock back
 * @mm: the address space
 *
 * Context: any; the caller holds it for reading.
 */
void mmap_read_unlock(struct mm_struct *mm);

/**
 * mmap_write_lock() - take the lock of the areas for writing
 * @mm: the address space
 *
 * Context: may sleep.
 */
void mmap_write_lock(struct mm_struct *mm);

/**
 * mmap_write_lock_killable() - the same under the name a killable task uses
 * @mm: the address space
 *
 * Context: may sleep.
 * Return: 0, see mmap_read_lock_killable().
 */
int mmap_write_lock_killable(struct mm_struct *mm);

/**
 * mmap_write_trylock() - take the lock for writing if that needs no wait
 * @mm: the address space
 *
 * Context: any.
 * Return: true if it was taken.
 */
bool mmap_write_trylock(struct mm_struct *mm);

/**
 * mmap_write_unlock() - give the lock back
 * @mm: the address space
 *
 * Context: any; the caller holds it for writing.
 */
void mmap_write_unlock(struct mm_struct *mm);

/**
 * mmap_write_downgrade() - go on as a reader, with no writer in between
 * @mm: the address space
 *
 * Context: any; the caller holds it for writing.
 */
void mmap_write_downgrade(struct mm_struct *mm);

/**
 * mmap_assert_locked() - say that the lock is held, for reading or writing
 * @mm: the address space
 *
 * A lock that nobody holds is reported by the contract checker.
 *
 * Context: any.
 */
void mmap_assert_locked(struct mm_struct *mm);

/**
 * mmap_assert_write_locked() - say that the lock is held for writing
 * @mm: the address space
 *
 * Context: any.
 */
void mmap_assert_write_locked(struct mm_struct *mm);

/* -------------------------------------------- the operations, as functions */

/**
 * uhmm_mm_find_vma() - the area at or above an address
 * @mm: the address space
 * @addr: the address
 * @ret_vma: returns the area
 *
 * Context: may sleep; mmap_lock held.
 * Return: 0; -ENOENT: none; -EINVAL: @ret_vma is NULL; -EOPNOTSUPP.
 */
int uhmm_mm_find_vma(struct mm_struct *mm, unsigned long addr,
		     struct uhmm_vma *ret_vma);

/**
 * uhmm_mm_walk() - look at page table entries
 * @mm: the address space
 * @addr: first page
 * @npages: in: how many pages; out: how many entries of @ptes were filled
 * @ptes: returns the entries
 *
 * Context: may sleep; mmap_lock held.
 * Return: 0; -EFAULT: the walk met a hole; -EINVAL: a NULL pointer or no
 * pages; -EOPNOTSUPP.
 */
int uhmm_mm_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
		 struct uhmm_pte *ptes);

/**
 * uhmm_mm_fault() - make a page present as a CPU's touch would
 * @mm: the address space
 * @addr: the page
 * @flags: UHMM_FAULT_WRITE, UHMM_FAULT_NOWAIT
 *
 * Context: may sleep unless UHMM_FAULT_NOWAIT; mmap_lock held for reading.
 * Return: 0; -EFAULT; -ENOMEM; -EAGAIN; -EINTR; -EINVAL: unknown flag;
 * -EOPNOTSUPP.
 */
int uhmm_mm_fault(struct mm_struct *mm, unsigned long addr, unsigned int flags);

/**
 * uhmm_mm_fork() - copy an address space as fork(2) does
 * @mm: the address space
 * @ret_child: returns the copy
 *
 * Context: may sleep.
 * Return: 0; -ENOMEM; -EAGAIN; -EINVAL: @ret_child is NULL; -EOPNOTSUPP.
 */
int uhmm_mm_fork(struct mm_struct *mm, struct mm_struct **ret_child);

/* ---------------------------------------------------------------- counters */

/**
 * struct uhmm_mm_stats - what has happened in an address space
 * @starts: invalidations announced
 * @hits: subscriptions that were called, or stamped
 * @refusals: non-blockable invalidations that a callback refused
 * @retries: read_retry calls that said "again"
 * @waits: reads that had to wait for an invalidation
 * @wait_longest_ns: the longest of them, in nanoseconds
 * @reserves: reservations taken
 * @reserves_lost: reservations that outlived the limit
 * @subscriptions: interval notifiers inserted now
 * @thread_blocks: places made so far for threads that invalidate or wait; one
 *	is used again when its thread has ended, and a thread with many
 *	invalidations open has several
 */
struct uhmm_mm_stats {
	unsigned long starts;
	unsigned long hits;
	unsigned long refusals;
	unsigned long retries;
	unsigned long waits;
	unsigned long wait_longest_ns;
	unsigned long reserves;
	unsigned long reserves_lost;
	unsigned long subscriptions;
	unsigned long thread_blocks;
};

/**
 * uhmm_mm_get_stats() - read the counters of an address space
 * @mm: the address space
 * @ret_stats: returns them
 *
 * Each is exact once the threads that count stand still, and does not go back,
 * but for @subscriptions.
 *
 * Context: any; takes no lock.
 * Return: 0; -EINVAL: a NULL pointer.
 */
int uhmm_mm_get_stats(struct mm_struct *mm, struct uhmm_mm_stats *ret_stats);

/**
 * uhmm_mm_print_stats() - the counters as text, "name value" a line
 * @mm: the address space
 * @buf: where to, NUL-terminated if @size is not 0
 * @size: bytes at @buf
 *
 * Context: any; takes no lock.
 * Return: bytes that the text needs without the NUL, also if @size is
 * smaller; -EINVAL: @mm is NULL, or @buf is NULL and @size is not 0.
 */
int uhmm_mm_print_stats(struct mm_struct *mm, char *buf, size_t size);

#ifdef __cplusplus
}
#endif
#endif
