/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: "Jerome" to Dan Williams, in answer to Thu, Aug 15, 2019 at 01:12:22PM
 * -0700, on dri-devel; neither subject nor message-id are known.
 *
 * Device memory goes: disable, invalidate, drain, free. Who faults and keeps no
 * reference is safe if he asks under his lock whether he collided: else he was
 * first, and is invalidated. Not so if a flag answers that is set again.
 *
 * Bad: the device reads memory of a page map that is gone
 * Result: Never teardown_uhmm, teardown_classic
 * Result: Sometimes teardown_*, unasked_*
 */
#include "device.h"

static atomic_uint live = 1;	/* the page map; more are references */
static bool ask = true;

/* As a CPU's touch: an error once the page map is disabled. */
static unsigned int fault_page(void)
{
	unsigned int page = atomic_fetch_add(&live, 2) & 1 ? pte : 0;

	atomic_fetch_sub(&live, 2);
	return page;
}

static void *driver(void *unused)
{
	unsigned int page;
	unsigned long seq;
	bool again;

	uhmm_thread_name("driver");
	do {
		seq = design->read_begin(&sub);
		page = fault_page();
		pthread_mutex_lock(&lock);
		again = ask && design->read_retry(&sub, seq);
		if (!again)
			spte = page;
		pthread_mutex_unlock(&lock);
	} while (again);
	use();
	return NULL;
}

static void *teardown(void *unused)
{
	struct design_range range;

	uhmm_thread_name("teardown");
	atomic_fetch_sub(&live, 1);		/* disable */
	start(&range, HERE);			/* invalidate */
	atomic_store(&pte, 0);
	design->end(&range);
	while (atomic_load(&live))		/* drain */
		sched_yield();
	atomic_store(&freed[1], true);
	return NULL;
}

static void asked(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(driver, teardown);
}

static void unasked(const struct uhmm_design *of)
{
	ask = false;
	asked(of);
}

#define FROM "mail, 15 August 2019 (teardown)", "memory is read that is gone"
SCENARIOS(NEVER, NEVER, SOMETIMES, SOMETIMES, SOMETIMES, teardown, asked, FROM);
SCENARIO_OF(uhmm, SOMETIMES, unasked, unasked, FROM);
SCENARIO_OF(classic, SOMETIMES, unasked, unasked, FROM);
