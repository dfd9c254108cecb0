/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The device's page table, and how it hears of changes.
 *
 * Tables are made before an entry is set and stay until the end: under
 * user_lock no memory is asked for or given back.
 */
#include "dmirror.h"

static unsigned long number_of(unsigned long addr)
{
	return addr / TABLE_BYTES;
}

static struct table *table_at(const struct uhmm_dmirror *dmirror,
			      unsigned long addr)
{
	unsigned long number = number_of(addr);
	struct table *table = dmirror->tables[number % TABLE_BUCKETS];

	while (table && table->number != number)
		table = table->next;
	return table;
}

static unsigned long *slot_at(struct table *table, unsigned long addr)
{
	return &table->entries[(addr >> UHMM_PAGE_SHIFT) % TABLE_PAGES];
}

unsigned long dmirror_get(const struct uhmm_dmirror *dmirror,
			  unsigned long addr)
{
	struct table *table = table_at(dmirror, addr);

	return table ? *slot_at(table, addr) : 0;
}

void dmirror_set(struct uhmm_dmirror *dmirror, unsigned long addr,
		 unsigned long entry)
{
	*slot_at(table_at(dmirror, addr), addr) = entry;
}

/* Returns what is not needed. */
static struct table *add_table(struct uhmm_dmirror *dmirror,
			       struct table *table)
{
	struct table **bucket;

	pthread_mutex_lock(&dmirror->lock);
	if (!table_at(dmirror, table->number * TABLE_BYTES)) {
		bucket = &dmirror->tables[table->number % TABLE_BUCKETS];
		table->next = *bucket;
		*bucket = table;
		table = NULL;
	}
	pthread_mutex_unlock(&dmirror->lock);
	return table;
}

int dmirror_prepare(struct uhmm_dmirror *dmirror, unsigned long start,
		    unsigned long end)
{
	unsigned long number;
	struct table *table;
	bool there;

	for (number = number_of(start); number <= number_of(end - 1);
	     number++) {
		pthread_mutex_lock(&dmirror->lock);
		there = table_at(dmirror, number * TABLE_BYTES) != NULL;
		pthread_mutex_unlock(&dmirror->lock);
		if (there)
			continue;
		table = calloc(1, sizeof(*table));
		if (!table)
			return -ENOMEM;
		table->number = number;
		free(add_table(dmirror, table));
	}
	return 0;
}

void dmirror_free_tables(struct uhmm_dmirror *dmirror)
{
	struct table *table;

	for (int i = 0; i < TABLE_BUCKETS; i++)
		while ((table = dmirror->tables[i])) {
			dmirror->tables[i] = table->next;
			free(table);
		}
}

/* ------------------------------------------------------------------ changes */

static void erase_in(struct table *table, unsigned long start,
		     unsigned long last)
{
	unsigned long base = table->number * TABLE_BYTES;
	unsigned long first = start > base ? start - base : 0;

	if (last < base || first >= TABLE_BYTES)
		return;
	last = lesser(last - base, TABLE_BYTES - 1);
	for (first >>= UHMM_PAGE_SHIFT, last >>= UHMM_PAGE_SHIFT; first <= last;
	     first++)
		table->entries[first] = 0;
}

static void erase(struct uhmm_dmirror *dmirror, unsigned long start,
		  unsigned long last)
{
	unsigned long number = number_of(start), end = number_of(last);
	struct table *table;

	if (end - number < TABLE_BUCKETS) {
		for (; number <= end; number++) {
			table = table_at(dmirror, number * TABLE_BYTES);
			if (table)
				erase_in(table, start, last);
		}
		return;
	}
	for (int i = 0; i < TABLE_BUCKETS; i++)
		for (table = dmirror->tables[i]; table; table = table->next)
			erase_in(table, start, last);
}

/* Whoever moves pages does not see what others do to them: it is told. */
static void note_hit(struct uhmm_dmirror *dmirror,
		     const struct mmu_notifier_range *range)
{
	if (range->end <= dmirror->start || range->start >= dmirror->end)
		return;
	if (range->start < dmirror->hit_start)
		dmirror->hit_start = range->start;
	if (range->end > dmirror->hit_end)
		dmirror->hit_end = range->end;
}

static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct uhmm_dmirror *dmirror = (struct uhmm_dmirror *)sub;
	const struct uhmm_dmirror_device *device = dmirror->device;
	bool ours = range->event == MMU_NOTIFY_MIGRATE &&
		    range->owner == device, mine;

	if (ours && device->how.quirks & UHMM_DMIRROR_DEVICE_FILTER)
		return true;
	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&dmirror->lock);
	else if (pthread_mutex_trylock(&dmirror->lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	mine = dmirror->running &&
	       pthread_equal(dmirror->runner, pthread_self());
	if (!mine && dmirror->running)
		note_hit(dmirror, range);
	if (!mine || !ours || !dmirror->moving)
		erase(dmirror, range->start,
		      device->how.quirks & UHMM_DMIRROR_INCLUSIVE_END ?
			      range->end : range->end - 1);
	pthread_mutex_unlock(&dmirror->lock);
	return true;
}

const struct mmu_interval_notifier_ops dmirror_ops = {
	.invalidate = invalidate,
};

/* ------------------------------------------------------ changes of one's own */

void dmirror_run(struct uhmm_dmirror *dmirror, unsigned long start,
		 unsigned long end, bool moving)
{
	pthread_rwlock_wrlock(&dmirror->use);
	pthread_mutex_lock(&dmirror->lock);
	dmirror->running = true;
	dmirror->moving = moving;
	dmirror->runner = pthread_self();
	dmirror->start = start;
	dmirror->end = end;
	dmirror->hit_start = ~0UL;
	dmirror->hit_end = 0;
	pthread_mutex_unlock(&dmirror->lock);
	/* What has begun before is over then, what begins later is noted. */
	mmu_interval_read_begin(&dmirror->sub);
}

void dmirror_run_end(struct uhmm_dmirror *dmirror)
{
	pthread_mutex_lock(&dmirror->lock);
	dmirror->running = false;
	pthread_mutex_unlock(&dmirror->lock);
	pthread_rwlock_unlock(&dmirror->use);
}

bool dmirror_install(struct uhmm_dmirror *dmirror, unsigned long addr,
		     unsigned long entry)
{
	bool hit = addr >= dmirror->hit_start && addr < dmirror->hit_end;

	/* Hit: what has been faulted since may be gone with the move. */
	dmirror_set(dmirror, addr, hit ? 0 : entry);
	return !hit;
}
