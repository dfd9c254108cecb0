/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Four registration caches that differ in what tells them that an entry is not
 * good any more; see docs/coverage.md for who hears of what.
 */
#include <sys/mman.h>

#include "watch.h"

enum {
	ADVICE_DONTNEED_LOCKED = 24,
	ADVICE_COLLAPSE = 25,
	ADVICE_GUARD_INSTALL = 102,
};

const char *cache_name(enum cache_kind kind)
{
	static const char *const names[CACHES] = {
		[CACHE_ADDRESS] = "by address alone",
		[CACHE_HOOKS] = "hooks in libc",
		[CACHE_EVENTS] = "userfaultfd",
		[CACHE_UHMM] = "uhmm",
	};

	return names[kind];
}

/* As UCX has them: of libc's own calls, and not of all that they do. */
static bool hooks_see(const struct stream_record *r, uint64_t start)
{
	if (r->from != STREAM_LIBC)
		return false;
	switch (r->kind) {
	case STREAM_MADVISE:
		return r->flags == MADV_DONTNEED || r->flags == MADV_FREE ||
		       r->flags == MADV_REMOVE;
	case STREAM_MREMAP:
		/* Away, but not onto. */
		return start == r->addr;
	}
	return r->kind != STREAM_TRUNCATE;
}

static bool events_see(const struct stream_record *r)
{
	if (r->kind == STREAM_MADVISE)
		return r->flags != ADVICE_COLLAPSE &&
		       r->flags != ADVICE_GUARD_INSTALL;
	return r->kind != STREAM_TRUNCATE && r->kind != STREAM_SHMAT;
}

static bool sees(enum cache_kind kind, const struct stream_record *record,
		 uint64_t start)
{
	switch (kind) {
	case CACHE_HOOKS:
		return hooks_see(record, start);
	case CACHE_EVENTS:
		return events_see(record);
	default:
		return kind == CACHE_UHMM;
	}
}

static void look_up(struct caches *caches, enum cache_kind kind,
		    uint64_t start, uint64_t end)
{
	struct spans *entries = &caches->entries[kind];
	size_t at = spans_find(entries, start);
	struct span *entry = &entries->spans[at];

	if (at == entries->n || entry->start > start || entry->end < end) {
		caches->counts[kind].misses++;
		/* Registered anew, and what it overlaps with it. */
		spans_drop(entries, start, end);
		spans_set(entries, (struct span){ .start = start, .end = end });
	} else if (entry->flags & SPAN_STALE) {
		caches->counts[kind].wrong++;
	} else {
		caches->counts[kind].hits++;
	}
}

static void look_up_all(struct caches *caches, uint64_t start, uint64_t end)
{
	for (int kind = 0; kind < CACHES; kind++)
		look_up(caches, (enum cache_kind)kind, start, end);
}

void cache_appears(struct caches *caches, uint64_t start, uint64_t end)
{
	look_up_all(caches, start, end);
	spans_set(&caches->buffers, (struct span){ .start = start, .end = end });
}

static void change_entries(struct spans *entries, uint64_t start, uint64_t end)
{
	size_t at = spans_find(entries, start);

	for (; at < entries->n && entries->spans[at].start < end; at++)
		entries->spans[at].flags |= SPAN_STALE;
}

void cache_changes(struct caches *caches, const struct stream_record *record,
		   uint64_t start, uint64_t end, bool gone)
{
	const struct spans *buffers = &caches->buffers;
	size_t at = spans_find(buffers, start);

	for (; at < buffers->n && buffers->spans[at].start < end; at++)
		look_up_all(caches, buffers->spans[at].start,
			    buffers->spans[at].end);
	for (int kind = 0; kind < CACHES; kind++)
		if (sees((enum cache_kind)kind, record, start))
			spans_drop(&caches->entries[kind], start, end);
		else
			change_entries(&caches->entries[kind], start, end);
	if (gone)
		spans_cut(&caches->buffers, start, end, NULL, NULL);
}

void caches_free(struct caches *caches)
{
	spans_free(&caches->buffers);
	for (int kind = 0; kind < CACHES; kind++)
		spans_free(&caches->entries[kind]);
}
