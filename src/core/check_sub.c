/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker: subscriptions and reads.
 *
 * In checked address spaces mmu_interval_read_begin() returns
 *
 *	63	SEQ_SLOW: so that no retry ends before the checker has seen it
 *	62	TAGGED: there is a tag
 *	61..48	tag: which subscription the number was read for
 *	47..0	invalidate_seq
 *
 * and of a subscription without callbacks, whose users compare it themselves,
 * the plain number.
 */
#include "check_records.h"

#include <errno.h>

#include "../sync/held.h"

#define TAGGED (1UL << 62)
#define TAG_SHIFT 48
/* A prime less than 1 << (62 - TAG_SHIFT). */
#define TAGS 16381UL

/* Those without are compared with the number by their users. */
static bool has_callbacks(const struct mmu_interval_notifier *sub)
{
	const struct mmu_interval_notifier_ops *ops = sub->ops;

	return ops->invalidate || ops->invalidate_start ||
	       ops->uhmm_invalidate_batch;
}

static unsigned long encode(const struct check_sub *rec, unsigned long seq)
{
	if (!rec || seq >> TAG_SHIFT)
		return seq | SEQ_SLOW;
	return seq | SEQ_SLOW | TAGGED | rec->tag % TAGS << TAG_SHIFT;
}

static unsigned long decode(unsigned long cookie)
{
	cookie &= ~SEQ_SLOW;
	return cookie & TAGGED ? cookie & ((1UL << TAG_SHIFT) - 1) : cookie;
}

/* ------------------------------------------------------- insert and remove */

/* A number that a callback got was set after the removal. */
static bool set_late(const struct check_sub *rec, unsigned long seq)
	__must_hold(&check_lock)
{
	unsigned int i;

	if (seq == rec->left)
		return false;
	for (i = 0; i < CHECK_IDS && i < rec->nids; i++)
		if (rec->ids[i] == seq)
			return true;
	return false;
}

int check_insert(struct mmu_interval_notifier *sub, struct mm_struct *mm,
		 unsigned long start, unsigned long last, const void *from)
{
	struct check_finding finding = {
		.mm = mm, .subscription = sub, .at = from,
	};
	bool twice = false, late = false;
	struct check_sub *rec;

	check_might_sleep("mmu_interval_notifier_insert", from);
	if (!check_lock_records(1))
		goto out_unlock;
	rec = check_sub_find(sub);
	twice = rec && rec->state != CHECK_REMOVED;
	late = rec && !twice && set_late(rec, READ_ONCE(sub->invalidate_seq));
	if (twice) {
		finding.other = rec->inserted;
		finding.other_what = "it was inserted";
		goto out_unlock;
	}
	if (late) {
		finding.other = rec->removed;
		finding.other_what = "it was removed";
	}
	rec = check_sub_add(sub);
	rec->mm = mm;
	rec->start = start;
	rec->last = last;
	rec->state = CHECK_INSERTED;
	rec->inserted = from;
out_unlock:
	spin_unlock(&check_lock);
	if (twice)
		check_report(UHMM_RULE_INSERT_REMOVE, &finding,
			     "a subscription is inserted that is inserted");
	if (late)
		check_report(UHMM_RULE_REMOVED, &finding,
			     "mmu_interval_set_seq() was called after the "
			     "removal, as this insert shows");
	return twice ? -EBUSY : 0;
}

/* NULL: it may be removed; or what is wrong. */
static const char *why_not_removed(const struct check_sub *rec,
				   struct check_finding *finding)
	__must_hold(&check_lock)
{
	if (!rec)
		return "a subscription is removed that is not inserted";
	finding->other = rec->removed;
	finding->other_what = "it was removed";
	if (rec->state == CHECK_REMOVED)
		return "a subscription is removed twice";
	if (rec->state == CHECK_REMOVING_ASYNC || rec->busy)
		return "a subscription is removed that is being removed";
	return NULL;
}

int check_remove(struct mmu_interval_notifier *sub, const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
	};
	const char *wrong = NULL;
	struct check_sub *rec;

	if (check_lock_records(0)) {
		rec = check_sub_find(sub);
		wrong = why_not_removed(rec, &finding);
	}
	spin_unlock(&check_lock);
	if (wrong) {
		check_report(UHMM_RULE_INSERT_REMOVE, &finding, "%s", wrong);
		return -EINVAL;
	}
	if (!check_may_wait(sub->mm, "mmu_interval_notifier_remove", from))
		return -EDEADLK;
	check_holds_user_lock(sub->mm, sub, "mmu_interval_notifier_remove",
			      from);
	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	if (rec) {
		rec->state = CHECK_REMOVING;
		rec->busy = true;
		rec->removed = from;
	}
	spin_unlock(&check_lock);
	return 0;
}

void check_remove_async(struct mmu_interval_notifier *sub, const void *from)
{
	struct check_sub *rec;

	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	if (rec) {
		rec->state = CHECK_REMOVING_ASYNC;
		rec->removed = from;
	}
	spin_unlock(&check_lock);
}

void check_removed(struct mmu_interval_notifier *sub, int ret)
{
	struct check_sub *rec;

	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	if (rec && ret) {
		rec->busy = false;
	} else if (rec) {
		rec->left = READ_ONCE(sub->invalidate_seq);
		check_sub_retire(rec);
	}
	spin_unlock(&check_lock);
}

void check_remove_unknown(struct mmu_interval_notifier *sub, const void *from)
{
	struct check_finding finding = { .subscription = sub, .at = from };

	if (check_records_used())
		check_report(UHMM_RULE_INSERT_REMOVE, &finding,
			     "a subscription is removed that was never "
			     "inserted");
}

/* ------------------------------------------------------------------- reads */

/* Is it called? */
static bool inserted(const struct check_sub *rec, struct check_finding *finding)
	__must_hold(&check_lock)
{
	if (rec && rec->state == CHECK_INSERTED)
		return true;
	finding->other = rec ? rec->removed : NULL;
	finding->other_what = "it was removed";
	return false;
}

static void report_removed(const struct check_finding *finding,
			   const char *what)
{
	check_report(UHMM_RULE_REMOVED, finding,
		     "%s of a subscription that is removed", what);
}

bool check_read_begin(struct mmu_interval_notifier *sub, bool for_ever,
		      const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
	};
	struct check_bracket *own = NULL;
	struct check_sub *rec;
	bool known = true;

	if (check_lock_records(0)) {
		rec = check_sub_find(sub);
		known = inserted(rec, &finding);
		if (known && for_ever)
			own = check_bracket_mine(sub->mm, rec->start,
						 rec->last);
		if (own)
			finding.other = own->started;
	}
	spin_unlock(&check_lock);
	if (!known) {
		report_removed(&finding, "mmu_interval_read_begin()");
		return false;
	}
	if (!check_may_wait(sub->mm, "mmu_interval_read_begin", from))
		return false;
	if (own) {
		finding.other_what = "the invalidation was started";
		check_report(UHMM_RULE_SELF_WAIT, &finding,
			     "mmu_interval_read_begin() waits for an "
			     "invalidation that this thread has open");
		return false;
	}
	check_holds_user_lock(sub->mm, sub, "mmu_interval_read_begin", from);
	return true;
}

unsigned long check_reading(struct mmu_interval_notifier *sub,
			    unsigned long seq, const void *from)
{
	struct check_reader *reader;
	struct check_sub *rec = NULL;

	seq &= ~SEQ_SLOW;
	if (!has_callbacks(sub))
		return seq;
	if (check_lock_records(1))
		rec = check_sub_find(sub);
	if (rec) {
		reader = check_reader_get(rec);
		reader->begun = from;
		reader->good = false;
	}
	seq = encode(rec, seq);
	spin_unlock(&check_lock);
	return seq;
}

/*
 * While it is being removed a read that collided may still end, but none may
 * be taken for good: nobody is told any more when it is not.
 */
static bool may_retry(const struct check_sub *rec,
		      const struct mmu_interval_notifier *sub,
		      unsigned long cookie, bool final,
		      struct check_finding *finding)
	__must_hold(&check_lock)
{
	if (rec && rec->state != CHECK_REMOVED &&
	    (!final || READ_ONCE(sub->invalidate_seq) != decode(cookie)))
		return true;
	return inserted(rec, finding);
}

/* Is @cookie from read_begin of @sub? Or else reports. */
static bool check_cookie(struct mmu_interval_notifier *sub,
			 unsigned long cookie, bool final,
			 const char *what, const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
	};
	bool known = true, foreign = false;
	struct check_reader *reader;
	struct check_sub *rec;

	if (check_lock_records(0)) {
		rec = check_sub_find(sub);
		known = may_retry(rec, sub, cookie, final, &finding);
		foreign = known && cookie != CHECK_SEQ_NONE &&
			  has_callbacks(sub) &&
			  cookie != encode(rec, decode(cookie));
		reader = foreign ? check_reader_find(rec) : NULL;
		if (foreign) {
			finding.other = reader ? reader->begun : rec->inserted;
			finding.other_what = reader ?
				"this thread called read_begin" :
				"it was inserted";
		}
	}
	spin_unlock(&check_lock);
	if (!known)
		report_removed(&finding, what);
	if (foreign)
		check_report(UHMM_RULE_FOREIGN_SEQ, &finding,
			     "%s gets number 0x%lx, which read_begin did not "
			     "return for this subscription", what, cookie);
	return known && !foreign;
}

bool check_read_retry(struct mmu_interval_notifier *sub, unsigned long *seq,
		      const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
		.other_what = "this thread called read_begin",
	};
	struct check_reader *reader;
	bool unlocked = false;
	struct check_sub *rec;

	if (!check_cookie(sub, *seq, true, "mmu_interval_read_retry()", from))
		return false;
	*seq = decode(*seq);
	spin_lock(&check_lock);
	rec = check_sub_find(sub);
	if (rec && rec->lock)
		unlocked = !check_user_lock_held(rec->lock);
	spin_unlock(&check_lock);
	rec = check_lock_records(1) ? check_sub_find(sub) : NULL;
	if (rec) {
		reader = check_reader_get(rec);
		reader->seq = *seq;
		reader->good = READ_ONCE(sub->invalidate_seq) == *seq;
		finding.other = reader->begun;
	}
	spin_unlock(&check_lock);
	if (unlocked)
		check_report(UHMM_RULE_RETRY_UNLOCKED, &finding,
			     "mmu_interval_read_retry() without user_lock");
	return true;
}

bool check_check_retry(struct mmu_interval_notifier *sub, unsigned long *seq,
		       const void *from)
{
	if (!check_cookie(sub, *seq, false, "mmu_interval_check_retry()",
			  from))
		return false;
	*seq = decode(*seq);
	return true;
}

bool check_reserve(struct mmu_interval_notifier *sub, const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
	};
	bool known = true;

	if (check_lock_records(0))
		known = inserted(check_sub_find(sub), &finding);
	spin_unlock(&check_lock);
	if (known)
		check_order(sub->mm, sub, "a reservation is made", from);
	else
		report_removed(&finding, "uhmm_interval_reserve()");
	return known;
}

/* --------------------------------------------------------------- user_lock */

int uhmm_check_user_lock(struct mmu_interval_notifier *interval_sub,
			 bool (*held)(void *lock), void *lock)
{
	struct check_sub *rec;
	int ret = 0;

	if (!interval_sub || !held || !lock || !interval_sub->mm)
		return -EINVAL;
	if (!mm_checked(interval_sub->mm))
		return 0;
	if (check_lock_records(1)) {
		rec = check_sub_find(interval_sub);
		if (rec && rec->state == CHECK_INSERTED)
			check_user_lock_set(rec, held, lock, CHECK_FROM);
		else
			ret = -EINVAL;
	}
	spin_unlock(&check_lock);
	return ret;
}

bool uhmm_check_mutex_held(void *mutex)
{
	return sync_mutex_held(mutex);
}

/* ------------------------------------------------------------------ access */

static bool check_inside(struct mmu_interval_notifier *sub,
			 unsigned long start, unsigned long end,
			 const char *what, const void *from)
{
	struct check_finding finding = {
		.mm = sub->mm, .subscription = sub, .at = from,
	};
	unsigned long first = 0, last = 0;
	bool known = true, inside = true;
	struct check_sub *rec;

	if (check_lock_records(0)) {
		rec = check_sub_find(sub);
		known = inserted(rec, &finding);
		inside = !known || (start < end && start >= rec->start &&
				    end - 1 <= rec->last);
		if (!inside) {
			first = rec->start;
			last = rec->last;
			finding.other = rec->inserted;
			finding.other_what = "it was inserted";
		}
	}
	spin_unlock(&check_lock);
	if (!known)
		report_removed(&finding, what);
	if (!inside)
		check_report(UHMM_RULE_RANGE, &finding,
			     "%s: [0x%lx, 0x%lx) is not within [0x%lx, 0x%lx]",
			     what, start, end, first, last);
	return known && inside;
}

bool check_range(struct mmu_interval_notifier *sub, unsigned long start,
		 unsigned long end, const void *from)
{
	return check_inside(sub, start, end, "a read", from);
}

/* NULL: it may be installed; or what is wrong. Lets go of check_lock. */
static const char *why_not_installed(struct check_sub *rec,
				     struct check_finding *finding)
	__must_hold(&check_lock)
{
	struct check_reader *reader = check_reader_find(rec);

	finding->other = reader ? reader->begun : rec->inserted;
	finding->other_what = reader ? "this thread called read_begin" :
				       "it was inserted";
	if (!reader && !rec->forgot)
		return "something is installed without mmu_interval_read_retry()";
	if (reader && !reader->good)
		return "something is installed, and mmu_interval_read_retry() "
		       "has not returned false";
	if (reader && READ_ONCE(rec->sub->invalidate_seq) != reader->seq)
		return "something is installed after user_lock was dropped, and "
		       "the range has been invalidated meanwhile";
	if (rec->lock && !check_user_lock_held(rec->lock))
		return "something is installed without user_lock";
	return NULL;
}

void uhmm_check_access(struct mmu_interval_notifier *interval_sub,
		       unsigned long start, unsigned long end)
{
	struct check_finding finding = {
		.subscription = interval_sub, .at = CHECK_FROM,
	};
	const char *wrong = NULL;
	struct check_sub *rec;

	if (!interval_sub->mm ||
	    !mm_checked(interval_sub->mm) ||
	    !check_inside(interval_sub, start, end, "an access", CHECK_FROM))
		return;
	finding.mm = interval_sub->mm;
	if (check_lock_records(0)) {
		rec = check_sub_find(interval_sub);
		if (rec && has_callbacks(interval_sub))
			wrong = why_not_installed(rec, &finding);
	}
	spin_unlock(&check_lock);
	if (wrong)
		check_report(UHMM_RULE_INSTALL, &finding, "%s", wrong);
}
