// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * A memory monitor for libfabric's cache.
 *
 * libfabric registers, and then subscribes, in the same thread, with nothing said
 * before. But a thread that registers now was not registering when it called the
 * monitor last. So changes are numbered and the last ones kept; who subscribes is
 * refused if one of those since his last call overlaps, or may have.
 */
#include <dlfcn.h>
#include <errno.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache_fabric.h>

#include "../sync/sync.h"
#include "fabric.h"

/* Changes that are remembered, and that may be under way. */
#define NCHANGES SYNC_SIZE(1024UL, 4UL)
#define NOPEN 64

struct change {
	unsigned long start;
	unsigned long last;
	bool open;
};

/**
 * struct uhmm_rcache_fabric - the monitor
 * @fid: what libfabric knows
 * @list: told of all changes
 * @mm: grabbed
 * @live: it is a live one
 * @ended: in a child
 * @library: libfabric
 * @started: a cache uses it, so that it may be notified
 * @lock: for all below; in libfabric's lock
 * @open: under way
 * @more: that have no room in @open
 * @next: the number of the next change to be over
 * @over: the last ones, that of number n at n % NCHANGES
 * @stats: counted
 */
struct uhmm_rcache_fabric {
	struct fabric_monitor fid;
	struct mmu_notifier list;
	struct mm_struct *mm;
	bool live;
	bool ended;
	void *library;
	bool started;
	spinlock_t lock;
	struct change open[NOPEN];
	unsigned int more;
	unsigned long next;
	struct change over[NCHANGES];
	struct uhmm_rcache_fabric_stats stats;
};

static struct uhmm_rcache_fabric *the_monitor;

/* Where the next monitor goes on: threads know numbers of the last one. */
static unsigned long next_of_all;

/* &uhmm_rcache_fabric.next as this thread called last. */
static __thread unsigned long known
	__attribute__((tls_model("initial-exec")));

static struct uhmm_rcache_fabric *monitor_of(struct fabric_monitor *fid)
{
	return container_of(fid, struct uhmm_rcache_fabric, fid);
}

/* ------------------------------------------------------------- of the memory */

static bool touches(const struct change *change, unsigned long start,
		    unsigned long last)
{
	return change->start <= last && change->last >= start;
}

static void tell(struct uhmm_rcache_fabric *m, const struct change *change)
{
	size_t length = change->last - change->start + 1;

	if (!READ_ONCE(m->started))
		return;
	m->fid.notify_ops->notify(&m->fid, (void *)change->start, length);
	spin_lock(&m->lock);
	m->stats.notified++;
	spin_unlock(&m->lock);
}

static struct change change_of(const struct mmu_notifier_range *range)
{
	return (struct change){ range->start, range->end - 1, true };
}

static int change_begins(struct mmu_notifier *list,
			 const struct mmu_notifier_range *range)
{
	struct uhmm_rcache_fabric *m =
		container_of(list, struct uhmm_rcache_fabric, list);
	struct change change = change_of(range);
	unsigned int i;

	spin_lock(&m->lock);
	for (i = 0; i < NOPEN && m->open[i].open; i++)
		;
	if (i < NOPEN)
		m->open[i] = change;
	else
		m->more++;
	spin_unlock(&m->lock);
	tell(m, &change);
	return 0;
}

static void change_is_over(struct mmu_notifier *list,
			   const struct mmu_notifier_range *range)
{
	struct uhmm_rcache_fabric *m =
		container_of(list, struct uhmm_rcache_fabric, list);
	struct change change = change_of(range);
	unsigned int i;

	/* It stays open until what came meanwhile is out of the cache. */
	spin_lock(&m->lock);
	m->over[m->next++ % NCHANGES] = change;
	spin_unlock(&m->lock);
	tell(m, &change);
	spin_lock(&m->lock);
	for (i = 0; i < NOPEN; i++)
		if (m->open[i].open && m->open[i].start == change.start &&
		    m->open[i].last == change.last)
			break;
	if (i < NOPEN)
		m->open[i].open = false;
	else
		m->more--;
	spin_unlock(&m->lock);
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = change_begins,
	.invalidate_range_end = change_is_over,
};

/* --------------------------------------------------------------- of libfabric */

static int start(struct fabric_monitor *fid)
{
	WRITE_ONCE(monitor_of(fid)->started, true);
	return 0;
}

static void stop(struct fabric_monitor *fid)
{
	WRITE_ONCE(monitor_of(fid)->started, false);
}

/* Is a change of it under way? Lock held. */
static bool changing(const struct uhmm_rcache_fabric *m, unsigned long start,
		     unsigned long last)
{
	if (m->ended || m->more)
		return true;
	for (unsigned int i = 0; i < NOPEN; i++)
		if (m->open[i].open && touches(&m->open[i], start, last))
			return true;
	return false;
}

/* May it have changed since this thread called last? Lock held. */
static bool changed(const struct uhmm_rcache_fabric *m, unsigned long start,
		    unsigned long last)
{
	if (m->next - known > NCHANGES)
		return true;
	for (unsigned long n = known; n < m->next; n++)
		if (touches(&m->over[n % NCHANGES], start, last))
			return true;
	return false;
}

/*
 * Is it told of changes before they are made, as it needs? In a live process that
 * may have ended; what was kept until then is not watched in another way.
 */
static bool is_told(const struct uhmm_rcache_fabric *m)
{
	return !m->live || uhmm_live_guarantee(m->mm) >= UHMM_G1;
}

static int subscribe(struct fabric_monitor *fid, const void *addr,
		     size_t length)
{
	struct uhmm_rcache_fabric *m = monitor_of(fid);
	unsigned long start = (unsigned long)addr, last = start + length - 1;
	bool refused, told = is_told(m);

	spin_lock(&m->lock);
	refused = !told || changing(m, start, last) || changed(m, start, last);
	known = m->next;
	m->stats.subscribed++;
	m->stats.refused += refused;
	spin_unlock(&m->lock);
	return refused ? -EAGAIN : 0;
}

/* All changes are told of, whoever asked. */
static void unsubscribe(struct fabric_monitor *fid, const void *addr,
			size_t length)
{
}

static bool valid(struct fabric_monitor *fid, const void *addr, size_t length)
{
	struct uhmm_rcache_fabric *m = monitor_of(fid);
	unsigned long start = (unsigned long)addr, last = start + length - 1;
	bool ok, told = is_told(m);

	spin_lock(&m->lock);
	ok = told && !changing(m, start, last);
	known = m->next;
	m->stats.invalid += !ok;
	spin_unlock(&m->lock);
	return ok;
}

static struct fabric_monitor_ops monitor_ops = {
	.size = sizeof(monitor_ops),
	.start = start,
	.stop = stop,
	.subscribe = subscribe,
	.unsubscribe = unsubscribe,
	.valid = valid,
};

/* ---------------------------------------------------------------------- life */

/* What libfabric has is the parent's, and so are its own locks. */
static void fork_child(void)
{
	struct uhmm_rcache_fabric *m = the_monitor;

	if (!m)
		return;
	m->ended = true;
	m->started = false;
	spin_lock_init(&m->lock);
}

static __at_load(AT_FORK_IN_CALLBACKS) void see_to_forks(void)
{
	sync_at_fork(NULL, NULL, fork_child);
}

/* Give it to libfabric, which from then on has its own @fid.ops. */
static int import(struct uhmm_rcache_fabric *m)
{
	static struct fabric_ops no_ops = { .size = sizeof(no_ops) };
	fabric_open_fn open = NULL;
	struct fabric_fid *caches;
	int err;

	if (m->library)
		open = (fabric_open_fn)dlsym(m->library, "fi_open");
	if (!open || open(FABRIC_VERSION, "mr_cache", NULL, 0, 0, &caches, NULL))
		return -ENOENT;
	m->fid.fid.fclass = FABRIC_CLASS_MEM_MONITOR;
	m->fid.fid.ops = &no_ops;
	m->fid.ops = &monitor_ops;
	err = caches->ops->bind(caches, &m->fid.fid, 0);
	caches->ops->close(caches);
	return err;
}

static void take_back(struct uhmm_rcache_fabric *m)
{
	if (m->library)
		dlclose(m->library);
	mmdrop(m->mm);
	sync_free_pages(m, sizeof(*m));
}

int uhmm_rcache_fabric_create(struct mm_struct *mm, const char *library,
			      struct uhmm_rcache_fabric **ret_monitor)
{
	struct uhmm_live_info info = { .size = sizeof(info) };
	struct uhmm_rcache_fabric *m;
	bool live;
	int err;

	if (!mm || !ret_monitor)
		return -EINVAL;
	live = !uhmm_live_get_info(mm, &info);
	if (live && info.guarantee < UHMM_G1)
		return -EOPNOTSUPP;
	m = sync_alloc_pages(sizeof(*m));
	if (!m)
		return -ENOMEM;
	mmgrab(mm);
	m->mm = mm;
	m->live = live;
	m->list.ops = &list_ops;
	m->next = next_of_all;
	spin_lock_init(&m->lock);
	m->library = dlopen(library ?: "libfabric.so.1", RTLD_NOW);
	err = mmu_notifier_register(&m->list, mm);
	if (!err) {
		err = import(m);
		if (err)
			mmu_notifier_unregister(&m->list, mm);
	}
	if (err) {
		take_back(m);
		return err;
	}
	the_monitor = m;
	*ret_monitor = m;
	return 0;
}

void uhmm_rcache_fabric_destroy(struct uhmm_rcache_fabric *monitor)
{
	struct mm_struct *mm = monitor->mm;

	the_monitor = NULL;
	mmu_notifier_unregister(&monitor->list, mm);
	monitor->fid.fid.ops->close(&monitor->fid.fid);
	next_of_all = monitor->next;
	take_back(monitor);
}

int uhmm_rcache_fabric_get_stats(struct uhmm_rcache_fabric *monitor,
				 struct uhmm_rcache_fabric_stats *ret_stats)
{
	size_t size = sizeof(*ret_stats);

	if (!monitor || !ret_stats || ret_stats->size < size)
		return -EINVAL;
	size = ret_stats->size;
	spin_lock(&monitor->lock);
	*ret_stats = monitor->stats;
	spin_unlock(&monitor->lock);
	ret_stats->size = size;
	return 0;
}
