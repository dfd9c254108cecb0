/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Who is called, how often, in which order, with what. */
#include <limits.h>
#include <string.h>

#include "conform.h"

/* Neighbours touch the range by one byte, or miss it by one. */
static enum outcome calls_each_once(struct run *run)
{
	static const struct { unsigned long start, length; } at[] = {
		{ PG(9), PG(1) - PG(0) + 1 }, { PG(10), 1 }, { PG(12) - 1, 9 },
		{ PG(0), PG(100) - PG(0) }, { PG(10), PG(2) - PG(0) },
	};
	struct client client[ARRAY_SIZE(at)];
	bool once = true;

	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		add_client(run, &client[i], i, at[i].start, at[i].length);
	invalidate(run, PG(10), PG(12));
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		once = once && client[i].called == 1;
		drop(&client[i]);
	}
	return verdict(run, once, "one was called never or twice");
}

static enum outcome leaves_others_alone(struct run *run)
{
	struct client below, above, hit;
	bool alone;

	add_client(run, &below, 1, PG(9), PG(1) - PG(0));
	add_client(run, &above, 2, PG(12), 1);
	add_client(run, &hit, 3, PG(11), 1);
	invalidate(run, PG(10), PG(12));
	alone = hit.called == 1 && !below.called && !above.called;
	drop(&below);
	drop(&above);
	drop(&hit);
	return verdict(run, alone, "each mirror is called for each range");
}

static enum outcome calls_in_order(struct run *run)
{
	static const int page[] = { 5, 3, 7, 3, 1, 5, 3 };
	struct client client[ARRAY_SIZE(page)];
	bool in_order;

	for (size_t i = 0; i < ARRAY_SIZE(page); i++)
		add_client(run, &client[i], i, PG(page[i]),
			   PG(20 - i) - PG(page[i]));
	invalidate(run, PG(0), PG(30));
	in_order = calls_are(run, " i4 i1 i3 i6 i0 i5 i2");
	for (size_t i = 0; i < ARRAY_SIZE(page); i++)
		drop(&client[i]);
	return verdict(run, in_order, "the one inserted last is called first");
}

static enum outcome tells_all(struct run *run)
{
	struct design_range range;
	struct client client;
	bool told;
	int owner;

	add_client(run, &client, 1, PG(10), 1);
	run->design->start(&range, run->mm, PG(3), PG(30), true,
			   MMU_NOTIFY_MIGRATE, &owner);
	run->design->end(&range);
	told = client.start == PG(3) && client.end == PG(30) &&
	       client.blockable && client.event == MMU_NOTIFY_MIGRATE &&
	       client.owner == &owner;
	if (!run->design->start(&range, run->mm, PG(9), PG(11), false,
				MMU_NOTIFY_UNMAP, NULL)) {
		run->design->end(&range);
		told = told && client.start == PG(9) && client.end == PG(11) &&
		       !client.blockable && client.event == MMU_NOTIFY_UNMAP;
	}
	drop(&client);
	return verdict(run, told, "a callback was told something else");
}

static enum outcome insert_is_in_force(struct run *run)
{
	struct client other, late;
	struct design_range open;
	bool in_force;

	add_client(run, &other, 1, PG(50), 1);
	start_range(run, &open, PG(50), PG(51));
	add_client(run, &late, 2, PG(10), 1);
	invalidate(run, PG(10), PG(11));
	in_force = late.called == 1;
	end_range(run, &open);
	drop(&late);
	drop(&other);
	return verdict(run, in_force, "inserted while another range was "
		       "open, it was not called for its own");
}

static void insert_other(struct client *client)
{
	struct client *other = client->data;

	client->hook = NULL;
	add_client(client->run, other, 2, PG(11), 1);
}

static enum outcome callback_may_insert(struct run *run)
{
	struct client client, born;
	bool called;

	add_client(run, &client, 1, PG(10), 1);
	client.hook = insert_other;
	client.data = &born;
	invalidate(run, PG(10), PG(11));
	born.called = 0;
	invalidate(run, PG(11), PG(12));
	called = born.called == 1;
	drop(&born);
	drop(&client);
	return verdict(run, called, "what a callback inserted is not called");
}

static void invalidate_page_10(void *arg)
{
	invalidate(arg, PG(10), PG(11));
}

static enum outcome calls_in_parallel(struct run *run)
{
	struct attempt first, second;
	struct gate gate = { 0 };
	struct client client;
	bool parallel;

	add_client(run, &client, 1, PG(10), 1);
	client.data = &gate;
	client.hook = stop_at_gate;
	attempt(&first, invalidate_page_10, run);
	waits(&first);
	attempt(&second, invalidate_page_10, run);
	waits(&second);
	parallel = __atomic_load_n(&gate.inside, __ATOMIC_SEQ_CST) == 2;
	open_gate(&gate);
	finish_attempt(&first);
	finish_attempt(&second);
	drop(&client);
	return verdict(run, parallel,
		       "a callback keeps out another of the same subscription");
}

static enum outcome finishes_after_all_first_passes(struct run *run)
{
	struct client one, two, three;
	struct list_client list;
	bool in_order;

	if (!has_two_passes(run))
		return NOT_APPLICABLE;
	add_two_pass(run, &one, 1, PG(10), 1);
	add_client(run, &two, 2, PG(11), 1);
	add_two_pass(run, &three, 3, PG(12), 1);
	add_list(run, &list, 9, CALM);
	invalidate(run, PG(0), PG(20));
	in_order = calls_are(run, " i1 i2 i3 f1 f3 s9 e9");
	drop_list(&list);
	drop(&three);
	drop(&two);
	drop(&one);
	return verdict(run, in_order, "the passes are mixed");
}

static enum outcome numbers_are_odd(struct run *run)
{
	struct client client;
	unsigned long seq;
	bool odd;

	if (!has_numbers(run))
		return NOT_APPLICABLE;
	add_client(run, &client, 1, PG(10), 1);
	odd = begin(&client) & 1;
	invalidate(run, PG(10), PG(11));
	seq = begin(&client);
	odd = odd && (client.cur_seq & 1) && (seq & 1);
	drop(&client);
	return verdict(run, odd, "a number is even");
}

static enum outcome numbers_are_unique(struct run *run)
{
	struct design_range outer, inner;
	struct client client;
	unsigned long first;
	bool unique;

	if (!has_numbers(run))
		return NOT_APPLICABLE;
	add_client(run, &client, 1, PG(10), 1);
	start_range(run, &outer, PG(10), PG(11));
	first = client.cur_seq;
	start_range(run, &inner, PG(10), PG(11));
	unique = client.cur_seq != first;
	end_range(run, &inner);
	end_range(run, &outer);
	drop(&client);
	return verdict(run, unique,
		       "two invalidations under way have one number");
}

static enum outcome takes_the_top_byte(struct run *run)
{
	struct client top, all;
	int ret;

	init_client(run, &top, 1);
	init_client(run, &all, 2);
	ret = insert(&top, ULONG_MAX, 1);
	if (!ret)
		drop(&top);
	if (!ret) {
		ret = insert(&all, 0, ULONG_MAX);
		if (!ret)
			drop(&all);
	}
	return verdict(run, !ret, "a legal interval is refused");
}

static enum outcome refuses_bad_intervals(struct run *run)
{
	struct client client;
	bool refused;

	init_client(run, &client, 1);
	refused = insert(&client, PG(1), 0) == -EOVERFLOW &&
		  insert(&client, ULONG_MAX, 2) == -EOVERFLOW &&
		  insert(&client, PG(1), ULONG_MAX) == -EOVERFLOW;
	return verdict(run, refused, "an empty or wrapped interval is taken");
}

static enum outcome refused_insert_writes_nothing(struct run *run)
{
	struct client client, before;
	bool same;

	init_client(run, &client, 1);
	before = client;
	insert(&client, ULONG_MAX, 2);
	same = !memcmp(&client.sub, &before.sub, sizeof(client.sub));
	return verdict(run, same, "fields of the subscription were written");
}

static bool is_refused(struct run *run, unsigned long start, unsigned long end)
{
	struct design_range range;
	int ret;

	ret = run->design->start(&range, run->mm, start, end, true,
				 MMU_NOTIFY_CLEAR, NULL);
	if (!ret)
		run->design->end(&range);
	return ret == -EINVAL;
}

static enum outcome refuses_bad_ranges(struct run *run)
{
	struct client client;
	bool refused;

	add_client(run, &client, 1, PG(0), PG(100) - PG(0));
	refused = is_refused(run, PG(10), PG(10)) && is_refused(run, 0, 0) &&
		  is_refused(run, PG(11), PG(10));
	refused = refused && !client.called;
	drop(&client);
	return verdict(run, refused, "an empty or wrapped range is accepted");
}

const struct property call_properties[] = {
	{ "each start calls every subscription that overlaps, once",
	  calls_each_once, "HHHHH" },
	{ "a start calls nobody whom it does not overlap",
	  leaves_others_alone, "HHFFF" },
	{ "callbacks come in order of first byte, then of insertion",
	  calls_in_order, "HHFFF" },
	{ "callbacks get the range as announced, why, for whom, and whether "
	  "they may sleep", tells_all, "HHHHH" },
	{ "insert is in force when it returns, whatever is open",
	  insert_is_in_force, "HFHHH" },
	{ "a callback may insert", callback_may_insert, "HHHHH" },
	{ "callbacks of one subscription may run in parallel",
	  calls_in_parallel, "HHHHH" },
	{ "second passes come after all first passes, before the list",
	  finishes_after_all_first_passes, "HH---" },
	{ "numbers are odd", numbers_are_odd, "HH---" },
	{ "no two invalidations under way have one number",
	  numbers_are_unique, "HF---" },
	{ "the last byte of the address space can be subscribed to",
	  takes_the_top_byte, "HHHHH" },
	{ "an empty or wrapped interval is -EOVERFLOW",
	  refuses_bad_intervals, "HHHHH" },
	{ "a refused insert writes nothing",
	  refused_insert_writes_nothing, "HFHHH" },
	{ "an empty or wrapped range is -EINVAL", refuses_bad_ranges, "HFFFF" },
	{ NULL, NULL, NULL },
};
