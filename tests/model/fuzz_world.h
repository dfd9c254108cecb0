/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What random lives of the model are held against: arrays that know what each
 * page holds, in the process and in its child. See fuzz_model.c.
 *
 * A page here is a unit: in some lives it is many pages, of which one is
 * looked at, so that huge pages fit in.
 */
#ifndef TESTS_FUZZ_WORLD_H
#define TESTS_FUZZ_WORLD_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <uhmm/dmirror.h>
#include <uhmm/mm_ops.h>
#include <uhmm/model.h>

#define PAGES 48
#define MOST_UNIT 64	/* pages */
#define HUGE_UNITS 8	/* of those */
#define POOL_PAGES 64
#define FILE_PAGES 16
#define NR_FILES 2	/* in memory, on a disk */
#define NR_PINS 4
#define WORDS 512
#define LEN(n) ((unsigned long)(n) << 12)

/* What is there instead of a page. */
enum odd { NOTHING_ODD, GUARDED, BROKEN };

/**
 * struct view - what a process sees
 * @shared: -1 of no area, 0 its own, else where in &world.shared
 * @private: of a private mapping: what is shared is copied when written
 * @copied: it was
 * @prot: of its area
 * @odd: an access gives a signal
 * @watched: by userfaultfd: an access may give SIGBUS
 * @own: what it holds, unless it is shared
 */
struct view {
	int shared[PAGES];
	bool private[PAGES];
	bool copied[PAGES];
	int prot[PAGES];
	enum odd odd[PAGES];
	bool watched[PAGES];
	uint64_t own[PAGES];
};

/* A page that is held; @page: where it was, -1: it is there no more. */
struct held {
	int id;
	int page;
};

struct world {
	struct mm_struct *mm;
	struct mm_struct *child;
	bool newest;
	unsigned long frames;	/* that there are; 0: as many as are wanted */
	bool pool;		/* there are areas of hugetlb */
	unsigned long unit;
	unsigned long base;
	struct uhmm_dmirror_device *devices[2];
	struct uhmm_dmirror *files[2];
	int model_files[NR_FILES];
	int file_at[NR_FILES];	/* of its first page in @shared */
	int file_size[NR_FILES];
	struct held pins[NR_PINS];
	unsigned long broken;
	struct view view;
	struct view child_view;
	uint64_t shared[1 << 16];
	int nshared;
	uint64_t last_value;
};

extern uint64_t seed_now, state;
extern long step_now;

unsigned int draw(unsigned int n);
_Noreturn void fail(const char *what, long page, uint64_t want, uint64_t got);

#define MUST(what, page, want, got)                                          \
	do {                                                                 \
		uint64_t want_ = (want), got_ = (got);                       \
		if (want_ != got_)                                           \
			fail(what, page, want_, got_);                       \
	} while (0)

/* Where a unit begins, and the page of it that is looked at. */
static inline unsigned long unit_at(const struct world *w, int page)
{
	return w->base + LEN(w->unit * page);
}

static inline unsigned long page_at(const struct world *w, int page)
{
	return unit_at(w, page) + LEN(7 % w->unit);
}

static inline unsigned long length(const struct world *w, int n)
{
	return LEN(w->unit * n);
}

/* The signal that a touch gives; SIGBUS of what is watched is its own matter. */
int expected_signal(const struct world *w, const struct view *view, int page,
		    int prot);
/* What is read there now. */
uint64_t expected(const struct world *w, const struct view *view, int page);
void now_holds(struct world *w, struct view *view, int page, uint64_t value);
/* Something may just have copied what is private: which it did is looked up. */
void may_be_copied(struct world *w, int page, int n);

void cpu_read(struct world *w, struct mm_struct *mm, struct view *view,
	      int page);
void cpu_write(struct world *w, struct mm_struct *mm, struct view *view,
	       int page);
/* By one of the devices. */
int command(struct world *w, unsigned long request, int page, int n,
	    void *bytes);
void device_read(struct world *w, int page, int n);
void device_write(struct world *w, int page);
/* Something else comes there, or nothing. */
void forget(struct world *w, int page, int n);
void pins_lose(struct world *w, int page, int n);

/* fuzz_kernel.c */
void watch_step(struct world *w, int page, int n);
void kernel_step(struct world *w, int page, int n);

#endif
