/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 01, 1 September 2015, no message-id: the review says that the fault
 * can starve, the answer that this cannot happen.
 * How many of three invalidations go ahead of a fault? All, where collisions
 * decide. After one the library makes those that start later wait for it.
 *
 * Bad: three invalidations overtake a fault
 * Result: Never starved_uhmm
 * Result: Sometimes starved_*
 */
#include "device.h"

#include <uhmm/mm.h>

enum { STORM = 3 };

static void *fault_in_a_storm(void *unused)
{
	unsigned int again;

	uhmm_thread_name("fault");
	again = fault();
	uhmm_measure("invalidations that overtook a fault", again);
	if (again >= STORM)
		uhmm_defect(UHMM_DEFECT_OVERTAKEN, "overtaken %u times", again);
	return NULL;
}

static void *storm(void *unused)
{
	struct design_range range;
	unsigned int i;

	uhmm_thread_name("storm");
	for (i = 0; i < STORM; i++) {
		start(&range, HERE);
		design->end(&range);
	}
	return NULL;
}

static void starved(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(fault_in_a_storm, storm);
}

/* The library, told after how many collisions to reserve. */
static void reserve_after(unsigned int collisions)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options), .reserve_after = collisions };

	uhmm_mm_create_with(&options, (struct mm_struct **)&mm);
	begin(&uhmm_as_uhmm);
	TOGETHER(fault_in_a_storm, storm);
}

static void unreserved(void)
{
	reserve_after(UHMM_RESERVE_NEVER);
}

static void reserved(void)
{
	reserve_after(1);
}

#define SOURCE "mail, 1 September 2015"
#define BAD "three invalidations overtake a fault"

SCENARIO_OF(classic, SOMETIMES, starved, starved, SOURCE, BAD);
SCENARIO_OF(active_list, SOMETIMES, starved, starved, SOURCE, BAD);
SCENARIO_OF(valid_flag, SOMETIMES, starved, starved, SOURCE, BAD);
SCENARIO_OF(valid_bool, SOMETIMES, starved, starved, SOURCE, BAD);
UHMM_SCENARIO(starved_unreserved, .run = unreserved, .source = SOURCE,
	      .bad = BAD, .result = UHMM_RESULT_SOMETIMES);
UHMM_SCENARIO(starved_uhmm, .run = reserved, .source = SOURCE,
	      .bad = BAD, .result = UHMM_RESULT_NEVER);
