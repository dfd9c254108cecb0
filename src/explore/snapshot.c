/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program between two steps, kept and put back: its memory, each thread,
 * and the live part of each stack. No thread runs meanwhile.
 *
 * What is known of objects and of accesses is not part of it.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "snapshot.h"
#include "world.h"

struct header {
	unsigned int nthreads, live, waits, parked, self, depth, nevents;
	int last;
	bool solo, concurrent;
	int64_t now;
	unsigned long progress;
	size_t memory;		/* offset of the program's memory */
};

static size_t stack_bytes(unsigned int i)
{
	char *top = (char *)stack_of(i) + STACK_BYTES;

	return x.threads[i].ended ? 0 : (size_t)(top - (char *)x.threads[i].sp);
}

/* What each has of its own. */
#define OWN_BYTES (offsetof(struct thread, held) - offsetof(struct thread, used))
_Static_assert(OWN_BYTES % sizeof(words8) == 0, "words_copy()");

/* What of it means anything, but for what others change. */
static char *keep_thread(char *at, unsigned int i)
{
	const struct thread *t = &x.threads[i];
	size_t size;
	char *tls = tls_of(i, &size);

	words_copy(at, &t->used, OWN_BYTES);
	at += OWN_BYTES;
	if (t->nheld)
		at = bytes_put(at, t->held, t->nheld * sizeof(t->held[0]));
	if (t->nwatched)
		at = bytes_put(at, t->watched, t->nwatched * sizeof(t->watched[0]));
	if (t->nbuffered)
		at = bytes_put(at, far_of(t)->buffered,
			 t->nbuffered * sizeof(far_of(t)->buffered[0]));
	if (x.model == UHMM_MODEL_C11)
		at = bytes_put(at, &far_of(t)->view, 3 * sizeof(far_of(t)->view));
	if (size)
		at = bytes_put(at, tls, size);
	return bytes_put(at, t->sp, stack_bytes(i));
}

static void put_thread(const char *at, unsigned int i)
{
	struct thread *t = &x.threads[i];
	size_t size;
	char *tls = tls_of(i, &size);

	words_copy(&t->used, at, OWN_BYTES);
	at += OWN_BYTES;
	if (t->nheld)
		at = bytes_get(t->held, at, t->nheld * sizeof(t->held[0]));
	if (t->nwatched)
		at = bytes_get(t->watched, at, t->nwatched * sizeof(t->watched[0]));
	if (t->nbuffered)
		at = bytes_get(far_of(t)->buffered, at,
			 t->nbuffered * sizeof(far_of(t)->buffered[0]));
	if (x.model == UHMM_MODEL_C11)
		at = bytes_get(&far_of(t)->view, at, 3 * sizeof(far_of(t)->view));
	if (size)
		at = bytes_get(tls, at, size);
	bytes_get(t->sp, at, stack_bytes(i));
}

/* What others change of it; so much that gcc makes a few moves of it. */
#define SHARED_BYTES offsetof(struct thread, used)

static char *keep_shared(char *at)
{
	for (unsigned int i = 0; i < x.nthreads; i++, at += SHARED_BYTES)
		memcpy(at, &x.threads[i], SHARED_BYTES);
	return at;
}

static void put_shared(const char *at)
{
	for (unsigned int i = 0; i < x.nthreads; i++, at += SHARED_BYTES)
		memcpy(&x.threads[i], at, SHARED_BYTES);
}

static size_t most_bytes(void)
{
	size_t size = sizeof(struct header) + world_save_bytes();

	for (unsigned int i = 0; i < x.nthreads; i++)
		size += sizeof(struct thread) + stack_bytes(i);
	return size;
}

static bool make_room(struct snapshot *s, size_t size)
{
	if (size <= s->room)
		return true;
	free(s->copy);
	s->room = size + size / 2;
	s->copy = malloc(s->room);
	return s->copy != NULL;
}

/* Membarriers have to do with all of them. */
static unsigned int moved_too(unsigned int moved)
{
	return x.membarriers ? ~0U : moved | x.foreign_stacks;
}

/*
 * Of threads that have not made a step since @earlier, which is as it was then
 * and stays, no copy is made. Room for @extra bytes behind it, which are the
 * caller's; NULL: no memory.
 */
char *snapshot_take(struct snapshot *s, const struct snapshot *earlier,
		    size_t extra)
{
	struct header header = {
		x.nthreads, x.live, x.waits, x.parked, x.self, x.depth, x.nevents,
		x.last, x.solo, x.concurrent, x.now, x.progress, 0,
	};
	unsigned int moved = ~0U;
	char *at;

	if (!make_room(s, most_bytes() + extra))
		return NULL;
	if (earlier)
		moved = moved_too(moved_since(earlier->depth)) |
			~0U << earlier->nthreads;
	tls_keep();
	at = keep_shared(s->copy + sizeof(header));
	for (unsigned int i = 0; i < x.nthreads; i++) {
		if (!(moved >> i & 1)) {
			s->thread[i] = earlier->thread[i];
			continue;
		}
		s->thread[i] = at;
		at = keep_thread(at, i);
	}
	header.memory = (size_t)(at - s->copy);
	at += world_save(at);
	memcpy(s->copy, &header, sizeof(header));
	s->depth = x.depth;
	s->nthreads = x.nthreads;
	s->moved = moved;
	return at;
}

/*
 * Threads that have not made a step since are what they were: only those of
 * @moved are put back. What snapshot_take() returned is returned.
 */
const char *snapshot_put(const struct snapshot *s, unsigned int moved)
{
	struct header header;

	memcpy(&header, s->copy, sizeof(header));
	x.nthreads = header.nthreads;
	x.live = header.live;
	x.waits = header.waits;
	x.parked = header.parked;
	runs_now(header.self);
	x.depth = header.depth;
	x.nevents = header.nevents;
	x.last = header.last;
	x.solo = header.solo;
	x.concurrent = header.concurrent;
	x.now = header.now;
	x.progress = header.progress;
	x.defect = UHMM_DEFECT_NONE;
	x.inside = true;
	moved = moved_too(moved);
	put_shared(s->copy + sizeof(header));
	for (unsigned int i = 0; i < x.nthreads; i++)
		if (moved >> i & 1)
			put_thread(s->thread[i], i);
	tls_put_back();
	return world_load(s->copy + header.memory);
}

/* Who has made steps since the decision at @depth. */
unsigned int moved_since(unsigned int depth)
{
	unsigned int moved = 0;

	for (; depth < x.depth; depth++)
		moved |= 1U << x.nodes[depth].chosen;
	return actors_of(moved);
}

void snapshot_free(struct snapshot *s)
{
	free(s->copy);
	memset(s, 0, sizeof(*s));
}
