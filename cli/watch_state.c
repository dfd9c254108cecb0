/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The address spaces of a program, rebuilt from its stream. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "watch.h"

#define BIN_NS 500000
#define MAX_LIVES 20000
#define PAGE 4096UL

static uint64_t page_up(uint64_t length)
{
	return (length + PAGE - 1) & -PAGE;
}

const char *watch_kind_name(unsigned int kind)
{
	static const char *const names[STREAM_KINDS] = {
		[STREAM_NOTHING] = "nothing",
		[STREAM_START] = "start",
		[STREAM_AREA] = "area",
		[STREAM_END] = "end",
		[STREAM_MMAP] = "mmap",
		[STREAM_MUNMAP] = "munmap",
		[STREAM_MREMAP] = "mremap",
		[STREAM_MPROTECT] = "mprotect",
		[STREAM_MADVISE] = "madvise",
		[STREAM_BRK] = "brk",
		[STREAM_SHMAT] = "shmat",
		[STREAM_SHMDT] = "shmdt",
		[STREAM_TRUNCATE] = "truncate",
		[STREAM_FORK] = "fork",
	};

	return kind < STREAM_KINDS ? names[kind] : "?";
}

bool watch_is_change(unsigned int kind)
{
	return kind >= STREAM_MMAP && kind < STREAM_KINDS;
}

/* ------------------------------------------------------------------ time line */

/* Twice as long each, when time runs out of them. */
static void fold_bins(struct watch *watch)
{
	struct watch_bin *bins = watch->bins, *a, *b;

	for (int i = 0; i < WATCH_BINS / 2; i++) {
		a = &bins[2 * i];
		b = &bins[2 * i + 1];
		bins[i].mapped = a->mapped > b->mapped ? a->mapped : b->mapped;
		bins[i].changes = a->changes + b->changes;
	}
	memset(&bins[WATCH_BINS / 2], 0, WATCH_BINS / 2 * sizeof(*bins));
	watch->bin_ns *= 2;
}

static void add_to_bins(struct watch *watch, uint64_t at_ns, bool change)
{
	uint64_t at;
	size_t old;

	if (!watch->begun_ns) {
		watch->begun_ns = watch->last_ns = at_ns;
		watch->bin_ns = BIN_NS;
	}
	/* Threads take their numbers and the time one after the other. */
	if (at_ns < watch->last_ns)
		at_ns = watch->last_ns;
	while ((at_ns - watch->begun_ns) / watch->bin_ns >= WATCH_BINS)
		fold_bins(watch);
	at = (at_ns - watch->begun_ns) / watch->bin_ns;
	/* Nothing changed in between. */
	old = (watch->last_ns - watch->begun_ns) / watch->bin_ns;
	while (++old < at)
		watch->bins[old].mapped = watch->mapped;
	if (watch->mapped > watch->bins[at].mapped)
		watch->bins[at].mapped = watch->mapped;
	watch->bins[at].changes += change;
	watch->last_ns = at_ns;
}

/* ---------------------------------------------------------------------- areas */

/* While something of it is done. */
struct change {
	struct watch *watch;
	struct watch_process *process;
	const struct stream_record *record;
	uint64_t to;			/* of what moves */
	uint32_t prot;
	struct spans pieces;
};

/* How much of the picture it fills. */
static double weight(const struct watch_life *life)
{
	return (double)(life->end - life->start) *
	       (double)(life->died_ns - life->born_ns);
}

static int heavier(const void *a, const void *b)
{
	double x = weight(a), y = weight(b);

	return x < y ? 1 : x > y ? -1 : 0;
}

static void keep_life(struct watch *watch, const struct watch_life *life)
{
	if (watch->nlives == MAX_LIVES) {
		qsort(watch->lives, watch->nlives, sizeof(*life), heavier);
		watch->lives_lost += watch->nlives / 2;
		watch->nlives /= 2;
	}
	if (!watch->lives) {
		watch->lives = malloc(MAX_LIVES * sizeof(*life));
		if (!watch->lives)
			abort();
	}
	watch->lives[watch->nlives++] = *life;
}

static void area_dies(void *arg, const struct span *span)
{
	struct change *change = arg;
	struct watch_life life = {
		.process = (uint32_t)(change->process -
				      change->watch->processes),
		.prot = span->prot,
		.flags = span->flags,
		.start = span->start,
		.end = span->end,
		.born_ns = span->born_ns,
		.died_ns = change->watch->last_ns,
	};

	if (change->record)
		life.died_ns = change->record->at_ns;
	change->watch->mapped -= span->end - span->start;
	if (life.died_ns > life.born_ns)
		keep_life(change->watch, &life);
}

static void cut(struct change *change, uint64_t start, uint64_t end)
{
	size_t n = change->process->areas.n;

	spans_cut(&change->process->areas, start, end, area_dies, change);
	change->watch->nareas += change->process->areas.n - n;
}

static void set(struct change *change, struct span span)
{
	struct watch *watch = change->watch;
	struct spans *areas = &change->process->areas;
	size_t n;

	cut(change, span.start, span.end);
	n = areas->n;
	spans_set(areas, span);
	watch->nareas += areas->n - n;
	watch->mapped += span.end - span.start;
	if (watch->mapped > watch->mapped_most)
		watch->mapped_most = watch->mapped;
	if (watch->nareas > watch->nareas_most)
		watch->nareas_most = watch->nareas;
}

static void map(struct change *change, uint64_t start, uint64_t length,
		uint32_t prot, uint32_t flags)
{
	uint64_t end = start + page_up(length);

	change->watch->bytes_mapped += end - start;
	set(change, (struct span){ start, end, change->record->at_ns, prot,
				   flags & ~(uint32_t)MAP_FIXED });
	if (prot & PROT_READ && prot & PROT_WRITE &&
	    change->record->kind != STREAM_AREA)
		cache_appears(&change->process->caches, start, end);
}

static void unmap(struct change *change, uint64_t start, uint64_t length)
{
	uint64_t end = start + page_up(length);

	if (start < end)
		cache_changes(&change->process->caches, change->record, start,
			      end, true);
	cut(change, start, end);
}

static void take_piece(void *arg, const struct span *span)
{
	struct change *change = arg;

	spans_set(&change->pieces, *span);
}

/* With another protection, or elsewhere. */
static void put_pieces(struct change *change, int64_t distance, bool protect)
{
	struct span piece;
	size_t n = change->process->areas.n;

	for (size_t i = 0; i < change->pieces.n; i++) {
		piece = change->pieces.spans[i];
		piece.start += (uint64_t)distance;
		piece.end += (uint64_t)distance;
		if (protect)
			piece.prot = change->prot;
		spans_set(&change->process->areas, piece);
	}
	spans_free(&change->pieces);
	change->watch->nareas += change->process->areas.n - n;
}

static void protect(struct change *change)
{
	const struct stream_record *r = change->record;
	struct spans *areas = &change->process->areas;
	size_t n = areas->n;

	change->prot = r->prot;
	spans_cut(areas, r->addr, r->addr + page_up(r->length), take_piece,
		  change);
	change->watch->nareas += areas->n - n;
	put_pieces(change, 0, true);
}

/* Its area is what it was, but for where and how long it is. */
static void move(struct change *change)
{
	const struct stream_record *r = change->record;
	const struct spans *areas = &change->process->areas;
	uint64_t length = page_up(r->length), to = page_up(r->to_length);
	size_t at = spans_find(areas, r->addr);
	struct span old = { 0 };

	if (at < areas->n && areas->spans[at].start <= r->addr)
		old = areas->spans[at];
	if (r->to == r->addr) {
		if (to < length)
			unmap(change, r->addr + to, length - to);
		else
			map(change, r->addr + length, to - length, old.prot,
			    old.flags);
		return;
	}
	if (r->flags & MREMAP_FIXED)
		unmap(change, r->to, to);
	if (r->flags & MREMAP_DONTUNMAP)
		cache_changes(&change->process->caches, r, r->addr,
			      r->addr + length, false);
	else
		unmap(change, r->addr, length);
	map(change, r->to, to, old.prot, old.flags);
}

/* @addr is where it ended. */
static void move_break(struct change *change)
{
	const struct stream_record *r = change->record;
	uint64_t was = page_up(r->addr), is = page_up(r->to);

	if (is < was)
		unmap(change, is, was - is);
	else if (is > was)
		map(change, was, is - was, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS);
}

/* Of a shmdt() the length may be unknown: it is an area's. */
static void detach(struct change *change)
{
	const struct stream_record *r = change->record;
	const struct spans *areas = &change->process->areas;
	size_t at = spans_find(areas, r->addr);
	uint64_t length = r->length;

	if (!length && at < areas->n)
		length = areas->spans[at].end - r->addr;
	unmap(change, r->addr, length);
}

/* ------------------------------------------------------------------ processes */

static void end(struct change *change)
{
	struct watch_process *process = change->process;

	spans_copy(&process->at_end, &process->areas);
	cut(change, 0, ~0UL);
	caches_free(&process->caches);
	spans_free(&process->at_fork);
	process->ended = true;
}

/* An exec() ends what was, in a process that goes on. */
static void end_older(struct watch *watch, uint32_t number,
		      const struct stream_record *record)
{
	const struct board *board = watch->board->board;
	struct change change = { .watch = watch, .record = record };

	for (uint32_t i = 0; i < number; i++) {
		change.process = &watch->processes[i];
		if (board->processes[i].pid == board->processes[number].pid &&
		    change.process->begun && !change.process->ended)
			end(&change);
	}
}

static void start(struct change *change)
{
	const struct board *board = change->watch->board->board;
	uint32_t number = change->record->process, parent = number;
	const struct spans *from;
	struct span area;

	change->process->begun = true;
	change->process->caches.counts = change->watch->caches;
	end_older(change->watch, number, change->record);
	if (!board->processes[number].forked)
		return;
	while (parent-- &&
	       board->processes[parent].pid != board->processes[number].parent)
		;
	if (parent >= number)
		return;
	from = &change->watch->processes[parent].at_fork;
	for (size_t i = 0; i < from->n; i++) {
		area = from->spans[i];
		area.born_ns = change->record->at_ns;
		set(change, area);
	}
}

/* ------------------------------------------------------------------- a record */

static void apply(struct change *change)
{
	const struct stream_record *r = change->record;

	switch (r->kind) {
	case STREAM_START:
		start(change);
		break;
	case STREAM_END:
		end(change);
		break;
	case STREAM_AREA:
		set(change, (struct span){ r->addr, r->addr + r->length,
					   r->at_ns, r->prot, r->flags });
		break;
	case STREAM_MMAP:
		if (r->flags & MAP_FIXED)
			unmap(change, r->to, r->length);
		map(change, r->to, r->length, r->prot, r->flags);
		break;
	case STREAM_MUNMAP:
		unmap(change, r->addr, r->length);
		break;
	case STREAM_MREMAP:
		move(change);
		break;
	case STREAM_MPROTECT:
		protect(change);
		break;
	case STREAM_MADVISE:
	case STREAM_TRUNCATE:
		cache_changes(&change->process->caches, r, r->addr,
			      r->addr + page_up(r->length), false);
		break;
	case STREAM_BRK:
		move_break(change);
		break;
	case STREAM_SHMAT:
		if (r->flags & SHM_REMAP)
			unmap(change, r->to, r->length);
		map(change, r->to, r->length,
		    PROT_READ | (r->flags & SHM_RDONLY ? 0 : PROT_WRITE),
		    MAP_SHARED);
		break;
	case STREAM_SHMDT:
		detach(change);
		break;
	case STREAM_FORK:
		spans_copy(&change->process->at_fork, &change->process->areas);
		break;
	}
}

void watch_record(struct watch *watch, const struct stream_record *record)
{
	struct change change = { .watch = watch, .record = record };

	if (record->kind == STREAM_NOTHING || record->kind >= STREAM_KINDS ||
	    record->process >= BOARD_PROCESSES)
		return;
	change.process = &watch->processes[record->process];
	add_to_bins(watch, record->at_ns, watch_is_change(record->kind));
	watch->kinds[record->kind]++;
	if (watch_is_change(record->kind)) {
		change.process->changes++;
		watch->took_ns += record->took_ns;
		sites_add(&watch->sites, record);
	}
	if (!change.process->ended)
		apply(&change);
	add_to_bins(watch, record->at_ns, false);
	if (watch->out)
		stream_print(watch, record);
}

void watch_finish(struct watch *watch)
{
	struct change change = { .watch = watch };

	unsigned int n = watch->board->board->used;

	for (unsigned int i = 0; i < n && i < BOARD_PROCESSES; i++) {
		change.process = &watch->processes[i];
		if (change.process->begun && !change.process->ended)
			end(&change);
	}
}
