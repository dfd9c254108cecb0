/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Who waits for whom, and who gets through. */
#include "conform.h"

/* Hit by one that ended, while one of another range stays open. */
static enum outcome read_ignores_others(struct run *run)
{
	struct design_range mine, others;
	struct client client, other;
	struct attempt reader;
	bool waited;

	add_client(run, &client, 1, PG(10), 1);
	add_client(run, &other, 2, PG(50), 1);
	start_range(run, &mine, PG(10), PG(11));
	start_range(run, &others, PG(50), PG(51));
	end_range(run, &mine);
	attempt(&reader, begin_client, &client);
	waited = waits(&reader);
	end_range(run, &others);
	finish_attempt(&reader);
	drop(&other);
	drop(&client);
	return verdict(run, !waited, "the read waits until nothing at all is "
		       "being invalidated");
}

static enum outcome first_read_ignores_others(struct run *run)
{
	struct design_range others;
	struct attempt reader;
	struct client client;
	bool waited;

	start_range(run, &others, PG(50), PG(51));
	add_client(run, &client, 1, PG(10), 1);
	attempt(&reader, begin_client, &client);
	waited = waits(&reader);
	end_range(run, &others);
	finish_attempt(&reader);
	drop(&client);
	return verdict(run, !waited, "the read waits until nothing at all is "
		       "being invalidated");
}

static enum outcome remove_ignores_others(struct run *run)
{
	struct client client, other;
	struct design_range others;
	struct attempt remover;
	bool waited;

	add_client(run, &client, 1, PG(10), 1);
	add_client(run, &other, 2, PG(50), 1);
	start_range(run, &others, PG(50), PG(51));
	attempt(&remover, drop_client, &client);
	waited = waits(&remover);
	end_range(run, &others);
	finish_attempt(&remover);
	drop(&other);
	return verdict(run, !waited, "remove waits until nothing at all is "
		       "being invalidated");
}

/* An invalidation of one page, always open: the next begins before it ends. */
struct relay {
	struct run *run;
	int page;
	int turn;
	struct design_range range[2];
};

static void relay_begin(struct relay *relay, struct run *run, int page)
{
	relay->run = run;
	relay->page = page;
	relay->turn = 0;
	start_range(run, &relay->range[0], PG(page), PG(page + 1));
}

static void relay_step(void *arg)
{
	struct relay *relay = arg;

	for (int i = 0; i < 8; i++) {
		int next = !relay->turn;

		start_range(relay->run, &relay->range[next], PG(relay->page),
			   PG(relay->page + 1));
		end_range(relay->run, &relay->range[relay->turn]);
		relay->turn = next;
	}
}

static void relay_end(struct relay *relay)
{
	end_range(relay->run, &relay->range[relay->turn]);
}

static void insert_read_remove(void *arg)
{
	struct run *run = arg;
	struct client client;

	add_client(run, &client, 1, PG(10), 1);
	begin(&client);
	drop(&client);
}

static enum outcome relay_elsewhere_starves_nobody(struct run *run)
{
	struct client other, gone;
	struct attempt worker, remover;
	struct relay relay;
	bool starved;

	add_client(run, &other, 2, PG(50), 1);
	add_client(run, &gone, 3, PG(20), 1);
	relay_begin(&relay, run, 50);
	attempt(&worker, insert_read_remove, run);
	starved = waits_while(&worker, relay_step, &relay);
	attempt(&remover, drop_client, &gone);
	starved = waits_while(&remover, relay_step, &relay) || starved;
	relay_end(&relay);
	finish_attempt(&worker);
	finish_attempt(&remover);
	drop(&other);
	return verdict(run, !starved, "it waits as long as one of them "
		       "begins before the last one ends");
}

static enum outcome relay_here_starves_nobody(struct run *run)
{
	struct attempt worker;
	struct relay relay;
	bool starved;

	relay_begin(&relay, run, 10);
	attempt(&worker, insert_read_remove, run);
	starved = waits_while(&worker, relay_step, &relay);
	relay_end(&relay);
	finish_attempt(&worker);
	return verdict(run, !starved, "the read waits also for invalidations "
		       "that began after it");
}

static void invalidate_page_10(void *arg)
{
	invalidate(arg, PG(10), PG(11));
}

static enum outcome remove_waits_for_callback(struct run *run)
{
	struct attempt starter, remover;
	struct gate gate = { 0 };
	struct client client;
	bool waited;

	add_client(run, &client, 1, PG(10), 1);
	client.data = &gate;
	client.hook = stop_at_gate;
	attempt(&starter, invalidate_page_10, run);
	waits(&starter);
	attempt(&remover, drop_client, &client);
	waited = waits(&remover);
	open_gate(&gate);
	finish_attempt(&starter);
	finish_attempt(&remover);
	invalidate(run, PG(10), PG(11));
	return verdict(run, waited && client.called == 1,
		       "remove returned and a callback was still running");
}

/* --------------------------------------------------------------- the storm
 * One thread faults, another invalidates the page in each of the attempts: it
 * starts once page tables have been read, and ends once the fault has looked
 * for a collision. Only a design that holds the start back lets a fault
 * through. Counted in attempts; a trial that the scheduler has spoilt is
 * outvoted by the others.
 */
struct storm {
	struct run *run;
	unsigned int asked;	/* number of the attempt that is to collide */
	unsigned int starting;	/* ... whose start is being called */
	unsigned int started;	/* ... whose start has returned */
	unsigned int looked;	/* ... that has looked for the collision */
};

#define TRIALS 21
#define ATTEMPTS_MAX 40
/* Three collisions, one that was under way, and the one that succeeds. */
#define ATTEMPTS_BOUND 5
#define HELD_BACK_NS 4000000
#define LAST_ATTEMPT (~0U)

static void say(unsigned int *of, unsigned int number)
{
	__atomic_store_n(of, number, __ATOMIC_SEQ_CST);
	wake_word(of);
}

/* Until @of is @number, or for that long; true if it is. */
static bool wait_until(unsigned int *of, unsigned int number, int64_t ns)
{
	int64_t until = ktime_get_ns() + ns;

	for (;;) {
		unsigned int now = __atomic_load_n(of, __ATOMIC_SEQ_CST);
		int64_t left = until - ktime_get_ns();

		if (now == number || now == LAST_ATTEMPT)
			return now == number;
		if (ns >= 0 && left <= 0)
			return false;
		wait_word(of, now, ns < 0 ? -1 : left);
	}
}

static void invalidate_each_attempt(void *arg)
{
	struct design_range range;
	struct storm *storm = arg;

	for (unsigned int n = 1; wait_until(&storm->asked, n, -1); n++) {
		say(&storm->starting, n);
		start_range(storm->run, &range, PG(10), PG(11));
		say(&storm->started, n);
		wait_until(&storm->looked, n, -1);
		end_range(storm->run, &range);
	}
}

static int fault(struct storm *storm, struct client *client, unsigned int *n)
{
	for (int attempts = 1; attempts <= ATTEMPTS_MAX; attempts++) {
		unsigned long seq = begin(client);
		bool again;

		/* Page tables are read until it strikes, or is held back. */
		say(&storm->asked, ++*n);
		wait_until(&storm->starting, *n, -1);
		wait_until(&storm->started, *n, HELD_BACK_NS);
		again = retry(client, seq);
		say(&storm->looked, *n);
		wait_until(&storm->started, *n, -1);
		if (!again)
			return attempts;
	}
	return ATTEMPTS_MAX + 1;
}

static enum outcome fault_gets_through(struct run *run)
{
	struct storm storm = { .run = run };
	struct attempt invalidator;
	struct client client;
	unsigned int n = 0;
	int in_time = 0;

	add_client(run, &client, 1, PG(10), 1);
	attempt(&invalidator, invalidate_each_attempt, &storm);
	for (int i = 0; i < TRIALS; i++)
		if (fault(&storm, &client, &n) <= ATTEMPTS_BOUND)
			in_time++;
	say(&storm.asked, LAST_ATTEMPT);
	finish_attempt(&invalidator);
	drop(&client);
	return verdict(run, in_time > TRIALS / 2,
		       "each of 40 attempts collides");
}

const struct property wait_properties[] = {
	{ "a read does not wait for ranges that are not its own",
	  read_ignores_others, "HFHFH" },
	{ "the first read does not wait for ranges that are not its own",
	  first_read_ignores_others, "HFHFH" },
	{ "remove does not wait for ranges that are not its own",
	  remove_ignores_others, "HFHHH" },
	{ "remove waits for callbacks under way, and then none comes",
	  remove_waits_for_callback, "HHHHH" },
	{ "insert, first read and remove go on while invalidations of other "
	  "ranges take turns",
	  relay_elsewhere_starves_nobody, "HFHFH" },
	{ "insert, first read and remove go on while invalidations of their "
	  "range take turns", relay_here_starves_nobody,
	  "HFFFH" },
	{ "a fault gets through a storm on its page (k + 2 attempts)",
	  fault_gets_through, "HFFFF" },
	{ NULL, NULL, NULL },
};
