/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>. L1: a read does not wait for
 * other ranges. L2: insert and remove are in force at once. Who has another range
 * open waits here for them. L3: see 02. L4: a wait can be given up.
 *
 * Bad: deadlock
 * Result: Never *_uhmm, *_active_list, *_valid_bool
 * Result: Always *
 */
#include "device.h"

static struct design_sub other;
static pthread_t helper;

/* Open at ELSEWHERE until @fn is done; what began later at HERE has ended. */
static void while_open(void *(*fn)(void *))
{
	struct design_range range;

	start(&range, ELSEWHERE);
	remap(2);
	pthread_create(&helper, NULL, fn, NULL);
	pthread_join(helper, NULL);
	design->end(&range);
}

static void *fault_here(void *unused)
{
	fault();
	return NULL;
}

static void read_elsewhere(const struct uhmm_design *of)
{
	begin(of);
	design->insert(&other, mm, ELSEWHERE, PAGE, &client);
	while_open(fault_here);
}

static void *come_and_go(void *unused)
{
	begin(design);
	fault();
	design->remove(&sub);
	return NULL;
}

static void insert_remove(const struct uhmm_design *of)
{
	begin(of);
	design->insert(&other, mm, ELSEWHERE, PAGE, &client);
	design->remove(&sub);
	while_open(come_and_go);
}

static void *impatient(void *unused)
{
	unsigned long seq;

	if (uhmm_interval_read_begin_timeout(&sub.as.uhmm, 1000, &seq) != -ETIMEDOUT)
		uhmm_defect(UHMM_DEFECT_LOST, "read while invalidated");
	return NULL;
}

static void gives_up(const struct uhmm_design *of)
{
	struct design_range range;

	begin(of);
	start(&range, HERE);
	TOGETHER(impatient);
	design->end(&range);
}

#define FROM "mail, 7 November 2019", "deadlock"
SCENARIOS(NEVER, ALWAYS, NEVER, ALWAYS, NEVER, read_elsewhere, read_elsewhere, FROM);
SCENARIOS(NEVER, ALWAYS, NEVER, ALWAYS, NEVER, insert_remove, insert_remove, FROM);
SCENARIO_OF(uhmm, NEVER, gives_up, gives_up, FROM);
