/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* List notifiers, and the end of an address space. */
#include "conform.h"

#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

static enum outcome intervals_before_list(struct run *run)
{
	struct list_client first, last;
	struct client client;
	bool in_order;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_list(run, &first, 8, CALM);
	add_client(run, &client, 1, PG(10), 1);
	add_list(run, &last, 9, CALM);
	invalidate(run, PG(10), PG(11));
	in_order = calls_are(run, " i1 s9 s8 e9 e8");
	clear_calls(run);
	release(run);
	in_order = in_order && calls_are(run, " R1 r9 r8");
	drop(&client);
	drop_list(&first);
	drop_list(&last);
	return verdict(run, in_order, "the order is another one");
}

static enum outcome release_called_once(struct run *run)
{
	struct list_client gone, stays;
	bool once;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_list(run, &gone, 8, CALM);
	add_list(run, &stays, 9, CALM);
	drop_list(&gone);
	once = calls_are(run, " r8");
	release(run);
	drop_list(&stays);
	once = once && calls_are(run, " r8 r9");
	return verdict(run, once, "release was called never or twice");
}

static void add_list_8(void *arg)
{
	struct list_client *list = arg;

	add_list(list->run, list, 8, CALM);
}

static enum outcome no_end_without_start(struct run *run)
{
	struct list_client list = { .run = run };
	struct design_range range;
	struct attempt adder;
	bool matched;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	start_range(run, &range, PG(10), PG(11));
	attempt(&adder, add_list_8, &list);
	waits(&adder);
	end_range(run, &range);
	finish_attempt(&adder);
	invalidate(run, PG(10), PG(11));
	matched = calls_are(run, " s8 e8");
	drop_list(&list);
	return verdict(run, matched, "an end came without a start");
}

static void stop_list_at_gate(struct list_client *client)
{
	struct client as_client = { .data = client->data };

	stop_at_gate(&as_client);
}

static void invalidate_page_10(void *arg)
{
	invalidate(arg, PG(10), PG(11));
}

static void drop_list_client(void *list)
{
	drop_list(list);
}

static enum outcome lists_are_apart(struct run *run)
{
	struct run elsewhere = { .design = run->design };
	struct attempt starter, dropper;
	struct list_client here, there;
	struct gate gate = { 0 };
	bool waited;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	pthread_mutex_init(&elsewhere.lock, NULL);
	run->design->mm_create(&elsewhere.mm);
	add_list(&elsewhere, &there, 8, CALM);
	add_list(run, &here, 9, CALM);
	there.hook = stop_list_at_gate;
	there.data = &gate;
	attempt(&starter, invalidate_page_10, &elsewhere);
	waits(&starter);
	attempt(&dropper, drop_list_client, &here);
	waited = waits(&dropper);
	open_gate(&gate);
	finish_attempt(&starter);
	finish_attempt(&dropper);
	there.hook = NULL;
	drop_list(&there);
	release(&elsewhere);
	run->design->mm_destroy(elsewhere.mm);
	pthread_mutex_destroy(&elsewhere.lock);
	return verdict(run, !waited, "unregister waits for a callback of "
		       "another address space");
}

static enum outcome release_reaches_all(struct run *run)
{
	struct client low, high;
	bool reached;

	add_client(run, &low, 1, 0, 1);
	add_client(run, &high, 2, ULONG_MAX - 1, 1);
	release(run);
	reached = low.called == 1 && low.event == MMU_NOTIFY_RELEASE &&
		  high.called == 1 && high.event == MMU_NOTIFY_RELEASE &&
		  low.blockable;
	drop(&high);
	drop(&low);
	return verdict(run, reached, "one did not hear of the end");
}

static enum outcome release_reaches_last_byte(struct run *run)
{
	struct client client;
	bool reached;

	add_client(run, &client, 1, ULONG_MAX, 1);
	release(run);
	reached = client.called == 1 && client.event == MMU_NOTIFY_RELEASE;
	drop(&client);
	return verdict(run, reached, "who is on the last byte does not hear "
		       "of the end");
}

static enum outcome release_is_last(struct run *run)
{
	struct client client;
	bool last;

	add_client(run, &client, 1, PG(10), 1);
	release(run);
	invalidate(run, PG(10), PG(11));
	last = calls_are(run, " R1");
	drop(&client);
	return verdict(run, last, "unmapping what is left still calls");
}

static enum outcome list_gets_nothing_after(struct run *run)
{
	struct list_client list;
	bool last;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_list(run, &list, 9, CALM);
	release(run);
	invalidate(run, PG(10), PG(11));
	last = calls_are(run, " r9");
	drop_list(&list);
	return verdict(run, last, "a list notifier is called after release");
}

static enum outcome insert_too_late(struct run *run)
{
	struct client client, late;
	bool refused;

	add_client(run, &client, 1, PG(10), 1);
	release(run);
	init_client(run, &late, 2);
	refused = insert(&late, PG(10), 1) == -EINVAL;
	if (!refused)
		drop(&late);
	drop(&client);
	return verdict(run, refused, "who comes too late is let in");
}

/* Who had it open is not there to end it. */
static enum outcome fork_closes_ranges(struct run *run)
{
	struct design_range range;
	struct attempt reader;
	struct client client;
	int status = -1;
	bool waited;
	pid_t child;

	add_client(run, &client, 1, PG(10), 1);
	start_range(run, &range, PG(10), PG(11));
	child = fork();
	if (!child) {
		attempt(&reader, begin_client, &client);
		waited = waits(&reader);
		if (!waited)
			finish_attempt(&reader);
		_exit(waited);
	}
	waitpid(child, &status, 0);
	end_range(run, &range);
	drop(&client);
	return verdict(run, !status, "the child waits for an end that never "
		       "comes");
}

const struct property end_properties[] = {
	{ "interval notifiers before list notifiers, the list's last one "
	  "first: at start, end and release", intervals_before_list, "HH---" },
	{ "a list notifier's release is called once", release_called_once,
	  "HH---" },
	{ "a list notifier sees no end without a start", no_end_without_start,
	  "HH---" },
	{ "list notifiers do not wait for other address spaces",
	  lists_are_apart, "HF---" },
	{ "RELEASE reaches every subscription, once", release_reaches_all,
	  "HHHHH" },
	{ "RELEASE reaches the last byte", release_reaches_last_byte, "HFHHH" },
	{ "RELEASE is the last that a subscription hears", release_is_last, "HFHHH" },
	{ "release is the last that a list notifier hears", list_gets_nothing_after, "HH---" },
	{ "after RELEASE insert is -EINVAL, and remove works", insert_too_late,
	  "HHHHH" },
	{ "a forked child has nothing open", fork_closes_ranges, "HFFFF" },
	{ NULL, NULL, NULL },
};
