/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The checker: a device that mirrors all of the program's memory that is
 * resident, uses what it mirrors all the time, and finds out whether it was
 * right to.
 *
 * Its table has, for each page, the frame that it found and how many events
 * there had been. In each look over all it compares the table with the page
 * tables of the kernel, between read_begin and read_retry as any driver does.
 * Where the frame is another one:
 *
 *  stale	an event should have killed the entry, or the area is gone: the
 *		device has used memory that is not the program's any more
 *  moved	no event: the kernel moved the page, or copied it on a write,
 *		which no process is told of; a device pins what it uses
 *
 * Only root is told of frames. So that others see more than that a page is gone,
 * and that frames are not all there is to go by, a few pages are held from each
 * look to the next, other ones each time, and what their addresses lead to by
 * then is compared with them (sample.h).
 *
 * One subscription for each GiB that holds anything, so that a change collides
 * only with reads nearby; one for all, to count events.
 */
#include "checker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mmu_notifier.h>

#include "clock.h"
#include "events.h"
#include "ladder.h"
#include "present.h"
#include "sample.h"
#include "table.h"

#define WINDOW_SIZE (1UL << 30)
#define WINDOWS 512
#define TRIES 50
#define BEGIN_LIMIT_NS 20000000
#define STACK_SIZE (256UL << 10)
/* Of an area larger than this, ask first where anything is. */
#define SPARSE_SIZE (64UL << 20)
/* The device rests for so many times as long as it looked: 6 % of a processor. */
#define REST 16
#define CALM_MOST 3	/* the rest is doubled so often where nothing is new */
#define REST_LEAST_NS 200000
#define REST_MOST_NS 50000000

struct window {
	struct mmu_interval_notifier sub;
	unsigned long base;
};

/* What a look finds in a leaf. */
enum {
	FOUND_AREA = 1,		/* there is an area */
	FOUND_READABLE = 2,
	FOUND_UNWATCHED = 4,	/* it may go without an event: nothing to mirror */
};

static struct checker {
	struct mm_struct *mm;
	struct board_process *process;
	struct board_counts *counts;
	pthread_t thread;
	bool runs;
	unsigned int deaf;
	unsigned long kills;
	/*
	 * The table, and what is below. Recursive: the device's own thread may
	 * change memory under it, when libc gives it a heap.
	 */
	pthread_mutex_t lock;
	struct table table;
	pthread_mutex_t look_lock;	/* one look at a time, and the sample */
	struct leaf *sampled;		/* whose pages are held */
	unsigned int nsampled;
	uint16_t sample[SAMPLE_PAGES];
	unsigned long looks;
	unsigned long areas;
	unsigned int nwindows;
	struct window windows[WINDOWS];
	struct uhmm_pte ptes[LEAF_PAGES];
	unsigned char found[LEAF_PAGES];
} checker = {
	.lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
	.look_lock = PTHREAD_MUTEX_INITIALIZER,
};

/* Other processes may add to the same word, see board.h. */
static void count(uint64_t *what, uint64_t n)
{
	__atomic_fetch_add(what, n, __ATOMIC_RELAXED);
}

/* -------------------------------------------------------------- invalidation */

static void kill_range(unsigned long start, unsigned long end,
		       const struct mmu_notifier_range *range,
		       unsigned long seq)
{
	bool deaf = false;

	/* Of those that take pages away: the others may leave the frame. */
	if (checker.deaf && range->event <= MMU_NOTIFY_CLEAR &&
	    table_any(&checker.table, start, end)) {
		deaf = checker.kills++ % checker.deaf == 0;
		if (deaf)
			count(&checker.counts->dropped, 1);
	}
	table_event(&checker.table, start, end, deaf);
	ladder_invalidate(start, end, range, seq);
}

/*
 * In whatever thread changes memory. A signal handler that did so while this
 * thread has the lock would wait for itself.
 */
static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct window *window = (struct window *)sub;
	unsigned long start = range->start, end = range->end;
	uint64_t began = clock_ns(CLOCK_MONOTONIC);
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (mmu_notifier_range_blockable(range)) {
		pthread_mutex_lock(&checker.lock);
	} else if (pthread_mutex_trylock(&checker.lock)) {
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		return false;
	}
	mmu_interval_set_seq(sub, cur_seq);
	if (start < window->base)
		start = window->base;
	if (end > window->base + WINDOW_SIZE)
		end = window->base + WINDOW_SIZE;
	kill_range(start, end, range, cur_seq);
	pthread_mutex_unlock(&checker.lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	count(&checker.counts->own_ns, clock_ns(CLOCK_MONOTONIC) - began);
	return true;
}

static const struct mmu_interval_notifier_ops window_ops = {
	.invalidate = invalidate,
};

/* The window that holds @addr; NULL: no more can be made. */
static struct window *window_of(unsigned long addr)
{
	unsigned long base = addr & ~(WINDOW_SIZE - 1);
	struct window *window;

	for (unsigned int i = 0; i < checker.nwindows; i++)
		if (checker.windows[i].base == base)
			return &checker.windows[i];
	if (checker.nwindows == WINDOWS)
		return NULL;
	window = &checker.windows[checker.nwindows];
	window->base = base;
	if (mmu_interval_notifier_insert(&window->sub, checker.mm, base,
					 WINDOW_SIZE, &window_ops))
		return NULL;
	checker.nwindows++;
	return window;
}

/* -------------------------------------------------------------------- a look */

static void leave_out(size_t first, size_t n)
{
	memset(checker.ptes + first, 0, n * sizeof(checker.ptes[0]));
	memset(checker.found + first, FOUND_UNWATCHED, n);
}

/* What the page tables say of a leaf. False: they cannot be read now. */
static bool read_tables(unsigned long base)
{
	unsigned long end = base + LEAF_SIZE, at = base, start, stop;
	struct uhmm_vma vma;
	size_t n, first;
	bool ok = true;
	int ret = 0;

	memset(checker.ptes, 0, sizeof(checker.ptes));
	memset(checker.found, 0, sizeof(checker.found));
	mmap_read_lock(checker.mm);
	while (ok && at < end) {
		ret = uhmm_mm_find_vma(checker.mm, at, &vma);
		ok = !ret || ret == -ENOENT;
		if (ret || vma.start >= end)
			break;
		start = vma.start > at ? vma.start : at;
		stop = vma.end < end ? vma.end : end;
		/* It changed while it was asked for. */
		if (stop <= start) {
			ok = false;
			break;
		}
		at = stop;
		if (vma.flags & UHMM_VM_SPECIAL)
			continue;
		first = (start - base) / TABLE_PAGE;
		n = (stop - start) / TABLE_PAGE;
		checker.areas += vma.start >= base;
		memset(checker.found + first,
		       FOUND_AREA | (vma.flags & UHMM_VM_READ ?
					     FOUND_READABLE : 0), n);
		ret = uhmm_mm_walk(checker.mm, start, &n, &checker.ptes[first]);
		if (ret == -EOPNOTSUPP)
			leave_out(first, (stop - start) / TABLE_PAGE);
		ok = !ret || ret == -EOPNOTSUPP;
	}
	mmap_read_unlock(checker.mm);
	return ok;
}

/* The device used the entry, and the page has another frame. */
static void wrong_frame(struct leaf *leaf, size_t i)
{
	if (leaf->events[i] != leaf->made[i]) {
		count(&checker.counts->stale, 1);
	} else if (!(checker.found[i] & FOUND_AREA)) {
		count(&checker.counts->stale, 1);
		count(&checker.counts->missed, 1);
	} else {
		count(&checker.counts->moved, 1);
		if (leaf->entry[i] & ENTRY_COPIES)
			count(&checker.counts->copied, 1);
	}
}

static void use_entry(struct leaf *leaf, size_t i)
{
	const struct uhmm_pte *pte = &checker.ptes[i];
	bool present = pte->state == UHMM_PTE_PRESENT;
	uint64_t entry = leaf->entry[i];

	if (checker.found[i] & FOUND_UNWATCHED) {
		if (entry & ENTRY_VALID)
			table_drop(&checker.table, leaf, i);
		return;
	}
	if (entry & ENTRY_VALID) {
		checker.counts->reads++;
		if (present && pte->pfn == ENTRY_FRAME(entry)) {
			leaf->made[i] = leaf->events[i];
			return;
		}
		wrong_frame(leaf, i);
		table_drop(&checker.table, leaf, i);
	}
	if (!present || !(checker.found[i] & FOUND_READABLE))
		return;
	leaf->entry[i] = pte->pfn | ENTRY_VALID |
			 (pte->write ? 0 : ENTRY_COPIES);
	leaf->made[i] = leaf->events[i];
	leaf->valid++;
	checker.table.valid++;
	checker.counts->faults++;
}

static void use_leaf(struct leaf *leaf)
{
	for (size_t i = 0; i < LEAF_PAGES; i++)
		if (leaf->entry[i] || checker.ptes[i].state)
			use_entry(leaf, i);
	leaf->seen = checker.looks;
}

/* Once: true if nothing came between. */
static bool try_leaf(struct window *window, struct leaf *leaf)
{
	unsigned long end = leaf->base + LEAF_SIZE, seq;
	bool again = true;

	if (uhmm_interval_read_begin_timeout(&window->sub, BEGIN_LIMIT_NS,
					     &seq))
		return false;
	pthread_mutex_lock(&checker.lock);
	ladder_add(BOARD_READ_BEGIN, leaf->base, end, seq);
	pthread_mutex_unlock(&checker.lock);
	if (!read_tables(leaf->base))
		return false;
	pthread_mutex_lock(&checker.lock);
	/* The second look is for what the first one itself changed. */
	again = mmu_interval_read_retry(&window->sub, seq) ||
		mmu_interval_check_retry(&window->sub, seq);
	if (again) {
		count(&checker.counts->retries, 1);
		ladder_add(BOARD_RETRY, leaf->base, end, seq);
	} else {
		use_leaf(leaf);
		ladder_add(BOARD_INSTALL, leaf->base, end, seq);
	}
	pthread_mutex_unlock(&checker.lock);
	return !again;
}

static void look_at_leaf(unsigned long base)
{
	struct window *window = window_of(base);
	struct leaf *leaf;

	if (!window)
		return;
	pthread_mutex_lock(&checker.lock);
	leaf = table_make(&checker.table, base);
	if (leaf)
		ladder_begin(window->base, window->base + WINDOW_SIZE);
	pthread_mutex_unlock(&checker.lock);
	if (!leaf)
		return;
	for (int i = 0; i < TRIES && !try_leaf(window, leaf); i++)
		;
	pthread_mutex_lock(&checker.lock);
	ladder_end(&checker.process->ladder);
	pthread_mutex_unlock(&checker.lock);
}

static bool next_area(unsigned long addr, struct uhmm_vma *vma)
{
	int ret;

	mmap_read_lock(checker.mm);
	ret = uhmm_mm_find_vma(checker.mm, addr, vma);
	mmap_read_unlock(checker.mm);
	return !ret;
}

/* Where areas are, and where they were. */
static void look_at_all(void)
{
	unsigned long addr = 0, at;
	struct uhmm_vma vma;
	struct leaf *leaf;

	checker.looks++;
	checker.areas = 0;
	while (next_area(addr, &vma) && vma.end > addr) {
		at = vma.start > addr ? vma.start : addr;
		if (vma.end - at > SPARSE_SIZE)
			at = present_next(at, vma.end);
		addr = vma.end;
		if (at >= vma.end || vma.flags & UHMM_VM_SPECIAL)
			continue;
		look_at_leaf(LEAF_BASE(at));
		addr = LEAF_BASE(at) + LEAF_SIZE;
	}
	/* The list grows at its head only. */
	for (leaf = checker.table.leaves; leaf; leaf = leaf->next)
		if (leaf->valid && leaf->seen != checker.looks)
			look_at_leaf(leaf->base);
}

/* ---------------------------------------------------------------- the sample */

/* How many events there have been for each page of it; lock not held. */
static void sample_events(uint32_t *ret_events)
{
	pthread_mutex_lock(&checker.lock);
	for (unsigned int i = 0; i < checker.nsampled; i++)
		ret_events[i] = checker.sampled->events[checker.sample[i]];
	pthread_mutex_unlock(&checker.lock);
}

/* Of the leaf of the last event and all others in turns. NULL: nothing is mirrored. */
static struct leaf *leaf_to_sample(void)
{
	struct table *table = &checker.table;
	struct leaf *last = checker.sampled, *leaf;

	if (checker.looks % 2 && table->hit && table->hit->valid)
		return table->hit;
	for (leaf = last ? last->next : NULL; leaf; leaf = leaf->next)
		if (leaf->valid)
			return leaf;
	for (leaf = table->leaves; leaf && !leaf->valid; leaf = leaf->next)
		;
	return leaf;
}

/* Pages of @leaf; what events were for before they are likelier to be for again. */
static void pick(const struct leaf *leaf, bool hit)
{
	size_t from = checker.looks * SAMPLE_PAGES, i;

	for (size_t k = 0; k < LEAF_PAGES; k++) {
		i = (from + k) % LEAF_PAGES;
		if (checker.nsampled == SAMPLE_PAGES)
			return;
		if (leaf->entry[i] & ENTRY_VALID && !leaf->events[i] != hit)
			checker.sample[checker.nsampled++] = (uint16_t)i;
	}
}

/* Hold pages that are mirrored. */
static void take_sample(void)
{
	uint32_t before[SAMPLE_PAGES], after[SAMPLE_PAGES];
	unsigned long addrs[SAMPLE_PAGES];

	pthread_mutex_lock(&checker.lock);
	checker.sampled = leaf_to_sample();
	checker.nsampled = 0;
	if (checker.sampled) {
		pick(checker.sampled, true);
		pick(checker.sampled, false);
	}
	pthread_mutex_unlock(&checker.lock);
	for (unsigned int i = 0; i < checker.nsampled; i++)
		addrs[i] = checker.sampled->base +
			   checker.sample[i] * TABLE_PAGE;
	sample_events(before);
	checker.nsampled = sample_hold(addrs, checker.nsampled);
	sample_events(after);
	/* It may be the next page already, which the entry does not lead to. */
	for (unsigned int i = 0; i < checker.nsampled; i++)
		if (before[i] != after[i])
			checker.sample[i] = LEAF_PAGES;
}

static void use_sampled(struct leaf *leaf, size_t i, uint32_t events,
			bool differs, bool collided)
{
	bool told = leaf->made[i] != events;

	if (!(leaf->entry[i] & ENTRY_VALID))
		return;
	count(&checker.counts->sampled, 1);
	/* Without an event it may be one that is not told of yet. */
	if (!differs || (!told && collided))
		return;
	count(told ? &checker.counts->stale : &checker.counts->moved, 1);
	if (told)
		count(&checker.counts->confirmed, 1);
	else if (leaf->entry[i] & ENTRY_COPIES)
		count(&checker.counts->copied, 1);
	table_drop(&checker.table, leaf, i);
}

/* The device uses entries whose pages are held. */
static void look_at_sample(void)
{
	struct leaf *leaf = checker.sampled;
	struct window *window = checker.nsampled ? window_of(leaf->base) : NULL;
	uint32_t events[SAMPLE_PAGES];
	bool differs[SAMPLE_PAGES], collided, compared;
	unsigned long seq;

	if (!window || uhmm_interval_read_begin_timeout(&window->sub,
							BEGIN_LIMIT_NS, &seq))
		return;
	sample_events(events);
	compared = sample_compare(differs);
	pthread_mutex_lock(&checker.lock);
	collided = mmu_interval_read_retry(&window->sub, seq) ||
		   mmu_interval_check_retry(&window->sub, seq);
	for (unsigned int i = 0; compared && i < checker.nsampled; i++)
		if (checker.sample[i] != LEAF_PAGES)
			use_sampled(leaf, checker.sample[i], events[i],
				    differs[i], collided);
	pthread_mutex_unlock(&checker.lock);
}

static void report(void)
{
	struct board_counts *counts = checker.counts;
	struct uhmm_mm_stats stats;

	counts->passes++;
	counts->areas = checker.areas;
	present_count(counts, checker.table.valid);
	checker.process->user = geteuid();
	if (!uhmm_mm_get_stats(checker.mm, &stats)) {
		counts->waits = stats.waits;
		counts->wait_longest_ns = stats.wait_longest_ns;
	}
	checker.process->last_ns = clock_ns(CLOCK_MONOTONIC);
}

/* The program has closed what was to tell of changes, and what is asked besides. */
static bool is_lost(void)
{
	struct uhmm_live_info info = { .size = sizeof(info) };

	return !uhmm_live_get_info(checker.mm, &info) &&
	       info.reasons & UHMM_LIVE_WHY_LOST;
}

void checker_look(bool wait)
{
	if (wait)
		pthread_mutex_lock(&checker.look_lock);
	else if (pthread_mutex_trylock(&checker.look_lock))
		return;
	if (checker.mm && !is_lost()) {
		look_at_sample();
		look_at_all();
		report();
		take_sample();
	}
	pthread_mutex_unlock(&checker.look_lock);
}

/* ---------------------------------------------------------------- its thread */

/* All that a look finds new: entries made, and events. */
static uint64_t news(void)
{
	uint64_t sum = checker.counts->faults;

	for (unsigned int i = 0; i < BOARD_EVENTS; i++)
		sum += __atomic_load_n(&checker.counts->events[i],
				       __ATOMIC_RELAXED);
	return sum;
}

static void *run(void *unused)
{
	struct timespec rest = { 0 };
	uint64_t began, ns, before = 0;
	unsigned int calm = 0;

	(void)unused;
	/* pthread_setname_np() of another thread goes through /proc. */
	prctl(PR_SET_NAME, "uhmm-checker");
	/* The program comes first; one that is deaf is to be caught at it. */
	if (!checker.deaf)
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
	while (__atomic_load_n(&checker.mm, __ATOMIC_RELAXED)) {
		began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		checker_look(true);
		ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		checker.counts->device_ns = ns;
		/* Most of a program's processes wait for another one. */
		calm = news() != before ? 0 : calm < CALM_MOST ? calm + 1 : calm;
		before = news();
		ns = (ns - began) * REST << calm;
		if (ns < REST_LEAST_NS)
			ns = REST_LEAST_NS;
		rest.tv_nsec = ns < REST_MOST_NS ? (long)ns : REST_MOST_NS;
		if (checker.deaf)
			rest.tv_nsec = REST_LEAST_NS;
		nanosleep(&rest, NULL);
	}
	return NULL;
}

int checker_run(void)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&checker.thread, &attr, run, NULL);
	checker.runs = !ret;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

int checker_start(struct mm_struct *mm, struct board_process *process,
		  unsigned int deaf)
{
	int ret = table_init(&checker.table);

	if (ret)
		return ret;
	checker.process = process;
	checker.counts = &process->counts;
	checker.deaf = deaf;
	checker.mm = mm;
	present_open();
	sample_open();
	return events_start(mm, process);
}

void checker_end(void)
{
	pthread_mutex_lock(&checker.look_lock);
	for (unsigned int i = 0; i < checker.nwindows; i++)
		mmu_interval_notifier_remove(&checker.windows[i].sub);
	checker.nwindows = 0;
	checker.nsampled = 0;
	__atomic_store_n(&checker.mm, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&checker.look_lock);
	/* It rests for REST_MOST_NS at most. */
	if (checker.runs)
		pthread_join(checker.thread, NULL);
	checker.runs = false;
}

void checker_forget(void)
{
	checker.lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
	pthread_mutex_init(&checker.look_lock, NULL);
	checker.mm = NULL;
	checker.sampled = NULL;
	checker.nsampled = 0;
	checker.nwindows = 0;
	checker.runs = false;
	ladder_forget();
	memset(checker.windows, 0, sizeof(checker.windows));
}
