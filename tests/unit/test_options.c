/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Structs of options: one that is shorter than is known, and one that is longer. */
#include "util.h"

#include <errno.h>

#include <uhmm/dmirror.h>
#include <uhmm/live.h>
#include <uhmm/model.h>
#include <uhmm/rcache.h>
#include <uhmm/rcache_uring.h>

/* A later version has so many bytes more. */
#define LATER 24

union options {
	size_t size;
	struct uhmm_mm_options mm;
	struct uhmm_model_options model;
	struct uhmm_live_options live;
	struct uhmm_dmirror_options dmirror;
	struct uhmm_rcache_options rcache;
	struct uhmm_rcache_uring_options uring;
	unsigned char byte[256];
};

/* What is made is ended at once. */
static int ended(int ret, struct mm_struct *made)
{
	if (!ret)
		mmput(made);
	return ret;
}

static int make_mm(union options *o)
{
	struct mm_struct *made;
	int ret = uhmm_mm_create_with(&o->mm, &made);

	return ended(ret, made);
}

static int make_model(union options *o)
{
	struct mm_struct *made;
	int ret = uhmm_mm_create_model(&o->model, NULL, &made);

	return ended(ret, made);
}

static int make_model_space(union options *o)
{
	struct mm_struct *made;
	int ret = uhmm_mm_create_model(NULL, &o->mm, &made);

	return ended(ret, made);
}

static int make_live(union options *o)
{
	struct mm_struct *made;
	int ret = uhmm_mm_create_live(&o->live, &made);

	return ended(ret, made);
}

static int make_dmirror(union options *o)
{
	struct uhmm_dmirror_device *device;
	int ret;

	o->dmirror.type = MEMORY_DEVICE_PRIVATE;
	ret = uhmm_dmirror_create(&o->dmirror, &device);
	return ret ?: uhmm_dmirror_destroy(device);
}

static int no_reg(void *device, unsigned long start, size_t length,
		  unsigned int access, uint64_t *ret_key)
{
	return -EIO;
}

static int no_dereg(void *device, unsigned long start, size_t length,
		    uint64_t key)
{
	return -EIO;
}

static int make_rcache(union options *o)
{
	const struct uhmm_rcache_ops ops = {
		.name = "none", .reg = no_reg, .dereg = no_dereg,
	};
	struct uhmm_rcache *cache;
	int ret = uhmm_rcache_create(mm, &ops, NULL, &o->rcache, &cache);

	if (!ret)
		uhmm_rcache_destroy(cache);
	return ret;
}

static int done(void *arg, int ring_fd, unsigned int opcode, void *what,
		unsigned int n)
{
	return 0;
}

static int make_uring(union options *o)
{
	struct uhmm_rcache_uring *uring;
	int ret;

	o->uring.call = done;
	ret = uhmm_rcache_uring_create_tagged(0, 1, &o->uring, &uring);
	if (!ret)
		uhmm_rcache_uring_destroy(uring);
	return ret;
}

static const struct kind {
	size_t known;
	int (*make)(union options *o);
} kinds[] = {
	{ sizeof(struct uhmm_mm_options), make_mm },
	{ sizeof(struct uhmm_model_options), make_model },
	{ sizeof(struct uhmm_mm_options), make_model_space },
	{ sizeof(struct uhmm_live_options), make_live },
	{ sizeof(struct uhmm_dmirror_options), make_dmirror },
	{ sizeof(struct uhmm_rcache_options), make_rcache },
	{ sizeof(struct uhmm_rcache_uring_options), make_uring },
};

#define for_each_kind(k) \
	for ((k) = kinds; (k) < kinds + sizeof(kinds) / sizeof(*kinds); (k)++)

/* Of @size bytes, 0 but for the byte at @at, if there is one. */
static int make(const struct kind *k, size_t size, size_t at)
{
	union options o = { .byte = { 0 } };

	o.size = size;
	if (at)
		o.byte[at] = 1;
	return k->make(&o);
}

static void what_is_known_is_taken(void **state)
{
	const struct kind *k;

	for_each_kind(k)
		assert_int_equal(make(k, k->known, 0), 0);
}

static void what_is_behind_the_end_is_not_looked_at(void **state)
{
	const struct kind *k;

	for_each_kind(k) {
		assert_int_equal(make(k, k->known, k->known), 0);
		assert_int_equal(make(k, k->known + LATER,
				      k->known + LATER), 0);
	}
}

static void shorter_ones_are_refused(void **state)
{
	const struct kind *k;

	for_each_kind(k)
		for (size_t size = 0; size < k->known; size++)
			assert_int_equal(make(k, size, 0), -EINVAL);
}

static void later_ones_are_taken_if_they_ask_for_nothing_new(void **state)
{
	const struct kind *k;

	for_each_kind(k) {
		assert_int_equal(make(k, k->known + LATER, 0), 0);
		for (size_t at = k->known; at < k->known + LATER; at++)
			assert_int_equal(make(k, k->known + LATER, at), -E2BIG);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest cases[] = {
		CASE(what_is_known_is_taken),
		CASE(what_is_behind_the_end_is_not_looked_at),
		CASE(shorter_ones_are_refused),
		CASE(later_ones_are_taken_if_they_ask_for_nothing_new),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests(cases, NULL, NULL);
}
