/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "conform.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../cases.h"

#define LOOK_NS 3000000
#define LOOKS_ASLEEP 20
#define LOOKS_AT_ALL 10000

static void die(const char *what)
{
	fprintf(stderr, "conformance: %s\n", what);
	abort();
}

enum outcome verdict(struct run *run, bool holds, const char *why)
{
	if (holds)
		return HOLDS;
	run->why = why;
	return FAILS;
}

static void note(struct run *run, char kind, int id)
{
	size_t used;

	pthread_mutex_lock(&run->lock);
	used = strlen(run->calls);
	snprintf(run->calls + used, sizeof(run->calls) - used, " %c%d", kind,
		 id);
	pthread_mutex_unlock(&run->lock);
}

void clear_calls(struct run *run)
{
	pthread_mutex_lock(&run->lock);
	run->calls[0] = 0;
	pthread_mutex_unlock(&run->lock);
}

bool calls_are(struct run *run, const char *calls)
{
	bool same;

	pthread_mutex_lock(&run->lock);
	same = !strcmp(run->calls, calls);
	pthread_mutex_unlock(&run->lock);
	return same;
}

/* --------------------------------------------------------------- clients */

static bool called(struct design_sub *sub, unsigned long start,
		   unsigned long end, bool blockable,
		   enum mmu_notifier_event event, void *owner,
		   unsigned long cur_seq)
{
	struct client *client = container_of(sub, struct client, sub);

	note(client->run, event == MMU_NOTIFY_RELEASE ? 'R' : 'i', client->id);
	if (client->hook)
		client->hook(client);
	if (client->refuse_all || (client->refuse && !blockable))
		return false;
	pthread_mutex_lock(&client->lock);
	client->called++;
	client->start = start;
	client->end = end;
	client->blockable = blockable;
	client->event = event;
	client->owner = owner;
	client->cur_seq = cur_seq;
	client->run->design->set_seq(sub, cur_seq);
	pthread_mutex_unlock(&client->lock);
	return true;
}

static void finished(struct design_sub *sub)
{
	struct client *client = container_of(sub, struct client, sub);

	note(client->run, 'f', client->id);
}

void init_client(struct run *run, struct client *client, int id)
{
	memset(client, 0, sizeof(*client));
	client->ops.invalidate = called;
	client->run = run;
	client->id = id;
	pthread_mutex_init(&client->lock, NULL);
	run->design->prepare(&client->ops);
}

int insert(struct client *client, unsigned long start, unsigned long length)
{
	return client->run->design->insert(&client->sub, client->run->mm, start,
					   length, &client->ops);
}

void add_client(struct run *run, struct client *client, int id,
		unsigned long start, unsigned long length)
{
	init_client(run, client, id);
	if (insert(client, start, length))
		die("a subscription is refused");
}

void add_two_pass(struct run *run, struct client *client, int id,
		  unsigned long start, unsigned long length)
{
	init_client(run, client, id);
	client->ops.finish = finished;
	if (run->design->prepare(&client->ops) ||
	    insert(client, start, length))
		die("a subscription with two passes is refused");
}

void drop(struct client *client)
{
	client->run->design->remove(&client->sub);
}

unsigned long begin(struct client *client)
{
	return client->run->design->read_begin(&client->sub);
}

bool retry(struct client *client, unsigned long seq)
{
	bool again;

	pthread_mutex_lock(&client->lock);
	again = client->run->design->read_retry(&client->sub, seq);
	pthread_mutex_unlock(&client->lock);
	return again;
}

bool has_lists(const struct run *run)
{
	return run->design->list_register;
}

bool has_two_passes(const struct run *run)
{
	struct design_client client = { .finish = finished };

	return !run->design->prepare(&client);
}

bool has_numbers(const struct run *run)
{
	return run->design->check_retry;
}

bool has_nonblock(const struct run *run)
{
	struct design_range range;
	int ret;

	ret = run->design->start(&range, run->mm, PG(1000), PG(1001), false,
				 MMU_NOTIFY_CLEAR, NULL);
	if (!ret)
		run->design->end(&range);
	return ret != -EOPNOTSUPP;
}

/* ----------------------------------------------------------------- lists */

static int list_start(struct design_list *list, unsigned long start,
		      unsigned long end, bool blockable,
		      enum mmu_notifier_event event)
{
	struct list_client *client;

	client = container_of(list, struct list_client, list);
	note(client->run, 's', client->id);
	if (client->hook)
		client->hook(client);
	return !client->ops.end && !blockable ? -EAGAIN : 0;
}

static void list_end(struct design_list *list, unsigned long start,
		     unsigned long end, enum mmu_notifier_event event)
{
	struct list_client *client;

	client = container_of(list, struct list_client, list);
	note(client->run, 'e', client->id);
}

static void list_release(struct design_list *list)
{
	struct list_client *client;

	client = container_of(list, struct list_client, list);
	note(client->run, 'r', client->id);
}

void add_list(struct run *run, struct list_client *client, int id,
	      enum list_kind kind)
{
	memset(client, 0, sizeof(*client));
	client->ops.start = list_start;
	client->ops.end = kind == CALM ? list_end : NULL;
	client->ops.release = list_release;
	client->run = run;
	client->id = id;
	run->design->prepare_list(&client->ops);
	if (run->design->list_register(&client->list, run->mm, &client->ops))
		die("a list notifier is refused");
}

void drop_list(struct list_client *client)
{
	client->run->design->list_unregister(&client->list, client->run->mm);
}

/* ---------------------------------------------------------------- ranges */

void start_range(struct run *run, struct design_range *range,
		unsigned long start, unsigned long end)
{
	if (run->design->start(range, run->mm, start, end, true,
			       MMU_NOTIFY_CLEAR, NULL))
		die("a blockable invalidation is refused");
}

int start_nonblock(struct run *run, struct design_range *range,
		  unsigned long start, unsigned long end)
{
	return run->design->start(range, run->mm, start, end, false,
				  MMU_NOTIFY_CLEAR, NULL);
}

void end_range(struct run *run, struct design_range *range)
{
	run->design->end(range);
}

void invalidate(struct run *run, unsigned long start, unsigned long end)
{
	struct design_range range;

	start_range(run, &range, start, end);
	end_range(run, &range);
}

void release(struct run *run)
{
	run->design->release(run->mm);
	run->released = true;
}

/* -------------------------------------------------------------- attempts */

static void *attempt_thread(void *arg)
{
	struct attempt *attempt = arg;

	__atomic_store_n(&attempt->tid, (int)syscall(SYS_gettid),
			 __ATOMIC_SEQ_CST);
	attempt->fn(attempt->arg);
	__atomic_store_n(&attempt->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

void attempt(struct attempt *attempt, void (*fn)(void *arg), void *arg)
{
	*attempt = (struct attempt){ .fn = fn, .arg = arg };
	if (pthread_create(&attempt->thread, NULL, attempt_thread, attempt))
		die("no thread");
}

static void look_again(void)
{
	struct timespec ts = { .tv_nsec = LOOK_NS };

	nanosleep(&ts, NULL);
}

bool waits_while(struct attempt *attempt, void (*step)(void *arg), void *arg)
{
	int asleep = 0;

	for (int i = 0; i < LOOKS_AT_ALL; i++) {
		int tid = __atomic_load_n(&attempt->tid, __ATOMIC_SEQ_CST);

		if (__atomic_load_n(&attempt->done, __ATOMIC_SEQ_CST))
			return false;
		if (tid && thread_is_asleep(tid))
			asleep++;
		else if (asleep)
			asleep--;
		if (asleep == LOOKS_ASLEEP)
			return true;
		if (step)
			step(arg);
		look_again();
	}
	die("a thread neither ends nor sleeps");
	return true;
}

bool waits(struct attempt *attempt)
{
	return waits_while(attempt, NULL, NULL);
}

void finish_attempt(struct attempt *attempt)
{
	for (int i = 0; i < LOOKS_AT_ALL; i++) {
		if (__atomic_load_n(&attempt->done, __ATOMIC_SEQ_CST)) {
			pthread_join(attempt->thread, NULL);
			return;
		}
		look_again();
	}
	die("a thread waits, and nothing is left to wait for");
}

void stop_at_gate(struct client *client)
{
	struct gate *gate = client->data;

	__atomic_add_fetch(&gate->inside, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&gate->open, __ATOMIC_SEQ_CST))
		wait_word(&gate->open, 0, -1);
}

void open_gate(struct gate *gate)
{
	__atomic_store_n(&gate->open, 1, __ATOMIC_SEQ_CST);
	wake_word(&gate->open);
}

void begin_client(void *client)
{
	begin(client);
}

void drop_client(void *client)
{
	drop(client);
}
