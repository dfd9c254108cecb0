/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "check_records.h"

#include <string.h>

#define CHUNK_BYTES (64 * 1024UL)
#define HASH_BITS 12
/* Of what is over, the last ones are kept, to say where it was. */
#define RETIRED 256
#define CLOSED 64
/* Bounds on what one subscription is remembered with. */
#define DELIVERIES 256
#define READERS 64

/* All are of one size, so what one no longer needs serves any other. */
union record {
	union record *next;
	struct check_delivery delivery;
	struct check_reader reader;
	struct check_user_lock user_lock;
	struct check_sub sub;
	struct check_bracket bracket;
};

struct chunk {
	struct chunk *next;
	union record records[];
};

#define CHUNK_RECORDS \
	((CHUNK_BYTES - sizeof(struct chunk)) / sizeof(union record))

spinlock_t check_lock;

static struct {
	struct chunk *chunks;
	union record *free;
	unsigned int nfree;
	bool quiet;
	unsigned long stamp;
	unsigned long tags;
	unsigned long users;		/* checked address spaces */
	struct check_sub *subs[1 << HASH_BITS];
	struct check_user_lock *user_locks;
	struct check_bracket *open;
	struct check_bracket closed[CLOSED];
	unsigned int nclosed;
	struct {
		const struct mmu_interval_notifier *sub;
		unsigned long tag;
	} retired[RETIRED];
	unsigned int nretired;
} all __guarded_by(&check_lock);

/* ------------------------------------------------------------------ memory */

static void chunk_add(struct chunk *chunk) __must_hold(&check_lock)
{
	chunk->next = all.chunks;
	all.chunks = chunk;
	for (unsigned int i = 0; i < CHUNK_RECORDS; i++) {
		chunk->records[i].next = all.free;
		all.free = &chunk->records[i];
	}
	all.nfree += CHUNK_RECORDS;
}

bool check_lock_records(unsigned int n) __no_context_analysis
{
	struct chunk *chunk;

	spin_lock(&check_lock);
	while (!all.quiet && all.nfree < n) {
		spin_unlock(&check_lock);
		chunk = sync_alloc_pages(CHUNK_BYTES);
		if (!chunk)
			check_say_quiet();
		spin_lock(&check_lock);
		if (chunk)
			chunk_add(chunk);
		else
			all.quiet = true;
	}
	return !all.quiet;
}

static void *record_get(void) __must_hold(&check_lock)
{
	union record *record = all.free;

	all.free = record->next;
	all.nfree--;
	memset(record, 0, sizeof(*record));
	return record;
}

static void record_put(void *p) __must_hold(&check_lock)
{
	union record *record = p;

	record->next = all.free;
	all.free = record;
	all.nfree++;
}

unsigned long check_stamp(void)
{
	return ++all.stamp;
}

/* ----------------------------------------------------------- subscriptions */

static struct check_sub **sub_place(const struct mmu_interval_notifier *sub)
	__must_hold(&check_lock)
{
	unsigned long hash = (uintptr_t)sub * 0x9e3779b97f4a7c15UL;
	struct check_sub **at = &all.subs[hash >> (64 - HASH_BITS)];

	while (*at && (*at)->sub != sub)
		at = &(*at)->next;
	return at;
}

struct check_sub *check_sub_find(const struct mmu_interval_notifier *sub)
{
	return *sub_place(sub);
}

struct check_sub *check_sub_add(const struct mmu_interval_notifier *sub)
{
	struct check_sub **at = sub_place(sub), *next = NULL;

	if (*at)
		next = (*at)->next;
	else
		*at = record_get();
	memset(*at, 0, sizeof(**at));
	(*at)->next = next;
	(*at)->sub = sub;
	(*at)->tag = ++all.tags;
	return *at;
}

static void put_deliveries(struct check_sub *rec) __must_hold(&check_lock)
{
	struct check_delivery *delivery;

	while ((delivery = rec->deliveries)) {
		rec->deliveries = delivery->next;
		record_put(delivery);
	}
}

static void put_readers(struct check_sub *rec) __must_hold(&check_lock)
{
	struct check_reader *reader;

	while ((reader = rec->readers)) {
		rec->readers = reader->next;
		record_put(reader);
	}
}

static void user_lock_put(struct check_user_lock *l) __must_hold(&check_lock)
{
	struct check_user_lock **at = &all.user_locks;

	if (!l || --l->users)
		return;
	/* Whoever removes the last subscription may free the lock then. */
	l->dying = true;
	while (l->asking) {
		spin_unlock(&check_lock);
		sync_yield();
		spin_lock(&check_lock);
	}
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	record_put(l);
}

/* Forget those that were removed long ago. */
static void retire_next(const struct check_sub *rec) __must_hold(&check_lock)
{
	unsigned int i = all.nretired++ % RETIRED;
	struct check_sub **at = sub_place(all.retired[i].sub), *old = *at;

	if (old && old->tag == all.retired[i].tag &&
	    old->state == CHECK_REMOVED) {
		*at = old->next;
		record_put(old);
	}
	all.retired[i].sub = rec->sub;
	all.retired[i].tag = rec->tag;
}

void check_sub_retire(struct check_sub *rec)
{
	struct check_user_lock *l = rec->lock;

	rec->state = CHECK_REMOVED;
	rec->busy = false;
	rec->lock = NULL;
	put_deliveries(rec);
	put_readers(rec);
	retire_next(rec);
	user_lock_put(l);
}

/* -------------------------------------------------------------- deliveries */

/* Drop what ended before any that still runs began. */
static void prune(struct check_sub *rec) __must_hold(&check_lock)
{
	struct check_delivery **at, *d;
	unsigned long oldest = ~0UL;
	unsigned int n = 0;

	for (d = rec->deliveries; d; d = d->next, n++)
		if (!d->end && d->begin < oldest)
			oldest = d->begin;
	if (n > DELIVERIES) {
		rec->vague = check_stamp();
		oldest = rec->vague;
	}
	at = &rec->deliveries;
	while ((d = *at)) {
		if (!d->end || d->end > oldest) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		record_put(d);
	}
}

void check_deliver(struct check_sub *rec, unsigned long id,
		   unsigned long stamp)
{
	struct check_delivery *d = record_get();

	d->id = id;
	d->begin = stamp;
	d->next = rec->deliveries;
	rec->deliveries = d;
	rec->ids[rec->nids++ % CHECK_IDS] = id;
}

void check_delivered(struct check_sub *rec, unsigned long id)
{
	struct check_delivery *d;

	for (d = rec->deliveries; d; d = d->next)
		if (d->id == id && !d->end)
			d->end = check_stamp();
	prune(rec);
}

bool check_delivered_beside(const struct check_sub *rec, unsigned long seq,
			    unsigned long stamp)
{
	const struct check_delivery *d;

	if (stamp < rec->vague)
		return true;
	for (d = rec->deliveries; d; d = d->next)
		if (d->id == seq && (!d->end || d->end > stamp))
			return true;
	return false;
}

/* ----------------------------------------------------------------- readers */

struct check_reader *check_reader_find(struct check_sub *rec)
{
	unsigned long thread = sync_thread_number();
	struct check_reader *reader;

	for (reader = rec->readers; reader; reader = reader->next)
		if (reader->thread == thread)
			return reader;
	return NULL;
}

/* The calling thread's first; beyond a bound the last one is taken over. */
struct check_reader *check_reader_get(struct check_sub *rec)
{
	unsigned long thread = sync_thread_number();
	struct check_reader **at = &rec->readers, *reader;
	unsigned int n = 0;

	while ((reader = *at) && reader->thread != thread &&
	       ++n < READERS)
		at = &reader->next;
	if (reader)
		*at = reader->next;
	else
		reader = record_get();
	if (reader->thread && reader->thread != thread)
		rec->forgot = true;
	if (reader->thread != thread)
		memset(reader, 0, sizeof(*reader));
	reader->thread = thread;
	reader->next = rec->readers;
	rec->readers = reader;
	return reader;
}

/* -------------------------------------------------------------- user locks */

void check_user_lock_set(struct check_sub *rec, bool (*held)(void *lock),
			 void *lock, const void *from)
{
	struct check_user_lock *old = rec->lock, *l;

	for (l = all.user_locks; l; l = l->next)
		if (l->mm == rec->mm && l->held == held && l->lock == lock &&
		    !l->dying)
			break;
	if (!l) {
		l = record_get();
		l->mm = rec->mm;
		l->held = held;
		l->lock = lock;
		l->from = from;
		l->next = all.user_locks;
		all.user_locks = l;
	}
	l->users++;
	rec->lock = l;
	user_lock_put(old);
}

bool check_user_lock_held(struct check_user_lock *l)
{
	bool (*held)(void *lock) = l->held;
	void *lock = l->lock;
	long aside;
	bool mine;

	l->asking++;
	spin_unlock(&check_lock);
	aside = check_aside_begin();
	mine = held(lock);
	check_aside_end(aside);
	spin_lock(&check_lock);
	l->asking--;
	return mine;
}

struct check_user_lock *check_user_lock_next(const struct mm_struct *mm,
					     const struct check_user_lock *l)
{
	struct check_user_lock *next = l ? l->next : all.user_locks;

	while (next && (next->mm != mm || next->dying))
		next = next->next;
	return next;
}

/* ---------------------------------------------------------------- brackets */

struct check_bracket *check_bracket_open(struct mm_struct *mm,
					 unsigned long id)
{
	struct check_bracket *bracket = record_get();

	bracket->mm = mm;
	bracket->id = id;
	bracket->thread = sync_thread_number();
	bracket->next = all.open;
	all.open = bracket;
	return bracket;
}

struct check_bracket *check_bracket_find(const struct mm_struct *mm,
					 unsigned long id)
{
	struct check_bracket *bracket = all.open;

	while (bracket && (bracket->mm != mm || bracket->id != id))
		bracket = bracket->next;
	return bracket;
}

struct check_bracket *check_bracket_mine(const struct mm_struct *mm,
					 unsigned long start,
					 unsigned long last)
{
	unsigned long thread = sync_thread_number();
	struct check_bracket *bracket;

	for (bracket = all.open; bracket; bracket = bracket->next)
		if (bracket->mm == mm && bracket->thread == thread &&
		    bracket->start <= last && bracket->end > start)
			return bracket;
	return NULL;
}

struct check_bracket *check_bracket_any(const struct mm_struct *mm)
{
	struct check_bracket *bracket = all.open;

	while (bracket && bracket->mm != mm)
		bracket = bracket->next;
	return bracket;
}

void check_bracket_close(struct check_bracket *open)
{
	struct check_bracket **at = &all.open;

	while (*at != open)
		at = &(*at)->next;
	*at = open->next;
	all.closed[all.nclosed++ % CLOSED] = *open;
	record_put(open);
}

struct check_bracket *check_bracket_closed(const struct mm_struct *mm,
					   unsigned long id)
{
	for (unsigned int i = 0; i < CLOSED; i++)
		if (all.closed[i].mm == mm && all.closed[i].id == id)
			return &all.closed[i];
	return NULL;
}

/* --------------------------------------------------------------- life, fork */

void check_records_join(void)
{
	spin_lock(&check_lock);
	all.users++;
	spin_unlock(&check_lock);
}

bool check_records_used(void)
{
	bool used;

	spin_lock(&check_lock);
	used = all.users;
	spin_unlock(&check_lock);
	return used;
}

/* Those whose removal timed out, and was not tried again, are here still. */
static void forget_subs(struct check_sub **at, const struct mm_struct *mm)
	__must_hold(&check_lock)
{
	struct check_sub *rec;

	while ((rec = *at)) {
		if (rec->mm != mm) {
			at = &rec->next;
			continue;
		}
		*at = rec->next;
		put_deliveries(rec);
		put_readers(rec);
		record_put(rec);
	}
}

static void forget_user_locks(const struct mm_struct *mm)
	__must_hold(&check_lock)
{
	struct check_user_lock **at = &all.user_locks, *l;

	while ((l = *at)) {
		if (l->mm != mm) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		record_put(l);
	}
}

void check_records_leave(const struct mm_struct *mm)
{
	struct chunk *chunk = NULL, *next;

	spin_lock(&check_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(all.subs); i++)
		forget_subs(&all.subs[i], mm);
	forget_user_locks(mm);
	for (unsigned int i = 0; i < CLOSED; i++)
		if (all.closed[i].mm == mm)
			all.closed[i].mm = NULL;
	if (!--all.users) {
		chunk = all.chunks;
		all.chunks = NULL;
		all.free = NULL;
		all.nfree = 0;
	}
	spin_unlock(&check_lock);
	for (; chunk; chunk = next) {
		next = chunk->next;
		sync_free_pages(chunk, CHUNK_BYTES);
	}
}

void check_records_fork(void)
{
	struct check_user_lock *l;
	struct check_sub *rec;

	while (all.open) {
		all.open->forked = true;
		check_bracket_close(all.open);
	}
	for (l = all.user_locks; l; l = l->next)
		l->asking = 0;
	for (unsigned int i = 0; i < ARRAY_SIZE(all.subs); i++)
		for (rec = all.subs[i]; rec; rec = rec->next) {
			put_deliveries(rec);
			rec->busy = false;
			/* The thread that is left has another number. */
			rec->forgot = true;
		}
}
