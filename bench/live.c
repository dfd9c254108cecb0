/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The live process: what a change costs who makes it, what a page costs that
 * goes to a device and comes home, what a read costs.
 *
 * What is compared takes turns of some operations each, so that who disturbs one
 * disturbs the other. All threads are on one core, but where it says elsewhere. What
 * a hand-off from one to another costs is printed beside: the kernel tells of changes
 * and of touches by waking one.
 */
#include <errno.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <uhmm/hmm.h>
#include <uhmm/live.h>
#include <uhmm/mm.h>

#include "../tests/live/device.h"
#include "bench.h"
#include "live_bare.h"
#include "live_turns.h"
#include "mm/live/calls.h"
#include "mm/live/live.h"
#include "mm/live/out.h"
#include "mm/live/patch.h"
#include "mm/live/uapi.h"
#include "mm/live/watch.h"

#define PAGE UHMM_PAGE_SIZE
#define SAMPLES 3000
#define MANY 512UL
#define BATCH_PAGES 16UL
#define MORE_PAGES 64UL
#define AREA_PAGES 256UL		/* of which that many go at a time */
#define GIB (1024.0 * 1024 * 1024)
#define EACH 100

static struct mm_struct *mm;

static void begin(unsigned int flags)
{
	struct uhmm_live_options o = { .size = sizeof(o), .flags = flags };

	must(!uhmm_mm_create_live(&o, &mm), "uhmm_mm_create_live");
}

static void end(void)
{
	mmput(mm);
}

static char *map_at(char *at, unsigned long npages)
{
	char *p = mmap(at, npages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	madvise(p, npages * PAGE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < npages; i++)
		p[i * PAGE] = 1;
	return p;
}

static char *map(unsigned long npages)
{
	return map_at(NULL, npages);
}

/* What was there before is out of the way, or it would be taken for this. */
static void watch_one(char *p)
{
	int ret;

	while (uhmm_live_pending(mm, (unsigned long)p, PAGE))
		sched_yield();
	do
		ret = uhmm_live_watch(mm, (unsigned long)p, PAGE);
	while (ret == -EAGAIN);
	must(!ret, "uhmm_live_watch");
}

static double hand_off_once(unsigned int unused)
{
	return hand_off();
}

static void hand_offs(struct bench *b)
{
	unsigned int n;

	hand_off_begin();
	n = in_turns(b, 1, SLICES, hand_off_once);
	hand_off_end();
	show(b, "The machine", hand_off_name, 0, "ns", samples[0], n);
}

/* What every question to the kernel costs, whatever it is. */
static void system_call(struct bench *b)
{
	int64_t t;

	for (unsigned int n = 0; n < SAMPLES / 10; n++) {
		t = bench_now();
		for (int i = 0; i < EACH; i++)
			syscall(SYS_getppid);
		samples[0][n] = (double)(bench_now() - t) / EACH;
	}
	show(b, "The machine", "a system call", 0, "ns", samples[0],
	     SAMPLES / 10);
}

/* ----------------------------------------------------------------- munmap */

/* The first ones are what makes a difference on another core. */
enum { BARE, G0, HAND_OFF, TOLD, FAR_KINDS, TOLD_YIELDING = FAR_KINDS,
       UNWATCHED, G1_NOTHING, G1, KINDS };

static const char *const munmap_name[] = {
	"bare", "G0, registered", hand_off_name, "told of to a thread, bare",
	"told of to one that gives way, bare", "no longer told of, bare",
	"G1, nothing registered", "G1, registered",
};
_Static_assert(KINDS <= KINDS_MAX, "each has its samples");

static struct bare watches[] = {
	{ .by = BARE_THREAD }, { .by = BARE_YIELDING }, { .by = BARE_NOBODY },
};

/*
 * Where each page is that goes: between two that stay and are of another area. Else
 * it would be up to chance whether the kernel frees its table of pages, too.
 */
static char *between;

static void between_begin(void)
{
	char *p = map(3);

	must(!mprotect(p, 3 * PAGE, PROT_READ), "mprotect");
	between = p + PAGE;
	munmap(between, PAGE);
}

static void between_end(void)
{
	munmap(between - PAGE, 3 * PAGE);
}

static double munmap_once(unsigned int kind)
{
	unsigned long args[6] = { 0, PAGE };
	int64_t t;

	if (kind == HAND_OFF)
		return hand_off();
	args[0] = (unsigned long)map_at(between, 1);
	if (kind >= TOLD && kind <= UNWATCHED)
		return bare_munmap(&watches[kind - TOLD], (char *)args[0]);
	if (kind == G0 || kind == G1)
		watch_one((char *)args[0]);
	t = bench_now();
	/* The first is what libc does, the second what its patched code does. */
	if (kind == BARE || kind == G0)
		live_raw_syscall(SYS_munmap, args);
	else
		live_patched_call(SYS_munmap, args);
	return (double)(bench_now() - t);
}

/* Whom the kernel tells is on @cpu. @over: bare. */
static void munmaps_on(struct bench *b, const char *section, int cpu,
		       unsigned int kinds, double *median, double *over)
{
	unsigned int n;

	between_begin();
	stay_on(cpu);
	begin(0);
	hand_off_begin();
	for (size_t i = 0; i < ARRAY_SIZE(watches); i++)
		must(bare_watch_begin(&watches[i]), "userfaultfd");
	stay_on(here);
	n = in_turns(b, kinds, SLICES, munmap_once);
	for (size_t i = 0; i < ARRAY_SIZE(watches); i++)
		bare_watch_end(&watches[i]);
	hand_off_end();
	end();
	between_end();
	for (unsigned int k = 0; k < kinds; k++)
		over[k] = over_first(k, n);
	for (unsigned int k = 0; k < kinds; k++)
		median[k] = show(b, section, munmap_name[k], 0, "ns",
				 samples[k], n);
}

static void munmaps(struct bench *b)
{
	static const char section[] = "munmap() of 4 KiB";
	double median[KINDS], over[KINDS];

	munmaps_on(b, section, here, KINDS, median, over);
	show_one(b, section, "to be told of, in hand-offs",
		 (over[TOLD] - 1) / over[HAND_OFF], "x");
	target(b, "V1", "munmap of 4 KiB at G1, nothing registered, over bare",
	       over[G1_NOTHING], 1.1, "x");
	target_within(b, "V2", "munmap of 4 KiB at G1, registered, over bare",
		      over[G1], 1.7, "x", over[UNWATCHED]);
	target_within(b, "V3", "munmap of 4 KiB at G0, registered, over bare",
		      over[G0], 3, "x", lower(over[TOLD], over[TOLD_YIELDING]));
}

static double munmap_told(unsigned int unused)
{
	return bare_munmap(&watches[0], map_at(between, 1));
}

/* By who waits awake, and so has to be alone there. */
static double told_awake(struct bench *b, const char *section)
{
	struct bare old = watches[0];
	unsigned int n;

	watches[0].by = BARE_SPINNING;
	between_begin();
	stay_on(elsewhere);
	must(bare_watch_begin(&watches[0]), "userfaultfd");
	stay_on(here);
	n = in_turns(b, 1, SLICES, munmap_told);
	bare_watch_end(&watches[0]);
	between_end();
	watches[0] = old;
	return show(b, section, "told of to one that spins, bare", 0, "ns",
		    samples[0], n);
}

static void munmaps_elsewhere(struct bench *b)
{
	static const char section[] =
		"munmap() of 4 KiB, whom the kernel tells is on another core";
	static const char what[] = "the same, the monitor on another core";
	double median[KINDS], over[KINDS], told, wanted;

	if (elsewhere < 0) {
		bench_missing(b, what, "there is only one");
		target(b, "V3", what, -1, 0, "ns");
		return;
	}
	munmaps_on(b, section, elsewhere, FAR_KINDS, median, over);
	told = lower(median[TOLD], told_awake(b, section));
	wanted = median[BARE] + 2 * median[HAND_OFF];
	show_one(b, section, "bare and two hand-offs", wanted, "ns");
	target_within(b, "V3", what, median[G0], wanted, "ns", told);
}

/* ------------------------------------------------------------------- reads */

static bool nothing(struct mmu_interval_notifier *sub,
		    const struct mmu_notifier_range *range,
		    unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	return true;
}

static const struct mmu_interval_notifier_ops nothing_ops = {
	.invalidate = nothing,
};

/* The question that a read asks, and nothing around it; all at once. */
static double question(void)
{
	int fd = live_of(mm)->shards[0].fd;
	struct uffdio_copy copy;
	int64_t t = bench_now();

	for (int i = 0; i < EACH; i++) {
		copy = (struct uffdio_copy){ 0 };
		(void)ioctl(fd, UFFDIO_COPY, &copy);
	}
	return (double)(bench_now() - t) / EACH;
}

/* It asks the kernel, once. */
static void retries(struct bench *b)
{
	struct mmu_interval_notifier sub = { 0 };
	double median[2];
	char *p;
	unsigned long seq;
	unsigned int n = 0;
	int64_t t;

	begin(0);
	p = map(1);
	watch_one(p);
	must(!mmu_interval_notifier_insert(&sub, mm, (unsigned long)p, PAGE,
					   &nothing_ops), "insert");
	for (; n < SAMPLES / 10 && !bench_over(b); n++) {
		seq = mmu_interval_read_begin(&sub);
		t = bench_now();
		for (int i = 0; i < EACH; i++)
			(void)mmu_interval_read_retry(&sub, seq);
		samples[0][n] = (double)(bench_now() - t) / EACH;
		samples[1][n] = question();
	}
	median[0] = show(b, "A read", "mmu_interval_read_retry() at G0", 0,
			 "ns", samples[0], n);
	median[1] = show(b, "A read", "UFFDIO_COPY of nothing, bare", 0, "ns",
			 samples[1], n);
	target_within(b, "V4", "mmu_interval_read_retry() at G0", median[0],
		      200, "ns", median[1]);
	mmu_interval_notifier_remove(&sub);
	munmap(p, PAGE);
	end();
}

static int64_t scan(const char *p)
{
	struct live *live = live_of(mm);
	struct page_region regions[16];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (unsigned long)p,
		.end = (unsigned long)p + MANY * PAGE,
		.vec = (unsigned long)regions,
		.vec_len = 16,
		.category_anyof_mask = live->scan_mask,
		.return_mask = live->scan_mask,
	};
	int64_t t = bench_now();

	must(ioctl(live->pagemap, PAGEMAP_SCAN, &arg) >= 0, "PAGEMAP_SCAN");
	return bench_now() - t;
}

static void range_faults(struct bench *b)
{
	static unsigned long pfns[MANY];
	struct mmu_interval_notifier sub = { 0 };
	struct hmm_range range = { .notifier = &sub, .hmm_pfns = pfns,
				   .default_flags = HMM_PFN_REQ_FAULT };
	double median[2];
	unsigned int n = 0;
	char *p;
	int64_t t;

	begin(0);
	if (!live_has(live_of(mm), UHMM_LIVE_PAGEMAP_SCAN)) {
		bench_missing(b, "PAGEMAP_SCAN", "the kernel has none (6.7)");
		target(b, "V5", "hmm_range_fault() over PAGEMAP_SCAN", -1, 1.3,
		       "x");
		end();
		return;
	}
	p = map(MANY);
	range.start = (unsigned long)p;
	range.end = range.start + MANY * PAGE;
	must(!mmu_interval_notifier_insert(&sub, mm, range.start, MANY * PAGE,
					   &nothing_ops), "insert");
	for (; n < SAMPLES && !bench_over(b); n++) {
		range.notifier_seq = mmu_interval_read_begin(&sub);
		mmap_read_lock(mm);
		t = bench_now();
		must(!hmm_range_fault(&range), "hmm_range_fault");
		samples[0][n] = (double)(bench_now() - t) / MANY;
		mmap_read_unlock(mm);
		samples[1][n] = (double)scan(p) / MANY;
	}
	median[0] = show(b, "A read", "hmm_range_fault() of present pages, each",
			 MANY, "ns", samples[0], n);
	median[1] = show(b, "A read", "PAGEMAP_SCAN of the same, each", MANY,
			 "ns", samples[1], n);
	target(b, "V5", "hmm_range_fault() over PAGEMAP_SCAN",
	       median[0] / median[1], 1.3, "x");
	mmu_interval_notifier_remove(&sub);
	munmap(p, MANY * PAGE);
	end();
}

/* ------------------------------------------------------------------ a device */

#define BARE_WAYS 3

static const struct way_home {
	const char *id;
	const char *name;
	unsigned int flags;
	double wanted;
	struct {
		const char *name;
		struct bare bare;
	} bare[BARE_WAYS];
} ways_home[] = {
	{ "V6", "a page brought home by a thread", 0, 7000,
	  { { "by a thread, bare", { .by = BARE_THREAD } },
	    { "by one that gives way, bare", { .by = BARE_YIELDING } },
	    { "by one that gives way, copied, bare",
	      { .by = BARE_YIELDING, .copies = true } } } },
	{ "V7", "a page brought home by SIGBUS", UHMM_LIVE_SIGBUS, 4000,
	  { { "by SIGBUS, bare", { .by = BARE_SIGNAL } },
	    { "by SIGBUS, copied, bare",
	      { .by = BARE_SIGNAL, .copies = true } } } },
};

enum { HOME, HOME_HAND_OFF, HOME_BARE };

static struct device device;
static char *page;
static struct bare bare_ways[BARE_WAYS];

static double home_once(unsigned int kind)
{
	int64_t t;

	if (kind == HOME_HAND_OFF)
		return hand_off();
	if (kind >= HOME_BARE)
		return bare_home(&bare_ways[kind - HOME_BARE]);
	must(device_take(&device, mm, page, 1) == 1, "a migration");
	t = bench_now();
	(void)*(volatile char *)page;
	return (double)(bench_now() - t);
}

/* Returns how many can be had, the first ones. */
static unsigned int bare_ways_begin(const struct way_home *way)
{
	unsigned int n = 0;

	for (; n < BARE_WAYS && way->bare[n].name; n++) {
		bare_ways[n] = way->bare[n].bare;
		if (!bare_home_begin(&bare_ways[n]))
			break;
	}
	return n;
}

static double spinning_once(unsigned int unused)
{
	return bare_home(&bare_ways[0]);
}

/* On another core, which it has for itself. */
static double home_by_spinning(struct bench *b, bool copies)
{
	unsigned int n;

	bare_ways[0] = (struct bare){ .by = BARE_SPINNING, .copies = copies };
	stay_on(elsewhere);
	must(bare_home_begin(&bare_ways[0]), "userfaultfd");
	stay_on(here);
	n = in_turns(b, 1, SLICES, spinning_once);
	bare_home_end(&bare_ways[0]);
	return show(b, "A page of a device",
		    copies ? "by one that spins elsewhere, copied, bare" :
			     "by one that spins elsewhere, bare",
		    0, "ns", samples[0], n);
}

static void page_home(struct bench *b, const struct way_home *way)
{
	static const char section[] = "A page of a device";
	double median, limit = -1;
	unsigned int n, kinds;

	begin(UHMM_LIVE_DEVICE | way->flags);
	must(!device_make(&device, 64, true), "a device");
	page = map(1);
	hand_off_begin();
	kinds = HOME_BARE + bare_ways_begin(way);
	n = in_turns(b, kinds, SLICES, home_once);
	for (unsigned int k = HOME_BARE; k < kinds; k++)
		bare_home_end(&bare_ways[k - HOME_BARE]);
	hand_off_end();
	munmap(page, PAGE);
	device_destroy(&device);
	end();
	median = show(b, section, way->name, 0, "ns", samples[HOME], n);
	show(b, section, hand_off_name, 0, "ns", samples[HOME_HAND_OFF], n);
	for (unsigned int k = HOME_BARE; k < kinds; k++)
		limit = lower(limit, show(b, section,
					  way->bare[k - HOME_BARE].name, 0,
					  "ns", samples[k], n));
	if (limit > 0 && elsewhere >= 0 && !way->flags) {
		limit = lower(limit, home_by_spinning(b, false));
		limit = lower(limit, home_by_spinning(b, true));
	}
	target_within(b, way->id, way->name, median, way->wanted, "ns", limit);
}

/* GiB/s. */
static void to_rates(double *ns, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		ns[i] = (double)(AREA_PAGES * PAGE) / GIB / (ns[i] / 1e9);
}

/* So many pages in one call, of the kernel alone. */
static struct bare moves;
static char *area;
static unsigned long at_once;

static double to_device_once(unsigned int kind)
{
	int64_t t = bench_now();

	if (kind)
		return bare_moves(&moves, AREA_PAGES, at_once);
	must(device_take_by(&device, mm, area, AREA_PAGES, at_once) ==
	     (long)AREA_PAGES, "a migration");
	t = bench_now() - t;
	must(device_return(&device, mm, area, AREA_PAGES) ==
	     (long)AREA_PAGES, "a migration home");
	return (double)t;
}

/* All of an area, which is looked up once, as drivers do that move much. */
static void to_device(struct bench *b, unsigned long most)
{
	double value, limit = -1;
	unsigned int n;
	bool bare;

	begin(UHMM_LIVE_DEVICE);
	must(!device_make(&device, AREA_PAGES, true), "a device");
	area = map(AREA_PAGES);
	at_once = most;
	bare = bare_moves_begin(&moves, AREA_PAGES) &&
	       bare_moves(&moves, AREA_PAGES, most) >= 0;
	n = in_turns(b, bare ? 2 : 1, SAMPLES / SLICE, to_device_once);
	bare_moves_end(&moves, AREA_PAGES);
	munmap(area, AREA_PAGES * PAGE);
	device_destroy(&device);
	end();
	to_rates(samples[0], n);
	value = show(b, "To a device", "migrate_vma", most, "GiB/s",
		     samples[0], n);
	if (bare) {
		to_rates(samples[1], n);
		limit = show(b, "To a device", "UFFDIO_MOVE alone", most, "GiB/s",
			     samples[1], n);
	} else {
		bench_missing(b, "UFFDIO_MOVE", "the kernel has none (6.8)");
	}
	if (most != BATCH_PAGES)
		return;
	bench_target_within(b, &(struct target){
		.id = "V8", .what = "to the device, 64 KiB at a time",
		.value = value, .wanted = 20, .unit = "GiB/s" },
		limit > 0 ? limit : 0);
}

int main(int argc, char **argv)
{
	struct uhmm_live_info info = { .size = sizeof(info) };
	struct bench b;

	bench_init(&b, "live", argc, argv);
	stay_here();
	begin(0);
	must(!uhmm_live_get_info(mm, &info), "uhmm_live_get_info");
	end();
	hand_offs(&b);
	system_call(&b);
	if (info.features & UHMM_LIVE_UFFD) {
		munmaps(&b);
		munmaps_elsewhere(&b);
		retries(&b);
		range_faults(&b);
		for (size_t i = 0; i < ARRAY_SIZE(ways_home); i++)
			page_home(&b, &ways_home[i]);
		to_device(&b, BATCH_PAGES);
		to_device(&b, MORE_PAGES);
	} else {
		bench_missing(&b, "everything", "userfaultfd is refused");
	}
	bench_missing(&b, "UCX, libfabric",
		      "they bring no page home, and ask for none");
	return bench_finish(&b);
}
