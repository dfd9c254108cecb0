/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a reader may install, and what he has to wait for. */
#include "conform.h"

/*
 * One page of an address space and a device's copy of its entry. A page that
 * is freed while the device can still reach it is the bug that all this is
 * about.
 */
struct page {
	struct client client;
	int pte;		/* number of a page, 0: none */
	int shadow;		/* what the device uses */
};

static void zap(struct client *client)
{
	struct page *page = container_of(client, struct page, client);

	page->shadow = 0;
}

static void add_page(struct run *run, struct page *page)
{
	add_client(run, &page->client, 1, PG(10), 1);
	page->client.hook = zap;
	page->pte = 7;
	page->shadow = 0;
}

/* As a driver does: what was read is used unless there was a collision. */
static void install(struct page *page, unsigned long seq, int read)
{
	if (!retry(&page->client, seq))
		page->shadow = read;
}

static enum outcome sees_open_collision(struct run *run)
{
	struct design_range range;
	unsigned long seq;
	struct page page;
	int read;

	add_page(run, &page);
	seq = begin(&page.client);
	read = page.pte;
	start_range(run, &range, PG(10), PG(11));
	install(&page, seq, read);
	page.pte = 0;
	end_range(run, &range);
	drop(&page.client);
	return verdict(run, !page.shadow, "a page of an open range is mapped");
}

static enum outcome sees_past_collision(struct run *run)
{
	struct design_range range;
	unsigned long seq;
	struct page page;
	int read;

	add_page(run, &page);
	seq = begin(&page.client);
	read = page.pte;
	start_range(run, &range, PG(10), PG(11));
	page.pte = 0;
	end_range(run, &range);
	install(&page, seq, read);
	drop(&page.client);
	return verdict(run, !page.shadow,
		       "the invalidation came and went: a freed page is mapped");
}

/* CPU 0 invalidates the page, CPU 1 something else, CPU 2 faults. */
static enum outcome passes_the_ladder(struct run *run)
{
	struct design_range cpu0, cpu1;
	unsigned long seq;
	struct page page;
	int read;

	add_page(run, &page);
	seq = begin(&page.client);
	read = page.pte;
	start_range(run, &cpu0, PG(10), PG(11));
	start_range(run, &cpu1, PG(50), PG(51));
	end_range(run, &cpu1);
	install(&page, seq, read);
	page.pte = 0;
	end_range(run, &cpu0);
	drop(&page.client);
	return verdict(run, !page.shadow, "somebody else's end made the flag "
		       "true again: a freed page is mapped");
}

static enum outcome quiet_reads_succeed(struct run *run)
{
	struct client client;
	unsigned long seq;
	bool again;

	add_client(run, &client, 1, PG(10), 1);
	seq = begin(&client);
	again = retry(&client, seq);
	invalidate(run, PG(10), PG(11));
	seq = begin(&client);
	again = again || retry(&client, seq);
	drop(&client);
	return verdict(run, !again, "a retry without a collision");
}

static enum outcome others_are_no_collision(struct run *run)
{
	struct design_range range;
	struct client client;
	unsigned long seq;
	bool again;

	/* As a driver does that is called for all: his own range only. */
	add_client(run, &client, 1, PG(10), 1);
	seq = begin(&client);
	start_range(run, &range, PG(11), PG(12));
	again = retry(&client, seq);
	end_range(run, &range);
	again = again || retry(&client, seq);
	drop(&client);
	return verdict(run, !again, "a range that does not overlap collides");
}

static enum outcome check_retry_is_final(struct run *run)
{
	struct client client;
	unsigned long seq;
	bool final;

	if (!has_numbers(run))
		return NOT_APPLICABLE;
	add_client(run, &client, 1, PG(10), 1);
	seq = begin(&client);
	final = !run->design->check_retry(&client.sub, seq);
	invalidate(run, PG(10), PG(11));
	final = final && run->design->check_retry(&client.sub, seq) &&
		retry(&client, seq);
	drop(&client);
	return verdict(run, final, "check_retry and read_retry disagree");
}

static enum outcome read_waits_for_its_own(struct run *run)
{
	struct design_range first, second;
	struct attempt reader;
	struct client client;
	bool waited;

	add_client(run, &client, 1, PG(10), PG(5) - PG(0));
	start_range(run, &first, PG(10), PG(12));
	attempt(&reader, begin_client, &client);
	waited = waits(&reader);
	/* Overlapping, begun later, ended first. */
	start_range(run, &second, PG(11), PG(13));
	end_range(run, &second);
	waited = waited && waits(&reader);
	end_range(run, &first);
	finish_attempt(&reader);
	drop(&client);
	return verdict(run, waited, "a read begins in the middle of an "
		       "invalidation of its range");
}

static enum outcome first_read_waits_for_its_own(struct run *run)
{
	struct design_range range;
	struct attempt reader;
	struct client client;
	bool waited;

	start_range(run, &range, PG(10), PG(11));
	add_client(run, &client, 1, PG(10), 1);
	attempt(&reader, begin_client, &client);
	waited = waits(&reader);
	end_range(run, &range);
	finish_attempt(&reader);
	drop(&client);
	return verdict(run, waited, "the first read does not know of an "
		       "invalidation that is older than the subscription");
}

static void close_it(void *arg)
{
	struct design_range *range = *(struct design_range **)arg;
	struct run *run = ((struct run **)arg)[1];

	end_range(run, range);
}

static enum outcome another_thread_may_end(struct run *run)
{
	struct design_range range;
	void *arg[] = { &range, run };
	struct attempt ender;
	struct client client;
	unsigned long seq;
	bool again;

	add_client(run, &client, 1, PG(10), 1);
	start_range(run, &range, PG(10), PG(11));
	attempt(&ender, close_it, arg);
	finish_attempt(&ender);
	seq = begin(&client);
	again = retry(&client, seq);
	drop(&client);
	return verdict(run, !again, "the range did not end");
}

static void start_page_10(void *arg)
{
	struct client *client = arg;

	start_range(client->run, client->data, PG(10), PG(11));
}

/*
 * The sequence of 2015: the callback waits for the driver's lock, and the
 * driver, told to retry, waits for the callback. Nobody retries here where
 * read_retry is false as long as the callback has not run.
 */
static enum outcome lock_may_be_kept(struct run *run)
{
	struct attempt starter, reader;
	struct design_range range;
	struct client client;
	bool stuck = false;
	unsigned long seq;

	add_client(run, &client, 1, PG(10), 1);
	client.data = &range;
	seq = begin(&client);
	pthread_mutex_lock(&client.lock);
	attempt(&starter, start_page_10, &client);
	waits(&starter);
	if (run->design->read_retry(&client.sub, seq)) {
		attempt(&reader, begin_client, &client);
		stuck = waits(&reader);
		pthread_mutex_unlock(&client.lock);
		finish_attempt(&starter);
		end_range(run, &range);
		finish_attempt(&reader);
	} else {
		pthread_mutex_unlock(&client.lock);
		finish_attempt(&starter);
		end_range(run, &range);
	}
	drop(&client);
	return verdict(run, !stuck, "the callback waits for the lock, its "
		       "holder for the callback");
}

const struct property read_properties[] = {
	{ "a read that collided with an open invalidation is not used",
	  sees_open_collision, "HHHHH" },
	{ "a read that collided with an invalidation that has ended is not used",
	  sees_past_collision, "HHFFF" },
	{ "the three-CPU ladder of 2019", passes_the_ladder, "HHHHF" },
	{ "a read without a collision is used", quiet_reads_succeed, "HHHHH" },
	{ "a range that does not overlap is no collision",
	  others_are_no_collision, "HHHHH" },
	{ "check_retry is final", check_retry_is_final, "HH---" },
	{ "a read waits for the invalidations of its range",
	  read_waits_for_its_own, "HHHHF" },
	{ "the first read waits for invalidations older than the insert",
	  first_read_waits_for_its_own, "HHHHF" },
	{ "another thread may call end", another_thread_may_end, "HHHHH" },
	{ "a callback under way does not make a reader retry who holds its "
	  "lock (2015)", lock_may_be_kept, "HHFFF" },
	{ NULL, NULL, NULL },
};
