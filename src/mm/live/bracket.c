/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Brackets: who makes the change announces it.
 *
 * The address space is found through one pointer, and stays while anybody is
 * inside; who is, is counted in one of a few lines by the number of the
 * thread. What is bracketed need not be told of by the kernel: its watch ends,
 * so that the change costs no sleep.
 */
#include "bracket.h"

#include <string.h>

#include "out.h"

#define LINES 16
#define PASS_ON_NS INT64_C(1000000000)

/* Of &line.word: who is inside; above it, how many are or have been. */
#define INSIDE 0xfffffUL
#define WAS_INSIDE (INSIDE + 1)

/*
 * What a bracket needs of the address space, in one page: who has just had the kernel
 * change its memory finds none in the TLB. A child finds it empty, however it was made:
 * nothing is open there, and the address space is one that nobody has told of the change.
 */
static struct {
	struct live *here;
	/* Of @here; they stay while anybody is inside. */
	struct mm_struct *mm;
	struct out *out;
	struct leaf **leaves;
	unsigned int era;		/* the how manieth; 0: in a child */
	unsigned long since;		/* so many had been inside before it */
	struct line {
		unsigned long word;
	} __cacheline_aligned lines[LINES];
} __attribute__((aligned(LIVE_PAGE))) brackets;

_Static_assert(sizeof(brackets) == LIVE_PAGE, "nothing else is lost in a child");

static __hot unsigned long *bracket_enter(struct live **ret_live)
{
	unsigned long *inside;

	if (!READ_ONCE(brackets.here))
		return NULL;
	inside = &brackets.lines[sync_thread_number() % LINES].word;
	fetch_add(inside, 1 + WAS_INSIDE);
	/*
	 * Ordering: (BRACKET-ENTER) pairs with (BRACKET-GONE) in
	 * brackets_close(): we see that the address space has gone, or are seen
	 * inside.
	 */
	smp_mb__after_atomic();
	*ret_live = READ_ONCE(brackets.here);
	if (*ret_live)
		return inside;
	fetch_sub(inside, 1 + WAS_INSIDE);
	return NULL;
}

static unsigned long have_been_inside(void)
{
	unsigned long n = 0;

	for (unsigned int i = 0; i < LINES; i++)
		n += READ_ONCE(brackets.lines[i].word) / WAS_INSIDE;
	return n;
}

unsigned long brackets_of(const struct live *live)
{
	return READ_ONCE(brackets.here) == live ?
		       have_been_inside() - READ_ONCE(brackets.since) : 0;
}

void brackets_count(struct live *live)
{
	unsigned long n = brackets_of(live);

	live->stats.brackets += n;
	WRITE_ONCE(brackets.since, brackets.since + n);
}

/* Does the kernel send an event for what is bracketed, nevertheless? */
static bool is_told_of(struct live *live, const struct out *out,
		       enum mmu_notifier_event event, unsigned long start,
		       unsigned long end)
{
	if (event == MMU_NOTIFY_PROTECTION_PAGE)
		return live_has(live, UHMM_LIVE_EVENT_FORK);
	return event != MMU_NOTIFY_PROTECTION_VMA && out &&
	       out_needs_events(live, start, end);
}

__hot int live_bracket_open(struct live_bracket *b, unsigned long addr,
			    unsigned long length, enum mmu_notifier_event event,
			    unsigned int flags)
{
	unsigned long start = addr & ~(LIVE_PAGE - 1), end;
	struct mm_struct *mm;
	struct leaf **leaves;
	struct live *live;
	struct out *out;
	int ret;

	b->inside = NULL;
	b->watcher = -1;
	if (!length)
		return 0;
	if (__builtin_add_overflow(addr, length, &end) ||
	    end > -LIVE_PAGE)
		end = ~0UL;
	else
		end = (end + LIVE_PAGE - 1) & ~(LIVE_PAGE - 1);
	b->inside = bracket_enter(&live);
	if (!b->inside)
		return 0;
	mm = brackets.mm;
	out = brackets.out;
	leaves = brackets.leaves;
	/* In a child that a handler has made by now they are none. */
	barrier();
	b->era = READ_ONCE(brackets.era);
	if (unlikely(!b->era)) {
		b->inside = NULL;
		return 0;
	}
	mmu_notifier_range_init(&b->range, event, 0, mm, start, end);
	ret = flags & LIVE_NONBLOCK ?
		      mmu_notifier_invalidate_range_start_nonblock(&b->range) :
		      mmu_notifier_invalidate_range_start(&b->range);
	/* Nor is anything open in one that a callback has made. */
	if (unlikely(b->era != READ_ONCE(brackets.era))) {
		b->inside = NULL;
		return 0;
	}
	if (ret) {
		fetch_sub(b->inside, 1 + WAS_INSIDE);
		b->inside = NULL;
	}
	b->told = !ret && is_told_of(live, out, event, start, end);
	if (!ret && event != MMU_NOTIFY_PROTECTION_VMA &&
	    event != MMU_NOTIFY_PROTECTION_PAGE && !b->told &&
	    watch_clear(leaves, start, end)) {
		b->watcher = watch_only(live, start, end);
		if (b->watcher < 0)
			watch_end(live, start, end);
	}
	if (BROKEN(live_broken, BROKEN_END)) {
		live_bracket_end(b);
		b->inside = NULL;
		sync_yield();
	}
	return ret;
}

int live_bracket_start(struct live_bracket *b, unsigned long addr,
		       unsigned long length, enum mmu_notifier_event event,
		       unsigned int flags)
{
	int saved = *sync_errno();
	int ret = live_bracket_open(b, addr, length, event, flags);

	bracket_unwatch(b);
	*sync_errno() = saved;
	return ret;
}

__hot void live_bracket_end(struct live_bracket *b)
{
	int saved = *sync_errno();

	if (!b->inside || b->era != READ_ONCE(brackets.era))
		return;
	/* Read it was before the change was over; it would count as another. */
	if (b->told && !live_ended(live_of(b->range.mm)) &&
	    !BROKEN(live_broken, BROKEN_TOLD))
		monitor_passed_on(live_of(b->range.mm), PASS_ON_NS);
	mmu_notifier_invalidate_range_end(&b->range);
	/*
	 * Ordering: (BRACKET-LEAVE) pairs with (BRACKET-LEFT) in
	 * brackets_close(): what we have done there is done before it goes.
	 */
	if (likely(b->era == READ_ONCE(brackets.era)))
		fetch_sub(b->inside, 1);
	*sync_errno() = saved;
}

bool live_bracket_rejoin(unsigned long addr, unsigned long length)
{
	unsigned long start = addr & ~(LIVE_PAGE - 1), end = addr + length;
	bool again = false;
	int saved = *sync_errno();
	unsigned long *inside;
	struct live *live;

	inside = bracket_enter(&live);
	if (!inside)
		return false;
	if (!live->out || !out_needs_events(live, start, end)) {
		watch_end(live, start, end);
		again = true;
	}
	fetch_sub(inside, 1 + WAS_INSIDE);
	*sync_errno() = saved;
	return again;
}

void brackets_open(struct live *live)
{
	static unsigned int eras;

	sync_wipe_in_child(&brackets, sizeof(brackets));
	brackets.mm = live->mm;
	brackets.out = live->out;
	brackets.leaves = live->leaves;
	/* In a child who was inside in its parent may have taken that back. */
	if (!brackets.era)
		memset(brackets.lines, 0, sizeof(brackets.lines));
	brackets.since = have_been_inside();
	WRITE_ONCE(brackets.era, ++eras);
	(void)xchg(&brackets.here, live);
}

void brackets_close(void)
{
	if (brackets.here)
		brackets_count(brackets.here);
	(void)xchg(&brackets.here, NULL);
	/*
	 * Ordering: (BRACKET-GONE) pairs with (BRACKET-ENTER) in bracket_enter():
	 * whoever is not seen inside sees that it has gone.
	 */
	smp_mb__after_atomic();
	for (unsigned int i = 0; i < LINES; i++)
		/*
		 * Ordering: (BRACKET-LEFT) pairs with (BRACKET-LEAVE) in
		 * live_bracket_end(): see there.
		 */
		while (smp_load_acquire(&brackets.lines[i].word) & INSIDE)
			sync_yield();
}

/* The parent's are not ours, and none of ours is open. */
void brackets_fork_child(void)
{
	memset(&brackets, 0, sizeof(brackets));
}
