/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the contract checker remembers, of all address spaces together.
 *
 * Everything here belongs to the holder of check_lock. It is a leaf: neither
 * reports nor the program's own functions are called under it. Memory comes
 * straight from the kernel, because invalidations may be part of malloc() or
 * free(); when there is none left the checker says so, once, and goes quiet.
 */
#ifndef CORE_CHECK_RECORDS_H
#define CORE_CHECK_RECORDS_H

#include <uhmm/check.h>

#include "check.h"

extern spinlock_t check_lock;

/**
 * struct mm_check - the checker's part of an address space
 * @violations: how many
 * @told: of each rule
 */
struct mm_check {
	unsigned long violations;
	unsigned long told[UHMM_RULES];
};

/* A number given to a callback of a subscription. */
struct check_delivery {
	struct check_delivery *next;
	unsigned long id;
	unsigned long begin;	/* stamps; @end 0: it runs */
	unsigned long end;
};

/* What a thread did last with a subscription. */
struct check_reader {
	struct check_reader *next;
	unsigned long thread;
	const void *begun;	/* where it called read_begin */
	unsigned long seq;
	bool good;		/* read_retry said that @seq is */
};

/* A lock of the program's, and how many subscriptions it is user_lock of. */
struct check_user_lock {
	struct check_user_lock *next;
	struct mm_struct *mm;
	bool (*held)(void *lock);
	void *lock;
	const void *from;
	unsigned long users;
	unsigned long asking;	/* threads that call @held just now */
	bool dying;
};

enum check_state {
	CHECK_REMOVED,
	CHECK_INSERTED,
	CHECK_REMOVING,		/* remove has begun, and perhaps timed out */
	CHECK_REMOVING_ASYNC
};

#define CHECK_IDS 4

/**
 * struct check_sub - a subscription
 * @next: of the same hash
 * @sub: where it is, or was
 * @mm: whose
 * @tag: tells it from others in what read_begin returns
 * @start: first byte
 * @last: last byte
 * @state: which of the states
 * @busy: a thread is in remove
 * @inserted: where
 * @removed: where
 * @lock: its user_lock, NULL: not known
 * @deliveries: those that run, and those that ran beside them
 * @readers: the one that read last first
 * @vague: calls that began before this stamp may have run beside any number
 * @forgot: @readers lacks some
 * @left: invalidate_seq at the removal
 * @ids: the last numbers delivered, @nids in all
 * @nids: see @ids
 */
struct check_sub {
	struct check_sub *next;
	const struct mmu_interval_notifier *sub;
	struct mm_struct *mm;
	unsigned long tag;
	unsigned long start;
	unsigned long last;
	enum check_state state;
	bool busy;
	const void *inserted;
	const void *removed;
	struct check_user_lock *lock;
	struct check_delivery *deliveries;
	struct check_reader *readers;
	unsigned long vague;
	bool forgot;
	unsigned long left;
	unsigned long ids[CHECK_IDS];
	unsigned long nids;
};

/* An invalidation, open or over. */
struct check_bracket {
	struct check_bracket *next;
	struct mm_struct *mm;
	unsigned long id;
	unsigned long thread;
	unsigned long start;
	unsigned long end;
	const void *started;
	const void *ended;
	bool refused;
	bool forked;		/* it was open in the parent */
};

/*
 * Take check_lock with @n records to spare. Returns false, with the lock held
 * all the same, if the checker is quiet.
 */
bool check_lock_records(unsigned int n) __acquires(&check_lock);
unsigned long check_stamp(void) __must_hold(&check_lock);

/* NULL: no such. */
struct check_sub *check_sub_find(const struct mmu_interval_notifier *sub)
	__must_hold(&check_lock);
/* Made anew, also if it was removed before. */
struct check_sub *check_sub_add(const struct mmu_interval_notifier *sub)
	__must_hold(&check_lock);
/* It is removed: forget all but that. Lets go of the lock at the end. */
void check_sub_retire(struct check_sub *rec) __must_hold(&check_lock);

void check_deliver(struct check_sub *rec, unsigned long id,
		   unsigned long stamp) __must_hold(&check_lock);
void check_delivered(struct check_sub *rec, unsigned long id)
	__must_hold(&check_lock);
/* Was @seq given to a callback that ran beside the one that began at @stamp? */
bool check_delivered_beside(const struct check_sub *rec, unsigned long seq,
			    unsigned long stamp) __must_hold(&check_lock);

/* Of the calling thread; made if need be, or else NULL. */
struct check_reader *check_reader_find(struct check_sub *rec)
	__must_hold(&check_lock);
struct check_reader *check_reader_get(struct check_sub *rec)
	__must_hold(&check_lock);

/* Lets go of the lock at the end. */
void check_user_lock_set(struct check_sub *rec, bool (*held)(void *lock),
			 void *lock, const void *from)
	__must_hold(&check_lock);
/* Does the calling thread hold it? Lets go of check_lock to ask; @l stays. */
bool check_user_lock_held(struct check_user_lock *l) __must_hold(&check_lock);
/* The first of @mm behind @l, or of all. */
struct check_user_lock *check_user_lock_next(const struct mm_struct *mm,
					     const struct check_user_lock *l)
	__must_hold(&check_lock);

struct check_bracket *check_bracket_open(struct mm_struct *mm,
					 unsigned long id)
	__must_hold(&check_lock);
/* The open one. */
struct check_bracket *check_bracket_find(const struct mm_struct *mm,
					 unsigned long id)
	__must_hold(&check_lock);
/* Opened by this thread, and overlapping. */
struct check_bracket *check_bracket_mine(const struct mm_struct *mm,
					 unsigned long start,
					 unsigned long last)
	__must_hold(&check_lock);
/* Any that is open. */
struct check_bracket *check_bracket_any(const struct mm_struct *mm)
	__must_hold(&check_lock);
void check_bracket_close(struct check_bracket *open) __must_hold(&check_lock);
/* Among the last ones that are over. */
struct check_bracket *check_bracket_closed(const struct mm_struct *mm,
					   unsigned long id)
	__must_hold(&check_lock);

/* A checked address space comes, and goes with no bracket open; are there any? */
void check_records_join(void);
void check_records_leave(const struct mm_struct *mm);
bool check_records_used(void);
/* In a forked child, with check_lock held: nothing is open there. */
void check_records_fork(void) __must_hold(&check_lock);

/* --------------------------------------------------------- check_report.c */

/**
 * struct check_finding - what is to be reported, and where
 * @mm: the address space
 * @subscription: or NULL
 * @at: where it was noticed
 * @at_what: what that is; NULL: "called"
 * @other: see &uhmm_check_report.other
 * @other_what: see &uhmm_check_report.other_what
 */
struct check_finding {
	struct mm_struct *mm;
	const void *subscription;
	const void *at;
	const char *at_what;
	const void *other;
	const char *other_what;
};

void check_report(enum uhmm_rule rule, const struct check_finding *finding,
		  const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void check_say_quiet(void);

/* ---------------------------------------------------------------- check.c */

/**
 * struct check_thread - the calling thread
 * @call: the innermost callback that it is in
 * @reporting: a handler runs
 */
struct check_thread {
	struct check_call *call;
	bool reporting;
};

extern __thread struct check_thread check_thread
	__attribute__((tls_model("initial-exec")));

/*
 * What the checker itself does between these is not held against the callback
 * that must not sleep.
 */
long check_aside_begin(void);
void check_aside_end(long sleeps);
/* Reports if this thread holds a user_lock of @mm. */
void check_holds_user_lock(struct mm_struct *mm, const void *subscription,
			   const char *what, const void *from);
/* Reports if it does, or is in a callback. */
void check_order(struct mm_struct *mm, const void *subscription,
		 const char *what, const void *from);

#endif
