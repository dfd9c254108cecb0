/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Two threads, one of which is stopped before each of its instructions in
 * turn, while the other one does all that it can: whatever falls into a gap of
 * a few instructions is met here, by counting and not by luck.
 *
 * The processor's trap flag stops it, so this is for x86-64 alone.
 */
#include "util.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG 0x100
#define MAX_STEPS 100000
#define PATIENCE 400

/*
 * @stepped is stopped once, and then @other runs, until it is done or waits.
 * What it waits for ends with @stepped, or else with @finish: then @may_wait.
 * The last two say what is wrong: @both_done, if it may not wait, when both
 * are done, @ended after @finish.
 */
struct duel {
	void (*setup)(void);
	void (*stepped)(void);
	void (*other)(void);
	bool may_wait;
	const char *(*both_done)(void);
	void (*finish)(void);
	const char *(*ended)(void);
};

static const struct duel *duel;
static struct task other;
static sem_t go;
static volatile int steps, stop_at;
static bool went;

/* ------------------------------------------------------------- stopping */

/* As util.c does it, without memory: the other thread may have that lock. */
static bool other_sleeps(void)
{
	char text[256];
	ssize_t n;
	char *at;
	int fd;

	snprintf(text, sizeof(text), "/proc/self/task/%d/stat",
		 look(&other.tid));
	fd = open(text, O_RDONLY);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	at = strrchr(text, ')');
	return at && at[1] && at[2] == 'S';
}

/* Until it is done, or waits, or turns round until this thread goes on. */
static void watch_other(void)
{
	int asleep = 0;

	for (int i = 0; i < PATIENCE && asleep < 3; i++) {
		if (look(&other.done))
			return;
		sched_yield();
		if (i % 20 == 19)
			asleep = other_sleeps() ? asleep + 1 : 0;
	}
}

static void let_other_run(void)
{
	went = true;
	sem_post(&go);
	watch_other();
}

static void on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (++steps < stop_at)
		return;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	let_other_run();
}

static void trap(bool on)
{
	unsigned long flags = on ? TRAP_FLAG : 0;

	/* Past the bytes below the stack pointer that may be in use. */
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "pushfq\n\t"
			 "andq %1, (%%rsp)\n\t"
			 "orq %0, (%%rsp)\n\t"
			 "popfq\n\t"
			 "lea 128(%%rsp), %%rsp"
			 :
			 : "r"(flags), "r"(~(unsigned long)TRAP_FLAG)
			 : "memory", "cc");
}

static void other_task(void *unused)
{
	while (sem_wait(&go))
		;
	duel->other();
}

static void need(const char *wrong, int at)
{
	if (wrong)
		fail_msg("stopped before instruction %d: %s", at, wrong);
}

/* False: it came to its end before it was stopped. */
static bool run_once(int at)
{
	sem_init(&go, 0, 0);
	duel->setup();
	task_start(&other, other_task, NULL);
	while (!look(&other.tid))
		sched_yield();
	steps = 0;
	stop_at = at;
	went = false;
	trap(true);
	duel->stepped();
	trap(false);
	if (!went)
		let_other_run();
	if (!duel->may_wait) {
		watch_other();
		if (task_waits(&other))
			need("the other waits for ever", at);
		if (duel->both_done)
			need(duel->both_done(), at);
	}
	if (duel->finish)
		duel->finish();
	task_join(&other);
	need(duel->ended(), at);
	return steps >= at;
}

static void fight(const struct duel *which)
{
	struct sigaction action = { .sa_sigaction = on_step,
				    .sa_flags = SA_SIGINFO };
	int at = 1;

	sigaction(SIGTRAP, &action, NULL);
	duel = which;
	while (run_once(at)) {
		if (++at == MAX_STEPS)
			fail_msg("no end after %d steps", at);
	}
	/* It was really stopped, in more than a call or two. */
	assert_in_range(at, 20, MAX_STEPS);
}

/* -------------------------------------------------------------- what fights */

static struct mirror one, two;
static struct listener list;
static struct mmu_notifier_range range;
static unsigned long seq;
static int page, seen, gone, late, starts, ends;

static void call_late(struct mirror *m, const struct mmu_notifier_range *r)
{
	if (look(&gone))
		count(&late);
}

static void add_one(void)
{
	mirror_add(&one, 1, PG(10), 1);
	one.quiet = true;
	one.hook = call_late;
	mirror_begin(&one);
	gone = late = 0;
	page = 1;
	seen = 0;
}

static void add_one_that_was_hit(void)
{
	add_one();
	invalidate(PG(10), PG(11));
	one.called = 0;
}

static void begin_10(void)
{
	begin_range(&range, PG(10), PG(11));
}

static void end_10(void)
{
	end_range(&range);
}

static void change_10(void)
{
	set(&page, 2);
	end_range(&range);
}

static void begin_and_end_10(void)
{
	begin_10();
	change_10();
}

static void remove_one(void)
{
	mirror_drop(&one);
	set(&gone, 1);
}

static const char *nothing_late(void)
{
	return look(&late) ? "it was called after it was removed" : NULL;
}

/* --------------------------------------------------------- insert and remove */

static void a_start_meets_a_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = remove_one,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void a_remove_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = remove_one,
		.other = begin_10,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void nothing(void)
{
	mirror_init(&two, 2);
	two.quiet = true;
}

static void insert_two(void)
{
	if (mmu_interval_notifier_insert(&two.sub, mm, PG(10), 1, &mirror_ops))
		abort();
}

static const char *called_or_held_up(void)
{
	return two.called || mirror_held_up(&two) ? NULL :
	       "the range is open, and it knows nothing of it";
}

static const char *held_up_no_more(void)
{
	bool held_up = mirror_held_up(&two);

	mirror_drop(&two);
	return held_up ? "it is held up by nothing" : NULL;
}

static void a_start_meets_an_insert(void **state)
{
	static const struct duel duel = {
		.setup = nothing,
		.stepped = begin_10,
		.other = insert_two,
		.both_done = called_or_held_up,
		.finish = end_10,
		.ended = held_up_no_more,
	};

	fight(&duel);
}

static void an_insert_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = nothing,
		.stepped = insert_two,
		.other = begin_10,
		.both_done = called_or_held_up,
		.finish = end_10,
		.ended = held_up_no_more,
	};

	fight(&duel);
}

static struct mirror crowd[200];

/* Leaves split, nodes are replaced and used again. */
static void come_and_go(void)
{
	for (int i = 0; i < 200; i++) {
		mirror_init(&crowd[i], i);
		if (mmu_interval_notifier_insert(&crowd[i].sub, mm,
						 PG(5) + i * 64UL, 1,
						 &mirror_ops))
			abort();
	}
	for (int i = 0; i < 200; i++)
		mirror_drop(&crowd[i]);
}

static void hit_one(void)
{
	begin_range(&range, PG(10), PG(10) + 1);
}

static const char *called_once(void)
{
	int called = one.called;

	mirror_drop(&one);
	return called == 1 ? NULL : "it was not called once";
}

static void a_search_meets_the_rebuilding_of_the_index(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = hit_one,
		.other = come_and_go,
		.finish = end_10,
		.ended = called_once,
	};

	fight(&duel);
}

static void remove_two(void)
{
	mirror_drop(&two);
}

static void add_two(void)
{
	mirror_add(&two, 2, PG(10), 1);
	mirror_init(&one, 1);
}

static void insert_one(void)
{
	if (mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1, &mirror_ops))
		abort();
}

static const char *one_is_left(void)
{
	unsigned long left = stats().subscriptions;

	mirror_drop(&one);
	return left == 1 ? NULL : "the count is wrong";
}

static void an_insert_meets_a_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_two,
		.stepped = insert_one,
		.other = remove_two,
		.ended = one_is_left,
	};

	fight(&duel);
}

/* ---------------------------------------------------------------------- reads */

static void read_page(void)
{
	seq = mirror_begin(&one);
	seen = look(&page);
}

static const char *not_stale(void)
{
	bool stale = !mirror_retry(&one, seq) && seen != 2;

	mirror_drop(&one);
	return stale ? "the read is good, and what it read is not" : NULL;
}

static const char *fresh(void)
{
	bool fresh = !mirror_retry(&one, seq) && seen == 2;

	mirror_drop(&one);
	return fresh ? NULL : "it waited, and did not read what there is";
}

static void a_start_meets_a_read(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = read_page,
		.may_wait = true,
		.finish = change_10,
		.ended = not_stale,
	};

	fight(&duel);
}

static void add_one_and_begin(void)
{
	add_one();
	begin_10();
}

static void an_end_meets_a_read(void **state)
{
	static const struct duel duel = {
		.setup = add_one_and_begin,
		.stepped = change_10,
		.other = read_page,
		.ended = fresh,
	};

	fight(&duel);
}

static void a_read_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = add_one_that_was_hit,
		.stepped = read_page,
		.other = begin_and_end_10,
		.ended = not_stale,
	};

	fight(&duel);
}

/* --------------------------------------------------------------- reservations */

static void reserve_and_read(void)
{
	if (uhmm_interval_reserve(&one.sub))
		abort();
	read_page();
	if (!mirror_retry(&one, seq))
		return;
	uhmm_interval_unreserve(&one.sub);
}

static const char *nothing_lost(void)
{
	mirror_drop(&one);
	return stats().reserves_lost ? "the reservation ran out" : NULL;
}

static void a_start_meets_a_reservation(void **state)
{
	static const struct duel duel = {
		.setup = add_one,
		.stepped = begin_10,
		.other = reserve_and_read,
		.may_wait = true,
		.finish = end_10,
		.ended = nothing_lost,
	};
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	remake_mm(&options);
	fight(&duel);
}

static void add_one_reserved(void)
{
	add_one();
	if (uhmm_interval_reserve(&one.sub))
		abort();
}

static void unreserve(void)
{
	uhmm_interval_unreserve(&one.sub);
}

static void a_start_waits_for_no_reservation_that_is_given_up(void **state)
{
	static const struct duel duel = {
		.setup = add_one_reserved,
		.stepped = unreserve,
		.other = begin_and_end_10,
		.ended = nothing_lost,
	};
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};

	remake_mm(&options);
	fight(&duel);
}

/* ------------------------------------------------------------- asynchronous end */

static bool count_call(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *r,
		       unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	call_late(NULL, r);
	return true;
}

static void count_gone(struct mmu_interval_notifier *sub)
{
	count(&gone);
}

static void add_async(void)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = count_call,
		.uhmm_removed = count_gone,
	};

	mirror_init(&one, 1);
	gone = late = 0;
	if (mmu_interval_notifier_insert(&one.sub, mm, PG(10), 1, &ops))
		abort();
}

static void remove_one_async(void)
{
	if (uhmm_interval_notifier_remove_async(&one.sub))
		abort();
}

static const char *gone_once(void)
{
	return look(&gone) == 1 ? NULL : "it is not gone, or more than once";
}

static void a_start_meets_an_asynchronous_remove(void **state)
{
	static const struct duel duel = {
		.setup = add_async,
		.stepped = begin_10,
		.other = remove_one_async,
		.both_done = gone_once,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

static void an_asynchronous_remove_meets_a_start(void **state)
{
	static const struct duel duel = {
		.setup = add_async,
		.stepped = remove_one_async,
		.other = begin_10,
		.both_done = gone_once,
		.finish = end_10,
		.ended = nothing_late,
	};

	fight(&duel);
}

/* ----------------------------------------------------------------------- lists */

static void count_list(struct listener *l, char what)
{
	if (look(&gone))
		count(&late);
	if (what == 's')
		count(&starts);
	if (what == 'e')
		count(&ends);
}

static void no_list(void)
{
	listener_init(&list, 1, &listener_ops);
	list.quiet = true;
	list.hook = count_list;
	gone = late = starts = ends = 0;
}

static void add_list(void)
{
	no_list();
	assert_int_equal(mmu_notifier_register(&list.mn, mm), 0);
}

static void register_list(void)
{
	if (mmu_notifier_register(&list.mn, mm))
		abort();
}

static void unregister_list(void)
{
	listener_drop(&list);
	set(&gone, 1);
}

static const char *as_many_ends(void)
{
	listener_drop(&list);
	return look(&starts) == look(&ends) ? NULL :
	       "an end without its start, or a start without its end";
}

static const char *no_list_late(void)
{
	return look(&late) ? "it was called after it was unregistered" : NULL;
}

static void a_start_meets_a_register(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = begin_10,
		.other = register_list,
		.may_wait = true,
		.finish = end_10,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void an_end_meets_a_register(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = begin_and_end_10,
		.other = register_list,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void a_register_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = no_list,
		.stepped = register_list,
		.other = begin_and_end_10,
		.ended = as_many_ends,
	};

	fight(&duel);
}

static void an_invalidation_meets_an_unregister(void **state)
{
	static const struct duel duel = {
		.setup = add_list,
		.stepped = begin_and_end_10,
		.other = unregister_list,
		.ended = no_list_late,
	};

	fight(&duel);
}

static void an_unregister_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = add_list,
		.stepped = unregister_list,
		.other = begin_and_end_10,
		.ended = no_list_late,
	};

	fight(&duel);
}

static struct mmu_notifier shared;
static struct mmu_notifier_ops shared_ops;

static struct mmu_notifier *alloc_shared(struct mm_struct *it)
{
	memset(&shared, 0, sizeof(shared));
	return &shared;
}

static void free_shared(struct mmu_notifier *mn)
{
	count(&gone);
}

static int start_shared(struct mmu_notifier *mn,
			const struct mmu_notifier_range *r)
{
	if (look(&gone))
		count(&late);
	return 0;
}

static void get_shared(void)
{
	gone = late = 0;
	shared_ops.alloc_notifier = alloc_shared;
	shared_ops.free_notifier = free_shared;
	shared_ops.invalidate_range_start = start_shared;
	assert_ptr_equal(mmu_notifier_get(&shared_ops, mm), &shared);
}

static void put_shared(void)
{
	mmu_notifier_put(&shared);
}

static void put_and_synchronize(void)
{
	mmu_notifier_put(&shared);
	mmu_notifier_synchronize();
	if (look(&gone) != 1)
		count(&late);
}

static void an_invalidation_meets_a_put(void **state)
{
	static const struct duel duel = {
		.setup = get_shared,
		.stepped = begin_10,
		.other = put_and_synchronize,
		.both_done = gone_once,
		.finish = end_10,
		.ended = no_list_late,
	};

	fight(&duel);
}

static void a_put_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = get_shared,
		.stepped = put_shared,
		.other = begin_and_end_10,
		.both_done = gone_once,
		.ended = no_list_late,
	};

	fight(&duel);
}

/* ------------------------------------------------------------ the end of it all */

static void late_after_release(struct mirror *m,
			       const struct mmu_notifier_range *r)
{
	if (look(&gone))
		count(&late);
	if (r->event == MMU_NOTIFY_RELEASE)
		count(&gone);
}

static void add_last(void)
{
	remake_mm(NULL);
	mmgrab(mm);
	add_one();
	one.hook = late_after_release;
}

static const char *release_was_last(void)
{
	mirror_drop(&one);
	mmdrop(mm);
	if (look(&gone) != 1)
		return "no RELEASE, or more than one";
	return look(&late) ? "it was called after RELEASE" : NULL;
}

static void a_start_meets_the_end(void **state)
{
	static const struct duel duel = {
		.setup = add_last,
		.stepped = begin_10,
		.other = end_mm,
		.finish = end_10,
		.ended = release_was_last,
	};

	fight(&duel);
}

static void the_end_meets_an_invalidation(void **state)
{
	static const struct duel duel = {
		.setup = add_last,
		.stepped = end_mm,
		.other = begin_and_end_10,
		.ended = release_was_last,
	};

	fight(&duel);
}

static void add_none(void)
{
	remake_mm(NULL);
	mmgrab(mm);
}

static const char *drop_mm(void)
{
	mmdrop(mm);
	return NULL;
}

/* Nobody is called, so there is nothing to wait for. */
static void a_start_that_hits_nobody_meets_the_end(void **state)
{
	static const struct duel duel = {
		.setup = add_none,
		.stepped = begin_10,
		.other = end_mm,
		.finish = end_10,
		.ended = drop_mm,
	};

	fight(&duel);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_start_meets_a_remove),
		CASE(a_remove_meets_a_start),
		CASE(a_start_meets_an_insert),
		CASE(an_insert_meets_a_start),
		CASE(a_search_meets_the_rebuilding_of_the_index),
		CASE(an_insert_meets_a_remove),
		CASE(a_start_meets_a_read),
		CASE(an_end_meets_a_read),
		CASE(a_read_meets_an_invalidation),
		CASE(a_start_meets_a_reservation),
		CASE(a_start_waits_for_no_reservation_that_is_given_up),
		CASE(a_start_meets_an_asynchronous_remove),
		CASE(an_asynchronous_remove_meets_a_start),
		CASE(a_start_meets_a_register),
		CASE(an_end_meets_a_register),
		CASE(a_register_meets_an_invalidation),
		CASE(an_invalidation_meets_an_unregister),
		CASE(an_unregister_meets_an_invalidation),
		CASE(an_invalidation_meets_a_put),
		CASE(a_put_meets_an_invalidation),
		CASE(a_start_meets_the_end),
		CASE(a_start_that_hits_nobody_meets_the_end),
		CASE(the_end_meets_an_invalidation),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
