/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The kernel's scheme in ops.h.
 */
#include <pthread.h>

#include "designs/classic.h"
#include "world.h"

struct words_mm {
	struct classic_mm *native;
};

struct words_sub {
	struct classic_interval_notifier native;
};

struct words_range {
	struct classic_range native;
};

struct words_list {
	struct classic_notifier native;
};

static pthread_mutex_t user_lock = PTHREAD_MUTEX_INITIALIZER;

static bool call_locked(struct classic_interval_notifier *sub,
			const struct classic_range *range,
			unsigned long cur_seq)
{
	pthread_mutex_lock(&user_lock);
	classic_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&user_lock);
	return true;
}

static bool call_bare(struct classic_interval_notifier *sub,
		      const struct classic_range *range, unsigned long cur_seq)
{
	classic_interval_set_seq(sub, cur_seq);
	return true;
}

/* In ops.h. */
static void device_hit(struct words_sub *sub, unsigned long cur_seq);

static bool call_device(struct classic_interval_notifier *sub,
			const struct classic_range *range,
			unsigned long cur_seq)
{
	device_hit(container_of(sub, struct words_sub, native), cur_seq);
	return true;
}

static const struct classic_interval_ops device_ops = {
	.invalidate = call_device,
};

static struct classic_interval_ops interval_ops = { .invalidate = call_locked };

static bool words_set_callback(enum callback callback)
{
	if (callback != CALL_LOCKED && callback != CALL_BARE)
		return false;
	interval_ops.invalidate = callback == CALL_BARE ? call_bare :
							  call_locked;
	return true;
}

static int list_start_nothing(struct classic_notifier *list,
			      const struct classic_range *range)
{
	return 0;
}

static void list_end_nothing(struct classic_notifier *list,
			     const struct classic_range *range)
{
}

static const struct classic_ops list_ops = {
	.invalidate_range_start = list_start_nothing,
	.invalidate_range_end = list_end_nothing,
};

static inline int words_mm_create(struct words_mm *mm,
				  const struct setup *setup)
{
	return classic_mm_create(&mm->native);
}

static inline void words_mm_destroy(struct words_mm *mm, unsigned long subs)
{
	classic_mm_release(mm->native);
	/* What each subscription holds, and the creator. */
	for (subs++; subs; subs--)
		classic_mm_drop(mm->native);
}

static inline int words_insert(struct words_sub *sub, struct words_mm *mm,
			       unsigned long start, unsigned long length,
			       enum callback callback)
{
	return classic_interval_notifier_insert(&sub->native, mm->native, start,
						length,
						callback == CALL_DEVICE ?
							&device_ops :
							&interval_ops);
}

static inline void words_remove(struct words_sub *sub)
{
	classic_interval_notifier_remove(&sub->native);
}

static inline unsigned long words_sub_start(const struct words_sub *sub)
{
	return sub->native.node.start;
}

static inline unsigned long words_sub_last(const struct words_sub *sub)
{
	return sub->native.node.last;
}

static inline unsigned long words_begin(struct words_sub *sub)
{
	return classic_interval_read_begin(&sub->native);
}

static inline bool words_retry(struct words_sub *sub, unsigned long seq)
{
	return classic_interval_read_retry(&sub->native, seq);
}

static inline void words_set_seq(struct words_sub *sub, unsigned long cur_seq)
{
	classic_interval_set_seq(&sub->native, cur_seq);
}

static inline bool words_locked(struct words_mm *mm)
{
	return READ_ONCE(mm->native->lock);
}

/* There are no reservations. */
static inline void words_give_up(struct words_sub *sub)
{
}

static inline unsigned long words_reserves_lost(struct words_mm *mm)
{
	return 0;
}

static inline void words_start(struct words_range *range, struct words_mm *mm,
			       unsigned long start, unsigned long end)
{
	classic_range_init(&range->native, MMU_NOTIFY_CLEAR, 0, mm->native,
			   start, end);
	classic_invalidate_range_start(&range->native);
}

static inline void words_end(struct words_range *range)
{
	classic_invalidate_range_end(&range->native);
}

static inline int words_list_register(struct words_list *list,
				      struct words_mm *mm)
{
	list->native = (struct classic_notifier){ .ops = &list_ops };
	return classic_notifier_register(&list->native, mm->native);
}

static inline void words_list_unregister(struct words_list *list,
					 struct words_mm *mm)
{
	classic_notifier_unregister(&list->native, mm->native);
}

/* The tree is in the subscriptions. */
static inline size_t words_own_bytes(struct words_mm *mm)
{
	return 0;
}

/* There are no tags. */
#define words_slice_tag_check NULL
/* Those are the same for all schemes. */
#define words_slice_callback_random NULL
#define words_slice_mutex_alone NULL
#define words_slice_announce_alone NULL

#include "ops.h"

const struct ops ops_classic = { .name = "classic", COMMON_OPS };
