/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The kernel's scheme behind the table of designs. The client is found
 * through the ops, so a subscription is the scheme's own struct and no more.
 */
#include "designs/design.h"

#include <stdlib.h>

static struct classic_mm *native_mm(struct design_mm *mm)
{
	return (struct classic_mm *)mm;
}

static int mm_create(struct design_mm **ret_mm)
{
	return classic_mm_create((struct classic_mm **)ret_mm);
}

static void release(struct design_mm *mm)
{
	classic_mm_release(native_mm(mm));
}

static void mm_destroy(struct design_mm *mm)
{
	classic_mm_drop(native_mm(mm));
}

/* ---------------------------------------------------- interval notifiers */

static const struct design_client *
client_of(const struct classic_interval_notifier *sub)
{
	return container_of(sub->ops, const struct design_client,
			    native.classic);
}

static struct design_sub *design_sub(struct classic_interval_notifier *sub)
{
	return container_of(sub, struct design_sub, as.classic);
}

static bool invalidate(struct classic_interval_notifier *sub,
		       const struct classic_range *range, unsigned long cur_seq)
{
	return client_of(sub)->invalidate(
		design_sub(sub), range->start, range->end,
		range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE, range->event,
		range->owner, cur_seq);
}

static bool invalidate_start(struct classic_interval_notifier *sub,
			     const struct classic_range *range,
			     unsigned long cur_seq,
			     struct classic_finish **finish)
{
	if (!invalidate(sub, range, cur_seq))
		return false;
	*finish = malloc(sizeof(**finish));
	if (*finish)
		(*finish)->sub = sub;
	else
		client_of(sub)->finish(design_sub(sub));
	return true;
}

static void invalidate_finish(struct classic_finish *finish)
{
	client_of(finish->sub)->finish(design_sub(finish->sub));
	free(finish);
}

static int prepare(struct design_client *client)
{
	struct classic_interval_ops *ops = &client->native.classic;

	*ops = (struct classic_interval_ops){ .invalidate = invalidate };
	if (client->finish)
		*ops = (struct classic_interval_ops){
			.invalidate_start = invalidate_start,
			.invalidate_finish = invalidate_finish,
		};
	return 0;
}

static int insert(struct design_sub *sub, struct design_mm *mm,
		  unsigned long start, unsigned long length,
		  const struct design_client *client)
{
	return classic_interval_notifier_insert(&sub->as.classic, native_mm(mm),
						start, length,
						&client->native.classic);
}

static void remove_sub(struct design_sub *sub)
{
	classic_interval_notifier_remove(&sub->as.classic);
}

static unsigned long read_begin(struct design_sub *sub)
{
	return classic_interval_read_begin(&sub->as.classic);
}

static bool read_retry(struct design_sub *sub, unsigned long seq)
{
	return classic_interval_read_retry(&sub->as.classic, seq);
}

static bool check_retry(struct design_sub *sub, unsigned long seq)
{
	return classic_interval_check_retry(&sub->as.classic, seq);
}

static void set_seq(struct design_sub *sub, unsigned long cur_seq)
{
	classic_interval_set_seq(&sub->as.classic, cur_seq);
}

/* --------------------------------------------------------- start and end */

static int start_range(struct design_range *range, struct design_mm *mm,
		       unsigned long start, unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner)
{
	struct classic_range *native = &range->as.classic;

	classic_range_init(native, event, 0, native_mm(mm), start, end);
	native->owner = owner;
	if (!blockable)
		return classic_invalidate_range_start_nonblock(native);
	classic_invalidate_range_start(native);
	return 0;
}

static void end_range(struct design_range *range)
{
	classic_invalidate_range_end(&range->as.classic);
}

/* -------------------------------------------------------- list notifiers */

static const struct design_list_client *
list_client_of(const struct classic_notifier *list)
{
	return container_of(list->ops, const struct design_list_client,
			    native.classic);
}

static struct design_list *design_list(struct classic_notifier *list)
{
	return container_of(list, struct design_list, as.classic);
}

static int list_start(struct classic_notifier *list,
		      const struct classic_range *range)
{
	return list_client_of(list)->start(
		design_list(list), range->start, range->end,
		range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE, range->event);
}

static void list_end(struct classic_notifier *list,
		     const struct classic_range *range)
{
	list_client_of(list)->end(design_list(list), range->start, range->end,
				  range->event);
}

static void list_release(struct classic_notifier *list, struct classic_mm *mm)
{
	list_client_of(list)->release(design_list(list));
}

static void prepare_list(struct design_list_client *client)
{
	client->native.classic = (struct classic_ops){
		.release = client->release ? list_release : NULL,
		.invalidate_range_start = client->start ? list_start : NULL,
		.invalidate_range_end = client->end ? list_end : NULL,
	};
}

static int list_register(struct design_list *list, struct design_mm *mm,
			 const struct design_list_client *client)
{
	list->as.classic.ops = &client->native.classic;
	return classic_notifier_register(&list->as.classic, native_mm(mm));
}

static void list_unregister(struct design_list *list, struct design_mm *mm)
{
	classic_notifier_unregister(&list->as.classic, native_mm(mm));
}

const struct uhmm_design uhmm_as_classic = {
	.name = "classic",
	.since = "the kernel's, 2019 on",
	.sub_size = sizeof(struct classic_interval_notifier),
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
