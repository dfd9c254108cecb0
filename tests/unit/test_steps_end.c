/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The end of an address space, step by step. See duel.h. */
#include "duel.h"

#include <malloc.h>

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

/* ------------------------------------ who outlives it, and goes at one time
 * Whoever goes last takes the address space along, while the other one is still
 * on its way out. What is freed is overwritten, so that it shows.
 */
void __real_free(void *p);
void __wrap_free(void *p);

void __wrap_free(void *p)
{
	if (p)
		memset(p, 0xdb, malloc_usable_size(p));
	__real_free(p);
}

static struct mm_struct *outlived;
static int destroyed;

static void count_destroyed(void *unused)
{
	count(&destroyed);
}

static const char *destroyed_once(void)
{
	return look(&destroyed) == 1 ? NULL : "it was not destroyed once";
}

static void make_counted(void)
{
	static const struct uhmm_mm_ops ops = {
		.name = "counted",
		.destroy = count_destroyed,
	};
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.ops = &ops,
	};

	destroyed = gone = 0;
	if (uhmm_mm_create_with(&options, &outlived))
		abort();
}

static struct mmu_interval_notifier subs[2];

static bool heed(struct mmu_interval_notifier *sub,
		 const struct mmu_notifier_range *r, unsigned long cur_seq)
{
	mmu_interval_set_seq(sub, cur_seq);
	return true;
}

static void count_removed(struct mmu_interval_notifier *sub)
{
	count(&gone);
}

static void subscribe_two(void)
{
	static const struct mmu_interval_notifier_ops ops = {
		.invalidate = heed,
		.uhmm_removed = count_removed,
	};

	make_counted();
	memset(subs, 0, sizeof(subs));
	for (int i = 0; i < 2; i++)
		if (mmu_interval_notifier_insert(&subs[i], outlived, PG(i), 1,
						 &ops))
			abort();
	mmput(outlived);
}

static void remove_0(void)
{
	mmu_interval_notifier_remove(&subs[0]);
}

static void remove_1(void)
{
	mmu_interval_notifier_remove(&subs[1]);
}

static void a_remove_meets_the_last_one(void **state)
{
	static const struct duel duel = {
		.setup = subscribe_two,
		.stepped = remove_0,
		.other = remove_1,
		.ended = destroyed_once,
	};

	fight(&duel);
}

static void remove_0_in_parts(void)
{
	if (uhmm_interval_notifier_remove_timeout(&subs[0], 0))
		abort();
}

static void a_timed_remove_meets_the_last_one(void **state)
{
	static const struct duel duel = {
		.setup = subscribe_two,
		.stepped = remove_0_in_parts,
		.other = remove_1,
		.ended = destroyed_once,
	};

	fight(&duel);
}

static void remove_0_async(void)
{
	if (uhmm_interval_notifier_remove_async(&subs[0]))
		abort();
}

static void remove_1_async(void)
{
	if (uhmm_interval_notifier_remove_async(&subs[1]))
		abort();
}

static const char *removed_twice(void)
{
	return look(&gone) == 2 ? destroyed_once() : "not both are gone once";
}

static void an_asynchronous_remove_meets_the_last_one(void **state)
{
	static const struct duel duel = {
		.setup = subscribe_two,
		.stepped = remove_0_async,
		.other = remove_1_async,
		.ended = removed_twice,
	};

	fight(&duel);
}

static struct mmu_notifier *got[2];

static struct mmu_notifier *alloc_got(struct mm_struct *it)
{
	return calloc(1, sizeof(struct mmu_notifier));
}

static void free_got(struct mmu_notifier *mn)
{
	free(mn);
	count(&gone);
}

static void get_two(void)
{
	static const struct mmu_notifier_ops ops[2] = {
		{ .alloc_notifier = alloc_got, .free_notifier = free_got },
		{ .alloc_notifier = alloc_got, .free_notifier = free_got },
	};

	make_counted();
	for (int i = 0; i < 2; i++)
		got[i] = mmu_notifier_get(&ops[i], outlived);
	mmput(outlived);
}

static void put_0(void)
{
	mmu_notifier_put(got[0]);
}

static void put_1(void)
{
	mmu_notifier_put(got[1]);
}

static void a_put_meets_the_last_one(void **state)
{
	static const struct duel duel = {
		.setup = get_two,
		.stepped = put_0,
		.other = put_1,
		.ended = removed_twice,
	};

	fight(&duel);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(a_start_meets_the_end),
		CASE(a_start_that_hits_nobody_meets_the_end),
		CASE(the_end_meets_an_invalidation),
		CASE(a_remove_meets_the_last_one),
		CASE(a_timed_remove_meets_the_last_one),
		CASE(an_asynchronous_remove_meets_the_last_one),
		CASE(a_put_meets_the_last_one),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
