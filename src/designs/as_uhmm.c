/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The library itself behind the table of designs, by its public interface
 * alone. The client is found through the ops, so a subscription is the
 * library's own struct and no more.
 */
#include "designs/design.h"

#include <stdlib.h>
#include <string.h>

#include <uhmm/mm.h>

static struct mm_struct *native_mm(struct design_mm *mm)
{
	return (struct mm_struct *)mm;
}

/* The struct outlives release(), as the table promises. */
static int mm_create(struct design_mm **ret_mm)
{
	struct mm_struct *mm;
	int ret;

	ret = uhmm_mm_create(&mm);
	if (ret)
		return ret;
	mmgrab(mm);
	*ret_mm = (struct design_mm *)mm;
	return 0;
}

static void release(struct design_mm *mm)
{
	mmput(native_mm(mm));
}

static void mm_destroy(struct design_mm *mm)
{
	mmdrop(native_mm(mm));
}

/* ---------------------------------------------------- interval notifiers */

static const struct design_client *
client_of(const struct mmu_interval_notifier *sub)
{
	return container_of(sub->ops, const struct design_client, native.uhmm);
}

static struct design_sub *design_sub(struct mmu_interval_notifier *sub)
{
	return container_of(sub, struct design_sub, as.uhmm);
}

static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	return client_of(sub)->invalidate(
		design_sub(sub), range->start, range->end,
		mmu_notifier_range_blockable(range), range->event, range->owner,
		cur_seq);
}

static bool invalidate_start(struct mmu_interval_notifier *sub,
			     const struct mmu_notifier_range *range,
			     unsigned long cur_seq,
			     struct mmu_interval_notifier_finish **finish)
{
	if (!invalidate(sub, range, cur_seq))
		return false;
	*finish = malloc(sizeof(**finish));
	if (*finish)
		(*finish)->notifier = sub;
	else
		client_of(sub)->finish(design_sub(sub));
	return true;
}

static void invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	client_of(finish->notifier)->finish(design_sub(finish->notifier));
	free(finish);
}

static int prepare(struct design_client *client)
{
	struct mmu_interval_notifier_ops *ops = &client->native.uhmm;

	*ops = (struct mmu_interval_notifier_ops){ .invalidate = invalidate };
	if (client->finish)
		*ops = (struct mmu_interval_notifier_ops){
			.invalidate_start = invalidate_start,
			.invalidate_finish = invalidate_finish,
		};
	return 0;
}

static int insert(struct design_sub *sub, struct design_mm *mm,
		  unsigned long start, unsigned long length,
		  const struct design_client *client)
{
	return mmu_interval_notifier_insert(&sub->as.uhmm, native_mm(mm), start,
					    length, &client->native.uhmm);
}

static void remove_sub(struct design_sub *sub)
{
	mmu_interval_notifier_remove(&sub->as.uhmm);
}

static unsigned long read_begin(struct design_sub *sub)
{
	return mmu_interval_read_begin(&sub->as.uhmm);
}

static bool read_retry(struct design_sub *sub, unsigned long seq)
{
	return mmu_interval_read_retry(&sub->as.uhmm, seq);
}

static bool check_retry(struct design_sub *sub, unsigned long seq)
{
	return mmu_interval_check_retry(&sub->as.uhmm, seq);
}

static void set_seq(struct design_sub *sub, unsigned long cur_seq)
{
	mmu_interval_set_seq(&sub->as.uhmm, cur_seq);
}

/* --------------------------------------------------------- start and end */

static int start_range(struct design_range *range, struct design_mm *mm,
		       unsigned long start, unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner)
{
	struct mmu_notifier_range *native = &range->as.uhmm;

	mmu_notifier_range_init_owner(native, event, 0, native_mm(mm), start,
				      end, owner);
	if (!blockable)
		return mmu_notifier_invalidate_range_start_nonblock(native);
	return mmu_notifier_invalidate_range_start(native);
}

static void end_range(struct design_range *range)
{
	mmu_notifier_invalidate_range_end(&range->as.uhmm);
}

/* -------------------------------------------------------- list notifiers */

static const struct design_list_client *
list_client_of(const struct mmu_notifier *list)
{
	return container_of(list->ops, const struct design_list_client,
			    native.uhmm);
}

static struct design_list *design_list(struct mmu_notifier *list)
{
	return container_of(list, struct design_list, as.uhmm);
}

static int list_start(struct mmu_notifier *list,
		      const struct mmu_notifier_range *range)
{
	return list_client_of(list)->start(design_list(list), range->start,
					   range->end,
					   mmu_notifier_range_blockable(range),
					   range->event);
}

static void list_end(struct mmu_notifier *list,
		     const struct mmu_notifier_range *range)
{
	list_client_of(list)->end(design_list(list), range->start, range->end,
				  range->event);
}

static void list_release(struct mmu_notifier *list, struct mm_struct *mm)
{
	list_client_of(list)->release(design_list(list));
}

static void prepare_list(struct design_list_client *client)
{
	client->native.uhmm = (struct mmu_notifier_ops){
		.release = client->release ? list_release : NULL,
		.invalidate_range_start = client->start ? list_start : NULL,
		.invalidate_range_end = client->end ? list_end : NULL,
	};
}

static int list_register(struct design_list *list, struct design_mm *mm,
			 const struct design_list_client *client)
{
	memset(&list->as.uhmm, 0, sizeof(list->as.uhmm));
	list->as.uhmm.ops = &client->native.uhmm;
	return mmu_notifier_register(&list->as.uhmm, native_mm(mm));
}

static void list_unregister(struct design_list *list, struct design_mm *mm)
{
	mmu_notifier_unregister(&list->as.uhmm, native_mm(mm));
}

const struct uhmm_design uhmm_as_uhmm = {
	.name = "uhmm",
	.since = "this library",
	.sub_size = sizeof(struct mmu_interval_notifier),
	.mm_create = mm_create,
	.release = release,
	.mm_destroy = mm_destroy,
	.prepare = prepare,
	.insert = insert,
	.remove = remove_sub,
	.read_begin = read_begin,
	.read_retry = read_retry,
	.check_retry = check_retry,
	.set_seq = set_seq,
	.start = start_range,
	.end = end_range,
	.prepare_list = prepare_list,
	.list_register = list_register,
	.list_unregister = list_unregister,
};
