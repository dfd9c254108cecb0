/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the parts of the explorer share.
 *
 * A thread of the program is a stack. Before each step that others could
 * notice it says which step that will be (struct op) and calls op_point(),
 * which decides who goes on. So whoever decides knows the next step of every
 * thread. The decision is made on the stack of the thread that came to it: a
 * thread that goes on costs no switch.
 *
 *	hooks: tsan.c posix.c locks.c api.c	what the program calls
 *	op.c step.h order.h			steps: possible? dependent? order
 *	memory.c				what loads may read: tso, c11
 *	race.c					plain accesses
 *	engine.c dpor.c repeats.c states.c	who goes on
 *	world.c heap.c snapshot.c checkpoint.c	the program, put back
 *	run.c shrink.c split.c			many executions
 *	record.c names*.c			an execution, written down
 */
#ifndef EXPLORE_INTERNAL_H
#define EXPLORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "explore.h"
#include "hooks.h"

/* Nobody else sees what follows: no detour for it. */
#pragma GCC visibility push(hidden)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/*
 * A pointer that is computed once. Of those into &x compilers think that each use
 * may as well compute it anew.
 */
#define once(pointer) ({ \
	__typeof__(pointer) once_ = (pointer); \
	__asm__("" : "+r"(once_)); \
	once_; \
})

/* -------------------------------------------------------------------- steps */

enum op_kind {
	OP_NONE,
	OP_START,
	OP_LOAD,
	OP_STORE,
	OP_RMW,
	OP_FLUSH,
	OP_FENCE,
	OP_MEMBARRIER,
	OP_LOCK,
	OP_TRYLOCK,
	OP_UNLOCK,
	OP_READ_LOCK,
	OP_READ_TRYLOCK,
	OP_READ_UNLOCK,
	OP_WAIT,		/* onto a queue: word or condition variable */
	OP_SLEEP,		/* in the queue */
	OP_WAKE,
	OP_CREATE,
	OP_JOIN,
	OP_EXIT,
	OP_YIELD,
	OP_CHOOSE,
	OP_ROOM,		/* in the buffer */
};

/* A step touches an object; two that touch one, not both reading, depend. */
struct touch {
	uint16_t object;
	bool write;
};

#define MAX_TOUCH 3

/**
 * struct op - a step that a thread is about to make
 * @kind: enum op_kind
 * @ntouch: how many @touch
 * @order: __ATOMIC_*, of accesses and fences
 * @size: in bytes, of accesses
 * @touch: objects
 * @failure_order: of a compare and exchange that compared unequal
 * @store_object: where a buffered store goes
 * @addr: the lock, word or location
 * @region: of an access or a lock: where that is
 * @offset: of it in @region
 * @value: to store, or to wait while it is there; the other thread
 * @pc: in the code
 */
struct op {
	uint8_t kind;
	uint8_t ntouch;
	uint8_t order;
	uint8_t size;
	struct touch touch[MAX_TOUCH];
	uint8_t failure_order;
	uint16_t store_object;
	void *addr;
	struct region *region;
	size_t offset;
	uint64_t value;
	const void *pc;
};

/* A step that was made: its kind and what it touches are where its op has them. */
struct event {
	uint8_t kind;
	uint8_t ntouch;
	uint8_t actor;
	struct touch touch[MAX_TOUCH];
	int node;		/* of the decision for it; -1: there was none */
	union clock clock;
};

#define EVENT_OF_OP offsetof(struct event, node)
_Static_assert(offsetof(struct op, touch) == offsetof(struct event, touch) &&
	       EVENT_OF_OP % sizeof(words8) == 0, "a copy of the one is the other");

/* ------------------------------------------------------------------ threads */

#define STACK_BYTES (128 * 1024UL)
#define GUARD_BYTES 65536UL
#define STACK_SPACING (STACK_BYTES + GUARD_BYTES)
#define MAX_BUFFERED 12		/* stores of one thread in its buffer */
#define MAX_WATCHED 12		/* objects read in a loop that yields */
#define MAX_HELD 8

struct buffered {
	void *addr;
	uint64_t value;
	uint8_t size;
	bool unlock;
	uint16_t object;
	int32_t row;
	union clock clock;
	union times hb;
	const void *pc;
};

struct watched {
	uint16_t object;
	uint16_t version;
};

/*
 * A thread, but for its stack, its thread-local storage and what is far. What
 * others change comes first, and what may be large is last, see snapshot.c.
 */
struct thread {
	union clock wake_clock;	/* the wake that ended the last sleep */
	bool joined;
	bool detached;
	bool woken;
	bool timed_out;
	bool exempt;		/* from waiting for a change, once */
	uint8_t spins;		/* yields in a row without a change */
	_Alignas(16) bool used;	/* from here on it is its own */
	bool ended;
	uint8_t no_sleep;
	uint8_t twin;		/* an earlier thread like this one, +1 */
	uint8_t nheld;
	uint8_t nbuffered;
	uint8_t nwatched;
	uint16_t nsteps;	/* 2 at most, for twins */
	struct op op;
	void *queue;
	int64_t deadline;	/* < 0: none */
	void (*at_exit)(void);
	void *(*fn)(void *);
	void *arg;
	void *result;
	unsigned long sleeps;
	/* dependency */
	union clock clock, first_clock;
	/* synchronization: now, to be had by an acquire fence, released */
	union times hb, hb_acquire, hb_release;
	void *sp;
	const char *name;
	uint8_t times_held[MAX_HELD];
	_Alignas(16) void *held[MAX_HELD];	/* locks */
	struct watched watched[MAX_WATCHED];
} __attribute__((aligned(512)));

/* What of it only tso has, and only c11. */
struct far {
	struct buffered buffered[MAX_BUFFERED];
	/* what it may not miss, as hb */
	union view view, view_acquire, view_release;
};

/* ------------------------------------------------------------------ objects */

#define MAX_OBJECTS 16384

/* What else than memory can be touched; number 0 is not used. */
enum {
	OBJECT_SC = 1,		/* the order of all seq_cst fences */
	OBJECT_THREAD,		/* + n: the steps of thread n, for membarrier */
	OBJECT_FIRST = OBJECT_THREAD + MAX_THREADS,
};

/*
 * What was done to an object in this execution, see object_used(). Whatever touches
 * it comes after the event @newest; what writes, after those of all @readers, too.
 */
struct object {
	union times hb;			/* what an acquire gets */
	int16_t last_read[MAX_ACTORS];	/* events; see locks.c */
	uint64_t epoch;
	uint16_t version;
	uint16_t readers;		/* since @last_write */
	int16_t last_write;		/* event, -1: none */
	int16_t newest;			/* this, or where a lock was given back since */
};

/* The same, for c11 alone. */
struct object_c11 {
	int16_t location;		/* memory.c: -1: none */
	union view view;		/* as hb, of locks and queues */
};

/* ---------------------------------------------------------------- decisions */

struct node {
	uint8_t chosen;		/* actor */
	uint8_t choice;		/* which outcome of its step */
	uint8_t choices;	/* how many there are */
	uint8_t preemptions;
	uint16_t enabled;
	uint16_t backtrack;
	uint16_t done;
	uint16_t sleep;
	int32_t event;
};

#define MAX_STEPS 16384
/* For &explorer.replay_to: the first execution; one more is decision 0. */
#define NOTHING_STANDS (~0U)
/* How often a thread looks again in vain before it goes round for ever. */
#define MAX_SPINS 4

enum end {
	END_DONE,		/* all threads have ended */
	END_BLOCKED,		/* what follows is explored elsewhere */
	END_BAD,		/* see x.defect */
	END_BOUND,		/* a prefix, when splitting */
	END_DIVERGED,		/* a replay took another course */
	END_RESTART,		/* something was learnt that changes the rest */
};

/* ------------------------------------------------------------- the explorer */

struct explorer {
	/* of the exploration */
	struct uhmm_scenario *scenario;
	const struct explore_options *options;
	enum uhmm_model model;
	enum explore_engine engine;
	unsigned int bound;
	unsigned int max_steps;
	bool membarriers, yields;	/* learnt: there are such */
	bool weaken, races;
	bool again;		/* races may have been missed: run it again */
	bool stateful;
	uint64_t random;
	struct explore_report *report;

	/* of an execution */
	bool inside;		/* the program runs */
	bool concurrent;	/* it has had more than one thread */
	bool solo;		/* one thread is left that can do anything */
	bool setup;		/* runs up to the first pthread_create() */
	bool record;		/* for a trace */
	bool ended_early;	/* stopped in the middle of a step */
	uint64_t epoch;		/* another one behind each checkpoint */
	uint64_t began;		/* epoch in which the execution began */
	bool kept;		/* there is a checkpoint */
	unsigned int keep_at;	/* depth of the next one */
	unsigned int keep_lock_at;	/* the same, where a lock is wanted */
	unsigned int self;	/* who runs, see runs_now() */
	struct thread *me;
	int last;		/* actor of the last step, -1: none */
	unsigned int nthreads;
	unsigned int live;	/* threads that have not ended */
	unsigned int waits;	/* those whose next step is not always possible */
	unsigned int parked;	/* of these, those that somebody has to wake first */
	int64_t now;
	unsigned int depth;
	unsigned int nevents;
	unsigned int replay_to;	/* decisions that stand */
	int open;		/* the last one that has anything left to try */
	enum end end;
	enum uhmm_defect defect;
	int defect_thread;
	char text[256];
	const void *defect_pc;
	const void *other_pc;
	int loop_at;		/* depth from which on all repeats, -1: none */
	unsigned int forced;	/* decisions that are given, see @force */
	const struct trace_step *force;
	bool searches;		/* decisions are those of the search */
	bool usual;		/* which is that of most, see engine.c */
	unsigned int limit;	/* of @depth: @split, @max_steps */
	void *main_sp;
	struct thread setup_thread;
	bool setup_ended;
	enum { STOPPED_STEP, STOPPED_END } stopped_at;

	/* of the engines */
	unsigned int npct;
	unsigned int pct_change[8];
	int priority[MAX_ACTORS];
	unsigned int longest;
	unsigned int nprefix;
	unsigned int split;
	unsigned int only;	/* actors that may make steps */
	unsigned int check_every;
	unsigned long progress;
	bool bound_cut;		/* the bound kept something out */
	unsigned int foreign_stacks;	/* that others write to */

	struct thread threads[MAX_THREADS];
	struct far far[MAX_THREADS];
	struct event events[MAX_STEPS];
	struct node nodes[MAX_STEPS + 1];
	union clock flush_clock[MAX_THREADS];
	_Alignas(64) struct object objects[MAX_OBJECTS];
	struct object_c11 objects_c11[MAX_OBJECTS];
	bool tried[MAX_OBJECTS];	/* by trylock, in all executions */
	unsigned int nobjects;
};

extern struct explorer x;

static inline struct thread *self(void)
{
	return x.me;
}

static inline void runs_now(unsigned int thread)
{
	x.self = thread;
	x.me = &x.threads[thread];
}

static inline struct far *far_of(const struct thread *t)
{
	return &x.far[t - x.threads];
}

static inline uint64_t mix(uint64_t v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdULL;
	v ^= v >> 33;
	v *= 0xc4ceb9fe1a85ec53ULL;
	return v ^ v >> 33;
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);

static inline uint64_t random_next(void)
{
	x.random ^= x.random << 13;
	x.random ^= x.random >> 7;
	x.random ^= x.random << 17;
	return x.random * 0x2545f4914f6cdd1dULL >> 11;
}

/* -------------------------------------------------------------------- tsan.c */

typedef bool (*update_fn)(uint64_t *value, const struct op *op, uint64_t arg);
uint64_t tsan_load(void *addr, unsigned int size, unsigned int order,
		   const void *pc);
void tsan_store(void *addr, unsigned int size, uint64_t value,
		unsigned int order, const void *pc);
uint64_t tsan_rmw(void *addr, unsigned int size, update_fn update,
		  uint64_t value, uint64_t arg, unsigned int order,
		  unsigned int failure, const void *pc);

/* -------------------------------------------------------------- checkpoint.c */

struct cell;

void checkpoints_begin(void);
void checkpoints_drop(void);
void checkpoint_at_lock(void);
void checkpoint_take(void);
bool checkpoint_put(void);
void undo_cell(struct cell *cell);

static inline void checkpoint_before_lock(void)
{
	if (unlikely(x.depth >= x.keep_lock_at))
		checkpoint_at_lock();
}

/* ---------------------------------------------------------------------- op.c */

uint16_t object_of_new(const void *addr, unsigned int size);
bool object_is_wide(const void *addr);
uint16_t object_of_queue(const void *addr);
struct object *object_fresh(struct object *object);	/* checkpoint.c */
void object_begin_c11(uint16_t number);
bool op_enabled(unsigned int actor);
bool touches_depend(const struct touch *a, unsigned int na,
		    const struct touch *b, unsigned int nb);
/* Of @n outcomes of this step, the one that this execution takes. */
unsigned int op_choose(unsigned int n);
void watch(uint16_t object);
void watched_change(uint16_t object);
void ops_begin(void);
void objects_forget(void);

/* Has anybody touched it in this execution? */
static inline bool object_used(const struct object *object)
{
	return object->epoch >= x.began;
}

static inline struct object *object_now(uint16_t number)
{
	struct object *object = once(&x.objects[number]);

	return likely(object->epoch == x.epoch) ? object : object_fresh(object);
}

static inline struct object *object_touched(const struct op *op)
{
	return object_now(op->touch->object);
}

/* Whoever yields goes on when what it has read since the last time changes. */
static inline void op_watch(uint16_t object)
{
	if (unlikely(x.yields))
		watch(object);
}

static inline void object_changed(uint16_t object)
{
	if (unlikely(x.yields))
		watched_change(object);
}

/* ------------------------------------------------------------------ engine.c */

/* The step in self()->op is announced; returns when it is this thread's turn. */
void op_point(void);
void thread_start(unsigned int number);
void thread_end(void) __attribute__((noreturn));
void execution_stop(enum end end) __attribute__((noreturn));
void execution_bad(enum uhmm_defect defect, const void *pc, const char *format,
		   ...) __attribute__((noreturn, format(printf, 3, 4)));
/* As that, from where no thread runs. */
void execution_note_bad(enum uhmm_defect defect, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
enum end execution_run(void);
int execution_setup(void);
int execution_pick(void);
void execution_begin(void);
void resume(unsigned int thread);
void setup_is_over(void);
bool execution_idle(void);
int prefix_decide(struct node *node, unsigned int enabled);

/* -------------------------------------------------------------------- dpor.c */

void dpor_races(unsigned int actor, const union clock *before);
unsigned int node_sleepers(const struct node *node, unsigned int actor);
/* The next execution of a depth-first search; false: there is none. */
bool search_next(unsigned int floor);

/* ----------------------------------------------------------------- repeats.c */

uint64_t event_hash(const struct event *event);
bool repeats(const struct node *node);
void repeats_forget(void);

/* ------------------------------------------------------------------ states.c */

/* So much of a phase at most; 0: no end. */
struct budget {
	uint64_t executions, steps;
};

int states_run(struct explore_phase *phase, struct budget most);
unsigned int states_choose(unsigned int n);
bool states_again(void);

/* ------------------------------------------------------------------ memory.c */

void memory_begin(void);
bool memory_has_newer(const struct thread *t, uint16_t object);
bool op_drains(const struct op *op);
void memory_fence(unsigned int order);
void memory_membarrier(unsigned int thread);
/* What the thread did so far is ordered by what it releases from here on. */
void memory_step(unsigned int thread);
void memory_flush(unsigned int thread);
void memory_drain_alone(void);
void memory_buffer_unlock(const struct op *op);
struct region;
void memory_plain_write(struct region *region, size_t offset, size_t size);
void memory_thread(unsigned int parent, unsigned int child);
void memory_joined(unsigned int thread);
void memory_yielded(void);
/* Of states.c. */
size_t memory_save_bytes(void);
char *memory_save(char *to);
const char *memory_restore(const char *from);
uint64_t memory_hash(uint64_t hash);

/* -------------------------------------------------------------------- race.c */

void race_plain(void *addr, size_t size, bool write, const void *pc);
/* The same, for the sizes that most have. */
void race_plain4(void *addr, bool write, const void *pc);
void race_plain8(void *addr, bool write, const void *pc);
void race_freed(void *addr, size_t size, const void *pc);

/* ----------------------------------------------------------------- locking.c */

void locks_in_order(void *lock, const void *pc);
void locks_too_many(const void *pc) __attribute__((noreturn));
void locks_may_sleep(const char *what, const void *pc);
void locks_reset(void);
void locks_at_end(void);
/* posix.c */
void keys_end(void);
void keys_forget(void);
void *keys_state(size_t *ret_size);
size_t keys_bytes(const void *copy);
/* Nobody can go on: say why. */
void classify_stuck(void);

/* ------------------------------------------------------------------ record.c */

void record_begin(void);
void record_flush(unsigned int thread);
struct trace_event *record_row_add(enum trace_kind kind, const void *addr,
				   const void *pc);
extern struct trace_event record_nowhere;

static inline struct trace_event *record_row(enum trace_kind kind,
					     const void *addr, const void *pc)
{
	return unlikely(x.record) ? record_row_add(kind, addr, pc) :
				    &record_nowhere;
}

int record_at(void);
void record_read(int from, bool old);
void record_note(const char *text, const void *pc);
void record_enter(const void *pc);
void record_leave(void);
struct trace *record_trace(void);
const char *name_of(const void *addr, char *buf, size_t size);
void names_add(const void *addr, size_t size, const char *name);
void names_forget(void);
void locks_forget(void);
char *place_text(const void *pc);
void names_mark(bool keep);		/* keep what there is, or go back to it */

/* ------------------------------------------------------------------ weaken.c */

int weaken_parse(const char *labels);
bool weaken_at(const void *pc);

/* --------------------------------------------------------------------- run.c */

int explore_fail(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

int run_forced(const struct trace_step *steps, unsigned int n, bool record);
unsigned int steps_get(struct trace_step *to);
unsigned int preemptions(void);
int run_count(struct explore_phase *phase);
/* By x.engine. */
int search(struct explore_phase *phase, struct budget most, bool stop_at_bad);
void run_anew(struct explore_phase *phase);
bool out_of_time(void);
void run_progress(const struct explore_phase *phase);

/* ------------------------------------------------------------------ shrink.c */

void bad_forget(void);
void bad_keep(void);
bool bad_found(void);
int bad_give(void);

/* ------------------------------------------------------------------- split.c */

int prefix_parse(const char *text);
void prefix_print(void);

#pragma GCC visibility pop

#endif
