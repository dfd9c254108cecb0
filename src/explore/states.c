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
#include "set.h"

/* Memory for states that are kept. */
#define MAX_KEPT_BYTES (512UL << 20)

struct kept_thread {
	char state[offsetof(struct thread, clock)];
	void *sp;
	const char *name;
	size_t stack;
	/* c11 */
	union clock hb, hb_acquire, hb_release;
	union view view, view_acquire, view_release;
};

struct frame {
	char *copy;
	size_t room;
	unsigned int todo;
	unsigned int enabled;
	unsigned int depth;
	unsigned int actor;
	unsigned int choice;
	unsigned int choices;
};

struct header {
	unsigned int nthreads, self, nobjects;
	int last;
	bool solo, concurrent;
	int64_t now;
	unsigned long progress;
};

static struct {
	struct set seen;
	struct frame frames[MAX_STEPS];
	unsigned int n;
	size_t kept_bytes;
	unsigned int choice, choices;
	uint64_t path[MAX_STEPS];
	unsigned long path_progress[MAX_STEPS];
} s;

/* -------------------------------------------------------------------- keeping */

static size_t stack_bytes(unsigned int i)
{
	char *top = (char *)stack_of(i) + STACK_BYTES;

	return x.threads[i].ended ? 0 : (size_t)(top - (char *)x.threads[i].sp);
}

static size_t copy_bytes(void)
{
	size_t size = sizeof(struct header) + world_save_bytes() +
		      x.nobjects * sizeof(x.objects[0]) + memory_save(NULL);

	for (unsigned int i = 0; i < x.nthreads; i++)
		size += sizeof(struct kept_thread) + stack_bytes(i);
	return size + 4096;
}

static char *keep_thread(char *at, unsigned int i)
{
	const struct thread *t = &x.threads[i];
	struct kept_thread kept;

	memcpy(kept.state, t, sizeof(kept.state));
	kept.sp = t->sp;
	kept.name = t->name;
	kept.stack = stack_bytes(i);
	kept.hb = t->hb;
	kept.hb_acquire = t->hb_acquire;
	kept.hb_release = t->hb_release;
	kept.view = t->view;
	kept.view_acquire = t->view_acquire;
	kept.view_release = t->view_release;
	memcpy(at, &kept, sizeof(kept));
	memcpy(at + sizeof(kept), t->sp, kept.stack);
	return at + sizeof(kept) + kept.stack;
}

static const char *put_thread(const char *at, unsigned int i)
{
	struct thread *t = &x.threads[i];
	struct kept_thread kept;

	memcpy(&kept, at, sizeof(kept));
	memcpy(t, kept.state, sizeof(kept.state));
	t->sp = kept.sp;
	t->name = kept.name;
	t->hb = kept.hb;
	t->hb_acquire = kept.hb_acquire;
	t->hb_release = kept.hb_release;
	t->view = kept.view;
	t->view_acquire = kept.view_acquire;
	t->view_release = kept.view_release;
	memcpy(t->sp, at + sizeof(kept), kept.stack);
	return at + sizeof(kept) + kept.stack;
}

static char *keep_objects(char *at)
{
	if (x.model != UHMM_MODEL_SC) {
		memcpy(at, x.objects, x.nobjects * sizeof(x.objects[0]));
		at += x.nobjects * sizeof(x.objects[0]);
		return at + memory_save(at);
	}
	for (unsigned int i = 0; i < x.nobjects; i++, at += sizeof(uint32_t))
		memcpy(at, &x.objects[i].version, sizeof(uint32_t));
	return at;
}

static const char *put_objects(const char *at, unsigned int n)
{
	if (x.model != UHMM_MODEL_SC) {
		memcpy(x.objects, at, n * sizeof(x.objects[0]));
		for (unsigned int i = n; i < x.nobjects; i++)
			x.objects[i].execution = 0;
		memory_restore(at + n * sizeof(x.objects[0]));
		return at + n * sizeof(x.objects[0]) + memory_save(NULL);
	}
	for (unsigned int i = 0; i < n; i++, at += sizeof(uint32_t))
		memcpy(&x.objects[i].version, at, sizeof(uint32_t));
	return at;
}

static int keep(struct frame *frame)
{
	struct header header = {
		x.nthreads, x.self, x.nobjects, x.last, x.solo, x.concurrent,
		x.now, x.progress,
	};
	size_t size = copy_bytes();
	char *at;

	if (size > frame->room) {
		free(frame->copy);
		s.kept_bytes += size - frame->room;
		frame->room = size;
		frame->copy = malloc(size);
		if (!frame->copy || s.kept_bytes > MAX_KEPT_BYTES)
			return explore_fail(-ENOMEM, "too many states to keep");
	}
	at = frame->copy;
	memcpy(at, &header, sizeof(header));
	at += sizeof(header);
	for (unsigned int i = 0; i < x.nthreads; i++)
		at = keep_thread(at, i);
	at = keep_objects(at);
	at += world_save(at);
	return 0;
}

static void put_back(const struct frame *frame)
{
	const char *at = frame->copy;
	struct header header;

	memcpy(&header, at, sizeof(header));
	at += sizeof(header);
	x.nthreads = header.nthreads;
	x.self = header.self;
	x.last = header.last;
	x.solo = header.solo;
	x.concurrent = header.concurrent;
	x.now = header.now;
	x.progress = header.progress;
	x.depth = x.nevents = frame->depth;
	x.defect = UHMM_DEFECT_NONE;
	x.inside = true;
	for (unsigned int i = 0; i < x.nthreads; i++)
		at = put_thread(at, i);
	at = put_objects(at, header.nobjects);
	world_load(at);
}

/* -------------------------------------------------------------------- hashing */

static uint64_t hash_thread(uint64_t hash, unsigned int i)
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
		hash = mix(hash * 31 + (uintptr_t)t->held[k].lock);
	for (unsigned int k = 0; k < t->nbuffered; k++)
		hash = mix(hash * 31 + (uintptr_t)t->buffered[k].addr +
			   t->buffered[k].value * 7);
	return t->ended ? hash : hash_bytes(hash, t->sp, stack_bytes(i));
}

static uint64_t state_hash(void)
{
	static char memory[1 << 20];
	uint64_t hash = world_hash_all();
	size_t size;

	for (unsigned int i = 0; i < x.nthreads; i++)
		hash = hash_thread(hash, i);
	if (x.model != UHMM_MODEL_C11)
		return mix(hash);
	size = memory_save(NULL);
	if (size <= sizeof(memory)) {
		memory_save(memory);
		hash = hash_bytes(hash, memory, size);
	}
	for (unsigned int i = 0; i < x.nthreads; i++)
		hash = hash_bytes(hash, &x.threads[i].view,
				  3 * sizeof(union view));
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
	struct node *node = &x.nodes[x.depth++];

	node->chosen = (uint8_t)actor;
	node->enabled = (uint16_t)enabled;
	node->choice = 0;
	s.choice = choice;
	s.choices = 1;
	if (actor < MAX_THREADS)
		x.last = (int)actor;
	op_commit(actor);
	if (actor >= MAX_THREADS) {
		memory_flush(actor - MAX_THREADS);
		return true;
	}
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
		if (s.path[i] == hash)
			return !(enabled & ~moved);
	}
	return false;
}

/* The state that was come to: what is to be tried from here? 0: nothing. */
static unsigned int arrive(struct explore_phase *phase)
{
	unsigned int enabled;
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
	hash = state_hash();
	if (!set_add(&s.seen, hash)) {
		x.end = END_BLOCKED;
		if (goes_round(hash, enabled))
			execution_note_bad(UHMM_DEFECT_LIVELOCK,
					   "all go round: after %u steps they "
					   "are where they were", x.depth);
		return 0;
	}
	phase->states = s.seen.n;
	s.path[x.depth] = hash;
	s.path_progress[x.depth] = x.progress;
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
		frame->depth = x.depth;
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

/* @most: steps; 0: no end */
int states_run(struct explore_phase *phase, uint64_t most)
{
	bool races = x.races;
	int ret = 0;

	set_clear(&s.seen);
	s.n = 0;
	x.stateful = true;
	x.races = false;
again:
	execution_begin();
	resume(0);
	while (ret >= 0 && ret != ALL) {
		if (ret == DEAD && x.end == END_RESTART) {
			set_clear(&s.seen);
			s.n = 0;
			ret = GO_ON;
			goto again;
		}
		ret = go_on(phase, ret != DEAD);
		if (++phase->steps == most ||
		    (phase->steps % 4096 == 0 && out_of_time()))
			break;
	}
	x.stateful = false;
	x.races = races;
	set_clear(&s.seen);
	for (unsigned int i = 0; i < MAX_STEPS && s.frames[i].copy; i++) {
		free(s.frames[i].copy);
		memset(&s.frames[i], 0, sizeof(s.frames[i]));
	}
	s.kept_bytes = 0;
	return ret < 0 ? ret : 0;
}
