/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The live process: what a change costs who makes it, what a page costs that
 * goes to a device and comes home, what a read costs.
 *
 * What is compared takes turns, one operation each, so that who disturbs one
 * disturbs the other. All threads are on one core. What a hand-off from one to
 * another costs is printed beside: the kernel tells of changes and of touches
 * by waking one.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
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
static double samples[5][SAMPLES];

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed\n", what);
	abort();
}

static void begin(unsigned int flags)
{
	struct uhmm_live_options o = { .size = sizeof(o), .flags = flags };

	must(!uhmm_mm_create_live(&o, &mm), "uhmm_mm_create_live");
}

static void end(void)
{
	mmput(mm);
}

static char *map(unsigned long npages)
{
	char *p = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED, "mmap");
	madvise(p, npages * PAGE, MADV_NOHUGEPAGE);
	for (unsigned long i = 0; i < npages; i++)
		p[i * PAGE] = 1;
	return p;
}

static double show(struct bench *b, const char *section, const char *test,
		   unsigned long n, const char *unit, double *values,
		   unsigned int count)
{
	struct figure figure = {
		.section = section, .test = test, .who = "uhmm", .n = n,
		.unit = unit, .value = bench_quartiles(values, count),
	};

	bench_figure(b, &figure);
	return figure.value.count ? figure.value.median : -1;
}

/* @limit: what the kernel alone takes; 0: unknown. */
static void target_within(struct bench *b, const char *id, const char *what,
			  double value, double wanted, const char *unit,
			  double limit)
{
	struct target t = {
		.id = id, .what = what, .value = value, .wanted = wanted,
		.at_most = true, .unit = unit,
	};

	bench_target_within(b, &t, limit);
}

static void target(struct bench *b, const char *id, const char *what,
		   double value, double wanted, const char *unit)
{
	target_within(b, id, what, value, wanted, unit, 0);
}

/* What is around it may be on its way. */
static void watch_one(char *p)
{
	int ret;

	do
		ret = uhmm_live_watch(mm, (unsigned long)p, PAGE);
	while (ret == -EAGAIN);
	must(!ret, "uhmm_live_watch");
}

/* --------------------------------------------------------------- hand-off */

static unsigned int ball;

static void *other_side(void *unused)
{
	for (unsigned int n = 1; n < 2 * SAMPLES; n += 2) {
		while (READ_ONCE(ball) != n)
			wait_word(&ball, n - 1, -1);
		WRITE_ONCE(ball, n + 1);
		wake_word(&ball);
	}
	return NULL;
}

/* From one thread to another that sleeps, in ns. */
static double hand_off(struct bench *b)
{
	pthread_t thread;
	int64_t t;

	ball = 0;
	must(!pthread_create(&thread, NULL, other_side, NULL), "a thread");
	for (unsigned int n = 0; n < SAMPLES; n++) {
		t = bench_now();
		WRITE_ONCE(ball, 2 * n + 1);
		wake_word(&ball);
		while (READ_ONCE(ball) != 2 * n + 2)
			wait_word(&ball, 2 * n + 1, -1);
		samples[0][n] = (double)(bench_now() - t) / 2;
	}
	pthread_join(thread, NULL);
	return show(b, "The machine", "hand-off by a futex", 0, "ns",
		    samples[0], SAMPLES);
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

/* The monitor on the caller's core, and nobody to be interrupted on another. */
static void stay_here(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

/* ----------------------------------------------------------------- munmap */

enum { BARE, G1_NOTHING, G1_REGISTERED, UNWATCH, G0_REGISTERED, KINDS };

static const char *const munmap_name[] = {
	"bare", "G1, nothing registered", "G1, registered",
	"no longer told of, bare", "G0, registered",
};

static double munmap_once(int kind)
{
	unsigned long args[6] = { 0, PAGE };
	int64_t t;

	args[0] = (unsigned long)map(1);
	if (kind == UNWATCH)
		return bare_unwatch((char *)args[0]);
	if (kind >= G1_REGISTERED)
		watch_one((char *)args[0]);
	t = bench_now();
	/* The first is what libc does, the second what its patched code does. */
	if (kind == BARE || kind == G0_REGISTERED)
		live_raw_syscall(SYS_munmap, args);
	else
		live_patched_call(SYS_munmap, args);
	return (double)(bench_now() - t);
}

static void munmaps(struct bench *b)
{
	double median[KINDS], limit;
	unsigned int n = 0;

	begin(0);
	must(bare_watch_begin(), "userfaultfd");
	for (; n < SAMPLES && !bench_over(b); n++)
		for (int k = BARE; k < KINDS; k++)
			samples[k][n] = munmap_once(k);
	bare_watch_end();
	for (int k = BARE; k < KINDS; k++)
		median[k] = show(b, "munmap() of 4 KiB", munmap_name[k], 0,
				 "ns", samples[k], n);
	end();
	n = bare_unmaps(b, samples[0], SAMPLES);
	limit = show(b, "munmap() of 4 KiB", "told of to a thread, bare", 0, "ns",
		     samples[0], n);
	target(b, "V1", "munmap of 4 KiB at G1, nothing registered, over bare",
	       median[G1_NOTHING] / median[BARE], 1.1, "x");
	target_within(b, "V2", "munmap of 4 KiB at G1, registered, over bare",
		      median[G1_REGISTERED] / median[BARE], 1.7, "x",
		      median[UNWATCH] / median[BARE]);
	target_within(b, "V3", "munmap of 4 KiB at G0, registered, over bare",
		      median[G0_REGISTERED] / median[BARE], 3, "x",
		      limit > 0 ? limit / median[BARE] : 0);
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
		      200, "ns", median[1] > 0 ? median[1] : 0);
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

static const struct way_home {
	const char *id;
	const char *name;
	const char *bare;
	unsigned int flags;
	double wanted;
} ways_home[] = {
	{ "V6", "a page brought home by a thread", "by a thread, bare", 0,
	  7000 },
	{ "V7", "a page brought home by SIGBUS", "by SIGBUS, bare",
	  UHMM_LIVE_SIGBUS, 4000 },
};

static void page_home(struct bench *b, const struct way_home *way)
{
	struct device device;
	double median, limit;
	unsigned int n = 0;
	char *p;
	int64_t t;

	begin(UHMM_LIVE_DEVICE | way->flags);
	must(!device_make(&device, 64, true), "a device");
	p = map(1);
	for (; n < SAMPLES && !bench_over(b); n++) {
		must(device_take(&device, mm, p, 1) == 1, "a migration");
		t = bench_now();
		(void)*(volatile char *)p;
		samples[0][n] = (double)(bench_now() - t);
	}
	median = show(b, "A page of a device", way->name, 0, "ns", samples[0],
		      n);
	munmap(p, PAGE);
	device_destroy(&device);
	end();
	n = bare_home(b, way->flags & UHMM_LIVE_SIGBUS, samples[1], SAMPLES);
	limit = show(b, "A page of a device", way->bare, 0, "ns", samples[1],
		     n);
	target_within(b, way->id, way->name, median, way->wanted, "ns",
		      limit > 0 ? limit : 0);
}

/* GiB/s. */
static void to_rates(double *ns, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		ns[i] = (double)(AREA_PAGES * PAGE) / GIB / (ns[i] / 1e9);
}

/* So many pages in one call, of the kernel alone. */
static double bare_rate(struct bench *b, unsigned long most)
{
	unsigned int n = bare_moves(b, AREA_PAGES, most, samples[1],
				    SAMPLES / 10);

	to_rates(samples[1], n);
	return show(b, "To a device", "UFFDIO_MOVE alone", most, "GiB/s",
		    samples[1], n);
}

/* All of an area, which is looked up once, as drivers do that move much. */
static void to_device(struct bench *b, unsigned long most)
{
	struct device device;
	double value, limit;
	unsigned int n = 0;
	char *p;
	int64_t t;

	begin(UHMM_LIVE_DEVICE);
	must(!device_make(&device, AREA_PAGES, true), "a device");
	p = map(AREA_PAGES);
	for (; n < SAMPLES && !bench_over(b); n++) {
		t = bench_now();
		must(device_take_by(&device, mm, p, AREA_PAGES, most) ==
		     (long)AREA_PAGES, "a migration");
		samples[0][n] = (double)(bench_now() - t);
		must(device_return(&device, mm, p, AREA_PAGES) ==
		     (long)AREA_PAGES, "a migration home");
	}
	to_rates(samples[0], n);
	value = show(b, "To a device", "migrate_vma", most, "GiB/s",
		     samples[0], n);
	munmap(p, AREA_PAGES * PAGE);
	device_destroy(&device);
	end();
	limit = bare_rate(b, most);
	if (limit <= 0)
		bench_missing(b, "UFFDIO_MOVE", "the kernel has none (6.8)");
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
	hand_off(&b);
	system_call(&b);
	if (info.features & UHMM_LIVE_UFFD) {
		munmaps(&b);
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
