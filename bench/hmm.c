/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a device pays for a page, on the model: reading page tables for it with
 * hmm_range_fault(), against the bare walk of the same entries and against a
 * copy of the pages' bytes; faulting what is absent; moving pages, small and
 * huge, to a device and back; and what a CPU's fault costs. An operation is a
 * call for up to 64 pages, or a huge one, which goes round in a range of n;
 * beside it, at the same place, the walk and the copy are timed too. And what it
 * costs to keep the state of n pages, and to go back to it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uhmm/dmirror.h>
#include <uhmm/hmm.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/model.h>

#include "bench.h"

#define CALL_PAGES 64UL
#define HUGE_PAGES 512UL
#define SAMPLES 200
#define MIN_SAMPLES 5
/* A size has some of it for each thing that is sampled. */
#define SAMPLE_NS 300000000
#define PAGES(n) ((unsigned long)(n) << UHMM_PAGE_SHIFT)

struct area {
	struct mm_struct *mm;
	struct mmu_interval_notifier sub;
	pthread_mutex_t lock;
	unsigned long start;
	unsigned long npages;
	unsigned long call;	/* pages a call */
	unsigned long at;	/* the next call's first page */
	struct uhmm_model_snapshot *saved;
	unsigned long pfns[CALL_PAGES];
	struct uhmm_pte ptes[HUGE_PAGES];
};

static char bytes[2][HUGE_PAGES * UHMM_PAGE_SIZE];

/* ---------------------------------------------------------------- the range */

static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range,
		       unsigned long cur_seq)
{
	struct area *r = (struct area *)((char *)sub -
					   offsetof(struct area, sub));

	pthread_mutex_lock(&r->lock);
	mmu_interval_set_seq(sub, cur_seq);
	pthread_mutex_unlock(&r->lock);
	return true;
}

static const struct mmu_interval_notifier_ops ops = {
	.invalidate = invalidate,
};

/* Calls are for so many pages from now on. */
static void area_call(struct area *r, unsigned long pages)
{
	r->call = r->npages < pages ? r->npages : pages;
	r->at = 0;
}

static void area_init(struct area *r, unsigned long npages, bool huge)
{
	struct uhmm_model_options how = {
		.size = sizeof(how),
		.level = UHMM_KERNEL_NEWEST,
		.thp = huge ? UHMM_THP_ALWAYS : UHMM_THP_NEVER,
	};

	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	must(!uhmm_mm_create_model(&how, NULL, &r->mm), "the model");
	r->npages = npages;
	area_call(r, CALL_PAGES);
	r->start = 1UL << 40;
	must(uhmm_model_mmap(r->mm, r->start, PAGES(npages),
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, 0, 0) > 0, "the model");
	must(!mmu_interval_notifier_insert(&r->sub, r->mm, r->start,
					   PAGES(npages), &ops), "the model");
}

/* Pages come whole and have no bytes yet: a million of them are few. */
static void area_populate(struct area *r)
{
	must(!uhmm_model_madvise(r->mm, r->start, PAGES(r->npages),
				 MADV_POPULATE_WRITE), "the model");
}

static void area_end(struct area *r)
{
	mmu_interval_notifier_remove(&r->sub);
	mmput(r->mm);
	pthread_mutex_destroy(&r->lock);
}

static unsigned long next_call(struct area *r)
{
	unsigned long addr = r->start + PAGES(r->at);

	r->at += r->call;
	if (r->at + r->call > r->npages)
		r->at = 0;
	return addr;
}

/* ----------------------------------------------------------------- contenders */

static void fault_call(struct area *r, unsigned long addr)
{
	struct hmm_range range = {
		.notifier = &r->sub,
		.start = addr,
		.end = addr + PAGES(r->call),
		.hmm_pfns = r->pfns,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};
	int ret;

	do {
		range.notifier_seq = mmu_interval_read_begin(&r->sub);
		mmap_read_lock(r->mm);
		ret = hmm_range_fault(&range);
		mmap_read_unlock(r->mm);
	} while (ret == -EBUSY);
	must(!ret, "a read");
	pthread_mutex_lock(&r->lock);
	must(!mmu_interval_read_retry(&r->sub, range.notifier_seq), "a read");
	pthread_mutex_unlock(&r->lock);
}

static void fault_slice(void *arg, unsigned long n)
{
	while (n--)
		fault_call(arg, next_call(arg));
}

static void walk_call(struct area *r, unsigned long addr)
{
	size_t npages;

	mmap_read_lock(r->mm);
	for (unsigned long i = 0; i < r->call; i += npages) {
		npages = r->call - i < HUGE_PAGES ? r->call - i : HUGE_PAGES;
		must(!uhmm_mm_walk(r->mm, addr + PAGES(i), &npages, r->ptes), "the model");
	}
	mmap_read_unlock(r->mm);
}

static void walk_slice(void *arg, unsigned long n)
{
	while (n--)
		walk_call(arg, next_call(arg));
}

static void copy_call(struct area *r, unsigned long addr)
{
	unsigned long n;

	for (unsigned long i = 0; i < r->call; i += n) {
		n = r->call - i < HUGE_PAGES ? r->call - i : HUGE_PAGES;
		memcpy(bytes[1], bytes[0], PAGES(n));
		bytes[0][i % sizeof(bytes[0])]++;
	}
}

static void copy_slice(void *arg, unsigned long n)
{
	while (n--)
		copy_call(arg, 0);
}

/* Pages a second, of a call that takes @ns. */
static void per_second(struct bench *b, const char *section, const char *test,
		       const struct area *r, struct quartiles ns)
{
	double pages = (double)r->call * 1e9;
	struct quartiles rate = {
		.min = pages / ns.max, .q1 = pages / ns.q3,
		.median = pages / ns.median, .q3 = pages / ns.q1,
		.p99 = pages / ns.min, .max = pages / ns.min,
		.count = ns.count,
	};

	bench_figure(b, &(struct figure){
		.section = section, .test = test, .who = "uhmm",
		.n = r->npages, .unit = "pages/s", .value = rate });
}

static void present(struct bench *b, struct area *r, bool huge)
{
	const char *section = huge ? "hmm_range_fault, huge pages present" :
				     "hmm_range_fault, pages present";
	struct cell against_walk, against_copy;

	against_walk = (struct cell){
		.section = section, .test = "against the walk", .n = r->npages,
		.slice_us = 1000,
		.first = { .name = "uhmm", .slice = fault_slice, .arg = r },
		.second = { .name = "walk", .slice = walk_slice, .arg = r },
	};
	against_copy = against_walk;
	against_copy.test = "against memcpy";
	against_copy.second = (struct contender){
		.name = "memcpy", .slice = copy_slice, .arg = r };
	bench_run(b, &against_walk, 1);
	bench_run(b, &against_copy, 1);
	if (against_walk.first.ns.count)
		per_second(b, section, "rate", r, against_walk.first.ns);
}

/* -------------------------------------------- what changes what it measures */

enum { TIMED, WALKED, COPIED, WAYS };

/* What a call takes, and what it is to be held against takes at the same place. */
struct times {
	double ns[WAYS][SAMPLES];
	unsigned int count;
};

static double time_of(void (*call)(struct area *, unsigned long),
		      struct area *r, unsigned long addr)
{
	int64_t begin = bench_now();

	call(r, addr);
	return (double)(bench_now() - begin);
}

static void against(struct bench *b, const char *section, const char *test,
		    const struct area *r, const struct times *t, int way)
{
	double ratios[SAMPLES];

	for (unsigned int i = 0; i < t->count; i++)
		ratios[i] = t->ns[TIMED][i] / t->ns[way][i];
	bench_figure(b, &(struct figure){
		.section = section, .test = test, .n = r->npages, .unit = "x",
		.who = way == WALKED ? "against the walk" : "against memcpy",
		.value = bench_quartiles(ratios, t->count) });
}

/* @prepare is not timed. */
static void sample(struct bench *b, const char *section, const char *test,
		   struct area *r, void (*prepare)(struct area *, unsigned long),
		   void (*timed)(struct area *, unsigned long))
{
	int64_t until = bench_now() + SAMPLE_NS;
	static struct times t;
	unsigned long addr;
	long switches;

	t.count = 0;
	for (int i = 0; i < SAMPLES && !bench_over(b); i++) {
		if (i >= MIN_SAMPLES && bench_now() > until)
			break;
		addr = next_call(r);
		prepare(r, addr);
		switches = bench_switches();
		t.ns[TIMED][t.count] = time_of(timed, r, addr);
		t.ns[WALKED][t.count] = time_of(walk_call, r, addr);
		t.ns[COPIED][t.count] = time_of(copy_call, r, addr);
		/* Of what takes long there are few that nobody interrupts. */
		if (bench_switches() == switches || r->call > HUGE_PAGES)
			t.count++;
	}
	if (!t.count) {
		bench_missing(b, test, "no time left");
		return;
	}
	against(b, section, test, r, &t, WALKED);
	against(b, section, test, r, &t, COPIED);
	per_second(b, section, test, r, bench_quartiles(t.ns[TIMED], t.count));
}

static void drop(struct area *r, unsigned long addr)
{
	must(!uhmm_model_madvise(r->mm, addr, PAGES(r->call), MADV_DONTNEED), "the model");
}

static void cpu_writes(struct area *r, unsigned long addr)
{
	for (unsigned long i = 0; i < r->call; i++)
		must(!uhmm_model_write(r->mm, addr + PAGES(i), &i, sizeof(i),
				       NULL), "the model");
}

/* So that no memory is touched for the first time when it is timed. */
static void write_and_drop(struct area *r, unsigned long addr)
{
	cpu_writes(r, addr);
	drop(r, addr);
}

static void absent(struct bench *b, struct area *r)
{
	sample(b, "hmm_range_fault, pages absent", "rate", r, drop, fault_call);
	sample(b, "A CPU's fault", "rate", r, write_and_drop,
	       cpu_writes);
}

static struct uhmm_dmirror *mirror;

static void command(struct area *r, unsigned long addr, unsigned long request)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = addr, .npages = r->call, .ptr = (uintptr_t)bytes[0] };

	must(!uhmm_dmirror_ioctl(mirror, request, &cmd), "a driver");
}

static void to_device(struct area *r, unsigned long addr)
{
	command(r, addr, HMM_DMIRROR_MIGRATE_TO_DEV);
}

static void to_system(struct area *r, unsigned long addr)
{
	command(r, addr, HMM_DMIRROR_MIGRATE_TO_SYS);
}

/* Likewise; and so that there are bytes to be copied. */
static void there_and_back(struct area *r, unsigned long addr)
{
	cpu_writes(r, addr);
	to_device(r, addr);
	to_system(r, addr);
}

static void migrate(struct bench *b, struct area *r, bool huge)
{
	const char *section = huge ? "Migration by a device, huge pages" :
				     "Migration by a device";
	struct uhmm_dmirror_options how = {
		.size = sizeof(how), .type = MEMORY_DEVICE_PRIVATE,
		.newest = true };
	struct uhmm_dmirror_device *device;

	area_call(r, huge ? HUGE_PAGES : CALL_PAGES);
	must(!uhmm_dmirror_create(&how, &device), "a driver");
	must(!uhmm_dmirror_open(device, r->mm, &mirror), "a driver");
	sample(b, section, "to it, and read there", r, there_and_back,
	       to_device);
	sample(b, section, "home", r, to_device, to_system);
	uhmm_dmirror_close(mirror);
	uhmm_dmirror_destroy(device);
}

/* ------------------------------------------------------------- whole states */

static void forget(struct area *r, unsigned long addr)
{
	uhmm_model_snapshot_free(r->saved);
	r->saved = NULL;
}

static void save(struct area *r, unsigned long addr)
{
	must(!uhmm_model_save(r->mm, &r->saved), "the model");
}

static void restore(struct area *r, unsigned long addr)
{
	must(!uhmm_model_restore(r->mm, r->saved), "the model");
}

static void change(struct area *r, unsigned long addr)
{
	must(!uhmm_model_write(r->mm, addr, &addr, sizeof(addr), NULL), "the model");
}

static void states(struct bench *b, struct area *r)
{
	area_call(r, r->npages);
	sample(b, "The state, of pages without bytes", "kept", r, forget, save);
	if (!r->saved)
		save(r, 0);
	sample(b, "The state, of pages without bytes", "gone back to", r,
	       change, restore);
	forget(r, 0);
}

/* ------------------------------------------------------------------- by size */

static void small_pages(struct bench *b, unsigned long npages)
{
	struct area r;

	area_init(&r, npages, false);
	area_populate(&r);
	present(b, &r, false);
	states(b, &r);
	area_call(&r, CALL_PAGES);
	absent(b, &r);
	migrate(b, &r, false);
	area_end(&r);
}

static void huge_pages(struct bench *b, unsigned long npages)
{
	struct area r;

	area_init(&r, npages, true);
	area_populate(&r);
	present(b, &r, true);
	migrate(b, &r, true);
	area_end(&r);
}

int main(int argc, char **argv)
{
	static const unsigned long sizes[] = { 1, 1024, 32768, 1048576 };
	const unsigned int n = sizeof(sizes) / sizeof(sizes[0]);
	struct bench b;

	bench_init(&b, "hmm", argc, argv);
	/* What is sampled is about as much again as what is run. */
	bench_plan(&b, 2 * (4.0 * n - 2));
	for (unsigned int i = 0; i < n && !bench_over(&b); i++) {
		small_pages(&b, sizes[i]);
		if (sizes[i] >= HUGE_PAGES)
			huge_pages(&b, sizes[i]);
	}
	return bench_finish(&b);
}
