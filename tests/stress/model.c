/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "model.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sync/sync.h"

struct stress stress;
__thread struct call_log *calling;
__thread struct beat *my_beat;
__thread uint64_t my_random;

unsigned int any_below(unsigned int n)
{
	my_random = my_random * 6364136223846793005U + 1442695040888963407U;
	return (unsigned int)(my_random >> 33) % n;
}

void dawdle(void)
{
	struct timespec ts = { 0, 1000L * any_below(50) };
	unsigned int how = any_below(64);

	if (how < 4)
		sched_yield();
	else if (how == 4)
		nanosleep(&ts, NULL);
	else if (how < 16)
		for (unsigned int i = any_below(200); i; i--)
			cpu_relax();
}

void violated(const char *format, ...)
{
	va_list args;

	printf("# violation: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n# design %s, configuration %s, seed %lu, while: %s\n",
	       stress.design->name, stress.config->name, stress.seed,
	       my_beat ? my_beat->doing : "(none)");
	fflush(stdout);
	_exit(1);
}

/* ---------------------------------------------------------------- page table */

static void take_back(struct page *page, unsigned long gen)
{
	unsigned long old = smp_load_acquire(&page->revoked);

	while (old < gen && !try_cmpxchg(&page->revoked, &old, gen))
		;
}

void pages_revoke(unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++)
		take_back(&stress.pages[i], page_read(i));
}

void pages_change(unsigned int first, unsigned int n)
{
	for (unsigned int i = first; i < first + n; i++)
		take_back(&stress.pages[i], fetch_add(&stress.pages[i].now, 1));
}

unsigned long page_read(unsigned int page)
{
	return READ_ONCE(stress.pages[page].now);
}

unsigned long page_revoked(unsigned int page)
{
	return smp_load_acquire(&stress.pages[page].revoked);
}

/* -------------------------------------------------------------- call records */

void log_begin(struct call_log *log, unsigned int first, unsigned int n)
{
	log->n = 0;
	log->n_lists = 0;
	log->finishes = 0;
	log->ending = false;
	log->start = address(first);
	log->end = address(first + n);
	log->order_start = 0;
	log->order = 0;
	log->outer = calling;
	calling = log;
}

void log_resume(struct call_log *log)
{
	log->ending = true;
	log->outer = calling;
	calling = log;
}

void log_end(struct call_log *log)
{
	calling = log->outer;
	if (log->finishes)
		violated("%u second passes were not made", log->finishes);
}

bool log_has_list(const struct call_log *log, unsigned long id, bool ended)
{
	for (unsigned int i = 0; i < log->n_lists; i++)
		if (log->list_ids[i] == id && log->list_ended[i] == ended)
			return true;
	return false;
}

bool log_has(const struct call_log *log, unsigned long id)
{
	for (unsigned int i = 0; i < log->n; i++)
		if (log->ids[i] == id)
			return true;
	return false;
}

static bool is_uhmm(void)
{
	return stress.design == &uhmm_as_uhmm;
}

/* The older ones call everybody. */
static bool calls_only_who_overlaps(void)
{
	return is_uhmm() || stress.design == &uhmm_as_classic;
}

/* In order of first byte, and of insertion, which only the library tells. */
static void check_order(struct call_log *log, const struct mirror_of_pages *m)
{
	unsigned long start = address(m->first);
	unsigned long order =
		is_uhmm() ? READ_ONCE(m->sub.as.uhmm.interval_tree.order) >> 4 :
			    0;

	if (log->n && is_uhmm() &&
	    (start < log->order_start ||
	     (start == log->order_start && order <= log->order)))
		violated("called out of order: %lx after %lx", start,
			 log->order_start);
	log->order_start = start;
	log->order = order;
}

/* A callback of @m, whatever its kind. */
static void called(struct mirror_of_pages *m, unsigned long start,
		   unsigned long end)
{
	struct call_log *log = calling;

	if (READ_ONCE(m->magic) != ALIVE)
		violated("a callback of a mirror that is not there (%lx)",
			 m->magic);
	if (calls_only_who_overlaps() &&
	    (start >= address(m->first + m->n) || end <= address(m->first)))
		violated("called for a range that does not overlap");
	if (!log) {
		if (!READ_ONCE(stress.released))
			violated("called outside of a start");
		m->releases++;
		return;
	}
	if (log->ending)
		violated("called by an end");
	if (log->start != start || log->end != end)
		violated("called with another range than announced");
	if (log_has(log, m->id))
		violated("called twice by one start");
	check_order(log, m);
	if (log->n < MAX_CALLED)
		log->ids[log->n++] = m->id;
}

/* ------------------------------------------------------------------- mirrors */

static struct design_client one_pass, two_pass;
static struct mmu_interval_notifier_ops batched, goes_async;
static bool two_passes_work;

static struct mirror_of_pages *mirror_of(struct design_sub *sub)
{
	return container_of(sub, struct mirror_of_pages, sub);
}

static struct mirror_of_pages *mirror_of_native(struct mmu_interval_notifier *sub)
{
	return mirror_of(container_of(sub, struct design_sub, as.uhmm));
}

/* Under the lock: out with what the range covers. */
static void zap(struct mirror_of_pages *m, unsigned long start,
		unsigned long end)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (address(m->first + i) < end &&
		    address(m->first + i + 1) > start)
			WRITE_ONCE(m->copy[i], 0);
}

static void set_seq(struct design_sub *sub, unsigned long cur_seq)
{
	if (stress.design->set_seq)
		stress.design->set_seq(sub, cur_seq);
}

static bool lock_for(struct mirror_of_pages *m, bool blockable)
{
	if (blockable)
		pthread_mutex_lock(m->lock);
	else if (pthread_mutex_trylock(m->lock))
		return false;
	return true;
}

static bool invalidate(struct design_sub *sub, unsigned long start,
		       unsigned long end, bool blockable,
		       enum mmu_notifier_event event, void *owner,
		       unsigned long cur_seq)
{
	struct mirror_of_pages *m = mirror_of(sub);

	called(m, start, end);
	if (!blockable && one_in(64))
		return false;
	if (!lock_for(m, blockable))
		return false;
	set_seq(sub, cur_seq);
	zap(m, start, end);
	pthread_mutex_unlock(m->lock);
	if (blockable)
		dawdle();
	return true;
}

/* The copies stay until the second pass: the device is still at it. */
static bool invalidate_first(struct design_sub *sub, unsigned long start,
			     unsigned long end, bool blockable,
			     enum mmu_notifier_event event, void *owner,
			     unsigned long cur_seq)
{
	struct mirror_of_pages *m = mirror_of(sub);

	called(m, start, end);
	if (!lock_for(m, blockable))
		return false;
	set_seq(sub, cur_seq);
	m->passes++;
	pthread_mutex_unlock(m->lock);
	if (calling)
		calling->finishes++;
	return true;
}

static void finish(struct design_sub *sub)
{
	struct mirror_of_pages *m = mirror_of(sub);

	if (READ_ONCE(m->magic) != ALIVE)
		violated("a second pass of a mirror that is not there");
	pthread_mutex_lock(m->lock);
	if (!m->passes--)
		violated("a second pass without a first");
	if (calling) {
		zap(m, calling->start, calling->end);
		calling->finishes--;
	}
	pthread_mutex_unlock(m->lock);
	dawdle();
}

static bool invalidate_batch(struct mmu_interval_notifier *const *subs,
			     size_t n, const struct mmu_notifier_range *range,
			     unsigned long cur_seq)
{
	bool blockable = mmu_notifier_range_blockable(range);
	struct mirror_of_pages *m = mirror_of_native(subs[0]);

	for (size_t i = 0; i < n; i++)
		called(mirror_of_native(subs[i]), range->start, range->end);
	if (!lock_for(m, blockable))
		return false;
	for (size_t i = 0; i < n; i++) {
		m = mirror_of_native(subs[i]);
		mmu_interval_set_seq(subs[i], cur_seq);
		zap(m, range->start, range->end);
	}
	pthread_mutex_unlock(m->lock);
	return true;
}

/* What is called finds that it has nothing to do any more, and goes. */
static bool invalidate_and_go(struct mmu_interval_notifier *sub,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct mirror_of_pages *m = mirror_of_native(sub);
	bool first;
	int ret;

	called(m, range->start, range->end);
	if (!lock_for(m, mmu_notifier_range_blockable(range)))
		return false;
	mmu_interval_set_seq(sub, cur_seq);
	first = !m->leaving;
	m->leaving = true;
	pthread_mutex_unlock(m->lock);
	if (!first)
		return true;
	WRITE_ONCE(m->seat->id, 0);
	fetch_add(&stress.async_begun, 1);
	ret = uhmm_interval_notifier_remove_async(sub);
	if (ret)
		violated("remove_async says %d", ret);
	return true;
}

/* Nobody looks at it any more: whoever does is to notice. */
static void mirror_free(struct mirror_of_pages *m)
{
	WRITE_ONCE(m->magic, 0);
	pthread_mutex_destroy(&m->own_lock);
	memset((void *)m, POISON, sizeof(*m));
	free(m);
}

static void removed(struct mmu_interval_notifier *sub)
{
	struct mirror_of_pages *m = mirror_of_native(sub);
	struct seat *seat = m->seat;

	if (READ_ONCE(m->magic) != ALIVE)
		violated("removed twice");
	mirror_free(m);
	fetch_add(&stress.async_done, 1);
	seat->mirror = NULL;
	smp_store_release(&seat->busy, false);
}

void mirrors_prepare(void)
{
	const struct uhmm_design *design = stress.design;

	one_pass = (struct design_client){ .invalidate = invalidate };
	design->prepare(&one_pass);
	two_pass = (struct design_client){ .invalidate = invalidate_first,
					   .finish = finish };
	two_passes_work = !design->prepare(&two_pass);
	batched.uhmm_invalidate_batch = invalidate_batch;
	goes_async.invalidate = invalidate_and_go;
	goes_async.uhmm_removed = removed;
}

bool kind_works(enum mirror_kind kind)
{
	if (!(stress.config->kinds & 1U << kind))
		return false;
	if (kind == TWO_PASS)
		return two_passes_work;
	return kind < SHARED_KINDS || is_uhmm();
}

static int insert(struct mirror_of_pages *m)
{
	unsigned long start = address(m->first);
	unsigned long length = (unsigned long)m->n << PAGE_BITS;
	struct mm_struct *mm = (struct mm_struct *)stress.mm;

	switch (m->kind) {
	case ONE_PASS:
		return stress.design->insert(&m->sub, stress.mm, start, length,
					     &one_pass);
	case TWO_PASS:
		return stress.design->insert(&m->sub, stress.mm, start, length,
					     &two_pass);
	case BATCHED:
		return mmu_interval_notifier_insert(&m->sub.as.uhmm, mm, start,
						    length, &batched);
	case TAGGED:
		return uhmm_interval_notifier_insert_tagged(&m->sub.as.uhmm, mm,
							    start, length);
	case GOES_ASYNC:
	default:
		return mmu_interval_notifier_insert(&m->sub.as.uhmm, mm, start,
						    length, &goes_async);
	}
}

struct mirror_of_pages *mirror_insert(struct seat *seat, enum mirror_kind kind,
				      unsigned int first, unsigned int n)
{
	struct mirror_of_pages *m = aligned_alloc(64, (sizeof(*m) + 63) / 64 *
							      64);
	int ret;

	if (!m)
		abort();
	memset((void *)m, 0, sizeof(*m));
	pthread_mutex_init(&m->own_lock, NULL);
	m->lock = kind == BATCHED ? &stress.shared_lock : &m->own_lock;
	m->kind = kind;
	m->first = first;
	m->n = n;
	m->id = fetch_add(&stress.last_id, 1) + 1;
	m->seat = seat;
	seat->mirror = m;
	WRITE_ONCE(seat->first, first);
	WRITE_ONCE(seat->n, n);
	WRITE_ONCE(seat->kind, kind);
	WRITE_ONCE(m->magic, ALIVE);
	now_doing("insert");
	ret = insert(m);
	if (ret)
		violated("insert says %d", ret);
	/* It may be gone already if it goes by itself. */
	if (kind != GOES_ASYNC)
		smp_store_release(&seat->id, m->id);
	return m;
}

static void remove_with_patience(struct mirror_of_pages *m)
{
	int ret;

	do {
		now_doing("remove, timed");
		ret = uhmm_interval_notifier_remove_timeout(&m->sub.as.uhmm,
							    any_below(30000));
		if (ret && ret != -ETIMEDOUT && ret != -EINTR)
			violated("remove_timeout says %d", ret);
	} while (ret);
}

void mirror_remove(struct mirror_of_pages *m)
{
	struct seat *seat = m->seat;

	WRITE_ONCE(seat->id, 0);
	smp_mb();
	if (is_uhmm() && one_in(4)) {
		remove_with_patience(m);
	} else {
		now_doing("remove");
		stress.design->remove(&m->sub);
	}
	if (m->passes)
		violated("removed between its two passes");
	mirror_free(m);
	seat->mirror = NULL;
	smp_store_release(&seat->busy, false);
}

/* ------------------------------------------------------------ reading, access */

static void check_copy(struct mirror_of_pages *m, unsigned int i,
		       unsigned long copy)
{
	unsigned int page = m->first + i;

	/* Between its two passes the device is still at it. */
	if (!copy || m->passes)
		return;
	if (copy <= page_revoked(page))
		violated("page %u: access to generation %lu, %lu was taken back",
			 page, copy, page_revoked(page));
	if (copy != page_read(page))
		violated("page %u: the copy says %lu, the page table %lu", page,
			 copy, page_read(page));
}

void mirror_access(struct mirror_of_pages *m)
{
	now_doing("access");
	pthread_mutex_lock(m->lock);
	for (unsigned int i = 0; i < m->n; i++)
		check_copy(m, i, m->copy[i]);
	pthread_mutex_unlock(m->lock);
}

void tagged_access(struct mirror_of_pages *m, const unsigned long *copy,
		   unsigned long tag)
{
	unsigned long revoked[MIRROR_PAGES];
	unsigned int i;

	for (i = 0; i < m->n; i++)
		revoked[i] = page_revoked(m->first + i);
	if (!uhmm_interval_tag_valid(&m->sub.as.uhmm, tag))
		return;
	for (i = 0; i < m->n; i++)
		if (copy[i] <= revoked[i])
			violated("page %u: a tag is valid on %lu, %lu was taken back",
				 m->first + i, copy[i], revoked[i]);
}

static unsigned long begin(struct mirror_of_pages *m)
{
	unsigned long seq;
	int ret;

	if (!is_uhmm() || !one_in(8)) {
		now_doing("read_begin");
		return stress.design->read_begin(&m->sub);
	}
	do {
		now_doing("read_begin, timed");
		ret = uhmm_interval_read_begin_timeout(&m->sub.as.uhmm,
						       any_below(40000), &seq);
		if (ret && ret != -ETIMEDOUT && ret != -EINTR)
			violated("read_begin_timeout says %d", ret);
	} while (ret);
	return seq;
}

bool mirror_fault(struct mirror_of_pages *m, unsigned long *copy,
		  unsigned long *ret_tag)
{
	unsigned long seq = begin(m);
	bool retry, certain;
	unsigned int i;

	for (i = 0; i < m->n; i++) {
		copy[i] = page_read(m->first + i);
		if (one_in(16))
			dawdle();
	}
	*ret_tag = seq;
	if (m->kind == TAGGED)
		return true;
	certain = stress.design->check_retry && one_in(4) &&
		  stress.design->check_retry(&m->sub, seq);
	now_doing("fault: lock");
	pthread_mutex_lock(m->lock);
	retry = stress.design->read_retry(&m->sub, seq);
	if (!retry && certain)
		violated("check_retry was sure, read_retry disagrees");
	if (!retry && m->passes)
		violated("no retry between two passes");
	for (i = 0; !retry && i < m->n; i++) {
		m->copy[i] = copy[i];
		check_copy(m, i, copy[i]);
	}
	pthread_mutex_unlock(m->lock);
	return !retry;
}

/* ------------------------------------------------------------ list notifiers */

static struct design_list_client list_client;

static struct listener *listener_of(struct design_list *list)
{
	return container_of(list, struct listener, list);
}

static int list_start(struct design_list *list, unsigned long start,
		      unsigned long end, bool blockable,
		      enum mmu_notifier_event event)
{
	struct listener *l = listener_of(list);
	struct call_log *log = calling;

	if (READ_ONCE(l->magic) != ALIVE)
		violated("a start at a list notifier that is not there");
	if (log_has_list(log, l->id, false))
		violated("a list notifier is called twice");
	if (log->n_lists < ARRAY_SIZE(log->list_ids)) {
		log->list_ended[log->n_lists] = false;
		log->list_ids[log->n_lists++] = l->id;
	}
	dawdle();
	return 0;
}

static void list_end(struct design_list *list, unsigned long start,
		     unsigned long end, enum mmu_notifier_event event)
{
	struct listener *l = listener_of(list);
	struct call_log *log = calling;

	if (READ_ONCE(l->magic) != ALIVE)
		violated("an end at a list notifier that is not there");
	for (unsigned int i = 0; i < log->n_lists; i++) {
		if (log->list_ids[i] != l->id || log->list_ended[i])
			continue;
		log->list_ended[i] = true;
		return;
	}
	violated("a list notifier sees an end without its start");
}

void lists_prepare(void)
{
	list_client = (struct design_list_client){ .start = list_start,
						   .end = list_end };
	if (stress.design->prepare_list)
		stress.design->prepare_list(&list_client);
}

struct listener *listener_register(unsigned int i)
{
	struct listener *l = calloc(1, sizeof(*l));
	int ret;

	if (!l)
		abort();
	l->id = fetch_add(&stress.last_id, 1) + 1;
	WRITE_ONCE(l->magic, ALIVE);
	now_doing("list_register");
	ret = stress.design->list_register(&l->list, stress.mm, &list_client);
	if (ret)
		violated("list_register says %d", ret);
	smp_store_release(&stress.list_ids[i], l->id);
	return l;
}

void listener_unregister(unsigned int i, struct listener *l)
{
	WRITE_ONCE(stress.list_ids[i], 0);
	smp_mb();
	now_doing("list_unregister");
	stress.design->list_unregister(&l->list, stress.mm);
	memset((void *)l, POISON, sizeof(*l));
	free(l);
}
