/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "history.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

#define SUBS 40
#define LISTS 4
#define RANGES 5
#define STEPS 100
#define PAGES 24
#define AT(page) (0x10000UL + ((unsigned long)(page) << 12))

/* What a callback does; drawn at insert, so that each design gets the same. */
struct sub {
	bool used;
	bool refuses;		/* ranges that are not blockable */
	bool refuses_all;
	bool gives_birth;	/* its next callback inserts */
	bool reading;
	unsigned long start;
	unsigned long last;
	unsigned long calls;
	unsigned long calls_at_begin;
	unsigned long seq;
	unsigned long born_in;	/* number of the start whose callback made it */
	struct design_client client;
	struct design_sub sub;
};

struct list {
	bool used;
	struct design_list_client client;
	struct design_list list;
};

struct range {
	bool open;
	unsigned long start;
	unsigned long end;
	struct design_range range;
};

/* Of the one history that is being run: callbacks have to find it. */
static struct history {
	const struct uhmm_design *design;
	struct design_mm *mm;
	enum history_kind kind;
	unsigned long random;
	unsigned long starts;
	bool in_start;
	bool ended;
	char *log;
	size_t used;
	struct sub subs[SUBS];
	struct list lists[LISTS];
	struct range ranges[RANGES];
} h;

/* xorshift64* */
static unsigned int draw(unsigned int below)
{
	h.random ^= h.random >> 12;
	h.random ^= h.random << 25;
	h.random ^= h.random >> 27;
	return ((h.random * 0x2545f4914f6cdd1dUL) >> 33) % below;
}

static bool one_in(unsigned int n)
{
	return !draw(n);
}

__attribute__((format(printf, 1, 2)))
static void note(const char *format, ...)
{
	size_t room = HISTORY_LOG - h.used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(h.log + h.used, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= room)
		abort();
	h.used += n;
}

static int sub_number(const struct design_sub *sub)
{
	return container_of(sub, struct sub, sub) - h.subs;
}

static int list_number(const struct design_list *list)
{
	return container_of(list, struct list, list) - h.lists;
}

static bool anything_open(void)
{
	for (int i = 0; i < RANGES; i++)
		if (h.ranges[i].open)
			return true;
	return false;
}

/* ------------------------------------------------------------- callbacks */

static void insert_one(void);

static bool invalidate(struct design_sub *dsub, unsigned long start,
		       unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner,
		       unsigned long cur_seq)
{
	struct sub *sub = container_of(dsub, struct sub, sub);

	if (h.design->set_seq)
		h.design->set_seq(dsub, cur_seq);
	sub->calls++;
	/* The start that is under way may call it or not. */
	if (sub->born_in == h.starts)
		return true;
	if (event == MMU_NOTIFY_RELEASE)
		note("  release s%d\n", sub_number(dsub));
	else
		note("  call s%d %lx-%lx %c event %d owner %d\n",
		     sub_number(dsub), start, end, blockable ? 'b' : 'n', event,
		     owner == &h);
	if (sub->gives_birth && !h.ended) {
		sub->gives_birth = false;
		note("  gives birth: ");
		insert_one();
	}
	return !sub->refuses_all && (blockable || !sub->refuses);
}

static void finish(struct design_sub *dsub)
{
	note("  finish s%d\n", sub_number(dsub));
}

static int list_start(struct design_list *list, unsigned long start,
		      unsigned long end, bool blockable,
		      enum mmu_notifier_event event)
{
	bool refuses = !h.lists[list_number(list)].client.end;

	note("  list l%d start %lx-%lx %c event %d\n", list_number(list), start,
	     end, blockable ? 'b' : 'n', event);
	return refuses && !blockable ? -EAGAIN : 0;
}

static void list_end(struct design_list *list, unsigned long start,
		     unsigned long end, enum mmu_notifier_event event)
{
	note("  list l%d end %lx-%lx event %d\n", list_number(list), start, end,
	     event);
}

static void list_release(struct design_list *list)
{
	note("  list l%d release\n", list_number(list));
}

/* ----------------------------------------------------------------- steps */

static void draw_interval(unsigned long *start, unsigned long *length)
{
	int page = draw(PAGES);

	*start = AT(page) + (one_in(6) ? 1 : 0);
	*length = AT(1 + draw(one_in(8) ? PAGES : 5)) - AT(0);
	*length -= one_in(6) ? 1 : 0;
	if (one_in(12))
		*length = 1;
	if (one_in(30)) {
		*start = 0;
		*length = ULONG_MAX;
	}
	if (h.kind == WILD && one_in(30)) {
		*start = ULONG_MAX - draw(2);
		*length = ULONG_MAX - *start + 1;
	}
	if (one_in(40))
		*length = 0;
}

static struct sub *free_sub(void)
{
	for (int i = 0; i < SUBS; i++)
		if (!h.subs[i].used)
			return &h.subs[i];
	return NULL;
}

/* Any that is there, or NULL; one that is being read if there is one. */
static struct sub *any_sub(bool reading)
{
	int from = draw(SUBS);

	for (int i = 0; i < SUBS; i++) {
		struct sub *sub = &h.subs[(from + i) % SUBS];

		if (sub->used && (sub->reading || !reading))
			return sub;
	}
	return reading ? any_sub(false) : NULL;
}

/* Born in a callback it has a simple nature: it may be called there or not. */
static void draw_nature(struct sub *sub)
{
	memset(sub, 0, sizeof(*sub));
	sub->client.invalidate = invalidate;
	if (h.in_start) {
		sub->born_in = h.starts;
		return;
	}
	sub->refuses = one_in(5);
	sub->refuses_all = one_in(20);
	sub->gives_birth = h.kind == WILD && one_in(5);
	if (one_in(4))
		sub->client.finish = finish;
}

static void insert_one(void)
{
	struct sub *sub = free_sub();
	unsigned long start, length;
	int ret;

	if (!sub) {
		note("no room\n");
		return;
	}
	draw_nature(sub);
	draw_interval(&start, &length);
	if (h.design->prepare)
		h.design->prepare(&sub->client);
	ret = h.design->insert(&sub->sub, h.mm, start, length, &sub->client);
	note("insert s%d %lx+%lx: %d\n", sub_number(&sub->sub), start, length,
	     ret);
	sub->used = !ret;
	sub->start = start;
	sub->last = start + length - 1;
}

static void remove_one(struct sub *sub)
{
	if (!sub || !sub->used)
		return;
	note("remove s%d\n", sub_number(&sub->sub));
	h.design->remove(&sub->sub);
	sub->used = false;
}

static void start_one(void)
{
	unsigned long start = AT(draw(PAGES)) + (one_in(6) ? 1 : 0), end;
	enum mmu_notifier_event event = one_in(2) ? MMU_NOTIFY_CLEAR :
						    MMU_NOTIFY_MIGRATE;
	struct range *range = h.ranges;
	bool blockable = !one_in(3);
	int ret;

	while (range < h.ranges + RANGES && range->open)
		range++;
	if (range == h.ranges + RANGES)
		return;
	end = start + AT(1 + draw(one_in(6) ? PAGES : 3)) - AT(0);
	if (h.kind == WILD && one_in(25))
		end = one_in(2) ? start : start - 1;
	note("start r%d\n", (int)(range - h.ranges));
	range->start = start;
	range->end = end;
	h.starts++;
	h.in_start = true;
	ret = h.design->start(&range->range, h.mm, start, end, blockable, event,
			      one_in(2) ? &h : NULL);
	h.in_start = false;
	range->open = !ret;
	note("started r%d: %d\n", (int)(range - h.ranges), ret);
}

static void end_one(struct range *range)
{
	if (!range->open)
		return;
	note("end r%d\n", (int)(range - h.ranges));
	h.design->end(&range->range);
	range->open = false;
}

/* Alone, nobody must begin a read that would have to wait. */
static bool would_wait(const struct sub *sub)
{
	const struct range *range;

	for (range = h.ranges; range < h.ranges + RANGES; range++)
		if (range->open && range->start <= sub->last &&
		    range->end - 1 >= sub->start)
			return true;
	return false;
}

static void read_one(struct sub *sub)
{
	bool again;

	if (!sub || would_wait(sub))
		return;
	if (!sub->reading) {
		if (h.design->read_begin)
			sub->seq = h.design->read_begin(&sub->sub);
		sub->calls_at_begin = sub->calls;
		sub->reading = true;
		return;
	}
	if (h.design->read_retry)
		again = h.design->read_retry(&sub->sub, sub->seq);
	else
		again = sub->calls != sub->calls_at_begin &&
			reference_mutant != NEVER_RETRIES;
	note("read s%d: %s\n", sub_number(&sub->sub), again ? "again" : "good");
	sub->reading = false;
}

static void register_one(struct list *list)
{
	bool refuses = h.kind == WILD && one_in(3);

	if (list->used || h.ended)
		return;
	memset(list, 0, sizeof(*list));
	list->client.start = list_start;
	list->client.end = refuses ? NULL : list_end;
	list->client.release = list_release;
	if (h.design->prepare_list)
		h.design->prepare_list(&list->client);
	h.design->list_register(&list->list, h.mm, &list->client);
	list->used = true;
	note("register l%d%s\n", list_number(&list->list),
	     refuses ? " refuses" : "");
}

static void unregister_one(struct list *list)
{
	if (!list->used)
		return;
	note("unregister l%d\n", list_number(&list->list));
	h.design->list_unregister(&list->list, h.mm);
	list->used = false;
}

static void end_all(void)
{
	for (int i = 0; i < RANGES; i++)
		end_one(&h.ranges[i]);
}

static void step(void)
{
	bool may_change = h.kind == WILD || !anything_open();
	unsigned int what = draw(100);

	if (what < 20 && (h.kind == WILD || !h.ended))
		start_one();
	else if (what < 35)
		end_one(&h.ranges[draw(RANGES)]);
	else if (what < 45)
		end_all();
	else if (what < 65 && may_change)
		insert_one();
	else if (what < 70 && may_change)
		remove_one(any_sub(false));
	else if (what < 92 && may_change)
		read_one(any_sub(one_in(2)));
	else if (what < 98 && may_change)
		register_one(&h.lists[draw(LISTS)]);
	else if (may_change)
		unregister_one(&h.lists[draw(LISTS)]);
}

static void release(void)
{
	end_all();
	note("release\n");
	h.ended = true;
	h.starts++;
	h.design->release(h.mm);
}

void run_history(const struct uhmm_design *design, enum history_kind kind,
		 unsigned long seed, char log[HISTORY_LOG])
{
	memset(&h, 0, sizeof(h));
	h.design = design;
	h.kind = kind;
	h.random = seed * 0x9e3779b97f4a7c15UL + 1;
	h.log = log;
	log[0] = 0;
	if (design->mm_create(&h.mm))
		abort();
	/* Some have more than a node of an index holds. */
	for (int i = draw(3) * 16; i > 0; i--)
		insert_one();
	for (int i = 0; i < STEPS; i++)
		step();
	release();
	for (int i = 0; i < STEPS / 8; i++)
		step();
	end_all();
	for (int i = 0; i < SUBS; i++)
		remove_one(&h.subs[i]);
	for (int i = 0; i < LISTS; i++)
		unregister_one(&h.lists[i]);
	if (design->mm_destroy)
		design->mm_destroy(h.mm);
}
