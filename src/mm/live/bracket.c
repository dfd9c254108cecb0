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

#include <errno.h>

#include "out.h"

#define LINES 16
#define PASS_ON_NS INT64_C(1000000000)

static struct line {
	unsigned int inside;
} __cacheline_aligned lines[LINES];

static struct live *here;
static unsigned int forks;

static __hot unsigned int *bracket_enter(struct live **ret_live)
{
	unsigned int *inside;

	if (!READ_ONCE(here))
		return NULL;
	inside = &lines[sync_thread_number() % LINES].inside;
	fetch_add(inside, 1);
	/*
	 * Ordering: (BRACKET-ENTER) pairs with (BRACKET-GONE) in
	 * brackets_close(): we see that the address space has gone, or are seen
	 * inside.
	 */
	smp_mb__after_atomic();
	*ret_live = READ_ONCE(here);
	/* Not a child's, of which nobody has told us. */
	if (*ret_live && !live_ended(*ret_live))
		return inside;
	fetch_sub(inside, 1);
	return NULL;
}

/* Does the kernel send an event for what is bracketed, nevertheless? */
static bool is_told_of(struct live *live, enum mmu_notifier_event event,
		       unsigned long start, unsigned long end)
{
	if (event == MMU_NOTIFY_PROTECTION_PAGE)
		return live_has(live, UHMM_LIVE_EVENT_FORK);
	return event != MMU_NOTIFY_PROTECTION_VMA && live->out &&
	       out_needs_events(live, start, end);
}

__hot int live_bracket_open(struct live_bracket *b, unsigned long addr,
			    unsigned long length, enum mmu_notifier_event event,
			    unsigned int flags)
{
	unsigned long start = addr & ~(LIVE_PAGE - 1), end;
	int ret, saved = errno;
	struct live *live;

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
	b->forks = READ_ONCE(forks);
	mmu_notifier_range_init(&b->range, event, 0, live->mm, start, end);
	ret = flags & LIVE_NONBLOCK ?
		      mmu_notifier_invalidate_range_start_nonblock(&b->range) :
		      mmu_notifier_invalidate_range_start(&b->range);
	if (ret) {
		fetch_sub(b->inside, 1);
		b->inside = NULL;
	} else {
		live_count(live, brackets);
	}
	b->told = !ret && is_told_of(live, event, start, end);
	if (!ret && event != MMU_NOTIFY_PROTECTION_VMA &&
	    event != MMU_NOTIFY_PROTECTION_PAGE && !b->told &&
	    watch_clear(live, start, end)) {
		b->watcher = watch_only(live, start, end);
		if (b->watcher < 0)
			watch_end(live, start, end);
	}
	if (BROKEN(live_broken, BROKEN_END)) {
		live_bracket_end(b);
		b->inside = NULL;
		sync_yield();
	}
	errno = saved;
	return ret;
}

int live_bracket_start(struct live_bracket *b, unsigned long addr,
		       unsigned long length, enum mmu_notifier_event event,
		       unsigned int flags)
{
	int ret = live_bracket_open(b, addr, length, event, flags);

	bracket_unwatch(b);
	return ret;
}

__hot void live_bracket_end(struct live_bracket *b)
{
	int saved = errno;

	if (!b->inside || b->forks != READ_ONCE(forks))
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
	fetch_sub(b->inside, 1);
	errno = saved;
}

bool live_bracket_rejoin(unsigned long addr, unsigned long length)
{
	unsigned long start = addr & ~(LIVE_PAGE - 1), end = addr + length;
	bool again = false;
	int saved = errno;
	unsigned int *inside;
	struct live *live;

	inside = bracket_enter(&live);
	if (!inside)
		return false;
	if (!live->out || !out_needs_events(live, start, end)) {
		watch_end(live, start, end);
		again = true;
	}
	fetch_sub(inside, 1);
	errno = saved;
	return again;
}

void brackets_open(struct live *live)
{
	(void)xchg(&here, live);
}

void brackets_close(void)
{
	(void)xchg(&here, NULL);
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
		while (smp_load_acquire(&lines[i].inside))
			sync_yield();
}

/* The parent's are not ours, and none of ours is open. */
void brackets_fork_child(void)
{
	here = NULL;
	forks++;
	for (unsigned int i = 0; i < LINES; i++)
		lines[i].inside = 0;
}
