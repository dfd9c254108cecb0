/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Reports of the contract checker: the rules in words, and who gets them.
 */
#include "check_records.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of each rule and address space, on standard error. */
#define TOLD_MAX 8

#define WHAT_SIZE 256
#define TEXT_SIZE 2048

static const struct {
	const char *name;
	const char *remedy;
} rules[UHMM_RULES] = {
	[UHMM_RULE_SET_SEQ_MISSING] = {
		"set-seq-missing",
		"call mmu_interval_set_seq() in every callback, under user_lock, "
		"whatever the event; else a read under way installs what has "
		"gone" },
	[UHMM_RULE_SET_SEQ_WRONG] = {
		"set-seq-wrong",
		"pass cur_seq of this very call to mmu_interval_set_seq()" },
	[UHMM_RULE_RETRY_UNLOCKED] = {
		"retry-unlocked",
		"take user_lock before mmu_interval_read_retry() and keep it "
		"until the result is installed" },
	[UHMM_RULE_IN_CALLBACK] = {
		"in-callback",
		"it would wait for the callback that it is in: leave it to a "
		"worker, or use uhmm_interval_notifier_remove_async()" },
	[UHMM_RULE_INSERT_REMOVE] = {
		"insert-remove",
		"insert and remove in turn, once each" },
	[UHMM_RULE_SLEEP] = {
		"sleep",
		"look at mmu_notifier_range_blockable(): trylock, and refuse if "
		"that fails" },
	[UHMM_RULE_REFUSAL] = {
		"refusal",
		"only what is not blockable may be refused, by false or -EAGAIN, "
		"and by nobody who has invalidate_range_end" },
	[UHMM_RULE_RANGE] = {
		"range",
		"use the subscription that covers the whole range, or more than "
		"one" },
	[UHMM_RULE_INSTALL] = {
		"install",
		"install between mmu_interval_read_retry() returning false and "
		"the unlocking of user_lock" },
	[UHMM_RULE_END] = {
		"end",
		"one end for each start that returned 0, with the same range" },
	[UHMM_RULE_FOREIGN_SEQ] = {
		"foreign-seq",
		"pass what mmu_interval_read_begin() returned for the same "
		"subscription since it was inserted" },
	[UHMM_RULE_LOCK_ORDER] = {
		"lock-order",
		"mmap_lock, then uhmm_interval_reserve(), then user_lock; and "
		"wait for callbacks without a lock that they take" },
	[UHMM_RULE_REMOVED] = {
		"removed",
		"stop every user of a subscription before it is removed" },
	[UHMM_RULE_SELF_WAIT] = {
		"self-wait",
		"read when the invalidation has ended, or in another thread" },
};

static struct {
	void (*fn)(const struct uhmm_check_report *report, void *arg);
	void *arg;
} handler __guarded_by(&check_lock);

static bool abort_after;

void uhmm_check_set_handler(void (*fn)(const struct uhmm_check_report *report,
				       void *arg),
			    void *arg)
{
	spin_lock(&check_lock);
	handler.fn = fn;
	handler.arg = arg;
	spin_unlock(&check_lock);
}

bool check_wanted(void)
{
	const char *value = getenv("UHMM_CHECK");
	static bool told;
	char text[160];

	if (!value || !*value || !strcmp(value, "0"))
		return false;
	if (!strcmp(value, "1"))
		return true;
	if (!strcmp(value, "abort")) {
		WRITE_ONCE(abort_after, true);
		return true;
	}
	if (!xchg(&told, true)) {
		snprintf(text, sizeof(text),
			 "uhmm-check: UHMM_CHECK=%.64s is unknown: nothing, 0, "
			 "1 or abort\n", value);
		sync_complain("", "", text);
	}
	return false;
}

void check_say_quiet(void)
{
	static bool told;

	if (!xchg(&told, true))
		sync_complain("", "", "uhmm-check: out of memory: nothing is "
			      "checked from here on\n");
}

/* -------------------------------------------------------------------- text */

struct text {
	char buf[TEXT_SIZE];
	size_t len;
};

static void __attribute__((format(printf, 2, 3)))
add(struct text *text, const char *format, ...)
{
	size_t room = sizeof(text->buf) - text->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text->buf + text->len, room, format, args);
	va_end(args);
	if (n > 0)
		text->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_place(struct text *text, const char *what, const void *place)
{
	Dl_info info;

	if (!what)
		return;
	add(text, "  %s: ", what);
	if (!place) {
		add(text, "unknown\n");
		return;
	}
	if (!dladdr(place, &info) || !info.dli_fname) {
		add(text, "%p\n", place);
		return;
	}
	if (info.dli_sname)
		add(text, "%s+0x%zx (%s+0x%zx)\n", info.dli_sname,
		    (size_t)((const char *)place - (char *)info.dli_saddr),
		    info.dli_fname,
		    (size_t)((const char *)place - (char *)info.dli_fbase));
	else
		add(text, "%s+0x%zx\n", info.dli_fname,
		    (size_t)((const char *)place - (char *)info.dli_fbase));
}

/* The remedy, in lines of 72 columns. */
static void add_wrapped(struct text *text, const char *words)
{
	size_t n, column = strlen("  remedy:");

	add(text, "  remedy:");
	while (*words) {
		n = strcspn(words, " ");
		if (column + 1 + n > 72) {
			add(text, "\n   ");
			column = 3;
		}
		add(text, " %.*s", (int)n, words);
		column += 1 + n;
		words += n + strspn(words + n, " ");
	}
	add(text, "\n");
}

static void fill_text(struct text *text, const struct uhmm_check_report *r)
{
	text->len = 0;
	add(text, "uhmm-check: %s: %s\n", r->name, r->what);
	add_place(text, r->at_what, r->at);
	add_place(text, r->other_what, r->other);
	if (r->mm)
		add(text, "  address space: %lu (%s)\n", r->mm->id,
		    r->mm->ops->name);
	if (r->subscription)
		add(text, "  subscription: %p\n", r->subscription);
	add_wrapped(text, r->remedy);
}

/* ------------------------------------------------------------------ report */

static void deliver(struct uhmm_check_report *report)
{
	void (*fn)(const struct uhmm_check_report *report, void *arg);
	unsigned long told = 0;
	struct text text;
	void *arg;

	spin_lock(&check_lock);
	fn = handler.fn;
	arg = handler.arg;
	if (report->mm) {
		report->mm->check->violations++;
		told = report->mm->check->told[report->rule]++;
	}
	spin_unlock(&check_lock);
	/* A handler that breaks rules is not told about it. */
	if (check_thread.reporting || (!fn && told > TOLD_MAX))
		return;
	check_thread.reporting = true;
	if (!fn && told == TOLD_MAX) {
		text.len = 0;
		add(&text, "uhmm-check: %s: more of it, which is only counted\n",
		    report->name);
	} else {
		fill_text(&text, report);
	}
	report->text = text.buf;
	if (fn)
		fn(report, arg);
	else
		sync_complain(report->name, report->what, text.buf);
	check_thread.reporting = false;
	if (READ_ONCE(abort_after))
		abort();
}

void check_report(enum uhmm_rule rule, const struct check_finding *finding,
		  const char *format, ...)
{
	long aside = check_aside_begin();
	struct uhmm_check_report report = {
		.rule = rule,
		.name = rules[rule].name,
		.remedy = rules[rule].remedy,
		.mm = finding->mm,
		.subscription = finding->subscription,
		.at = finding->at,
		.at_what = finding->at_what ? finding->at_what : "called",
		.other = finding->other,
		.other_what = finding->other_what,
	};
	char what[WHAT_SIZE];
	int saved = errno;
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	report.what = what;
	deliver(&report);
	errno = saved;
	check_aside_end(aside);
}

unsigned long uhmm_check_violations(const struct mm_struct *mm)
{
	unsigned long n;

	if (!mm_checked(mm))
		return 0;
	spin_lock(&check_lock);
	n = mm->check->violations;
	spin_unlock(&check_lock);
	return n;
}
