/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whose subscriptions are these? For who has many, with operations of their own:
 * the index that finds them for invalidations finds them for him too, so that he
 * needs no other.
 */
#ifndef CORE_FIND_H
#define CORE_FIND_H

#include <uhmm/mmu_notifier.h>

#include "../lib/index.h"

/**
 * interval_find() - subscriptions with @ops that overlap [@start, @last]
 * @mm: the address space; it may have ended, but is held
 * @ops: theirs
 * @start: first byte
 * @last: last byte
 * @walk: zeroed; how far it came, unless its @done go on with it
 * @out: returns up to INDEX_BATCH, in key order
 *
 * As an invalidation that begins now would find them. Which of them are there
 * still when it returns the caller has to know, and that their memory is.
 *
 * Context: any; a thread's first allocates, see interval_find_ready().
 * Return: how many are in @out.
 */
unsigned int interval_find(struct mm_struct *mm,
			   const struct mmu_interval_notifier_ops *ops,
			   unsigned long start, unsigned long last,
			   struct index_walk *walk,
			   struct mmu_interval_notifier **out);
/**
 * interval_insert_alone() - mmu_interval_notifier_insert(), if nothing is there
 * @sub: the subscription, zeroed
 * @mm: the address space
 * @start: first byte
 * @length: bytes
 * @ops: with all that they need
 *
 * For who would search first, to see that there is nothing: one way through the
 * index does for both.
 *
 * Return: 0; -EEXIST: somebody's subscription overlaps, or may; or as
 * mmu_interval_notifier_insert().
 */
int interval_insert_alone(struct mmu_interval_notifier *sub,
			  struct mm_struct *mm, unsigned long start,
			  unsigned long length,
			  const struct mmu_interval_notifier_ops *ops);
/**
 * interval_read_first() - mmu_interval_read_begin(), the first of @sub
 * @sub: inserted by the caller; nobody else knows it yet, but for invalidations
 *
 * Where no invalidation is open, as most often, that is all there is to see, and
 * nobody else is to find it verified.
 *
 * Context: may sleep, as mmu_interval_read_begin().
 * Return: the sequence, for mmu_interval_read_retry().
 */
unsigned long interval_read_first(struct mmu_interval_notifier *sub);
/* The calling thread's next interval_find() allocates nothing. */
void interval_find_ready(struct mm_struct *mm);

#endif
