/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the conformance suite is written with. A property is a small function
 * on the table of designs; it runs on a fresh address space and says whether
 * the design has it. It leaves nothing open and nobody waiting, also when the
 * design has failed it.
 */
#ifndef TESTS_CONFORM_H
#define TESTS_CONFORM_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "designs/design.h"

#define PG(n) (0x100000UL + ((unsigned long)(n) << 12))

enum outcome {
	HOLDS,
	FAILS,
	NOT_APPLICABLE
};

/* One design being asked. What was called is a string: " i1 i2 f1 s7". */
struct run {
	const struct uhmm_design *design;
	struct design_mm *mm;
	bool released;
	const char *why;	/* what was seen, for FAILS */
	pthread_mutex_t lock;	/* of what is below */
	char calls[1024];
};

/*
 * A subscriber. Its callback writes "i<id>" (RELEASE: "R<id>"), then calls
 * @hook if there is one, then takes @lock and sets the number.
 */
struct client {
	struct design_client ops;
	struct run *run;
	int id;
	bool refuse;		/* what is not blockable */
	bool refuse_all;
	void (*hook)(struct client *client);
	void *data;		/* for @hook */
	pthread_mutex_t lock;
	int called;
	/* of the last call */
	unsigned long start;
	unsigned long end;
	bool blockable;
	enum mmu_notifier_event event;
	void *owner;
	unsigned long cur_seq;
	struct design_sub sub;
};

/* A list notifier: writes "s<id>", "e<id>", "r<id>". */
struct list_client {
	struct design_list_client ops;
	struct run *run;
	int id;
	void (*hook)(struct list_client *client);
	void *data;
	struct design_list list;
};

/* What a property returns when @holds is not so, with what was seen. */
enum outcome verdict(struct run *run, bool holds, const char *why);
void clear_calls(struct run *run);
bool calls_are(struct run *run, const char *calls);

/* Both die when the design refuses. */
void add_client(struct run *run, struct client *client, int id,
		unsigned long start, unsigned long length);
void add_two_pass(struct run *run, struct client *client, int id,
		  unsigned long start, unsigned long length);
/* Fill without inserting. */
void init_client(struct run *run, struct client *client, int id);
int insert(struct client *client, unsigned long start, unsigned long length);
void drop(struct client *client);
unsigned long begin(struct client *client);
/* Under the client's lock. */
bool retry(struct client *client, unsigned long seq);

bool has_lists(const struct run *run);
bool has_two_passes(const struct run *run);
bool has_numbers(const struct run *run);
bool has_nonblock(const struct run *run);

enum list_kind {
	CALM,		/* start and end */
	REFUSING	/* start refuses what is not blockable; no end */
};

void add_list(struct run *run, struct list_client *client, int id,
	      enum list_kind kind);
void drop_list(struct list_client *client);

/* A blockable start of CLEAR, which cannot be refused. */
void start_range(struct run *run, struct design_range *range,
		unsigned long start, unsigned long end);
int start_nonblock(struct run *run, struct design_range *range,
		  unsigned long start, unsigned long end);
void end_range(struct run *run, struct design_range *range);
/* start and end */
void invalidate(struct run *run, unsigned long start, unsigned long end);
void release(struct run *run);

/* ------------------------------------------------------------- attempts
 * Something that may have to wait, in a thread of its own. It is said to wait
 * when it was asleep at most of many looks: a slow machine makes it late, but
 * not asleep.
 */
struct attempt {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
	int tid;
	int done;
};

void attempt(struct attempt *attempt, void (*fn)(void *arg), void *arg);
/* Does it wait? Returns when that is known, or it is done. */
bool waits(struct attempt *attempt);
/* The same, with @step called at each look. */
bool waits_while(struct attempt *attempt, void (*step)(void *arg), void *arg);
/* To be called once nothing is left that it could wait for. */
void finish_attempt(struct attempt *attempt);

/* A hook that stops callbacks until the gate opens; @data is the gate. */
struct gate {
	int inside;
	unsigned int open;
};

void stop_at_gate(struct client *client);
void open_gate(struct gate *gate);

/* Ready-made attempts, @arg is a struct client. */
void begin_client(void *client);
void drop_client(void *client);

/* ----------------------------------------------------------- properties */
struct property {
	const char *says;
	enum outcome (*holds)(struct run *run);
	const char *expect;	/* a letter for each of uhmm_designs: H, F, - */
};

/*
 * A design made wrong on purpose, for a property that all designs have: who
 * never saw a check fail does not know that it can. Of one property as long as
 * @says is the same.
 */
struct mutant {
	const char *says;	/* the property's */
	const char *how;
	struct uhmm_design *(*make)(void);
};

/* Each table ends with an empty row. */
extern const struct mutant mutants[];
extern const struct property call_properties[];
extern const struct property read_properties[];
extern const struct property wait_properties[];
extern const struct property refusal_properties[];
extern const struct property end_properties[];

#endif
