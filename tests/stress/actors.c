/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "actors.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sync/sync.h"

#define MAX_LEFT 8U
#define VISITOR_ROUNDS 20

struct worker workers[MAX_THREADS];
unsigned int n_workers;

static bool is_uhmm(void)
{
	return stress.design == &uhmm_as_uhmm;
}

static struct mm_struct *native_mm(void)
{
	return (struct mm_struct *)stress.mm;
}

static bool stopping(void)
{
	return READ_ONCE(stress.stop);
}

static void nap(unsigned int us)
{
	struct timespec ts = { 0, 1000L * us };

	if (us)
		nanosleep(&ts, NULL);
}

/* ------------------------------------------------------------- invalidations */

struct bracket {
	struct design_range range;
	struct call_log log;
	unsigned int first, n;
	bool blockable;
};

/* Who has to be called by a start: was there before it, and is afterwards. */
struct snapshot {
	unsigned long seat_id[MAX_SEATS];
	unsigned long list_id[MAX_LISTS];
};

static bool seat_overlaps(const struct seat *seat, unsigned int first,
			  unsigned int n)
{
	unsigned int seat_first = READ_ONCE(seat->first);

	return seat_first < first + n && seat_first + READ_ONCE(seat->n) > first;
}

static void snapshot_take(struct snapshot *s, unsigned int first,
			  unsigned int n)
{
	for (unsigned int i = 0; i < stress.n_seats; i++) {
		struct seat *seat = &stress.seats[i];
		unsigned long id = smp_load_acquire(&seat->id);

		s->seat_id[i] = 0;
		if (id && READ_ONCE(seat->kind) != TAGGED &&
		    seat_overlaps(seat, first, n) &&
		    smp_load_acquire(&seat->id) == id)
			s->seat_id[i] = id;
	}
	for (unsigned int i = 0; i < MAX_LISTS; i++)
		s->list_id[i] = smp_load_acquire(&stress.list_ids[i]);
}

/*
 * A design that may put an insert off until nothing is open is asked for those
 * who stay only.
 */
static void snapshot_check(const struct snapshot *s, const struct bracket *b)
{
	unsigned int n = is_uhmm() ? stress.n_seats : stress.config->residents;

	if (b->log.n == MAX_CALLED)
		return;
	for (unsigned int i = 0; i < n; i++)
		if (s->seat_id[i] &&
		    s->seat_id[i] == smp_load_acquire(&stress.seats[i].id) &&
		    !log_has(&b->log, s->seat_id[i]))
			violated("a mirror was not called");
	for (unsigned int i = 0; i < MAX_LISTS; i++)
		if (s->list_id[i] &&
		    s->list_id[i] == smp_load_acquire(&stress.list_ids[i]) &&
		    !log_has_list(&b->log, s->list_id[i], false))
			violated("a list notifier was not called");
}

/* Whoever saw the start, and is still there, has seen the end. */
static void all_ended(const struct call_log *log)
{
	unsigned long id;

	for (unsigned int i = 0; i < MAX_LISTS; i++) {
		id = smp_load_acquire(&stress.list_ids[i]);
		if (id && log_has_list(log, id, false))
			violated("a list notifier does not see an end");
	}
}

static void bracket_end(struct bracket *b)
{
	now_doing("end");
	log_resume(&b->log);
	stress.design->end(&b->range);
	log_end(&b->log);
	all_ended(&b->log);
}

static struct bracket *left[MAX_LEFT];

/* Let another thread end it. */
static bool leave_to_others(struct bracket *b)
{
	struct bracket *nobody = NULL, *copy;
	unsigned int i = any_below(MAX_LEFT);

	/* A range has to stay where it is. */
	if (READ_ONCE(left[i]))
		return false;
	copy = b;
	return try_cmpxchg(&left[i], &nobody, copy);
}

void end_what_is_left(void)
{
	struct bracket *b;

	for (unsigned int i = 0; i < MAX_LEFT; i++) {
		b = READ_ONCE(left[i]) ? xchg(&left[i], NULL) : NULL;
		if (!b)
			continue;
		bracket_end(b);
		free(b);
	}
}

/* False: it was refused, or there is no such thing. */
static bool bracket_start(struct bracket *b, struct snapshot *s)
{
	int ret;

	snapshot_take(s, b->first, b->n);
	log_begin(&b->log, b->first, b->n);
	now_doing(b->blockable ? "start" : "start, non-blockable");
	ret = stress.design->start(&b->range, stress.mm, address(b->first),
				   address(b->first + b->n), b->blockable,
				   MMU_NOTIFY_UNMAP, NULL);
	log_end(&b->log);
	if (!b->blockable && (ret == -EAGAIN || ret == -EOPNOTSUPP)) {
		all_ended(&b->log);
		return false;
	}
	if (ret)
		violated("start says %d", ret);
	snapshot_check(s, b);
	return true;
}

static void choose_range(struct bracket *b)
{
	unsigned int pages = stress.config->pages;

	if (one_in(64)) {
		b->first = 0;
		b->n = pages;
		return;
	}
	b->first = any_below(pages);
	b->n = 1 + any_below(stress.config->range_pages);
	if (b->first + b->n > pages)
		b->n = pages - b->first;
}

static void invalidate(struct snapshot *s, unsigned int depth)
{
	struct bracket *b = malloc(sizeof(*b));

	if (!b)
		abort();
	choose_range(b);
	b->blockable = !one_in(4);
	if (!bracket_start(b, s)) {
		free(b);
		return;
	}
	now_doing("changing pages");
	pages_revoke(b->first, b->n);
	dawdle();
	if (depth && one_in(4))
		invalidate(s, depth - 1);
	pages_change(b->first, b->n);
	dawdle();
	if (one_in(16) && leave_to_others(b))
		return;
	bracket_end(b);
	free(b);
}

static struct snapshot *snapshot_new(void)
{
	struct snapshot *s = malloc(sizeof(*s));

	if (!s)
		abort();
	return s;
}

void invalidate_everything(void)
{
	struct snapshot *s = snapshot_new();
	struct bracket *b = malloc(sizeof(*b));

	if (!b)
		abort();
	b->first = 0;
	b->n = MAX_PAGES;
	b->blockable = true;
	bracket_start(b, s);
	pages_revoke(b->first, b->n);
	pages_change(b->first, b->n);
	bracket_end(b);
	free(b);
	free(s);
}

static void act_invalidator(struct worker *w)
{
	struct snapshot *s = snapshot_new();

	while (!stopping()) {
		invalidate(s, 3);
		end_what_is_left();
		nap(stress.config->gap_us);
		w->rounds++;
	}
	free(s);
}

/* -------------------------------------------------------------------- faults */

/* A software TLB: each thread has its own for each tagged resident. */
struct tlb {
	unsigned long copy[MIRROR_PAGES];
	unsigned long tag;
};

static void fault_tagged(struct mirror_of_pages *m, struct tlb *tlb)
{
	if (!tlb->tag || one_in(8))
		mirror_fault(m, tlb->copy, &tlb->tag);
	now_doing("tagged access");
	tagged_access(m, tlb->copy, tlb->tag);
}

/* Faults until it comes through, or gives up. */
static void fault(struct mirror_of_pages *m)
{
	bool reserve = is_uhmm() &&
		       any_below(256) < stress.config->reserve;
	unsigned long copy[MIRROR_PAGES], tag;
	int ret = 0;

	if (reserve) {
		now_doing("reserve");
		ret = uhmm_interval_reserve(&m->sub.as.uhmm);
	}
	if (ret)
		violated("reserve says %d", ret);
	for (unsigned int i = 0; i < 20 && !stopping(); i++) {
		if (mirror_fault(m, copy, &tag))
			return;
		if (reserve && one_in(8))
			break;
	}
	if (is_uhmm())
		uhmm_interval_unreserve(&m->sub.as.uhmm);
}

static void act_faulter(struct worker *w)
{
	unsigned int n = stress.config->residents;
	struct tlb *tlbs = calloc(n, sizeof(*tlbs));

	if (!tlbs)
		abort();
	while (!stopping()) {
		unsigned int i = any_below(n);
		struct mirror_of_pages *m = stress.seats[i].mirror;

		if (m->kind == TAGGED)
			fault_tagged(m, &tlbs[i]);
		else if (one_in(4))
			mirror_access(m);
		else
			fault(m);
		w->rounds++;
	}
	free(tlbs);
}

/* -------------------------------------------------------------------- guests */

static enum mirror_kind any_kind(void)
{
	enum mirror_kind kind;

	do {
		kind = (enum mirror_kind)any_below(KINDS);
	} while (!kind_works(kind));
	return kind;
}

static void guest_round(struct seat *seat)
{
	unsigned long copy[MIRROR_PAGES], tag;
	unsigned int n = 1 + any_below(MIRROR_PAGES);
	struct mirror_of_pages *m;

	if (!smp_load_acquire(&seat->busy)) {
		WRITE_ONCE(seat->busy, true);
		m = mirror_insert(seat, any_kind(),
				  any_below(stress.config->pages), n);
		return;
	}
	/* Those who go by themselves may not be touched any more. */
	if (READ_ONCE(seat->kind) == GOES_ASYNC) {
		now_doing("waiting for a guest to go");
		dawdle();
		return;
	}
	m = seat->mirror;
	if (one_in(2)) {
		mirror_remove(m);
	} else if (mirror_fault(m, copy, &tag)) {
		if (m->kind == TAGGED)
			tagged_access(m, copy, tag);
		else
			mirror_access(m);
	}
}

static void act_churner(struct worker *w)
{
	unsigned int guests = stress.config->guests;
	struct seat *mine = &stress.seats[stress.config->residents +
					  w->number * guests];

	while (!stopping()) {
		guest_round(&mine[any_below(guests)]);
		w->rounds++;
	}
	for (unsigned int i = 0; i < guests; i++)
		if (READ_ONCE(mine[i].busy) && mine[i].kind != GOES_ASYNC)
			mirror_remove(mine[i].mirror);
}

/* ------------------------------------------------------------ list notifiers */

struct got {
	struct mmu_notifier notifier;
	unsigned long magic;
};

static unsigned long got_made, got_freed;

static struct mmu_notifier *got_alloc(struct mm_struct *mm)
{
	struct got *got = calloc(1, sizeof(*got));

	if (!got)
		abort();
	got->magic = ALIVE;
	fetch_add(&got_made, 1);
	return &got->notifier;
}

static void got_free(struct mmu_notifier *notifier)
{
	struct got *got = container_of(notifier, struct got, notifier);

	if (got->magic != ALIVE)
		violated("a notifier is freed twice");
	memset((void *)got, POISON, sizeof(*got));
	free(got);
	fetch_add(&got_freed, 1);
}

static int got_start(struct mmu_notifier *notifier,
		     const struct mmu_notifier_range *range)
{
	if (container_of(notifier, struct got, notifier)->magic != ALIVE)
		violated("a notifier is called after it was freed");
	dawdle();
	/* Those that may refuse have no end. */
	return mmu_notifier_range_blockable(range) || !one_in(8) ? 0 : -EAGAIN;
}

static bool got_young(struct mmu_notifier *notifier, struct mm_struct *mm,
		      unsigned long start, unsigned long end)
{
	if (container_of(notifier, struct got, notifier)->magic != ALIVE)
		violated("a notifier is asked after it was freed");
	return true;
}

static const struct mmu_notifier_ops got_ops[2] = {
	{ .invalidate_range_start = got_start, .clear_young = got_young,
	  .alloc_notifier = got_alloc, .free_notifier = got_free },
	{ .invalidate_range_start = got_start, .clear_young = got_young,
	  .alloc_notifier = got_alloc, .free_notifier = got_free },
};

static void get_and_put(void)
{
	struct mmu_notifier *notifier;

	now_doing("notifier_get");
	notifier = mmu_notifier_get(&got_ops[any_below(2)], native_mm());
	if (uhmm_ptr_err(notifier))
		violated("get says %d", uhmm_ptr_err(notifier));
	now_doing("clear_young");
	if (!mmu_notifier_clear_young(native_mm(), address(0), address(1)))
		violated("a registered notifier was not asked");
	dawdle();
	now_doing("notifier_put");
	mmu_notifier_put(notifier);
	if (one_in(64)) {
		now_doing("synchronize");
		mmu_notifier_synchronize();
	}
}

static void act_lister(struct worker *w)
{
	struct listener *l;

	while (!stopping()) {
		l = listener_register(w->number);
		dawdle();
		if (is_uhmm())
			get_and_put();
		listener_unregister(w->number, l);
		w->rounds++;
	}
}

/* ------------------------------------------------------- threads that do not stay */

static void *visit(void *arg)
{
	struct worker *spawner = arg;
	struct snapshot *s = snapshot_new();
	struct mirror_of_pages *m;

	my_random = __atomic_add_fetch(&spawner->random, 0x9e3779b97f4a7c15,
				       __ATOMIC_RELAXED);
	my_beat = &spawner->beat;
	for (unsigned int i = 0; i < VISITOR_ROUNDS && !stopping(); i++) {
		m = stress.seats[any_below(stress.config->residents)].mirror;
		if (one_in(2))
			invalidate(s, 1);
		else if (m->kind != TAGGED)
			fault(m);
	}
	free(s);
	return NULL;
}

static void act_spawner(struct worker *w)
{
	pthread_t visitor;

	while (!stopping()) {
		if (pthread_create(&visitor, NULL, visit, w))
			abort();
		pthread_join(visitor, NULL);
		now_doing("spawning");
		w->rounds++;
	}
}

static void act_pest(struct worker *w)
{
	while (!stopping()) {
		unsigned int i = any_below(n_workers);

		if (READ_ONCE(workers[i].joinable) && &workers[i] != w)
			pthread_kill(workers[i].thread, SIGUSR1);
		now_doing("sending signals");
		nap(50);
		w->rounds++;
	}
}

void *work(void *arg)
{
	static void (*const acts[])(struct worker *w) = {
		[INVALIDATOR] = act_invalidator, [FAULTER] = act_faulter,
		[CHURNER] = act_churner, [LISTER] = act_lister,
		[SPAWNER] = act_spawner, [PEST] = act_pest,
	};
	struct worker *w = arg;

	my_beat = &w->beat;
	my_random = w->random;
	acts[w->actor](w);
	end_what_is_left();
	smp_store_release(&w->done, true);
	return NULL;
}
