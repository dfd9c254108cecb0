/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Each rule of the contract checker, broken by somebody who asks for no report:
 * rule_NAME ends with what the checker calls NAME.
 */
#include <pthread.h>
#include <stdbool.h>

#include <uhmm/check.h>
#include <uhmm/explore.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

enum { FIRST = 0x10000, SIZE = 0x4000 };

static struct mm_struct *mm;
static struct mmu_interval_notifier sub;
static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool held;
/* What the callback does. */
static bool sets_none, sets_wrong, removes, sleeps, refuses;

static bool invalidate(struct mmu_interval_notifier *s,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	if (!sets_none)
		mmu_interval_set_seq(s, cur_seq + 2 * sets_wrong);
	if (removes)
		mmu_interval_notifier_remove(s);
	if (sleeps)
		uhmm_might_sleep();
	return !refuses;
}

static const struct mmu_interval_notifier_ops ops = { .invalidate = invalidate };

static bool is_held(void *lock)
{
	return held;
}

static void lock_user(void)
{
	pthread_mutex_lock(&user_lock);
	held = true;
}

static void start(struct mmu_notifier_range *range, unsigned int flags)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, flags, mm, FIRST,
				FIRST + SIZE);
	if (flags & MMU_NOTIFIER_RANGE_BLOCKABLE)
		mmu_notifier_invalidate_range_start(range);
	else
		mmu_notifier_invalidate_range_start_nonblock(range);
}

static void hit(void)
{
	struct mmu_notifier_range range;

	start(&range, sleeps ? 0 : MMU_NOTIFIER_RANGE_BLOCKABLE);
	mmu_notifier_invalidate_range_end(&range);
}

static void begin_and(void *(*breaks)(void *))
{
	struct uhmm_mm_options options = { .size = sizeof(options),
					   .flags = UHMM_MM_CHECK };
	pthread_t thread;

	if (uhmm_mm_create_with(&options, &mm) ||
	    mmu_interval_notifier_insert(&sub, mm, FIRST, SIZE, &ops))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no address space");
	uhmm_check_user_lock(&sub, is_held, &user_lock);
	pthread_create(&thread, NULL, breaks, NULL);
	pthread_join(thread, NULL);
}

#define RULE(name, ...) \
	static void *break_##name(void *unused) \
	{ \
		__VA_ARGS__ \
		return NULL; \
	} \
	static void run_##name(void) \
	{ \
		begin_and(break_##name); \
	} \
	UHMM_SCENARIO(rule_##name, .run = run_##name, .bad = "contract")

RULE(set_seq_missing, sets_none = true; hit(););
RULE(set_seq_wrong, sets_wrong = true; hit(););
RULE(retry_unlocked,
     mmu_interval_read_retry(&sub, mmu_interval_read_begin(&sub)););
RULE(in_callback, removes = true; hit(););
RULE(insert_remove, mmu_interval_notifier_remove(&sub);
     mmu_interval_notifier_remove(&sub););
RULE(sleep, sleeps = true; hit(););
RULE(refusal, refuses = true; hit(););
RULE(range, unsigned long seq = mmu_interval_read_begin(&sub); lock_user();
     mmu_interval_read_retry(&sub, seq);
     uhmm_check_access(&sub, FIRST, FIRST + SIZE + 1););
RULE(install, lock_user(); uhmm_check_access(&sub, FIRST, FIRST + 1););
RULE(end, struct mmu_notifier_range range;
     mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP,
			     MMU_NOTIFIER_RANGE_BLOCKABLE, mm, FIRST,
			     FIRST + SIZE);
     mmu_notifier_invalidate_range_end(&range););
RULE(foreign_seq, lock_user(); mmu_interval_read_retry(&sub, 4321););
RULE(lock_order, lock_user(); mmap_read_lock(mm););
RULE(removed, mmu_interval_notifier_remove(&sub);
     mmu_interval_read_begin(&sub););
RULE(self_wait, struct mmu_notifier_range range;
     start(&range, MMU_NOTIFIER_RANGE_BLOCKABLE);
     mmu_interval_read_begin(&sub););
