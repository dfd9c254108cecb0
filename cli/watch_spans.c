/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "watch.h"

size_t spans_find(const struct spans *spans, uint64_t start)
{
	size_t low = 0, high = spans->n, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (spans->spans[middle].end > start)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void insert(struct spans *spans, size_t at, struct span span)
{
	struct span *more;

	if (spans->n == spans->room) {
		more = realloc(spans->spans, (spans->room * 2 + 64) *
						     sizeof(*more));
		if (!more)
			abort();
		spans->spans = more;
		spans->room = spans->room * 2 + 64;
	}
	memmove(&spans->spans[at + 1], &spans->spans[at],
		(spans->n - at) * sizeof(span));
	spans->spans[at] = span;
	spans->n++;
}

static void erase(struct spans *spans, size_t at, size_t n)
{
	spans->n -= n;
	memmove(&spans->spans[at], &spans->spans[at + n],
		(spans->n - at) * sizeof(spans->spans[0]));
}

void spans_cut(struct spans *spans, uint64_t start, uint64_t end, span_fn fn,
	       void *arg)
{
	size_t at = spans_find(spans, start), first;
	struct span *span, piece;

	if (at == spans->n || spans->spans[at].start >= end)
		return;
	/* What sticks out on both sides becomes pieces of their own. */
	span = &spans->spans[at];
	if (span->start < start) {
		piece = *span;
		span->end = piece.start = start;
		insert(spans, ++at, piece);
	}
	for (first = at; at < spans->n && spans->spans[at].start < end; at++) {
		span = &spans->spans[at];
		if (span->end > end) {
			piece = *span;
			span->end = piece.start = end;
			insert(spans, at + 1, piece);
			span = &spans->spans[at];
		}
		if (fn)
			fn(arg, span);
	}
	erase(spans, first, at - first);
}

void spans_set(struct spans *spans, struct span span)
{
	if (span.start >= span.end)
		return;
	spans_cut(spans, span.start, span.end, NULL, NULL);
	insert(spans, spans_find(spans, span.start), span);
}

void spans_drop(struct spans *spans, uint64_t start, uint64_t end)
{
	size_t at = spans_find(spans, start), n = 0;

	while (at + n < spans->n && spans->spans[at + n].start < end)
		n++;
	erase(spans, at, n);
}

void spans_copy(struct spans *to, const struct spans *from)
{
	spans_free(to);
	for (size_t i = 0; i < from->n; i++)
		insert(to, i, from->spans[i]);
}

void spans_free(struct spans *spans)
{
	free(spans->spans);
	memset(spans, 0, sizeof(*spans));
}
