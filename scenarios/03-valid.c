/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: "Jason" to Jerome Glisse, in answer to Fri, May 24, 2019 at 02:46:08PM
 * -0400; neither subject nor message-id are known.
 *
 * "The big 3 CPU ladder diagram that shows how 'valid' does not work": the end
 * of somebody else's invalidation makes a range valid that is being
 * invalidated. With a counter of open invalidations it does not. What remains
 * is that a flag which was cleared and set again looks as if nothing had been.
 *
 * Bad: a page is mapped while its range is invalidated; or, in came_and_went,
 * the device reads a page that is freed
 * Result: Sometimes ladder_valid_bool
 * Result: Never ladder_*
 * Result: Sometimes came_and_went_valid_*
 * Result: Sometimes came_and_went_active_list
 * Result: Never came_and_went_*
 */
#include "device.h"

static atomic_bool changing;	/* between start and end of HERE */

static void *populate(void *unused)
{
	unsigned long seq = design->read_begin(&sub);

	uhmm_thread_name("fault");
	pthread_mutex_lock(&lock);
	if (!design->read_retry(&sub, seq) && changing)
		uhmm_defect(UHMM_DEFECT_STALE, "valid, but being invalidated");
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void *change(void *unused)
{
	struct design_range range;

	uhmm_thread_name("overlaps");
	start(&range, HERE);
	changing = true;
	changing = false;
	design->end(&range);
	return NULL;
}

static void *change_elsewhere(void *unused)
{
	struct design_range range;

	uhmm_thread_name("elsewhere");
	start(&range, ELSEWHERE);
	design->end(&range);
	return NULL;
}

static void ladder(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(populate, change, change_elsewhere);
}

static void came_and_went(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, unmap);
}

SCENARIOS(NEVER, NEVER, NEVER, NEVER, SOMETIMES, ladder, ladder,
	  "mail, 24 May 2019", "mapped while the range is invalidated");
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, came_and_went,
	  came_and_went, "mail, 24 May 2019", "a freed page is read");
