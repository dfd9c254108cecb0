/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The contract checker: does everybody keep to <uhmm/mmu_notifier.h>?
 *
 * It is on in address spaces that were made with UHMM_MM_CHECK, and in all if
 * UHMM_CHECK in the environment is 1, or abort, which also ends the process
 * after the first report. Elsewhere it costs nothing, and the functions below
 * do nothing.
 *
 * What it finds it reports, on standard error or to a handler, as the rule,
 * what happened, and two places in the code: where it was noticed, and what
 * that conflicts with. It changes what happens only where a call would wait
 * for itself or spoil what others rely on: that call is not carried out, and
 * returns -EDEADLK, -EBUSY or -EINVAL if it returns an error at all; a read
 * that is not carried out is one that collided.
 *
 * A driver can help it: uhmm_check_user_lock() tells which lock is user_lock,
 * uhmm_check_access() says where something is installed, uhmm_might_sleep()
 * where the driver itself may sleep.
 *
 * Numbers returned by mmu_interval_read_begin() differ between checked
 * address spaces and others; the functions that take them know.
 */
#ifndef UHMM_CHECK_H
#define UHMM_CHECK_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;
struct mmu_interval_notifier;

/**
 * enum uhmm_rule - what the checker looks for
 * @UHMM_RULE_SET_SEQ_MISSING: a callback did not call mmu_interval_set_seq().
 *	Not seen: under a range with an owner, who may leave his own alone; while
 *	another callback of the subscription runs; when it is called too late,
 *	or without user_lock.
 * @UHMM_RULE_SET_SEQ_WRONG: a callback set a number other than the one it got.
 *	Not seen: one that another callback running at the time got; anything
 *	about one that more than 256 others overtake.
 * @UHMM_RULE_RETRY_UNLOCKED: mmu_interval_read_retry() without user_lock.
 *	Seen only where the lock was registered.
 * @UHMM_RULE_IN_CALLBACK: a call that waits for callbacks, made in a callback
 *	of the same address space: remove, read_begin, register, unregister,
 *	synchronize; it is not carried out. Not seen in release.
 * @UHMM_RULE_INSERT_REMOVE: inserted while it is inserted, or removed while it
 *	is not; it is not carried out. Not seen: a subscription whose memory is
 *	reused without remove, until it is inserted again.
 * @UHMM_RULE_SLEEP: a callback of a range that is not blockable slept, or made
 *	a call that may. Not seen: what the driver calls that may sleep and did
 *	not, unless it says uhmm_might_sleep(). A page fault that had to wait
 *	counts as sleep.
 * @UHMM_RULE_REFUSAL: a callback refused a blockable range; or a list notifier
 *	that has invalidate_range_end refused, or did so by another error than
 *	-EAGAIN.
 * @UHMM_RULE_RANGE: something outside of the subscription's interval is read
 *	or installed. Seen only where uhmm_check_access() is called.
 * @UHMM_RULE_INSTALL: something is installed without a successful read_retry
 *	of this thread, or after user_lock was dropped. Seen only where
 *	uhmm_check_access() is called; a lock dropped and taken again only if it
 *	is invalidated in between; threads that did not read at all only while
 *	no more than 64 do.
 * @UHMM_RULE_END: end without start: never begun, refused, ended already, or
 *	another range than was started; or a start without an end when the
 *	address space is gone.
 * @UHMM_RULE_FOREIGN_SEQ: a number that read_begin did not return for this
 *	subscription. Not seen: 1 in 16381 of other subscriptions' numbers; the
 *	number that the last callback got.
 * @UHMM_RULE_LOCK_ORDER: mmap_lock, then reservation, then user_lock: one of
 *	the first two, or a call that waits for callbacks, with user_lock held,
 *	or in a callback; mmap_lock not held where it must be. user_lock only
 *	where it was registered; not seen: that it is another thread that holds
 *	mmap_lock.
 * @UHMM_RULE_REMOVED: a subscription used after its removal. Not seen: a late
 *	mmu_interval_set_seq(), unless the memory is inserted again; anything
 *	after the address space itself was freed.
 * @UHMM_RULE_SELF_WAIT: read_begin by a thread that has an invalidation of the
 *	same addresses open; it would wait for itself, for ever. Whoever starts
 *	is taken for the one who is to end.
 * @UHMM_RULES: how many there are
 */
enum uhmm_rule {
	UHMM_RULE_SET_SEQ_MISSING = 0,
	UHMM_RULE_SET_SEQ_WRONG,
	UHMM_RULE_RETRY_UNLOCKED,
	UHMM_RULE_IN_CALLBACK,
	UHMM_RULE_INSERT_REMOVE,
	UHMM_RULE_SLEEP,
	UHMM_RULE_REFUSAL,
	UHMM_RULE_RANGE,
	UHMM_RULE_INSTALL,
	UHMM_RULE_END,
	UHMM_RULE_FOREIGN_SEQ,
	UHMM_RULE_LOCK_ORDER,
	UHMM_RULE_REMOVED,
	UHMM_RULE_SELF_WAIT,
	UHMM_RULES
};

/**
 * struct uhmm_check_report - a rule was broken
 * @rule: which
 * @name: its name, for people: "set-seq-missing"
 * @what: what happened
 * @remedy: what to do about it
 * @mm: the address space; NULL: the call names none
 * @subscription: the &struct mmu_interval_notifier or &struct mmu_notifier;
 *	NULL: no particular one. It may be gone already.
 * @at: where it was noticed: behind a call, or the callback. NULL: unknown
 * @at_what: what @at is
 * @other: the place that it conflicts with; NULL: unknown
 * @other_what: what @other is, as "the subscription was inserted"
 * @text: all of this as text of several lines, with names for the places
 */
struct uhmm_check_report {
	enum uhmm_rule rule;
	const char *name;
	const char *what;
	const char *remedy;
	struct mm_struct *mm;
	const void *subscription;
	const void *at;
	const char *at_what;
	const void *other;
	const char *other_what;
	const char *text;
};

/**
 * uhmm_check_set_handler() - who gets the reports
 * @handler: is called for each, by the thread that broke the rule, possibly in
 *	a callback or with locks of the program held; the report is gone when it
 *	returns. NULL: the library writes to standard error, the first eight of
 *	each rule in each address space.
 * @arg: for @handler
 *
 * For all address spaces. What a handler does wrong itself is only counted.
 *
 * Context: any.
 */
void uhmm_check_set_handler(void (*handler)(const struct uhmm_check_report *report,
					    void *arg),
			    void *arg);

/**
 * uhmm_check_violations() - how often was a rule broken?
 * @mm: the address space
 *
 * Context: any.
 * Return: the number; 0 also if the address space is not checked.
 */
unsigned long uhmm_check_violations(const struct mm_struct *mm);

/**
 * uhmm_check_user_lock() - say which lock is a subscription's user_lock
 * @interval_sub: the subscription, inserted
 * @held: does the calling thread hold @lock? For a lock with readers: either
 *	way. Is called by any thread, calls nothing of this library, and does
 *	not wait.
 * @lock: for @held; it exists at least until the subscription is removed
 *
 * Several may have the same. Until it is removed; insert it again, and say it
 * again.
 *
 * Context: any.
 * Return: 0, also if the address space is not checked; -EINVAL: a pointer is
 * NULL, or it is not inserted.
 */
int uhmm_check_user_lock(struct mmu_interval_notifier *interval_sub,
			 bool (*held)(void *lock), void *lock);

/**
 * uhmm_check_mutex_held() - does the calling thread hold a pthread mutex?
 * @mutex: a pthread_mutex_t of type PTHREAD_MUTEX_ERRORCHECK
 *
 * A mutex of another type cannot tell. Ready for uhmm_check_user_lock(). If
 * nobody holds the mutex, it is taken for a moment.
 *
 * Context: any.
 * Return: true if it does.
 */
bool uhmm_check_mutex_held(void *mutex);

/**
 * uhmm_might_sleep() - say that what comes now may sleep
 *
 * Description: for functions of a driver that callbacks call.
 *
 * Context: any; reported in a callback of a range that is not blockable.
 */
void uhmm_might_sleep(void);

/**
 * uhmm_check_access() - say that something is being installed
 * @interval_sub: the subscription that keeps it valid
 * @start: first byte
 * @end: first byte behind
 *
 * Context: between a mmu_interval_read_retry() that returned false and the
 * unlocking of user_lock.
 */
void uhmm_check_access(struct mmu_interval_notifier *interval_sub,
		       unsigned long start, unsigned long end);

#ifdef __cplusplus
}
#endif
#endif
