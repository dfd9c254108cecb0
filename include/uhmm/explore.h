/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a scenario says to the explorer.
 *
 * A scenario is a small program that the explorer runs through every order in
 * which its threads can meet. Inside it is plain C: pthread_create(),
 * pthread_mutex_lock(), <stdatomic.h>, malloc(), the functions of the library:
 *
 *	static void *fault(void *arg) { ... }
 *	static void run(void)
 *	{
 *		... make objects ...
 *		pthread_create(&t, NULL, fault, NULL);
 *		...
 *		pthread_join(t, NULL);
 *	}
 *	UHMM_SCENARIO(my_scenario, .run = run, .result = UHMM_RESULT_NEVER,
 *		      .bad = "the device reads a page that is freed");
 *
 * It is compiled with -fsanitize=thread, by which the explorer sees each access
 * to memory, and becomes a shared object that the tool loads:
 *
 *	cc -g -O1 -fsanitize=thread -fPIC -c my_scenario.c
 *	cc -shared -o my_scenario.so my_scenario.o \
 *		$(pkg-config --variable=scenario uhmm)
 *	uhmm explore ./my_scenario.so
 *
 * What runs before the first pthread_create() runs once, and what it leaves in
 * the scenario's variables and on the heap is the start of every execution.
 * All that is written has to be memory of the scenario: its variables, its
 * heap, its stacks. An execution has at most UHMM_EXPLORE_THREADS threads, the
 * one of run() included. Outside an execution the functions below do nothing.
 *
 * They are the tool's, not the library's: libuhmm.so does not have them.
 */
#ifndef UHMM_EXPLORE_H
#define UHMM_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UHMM_EXPLORE_THREADS 8

/**
 * enum uhmm_result - how often the bad outcome comes about
 * @UHMM_RESULT_NONE: not said: any violation is a surprise
 * @UHMM_RESULT_NEVER: in no execution
 * @UHMM_RESULT_SOMETIMES: in some
 * @UHMM_RESULT_ALWAYS: in all
 */
enum uhmm_result {
	UHMM_RESULT_NONE = 0,
	UHMM_RESULT_NEVER,
	UHMM_RESULT_SOMETIMES,
	UHMM_RESULT_ALWAYS
};

/**
 * enum uhmm_model - which reorderings of memory accesses there are
 * @UHMM_MODEL_SC: none: all see one order
 * @UHMM_MODEL_TSO: stores are seen late by others, as on x86
 * @UHMM_MODEL_C11: what C11 allows and aarch64 does, load buffering apart
 */
enum uhmm_model {
	UHMM_MODEL_SC = 0,
	UHMM_MODEL_TSO,
	UHMM_MODEL_C11
};

/**
 * enum uhmm_defect - what can be wrong with an execution
 * @UHMM_DEFECT_NONE: nothing
 * @UHMM_DEFECT_ASSERTION: uhmm_assert() or assert() failed
 * @UHMM_DEFECT_STALE: a device used a page behind the back of an invalidation
 * @UHMM_DEFECT_LOST: an invalidation did not reach who it concerned
 * @UHMM_DEFECT_USE_AFTER_FREE: memory used that was freed, or freed twice
 * @UHMM_DEFECT_RACE: plain accesses of two threads that nothing orders
 * @UHMM_DEFECT_DEADLOCK: threads wait for one another's locks
 * @UHMM_DEFECT_HELD_WAIT: a thread waits, not for a lock, and holds one that
 *	whoever would wake it waits for
 * @UHMM_DEFECT_LOST_WAKEUP: a thread sleeps and nobody is left to wake it
 * @UHMM_DEFECT_LOCK_ORDER: two locks are taken in both orders, be it in two
 *	executions
 * @UHMM_DEFECT_SLEEP: a call that may sleep where none is allowed
 * @UHMM_DEFECT_LIVELOCK: threads go round for ever
 * @UHMM_DEFECT_OVERTAKEN: more invalidations went ahead of a fault than allowed
 * @UHMM_DEFECT_CONTRACT: the contract checker's report
 * @UHMM_DEFECT_TOO_LONG: the execution did not end, see what it names
 * @UHMM_DEFECT_UNSUPPORTED: something the explorer cannot do was asked for
 */
enum uhmm_defect {
	UHMM_DEFECT_NONE = 0,
	UHMM_DEFECT_ASSERTION,
	UHMM_DEFECT_STALE,
	UHMM_DEFECT_LOST,
	UHMM_DEFECT_USE_AFTER_FREE,
	UHMM_DEFECT_RACE,
	UHMM_DEFECT_DEADLOCK,
	UHMM_DEFECT_HELD_WAIT,
	UHMM_DEFECT_LOST_WAKEUP,
	UHMM_DEFECT_LOCK_ORDER,
	UHMM_DEFECT_SLEEP,
	UHMM_DEFECT_LIVELOCK,
	UHMM_DEFECT_OVERTAKEN,
	UHMM_DEFECT_CONTRACT,
	UHMM_DEFECT_TOO_LONG,
	UHMM_DEFECT_UNSUPPORTED
};

#define UHMM_SCENARIO_SYMMETRIC	(1U << 0)
#define UHMM_SCENARIO_TIMEOUTS	(1U << 1)

/**
 * struct uhmm_scenario - a program to explore
 * @name: one word
 * @source: where it comes from: the mail, its date
 * @bad: the bad outcome in words
 * @result: how often it comes about
 * @model: the memory model it is explored under, if not told otherwise
 * @flags: UHMM_SCENARIO_SYMMETRIC: threads made one after the other with the
 *	same function and argument may be exchanged; UHMM_SCENARIO_TIMEOUTS: a
 *	wait with a timeout may time out at any moment, not only when nobody else
 *	can go on
 * @run: its first thread
 * @next: private
 */
struct uhmm_scenario {
	const char *name;
	const char *source;
	const char *bad;
	enum uhmm_result result;
	enum uhmm_model model;
	unsigned int flags;
	void (*run)(void);
	/* private: */
	struct uhmm_scenario *next;
};

/**
 * uhmm_scenario_register() - make a scenario known to the tool
 * @scenario: the scenario; see UHMM_SCENARIO(), which does it at load
 *
 * Context: any, outside of executions.
 */
void uhmm_scenario_register(struct uhmm_scenario *scenario);

/* UHMM_SCENARIO(name, .run = run, ...): several may stand in one file. */
#define UHMM_SCENARIO(ident, ...) \
	static struct uhmm_scenario uhmm_scenario_##ident = { \
		.name = #ident, __VA_ARGS__ \
	}; \
	__attribute__((constructor)) static void \
	uhmm_scenario_register_##ident(void) \
	{ \
		uhmm_scenario_register(&uhmm_scenario_##ident); \
	} \
	struct uhmm_scenario

/**
 * uhmm_exploring() - does the caller run in an execution?
 *
 * Context: any.
 * Return: false outside of the explorer.
 */
bool uhmm_exploring(void);

/**
 * uhmm_choose() - a choice of data, of which the explorer takes each
 * @n: how many there are, 255 at most
 *
 * Context: any.
 * Return: 0 to @n - 1; in different executions each of them.
 */
unsigned int uhmm_choose(unsigned int n);

/**
 * uhmm_name() - give an object a name, for ladders
 * @object: its first byte
 * @size: how many bytes; what lies inside is shown as name+offset
 * @format: the name, as of printf()
 *
 * Context: any. Names of locks and of words that threads share are enough.
 */
void uhmm_name(const void *object, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * uhmm_thread_name() - name the calling thread, for ladders
 * @name: short; it is the head of a column; kept
 *
 * Context: any.
 */
void uhmm_thread_name(const char *name);

/**
 * uhmm_note() - a row of its own in the ladder
 * @format: what it says, as of printf(); 47 characters are kept
 *
 * Context: any. It is no step of its own: no other thread comes between it
 * and what follows.
 */
void uhmm_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * uhmm_defect() - say that the execution is bad, and end it
 * @defect: what kind
 * @format: how it shows, as of printf()
 *
 * Context: any. In an execution it does not return.
 */
void uhmm_defect(enum uhmm_defect defect, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The execution is bad if it does not hold. Plain assert() does the same. */
#define uhmm_assert(condition) \
	((condition) ? (void)0 : \
		       uhmm_defect(UHMM_DEFECT_ASSERTION, "%s", #condition))

/**
 * uhmm_measure() - have the largest value over all executions shown
 * @what: what is measured: a constant string, which is kept
 * @value: here
 *
 * As how many invalidations went ahead of one fault.
 *
 * Context: any.
 */
void uhmm_measure(const char *what, unsigned long value);

/**
 * uhmm_progress() - something was achieved
 *
 * Context: any. Threads that come back to where they were, with none of these
 * in between, go round for ever, which is a livelock.
 */
void uhmm_progress(void);

/**
 * uhmm_no_sleep() - from here on this thread must not sleep, or it may again
 * @on: begins a section if true, ends one if false; sections nest
 *
 * In it each call that may sleep is a defect, whether it does or not.
 *
 * Context: any.
 */
void uhmm_no_sleep(bool on);

/**
 * uhmm_freed() - no thread may use a piece of memory any more, or again
 * @object: its first byte, in what malloc() gave
 * @size: how many bytes
 * @freed: true: a use of it is use after free; false: it may be used
 *
 * For pages that a scenario hands out itself; what free() gets is known.
 *
 * Context: any.
 */
void uhmm_freed(const void *object, size_t size, bool freed);

#ifdef __cplusplus
}
#endif

#endif
