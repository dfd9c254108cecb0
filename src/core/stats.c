/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Counters: each thread counts in its own block, who asks adds them up.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>

static void add(struct uhmm_mm_stats *sum, const struct thread_block *block)
{
	const struct counters *c = &block->counters;
	unsigned long longest = READ_ONCE(c->wait_longest_ns);

	for (unsigned int i = 0; i < BLOCK_SLOTS; i++)
		sum->starts += slot_numbers(READ_ONCE(block->slots[i].word));
	sum->starts += READ_ONCE(c->earlier) - READ_ONCE(c->walks);
	sum->hits += READ_ONCE(c->hits);
	sum->refusals += READ_ONCE(c->refusals);
	sum->retries += READ_ONCE(c->retries);
	sum->waits += READ_ONCE(c->waits);
	if (longest > sum->wait_longest_ns)
		sum->wait_longest_ns = longest;
}

int uhmm_mm_get_stats(struct mm_struct *mm, struct uhmm_mm_stats *ret_stats)
{
	struct uhmm_mm_stats sum = { 0 };
	struct thread_block *block;

	if (!mm || !ret_stats)
		return -EINVAL;
	for_each_block(block, mm) {
		add(&sum, block);
		sum.thread_blocks++;
	}
	sum.reserves = READ_ONCE(mm->reserves);
	sum.reserves_lost = READ_ONCE(mm->reserves_lost);
	sum.subscriptions = READ_ONCE(mm->index.count);
	*ret_stats = sum;
	return 0;
}

int uhmm_mm_print_stats(struct mm_struct *mm, char *buf, size_t size)
{
	struct uhmm_mm_stats s;

	if (!mm || (!buf && size))
		return -EINVAL;
	uhmm_mm_get_stats(mm, &s);
	return snprintf(buf, size,
			"starts %lu\nhits %lu\nrefusals %lu\nretries %lu\n"
			"waits %lu\nwait_longest_ns %lu\nreserves %lu\n"
			"reserves_lost %lu\nsubscriptions %lu\n"
			"thread_blocks %lu\n",
			s.starts, s.hits, s.refusals, s.retries, s.waits,
			s.wait_longest_ns, s.reserves, s.reserves_lost,
			s.subscriptions, s.thread_blocks);
}
