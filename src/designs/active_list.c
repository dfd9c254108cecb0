/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The scheme of 2015: "Re: [PATCH 02/15] mmu_notifier: keep track of active
 * invalidation ranges v4", 1 September 2015.
 *
 * Idea: the ranges being invalidated stand on a list of the address space.
 * start puts its range there, then calls the mirrors; end takes it off. Who
 * faults waits until no range there overlaps his (wait_valid), takes the lock
 * that his callback takes too, and asks again (is_valid).
 *
 * What it fails: the list says what is being invalidated now, not what was
 * meanwhile. Page tables read before the lock was taken are installed though
 * an invalidation came and went. So they have to be read under the lock; and
 * who, as the mail's first proposal had it, keeps the lock when is_valid says
 * no and goes back to wait_valid, waits for a callback that waits for his
 * lock. Mirrors are called for what does not concern them. One who faults
 * under steady invalidation starves, which the review saw and the answer
 * denied. 2015 had no invalidation that may not sleep.
 */
#include "designs/active_list.h"

#include <errno.h>
#include <stdlib.h>

#include "designs/design.h"

struct active_list_mm {
	struct mirrors mirrors;
	struct active_list_range *active;	/* under mirrors.lock */
};

static int mm_create(struct design_mm **ret_mm)
{
	struct active_list_mm *mm = calloc(1, sizeof(*mm));

	if (!mm)
		return -ENOMEM;
	mirrors_init(&mm->mirrors);
	*ret_mm = (struct design_mm *)mm;
	return 0;
}

static void release(struct design_mm *mm)
{
	mirrors_end(&((struct active_list_mm *)mm)->mirrors);
}

static void mm_destroy(struct design_mm *mm)
{
	free(mm);
}

static int prepare(struct design_client *client)
{
	return client->finish ? -EOPNOTSUPP : 0;
}

static int insert(struct design_sub *dsub, struct design_mm *dmm,
		  unsigned long start, unsigned long length,
		  const struct design_client *client)
{
	struct active_list_sub *sub = &dsub->as.active_list;
	struct active_list_mm *mm = (struct active_list_mm *)dmm;
	int ret;

	ret = mirrors_add(&mm->mirrors, &sub->mirror, start, length, client);
	if (!ret)
		sub->mm = mm;
	return ret;
}

static void remove_sub(struct design_sub *dsub)
{
	struct active_list_sub *sub = &dsub->as.active_list;

	mirrors_remove(&sub->mm->mirrors, &sub->mirror);
}

/* With the lock of the mirrors. */
static bool is_active(const struct active_list_sub *sub)
{
	const struct active_list_range *range;

	for (range = sub->mm->active; range; range = range->next)
		if (mirror_overlaps(&sub->mirror, range->start, range->end))
			return true;
	return false;
}

/* wait_valid() */
static unsigned long read_begin(struct design_sub *dsub)
{
	struct active_list_sub *sub = &dsub->as.active_list;

	mutex_lock(&sub->mm->mirrors.lock);
	while (is_active(sub))
		mirrors_wait(&sub->mm->mirrors);
	mutex_unlock(&sub->mm->mirrors.lock);
	return 0;
}

/* !is_valid() */
static bool read_retry(struct design_sub *dsub, unsigned long seq)
{
	struct active_list_sub *sub = &dsub->as.active_list;
	bool active;

	mutex_lock(&sub->mm->mirrors.lock);
	active = is_active(sub);
	mutex_unlock(&sub->mm->mirrors.lock);
	return active;
}

static void set_seq(struct design_sub *dsub, unsigned long cur_seq)
{
}

static int start_range(struct design_range *drange, struct design_mm *dmm,
		       unsigned long start, unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner)
{
	struct active_list_range *range = &drange->as.active_list;
	struct active_list_mm *mm = (struct active_list_mm *)dmm;
	bool ended;

	if (!blockable)
		return -EOPNOTSUPP;
	range->mm = mm;
	range->start = start;
	range->end = end;
	mutex_lock(&mm->mirrors.lock);
	range->next = mm->active;
	mm->active = range;
	ended = mm->mirrors.ended;
	mutex_unlock(&mm->mirrors.lock);
	if (!ended)
		mirrors_call(&mm->mirrors, start, end, true, event, owner);
	return 0;
}

static void end_range(struct design_range *drange)
{
	struct active_list_range *range = &drange->as.active_list;
	struct active_list_range **link = &range->mm->active;

	mutex_lock(&range->mm->mirrors.lock);
	while (*link != range)
		link = &(*link)->next;
	*link = range->next;
	mirrors_wake(&range->mm->mirrors);
	mutex_unlock(&range->mm->mirrors.lock);
}

const struct uhmm_design uhmm_as_active_list = {
	.name = "active_list",
	.since = "2015, list of active ranges",
	.sub_size = sizeof(struct active_list_sub),
	.mm_create = mm_create,
	.release = release,
	.mm_destroy = mm_destroy,
	.prepare = prepare,
	.insert = insert,
	.remove = remove_sub,
	.read_begin = read_begin,
	.read_retry = read_retry,
	.set_seq = set_seq,
	.start = start_range,
	.end = end_range,
};
