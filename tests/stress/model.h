/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The model that the stress is run on: a page table whose entries never repeat
 * (a generation for each page), mirrors that hold copies of them, and what must
 * hold whatever the threads do:
 *
 *  - While a mirror's lock is held each valid copy equals the page table, and
 *    is none that a start has already taken back: no access to a page after
 *    its invalidation returned.
 *  - A tagged copy whose check succeeds is none that was taken back before the
 *    check began.
 *  - Who was inserted before a start, and is not being removed when it returns,
 *    has been called by it if it overlaps; nobody twice; in ascending order;
 *    nobody whom it does not overlap.
 *  - A second pass for each first pass, before start returns.
 *  - No callback before insert, none after remove returned, none after the
 *    asynchronous removal's last word; and that comes once.
 *  - A list notifier that was registered before a start is called by it, if it
 *    stays; it sees an end for each start that it saw, and no other, and
 *    nothing once it is unregistered.
 *  - Memory is not used after it was given back (it is poisoned).
 *  - Everybody gets on.
 *
 * The first violation ends the process.
 */
#ifndef TESTS_STRESS_MODEL_H
#define TESTS_STRESS_MODEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <uhmm/mm.h>

#include "designs/design.h"

#define PAGE_BITS 12
#define PAGE_BASE 0x100000UL
#define MAX_PAGES 4096U
#define MIRROR_PAGES 8U
#define MAX_SEATS 1024U
#define MAX_LISTS 8U
#define MAX_THREADS 16U
#define MAX_CALLED 1200U

/* Threads, by what they do. */
enum actor {
	INVALIDATOR,
	FAULTER,
	CHURNER,
	LISTER,
	SPAWNER,		/* of threads that do not stay */
	PEST,			/* sends signals */
	ACTORS
};

enum mirror_kind {
	ONE_PASS,
	TWO_PASS,
	BATCHED,		/* from here on only this library */
	TAGGED,
	GOES_ASYNC,		/* removes itself when it is called */
	KINDS
};

#define SHARED_KINDS BATCHED

/* What a mirror is while it lives; poisoned when it does not. */
#define ALIVE 0x600d600d600d600dUL
#define POISON 0xa5

/**
 * struct mirror - a second view of some pages
 * @sub: the subscription
 * @magic: ALIVE
 * @id: never the same again
 * @kind: how it is called
 * @first: first page
 * @n: pages
 * @lock: the user lock; of its own or shared
 * @own_lock: see @lock
 * @copy: what the page table said; 0: nothing
 * @passes: first passes whose second is still due
 * @releases: how often it heard that the address space ends
 * @leaving: it has removed itself
 * @seat: where it is listed
 */
struct mirror_of_pages {
	struct design_sub sub;
	unsigned long magic;
	unsigned long id;
	enum mirror_kind kind;
	unsigned int first, n;
	pthread_mutex_t *lock;
	pthread_mutex_t own_lock;
	unsigned long copy[MIRROR_PAGES];
	int passes;
	int releases;
	bool leaving;
	struct seat *seat;
};

/*
 * Who is subscribed, for those who check that they were called. @id is 0 from
 * before the remove until after the insert.
 */
struct seat {
	unsigned long id;
	unsigned int first, n;
	enum mirror_kind kind;
	struct mirror_of_pages *mirror;
	bool busy;
};

struct page {
	unsigned long now;	/* the generation in the page table */
	unsigned long revoked;	/* the last one that was taken back */
};

/* Whom a start called, and its end. */
struct call_log {
	unsigned long ids[MAX_CALLED];
	unsigned int n;
	unsigned long list_ids[MAX_LISTS * 2];
	bool list_ended[MAX_LISTS * 2];
	unsigned int n_lists;
	unsigned long start, end;
	unsigned long order_start, order;
	unsigned int finishes;
	bool ending;
	struct call_log *outer;
};

struct listener {
	struct design_list list;
	unsigned long magic;
	unsigned long id;
};

struct config {
	const char *name;
	unsigned int pages;	/* of them invalidations hit */
	unsigned int residents;	/* mirrors that stay, of all kinds */
	unsigned int guests;	/* that come and go at a time, each thread */
	unsigned int range_pages;	/* of an invalidation, at most */
	unsigned int threads[ACTORS];
	unsigned int gap_us;	/* between invalidations, 0: none */
	unsigned int reserve;	/* of 256 faults, how many reserve */
	unsigned int kinds;	/* bits, of enum mirror_kind */
};

struct stress {
	const struct uhmm_design *design;
	const struct config *config;
	struct design_mm *mm;
	struct page pages[MAX_PAGES];
	struct seat seats[MAX_SEATS];
	unsigned int n_seats;
	unsigned long list_ids[MAX_LISTS];
	pthread_mutex_t shared_lock;	/* of the batched */
	unsigned long last_id;
	unsigned long seed;
	bool stop;
	bool released;
	unsigned long async_begun, async_done;
};

extern struct stress stress;
extern __thread struct call_log *calling;

/* Report and end the process. */
void violated(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

/* What the thread is at, for reports and for whoever watches over it. */
struct beat {
	const char *doing;
	unsigned long beats;
};
extern __thread struct beat *my_beat;

static inline void now_doing(const char *what)
{
	__atomic_store_n(&my_beat->doing, what, __ATOMIC_RELAXED);
	__atomic_store_n(&my_beat->beats, my_beat->beats + 1, __ATOMIC_RELAXED);
}

/* Random numbers of each thread. */
extern __thread uint64_t my_random;
unsigned int any_below(unsigned int n);
static inline bool one_in(unsigned int n)
{
	return !any_below(n);
}
/* Lose the CPU, spin, or sleep a little; or not. */
void dawdle(void);

static inline unsigned long address(unsigned int page)
{
	return PAGE_BASE + ((unsigned long)page << PAGE_BITS);
}

/* ---------------------------------------------------------------- page table */
/* Start has returned for these: what is valid now is valid no more. */
void pages_revoke(unsigned int first, unsigned int n);
/* New generations. */
void pages_change(unsigned int first, unsigned int n);
unsigned long page_read(unsigned int page);
unsigned long page_revoked(unsigned int page);

/* ------------------------------------------------------------------- mirrors */
/* Once for each design. */
void mirrors_prepare(void);
bool kind_works(enum mirror_kind kind);
struct mirror_of_pages *mirror_insert(struct seat *seat, enum mirror_kind kind,
				      unsigned int first, unsigned int n);
void mirror_remove(struct mirror_of_pages *m);
/* A fault: true if it came through. With the tag if it is a tagged one. */
bool mirror_fault(struct mirror_of_pages *m, unsigned long *copy,
		  unsigned long *ret_tag);
/* A device at work: each valid copy is looked at. */
void mirror_access(struct mirror_of_pages *m);
void tagged_access(struct mirror_of_pages *m, const unsigned long *copy,
		   unsigned long tag);

/* -------------------------------------------------------------- call records */
void log_begin(struct call_log *log, unsigned int first, unsigned int n);
void log_end(struct call_log *log);
/* The same start is about to end, in whatever thread. */
void log_resume(struct call_log *log);
bool log_has(const struct call_log *log, unsigned long id);
bool log_has_list(const struct call_log *log, unsigned long id, bool ended);

/* ------------------------------------------------------------ list notifiers */
void lists_prepare(void);
struct listener *listener_register(unsigned int i);
void listener_unregister(unsigned int i, struct listener *l);

#endif
