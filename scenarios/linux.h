/* SPDX-License-Identifier: 0BSD */
/*
 * What the scenarios of the live address space share: src/mm/live/monitor.c and
 * bracket.c as they are, above a kernel with one page, which is registered or not. Who
 * changes what is registered sleeps until that has been read, as there.
 */
#ifndef SCENARIOS_LINUX_H
#define SCENARIOS_LINUX_H

#include <uhmm/mm.h>

#include "mm/live/bracket.h"
#include "mm/live/out.h"
#include "threads.h"

extern struct live live;
extern pthread_mutex_t driver_lock;

/* The page is @page from now on. */
void linux_remap(unsigned int page);
/* Which one it is; and from then on it is told of. */
unsigned int linux_register(void);
bool linux_is_gone(unsigned int page);

/* ------------------------------------------------------------------- a device */

static struct mm_struct *mm;
static struct mmu_interval_notifier sub;
static unsigned int spte;			/* the device's, under driver_lock */
static unsigned long spte_seq;			/* of when it was looked up */

static bool zap(struct mmu_interval_notifier *zapped,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&driver_lock);
	else if (pthread_mutex_trylock(&driver_lock))
		return false;
	mmu_interval_set_seq(zapped, cur_seq);
	spte = 0;
	pthread_mutex_unlock(&driver_lock);
	return true;
}

static inline void begin_live(unsigned int broken)
{
	static const struct mmu_interval_notifier_ops zap_ops = {
		.invalidate = zap };
	static const struct uhmm_mm_ops live_ops = { .name = "live",
						     .pending = live_pending };
	const struct uhmm_mm_options how = { .size = sizeof(how),
					     .ops = &live_ops };
	static unsigned int alive = 1;

	if (uhmm_mm_create_with(&how, &mm) ||
	    mmu_interval_notifier_insert(&sub, mm, HERE, PAGE, &zap_ops))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no address space");
	live_broken = broken;
	live.mm = mm;
	live.alive = &alive;
	live.features = UHMM_LIVE_UFFD;
	live.shards[0].watches = 1;
	brackets_open(&live);
	if (monitor_start(&live, 1))
		uhmm_defect(UHMM_DEFECT_UNSUPPORTED, "no monitor");
}

/* By a system call of the program's own. */
static inline void *unmap_unannounced(void *unused)
{
	uhmm_thread_name("unmap");
	linux_remap(2);
	return NULL;
}

/* With driver_lock. */
static inline void keep(unsigned int page, unsigned long seq)
{
	spte = page;
	spte_seq = seq;
}

/* After read_begin: is what is found there now kept? */
static inline bool look_up(unsigned long seq)
{
	unsigned int page = linux_register();
	bool gone = linux_is_gone(page), kept;

	pthread_mutex_lock(&driver_lock);
	kept = !mmu_interval_read_retry(&sub, seq);
	if (kept && gone)
		uhmm_defect(UHMM_DEFECT_STALE, "page %u was gone", page);
	if (kept)
		keep(page, seq);
	pthread_mutex_unlock(&driver_lock);
	return kept;
}

/* Whom no change is announced to asks before that. */
static inline void use_kept(bool asks)
{
	pthread_mutex_lock(&driver_lock);
	if (spte && linux_is_gone(spte) &&
	    !(asks && mmu_interval_read_retry(&sub, spte_seq)))
		uhmm_defect(UHMM_DEFECT_STALE, "page %u is used, and gone", spte);
	pthread_mutex_unlock(&driver_lock);
}

static inline void end_live(void)
{
	brackets_close();
	monitor_stop(&live);
	mmu_interval_notifier_remove(&sub);
	mmput(mm);
}

#endif
