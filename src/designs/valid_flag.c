/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The scheme of the summer of 2019, as in the mails of 24 May ("the big 3 CPU
 * ladder diagram that shows how 'valid' does not work") and 15 August 2019
 * ("if (range.valid) populate_device_page_table()").
 *
 * Idea: each registered range has a flag. start clears it in all ranges that
 * overlap, then calls the mirrors; end sets it again. Who faults waits for the
 * flag, reads page tables, takes his lock, and looks at the flag again.
 *
 * valid_bool is the flag alone. The ladder is about it: an end sets the flags
 * of all ranges, also those that a start of somebody else has cleared. Known
 * to be bad.
 *
 * valid_flag also counts the invalidations under way in the address space, and
 * only the end that finds none left sets the flags. That answers the ladder.
 * What it still fails: a flag that was cleared and set again looks as if
 * nothing had happened, so what was read before an invalidation that came and
 * went is installed. And since the counter belongs to the address space, who
 * faults waits for invalidations of ranges that are not his, and for ever if
 * these overlap one another. Mirrors are called for what does not concern them.
 */
#include "designs/valid_flag.h"

#include <errno.h>
#include <stdlib.h>

#include "designs/design.h"

struct valid_flag_mm {
	struct mirrors mirrors;
	bool counts;		/* valid_flag, not valid_bool */
	unsigned int active;	/* invalidations, under mirrors.lock */
};

static int create(struct design_mm **ret_mm, bool counts)
{
	struct valid_flag_mm *mm = calloc(1, sizeof(*mm));

	if (!mm)
		return -ENOMEM;
	mirrors_init(&mm->mirrors);
	mm->counts = counts;
	*ret_mm = (struct design_mm *)mm;
	return 0;
}

static int mm_create_flag(struct design_mm **ret_mm)
{
	return create(ret_mm, true);
}

static int mm_create_bool(struct design_mm **ret_mm)
{
	return create(ret_mm, false);
}

static void release(struct design_mm *mm)
{
	mirrors_end(&((struct valid_flag_mm *)mm)->mirrors);
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
	struct valid_flag_sub *sub = &dsub->as.valid_flag;
	struct valid_flag_mm *mm = (struct valid_flag_mm *)dmm;
	int ret;

	ret = mirrors_add(&mm->mirrors, &sub->mirror, start, length, client);
	if (ret)
		return ret;
	mutex_lock(&mm->mirrors.lock);
	sub->mm = mm;
	sub->valid = !mm->active || !mm->counts;
	mutex_unlock(&mm->mirrors.lock);
	return 0;
}

static void remove_sub(struct design_sub *dsub)
{
	struct valid_flag_sub *sub = &dsub->as.valid_flag;

	mirrors_remove(&sub->mm->mirrors, &sub->mirror);
}

static unsigned long read_begin(struct design_sub *dsub)
{
	struct valid_flag_sub *sub = &dsub->as.valid_flag;

	mutex_lock(&sub->mm->mirrors.lock);
	while (!sub->valid)
		mirrors_wait(&sub->mm->mirrors);
	mutex_unlock(&sub->mm->mirrors.lock);
	return 0;
}

static bool read_retry(struct design_sub *dsub, unsigned long seq)
{
	struct valid_flag_sub *sub = &dsub->as.valid_flag;
	bool valid;

	mutex_lock(&sub->mm->mirrors.lock);
	valid = sub->valid;
	mutex_unlock(&sub->mm->mirrors.lock);
	return !valid;
}

static void set_seq(struct design_sub *dsub, unsigned long cur_seq)
{
}

static void set_valid(struct valid_flag_mm *mm)
{
	struct mirror *mirror;

	for (mirror = mm->mirrors.first; mirror; mirror = mirror->next)
		((struct valid_flag_sub *)mirror)->valid = true;
	mirrors_wake(&mm->mirrors);
}

static void end_range(struct design_range *drange)
{
	struct valid_flag_mm *mm = drange->as.valid_flag.mm;

	mutex_lock(&mm->mirrors.lock);
	if (!--mm->active || !mm->counts)
		set_valid(mm);
	mutex_unlock(&mm->mirrors.lock);
}

static int start_range(struct design_range *drange, struct design_mm *dmm,
		       unsigned long start, unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner)
{
	struct valid_flag_mm *mm = (struct valid_flag_mm *)dmm;
	struct mirror *mirror;
	int ret = 0;
	bool ended;

	drange->as.valid_flag.mm = mm;
	mutex_lock(&mm->mirrors.lock);
	mm->active++;
	for (mirror = mm->mirrors.first; mirror; mirror = mirror->next)
		if (mirror_overlaps(mirror, start, end))
			((struct valid_flag_sub *)mirror)->valid = false;
	ended = mm->mirrors.ended;
	mutex_unlock(&mm->mirrors.lock);
	if (!ended)
		ret = mirrors_call(&mm->mirrors, start, end, blockable, event,
				   owner);
	if (ret)
		end_range(drange);
	return ret;
}

const struct uhmm_design uhmm_as_valid_flag = {
	.name = "valid_flag",
	.since = "2019, a flag and a counter",
	.sub_size = sizeof(struct valid_flag_sub),
	.mm_create = mm_create_flag,
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

const struct uhmm_design uhmm_as_valid_bool = {
	.name = "valid_bool",
	.since = "2019, the flag alone",
	.sub_size = sizeof(struct valid_flag_sub),
	.mm_create = mm_create_bool,
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
