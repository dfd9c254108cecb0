/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Removers, readers and walkers, and starts that stand still. */
#include "interleave.h"

#include <stdlib.h>

#include "core/internal.h"

/* ------------------------------------------------------------------ gates */

static bool inside[CROWD], open_gate[CROWD];

static bool call_at_gate(struct mmu_interval_notifier *sub,
			 const struct mmu_notifier_range *r, unsigned long seq)
{
	smp_store_release(&inside[sub - subs], true);
	await(&open_gate[sub - subs], "a gate is not opened");
	return count_call(sub, r, seq);
}

static const struct mmu_interval_notifier_ops gated = {
	.invalidate = call_at_gate,
};

/* ------------------------------------------------------------ one that is called */

static bool in_call;

static bool stand_in_call(struct mmu_interval_notifier *sub,
			  const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(sub, seq);
	smp_store_release(&in_call, true);
	pause_here("in a callback");
	smp_store_release(&in_call, false);
	return true;
}

static const struct mmu_interval_notifier_ops standing_ops = {
	.invalidate = stand_in_call,
};

static void remove_first(void)
{
	mmu_interval_notifier_remove(&subs[0]);
	if (smp_load_acquire(&in_call))
		forbidden("remove returned while the callback ran");
}

static void remove_waits_for_its_callback(void)
{
	insert(1, 10);
	insert_with(0, 20, &standing_ops);
	begin_victim(&job, start_ten, "in a callback", 0);
	begin(&other, remove_first);
	nap();
	let_victim_go(&job);
	finish(&other);
}

/*
 * A remover has seen that nothing searches in a slot; then a search begins
 * there, which does not find it, and would wake nobody.
 */
static void a_remove_waits_for_no_later_search(void)
{
	struct thread_block *block;
	struct slot *slot;
	unsigned long id;

	/* So that this thread has a slot; the remover's own is looked at first. */
	start_range(500, 1);
	end_range();
	insert(0, 10);
	begin_victim(&job, remove_first, "before a look", 1);
	slot = slot_get(mm, true, &block, &id);
	slot_announce(mm, slot, id, PG(10), PG(11) - 1, 0);
	let_victim_go(&job);
	slot_leave_index(slot, id | SLOT_CALLED);
	slot_end(slot, id);
}

/* A read between its waiting and its verdict: the verdict is about that wait. */
static unsigned long seq;

static void read_begin(void)
{
	seq = mmu_interval_read_begin(&subs[0]);
}

static void a_verdict_is_about_its_own_wait(void)
{
	insert(0, 10);
	start_range(10, 1);
	end_range();
	begin_victim(&job, read_begin, "before the verdict", 0);
	start_range(10, 1);
	let_victim_go(&job);
	if (!uhmm_interval_read_begin_timeout(&subs[0], 0, &seq))
		forbidden("a read does not wait for what is open");
	end_range();
}

/* A sleeper that has looked and does not sleep yet, while the range ends. */
static void a_wake_is_not_lost(void)
{
	insert(0, 10);
	start_range(10, 1);
	begin_victim(&job, read_begin, "before a sleep", 0);
	end_range();
	let_victim_go(&job);
}

/* --------------------------------------------------- how far a start has come
 * Four are called, the last two of them, which start at the same address, were
 * inserted first. A remover of the last one has read half of the cursor of the
 * second, when the start goes on to the third.
 */
static void remove_last(void)
{
	remove_sub(3);
}

static void the_cursor_is_read_in_order(void)
{
	static const unsigned int pages[] = { 30, 30, 10, 20 };
	static const unsigned int place[] = { 2, 3, 0, 1 };

	for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++)
		insert_with(place[i], pages[i], &gated);
	open_gate[0] = open_gate[3] = true;
	begin(&other, start_ten);
	await(&inside[1], "the second is not called");
	begin_victim(&job, remove_last, "in the cursor", 0);
	smp_store_release(&open_gate[1], true);
	await(&inside[2], "the third is not called");
	let_go_of_victim();
	nap();
	smp_store_release(&open_gate[2], true);
	finish(&job);
	finish(&other);
}

/* Those of the first batch are called when the second one begins. */
static unsigned int batch;

static void remove_last_of_batch(void)
{
	remove_sub(batch - 1);
}

/* The first of the second batch is at a gate. */
static void a_batch_is_behind_it(void)
{
	insert_all();
	batch = called_before_resume();
	mmu_interval_notifier_remove(&subs[batch]);
	insert_with(batch, batch, &gated);
	if (called_before_resume() != batch)
		abort();
	begin(&job, start_all);
	await(&inside[batch], "the second batch does not come");
	begin(&other, remove_last_of_batch);
	finish(&other);
	smp_store_release(&open_gate[batch], true);
	finish(&job);
}

/* ----------------------------------------------------- asynchronous removals */

static bool removed;

static void is_removed(struct mmu_interval_notifier *sub)
{
	smp_store_release(&removed, true);
}

static const struct mmu_interval_notifier_ops leaving = {
	.invalidate = call_at_gate,
	.uhmm_removed = is_removed,
};

static void start_first(void)
{
	start_range(10, 1);
	end_range();
}

/* Removed in its callback, and a start that came later calls another. */
static void later_starts_keep_nobody(void)
{
	insert_with(0, 10, &leaving);
	insert_with(1, 11, &gated);
	begin(&job, start_first);
	await(&inside[0], "the first is not called");
	uhmm_interval_notifier_remove_async(&subs[0]);
	begin(&other, start_ten);
	await(&inside[1], "the second is not called");
	smp_store_release(&open_gate[0], true);
	finish(&job);
	await(&removed, "one that nobody can call is kept");
	smp_store_release(&open_gate[1], true);
	finish(&other);
}

/* ---------------------------------------------------- the end of a thread's walk */

static bool called_list;

static int list_start_cb(struct mmu_notifier *n,
			 const struct mmu_notifier_range *r)
{
	smp_store_release(&called_list, true);
	pause_here("in a list callback");
	smp_store_release(&called_list, false);
	return 0;
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = list_start_cb,
};

static struct mmu_notifier list = { .ops = &list_ops };

static void unregister(void)
{
	mmu_notifier_unregister(&list, mm);
	if (smp_load_acquire(&called_list))
		forbidden("unregister returned while the callback ran");
}

static void unregister_waits_for_its_callback(void)
{
	mmu_notifier_register(&list, mm);
	begin_victim(&job, start_ten, "in a list callback", 0);
	begin(&other, unregister);
	nap();
	let_victim_go(&job);
	finish(&other);
}

/* One that was put is being freed: synchronize waits for that, too. */
static struct mmu_notifier shared;
static bool freeing, free_on;

static struct mmu_notifier *make_shared(struct mm_struct *it)
{
	return &shared;
}

static void free_slowly(struct mmu_notifier *n)
{
	smp_store_release(&freeing, true);
	await(&free_on, "freed for ever");
}

static const struct mmu_notifier_ops shared_ops = {
	.alloc_notifier = make_shared,
	.free_notifier = free_slowly,
};

static void put_shared(void)
{
	mmu_notifier_put(&shared);
}

static void synchronize_waits_for_who_frees(void)
{
	if (mmu_notifier_get(&shared_ops, mm) != &shared)
		abort();
	begin(&job, put_shared);
	await(&freeing, "it is not freed");
	if (!uhmm_notifier_synchronize_timeout(0))
		forbidden("synchronize returned while one was being freed");
	smp_store_release(&free_on, true);
	finish(&job);
}

const struct interleaving call_cases[] = {
	{ "remove-waits", remove_waits_for_its_callback },
	{ "later-search", a_remove_waits_for_no_later_search },
	{ "verdict", a_verdict_is_about_its_own_wait },
	{ "wake", a_wake_is_not_lost },
	{ "cursor", the_cursor_is_read_in_order },
	{ "batch", a_batch_is_behind_it },
	{ "later-start", later_starts_keep_nobody },
	{ "unregister-waits", unregister_waits_for_its_callback },
	{ "freeing", synchronize_waits_for_who_frees },
	{ 0 },
};
