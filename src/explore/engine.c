/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One execution: who goes on, until nobody can.
 */
#include "internal.h"
#include "order.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "step.h"
#include "switch.h"
#include "world.h"

/* So many events at most that nobody decides on, between two decisions. */
#define MAX_SILENT 64

struct explorer x;

/* ------------------------------------------------------- ends of executions */

/* Leave the program where it is, for good. */
void execution_stop(enum end end)
{
	void *nowhere;

	x.end = end;
	x.inside = false;
	stack_switch(&nowhere, x.main_sp);
	__builtin_unreachable();
}

static void note_bad(enum uhmm_defect defect, const char *format, va_list args)
{
	x.defect = defect;
	vsnprintf(x.text, sizeof(x.text), format, args);
}

void execution_note_bad(enum uhmm_defect defect, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note_bad(defect, format, args);
	va_end(args);
	x.defect_thread = -1;
	x.end = END_BAD;
}

void execution_bad(enum uhmm_defect defect, const void *pc, const char *format,
		   ...)
{
	va_list args;

	va_start(args, format);
	note_bad(defect, format, args);
	va_end(args);
	x.defect_thread = x.inside ? (int)x.self : -1;
	x.defect_pc = pc;
	execution_stop(END_BAD);
}

/* --------------------------------------------------------- who is to go on */

static void pct_begin(void)
{
	x.npct = 2;
	for (int i = 0; i < MAX_ACTORS; i++)
		x.priority[i] = i + 1;
	for (int i = MAX_ACTORS - 1; i > 0; i--) {
		int k = (int)(random_next() % (unsigned int)(i + 1));
		int was = x.priority[i];

		x.priority[i] = x.priority[k];
		x.priority[k] = was;
	}
	for (unsigned int i = 0; i < x.npct; i++)
		x.pct_change[i] = 1 + (unsigned int)(random_next() %
						     (x.longest + 1));
}

static int by_priority(unsigned int enabled)
{
	int best = -1;

	for (unsigned int i = 0; i < x.npct; i++)
		if (x.pct_change[i] == x.depth && x.last >= 0)
			x.priority[x.last] = -(int)i - 1;
	for (int i = 0; i < MAX_ACTORS; i++)
		if (enabled >> i & 1 &&
		    (best < 0 || x.priority[i] > x.priority[best]))
			best = i;
	return best;
}

static int by_chance(unsigned int enabled)
{
	unsigned int n = (unsigned int)__builtin_popcount(enabled);

	for (n = (unsigned int)(random_next() % n); n; n--)
		enabled &= enabled - 1;
	return __builtin_ctz(enabled);
}

static int first_of(unsigned int mask)
{
	if (x.last >= 0 && mask >> x.last & 1)
		return x.last;
	return __builtin_ctz(mask);
}

/* Of those that come into question, as many as the bound allows. */
static void try_all(struct node *node, unsigned int candidates)
{
	node->backtrack = (uint16_t)candidates;
	if (x.engine == EXPLORE_PREEMPTIONS && x.last >= 0 &&
	    node->enabled >> x.last & 1 && node->preemptions >= x.bound) {
		/* What leaves a buffer preempts nobody. */
		node->backtrack = (uint16_t)((1U << x.last) |
					     (candidates & ~0xffU));
		x.bound_cut |= node->backtrack != candidates;
	}
	has_more((int)x.depth);
}

/* A decision that was never made: which come into question? -1: none. */
static inline __attribute__((always_inline)) int
decide_anew(struct node *node, unsigned int enabled, bool usual)
{
	/* Nobody sleeps but in searches that know sleep. */
	unsigned int candidates = enabled & ~(unsigned int)node->sleep & x.only;
	int t;

	node->enabled = (uint16_t)enabled;
	node->done = 0;
	node->choice = 0;
	node->choices = 1;
	if (!usual && x.engine == EXPLORE_PREEMPTIONS && !x.options->repeats &&
	    repeats(node))
		return -1;
	if (!usual && x.depth < x.nprefix)
		return prefix_decide(node, enabled);
	if (unlikely(!candidates))
		return -1;
	t = first_of(candidates);
	node->chosen = (uint8_t)t;
	node->backtrack = (uint16_t)(1U << t);
	if (!usual && x.engine != EXPLORE_DPOR)
		try_all(node, candidates);
	return t;
}

static int forced_decide(struct node *node, unsigned int enabled)
{
	int t;

	node->enabled = (uint16_t)enabled;
	if (x.depth < x.forced) {
		t = x.force[x.depth].thread;
		if (t >= MAX_ACTORS || !(enabled >> t & 1)) {
			x.end = END_DIVERGED;
			return -1;
		}
	} else {
		t = x.last >= 0 && enabled >> x.last & 1 ?
			    x.last : __builtin_ctz(enabled);
	}
	node->chosen = (uint8_t)t;
	return t;
}

static bool preempts(const struct node *node, unsigned int actor)
{
	return actor < MAX_THREADS && x.last >= 0 && (int)actor != x.last &&
	       node->enabled >> x.last & 1;
}

static inline void prepare_next(struct node *node, unsigned int actor,
				bool usual)
{
	struct node *next = node + 1;

	if (!usual && x.engine == EXPLORE_PREEMPTIONS)
		next->preemptions = (uint8_t)(node->preemptions +
					      preempts(node, actor));
	next->sleep = node->sleep | node->done ?
			      (uint16_t)node_sleepers(node, actor) : 0;
}

/* Nobody searches: it is said, or left to chance. */
static int decide_otherwise(struct node *node, unsigned int enabled)
{
	int t;

	if (x.force)
		return forced_decide(node, enabled);
	node->choice = 0;
	t = x.engine == EXPLORE_PCT ? by_priority(enabled) : by_chance(enabled);
	node->chosen = (uint8_t)t;
	node->enabled = (uint16_t)enabled;
	return t;
}

/*
 * How far it is from the first decision that is another one than in the execution
 * before: < 0: it stands; 0: it is that one; > 0: it was never made.
 */
static inline int newness(void)
{
	return (int)(x.depth - x.replay_to);
}

/* -1: this execution need not go on. */
static inline __attribute__((always_inline)) int
decide(struct node *node, unsigned int enabled, int new, bool usual)
{
	int t;

	if (!usual && !x.searches)
		return decide_otherwise(node, enabled);
	t = likely(new > 0) ? decide_anew(node, enabled, usual) : node->chosen;
	if (unlikely(t < 0) && x.end != END_DIVERGED)
		x.end = END_BLOCKED;
	return t;
}

static bool all_ended(void)
{
	for (unsigned int i = 0; i < x.nthreads; i++)
		if (!x.threads[i].ended)
			return false;
	return true;
}

/* Nobody can go on: the next timer runs out, or those who spin look again. */
bool execution_idle(void)
{
	struct thread *t, *first = NULL;
	bool spins = false;

	for (unsigned int i = 0; i < x.nthreads; i++) {
		t = &x.threads[i];
		if (t->ended)
			continue;
		if (t->op.kind == OP_SLEEP && t->deadline >= 0 &&
		    (!first || t->deadline < first->deadline))
			first = t;
		if (t->op.kind == OP_YIELD && t->spins < MAX_SPINS) {
			t->exempt = true;
			t->spins++;
			spins = true;
		}
	}
	if (spins)
		return true;
	if (!first)
		return false;
	if (first->deadline > x.now)
		x.now = first->deadline;
	first->woken = true;
	first->timed_out = true;
	/* It is behind everything. */
	for (unsigned int i = 0; i < x.nthreads; i++)
		clock_join(&first->wake_clock, &x.threads[i].clock);
	return true;
}

/* Name the loop: where the thread that made most of the last steps is. */
static void too_long(void)
{
	unsigned int count[MAX_ACTORS] = { 0 }, most = 0;

	for (unsigned int i = x.depth > 200 ? x.depth - 200 : 0; i < x.depth; i++)
		count[x.nodes[i].chosen]++;
	for (unsigned int i = 1; i < MAX_THREADS; i++)
		if (count[i] > count[most])
			most = i;
	x.defect_thread = (int)most;
	x.defect_pc = x.threads[most].op.pc;
}

/* Is the execution over? If not, a thread that could not go on may be able to. */
static __attribute__((noinline)) bool is_over(unsigned int enabled)
{
	if (x.depth == x.split) {
		x.end = END_BOUND;
	} else if (x.depth >= x.max_steps ||
		   x.nevents >= MAX_STEPS - MAX_SILENT) {
		execution_note_bad(UHMM_DEFECT_TOO_LONG,
				   "not over after %u steps", x.depth);
		too_long();
	} else if (enabled) {
		return false;
	} else if (all_ended()) {
		x.end = END_DONE;
	} else if (execution_idle()) {
		return false;
	} else if (x.force && x.depth < x.forced) {
		x.end = END_DIVERGED;
	} else {
		classify_stuck();
	}
	return true;
}

/* What leaves the buffer of a thread. */
static __attribute__((noinline)) void flush(struct node *node, unsigned int actor)
{
	unsigned int thread = actor - MAX_THREADS;

	if (x.searches && newness() >= 0) {
		if (x.engine == EXPLORE_DPOR)
			dpor_races(actor, op_clock_of(actor));
		prepare_next(node, actor, false);
	}
	node->event = (int32_t)x.nevents;
	flush_commit(thread);
	x.depth++;
	record_flush(thread);
	memory_flush(thread);
}

/*
 * @usual: all of the search by partial order reduction, and nobody has a buffer:
 * there is less to ask then. That is true of most decisions.
 */
static inline __attribute__((always_inline)) int pick(bool usual)
{
	unsigned int enabled;
	struct thread *t;
	struct node *node;
	int actor, new;

again:
	enabled = usual ? threads_enabled() : ops_enabled();
	if (unlikely(!enabled || x.depth >= x.limit ||
		     x.nevents >= MAX_STEPS - MAX_SILENT)) {
		if (is_over(enabled))
			return -1;
		goto again;
	}
	node = once(&x.nodes[x.depth]);
	new = usual || x.searches ? newness() : -1;
	actor = decide(node, enabled, new, usual);
	if (unlikely(actor < 0))
		return -1;
	if (!usual && actor >= MAX_THREADS) {
		flush(node, (unsigned int)actor);
		if (x.stateful)
			return actor;
		goto again;
	}
	t = once(&x.threads[actor]);
	if (new >= 0)
		prepare_next(node, (unsigned int)actor, usual);
	node->event = (int32_t)x.nevents;
	op_commit(t, (unsigned int)actor, op_clock(t, !usual),
		  new >= 0 && (usual || x.engine == EXPLORE_DPOR));
	x.depth++;
	x.last = actor;
	return actor;
}

/* The next actor; -1: the execution is over, and x.end says how. */
static inline __attribute__((always_inline)) int pick_any(void)
{
	return likely(x.usual) ? pick(true) : pick(false);
}

int execution_pick(void)
{
	return pick_any();
}

/* ------------------------------------------------------------------ switching */

static inline void go(unsigned int to)
{
	struct thread *from = self();

	if (to == x.self)
		return;
	tls_switch(x.self, to);
	runs_now(to);
	stack_switch(&from->sp, self()->sp);
}

static void go_main(void)
{
	stack_switch(&self()->sp, x.main_sp);
}

/* Whoever it may be. */
static __attribute__((noinline)) void somebody_goes_on(void)
{
	int t = pick_any();

	if (unlikely(t < 0))
		execution_stop(x.end);
	go((unsigned int)t);
}

void op_point(void)
{
	if (unlikely(x.membarriers))
		op_touch(&self()->op, (uint16_t)(OBJECT_THREAD + x.self), false);
	if (likely(x.depth < x.keep_at)) {
		somebody_goes_on();
		return;
	}
	x.stopped_at = STOPPED_STEP;
	go_main();
}

unsigned int op_choose(unsigned int n)
{
	struct node *node = &x.nodes[x.depth - 1];

	if (n < 2)
		return 0;
	if (x.stateful)
		return states_choose(n);
	if (x.force) {
		unsigned int choice = x.depth <= x.forced ?
					      x.force[x.depth - 1].choice : 0;

		if (choice >= n)
			execution_stop(END_DIVERGED);
		node->choice = (uint8_t)choice;
		return choice;
	}
	if (x.engine == EXPLORE_RANDOM || x.engine == EXPLORE_PCT) {
		node->choice = (uint8_t)(random_next() % n);
		return node->choice;
	}
	if (unlikely(node->choice >= n))
		execution_stop(END_DIVERGED);
	node->choices = (uint8_t)n;
	has_more((int)x.depth - 1);
	return node->choice;
}

/* -------------------------------------------------------------------- threads */

static void first_frame(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	struct thread *t = &x.threads[number];

	t->result = t->fn(t->arg);
	thread_end();
}

void thread_start(unsigned int number)
{
	struct thread *t = &x.threads[number];
	char *stack = stack_of(number);

	/* What was there in another execution must not make states differ. */
	if (x.stateful)
		memset(stack + STACK_BYTES - 4096, 0, 4096);
	t->sp = stack_begin(stack, STACK_BYTES, first_frame,
			    (void *)(uintptr_t)number);
	tls_fresh(number);
}

static void unpark_joiners(void)
{
	for (unsigned int left = x.parked; left; left &= left - 1) {
		const struct op *op = &x.threads[__builtin_ctz(left)].op;

		if (op->kind == OP_JOIN && op->value == x.self)
			x.parked &= ~(left & -left);
	}
}

void thread_end(void)
{
	struct thread *t = self();

	while (t->at_exit) {
		void (*fn)(void) = t->at_exit;

		t->at_exit = NULL;
		fn();
	}
	keys_end();
	locks_at_end();
	record_row(TRACE_EXIT, NULL, NULL);
	memory_step(x.self);
	t->ended = true;
	t->op.kind = OP_EXIT;
	x.live &= ~(1U << x.self);
	unpark_joiners();
	if (x.setup) {
		x.setup_ended = true;
		execution_stop(END_DONE);
	}
	if (x.stateful) {
		x.stopped_at = STOPPED_END;
		go_main();
		__builtin_unreachable();
	}
	somebody_goes_on();
	__builtin_unreachable();
}

/* ----------------------------------------------------------------- executions */

static void *run_scenario(void *arg)
{
	((struct uhmm_scenario *)arg)->run();
	return NULL;
}

static void forget(void)
{
	x.began = ++x.epoch;
	runs_now(0);
	x.last = -1;
	x.depth = 0;
	x.nevents = 0;
	x.defect = UHMM_DEFECT_NONE;
	x.defect_thread = -1;
	x.defect_pc = NULL;
	x.loop_at = -1;
	x.text[0] = '\0';
	memory_begin();
	ops_begin();
}

/* Run up to where the scenario makes its first thread or choice. */
int execution_setup(void)
{
	struct thread *t = &x.threads[0];

	checkpoints_drop();
	memset(x.threads, 0, sizeof(x.threads));
	forget();
	x.nthreads = x.live = 1;
	x.waits = x.parked = 0;
	t->used = true;
	t->deadline = -1;
	t->fn = run_scenario;
	t->arg = x.scenario;
	t->hb.at[0] = 1;
	thread_start(0);
	x.setup = x.solo = x.inside = true;
	x.concurrent = x.setup_ended = false;
	x.now = 1000000000;
	x.end = END_DONE;
	stack_switch(&x.main_sp, t->sp);
	x.setup = x.inside = false;
	x.setup_ended |= x.end == END_BAD;
	x.setup_thread = *t;
	world_keep();
	names_mark(true);
	return 0;
}

/* Called where setup is over, of all executions. */
void setup_is_over(void)
{
	if (!x.setup)
		return;
	go_main();
}

void execution_begin(void)
{
	struct thread *t = &x.threads[0];

	for (unsigned int i = 1; i < x.nthreads; i++)
		x.threads[i].used = false;
	memcpy(t, &x.setup_thread, offsetof(struct thread, watched));
	t->nwatched = t->nbuffered = 0;
	view_clear(&far_of(t)->view);
	view_clear(&far_of(t)->view_acquire);
	view_clear(&far_of(t)->view_release);
	x.nthreads = x.live = 1;
	x.waits = x.parked = 0;
	forget();
	world_restore();
	names_mark(false);
	locks_reset();
	if (x.record)
		record_begin();
	x.concurrent = false;
	x.solo = true;
	x.inside = true;
	checkpoints_begin();
	x.nodes[0].sleep = 0;
	x.nodes[0].preemptions = 0;
	if (x.engine == EXPLORE_PCT)
		pct_begin();
}

#define SCRUBBED_BYTES 1024UL

/*
 * What calls left behind below the stack would lie in the holes of those to come,
 * and make states differ that do not.
 */
static void scrub_below(unsigned int thread)
{
	char *sp = x.threads[thread].sp;
	size_t size = (size_t)(sp - stack_of(thread));

	if (size > SCRUBBED_BYTES)
		size = SCRUBBED_BYTES;
	memset(sp - size, 0, size);
}

void resume(unsigned int thread)
{
	if (x.stateful || x.force)
		scrub_below(thread);
	if (thread != x.self) {
		tls_switch(x.self, thread);
		runs_now(thread);
	}
	stack_switch(&x.main_sp, x.threads[thread].sp);
}

/* With the steps that nobody made. */
static void last_races(void)
{
	for (unsigned int i = 0; i < x.nthreads; i++) {
		unsigned int buffer = i + MAX_THREADS;

		if (!x.threads[i].ended)
			dpor_races(i, op_clock_of(i));
		if (x.threads[i].nbuffered)
			dpor_races(buffer, op_clock_of(buffer));
	}
}

enum end execution_run(void)
{
	int t = 0;

	x.searches = !x.force && x.engine != EXPLORE_RANDOM &&
		     x.engine != EXPLORE_PCT;
	x.usual = x.searches && x.engine == EXPLORE_DPOR && !x.nprefix &&
		  x.model != UHMM_MODEL_TSO;
	x.limit = x.split < x.max_steps ? x.split : x.max_steps;
	if (checkpoint_put())
		t = execution_pick();
	else
		execution_begin();
	while (t >= 0) {
		resume((unsigned int)t);
		if (!x.inside || (x.force && states_again()))
			break;
		if (!x.force)
			checkpoint_take();
		t = execution_pick();
	}
	x.inside = false;
	if (x.engine == EXPLORE_DPOR && !x.force && x.end != END_BLOCKED &&
	    x.end != END_RESTART)
		last_races();
	return x.end;
}
