/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Address spaces: life, locks, operations, and what fork(2) does to them.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/options.h"
#include "check.h"

#define RESERVE_AFTER 3
#define RESERVE_LIMIT_US 20000

/* All there are, for fork, for threads that end, for synchronize. */
static struct mutex all_lock = MUTEX_INITIALIZER;
static struct mm_struct *all __guarded_by(&all_lock);
static unsigned long last_id __guarded_by(&all_lock);

void mm_for_each(void (*fn)(struct mm_struct *mm, void *arg), void *arg)
{
	struct mm_struct *mm;

	mutex_lock(&all_lock);
	for (mm = all; mm; mm = mm->next_mm)
		fn(mm, arg);
	mutex_unlock(&all_lock);
}

/* Not one that is being freed. */
static bool grab_not_zero(struct mm_struct *mm)
{
	long count = READ_ONCE(mm->count);

	while (count > 0)
		if (try_cmpxchg(&mm->count, &count, count + 1))
			return true;
	return false;
}

struct mm_struct *mm_next(unsigned long id)
{
	struct mm_struct *mm, *least = NULL;

	mutex_lock(&all_lock);
	for (mm = all; mm && mm->id > id; mm = mm->next_mm)
		least = mm;
	while (least && !grab_not_zero(least))
		least = least->prev_mm;
	mutex_unlock(&all_lock);
	return least;
}

/* Memory that never was a subscription may say of itself what it wants. */
bool mm_has_sub(const struct mmu_interval_notifier *sub)
{
	const struct mmu_interval_notifier *at = sub;
	struct mm_struct *mm;

	mutex_lock(&all_lock);
	for (mm = all; mm && mm != sub->mm;)
		mm = mm->next_mm;
	if (mm && sub->removing >= SUB_NO_NEXT) {
		spin_lock(&mm->list_lock);
		for (at = mm->removing; at != SUB_NO_NEXT && at != sub;)
			at = at->removing;
		spin_unlock(&mm->list_lock);
	}
	mutex_unlock(&all_lock);
	return mm && at == sub;
}

/* -------------------------------------------------------------------- fork */

static void fork_prepare(void) __no_context_analysis
{
	struct mm_struct *mm;

	mutex_lock(&all_lock);
	/* In the order in which uhmm_interval_notifier_remove_async() nests them. */
	for (mm = all; mm; mm = mm->next_mm) {
		spin_lock(&mm->list_lock);
		spin_lock(&mm->index.lock);
	}
	device_fork_prepare();
	check_fork_prepare();
}

static void fork_parent(void) __no_context_analysis
{
	struct mm_struct *mm;

	check_fork_parent();
	device_fork_parent();
	for (mm = all; mm; mm = mm->next_mm) {
		spin_unlock(&mm->list_lock);
		spin_unlock(&mm->index.lock);
	}
	mutex_unlock(&all_lock);
}

/* The other threads are gone, and with them what they held and had open. */
static void fork_child(void) __no_context_analysis
{
	unsigned long old_number = sync_thread_number();
	struct mm_struct *mm;

	sync_thread_renumber();
	/* Who has none is asked for none: it may be forbidden to ask. */
	if (all)
		sync_register_membarrier();
	check_fork_child();
	device_fork_child();
	for (mm = all; mm; mm = mm->next_mm) {
		slot_fork_child(mm, old_number);
		init_rwsem(&mm->mmap_lock);
		spin_lock_init(&mm->list_lock);
		spin_lock_init(&mm->index.lock);
		mm->reaping = 0;
	}
	mutex_unlock(&all_lock);
}

static __at_load(AT_FORK_CORE) void see_to_forks(void)
{
	sync_at_fork(fork_prepare, fork_parent, fork_child);
}

static void join_all(struct mm_struct *mm)
{
	mutex_lock(&all_lock);
	mm->id = ++last_id;
	mm->next_mm = all;
	if (all)
		all->prev_mm = mm;
	all = mm;
	mutex_unlock(&all_lock);
}

static void leave_all(struct mm_struct *mm)
{
	mutex_lock(&all_lock);
	if (mm->prev_mm)
		mm->prev_mm->next_mm = mm->next_mm;
	else
		all = mm->next_mm;
	if (mm->next_mm)
		mm->next_mm->prev_mm = mm->prev_mm;
	mutex_unlock(&all_lock);
}

/* -------------------------------------------------------------------- life */

static void mm_free(struct mm_struct *mm)
{
	slot_wait_holders(mm);
	if (READ_ONCE(mm->flags) & MM_REMOVING)
		interval_reap(mm, true);
	leave_all(mm);
	if (mm->ops->destroy)
		mm->ops->destroy(mm->private_data);
	if (mm_checked(mm))
		check_mm_destroy(mm);
	index_destroy(&mm->index);
	slot_mm_destroy(mm);
	destroy_rwsem(&mm->mmap_lock);
	sync_unkeep(mm, MM_BYTES);
	free(mm);
}

/* Nobody else has it yet: no lock is taken. */
static int mm_init(struct mm_struct *mm, const struct uhmm_mm_options *options)
	__no_context_analysis
{
	unsigned int limit_us = options->reserve_limit_us;
	int ret;

	mm->users = 1;
	mm->count = 1;
	mm->private_data = options->private_data;
	mm->reserve_after = options->reserve_after ? options->reserve_after :
						     RESERVE_AFTER;
	mm->reserve_limit_ns = (limit_us ? limit_us : RESERVE_LIMIT_US) *
			       INT64_C(1000);
	spin_lock_init(&mm->list_lock);
	mm->removing = SUB_NO_NEXT;
	slot_mm_init(mm, (char *)mm + MM_SIZE, MM_BYTES - MM_SIZE);
	ret = index_init(&mm->index, slot_oldest_reader, mm);
	if (ret)
		goto out_slots;
	if (options->flags & UHMM_MM_CHECK || check_wanted()) {
		ret = check_mm_init(mm);
		if (ret)
			goto out_index;
		mm->flags |= MM_CHECK;
	}
	init_rwsem(&mm->mmap_lock);
	return 0;
out_index:
	index_destroy(&mm->index);
out_slots:
	slot_mm_destroy(mm);
	return ret;
}

int mm_create(const struct uhmm_mm_options *options,
	      const struct uhmm_mm_ops *ops, struct mm_struct **ret_mm)
{
	struct mm_struct *mm;
	int ret;

	ret = ret_mm ? options_check(options, sizeof(*options)) : -EINVAL;
	if (!ret && (options->flags & ~UHMM_MM_CHECK || !ops->name))
		ret = -EINVAL;
	if (ret)
		return ret;
	sync_register_membarrier();
	mm = aligned_alloc(MM_BYTES, MM_BYTES);
	if (!mm)
		return -ENOMEM;
	memset(mm, 0, MM_BYTES);
	mm->ops = ops;
	sync_keep(mm, MM_BYTES);
	ret = mm_init(mm, options);
	if (ret) {
		sync_unkeep(mm, MM_BYTES);
		free(mm);
		return ret;
	}
	join_all(mm);
	*ret_mm = mm;
	return 0;
}

void mmget(struct mm_struct *mm)
{
	fetch_add(&mm->users, 1);
}

bool mmget_not_zero(struct mm_struct *mm)
{
	long users = READ_ONCE(mm->users);

	while (users > 0)
		if (try_cmpxchg(&mm->users, &users, users + 1))
			return true;
	return false;
}

void mmput(struct mm_struct *mm)
{
	check_might_sleep("mmput", CHECK_FROM);
	if (fetch_sub(&mm->users, 1) != 1)
		return;
	interval_release(mm);
	list_release(mm);
	if (mm->ops->exit)
		mm->ops->exit(mm, mm->private_data);
	mmdrop(mm);
}

void mmgrab(struct mm_struct *mm)
{
	fetch_add(&mm->count, 1);
}

void mmdrop(struct mm_struct *mm)
{
	if (fetch_sub(&mm->count, 1) == 1)
		mm_free(mm);
}

void *uhmm_mm_private(const struct mm_struct *mm)
{
	return mm->private_data;
}

const char *uhmm_mm_name(const struct mm_struct *mm)
{
	return mm->ops->name;
}

/* --------------------------------------------------------------- mmap_lock */

static void read_lock(struct mm_struct *mm, const void *from)
{
	check_might_sleep("mmap_read_lock", from);
	if (mm_checked(mm))
		check_mmap_lock(mm, from);
	down_read(&mm->mmap_lock);
}

static void write_lock(struct mm_struct *mm, const void *from)
{
	check_might_sleep("mmap_write_lock", from);
	if (mm_checked(mm))
		check_mmap_lock(mm, from);
	down_write(&mm->mmap_lock);
}

void mmap_read_lock(struct mm_struct *mm)
{
	read_lock(mm, CHECK_FROM);
}

int mmap_read_lock_killable(struct mm_struct *mm)
{
	read_lock(mm, CHECK_FROM);
	return 0;
}

bool mmap_read_trylock(struct mm_struct *mm)
{
	return down_read_trylock(&mm->mmap_lock);
}

void mmap_read_unlock(struct mm_struct *mm)
{
	up_read(&mm->mmap_lock);
}

void mmap_write_lock(struct mm_struct *mm)
{
	write_lock(mm, CHECK_FROM);
}

int mmap_write_lock_killable(struct mm_struct *mm)
{
	write_lock(mm, CHECK_FROM);
	return 0;
}

bool mmap_write_trylock(struct mm_struct *mm)
{
	return down_write_trylock(&mm->mmap_lock);
}

void mmap_write_unlock(struct mm_struct *mm)
{
	up_write(&mm->mmap_lock);
}

void mmap_write_downgrade(struct mm_struct *mm)
{
	downgrade_write(&mm->mmap_lock);
}

__warm void mmap_assert_locked(struct mm_struct *mm)
{
	if (mm_checked(mm) && !rwsem_holders(&mm->mmap_lock))
		check_mmap_not_held(mm, "held", CHECK_FROM);
}

void mmap_assert_write_locked(struct mm_struct *mm)
{
	check_write_locked(mm, CHECK_FROM);
}
