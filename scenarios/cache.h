/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios of the registration cache share: a process with a page at
 * HERE, which it changes, and one ELSEWHERE, and a device that pins what is
 * registered with it.
 *
 * A page is a number, and each change puts the next one there. Who gets a
 * registration after a change is to get that page or a newer one; and while he
 * has it, it is not freed.
 */
#ifndef SCENARIOS_CACHE_H
#define SCENARIOS_CACHE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <uhmm/explore.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

enum { PAGE = 4096, HERE = 0x10000, ELSEWHERE = 0x20000, FIRST = 1, OTHER = 9 };

static struct mm_struct *mm;
static struct uhmm_rcache *cache;
static pthread_mutex_t page_table_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int here = FIRST;		/* 0: nothing is mapped */
static unsigned int refs[10] = { [FIRST] = 1, [OTHER] = 1 };
static atomic_uint newest = FIRST;		/* by changes that are over */
static atomic_int failing;			/* so many registrations fail */

static inline unsigned int page_of(unsigned long at)
{
	return at == HERE ? here : OTHER;
}

static inline void put_page(unsigned int page)
{
	uhmm_assert(!page || refs[page]);
	if (page)
		refs[page]--;
}

static int pin(void *unused, unsigned long at, size_t length,
	       unsigned int access, uint64_t *ret_key)
{
	unsigned int page;

	if (atomic_load(&failing) > 0 && atomic_fetch_sub(&failing, 1) > 0)
		return -EIO;
	pthread_mutex_lock(&page_table_lock);
	page = page_of(at);
	refs[page] += page != 0;
	pthread_mutex_unlock(&page_table_lock);
	*ret_key = page;
	return page ? 0 : -EFAULT;
}

static int unpin(void *unused, unsigned long at, size_t length, uint64_t key)
{
	pthread_mutex_lock(&page_table_lock);
	put_page((unsigned int)key);
	pthread_mutex_unlock(&page_table_lock);
	return 0;
}

static inline void begin(unsigned long max_entries)
{
	static const struct uhmm_rcache_ops ops = { .reg = pin, .dereg = unpin };
	struct uhmm_rcache_options options = { .size = sizeof(options),
					       .max_entries = max_entries };

	if (uhmm_mm_create(&mm) ||
	    uhmm_rcache_create(mm, &ops, NULL, &options, &cache))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no cache");
}

/* Nothing is left behind, and nothing is given back twice. */
static inline void finish(void)
{
	uhmm_assert(!uhmm_rcache_destroy(cache));
	uhmm_assert(refs[OTHER] == 1);
	for (unsigned int page = FIRST; page < OTHER; page++)
		uhmm_assert(refs[page] == (page == here));
}

/* What is there is page @page from now on, or nothing. */
static inline void change(unsigned int page)
{
	pthread_mutex_lock(&page_table_lock);
	put_page(here);
	here = page;
	refs[page] += page != 0;
	pthread_mutex_unlock(&page_table_lock);
}

static inline void bracket(unsigned long start, unsigned long end,
			   enum mmu_notifier_event event, unsigned int page)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, event, 0, mm, start, end);
	mmu_notifier_invalidate_range_start(&range);
	change(page);
	mmu_notifier_invalidate_range_end(&range);
	atomic_store(&newest, page ? page : FIRST + 1);
}

/* The device uses what was got. */
static inline void use(const struct uhmm_registration *reg)
{
	pthread_mutex_lock(&page_table_lock);
	if (!refs[reg->key])
		uhmm_defect(UHMM_DEFECT_STALE,
			    "the device writes page %u, which is freed",
			    (unsigned int)reg->key);
	pthread_mutex_unlock(&page_table_lock);
}

static inline void get_and_use(unsigned long at)
{
	unsigned int least = at == HERE ? atomic_load(&newest) : OTHER;
	struct uhmm_registration reg;

	if (uhmm_rcache_get(cache, at, 1, UHMM_RCACHE_WRITE, &reg))
		return;
	if (reg.key < least)
		uhmm_defect(UHMM_DEFECT_STALE, "what was page %u is got as %u",
			    least, (unsigned int)reg.key);
	use(&reg);
	uhmm_rcache_put(&reg);
}

/* ------------------------------------------------------------ as threads */

static inline void *user(void *unused)
{
	uhmm_thread_name("user");
	get_and_use(HERE);
	return NULL;
}

static inline void *user_twice(void *unused)
{
	user(NULL);
	return user(NULL);
}

static inline void *user_elsewhere(void *unused)
{
	uhmm_thread_name("elsewhere");
	get_and_use(ELSEWHERE);
	return NULL;
}

static inline void *remap(void *unused)
{
	uhmm_thread_name("remap");
	bracket(HERE, HERE + PAGE, MMU_NOTIFY_UNMAP, FIRST + 1);
	return NULL;
}

static inline void *unmap(void *unused)
{
	uhmm_thread_name("unmap");
	bracket(HERE, HERE + PAGE, MMU_NOTIFY_UNMAP, 0);
	return NULL;
}

static inline void run_together(void *(*one)(void *), void *(*other)(void *))
{
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, one, NULL);
	pthread_create(&threads[1], NULL, other, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

static inline void together(void *(*one)(void *), void *(*other)(void *))
{
	run_together(one, other);
	finish();
}

#endif
