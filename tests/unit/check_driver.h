/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A driver that keeps the contract, with a switch for each way of breaking it,
 * and a list of what the checker reports.
 */
#ifndef TESTS_CHECK_DRIVER_H
#define TESTS_CHECK_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>

#include <uhmm/check.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#define PG(n) (0x100000UL + ((unsigned long)(n) << 12))

struct view;
typedef void (*view_hook)(struct view *view,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq);

/**
 * struct view - a driver's object
 * @sub: its subscription
 * @mm: where
 * @lock: user_lock; it checks for errors
 * @hook: called in the callback, with @lock held
 * @before: called in the callback, without it
 * @data: for them
 * @no_set_seq: break rules so
 * @set_seq: the number to set, 0: the right one
 * @refuse: answer false
 * @hits: how often it was called
 * @last: the last number
 */
struct view {
	struct mmu_interval_notifier sub;
	struct mm_struct *mm;
	pthread_mutex_t lock;
	view_hook hook;
	view_hook before;
	void *data;
	bool no_set_seq;
	unsigned long set_seq;
	bool refuse;
	int hits;
	unsigned long last;
};

extern const struct mmu_interval_notifier_ops view_ops;
extern const struct mmu_interval_notifier_ops view_removed_ops;

/* Pages [first, first + n); the lock is registered. */
void view_open(struct view *view, struct mm_struct *mm, int first, int n);
/* The same with other ops, and nothing registered. */
void view_open_with(struct view *view, struct mm_struct *mm, int first, int n,
		    const struct mmu_interval_notifier_ops *ops);
void view_close(struct view *view);
/* The whole of it, right. Returns how often it was done again. */
int view_fault(struct view *view, int page);

struct mm_struct *checked_mm(void);
struct mm_struct *unchecked_mm(void);
void range_of(struct mmu_notifier_range *range, struct mm_struct *mm, int first,
	      int n);
/* Start and end. */
void invalidate(struct mm_struct *mm, int first, int n);
int invalidate_nonblock(struct mm_struct *mm, int first, int n);

/* ----------------------------------------------------------------- reports */

/* Reports so far, of all rules; the last one, and its text. */
extern int reports;
extern struct uhmm_check_report last_report;
extern char last_text[2048];

/* Count from here on. */
void reports_begin(void);
/* Exactly these: @n of @rule and no others; and @mm, if not NULL, knows. */
void expect_reports(struct mm_struct *mm, enum uhmm_rule rule, int n);
void expect_no_reports(struct mm_struct *mm);

int begin_reports(void **state);

/* Of the last one: the subscription, and two places that are known. */
void expect_places(const void *subscription);

/* The second of its places. */
#define expect_other(what)                                              \
	do {                                                            \
		assert_non_null(last_report.at);                        \
		assert_non_null(last_report.other);                     \
		assert_string_equal(last_report.other_what, what);      \
	} while (0)

#endif
