/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Subscriptions that share a lock, and are called together. */
#include "util.h"

#define MANY 200

/* Records the number of subscriptions as "b3", then who: "m5". */
struct member {
	struct mmu_interval_notifier sub;
	int id;
	bool refuse;
};

static int seen_order[MANY], n_seen;

static bool call(const char *what, struct mmu_interval_notifier *const *subs,
		 size_t n, const struct mmu_notifier_range *range,
		 unsigned long cur_seq)
{
	bool ok = true;

	record(what, (int)n);
	for (size_t i = 0; i < n; i++) {
		struct member *m = container_of(subs[i], struct member, sub);

		if (n_seen < MANY)
			seen_order[n_seen++] = m->id;
		if (n < 10)
			record("m", m->id);
		ok = ok && !m->refuse;
		mmu_interval_set_seq(subs[i], cur_seq);
	}
	if (range->event == MMU_NOTIFY_RELEASE)
		record("R", 0);
	return ok || mmu_notifier_range_blockable(range);
}

static bool batch_a(struct mmu_interval_notifier *const *subs, size_t n,
		    const struct mmu_notifier_range *range,
		    unsigned long cur_seq)
{
	return call("a", subs, n, range, cur_seq);
}

static bool batch_b(struct mmu_interval_notifier *const *subs, size_t n,
		    const struct mmu_notifier_range *range,
		    unsigned long cur_seq)
{
	return call("b", subs, n, range, cur_seq);
}

static const struct mmu_interval_notifier_ops a_ops = {
	.uhmm_invalidate_batch = batch_a,
};

static const struct mmu_interval_notifier_ops b_ops = {
	.uhmm_invalidate_batch = batch_b,
};

static void add(struct member *m, int id, unsigned long start,
		const struct mmu_interval_notifier_ops *ops)
{
	memset(m, 0, sizeof(*m));
	m->id = id;
	n_seen = 0;
	assert_int_equal(mmu_interval_notifier_insert(&m->sub, mm, start, 1,
						      ops), 0);
}

static void drop(struct member *m)
{
	mmu_interval_notifier_remove(&m->sub);
}

static void neighbours_are_called_together_and_in_order(void **state)
{
	struct member m[4];

	add(&m[2], 3, PG(12), &a_ops);
	add(&m[0], 1, PG(10), &a_ops);
	add(&m[1], 2, PG(11), &a_ops);
	add(&m[3], 4, PG(13), &a_ops);
	invalidate(PG(10), PG(14));
	assert_recorded("a4 m1 m2 m3 m4");
	for (int i = 0; i < 4; i++)
		drop(&m[i]);
}

static void only_those_that_overlap_are_called(void **state)
{
	struct member m[4];

	for (int i = 0; i < 4; i++)
		add(&m[i], i, PG(10 + i), &a_ops);
	invalidate(PG(11), PG(13));
	assert_recorded("a2 m1 m2");
	invalidate(PG(13), PG(20));
	assert_recorded("a1 m3");
	invalidate(PG(14), PG(20));
	assert_recorded("");
	for (int i = 0; i < 4; i++)
		drop(&m[i]);
}

static void other_ops_in_between_split_the_call(void **state)
{
	struct member m[6];
	struct mirror in_between;

	add(&m[0], 1, PG(10), &a_ops);
	add(&m[1], 2, PG(11), &a_ops);
	add(&m[2], 3, PG(12), &b_ops);
	add(&m[3], 4, PG(13), &a_ops);
	mirror_add(&in_between, 9, PG(14), 1);
	add(&m[4], 5, PG(15), &b_ops);
	add(&m[5], 6, PG(16), &b_ops);
	invalidate(PG(10), PG(17));
	assert_recorded("a2 m1 m2 b1 m3 a1 m4 i9 b2 m5 m6");
	for (int i = 0; i < 6; i++)
		drop(&m[i]);
	mirror_drop(&in_between);
}

static void many_are_called_once_each_and_in_order(void **state)
{
	static struct member many[MANY];

	for (int i = 0; i < MANY; i++)
		add(&many[i], i, PG(i), &a_ops);
	invalidate(PG(0), PG(MANY));
	assert_int_equal(n_seen, MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(seen_order[i], i);
	assert_int_equal(stats().hits, MANY);
	for (int i = 0; i < MANY; i++)
		drop(&many[i]);
}

static void a_refusal_is_one_for_all_and_ends_the_calls(void **state)
{
	struct mmu_notifier_range range;
	unsigned long seq, seqs[5];
	struct member m[5];

	for (int i = 0; i < 5; i++) {
		add(&m[i], i, PG(10 + i), i < 3 ? &a_ops : &b_ops);
		seqs[i] = mmu_interval_read_begin(&m[i].sub);
	}
	m[1].refuse = true;
	assert_int_equal(begin_nonblock(&range, PG(10), PG(15)), -EAGAIN);
	assert_recorded("a3 m0 m1 m2");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(uhmm_interval_read_begin_timeout(&m[i].sub, 0,
								  &seq), 0);
		assert_int_equal(mmu_interval_read_retry(&m[i].sub, seqs[i]),
				 i < 3);
		drop(&m[i]);
	}
}

static void all_reads_of_a_call_collide_and_wait(void **state)
{
	struct mmu_notifier_range range;
	unsigned long seq, seqs[3];
	struct member m[3];

	for (int i = 0; i < 3; i++) {
		add(&m[i], i, PG(10 + i), &a_ops);
		seqs[i] = mmu_interval_read_begin(&m[i].sub);
	}
	begin_range(&range, PG(10), PG(12));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(uhmm_interval_read_begin_timeout(&m[i].sub, 0,
								  &seq),
				 i < 2 ? -ETIMEDOUT : 0);
		assert_int_equal(mmu_interval_read_retry(&m[i].sub, seqs[i]),
				 i < 2);
	}
	end_range(&range);
	for (int i = 0; i < 3; i++)
		drop(&m[i]);
}

static void the_call_waits_for_who_has_reserved_any_of_them(void **state)
{
	static const struct uhmm_mm_options patient = {
		.size = sizeof(patient),
		.reserve_limit_us = 3600U * 1000 * 1000,
	};
	struct mmu_notifier_range range;
	struct task starter;
	struct member m[3];

	remake_mm(&patient);
	for (int i = 0; i < 3; i++)
		add(&m[i], i, PG(10) + (unsigned long)i, &a_ops);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(uhmm_interval_reserve(&m[i].sub), 0);
		task_start(&starter, invalidate_task, NULL);
		assert_true(task_waits(&starter));
		assert_recorded("");
		assert_int_equal(begin_nonblock(&range, PG(10), PG(11)), 0);
		end_range(&range);
		assert_recorded("a3 m0 m1 m2");
		uhmm_interval_unreserve(&m[i].sub);
		task_join(&starter);
		assert_recorded("a3 m0 m1 m2");
	}
	for (int i = 0; i < 3; i++)
		drop(&m[i]);
}

static void release_comes_in_one_call(void **state)
{
	struct member m[3];

	for (int i = 0; i < 3; i++)
		add(&m[i], i, PG(10 + i), &a_ops);
	end_mm();
	assert_recorded("a3 m0 m1 m2 R0");
	for (int i = 0; i < 3; i++)
		drop(&m[i]);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(neighbours_are_called_together_and_in_order),
		CASE(only_those_that_overlap_are_called),
		CASE(other_ops_in_between_split_the_call),
		CASE(many_are_called_once_each_and_in_order),
		CASE(a_refusal_is_one_for_all_and_ends_the_calls),
		CASE(all_reads_of_a_call_collide_and_wait),
		CASE(the_call_waits_for_who_has_reserved_any_of_them),
		CASE(release_comes_in_one_call),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
