/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Each state of the program once, depth first. A state is its memory, the live
 * part of each stack and the next step of each thread; where several steps are
 * possible it is kept, and put back for the next one.
 *
 * What a state does not have is how it came about, so data races are not
 * looked for. A state that comes again on the way to itself is a livelock, if
 * nothing was achieved on the way and nobody was kept from going on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "order.h"
#include "set.h"
#include "snapshot.h"
#include "world.h"

/* Memory for states that are kept. */
#define MAX_KEPT_BYTES (512UL << 20)
#define CHEAP_BYTES 8192
#define PROGRESS_EVERY 16384	/* steps */

struct frame {
	struct snapshot snapshot;
	uint64_t stack_hash[MAX_THREADS];
	unsigned int nobjects;
	unsigned int hashed;
	unsigned int todo;
	unsigned int enabled;
	unsigned int actor;
	unsigned int choice;
	unsigned int choices;
};

static struct {
	struct set seen;
	struct frame frames[MAX_STEPS];
	unsigned int n;
	size_t kept_bytes;
	uint64_t stack_hash[MAX_THREADS];
	unsigned int choice, choices;
	unsigned int hashed;		/* depth of the last state_hash() */
	uint64_t made;			/* steps */
	uint64_t path[MAX_STEPS];
	unsigned long path_progress[MAX_STEPS];
} s;

/* -------------------------------------------------------------------- keeping */

#define VERSION_BYTES sizeof(x.objects[0].version)

static char *keep_objects(char *at)
{
	if (x.model != UHMM_MODEL_SC) {
		at = bytes_put(at, x.objects, x.nobjects * sizeof(x.objects[0]));
		at = bytes_put(at, x.objects_c11,
			       x.nobjects * sizeof(x.objects_c11[0]));
		return memory_save(at);
	}
	for (unsigned int i = 0; i < x.nobjects; i++, at += VERSION_BYTES)
		memcpy(at, &x.objects[i].version, VERSION_BYTES);
	return at;
}

static const char *put_objects(const char *at, unsigned int n)
{
	if (x.model != UHMM_MODEL_SC) {
		at = bytes_get(x.objects, at, n * sizeof(x.objects[0]));
		at = bytes_get(x.objects_c11, at, n * sizeof(x.objects_c11[0]));
		for (unsigned int i = n; i < x.nobjects; i++)
			x.objects[i].epoch = 0;
		return memory_restore(at);
	}
	for (unsigned int i = 0; i < n; i++, at += VERSION_BYTES)
		memcpy(&x.objects[i].version, at, VERSION_BYTES);
	return at;
}

static size_t objects_bytes(void)
{
	return x.model == UHMM_MODEL_SC ? x.nobjects * VERSION_BYTES :
	       x.nobjects * (sizeof(x.objects[0]) +
			     sizeof(x.objects_c11[0])) + memory_save_bytes();
}

static int keep(struct frame *frame)
{
	size_t room = frame->snapshot.room;
	const struct snapshot *earlier = frame == s.frames ? NULL :
							     &frame[-1].snapshot;
	char *at = snapshot_take(&frame->snapshot, earlier, objects_bytes());

	s.kept_bytes += frame->snapshot.room - room;
	if (!at || s.kept_bytes > MAX_KEPT_BYTES)
		return explore_fail(-ENOMEM, "too many states to keep");
	frame->nobjects = x.nobjects;
	frame->hashed = s.hashed;
	memcpy(frame->stack_hash, s.stack_hash, sizeof(s.stack_hash));
	keep_objects(at);
	return 0;
}

static void put_back(const struct frame *frame)
{
	unsigned int moved = moved_since(frame->snapshot.depth);

	put_objects(snapshot_put(&frame->snapshot, moved), frame->nobjects);
	memcpy(s.stack_hash, frame->stack_hash, sizeof(s.stack_hash));
	s.hashed = frame->hashed;
}

/* -------------------------------------------------------------------- hashing */

static uint64_t hash_thread(uint64_t hash, unsigned int i, unsigned int moved)
{
	const struct thread *t = &x.threads[i];
	uint64_t facts = t->ended | (uint64_t)t->joined << 1 |
			 (uint64_t)t->woken << 2 | (uint64_t)t->timed_out << 3 |
			 (uint64_t)t->exempt << 4 | (uint64_t)t->spins << 8 |
			 (uint64_t)t->no_sleep << 16 | (uint64_t)t->nheld << 24 |
			 (uint64_t)t->op.kind << 32 |
			 (uint64_t)(t->op.kind == OP_YIELD && op_enabled(i)) << 40;

	hash = mix(hash * 31 + facts);
	if (t->ended && !t->nbuffered)
		return mix(hash ^ (uintptr_t)t->result);
	hash = mix(hash * 31 + (uintptr_t)t->op.addr + t->op.value * 7);
	hash = mix(hash * 31 + (uintptr_t)t->queue);
	if (t->deadline >= 0)
		hash = mix(hash * 31 + (uint64_t)(t->deadline - x.now));
	for (unsigned int k = 0; k < t->nheld; k++)
		hash = mix(hash * 31 + (uintptr_t)t->held[k]);
	for (unsigned int k = 0; k < t->nbuffered; k++)
		hash = mix(hash * 31 + (uintptr_t)far_of(t)->buffered[k].addr +
			   far_of(t)->buffered[k].value * 7);
	if (t->ended)
		return hash;
	if (1U << i & (moved | x.foreign_stacks))
		s.stack_hash[i] = hash_bytes(i, t->sp, (size_t)
			((char *)stack_of(i) + STACK_BYTES - (char *)t->sp));
	return mix(hash ^ s.stack_hash[i]);
}

/* Whose stacks are not what they were at the last one: @moved. */
static uint64_t state_hash(unsigned int moved)
{
	size_t size = view_words * sizeof(words8);
	uint64_t hash = world_hash_all();

	for (unsigned int i = 0; i < x.nthreads; i++)
		hash = hash_thread(hash, i, moved);
	if (x.model != UHMM_MODEL_C11)
		return mix(hash);
	hash = memory_hash(hash);
	/* What comes with locks and queues. */
	for (unsigned int i = 0; i < x.nobjects; i++)
		if (object_used(&x.objects[i]) && x.objects_c11[i].location < 0)
			hash = hash_bytes(hash + i, &x.objects_c11[i].view, size);
	for (unsigned int i = 0; i < x.nthreads; i++) {
		hash = hash_bytes(hash, &x.far[i].view, size);
		hash = hash_bytes(hash, &x.far[i].view_acquire, size);
		hash = hash_bytes(hash, &x.far[i].view_release, size);
	}
	return hash;
}

/* ------------------------------------------------------------------- searching */

unsigned int states_choose(unsigned int n)
{
	s.choices = n;
	x.nodes[x.depth - 1].choice = (uint8_t)s.choice;
	return s.choice;
}

static bool may_choose(unsigned int enabled)
{
	for (; enabled; enabled &= enabled - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(enabled);

		if (x.model == UHMM_MODEL_C11 || i >= MAX_THREADS ||
		    x.threads[i].op.kind == OP_CHOOSE ||
		    x.threads[i].op.kind == OP_WAKE)
			return true;
	}
	return false;
}

/* Make the step of @actor; false: the execution is over with it. */
static bool step(unsigned int actor, unsigned int enabled, unsigned int choice)
{
	struct node *node = &x.nodes[x.depth];
	struct thread *t;

	node->chosen = (uint8_t)actor;
	node->enabled = (uint16_t)enabled;
	node->choice = 0;
	s.choice = choice;
	s.choices = 1;
	if (actor >= MAX_THREADS) {
		flush_commit(actor - MAX_THREADS);
		x.depth++;
		memory_flush(actor - MAX_THREADS);
		return true;
	}
	t = &x.threads[actor];
	op_commit(t, actor, op_clock(t, true), false);
	x.depth++;
	x.last = (int)actor;
	x.end = END_DONE;
	resume(actor);
	return x.inside;
}

/* Does the path come back to where it was, and is everybody on it? */
static bool goes_round(uint64_t hash, unsigned int enabled)
{
	unsigned int moved = 0;

	for (unsigned int i = x.depth; i--;) {
		moved |= 1U << x.nodes[i].chosen;
		if (s.path_progress[i] != x.progress)
			return false;
		if (s.path[i] != hash)
			continue;
		if (enabled & ~moved)
			return false;
		execution_note_bad(UHMM_DEFECT_LIVELOCK, "all go round: after "
				   "%u steps they are where they were", x.depth);
		x.loop_at = (int)i;
		return true;
	}
	return false;
}

/* The same for an execution that is run again, called before each step of it. */
bool states_again(void)
{
	s.path[x.depth] = state_hash(~0U);
	s.path_progress[x.depth] = x.progress;
	return x.depth == x.forced && x.depth < x.max_steps &&
	       goes_round(s.path[x.depth], ops_enabled());
}

/*
 * A step that touches nothing commutes with those of all others, and nobody
 * goes round with such steps alone: it is made at once. 0: there is none.
 */
static unsigned int local_of(unsigned int enabled)
{
	const unsigned int kinds = 1U << OP_START | 1U << OP_CREATE |
				   1U << OP_JOIN | 1U << OP_SLEEP;

	for (enabled &= (1U << MAX_THREADS) - 1; enabled;
	     enabled &= enabled - 1) {
		const struct op *op = &x.threads[__builtin_ctz(enabled)].op;

		if (kinds >> op->kind & 1 && !op->ntouch)
			return enabled & -enabled;
	}
	return 0;
}

/* The state that was come to: what is to be tried from here? 0: nothing. */
static unsigned int arrive(struct explore_phase *phase)
{
	unsigned int enabled, local;
	uint64_t hash;

	if (x.depth >= x.max_steps) {
		execution_note_bad(UHMM_DEFECT_TOO_LONG,
				   "not over after %u steps", x.depth);
		return 0;
	}
	while (!(enabled = ops_enabled())) {
		bool ended = true;

		for (unsigned int i = 0; i < x.nthreads; i++)
			ended &= x.threads[i].ended;
		if (ended) {
			x.end = END_DONE;
			return 0;
		}
		if (!execution_idle()) {
			classify_stuck();
			return 0;
		}
	}
	s.path_progress[x.depth] = x.progress;
	local = local_of(enabled);
	if (local) {
		s.path[x.depth] = 0;
		return local;
	}
	hash = state_hash(moved_since(s.hashed));
	s.hashed = x.depth;
	if (!set_add(&s.seen, hash)) {
		x.end = END_BLOCKED;
		goes_round(hash, enabled);
		return 0;
	}
	phase->states = s.seen.n;
	s.path[x.depth] = hash;
	return enabled;
}

/* Back to the last state that has something left to try. */
static struct frame *back(void)
{
	struct frame *frame;

	while (s.n) {
		frame = &s.frames[s.n - 1];
		if (frame->choice + 1 < frame->choices) {
			frame->choice++;
			return frame;
		}
		frame->todo &= ~(1U << frame->actor);
		frame->choice = 0;
		if (frame->todo) {
			frame->actor = (unsigned int)__builtin_ctz(frame->todo);
			return frame;
		}
		s.n--;
	}
	return NULL;
}

static unsigned int first_of(unsigned int enabled)
{
	return x.last >= 0 && enabled >> x.last & 1 ?
		       (unsigned int)x.last :
		       (unsigned int)__builtin_ctz(enabled);
}

/* What became of the step that was made; ALL: there is none left to make. */
enum { GO_ON, DEAD, ALL };

/* From the state that was come to, on. < 0: error. */
static int go_on(struct explore_phase *phase, bool alive)
{
	unsigned int enabled = alive ? arrive(phase) : 0;
	struct frame *frame;
	int ret;

	if (enabled && !(enabled & (enabled - 1)) && !may_choose(enabled))
		return step((unsigned int)__builtin_ctz(enabled), enabled, 0) ?
			       GO_ON : DEAD;
	if (enabled) {
		frame = &s.frames[s.n++];
		frame->todo = frame->enabled = enabled;
		frame->actor = first_of(enabled);
		frame->choice = 0;
		ret = keep(frame);
		if (ret)
			return ret;
	} else {
		ret = run_count(phase);
		if (ret)
			return ret;
		if (x.end == END_BAD && !x.options->go_on)
			return ALL;
		frame = back();
		if (!frame) {
			phase->complete = !s.seen.full;
			return ALL;
		}
		put_back(frame);
	}
	alive = step(frame->actor, frame->enabled, frame->choice);
	frame->choices = s.choices;
	return alive ? GO_ON : DEAD;
}

/* A step costs more the more there is to be kept. */
static bool enough_of(const struct explore_phase *phase, struct budget most)
{
	uint64_t cost = 1 + world_save_bytes() / CHEAP_BYTES;

	if (s.made % PROGRESS_EVERY == 0)
		run_progress(phase);
	return (most.steps && s.made * cost >= most.steps) ||
	       (most.executions && phase->executions >= most.executions) ||
	       (s.made % 4096 == 0 && out_of_time());
}

int states_run(struct explore_phase *phase, struct budget most)
{
	bool races = x.races;
	int ret = 0;

	set_clear(&s.seen);
	s.n = 0;
	s.made = 0;
	x.stateful = true;
	x.races = false;
again:
	execution_begin();
	s.hashed = 0;
	resume(0);
anew:
	while (ret >= 0 && ret != ALL) {
		if (ret == DEAD && x.end == END_RESTART) {
			run_anew(phase);
			set_clear(&s.seen);
			s.n = 0;
			ret = GO_ON;
			goto again;
		}
		ret = go_on(phase, ret != DEAD);
		s.made++;
		if (enough_of(phase, most))
			break;
	}
	if (ret == ALL && !world_verify()) {
		ret = DEAD;
		x.end = END_RESTART;
		goto anew;
	}
	x.stateful = false;
	x.races = races;
	set_clear(&s.seen);
	for (unsigned int i = 0; i < MAX_STEPS && s.frames[i].snapshot.copy; i++)
		snapshot_free(&s.frames[i].snapshot);
	s.kept_bytes = 0;
	return ret < 0 ? ret : 0;
}
