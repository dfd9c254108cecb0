/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the tests of reservations share. */
#ifndef TESTS_UNIT_RESERVING_H
#define TESTS_UNIT_RESERVING_H

#include "util.h"

/* So long that whoever waits for it is seen waiting for it. */
#define LONG_US (3600U * 1000 * 1000)
#define SHORT_US 1000U

static inline void make(unsigned int limit_us, unsigned int after)
{
	struct uhmm_mm_options options = {
		.size = sizeof(options),
		.reserve_after = after,
		.reserve_limit_us = limit_us,
	};

	remake_mm(&options);
}

static inline int begin_long(void **state)
{
	int ret = case_begin(state);

	make(LONG_US, 0);
	return ret;
}

/* A case in which no reservation is lost to the clock. */
#define LONG_CASE(fn)                                                        \
	{                                                                    \
		.name = #fn, .test_func = fn, .setup_func = begin_long,      \
		.teardown_func = case_end, .initial_state = (void *)#fn      \
	}

static inline void reserve(struct mirror *m)
{
	assert_int_equal(uhmm_interval_reserve(&m->sub), 0);
}

static inline void unreserve(struct mirror *m)
{
	uhmm_interval_unreserve(&m->sub);
}

/* Collide @n times in a row, as a read would. */
static inline void collide(struct mirror *m, int n)
{
	unsigned long seq;

	for (int i = 0; i < n; i++) {
		seq = mirror_begin(m);
		invalidate(PG(10), PG(11));
		assert_true(mirror_retry(m, seq));
	}
}

struct holder {
	struct mirror *mirror;
	struct gate gate;
};

static inline void hold_reservation(void *arg)
{
	struct holder *h = arg;

	if (uhmm_interval_reserve(&h->mirror->sub))
		return;
	gate_pass(&h->gate);
	uhmm_interval_unreserve(&h->mirror->sub);
}

#endif
