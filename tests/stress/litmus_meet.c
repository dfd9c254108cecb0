/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Two sides meet: each must see the other, or be seen by it.
 */
#include "litmus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct mmu_interval_notifier sub;
static struct mmu_notifier_range range;
static unsigned long pte;		/* what the invalidation changes */
static int called, gone, in_callback;
static unsigned long got_seq, got_pte;
static bool got;

/* ------------------------------------------------------- insert and first read
 * A read that began before the start was announced sees the page table as it
 * was, and then has to hear of it.
 */
static bool count_call(struct mmu_interval_notifier *s,
		       const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	say(&called, 1);
	return true;
}

static const struct mmu_interval_notifier_ops counting = {
	.invalidate = count_call,
};

static void insert_before(void)
{
	WRITE_ONCE(pte, 0);
	called = 0;
	memset(&sub, 0, sizeof(sub));
}

static void insert_and_read(void)
{
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &counting);
	got = !uhmm_interval_read_begin_timeout(&sub, 0, &got_seq);
	got_pte = READ_ONCE(pte);
}

static void change_pte(void)
{
	litmus_start(&range, 0, 1);
	WRITE_ONCE(pte, 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void insert_after(void)
{
	if (got && !mmu_interval_read_retry(&sub, got_seq) && !got_pte)
		forbidden("an old page table is used");
	mmu_interval_notifier_remove(&sub);
}

/* The same, read by another thread than inserted. */
static int inserted;

static void insert_only(void)
{
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &counting);
	smp_store_release(&inserted, 1);
}

static void read_only(void)
{
	while (!smp_load_acquire(&inserted))
		cpu_relax();
	got = !uhmm_interval_read_begin_timeout(&sub, 0, &got_seq);
	got_pte = READ_ONCE(pte);
}

static void insert_only_before(void)
{
	insert_before();
	inserted = 0;
}

/* A read of one that stays, between two changes. */
static void stay_begin(void)
{
	litmus_make_mm();
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &counting);
}

static void stay_end(void)
{
	mmu_interval_notifier_remove(&sub);
	litmus_end_mm();
}

static unsigned long stay_old;

static void stay_before(void)
{
	stay_old = pte;
}

static void stay_read(void)
{
	got_seq = mmu_interval_read_begin(&sub);
	got_pte = READ_ONCE(pte);
}

static void stay_change(void)
{
	litmus_start(&range, 0, 1);
	WRITE_ONCE(pte, pte + 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void stay_after(void)
{
	if (!mmu_interval_read_retry(&sub, got_seq) && got_pte == stay_old)
		forbidden("an old page table is used");
	uhmm_interval_unreserve(&sub);
}

/* ------------------------------------------------------------- remove and start */

static bool call_while_there(struct mmu_interval_notifier *s,
			     const struct mmu_notifier_range *r,
			     unsigned long seq)
{
	if (seen(&gone))
		forbidden("called after remove returned");
	say(&in_callback, 1);
	mmu_interval_set_seq(s, seq);
	litmus_spin(litmus_random(300));
	if (seen(&gone))
		forbidden("remove returned while the callback ran");
	say(&in_callback, 0);
	return true;
}

static const struct mmu_interval_notifier_ops there = {
	.invalidate = call_while_there,
};

static void remove_before(void)
{
	say(&gone, 0);
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &there);
}

static void remove_it(void)
{
	mmu_interval_notifier_remove(&sub);
	say(&gone, 1);
}

static void start_and_end(void)
{
	litmus_start(&range, 0, 1);
	mmu_notifier_invalidate_range_end(&range);
}

/* ------------------------------------------------------ list notifiers and start */

static struct mmu_notifier list;
static unsigned long list_pte;
static int list_open;

static int list_called(struct mmu_notifier *n,
		       const struct mmu_notifier_range *r)
{
	if (seen(&gone))
		forbidden("called after unregister returned");
	say(&called, 1);
	say(&list_open, seen(&list_open) + 1);
	litmus_spin(litmus_random(200));
	if (seen(&gone))
		forbidden("unregister returned while the callback ran");
	return 0;
}

static void list_ended(struct mmu_notifier *n,
		       const struct mmu_notifier_range *r)
{
	if (seen(&gone))
		forbidden("an end after unregister returned");
	if (!seen(&list_open))
		forbidden("an end without a start");
	say(&list_open, seen(&list_open) - 1);
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = list_called,
	.invalidate_range_end = list_ended,
};

static void register_before(void)
{
	WRITE_ONCE(list_pte, 0);
	called = gone = list_open = 0;
	memset(&list, 0, sizeof(list));
	list.ops = &list_ops;
}

static void register_and_look(void)
{
	mmu_notifier_register(&list, litmus_mm);
	got_pte = READ_ONCE(list_pte);
}

static void change_list_pte(void)
{
	litmus_start(&range, 0, 1);
	WRITE_ONCE(list_pte, 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void register_after(void)
{
	if (!got_pte && !called)
		forbidden("registered, and a change is not told");
	mmu_notifier_unregister(&list, litmus_mm);
}

static void unregister_before(void)
{
	register_before();
	mmu_notifier_register(&list, litmus_mm);
}

static void unregister(void)
{
	mmu_notifier_unregister(&list, litmus_mm);
	say(&gone, 1);
}

/* ------------------------------------------------------------------ the index
 * One is always there, and always has to be found, while others come and go
 * around it and nodes are split, given up and used again.
 */
#define CROWD 700

static struct mmu_interval_notifier crowd[CROWD];
static bool crowd_there[CROWD];
static int resident_calls;

static bool call_resident(struct mmu_interval_notifier *s,
			  const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	resident_calls++;
	return true;
}

static const struct mmu_interval_notifier_ops resident = {
	.invalidate = call_resident,
};

static void crowd_begin(void)
{
	litmus_make_mm();
	memset(&sub, 0, sizeof(sub));
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(500), 4096, &resident);
}

static void crowd_end(void)
{
	for (unsigned int i = 0; i < CROWD; i++)
		if (crowd_there[i])
			mmu_interval_notifier_remove(&crowd[i]);
	stay_end();
}

static bool ignore(struct mmu_interval_notifier *s,
		   const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	return true;
}

static const struct mmu_interval_notifier_ops passer_by = {
	.invalidate = ignore,
};

/* In waves, so that the tree grows and shrinks. */
static void crowd_moves(void)
{
	static bool in = true;
	unsigned int i;

	for (unsigned int n = 0; n < 200; n++) {
		i = litmus_random(CROWD);
		if (crowd_there[i] && (!in || !litmus_random(8))) {
			mmu_interval_notifier_remove(&crowd[i]);
			crowd_there[i] = false;
		} else if (!crowd_there[i] && in) {
			mmu_interval_notifier_insert(
				&crowd[i], litmus_mm,
				PG(400) + litmus_random(200) * 4096UL, 4096,
				&passer_by);
			crowd_there[i] = true;
		}
	}
	if (!litmus_random(20))
		in = !in;
}

static void find_resident(void)
{
	struct mmu_notifier_range r;

	for (unsigned int n = 0; n < 100; n++) {
		resident_calls = 0;
		litmus_start(&r, 500 - litmus_random(3), 4);
		if (resident_calls != 1)
			forbidden("one that is there is not called once");
		mmu_notifier_invalidate_range_end(&r);
	}
}

/* ---------------------------------------------------- remove_async and release */

static int removed;

static void count_removed(struct mmu_interval_notifier *s)
{
	say(&removed, seen(&removed) + 1);
}

static const struct mmu_interval_notifier_ops going = {
	.invalidate = ignore,
	.uhmm_removed = count_removed,
};

static void async_before(void)
{
	removed = 0;
	memset(&sub, 0, sizeof(sub));
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &going);
}

static void async_remove(void)
{
	uhmm_interval_notifier_remove_async(&sub);
}

static void only_start(void)
{
	litmus_start(&range, 0, 1);
}

static void async_after(void)
{
	if (removed != 1)
		forbidden("nobody can call it, and its removal is not told once");
	mmu_notifier_invalidate_range_end(&range);
}

static int heard_release;

static bool hear_release(struct mmu_interval_notifier *s,
			 const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	if (seen(&heard_release))
		forbidden("called after RELEASE");
	if (r->event == MMU_NOTIFY_RELEASE)
		say(&heard_release, 1);
	return true;
}

static const struct mmu_interval_notifier_ops hearing = {
	.invalidate = hear_release,
};

static void release_before(void)
{
	litmus_make_mm();
	mmgrab(litmus_mm);
	heard_release = 0;
	memset(&sub, 0, sizeof(sub));
	mmu_interval_notifier_insert(&sub, litmus_mm, PG(0), 4096, &hearing);
}

static void release_after(void)
{
	if (!heard_release)
		forbidden("RELEASE did not come");
	mmu_interval_notifier_remove(&sub);
	mmdrop(litmus_mm);
}

/* ----------------------------------------------------------------- tagged ones
 * The check that begins after start has returned fails; who sees it fail sees
 * what led to it.
 */
static unsigned long tag;
static int started;
static unsigned long reason;		/* plain: the stamp has to order it */

static void tagged_begin(void)
{
	litmus_make_mm();
	memset(&sub, 0, sizeof(sub));
	uhmm_interval_notifier_insert_tagged(&sub, litmus_mm, PG(0), 4096);
}

static void tagged_before(void)
{
	tag = mmu_interval_read_begin(&sub);
	started = 0;
	reason = 0;
}

static void tagged_start(void)
{
	reason = 1;
	litmus_start(&range, 0, 1);
	smp_store_release(&started, 1);
	mmu_notifier_invalidate_range_end(&range);
}

static void tagged_check(void)
{
	int before = smp_load_acquire(&started);

	if (!uhmm_interval_tag_valid(&sub, tag)) {
		if (!reason)
			forbidden("a tag is bad, and the reason is not seen");
	} else if (before) {
		forbidden("a tag is valid after start returned");
	}
}

const struct litmus meeting_litmus[] = {
	{ "insert and its first read meet a start", litmus_make_mm,
	  insert_before, insert_and_read, change_pte, NULL, insert_after,
	  litmus_end_mm, false, false },
	{ "an insert and another thread's read meet a start", litmus_make_mm,
	  insert_only_before, insert_only, change_pte, read_only, insert_after,
	  litmus_end_mm, false, false },
	{ "a read meets a start", stay_begin, stay_before, stay_read,
	  stay_change, NULL, stay_after, stay_end, false, false },
	{ "remove meets a start", litmus_make_mm, remove_before, remove_it,
	  start_and_end, NULL, NULL, litmus_end_mm, false, false },
	{ "register meets a start", litmus_make_mm, register_before,
	  register_and_look, change_list_pte, NULL, register_after,
	  litmus_end_mm, false, false },
	{ "unregister meets a start", litmus_make_mm, unregister_before,
	  unregister, start_and_end, NULL, NULL, litmus_end_mm, false, false },
	{ "a search meets writers of the index", crowd_begin, NULL,
	  find_resident, crowd_moves, NULL, NULL, crowd_end, true, false },
	{ "an asynchronous remove meets a start", litmus_make_mm, async_before,
	  async_remove, only_start, NULL, async_after, litmus_end_mm, false,
	  false },
	{ "the end of the address space meets a start", NULL, release_before,
	  litmus_end_mm, start_and_end, NULL, release_after, NULL, false,
	  false },
	{ "a tag is checked beside a start", tagged_begin, tagged_before,
	  tagged_check, tagged_start, NULL, NULL, stay_end, false, false },
	{ 0 },
};
