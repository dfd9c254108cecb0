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
 * &struct uhmm_mm_ops, in <uhmm/mm_ops.h>, is what they supply.
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
struct uhmm_mm_ops;
struct uhmm_vma;
struct uhmm_pte;

#define UHMM_MM_CHECK		(1U << 0)	/* run the contract checker */
#define UHMM_RESERVE_NEVER	(~0U)		/* for @reserve_after */

/**
 * struct uhmm_mm_options - how an address space is made
 * @size: sizeof(struct uhmm_mm_options), so that it can grow: a longer one is
 *	taken if what this version does not know of it is 0
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
 * version's struct, an unknown flag, or ops without a name; -E2BIG: what this
 * version does not know of @options is not 0; -ENOMEM. On error *@ret_mm is left
 * alone.
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
 * Context: may sleep; no lock held that a callback takes. The last one not in a
 * callback, nor in &dev_pagemap_ops.migrate_to_ram: it would wait for itself.
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
 * mmap_read_lock_killable() - mmap_read_lock() as a killable task calls it
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
 * mmap_write_lock_killable() - mmap_write_lock() as a killable task calls it
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

#include <uhmm/mm_ops.h>

#endif
