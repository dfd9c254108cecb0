/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of the live address space share, and what those who patch
 * the program bracket its changes with.
 */
#ifndef LIVE_LIVE_H
#define LIVE_LIVE_H

#include <uhmm/live.h>

#include "../../core/internal.h"
#include "../../lib/broken.h"

#define LIVE_PAGE_SHIFT 12
#define LIVE_PAGE (1UL << LIVE_PAGE_SHIFT)

/**
 * struct shard - a userfaultfd, and the pieces that it is registered for
 * @fd: the descriptor
 * @busy: its events are being read, or what was read is not passed on yet
 * @watches: how many pieces were ever registered; 0: no need to ask it
 */
struct shard {
	int fd;
	unsigned int busy;
	unsigned long watches;
} __cacheline_aligned;

#define MAX_SHARDS 16
#define MAX_REMOVALS 64

/* An invalidation that a callback refused to take at once. */
struct handed_on {
	unsigned long start;
	unsigned long end;
	enum mmu_notifier_event event;
};

#define MAX_HANDED_ON 64

struct leaf;
struct out;
struct removal;

/**
 * struct live - the memory of this process as an address space
 * @mm: what it is known as
 * @flags: &uhmm_live_options.flags
 * @asked: the guarantee asked for
 * @bracketed: what brackets reach: an enum uhmm_guarantee
 * @reasons: UHMM_LIVE_WHY_*
 * @features: of the kernel, less what is to be done without
 * @ended: not this process's any more, or not at all
 * @alive: 1 in the process that made it, 0 in its children, whoever made them:
 *	on a page that the kernel empties there
 * @maps: /proc/self/maps
 * @pagemap: /proc/self/pagemap
 * @scan_mask: categories that PAGEMAP_SCAN knows
 * @zero_frame: the page of zeroes, where frames can be read
 * @stats: counted with fetch_add()
 * @watch_lock: for @nleaves, @nwatches; held by who registers, not by who unmaps
 * @leaves: see watch.c
 * @nleaves: how many
 * @nwatches: pieces registered, or more
 * @max_watches: how many may be
 * @owners: see watch_owners()
 * @nowhere: a page that cannot be read
 * @shards: the userfaultfds
 * @nshards: how many; 0: none is to be had
 * @monitor: the thread that reads them
 * @monitor_tid: what the kernel calls it
 * @handler_tid: as @monitor_tid, of who brings pages home; 0: none
 * @monitor_wake: an eventfd: it is to look up
 * @spare: a descriptor that is there to be closed, see monitor.c; under @turn
 * @lost: enum lost: has the program closed a descriptor of ours?
 * @turn: held by who reads events, until he has passed them on
 * @stop: it is to end
 * @generation: counts what it has passed on; slept on
 * @sleepers: how many sleep on @generation
 * @handed: how many of @handed_on there are
 * @handed_on: refused; under @turn
 * @removes_lately: more than 0: expect removals
 * @removals: MAX_REMOVALS of them; under @turn
 * @nremovals: how many are in use
 * @refused_removals: how many of these could not be started
 * @task_dir: /proc/self/task
 * @signal: see removal.c; < 0: none
 * @last_ticket: under @turn, see removal.c
 * @remove_limit_ns: &uhmm_live_options.remove_limit_ms
 * @out: pages that are away, see out.h; NULL: none ever are
 */
struct live {
	struct mm_struct *mm;
	unsigned int flags;
	enum uhmm_guarantee asked;
	int bracketed;
	unsigned int reasons;
	unsigned int features;
	unsigned int ended;
	unsigned int *alive;
	int maps;
	int pagemap;
	unsigned long scan_mask;
	unsigned long zero_frame;
	struct uhmm_live_stats stats;
	struct mutex watch_lock;
	struct leaf **leaves;
	unsigned long nleaves;
	unsigned long nwatches;
	unsigned long max_watches;
	unsigned int *owners;
	void *nowhere;
	struct shard shards[MAX_SHARDS];
	unsigned int nshards;
	struct sync_thread monitor;
	int monitor_tid;
	int handler_tid;
	int monitor_wake;
	int spare;
	unsigned int lost;
	struct mutex turn;
	unsigned int stop;
	unsigned int generation;
	unsigned int sleepers;
	unsigned int handed;
	struct handed_on handed_on[MAX_HANDED_ON];
	unsigned int removes_lately;
	struct removal *removals;
	unsigned int nremovals;
	unsigned int refused_removals;
	int task_dir;
	int signal;
	unsigned int last_ticket;
	int64_t remove_limit_ns;
	struct out *out;
};

/* Nothing is told of any more; whoever mirrors anything has been told of that. */
enum lost { LOST_NOT, LOST_SEEN, LOST_TOLD };

/* What tests leave out, see BROKEN(); in no other objects. */
extern unsigned int live_broken;
#define BROKEN_PROBE (1U << 0)		/* the kernel is not asked */
#define BROKEN_BUSY (1U << 1)		/* nor whether the monitor is at it */
#define BROKEN_REMOVE_END (1U << 2)	/* a removal ends as it is told of */
#define BROKEN_REGISTER (1U << 3)	/* what appears is not registered */
#define BROKEN_HANDED (1U << 4)		/* what is refused is forgotten */
#define BROKEN_END (1U << 5)		/* brackets end before the change */
#define BROKEN_PROTECT (1U << 6)	/* pages are copied while they are written */
#define BROKEN_REMAP (1U << 7)		/* what was away stays where it was */
#define BROKEN_FORK (1U << 8)		/* pages stay away */
#define BROKEN_ALONE (1U << 9)		/* one by one, without another look */
#define BROKEN_TOLD (1U << 10)		/* nor is what was read waited for */
#define BROKEN_OWNER (1U << 11)		/* of each piece one descriptor is asked */
#define BROKEN_TURNS (1U << 12)		/* two read events at once */
#define BROKEN_KEEP (1U << 13)		/* a turn lasts until a page is home */
#define BROKEN_LEAVE (1U << 14)		/* the handler is left alone for good */
#define BROKEN_YIELDS (1U << 15)	/* who does not answer is waited for */
#define BROKEN_THERE (1U << 16)		/* nothing has to be copied, wherever it is */
#define BROKEN_AWAKE (1U << 17)		/* the monitor waits awake, and goes on so */

#define live_count(live, what) ((void)fetch_add(&(live)->stats.what, 1))
/* What is counted under one and the same lock. */
#define live_count_held(live, what, n) \
	WRITE_ONCE((live)->stats.what, (live)->stats.what + (n))

static inline bool live_has(const struct live *live, unsigned int feature)
{
	return live->features & feature;
}

/* ---------------------------------------------------------------- brackets
 * For who patches the program. A bracket lies on the stack of the thread that
 * changes the address space:
 *
 *	struct live_bracket b;
 *
 *	live_bracket_start(&b, addr, length, MMU_NOTIFY_UNMAP, 0);
 *	ret = munmap, the system call
 *	live_bracket_end(&b);
 *
 * Both may be called in any thread at any time: with signals blocked, in a
 * signal handler, in the last munmap of a thread, under the locks of malloc.
 * They allocate nothing and take no lock that a caller of munmap may hold; the
 * callbacks that they call must do likewise. Brackets may nest. Without a live
 * address space they do nothing. errno is kept.
 */
#define LIVE_NONBLOCK (1U << 0)		/* refuse rather than sleep */

struct live_bracket {
	struct mmu_notifier_range range;
	unsigned long *inside;		/* NULL: nothing was started */
	unsigned int era;
	int watcher;			/* see live_bracket_open(); -1: none */
	bool told;			/* the kernel tells of it too */
};

/*
 * 0, also without a live address space, and for a range that is none; -EAGAIN:
 * LIVE_NONBLOCK, and it was refused: the change must not be made.
 * An address space that ends: @length ~0UL. @addr is cut to its page.
 */
int live_bracket_start(struct live_bracket *b, unsigned long addr,
		       unsigned long length, enum mmu_notifier_event event,
		       unsigned int flags);
/*
 * The first half of that. Where &live_bracket.watcher is a descriptor afterwards, it
 * is to be asked to watch no more of it, with bracket_unwatch(), before the change.
 * errno may be another afterwards.
 */
int live_bracket_open(struct live_bracket *b, unsigned long addr,
		      unsigned long length, enum mmu_notifier_event event,
		      unsigned int flags);
/* Also in a forked child, for what its parent started. */
void live_bracket_end(struct live_bracket *b);
/*
 * Inside a bracket: what is registered of [addr, addr + length) was made so just
 * now, and in part. It ends, so that this is one area again. True: try again.
 */
bool live_bracket_rejoin(unsigned long addr, unsigned long length);

/*
 * What the patches reach from now on: UHMM_GUARANTEE_NONE, UHMM_G1, UHMM_G2; and
 * why no more, UHMM_LIVE_WHY_*. Before or after the address space is made.
 */
void live_set_bracketed(enum uhmm_guarantee reach, unsigned int reasons);

/* ------------------------------------------------------------------- live.c */
static inline bool live_ended(const struct live *live)
{
	return READ_ONCE(live->ended) || !READ_ONCE(*live->alive);
}

/* Threads of who uses it that a program does not live on for. */
extern unsigned int live_own_threads;

struct live *live_of(struct mm_struct *mm);
/*
 * Descriptors out of the way of programs that expect theirs to be the lowest free
 * ones, and of shells that put others in their place: @fd as such a one, if it is any,
 * and a file for reading, or -errno.
 */
int live_fd_high(int fd);
int live_open_high(const char *path);
/* One more reason; the guarantee may fall. */
void live_why(struct live *live, unsigned int reason);

/* -------------------------------------------------------------------- area.c */

/* An area as /proc/self/maps has it. */
struct live_area {
	struct uhmm_vma vma;
	unsigned long page_size;
	char name[64];
};

/* The area that holds @addr, or the next one. 0; -ENOENT; -EIO. */
int live_area(struct live *live, unsigned long addr, struct live_area *ret_area);
int live_find_vma(struct mm_struct *mm, unsigned long addr,
		  struct uhmm_vma *ret_vma);

/* ------------------------------------------------------------------- pages.c */
int live_walk(struct mm_struct *mm, unsigned long addr, size_t *npages,
	      struct uhmm_pte *ptes);
int live_walk_runs(struct mm_struct *mm, unsigned long addr, unsigned long end,
		   const struct uhmm_vma *vma, size_t *nruns,
		   struct uhmm_run *to);
int live_fault(struct mm_struct *mm, unsigned long addr, unsigned int flags);
/* Of a frame that is the number of a page: as who may not be caught by a fault. */
int live_access(struct mm_struct *mm, unsigned long pfn, size_t offset,
		void *buf, size_t len, bool write);
/* away.c */
void *live_page_ptr(struct mm_struct *mm, unsigned long pfn);
int live_page_access(struct mm_struct *mm, unsigned long pfn, size_t offset,
		     void *buf, size_t len, bool write);
int live_page_alloc(struct mm_struct *mm, unsigned int order,
		    unsigned long *ret_pfn);
int live_page_stand_in(struct mm_struct *mm, unsigned long device_pfn,
		       unsigned long *ret_pfn);
int live_page_get(struct mm_struct *mm, unsigned long addr, unsigned int flags,
		  unsigned long *ret_pfn);
void live_page_put(struct mm_struct *mm, unsigned long pfn, unsigned int flags);
/* migrate.c, finish.c */
void live_migrate_collect(struct mm_struct *mm, struct migrate_vma *args);
void live_migrate_unmap(struct mm_struct *mm, struct migrate_vma *args);
void live_migrate_commit(struct mm_struct *mm, struct migrate_vma *args);
unsigned long live_migrate_finish(struct mm_struct *mm, struct migrate_vma *args);
/* exclusive.c */
int live_make_exclusive(struct mm_struct *mm, unsigned long addr,
			unsigned long pfn, void *owner);
void live_page_unlock(struct mm_struct *mm, unsigned long pfn);
/* What the kernel's walk can tell. */
void live_pages_init(struct live *live);

/* ---------------------------------------------------------------- features.c */
unsigned int live_probe_features(int maps, int pagemap);

#endif
