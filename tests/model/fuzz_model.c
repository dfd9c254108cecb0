/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Random lives of the model with two devices on it, against a few arrays that
 * know what each page holds:
 *
 *	fuzz_model FIRST_SEED NUMBER_OF_SEEDS [STEPS]
 *
 * What was written is read, by CPUs and by devices; no entry of a device leads
 * to another page than the CPU's; a state that was saved comes back, and goes on
 * as it did; at the end nothing is left. Exit status 1, with the seed, if not.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uhmm/dmirror.h>
#include <uhmm/mm_ops.h>
#include <uhmm/model.h>

#define BASE (0x40000000UL - LEN(24))	/* a table ends in the middle */
#define PAGES 48
#define LEN(n) ((unsigned long)(n) << 12)
#define PG(n) (BASE + LEN(n))
#define WORDS 512

/* What a page of a process is: -1 of no area, 0 its own, else a shared one. */
struct view {
	int shared[PAGES];
	int prot[PAGES];
	uint64_t own[PAGES];
};

struct world {
	struct mm_struct *mm;
	struct mm_struct *child;
	struct uhmm_dmirror_device *devices[2];
	struct uhmm_dmirror *files[2];
	struct view view;
	struct view child_view;
	uint64_t shared[1 << 16];
	int nshared;
	uint64_t last_value;
};

static uint64_t seed_now, state;
static long step_now;

static unsigned int draw(unsigned int n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(state >> 33) % n;
}

static void fail(const char *what, long page, uint64_t want, uint64_t got)
{
	printf("seed %lu step %ld page %ld: %s: want %lu, got %lu\n",
	       (unsigned long)seed_now, step_now, page, what,
	       (unsigned long)want, (unsigned long)got);
	exit(1);
}

#define MUST(what, page, want, got)                                          \
	do {                                                                 \
		uint64_t want_ = (want), got_ = (got);                       \
		if (want_ != got_)                                           \
			fail(what, page, want_, got_);                       \
	} while (0)

static uint64_t *value_of(struct world *w, struct view *view, int page)
{
	return view->shared[page] ? &w->shared[view->shared[page]] :
				    &view->own[page];
}

/* ----------------------------------------------------------------- accesses */

static void cpu_read(struct world *w, struct mm_struct *mm, struct view *view,
		     int page)
{
	uint64_t words[WORDS];
	int ret = uhmm_model_read(mm, PG(page), words, sizeof(words), NULL);

	if (view->shared[page] < 0 || !view->prot[page]) {
		MUST("signal of a read", page, SIGSEGV, ret);
		return;
	}
	MUST("read", page, 0, ret);
	for (int i = 0; i < WORDS; i++)
		MUST("value", page, *value_of(w, view, page), words[i]);
}

static void cpu_write(struct world *w, struct mm_struct *mm, struct view *view,
		      int page)
{
	uint64_t words[WORDS];
	int ret;

	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	ret = uhmm_model_write(mm, PG(page), words, sizeof(words), NULL);
	if (view->shared[page] < 0 || !(view->prot[page] & PROT_WRITE)) {
		MUST("signal of a write", page, SIGSEGV, ret);
		return;
	}
	MUST("write", page, 0, ret);
	*value_of(w, view, page) = ++w->last_value;
}

static int command(struct world *w, unsigned long request, int page, int n,
		   void *bytes)
{
	struct hmm_dmirror_cmd cmd = { .addr = PG(page), .npages = n,
				       .ptr = (uintptr_t)bytes };

	return uhmm_dmirror_ioctl(w->files[draw(2)], request, &cmd);
}

static void device_read(struct world *w, int page, int n)
{
	static uint64_t words[PAGES][WORDS];
	bool readable = true;
	int ret = command(w, HMM_DMIRROR_READ, page, n, words);

	for (int i = page; i < page + n; i++)
		readable &= w->view.shared[i] >= 0 && w->view.prot[i];
	MUST("device read", page, readable ? 0 : -EFAULT, ret);
	for (int i = 0; i < n && !ret; i++)
		MUST("value for a device", page + i,
		     *value_of(w, &w->view, page + i), words[i][draw(WORDS)]);
}

/* It may be refused where its own memory is not to be written. */
static void device_write(struct world *w, int page)
{
	bool writable = w->view.shared[page] >= 0 &&
			w->view.prot[page] & PROT_WRITE;
	uint64_t words[WORDS];
	int ret;

	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	ret = command(w, HMM_DMIRROR_WRITE, page, 1, words);
	if (!writable)
		MUST("device write refused", page, 1, ret != 0);
	else if (ret)
		MUST("device write", page, -EFAULT, ret);
	if (!ret)
		*value_of(w, &w->view, page) = ++w->last_value;
}

/* ------------------------------------------------------------------ mappings */

static void map(struct world *w, int page, int n, bool shared)
{
	long ret = uhmm_model_mmap(w->mm, PG(page), LEN(n),
				   PROT_READ | PROT_WRITE, MAP_FIXED |
				   MAP_ANONYMOUS | (shared ? MAP_SHARED :
							     MAP_PRIVATE),
				   0, 0);

	MUST("mmap", page, PG(page), ret);
	for (int i = page; i < page + n; i++) {
		w->view.shared[i] = shared ? ++w->nshared : 0;
		w->view.prot[i] = PROT_READ | PROT_WRITE;
		w->view.own[i] = 0;
		if (shared)
			w->shared[w->nshared] = 0;
	}
}

static void forget(struct world *w, int page, int n)
{
	for (int i = page; i < page + n; i++)
		w->view.shared[i] = -1;
}

static void protect(struct world *w, int page, int n)
{
	static const int prots[] = { PROT_NONE, PROT_READ,
				     PROT_READ | PROT_WRITE };
	int prot = prots[draw(3)];

	uhmm_model_mprotect(w->mm, PG(page), LEN(n), prot);
	/* Up to the first hole. */
	for (int i = page; i < page + n && w->view.shared[i] >= 0; i++)
		w->view.prot[i] = prot;
}

static void move(struct world *w, int page, int n)
{
	int to = draw(PAGES - n + 1);
	struct view *view = &w->view;
	long ret;

	if (view->shared[page] < 0 || (to < page + n && page < to + n))
		return;
	ret = uhmm_model_mremap(w->mm, PG(page), LEN(n), LEN(n),
				MREMAP_MAYMOVE | MREMAP_FIXED, PG(to));
	forget(w, to, n);
	if (ret < 0)
		return;
	memcpy(view->shared + to, view->shared + page, n * sizeof(int));
	memcpy(view->prot + to, view->prot + page, n * sizeof(int));
	memcpy(view->own + to, view->own + page, n * sizeof(uint64_t));
	forget(w, page, n);
}

static void drop(struct world *w, int page, int n)
{
	uhmm_model_madvise(w->mm, PG(page), LEN(n), MADV_DONTNEED);
	for (int i = page; i < page + n; i++)
		if (!w->view.shared[i])
			w->view.own[i] = 0;
}

/* Not what is shared: what a device wrote there need not be known as changed. */
static void write_out(struct world *w, int page)
{
	if (!w->view.shared[page])
		uhmm_model_madvise(w->mm, PG(page), LEN(1), MADV_PAGEOUT);
}

static void fork_or_exit(struct world *w)
{
	if (w->child) {
		mmput(w->child);
		w->child = NULL;
		return;
	}
	MUST("fork", 0, 0, uhmm_mm_fork(w->mm, &w->child));
	w->child_view = w->view;
}

/* ----------------------------------------------------------------- one step */

static void step(struct world *w)
{
	static uint64_t bytes[PAGES][WORDS];
	int page = draw(PAGES), n = 1 + draw(8);

	if (n > PAGES - page)
		n = PAGES - page;
	switch (draw(18)) {
	case 0:
		map(w, page, n, draw(3) == 0);
		break;
	case 1:
		uhmm_model_munmap(w->mm, PG(page), LEN(n));
		forget(w, page, n);
		break;
	case 2:
		protect(w, page, n);
		break;
	case 3:
		move(w, page, n);
		break;
	case 4:
		drop(w, page, n);
		break;
	case 5:
		write_out(w, page);
		break;
	case 6:
		uhmm_model_compact(w->mm, PG(page), n);
		break;
	case 7:
		fork_or_exit(w);
		break;
	case 8:
		if (w->child)
			cpu_write(w, w->child, &w->child_view, page);
		break;
	case 9:
	case 10:
		command(w, HMM_DMIRROR_MIGRATE_TO_DEV, page, n, bytes);
		break;
	case 11:
		command(w, HMM_DMIRROR_MIGRATE_TO_SYS, page, n, bytes);
		break;
	case 12:
		command(w, HMM_DMIRROR_EXCLUSIVE, page, n, bytes);
		break;
	case 13:
	case 14:
		device_write(w, page);
		break;
	case 15:
		device_read(w, page, n);
		break;
	default:
		cpu_write(w, w->mm, &w->view, page);
		break;
	}
}

/* No migration is under way between two steps. */
static void look_for_lost_entries(struct mm_struct *mm)
{
	char letters[PAGES];

	uhmm_model_pagemap(mm, BASE, PAGES, letters);
	for (int i = 0; i < PAGES; i++)
		MUST("a migration entry", i, 0, letters[i] == 'm');
}

static void look_for_stale_entries(struct world *w)
{
	for (int i = 0; i < PAGES; i++)
		for (int d = 0; d < 2; d++) {
			struct uhmm_pte pte = { 0 };
			unsigned long pfn;
			size_t one = 1;

			if (!uhmm_dmirror_peek(w->files[d], PG(i), &pfn))
				continue;
			mmap_read_lock(w->mm);
			uhmm_mm_walk(w->mm, PG(i), &one, &pte);
			mmap_read_unlock(w->mm);
			MUST("frame of a device's entry", i, pte.pfn, pfn);
		}
}

/* ------------------------------------------------------------------ one life */

static void begin(struct world *w)
{
	struct uhmm_model_options options = {
		.size = sizeof(options),
		.level = seed_now % 2 ? UHMM_KERNEL_NEWEST : UHMM_KERNEL_6_1,
		.swap_pages = 4096,
	};
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = MEMORY_DEVICE_PRIVATE,
		.newest = seed_now % 2,
		.chunk_pages = 512,
	};

	memset(w, 0, sizeof(*w));
	MUST("create", 0, 0, uhmm_mm_create_model(&options, NULL, &w->mm));
	for (int d = 0; d < 2; d++) {
		MUST("device", d, 0, uhmm_dmirror_create(&how, &w->devices[d]));
		MUST("open", d, 0, uhmm_dmirror_open(w->devices[d], w->mm,
						     &w->files[d]));
	}
	forget(w, 0, PAGES);
}

/* All of it at once, by CPUs: pages come home. */
static void read_all(struct world *w)
{
	for (int i = 0; i < PAGES; i++) {
		cpu_read(w, w->mm, &w->view, i);
		if (w->child)
			cpu_read(w, w->child, &w->child_view, i);
	}
}

static void end(struct world *w)
{
	struct uhmm_model_counts counts;

	if (w->child)
		mmput(w->child);
	MUST("munmap", 0, 0, uhmm_model_munmap(w->mm, BASE, LEN(PAGES)));
	uhmm_model_count(w->mm, &counts);
	MUST("frames left", 0, 0, counts.frames);
	MUST("swap left", 0, 0, counts.swap_pages);
	MUST("files left", 0, 0, counts.files);
	for (int d = 0; d < 2; d++) {
		MUST("device pages left", d, 0,
		     uhmm_dmirror_pages(w->devices[d]));
		uhmm_dmirror_close(w->files[d]);
		uhmm_dmirror_destroy(w->devices[d]);
	}
	mmput(w->mm);
}

/* The same steps from the same state lead to the same state. */
static void go_back_and_forth(struct world *w)
{
	struct uhmm_model_snapshot *snapshot;
	static struct world before, first;
	uint64_t state_before;
	size_t size;

	if (w->child)
		fork_or_exit(w);
	for (int d = 0; d < 2; d++) {	/* pages come home */
		struct hmm_dmirror_cmd cmd = { .addr = BASE, .npages = 1 };

		MUST("release", d, 0, uhmm_dmirror_ioctl(w->files[d],
				HMM_DMIRROR_RELEASE, &cmd));
	}
	MUST("save", 0, 0, uhmm_model_save(w->mm, &snapshot));
	before = *w;
	state_before = state;
	for (int i = 0; i < 20; i++)
		cpu_write(w, w->mm, &w->view, draw(PAGES));
	first = *w;
	size = uhmm_model_state_size(w->mm);
	MUST("restore", 0, 0, uhmm_model_restore(w->mm, snapshot));
	*w = before;
	read_all(w);
	MUST("restore", 0, 0, uhmm_model_restore(w->mm, snapshot));
	state = state_before;
	for (int i = 0; i < 20; i++)
		cpu_write(w, w->mm, &w->view, draw(PAGES));
	MUST("the same views", 0, 0, memcmp(&first.view, &w->view,
					    sizeof(first.view)));
	MUST("the same size", 0, size, uhmm_model_state_size(w->mm));
	uhmm_model_snapshot_free(snapshot);
}

static void live(uint64_t seed, long steps)
{
	static struct world w;

	seed_now = seed;
	state = seed * 0x9e3779b97f4a7c15ULL + 1;
	begin(&w);
	for (step_now = 0; step_now < steps; step_now++) {
		step(&w);
		look_for_stale_entries(&w);
		look_for_lost_entries(w.mm);
		if (w.child)
			look_for_lost_entries(w.child);
		if (step_now % 64 == 63)
			read_all(&w);
		if (step_now % 256 == 255)
			go_back_and_forth(&w);
	}
	read_all(&w);
	end(&w);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	long steps = argc > 3 ? atol(argv[3]) : 512;

	for (uint64_t seed = first; seed < first + n; seed++)
		live(seed, steps);
	printf("%lu lives of %ld steps: good\n", (unsigned long)n, steps);
	return 0;
}
