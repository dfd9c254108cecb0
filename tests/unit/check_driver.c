/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "check_driver.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------ driver */

static bool view_invalidate(struct mmu_interval_notifier *sub,
			    const struct mmu_notifier_range *range,
			    unsigned long cur_seq)
{
	struct view *view = (struct view *)(void *)sub;

	if (view->before)
		view->before(view, range, cur_seq);
	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&view->lock);
	else if (pthread_mutex_trylock(&view->lock))
		return false;
	if (!view->no_set_seq)
		mmu_interval_set_seq(sub, view->set_seq ? view->set_seq :
							  cur_seq);
	view->hits++;
	view->last = cur_seq;
	if (view->hook)
		view->hook(view, range, cur_seq);
	pthread_mutex_unlock(&view->lock);
	return !view->refuse;
}

static void view_removed(struct mmu_interval_notifier *sub)
{
	struct view *view = (struct view *)(void *)sub;

	pthread_mutex_destroy(&view->lock);
}

const struct mmu_interval_notifier_ops view_ops = {
	.invalidate = view_invalidate,
};

const struct mmu_interval_notifier_ops view_removed_ops = {
	.invalidate = view_invalidate,
	.uhmm_removed = view_removed,
};

void view_open_with(struct view *view, struct mm_struct *mm, int first, int n,
		    const struct mmu_interval_notifier_ops *ops)
{
	pthread_mutexattr_t attr;
	int ret;

	memset(view, 0, sizeof(*view));
	view->mm = mm;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&view->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	ret = mmu_interval_notifier_insert(&view->sub, mm, PG(first),
					   PG(n) - PG(0), ops);
	assert_int_equal(ret, 0);
}

void view_open(struct view *view, struct mm_struct *mm, int first, int n)
{
	int ret;

	view_open_with(view, mm, first, n, &view_ops);
	ret = uhmm_check_user_lock(&view->sub, uhmm_check_mutex_held,
				   &view->lock);
	assert_int_equal(ret, 0);
}

void view_close(struct view *view)
{
	mmu_interval_notifier_remove(&view->sub);
	pthread_mutex_destroy(&view->lock);
}

int view_fault(struct view *view, int page)
{
	unsigned long seq;
	int again = 0;

	for (;;) {
		seq = mmu_interval_read_begin(&view->sub);
		pthread_mutex_lock(&view->lock);
		if (!mmu_interval_read_retry(&view->sub, seq))
			break;
		pthread_mutex_unlock(&view->lock);
		again++;
	}
	uhmm_check_access(&view->sub, PG(page), PG(page + 1));
	pthread_mutex_unlock(&view->lock);
	return again;
}

static struct mm_struct *make_mm(unsigned int flags)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.flags = flags,
	};
	struct mm_struct *mm;

	assert_int_equal(uhmm_mm_create_with(&options, &mm), 0);
	return mm;
}

struct mm_struct *checked_mm(void)
{
	return make_mm(UHMM_MM_CHECK);
}

struct mm_struct *unchecked_mm(void)
{
	return make_mm(0);
}

void range_of(struct mmu_notifier_range *range, struct mm_struct *mm, int first,
	      int n)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_UNMAP, 0, mm, PG(first),
				PG(first + n));
}

void invalidate(struct mm_struct *mm, int first, int n)
{
	struct mmu_notifier_range range;

	range_of(&range, mm, first, n);
	assert_int_equal(mmu_notifier_invalidate_range_start(&range), 0);
	mmu_notifier_invalidate_range_end(&range);
}

int invalidate_nonblock(struct mm_struct *mm, int first, int n)
{
	struct mmu_notifier_range range;
	int ret;

	range_of(&range, mm, first, n);
	ret = mmu_notifier_invalidate_range_start_nonblock(&range);
	if (!ret)
		mmu_notifier_invalidate_range_end(&range);
	return ret;
}

/* ----------------------------------------------------------------- reports */

int reports;
struct uhmm_check_report last_report;
char last_text[2048];
static char last_what[256];

static pthread_mutex_t reports_lock = PTHREAD_MUTEX_INITIALIZER;
static int reports_of[UHMM_RULES];
/* Of each address space that was asked for, what it counted when it was. */
static struct {
	struct mm_struct *mm;
	unsigned long violations;
} counted[4];

static void take_report(const struct uhmm_check_report *report, void *arg)
{
	(void)arg;
	pthread_mutex_lock(&reports_lock);
	reports++;
	reports_of[report->rule]++;
	last_report = *report;
	snprintf(last_text, sizeof(last_text), "%s", report->text);
	snprintf(last_what, sizeof(last_what), "%s", report->what);
	last_report.what = last_what;
	last_report.text = last_text;
	pthread_mutex_unlock(&reports_lock);
}

void reports_begin(void)
{
	reports = 0;
	memset(counted, 0, sizeof(counted));
	memset(reports_of, 0, sizeof(reports_of));
	memset(&last_report, 0, sizeof(last_report));
	last_text[0] = 0;
	uhmm_check_set_handler(take_report, NULL);
}

int begin_reports(void **state)
{
	(void)state;
	reports_begin();
	return 0;
}

static void expect_counted(struct mm_struct *mm, int n)
{
	int i = 0;

	while (counted[i].mm && counted[i].mm != mm)
		i++;
	counted[i].mm = mm;
	assert_int_equal(uhmm_check_violations(mm),
			 counted[i].violations + n);
	counted[i].violations += n;
}

/* The text ends with @remedy, in lines that fit a screen. */
static void expect_remedy(const char *remedy)
{
	const char *at = strstr(last_text, "  remedy:");
	int column = 0;

	assert_non_null(at);
	for (; *at; at++) {
		column = *at == '\n' ? 0 : column + 1;
		assert_true(column <= 72);
	}
	at = strstr(last_text, "  remedy:") + strlen("  remedy:");
	while (*remedy) {
		at += strspn(at, " \n");
		while (*remedy && *remedy != ' ')
			assert_int_equal(*at++, *remedy++);
		remedy += *remedy == ' ';
	}
	assert_string_equal(at, "\n");
}

static void expect_text(struct mm_struct *mm)
{
	char line[64];

	assert_non_null(strstr(last_text, last_report.name));
	assert_non_null(strstr(last_text, last_report.what));
	expect_remedy(last_report.remedy);
	assert_ptr_equal(last_report.mm, mm);
	snprintf(line, sizeof(line), "  subscription: %p\n",
		 last_report.subscription);
	assert_int_equal(strstr(last_text, line) != NULL,
			 last_report.subscription != NULL);
	/* Only of what never began it is not known where. */
	if (last_report.at && (last_report.other || !last_report.other_what))
		assert_null(strstr(last_text, "unknown"));
	assert_null(strstr(last_text, "(nil)"));
}

void expect_reports(struct mm_struct *mm, enum uhmm_rule rule, int n)
{
	if (reports != n || reports_of[rule] != n)
		print_message("# the last report:\n%s", last_text);
	assert_int_equal(reports_of[rule], n);
	assert_int_equal(reports, n);
	if (mm)
		expect_counted(mm, n);
	if (n) {
		assert_int_equal(last_report.rule, rule);
		expect_text(mm);
	}
	reports = 0;
	memset(reports_of, 0, sizeof(reports_of));
}

void expect_no_reports(struct mm_struct *mm)
{
	expect_reports(mm, (enum uhmm_rule)0, 0);
}

void expect_places(const void *subscription)
{
	assert_ptr_equal(last_report.subscription, subscription);
	assert_non_null(last_report.at);
	assert_non_null(last_report.at_what);
	assert_non_null(last_report.other);
	assert_non_null(last_report.other_what);
	assert_non_null(strstr(last_text, last_report.at_what));
	assert_non_null(strstr(last_text, last_report.other_what));
}
