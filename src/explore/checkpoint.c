/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A depth-first search begins few executions at their beginning: they are the
 * last one up to some decision near its end. So on its way an execution is kept
 * now and then, and the next one goes on from the last of these that it has in
 * common.
 *
 * Of what is known of objects and of accesses, each piece is written down
 * before it changes for the first time behind a checkpoint, and that is undone.
 * Not under c11, which knows too much.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "order.h"
#include "race.h"
#include "snapshot.h"

/*
 * Steps from one to the next, if not said; one more for each so many bytes. Most
 * decisions that come out in another way are about who takes a lock.
 */
#define DISTANCE_TO_LOCK 4
#define DISTANCE 24
#define BYTES_PER_STEP 3072
#define MAX_CHECKPOINTS 512
#define MAX_UNDONE 16384

static struct checkpoint {
	struct snapshot snapshot;
	unsigned int nobjects, ncells;
	size_t bytes;
} checkpoints[MAX_CHECKPOINTS];
static unsigned int n;

static void plan_next(void)
{
	size_t bytes = n ? checkpoints[n - 1].bytes : 0;
	unsigned int more = (unsigned int)(bytes / BYTES_PER_STEP);

	x.keep_at = x.depth + DISTANCE + more;
	x.keep_lock_at = x.depth + DISTANCE_TO_LOCK + more;
	if (x.options->keep_every)
		x.keep_at = x.keep_lock_at = x.depth + x.options->keep_every;
}

/* A thread is about to take a lock: will another one do so, perhaps? */
void checkpoint_at_lock(void)
{
	unsigned int enabled = ops_enabled();

	if (enabled & (enabled - 1))
		x.keep_at = x.depth;
}

/* What was there before, in the order in which it changed. */
static struct {
	unsigned int nobjects, ncells;
	struct {
		struct object *at;
		struct object was;
	} objects[MAX_UNDONE];
	struct {
		struct cell *at;
		struct cell was;
	} cells[MAX_UNDONE];
} undo;

/* From here on there is no way back but to the beginning. */
void checkpoints_drop(void)
{
	n = 0;
	x.keep_lock_at = ~0U;
	x.keep_at = x.stateful ? 0 : ~0U;
	x.kept = false;
	undo.nobjects = undo.ncells = 0;
}

/* An execution begins that others may go on from. */
void checkpoints_begin(void)
{
	bool depth_first = x.engine == EXPLORE_DPOR ||
			   x.engine == EXPLORE_PREEMPTIONS ||
			   x.engine == EXPLORE_SLEEP || x.engine == EXPLORE_BRUTE;

	checkpoints_drop();
	if (x.force && x.record)
		x.keep_at = 0;
	else if (depth_first && !x.force && !x.stateful && x.split == ~0U &&
	    x.model != UHMM_MODEL_C11)
		plan_next();
}

static inline void undo_object(struct object *object)
{
	if (undo.nobjects == MAX_UNDONE) {
		checkpoints_drop();
		return;
	}
	undo.objects[undo.nobjects].at = object;
	words_copy(&undo.objects[undo.nobjects++].was, object, sizeof(*object));
}

struct object *object_fresh(struct object *object)
{
	if (x.kept)
		undo_object(object);
	if (unlikely(!object_used(object))) {
		*object = (struct object){ .last_write = -1, .newest = -1 };
		if (unlikely(x.model == UHMM_MODEL_C11))
			object_begin_c11((uint16_t)(object - x.objects));
	}
	object->epoch = x.epoch;
	return object;
}

void undo_cell(struct cell *cell)
{
	if (undo.ncells == MAX_UNDONE) {
		checkpoints_drop();
		return;
	}
	undo.cells[undo.ncells].at = cell;
	words_copy(&undo.cells[undo.ncells++].was, cell, sizeof(*cell));
}

/* Here, with all threads before a step. */
void checkpoint_take(void)
{
	struct checkpoint *c = &checkpoints[n];
	char *extra = n < MAX_CHECKPOINTS ?
		      snapshot_take(&c->snapshot, n ? &c[-1].snapshot : NULL,
				    sizeof(x.flush_clock)) : NULL;

	if (!extra) {
		x.keep_at = x.keep_lock_at = ~0U;
		return;
	}
	if (x.model == UHMM_MODEL_TSO)
		memcpy(extra, x.flush_clock, sizeof(x.flush_clock));
	c->bytes = (size_t)(extra - c->snapshot.copy);
	c->nobjects = undo.nobjects;
	c->ncells = undo.ncells;
	n++;
	x.kept = true;
	x.epoch++;
	plan_next();
}

static void undo_from(unsigned int nobjects, unsigned int ncells)
{
	for (unsigned int i = undo.nobjects; i-- > nobjects;)
		words_copy(undo.objects[i].at, &undo.objects[i].was,
			   sizeof(struct object));
	for (unsigned int i = undo.ncells; i-- > ncells;)
		words_copy(undo.cells[i].at, &undo.cells[i].was,
			   sizeof(struct cell));
	undo.nobjects = nobjects;
	undo.ncells = ncells;
}

/* False: the next execution has to begin at the beginning. */
bool checkpoint_put(void)
{
	const struct checkpoint *c;
	unsigned int moved;
	const char *extra;

	moved = n ? moved_since(checkpoints[n - 1].snapshot.depth) : 0;
	while (n && checkpoints[n - 1].snapshot.depth > x.replay_to)
		moved |= checkpoints[--n].snapshot.moved;
	if (!n)
		return false;
	c = &checkpoints[n - 1];
	undo_from(c->nobjects, c->ncells);
	/* The step that is another one now was that of any in done. */
	extra = snapshot_put(&c->snapshot,
			     moved | actors_of(x.nodes[x.replay_to].done));
	if (x.model == UHMM_MODEL_TSO)
		memcpy(x.flush_clock, extra, sizeof(x.flush_clock));
	x.defect_thread = -1;
	x.defect_pc = NULL;
	x.text[0] = '\0';
	x.epoch++;
	plan_next();
	return true;
}
