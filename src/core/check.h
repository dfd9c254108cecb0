/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Where the contract checker looks in. Those with an address space are called
 * only if it has MM_CHECK, the others always: they end at once in a thread
 * that is in no checked callback.
 *
 * @from is where the library was called: CHECK_FROM in the public function.
 */
#ifndef CORE_CHECK_H
#define CORE_CHECK_H

#include "internal.h"

#define CHECK_FROM \
	__builtin_extract_return_addr(__builtin_return_address(0))

static inline bool mm_checked(const struct mm_struct *mm)
{
	return READ_ONCE(mm->flags) & MM_CHECK;
}

/**
 * struct check_call - a callback under way, and those around it
 * @outer: the callback that this thread was in before
 * @mm: whose
 * @range: what it was called with
 * @id: its cur_seq
 * @from: where the invalidation was started
 * @fn: the callback
 * @hits: the subscriptions that are called, @n of them
 * @n: see @hits
 * @list: the list notifier instead of @hits
 * @sleeps: sync_thread_sleeps() before, if it may not
 * @slept: that it did has been reported
 * @stamp: when it began, in events of the checker
 * @before: invalidate_seq of @hits before
 */
struct check_call {
	struct check_call *outer;
	struct mm_struct *mm;
	const struct mmu_notifier_range *range;
	unsigned long id;
	const void *from;
	const void *fn;
	struct uhmm_interval_node *const *hits;
	unsigned int n;
	const struct mmu_notifier *list;
	long sleeps;
	bool slept;
	unsigned long stamp;
	unsigned long before[INDEX_BATCH];
};

/* Returned by a read_begin that was not carried out: the retry is true. */
#define CHECK_SEQ_NONE (SEQ_SLOW | 1)

int check_mm_init(struct mm_struct *mm);
void check_mm_destroy(struct mm_struct *mm);
/* UHMM_CHECK=1, or abort, in the environment? */
bool check_wanted(void);
void check_fork_prepare(void);
void check_fork_parent(void);
void check_fork_child(void);

/* The changing side. @from NULL: it ends because it was refused. */
void check_start(const struct mmu_notifier_range *range, unsigned long id,
		 const void *from);
void check_end(const struct mmu_notifier_range *range, unsigned long id,
	       const void *from);
void check_end_without_start(const struct mmu_notifier_range *range,
			     const void *from);
/* The first of @hits is to be called, or as many as go in one call. */
void check_call_begin(struct check_call *call, struct mm_struct *mm,
		      const struct mmu_notifier_range *range, unsigned long id,
		      struct uhmm_interval_node *const *hits, unsigned int n);
/* They answered @ok. */
void check_call_end(struct check_call *call, bool ok);
/* The second pass of one. */
void check_finish_begin(struct check_call *call, struct mm_struct *mm,
			const struct mmu_notifier_range *range,
			unsigned long id, const void *fn);
void check_finish_end(struct check_call *call);
void check_list_begin(struct check_call *call,
		      const struct mmu_notifier_range *range,
		      const struct mmu_notifier *subscription, const void *fn);
/* It answered @ret. */
void check_list_end(struct check_call *call, int ret);

/* Subscriptions. An error: the call must not be carried out. */
int check_insert(struct mmu_interval_notifier *sub, struct mm_struct *mm,
		 unsigned long start, unsigned long last, const void *from);
int check_remove(struct mmu_interval_notifier *sub, const void *from);
void check_remove_async(struct mmu_interval_notifier *sub, const void *from);
/* What check_remove() or check_remove_async() began has ended with @ret. */
void check_removed(struct mmu_interval_notifier *sub, int ret);
/* @sub has no address space. */
void check_remove_unknown(struct mmu_interval_notifier *sub, const void *from);

/* The reading side. false: the call must not be carried out. */
bool check_read_begin(struct mmu_interval_notifier *sub, bool for_ever,
		      const void *from);
/* What mmu_interval_read_begin() returns for @seq: so that the retry is seen. */
unsigned long check_reading(struct mmu_interval_notifier *sub,
			    unsigned long seq, const void *from);
/* *@seq returns what check_reading() got. */
bool check_read_retry(struct mmu_interval_notifier *sub, unsigned long *seq,
		      const void *from);
bool check_check_retry(struct mmu_interval_notifier *sub, unsigned long *seq,
		       const void *from);
bool check_reserve(struct mmu_interval_notifier *sub, const void *from);
/* [start, end) is read for @sub. false: it is outside. */
bool check_range(struct mmu_interval_notifier *sub, unsigned long start,
		 unsigned long end, const void *from);

/* mmap_lock is about to be taken; is not held as it should be. */
void check_mmap_lock(struct mm_struct *mm, const void *from);
void check_mmap_not_held(struct mm_struct *mm, const char *how,
			 const void *from);

static inline void check_write_locked(struct mm_struct *mm, const void *from)
{
	if (mm_checked(mm) && rwsem_holders(&mm->mmap_lock) >= 0)
		check_mmap_not_held(mm, "held for writing", from);
}

/* @what, which may sleep, was called. */
void check_might_sleep(const char *what, const void *from);
/*
 * @what, which waits for callbacks of @mm, was called; NULL: of all. false:
 * it must not be carried out.
 */
bool check_may_wait(struct mm_struct *mm, const char *what, const void *from);

#endif
