/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How drivers were called before there were interval notifiers: each mirror of
 * an address space for each range, whether that concerns it or not, the mirror
 * registered last first. What active_list and valid_flag share, and a place to
 * wait in.
 */
#ifndef DESIGNS_MIRRORS_H
#define DESIGNS_MIRRORS_H

#include <stdbool.h>

#include <uhmm/mmu_notifier.h>

#include "sync/sync.h"

struct design_client;
struct design_sub;

/* What a mirror wants to read is [start, last]; it is called for more. */
struct mirror {
	struct mirror *next;
	const struct design_client *client;
	unsigned long start;
	unsigned long last;
};

/* One for an address space. All under @lock but a walk's steps. */
struct mirrors {
	struct mutex lock;
	struct mirror *first;
	unsigned int walks;	/* under way: nothing unlinked is freed */
	unsigned int changed;	/* what mirrors_wait() sleeps on */
	bool ended;
};

void mirrors_init(struct mirrors *mirrors);
/* 0; -EOVERFLOW: empty or wraps; -EINVAL: the address space has ended. */
int mirrors_add(struct mirrors *mirrors, struct mirror *mirror,
		unsigned long start, unsigned long length,
		const struct design_client *client);
/* Waits until no walk is under way, whomever that is about to call. */
void mirrors_remove(struct mirrors *mirrors, struct mirror *mirror);
/* @lock held; sleeps without it until mirrors_wake(). */
void mirrors_wait(struct mirrors *mirrors);
void mirrors_wake(struct mirrors *mirrors);
/* 0, or -EAGAIN if one refused a range that is not blockable. */
int mirrors_call(struct mirrors *mirrors, unsigned long start,
		 unsigned long end, bool blockable,
		 enum mmu_notifier_event event, void *owner);
/* RELEASE for all, and then nothing any more for anyone. */
void mirrors_end(struct mirrors *mirrors);

static inline bool mirror_overlaps(const struct mirror *mirror,
				   unsigned long start, unsigned long end)
{
	return mirror->start <= end - 1 && mirror->last >= start;
}

#endif
