/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Lost writes: threads count in pages that go to a device and come home all the
 * time, each in a word of its own, and keep count elsewhere too. Whoever loses
 * a page, or a write to it, or brings an old one back, makes the two differ.
 *
 *	write		nothing else happens
 *	mremap		the pages move to another place, and back
 *	fork		children look at the pages
 *	unmap		other pages beside them are unmapped, dropped and made anew
 *
 * Each with pages moved and copied, by thread and by signal, and in memory of a
 * device that CPUs reach themselves. Known to be bad,
 * and found to be: pages copied while they are written, entries that stay
 * where they were, pages that stay away when the process forks.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>
#include <uhmm/mm.h>

#include "device.h"
#include "mm/live/live.h"

#define PAGE UHMM_PAGE_SIZE
#define PAGES 32UL
#define WRITERS 3
#define ABOVE (1UL << 28)
#define LOOKS 16	/* rounds at least between two of what else happens */
/* As often as this a variant that is known to be bad may try. */
#define PATIENCE 64UL

struct page {
	uint64_t count[PAGE / sizeof(uint64_t)];
};

struct mode {
	const char *name;
	void *(*other)(void *unused);
};

static struct mm_struct *mm;
static struct device device;
static pthread_rwlock_t place_lock =
	PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static struct page *place, *places[2];
/* What each writer has counted; shared, so that children see what they had. */
static uint64_t counted[WRITERS][PAGES];
static unsigned long rounds, stop, wrong, moves, went;

#define load(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define store(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

/* A page first, then what was counted: so children can tell. */
static void *writer(void *arg)
{
	unsigned long t = (unsigned long)arg, n = t * 7, i;
	volatile uint64_t *word;

	while (!load(stop)) {
		pthread_rwlock_rdlock(&place_lock);
		for (unsigned int k = 0; k < 64; k++) {
			n = n * 6364136223846793005UL + 1442695040888963407UL;
			i = (n >> 33) % PAGES;
			word = &place[i].count[t];
			*word = *word + 1;
			store(counted[t][i], counted[t][i] + 1);
		}
		pthread_rwlock_unlock(&place_lock);
		sched_yield();
	}
	return NULL;
}

static unsigned long check(unsigned long slack)
{
	unsigned long bad = 0;

	for (unsigned long t = 0; t < WRITERS; t++)
		for (unsigned long i = 0; i < PAGES; i++)
			bad += place[i].count[t] - load(counted[t][i]) > slack;
	return bad;
}

/* --------------------------------------------------------- what else happens */

static void *nothing(void *unused)
{
	return NULL;
}

static void *mover(void *unused)
{
	unsigned long seen = 0;
	struct page *to;

	while (!load(stop)) {
		if (load(rounds) - seen < LOOKS) {
			sched_yield();
			continue;
		}
		seen = load(rounds);
		pthread_rwlock_wrlock(&place_lock);
		to = place == places[0] ? places[1] : places[0];
		if (mremap(place, PAGES * PAGE, PAGES * PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, to) != (void *)to)
			abort();
		store(place, to);
		pthread_rwlock_unlock(&place_lock);
		store(moves, moves + 1);
	}
	return NULL;
}

/* A writer was between the page and the count: one is right too. */
static void *forker(void *unused)
{
	unsigned long seen = 0;
	int status;
	pid_t pid;

	while (!load(stop)) {
		if (load(rounds) - seen < LOOKS) {
			sched_yield();
			continue;
		}
		seen = load(rounds);
		pid = fork();
		if (!pid)
			_exit(check(1) != 0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			abort();
		if (status)
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
		store(moves, moves + 1);
	}
	return NULL;
}

static void look_at_zeroes(const char *p)
{
	for (unsigned long i = 0; i < PAGES; i++)
		if (p[i * PAGE])
			__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
}

static void *unmapper(void *unused)
{
	const int rw = PROT_READ | PROT_WRITE;
	char *p;

	while (!load(stop)) {
		p = mmap(NULL, PAGES * PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
		if (p == MAP_FAILED)
			abort();
		look_at_zeroes(p);
		for (unsigned long i = 0; i < PAGES; i++)
			p[i * PAGE] = 1;
		device_take(&device, mm, p, PAGES);
		madvise(p, PAGES * PAGE, MADV_DONTNEED);
		look_at_zeroes(p);
		memset(p, 2, PAGES * PAGE);
		device_take(&device, mm, p, PAGES);
		munmap(p, PAGES * PAGE);
		store(moves, moves + 1);
		sched_yield();
	}
	return NULL;
}

/* -------------------------------------------------------------------- a run */

/* Without a lock: it may move away in between. */
static void take_some(unsigned long n)
{
	unsigned long first = n * 7 % PAGES, count = n % 5 ? 1 + n % 4 : PAGES;

	if (count > PAGES - first)
		count = PAGES - first;
	device_take(&device, mm, load(place) + first, count);
	/* Nobody's touch brings these home. */
	if (device.pgmap.type == MEMORY_DEVICE_COHERENT)
		device_return(&device, mm, load(place) + n * 5 % PAGES, 1);
}

/*
 * Where a place has been is nobody's until it comes back. What others map
 * meanwhile, the library too, goes to the highest gap that has room: so there
 * is one above.
 */
static void map_places(void)
{
	struct page *p = mmap(NULL, 2 * PAGES * PAGE + ABOVE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	munmap(p + 2 * PAGES, ABOVE);
	places[0] = p;
	places[1] = p + PAGES;
	place = p;
}

static void make(unsigned int without, unsigned int flags, bool coherent)
{
	struct uhmm_live_options options = {
		.size = sizeof(options),
		.without = without,
		.flags = UHMM_LIVE_DEVICE | flags,
	};

	if (uhmm_mm_create_live(&options, &mm) ||
	    (coherent ? device_make_coherent : device_make)(
		    &device, 4096, !(without & UHMM_LIVE_MOVE)))
		abort();
	map_places();
	memset(counted, 0, sizeof(counted));
	stop = wrong = rounds = moves = 0;
}

/* None that was not touched before, by a writer: they do come to it. */
static unsigned long pages_went(void)
{
	struct uhmm_live_stats stats = { .size = sizeof(stats) };

	uhmm_live_get_stats(mm, &stats);
	return stats.to_device;
}

static const struct way {
	const char *name;
	unsigned int without;
	unsigned int flags;
	bool coherent;
} ways[] = {
	{ "moved", 0, 0, false },
	{ "copied", UHMM_LIVE_MOVE, 0, false },
	{ "moved, by signal", 0, UHMM_LIVE_SIGBUS, false },
	{ "copied, by signal", UHMM_LIVE_MOVE, UHMM_LIVE_SIGBUS, false },
	{ "coherent", 0, 0, true },
	{ "coherent, copied", UHMM_LIVE_MOVE, 0, true },
};

/* Returns how many were wrong. */
static unsigned long run(const struct mode *mode, const struct way *way,
			 unsigned long wanted, bool broken)
{
	unsigned long most = broken ? wanted * PATIENCE : wanted;
	pthread_t threads[WRITERS + 1];
	unsigned long n, took;

	make(way->without, way->flags, way->coherent);
	for (unsigned long t = 0; t < WRITERS; t++)
		pthread_create(&threads[t], NULL, writer, (void *)t);
	pthread_create(&threads[WRITERS], NULL, mode->other, NULL);
	/* What is known to be bad is found sooner or later. */
	for (n = 0; n < most || pages_went() < most ||
		    (!broken && mode->other != nothing &&
		     load(moves) < wanted / LOOKS); n++) {
		take_some(n);
		store(rounds, n);
		if (n % 8 == 7)
			sched_yield();
		if (!broken || n % wanted != wanted - 1)
			continue;
		pthread_rwlock_wrlock(&place_lock);
		took = check(0) + load(wrong);
		pthread_rwlock_unlock(&place_lock);
		if (took)
			break;
	}
	store(stop, 1);
	for (unsigned long t = 0; t <= WRITERS; t++)
		pthread_join(threads[t], NULL);
	wrong += check(0);
	went = pages_went();
	munmap(places[0], PAGES * PAGE);
	munmap(places[1], PAGES * PAGE);
	device_destroy(&device);
	mmput(mm);
	return wrong;
}

static const struct mode modes[] = {
	{ "write", nothing },
	{ "mremap", mover },
	{ "fork", forker },
	{ "unmap", unmapper },
};

static const struct bad {
	const char *name;
	unsigned int mode;
	unsigned int broken;
	struct way way;
} bads[] = {
	{ "copied while written", 0, BROKEN_PROTECT, { .without = UHMM_LIVE_MOVE } },
	{ "not where it has moved to", 1, BROKEN_REMAP, { 0 } },
	{ "not copied, in a frame with another's", 3, BROKEN_THERE, { 0 } },
	{ "away when it forks", 2, BROKEN_FORK,
	  { .without = UHMM_LIVE_EVENT_FORK } },
};

static int test_number, failures;

static void result(bool ok, const char *what, const char *how,
		   unsigned long bad)
{
	failures += !ok;
	printf("%sok %d - %s, %s\n# %lu wrong, %lu changes beside, %lu pages went\n",
	       ok ? "" : "not ", ++test_number, what, how, bad, moves, went);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned long wanted = argc > 1 ? strtoul(argv[1], NULL, 10) : 400, bad;
	const char *only = argc > 2 ? argv[2] : "";

	printf("1..%zu\n", ARRAY_SIZE(ways) * ARRAY_SIZE(modes) +
			       ARRAY_SIZE(bads));
	for (const struct mode *m = modes; m < modes + ARRAY_SIZE(modes); m++)
		for (const struct way *w = ways; w < ways + ARRAY_SIZE(ways);
		     w++) {
			if (*only && strcmp(only, m->name))
				continue;
			bad = run(m, w, wanted, false);
			result(!bad, m->name, w->name, bad);
		}
	for (const struct bad *b = bads; b < bads + ARRAY_SIZE(bads); b++) {
		if (*only && strcmp(only, "bad"))
			continue;
		live_broken = b->broken;
		bad = run(&modes[b->mode], &b->way, wanted, true);
		live_broken = 0;
		result(bad, "known to be bad", b->name, bad);
	}
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
