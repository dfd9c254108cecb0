/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "designs/mirrors.h"

#include <errno.h>
#include <limits.h>

#include "designs/design.h"

void mirrors_init(struct mirrors *mirrors)
{
	*mirrors = (struct mirrors){ .first = NULL };
	mutex_init(&mirrors->lock);
}

void mirrors_wait(struct mirrors *mirrors) __no_context_analysis
{
	unsigned int changed = READ_ONCE(mirrors->changed);

	mutex_unlock(&mirrors->lock);
	wait_word(&mirrors->changed, changed, -1);
	mutex_lock(&mirrors->lock);
}

void mirrors_wake(struct mirrors *mirrors)
{
	WRITE_ONCE(mirrors->changed, mirrors->changed + 1);
	wake_word(&mirrors->changed);
}

int mirrors_add(struct mirrors *mirrors, struct mirror *mirror,
		unsigned long start, unsigned long length,
		const struct design_client *client)
{
	unsigned long last = start + length - 1;
	int ret = -EINVAL;

	if (!length || last < start)
		return -EOVERFLOW;
	mutex_lock(&mirrors->lock);
	if (!mirrors->ended) {
		mirror->client = client;
		mirror->start = start;
		mirror->last = last;
		mirror->next = mirrors->first;
		mirrors->first = mirror;
		ret = 0;
	}
	mutex_unlock(&mirrors->lock);
	return ret;
}

void mirrors_remove(struct mirrors *mirrors, struct mirror *mirror)
{
	struct mirror **link = &mirrors->first;

	mutex_lock(&mirrors->lock);
	while (*link != mirror)
		link = &(*link)->next;
	WRITE_ONCE(*link, mirror->next);
	while (mirrors->walks)
		mirrors_wait(mirrors);
	mutex_unlock(&mirrors->lock);
}

int mirrors_call(struct mirrors *mirrors, unsigned long start,
		 unsigned long end, bool blockable,
		 enum mmu_notifier_event event, void *owner)
{
	struct mirror *mirror;
	int ret = 0;

	mutex_lock(&mirrors->lock);
	mirrors->walks++;
	mirror = mirrors->first;
	mutex_unlock(&mirrors->lock);

	for (; mirror && !ret; mirror = READ_ONCE(mirror->next)) {
		struct design_sub *sub = (struct design_sub *)mirror;

		if (!mirror->client->invalidate(sub, start, end, blockable,
						event, owner, 0) && !blockable)
			ret = -EAGAIN;
	}

	mutex_lock(&mirrors->lock);
	if (!--mirrors->walks)
		mirrors_wake(mirrors);
	mutex_unlock(&mirrors->lock);
	return ret;
}

void mirrors_end(struct mirrors *mirrors)
{
	mirrors_call(mirrors, 0, ULONG_MAX, true, MMU_NOTIFY_RELEASE, NULL);
	mutex_lock(&mirrors->lock);
	mirrors->ended = true;
	mutex_unlock(&mirrors->lock);
}
