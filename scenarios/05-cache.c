/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: "Jerome" to Jason Gunthorpe, in answer to Thu, Aug 15, 2019 at 12:10:28PM
 * -0300, on dri-devel; neither subject nor message-id are known.
 * A registration cache that pins may go by invalidate_start alone.
 * Bad: the device reads a page that is freed
 * Result: Never cache_pinned_*
 * Result: Sometimes cache_unpinned_*
 */
#include "device.h"

static struct design_list list;
static struct design_list_client cache;
static pthread_mutex_t page_table_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint refs[4] = { 0, 1 };	/* of pages; 1: page 1 is mapped */
static bool pins;

static void put_page(unsigned int page)
{
	if (page && atomic_fetch_sub(&refs[page], 1) == 1)
		atomic_store(&freed[page], true);
}

static int drop(struct design_list *l, unsigned long from, unsigned long to,
		bool blockable, enum mmu_notifier_event event)
{
	pthread_mutex_lock(&lock);
	if (pins)
		put_page(spte);
	spte = 0;
	pthread_mutex_unlock(&lock);
	return 0;
}

static void *register_page(void *unused)
{
	pthread_mutex_lock(&page_table_lock);
	unsigned int page = atomic_load(&pte);
	refs[page] += pins;
	pthread_mutex_unlock(&page_table_lock);
	pthread_mutex_lock(&lock);
	spte = page;
	pthread_mutex_unlock(&lock);
	use();
	return NULL;
}

static void *unmap_page(void *unused)
{
	struct design_range range;

	start(&range, HERE);
	pthread_mutex_lock(&page_table_lock);
	unsigned int old = atomic_exchange(&pte, 0);
	pthread_mutex_unlock(&page_table_lock);
	put_page(old);
	design->end(&range);
	return NULL;
}

static void unpinned(const struct uhmm_design *of)
{
	cache.start = drop;
	begin(of);
	design->prepare_list(&cache);
	design->list_register(&list, mm, &cache);
	TOGETHER(register_page, unmap_page);
}

static void pinned(const struct uhmm_design *of)
{
	pins = true;
	unpinned(of);
}

#define FROM "mail, 15 August 2019 (models)", "the device reads a freed page"
SCENARIO_OF(uhmm, NEVER, cache_pinned, pinned, FROM);
SCENARIO_OF(classic, NEVER, cache_pinned, pinned, FROM);
SCENARIO_OF(uhmm, SOMETIMES, cache_unpinned, unpinned, FROM);
SCENARIO_OF(classic, SOMETIMES, cache_unpinned, unpinned, FROM);
