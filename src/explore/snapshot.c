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

struct header {
	unsigned int nthreads, self, depth, nevents;
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

/* Not inlined: for a size that it knows gcc takes what is slow. */
static __attribute__((noinline)) char *put(char *to, const void *from, size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

static __attribute__((noinline)) const char *get(void *to, const char *from, size_t size)
{
	memcpy(to, from, size);
	return from + size;
}

/* What of it means anything. */
static char *keep_thread(char *at, const struct thread *t)
{
	at = put(at, t, offsetof(struct thread, watched));
	at = put(at, t->watched, t->nwatched * sizeof(t->watched[0]));
	at = put(at, t->buffered, t->nbuffered * sizeof(t->buffered[0]));
	if (x.model == UHMM_MODEL_C11)
		at = put(at, &t->view, 3 * sizeof(t->view));
	return at;
}

static const char *put_thread(const char *at, struct thread *t)
{
	at = get(t, at, offsetof(struct thread, watched));
	at = get(t->watched, at, t->nwatched * sizeof(t->watched[0]));
	at = get(t->buffered, at, t->nbuffered * sizeof(t->buffered[0]));
	if (x.model == UHMM_MODEL_C11)
		at = get(&t->view, at, 3 * sizeof(t->view));
	return at;
}

static size_t most_bytes(void)
{
	size_t size = sizeof(struct header) + world_save_bytes();

	for (unsigned int i = 0; i < x.nthreads; i++)
		size += sizeof(struct thread) + stack_bytes(i);
	return size;
}

/* Room for @extra bytes behind it, which are the caller's; NULL: no memory. */
char *snapshot_take(struct snapshot *s, size_t extra)
{
	size_t size = most_bytes() + extra;
	struct header header = {
		x.nthreads, x.self, x.depth, x.nevents, x.last, x.solo,
		x.concurrent, x.now, x.progress, 0,
	};
	char *at;

	if (size > s->room) {
		free(s->copy);
		s->room = size + size / 2;
		s->copy = malloc(s->room);
		if (!s->copy)
			return NULL;
	}
	at = s->copy + sizeof(header);
	for (unsigned int i = 0; i < x.nthreads; i++)
		at = keep_thread(at, &x.threads[i]);
	header.memory = (size_t)(at - s->copy);
	at += world_save(at);
	memcpy(s->copy, &header, sizeof(header));
	for (unsigned int i = 0; i < x.nthreads; i++) {
		s->stack[i] = (uint32_t)(at - s->copy);
		at = put(at, x.threads[i].sp, stack_bytes(i));
	}
	s->depth = x.depth;
	return at;
}

/*
 * Stacks of threads that have not made a step since are what they were: only
 * those of @moved are put back. What snapshot_take() returned is returned.
 */
const char *snapshot_put(const struct snapshot *s, unsigned int moved)
{
	const char *at = s->copy, *end = s->copy;
	struct header header;

	at = get(&header, at, sizeof(header));
	x.nthreads = header.nthreads;
	x.self = header.self;
	x.depth = header.depth;
	x.nevents = header.nevents;
	x.last = header.last;
	x.solo = header.solo;
	x.concurrent = header.concurrent;
	x.now = header.now;
	x.progress = header.progress;
	x.defect = UHMM_DEFECT_NONE;
	x.inside = true;
	for (unsigned int i = 0; i < x.nthreads; i++)
		at = put_thread(at, &x.threads[i]);
	world_load(at);
	moved |= x.foreign_stacks;
	for (unsigned int i = 0; i < x.nthreads; i++) {
		end = s->copy + s->stack[i] + stack_bytes(i);
		if (moved >> i & 1)
			memcpy(x.threads[i].sp, s->copy + s->stack[i],
			       stack_bytes(i));
	}
	return end;
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
