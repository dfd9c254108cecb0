/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Callbacks that would have to sleep and may not. */
#include "conform.h"

static enum outcome refusal_stops(struct run *run)
{
	struct client one, two, three;
	struct design_range range;
	bool stopped;

	if (!has_nonblock(run))
		return NOT_APPLICABLE;
	add_client(run, &one, 1, PG(10), 1);
	add_client(run, &two, 2, PG(11), 1);
	add_client(run, &three, 3, PG(12), 1);
	two.refuse = true;
	stopped = start_nonblock(run, &range, PG(10), PG(13)) == -EAGAIN &&
		  one.called + three.called == 1;
	drop(&three);
	drop(&two);
	drop(&one);
	return verdict(run, stopped, "others are called after a refusal");
}

/*
 * Where a range stays open an end has to be sent for it, against the rules, so
 * that the suite can go on. Also further down.
 */
static enum outcome nothing_stays_open(struct run *run)
{
	struct client calm, refusing, late;
	struct design_range range;
	struct attempt worker;
	bool waited;

	if (!has_nonblock(run))
		return NOT_APPLICABLE;
	add_client(run, &calm, 1, PG(10), 1);
	add_client(run, &refusing, 2, PG(11), 1);
	refusing.refuse = true;
	start_nonblock(run, &range, PG(10), PG(12));
	add_client(run, &late, 3, PG(10), 1);
	attempt(&worker, begin_client, &calm);
	waited = waits(&worker);
	if (waited)
		end_range(run, &range);
	finish_attempt(&worker);
	attempt(&worker, begin_client, &late);
	waited = waits(&worker) || waited;
	finish_attempt(&worker);
	attempt(&worker, drop_client, &late);
	waited = waits(&worker) || waited;
	finish_attempt(&worker);
	drop(&refusing);
	drop(&calm);
	return verdict(run, !waited, "the refused range stays open");
}

static enum outcome begun_passes_are_finished(struct run *run)
{
	struct client one, two, three;
	struct design_range range;
	bool finished;

	if (!has_two_passes(run))
		return NOT_APPLICABLE;
	add_two_pass(run, &one, 1, PG(10), 1);
	add_two_pass(run, &two, 2, PG(11), 1);
	add_two_pass(run, &three, 3, PG(12), 1);
	two.refuse = true;
	start_nonblock(run, &range, PG(10), PG(13));
	finished = calls_are(run, " i1 i2 f1");
	drop(&three);
	drop(&two);
	drop(&one);
	return verdict(run, finished, "a first pass has no second");
}

static enum outcome blockable_cannot_fail(struct run *run)
{
	struct client one, two, three;
	struct design_range range;
	bool all;
	int ret;

	add_client(run, &one, 1, PG(10), 1);
	add_client(run, &two, 2, PG(11), 1);
	add_client(run, &three, 3, PG(12), 1);
	two.refuse_all = true;
	ret = run->design->start(&range, run->mm, PG(10), PG(13), true,
				 MMU_NOTIFY_CLEAR, NULL);
	all = !ret && one.called == 1 && three.called == 1;
	if (!ret)
		end_range(run, &range);
	drop(&three);
	drop(&two);
	drop(&one);
	return verdict(run, all, "a blockable range was refused");
}

static enum outcome list_not_called_after_refusal(struct run *run)
{
	struct design_range range;
	struct list_client list;
	struct client client;
	bool spared;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_client(run, &client, 1, PG(10), 1);
	add_list(run, &list, 9, CALM);
	client.refuse = true;
	start_nonblock(run, &range, PG(10), PG(11));
	spared = calls_are(run, " i1");
	drop_list(&list);
	drop(&client);
	return verdict(run, spared, "the list is called for a refused range");
}

static enum outcome list_refusal_ends_all(struct run *run)
{
	struct list_client first, refusing, last;
	struct design_range range;
	bool ended;
	int ret;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_list(run, &first, 7, CALM);
	add_list(run, &refusing, 8, REFUSING);
	add_list(run, &last, 9, CALM);
	ret = start_nonblock(run, &range, PG(10), PG(11));
	ended = ret == -EAGAIN && calls_are(run, " s9 s8 s7 e9 e7");
	drop_list(&last);
	drop_list(&refusing);
	drop_list(&first);
	return verdict(run, ended, "a list notifier saw a start without an "
		       "end, or no start");
}

static enum outcome list_refusal_leaves_nothing_open(struct run *run)
{
	struct design_range range;
	struct list_client list;
	struct attempt reader;
	struct client client;
	bool waited;

	if (!has_lists(run))
		return NOT_APPLICABLE;
	add_client(run, &client, 1, PG(10), 1);
	add_list(run, &list, 9, REFUSING);
	start_nonblock(run, &range, PG(10), PG(11));
	attempt(&reader, begin_client, &client);
	waited = waits(&reader);
	if (waited)
		end_range(run, &range);
	finish_attempt(&reader);
	drop_list(&list);
	drop(&client);
	return verdict(run, !waited, "the refused range stays open for good");
}

const struct property refusal_properties[] = {
	{ "a refused range calls nobody further", refusal_stops, "HH-HH" },
	{ "a refused range leaves nothing open", nothing_stays_open, "HH-HH" },
	{ "a refused range runs the second passes of those called before",
	  begun_passes_are_finished, "HH---" },
	{ "a refused range is not told to list notifiers",
	  list_not_called_after_refusal, "HH---" },
	{ "a blockable range cannot be refused", blockable_cannot_fail,
	  "HHHHH" },
	{ "a range refused by a list notifier is ended for all of them",
	  list_refusal_ends_all, "HH---" },
	{ "a range refused by a list notifier leaves nothing open",
	  list_refusal_leaves_nothing_open, "HF---" },
	{ NULL, NULL, NULL },
};
