/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the process's address space announced while an op ran. */
#include "replay.h"

#include <uhmm/mmu_notifier.h>

struct logger {
	struct mmu_notifier mn;
	struct event_log *log;
};

static void add(struct event_log *log, struct event event)
{
	if (log->n == log->room) {
		log->room = log->room ? 2 * log->room : 64;
		log->events = realloc(log->events,
				      log->room * sizeof(event));
	}
	log->events[log->n++] = event;
}

static void add_range(struct mmu_notifier *mn, char mark,
		      const struct mmu_notifier_range *range)
{
	add(((struct logger *)mn)->log,
	    (struct event){ mark, range->event, range->owner, range->start,
			    range->end, mmu_notifier_range_blockable(range) });
}

static int log_start(struct mmu_notifier *mn,
		     const struct mmu_notifier_range *range)
{
	add_range(mn, '<', range);
	return 0;
}

static void log_end(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	add_range(mn, '>', range);
}

static bool log_young(struct mmu_notifier *mn, struct mm_struct *mm,
		      unsigned long start, unsigned long end)
{
	add(((struct logger *)mn)->log,
	    (struct event){ 'y', 0, NULL, start, end, true });
	return false;
}

static const struct mmu_notifier_ops logger_ops = {
	.invalidate_range_start = log_start,
	.invalidate_range_end = log_end,
	.clear_flush_young = log_young,
};

/* Called under locks of the address space, from the thread that replays. */
void events_change_pte(struct mm_struct *mm, unsigned long addr, void *arg)
{
	struct event_log *log = arg;

	if (mm == log->mm)
		add(log, (struct event){ 'p', 0, NULL, addr, addr + PAGE,
					 true });
}

int events_begin(struct replay *replay)
{
	struct logger *logger = calloc(1, sizeof(*logger));

	logger->mn.ops = &logger_ops;
	logger->log = &replay->log;
	replay->log.mm = replay->mm;
	replay->log.mn = &logger->mn;
	return mmu_notifier_register(&logger->mn, replay->mm);
}

void events_end(struct replay *replay)
{
	if (!replay->log.mn)
		return;
	mmu_notifier_unregister(replay->log.mn, replay->mm);
	free(replay->log.mn);
	free(replay->log.events);
}

/* ----------------------------------------------------------------- in words */

static const char *const names[] = {
	[MMU_NOTIFY_UNMAP] = "UNMAP",
	[MMU_NOTIFY_CLEAR] = "CLEAR",
	[MMU_NOTIFY_PROTECTION_VMA] = "PROT_VMA",
	[MMU_NOTIFY_PROTECTION_PAGE] = "PROT_PAGE",
	[MMU_NOTIFY_SOFT_DIRTY] = "SOFT_DIRTY",
	[MMU_NOTIFY_RELEASE] = "RELEASE",
	[MMU_NOTIFY_MIGRATE] = "MIGRATE",
	[MMU_NOTIFY_EXCLUSIVE] = "EXCLUSIVE",
};

static bool same(const struct event *a, const struct event *b)
{
	return a->what == b->what && a->start == b->start && a->end == b->end;
}

static void print_event(struct replay *replay, const struct event *event,
			const char *mark, const char *name)
{
	const struct region *region = region_of(event->start);
	FILE *out = replay->out;
	unsigned long first, n;

	if (!event->start && event->end >= ~0UL - PAGE) {
		fprintf(out, " %s%s:*", mark, name);
	} else if (region) {
		first = (event->start - region->base) / PAGE;
		n = (event->end - event->start) / PAGE;
		if (first + n > region->pages)
			n = region->pages - first;
		fprintf(out, " %s%s:%c.%lu+%lu", mark, name, region->name,
			first, n);
	}
	for (int d = 0; d < NR_DEVICES; d++)
		if (event->owner &&
		    event->owner == uhmm_dmirror_owner(replay->devices[d]))
			fprintf(out, "@%d", d);
	if (!event->blockable)
		fprintf(out, "~");
}

void events_print(struct replay *replay)
{
	const struct event *events = replay->log.events;
	size_t n = replay->log.n;

	if (n)
		fprintf(replay->out, " ev");
	for (size_t i = 0; i < n; i++) {
		char mark[2] = { events[i].mark };

		if (*mark == 'p' || *mark == 'y') {
			print_event(replay, &events[i], "", *mark == 'p' ?
				    "change_pte" : "clear_flush_young");
			continue;
		}
		if (*mark == '<' && i + 1 < n && events[i + 1].mark == '>' &&
		    same(&events[i], &events[i + 1])) {
			mark[0] = '\0';
			i++;
		}
		print_event(replay, &events[i], mark, names[events[i].what]);
	}
	if (n)
		fprintf(replay->out, "\n");
	replay->log.n = 0;
}
