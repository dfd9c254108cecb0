/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <errno.h>

#include "reference.h"

#define IS(mutant) (reference_mutant == (mutant))

enum reference_mutant reference_mutant;

/* Lies in the struct design_sub or design_list. On its list in order of calls. */
struct node {
	struct node *next;
	const struct design_client *client;
	const struct design_list_client *list;
	unsigned long start, last, since;
	bool done;
};

static struct node *subs, *lists;
static unsigned long now;
static bool ended;

static int mm_create(struct design_mm **ret_mm)
{
	ended = false;
	return 0;
}

static bool drop(struct node **link, void *who)
{
	while (*link && *link != who)
		link = &(*link)->next;
	if (!*link)
		return false;
	*link = (*link)->next;
	return true;
}

static int insert(struct design_sub *sub, struct design_mm *mm, unsigned long start,
		  unsigned long length, const struct design_client *client)
{
	struct node *node = (void *)sub, **link = &subs;
	unsigned long last = start + length - 1;

	if (!length || last < start)
		return -EOVERFLOW;
	if (ended)
		return -EINVAL;
	while (*link && (*link)->start + IS(TIES_TURNED) <= start)
		link = &(*link)->next;
	*node = (struct node){ *link, client, NULL, start, last, ++now, false };
	*link = node;
	return 0;
}

static void remove_sub(struct design_sub *sub)
{
	drop(&subs, sub);
}

/* What a callback inserts is not called any more: nobody has read for it yet. */
static int call_subs(unsigned long start, unsigned long end, bool blockable,
		     enum mmu_notifier_event event, void *owner)
{
	unsigned long since = ++now;
	struct node *n;
	int ret = 0;

	for (n = subs; n; n = n->next) {
		n->done = false;
		if (n->start > end - 1 + IS(NEIGHBOUR_CALLED) || n->since > since ||
		    n->last < start + IS(EDGE_MISSED) || (ret && !IS(GOES_ON)))
			continue;
		n->done = n->client->invalidate((void *)n, start, end, blockable, event, owner, 0);
		if (!n->done && !blockable)
			ret = -EAGAIN;
	}
	for (n = subs; n; n = n->next)
		if (n->done && n->client->finish && !(ret && IS(NO_FINISHES)))
			n->client->finish((void *)n);
	return ret;
}

static void end_range(struct design_range *range)
{
	struct mmu_notifier_range *r = &range->as.uhmm;

	for (struct node *n = lists; n; n = n->next)
		if (n->list->end && (n->since < r->id || IS(UNSEEN_ENDED)))
			n->list->end((void *)n, r->start, r->end, r->event);
}

static int start_range(struct design_range *range, struct design_mm *mm, unsigned long start,
		       unsigned long end, bool blockable, enum mmu_notifier_event event,
		       void *owner)
{
	int ret = 0;

	if (start >= end)
		return -EINVAL;
	mmu_notifier_range_init(&range->as.uhmm, event, 0, NULL, start, end);
	range->as.uhmm.id = ++now;
	if (!ended || IS(CALLED_AFTER_RELEASE))
		ret = call_subs(start, end, blockable, event, owner);
	if (ret)
		return ret;
	for (struct node *n = lists; n; n = n->next)
		if (n->list->start((void *)n, start, end, blockable, event))
			ret = -EAGAIN;
	if (ret && !IS(NO_ENDS))
		end_range(range);
	return ret;
}

static int list_register(struct design_list *list, struct design_mm *mm,
			 const struct design_list_client *client)
{
	struct node *node = (void *)list, **link = &lists;

	while (*link && IS(LIST_TURNED))
		link = &(*link)->next;
	*node = (struct node){ .next = *link, .list = client, .since = ++now };
	*link = node;
	return 0;
}

static void list_unregister(struct design_list *list, struct design_mm *mm)
{
	if (drop(&lists, list))
		((struct node *)list)->list->release(list);
}

/* All there is: behind the last byte comes 0. */
static void release(struct design_mm *mm)
{
	ended = true;
	call_subs(0, 0, true, MMU_NOTIFY_RELEASE, NULL);
	while (lists)
		list_unregister((void *)lists, mm);
}

const struct uhmm_design reference = {
	.name = "reference", .mm_create = mm_create, .release = release,
	.insert = insert, .remove = remove_sub, .start = start_range, .end = end_range,
	.list_register = list_register, .list_unregister = list_unregister,
};
