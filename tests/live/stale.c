/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Stale lookups: one thread changes mappings, another keeps what it translated
 * and looks it up. A lookup that mmu_interval_read_retry() lets pass and that
 * is not what the address holds is stale; there must be none.
 *
 * Contents tell: each page of a memfd holds its own number and is never
 * written, so what an address holds changes with its mapping alone.
 *
 *	reuse		an address is unmapped and mapped by somebody else
 *			before the event of the first is read
 *	neighbour	the reader takes in pages that he does not use, and they
 *			go while he reads
 *	window		the mapping changes between what he reads and what he
 *			keeps
 *	refault		he reads again at once what is being dropped
 *
 * Each is run at G0, and at G1 with every second change bracketed as a patched
 * libc does, the others raw. At G2 all changes are raw and nobody but the traps
 * sees them, as there is no userfaultfd. Known to be bad, and found to be: each
 * with a part of the library, or of the reader's protocol, left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>

#include "mm/live/live.h"
#include "raw.h"

#define PAGE 4096UL
#define SLOTS 8
#define SLOT_PAGES 4
#define ARENA (1UL << 44)
/* At each translation; the fewer, the sooner something is found. */
#define LOOKS (broken ? 8 : 64)
#define BROKEN_LATE (1U << 30)	/* the reader begins when he has read */

struct slot_view {
	struct mmu_interval_notifier sub;
	pthread_mutex_t lock;
	bool valid;
	unsigned long seq;
	uint64_t held;		/* what was there */
};

static struct mm_struct *mm;
static struct slot_view views[SLOTS];
static char *arena;
static int file;
static bool stop, g1, raw;
static unsigned long next_free;		/* what is being unmapped */
static unsigned int broken;
static unsigned long lookups, hits, stale, wanted;
static unsigned long own_hits;		/* of who changes the mappings */
/* Odd: a change is being made; else @now[slot] is what is there. */
static unsigned long changes[SLOTS];
static uint64_t now[SLOTS];

static bool zap(struct mmu_interval_notifier *sub,
		const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct slot_view *view = container_of(sub, struct slot_view, sub);

	if (mmu_notifier_range_blockable(range))
		pthread_mutex_lock(&view->lock);
	else if (pthread_mutex_trylock(&view->lock))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&view->lock);
	return true;
}

static const struct mmu_interval_notifier_ops ops = { .invalidate = zap };

static char *slot_at(unsigned int k)
{
	return arena + k * 2 * SLOT_PAGES * PAGE;
}

/* As a device reads: the page is faulted in, and a hole is an error. */
static bool device_read(unsigned int k, uint64_t *value)
{
	struct iovec to = { value, sizeof(*value) };
	struct iovec from = { slot_at(k), sizeof(*value) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) ==
	       sizeof(*value);
}

/* Translate, and keep it if that did not collide. */
static void take_in(unsigned int k)
{
	struct uhmm_pte ptes[SLOT_PAGES];
	struct slot_view *view = &views[k];
	size_t n = SLOT_PAGES;
	unsigned long seq = 0;
	uint64_t value;
	int ret;

	if (!(broken & BROKEN_LATE))
		seq = mmu_interval_read_begin(&view->sub);
	mmap_read_lock(mm);
	ret = uhmm_mm_walk(mm, (unsigned long)slot_at(k), &n, ptes);
	mmap_read_unlock(mm);
	/* At the first hole it is over; what is there must be watched. */
	if ((ret && !n) || ptes[0].state == UHMM_PTE_SPECIAL ||
	    !device_read(k, &value))
		return;
	if (broken & BROKEN_LATE) {
		sched_yield();
		seq = mmu_interval_read_begin(&view->sub);
	}
	pthread_mutex_lock(&view->lock);
	if (!mmu_interval_read_retry(&view->sub, seq)) {
		view->valid = true;
		view->seq = seq;
		view->held = value;
	}
	pthread_mutex_unlock(&view->lock);
}

static bool is_good(struct slot_view *view)
{
	bool good;

	pthread_mutex_lock(&view->lock);
	good = view->valid && !mmu_interval_read_retry(&view->sub, view->seq);
	pthread_mutex_unlock(&view->lock);
	return good;
}

static bool look_up(unsigned int k, uint64_t *value)
{
	struct slot_view *view = &views[k];
	bool hit;

	pthread_mutex_lock(&view->lock);
	hit = view->valid && !mmu_interval_read_retry(&view->sub, view->seq);
	if (!hit)
		view->valid = false;
	*value = view->held;
	pthread_mutex_unlock(&view->lock);
	lookups++;
	hits += hit;
	return hit;
}

/* ------------------------------------------------------------------- changes */

static void bracketed(struct live_bracket *b, unsigned int k,
		      enum mmu_notifier_event event, unsigned long n)
{
	b->inside = NULL;
	if (g1 && n % 2)
		live_bracket_start(b, (unsigned long)slot_at(k),
				   SLOT_PAGES * PAGE, event, 0);
}

static void unmap(char *p)
{
	if (raw)
		RAW2(SYS_munmap, p, SLOT_PAGES * PAGE);
	else
		munmap(p, SLOT_PAGES * PAGE);
}

static uint64_t remap(unsigned int k, unsigned long n)
{
	uint64_t id = n % 64;
	struct live_bracket b;
	char *p = slot_at(k);

	bracketed(&b, k, MMU_NOTIFY_UNMAP, n);
	p = raw ? (char *)raw_call(SYS_mmap, (long)p, SLOT_PAGES * PAGE,
				   PROT_READ, MAP_SHARED | MAP_FIXED, file,
				   (long)(id * PAGE)) :
		  mmap(p, SLOT_PAGES * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
		       file, (off_t)(id * PAGE));
	if (p != slot_at(k))
		abort();
	live_bracket_end(&b);
	return id;
}

static void change_begin(unsigned int k)
{
	__atomic_add_fetch(&changes[k], 1, __ATOMIC_SEQ_CST);
}

static void change_end(unsigned int k, uint64_t id)
{
	__atomic_store_n(&now[k], id, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&changes[k], 1, __ATOMIC_SEQ_CST);
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static void *remapper(void *unused)
{
	for (unsigned long n = 0; !stopped(); n++) {
		unsigned int k = n / 3 % SLOTS;

		change_begin(k);
		change_end(k, remap(k, n));
		if (n % 3 == 2)
			sched_yield();
	}
	return NULL;
}

/* Writes, drops: then there is what the file holds. */
static void *dropper(void *unused)
{
	struct live_bracket b;

	for (unsigned long n = 0; !stopped(); n++) {
		unsigned int k = n % SLOTS;

		change_begin(k);
		*(volatile uint64_t *)slot_at(k) = n + 1;
		bracketed(&b, k, MMU_NOTIFY_CLEAR, n);
		if (raw)
			RAW3(SYS_madvise, slot_at(k), PAGE, MADV_DONTNEED);
		else
			madvise(slot_at(k), PAGE, MADV_DONTNEED);
		live_bracket_end(&b);
		change_end(k, 0);
		if (n % 4 == 3)
			sched_yield();
	}
	return NULL;
}

/* Keeps what he maps, and unmaps it for somebody else to map. */
static void *unmapper(void *unused)
{
	struct live_bracket b;
	char *p;

	for (unsigned long n = 0; !stopped(); n++) {
		unsigned int k = n % SLOTS;

		p = mmap(slot_at(k), SLOT_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0);
		if (p == MAP_FAILED) {
			sched_yield();
			continue;
		}
		take_in(k);
		own_hits += is_good(&views[k]);
		__atomic_store_n(&next_free, n, __ATOMIC_RELEASE);
		bracketed(&b, k, MMU_NOTIFY_UNMAP, n);
		unmap(p);
		live_bracket_end(&b);
	}
	return NULL;
}

/* -------------------------------------------------------------------- readers */

static void check(unsigned int k)
{
	unsigned long before, after;
	uint64_t value, there;

	before = __atomic_load_n(&changes[k], __ATOMIC_SEQ_CST);
	if (!look_up(k, &value))
		return;
	there = __atomic_load_n(&now[k], __ATOMIC_SEQ_CST);
	after = __atomic_load_n(&changes[k], __ATOMIC_SEQ_CST);
	if (before == after && before % 2 == 0 && value != there)
		stale++;
}

static void read_all(void)
{
	while (lookups < wanted && !(broken && stale)) {
		for (unsigned int k = 0; k < SLOTS; k++) {
			take_in(k);
			for (int i = 0; i < LOOKS; i++)
				check(k);
			if (broken)
				sched_yield();
		}
		/* And what was taken in a while ago. */
		for (unsigned int k = 0; k < SLOTS; k++)
			check(k);
	}
}

/* Whatever is kept of the address that was free a moment ago is another's. */
static void read_mine(void)
{
	unsigned long last = 0, tries = 0;
	uint64_t value;
	char *p;

	while (lookups < wanted) {
		unsigned long n = __atomic_load_n(&next_free, __ATOMIC_ACQUIRE);
		unsigned int k = n % SLOTS;

		/* Or who is waited for is not let run, where cores are few. */
		if (n == last) {
			sched_yield();
			continue;
		}
		p = mmap(slot_at(k), SLOT_PAGES * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			 0);
		/* It is about to be free. */
		if (p == MAP_FAILED) {
			if (++tries % 16 == 0)
				sched_yield();
			continue;
		}
		for (int i = 0; i < LOOKS; i++)
			stale += look_up(k, &value);
		unmap(p);
		last = n;
	}
}

/* ----------------------------------------------------------------------- runs */

struct adversary {
	const char *name;
	void *(*changer)(void *unused);
	void (*reader)(void);
	int prot, flags;	/* of the slots; 0: they start unmapped */
	unsigned int share;	/* of 40 lookups; who is waited for has few */
};

static const struct adversary adversaries[] = {
	{ "reuse", unmapper, read_mine, 0, 0, 4 },
	{ "neighbour", remapper, read_all, PROT_READ, MAP_SHARED, 12 },
	{ "window", remapper, read_all, PROT_READ, MAP_SHARED, 12 },
	{ "refault", dropper, read_all, PROT_READ | PROT_WRITE, MAP_PRIVATE, 12 },
};

struct variant {
	const char *name, *adversary;
	unsigned int broken;
};

/* What each part is good for. */
static const struct variant bad[] = {
	{ "the kernel is not asked", "reuse", BROKEN_PROBE },
	{ "the monitor is not asked", "neighbour", BROKEN_BUSY },
	{ "neither is asked", "neighbour", BROKEN_PROBE | BROKEN_BUSY },
	{ "what appears is not registered", "neighbour", BROKEN_REGISTER },
	{ "the read begins when it is over", "window", BROKEN_LATE },
	{ "a removal ends as it is told of", "refault", BROKEN_REMOVE_END },
};

static const struct variant bad_at_g2[] = {
	{ "a trap's bracket ends before the change", "neighbour", BROKEN_END },
	{ "nothing is trapped", "neighbour", 0 },
};

static void setup_slots(const struct adversary *a)
{
	uint64_t id;

	/* Where nobody else maps what he does not place. */
	arena = mmap((void *)ARENA, 2 * SLOT_PAGES * PAGE * SLOTS, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (arena == MAP_FAILED)
		abort();
	file = memfd_create("stale", 0);
	for (id = 0; id < 64 + SLOT_PAGES; id++)
		if (pwrite(file, &id, sizeof(id), (off_t)(id * PAGE)) < 0)
			abort();
	if (ftruncate(file, (off_t)(64 + SLOT_PAGES) * PAGE))
		abort();
	for (unsigned int k = 0; k < SLOTS; k++) {
		munmap(slot_at(k), SLOT_PAGES * PAGE);
		if (a->prot)
			mmap(slot_at(k), SLOT_PAGES * PAGE, a->prot,
			     a->flags | MAP_FIXED, file, 0);
		memset(&views[k], 0, sizeof(views[k]));
		pthread_mutex_init(&views[k].lock, NULL);
		changes[k] = 0;
		now[k] = 0;
		if (mmu_interval_notifier_insert(&views[k].sub, mm,
						 (unsigned long)slot_at(k),
						 SLOT_PAGES * PAGE, &ops))
			abort();
	}
}

/* Called before all views: so there is time between an event and their calls. */
static bool dawdle(struct mmu_interval_notifier *sub,
		   const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	usleep(20);
	return true;
}

static const struct mmu_interval_notifier_ops dawdle_ops = {
	.invalidate = dawdle,
};

static void run(const struct adversary *a, unsigned int what_is_broken)
{
	struct mmu_interval_notifier first;
	bool dawdles = what_is_broken & BROKEN_BUSY;
	pthread_t thread;

	broken = what_is_broken;
	__atomic_store_n(&live_broken, what_is_broken & ~BROKEN_LATE,
			 __ATOMIC_RELAXED);
	lookups = hits = stale = own_hits = 0;
	stop = false;
	memset(&first, 0, sizeof(first));
	if (dawdles &&
	    mmu_interval_notifier_insert(&first, mm, ARENA,
					 2 * SLOT_PAGES * PAGE * SLOTS,
					 &dawdle_ops))
		abort();
	setup_slots(a);
	if (pthread_create(&thread, NULL, a->changer, NULL))
		abort();
	a->reader();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	__atomic_store_n(&live_broken, 0, __ATOMIC_RELAXED);
	for (unsigned int k = 0; k < SLOTS; k++)
		mmu_interval_notifier_remove(&views[k].sub);
	if (dawdles)
		mmu_interval_notifier_remove(&first);
	munmap(arena, 2 * SLOT_PAGES * PAGE * SLOTS);
	close(file);
}

static const struct adversary *find(const char *name)
{
	const struct adversary *a = adversaries;

	while (strcmp(a->name, name))
		a++;
	return a;
}

static int number, failed;

static void result(bool ok, const char *what, const char *name)
{
	struct uhmm_live_stats s = { .size = sizeof(s) };

	uhmm_live_get_stats(mm, &s);
	printf("%sok %d - %s: %s\n", ok ? "" : "not ", ++number, what, name);
	printf("# %lu lookups, %lu hits (%lu of its own), %lu stale; unmaps %lu removes %lu "
	       "pending %lu handed on %lu signalled %lu quarantined %lu "
	       "lost %lu missed %lu\n",
	       lookups, hits, own_hits, stale, s.unmaps, s.removes, s.pending,
	       s.handed_on, s.signalled, s.quarantined, s.ends_lost, s.missed);
	failed += !ok;
}

/*
 * Until it has gone wrong, or not for ever so long. On a busy machine a short run
 * is over before the other thread has begun.
 */
static void run_bad(const struct variant *v, unsigned long each)
{
	/* One is not met in each run. */
	unsigned long runs = v->broken == BROKEN_REMOVE_END ? 15 : 200;

	for (unsigned long i = 1; i <= runs; i++) {
		wanted = v->broken == BROKEN_REMOVE_END ? 2000 : 2000 * i;
		run(find(v->adversary), v->broken);
		if (stale)
			break;
	}
	if (!stale && v->broken == BROKEN_REMOVE_END)
		printf("ok %d - found out: %s # SKIP not met in this run\n",
		       ++number, v->name);
	else
		result(stale > 0, "found out", v->name);
}

/* Traps cannot be taken back: each of these has a process of its own. */
static int in_child(void (*run_it)(unsigned long each), unsigned long each,
		    int tests)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		run_it(each);
		_exit(failed);
	}
	number += tests;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

/* No userfaultfd. False, and tests skipped: that cannot be had here. */
static bool only_patched(enum uhmm_guarantee reach, int tests)
{
	struct uhmm_live_options o = {
		.size = sizeof(o),
		.flags = UHMM_LIVE_UNWATCHED_TOO,
		.guarantee = reach,
		.without = UHMM_LIVE_UFFD,
	};
	const char *why = "";

	raw = true;
	if (uhmm_mm_create_live(&o, &mm))
		abort();
	if (!uhmm_live_patch(reach, &why))
		return true;
	while (tests--)
		printf("ok %d - at G%d # SKIP %s\n", ++number, reach, why);
	return false;
}

static void trapped(unsigned long each)
{
	const size_t n = ARRAY_SIZE(adversaries);

	if (!only_patched(UHMM_G2, (int)n + 1))
		return;
	for (size_t i = 0; i < n; i++) {
		wanted = each * adversaries[i].share / 10;
		run(&adversaries[i], 0);
		result(!stale && hits + own_hits &&
		       uhmm_live_guarantee(mm) == UHMM_G2, "none at G2",
		       adversaries[i].name);
	}
	run_bad(&bad_at_g2[0], each);
}

static void untrapped(unsigned long each)
{
	if (only_patched(UHMM_G1, 1))
		run_bad(&bad_at_g2[1], each);
}

int main(int argc, char **argv)
{
	struct uhmm_live_options o = { .size = sizeof(o) };
	unsigned long each = argc > 1 ? strtoul(argv[1], NULL, 10) : 250000;
	struct uhmm_live_info info = { .size = sizeof(info) };
	const size_t n = ARRAY_SIZE(adversaries);
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", 3 * n + ARRAY_SIZE(bad) + ARRAY_SIZE(bad_at_g2));
	failed = in_child(trapped, each, (int)n + 1);
	failed += in_child(untrapped, each, 1);
	if (uhmm_mm_create_live(&o, &mm) || uhmm_live_get_info(mm, &info))
		return 2;
	for (i = 0; i < 2 * n + ARRAY_SIZE(bad) && info.guarantee < UHMM_G0; i++)
		printf("ok %d # SKIP userfaultfd is refused here\n", ++number);
	for (i = 0; i < 2 * n && info.guarantee >= UHMM_G0; i++) {
		wanted = each * adversaries[i % n].share / 10;
		g1 = i >= n;
		live_set_bracketed(g1 ? UHMM_G1 : UHMM_GUARANTEE_NONE, 0);
		run(&adversaries[i % n], 0);
		result(!stale && hits + own_hits, g1 ? "none at G1" : "none at G0",
		       adversaries[i % n].name);
	}
	g1 = false;
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	for (i = 0; i < ARRAY_SIZE(bad) && info.guarantee >= UHMM_G0; i++)
		run_bad(&bad[i], each);
	mmput(mm);
	return failed != 0;
}
