/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache: entries of 4 KiB, 16 KiB apart, one of them at random,
 * a device that does nothing. What UCX's and libfabric's caches take was
 * measured once, on a machine of the same kind, with the same shape. Where UCX
 * is installed with the header of its cache, that one runs beside, told of events as
 * its own munmap() tells it; libfabric's header is internal. What is asked for was
 * set where the first were measured: what that was of UCX's there, and what is
 * measured of UCX's here, is said, too.
 *
 * The limits are what any cache has to do: see rcache_limit.c.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>
#include <uhmm/mmu_notifier.h>
#include <uhmm/rcache.h>

#include "bench.h"

#include "rcache_limit.h"
#include "rcache_nothing.h"
#include "rcache_peer.h"

#include "mm/live/live.h"
#include "mm/live/patch.h"
#include "mm/live/uapi.h"

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
/* Whose memory comes from the kernel yet; elsewhere it was another's before. */
static const char row_new[] = "miss and insert, as the cache fills";
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
	void *peer;		/* instead */
	unsigned long base;
	unsigned long n;
	unsigned long *order;
};

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

static void get_peers(struct field *f, unsigned long i)
{
	must(peer_get_put(f->peer, address(f, i), SIZE), "get of the peer");
}

static void event(struct field *f, unsigned long start)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_UNMAP, 0, f->mm, start,
				start + SIZE);
	must(!mmu_notifier_invalidate_range_start(&range), "start");
	mmu_notifier_invalidate_range_end(&range);
}

static void event_peers(struct field *f, unsigned long start)
{
	(void)f;
	peer_event(start, SIZE);
}

static void field_order(struct field *f)
{
	unsigned long rng = 1, n = f->n, k, t;

	f->order = malloc(n * sizeof(*f->order));
	must(f->order != NULL, "memory");
	for (unsigned long i = 0; i < n; i++)
		f->order[i] = i;
	for (unsigned long i = n; i > 1; i--) {
		k = draw(&rng, i);
		t = f->order[i - 1];
		f->order[i - 1] = f->order[k];
		f->order[k] = t;
	}
}

static void cache_create(struct field *f)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = UHMM_RCACHE_LAZY,
	};

	must(!uhmm_rcache_create(f->mm, &nothing, NULL, &options, &f->cache),
	     "create");
}

static void field_init(struct field *f, struct mm_struct *mm, unsigned long n,
		       unsigned long base)
{
	f->mm = mm;
	f->peer = NULL;
	f->n = n;
	f->base = base;
	cache_create(f);
	field_order(f);
}

static void field_destroy(struct field *f)
{
	must(!uhmm_rcache_destroy(f->cache), "destroy");
	free(f->order);
}

/* ------------------------------------------------------------------- slices */

struct slices {
	unsigned int n;
	double ns[1000000 / SLICE + 2];
};

static void each_once(struct field *f, struct slices *s,
		      void (*op)(struct field *f, unsigned long i))
{
	unsigned long slice = f->n < SLICE ? f->n : SLICE;
	int64_t begun;

	for (unsigned long i = 0; i + slice <= f->n; i += slice) {
		begun = bench_now();
		for (unsigned long j = i; j < i + slice; j++)
			op(f, f->order[j]);
		s->ns[s->n++] = (double)(bench_now() - begun) / (double)slice;
	}
}

/* What is small is filled so often, each time from nothing. */
static int rounds(const struct field *f)
{
	return f->n <= 1000 ? 100 : 1;
}

static void renew(struct field *f)
{
	if (f->peer) {
		peer_destroy(f->peer);
		f->peer = peer_create();
		must(f->peer != NULL, "cache of the peer");
		return;
	}
	must(!uhmm_rcache_destroy(f->cache), "destroy");
	cache_create(f);
}

static struct quartiles fill(struct field *f,
			     void (*op)(struct field *f, unsigned long i))
{
	static struct slices s;

	s.n = 0;
	for (int round = 0; round < rounds(f); round++) {
		if (round)
			renew(f);
		each_once(f, &s, op);
	}
	return bench_quartiles(s.ns, s.n);
}

static void hit_event(struct field *f, unsigned long i)
{
	event(f, address(f, i));
}

static void hit_event_peers(struct field *f, unsigned long i)
{
	event_peers(f, address(f, i));
}

/* All go, and come again, in memory that is there; what is small more often. */
static struct quartiles come_and_go(struct field *f, struct quartiles *ret_gone)
{
	static struct slices gone, come;

	gone.n = come.n = 0;
	for (int round = 0; round < rounds(f); round++) {
		each_once(f, &gone, f->peer ? hit_event_peers : hit_event);
		if (!f->peer)
			uhmm_rcache_flush(f->cache, 0, 0);
		each_once(f, &come, f->peer ? get_peers : get_put);
	}
	*ret_gone = bench_quartiles(gone.ns, gone.n);
	return bench_quartiles(come.ns, come.n);
}

/* As a cache in use: an entry's first hit marks it. */
static void hit_all(struct field *f)
{
	for (unsigned long i = 0; i < f->n; i++)
		(f->peer ? get_peers : get_put)(f, f->order[i]);
}

static inline __attribute__((always_inline)) struct quartiles
hits_by(struct field *f, void (*op)(struct field *f, unsigned long i))
{
	double ns[SLICES];
	unsigned long rng = 7;
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			op(f, draw(&rng, f->n));
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	return bench_quartiles(ns, SLICES);
}

static struct quartiles hits(struct field *f)
{
	return f->peer ? hits_by(f, get_peers) : hits_by(f, get_put);
}

static inline __attribute__((always_inline)) struct quartiles
events_by(struct field *f, void (*op)(struct field *f, unsigned long start))
{
	double ns[SLICES];
	unsigned long rng = 9;
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			op(f, address(f, draw(&rng, f->n)) + 2 * SIZE);
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	return bench_quartiles(ns, SLICES);
}

static struct quartiles events_nowhere(struct field *f)
{
	return f->peer ? events_by(f, event_peers) : events_by(f, event);
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
			(o->f->peer ? get_peers : get_put)(o->f, i);
	}
	return NULL;
}

/*
 * What was in one core's cache alone comes from there for a while: bare loads of as much
 * memory take 1.5 times as long in the first round on a Sapphire Rapids.
 */
#define SETTLE 5

static struct quartiles hits_beside(struct field *f, bool events)
{
	struct other o = { .f = f, .events = events };
	struct quartiles q;
	pthread_t thread;

	must(!pthread_create(&thread, NULL, other_thread, &o), "thread");
	while (!__atomic_load_n(&o.begun, __ATOMIC_SEQ_CST))
		;
	for (int i = 0; i < SETTLE; i++)
		q = hits(f);
	__atomic_store_n(&o.stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	return q;
}

/* -------------------------------------------------------------------- tables */

static void put_figure(struct bench *b, const char *section, const char *test,
		       const char *who, unsigned long n, struct quartiles q,
		       const char *unit)
{
	struct figure figure = {
		.section = section, .test = test, .who = who, .n = n,
		.unit = unit, .value = q,
	};

	if (q.median > 0)
		bench_figure(b, &figure);
}

/* Of the other rows a hit is the measure. */
static double limit_of(const struct rcache_limits *limits, int row)
{
	return row == HIT ? limits->hit.median :
	       row == MISS ? limits->miss.median :
	       row == EVENT_NONE ? limits->event_none.median :
	       row == EVENT_ONE ? limits->event_one.median : 0;
}

/* @peer: what it takes here; rows that were not measured have no time. */
static void judge(struct bench *b, const struct quartiles *q,
		  const struct quartiles *peer,
		  const struct rcache_limits *limits, unsigned int s)
{
	double hit = q[HIT].median, at_most;
	struct target target = { .n = sizes[s], .at_most = true, .unit = "ns" };
	struct in_peers in;
	char id[8];

	for (int row = 0; row < ROWS; row++) {
		at_most = row == HIT_TWO ? 1.1 * hit :
			  row == HIT_EVENTS ? 1.3 * hit : wanted[row][s];
		snprintf(id, sizeof(id), "R%d", row + 1);
		target.id = id;
		target.what = row_name[row];
		target.value = q[row].median;
		target.wanted = at_most;
		in.peer = NULL;
		if (wanted[row][s] && ucx[row][s] && peer[row].median) {
			in.peer = "UCX";
			in.value = q[row].median / peer[row].median;
			in.wanted = at_most / ucx[row][s];
		}
		bench_target_beside(b, &target, limit_of(limits, row), &in);
	}
}

static long resident(void)
{
	long size = 0, pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");

	must(statm && fscanf(statm, "%ld %ld", &size, &pages) == 2, "statm");
	fclose(statm);
	return pages * 4096;
}

/*
 * All rows of one field, which is filled here; with events only if they are @heard.
 * In UCX 1.13 a get first does what events have left it to do, and comes to no end
 * while another thread sends more.
 */
static void measure_rows(struct bench *b, const char *section, const char *who,
			 struct field *f, bool heard, struct quartiles *q)
{
	put_figure(b, section, row_new, who, f->n,
		   fill(f, f->peer ? get_peers : get_put), "ns");
	hit_all(f);
	/* What that has written is written back by and by. */
	hits(f);
	q[HIT] = hits(f);
	q[HIT_TWO] = hits_beside(f, false);
	if (!f->peer)
		q[HIT_EVENTS] = hits_beside(f, true);
	if (heard) {
		q[EVENT_NONE] = events_nowhere(f);
		q[MISS] = come_and_go(f, &q[EVENT_ONE]);
	}
	for (int row = 0; row < ROWS; row++)
		put_figure(b, section, row_name[row], who, f->n, q[row], "ns");
}

static const char section_bare[] = "Bare address space, lazy cache";

static void measure_peer(struct bench *b, const char *who, unsigned long n,
			 struct quartiles *q)
{
	struct field f = { .n = n, .base = BASE, .peer = peer_create() };

	must(f.peer != NULL, "cache of the peer");
	field_order(&f);
	measure_rows(b, section_bare, who, &f, peer_hears(), q);
	peer_destroy(f.peer);
	free(f.order);
}

static void measure(struct bench *b, const char *peer, unsigned int s)
{
	const char *section = section_bare;
	struct rcache_limits limits;
	struct quartiles q[ROWS], of_peer[ROWS] = { 0 };
	struct mm_struct *mm;
	struct field f;
	long before;

	must(!uhmm_mm_create(&mm), "mm");
	field_init(&f, mm, sizes[s], BASE);
	before = resident();
	measure_rows(b, section, "uhmm", &f, true, q);
	put_figure(b, section, "memory for an entry", "uhmm", f.n,
		   bench_one((double)(resident() - before) / (double)f.n),
		   "bytes");
	rcache_limits(f.n, &limits);
	put_figure(b, section, row_name[HIT], "the limit", f.n, limits.hit, "ns");
	put_figure(b, section, row_name[MISS], "the limit", f.n, limits.miss,
		   "ns");
	put_figure(b, section, row_name[EVENT_NONE], "the limit", f.n,
		   limits.event_none, "ns");
	put_figure(b, section, row_name[EVENT_ONE], "the limit", f.n,
		   limits.event_one, "ns");
	for (int row = 0; row < ROWS; row++) {
		put_figure(b, section, row_name[row], "UCX", f.n,
			   bench_one(ucx[row][s]), "ns");
		put_figure(b, section, row_name[row], "libfabric", f.n,
			   bench_one(libfabric[row][s]), "ns");
	}
	if (peer)
		measure_peer(b, peer, sizes[s], of_peer);
	judge(b, q, of_peer, &limits, s);
	field_destroy(&f);
	mmput(mm);
}

/* ------------------------------------------------------- of this process's memory */

static void ask(struct field *f)
{
	must(!uhmm_live_pending(f->mm, f->base, SIZE), "pending");
}

/* The same system call, and nothing around it. */
static void ask_bare(struct field *f)
{
	struct uffdio_copy copy = { 0 };

	(void)ioctl(live_of(f->mm)->shards[0].fd, UFFDIO_COPY, &copy);
}

static struct quartiles repeated(struct field *f, void (*op)(struct field *f))
{
	double ns[SLICES];
	int64_t begun;

	for (int k = 0; k < SLICES; k++) {
		begun = bench_now();
		for (unsigned long j = 0; j < SLICE; j++)
			op(f);
		ns[k] = (double)(bench_now() - begun) / SLICE;
	}
	return bench_quartiles(ns, SLICES);
}

static void measure_live(struct bench *b, struct mm_struct *mm, unsigned int s)
{
	unsigned long n = sizes[s];
	bool brackets = uhmm_live_guarantee(mm) >= UHMM_G1;
	const char *section = brackets ? "Live address space, G1, lazy cache" :
					 "Live address space, G0, lazy cache";
	struct quartiles q[ROWS], bare;
	struct field f;
	void *memory;

	memory = mmap(NULL, n * STEP, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(memory != MAP_FAILED, "mmap");
	field_init(&f, mm, n, (unsigned long)memory);
	if (brackets) {
		measure_rows(b, section, "uhmm", &f, true, q);
	} else {
		fill(&f, get_put);
		put_figure(b, section, row_name[HIT], "uhmm", n, hits(&f),
			   "ns");
		q[0] = repeated(&f, ask);
		put_figure(b, section, "of it, the question to the kernel",
			   "uhmm", n, q[0], "ns");
		bare = repeated(&f, ask_bare);
		put_figure(b, section, "UFFDIO_COPY of nothing, bare",
			   "the limit", n, bare, "ns");
		bench_target_within(b, &(struct target){
			.id = "R7", .what = "the question to the kernel",
			.n = n, .at_most = true, .unit = "ns",
			.value = q[0].median, .wanted = 200,
		}, bare.median);
	}
	field_destroy(&f);
	munmap(memory, n * STEP);
}

/* NULL: that guarantee is not to be had. */
static struct mm_struct *live_mm(enum uhmm_guarantee guarantee)
{
	struct uhmm_live_options options = {
		.size = sizeof(options), .guarantee = guarantee,
	};
	struct mm_struct *mm = NULL;

	if (uhmm_mm_create_live(&options, &mm) ||
	    uhmm_live_guarantee(mm) != guarantee) {
		if (mm)
			mmput(mm);
		return NULL;
	}
	return mm;
}

static void bench_live(struct bench *b, enum uhmm_guarantee guarantee)
{
	struct mm_struct *mm = live_mm(guarantee);

	if (!mm) {
		bench_missing(b, guarantee == UHMM_G1 ? "G1" : "G0",
			      live_patch.reason[0] ? live_patch.reason :
						     "not to be had here");
		return;
	}
	/* At G0 a hit takes what the question takes, however many there are. */
	for (unsigned int s = 0; s < (guarantee < UHMM_G1 ? 2 : 4); s++)
		if (!bench_over(b))
			measure_live(b, mm, s);
	mmput(mm);
}

int main(int argc, char **argv)
{
	/* Before bench_init() starts a thread: it is done by one who is alone. */
	bool patched = !live_patch_install(UHMM_G1);
	const char *peer, *why;
	struct bench b;

	bench_init(&b, "rcache", argc, argv);
	bench_note(&b, "peers", "UCX master after 1.22 (LRU off), libfabric "
		   "2.6.0-dev (null monitor), recorded");
	live_set_bracketed(patched ? UHMM_G1 : UHMM_GUARANTEE_NONE, 0);
	bench_live(&b, UHMM_G1);
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
	bench_live(&b, UHMM_G0);
	peer = peer_open(&why);
	if (!peer)
		bench_missing(&b, "UCX, here", why);
	else if (!peer_hears())
		bench_missing(&b, "events of UCX, here",
			      "libucm has no ucm_event_dispatch()");
	bench_missing(&b, "libfabric, here", "the header of its cache is internal");
	for (unsigned int s = 0; s < 4 && !bench_over(&b); s++)
		measure(&b, peer, s);
	return bench_finish(&b);
}
