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
 *
 * A life is of small pages or of huge ones, some of them of hugetlb, at one of
 * the kernel's levels, with devices of private memory or of coherent, with files,
 * swap, pins, userfaultfd, guards and all that a kernel does by itself. In some
 * there are too few frames.
 */
#include "fuzz_world.h"

#define GUARD_INSTALL 102	/* the C library may lack these */
#define GUARD_REMOVE 103

/* ------------------------------------------------------------------ mappings */

/* An area is all of its pool's huge pages, so ranges are. */
static void whole(const struct world *w, int *page, int *n)
{
	int end = (*page + *n + HUGE_UNITS - 1) & ~(HUGE_UNITS - 1);

	if (!w->pool)
		return;
	*page &= ~(HUGE_UNITS - 1);
	*n = end - *page;
}

/* Anonymous, private or shared, or of a file, likewise. */
static void map(struct world *w, int page, int n)
{
	bool private = draw(3), file = draw(3) == 0;
	int which = draw(NR_FILES), at, first, flags = MAP_FIXED;
	long ret;

	if (file && n > FILE_PAGES)
		n = FILE_PAGES;
	first = file ? (int)draw(FILE_PAGES - n + 1) : 0;
	flags |= private ? MAP_PRIVATE : MAP_SHARED;
	flags |= file ? 0 : MAP_ANONYMOUS;
	if (w->pool && !file && draw(2))
		flags |= MAP_HUGETLB;
	ret = uhmm_model_mmap(w->mm, unit_at(w, page), length(w, n),
			      PROT_READ | PROT_WRITE, flags,
			      file ? w->model_files[which] : 0,
			      length(w, first));
	MUST("mmap", page, unit_at(w, page), ret);
	forget(w, page, n);
	at = file ? w->file_at[which] + first : w->nshared + 1;
	if (!file && !private)
		w->nshared += n;
	for (int i = 0; i < n; i++) {
		w->view.shared[page + i] = file || !private ? at + i : 0;
		w->view.private[page + i] = private;
		w->view.prot[page + i] = PROT_READ | PROT_WRITE;
		if (!file && !private)
			w->shared[at + i] = 0;
	}
}

static void protect(struct world *w, int page, int n)
{
	static const int prots[] = { PROT_NONE, PROT_READ,
				     PROT_READ | PROT_WRITE };
	int prot = prots[draw(3)];

	uhmm_model_mprotect(w->mm, unit_at(w, page), length(w, n), prot);
	/* Up to the first hole. */
	for (int i = page; i < page + n && w->view.shared[i] >= 0; i++)
		w->view.prot[i] = prot;
}

#define MOVED(view, what)                                                    \
	((view)->what[to + i] = (view)->what[page + i])

static bool is_mapped(const struct world *w, int page)
{
	struct uhmm_model_area area;

	return !uhmm_model_area(w->mm, unit_at(w, page), &area) &&
	       area.vma.start <= unit_at(w, page);
}

/* What has gone is mapped there no more, and nowhere else than where it went. */
static void moved(struct world *w, int page, int to, int n)
{
	struct view *view = &w->view;

	for (int i = 0; i < n; i++) {
		if (is_mapped(w, page + i) && is_mapped(w, to + i))
			continue;
		forget(w, to + i, 1);
		if (is_mapped(w, page + i))
			continue;
		MOVED(view, shared);
		MOVED(view, private);
		MOVED(view, copied);
		MOVED(view, prot);
		MOVED(view, odd);
		MOVED(view, own);
		forget(w, page + i, 1);
	}
}

/* Without holes in it. Of many areas some may go, and then one not. */
static void move(struct world *w, int page, int n)
{
	int to = draw(PAGES - n + 1);
	struct view *view = &w->view;
	long ret;

	if (w->pool)
		to &= ~(HUGE_UNITS - 1);

	for (int i = page; i < page + n; i++)
		if (view->shared[i] < 0 || view->watched[i])
			return;
	if (to < page + n && page < to + n)
		return;
	ret = uhmm_model_mremap(w->mm, unit_at(w, page), length(w, n),
				length(w, n), MREMAP_MAYMOVE | MREMAP_FIXED,
				unit_at(w, to));
	/* What is of a pool in part does not go, nor makes place. */
	if (ret < 0 && !(ret == -EINVAL && w->pool))
		MUST("mremap", page, -EFAULT, ret);
	moved(w, page, to, n);
}

/* Guards stay; what is broken is gone. */
static void drop(struct world *w, int page, int n)
{
	struct view *view = &w->view;

	uhmm_model_madvise(w->mm, unit_at(w, page), length(w, n),
			   MADV_DONTNEED);
	pins_lose(w, page, n);
	for (int i = page; i < page + n; i++) {
		view->copied[i] = false;
		view->own[i] = 0;
		if (view->odd[i] == BROKEN)
			view->odd[i] = NOTHING_ODD;
	}
}

/* Of one page; the others of a unit are looked at by nobody. */
static void guard(struct world *w, int page)
{
	bool install = draw(2);
	int ret = uhmm_model_madvise(w->mm, page_at(w, page), LEN(1), install ?
				     GUARD_INSTALL : GUARD_REMOVE);

	if (!w->newest)
		MUST("guards of 6.1", page, 1, ret != 0);
	if (ret || (!install && w->view.odd[page] != GUARDED))
		return;
	pins_lose(w, page, 1);
	w->view.odd[page] = install ? GUARDED : NOTHING_ODD;
	w->view.copied[page] = false;
	w->view.own[page] = 0;
}

/* Not what is shared: what a device wrote there need not be known as changed. */
static void write_out(struct world *w, int page)
{
	if (!w->view.shared[page])
		uhmm_model_madvise(w->mm, unit_at(w, page), length(w, 1),
				   MADV_PAGEOUT);
}

/* By the reaper, who does not wait, as well. */
static void fork_or_exit(struct world *w)
{
	int ret;

	if (w->child) {
		if (draw(3) == 0)
			MUST("reaper", 0, 0, uhmm_model_oom_reap(w->child));
		mmput(w->child);
		w->child = NULL;
		return;
	}
	ret = uhmm_mm_fork(w->mm, &w->child);
	if (ret == -ENOMEM && w->frames)
		return;
	MUST("fork", 0, 0, ret);
	w->child_view = w->view;
	memset(w->child_view.watched, 0, sizeof(w->child_view.watched));
}

/* --------------------------------------------------------------------- files */

static void file_write(struct world *w, int which, int page)
{
	uint64_t words[WORDS];
	long ret;

	if (page >= w->file_size[which])
		return;
	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	ret = uhmm_model_file_write(w->mm, w->model_files[which], words,
				    sizeof(words), length(w, page) +
				    page_at(w, 0) - unit_at(w, 0));
	if (ret < 0 && w->frames)
		return;
	MUST("write to a file", page, sizeof(words), ret);
	w->shared[w->file_at[which] + page] = ++w->last_value;
}

static void forget_copies(struct view *view, int from, int end)
{
	for (int i = 0; i < PAGES; i++)
		if (view->shared[i] >= from && view->shared[i] < end) {
			view->copied[i] = false;
			view->own[i] = 0;
		}
}

static void file_truncate(struct world *w, int which, int size)
{
	int at = w->file_at[which];

	MUST("truncate", size, 0,
	     uhmm_model_file_truncate(w->mm, w->model_files[which],
				      length(w, size)));
	w->file_size[which] = size;
	for (int i = size; i < FILE_PAGES; i++)
		w->shared[at + i] = 0;
	forget_copies(&w->view, at + size, at + FILE_PAGES);
	if (w->child)
		forget_copies(&w->child_view, at + size, at + FILE_PAGES);
}

static void file_step(struct world *w)
{
	int which = draw(NR_FILES), page = draw(FILE_PAGES);

	switch (draw(6)) {
	case 0:
		file_truncate(w, which, 4 + draw(FILE_PAGES - 3));
		break;
	case 1:
		if (!uhmm_model_file_punch(w->mm, w->model_files[which],
					   length(w, page), length(w, 1)))
			w->shared[w->file_at[which] + page] = 0;
		break;
	case 2:
		MUST("sync", page, 0,
		     uhmm_model_file_sync(w->mm, w->model_files[which]));
		break;
	default:
		file_write(w, which, page);
		break;
	}
}

/* ---------------------------------------------------------------------- pins */

/* What is written through a pin is what the page holds, while it is there. */
static void pin_step(struct world *w, int page)
{
	struct held *pin = &w->pins[draw(NR_PINS)];
	uint64_t words[WORDS];

	if (!pin->id) {
		pin->id = uhmm_model_pin(w->mm, page_at(w, page), 1, true);
		may_be_copied(w, page, 1);
		pin->page = w->view.shared[page] ? -1 : page;
		if (pin->id < 0)
			pin->id = 0;
		return;
	}
	MUST("a page that is held", pin->page, 0,
	     uhmm_model_pin_access(w->mm, pin->id, 0, words, false));
	if (pin->page >= 0) {
		MUST("value of a page that is held", pin->page,
		     expected(w, &w->view, pin->page), words[0]);
		for (int i = 0; i < WORDS; i++)
			words[i] = w->last_value + 1;
		uhmm_model_pin_access(w->mm, pin->id, 0, words, true);
		now_holds(w, &w->view, pin->page, ++w->last_value);
	}
	if (draw(3))
		return;
	MUST("unpin", 0, 0, uhmm_model_unpin(w->mm, pin->id));
	pin->id = 0;
}

/* ----------------------------------------------------------------- one step */

static uint64_t bytes[PAGES * MOST_UNIT][WORDS];

/* What needs neither a device nor another process. */
static void plain_step(struct world *w, int page, int n)
{
	int one = page;

	whole(w, &page, &n);
	switch (draw(13)) {
	case 0:
		map(w, page, n);
		break;
	case 1:
		uhmm_model_munmap(w->mm, unit_at(w, page), length(w, n));
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
		kernel_step(w, page, n);
		break;
	case 7:
		file_step(w);
		break;
	case 8:
		watch_step(w, page, n);
		break;
	case 9:
		pin_step(w, one);
		break;
	case 10:
		guard(w, one);
		break;
	default:
		cpu_write(w, w->mm, &w->view, one);
		break;
	}
}

static void step(struct world *w)
{
	int page = draw(PAGES), n = 1 + draw(8);

	/* A huge page is eight units. */
	if (w->unit > 1)
		n *= 1 + draw(3);
	if (n > PAGES - page)
		n = PAGES - page;
	switch (draw(22)) {
	case 0:
		fork_or_exit(w);
		break;
	case 1:
		if (w->child)
			cpu_write(w, w->child, &w->child_view, page);
		break;
	case 2:
	case 3:
		command(w, HMM_DMIRROR_MIGRATE_TO_DEV, page, n, bytes);
		break;
	case 4:
		command(w, HMM_DMIRROR_MIGRATE_TO_SYS, page, n, bytes);
		break;
	case 5:
		command(w, HMM_DMIRROR_EXCLUSIVE, page, n, bytes);
		may_be_copied(w, page, n);
		break;
	case 6:
	case 7:
		device_write(w, page);
		break;
	case 8:
		device_read(w, page, n);
		break;
	default:
		plain_step(w, page, n);
		break;
	}
}

/* No migration is under way between two steps. */
static void look_for_lost_entries(struct world *w, struct mm_struct *mm)
{
	char letter;

	for (int i = 0; i < PAGES; i++) {
		uhmm_model_pagemap(mm, page_at(w, i), 1, &letter);
		MUST("a migration entry", i, 0, letter == 'm');
	}
}

static void look_for_stale_entries(struct world *w)
{
	for (int i = 0; i < PAGES; i++)
		for (int d = 0; d < 2; d++) {
			struct uhmm_pte pte = { 0 };
			unsigned long pfn;
			size_t one = 1;

			if (!uhmm_dmirror_peek(w->files[d], page_at(w, i),
					       &pfn))
				continue;
			mmap_read_lock(w->mm);
			uhmm_mm_walk(w->mm, page_at(w, i), &one, &pte);
			mmap_read_unlock(w->mm);
			MUST("frame of a device's entry", i, pte.pfn, pfn);
		}
}

/* ------------------------------------------------------------------ one life */

static void make_files(struct world *w)
{
	static const enum uhmm_model_file_kind kinds[NR_FILES] = {
		UHMM_MODEL_FILE_MEMORY, UHMM_MODEL_FILE_DISK };

	for (int f = 0; f < NR_FILES; f++) {
		w->model_files[f] = uhmm_model_file(w->mm, kinds[f],
						    length(w, FILE_PAGES));
		w->file_at[f] = w->nshared + 1;
		w->file_size[f] = FILE_PAGES;
		w->nshared += FILE_PAGES;
	}
}

static void begin(struct world *w)
{
	bool huge = seed_now % 8 >= 6, scarce = seed_now % 7 == 5;
	unsigned long few = 20 + seed_now / 7 % 60;
	struct uhmm_model_options options = {
		.size = sizeof(options),
		.level = seed_now % 2 ? UHMM_KERNEL_NEWEST : UHMM_KERNEL_6_1,
		.thp = huge ? UHMM_THP_ALWAYS : UHMM_THP_NEVER,
		.swap_pages = 1 << 16,
		.huge_pages = POOL_PAGES,
		.frames = scarce ? few * (huge ? MOST_UNIT : 1) : 0,
	};
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = seed_now % 5 == 4 ? MEMORY_DEVICE_COHERENT :
					    MEMORY_DEVICE_PRIVATE,
		.newest = seed_now % 2,
		.chunk_pages = huge ? 4096 : 512,
	};

	memset(w, 0, sizeof(*w));
	w->newest = seed_now % 2;
	w->frames = options.frames;
	w->pool = huge && seed_now % 3 == 0;
	w->unit = huge ? MOST_UNIT : 1;
	w->base = 0x40000000UL - length(w, 24);	/* a table ends in the middle */
	MUST("create", 0, 0, uhmm_mm_create_model(&options, NULL, &w->mm));
	for (int d = 0; d < 2; d++) {
		MUST("device", d, 0, uhmm_dmirror_create(&how, &w->devices[d]));
		MUST("open", d, 0, uhmm_dmirror_open(w->devices[d], w->mm,
						     &w->files[d]));
	}
	make_files(w);
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

/* The reaper takes what it may; nothing of it is seen any more. */
static void end(struct world *w)
{
	struct uhmm_model_counts counts;

	if (w->child)
		mmput(w->child);
	for (int i = 0; i < PAGES; i++)
		device_read(w, i, 1);
	MUST("reaper", 0, 0, uhmm_model_oom_reap(w->mm));
	look_for_stale_entries(w);
	MUST("munmap", 0, 0, uhmm_model_munmap(w->mm, unit_at(w, 0),
					       length(w, PAGES)));
	for (int i = 0; i < NR_PINS; i++)
		if (w->pins[i].id)
			MUST("unpin", i, 0,
			     uhmm_model_unpin(w->mm, w->pins[i].id));
	for (int f = 0; f < NR_FILES; f++)
		MUST("close", f, 0, uhmm_model_file_close(w->mm,
							  w->model_files[f]));
	uhmm_model_count(w->mm, &counts);
	MUST("frames left", 0, w->broken, counts.frames);
	MUST("pool", 0, POOL_PAGES, counts.huge_pages);
	MUST("swap left", 0, 0, counts.swap_pages);
	MUST("files left", 0, 0, counts.files);
	for (int d = 0; d < 2; d++) {
		MUST("device pages left", d, 0,
		     uhmm_dmirror_pages(w->devices[d]));
		uhmm_dmirror_close(w->files[d]);
		MUST("destroy", d, 0, uhmm_dmirror_destroy(w->devices[d]));
	}
	mmput(w->mm);
}

static void some_steps(struct world *w, char *letters)
{
	for (int i = 0; i < 40; i++) {
		int page = draw(PAGES), n = 1 + draw(8);

		plain_step(w, page, n > PAGES - page ? PAGES - page : n);
	}
	uhmm_model_pagemap(w->mm, unit_at(w, 0), PAGES * w->unit, letters);
}

/* Pages come home; false: for some of them there is no frame. */
static bool release_all(struct world *w)
{
	struct hmm_dmirror_cmd cmd = { .addr = w->base, .npages = 1 };
	bool all = true;
	int ret;

	for (int d = 0; d < 2; d++) {
		ret = uhmm_dmirror_ioctl(w->files[d], HMM_DMIRROR_RELEASE,
					 &cmd);
		if (ret != -ENOMEM || !w->frames)
			MUST("release", d, 0, ret);
		MUST("pages after a release", d, ret != 0,
		     uhmm_dmirror_pages(w->devices[d]) != 0);
		all &= !ret;
	}
	return all;
}

/* The same steps from the same state lead to the same state. */
static void go_back_and_forth(struct world *w)
{
	static char then[PAGES * MOST_UNIT], now[PAGES * MOST_UNIT];
	struct uhmm_model_snapshot *snapshot;
	static struct world before, first;
	uint64_t state_before;
	size_t size;

	if (w->child)
		fork_or_exit(w);
	if (!release_all(w))
		return;
	MUST("save", 0, 0, uhmm_model_save(w->mm, &snapshot));
	before = *w;
	state_before = state;
	some_steps(w, then);
	first = *w;
	size = uhmm_model_state_size(w->mm);
	MUST("restore", 0, 0, uhmm_model_restore(w->mm, snapshot));
	*w = before;
	read_all(w);
	MUST("restore", 0, 0, uhmm_model_restore(w->mm, snapshot));
	*w = before;
	state = state_before;
	some_steps(w, now);
	MUST("the same views", 0, 0, memcmp(&first.view, &w->view,
					    sizeof(first.view)));
	MUST("the same entries", 0, 0, memcmp(then, now, PAGES * w->unit));
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
		look_for_lost_entries(&w, w.mm);
		if (w.child)
			look_for_lost_entries(&w, w.child);
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
