/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The library itself in ops.h.
 */
#include <errno.h>
#include <pthread.h>

#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "core/internal.h"
#include "world.h"

struct words_mm {
	struct mm_struct *native;
};

struct words_sub {
	struct mmu_interval_notifier native;
};

struct words_range {
	struct mmu_notifier_range native;
};

struct words_list {
	struct mmu_notifier native;
};

static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;

static bool call_locked(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range,
			unsigned long cur_seq)
{
	pthread_mutex_lock(&user_lock);
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&user_lock);
	return true;
}

static bool call_bare(struct mmu_interval_notifier *sub,
		      const struct mmu_notifier_range *range,
		      unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	return true;
}

static bool call_batch(struct mmu_interval_notifier *const *subs, size_t n,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	pthread_mutex_lock(&user_lock);
	for (size_t i = 0; i < n; i++)
		mmu_interval_set_seq(subs[i], cur_seq);
	pthread_mutex_unlock(&user_lock);
	return true;
}

/* In ops.h. */
static void device_hit(struct words_sub *sub, unsigned long cur_seq);

static bool call_device(struct mmu_interval_notifier *sub,
			const struct mmu_notifier_range *range,
			unsigned long cur_seq)
{
	device_hit(container_of(sub, struct words_sub, native), cur_seq);
	return true;
}

static const struct mmu_interval_notifier_ops device_ops = {
	.invalidate = call_device,
};

static struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = call_locked,
};

/* Between slices nobody is being called. */
static bool words_set_callback(enum callback callback)
{
	interval_ops = (struct mmu_interval_notifier_ops){ 0 };
	if (callback == CALL_BATCH)
		interval_ops.uhmm_invalidate_batch = call_batch;
	else
		interval_ops.invalidate = callback == CALL_BARE ? call_bare :
								  call_locked;
	return true;
}

static int list_start_nothing(struct mmu_notifier *list,
			      const struct mmu_notifier_range *range)
{
	return 0;
}

static void list_end_nothing(struct mmu_notifier *list,
			     const struct mmu_notifier_range *range)
{
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = list_start_nothing,
	.invalidate_range_end = list_end_nothing,
};

static inline int words_mm_create(struct words_mm *mm,
				  const struct setup *setup)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_after = setup->never_reserve ? UHMM_RESERVE_NEVER : 0,
	};
	int ret = uhmm_mm_create_with(&options, &mm->native);

	if (!ret)
		mm->native->index.search = setup->search;
	return ret;
}

static inline void words_mm_destroy(struct words_mm *mm, unsigned long subs)
{
	mmput(mm->native);
	/* What all subscriptions together hold. */
	if (subs)
		mmdrop(mm->native);
}

static inline int words_insert(struct words_sub *sub, struct words_mm *mm,
			       unsigned long start, unsigned long length,
			       enum callback callback)
{
	if (callback == CALL_TAGGED)
		return uhmm_interval_notifier_insert_tagged(
			&sub->native, mm->native, start, length);
	return mmu_interval_notifier_insert(&sub->native, mm->native, start,
					    length,
					    callback == CALL_DEVICE ?
						    &device_ops :
						    &interval_ops);
}

static inline void words_remove(struct words_sub *sub)
{
	mmu_interval_notifier_remove(&sub->native);
}

static inline unsigned long words_sub_start(const struct words_sub *sub)
{
	return sub->native.interval_tree.start;
}

static inline unsigned long words_sub_last(const struct words_sub *sub)
{
	return sub->native.interval_tree.last;
}

static inline unsigned long words_begin(struct words_sub *sub)
{
	return mmu_interval_read_begin(&sub->native);
}

static inline bool words_retry(struct words_sub *sub, unsigned long seq)
{
	return mmu_interval_read_retry(&sub->native, seq);
}

static inline void words_set_seq(struct words_sub *sub, unsigned long cur_seq)
{
	mmu_interval_set_seq(&sub->native, cur_seq);
}

/* A read that will not succeed any more. */
static inline void words_give_up(struct words_sub *sub)
{
	uhmm_interval_unreserve(&sub->native);
}

static inline bool words_locked(struct words_mm *mm)
{
	return READ_ONCE(mm->native->index.lock.locked);
}

static inline unsigned long words_reserves_lost(struct words_mm *mm)
{
	struct uhmm_mm_stats stats = { 0 };

	uhmm_mm_get_stats(mm->native, &stats);
	return stats.reserves_lost;
}

static inline void words_start(struct words_range *range, struct words_mm *mm,
			       unsigned long start, unsigned long end)
{
	mmu_notifier_range_init(&range->native, MMU_NOTIFY_CLEAR, 0, mm->native,
				start, end);
	mmu_notifier_invalidate_range_start(&range->native);
}

static inline void words_end(struct words_range *range)
{
	mmu_notifier_invalidate_range_end(&range->native);
}

static inline int words_list_register(struct words_list *list,
				      struct words_mm *mm)
{
	list->native = (struct mmu_notifier){ .ops = &list_ops };
	return mmu_notifier_register(&list->native, mm->native);
}

static inline void words_list_unregister(struct words_list *list,
					 struct words_mm *mm)
{
	mmu_notifier_unregister(&list->native, mm->native);
}

static inline size_t words_own_bytes(struct words_mm *mm)
{
	return index_bytes(&mm->native->index);
}

static void words_slice_tag_check(void *world, unsigned long n);
static void words_slice_callback_random(void *world, unsigned long n);
static void words_slice_mutex_alone(void *world, unsigned long n);
static void words_slice_announce_alone(void *world, unsigned long n);

#include "ops.h"

SLICE(words_slice_tag_check,
      struct object *object = w->hot_object;
      check(uhmm_interval_tag_valid(&object->sub.native,
				    object->sub.native.invalidate_seq),
	    "tag"))

/*
 * What is left of a hit when neither announcing nor searching costs anything:
 * no scheme has less to do.
 */
SLICE(words_slice_callback_random,
      struct mmu_interval_notifier *sub = &draw_object(w, &rng)->sub.native;
      call_locked(sub, NULL, READ_ONCE(sub->invalidate_seq)))

SLICE(words_slice_mutex_alone, pthread_mutex_lock(&user_lock);
      pthread_mutex_unlock(&user_lock))

/*
 * What is left of start and end if one comparison tells that nobody is there, and
 * nobody asks for anything else: a call that finds the thread's line, writes a new
 * number and the range to it, passes a fence and compares; and a call that takes
 * the announcement back.
 */
struct announced {
	unsigned long word, start, last;
} __attribute__((aligned(64)));

static struct announced announced_here;
static __thread struct announced *announced;
static unsigned long all_start = ~0UL;

static __attribute__((noinline, noclone)) int
announce(struct mmu_notifier_range *range)
{
	struct announced *a = announced;
	unsigned long id = READ_ONCE(a->word) + 1;

	range->slot = a;
	range->id = id;
	WRITE_ONCE(a->start, range->start);
	WRITE_ONCE(a->last, range->end - 1);
	smp_store_before_mb(&a->word, id);
	smp_mb_after_store(&a->word, id);
	return range->end - 1 < READ_ONCE(all_start) ? 0 : -EAGAIN;
}

static __attribute__((noinline, noclone)) void
announced_end(struct mmu_notifier_range *range)
{
	struct announced *a = range->slot;

	smp_store_release(&a->word, range->id + 1);
}

static inline void announce_alone(struct world *w, unsigned long slot)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, w->mm.native,
				slot + w->plan.length, slot + w->plan.stride);
	check(!announce(&range), "announce");
	announced_end(&range);
}

SLICE(words_slice_announce_alone, announced = &announced_here;
      announce_alone(w, w->hot))

const struct ops ops_uhmm = { .name = "uhmm", COMMON_OPS };
