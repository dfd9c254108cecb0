/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker: address spaces, invalidations, callbacks, locks. The
 * rules and what they cannot see stand in <uhmm/check.h>, subscriptions and
 * reads in check_sub.c, what is remembered in check_records.c.
 *
 * A callback is judged when it is over: by what invalidate_seq of each
 * subscription is then, by its answer, and by whether its thread slept. A
 * callback that runs beside it may have overwritten the number with its own,
 * so all numbers are remembered that were given to callbacks of a subscription
 * while one that still runs was running.
 */
#include "check_records.h"

#include <errno.h>
#include <stdlib.h>

__thread struct check_thread check_thread;

static bool blockable(const struct check_call *call)
{
	return mmu_notifier_range_blockable(call->range);
}

/* Is this thread in a callback of @mm? NULL: of any. The innermost. */
static struct check_call *in_callback(const struct mm_struct *mm)
{
	struct check_call *call = check_thread.call;

	while (call && mm && call->mm != mm)
		call = call->outer;
	return call;
}

/* The innermost callback that must not sleep. */
static struct check_call *must_not_sleep(void)
{
	struct check_call *call = check_thread.call;

	while (call && blockable(call))
		call = call->outer;
	return call;
}

long check_aside_begin(void)
{
	return check_thread.call ? sync_thread_sleeps() : 0;
}

void check_aside_end(long sleeps)
{
	struct check_call *call = check_thread.call;

	if (!call)
		return;
	sleeps = sync_thread_sleeps() - sleeps;
	for (; call; call = call->outer)
		call->sleeps += sleeps;
}

/* ------------------------------------------------------- address spaces, fork */

int check_mm_init(struct mm_struct *mm)
{
	/* It also says whether to abort. */
	check_wanted();
	mm->check = calloc(1, sizeof(*mm->check));
	if (!mm->check)
		return -ENOMEM;
	sync_keep(mm->check, sizeof(*mm->check));
	check_records_join();
	return 0;
}

/* An invalidation that nobody ended: true. */
static bool report_left_open(struct mm_struct *mm)
{
	struct check_finding finding = {
		.mm = mm,
		.at_what = "the invalidation was started",
	};
	struct check_bracket *bracket;
	unsigned long start, end;

	spin_lock(&check_lock);
	bracket = check_bracket_any(mm);
	if (bracket) {
		finding.at = bracket->started;
		start = bracket->start;
		end = bracket->end;
		check_bracket_close(bracket);
	}
	spin_unlock(&check_lock);
	if (!bracket)
		return false;
	check_report(UHMM_RULE_END, &finding,
		     "the address space is freed, and the invalidation of "
		     "[0x%lx, 0x%lx) was never ended", start, end);
	return true;
}

void check_mm_destroy(struct mm_struct *mm)
{
	while (report_left_open(mm))
		;
	check_records_leave(mm);
	sync_unkeep(mm->check, sizeof(*mm->check));
	free(mm->check);
}

void check_fork_prepare(void) __no_context_analysis
{
	spin_lock(&check_lock);
}

void check_fork_parent(void) __no_context_analysis
{
	spin_unlock(&check_lock);
}

void check_fork_child(void) __no_context_analysis
{
	check_records_fork();
	spin_lock_init(&check_lock);
}

/* ----------------------------------------------------------- start and end */

void check_start(const struct mmu_notifier_range *range, unsigned long id,
		 const void *from)
{
	struct check_bracket *bracket;

	if (mmu_notifier_range_blockable(range))
		check_might_sleep("mmu_notifier_invalidate_range_start", from);
	if (check_lock_records(1)) {
		bracket = check_bracket_open(range->mm, id);
		bracket->start = range->start;
		bracket->end = range->end;
		bracket->started = from;
	}
	spin_unlock(&check_lock);
}

void check_end(const struct mmu_notifier_range *range, unsigned long id,
	       const void *from)
{
	struct check_finding finding = {
		.mm = range->mm,
		.at = from,
		.other_what = "the invalidation was started",
	};
	struct check_bracket *bracket;
	unsigned long start, end;

	spin_lock(&check_lock);
	bracket = check_bracket_find(range->mm, id);
	if (bracket) {
		finding.other = bracket->started;
		start = bracket->start;
		end = bracket->end;
		bracket->ended = from;
		bracket->refused = !from;
		check_bracket_close(bracket);
	}
	spin_unlock(&check_lock);
	if (!bracket || (start == range->start && end == range->end))
		return;
	check_report(UHMM_RULE_END, &finding,
		     "start was of [0x%lx, 0x%lx), end is of [0x%lx, 0x%lx)",
		     start, end, range->start, range->end);
}

void check_end_without_start(const struct mmu_notifier_range *range,
			     const void *from)
{
	struct check_finding finding = { .mm = range->mm, .at = from };
	const char *what = "end of an invalidation that was not started";
	struct check_bracket *over;
	bool forked = false;

	/* Start refused these as well, and the end of them does nothing. */
	if (!range->mm || range->start >= range->end ||
	    !mm_checked(range->mm))
		return;
	spin_lock(&check_lock);
	over = check_bracket_closed(range->mm, SLOT_ID(range->id));
	if (over && over->refused) {
		what = "end of an invalidation that was refused";
		finding.other_what = "it was started";
		finding.other = over->started;
	} else if (over) {
		what = "end of an invalidation that has ended";
		finding.other_what = "it was ended";
		finding.other = over->ended;
		forked = over->forked;
	}
	spin_unlock(&check_lock);
	if (!forked)
		check_report(UHMM_RULE_END, &finding, "%s", what);
}

/* --------------------------------------------------------------- callbacks */

static const void *callback_of(const struct mmu_interval_notifier_ops *ops)
{
	if (ops->invalidate)
		return (const void *)ops->invalidate;
	if (ops->invalidate_start)
		return (const void *)ops->invalidate_start;
	return (const void *)ops->uhmm_invalidate_batch;
}

static void finding_of(const struct check_call *call,
		       const struct mmu_interval_notifier *sub,
		       struct check_finding *finding)
{
	finding->mm = call->mm;
	finding->subscription = sub ? (const void *)sub : call->list;
	finding->at = call->fn;
	finding->at_what = "the callback";
	finding->other = call->from;
	finding->other_what = call->range->event == MMU_NOTIFY_RELEASE ?
		NULL : "the invalidation was started";
}

/* All but the subscriptions. */
static void call_init(struct check_call *call, struct mm_struct *mm,
		      const struct mmu_notifier_range *range, unsigned long id,
		      const void *fn)
{
	struct check_bracket *bracket;

	call->mm = mm;
	call->range = range;
	call->id = id;
	call->fn = fn;
	call->n = 0;
	call->list = NULL;
	call->slept = false;
	spin_lock(&check_lock);
	bracket = check_bracket_find(mm, id);
	call->from = bracket ? bracket->started : NULL;
	spin_unlock(&check_lock);
}

static void call_enter(struct check_call *call)
{
	call->outer = check_thread.call;
	check_thread.call = call;
	call->sleeps = blockable(call) ? 0 : sync_thread_sleeps();
}

static void call_leave(struct check_call *call)
{
	bool slept = !blockable(call) && sync_thread_sleeps() != call->sleeps;
	struct check_finding finding;

	check_thread.call = call->outer;
	if (!slept || call->slept)
		return;
	finding_of(call, call->n ? sub_of(call->hits[0]) : NULL, &finding);
	/* Those around it slept too, but by no fault of theirs. */
	for (struct check_call *o = call->outer; o; o = o->outer)
		o->slept = true;
	check_report(UHMM_RULE_SLEEP, &finding,
		     "a callback slept, and its range is not blockable");
}

/* Whoever invalidates holds the lock that the callback is going to take. */
static void check_not_locked(const struct check_call *call,
			     const struct mmu_interval_notifier *sub)
{
	struct check_finding finding;
	struct check_sub *rec;
	bool held;

	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	held = rec && rec->lock && check_user_lock_held(rec->lock);
	spin_unlock(&check_lock);
	if (!held)
		return;
	finding_of(call, sub, &finding);
	finding.at = call->from;
	finding.at_what = "the invalidation was started";
	finding.other = call->fn;
	finding.other_what = "the callback";
	check_report(UHMM_RULE_LOCK_ORDER, &finding,
		     "an invalidation is started with user_lock held, which "
		     "its callback takes");
}

void check_call_begin(struct check_call *call, struct mm_struct *mm,
		      const struct mmu_notifier_range *range, unsigned long id,
		      struct uhmm_interval_node *const *hits, unsigned int n)
{
	const struct mmu_interval_notifier_ops *ops = sub_of(hits[0])->ops;
	struct check_sub *rec;
	unsigned int i = 1;

	while (ops->uhmm_invalidate_batch && i < n &&
	       sub_of(hits[i])->ops == ops)
		i++;
	call_init(call, mm, range, id, callback_of(ops));
	call->hits = hits;
	call->n = i;
	if (check_lock_records(call->n)) {
		call->stamp = check_stamp();
		for (i = 0; i < call->n; i++) {
			rec = check_sub_find(sub_of(hits[i]));
			call->before[i] =
				READ_ONCE(sub_of(hits[i])->invalidate_seq);
			if (rec)
				check_deliver(rec, id, call->stamp);
		}
	} else {
		call->n = 0;
	}
	spin_unlock(&check_lock);
	for (i = 0; i < call->n; i++)
		check_not_locked(call, sub_of(hits[i]));
	call_enter(call);
}

/* Did the callback leave the right number in @hits[i]? */
static void check_number(const struct check_call *call, unsigned int i, bool ok)
{
	struct mmu_interval_notifier *sub = sub_of(call->hits[i]);
	unsigned long now = READ_ONCE(sub->invalidate_seq);
	struct check_finding finding;
	struct check_sub *rec;
	bool fine;

	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	fine = !rec || now == call->id ||
	       check_delivered_beside(rec, now, call->stamp);
	if (rec)
		check_delivered(rec, call->id);
	spin_unlock(&check_lock);
	if (fine)
		return;
	finding_of(call, sub, &finding);
	if (now != call->before[i])
		check_report(UHMM_RULE_SET_SEQ_WRONG, &finding,
			     "a callback got number %lu and set %lu", call->id,
			     now);
	/* One that refused, or an owner who leaves his own alone, need not. */
	else if (ok && !call->range->owner)
		check_report(UHMM_RULE_SET_SEQ_MISSING, &finding,
			     "a callback did not set number %lu", call->id);
}

void check_call_end(struct check_call *call, bool ok)
{
	struct check_finding finding;

	call_leave(call);
	for (unsigned int i = 0; i < call->n; i++)
		check_number(call, i, ok);
	if (ok || !blockable(call))
		return;
	finding_of(call, sub_of(call->hits[0]), &finding);
	check_report(UHMM_RULE_REFUSAL, &finding,
		     "a callback refused a range that is blockable");
}

void check_finish_begin(struct check_call *call, struct mm_struct *mm,
			const struct mmu_notifier_range *range,
			unsigned long id, const void *fn)
{
	call_init(call, mm, range, id, fn);
	call_enter(call);
}

void check_finish_end(struct check_call *call)
{
	call_leave(call);
}

void check_list_begin(struct check_call *call,
		      const struct mmu_notifier_range *range,
		      const struct mmu_notifier *subscription, const void *fn)
{
	call_init(call, range->mm, range, SLOT_ID(range->id), fn);
	call->list = subscription;
	call_enter(call);
}

void check_list_end(struct check_call *call, int ret)
{
	struct check_finding finding;

	call_leave(call);
	if (!ret)
		return;
	finding_of(call, NULL, &finding);
	if (blockable(call))
		check_report(UHMM_RULE_REFUSAL, &finding,
			     "invalidate_range_start returned %d for a range "
			     "that is blockable", ret);
	else if (ret != -EAGAIN)
		check_report(UHMM_RULE_REFUSAL, &finding,
			     "invalidate_range_start refused by %d, not -EAGAIN",
			     ret);
	else if (call->list->ops->invalidate_range_end)
		check_report(UHMM_RULE_REFUSAL, &finding,
			     "invalidate_range_start refused, and there is "
			     "invalidate_range_end, which is called all the same");
}

/* ---------------------------------------------------- what may sleep, or wait */

__warm void check_might_sleep(const char *what, const void *from)
{
	struct check_call *call = must_not_sleep();
	struct check_finding finding;

	if (likely(!call) || call->slept)
		return;
	finding_of(call, call->n ? sub_of(call->hits[0]) : NULL, &finding);
	finding.at = from;
	finding.at_what = "called";
	finding.other = call->fn;
	finding.other_what = "in the callback";
	for (; call; call = call->outer)
		call->slept = true;
	check_report(UHMM_RULE_SLEEP, &finding,
		     "%s may sleep, and the range is not blockable", what);
}

void uhmm_might_sleep(void)
{
	check_might_sleep("the driver", CHECK_FROM);
}

bool check_may_wait(struct mm_struct *mm, const char *what, const void *from)
{
	struct check_call *call = in_callback(mm);
	struct check_finding finding;

	if (likely(!call)) {
		check_might_sleep(what, from);
		return true;
	}
	finding_of(call, call->n ? sub_of(call->hits[0]) : NULL, &finding);
	finding.at = from;
	finding.at_what = "called";
	finding.other = call->fn;
	finding.other_what = "in the callback";
	check_report(UHMM_RULE_IN_CALLBACK, &finding,
		     "%s in a callback of the same address space", what);
	return false;
}

/* ------------------------------------------------------------------- locks */

void check_holds_user_lock(struct mm_struct *mm, const void *subscription,
			   const char *what, const void *from)
{
	struct check_finding finding = {
		.mm = mm,
		.subscription = subscription,
		.at = from,
		.other_what = "that user_lock was registered",
	};
	struct check_user_lock *l;

	spin_lock(&check_lock);
	l = check_user_lock_next(mm, NULL);
	while (l && !check_user_lock_held(l))
		l = check_user_lock_next(mm, l);
	if (l)
		finding.other = l->from;
	spin_unlock(&check_lock);
	if (l)
		check_report(UHMM_RULE_LOCK_ORDER, &finding,
			     "%s with a user_lock held", what);
}

/* In a callback, which may be called with mmap_lock held, too. */
void check_order(struct mm_struct *mm, const void *subscription,
		 const char *what, const void *from)
{
	struct check_call *call = in_callback(mm);
	struct check_finding finding;

	if (!call) {
		check_holds_user_lock(mm, subscription, what, from);
		return;
	}
	/* That it may sleep has been said already. */
	if (call->slept)
		return;
	finding_of(call, call->n ? sub_of(call->hits[0]) : NULL, &finding);
	finding.at = from;
	finding.at_what = "called";
	finding.other = call->fn;
	finding.other_what = "in the callback";
	check_report(UHMM_RULE_LOCK_ORDER, &finding, "%s in a callback", what);
}

void check_mmap_lock(struct mm_struct *mm, const void *from)
{
	check_order(mm, NULL, "mmap_lock is taken", from);
}

void check_mmap_not_held(struct mm_struct *mm, const char *how,
			 const void *from)
{
	struct check_finding finding = { .mm = mm, .at = from };

	check_report(UHMM_RULE_LOCK_ORDER, &finding,
		     "mmap_lock is not %s", how);
}
