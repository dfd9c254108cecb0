/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache: entries of 4 KiB, 16 KiB apart, one of them at random,
 * a device that does nothing. What UCX's and libfabric's caches take was
 * measured once, on a machine of the same kind, with the same shape.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

#include "bench.h"

#define BASE 0x100000000UL
#define STEP 16384UL
#define SIZE 4096UL
#define SLICES 400
#define SLICE 512UL

enum row { HIT, HIT_TWO, MISS, EVENT_NONE, EVENT_ONE, HIT_EVENTS, ROWS };

static const char *const row_name[ROWS] = {
	"hit: get and put", "the same, two threads, each",
	"miss and insert", "event that hits nothing", "event that hits one",
	"hit while another thread sends events",
};
/* ns at 16, 1k, 100k, 1M; 0: see finish_table(), or not measured */
static const double wanted[ROWS][4] = {
	[HIT] = { 5, 6, 12, 60 }, [MISS] = { 80, 90, 110, 250 },
	[EVENT_NONE] = { 15, 20, 30, 60 }, [EVENT_ONE] = { 50, 50, 65, 300 },
};
static const double ucx[ROWS][4] = {
	[HIT] = { 23, 23, 27, 195 }, [HIT_TWO] = { 80, 72, 56, 180 },
	[MISS] = { 0, 127, 109, 325 }, [EVENT_NONE] = { 31, 32, 33, 102 },
	[EVENT_ONE] = { 74, 49, 65, 523 }, [HIT_EVENTS] = { 0, 304, 0, 415 },
};
static const double libfabric[ROWS][4] = {
	[HIT] = { 18, 43, 438, 1718 }, [HIT_TWO] = { 168, 308, 2670, 7700 },
	[MISS] = { 136, 229, 553, 1361 }, [EVENT_NONE] = { 22, 42, 407, 1635 },
	[EVENT_ONE] = { 100, 162, 575, 1775 }, [HIT_EVENTS] = { 0, 234, 0, 4100 },
};
static const unsigned long sizes[] = { 16, 1000, 100000, 1000000 };

struct field {
	struct mm_struct *mm;
	struct uhmm_rcache *cache;
	unsigned long base;
	unsigned long n;
	unsigned long *order;
};

static int nothing_reg(void *device, unsigned long start, size_t length,
		       unsigned int access, uint64_t *ret_key)
{
	*ret_key = start;
	return 0;
}

static int nothing_dereg(void *device, unsigned long start, size_t length,
			 uint64_t key)
{
	return 0;
}

static const struct uhmm_rcache_ops nothing = {
	.name = "nothing", .reg = nothing_reg, .dereg = nothing_dereg,
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed\n", what);
	abort();
}

static inline unsigned long draw(unsigned long *rng, unsigned long n)
{
	*rng = *rng * 6364136223846793005UL + 1442695040888963407UL;
	return (*rng >> 32) * n >> 32;
}

static unsigned long address(const struct field *f, unsigned long i)
{
	return f->base + i * STEP;
}

static void get_put(struct field *f, unsigned long i)
{
	struct uhmm_registration reg;

	must(!uhmm_rcache_get(f->cache, address(f, i), SIZE,
			      UHMM_RCACHE_WRITE, &reg), "get");
	uhmm_rcache_put(&reg);
}

static void event(struct field *f, unsigned long start)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, f->mm, start,
				start + SIZE);
	must(!mmu_notifier_invalidate_range_start(&range), "start");
	mmu_notifier_invalidate_range_end(&range);
}

static void field_init(struct field *f, struct mm_struct *mm, unsigned long n,
		       unsigned long base)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = UHMM_RCACHE_LAZY,
	};
	unsigned long rng = 1, k, t;

	f->mm = mm;
	f->n = n;
	f->base = base;
	f->order = malloc(n * sizeof(*f->order));
	must(f->order && !uhmm_rcache_create(mm, &nothing, NULL, &options,
					     &f->cache), "create");
	for (unsigned long i = 0; i < n; i++)
		f->order[i] = i;
	for (unsigned long i = n; i > 1; i--) {
		k = draw(&rng, i);
		t = f->order[i - 1];
		f->order[i - 1] = f->order[k];
		f->order[k] = t;
	}
}

static void field_destroy(struct field *f)
{
	must(!uhmm_rcache_destroy(f->cache), "destroy");
	free(f->order);
}

/* ------------------------------------------------------------------- slices */

static struct quartiles each_once(struct field *f,
				  void (*op)(struct field *f, unsigned long i))
{
	unsigned long slice = f->n < SLICE ? f->n : SLICE;
	static double ns[1000000 / SLICE + 2];
	unsigned int k = 0;
	int64_t begun;

	for (unsigned long i = 0; i + slice <= f->n; i += slice) {
		begun = bench_now();
		for (unsigned long j = i; j < i + slice; j++)
			op(f, f->order[j]);
		ns[k++] = (double)(bench_now() - begun) / (double)slice;
	}
	return bench_quartiles(ns, k);
}

static void hit_event(struct field *f, unsigned long i)
{
	event(f, address(f, i));
}

static struct quartiles hits(struct field *f)
{
	double ns[SLICES];
	unsigned long rng = 7;
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			get_put(f, draw(&rng, f->n));
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	return bench_quartiles(ns, SLICES);
}

static struct quartiles events_nowhere(struct field *f)
{
	double ns[SLICES];
	unsigned long rng = 9;
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			event(f, address(f, draw(&rng, f->n)) + 2 * SIZE);
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	return bench_quartiles(ns, SLICES);
}

/* ------------------------------------------------------------- another thread */

struct other {
	struct field *f;
	bool events;
	int begun, stop;
};

static void *other_thread(void *arg)
{
	struct other *o = arg;
	unsigned long rng = 11, i;

	__atomic_store_n(&o->begun, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
		i = draw(&rng, o->f->n);
		if (o->events)
			event(o->f, address(o->f, i) + 2 * SIZE);
		else
			get_put(o->f, i);
	}
	return NULL;
}

static struct quartiles hits_beside(struct field *f, bool events)
{
	struct other o = { .f = f, .events = events };
	struct quartiles q;
	pthread_t thread;

	must(!pthread_create(&thread, NULL, other_thread, &o), "thread");
	while (!__atomic_load_n(&o.begun, __ATOMIC_SEQ_CST))
		;
	q = hits(f);
	__atomic_store_n(&o.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	return q;
}

/* -------------------------------------------------------------------- tables */

static void put_figure(struct bench *b, const char *section, enum row row,
		       const char *who, unsigned long n, struct quartiles q)
{
	struct figure figure = {
		.section = section, .test = row_name[row], .who = who, .n = n,
		.unit = "ns", .value = q,
	};

	if (q.median > 0)
		bench_figure(b, &figure);
}

static void judge(struct bench *b, const struct quartiles *q, unsigned int s)
{
	double hit = q[HIT].median, limit;
	struct target target = { .n = sizes[s], .at_most = true, .unit = "ns" };
	char id[8];

	for (int row = 0; row < ROWS; row++) {
		limit = row == HIT_TWO ? 1.1 * hit :
			row == HIT_EVENTS ? 1.3 * hit : wanted[row][s];
		snprintf(id, sizeof(id), "R%d", row + 1);
		target.id = id;
		target.what = row_name[row];
		target.value = q[row].median;
		target.wanted = limit;
		bench_target(b, &target);
	}
}

static void measure(struct bench *b, unsigned int s)
{
	static const char section[] = "Bare address space, lazy cache";
	struct quartiles q[ROWS];
	struct mm_struct *mm;
	struct field f;

	must(!uhmm_mm_create(&mm), "mm");
	field_init(&f, mm, sizes[s], BASE);
	q[MISS] = each_once(&f, get_put);
	hits(&f);
	q[HIT] = hits(&f);
	q[HIT_TWO] = hits_beside(&f, false);
	q[HIT_EVENTS] = hits_beside(&f, true);
	q[EVENT_NONE] = events_nowhere(&f);
	q[EVENT_ONE] = each_once(&f, hit_event);
	for (int row = 0; row < ROWS; row++) {
		put_figure(b, section, row, "uhmm", f.n, q[row]);
		put_figure(b, section, row, "UCX", f.n,
			   bench_one(ucx[row][s]));
		put_figure(b, section, row, "libfabric", f.n,
			   bench_one(libfabric[row][s]));
	}
	judge(b, q, s);
	field_destroy(&f);
	mmput(mm);
}

/* Of this process's memory, as far as its changes can be seen. */
static void measure_live(struct bench *b, enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options), .guarantee = guarantee,
	};
	struct uhmm_live_info info = { .size = sizeof(info) };
	const unsigned long n = 256;
	struct mm_struct *mm;
	struct quartiles q;
	struct field f;
	void *memory;

	if (uhmm_mm_create_live(&options, &mm) ||
	    uhmm_live_get_info(mm, &info) || info.guarantee != guarantee) {
		bench_missing(b, guarantee == UHMM_G0 ? "G0" : "G1",
			      "not to be had here");
		return;
	}
	memory = mmap(NULL, n * STEP, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(memory != MAP_FAILED, "mmap");
	field_init(&f, mm, n, (unsigned long)memory);
	each_once(&f, get_put);
	q = hits(&f);
	put_figure(b, guarantee == UHMM_G0 ? "Live address space, G0" :
		   "Live address space, G1", HIT, "uhmm", n, q);
	field_destroy(&f);
	munmap(memory, n * STEP);
	mmput(mm);
}

int main(int argc, char **argv)
{
	struct bench b;

	bench_init(&b, "rcache", argc, argv);
	bench_note(&b, "peers", "UCX master after 1.22 (LRU off), libfabric "
		   "2.6.0-dev (null monitor), recorded, not run here");
	for (unsigned int s = 0; s < 4 && !bench_over(&b); s++)
		measure(&b, s);
	measure_live(&b, UHMM_G0);
	measure_live(&b, UHMM_G1);
	return bench_finish(&b);
}
