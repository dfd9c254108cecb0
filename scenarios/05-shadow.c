/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 05-cache.c, no message-id: only a registration cache may leave
 * invalidate_end out. Who shadows page tables counts the invalidations that are
 * open, too: what is taken over between start and the change is what goes.
 *
 * Bad: the device reads a page that is freed
 * Result: Never shadow_start_end_*
 * Result: Sometimes shadow_start_only_*
 */
#include "device.h"

static struct design_list list;
static struct design_list_client driver;
static atomic_uint active, begun;	/* changed under lock */

static int on_start(struct design_list *l, unsigned long from, unsigned long to,
		    bool blockable, enum mmu_notifier_event event)
{
	pthread_mutex_lock(&lock);
	begun++;
	if (driver.end)
		active++;
	spte = 0;
	pthread_mutex_unlock(&lock);
	return 0;
}

static void on_end(struct design_list *l, unsigned long from, unsigned long to,
		   enum mmu_notifier_event event)
{
	pthread_mutex_lock(&lock);
	active--;
	pthread_mutex_unlock(&lock);
}

static void *populate(void *unused)
{
	unsigned int before, page;
	bool open;

	pthread_mutex_lock(&lock);
	before = begun;
	open = active;
	pthread_mutex_unlock(&lock);
	page = pte;
	pthread_mutex_lock(&lock);
	if (!open && !active && begun == before)
		spte = page;
	pthread_mutex_unlock(&lock);
	use();
	return NULL;
}

static void start_only(const struct uhmm_design *of)
{
	driver.start = on_start;
	begin(of);
	design->prepare_list(&driver);
	design->list_register(&list, mm, &driver);
	TOGETHER(populate, unmap);
}

static void start_end(const struct uhmm_design *of)
{
	driver.end = on_end;
	start_only(of);
}

#define FROM "mail, 15 August 2019 (models)", "the device reads a freed page"
SCENARIO_OF(uhmm, NEVER, shadow_start_end, start_end, FROM);
SCENARIO_OF(classic, NEVER, shadow_start_end, start_end, FROM);
SCENARIO_OF(uhmm, SOMETIMES, shadow_start_only, start_only, FROM);
SCENARIO_OF(classic, SOMETIMES, shadow_start_only, start_only, FROM);
