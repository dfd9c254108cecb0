/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The last ones leave an address space, whoever they are; and a fork in the
 * middle of things.
 */
#include "litmus.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct mmu_interval_notifier subs[2];
static struct mmu_notifier *notifiers[2];
static unsigned long made, destroyed, freed;

static bool simple_call(struct mmu_interval_notifier *s,
			const struct mmu_notifier_range *r, unsigned long seq)
{
	mmu_interval_set_seq(s, seq);
	return true;
}

static const struct mmu_interval_notifier_ops simple = {
	.invalidate = simple_call,
};

/* --------------------------------------------------- an end that can be counted */

static void count_destroyed(void *unused)
{
	fetch_add(&destroyed, 1);
}

static const struct uhmm_mm_ops counted_ops = {
	.name = "counted",
	.destroy = count_destroyed,
};

static void make_counted(void)
{
	struct uhmm_mm_options options = { .size = sizeof(options),
					   .ops = &counted_ops };

	if (uhmm_mm_create_with(&options, &litmus_mm))
		abort();
	made++;
}

static void all_destroyed(void)
{
	if (destroyed != made)
		forbidden("an address space was not destroyed once");
}

/* -------------------------------------- subscriptions outlive their address space */

static void last_two_before(void)
{
	make_counted();
	for (unsigned int i = 0; i < 2; i++) {
		memset(&subs[i], 0, sizeof(subs[i]));
		mmu_interval_notifier_insert(&subs[i], litmus_mm, PG(i), 4096,
					     &simple);
	}
	mmput(litmus_mm);
}

static void remove_0(void)
{
	mmu_interval_notifier_remove(&subs[0]);
}

static void remove_1(void)
{
	mmu_interval_notifier_remove(&subs[1]);
}

static const struct mmu_interval_notifier_ops *going_ops(void);

static void last_async_before(void)
{
	make_counted();
	freed = 0;
	for (unsigned int i = 0; i < 2; i++) {
		memset(&subs[i], 0, sizeof(subs[i]));
		mmu_interval_notifier_insert(&subs[i], litmus_mm, PG(i), 4096,
					     going_ops());
	}
	mmput(litmus_mm);
}

static void count_freed(struct mmu_interval_notifier *s)
{
	fetch_add(&freed, 1);
}

static const struct mmu_interval_notifier_ops *going_ops(void)
{
	static const struct mmu_interval_notifier_ops going = {
		.invalidate = simple_call,
		.uhmm_removed = count_freed,
	};

	return &going;
}

static void go_0(void)
{
	uhmm_interval_notifier_remove_async(&subs[0]);
}

static void go_1(void)
{
	uhmm_interval_notifier_remove_async(&subs[1]);
}

static void last_async_after(void)
{
	all_destroyed();
	if (freed != 2)
		forbidden("an asynchronous removal is not told once");
}

/* ------------------------------------------- notifiers outlive their address space */

static struct mmu_notifier *make_notifier(struct mm_struct *mm)
{
	return calloc(1, sizeof(struct mmu_notifier));
}

static void free_notifier(struct mmu_notifier *n)
{
	fetch_add(&freed, 1);
	free(n);
}

static const struct mmu_notifier_ops got_ops[2] = {
	{ .alloc_notifier = make_notifier, .free_notifier = free_notifier },
	{ .alloc_notifier = make_notifier, .free_notifier = free_notifier },
};

static void last_puts_before(void)
{
	make_counted();
	freed = 0;
	for (unsigned int i = 0; i < 2; i++)
		notifiers[i] = mmu_notifier_get(&got_ops[i], litmus_mm);
	mmput(litmus_mm);
}

static void put_0(void)
{
	mmu_notifier_put(notifiers[0]);
}

static void put_1(void)
{
	mmu_notifier_put(notifiers[1]);
}

static void last_puts_after(void)
{
	all_destroyed();
	if (freed != 2)
		forbidden("a notifier is not freed once");
}

/* ----------------------------------------- an end while somebody looks at them all */

static struct mm_struct *another;

static void looked_at_before(void)
{
	make_counted();
	another = litmus_mm;
	make_counted();
}

static void end_both(void)
{
	mmput(litmus_mm);
	mmput(another);
}

static void look_at_all(void)
{
	mmu_notifier_synchronize();
}

/* --------------------------------------------- release and unregister at one time */

static struct mmu_notifier list;
static int releases;

static void count_release(struct mmu_notifier *n, struct mm_struct *mm)
{
	say(&releases, seen(&releases) + 1);
}

static const struct mmu_notifier_ops released_ops = {
	.release = count_release,
};

static void release_before(void)
{
	make_counted();
	mmgrab(litmus_mm);
	releases = 0;
	memset(&list, 0, sizeof(list));
	list.ops = &released_ops;
	mmu_notifier_register(&list, litmus_mm);
}

static void end_it(void)
{
	mmput(litmus_mm);
}

static void unregister_it(void)
{
	mmu_notifier_unregister(&list, litmus_mm);
	if (seen(&releases) != 1)
		forbidden("release was not called once when unregister returned");
}

static void release_after(void)
{
	if (releases != 1)
		forbidden("release was not called once");
	mmdrop(litmus_mm);
	all_destroyed();
}

/* ------------------------------------------------------------------------- fork */

static void fork_begin(void)
{
	litmus_make_mm();
}

static void fork_before(void)
{
	memset(&subs[0], 0, sizeof(subs[0]));
	mmu_interval_notifier_insert(&subs[0], litmus_mm, PG(0), 4096,
				     going_ops());
}

/* The child can do what it likes with what it has. */
static int child(void)
{
	struct mmu_notifier_range range;

	litmus_start(&range, 0, 4);
	mmu_notifier_invalidate_range_end(&range);
	memset(&subs[1], 0, sizeof(subs[1]));
	if (mmu_interval_notifier_insert(&subs[1], litmus_mm, PG(1), 4096,
					 &simple))
		return 1;
	mmu_interval_read_begin(&subs[1]);
	mmu_interval_notifier_remove(&subs[1]);
	return uhmm_notifier_synchronize_timeout(1000000000) ? 2 : 0;
}

static void fork_now(void)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		alarm(5);
		_exit(child());
	}
	waitpid(pid, &status, 0);
	if (status)
		forbidden("a forked child does not get on");
}

static void fork_end(void)
{
	mmput(litmus_mm);
}

static void put_and_get(void)
{
	for (unsigned int i = 0; i < 50; i++)
		mmu_notifier_put(mmu_notifier_get(&got_ops[i % 2], litmus_mm));
}

const struct litmus ending_litmus[] = {
	{ "the last two removes, after the end", NULL, last_two_before,
	  remove_0, remove_1, NULL, all_destroyed, NULL, false, false },
	{ "the last two asynchronous removes, after the end", NULL,
	  last_async_before, go_0, go_1, NULL, last_async_after, NULL, false,
	  false },
	{ "the last two puts, after the end", NULL, last_puts_before, put_0,
	  put_1, NULL, last_puts_after, NULL, false, false },
	{ "the end while somebody looks at all address spaces", NULL,
	  looked_at_before, end_both, look_at_all, NULL, all_destroyed, NULL,
	  false, false },
	{ "the end and unregister at one time", NULL, release_before, end_it,
	  unregister_it, NULL, release_after, NULL, false, false },
	{ "a fork beside an asynchronous remove", fork_begin, fork_before,
	  fork_now, go_0, NULL, NULL, fork_end, true, true },
	{ "a fork beside puts", fork_begin, NULL, fork_now, put_and_get, NULL,
	  NULL, fork_end, true, true },
	{ 0 },
};
